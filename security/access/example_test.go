package access_test

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mtguard/security/access"
)

// rule is what a command line or the store would give.
func rule(id, match string, level access.Level) access.Rule {
	m, err := access.ParseMatch(match)
	if err != nil {
		panic(err)
	}
	return access.Rule{ID: id, Match: m, Level: level}
}

func ExampleTable_Check() {
	table, err := access.Compile([]access.Rule{
		rule("r1", "203.0.113.0/24", access.None),
		rule("r2", "203.0.113.7", access.Admin),
		rule("r3", "sni:*.old.example", access.ReadOnly),
	}, access.Options{Default: access.Standard})
	if err != nil {
		return
	}
	for _, q := range []access.Query{
		{Addr: netip.MustParseAddr("203.0.113.8")},
		{Addr: netip.MustParseAddr("203.0.113.7")},
		{Addr: netip.MustParseAddr("203.0.113.7"), ServerName: "front.old.example"},
		{Addr: netip.MustParseAddr("198.51.100.1")},
		{Addr: netip.MustParseAddr("127.0.0.1")},
	} {
		d := table.Check(q)
		fmt.Printf("%v %q %s\n", d.Level, d.Rule, d.Control)
	}
	// Output:
	// none "r1" access.level
	// admin "r2" access.level
	// read_only "r3" access.pattern
	// standard "" access.level
	// superuser "" access.level
}

func ExampleTable_Explain() {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	office := rule("r4", "203.0.113.0/26", access.ReadOnly)
	office.Schedule, _ = access.ParseSchedule("mon-fri 18:00-08:00 Europe/Berlin")
	feed := rule("r5", "203.0.113.0/24", access.None)
	feed.Source = access.Feed
	table, err := access.Compile([]access.Rule{rule("r1", "203.0.113.0/24", access.Admin), rule("r3", "203.0.0.0/16", access.None), office, feed},
		access.Options{Default: access.Standard})
	if err != nil {
		return
	}
	for _, c := range table.Explain(access.Query{Addr: netip.MustParseAddr("203.0.113.7"), Now: now}) {
		fmt.Printf("%-2s %-15s %-9v %v\n", c.Rule.ID, c.Rule.Match, c.Rule.Level, c.Why)
	}
	// Output:
	// r1 203.0.113.0/24  admin     most specific rule on the address
	// r4 203.0.113.0/26  read_only outside its hours, mon-fri 18:00-08:00 Europe/Berlin
	// r5 203.0.113.0/24  none      operator comes before feed, and r1 is operator
	// r3 203.0.0.0/16    none      less specific than r1 (/16, not /24)
	//                    standard  r1 comes before the default
}

// A control that only counts is asked, and what it refuses is left out of the next
// question.
func ExampleQuery() {
	table, err := access.Compile([]access.Rule{rule("r1", "203.0.113.0/24", access.None), rule("r2", "sni:*.old.example", access.ReadOnly)},
		access.Options{Default: access.Standard})
	if err != nil {
		return
	}
	monitored := map[string]bool{access.ControlLevel: true}
	q := access.Query{Addr: netip.MustParseAddr("203.0.113.7"), ServerName: "front.old.example"}
	d := table.Check(q)
	for d.Level < access.Standard && monitored[d.Control] {
		fmt.Printf("%s would give %v by %s\n", d.Control, d.Level, d.Rule)
		q.Ignore |= access.ControlsOf(d.Control)
		d = table.Check(q)
	}
	fmt.Printf("%v by %s\n", d.Level, d.Rule)
	// Output:
	// access.level would give none by r1
	// read_only by r2
}

func ExampleParseList() {
	text := "# a blocklist\n192.0.2.0/24 ; somebody\n192.0.2.7\n198.51.100.10-198.51.100.13\n"
	list, err := access.ParseList(strings.NewReader(text), access.ListOptions{Name: "drop"})
	if err != nil {
		return
	}
	fmt.Println(list.Lines(), "lines,", list.Len(), "entries,", list.Covered(), "of them within others")
	for p := range list.All() {
		fmt.Println(p)
	}
	_, err = access.ParseList(strings.NewReader("192.0.2.0/24\n192.0.2.7/24\n"), access.ListOptions{Name: "drop"})
	fmt.Println(err)
	// Output:
	// 3 lines, 3 entries, 1 of them within others
	// 192.0.2.0/24
	// 198.51.100.10/31
	// 198.51.100.12/31
	// list drop, line 2: "192.0.2.7/24" has host bits: want 192.0.2.0/24, or the address 192.0.2.7
}

// Before a change: would it shut out who makes it?
func ExampleTable_ShutOut() {
	rules := []access.Rule{rule("r1", "192.0.2.7", access.Admin)}
	options := access.Options{Default: access.Standard}
	table, err := access.Compile(rules, options)
	if err != nil {
		return
	}
	options.Previous = table
	next, err := access.Compile(append(rules[:0:0], rule("r1", "192.0.2.0/24", access.Standard)), options)
	if err != nil {
		return
	}
	fmt.Println(table.ShutOut(next, []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("127.0.0.1")}, access.Admin, time.Now()))
	// Output: [192.0.2.7]
}

func ExampleParseSchedule() {
	s, err := access.ParseSchedule("mon-fri 08:00-18:00; sat 10:00-14:00 Europe/Berlin")
	if err != nil {
		return
	}
	saturday := time.Date(2026, 11, 28, 12, 30, 0, 0, time.UTC) // 13:30 in Berlin
	fmt.Println(s.Active(saturday), s.Next(saturday).UTC().Format(time.DateTime))
	// Output: true 2026-11-28 13:00:00
}
