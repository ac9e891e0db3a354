package threat

import (
	"maps"
	"slices"
	"time"

	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// Standing is what the engine has found and done since the start.
type Standing struct {
	Mode     string            `json:"mode" doc:"of the control threat.block"`
	Since    time.Time         `json:"since"`
	Findings map[string]uint64 `json:"findings" doc:"by detector"`
	// Of addresses: how often one climbed to the rung, and how often one would have in monitor.
	Throttled      uint64            `json:"throttled"`
	Shown          uint64            `json:"shown" doc:"shown the cover site"`
	Blocked        uint64            `json:"blocked"`
	WouldThrottle  uint64            `json:"would_throttle"`
	WouldShow      uint64            `json:"would_show"`
	WouldBlock     uint64            `json:"would_block"`
	BlocksToday    int               `json:"blocks_today" doc:"made, or in monitor counted, since midnight UTC"`
	UsersHitToday  int               `json:"users_hit_today" doc:"that authenticated from an address while it would have been blocked"`
	UsersHit       []string          `json:"users_hit,omitempty" doc:"the first hundred of them"`
	Spared         map[string]uint64 `json:"spared" doc:"answers that were held back: pinned, exception, shared or budget"`
	Failed         uint64            `json:"failed" doc:"blocks that could not be made"`
	SuspectsNow    int               `json:"suspects_now" doc:"addresses with a score that counts"`
	BlockedNow     int               `json:"blocked_now" doc:"addresses that are, less those that an operator let in again; in monitor that would be"`
	BlockMicros    float64           `json:"block_micros" doc:"mean time from the decision until a block is in the store; the door refuses its addresses from the decision on"`
	BlockMaxMicros int64             `json:"block_max_micros"`
	BlockP99Micros int64             `json:"block_p99_micros" doc:"of the last 1024 blocks"`
}

// counts are what Standing and metrics tell.
type counts struct {
	findings map[string]uint64
	rungs    [blocked + 1][2]uint64 // by whether it was enforced
	spared   sparings
	failed   uint64

	times   [1024]time.Duration // of the last blocks
	timed   int
	slowest time.Duration
	total   time.Duration
}

type sparings = map[string]uint64

func (c *counts) took(d time.Duration) {
	c.times[c.timed%len(c.times)] = d
	c.timed++
	c.total += d
	c.slowest = max(c.slowest, d)
}

// Status tells what was found and done.
func (g *Engine) Status() Standing {
	s := g.o.Policy()
	g.mu.Lock()
	defer g.mu.Unlock()
	mode := s.Mode(policy.ThreatBlock, policy.Subject{})
	if s != nil {
		mode = policy.Monitor
		if c, ok := s.Controls[policy.ThreatBlock]; ok {
			mode = c.Mode
		}
	}
	c := &g.count
	st := Standing{
		Mode: mode.String(), Since: g.began, Findings: maps.Clone(c.findings), Spared: maps.Clone(c.spared), Failed: c.failed,
		Throttled: c.rungs[throttled][1], Shown: c.rungs[shown][1], Blocked: c.rungs[blocked][1],
		WouldThrottle: c.rungs[throttled][0], WouldShow: c.rungs[shown][0], WouldBlock: c.rungs[blocked][0],
		BlockMaxMicros: c.slowest.Microseconds(),
	}
	g.would.turn(g.now)
	st.BlocksToday, st.UsersHitToday = g.would.blocks, len(g.would.users)
	st.UsersHit = slices.Sorted(maps.Keys(g.would.users))
	st.UsersHit = st.UsersHit[:min(len(st.UsersHit), 100)]
	at := g.now.Add(time.Since(g.heard)) // nothing may have happened for long
	if g.now.IsZero() {
		at = time.Now()
	}
	now := at.UnixMilli()
	g.addresses.each(func(where place, x *standing) {
		if now < x.until && (!x.made || barred(s, where.addr(), at)) {
			st.BlockedNow++
		}
		if y := *x; y.scored(now, 0) >= 1 {
			st.SuspectsNow++
		}
	})
	if c.timed > 0 {
		st.BlockMicros = float64(c.total.Microseconds()) / float64(c.timed)
		times := slices.Clone(c.times[:min(c.timed, len(c.times))])
		slices.Sort(times)
		st.BlockP99Micros = times[(len(times)*99)/100].Microseconds()
	}
	return st
}

// Findings are the last findings, the newest first, at most so many.
func (g *Engine) Findings(most int) []Finding {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.findings.newest(most)
}

// Families are the engine's metrics.
func (g *Engine) Families() []stats.Family {
	read := func(f func(c *counts)) {
		g.mu.Lock()
		defer g.mu.Unlock()
		f(&g.count)
	}
	return []stats.Family{
		{
			Name: "threat_findings_total", Help: "Findings of each detector.", Labels: []string{"detector"}, Counter: true,
			Collect: func(emit func(float64, ...string)) {
				read(func(c *counts) {
					for name, n := range c.findings {
						emit(float64(n), name)
					}
				})
			},
		},
		{
			Name: "threat_responses_total", Help: "Times that an address climbed to a rung, and whether that took effect.", Labels: []string{"rung", "mode"}, Counter: true,
			Collect: func(emit func(float64, ...string)) {
				read(func(c *counts) {
					for r, name := range map[rung]string{throttled: "throttle", shown: "cover", blocked: "block"} {
						emit(float64(c.rungs[r][0]), name, "monitor")
						emit(float64(c.rungs[r][1]), name, "enforce")
					}
				})
			},
		},
		{
			Name: "threat_spared_total", Help: "Answers that were held back, and why.", Labels: []string{"why"}, Counter: true,
			Collect: func(emit func(float64, ...string)) {
				read(func(c *counts) {
					for _, why := range []string{sparedPinned, sparedException, sparedShared, sparedBudget} {
						emit(float64(c.spared[why]), why)
					}
				})
			},
		},
		{
			Name: "threat_blocks_failed_total", Help: "Blocks that could not be made.", Counter: true,
			Collect: func(emit func(float64, ...string)) { read(func(c *counts) { emit(float64(c.failed)) }) },
		},
		{
			Name: "threat_block_longest_seconds", Help: "The longest time from a decision until the block was in the store; the door refuses from the decision on.",
			Collect: func(emit func(float64, ...string)) { read(func(c *counts) { emit(c.slowest.Seconds()) }) },
		},
	}
}

// hits are the blocks of a day, and the users that those which were not made would have hit.
type hits struct {
	day    int64
	blocks int
	users  map[string]bool
}

// mostHit bounds the users that are counted.
const mostHit = 4096

func (h *hits) turn(now time.Time) {
	if day := now.Unix() / 86400; day != h.day || h.users == nil {
		*h = hits{day: day, users: make(map[string]bool)}
	}
}

func (h *hits) blocked(g *Engine, enforced bool) {
	h.turn(g.now)
	h.blocks++
}

// authenticated counts the user of an address that would be blocked by now.
func (h *hits) authenticated(g *Engine, e *event.Event) {
	at, ok := placeOf(e.Addr)
	if !ok {
		return
	}
	x := g.addresses.peek(at)
	if x == nil || milli(e) >= x.until {
		return
	}
	h.turn(g.now)
	if len(h.users) < mostHit {
		h.users[e.User] = true
	}
}

// ring keeps the last findings.
type ring struct {
	list [1024]Finding
	n    int
}

func (r *ring) add(f Finding) {
	r.list[r.n%len(r.list)] = f
	r.n++
}

func (r *ring) newest(most int) []Finding {
	out := make([]Finding, 0, min(most, r.n, len(r.list)))
	for i := r.n - 1; i >= 0 && i >= r.n-len(r.list) && len(out) < most; i-- {
		out = append(out, r.list[i%len(r.list)])
	}
	return out
}
