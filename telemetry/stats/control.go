package stats

import (
	"maps"
	"time"
)

// maxControls bounds the number of control names with counters of their own. The product has some dozens; the bound is there so that a
// mistake cannot turn names into an unbounded label.
const maxControls = 128

// otherControl is the name that counts for every control beyond maxControls.
const otherControl = "other"

// Control is the counters of one control. Get it once with Counters.Control and keep it.
type Control struct {
	decisions [verdicts][modes]struct{ known, unknown Counter }
	panics    Counter
	took      [modes]Histogram // of those that were timed
}

// Decided counts one verdict. known tells that it was about somebody known: a user, or a network that one came from lately.
func (c *Control) Decided(v Verdict, m Mode, known bool) {
	d := &c.decisions[min(v, VerdictDelay)][min(m, ModeCandidate)]
	if known {
		d.known.Inc()
	} else {
		d.unknown.Inc()
	}
}

// Decisions returns how often the control decided so, about anybody.
func (c *Control) Decisions(v Verdict, m Mode) uint64 {
	d := &c.decisions[min(v, VerdictDelay)][min(m, ModeCandidate)]
	return d.known.Load() + d.unknown.Load()
}

// KnownDecisions returns how often the control decided so about somebody known.
func (c *Control) KnownDecisions(v Verdict, m Mode) uint64 {
	return c.decisions[min(v, VerdictDelay)][min(m, ModeCandidate)].known.Load()
}

// Panicked counts one judgement that ended in a panic.
func (c *Control) Panicked() { c.panics.Inc() }

// Panics returns how many judgements ended in a panic.
func (c *Control) Panics() uint64 { return c.panics.Load() }

// Sampled tells whether the judgements of a connection, by its number, are timed: those of the first, and of every 16th on average from then
// on. The numbers are spread, so that what comes in a rhythm is not always timed, or never. It costs one multiplication and shares nothing
// between cores.
func Sampled(connection uint64) bool { return (connection-1)*0x9E3779B97F4A7C15>>60 == 0 }

// Took counts the time of one judgement, made in m. How many there were in all Decisions says, timed or not.
func (c *Control) Took(m Mode, d time.Duration) { c.took[min(m, ModeCandidate)].Observe(d) }

// Times returns how many judgements made in m were timed.
func (c *Control) Times(m Mode) uint64 { return c.took[min(m, ModeCandidate)].Count() }

// Cost returns what one judgement takes in m on average, of those that were timed; 0 when none was.
func (c *Control) Cost(m Mode) time.Duration {
	h := &c.took[min(m, ModeCandidate)]
	n := h.Count()
	if n == 0 {
		return 0
	}
	return time.Duration(h.sum.Load() / int64(n))
}

// Control returns the counters of the control with that name, which it creates at the first call. Names come from the program; beyond 128
// of them all further ones share the name "other".
func (c *Counters) Control(name string) *Control {
	if m := c.controls.Load(); m != nil {
		if s := (*m)[name]; s != nil {
			return s
		}
	}
	c.controlsMu.Lock()
	defer c.controlsMu.Unlock()
	old := c.controlMap()
	if s := old[name]; s != nil {
		return s
	}
	if len(old) >= maxControls-1 {
		if s := old[otherControl]; s != nil {
			return s
		}
		name = otherControl
	}
	s := new(Control)
	for m := range s.took {
		s.took[m].check = true
	}
	grown := make(map[string]*Control, len(old)+1)
	maps.Copy(grown, old)
	grown[name] = s
	c.controls.Store(&grown)
	return s
}

func (c *Counters) controlMap() map[string]*Control {
	if m := c.controls.Load(); m != nil {
		return *m
	}
	return nil
}

// Decision counts one verdict of a control, for callers that judge once in a while; see Control for the others.
func (c *Counters) Decision(control string, v Verdict, m Mode) {
	c.Control(control).Decided(v, m, false)
}
