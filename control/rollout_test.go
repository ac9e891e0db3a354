package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"mtguard/security/policy"
)

// decide makes the counters of a control what they would be.
type decisions map[string]*ControlInfo

func (d decisions) add(info *ControlInfo) {
	if c := d[info.Name]; c != nil {
		info.Allowed, info.Refused, info.WouldRefuse = c.Allowed, c.Refused, c.WouldRefuse
		info.KnownAllowed, info.KnownAllowedEnforced, info.KnownRefused, info.KnownWould = c.KnownAllowed, c.KnownAllowedEnforced, c.KnownRefused, c.KnownWould
	}
}

func newRollout(t *testing.T) (*bench, *ControlInfo) {
	b := newBench(t)
	c := new(ControlInfo)
	b.parts.Decisions = decisions{policy.ConnsUser: c}.add
	b.pass(time.Second)
	return b, c
}

func (b *bench) stage(control string) policy.Control { return b.live.Load().Controls[control] }

func TestAControlGoesUpStageByStageThroughItsGate(t *testing.T) {
	b, c := newRollout(t)
	next := RolloutNext{Control: policy.ConnsUser}
	why := Options{Reason: "all quiet"}
	if e := b.refuses(Refused, next, why); !strings.HasSuffix(e.Text, "conns.user may not bite more yet: it has been in monitor for 0s, and 1d is asked for") {
		t.Errorf("at once: %v", e)
	}
	b.pass(25 * time.Hour)
	if e := b.refuses(Refused, next, why); !strings.Contains(e.Text, "1000 decisions") {
		t.Errorf("without decisions: %v", e)
	}
	*c = ControlInfo{Allowed: 5000, KnownAllowed: 900, KnownWould: 100, WouldRefuse: 100}
	if e := b.refuses(Refused, next, why); !strings.Contains(e.Text, "refusals") {
		t.Errorf("with a tenth of known users refused: %v", e)
	}
	*c = ControlInfo{Allowed: 50_000, KnownAllowed: 49_900, KnownWould: 100, WouldRefuse: 100}
	steps, err := b.Rollout(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if s.Control == policy.ConnsUser && (s.Waits != "" || s.Next != "enforce 10%" || s.KnownDecisions != 50_000) {
			t.Errorf("step %+v", s)
		}
	}
	b.refuses(Invalid, next, Options{}) // no reason
	b.apply(next, why)
	if got := b.stage(policy.ConnsUser); got != (policy.Control{Mode: policy.Enforce, Percent: 10}) {
		t.Fatalf("the first stage is %v", got)
	}
	b.refuses(Refused, next, why) // it has only just begun
	b.apply(next, Options{Reason: "hurry", Force: true})
	b.apply(next, Options{Reason: "hurry", Force: true})
	if got := b.stage(policy.ConnsUser); got != (policy.Control{Mode: policy.Enforce}) {
		t.Errorf("the last stage is %v", got)
	}
	b.refuses(Refused, next, Options{Reason: "more", Force: true})
	back := RolloutBack{Control: policy.ConnsUser}
	for range 4 {
		b.apply(back, Options{})
	}
	if got := b.stage(policy.ConnsUser); got.Mode != policy.Off {
		t.Errorf("all the way down is %v", got)
	}
	b.refuses(Refused, back, Options{})
	b.refuses(NotFound, RolloutNext{Control: "no.such"}, why)
	b.refuses(Invalid, RolloutNext{Control: policy.ConnsTotal}, why)
}

