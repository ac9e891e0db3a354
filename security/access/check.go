package access

import (
	"net/netip"
	"strings"
	"time"
)

// Query is what is asked about.
type Query struct {
	Addr netip.Addr // where from, the real client's; IPv4 also as IPv4-mapped IPv6
	Now  time.Time  // rules in their time count
	// ServerName and JA4 are what the ClientHello says, "" when there is none or it
	// is not known yet: no pattern matches then. Letters may be of either case.
	ServerName, JA4 string
	// Local is true for who comes by the Unix socket, which has no address: a
	// superuser's ceiling, always.
	Local bool
	// Ignore leaves out what these controls refuse: those of their rules that give
	// less than Standard, and for ByAddress a default below it. It is for controls
	// that are not enforced: after a refusal of one, ask again without it.
	Ignore Controls
}

// Decision is the answer.
type Decision struct {
	Level   Level
	Rule    string    // ID of the rule that decided; "" for the default, loopback and the Unix socket
	Control string    // the control the deciding rule belongs to: the one to switch when this is a refusal
	Country string    // two letters or UnknownCountry; "" when there is no country file
	ASN     uint32    // 0 when not known
	Pinned  bool      // a pinned rule covers the address: automation leaves it alone
	Until   time.Time // when the deciding rule ends; zero: not by itself
}

// noRule stands for the default.
const noRule int32 = -1

// Check says what may be done. It allocates nothing.
func (t *Table) Check(q Query) (d Decision) {
	d.Control = ControlLevel
	if q.Local {
		d.Level, d.Pinned = Superuser, true
		return d
	}
	if t == nil {
		t = empty
	}
	a := plain(q.Addr)
	var country uint16
	if t.geo != nil {
		country, d.ASN = t.geo.find(a)
		d.Country = unpackCountry(country)
		if d.Country == "" && t.geo.Countries() {
			d.Country = UnknownCountry
		}
	}
	rule, pinned := t.byAddress(a, &q)
	if d.Pinned = pinned; rule < 0 && (t.asns != nil || t.codes != nil) {
		rule = t.byOrigin(d.ASN, country, &q)
	}
	t.decide(&d, rule, &q)
	if q.ServerName != "" || q.JA4 != "" {
		if p := t.byPattern(&q); p >= 0 && t.hot[p].level < d.Level {
			t.decide(&d, p, &q)
		}
	}
	return d
}

var empty, _ = Compile(nil, Options{Default: Standard})

// decide fills in what follows from the deciding rule.
func (t *Table) decide(d *Decision, rule int32, q *Query) {
	if rule == noRule {
		d.Level = t.defaultLevel(q)
		return
	}
	h, r := &t.hot[rule], &t.rules[rule]
	d.Level, d.Rule, d.Until = h.level, r.ID, r.Until
	d.Control = controlName(h.control)
}

func controlName(c Controls) string {
	switch c {
	case ByCountry:
		return ControlCountry
	case ByPattern:
		return ControlPattern
	case ByThreat:
		return ControlThreat
	}
	return ControlLevel
}

func (t *Table) defaultLevel(q *Query) Level {
	if q.Ignore&ByAddress != 0 {
		return max(t.deflt, Standard)
	}
	return t.deflt
}

// counts tells whether a rule is there for this query.
func (t *Table) counts(rule int32, q *Query) bool {
	h := &t.hot[rule]
	if h.control&q.Ignore != 0 && h.level < Standard {
		return false
	}
	return !h.timed || t.rules[rule].Active(q.Now)
}

// byAddress is the rule on the address that decides, and whether a pinned one
// covers it.
func (t *Table) byAddress(a netip.Addr, q *Query) (rule int32, pinned bool) {
	at, found := t.prefixes.Lookup(a)
	if !found {
		at = -1
	}
	listed := t.lists.find(a)
	pinned = at >= 0 && t.slots[at].pinned && t.pinnedAbove(at, q) || t.pinLists && t.pinnedList(listed, q)
	rule, bits := noRule, -1
	for ; at >= 0 && rule == noRule; at = t.slots[at].parent {
		s := &t.slots[at]
		if i := t.firstOf(t.order[s.from:s.to], pinned, q); i != noRule {
			rule, bits = i, int(s.bits)
		}
	}
	for ; listed.i >= 0 && int(listed.bits) >= bits; listed = t.lists.next(listed) {
		i := t.firstOf(t.onList[listed.list], pinned, q)
		if i != noRule && (int(listed.bits) > bits || t.hot[i].rank < t.hot[rule].rank) {
			rule, bits = i, int(listed.bits)
		}
	}
	return rule, pinned
}

// firstOf is the first of some rules in their order that counts.
func (t *Table) firstOf(list []int32, pinned bool, q *Query) int32 {
	for _, i := range list {
		if (!pinned || t.hot[i].source == Operator) && t.counts(i, q) {
			return i
		}
	}
	return noRule
}

// pinnedAbove tells whether a pinned rule of this slot or one above counts.
func (t *Table) pinnedAbove(at int32, q *Query) bool {
	for ; at >= 0 && t.slots[at].pinned; at = t.slots[at].parent {
		s := &t.slots[at]
		for _, i := range t.order[s.from:s.to] {
			if t.hot[i].pinned && t.counts(i, q) {
				return true
			}
		}
	}
	return false
}

// pinnedList tells whether a pinned rule on a list counts.
func (t *Table) pinnedList(listed hit, q *Query) bool {
	for ; listed.i >= 0; listed = t.lists.next(listed) {
		for _, i := range t.onList[listed.list] {
			if t.hot[i].pinned && t.counts(i, q) {
				return true
			}
		}
	}
	return false
}

// byOrigin is the rule on the AS number that decides, else the one on the country.
func (t *Table) byOrigin(asn uint32, country uint16, q *Query) int32 {
	for _, i := range t.asns[asn] {
		if t.counts(i, q) {
			return i
		}
	}
	for _, i := range t.codes[country] {
		if t.counts(i, q) {
			return i
		}
	}
	return noRule
}

// byPattern is the strictest rule on the ClientHello that matches; of equally
// strict ones the first by rank.
func (t *Table) byPattern(q *Query) int32 {
	best := noRule
	take := func(i int32) {
		h := &t.hot[i]
		if best != noRule && (h.level > t.hot[best].level || h.level == t.hot[best].level && h.rank > t.hot[best].rank) {
			return
		}
		if t.counts(i, q) {
			best = i
		}
	}
	if q.ServerName != "" && !t.names.empty() {
		t.names.each(lowerName(q.ServerName), take)
	}
	if q.JA4 != "" && !t.prints.empty() {
		t.prints.each(strings.ToLower(q.JA4), take)
	}
	return best
}

func lowerName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
