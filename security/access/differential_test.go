package access

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is what a table is made of, in the form the naive interpreter reads: texts
// as a person writes them.
type world struct {
	rules   []Rule
	deflt   Level
	lists   map[string][]netip.Prefix // lines, with overlaps
	origins []where
}

// answer of the naive interpreter.
type answer struct {
	level   Level
	id      string
	control string
	pinned  bool
}

// claim is a rule that matches and counts, and how specific it is.
type claim struct {
	rule  Rule
	bits  int
	group int // 0 address, 1 AS number, 2 country, 3 default
}

// naive is the precedence of the package comment, word by word, in a straight line
// over all rules. It shares no code with Table.
func (w *world) naive(q Query) answer {
	a := q.Addr
	if a.Is4In6() {
		a = netip.AddrFrom4([4]byte(a.AsSlice()[12:]))
	}
	country, asn := w.origin(a)
	var claims []claim
	var patterns []Rule
	pinned := false
	for _, r := range w.rules {
		if !naiveActive(r, q.Now) {
			continue
		}
		text := r.Match.String()
		word, rest, _ := strings.Cut(text, ":")
		c := claim{rule: r}
		ok := false
		control := ByAddress
		switch word {
		case "asn":
			ok, c.group, control = fmt.Sprint(asn) == rest, 1, ByCountry
		case "country":
			ok, c.group, control = country == rest, 2, ByCountry
		case "sni":
			ok, control = q.ServerName != "" && naiveGlob(rest, strings.ToLower(q.ServerName)), ByPattern
		case "ja4":
			ok, control = q.JA4 != "" && naiveGlob(rest, q.JA4), ByPattern
		default:
			c.bits, ok = w.inAddress(text, a)
			if r.Source == Automatic {
				control = ByThreat
			}
		}
		if !ok || q.Ignore&control != 0 && r.Level < Standard {
			continue
		}
		if control == ByPattern {
			patterns = append(patterns, r)
			continue
		}
		pinned = pinned || r.Pinned
		claims = append(claims, c)
	}
	if a.IsLoopback() {
		bits := 8
		if a.Is6() {
			bits = 128
		}
		pinned = true
		claims = append(claims, claim{rule: Rule{Level: Superuser}, bits: bits})
	}
	if pinned {
		claims = slices.DeleteFunc(claims, func(c claim) bool { return c.group == 0 && c.rule.Source != Operator })
	}
	result := answer{level: w.deflt, control: "access.level", pinned: pinned}
	if q.Ignore&ByAddress != 0 {
		result.level = max(result.level, Standard)
	}
	if len(claims) > 0 {
		best := claims[0]
		for _, c := range claims[1:] {
			if better(c, best) {
				best = c
			}
		}
		result.level, result.id = best.rule.Level, best.rule.ID
		if best.group > 0 {
			result.control = "geo.country"
		} else if best.rule.Source == Automatic {
			result.control = "threat.block"
		}
	}
	for _, r := range patterns {
		first := result.control == "access.pattern" && r.Level == result.level &&
			(r.Source < w.byID(result.id).Source || r.Source == w.byID(result.id).Source && r.ID < result.id)
		if r.Level < result.level || first {
			result.level, result.id, result.control = r.Level, r.ID, "access.pattern"
		}
	}
	return result
}

// better tells whether a comes before b.
func better(a, b claim) bool {
	if a.group != b.group {
		return a.group < b.group
	}
	if a.bits != b.bits {
		return a.bits > b.bits
	}
	if a.rule.Source != b.rule.Source {
		return a.rule.Source < b.rule.Source
	}
	if builtin := a.rule.ID == ""; builtin != (b.rule.ID == "") {
		return !builtin // what an operator writes stands before what is built in
	}
	if a.rule.Level != b.rule.Level {
		return a.rule.Level < b.rule.Level
	}
	return a.rule.ID < b.rule.ID
}