func TestAControlThatHarmsKnownUsersStepsBackByItself(t *testing.T) {
	b, c := newRollout(t)
	b.apply(SetMode{Control: policy.ConnsUser, Mode: "enforce", Percent: 10}, Options{Reason: "try", Force: true})
	for range 20 { // refuses one in a hundred: within what is tolerated
		c.KnownRefused++
		c.KnownAllowedEnforced += 99
		c.KnownAllowed += 99
		b.pass(time.Second)
	}
	if got := b.stage(policy.ConnsUser); got.Mode != policy.Enforce {
		t.Fatalf("within the tolerated it stepped back: %v", got)
	}
	for range 5 { // refuses a third of them
		c.KnownRefused += 3
		c.KnownAllowedEnforced += 7
		c.KnownAllowed += 7
		b.pass(time.Second)
	}
	if got := b.stage(policy.ConnsUser); got.Mode != policy.Monitor {
		t.Fatalf("it refuses a third of known users, and is %v", got)
	}
	rows, err := b.AuditTail(context.Background(), operator, 1, 0)
	if err != nil || rows[0].Actor != stepBackActor.Name || rows[0].Action != "rollout.back" || !strings.Contains(rows[0].Reason, "known users") {
		t.Errorf("audit rows %+v, %v", rows, err)
	}
	if !strings.Contains(b.log.String(), "steps back") {
		t.Error("the log does not tell")
	}
	b.pass(time.Hour)
	if got := b.stage(policy.ConnsUser); got.Mode != policy.Monitor {
		t.Errorf("in monitor it stepped further: %v", got)
	}
}

// TestAPolicyIsChangedAsItWasSeen: two who change it at once do not undo each other.
func TestAPolicyIsChangedAsItWasSeen(t *testing.T) {
	b := newBench(t)
	why := Options{Reason: "because"}
	seen := Options{Reason: "because", IfRevision: 1}
	b.apply(SetPolicy{"schema = 1\n[connections]\nper_prefix = 900\n"}, why)
	b.apply(SetPolicy{"schema = 1\n[connections]\nper_prefix = 901\n"}, seen)
	b.refuses(Stale, SetPolicy{"schema = 1\n[connections]\nper_prefix = 902\n"}, seen)
	b.refuses(Stale, RollbackPolicy{Revision: 1}, seen)
	b.refuses(Stale, SetMode{Control: policy.ConnsUser, Mode: "off"}, seen)
	b.apply(RollbackPolicy{Revision: 1}, Options{Reason: "because", IfRevision: 2})
}

// TestFromOffNothingIsEnforcedAtOnce: of what is off nobody knows whom it would refuse.
func TestFromOffNothingIsEnforcedAtOnce(t *testing.T) {
	b := newBench(t)
	why := Options{Reason: "because"}
	b.apply(SetMode{Control: policy.ConnsUser, Mode: "off"}, why)
	b.refuses(Refused, SetMode{Control: policy.ConnsUser, Mode: "enforce"}, why)
	b.apply(SetMode{Control: policy.ConnsUser, Mode: "monitor"}, why)
	b.refuses(Refused, SetMode{Control: policy.ConnsUser, Mode: "enforce"}, why)
}

// TestWhatIsNoTrialDoesNotStepBack: whom a rule refuses cannot undo it by knocking, and what is enforced for all stays.
func TestWhatIsNoTrialDoesNotStepBack(t *testing.T) {
	for name, c := range map[string]SetMode{
		"a rule": {Control: policy.AccessLevel, Mode: "enforce", Percent: 10}, "a pattern": {Control: policy.AccessPattern, Mode: "enforce", Percent: 10},
		"a country": {Control: policy.GeoCountry, Mode: "enforce", Percent: 10}, "for all": {Control: policy.ConnsUser, Mode: "enforce"},
	} {
		b, decided := newBench(t), new(ControlInfo)
		b.parts.Decisions = decisions{c.Control: decided}.add
		b.apply(c, Options{Reason: "meant so", Force: true})
		for range 10 {
			decided.KnownRefused += 100
			b.pass(time.Second)
		}
		if got := b.stage(c.Control); got.Mode != policy.Enforce || got.Percent != c.Percent {
			t.Errorf("%s: it is %v", name, got)
		}
	}
}

// TestAllGatesMayBeForcedAtOnce: the audit row has room for what was forced.
func TestAllGatesMayBeForcedAtOnce(t *testing.T) {
	b := newBench(t)
	document := "schema = 1\n"
	for _, name := range policy.Controls() {
		if !policy.MemoryBound(name) {
			document += "[controls.\"" + name + "\"]\nmode = \"enforce\"\n"
		}
	}
	b.apply(SetPolicy{document}, Options{Reason: "all", Force: true})
	rows, err := b.AuditTail(context.Background(), operator, 1, 0)
	if err != nil || rows[0].Details["gate.more"] == "" {
		t.Errorf("%+v, %v", rows, err)
	}
}
