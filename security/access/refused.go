package access

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// RefusedPrefix is a prefix from which no address may do anything.
type RefusedPrefix struct {
	Prefix netip.Prefix
	Rule   string    // ID of the rule that decides
	Source Source    // of that rule
	Until  time.Time // when that rule ends, or its hours do; zero: not by itself
}

// Refused are the addresses that operators' and automatic rules on prefixes, ranges
// and wildcards give level None at now, each once, ascending, IPv4 first, without
// loopback, what a pinned rule covers and what is within spared. It is Check for all of
// these addresses at a time: a more specific rule or list that gives more leaves its
// addresses out.
// What feeds refuse, and rules on lists, is not in it unless it lies within such a rule.
// What the rules of the controls in ignore refuse counts for nothing, as in a Query.
// It takes some time in proportion to rules and list entries.
func (t *Table) Refused(now time.Time, spared []netip.Prefix, ignore Controls) []RefusedPrefix {
	if t == nil {
		return nil
	}
	spared = slices.Concat(spared, loopbacks())
	var all []RefusedPrefix
	edges := t.edges(spared)
	for _, outer := range outermost(t.candidates(now, ignore)) {
		all = append(all, t.refusedWithin(outer, edges, spared, Query{Now: now, Ignore: ignore})...)
	}
	return all
}

func loopbacks() (list []netip.Prefix) {
	for _, r := range builtin() {
		list = append(list, r.Match.Prefixes()...)
	}
	return list
}

// candidates are the prefixes of rules that may refuse.
func (t *Table) candidates(now time.Time, ignore Controls) (list []netip.Prefix) {
	for i := range t.rules {
		if r := &t.rules[i]; r.Level == None && r.Source != Feed && r.control()&ignore == 0 && r.Active(now) {
			list = append(list, r.Match.Prefixes()...)
		}
	}
	return list
}

// edges are all prefixes at whose borders a decision may change, by address.
func (t *Table) edges(spared []netip.Prefix) []netip.Prefix {
	list := slices.Clone(spared)
	for i := range t.rules {
		list = append(list, t.rules[i].Match.Prefixes()...)
	}
	for _, l := range t.lists.lists {
		list = slices.AppendSeq(list, l.All())
	}
	slices.SortFunc(list, comparePrefixes)
	return list
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// outermost leaves out what is within others, and sorts.
func outermost(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, comparePrefixes)
	kept := list[:0]
	for _, p := range list {
		if n := len(kept); n == 0 || !kept[n-1].Contains(p.Addr()) {
			kept = append(kept, p)
		}
	}
	return kept
}

// refusedWithin cuts a prefix at every edge inside it. Between two cuts the same
// rules match every address, so the first one's decision is that of all.
func (t *Table) refusedWithin(outer netip.Prefix, edges, spared []netip.Prefix, q Query) (all []RefusedPrefix) {
	last := lastOf(outer)
	cuts := []netip.Addr{outer.Addr()}
	from, _ := slices.BinarySearchFunc(edges, outer, comparePrefixes)
	for _, p := range edges[from:] {
		if !outer.Contains(p.Addr()) {
			break
		}
		if cuts = append(cuts, p.Addr()); lastOf(p) != last {
			cuts = append(cuts, lastOf(p).Next())
		}
	}
	slices.SortFunc(cuts, netip.Addr.Compare)
	cuts = slices.Compact(cuts)
	var run RefusedPrefix // that is still growing
	var begin netip.Addr
	flush := func(end netip.Addr) {
		if begin.IsValid() {
			for _, run.Prefix = range prefixesOf(begin, end) {
				all = append(all, run)
			}
			begin = netip.Addr{}
		}
	}
	for _, at := range cuts {
		q.Addr = at
		d := t.Check(q)
		refused := d.Level == None && d.Rule != "" && !d.Pinned && !slices.ContainsFunc(spared, func(p netip.Prefix) bool { return p.Contains(at) })
		if begin.IsValid() && (!refused || d.Rule != run.Rule) {
			flush(at.Prev())
		}
		if refused && !begin.IsValid() {
			r := &t.rules[t.ids[d.Rule]]
			begin, run = at, RefusedPrefix{Rule: r.ID, Source: r.Source, Until: r.next(q.Now)}
		}
	}
	flush(last)
	return all
}