func (w *world) byID(id string) Rule {
	for _, r := range w.rules {
		if r.ID == id {
			return r
		}
	}
	return Rule{}
}

func (w *world) origin(a netip.Addr) (string, uint32) {
	for _, o := range w.origins {
		if netip.MustParsePrefix(o.network).Contains(a) {
			if o.country == "" {
				return "unknown", o.asn
			}
			return o.country, o.asn
		}
	}
	return "unknown", 0
}

// inAddress tells whether an address is in a prefix, range, wildcard or list, and
// how long the prefix of it is that it is in.
func (w *world) inAddress(text string, a netip.Addr) (bits int, ok bool) {
	if name, isList := strings.CutPrefix(text, "list:"); isList {
		bits = 1000
		for _, p := range w.lists[name] {
			if p.Contains(a) {
				bits = min(bits, p.Bits()) // entries within others are left out
			}
		}
		return bits, bits < 1000
	}
	if from, to, isRange := strings.Cut(text, "-"); isRange {
		low, high := netip.MustParseAddr(from), netip.MustParseAddr(to)
		if a.BitLen() != low.BitLen() || a.Less(low) || high.Less(a) {
			return 0, false
		}
		// The widest block around the address that is wholly in the range.
		for bits = 0; ; bits++ {
			p := netip.PrefixFrom(a, bits).Masked()
			last := p.Addr().AsSlice()
			for i := bits; i < a.BitLen(); i++ {
				last[i/8] |= 0x80 >> (i % 8)
			}
			end, _ := netip.AddrFromSlice(last)
			if !p.Addr().Less(low) && !high.Less(end) {
				return bits, true
			}
		}
	}
	if strings.Contains(text, "*") {
		fixed := strings.TrimRight(text, "*.")
		return 8 * len(strings.Split(fixed, ".")), a.Is4() && strings.HasPrefix(a.String()+".", fixed+".")
	}
	if !strings.Contains(text, "/") {
		return a.BitLen(), netip.MustParseAddr(text) == a
	}
	p := netip.MustParsePrefix(text)
	return p.Bits(), p.Contains(a)
}

// naiveGlob tries every length for a star.
func naiveGlob(glob, text string) bool {
	if glob == "" {
		return text == ""
	}
	if glob[0] == '*' {
		for i := 0; i <= len(text); i++ {
			if naiveGlob(glob[1:], text[i:]) {
				return true
			}
		}
		return false
	}
	return text != "" && (glob[0] == '?' || glob[0] == text[0]) && naiveGlob(glob[1:], text[1:])
}

// naiveActive reads the schedule's text again.
func naiveActive(r Rule, now time.Time) bool {
	if !r.From.IsZero() && now.Before(r.From) || !r.Until.IsZero() && !now.Before(r.Until) {
		return false
	}
	if r.Schedule.IsZero() {
		return true
	}
	text := r.Schedule.String()
	cut := strings.LastIndexByte(text, ' ')
	zone, _ := time.LoadLocation(text[cut+1:])
	local := now.In(zone)
	for _, part := range strings.Split(text[:cut], "; ") {
		days, span, some := strings.Cut(part, " ")
		if !some {
			days, span = "mon-sun", part
		}
		var h1, m1, h2, m2 int
		fmt.Sscanf(span, "%d:%d-%d:%d", &h1, &m1, &h2, &m2)
		from, to, at := h1*60+m1, h2*60+m2, local.Hour()*60+local.Minute()
		if from < to {
			if at >= from && at < to && naiveDay(days, local.Weekday()) {
				return true
			}
			continue
		}
		if at >= from && naiveDay(days, local.Weekday()) || at < to && naiveDay(days, (local.Weekday()+6)%7) {
			return true
		}
	}
	return false
}

