package control

import (
	"testing"

	"mtguard/security/policy"
)

// TestWhoApprovesReadsWords: what is asked for reads as the change's own summary does, and every change of the policy
// says what would be another.
func TestWhoApprovesReadsWords(t *testing.T) {
	const path = "controls." + policy.RateAccept
	for name, c := range map[string]struct {
		before func(*bench) Change
		brief  string
		was    string
		value  string
	}{
		"enforce for all": {func(*bench) Change { return SetMode{Control: policy.RateAccept, Mode: "enforce"} },
			"rate.accept: monitor > enforce for all", "monitor", "enforce"},
		"enforce for a share": {func(*bench) Change { return tenth(policy.RateAccept) }, "rate.accept: monitor > enforce 10%", "monitor", "enforce 10%"},
		"the next stage":      {func(*bench) Change { return RolloutNext{policy.RateAccept} }, "rate.accept: monitor > enforce 10%", "monitor", "enforce 10%"},
		"a rollback": {func(b *bench) Change {
			b.apply(SetMode{Control: policy.RateAccept, Mode: "off"}, Options{Reason: "x"})
			return RollbackPolicy{}
		}, "rate.accept: off > monitor", "off", "monitor"},
		"keeping a trial": {func(b *bench) Change {
			b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce"}, onTrial())
			return KeepTrial{1}
		}, "policy r1 stays: rate.accept: monitor > enforce", "monitor", "enforce"},
		"ending a trial that has loosened": {func(b *bench) Change {
			b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce"}, Options{Reason: "x", Force: true})
			b.apply(SetMode{Control: policy.RateAccept, Mode: "monitor"}, onTrial())
			return EndTrial{2}
		}, "rate.accept: monitor > enforce for all", "monitor", "enforce"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			change := c.before(b)
			b.takesTwo(ClassEnforce)
			before, err := b.Policy(t.Context(), PolicyInForce)
			if err != nil {
				t.Fatal(err)
			}
			onTrial, _ := b.Trials(t.Context())
			id := b.asks(root, change, Options{Reason: "x", Force: true})
			info, err := b.Approval(t.Context(), id)
			if err != nil || info.Brief != c.brief {
				t.Errorf("it reads %q, want %q, %v", info.Brief, c.brief, err)
			}
			if len(info.Changes) != 1 || info.Changes[0].Path != path || info.Changes[0].Was != c.was || info.Changes[0].Value != c.value {
				t.Errorf("what would change is %+v", info.Changes)
			}
			if now, _ := b.Policy(t.Context(), PolicyInForce); now.Revision != before.Revision {
				t.Error("to look changes the policy")
			}
			if trials, _ := b.Trials(t.Context()); len(trials) != len(onTrial) {
				t.Errorf("to look ends trials: %+v", trials)
			}
			if _, err := b.Approve(t.Context(), person("nadia"), id, Options{}); err != nil {
				t.Errorf("approved: %v", err)
			}
			if info, _ = b.Approval(t.Context(), id); len(info.Changes) != 0 {
				t.Errorf("when it is made there still would change %+v", info.Changes)
			}
		})
	}
}
