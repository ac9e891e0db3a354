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
	took      Histogram
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

// Took counts the time of one judgement.
func (c *Control) Took(d time.Duration) { c.took.Observe(d) }

// Times returns how many judgements were timed.
func (c *Control) Times() uint64 { return c.took.Count() }

// Total returns how long all timed judgements took together.
func (c *Control) Total() time.Duration { return time.Duration(c.took.sum.Load()) }

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
	s.took.check = true
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

// CheckTook counts the time of one judgement of a control.
func (c *Counters) CheckTook(control string, d time.Duration) { c.Control(control).Took(d) }
