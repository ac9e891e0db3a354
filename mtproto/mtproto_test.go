package mtproto_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"mtguard/mtproto"
)

func TestDCKinds(t *testing.T) {
	for _, c := range []struct {
		dc          mtproto.DC
		number      int
		media, test bool
		text        string
	}{
		{1, 1, false, false, "1"},
		{5, 5, false, false, "5"},
		{-4, 4, true, false, "4 media"},
		{203, 203, false, false, "203"},
		{-203, 203, true, false, "203 media"},
		{10002, 2, false, true, "2 test"},
		{-10002, 2, true, true, "2 test media"},
		{0, 0, false, false, "0"},
		{10000, 10000, false, false, "10000"},
		{math.MaxInt16, 22767, false, true, "22767 test"},
		{math.MinInt16, 22768, true, true, "22768 test media"},
	} {
		if got := c.dc.Number(); got != c.number {
			t.Errorf("DC(%d).Number() = %d, want %d", int16(c.dc), got, c.number)
		}
		if got := c.dc.Media(); got != c.media {
			t.Errorf("DC(%d).Media() = %v, want %v", int16(c.dc), got, c.media)
		}
		if got := c.dc.Test(); got != c.test {
			t.Errorf("DC(%d).Test() = %v, want %v", int16(c.dc), got, c.test)
		}
		if got := c.dc.String(); got != c.text {
			t.Errorf("DC(%d).String() = %q, want %q", int16(c.dc), got, c.text)
		}
	}
}

func TestFramingTags(t *testing.T) {
	for f := range mtproto.Framing(255) {
		known := f >= mtproto.Abridged && f <= mtproto.Padded
		got, ok := mtproto.FramingOf(f.Tag())
		if ok != known || known && got != f {
			t.Errorf("%v: tag %x is %v, %v", f, f.Tag(), got, ok)
		}
	}
	for _, tag := range [][4]byte{{}, {0xef, 0xef, 0xef, 0xee}, {0xdd, 0xee, 0xdd, 0xdd}, {0xef, 0xee, 0xee, 0xee}, {1, 1, 1, 1}} {
		if f, ok := mtproto.FramingOf(tag); ok {
			t.Errorf("tag %x is %v", tag, f)
		}
	}
}

func TestTransportNames(t *testing.T) {
	for _, c := range []mtproto.Transport{mtproto.Classic, mtproto.Secure, mtproto.FakeTLS} {
		if got, err := mtproto.ParseTransport(c.String()); err != nil || got != c {
			t.Errorf("ParseTransport(%q) = %v, %v", c.String(), got, err)
		}
	}
	for _, name := range []string{"", "FakeTLS", "transport(0)", "tls"} {
		if got, err := mtproto.ParseTransport(name); err == nil || got != 0 {
			t.Errorf("ParseTransport(%q) = %v, %v, want an error", name, got, err)
		}
	}
	if got := mtproto.Transport(0).String() + mtproto.Framing(9).String(); got != "transport(0)framing(9)" {
		t.Errorf("invalid values print as %q", got)
	}
}

func addrs(list ...string) (out []netip.AddrPort) {
	for _, a := range list {
		out = append(out, netip.MustParseAddrPort(a))
	}
	return out
}

