package access

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"github.com/gaissmai/bart"
)

// Names of the controls that a decision can belong to.
const (
	ControlLevel   = "access.level"   // rules on addresses, and the default
	ControlCountry = "geo.country"    // rules on countries and AS numbers
	ControlPattern = "access.pattern" // rules on the ClientHello
	ControlThreat  = "threat.block"   // rules on addresses that the node made by itself
)

// Controls is a set of these controls.
type Controls uint8

// The controls as members of a set.
const (
	ByAddress Controls = 1 << iota
	ByCountry
	ByPattern
	ByThreat
)

// ControlsOf is the set of the controls named; other names are left out.
func ControlsOf(names ...string) (set Controls) {
	for _, name := range names {
		switch name {
		case ControlLevel:
			set |= ByAddress
		case ControlCountry:
			set |= ByCountry
		case ControlPattern:
			set |= ByPattern
		case ControlThreat:
			set |= ByThreat
		}
	}
	return set
}

const (
	// MaxRules is the most rules in a table. Whatever has more entries is a list.
	MaxRules = 200_000
	// MaxGlobs is the most patterns that have to be tried one by one: those with
	// wildcards, but for "*.name".
	MaxGlobs = 1000
	// MaxListRules is the most rules on lists: an address may be in all of them, and
	// each is looked at then.
	MaxListRules = 64
)

// Options are what Compile needs beside rules.
type Options struct {
	// Default is for addresses that no rule names. There is no default for it: the
	// zero Level is None.
	Default Level
	// Geo says where addresses are. Without it, rules on countries and AS numbers
	// are an error, unless NoGeo says that they shall wait for a file: then every
	// country is unknown, and so is every AS number.
	Geo   *Geo
	NoGeo bool
	// Lists are what rules may name, each name once. They are shared, not copied.
	Lists []*List
	// Previous is the table that this one is to follow, or nil. If both have the same
	// lists they share what was made of these, which saves most of the time.
	Previous *Table
}

// Table answers what may be done from an address. Make it with Compile. A nil
// Table has no rules and the default Standard.
type Table struct {
	rules    []Rule // those given, then the built-in ones
	given    int
	hot      []hot // of each rule, what Check looks at
	prefixes bart.Table[int32]
	slots    []slot
	order    []int32 // rules of all slots, one slot after the other
	lists    *union
	onList   [][]int32 // of each list of the union, the rules on it by rank
	pinLists bool      // one of these is pinned
	asns     map[uint32][]int32
	codes    map[uint16][]int32
	names    patterns
	prints   patterns
	ids      map[string]int32
	geo      *Geo
	deflt    Level
	timed    bool
}

type hot struct {
	level   Level
	source  Source
	control Controls
	pinned  bool
	timed   bool
	rank    int32 // the rule's place among all, by rankRules
}

// slot is the rules on one prefix, in their order.
type slot struct {
	parent   int32 // slot of the longest shorter prefix that has one, or -1
	from, to int32 // in order
	bits     uint8
	pinned   bool // one here or in a slot above is pinned
}

// builtin are the rules that keep the machine itself in.
func builtin() []Rule {
	loopback := func(text string) Rule {
		return Rule{Match: PrefixMatch(netip.MustParsePrefix(text)), Level: Superuser, Pinned: true, Reason: "loopback"}
	}
	return []Rule{loopback("127.0.0.0/8"), loopback("::1/128")}
}

// Compile makes a table of rules, all or nothing. It refuses a *RuleError of one
// rule, and of two operators' rules on the same thing of which the looser would
// never count because the stricter always does. It keeps a copy of the rules.
func Compile(rules []Rule, o Options) (*Table, error) {
	t, err := compile(rules, o)
	if err != nil {
		return nil, err
	}
	if err := t.contradictions(); err != nil {
		return nil, err
	}
	return t, nil
}

// compile takes contradictory rules too.
func compile(rules []Rule, o Options) (*Table, error) {
	if int(o.Default) >= len(levelNames) {
		return nil, fmt.Errorf("default: %v is none", o.Default)
	}
	if len(rules) > MaxRules {
		return nil, fmt.Errorf("%d rules are more than %d: put addresses into a list", len(rules), MaxRules)
	}
	t := &Table{rules: append(slices.Clone(rules), builtin()...), given: len(rules), geo: o.Geo, deflt: o.Default}
	lists, err := byName(o.Lists)
	if err != nil {
		return nil, err
	}
	if err := t.check(lists, o); err != nil {
		return nil, err
	}
	t.rankRules()
	var at []placed
	for i := range t.rules {
		at = t.place(at, int32(i))
	}
	if len(t.names.globs)+len(t.prints.globs) > MaxGlobs {
		return nil, fmt.Errorf("%d patterns with wildcards are more than %d", len(t.names.globs)+len(t.prints.globs), MaxGlobs)
	}
	if err := t.placeLists(lists, o.Previous); err != nil {
		return nil, err
	}
	t.buildSlots(at)
	return t, nil
}

