package access

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func addrs(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, addr(text))
	}
	return list
}

func TestCoversIsWhomARuleMatches(t *testing.T) {
	o := Options{Geo: geo(t, where{"192.0.2.0/24", "DE", 64500}), Lists: []*List{list(t, "drop", "192.0.2.7")}}
	all := addrs("192.0.2.7", "192.0.2.8", "::ffff:192.0.2.9", "198.51.100.1", "2001:db8::1")
	for text, want := range map[string][]int{
		"192.0.2.0/24": {0, 1, 2}, "192.0.2.8": {1}, "192.0.2.7-192.0.2.8": {0, 1}, "192.0.*.*": {0, 1, 2}, "::/0": {4}, "list:drop": {0}, "list:other": nil,
		"country:DE": {0, 1, 2}, "country:unknown": {3, 4}, "asn:64500": {0, 1, 2}, "asn:1": nil, "sni:*": {0, 1, 2, 3, 4}, "ja4:t13d*": {0, 1, 2, 3, 4},
	} {
		var expected []netip.Addr
		for _, i := range want {
			expected = append(expected, all[i])
		}
		if got := Covers(Rule{ID: "a", Match: match(t, text)}, all, o); !slices.Equal(got, expected) {
			t.Errorf("%s covers %v, want %v", text, got, expected)
		}
	}
	if got := Covers(Rule{ID: "a"}, all, o); len(got) != 0 {
		t.Errorf("a rule about nobody covers %v", got)
	}
}

func TestShutOutIsWhoLosesByAChange(t *testing.T) {
	o := Options{Default: Standard, Geo: geo(t, where{"192.0.2.0/24", "DE", 0})}
	mine := addrs("192.0.2.7", "127.0.0.1", "2001:db8::1")
	timed := func(text string, from, until time.Duration, schedule string) Rule {
		r := rule(t, text)
		if from != 0 {
			r.From = epoch.Add(from)
		}
		if until != 0 {
			r.Until = epoch.Add(until)
		}
		r.Schedule = hours(t, schedule)
		return r
	}
	before := rules(t, "me 192.0.2.7 admin")
	for name, c := range map[string]struct {
		after []Rule
		need  Level
		want  []string
	}{
		"nothing changes":              {before, Admin, nil},
		"a rule on others":             {append(rules(t, "a 198.51.100.0/24 none"), before...), Admin, nil},
		"wider than mine":              {append(rules(t, "a 192.0.2.0/24 none"), before...), Admin, nil},
		"mine is changed":              {rules(t, "me 192.0.2.7 standard"), Admin, []string{"192.0.2.7"}},
		"mine is changed, but enough":  {rules(t, "me 192.0.2.7 standard"), Standard, nil},
		"mine is removed":              {nil, Admin, []string{"192.0.2.7"}},
		"mine is removed, but enough":  {nil, Standard, nil},
		"everybody":                    {rules(t, "a 0.0.0.0/0 none", "b ::/0 none"), Standard, []string{"192.0.2.7", "2001:db8::1"}},
		"loopback":                     {append(rules(t, "a 127.0.0.0/8 standard"), before...), Admin, []string{"127.0.0.1"}},
		"my country":                   {rules(t, "a country:DE none"), Standard, []string{"192.0.2.7"}},
		"not before tomorrow":          {append([]Rule{timed("a 192.0.2.7 none", 24*time.Hour, 25*time.Hour, "")}, before...), Admin, []string{"192.0.2.7"}},
		"ended already":                {append([]Rule{timed("a 192.0.2.7 none", 0, -time.Hour, "")}, before...), Admin, nil},
		"at night":                     {append([]Rule{timed("a 192.0.2.7 none", 0, 0, "22:00-06:00")}, before...), Admin, []string{"192.0.2.7"}},
		"at night, not before March":   {append([]Rule{timed("a 192.0.2.7 none", 100*24*time.Hour, 0, "sun 22:00-06:00")}, before...), Admin, []string{"192.0.2.7"}},
		"mine ends in an hour":         {[]Rule{timed("me 192.0.2.7 admin", 0, time.Hour, "")}, Admin, []string{"192.0.2.7"}},
		"when what saves me now ends":  {[]Rule{timed("me 192.0.2.7 admin", 0, time.Hour, ""), rule(t, "a 192.0.2.0/24 none")}, Standard, []string{"192.0.2.7"}},
		"mine is pinned, and a feed":   {append(rules(t, "a 192.0.2.0/24 standard feed"), before...), Admin, nil},
		"never had what is asked for":  {rules(t, "a 192.0.2.0/24 none"), Superuser, nil},
		"a hello's pattern is not one": {append(rules(t, "a sni:* none"), before...), Admin, nil},
	} {
		was, next := table(t, o, before...), table(t, o, c.after...)
		if got := was.ShutOut(next, mine, c.need, epoch); !slices.Equal(got, addrs(c.want...)) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	// The default is a part of the table too.
	if got := table(t, o).ShutOut(table(t, Options{Default: None}), mine, Standard, epoch); !slices.Equal(got, addrs("192.0.2.7", "2001:db8::1")) {
		t.Errorf("default none: %v", got)
	}
	var none *Table
	if got := none.ShutOut(table(t, Options{Default: None}), mine, Standard, epoch); len(got) != 2 {
		t.Errorf("after a nil table: %v", got)
	}
}
