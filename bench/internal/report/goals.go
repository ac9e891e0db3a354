package report

import (
	"fmt"
	"strings"
)

// A goal is one figure of design/performance.md, section 6.
type goal struct {
	name        string
	workload    string
	target      string
	base        string // divided by; none: the value itself
	added       string // both are taken less this target's value
	across      string // the base's workload where it is another one
	difference  bool   // subtracted instead of divided
	metric      int    // index into the table's metrics
	first, then float64
}

var goals = []goal{
	{name: "download dd, CPU", workload: "download", target: "mtguard-dd", base: "relay", first: 0.5, then: 0.35},
	{name: "download classic, CPU", workload: "download", target: "mtguard-classic", base: "relay", first: 0.5, then: 0.35},
	{name: "download dd against haproxy with splice", workload: "download", target: "mtguard-dd", base: "haproxy-splice", then: 1},
	{name: "download ee", workload: "download", target: "mtguard-ee", base: "relay", first: 1, then: 0.8},
	{name: "download ee, pass-through off", workload: "download", target: "mtguard-ee-full", base: "relay", first: 1.8, then: 1.5},
	{name: "download paced, ee", workload: "paced", target: "mtguard-ee", base: "relay", first: 1, then: 0.85},
	{name: "download paced, dd", workload: "paced", target: "mtguard-dd", base: "relay", first: 0.9, then: 0.75},
	{name: "download paced, ee against mtg", workload: "paced", target: "mtguard-ee", base: "mtg", first: 0.6},
	{name: "upload ee against mtg", workload: "upload", target: "mtguard-ee", base: "mtg", first: 0.4, then: 0.3},
	{name: "upload ee", workload: "upload", target: "mtguard-ee", base: "relay", then: 1.6},
	{name: "session set-up ee against mtg", workload: "sessions", target: "mtguard-ee", base: "mtg", first: 0.5, then: 0.3},
	{name: "session set-up ee against haproxy", workload: "sessions", target: "mtguard-ee", base: "haproxy", first: 2.5},
	{name: "idle ee, KB per session", workload: "idle", target: "mtguard-ee", metric: 1, first: 4, then: 1},
	{name: "idle dd, KB per session", workload: "idle", target: "mtguard-dd", metric: 1, first: 4, then: 1},
	{name: "slow clients ee, KB per blocked session", workload: "slow", target: "mtguard-ee", first: 300},
	{name: "slow clients dd, KB per blocked session", workload: "slow", target: "mtguard-dd", first: 300},
	{name: "slow clients ee, 16 MB offered, KB", workload: "slow-more", target: "mtguard-ee", first: 300},
	{name: "added p50 of an echo, 1 connection, ee", workload: "latency-1", target: "mtguard-ee", base: "relay", added: "direct", first: 1.25, then: 1.1},
	{name: "added p50 of an echo, 500 connections, ee", workload: "latency-500", target: "mtguard-ee", base: "relay", added: "direct", first: 1.25, then: 1.1},
	{name: "stranger, masked, against mtg's masked", workload: "strangers", target: "mtguard-ee", base: "mtg", first: 1, then: 0.8},
	{name: "stranger, not masked, against mtg's masked", workload: "strangers-hangup", target: "mtguard-ee", base: "mtg", across: "strangers", first: 0.4, then: 0.3},
	{name: "stranger at 10,000 users against 1, ee", workload: "strangers", target: "mtguard-ee-10k", base: "mtguard-ee", first: 2, then: 1.3},
	{name: "stranger at 10,000 users against 1, dd", workload: "strangers", target: "mtguard-dd-10k", base: "mtguard-dd", first: 2, then: 1.3},
	{name: "good client's new session p99 among strangers, ee", workload: "strangers", target: "mtguard-ee", base: "mtg", metric: 3, first: 0.6, then: 0.3},
	{name: "controls on against off, download", workload: "download", target: "mtguard-ee-on", base: "mtguard-ee-off", first: 1.03, then: 1.01},
	{name: "controls on less off, CPU-µs per session", workload: "sessions", target: "mtguard-ee-on", base: "mtguard-ee-off", difference: true, first: 50, then: 15},
	{name: "RSS of one node at start, MB", workload: "idle", target: "mtguard-ee", metric: 2, first: 40, then: 25},
}

// goals writes what is reached of the figures. Nothing is written before mtguard was among the targets.
func (d *Document) goals(b *strings.Builder) {
	var lines []string
	for _, g := range goals {
		if v, ok := d.value(g); ok {
			against := g.base
			if against == "" {
				against = "–"
			}
			lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", g.name, against, v.text("%.2f"),
				limit(g.first), limit(g.then), reached(v.Median, g.first, g.then)))
		}
	}
	if len(lines) == 0 {
		return
	}
	b.WriteString("\n## The figures of design/performance.md, section 6\n\n" +
		"| figure | against | measured | first | then | median reaches |\n| --- | --- | --- | --- | --- | --- |\n")
	b.WriteString(strings.Join(lines, "\n") + "\n")
}

func (d *Document) value(g goal) (Spread, bool) {
	for i := range d.Tables {
		t := &d.Tables[i]
		if t.Name != g.workload {
			continue
		}
		m := t.Main()
		if g.metric > 0 {
			m = t.Metrics[g.metric]
		}
		var v []float64
		switch {
		case g.base == "":
			v = d.Results.Values(g.workload, g.target, m)
		case g.added != "":
			v = d.Results.AddedRatios(g.workload, g.target, g.base, g.added, m)
		case g.across != "":
			v = d.Results.RatiosAcross(g.workload, g.target, g.across, g.base, m)
		case g.difference:
			v = d.Results.Differences(g.workload, g.target, g.base, m)
		default:
			v = d.Results.Ratios(g.workload, g.target, g.base, m)
		}
		return SpreadOf(v), len(v) > 0
	}
	return Spread{}, false
}

func limit(v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("≤ %g", v)
}

func reached(v, first, then float64) string {
	switch {
	case then > 0 && v <= then:
		return "**then**"
	case first > 0 && v <= first:
		return "first"
	default:
		return "no"
	}
}
