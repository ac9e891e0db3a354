package access

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

func TestCountriesAndASNumbersAreReadFromTheFile(t *testing.T) {
	g := geo(t, where{"192.0.2.0/24", "DE", 64500}, where{"192.0.3.0/25", "DE", 0}, where{"192.0.3.128/25", "", 64501}, where{"198.51.100.7/32", "FR", 4200000000},
		where{"2001:db8::/32", "US", 64502}, where{"2001:db9::1/128", "GB", 0}, where{"255.255.255.255/32", "JP", 1}, where{"0.0.0.0/8", "CH", 2}, where{"ffff::/16", "SE", 3})
	for text, want := range map[string]string{
		"192.0.2.0": "DE 64500", "192.0.2.255": "DE 64500", "192.0.3.0": "DE 0", "192.0.3.127": "DE 0", "192.0.3.128": "unknown 64501", "192.0.4.0": "unknown 0",
		"192.0.1.255": "unknown 0", "198.51.100.6": "unknown 0", "198.51.100.7": "FR 4200000000", "198.51.100.8": "unknown 0", "::ffff:192.0.2.1": "DE 64500",
		"2001:db8::": "US 64502", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": "US 64502", "2001:db9::": "unknown 0", "2001:db9::1": "GB 0", "2001:db9::2": "unknown 0",
		"255.255.255.255": "JP 1", "255.255.255.254": "unknown 0", "0.0.0.0": "CH 2", "::": "unknown 0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "SE 3",
	} {
		country, asn := g.Lookup(addr(text))
		if got := fmt.Sprint(country, " ", asn); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if country, asn := g.Lookup(netip.Addr{}); country != UnknownCountry || asn != 0 {
		t.Errorf("no address is in %s, AS %d", country, asn)
	}
	if !g.Countries() || !g.ASNs() || g.Kind() != "Test-Country" || !g.Built().Equal(builtAt) || g.Age(builtAt.Add(46*24*time.Hour)) != 46*24*time.Hour {
		t.Errorf("countries %v, AS numbers %v, kind %q, built %v", g.Countries(), g.ASNs(), g.Kind(), g.Built())
	}
}

func TestFilesOfOtherShapes(t *testing.T) {
	text := func(s string) mmdbtype.DataType { return mmdbtype.String(s) }
	iso := func(s string) mmdbtype.Map { return mmdbtype.Map{"iso_code": text(s)} }
	for name, c := range map[string]struct {
		record  mmdbtype.DataType
		country string
		asn     uint32
	}{
		"country before registered":     {mmdbtype.Map{"country": iso("DE"), "registered_country": iso("US")}, "DE", 0},
		"registered alone":              {mmdbtype.Map{"registered_country": iso("US"), "city": mmdbtype.Map{}}, "US", 0},
		"two letters":                   {mmdbtype.Map{"country": text("NL"), "asn": text("AS64500")}, "NL", 64500},
		"a name and a code":             {mmdbtype.Map{"country": text("Netherlands"), "country_code": text("NL"), "asn": text("AS64500")}, "NL", 64500},
		"AS number as a number":         {mmdbtype.Map{"asn": mmdbtype.Uint32(7), "country": text("NL")}, "NL", 7},
		"a code that is none":           {mmdbtype.Map{"country": iso("nl"), "autonomous_system_number": mmdbtype.Uint32(9)}, "unknown", 9},
		"a number of another type":      {mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint16(10)}, "unknown", 10},
		"a number that is too large":    {mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint64(1 << 40), "country": iso("DE")}, "DE", 0},
		"other fields of strange types": {mmdbtype.Map{"country": iso("DE"), "asn": mmdbtype.Slice{text("x")}, "subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": text("BE")}}}, "DE", 0},
	} {
		g, err := LoadGeo(countryFile(t, mmdbwriter.Options{}, map[string]mmdbtype.DataType{"192.0.2.0/24": c.record}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if country, asn := g.Lookup(addr("192.0.2.1")); country != c.country || asn != c.asn {
			t.Errorf("%s: %s, AS %d", name, country, asn)
		}
	}
}

func TestFilesOfEitherVersionAndRecordSize(t *testing.T) {
	for _, version := range []int{4, 6} {
		for _, size := range []int{24, 28, 32} {
			o := mmdbwriter.Options{IPVersion: version, RecordSize: size}
			g, err := LoadGeo(countryFile(t, o, map[string]mmdbtype.DataType{"192.0.2.0/24": where{"", "DE", 5}.record(), "203.0.113.64/26": where{"", "FR", 6}.record()}))
			if err != nil {
				t.Fatalf("version %d, %d bits: %v", version, size, err)
			}
			for text, want := range map[string]string{"192.0.2.9": "DE", "203.0.113.64": "FR", "203.0.113.63": UnknownCountry, "2001:db8::1": UnknownCountry} {
				if country, _ := g.Lookup(addr(text)); country != want {
					t.Errorf("version %d, %d bits: %s is in %s", version, size, text, country)
				}
			}
		}
	}
	// One network that holds all of IPv4 and more: its lowest 32 bits are IPv4's.
	g, err := LoadGeo(countryFile(t, mmdbwriter.Options{DisableIPv4Aliasing: true}, map[string]mmdbtype.DataType{"::/8": where{"", "DE", 5}.record()}))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"192.0.2.9": "DE", "::5": "DE", "2001:db8::1": UnknownCountry} {
		if country, _ := g.Lookup(addr(text)); country != want {
			t.Errorf("%s is in %s", text, country)
		}
	}
}

