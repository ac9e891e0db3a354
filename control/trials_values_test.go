package control

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
)

func forGood() Options { return Options{Reason: "for good", Force: true} }

func (b *bench) value(path string) string {
	b.t.Helper()
	b.Plane.mu.Lock()
	defer b.Plane.mu.Unlock()
	text, ok := b.effective.Text(path)
	if !ok {
		b.t.Fatalf("there is no %s", path)
	}
	return text
}

// values fails the test if the policy in force has others.
func (b *bench) values(when string, want map[string]string) {
	b.t.Helper()
	for path, text := range want {
		if got := b.value(path); got != text {
			b.t.Errorf("%s: %s is %s, want %s", when, path, got, text)
		}
	}
}

const tried = `schema = 1
[rates]
new_per_prefix = "7/s"
[controls."conns.user"]
mode = "monitor"
[controls."conns.user".candidate]
per_user = 3
`

// TestADocumentOnTrialRevertsBesideWhatOthersChanged: not only its modes do.
func TestADocumentOnTrialRevertsBesideWhatOthersChanged(t *testing.T) {
	b := newBench(t)
	before := map[string]string{"rates.new_per_prefix": b.value("rates.new_per_prefix"), "controls.conns.user.candidate": "{}"}
	r := b.apply(SetPolicy{Document: tried}, onTrial())
	if len(r.Trial.Changes) != 2 || r.Trial.Changes[0].Path != "rates.new_per_prefix" || r.Trial.Changes[0].Was != before["rates.new_per_prefix"] {
		t.Errorf("on trial: %+v", r.Trial.Changes)
	}
	b.apply(tenth(policy.RateAccept), forGood())
	b.values("on trial", map[string]string{"rates.new_per_prefix": `"7/s"`, "controls.conns.user.candidate": "{ per_user = 3 }"})
	if all := b.onTrial(); len(all) != 1 || len(all[0].Changes) != 2 {
		t.Errorf("on trial: %+v", all)
	}
	b.pass(10 * time.Minute)
	b.values("after its end", before)
	b.stages("after its end", map[string]policy.Control{policy.RateAccept: forTenth})
}

// TestATextComesBackAsItWas: with its comments, when nothing came between.
func TestATextComesBackAsItWas(t *testing.T) {
	b := newBench(t)
	const mine = "# of the committee\nschema = 1\n[rates]\nnew_per_prefix = \"9/s\" # not less\n"
	b.apply(SetPolicy{Document: mine}, forGood())
	b.apply(tenth(policy.RateAccept), onTrial())
	b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce"}, onTrial())
	b.pass(10 * time.Minute)
	if info, err := b.Policy(context.Background(), PolicyInForce); err != nil || info.Document != mine {
		t.Errorf("%v: %q", err, info.Document)
	}
}

// TestWhatIsDecidedIsNotOnTrialAnyMore: not even when it comes to be as the trial had it.
func TestWhatIsDecidedIsNotOnTrialAnyMore(t *testing.T) {
	b := newBench(t)
	b.apply(tenth(policy.RateAccept), onTrial())
	b.apply(SetMode{Control: policy.RateAccept, Mode: "monitor"}, forGood())
	b.apply(tenth(policy.RateAccept), forGood())
	if all := b.onTrial(); len(all) != 0 {
		t.Errorf("on trial: %+v", all)
	}
	b.pass(10 * time.Minute)
	b.stages("decided", map[string]policy.Control{policy.RateAccept: forTenth})
	// Back to where it began is no trial.
	b.apply(SetMode{Control: policy.ConnsUser, Mode: "enforce"}, onTrial())
	if r := b.apply(SetMode{Control: policy.ConnsUser, Mode: "monitor"}, onTrial()); r.Trial != nil || len(b.onTrial()) != 0 {
		t.Errorf("%+v, on trial %+v", r.Trial, b.onTrial())
	}
}

// TestTrialsEndEachAtItsTime: a longer one does not prolong the one before.
func TestTrialsEndEachAtItsTime(t *testing.T) {
	b := newBench(t)
	b.apply(tenth(policy.RateAccept), onTrial())
	long := onTrial()
	long.RevertAfter = Duration(time.Hour)
	b.apply(tenth(policy.ConnsUser), long)
	if all := b.onTrial(); len(all) != 2 {
		t.Errorf("on trial: %+v", all)
	}
	b.pass(10 * time.Minute)
	b.stages("after the first", map[string]policy.Control{policy.RateAccept: inMonitor, policy.ConnsUser: forTenth})
	b.pass(50 * time.Minute)
	b.stages("after both", map[string]policy.Control{policy.RateAccept: inMonitor, policy.ConnsUser: inMonitor})
}

// TestAStepBackLeavesTheRestOnTrial: it takes nobody's approval, so it cannot make lasting
// what was approved for minutes.
func TestAStepBackLeavesTheRestOnTrial(t *testing.T) {
	b := newBench(t)
	b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce"}, onTrial())
	b.apply(RolloutBack{Control: policy.RateAccept}, forGood())
	b.stages("a step back", map[string]policy.Control{policy.RateAccept: forHalf})
	if all := b.onTrial(); len(all) != 1 || all[0].What != "rate.accept: monitor > enforce 50%" {
		t.Errorf("on trial: %+v", all)
	}
	b.pass(10 * time.Minute)
	b.stages("after its end", map[string]policy.Control{policy.RateAccept: inMonitor})
	// Two steps back it is where it was, and nothing is on trial.
	b.apply(tenth(policy.RateAccept), onTrial())
	b.apply(RolloutBack{Control: policy.RateAccept}, forGood())
	if all := b.onTrial(); len(all) != 0 {
		t.Errorf("on trial: %+v", all)
	}
	// What a trial has taken out of the bite does not bite again after a step back.
	b.apply(SetMode{Control: policy.ConnsUser, Mode: "enforce"}, forGood())
	b.apply(SetMode{Control: policy.ConnsUser, Mode: "enforce", Percent: 50}, onTrial())
	b.apply(RolloutBack{Control: policy.ConnsUser}, forGood())
	b.pass(10 * time.Minute)
	b.stages("less", map[string]policy.Control{policy.ConnsUser: forTenth})
}

