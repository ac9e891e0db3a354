package access

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestRefusedIsWhatRulesShutOutAndNothingElse(t *testing.T) {
	lists := []*List{list(t, "friends", "192.0.2.64/30", "203.0.113.9"), list(t, "drop", "198.51.100.0/24")}
	for name, c := range map[string]struct {
		rules  []string
		spared []string
		want   []string
	}{
		"a rule":                     {rules: []string{"a 192.0.2.7 none", "b 2001:db8::/32 none automatic"}, want: []string{"192.0.2.7/32 a", "2001:db8::/32 b"}},
		"other levels are none":      {rules: []string{"a 192.0.2.7 read_only"}},
		"feeds are left to the node": {rules: []string{"a 192.0.2.7 none feed", "b list:drop none feed", "c list:drop none"}},
		"but within a rule they are in it": {rules: []string{"a 198.51.0.0/16 none", "b list:drop none feed"},
			want: []string{"198.51.0.0/18 a", "198.51.64.0/19 a", "198.51.96.0/22 a", "198.51.100.0/24 b", "198.51.101.0/24 a", "198.51.102.0/23 a", "198.51.104.0/21 a", "198.51.112.0/20 a", "198.51.128.0/17 a"}},
		"what a closer rule lets in is left out": {rules: []string{"a 192.0.2.0/30 none", "b 192.0.2.2 standard"}, want: []string{"192.0.2.0/31 a", "192.0.2.3/32 a"}},
		"and what a closer list does":            {rules: []string{"a 192.0.2.64/29 none", "b list:friends superuser"}, want: []string{"192.0.2.68/30 a"}},
		"a pin against automation":               {rules: []string{"a 192.0.2.0/24 standard pinned", "b 192.0.2.7 none automatic", "c 192.0.2.8 none", "d 192.0.0.0/23 none"}, want: []string{"192.0.0.0/23 d"}},
		"a pin, and nothing around it":           {rules: []string{"a 192.0.2.2/31 standard pinned", "b 192.0.2.0/30 none"}, want: []string{"192.0.2.0/31 b"}},
		"a pinned list":                          {rules: []string{"a list:friends standard pinned", "b 203.0.113.8/31 none automatic"}, want: []string{"203.0.113.8/32 b"}},
		"loopback never":                         {rules: []string{"a 127.0.0.3 none", "b ::1 none", "c 126.0.0.0/7 none"}, want: []string{"126.0.0.0/8 c"}},
		"nor what is spared":                     {rules: []string{"a 192.0.2.0/31 none", "b 203.0.113.0/24 none"}, spared: []string{"192.0.2.1/32", "203.0.0.0/8"}, want: []string{"192.0.2.0/32 a"}},
		"all addresses":                          {rules: []string{"a 0.0.0.0/0 none", "b 0.0.0.0/1 standard"}, want: []string{"128.0.0.0/1 a"}},
		"rules within one another, once":         {rules: []string{"a 192.0.2.0/30 none", "b 192.0.2.0/31 none"}, want: []string{"192.0.2.0/31 b", "192.0.2.2/31 a"}},
	} {
		t.Run(name, func(t *testing.T) {
			tab := table(t, Options{Default: Standard, Lists: lists}, rules(t, c.rules...)...)
			var spared []netip.Prefix
			for _, p := range c.spared {
				spared = append(spared, netip.MustParsePrefix(p))
			}
			var got []string
			for _, r := range tab.Refused(epoch, spared, 0) {
				got = append(got, r.Prefix.String()+" "+r.Rule)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
	if got := (*Table)(nil).Refused(epoch, nil, 0); got != nil {
		t.Errorf("a nil table refuses %v", got)
	}
}

func TestRefusedKnowsWhenItEnds(t *testing.T) {
	block, office, later := rule(t, "block 192.0.2.0/32 none"), rule(t, "office 192.0.2.4/32 none"), rule(t, "later 192.0.2.8/32 none")
	block.Until, later.From = epoch.Add(time.Hour), epoch.Add(time.Minute)
	office.Schedule = hours(t, "mon-sun 00:00-24:00 UTC")
	tab := table(t, Options{Default: Standard}, block, office, later)
	for after, want := range map[time.Duration][]string{0: {"block", "office"}, time.Minute: {"block", "later", "office"}, time.Hour: {"later", "office"}} {
		var got []string
		for _, r := range tab.Refused(epoch.Add(after), nil, 0) {
			if got = append(got, r.Rule); r.Rule == "block" && !r.Until.Equal(block.Until) {
				t.Errorf("ends at %v", r.Until)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
}

// TestRefusedIsCheck compares with Check, address by address of a /20.
func TestRefusedIsCheck(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 9))
		base := netip.MustParseAddr("192.0.0.0").As4()
		some := func() netip.Prefix {
			a := netip.AddrFrom4([4]byte{base[0], base[1], byte(r.IntN(16)), byte(r.IntN(256))})
			return netip.PrefixFrom(a, 20+r.IntN(13)).Masked()
		}
		var entries []string
		for range 10 {
			entries = append(entries, some().String())
		}
		var list20 []Rule
		for i := range 25 {
			rule := Rule{ID: string(rune('A' + i)), Match: PrefixMatch(some()), Level: Level(r.IntN(2) * int(Standard)), Source: Source(r.IntN(3))}
			if rule.Source == Operator && r.IntN(4) == 0 {
				rule.Pinned = true
			}
			list20 = append(list20, rule)
		}
		list20 = append(list20, Rule{ID: "list", Match: ListMatch("x"), Level: Standard})
		tab, err := Compile(list20, Options{Default: Standard, Lists: []*List{list(t, "x", entries...)}})
		if err != nil {
			continue // two of the operator's contradict each other
		}
		ignore := [...]Controls{0, ByAddress, ByThreat}[seed%3]
		refused := tab.Refused(epoch, nil, ignore)
		for i := range 1 << 12 {
			a := netip.AddrFrom4([4]byte{base[0], base[1], byte(i >> 8), byte(i)})
			var in []RefusedPrefix
			for _, p := range refused {
				if p.Prefix.Contains(a) {
					in = append(in, p)
				}
			}
			d := tab.Check(Query{Addr: a, Now: epoch, Ignore: ignore})
			var wants bool // within a rule that may refuse
			for _, x := range list20 {
				wants = wants || x.Level == None && x.Source != Feed && x.control()&ignore == 0 && x.Match.Kind() == InPrefix && x.Match.Prefixes()[0].Contains(a)
			}
			if wants = wants && d.Level == None && !d.Pinned; wants != (len(in) == 1) || len(in) > 1 || wants && in[0].Rule != d.Rule {
				t.Fatalf("seed %d, %v: %+v in %+v", seed, a, d, in)
			}
		}
	}
}
