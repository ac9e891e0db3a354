package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRulesThatNoTableCanUseAreRefused(t *testing.T) {
	known := geo(t, where{"192.0.2.0/24", "DE", 64500})
	countries := geo(t, where{"192.0.2.0/24", "DE", 0})
	at := epoch
	for want, c := range map[string]struct {
		o     Options
		rules []Rule
	}{
		`has no ID (192.0.2.1)`:                      {Options{}, []Rule{{Match: match(t, "192.0.2.1")}}},
		"rule a: matches nobody":                     {Options{}, []Rule{{ID: "a"}}},
		"rule a: level(7) is none":                   {Options{}, []Rule{{ID: "a", Match: match(t, "192.0.2.1"), Level: 7}}},
		"rule a: source(3) is none":                  {Options{}, []Rule{{ID: "a", Match: match(t, "192.0.2.1"), Source: 3}}},
		"rule a: ends at 2026-11-23T12:00:00Z, befo": {Options{}, []Rule{{ID: "a", Match: match(t, "192.0.2.1"), From: at, Until: at}}},
		"rule a: is pinned and comes from feed":      {Options{}, rules(t, "a 192.0.2.1 none feed pinned")},
		"rule a: is pinned and comes from automatic": {Options{}, rules(t, "a 192.0.2.1 none automatic pinned")},
		"rule a: is pinned and about sni:x.example":  {Options{}, rules(t, "a sni:x.example none pinned")},
		"rule a: is pinned and about asn:64500":      {Options{Geo: known}, rules(t, "a asn:64500 none pinned")},
		"rule b: there are two with this ID":         {Options{}, rules(t, "b 192.0.2.1 none", "b 192.0.2.2 none")},
		`rule a: there is no list "drop"`:            {Options{Lists: []*List{list(t, "other")}}, rules(t, "a list:drop none")},
		"rule a: country:DE needs a country file":    {Options{}, rules(t, "a country:DE none")},
		"rule b: asn:64500 needs a file of AS":       {Options{Geo: countries}, rules(t, "a country:DE none", "b asn:64500 none")},
		"two lists are named drop":                   {Options{Lists: []*List{list(t, "drop"), list(t, "drop")}}, nil},
		"default: level(9) is none":                  {Options{Default: 9}, nil},
	} {
		table, err := Compile(c.rules, c.o)
		if err == nil || !strings.Contains(err.Error(), want) || table != nil {
			t.Errorf("%v; want an error with %q", err, want)
		}
	}
}

func TestTooManyRulesAreRefused(t *testing.T) {
	many := make([]Rule, MaxRules+1)
	if _, err := Compile(many, Options{}); err == nil || !strings.Contains(err.Error(), "put addresses into a list") {
		t.Errorf("%d rules: %v", len(many), err)
	}
	var globs, onList []Rule
	for i := range MaxGlobs + 1 {
		globs = append(globs, Rule{ID: fmt.Sprint(i), Match: match(t, fmt.Sprintf("sni:a*%d", i))})
	}
	for i := range MaxListRules + 1 {
		onList = append(onList, Rule{ID: fmt.Sprint(i), Match: ListMatch("drop")})
	}
	o := Options{Lists: []*List{list(t, "drop", "192.0.2.1")}}
	for _, many := range [][]Rule{globs, onList} {
		if _, err := Compile(many, o); err == nil || !strings.Contains(err.Error(), "are more than") {
			t.Errorf("%d rules: %v", len(many), err)
		}
		if _, err := Compile(many[1:], o); err != nil {
			t.Error(err)
		}
	}
}

