package access

import (
	"strings"
	"testing"
	"time"
)

func TestExplainSaysWhyEachRuleLost(t *testing.T) {
	o := Options{Default: Standard, Geo: geo(t, where{"192.0.2.0/24", "DE", 64500}), Lists: []*List{list(t, "drop", "192.0.2.7")}}
	early, late, night := rule(t, "early 192.0.2.7 none"), rule(t, "late 192.0.2.7 admin"), rule(t, "night 192.0.2.6/31 none")
	early.From = epoch.Add(time.Hour)
	late.Until = epoch
	night.Schedule = hours(t, "22:00-06:00 Europe/Berlin")
	tab := table(t, o, append(rules(t, "a 192.0.2.0/28 standard pinned", "b 192.0.2.0/28 read_only feed", "c list:drop none feed", "d 192.0.2.0/27 admin", "e 192.0.2.0/24 none automatic",
		"f asn:64500 none", "g country:DE none", "h sni:*.example none", "i ja4:t13d* read_only", "j 198.51.100.0/24 none", "k 192.0.2.0/28 standard", "l sni:a.example admin", "m sni:a.* none"),
		early, late, night)...)
	for _, c := range []struct {
		q    Query
		want []string // "ID: why", as far as it is looked at
	}{
		{Query{Addr: addr("192.0.2.7"), Now: epoch}, []string{
			"a: most specific rule on the address",
			"early: begins at 2026-11-23 13:00 UTC",
			"late: ended at 2026-11-23 12:00 UTC",
			"c: a is pinned",
			"night: outside its hours, 22:00-06:00 Europe/Berlin",
			"k: says the same as a",
			"b: a is pinned",
			"d: less specific than a (/27, not /28)",
			"e: a is pinned",
			"f: rules on the address come first",
			"g: rules on the address come first",
			": a comes before the default",
		}},
		{Query{Addr: addr("192.0.2.7"), Now: epoch, ServerName: "a.example", JA4: prints[2]}, []string{
			"h: strictest pattern, and stricter than the address", "m: no stricter than h", "i: h is stricter", "l: h is stricter", "a: h is stricter", "early: begins"}},
		{Query{Addr: addr("192.0.2.200"), Now: epoch, JA4: prints[2]}, []string{
			"e: most specific rule on the address", "f: rules on the address come first", "g: ", ": e comes before", "i: e is stricter"}},
		{Query{Addr: addr("192.0.2.200"), Now: epoch, Ignore: ByAddress | ByThreat}, []string{
			"f: no rule on the address, one on its AS number", "e: threat.block is left out", "g: rules on the AS number come before those on the country", ": f comes before"}},
		{Query{Addr: addr("192.0.2.200"), Now: epoch, Ignore: ByAddress | ByCountry | ByThreat}, []string{
			": no rule matches, or none counts", "e: threat.block is left out", "f: geo.country is left out", "g: geo.country is left out"}},
		{Query{Addr: addr("203.0.113.1")}, []string{": no rule matches"}},
		{Query{Addr: addr("127.0.0.1")}, []string{": most specific rule on the address", ": loopback comes before the default"}},
		{Query{Local: true}, []string{": comes by the Unix socket"}},
	} {
		got := tab.Explain(c.q)
		for i, x := range got {
			line := x.Rule.ID + ": " + x.Why
			if i < len(c.want) && !strings.HasPrefix(line, c.want[i]) || x.Decides != (i == 0) {
				t.Errorf("%+v:\n line %d is %q, want %q", c.q, i, line, c.want[i])
			}
		}
		if len(got) < len(c.want) {
			t.Errorf("%+v: %d rules, want %d", c.q, len(got), len(c.want))
		}
	}
}

func TestExplainSaysSourceAndLevel(t *testing.T) {
	tab := table(t, Options{Default: Standard}, rules(t, "a 192.0.2.0/24 standard automatic", "b 192.0.2.0/24 none feed", "c 192.0.2.0/24 admin automatic")...)
	var got []string
	for _, x := range tab.Explain(Query{Addr: addr("192.0.2.1")}) {
		got = append(got, x.Rule.ID+": "+x.Why)
	}
	want := "a: most specific rule on the address|c: a is stricter|b: automatic comes before feed, and a is automatic|: a comes before the default"
	if text := strings.Join(got, "|"); text != want {
		t.Errorf("%s\nwant %s", text, want)
	}
	var none *Table
	if x := none.Explain(Query{Addr: addr("192.0.2.1")}); len(x) != 1 || x[0].Rule.Level != Standard || !x[0].Decides {
		t.Errorf("a nil table explains %+v", x)
	}
}
