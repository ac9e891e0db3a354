package faketls

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	testSecret = []byte("0123456789abcdef")
	testTime   = time.Unix(1790000000, 0)
)

func parse(t testing.TB, b []byte) *ClientHello {
	t.Helper()
	h, n, need, err := ParseHello(b)
	if err != nil || need != 0 || n != len(b) {
		t.Fatalf("ParseHello of %d bytes: n %d, need %d, %v", len(b), n, need, err)
	}
	return h
}

// goodHellos are those of the vectors that parse.
func goodHellos(t testing.TB) map[string]helloCase {
	good := map[string]helloCase{}
	for _, c := range load[helloFile](t, "faketls_hello.json").Cases {
		if h, _, _, _ := ParseHello(c.Hello); h != nil {
			good[c.Name] = c
		}
	}
	if len(good) < 20 {
		t.Fatalf("only %d vectors parse", len(good))
	}
	return good
}

// TestHelloArrivingBytewise: before its last byte a hello is neither refused nor
// taken, need never asks beyond its end, and what follows does not matter.
func TestHelloArrivingBytewise(t *testing.T) {
	for name, c := range goodHellos(t) {
		for n := range len(c.Hello) {
			h, used, need, err := ParseHello(c.Hello[:n])
			if h != nil || used != 0 || need <= 0 || n+need > len(c.Hello) || err != nil {
				t.Fatalf("%s: %d of %d bytes: h %v, n %d, need %d, %v", name, n, len(c.Hello), h != nil, used, need, err)
			}
		}
		for _, more := range []string{"\x14\x03\x03\x00\x01\x01", "\x16\x03\x01\x00", "junk"} {
			h, used, need, err := ParseHello(append(bytes.Clone(c.Hello), more...))
			if h == nil || used != len(c.Hello) || need != 0 || err != nil {
				t.Errorf("%s and more: n %d, need %d, %v", name, used, need, err)
			}
		}
	}
}

// TestRefusedWithTheByteThatProves: each line's last byte is the first that no hello
// of ours can have, so the line is refused and the line without it is not.
func TestRefusedWithTheByteThatProves(t *testing.T) {
	long := func(b ...byte) []byte { // message of 508 bytes up to the session id
		return append(append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 32)...), b...)
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"HTTP", []byte("G"), errNotHandshake},
		{"obfuscated2", []byte{0x5c}, errNotHandshake},
		{"SSL 2 version", []byte{0x16, 2}, errVersion},
		{"record version 3.2", []byte{0x16, 3, 2}, errVersion},
		{"record version 3.4", []byte{0x16, 3, 4}, errVersion},
		{"record of more than 16640", []byte{0x16, 3, 1, 0x41}, errHelloSize},
		{"record of 16385", []byte{0x16, 3, 1, 0x40, 1}, errHelloSize},
		{"empty record", []byte{0x16, 3, 1, 0, 0}, errHelloSize},
		{"server hello", []byte{0x16, 3, 1, 2, 0, 2}, errNotHello},
		{"message of 64 KiB", []byte{0x16, 3, 1, 2, 0, 1, 1}, errHelloSize},
		{"message of more than 16640", []byte{0x16, 3, 1, 2, 0, 1, 0, 0x41}, errHelloSize},
		{"message of 16385", []byte{0x16, 3, 1, 2, 0, 1, 0, 0x3f, 0xfd}, errHelloSize},
		{"message of 99", []byte{0x16, 3, 1, 0, 50, 1, 0, 0, 95}, errHelloSize},
		{"message shorter than its record", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfb}, errSplit},
		{"hello version 2", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 2}, errVersion},
		{"hello version 3.1", []byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 1}, errVersion},
		{"session id of 33", long(33), errSession},
		{"odd suites", long(0, 0, 3), errSuites},
		{"no suites", long(0, 0, 0), errSuites},
		{"suites beyond the end", long(0, 2, 0), errSuites},
		{"no compression", long(0, 0, 2, 0x13, 1, 0), errCompression},
		{"extensions beyond the end", long(0, 0, 2, 0x13, 1, 1, 0, 2, 0), errExtensions},
		{"bytes behind the extensions", long(0, 0, 2, 0x13, 1, 1, 0, 0, 2), errExtensions},
	} {
		if h, _, need, err := ParseHello(c.bytes); h != nil || need != 0 || err != c.want {
			t.Errorf("%s: need %d, error %v, want %v", c.name, need, err, c.want)
		}
		if _, _, need, err := ParseHello(c.bytes[:len(c.bytes)-1]); err != nil || need <= 0 {
			t.Errorf("%s: refused a byte early: need %d, %v", c.name, need, err)
		}
	}
}