func naiveDay(days string, day time.Weekday) bool {
	week := "mon tue wed thu fri sat sun"
	place := func(name string) int { return strings.Index(week, name) / 4 }
	at := place(strings.ToLower(day.String()[:3]))
	for _, part := range strings.Split(days, ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		if place(first) <= at && at <= place(last) || place(first) > place(last) && (at >= place(first) || at <= place(last)) {
			return true
		}
	}
	return false
}

// The universe is small, so that rules meet on the same prefixes, names and times.
var (
	anchors   = []string{"203.0.113.0", "203.0.113.64", "203.0.112.0", "198.51.100.7", "127.0.0.1", "2001:db8::1", "2001:db8:0:1::5", "2001:db8:8000::", "::1", "10.0.0.0"}
	globs     = []string{"sni:*.example.com", "sni:a.example.com", "sni:*example*", "sni:?.example.com", "ja4:t13d*", "ja4:t12*", "ja4:*_8daaf6152771_*", "ja4:t13d1516h2_8daaf6152771_e5627efa2ab1"}
	names     = []string{"", "", "a.example.com", "b.a.example.com", "example.com", "other.test", "A.Example.COM"}
	prints    = []string{"", "", "t13d1516h2_8daaf6152771_e5627efa2ab1", "t12i0403h1_000000000000_111111111111"}
	schedules = []string{"mon-fri 08:00-18:00 Europe/Berlin", "22:00-06:00 UTC", "sat,sun 00:00-24:00; wed 12:00-13:30 Asia/Tokyo", "fri-mon 20:00-04:00 America/New_York"}
	epoch     = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	origins   = []where{{"203.0.113.0/25", "DE", 64500}, {"203.0.113.128/25", "FR", 0}, {"198.51.100.0/24", "", 64501}, {"2001:db8::/33", "DE", 64501}, {"10.0.0.0/9", "US", 64500}}
)

