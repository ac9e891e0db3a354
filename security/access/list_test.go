package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func entries(l *List) (list []string) {
	for p := range l.All() {
		list = append(list, p.String())
	}
	return list
}

func TestListsOfEveryForm(t *testing.T) {
	for name, c := range map[string]struct {
		text           string
		entries        []string
		lines, covered int
	}{
		"plain": {"192.0.2.1\n198.51.100.0/24\n2001:db8::/32\n2001:db9::1\n", []string{"192.0.2.1/32", "198.51.100.0/24", "2001:db8::/32", "2001:db9::1/128"}, 4, 0},
		"no newline at the end, spaces, CRLF, byte order mark": {"\xef\xbb\xbf192.0.2.1\r\n\r\n  198.51.100.1 \t\r\n2001:db8::1", []string{"192.0.2.1/32", "198.51.100.1/32", "2001:db8::1/128"}, 3, 0},
		"comments": {"# 10.0.0.0/8\n; 11.0.0.0/8\n\n192.0.2.0/24 ; SBL123\n192.0.3.0/24#x\n192.0.4.0/24\t# a, b; c\n  # x\n", []string{"192.0.2.0/24", "192.0.3.0/24", "192.0.4.0/24"}, 3, 0},
		"netset":   {"#\n# firehol_level9\n#\n# ipv4 hash:net ipset\n#\n# Maintainer: somebody\n#\n192.0.2.0/24\n198.51.100.7\n", []string{"192.0.2.0/24", "198.51.100.7/32"}, 2, 0},
		"ipset save": {"create drop4 hash:net family inet hashsize 1024 maxelem 65536 comment timeout 300\nadd drop4 192.0.2.0/24 timeout 12\nadd drop4 198.51.100.7 comment \"nomatch # x; 1\"\n" +
			"create drop6 hash:ip family inet6\nadd -exist drop6 2001:db8::1\n", []string{"192.0.2.0/24", "198.51.100.7/32", "2001:db8::1/128"}, 3, 0},
		"ranges":             {"192.0.2.10-192.0.2.13\n2001:db8::-2001:db8::1\n", []string{"192.0.2.10/31", "192.0.2.12/31", "2001:db8::/127"}, 2, 0},
		"IPv4-mapped":        {"::ffff:192.0.2.1\n::ffff:198.51.100.0/120\n", []string{"192.0.2.1/32", "198.51.100.0/24"}, 2, 0},
		"twice and within":   {"192.0.2.7\n192.0.2.0/24\n192.0.2.7\n192.0.2.0/25\n2001:db8::1\n2001:db8::/32\n2001:db8::1\n", []string{"192.0.2.0/24", "2001:db8::/32"}, 7, 5},
		"side by side stays": {"192.0.2.0/25\n192.0.2.128/25\n", []string{"192.0.2.0/25", "192.0.2.128/25"}, 2, 0},
		"the ends":           {"0.0.0.0/8\n255.255.255.255\n::/16\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n", []string{"0.0.0.0/8", "255.255.255.255/32", "::/16", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"}, 4, 0},
	} {
		l, err := ParseList(strings.NewReader(c.text), ListOptions{Name: "drop", MaxShare: 1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := entries(l); !slices.Equal(got, c.entries) || l.Lines() != c.lines || l.Covered() != c.covered || l.Len() != len(c.entries) || l.Name() != "drop" {
			t.Errorf("%s: %v, %d lines, %d covered; want %v, %d, %d", name, got, l.Lines(), l.Covered(), c.entries, c.lines, c.covered)
		}
	}
}

// One wrong line refuses the whole, and the error says which and what is meant.
func TestListsAreAllOrNothing(t *testing.T) {
	good := "192.0.2.1\n192.0.2.2\n"
	for text, want := range map[string]string{
		good + "192.0.2.5/24\n":               "line 3: \"192.0.2.5/24\" has host bits: want 192.0.2.0/24, or the address 192.0.2.5",
		good + "192.0.2\n":                    "line 3: \"192.0.2\" is no address",
		good + "192.0.2.1 192.0.2.2\n":        "line 3: \"192.0.2.1 192.0.2.2\" holds more than one entry",
		good + "192.0.2.1,80\n":               "holds more than one entry",
		good + "0.0.0.0 ads.example\n":        "holds more than one entry",
		good + "ads.example\n":                "sni:ads.example",
		good + "AS64500\n":                    "is no address",
		good + "fe80::1%eth0\n":               "has a zone",
		good + "8.0.0.0/7\n":                  "wider than /8",
		good + "0.0.0.0/0\n":                  "wider than /8",
		good + "0.0.0.0-255.255.255.255\n":    "wider than /8",
		good + "2000::/3\n":                   "wider than /16",
		good + "1.2.3.4\x00\n":                "line 3: has a zero byte at 8",
		good + strings.Repeat("#", 5000):      "line 3: is longer than 4096 bytes",
		good + strings.Repeat("1", 100000):    "line 3: is longer than 4096 bytes",
		good + "<html>":                       "line 3: \"<html>\" is no address",
		"<!DOCTYPE html>\n<html>":             "line 1: is no list: this is a web page",
		"\xef\xbb\xbf<html>":                  "this is a web page",
		"{\"ranges\": []}":                    "this is JSON",
		"\x1f\x8b\x08\x00\x00":                "gzip",
		"PK\x03\x04":                          "zip",
		"\xff\xfe1\x00.\x00":                  "UTF-16",
		good + "add x\n":                      "line 3: add without",
		good + "add x 192.0.2.0/24 nomatch\n": "an exception (nomatch)",
		good + "add x 192.0.2.0/24 comment \"nomatch\" nomatch\n": "an exception (nomatch)",
		good + "add x 192.0.2.1,tcp:80\n":                         "is no address",
		good + "create x\n":                                       "line 3: create without",
		good + "create x hash:net,port family inet\n":             "only hash:ip, hash:net and bitmap:ip",
		good + "192.0.2.9-192.0.2.1\n":                            "192.0.2.1-192.0.2.9",
		good + "\xe2\x80\x8b192.0.2.1\n":                          "is no address",
		good + strings.Repeat("1", 2000) + "\n":                   "is no address",
	} {
		l, err := ParseList(strings.NewReader(text), ListOptions{Name: "drop"})
		var problem *ListError
		if l != nil || !errors.As(err, &problem) || !strings.Contains(err.Error(), want) || problem.List != "drop" || problem.Line == 0 {
			t.Errorf("%.40q: %v; want an error with %q", text, err, want)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%.40q: the error has %d bytes", text, len(err.Error()))
		}
	}
}

func TestListsAreBounded(t *testing.T) {
	three := "192.0.2.1\n192.0.2.2\n192.0.2.3\n"
	for _, c := range []struct {
		text string
		o    ListOptions
		want string // "": taken
	}{
		{three, ListOptions{MaxEntries: 3}, ""},
		{three, ListOptions{MaxEntries: 2}, "line 3: here the list has more than 2 entries"},
		{three, ListOptions{MaxBytes: int64(len(three))}, ""},
		{three, ListOptions{MaxBytes: int64(len(three)) - 1}, "line 3: here the list becomes longer than 29 bytes"},
		{"8.0.0.0/7", ListOptions{MinPrefix4: 7, MaxShare: 1}, ""},
		{"8.0.0.0/7", ListOptions{MinPrefix4: 7}, "its entries are 0.8% of all addresses"}, // filled in below
		{"0.0.0.0/0\n::/0", ListOptions{MinPrefix4: -1, MinPrefix6: -1, MaxShare: 1}, ""},
		{"11.0.0.0/8\n12.0.0.0/8\n", ListOptions{}, ""},
		{"11.0.0.0/8\n12.0.0.0/8\n13.0.0.0/8\n", ListOptions{}, "its entries are 1.2% of all addresses, more than 1.0%"},
		{"2001::/16\n", ListOptions{}, ""},
		{"2400::/16\n" + many("2%03x::/16\n", 0x401, 0x453), ListOptions{}, "1.0% of all addresses, more than 1.0%"},
		{"", ListOptions{}, "empty"},
		{"# nothing\n\n", ListOptions{}, "empty"},
		{"# nothing\n\n", ListOptions{AllowEmpty: true}, ""},
	} {
		if c.o.MinPrefix4 == 7 && c.o.MaxShare == 0 {
			c.want = "" // 0.8 % is allowed
		}
		c.o.Name = "drop"
		_, err := ParseList(strings.NewReader(c.text), c.o)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.30q with %+v: %v; want %q", c.text, c.o, err, c.want)
		}
	}
	if _, err := ParseList(strings.NewReader("# nothing"), ListOptions{Name: "drop"}); !errors.Is(err, ErrEmpty) {
		t.Errorf("an empty list: %v", err)
	}
	for _, name := range []string{"", "a b", "a/b", strings.Repeat("a", 65), "ä"} {
		if _, err := ParseList(strings.NewReader(three), ListOptions{Name: name}); err == nil {
			t.Errorf("a list is named %q", name)
		}
	}
}

func many(format string, from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// A list that ends because the connection broke is refused.
func TestABrokenReaderMakesNoList(t *testing.T) {
	broken := errors.New("connection reset")
	r := io.MultiReader(strings.NewReader("192.0.2.1\n192.0.2."), iotest.ErrReader(broken))
	if l, err := ParseList(r, ListOptions{Name: "drop"}); l != nil || !errors.Is(err, broken) {
		t.Errorf("%v, %v", l, err)
	}
	if l, err := ParseList(iotest.OneByteReader(strings.NewReader("192.0.2.1\r\n# x\r\n192.0.2.2")), ListOptions{Name: "drop"}); err != nil || l.Len() != 2 {
		t.Errorf("byte by byte: %v, %v", l, err)
	}
}

func TestTheGuardRefusesListsThatWereCutOrSwapped(t *testing.T) {
	sized := func(n int) *List {
		var m listMaker
		for i := range n {
			m.add(netip.PrefixFrom(addr4(0x01000000+uint32(i)*7), 32))
		}
		return m.list("drop")
	}
	for _, c := range []struct {
		was, is int
		want    error
	}{
		{-1, 1, nil}, {-1, 1_000, nil}, {-1, 0, ErrEmpty}, {10, 0, ErrEmpty}, {0, 500_000, ErrGrown},
		{100, 50, nil}, {100, 49, ErrShrunk}, {10_000, 1, ErrShrunk}, {19, 1, nil}, {20, 9, ErrShrunk},
		{100, 1_000, nil}, {100, 1_001, ErrGrown}, {5, 999, nil}, {5, 1_000, ErrGrown}, {10_000, 100_000, nil}, {10_000, 100_001, ErrGrown},
	} {
		var previous *List
		if c.was >= 0 {
			previous = sized(c.was)
		}
		if err := sized(c.is).Guard(previous); !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), "drop") {
			t.Errorf("from %d to %d: %v, want %v", c.was, c.is, err, c.want)
		}
	}
}

// TestListsFindWhatALinearSearchFinds compares lists of every size and spread with
// their own lines.
func TestListsFindWhatALinearSearchFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, n := range []int{0, 1, 2, 3, 17, 300} {
		for range 20 {
			var prefixes []netip.Prefix
			for range n {
				prefixes = append(prefixes, randomPrefix(r))
			}
			var lines []string
			for _, p := range prefixes {
				lines = append(lines, p.String())
			}
			l, err := ParseList(strings.NewReader(strings.Join(lines, "\n")), ListOptions{Name: "x", MinPrefix4: -1, MinPrefix6: -1, MaxShare: 1, AllowEmpty: true})
			if err != nil {
				t.Fatal(err)
			}
			for range 500 {
				a := randomAddr(r)
				var want netip.Prefix
				for _, p := range prefixes {
					if p.Contains(a) && (!want.IsValid() || p.Bits() < want.Bits()) {
						want = p
					}
				}
				if got, ok := l.Find(a); got != want || ok != want.IsValid() {
					t.Fatalf("%v in %v: %v, %v; want %v", a, lines, got, ok, want)
				}
			}
		}
	}
	l := list(t, "x", "192.0.2.0/24", "2001:db8::/32")
	if _, ok := l.Find(addr("::ffff:192.0.2.1")); !ok {
		t.Error("IPv4-mapped addresses are not found")
	}
	if _, ok := l.Find(netip.Addr{}); ok {
		t.Error("no address is found")
	}
}

// TestTheSearchIsRightForEverySpread is for the arrays below: keys in one part, in
// every part, equal, and at the ends.
func TestTheSearchIsRightForEverySpread(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	spreads := map[string]func(i int) uint64{
		"even":    func(i int) uint64 { return uint64(i) << 40 },
		"random":  func(int) uint64 { return r.Uint64() },
		"crowd":   func(i int) uint64 { return uint64(i%3) * 0x7fff_ffff_ffff_ffff >> uint(r.IntN(2)*60) },
		"equal":   func(int) uint64 { return 42 },
		"narrow":  func(int) uint64 { return 1<<63 + r.Uint64N(40) },
		"log":     func(int) uint64 { return 1 << r.IntN(64) },
		"far end": func(i int) uint64 { return ^uint64(0) - uint64(i*i) },
	}
	for name, spread := range spreads {
		for _, n := range []int{0, 1, 2, 7, 8, 9, 33, 1000} {
			keys := make([]uint64, n)
			for i := range keys {
				keys[i] = spread(i)
			}
			slices.Sort(keys)
			tails := make([]uint32, n)
			for i := range tails {
				tails[i] = uint32(i * i)
			}
			s := newSorted(keys, tails)
			for i, k := range s.all {
				if k != keys[i] {
					t.Fatalf("%s, %d keys: key %d is %x, want %x", name, n, i, k, keys[i])
				}
				if f := s.at(i, 0); f.key != keys[i] || s.number(i) != tails[i] {
					t.Fatalf("%s, %d keys: key %d is found as %x with %d, want %x", name, n, i, f.key, s.number(i), keys[i])
				}
			}
			probes := append(slices.Clone(keys), 0, ^uint64(0), r.Uint64())
			for _, k := range keys {
				probes = append(probes, k-1, k+1, k+uint64(r.IntN(1000)))
			}
			for _, x := range probes {
				want := -1
				for i, k := range keys {
					if k <= x {
						want = i
					}
				}
				if f := s.last(x); f.i != want || f.i >= 0 && f != s.at(f.i, 0) {
					t.Fatalf("%s, %d keys, %x: %+v, want %d", name, n, x, f, want)
				}
			}
		}
	}
}

func FuzzParseList(f *testing.F) {
	for _, text := range []string{"192.0.2.1\n", "# x\r\n192.0.2.0/24 ; y\r\n", "create a hash:net\nadd a 192.0.2.0/24 timeout 5\n", "192.0.2.1-192.0.2.9\n2001:db8::/32", "\xef\xbb\xbf::1",
		"add a ::1 comment \"a\" nomatch", "\x1f\x8b", "0.0.0.0-255.255.255.254", "192.0.2.0/24\n192.0.2.1\n192.0.2.0/23", "COMMIT\nflush a\n1.1.1.1"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o := ListOptions{Name: "f", MaxEntries: 1000, MaxBytes: 1 << 16, MaxShare: 1}
		l, err := ParseList(bytes.NewReader(text), o)
		if err != nil {
			if l != nil || len(err.Error()) > 1200 {
				t.Fatalf("%v with an error of %d bytes", l, len(err.Error()))
			}
			return
		}
		// What it says it holds makes the same list again.
		var b strings.Builder
		last := netip.Addr{}
		for p := range l.All() {
			if last.IsValid() && !last.Less(p.Addr()) {
				t.Fatalf("%v after %v", p, last)
			}
			if last = lastOf(p); p != p.Masked() {
				t.Fatalf("%v has host bits", p)
			}
			for _, a := range []netip.Addr{p.Addr(), last} {
				if found, ok := l.Find(a); !ok || found != p {
					t.Fatalf("%v is found in %v, not in %v", a, found, p)
				}
			}
			fmt.Fprintln(&b, p)
		}
		o.MaxEntries, o.MaxBytes = 300_000, 1<<30 // ranges are many prefixes
		again, err := ParseList(strings.NewReader(b.String()), o)
		if err != nil || !slices.Equal(entries(l), entries(again)) || again.Covered() != 0 {
			t.Fatalf("%v is read as %v, %v", entries(l), again, err)
		}
	})
}