func TestMalformedHellos(t *testing.T) {
	key := share{X25519, make([]byte, 32)}
	good := nameExtension("front.example.com")
	for _, c := range []struct {
		name       string
		extensions [][]byte
		want       error
	}{
		{"half an extension", [][]byte{good, {0, 21, 0}}, errExtensions},
		{"extension beyond the end", [][]byte{good, {0, 21, 0, 1}}, errExtensions},
		{"two server names", [][]byte{good, good}, errExtensions},
		{"two key share lists", [][]byte{shareExtension(key), shareExtension(key)}, errExtensions},
		{"empty server name extension", [][]byte{extension(0, nil)}, errServerName},
		{"empty name list", [][]byte{extension(0, block())}, errServerName},
		{"name of another type", [][]byte{extension(0, block([]byte{1}, block([]byte("a.b"))))}, errServerName},
		{"two names", [][]byte{extension(0, block([]byte{0}, block([]byte("a.b")), []byte{0}, block([]byte("c.d"))))}, errServerName},
		{"empty name", [][]byte{nameExtension("")}, errServerName},
		{"NUL in the name", [][]byte{nameExtension("a\x00b.com")}, errServerName},
		{"control characters in the name", [][]byte{nameExtension("a\nb.com")}, errServerName},
		{"name outside ASCII", [][]byte{nameExtension("é.com")}, errServerName},
		{"name of 254", [][]byte{nameExtension(strings.Repeat("a", 254))}, errServerName},
		{"bytes behind the name list", [][]byte{extension(0, append(block([]byte{0}, block([]byte("a.b"))), 0))}, errServerName},
		{"empty key share", [][]byte{good, shareExtension(share{X25519, nil})}, errShares},
		{"half a key share", [][]byte{good, extension(extKeyShare, block([]byte{0, 29, 0}))}, errShares},
		{"key share beyond the end", [][]byte{good, extension(extKeyShare, block([]byte{0, 29, 0, 2, 1}))}, errShares},
		{"bytes behind the key shares", [][]byte{good, extension(extKeyShare, append(block(), 1))}, errShares},
	} {
		b := helloSpec{extensions: c.extensions, pad: 100}.signed(testSecret, testTime)
		if strings.HasPrefix(c.name, "half an ext") || strings.HasPrefix(c.name, "extension beyond") {
			b = helloSpec{extensions: append([][]byte{extension(21, make([]byte, 100))}, c.extensions...)}.signed(testSecret, testTime)
		}
		if h, _, need, err := ParseHello(b); h != nil || need != 0 || err != c.want {
			t.Errorf("%s: need %d, error %v, want %v", c.name, need, err, c.want)
		}
		if _, _, need, err := ParseHello(b[:len(b)-1]); need != 1 || err != nil {
			t.Errorf("%s: refused before its end: need %d, %v", c.name, need, err)
		}
	}
}

func TestUnusualHellos(t *testing.T) {
	for name, c := range map[string]struct {
		spec     helloSpec
		wantName string
	}{
		"name of 253":     {helloSpec{name: strings.Repeat("a", 253)}, strings.Repeat("a", 253)},
		"upper case":      {helloSpec{name: "FRONT.Example.COM"}, "front.example.com"},
		"underscore":      {helloSpec{name: "a_b.example"}, "a_b.example"},
		"no server name":  {helloSpec{extensions: [][]byte{shareExtension()}, pad: 100}, ""},
		"largest":         {helloSpec{name: "a.b", pad: 16384 - 4 - 2 - 32 - 1 - 4 - 2 - 2 - 12 - 42 - 4}, "a.b"},
		"short session":   {helloSpec{name: "a.b", session: []byte{1, 2, 3}, pad: 30}, "a.b"},
		"no key share":    {helloSpec{extensions: [][]byte{nameExtension("a.b")}, pad: 100}, "a.b"},
		"unknown entries": {helloSpec{extensions: [][]byte{nameExtension("a.b"), extension(0xfafa, nil), extension(0xfafa, nil)}, pad: 100}, "a.b"},
	} {
		h := parse(t, c.spec.signed(testSecret, testTime))
		if at, ok := h.Open(testSecret); !ok || !at.Equal(testTime) || h.ServerName() != c.wantName {
			t.Errorf("%s: opens %v at %v for %q, want %q", name, ok, at, h.ServerName(), c.wantName)
		}
		if !bytes.Equal(h.SessionID(), c.spec.session) {
			t.Errorf("%s: session id %x, want %x", name, h.SessionID(), c.spec.session)
		}
	}
	whole := helloSpec{name: "a.b", pad: 16384 - 4 - 2 - 32 - 1 - 4 - 2 - 2 - 12 - 42 - 4}.record()
	if len(whole) != HeaderSize+maxMessage {
		t.Errorf("the largest hello of this test has %d bytes, want %d", len(whole), HeaderSize+maxMessage)
	}
	fixed := append([]byte{3, 3}, make([]byte, randomSize+1)...)
	bare := append([]byte{1, 0}, block(fixed, block(make([]byte, 60)), []byte{1, 0})...)
	h := parse(t, append([]byte{0x16, 3, 1}, block(bare)...))
	if h.ServerName() != "" || h.Offers(X25519) {
		t.Errorf("hello without extensions has name %q", h.ServerName())
	}
}

