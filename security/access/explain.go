package access

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Considered is a rule that matches a query, or the default, and what became of it.
type Considered struct {
	Rule    Rule         // with no ID: the default, loopback or the Unix socket, as its Reason says
	Prefix  netip.Prefix // of rules on addresses, what the address is in
	Control string       // the control it belongs to
	Decides bool         // the decision is this rule's
	Why     string       // why it decides or why not
}

// Explain gives every rule that matches a query: first the one that decides, as
// Check does, then the losers, each with why it lost, in the order they would be
// next in. It takes its time and is for people.
func (t *Table) Explain(q Query) []Considered {
	if q.Local {
		r := Rule{Level: Superuser, Pinned: true, Reason: "Unix socket"}
		return []Considered{{Rule: r, Control: ControlLevel, Decides: true, Why: "comes by the Unix socket"}}
	}
	if t == nil {
		t = empty
	}
	e := explainer{t: t, q: &q, addr: plain(q.Addr)}
	base := e.ceiling(append(e.onAddress(), e.onOrigin()...))
	patterns := e.ceiling(e.onPattern())
	if len(patterns) > 0 && patterns[0].Why == "" {
		winner, loser := &base[0], &patterns[0]
		if loser.Rule.Level < winner.Rule.Level {
			winner, loser = loser, winner
			base, patterns = patterns, base
		}
		if loser.Rule.Level == winner.Rule.Level {
			loser.Why = "no stricter than " + name(winner)
		} else {
			loser.Why = fmt.Sprintf("%s is stricter", name(winner))
		}
	}
	base[0].Decides = true
	base[0].Why = e.whyWins(&base[0])
	return append(base, patterns...)
}

type explainer struct {
	t    *Table
	q    *Query
	addr netip.Addr
}

// candidate is a rule that matches.
type candidate struct {
	rule   int32
	prefix netip.Prefix
}

func (e *explainer) onAddress() (list []candidate) {
	at, ok := e.t.prefixes.Lookup(e.addr)
	for ; ok && at >= 0; at = e.t.slots[at].parent {
		s := &e.t.slots[at]
		p, _ := e.addr.Prefix(int(s.bits))
		for _, i := range e.t.order[s.from:s.to] {
			list = append(list, candidate{i, p})
		}
	}
	// Not by the union: an explanation shall not share a mistake with what it explains.
	for number, l := range e.t.lists.lists {
		if p, ok := l.Find(e.addr); ok {
			for _, i := range e.t.onList[number] {
				list = append(list, candidate{i, p})
			}
		}
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.prefix.Bits(), a.prefix.Bits()), cmp.Compare(e.t.hot[a.rule].rank, e.t.hot[b.rule].rank))
	})
	return list
}

// onOrigin are the rules on AS number and country, and the default.
func (e *explainer) onOrigin() (list []candidate) {
	var country uint16
	var asn uint32
	if e.t.geo != nil {
		country, asn = e.t.geo.find(e.addr)
	}
	for _, i := range slices.Concat(e.t.asns[asn], e.t.codes[country]) {
		list = append(list, candidate{rule: i})
	}
	return append(list, candidate{rule: noRule})
}

func (e *explainer) onPattern() (list []candidate) {
	add := func(i int32) { list = append(list, candidate{rule: i}) }
	if e.q.ServerName != "" {
		e.t.names.each(lowerName(e.q.ServerName), add)
	}
	if e.q.JA4 != "" {
		e.t.prints.each(strings.ToLower(e.q.JA4), add)
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(e.t.hot[a.rule].level, e.t.hot[b.rule].level), cmp.Compare(e.t.hot[a.rule].rank, e.t.hot[b.rule].rank))
	})
	return list
}

// ceiling says of candidates in their order which counts, which is then first and
// has no reason yet, and why the others do not.
func (e *explainer) ceiling(list []candidate) []Considered {
	pin := noRule
	for _, c := range list {
		if c.rule >= 0 && e.t.hot[c.rule].pinned && e.t.counts(c.rule, e.q) {
			pin = c.rule
			break
		}
	}
	var out []Considered
	won := -1
	for _, c := range list {
		x := Considered{Prefix: c.prefix, Control: ControlLevel, Rule: Rule{Level: e.t.defaultLevel(e.q), Reason: "default"}}
		if c.rule >= 0 {
			x.Rule, x.Control = e.t.rules[c.rule], controlName(e.t.hot[c.rule].control)
			x.Why = e.whyNot(c.rule, pin)
		}
		if x.Why == "" {
			if won < 0 {
				won = len(out)
			} else {
				x.Why = lost(&out[won], &x)
			}
		}
		out = append(out, x)
	}
	if won > 0 {
		winner := out[won]
		out = slices.Insert(slices.Delete(out, won, won+1), 0, winner)
	}
	return out
}

// whyNot says why a rule is as if it were not there; "" when it counts.
func (e *explainer) whyNot(i, pin int32) string {
	r, h := &e.t.rules[i], &e.t.hot[i]
	switch state := r.state(e.q.Now); {
	case state == tooEarly:
		return "begins at " + stamp(r.From)
	case state == tooLate:
		return "ended at " + stamp(r.Until)
	case state == offHours:
		return "outside its hours, " + r.Schedule.String()
	case h.control&e.q.Ignore != 0 && h.level < Standard:
		return controlName(h.control) + " is left out"
	case pin >= 0 && r.Source != Operator && r.Match.kind.Address():
		return name(&Considered{Rule: e.t.rules[pin]}) + " is pinned"
	}
	return ""
}

// lost says why a rule that counts comes after another.
func lost(winner, x *Considered) string {
	w, r := &winner.Rule, &x.Rule
	wk, rk := w.Match.kind, r.Match.kind
	switch {
	case r.Match.IsZero():
		return name(winner) + " comes before the default"
	case rk.Pattern() && w.Level == r.Level:
		return "no stricter than " + name(winner)
	case rk.Pattern():
		return name(winner) + " is stricter"
	case wk.Address() && !rk.Address():
		return "rules on the address come first"
	case wk == InASN && rk == InCountry:
		return "rules on the AS number come before those on the country"
	case winner.Prefix.Bits() > x.Prefix.Bits():
		return fmt.Sprintf("less specific than %s (/%d, not /%d)", name(winner), x.Prefix.Bits(), winner.Prefix.Bits())
	case w.Source != r.Source:
		return fmt.Sprintf("%s comes before %s, and %s is %s", w.Source, r.Source, name(winner), w.Source)
	case w.Level != r.Level:
		return name(winner) + " is stricter"
	}
	return "says the same as " + name(winner)
}

func (e *explainer) whyWins(x *Considered) string {
	r := &x.Rule
	switch {
	case r.Match.IsZero():
		return "no rule matches, or none counts"
	case r.Match.kind.Pattern():
		return "strictest pattern, and stricter than the address"
	case r.Match.kind.Address():
		return "most specific rule on the address"
	case r.Match.kind == InASN:
		return "no rule on the address, one on its AS number"
	}
	return "no rule on the address, one on its country"
}

// name is how an explanation speaks of a rule.
func name(x *Considered) string {
	if x.Rule.ID == "" {
		return x.Rule.Reason
	}
	return x.Rule.ID
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 MST") }