// TestCountriesAgreeWithALinearSearch is over networks that hold one another.
func TestCountriesAgreeWithALinearSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	for range 10 {
		// Shorter ones first, so that the longer ones are put into them.
		byBits := make([][]where, 129)
		for range 60 {
			p := randomPrefix(r)
			if p.Contains(addr("::1")) || p.Addr().Is6() && words6(p.Addr()).hi == 0 {
				continue // IPv4's own place in the file
			}
			byBits[p.Bits()+128-p.Addr().BitLen()] = append(byBits[p.Bits()+128-p.Addr().BitLen()], where{p.String(), string([]byte{'A' + byte(r.IntN(26)), 'X'}), r.Uint32N(5)})
		}
		tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "x", IncludeReservedNetworks: true})
		if err != nil {
			t.Fatal(err)
		}
		var list []where
		for _, same := range byBits {
			for _, w := range same {
				list = append(list, w)
				insert(t, tree, w.network, w.record())
			}
		}
		g, err := LoadGeo(written(t, tree))
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			a := randomAddr(r)
			country, asn := UnknownCountry, uint32(0)
			for _, w := range list { // the last that holds it is the narrowest, or its successor
				if netip.MustParsePrefix(w.network).Contains(a) {
					country, asn = w.country, w.asn
				}
			}
			if gotCountry, gotASN := g.Lookup(a); gotCountry != country || gotASN != asn {
				t.Fatalf("%v: %s, AS %d; want %s, %d", a, gotCountry, gotASN, country, asn)
			}
		}
	}
}

func TestBrokenFilesAreRefused(t *testing.T) {
	good := countryFile(t, mmdbwriter.Options{}, map[string]mmdbtype.DataType{"192.0.2.0/24": where{"", "DE", 5}.record(), "2001:db8::/32": where{"", "FR", 6}.record()})
	neither := countryFile(t, mmdbwriter.Options{DatabaseType: "Test-Language"}, map[string]mmdbtype.DataType{"192.0.2.0/24": mmdbtype.Map{"language": mmdbtype.String("de")}})
	list := countryFile(t, mmdbwriter.Options{}, map[string]mmdbtype.DataType{"192.0.2.0/24": mmdbtype.Slice{mmdbtype.String("DE")}})
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":      {nil, "no country file"},
		"text":         {[]byte("192.0.2.0/24 DE\n"), "no country file"},
		"half":         {good[:len(good)/2], "no country file"},
		"tail":         {good[len(good)/2:], ""},
		"neither":      {neither, `"Test-Language" holds neither countries nor AS numbers`},
		"no map":       {list, "a record is no map"},
		"wrong record": {broken(good), "country file"},
	} {
		g, err := LoadGeo(c.data)
		if err == nil || g != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want an error with %q", name, err, c.want)
		}
	}
}

// broken has a pointer of the search tree lead nowhere.
func broken(good []byte) []byte {
	b := append([]byte(nil), good...)
	for i := range 6 {
		b[i] = 0xff
	}
	return b
}