func TestOpenRejectsEveryChange(t *testing.T) {
	b := helloSpec{name: "front.example.com"}.signed(testSecret, testTime)
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 1
		h, _, _, err := ParseHello(changed)
		if err != nil || h == nil {
			continue
		}
		at, ok := h.Open(testSecret)
		if timeByte := i >= randomAt+28 && i < randomAt+32; ok != timeByte {
			t.Errorf("byte %d changed: opens %v", i, ok)
		} else if ok && at.Equal(testTime) {
			t.Errorf("byte %d changed: the same time", i)
		}
	}
	h := parse(t, b)
	for _, secret := range [][]byte{nil, {}, testSecret[:15], append(bytes.Clone(testSecret), 0), []byte("0123456789abcdeg")} {
		if _, ok := h.Open(secret); ok {
			t.Errorf("opens with secret %q", secret)
		}
	}
	if _, ok := h.Open(testSecret); !ok {
		t.Error("does not open after failed tries")
	}
}

func TestReplayKeyLeavesOutTheTime(t *testing.T) {
	v := load[helloFile](t, "faketls_hello.json").Replay
	first, again, moved := parse(t, v.Hello), parse(t, v.Hello), parse(t, v.RetimedHello)
	if first.ReplayKey() != again.ReplayKey() {
		t.Error("the same hello has another key")
	}
	at, ok := first.Open(v.Secret)
	if age := v.Now - at.Unix(); !ok || age < 0 || age > 600 {
		t.Errorf("hello: opens %v, age %d", ok, age)
	}
	at, ok = moved.Open(v.Secret)
	if age := v.RetimedNow - at.Unix(); !ok || age < 0 || age > 600 {
		t.Errorf("moved hello: opens %v, age %d, want a good one", ok, age)
	}
	if moved.ReplayKey() != first.ReplayKey() {
		t.Error("a copy moved in time passes the replay cache")
	}
}

func TestSplitHellos(t *testing.T) {
	whole := helloSpec{name: "front.example.com", pad: 300}.signed(testSecret, testTime)
	size := len(whole) - HeaderSize
	for name, b := range map[string][]byte{
		"one byte first":         split(whole, 1),
		"inside the header":      split(whole, 3),
		"after the header":       split(whole, 4),
		"header in four records": split(whole, 1, 1, 1, 1),
		"ten records":            split(whole, 1, 2, 3, 4, 5, 6, 7, 8, 9),
		"one byte last":          split(whole, size-1),
	} {
		h := parse(t, b)
		if at, ok := h.Open(testSecret); !ok || !at.Equal(testTime) || h.ServerName() != "front.example.com" {
			t.Errorf("%s: opens %v at %v for %q", name, ok, at, h.ServerName())
		}
		for n := range len(b) {
			if _, _, need, err := ParseHello(b[:n]); err != nil || need <= 0 || n+need > len(b) {
				t.Fatalf("%s: %d of %d bytes: need %d, %v", name, n, len(b), need, err)
			}
		}
	}
	replace := func(b []byte, at int, with ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], with)
		return b
	}
	two := split(whole, 200)
	second := HeaderSize + 200
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"eleven records":                    {split(whole, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), errSplit},
		"other type between":                {replace(two, second, typeData), errNotHandshake},
		"other version between":             {replace(two, second+1, 3, 4), errVersion},
		"empty record between":              {replace(two, second+3, 0, 0), errHelloSize},
		"more than the message":             {replace(two, second+3, 0x3f), errSplit},
		"type alone in the first, a finish": {[]byte{0x16, 3, 1, 0, 1, 20}, errNotHello},
	} {
		if h, _, need, err := ParseHello(c.b); h != nil || need != 0 || err != c.want {
			t.Errorf("%s: need %d, error %v, want %v", name, need, err, c.want)
		}
	}
	if _, _, _, err := ParseHello(split(whole, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)[:9*HeaderSize+45+HeaderSize]); err != errSplit {
		t.Errorf("an eleventh record is refused only when it comes: %v", err)
	}
}

