package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mtguard/config/spelling"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// RolloutNext takes a control one stage up: monitor, then enforced for a tenth,
// for half, for all. RolloutBack takes it one stage down.
type (
	RolloutNext struct{ Control string }
	RolloutBack struct{ Control string }
)

func (RolloutNext) action() string { return "rollout.next" }
func (RolloutBack) action() string { return "rollout.back" }

func (c RolloutNext) object() string { return clean(c.Control) }
func (c RolloutBack) object() string { return clean(c.Control) }

func (RolloutNext) least() access.Level { return access.Superuser }
func (RolloutBack) least() access.Level { return access.Admin }

// RolloutStep is where a control stands, and what keeps it from the next stage.
type RolloutStep struct {
	Control        string     `json:"control"`
	Mode           string     `json:"mode"`
	Percent        int        `json:"percent,omitempty"`
	Next           string     `json:"next,omitempty" doc:"the stage above; none: it is enforced for all"`
	Since          *time.Time `json:"since,omitempty" doc:"when this stage began, as far as this process knows"`
	Decisions      uint64     `json:"decisions" doc:"in this stage"`
	KnownDecisions uint64     `json:"known_decisions" doc:"of clients that authenticate"`
	KnownRefused   uint64     `json:"known_refused" doc:"of these, refused or to be refused"`
	Waits          string     `json:"waits,omitempty" doc:"why the gate is closed; none: it is open"`
	Trial          *TrialInfo `json:"trial,omitempty" doc:"this stage reverts by itself unless somebody keeps it"`
}

// stages of a rollout, rising.
var stages = []policy.Control{
	{Mode: policy.Off}, {Mode: policy.Monitor}, {Mode: policy.Enforce, Percent: 10}, {Mode: policy.Enforce, Percent: 50}, {Mode: policy.Enforce},
}

// share is the percentage that a stage bites.
func share(c policy.Control) int {
	switch {
	case c.Mode != policy.Enforce:
		return 0
	case c.Percent == 0:
		return 100
	}
	return c.Percent
}

// stageOf is the index of the highest stage that c has reached.
func stageOf(c policy.Control) int {
	at := 0
	for i, s := range stages {
		if c.Mode > s.Mode || c.Mode == s.Mode && share(c) >= share(s) {
			at = i
		}
	}
	return at
}

// stage is what is known of a control since its stage began.
type stage struct {
	control policy.Control
	since   time.Time
	base    ControlInfo // what it had decided by then
	excess  float64     // see stepBack
	last    ControlInfo // at the last look
}

// lookAtStages notices controls whose stage is another one by now. The caller
// holds mu.
func (p *Plane) lookAtStages(now time.Time) {
	for _, name := range policy.Controls() {
		if policy.MemoryBound(name) {
			continue
		}
		c := p.effective.Control(name).Control
		if s, ok := p.stages[name]; ok && s.control == c {
			continue
		}
		info := ControlInfo{Name: name}
		p.parts.Decisions(&info)
		p.stages[name] = &stage{control: c, since: now, base: info, last: info}
	}
}

// step tells where a control stands. The caller holds mu.
func (p *Plane) step(name string, now time.Time) RolloutStep {
	s := p.stages[name]
	info := ControlInfo{Name: name}
	p.parts.Decisions(&info)
	r := RolloutStep{
		Control: name, Mode: s.control.Mode.String(), Percent: s.control.Percent, Since: maybe(s.since),
		Decisions:    info.Allowed + info.Refused + info.WouldRefuse - s.base.Allowed - s.base.Refused - s.base.WouldRefuse,
		KnownRefused: info.KnownRefused + info.KnownWould - s.base.KnownRefused - s.base.KnownWould,
	}
	r.KnownDecisions = info.KnownAllowed + info.KnownRefused + info.KnownWould - s.base.KnownAllowed - s.base.KnownRefused - s.base.KnownWould
	if at := stageOf(s.control); at < len(stages)-1 {
		r.Next = stages[at+1].String()
	}
	r.Waits = gate(p.effective.Rollout, r, now.Sub(s.since))
	return r
}

// gate says what a control lacks for the next stage.
func gate(g policy.Rollout, r RolloutStep, been time.Duration) string {
	const whole = 10_000 // a Share counts hundredths of a percent
	switch {
	case r.Mode == policy.Off.String():
		return "" // from off to monitor nothing can go wrong
	case been < g.GateTime:
		return fmt.Sprintf("it has been %s for %v, and %v is asked for", r.stands(), Duration(been.Round(time.Minute)), Duration(g.GateTime))
	case r.Decisions < uint64(g.GateDecisions):
		return fmt.Sprintf("it has made %d of %d decisions", r.Decisions, g.GateDecisions)
	case r.KnownRefused*whole > r.KnownDecisions*uint64(g.GateRefused):
		return fmt.Sprintf("of %d decisions on known users %d are refusals, more than %v", r.KnownDecisions, r.KnownRefused, g.GateRefused)
	}
	return ""
}

// stands is the stage in words.
func (r *RolloutStep) stands() string {
	switch {
	case r.Mode != policy.Enforce.String():
		return "in " + r.Mode
	case r.Percent > 0 && r.Percent < 100:
		return fmt.Sprintf("enforced for %d%%", r.Percent)
	}
	return "enforced for all"
}