// TestEveryDamageIsAnErrorOrAnAnswer cuts a file at every byte and turns every byte.
func TestEveryDamageIsAnErrorOrAnAnswer(t *testing.T) {
	good := countryFile(t, mmdbwriter.Options{RecordSize: 24}, map[string]mmdbtype.DataType{"192.0.2.0/24": where{"", "DE", 5}.record(), "2001:db8::/32": where{"", "FR", 6}.record()})
	try := func(data []byte) {
		if g, err := LoadGeo(data); err == nil {
			g.Lookup(addr("192.0.2.1"))
			g.Lookup(addr("2001:db8::1"))
		}
	}
	for i := range good {
		try(good[:i])
		b := slices.Clone(good)
		for _, x := range []byte{0x00, 0xff, b[i] ^ 1, b[i] ^ 0x80} {
			b[i] = x
			try(b)
		}
	}
}

// Branches that meet again in every bit are more networks than can be counted, and
// nobody shall try, whether there is something at their end or not.
func TestAFileCannotKeepUsWalking(t *testing.T) {
	const nodes = 128
	for _, last := range []byte{120, nodes} { // on to the network there is, or to none
		b := countryFile(t, mmdbwriter.Options{RecordSize: 24, DisableIPv4Aliasing: true}, map[string]mmdbtype.DataType{"8000::1/128": where{"", "DE", 5}.record()})
		for i := range byte(120) {
			next := []byte{0, 0, i + 1}
			if i == 119 {
				next[2] = last
			}
			copy(b[6*int(i):], append(next, next...))
		}
		if _, err := loadGeo(b, 10_000); err == nil || !strings.Contains(err.Error(), "more than 10000 networks") {
			t.Errorf("%v", err)
		}
	}
}

// Files lead some parts of IPv6 to IPv4's; these are unknown, and not a part of the
// network before them.
func TestPartsThatAFileLeadsElsewhereAreUnknown(t *testing.T) {
	g := geo(t, where{"2001:8000::/17", "DE", 0}, where{"192.0.2.0/24", "FR", 0})
	for text, want := range map[string]string{"2001:ffff::1": "DE", "2002::1": UnknownCountry, "2002:c000:201::1": UnknownCountry, "2003::1": UnknownCountry} {
		if country, _ := g.Lookup(addr(text)); country != want {
			t.Errorf("%s is in %s", text, country)
		}
	}
}

func TestTwoFilesJoin(t *testing.T) {
	countries, asns := geo(t, where{"192.0.2.0/24", "DE", 0}), geo(t, where{"192.0.2.0/25", "", 64500})
	other := geo(t, where{"192.0.2.0/24", "FR", 1})
	for _, c := range []struct {
		g    *Geo
		want string
	}{
		{countries.Join(asns), "DE 64500"}, {asns.Join(countries), "DE 64500"}, {countries.Join(other), "DE 1"}, {other.Join(countries), "FR 1"}, {other.Join(asns), "FR 1"},
		{countries.Join(nil), "DE 0"}, {(*Geo)(nil).Join(asns), "unknown 64500"}, {(*Geo)(nil).Join(nil), "unknown 0"},
	} {
		country, asn := c.g.Lookup(addr("192.0.2.1"))
		if got := fmt.Sprint(country, " ", asn); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	if countries.ASNs() || asns.Countries() {
		t.Error("a file knows what it does not hold")
	}
	older := *asns
	older.built = builtAt.Add(-time.Hour)
	if joined := countries.Join(&older); !joined.Built().Equal(older.built) || joined.Kind() != "Test-Country + Test-Country" {
		t.Errorf("joined: built %v, kind %s", joined.Built(), joined.Kind())
	}
}

func FuzzLoadGeo(f *testing.F) {
	for _, o := range []mmdbwriter.Options{{}, {IPVersion: 4, RecordSize: 24}, {RecordSize: 32, DisableIPv4Aliasing: true}} {
		f.Add(countryFile(f, o, map[string]mmdbtype.DataType{"192.0.2.0/24": where{"", "DE", 5}.record()}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		g, err := LoadGeo(data)
		if err != nil {
			return
		}
		for _, a := range []string{"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
			if country, _ := g.Lookup(addr(a)); country != UnknownCountry && packCountry(country) == 0 {
				t.Fatalf("%s is in %q", a, country)
			}
		}
	})
}