func byName(lists []*List) (map[string]*List, error) {
	m := make(map[string]*List, len(lists))
	for _, l := range lists {
		if m[l.name] != nil {
			return nil, fmt.Errorf("two lists are named %s", l.name)
		}
		m[l.name] = l
	}
	return m, nil
}

func (t *Table) check(lists map[string]*List, o Options) error {
	t.ids = make(map[string]int32, t.given)
	for i := range t.rules[:t.given] {
		r := &t.rules[i]
		if err := r.check(); err != nil {
			return err
		}
		if _, twice := t.ids[r.ID]; twice {
			return &RuleError{Rule: r.ID, Problem: "there are two with this ID"}
		}
		t.ids[r.ID] = int32(i)
		problem := ""
		switch r.Match.kind {
		case InList:
			if lists[r.Match.text] == nil {
				problem = "there is no list " + quote(r.Match.text)
			}
		case InCountry:
			if !o.NoGeo && !o.Geo.Countries() {
				problem = fmt.Sprintf("%v needs a country file, and none is loaded", r.Match)
			}
		case InASN:
			if !o.NoGeo && !o.Geo.ASNs() {
				problem = fmt.Sprintf("%v needs a file of AS numbers, and none is loaded", r.Match)
			}
		}
		if problem != "" {
			return &RuleError{Rule: r.ID, Problem: problem}
		}
		t.timed = t.timed || r.timed()
	}
	return nil
}

// rankRules gives each rule its place where the prefix does not tell: source, then
// level, then ID, so that the answer never depends on the order rules came in.
// Built-in rules come after the operator's.
func (t *Table) rankRules() {
	t.hot = make([]hot, len(t.rules))
	order := make([]int32, len(t.rules))
	for i := range t.rules {
		r := &t.rules[i]
		t.hot[i] = hot{level: r.Level, source: r.Source, control: r.control(), pinned: r.Pinned, timed: r.timed()}
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := &t.rules[a], &t.rules[b]
		return cmp.Or(cmp.Compare(x.Source, y.Source), boolCompare(x.ID == "", y.ID == ""), cmp.Compare(x.Level, y.Level), cmp.Compare(x.ID, y.ID), cmp.Compare(a, b))
	})
	for rank, i := range order {
		t.hot[i].rank = int32(rank)
	}
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// placed is one prefix of one rule.
type placed struct {
	prefix netip.Prefix
	rule   int32
}

// place puts a rule where Check will find it; prefixes are only collected.
func (t *Table) place(at []placed, i int32) []placed {
	m := t.rules[i].Match
	switch m.kind {
	case InList: // by placeLists
	case InASN:
		if t.asns == nil {
			t.asns = make(map[uint32][]int32)
		}
		t.asns[m.asn] = t.ranked(t.asns[m.asn], i)
	case InCountry:
		if t.codes == nil {
			t.codes = make(map[uint16][]int32)
		}
		code := packCountry(m.text)
		t.codes[code] = t.ranked(t.codes[code], i)
	case ServerName:
		t.names.add(m.text, i)
	case Fingerprint:
		t.prints.add(m.text, i)
	default:
		for _, p := range m.Prefixes() {
			at = append(at, placed{p, i})
		}
	}
	return at
}

// placeLists makes one of the lists that rules name, or takes over the previous
// table's.
func (t *Table) placeLists(lists map[string]*List, previous *Table) error {
	on := make(map[string][]int32)
	n := 0
	for i := range t.rules {
		if m := t.rules[i].Match; m.kind == InList {
			on[m.text] = t.ranked(on[m.text], int32(i))
			t.pinLists = t.pinLists || t.rules[i].Pinned
			n++
		}
	}
	if n > MaxListRules {
		return fmt.Errorf("%d rules on lists are more than %d", n, MaxListRules)
	}
	var used []*List
	for _, name := range slices.Sorted(maps.Keys(on)) {
		used = append(used, lists[name])
		t.onList = append(t.onList, on[name])
	}
	if previous != nil && previous.lists != nil && slices.Equal(used, previous.lists.lists) {
		t.lists = previous.lists
	} else {
		t.lists = newUnion(used)
	}
	return nil
}

// ranked adds a rule to a list in the order of ranks.
func (t *Table) ranked(list []int32, i int32) []int32 {
	at, _ := slices.BinarySearchFunc(list, t.hot[i].rank, func(other, rank int32) int { return cmp.Compare(t.hot[other].rank, rank) })
	return slices.Insert(list, at, i)
}