// TestTheBiteEndsAlsoWhereBoundsCannot: somebody has set a bound that does not go with the
// one before the trial.
func TestTheBiteEndsAlsoWhereBoundsCannot(t *testing.T) {
	b := newBench(t)
	const widened = "schema = 1\n[connections]\nper_prefix = 2000\n%s[controls.\"rate.accept\"]\nmode = \"enforce\"\n"
	b.apply(SetPolicy{Document: strings.Replace(widened, "%s", "", 1)}, onTrial())
	b.apply(SetPolicy{Document: strings.Replace(widened, "%s", "per_address = 1900\n", 1)}, forGood())
	b.pass(10 * time.Minute)
	b.stages("after its end", map[string]policy.Control{policy.RateAccept: inMonitor})
	b.values("after its end", map[string]string{"connections.per_prefix": "2000", "connections.per_address": "1900"})
	rows, err := b.AuditTail(t.Context(), operator, 1, 0)
	if err != nil || len(rows) != 1 || rows[0].Action != "policy.revert" || rows[0].Details["left"] == "" {
		t.Errorf("the audit log has %+v, %v", rows, err)
	}
}

// TestATrialIsNoWayAroundTheSecondPerson: it takes one to begin, and one to keep.
func TestATrialIsNoWayAroundTheSecondPerson(t *testing.T) {
	b := newBench(t)
	b.Plane.mu.Lock()
	b.twoPerson = []string{ClassEnforce}
	b.Plane.mu.Unlock()
	mine := Actor{Name: "uid 0", Person: "uid 0", Level: access.Superuser}
	nadia := Actor{Name: "nadia", Person: "nadia", Level: access.Superuser}
	waits := func(c Change, o Options) string {
		t.Helper()
		r, err := b.Apply(t.Context(), mine, c, o)
		if err != nil || r.Approval == nil || r.Trial != nil {
			t.Fatalf("%T does not wait: %+v, %v", c, r, err)
		}
		return r.Approval.ID
	}
	enforce := SetMode{Control: policy.RateAccept, Mode: "enforce"}
	const document = "schema = 1\n[controls.\"rate.accept\"]\nmode = \"enforce\"\n"
	for _, c := range []Change{SetPolicy{Document: document}, RolloutNext{Control: policy.RateAccept}, enforce} {
		waits(c, onTrial())
	}
	b.stages("nobody has approved", map[string]policy.Control{policy.RateAccept: inMonitor})
	b.pass(time.Hour)
	id := waits(enforce, onTrial())
	items, _, err := b.Approvals(t.Context(), 0, 1)
	if err != nil || len(items) != 1 || items[0].Trial != tenMinutes {
		t.Errorf("whoever approves does not see that it is a trial: %+v, %v", items, err)
	}
	b.pass(time.Hour)
	r, err := b.Approve(t.Context(), nadia, id, Options{})
	if err != nil || r.Trial == nil || !r.Trial.Until.Equal(b.clock().Add(10*time.Minute)) {
		t.Fatalf("approved: %+v, %v", r.Trial, err)
	}
	// What takes nobody's approval makes nothing lasting.
	if _, err := b.Apply(t.Context(), mine, RolloutBack{Control: policy.RateAccept}, forGood()); err != nil {
		t.Fatal(err)
	}
	late := waits(KeepTrial{Revision: r.Trial.Revision}, Options{})
	b.pass(10 * time.Minute)
	b.stages("only one wants to keep it", map[string]policy.Control{policy.RateAccept: inMonitor})
	_, err = b.Approve(t.Context(), nadia, late, Options{})
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != NotFound {
		t.Errorf("kept when it was over: %v", err)
	}

	r, err = b.Approve(t.Context(), nadia, waits(enforce, onTrial()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Approve(t.Context(), nadia, waits(KeepTrial{Revision: r.Trial.Revision}, Options{}), Options{}); err != nil {
		t.Fatal(err)
	}
	b.pass(day)
	b.stages("two want to keep it", map[string]policy.Control{policy.RateAccept: {Mode: policy.Enforce}})
	// To end one takes one person.
	r, err = b.Approve(t.Context(), nadia, waits(SetMode{Control: policy.ConnsUser, Mode: "enforce"}, onTrial()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := b.Apply(t.Context(), mine, EndTrial{Revision: r.Trial.Revision}, Options{}); err != nil || r.Approval != nil {
		t.Errorf("to end it: %+v, %v", r, err)
	}
	b.stages("ended", map[string]policy.Control{policy.ConnsUser: inMonitor})
}

// TestStatusAndRolloutTellOfTrials: both say until when.
func TestStatusAndRolloutTellOfTrials(t *testing.T) {
	b := newBench(t)
	b.apply(tenth(policy.RateAccept), onTrial())
	b.apply(tenth(policy.ConnsUser), forGood())
	s, err := b.Status(t.Context())
	if err != nil || len(s.Trials) != 1 || s.Trials[0].What != "rate.accept: monitor > enforce 10%" {
		t.Errorf("status: %+v, %v", s.Trials, err)
	}
	steps, err := b.Rollout(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if onTrial := step.Control == policy.RateAccept; onTrial != (step.Trial != nil) || onTrial && step.Trial.Revision != 1 {
			t.Errorf("%s: %+v", step.Control, step.Trial)
		}
	}
}