func TestLookupRules(t *testing.T) {
	built := mtproto.NewDCTable(nil)
	own := mtproto.NewDCTable(map[mtproto.DC][]netip.AddrPort{
		4:  addrs("192.0.2.4:443"),
		-5: addrs("192.0.2.5:443"),
		7:  addrs("192.0.2.7:8443"),
		3:  nil,
	})
	for _, c := range []struct {
		why   string
		table *mtproto.DCTable
		dc    mtproto.DC
		used  mtproto.DC
		first string
	}{
		{"own entry", built, 1, 1, "149.154.175.50:443"},
		{"two IPv4 addresses, the first first", built, 2, 2, "149.154.167.51:443"},
		{"media id by its twin", built, -4, 4, "149.154.167.91:443"},
		{"CDN", built, 203, 203, "91.105.192.100:443"},
		{"CDN media", built, -203, 203, "91.105.192.100:443"},
		{"test server", built, 10002, 10002, "149.154.167.40:443"},
		{"test media", built, -10003, 10003, "149.154.175.117:443"},
		{"zero", built, 0, 2, "149.154.167.51:443"},
		{"unknown", built, 6, 2, "149.154.167.51:443"},
		{"unknown media", built, -6, 2, "149.154.167.51:443"},
		{"unknown test", built, 10004, 2, "149.154.167.51:443"},
		{"no int16 twin", built, math.MinInt16, 2, "149.154.167.51:443"},
		{"replaced", own, 4, 4, "192.0.2.4:443"},
		{"media follows the replaced twin", own, -4, 4, "192.0.2.4:443"},
		{"media entry of its own", own, -5, -5, "192.0.2.5:443"},
		{"and the twin is untouched", own, 5, 5, "149.154.171.5:443"},
		{"new id", own, 7, 7, "192.0.2.7:8443"},
		{"empty entry leaves the built-in one", own, 3, 3, "149.154.175.100:443"},
	} {
		used, got := c.table.Lookup(c.dc)
		if used != c.used || len(got) == 0 || got[0].String() != c.first {
			t.Errorf("%s: Lookup(%d) = %v, %v, want %v, %s …", c.why, int16(c.dc), used, got, c.used, c.first)
		}
	}
}

func TestLookupIsNeverEmpty(t *testing.T) {
	table := mtproto.NewDCTable(nil)
	for d := math.MinInt16; d <= math.MaxInt16; d++ {
		if _, got := table.Lookup(mtproto.DC(d)); len(got) == 0 {
			t.Fatalf("Lookup(%d) is empty", d)
		}
	}
}

func TestTableKeepsItsOwnCopy(t *testing.T) {
	mine := addrs("192.0.2.4:443")
	table := mtproto.NewDCTable(map[mtproto.DC][]netip.AddrPort{4: mine})
	mine[0] = netip.MustParseAddrPort("198.51.100.1:1")
	_, got := table.Lookup(4)
	if got[0].String() != "192.0.2.4:443" {
		t.Errorf("the table changed with its source: %v", got)
	}
	if _ = append(got, mine[0]); len(got) != cap(got) {
		t.Errorf("appending to a lookup's result writes into the table")
	}
	_, other := mtproto.NewDCTable(nil).Lookup(4)
	if slices.Equal(got, other) {
		t.Errorf("an override reached another table")
	}
}

func TestBuiltInTableHasBothFamilies(t *testing.T) {
	table := mtproto.NewDCTable(nil)
	if got, want := len(table.IDs()), 9; got != want {
		t.Errorf("%d ids, want %d", got, want)
	}
	for _, d := range table.IDs() {
		_, list := table.Lookup(d)
		if !list[0].Addr().Is4() || !list[len(list)-1].Addr().Is6() {
			t.Errorf("DC %v: %v, want IPv4 first and IPv6 last", d, list)
		}
		for _, a := range list {
			if a.Port() != 443 || !a.Addr().IsGlobalUnicast() {
				t.Errorf("DC %v: %v", d, a)
			}
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := mtproto.NewDCTable(nil)
	if n := testing.AllocsPerRun(100, func() { table.Lookup(-4) }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
}

func ExampleDCTable_Lookup() {
	table := mtproto.NewDCTable(nil)
	used, list := table.Lookup(-4)
	fmt.Printf("DC %v is served by DC %v at %v\n", mtproto.DC(-4), used, list[0])
	// Output: DC 4 media is served by DC 4 at 149.154.167.91:443
}

func ExampleParseTransport() {
	_, err := mtproto.ParseTransport("https")
	fmt.Println(strings.ToUpper(mtproto.FakeTLS.String()), err)
	// Output: FAKETLS unknown transport "https": want classic, secure or faketls
}
