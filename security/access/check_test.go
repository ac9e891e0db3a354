package access

import (
	"testing"
	"time"
)

// want is what a query is answered.
type want struct {
	level   Level
	rule    string
	control string
}

func ask(tab *Table, q Query) want {
	d := tab.Check(q)
	return want{d.Level, d.Rule, d.Control}
}

// TestPrecedence has a case for each line of the package comment.
func TestPrecedence(t *testing.T) {
	world := geo(t, where{"192.0.2.0/24", "DE", 64500}, where{"198.51.100.0/24", "DE", 64501}, where{"203.0.113.0/24", "FR", 0})
	lists := []*List{list(t, "drop", "192.0.2.0/26", "192.0.2.200"), list(t, "friends", "192.0.2.7")}
	for name, c := range map[string]struct {
		rules []string
		addrs map[string]want
	}{
		"most specific prefix, whatever its source": {
			[]string{"a 192.0.2.0/24 admin", "b 192.0.2.0/25 none feed", "c 192.0.2.1 read_only automatic"},
			map[string]want{"192.0.2.200": {Admin, "a", ControlLevel}, "192.0.2.2": {None, "b", ControlLevel}, "192.0.2.1": {ReadOnly, "c", ControlThreat}},
		},
		"a range is the prefixes it is made of": {
			[]string{"a 192.0.2.0-192.0.2.64 none", "b 192.0.2.0/27 admin", "c 192.0.2.64/31 superuser"},
			map[string]want{"192.0.2.1": {Admin, "b", ControlLevel}, "192.0.2.40": {None, "a", ControlLevel}, "192.0.2.64": {None, "a", ControlLevel}, "192.0.2.65": {Superuser, "c", ControlLevel}},
		},
		"a wildcard is its prefix": {
			[]string{"a 192.0.2.* none", "b 192.0.*.* admin"},
			map[string]want{"192.0.2.1": {None, "a", ControlLevel}, "192.0.3.1": {Admin, "b", ControlLevel}, "192.1.2.1": {Standard, "", ControlLevel}},
		},
		"a list is its entries": {
			[]string{"a list:drop none feed", "b 192.0.2.0/25 admin", "c 192.0.2.0/27 read_only", "d list:friends superuser"},
			map[string]want{"192.0.2.40": {None, "a", ControlLevel}, "192.0.2.1": {ReadOnly, "c", ControlLevel}, "192.0.2.100": {Admin, "b", ControlLevel},
				"192.0.2.200": {None, "a", ControlLevel}, "192.0.2.7": {Superuser, "d", ControlLevel}},
		},
		"operator before automatic before feed": {
			[]string{"a 192.0.2.0/24 none feed", "b 192.0.2.0/24 read_only automatic", "c 192.0.2.0/25 none automatic", "d 192.0.2.0/25 admin", "e 198.51.100.0/24 none feed"},
			map[string]want{"192.0.2.200": {ReadOnly, "b", ControlThreat}, "192.0.2.1": {Admin, "d", ControlLevel}, "198.51.100.1": {None, "e", ControlLevel}},
		},
		"then the stricter, then the lower ID": {
			[]string{"a 192.0.2.0/24 standard feed", "b 192.0.2.0/24 read_only feed", "d 192.0.2.0/25 none feed", "c 192.0.2.0/25 none feed"},
			map[string]want{"192.0.2.200": {ReadOnly, "b", ControlLevel}, "192.0.2.1": {None, "c", ControlLevel}},
		},
		"the same holds for lists": {
			[]string{"a list:drop none feed", "b list:drop read_only automatic", "c 192.0.2.200 standard feed"},
			map[string]want{"192.0.2.1": {ReadOnly, "b", ControlThreat}, "192.0.2.200": {ReadOnly, "b", ControlThreat}},
		},
		"pinned against automatic and feed of any length": {
			[]string{"a 192.0.2.0/24 standard pinned", "b 192.0.2.1 none automatic", "c list:drop none feed", "d 192.0.2.2 none", "e 192.0.0.0/16 none feed"},
			map[string]want{"192.0.2.1": {Standard, "a", ControlLevel}, "192.0.2.200": {Standard, "a", ControlLevel}, "192.0.2.2": {None, "d", ControlLevel}, "192.0.3.1": {None, "e", ControlLevel}},
		},
		"a pinned list": {
			[]string{"a list:friends standard pinned", "b 192.0.2.7 none automatic", "c 192.0.2.8 none automatic"},
			map[string]want{"192.0.2.7": {Standard, "a", ControlLevel}, "192.0.2.8": {None, "c", ControlThreat}},
		},
		"loopback": {
			[]string{"a 0.0.0.0/0 none", "b ::/0 none", "c 127.0.0.1 none feed", "d 127.0.0.2 none automatic", "e 127.0.0.3 none", "f country:unknown none"},
			map[string]want{"127.0.0.1": {Superuser, "", ControlLevel}, "127.0.0.2": {Superuser, "", ControlLevel}, "127.0.0.3": {None, "e", ControlLevel},
				"::1": {Superuser, "", ControlLevel}, "::2": {None, "b", ControlLevel}, "128.0.0.1": {None, "a", ControlLevel}},
		},
		"AS number, then country, then the default": {
			[]string{"a asn:64500 read_only", "b country:DE none", "c country:unknown admin", "d 192.0.2.1 standard feed"},
			map[string]want{"192.0.2.1": {Standard, "d", ControlLevel}, "192.0.2.2": {ReadOnly, "a", ControlCountry}, "198.51.100.1": {None, "b", ControlCountry},
				"203.0.113.1": {Standard, "", ControlLevel}, "8.8.8.8": {Admin, "c", ControlCountry}, "2001:db8::1": {Admin, "c", ControlCountry}},
		},
		"AS numbers and countries by source and level": {
			[]string{"a asn:64500 none feed", "b asn:64500 admin", "c country:FR read_only feed", "d country:FR none feed"},
			map[string]want{"192.0.2.2": {Admin, "b", ControlCountry}, "203.0.113.1": {None, "d", ControlCountry}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tab := table(t, Options{Default: Standard, Geo: world, Lists: lists}, rules(t, c.rules...)...)
			for text, want := range c.addrs {
				if got := ask(tab, Query{Addr: addr(text)}); got != want {
					t.Errorf("%s: %+v, want %+v", text, got, want)
				}
			}
		})
	}
}

