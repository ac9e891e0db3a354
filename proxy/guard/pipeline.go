package guard

import (
	"time"

	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// ReasonPanic is the Reason of the event that reports a check that panicked.
const ReasonPanic = "panic"

// Pipeline runs checks and applies the policy to their verdicts. Use NewPipeline.
type Pipeline struct {
	// OnPanic, if set before the first connection, is told what a check panicked with, on the goroutine that panicked and while it still
	// unwinds, so that runtime/debug.Stack shows where. The value may hold anything; do not show it to clients.
	OnPanic func(control string, value any)

	accept, auth []step
	sink         event.Sink
}

// step is a check with what does not change from one connection to the next.
type step struct {
	check    Check
	name     string
	counters *stats.Control
}

// NewPipeline returns a Pipeline that runs onAccept for each new connection and onAuth for each authenticated one, in the order given. Events
// go to sink and counts to c; either may be nil.
func NewPipeline(onAccept, onAuth []Check, sink event.Sink, c *stats.Counters) *Pipeline {
	if sink == nil {
		sink = event.Discard()
	}
	if c == nil {
		c = new(stats.Counters)
	}
	return &Pipeline{accept: steps(onAccept, c), auth: steps(onAuth, c), sink: sink}
}

func steps(checks []Check, c *stats.Counters) []step {
	out := make([]step, len(checks))
	for i, check := range checks {
		name := check.Name()
		out[i] = step{check: check, name: name, counters: c.Control(name)}
	}
	return out
}

// Admit judges a connection that was just accepted. The verdict is the first refusal by a control in mode enforce, or else allows. For
// refusals in mode monitor a WouldRefuse event is emitted, for the one in mode enforce a Refused event. A check that panics is counted and
// passed over: checks detect, they are not what holds the proxy together.
func (p *Pipeline) Admit(c *Conn) Verdict { return p.run(p.accept, c) }

// Authorize judges a connection whose client is known by now. It works like Admit.
func (p *Pipeline) Authorize(c *Conn) Verdict { return p.run(p.auth, c) }

func (p *Pipeline) run(steps []step, c *Conn) Verdict {
	if len(steps) == 0 {
		return Verdict{}
	}
	last := time.Now()
	for i := range steps {
		s := &steps[i]
		mode := c.Policy.ModeFor(s.name, c.Addr.Addr())
		if mode == policy.Off {
			continue
		}
		v, ok := p.judge(s, c)
		now := time.Now() // also the start of the next check: one clock reading each
		s.counters.Took(now.Sub(last))
		last = now
		if !ok {
			continue
		}
		v = s.settle(v)
		s.counters.Decided(statsVerdict[v.Action], statsMode(mode))
		if v.Action == Allow {
			continue
		}
		p.report(c, v, mode)
		if mode == policy.Enforce {
			return v
		}
	}
	return Verdict{}
}

// judge asks one check. ok is false when it panicked.
func (p *Pipeline) judge(s *step, c *Conn) (v Verdict, ok bool) {
	defer func() {
		if ok {
			return
		}
		value := recover()
		s.counters.Panicked()
		p.sink.Emit(event.Event{Time: c.At, Kind: event.CheckFailed, Conn: c.ID, Addr: c.Addr.Addr(), Control: s.name, Reason: ReasonPanic})
		if p.OnPanic != nil {
			p.OnPanic(s.name, value)
		}
	}()
	return s.check.Check(c), true
}

// settle brings a check's verdict into the form the server may act on.
func (s *step) settle(v Verdict) Verdict {
	switch {
	case v.Action == Allow:
		return Verdict{}
	case v.Action == Deny && policy.MemoryBound(s.name):
	default: // also an unknown action: the check meant something other than Allow
		v.Action = Mask
	}
	v.Control = s.name
	return v
}

func (p *Pipeline) report(c *Conn, v Verdict, mode policy.Mode) {
	e := event.Event{
		Time: c.At, Kind: event.WouldRefuse, Conn: c.ID, Addr: c.Addr.Addr(), User: c.User, Key: c.Key, DC: int(c.DC),
		Control: v.Control, Reason: v.Reason, Mode: mode.String(),
	}
	if c.Transport != 0 {
		e.Transport = c.Transport.String()
	}
	if mode == policy.Enforce {
		e.Kind = event.Refused
	}
	p.sink.Emit(e)
}

var statsVerdict = [...]stats.Verdict{Allow: stats.VerdictAllow, Deny: stats.VerdictDeny, Mask: stats.VerdictMask}

func statsMode(m policy.Mode) stats.Mode {
	if m == policy.Enforce {
		return stats.ModeEnforce
	}
	return stats.ModeMonitor
}
