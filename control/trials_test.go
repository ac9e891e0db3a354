package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
)

const tenMinutes = Duration(10 * time.Minute)

func onTrial() Options { return Options{Reason: "try it", Force: true, RevertAfter: tenMinutes} }

func (b *bench) onTrial() []TrialInfo {
	b.t.Helper()
	all, err := b.Trials(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

var (
	inMonitor = policy.Control{Mode: policy.Monitor}
	forTenth  = policy.Control{Mode: policy.Enforce, Percent: 10}
	forHalf   = policy.Control{Mode: policy.Enforce, Percent: 50}
)

func tenth(control string) SetMode { return SetMode{Control: control, Mode: "enforce", Percent: 10} }

// stages fails the test if a control is not as wanted.
func (b *bench) stages(when string, want map[string]policy.Control) {
	b.t.Helper()
	for name, c := range want {
		b.Plane.mu.Lock()
		got := b.effective.Control(name).Control
		b.Plane.mu.Unlock()
		if got != c {
			b.t.Errorf("%s: %s is %v, want %v", when, name, got, c)
		}
	}
}

func TestATrialRevertsUnlessItIsKept(t *testing.T) {
	b := newBench(t)
	r := b.apply(tenth(policy.RateAccept), onTrial())
	if r.Trial == nil || r.Trial.Revision != 1 || r.Trial.Base != 0 || !r.Trial.Until.Equal(b.clock().Add(10*time.Minute)) || !strings.Contains(r.Trial.What, "rate.accept") {
		t.Fatalf("trial %+v", r.Trial)
	}
	b.pass(9*time.Minute + 59*time.Second)
	b.stages("before the end", map[string]policy.Control{policy.RateAccept: forTenth})
	if all := b.onTrial(); len(all) != 1 || all[0].Revision != 1 {
		t.Errorf("on trial: %+v", all)
	}
	b.pass(time.Second)
	b.stages("after the end", map[string]policy.Control{policy.RateAccept: inMonitor})
	if all := b.onTrial(); len(all) != 0 {
		t.Errorf("still on trial: %+v", all)
	}
	rows, err := b.AuditTail(context.Background(), operator, 1, 0)
	if err != nil || len(rows) != 1 || rows[0].Action != "policy.revert" || rows[0].Actor != "trial" || rows[0].Reason != "nobody has kept it" {
		t.Errorf("the audit log has %+v, %v", rows, err)
	}

	kept := b.apply(tenth(policy.RateAccept), onTrial()).Trial.Revision
	b.apply(KeepTrial{Revision: kept}, Options{})
	b.pass(day)
	b.stages("kept", map[string]policy.Control{policy.RateAccept: forTenth})
	b.refuses(NotFound, KeepTrial{Revision: kept}, Options{})
	b.refuses(NotFound, EndTrial{Revision: kept}, Options{})
}

func TestATrialOutlivesTheProgram(t *testing.T) {
	b := newBench(t)
	b.apply(tenth(policy.RateAccept), onTrial())
	b.restart()
	if all := b.onTrial(); len(all) != 1 {
		t.Fatalf("on trial after a restart: %+v", all)
	}
	b.pass(10 * time.Minute)
	b.stages("after a restart", map[string]policy.Control{policy.RateAccept: inMonitor})
}

func TestATrialIsRevertedAtOnce(t *testing.T) {
	b := newBench(t)
	r := b.apply(tenth(policy.RateAccept), onTrial())
	admin := Actor{Name: "operator", Level: access.Admin}
	if _, err := b.Apply(context.Background(), admin, KeepTrial{Revision: r.Trial.Revision}, Options{}); err == nil {
		t.Error("an admin keeps what only a superuser may enforce")
	}
	if _, err := b.Apply(context.Background(), admin, EndTrial{Revision: r.Trial.Revision}, Options{}); err != nil {
		t.Errorf("an admin may not take the bite out: %v", err)
	}
	b.stages("reverted", map[string]policy.Control{policy.RateAccept: inMonitor})
}

// TestTwoTrialsInARowRevertToWhereTheyBegan: the second does not make the first lasting.
func TestTwoTrialsInARowRevertToWhereTheyBegan(t *testing.T) {
	b := newBench(t)
	b.apply(tenth(policy.RateAccept), onTrial())
	b.pass(5 * time.Minute)
	b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce", Percent: 50}, onTrial())
	b.stages("twice", map[string]policy.Control{policy.RateAccept: forHalf})
	if all := b.onTrial(); len(all) != 1 || all[0].Base != 0 {
		t.Errorf("on trial: %+v", all)
	}
	b.pass(10 * time.Minute)
	b.stages("nothing was kept", map[string]policy.Control{policy.RateAccept: inMonitor})

	b.apply(tenth(policy.ConnsUser), onTrial())
	b.apply(tenth(policy.RateAccept), onTrial())
	b.pass(10 * time.Minute)
	b.stages("two controls", map[string]policy.Control{policy.RateAccept: inMonitor, policy.ConnsUser: inMonitor})
}

// TestATrialLeavesWhatOthersChanged: between a trial and its end somebody else sets
// something for good.
func TestATrialLeavesWhatOthersChanged(t *testing.T) {
	b := newBench(t)
	b.apply(tenth(policy.RateAccept), onTrial())
	b.apply(SetMode{Control: policy.ConnsUser, Mode: "enforce", Percent: 50}, Options{Reason: "for good", Force: true})
	b.pass(10 * time.Minute)
	b.stages("another control", map[string]policy.Control{policy.RateAccept: inMonitor, policy.ConnsUser: forHalf})

	r := b.apply(tenth(policy.RateAccept), onTrial())
	b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce", Percent: 50}, Options{Reason: "for good", Force: true})
	if all := b.onTrial(); len(all) != 0 {
		t.Errorf("still on trial: %+v", all)
	}
	b.pass(10 * time.Minute)
	b.stages("the same control", map[string]policy.Control{policy.RateAccept: forHalf})
	b.refuses(NotFound, KeepTrial{Revision: r.Trial.Revision}, Options{})
}

// TestATrialOfTwoControlsLeavesTheOneThatWasDecided: somebody sets one of them for good.
func TestATrialOfTwoControlsLeavesTheOneThatWasDecided(t *testing.T) {
	b := newBench(t)
	b.apply(SetPolicy{Document: "schema = 1\n[controls.\"rate.accept\"]\nmode = \"enforce\"\npercent = 10\n[controls.\"conns.user\"]\nmode = \"enforce\"\npercent = 10\n"}, onTrial())
	b.apply(SetMode{Control: policy.ConnsUser, Mode: "enforce", Percent: 50}, Options{Reason: "for good", Force: true})
	if all := b.onTrial(); len(all) != 1 {
		t.Errorf("on trial: %+v", all)
	}
	b.pass(10 * time.Minute)
	b.stages("one of two", map[string]policy.Control{policy.RateAccept: inMonitor, policy.ConnsUser: forHalf})
}

// TestADocumentOnTrialRevertsWhole: not only the modes in it.
func TestADocumentOnTrialRevertsWhole(t *testing.T) {
	b := newBench(t)
	b.apply(SetPolicy{Document: "schema = 1\n[rates]\nnew_per_prefix = \"7/s\"\n"}, onTrial())
	if got := b.live.Load().Limits.NewPerPrefix.String(); got != "7/s" {
		t.Fatalf("on trial: %s", got)
	}
	b.pass(10 * time.Minute)
	if got := b.live.Load().Limits.NewPerPrefix.String(); got == "7/s" {
		t.Errorf("after its end: %s", got)
	}
}

func TestATrialHasBounds(t *testing.T) {
	b := newBench(t)
	for _, long := range []Duration{Duration(59 * time.Second), Duration(day + time.Second), -1} {
		b.refuses(Invalid, tenth(policy.RateAccept), Options{Reason: "x", Force: true, RevertAfter: long})
	}
	o := onTrial()
	o.DryRun = true
	if r := b.apply(tenth(policy.RateAccept), o); r.Trial == nil || len(b.onTrial()) != 0 {
		t.Errorf("a dry run: %+v, %+v", r.Trial, b.onTrial())
	}
}

// TestAClockThatWasSetBackEndsATrial: nobody knows how long it has been.
func TestAClockThatWasSetBackEndsATrial(t *testing.T) {
	b := newBench(t)
	b.apply(tenth(policy.RateAccept), onTrial())
	b.pass(-time.Hour)
	b.stages("an hour back", map[string]policy.Control{policy.RateAccept: inMonitor})
}