// What is refused is that a rule of a person's can never count.
func TestContradictionsNameBothRules(t *testing.T) {
	timed := func(text string, from, until int, schedule string) Rule {
		r := rule(t, text)
		if from != 0 {
			r.From = epoch.Add(time.Duration(from) * time.Hour)
		}
		if until != 0 {
			r.Until = epoch.Add(time.Duration(until) * time.Hour)
		}
		r.Schedule = hours(t, schedule)
		return r
	}
	o := Options{Geo: geo(t, where{"192.0.2.0/24", "DE", 64500}), Lists: []*List{list(t, "drop", "192.0.2.1")}}
	for _, c := range []struct {
		rules   []Rule
		refused bool
	}{
		{rules(t, "a 192.0.2.0/24 none", "b 192.0.2.0/24 standard"), true},
		{rules(t, "a 192.0.2.0/24 none", "b 192.0.2.* standard"), true},
		{rules(t, "a 192.0.2.0/24 none", "b 192.0.1.255-192.0.2.255 standard"), true},
		{rules(t, "a country:DE none", "b country:DE standard"), true},
		{rules(t, "a asn:64500 none", "b asn:64500 read_only"), true},
		{rules(t, "a list:drop none", "b list:drop standard"), true},
		{rules(t, "a sni:*.example.com none", "b sni:*.example.com standard"), true},
		{rules(t, "a 192.0.2.0/24 none", "b 192.0.2.0/24 none"), false},
		{rules(t, "a 192.0.2.0/24 none", "b 192.0.2.0/25 standard"), false},
		{rules(t, "a 192.0.2.0/24 none", "b 192.0.2.0/24 standard feed"), false},
		{rules(t, "a 192.0.2.0/24 none automatic", "b 192.0.2.0/24 standard automatic"), false},
		{rules(t, "a 192.0.2.0/24 none", "b 192.0.2.0/24 standard pinned"), true},
		// For an hour, beside one that stands: the looser would have no effect.
		{[]Rule{timed("a 192.0.2.1 none", 0, 0, ""), timed("b 192.0.2.1 standard", 0, 1, "")}, true},
		{[]Rule{timed("a 192.0.2.1 none", 0, 1, ""), timed("b 192.0.2.1 standard", 0, 0, "")}, false},
		{[]Rule{timed("a 192.0.2.1 none", 0, 2, ""), timed("b 192.0.2.1 standard", 0, 1, "")}, true},
		{[]Rule{timed("a 192.0.2.1 none", 0, 1, ""), timed("b 192.0.2.1 standard", 0, 2, "")}, false},
		{[]Rule{timed("a 192.0.2.1 none", 1, 3, ""), timed("b 192.0.2.1 standard", 0, 3, "")}, false},
		{[]Rule{timed("a 192.0.2.1 none", 1, 0, ""), timed("b 192.0.2.1 standard", 2, 3, "")}, true},
		{[]Rule{timed("a 192.0.2.1 none", 0, 0, "08:00-18:00"), timed("b 192.0.2.1 standard", 0, 0, "")}, false},
		{[]Rule{timed("a 192.0.2.1 none", 0, 0, ""), timed("b 192.0.2.1 standard", 0, 0, "08:00-18:00")}, true},
		{[]Rule{timed("a 192.0.2.1 none", 0, 0, "08:00-18:00"), timed("b 192.0.2.1 standard", 0, 0, "08:00-18:00 UTC")}, true},
		// In several steps: a and c, though b stands between.
		{[]Rule{timed("a 192.0.2.1 none", 0, 1, ""), timed("b 192.0.2.1 read_only", 0, 0, ""), timed("c 192.0.2.1 standard", 0, 5, "")}, true},
	} {
		for range 2 {
			_, err := Compile(c.rules, o)
			var problem *RuleError
			if errors.As(err, &problem) != c.refused {
				t.Errorf("%v and %v: %v", c.rules[0], c.rules[1], err)
			} else if c.refused && (problem.Other == "" || problem.Other == problem.Rule || !strings.Contains(err.Error(), problem.Rule) || !strings.Contains(err.Error(), problem.Other)) {
				t.Errorf("an error that does not name two rules: %v", err)
			}
			slices.Reverse(c.rules)
		}
	}
}