// Rollout returns where every control stands.
func (p *Plane) Rollout(ctx context.Context) ([]RolloutStep, error) {
	now := p.parts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookAtStages(now)
	var steps []RolloutStep
	for _, name := range policy.Controls() {
		if !policy.MemoryBound(name) {
			step := p.step(name, now)
			step.Trial = p.trialOf(name)
			steps = append(steps, step)
		}
	}
	return steps, nil
}

func (c RolloutNext) apply(x *transaction) error { return x.move(c.Control, 1) }
func (c RolloutBack) apply(x *transaction) error {
	x.stepsBack = true
	return x.move(c.Control, -1)
}

// move takes a control some stages up or down.
func (x *transaction) move(control string, by int) error {
	to, err := x.staged(control, by)
	if err != nil {
		return err
	}
	return to.apply(x)
}

// staged is the mode of a control some stages up or down.
func (x *transaction) staged(control string, by int) (to SetMode, err error) {
	if err := switchable(control); err != nil {
		return to, err
	}
	x.p.mu.Lock()
	at := stageOf(x.p.effective.Control(control).Control)
	x.p.mu.Unlock()
	stage := at + by
	if stage < 0 || stage >= len(stages) {
		return to, refused("", "there is no stage %s %v", map[bool]string{true: "above", false: "below"}[by > 0], stages[at])
	}
	next := stages[stage]
	return SetMode{Control: control, Mode: next.Mode.String(), Percent: next.Percent}, nil
}

// switchable refuses a name that is no control with a mode.
func switchable(name string) error {
	if policy.MemoryBound(name) {
		return invalid("control", "%s bounds memory: it is enforced whatever is set", clean(name))
	}
	for _, known := range policy.Controls() {
		if known == name {
			return nil
		}
	}
	fix := "mtguard policy controls"
	if near := spelling.Nearest(name, policy.Controls()); near != "" {
		fix = "did you mean " + near + "?"
	}
	return &Error{Kind: NotFound, Text: fmt.Sprintf("no control %q", clean(name)), Fix: fix}
}

// throughTheGate refuses to let a control bite more than it does before enough is
// known of what it would do, unless the actor insists.
func (x *transaction) throughTheGate(control string, to policy.Control) error {
	x.p.mu.Lock()
	x.p.lookAtStages(x.now)
	was := x.p.stages[control].control
	waits := x.p.step(control, x.now).Waits
	x.p.mu.Unlock()
	if was.Mode == policy.Off {
		waits = "it is off, so nobody knows whom it would refuse"
	}
	if share(to) <= share(was) || waits == "" {
		return nil
	}
	if x.o.Force {
		x.forced(control, waits)
		return nil
	}
	return refused("wait, look with mtguard rollout status, or insist with --force", "%s may not bite more yet: %s", control, waits)
}

// maxForced is how many gates that were forced the audit row tells one by one.
const maxForced = 4

// forced tells in the audit row that a gate was forced, once.
func (x *transaction) forced(control, waits string) {
	key, n := "gate."+control, 0
	for _, d := range x.details {
		switch {
		case d.Key == key || d.Key == "gate.more":
			return
		case strings.HasPrefix(d.Key, "gate."):
			n++
		}
	}
	if n == maxForced {
		key, waits = "gate.more", "of others too"
	}
	x.detail(key, waits)
}

// stepBackActor takes controls back that harm.
var stepBackActor = Actor{Name: "rollout", Level: access.Superuser}

// minExcess is how many known users' connections must have been refused beyond
// what is tolerated before a control steps back: one unlucky client is no proof.
const minExcess = 10

// stepsBack reports whether a control in that stage may step back by itself: it is
// enforced for a share, as a trial. Whom a rule refuses somebody has chosen, and who
// attacks has chosen it himself; neither must undo it by knocking. Nor is what is enforced for all on trial.
func stepsBack(name string, c policy.Control) bool {
	switch name {
	case policy.AccessLevel, policy.AccessPattern, policy.GeoCountry:
		return false
	case policy.ThreatBlock:
		return false
	}
	return 0 < share(c) && share(c) < 100
}

// stepBack takes a control one stage down whose enforced arm refuses known users
// clearly more often than the rest, which it lets through. It is a CUSUM: each
// look adds the refusals of known users in the enforced arm, less the tolerated
// share of the decisions there, and never falls below zero.
func (p *Plane) stepBack(ctx context.Context, now time.Time) error {
	const whole = 10_000
	harmful := make(map[string]string)
	p.mu.Lock()
	p.lookAtStages(now)
	tolerated := float64(p.effective.Rollout.StepBack) / whole
	for name, s := range p.stages {
		info := ControlInfo{Name: name}
		p.parts.Decisions(&info)
		refused := float64(info.KnownRefused - s.last.KnownRefused)
		decided := refused + float64(info.KnownAllowedEnforced-s.last.KnownAllowedEnforced)
		s.last = info
		if !stepsBack(name, s.control) || tolerated == 0 {
			s.excess = 0
			continue
		}
		s.excess = max(0, s.excess+refused-tolerated*decided)
		if s.excess >= minExcess {
			harmful[name] = fmt.Sprintf("of the known users it is enforced for it refuses more than the tolerated %v: %d refusals since %s",
				p.effective.Rollout.StepBack, info.KnownRefused-s.base.KnownRefused, s.since.UTC().Format(time.RFC3339))
			s.excess = 0
		}
	}
	p.mu.Unlock()
	var errs []error
	for name, why := range harmful {
		p.log.Warn("a control steps back by itself", "control", name, "reason", why)
		_, err := p.Apply(ctx, stepBackActor, RolloutBack{Control: name}, Options{Reason: why})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