// buildSlots sorts prefixes so that those that hold others come before them, which
// makes the last one not yet left the parent of the next.
func (t *Table) buildSlots(at []placed) {
	slices.SortFunc(at, func(a, b placed) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), cmp.Compare(t.hot[a.rule].rank, t.hot[b.rule].rank))
	})
	t.order = make([]int32, 0, len(at))
	var open []int32 // slots that hold the place where we are, widest first
	var prefixes []netip.Prefix
	for from := 0; from < len(at); {
		p := at[from].prefix
		s := slot{parent: -1, from: int32(len(t.order)), bits: uint8(p.Bits())}
		for len(open) > 0 && !prefixes[open[len(open)-1]].Contains(p.Addr()) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			s.parent = open[len(open)-1]
			s.pinned = t.slots[s.parent].pinned
		}
		for ; from < len(at) && at[from].prefix == p; from++ {
			t.order = append(t.order, at[from].rule)
			s.pinned = s.pinned || t.hot[at[from].rule].pinned
		}
		s.to = int32(len(t.order))
		i := int32(len(t.slots))
		t.slots, prefixes, open = append(t.slots, s), append(prefixes, p), append(open, i)
		t.prefixes.Insert(p, i)
	}
}

// maxCompared bounds how many rules on one thing, each with its own time, a further
// one is compared with.
const maxCompared = 64

// contradictions finds two operators' rules on the same thing with different levels
// of which the looser is never in its time without the stricter.
func (t *Table) contradictions() error {
	type place struct {
		match  Match
		prefix netip.Prefix
	}
	strict := make(map[place][]int32)
	byRank := make([]int32, len(t.rules))
	for i := range t.hot {
		byRank[t.hot[i].rank] = int32(i)
	}
	for _, i := range byRank {
		r := &t.rules[i]
		if r.Source != Operator || r.ID == "" {
			break // operators' come first, and the built-in ones last among them
		}
		places := []place{{match: r.Match}}
		if list := r.Match.Prefixes(); list != nil {
			places = places[:0]
			for _, p := range list {
				places = append(places, place{prefix: p})
			}
		}
		for _, at := range places {
			covered := false
			for _, j := range strict[at] {
				s := &t.rules[j]
				covered = covered || s.covers(r)
				if s.Level < r.Level && covered {
					return t.contradiction(s, r, at.prefix)
				}
			}
			if !covered && len(strict[at]) < maxCompared {
				strict[at] = append(strict[at], i)
			}
		}
	}
	return nil
}

func (t *Table) contradiction(strict, loose *Rule, at netip.Prefix) error {
	what := loose.Match.String()
	if at.IsValid() {
		what = PrefixMatch(at).String()
	}
	return &RuleError{Rule: loose.ID, Other: strict.ID, Problem: fmt.Sprintf("both are about %s, and %v of %s would always come before %v of %s: remove one",
		what, strict.Level, strict.ID, loose.Level, loose.ID)}
}

// covers tells whether the rule is in its time whenever the other one is, as far as
// can be seen without a clock.
func (r *Rule) covers(other *Rule) bool {
	begins := r.From.IsZero() || !other.From.IsZero() && !other.From.Before(r.From)
	ends := r.Until.IsZero() || !other.Until.IsZero() && !other.Until.After(r.Until)
	hours := r.Schedule.IsZero() || r.Schedule.String() == other.Schedule.String()
	return begins && ends && hours
}

// Rule is the rule with this ID.
func (t *Table) Rule(id string) (Rule, bool) {
	if t == nil {
		return Rule{}, false
	}
	i, ok := t.ids[id]
	if !ok {
		return Rule{}, false
	}
	return t.rules[i], true
}

// Rules are the rules given to Compile, in their order. The caller must not change
// them.
func (t *Table) Rules() []Rule {
	if t == nil {
		return nil
	}
	return t.rules[:t.given]
}

// Len is how many rules were given to Compile.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return t.given
}

// Geo is what the table was compiled with; nil for none.
func (t *Table) Geo() *Geo {
	if t == nil {
		return nil
	}
	return t.geo
}

// Memory is about how many bytes the table takes with its lists and country file,
// which it may share with other tables, but without the texts of rules.
func (t *Table) Memory() int {
	if t == nil {
		return 0
	}
	n := t.lists.memory() + t.geo.Memory() + len(t.rules)*int(unsafe.Sizeof(Rule{})+unsafe.Sizeof(hot{})) + len(t.slots)*int(unsafe.Sizeof(slot{})+100)
	for _, l := range t.lists.lists {
		n += l.Memory()
	}
	return n
}

// Patterns tells which fields of a ClientHello any rule looks at. When both are
// false, a second Check with them gives what the first one gave.
func (t *Table) Patterns() (serverName, ja4 bool) {
	if t == nil {
		return false, false
	}
	return !t.names.empty(), !t.prints.empty()
}

// Next is the next time after now at which a rule begins or ends, so at which
// decisions may change although the table does not; zero when there is none.
func (t *Table) Next(now time.Time) (next time.Time) {
	if t == nil || !t.timed {
		return next
	}
	for i := range t.rules {
		if t.hot[i].timed {
			if at := t.rules[i].next(now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next
}
