package threat

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// The ladder: the score that each rung takes. A finding brings 1 to 12 points, and half of a score is forgotten in ten minutes.
const (
	throttleAt = 3.5
	showAt     = 7.5
	blockAt    = 11
	mostScore  = 24

	halfLife = 10 * time.Minute
	// suspectFor is how long a stage short of a block holds after the last finding.
	suspectFor = 10 * time.Minute
	// forgive is after how long without a block the next one is a step shorter again.
	forgive = 7 * 24 * time.Hour
)

// terms are how long the first block holds, the second, and so on.
var terms = [...]time.Duration{10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

// standing is what is held against one address. Times are milliseconds.
type standing struct {
	score    float32
	at       int64 // of score
	until    int64 // it is blocked, or would be
	ordered  bool  // that block was to be made: it is no mere count
	made     bool  // and is a rule, unless an operator took it back
	last     int64 // block
	offences uint8 // blocks, less what was forgiven
	would    uint8 // blocks since the last one that were mere counts
	rung     rung
	told     bool // there is an incident
}

// rung is how far up the ladder an address is.
type rung uint8

const (
	noted rung = iota
	throttled
	shown
	blocked
)

var rungNames = [...]string{"noted", "throttled", "shown the cover site", "blocked"}

func (r rung) String() string { return rungNames[r] }

// network is what is held against a network: addresses in it that were blocked.
type network struct {
	blocked bucket
	until   int64
}

const (
	networkLeak = 1.0 / 450 // eight addresses an hour
	networkMost = 8
	// networkTerm is how long a network is blocked: others may move into it.
	networkTerm = time.Hour
)

// score adds points to what is left of those before.
func (x *standing) scored(now int64, points float64) float32 {
	age := float64(max(now-x.at, 0)) / float64(halfLife.Milliseconds())
	x.score = min(float32(float64(x.score)*math.Exp2(-age)+points), mostScore)
	x.at = max(now, x.at)
	return x.score
}

func rungOf(score float32) rung {
	switch {
	case score >= blockAt:
		return blocked
	case score >= showAt:
		return shown
	case score >= throttleAt:
		return throttled
	}
	return noted
}

// forgive takes off an offence for each week without one.
func (x *standing) forgive(now int64) {
	for x.offences > 0 && now-x.last > forgive.Milliseconds() {
		x.offences--
		x.last += forgive.Milliseconds()
	}
}

// block takes down a block of a time that grows from one to the next, and returns that and how many there were. What is merely counted makes the
// next count longer, and no block.
func (x *standing) block(now int64, longest time.Duration, enforced bool) (time.Duration, uint8) {
	x.forgive(now)
	n := x.offences
	if !enforced {
		n = min(n+x.would, uint8(len(terms)))
	}
	term := min(terms[min(int(n), len(terms)-1)], longest)
	n = min(n+1, uint8(len(terms)))
	if enforced {
		x.offences, x.would, x.last = n, 0, now
	} else {
		x.would = n - x.offences
	}
	x.until, x.ordered, x.made, x.rung, x.score = now+term.Milliseconds(), enforced, false, noted, 0
	return term, n
}

// lift forgets a block that is none, so that whoever goes on is found again, and not as somebody who was blocked once more.
func (x *standing) lift() {
	x.until, x.ordered, x.made = 0, false, false
	x.offences = max(x.offences, 1) - 1
}

// Why somebody was spared.
const (
	sparedPinned    = "pinned"
	sparedException = "exception"
	sparedShared    = "shared"
	sparedBudget    = "budget"
)

// climb adds a finding to the score of its address, and answers.
func (g *Engine) climb(s *policy.Snapshot, f Finding) {
	at, ok := placeOf(f.Addr)
	if !ok {
		return
	}
	now := f.Time.UnixMilli()
	x := g.addresses.get(at, now)
	if now < x.until && g.answered(s, f, x) {
		return
	}
	if now-x.at > suspectFor.Milliseconds() {
		x.rung = noted
	}
	if now-x.at > 2*forgive.Milliseconds() { // a week beyond the longest block
		x.would = 0
	}
	r := rungOf(x.scored(now, f.Points))
	d := s.Access.Check(access.Query{Addr: f.Addr, Now: f.Time})
	mode, exception := policy.Monitor, ""
	if r > noted {
		mode, exception = s.Judge(policy.ThreatBlock, policy.Subject{Addr: f.Addr, Country: d.Country}, f.Time)
	}
	spared := ""
	switch {
	case d.Pinned:
		r, spared = noted, sparedPinned
	case exception != "":
		r, spared = noted, sparedException
	case r > throttled && g.o.Regular(f.Addr, f.Time):
		r, spared = throttled, sparedShared
	case r == blocked && (s.Limits.LongestBlock <= 0 || !g.affords(now, s.Limits.BlocksPerMinute)):
		r, spared = shown, sparedBudget
	}
	if spared != "" {
		g.count.spared[spared]++
	}
	g.answer(s, f, x, r, mode == policy.Enforce, spared)
}

// answered reports whether the address of a finding is blocked already. A block that an operator took back is none, and one that was merely counted
// is none where blocks take effect by now.
func (g *Engine) answered(s *policy.Snapshot, f Finding, x *standing) bool {
	switch {
	case !x.ordered:
		d := s.Access.Check(access.Query{Addr: f.Addr, Now: f.Time})
		mode, _ := s.Expect(policy.ThreatBlock, policy.Subject{Addr: f.Addr, Country: d.Country}, f.Time)
		return mode != policy.Enforce
	case x.made && !barred(s, f.Addr, f.Time):
		x.lift()
		return false
	}
	return true
}

// barred reports whether a rule of automation shuts an address out.
func barred(s *policy.Snapshot, addr netip.Addr, now time.Time) bool {
	const others = access.ByAddress | access.ByCountry | access.ByPattern
	return s.Access.Check(access.Query{Addr: addr, Now: now, Ignore: others}).Level == access.None
}

// answer puts an address on a rung, or counts that it would.
func (g *Engine) answer(s *policy.Snapshot, f Finding, x *standing, r rung, enforced bool, spared string) {
	now := f.Time.UnixMilli()
	if r > x.rung {
		g.count.rungs[r][index(enforced)]++
	}
	x.rung = r
	action := r.String()
	if spared != "" {
		action += ", spared: " + spared
	}
	if !enforced {
		action = "would be " + action
	}
	stage, offences := guard.Trusted, x.offences
	switch r {
	case throttled:
		stage = guard.Throttled
	case shown:
		stage = guard.Shown
	case blocked:
		stage = guard.Shown // until the block is in force
		var term time.Duration
		term, offences = x.block(now, s.Limits.LongestBlock, enforced)
		action = fmt.Sprintf("%s for %v", action, term)
		narrow := prefixOf(f.Addr)
		g.would.blocked(g, enforced)
		if enforced {
			g.order(Block{Prefix: narrow, For: term, Detector: f.Detector, Reason: f.Detector + ": " + f.Evidence})
		}
		g.spread(f, enforced)
	}
	if enforced && stage != guard.Trusted && g.o.Suspects != nil {
		g.o.Suspects.Set(f.Addr, stage, f.Time.Add(suspectFor))
	}
	if (r >= throttled || spared != "") && spared != sparedException {
		g.note(f, prefixOf(f.Addr).String(), "", severityOfRung(r, offences, spared), action)
	}
}

// affords takes a block from the budget of the minute.
func (g *Engine) affords(now int64, perMinute int) bool {
	if perMinute <= 0 || g.budget.add(now, 0, float32(perMinute)/60)+1 > float32(perMinute) {
		return false
	}
	g.budget.level++
	return true
}

// spread counts a blocked address for its network. A /48 of which too many addresses are blocked is blocked itself, where nobody ever came from it
// and the node has been up for long enough to know; for a /24, in which there are other customers, a person is asked.
func (g *Engine) spread(f Finding, enforced bool) {
	now := f.Time.UnixMilli()
	prefix := networkOf(f.Addr)
	n := g.networks.get(placeAt(prefix), now)
	if n.blocked.add(now, 1, networkLeak) < networkMost || now < n.until {
		return
	}
	n.until = now + networkTerm.Milliseconds()
	f.Detector, f.Evidence = "network", fmt.Sprintf("%.0f addresses of it were blocked within the hour", n.blocked.level)
	g.findings.add(f)
	action := "for a person to judge"
	if f.Addr.Is6() && f.Time.Sub(g.began) >= guard.Lately && !g.o.Network(f.Addr) {
		action = fmt.Sprintf("blocked for %v", networkTerm)
		if enforced {
			g.shut(prefix, f.Time.Add(suspectFor)) // until the block is in force
			g.order(Block{Prefix: prefix, For: networkTerm, Detector: f.Detector, Reason: "network: " + f.Evidence})
		} else {
			action = "would be " + action
		}
	}
	g.note(f, prefix.String(), "", High, action)
}

// order has a block made.
func (g *Engine) order(b Block) {
	b.decided = time.Now() // for its latency, not for a decision
	g.blocks = append(g.blocks, b)
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// undo forgets a block of an address that was not made, so that whoever goes on is found again. A network's is asked for once an hour anyway.
func (g *Engine) undo(p netip.Prefix) {
	if x := g.addresses.peek(placeAt(p)); x != nil && x.ordered {
		x.lift()
	}
}

// prefixOf is what is blocked for an address: itself, or its /64.
func prefixOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits)
	return p
}

func index(enforced bool) int {
	if enforced {
		return 1
	}
	return 0
}