func TestParseAllocations(t *testing.T) {
	whole := goodHellos(t)["good-gotd-age1"].Hello
	if n := testing.AllocsPerRun(100, func() { ParseHello(whole) }); n > 3 {
		t.Errorf("a whole hello allocates %v times, want at most 3", n)
	}
	bad := slices.Clone([]byte(whole))
	bad[9] = 2
	for name, b := range map[string][]byte{"part": whole[:1000], "refused": bad, "not TLS": []byte("GET / HTTP/1.1\r\n\r\n")} {
		if n := testing.AllocsPerRun(100, func() { ParseHello(b) }); n != 0 {
			t.Errorf("%s: allocates %v times", name, n)
		}
	}
	h := parse(t, whole)
	if n := testing.AllocsPerRun(100, func() { h.Open(testSecret) }); n != 0 {
		t.Errorf("Open allocates %v times", n)
	}
}

// FuzzParseHello holds ParseHello to its contract on any bytes: what it says of a part
// agrees with what it says of more, its wants are bounded, and a hello it takes reads
// the same however it is split into records.
func FuzzParseHello(f *testing.F) {
	for _, c := range load[helloFile](f, "faketls_hello.json").Cases {
		f.Add([]byte(c.Hello), uint64(1))
	}
	f.Add(helloSpec{name: "a.b"}.signed(testSecret, testTime), uint64(2))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		before := bytes.Clone(b)
		h, n, need, err := ParseHello(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		outcomes := 0
		for _, yes := range []bool{h != nil, need > 0, err != nil} {
			if yes {
				outcomes++
			}
		}
		if outcomes != 1 || n > len(b) || (h == nil) != (n == 0) || n > MaxHello || need > 0 && len(b)+need > MaxHello {
			t.Fatalf("h %v, n %d, need %d, %v", h != nil, n, need, err)
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		for range 24 {
			cut := rng.IntN(len(b) + 1)
			if rng.IntN(2) == 0 {
				cut = min(cut, rng.IntN(64))
			}
			part, m, more, partErr := ParseHello(b[:cut])
			switch {
			case partErr != nil && err == nil:
				t.Fatalf("%d bytes are refused with %v, all are not", cut, partErr)
			case part != nil && (h == nil || m != n):
				t.Fatalf("%d bytes are a hello, all are not", cut)
			case part == nil && h != nil && (cut >= n || more <= 0 || cut+more > n):
				t.Fatalf("%d bytes need %d, the hello has %d", cut, more, n)
			}
		}
		if h != nil {
			checkRejoin(t, h, rng)
		}
	})
}

// checkRejoin splits the hello at random and compares what is read.
func checkRejoin(t *testing.T, h *ClientHello, rng *rand.Rand) {
	record := bytes.Clone(h.work[blockSize:])
	copy(record[randomAt:], h.random[:])
	var sizes []int
	for left := len(record) - HeaderSize; left > 1 && len(sizes) < maxRecords-1; {
		n := 1 + rng.IntN(left-1)
		if rng.IntN(3) == 0 {
			n = min(n, 1+rng.IntN(8))
		}
		sizes = append(sizes, n)
		left -= n
	}
	b := split(record, sizes...)
	again, n, need, err := ParseHello(b)
	if err != nil || again == nil || n != len(b) || need != 0 {
		t.Fatalf("split into %v: n %d, need %d, %v", sizes, n, need, err)
	}
	if !bytes.Equal(again.work[blockSize:], h.work[blockSize:]) || again.Random() != h.Random() ||
		again.ServerName() != h.ServerName() || !bytes.Equal(again.SessionID(), h.SessionID()) || !bytes.Equal(again.shares, h.shares) {
		t.Fatalf("split into %v: another hello", sizes)
	}
	at, ok := h.Open(testSecret)
	if at2, ok2 := again.Open(testSecret); ok != ok2 || !at.Equal(at2) {
		t.Fatalf("split into %v: opens %v, whole %v", sizes, ok2, ok)
	}
	if name := h.ServerName(); strings.ToLower(name) != name || len(name) > 253 || strings.ContainsAny(name, "\x00\n\r \"") {
		t.Fatalf("server name %q", name)
	}
}

func BenchmarkOpen(b *testing.B) {
	good := goodHellos(b)
	for _, name := range []string{"classic-517", "good-gotd-age1"} {
		h := parse(b, good[name].Hello)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.Open(testSecret)
			}
		})
	}
}

func BenchmarkParseHello(b *testing.B) {
	good := goodHellos(b)
	for _, name := range []string{"classic-517", "good-gotd-age1", "fragmented-records"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseHello(good[name].Hello)
			}
		})
	}
}
