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

	stages [3][]step
	sink   event.Sink
}

// Stages are the checks by when they judge, each list in the order in which they do. All of them judge before anything is answered.
type Stages struct {
	// Accept judges a connection that just came, by its address. Hello judges it when its hello is there, before any secret is tried; clients
	// without TLS have none. Auth judges it when its user is known.
	Accept, Hello, Auth []Check
}

// step is a check with what does not change from one connection to the next.
type step struct {
	check    Check
	name     string
	counters *stats.Control
}

// NewPipeline returns a Pipeline that runs these checks. Events go to sink and counts to c; either may be nil.
func NewPipeline(s Stages, sink event.Sink, c *stats.Counters) *Pipeline {
	if sink == nil {
		sink = event.Discard()
	}
	if c == nil {
		c = new(stats.Counters)
	}
	return &Pipeline{stages: [3][]step{steps(s.Accept, c), steps(s.Hello, c), steps(s.Auth, c)}, sink: sink}
}

func steps(checks []Check, c *stats.Counters) []step {
	out := make([]step, len(checks))
	for i, check := range checks {
		name := check.Name()
		out[i] = step{check: check, name: name, counters: c.Control(name)}
	}
	return out
}

// Admit judges a connection that was just accepted. The verdict is the first refusal by a control in mode enforce, or else allows. For the
// latter a Refused event is emitted, for other refusals a WouldRefuse event, as soon as Conclude is called. A check that panics is counted
// and passed over: checks detect, they are not what holds the proxy together.
func (p *Pipeline) Admit(c *Conn) Verdict { return p.run(p.stages[0], c) }

// Hello judges a connection whose hello is there. It works like Admit.
func (p *Pipeline) Hello(c *Conn) Verdict { return p.run(p.stages[1], c) }

// Authorize judges a connection whose client is known by now. It works like Admit.
func (p *Pipeline) Authorize(c *Conn) Verdict { return p.run(p.stages[2], c) }

// Learner is a check that learns from how handshakes end.
type Learner interface {
	Check
	// Learn is told how the handshake of a connection ended that the check was asked about, and did not refuse. It must return quickly.
	Learn(*Conn, stats.Result)
}

// Conclude tells of what controls in mode monitor had to say about a connection, now that its handshake has ended with r: with the user's
// name, where there is one. Checks learn from the end.
func (p *Pipeline) Conclude(c *Conn, r stats.Result) {
	for _, steps := range p.stages {
		for i := range steps {
			s := &steps[i]
			if l, ok := s.check.(Learner); ok && c.Policy.Mode(s.name, c.subject()) != policy.Off {
				l.Learn(c, r)
			}
		}
	}
	if c.held == nil {
		return
	}
	for _, e := range c.held.events[:c.held.n] {
		e.User, e.Key, e.DC = c.User, c.Key, int(c.DC)
		if c.Transport != 0 {
			e.Transport = c.Transport.String()
		}
		p.sink.Emit(e)
	}
	c.held = nil
}

// held are the events of one connection that wait for its user's name.
type held struct {
	n      int
	events [8]event.Event // beyond it they do not wait
}

func (p *Pipeline) run(steps []step, c *Conn) Verdict {
	if len(steps) == 0 {
		return Verdict{}
	}
	subject, known := c.subject(), c.known()
	timed := stats.Sampled(c.ID) // reading the clock would cost more than most checks
	for i := range steps {
		s := &steps[i]
		mode := c.Policy.Mode(s.name, subject)
		if mode == policy.Off {
			continue
		}
		var began time.Time
		if timed {
			began = time.Now()
		}
		v, mode := p.decide(s, c, mode, subject, known)
		if timed {
			s.counters.Took(StatsMode(mode), time.Since(began))
		}
		if limits := c.Policy.CandidateOf(s.name, c.At); limits != nil {
			p.rehearse(s, c, limits, known, timed)
		}
		if v.Action != Allow && mode == policy.Enforce {
			return v
		}
	}
	return Verdict{}
}

// decide asks one check, and counts and reports what it says. The mode it returns is the one that holds for this verdict.
func (p *Pipeline) decide(s *step, c *Conn, mode policy.Mode, subject policy.Subject, known bool) (Verdict, policy.Mode) {
	v, ok := p.judge(s, c)
	if !ok {
		return Verdict{}, mode
	}
	v = s.settle(v)
	exception := ""
	if v.Action != Allow {
		mode, exception = c.Policy.Judge(s.name, subject, c.At)
	}
	s.counters.Decided(statsVerdict[v.Action], StatsMode(mode), known)
	if v.Action != Allow {
		p.report(c, v, mode.String(), exception, mode == policy.Enforce)
	}
	return v, mode
}

// rehearse asks a check once more, with the control's candidate limits. Nothing comes of it but numbers and events.
func (p *Pipeline) rehearse(s *step, c *Conn, limits *policy.Limits, known, timed bool) {
	c.candidate = limits
	defer func() { c.candidate = nil }()
	if timed {
		defer func(began time.Time) { s.counters.Took(stats.ModeCandidate, time.Since(began)) }(time.Now())
	}
	v, ok := p.judge(s, c)
	if !ok {
		return
	}
	v = s.settle(v)
	s.counters.Decided(statsVerdict[v.Action], stats.ModeCandidate, known)
	if v.Action != Allow {
		p.report(c, v, ModeCandidate, "", false)
	}
}

// ModeCandidate is the Mode of the events that tell what candidate limits would have refused.
const ModeCandidate = "candidate"

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
	case v.Action == Deny && mayDeny(s.name):
	default: // also an unknown action: the check meant something other than Allow
		v.Action = Mask
	}
	v.Control = s.name
	return v
}

// mayDeny tells whether a control may close connections: what it protects is what masking them would need.
func mayDeny(control string) bool {
	return policy.MemoryBound(control) || control == policy.OverloadLevel
}

func (p *Pipeline) report(c *Conn, v Verdict, mode, exception string, enforced bool) {
	e := event.Event{
		Time: c.At, Kind: event.WouldRefuse, Conn: c.ID, Addr: c.Addr.Addr(), User: c.User, Key: c.Key, DC: int(c.DC),
		Control: v.Control, Reason: v.Reason, Mode: mode, Exception: exception,
	}
	if c.Transport != 0 {
		e.Transport = c.Transport.String()
	}
	if enforced {
		e.Kind = event.Refused
		p.sink.Emit(e)
		return
	}
	if c.held == nil {
		c.held = new(held)
	}
	if c.held.n == len(c.held.events) {
		p.sink.Emit(e)
		return
	}
	c.held.events[c.held.n] = e
	c.held.n++
}

var statsVerdict = [...]stats.Verdict{Allow: stats.VerdictAllow, Deny: stats.VerdictDeny, Mask: stats.VerdictMask}

// StatsMode is how a decision made in m is counted.
func StatsMode(m policy.Mode) stats.Mode {
	if m == policy.Enforce {
		return stats.ModeEnforce
	}
	return stats.ModeMonitor
}