func TestPatternsAreACeilingOfTheirOwn(t *testing.T) {
	const chrome, go12 = "t13d1516h2_8daaf6152771_e5627efa2ab1", "t12i0403h1_000000000000_111111111111"
	tab := table(t, Options{Default: Standard}, rules(t, "a 192.0.2.0/24 read_only", "b 192.0.2.1 none", "c sni:*.bad.example none", "d sni:slow.example read_only",
		"e ja4:t12* none feed", "f ja4:"+chrome+" admin", "g sni:ok.bad.example standard", "h sni:*slow* read_only", "i sni:s??w.example read_only automatic")...)
	for _, c := range []struct {
		addr, name, ja4 string
		want            want
	}{
		{"198.51.100.1", "", "", want{Standard, "", ControlLevel}},
		{"198.51.100.1", "good.example", chrome, want{Standard, "", ControlLevel}},
		{"198.51.100.1", "x.bad.example", "", want{None, "c", ControlPattern}},
		{"198.51.100.1", "x.y.bad.example", "", want{None, "c", ControlPattern}},
		{"198.51.100.1", "bad.example", "", want{Standard, "", ControlLevel}},
		{"198.51.100.1", "X.BAD.example.", "", want{None, "c", ControlPattern}},
		{"198.51.100.1", "ok.bad.example", "", want{None, "c", ControlPattern}}, // the strictest, not the longest
		{"198.51.100.1", "slow.example", "", want{ReadOnly, "d", ControlPattern}},
		{"198.51.100.1", "slaw.example", "", want{ReadOnly, "i", ControlPattern}},
		{"198.51.100.1", "slow.example", go12, want{None, "e", ControlPattern}},
		{"198.51.100.1", "", "T12I0403H1_000000000000_111111111111", want{None, "e", ControlPattern}},
		{"192.0.2.7", "slow.example", "", want{ReadOnly, "a", ControlLevel}}, // equal: the address decides
		{"192.0.2.7", "x.bad.example", "", want{None, "c", ControlPattern}},
		{"192.0.2.1", "slow.example", "", want{None, "b", ControlLevel}},
		{"192.0.2.1", "x.bad.example", "", want{None, "b", ControlLevel}},
		{"127.0.0.1", "x.bad.example", "", want{None, "c", ControlPattern}},
		{"127.0.0.1", "", chrome, want{Admin, "f", ControlPattern}},
	} {
		if got := ask(tab, Query{Addr: addr(c.addr), ServerName: c.name, JA4: c.ja4}); got != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	if name, ja4 := tab.Patterns(); !name || !ja4 {
		t.Errorf("patterns on names %v, on fingerprints %v", name, ja4)
	}
	if name, ja4 := table(t, Options{}, rule(t, "a ja4:t12* none")).Patterns(); name || !ja4 {
		t.Errorf("patterns on names %v, on fingerprints %v", name, ja4)
	}
}

func TestRulesCountWhileTheyAreInTheirTime(t *testing.T) {
	block, grant, office := rule(t, "block 192.0.2.0/24 none"), rule(t, "grant 192.0.2.7 admin"), rule(t, "office 198.51.100.0/24 none")
	grant.From, grant.Until = epoch, epoch.Add(2*time.Hour)
	office.Schedule = hours(t, "mon-fri 18:00-08:00 UTC")
	tab := table(t, Options{Default: Standard}, block, grant, office)
	for _, c := range []struct {
		addr  string
		after time.Duration
		want  want
	}{
		{"192.0.2.7", -time.Nanosecond, want{None, "block", ControlLevel}},
		{"192.0.2.7", 0, want{Admin, "grant", ControlLevel}},
		{"192.0.2.7", 2*time.Hour - time.Nanosecond, want{Admin, "grant", ControlLevel}},
		{"192.0.2.7", 2 * time.Hour, want{None, "block", ControlLevel}},
		{"198.51.100.1", 0, want{Standard, "", ControlLevel}},
		{"198.51.100.1", 6 * time.Hour, want{None, "office", ControlLevel}},
		{"198.51.100.1", 20 * time.Hour, want{Standard, "", ControlLevel}},
	} {
		if got := ask(tab, Query{Addr: addr(c.addr), Now: epoch.Add(c.after)}); got != c.want {
			t.Errorf("%s after %v: %+v", c.addr, c.after, got)
		}
	}
	if d := tab.Check(Query{Addr: addr("192.0.2.7"), Now: epoch}); !d.Until.Equal(grant.Until) {
		t.Errorf("ends at %v", d.Until)
	}
}

// A pin that is over protects nobody, and neither does one that has not begun.
func TestAPinCountsWhileItIsInItsTime(t *testing.T) {
	pin := rule(t, "pin 192.0.2.0/24 standard pinned")
	pin.Until = epoch
	tab := table(t, Options{Default: Standard}, pin, rule(t, "block 192.0.2.1 none automatic"))
	before, after := tab.Check(Query{Addr: addr("192.0.2.1"), Now: epoch.Add(-1)}), tab.Check(Query{Addr: addr("192.0.2.1"), Now: epoch})
	if !before.Pinned || before.Level != Standard || after.Pinned || after.Level != None {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestPinnedSaysThatAutomationKeepsOff(t *testing.T) {
	tab := table(t, Options{Default: Standard, Lists: []*List{list(t, "mine", "203.0.113.9")}}, rules(t, "a 192.0.2.0/24 standard pinned", "b 192.0.2.1 none", "c 198.51.100.1 admin", "d list:mine standard pinned")...)
	for text, want := range map[string]bool{"192.0.2.2": true, "192.0.2.1": true, "198.51.100.1": false, "203.0.113.9": true, "203.0.113.8": false, "127.0.0.1": true, "::1": true} {
		if d := tab.Check(Query{Addr: addr(text)}); d.Pinned != want {
			t.Errorf("%s: %+v", text, d)
		}
	}
}

func TestAddressesAreTheSameInEveryForm(t *testing.T) {
	tab := table(t, Options{Default: Standard}, rules(t, "a 192.0.2.0/24 none", "b ::/0 admin", "c fe80::/64 read_only")...)
	for text, want := range map[string]string{"192.0.2.1": "a", "::ffff:192.0.2.1": "a", "198.51.100.1": "", "::ffff:198.51.100.1": "", "2001:db8::1": "b", "fe80::1%eth0": "c", "fe80::1": "c"} {
		if d := tab.Check(Query{Addr: addr(text)}); d.Rule != want {
			t.Errorf("%s: %+v", text, d)
		}
	}
}

func TestWithoutAnAddressOnlyTheUnixSocketIsTrusted(t *testing.T) {
	tab := table(t, Options{Default: ReadOnly, NoGeo: true}, rules(t, "a 0.0.0.0/0 none", "b ::/0 none")...)
	if got := ask(tab, Query{}); got != (want{ReadOnly, "", ControlLevel}) {
		t.Errorf("no address: %+v", got)
	}
	if got := ask(tab, Query{Local: true}); got != (want{Superuser, "", ControlLevel}) {
		t.Errorf("Unix socket: %+v", got)
	}
	var none *Table
	for q, want := range map[Query]Level{{Addr: addr("192.0.2.1")}: Standard, {Addr: addr("127.0.0.1")}: Superuser, {Local: true}: Superuser, {}: Standard} {
		if d := none.Check(q); d.Level != want {
			t.Errorf("a nil table gives %+v to %+v", d, q)
		}
	}
}

func TestDecisionsSayWhereTheAddressIs(t *testing.T) {
	both := geo(t, where{"192.0.2.0/24", "DE", 64500}, where{"2001:db8::/32", "FR", 0})
	asns := geo(t, where{"192.0.2.0/24", "", 64500})
	for _, c := range []struct {
		geo     *Geo
		addr    string
		country string
		asn     uint32
	}{
		{both, "192.0.2.1", "DE", 64500}, {both, "::ffff:192.0.2.1", "DE", 64500}, {both, "2001:db8::1", "FR", 0}, {both, "198.51.100.1", "unknown", 0}, {both, "127.0.0.1", "unknown", 0},
		{asns, "192.0.2.1", "", 64500}, {nil, "192.0.2.1", "", 0},
	} {
		d := table(t, Options{Default: Standard, Geo: c.geo}).Check(Query{Addr: addr(c.addr)})
		if d.Country != c.country || d.ASN != c.asn {
			t.Errorf("%s: country %q, AS %d; want %q, %d", c.addr, d.Country, d.ASN, c.country, c.asn)
		}
	}
}

// Without a file every country is unknown: a rule on one country matches nobody,
// and one on unknown everybody.
func TestWithoutAFileEveryCountryIsUnknown(t *testing.T) {
	tab := table(t, Options{Default: Standard, NoGeo: true}, rules(t, "a country:DE none", "b country:unknown read_only", "c asn:64500 none")...)
	if got := ask(tab, Query{Addr: addr("192.0.2.1")}); got != (want{ReadOnly, "b", ControlCountry}) {
		t.Errorf("%+v", got)
	}
	if got := ask(tab, Query{Addr: addr("127.0.0.1")}); got.level != Superuser {
		t.Errorf("loopback: %+v", got)
	}
}

// A control that is not enforced is one whose refusals are left out; what it allows
// still stands before the others.
func TestIgnoredControlsRefuseNothing(t *testing.T) {
	world := geo(t, where{"192.0.0.0/16", "DE", 64500})
	tab := table(t, Options{Default: None, Geo: world}, rules(t, "a 192.0.2.0/24 none", "b 192.0.0.0/20 standard", "c country:DE none", "d sni:x.example none", "e 192.0.2.9 read_only")...)
	for _, c := range []struct {
		addr   string
		name   string
		ignore Controls
		want   want
	}{
		{"192.0.2.1", "", 0, want{None, "a", ControlLevel}},
		{"192.0.2.1", "", ByAddress, want{Standard, "b", ControlLevel}},
		{"192.0.2.9", "", 0, want{ReadOnly, "e", ControlLevel}},
		{"192.0.2.9", "", ByAddress, want{Standard, "b", ControlLevel}},
		{"192.0.200.1", "", ByAddress, want{None, "c", ControlCountry}},
		{"192.0.200.1", "", ByAddress | ByCountry, want{Standard, "", ControlLevel}},
		{"192.0.200.1", "", ByCountry, want{None, "", ControlLevel}},
		{"192.0.3.1", "x.example", ByAddress, want{None, "d", ControlPattern}},
		{"192.0.3.1", "x.example", ByPattern, want{Standard, "b", ControlLevel}},
		{"192.0.2.9", "x.example", ByPattern, want{ReadOnly, "e", ControlLevel}},
		{"127.0.0.1", "", ByAddress, want{Superuser, "", ControlLevel}},
	} {
		if got := ask(tab, Query{Addr: addr(c.addr), ServerName: c.name, Ignore: c.ignore}); got != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	if set := ControlsOf(ControlPattern, "rate.accept", ControlCountry); set != ByPattern|ByCountry {
		t.Errorf("a set of %b", set)
	}
}

// The answer does not depend on the order rules come in.
func TestTheOrderOfRulesMeansNothing(t *testing.T) {
	given := rules(t, "a 192.0.2.0/24 none feed", "b 192.0.2.0/24 none feed", "c 192.0.2.0/24 none automatic", "d 192.0.2.0/24 none automatic", "e sni:a none", "f sni:* none")
	for i := range given {
		turned := append(append([]Rule(nil), given[i:]...), given[:i]...)
		tab := table(t, Options{Default: Standard}, turned...)
		if got := ask(tab, Query{Addr: addr("192.0.2.1")}); got.rule != "c" {
			t.Errorf("%v: %+v", turned, got)
		}
		if got := ask(tab, Query{Addr: addr("198.51.100.1"), ServerName: "a"}); got.rule != "e" {
			t.Errorf("%v: %+v", turned, got)
		}
	}
}

func TestChecksDoNotAllocate(t *testing.T) {
	o := Options{Default: Standard, Geo: geo(t, origins...), Lists: []*List{list(t, "drop", "203.0.113.0/26", "203.0.113.1", "2001:db8::/48")}}
	timed := rule(t, "f 203.0.113.0/30 none")
	timed.Schedule = hours(t, schedules[0])
	tab := table(t, o, append(rules(t, "a list:drop none", "b country:DE none", "c sni:*.example.com none", "d ja4:t13d* none", "e list:drop none pinned"), timed)...)
	for _, text := range []string{"203.0.113.1", "203.0.113.200", "2001:db8::1", "192.0.2.1", "::ffff:203.0.113.2"} {
		q := Query{Addr: addr(text), Now: epoch, ServerName: "a.example.com", JA4: prints[2]}
		if n := testing.AllocsPerRun(100, func() { sink = tab.Check(q) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

// All 25 combinations of what somebody holds and where they come from: a rule gives
// nobody more than they have.
func TestTheLowerLevelHolds(t *testing.T) {
	for _, ceiling := range Levels() {
		tab := table(t, Options{Default: Standard}, Rule{ID: "a", Match: AddrMatch(addr("192.0.2.1")), Level: ceiling})
		for _, credential := range Levels() {
			effective := min(credential, tab.Check(Query{Addr: addr("192.0.2.1")}).Level)
			if effective > credential || effective > ceiling || effective != credential && effective != ceiling {
				t.Errorf("%v from %v may do %v", credential, ceiling, effective)
			}
		}
	}
}