func randomAddr(r *rand.Rand) netip.Addr {
	b := netip.MustParseAddr(anchors[r.IntN(len(anchors))]).AsSlice()
	for range r.IntN(4) {
		bit := len(b)*8 - 1 - r.IntN(min(len(b)*8, 1<<r.IntN(8)))
		b[bit/8] ^= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func randomPrefix(r *rand.Rand) netip.Prefix {
	a := randomAddr(r)
	return netip.PrefixFrom(a, a.BitLen()-r.IntN(min(a.BitLen(), 1<<(r.IntN(7)+1)))).Masked()
}

func randomMatch(t testing.TB, r *rand.Rand) Match {
	switch r.IntN(12) {
	case 0:
		from := randomAddr(r)
		to := from
		for range r.IntN(300) {
			to = to.Next()
		}
		if !to.IsValid() {
			to = from
		}
		return match(t, from.String()+"-"+to.String())
	case 1:
		return match(t, []string{"203.0.113.*", "203.0.*.*", "203.*.*.*", "10.*.*.*", "127.0.0.*"}[r.IntN(5)])
	case 2:
		return match(t, []string{"country:DE", "country:FR", "country:unknown", "country:US"}[r.IntN(4)])
	case 3:
		return match(t, []string{"asn:64500", "asn:64501", "asn:64502"}[r.IntN(3)])
	case 4:
		return match(t, globs[r.IntN(len(globs))])
	case 5, 6:
		return match(t, []string{"list:one", "list:two", "list:three"}[r.IntN(3)])
	}
	return match(t, randomPrefix(r).String())
}

func randomRule(t testing.TB, r *rand.Rand, id int) Rule {
	x := Rule{ID: fmt.Sprintf("r%02d", id), Match: randomMatch(t, r), Level: Level(r.IntN(5)), Source: Source(r.IntN(3))}
	x.Pinned = x.Source == Operator && x.Match.Kind().Address() && r.IntN(6) == 0
	at := func() time.Time { return epoch.Add(time.Duration(r.IntN(14*24)-7*24) * time.Hour) }
	switch r.IntN(8) {
	case 0:
		x.Until = at()
	case 1:
		x.From = at()
		x.Until = x.From.Add(time.Duration(1+r.IntN(48)) * time.Hour)
	case 2:
		x.Schedule = hours(t, schedules[r.IntN(len(schedules))])
	}
	return x
}

func randomWorld(t testing.TB, r *rand.Rand) *world {
	w := &world{deflt: Level(r.IntN(5)), lists: make(map[string][]netip.Prefix), origins: origins}
	for i := range r.IntN(25) {
		w.rules = append(w.rules, randomRule(t, r, i))
	}
	for _, name := range []string{"one", "two", "three"} {
		for range r.IntN(40) {
			if p := randomPrefix(r); p.Bits() >= 16 {
				w.lists[name] = append(w.lists[name], p)
			}
		}
	}
	return w
}

func (w *world) options(t testing.TB, g *Geo) Options {
	o := Options{Default: w.deflt, Geo: g}
	for name, prefixes := range w.lists {
		var lines []string
		for _, p := range prefixes {
			lines = append(lines, p.String())
		}
		o.Lists = append(o.Lists, list(t, name, lines...))
	}
	for _, name := range []string{"one", "two", "three"} {
		if w.lists[name] == nil {
			o.Lists = append(o.Lists, list(t, name))
		}
	}
	return o
}

func randomQuery(r *rand.Rand) Query {
	q := Query{Addr: randomAddr(r), Now: epoch.Add(time.Duration(r.IntN(20*24*60)-10*24*60) * time.Minute),
		ServerName: names[r.IntN(len(names))], JA4: prints[r.IntN(len(prints))]}
	if r.IntN(4) == 0 {
		q.Ignore = Controls(r.IntN(16))
	}
	if q.Addr.Is4() && r.IntN(4) == 0 {
		q.Addr = netip.AddrFrom16(q.Addr.As16())
	}
	return q
}

// TestTableAgreesWithALinearInterpreter compares 100,000 random queries, and with
// MTGUARD_LONG=1 a million.
func TestTableAgreesWithALinearInterpreter(t *testing.T) {
	const each = 100
	worlds := 1000
	if os.Getenv("MTGUARD_LONG") == "1" {
		worlds = 10_000
	}
	g := geo(t, origins...)
	decided := make(map[string]int)
	for seed := range worlds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		w := randomWorld(t, r)
		// Contradictions may stay: what they decide is defined, too.
		table, err := compile(w.rules, w.options(t, g))
		if err != nil {
			t.Fatal(err)
		}
		for range each {
			q := randomQuery(r)
			d, want := table.Check(q), w.naive(q)
			if got := (answer{d.Level, d.Rule, d.Control, d.Pinned}); got != want {
				t.Fatalf("world %d: %+v\n table %+v\n naive %+v\nrules:\n%s", seed, q, got, want, w.text())
			}
			e := table.Explain(q)
			if first := e[0]; !first.Decides || first.Rule.ID != d.Rule || first.Rule.Level != d.Level || first.Control != d.Control {
				t.Fatalf("world %d: %+v\n decision %+v\n explained by %+v", seed, q, d, first)
			}
			for _, x := range e[1:] {
				if x.Decides || x.Why == "" {
					t.Fatalf("world %d: %+v\n loser without a reason: %+v", seed, q, x)
				}
			}
			decided[d.Control]++
		}
	}
	for _, control := range []string{ControlLevel, ControlCountry, ControlPattern, ControlThreat} {
		if decided[control] < worlds*each/50 {
			t.Errorf("only %d decisions by %s: the queries do not try it", decided[control], control)
		}
	}
}

func (w *world) text() string {
	var b strings.Builder
	for _, r := range w.rules {
		fmt.Fprintf(&b, "%s %v %v %v pinned=%v from=%v until=%v schedule=%v\n", r.ID, r.Match, r.Level, r.Source, r.Pinned, r.From, r.Until, r.Schedule)
	}
	fmt.Fprintln(&b, "lists", w.lists, "default", w.deflt)
	return b.String()
}