// A loopback rule of an operator's stands before what is built in, and is none
// against it.
func TestBuiltInRulesContradictNobody(t *testing.T) {
	tab := table(t, Options{Default: Standard}, rules(t, "a 127.0.0.0/8 read_only", "b ::1 superuser")...)
	if d := tab.Check(Query{Addr: addr("127.0.0.1")}); d.Level != ReadOnly || d.Rule != "a" {
		t.Errorf("%+v", d)
	}
	if d := tab.Check(Query{Addr: addr("::1")}); d.Level != Superuser || d.Rule != "b" {
		t.Errorf("%+v", d)
	}
}

func TestTheTableKeepsItsOwnRules(t *testing.T) {
	given := rules(t, "a 192.0.2.1 none", "b 192.0.2.2 admin")
	tab := table(t, Options{Default: Standard}, given...)
	given[0].Level = Superuser
	if r, ok := tab.Rule("a"); !ok || r.Level != None {
		t.Errorf("rule a is %v, %v", r, ok)
	}
	if r, ok := tab.Rule("b"); !ok || r.ID != "b" {
		t.Errorf("rule b is %v, %v", r, ok)
	}
	if _, ok := tab.Rule(""); ok {
		t.Error("a built-in rule is found by no ID")
	}
	if tab.Len() != 2 || len(tab.Rules()) != 2 || tab.Rules()[1].ID != "b" {
		t.Errorf("%d rules: %v", tab.Len(), tab.Rules())
	}
	var none *Table
	if _, ok := none.Rule("a"); ok || none.Len() != 0 || none.Rules() != nil || none.Geo() != nil || !none.Next(epoch).IsZero() {
		t.Error("a nil table has rules")
	}
}

func TestTablesWithTheSameListsShareWhatWasMadeOfThem(t *testing.T) {
	one, two := list(t, "one", "192.0.2.0/24"), list(t, "two", "192.0.2.1")
	o := Options{Default: Standard, Lists: []*List{two, one}}
	first := table(t, o, rules(t, "a list:one none", "b list:two admin")...)
	o.Previous, o.Lists = first, []*List{one, two}
	second := table(t, o, rules(t, "c list:two read_only", "d list:one none", "e 192.0.2.2 admin")...)
	if second.lists != first.lists {
		t.Error("the union was made again")
	}
	if d := second.Check(Query{Addr: addr("192.0.2.1")}); d.Rule != "c" {
		t.Errorf("%+v", d)
	}
	if d := first.Check(Query{Addr: addr("192.0.2.1")}); d.Rule != "b" {
		t.Errorf("%+v", d)
	}
	o.Previous, o.Lists = second, []*List{list(t, "one", "192.0.2.77"), two}
	third := table(t, o, rules(t, "a list:one none", "b list:two admin")...)
	if third.lists == second.lists {
		t.Error("a new list under an old name is not looked at")
	}
	if d := third.Check(Query{Addr: addr("192.0.2.77")}); d.Rule != "a" {
		t.Errorf("%+v", d)
	}
}

func TestNextIsWhenARuleBeginsOrEnds(t *testing.T) {
	list := rules(t, "a 192.0.2.1 none", "b 192.0.2.2 none", "c 192.0.2.3 none", "d 192.0.2.4 none")
	list[0].Until = epoch.Add(3 * time.Hour)
	list[1].From = epoch.Add(2 * time.Hour)
	list[2].Schedule = hours(t, "mon 17:00-18:00")
	list[2].Until = epoch.Add(5*time.Hour + 30*time.Minute)
	tab := table(t, Options{}, list...)
	at := epoch.Add(-time.Hour)
	for _, want := range []time.Duration{2 * time.Hour, 3 * time.Hour, 5 * time.Hour, 5*time.Hour + 30*time.Minute} {
		if at = tab.Next(at); !at.Equal(epoch.Add(want)) {
			t.Fatalf("next is %v, want %v after %v", at, want, epoch)
		}
	}
	if at = tab.Next(at); !at.IsZero() {
		t.Errorf("something is left at %v", at)
	}
}
