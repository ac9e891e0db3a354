package control

import (
	"context"
	"testing"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
)

// What is over is shown for a month, and is then no part of the bound any more.
func TestWhatIsOverIsTakenOut(t *testing.T) {
	b := newBench(t)
	b.add("kiosk")
	begun := b.clock()
	b.apply(Block{Target: "198.51.100.1"}, Options{})
	b.apply(Block{Target: "127.0.0.1", For: Duration(60 * day)}, Options{Force: true}) // nobody confirms it
	b.apply(Block{Target: "198.51.100.2", For: Duration(60 * day)}, Options{})
	b.apply(AddRule{Match: "198.51.100.3", Level: access.None}, Options{})
	spare := func(long time.Duration) {
		b.apply(AddException{Controls: []string{policy.ConnsUser}, User: "kiosk", Until: begun.Add(long)}, Options{Reason: "x"})
	}
	spare(time.Hour)
	spare(60 * day)
	left := func() (rules, exceptions int) {
		t.Helper()
		ctx := context.Background()
		list, _, err := b.Rules(ctx, RuleFilter{})
		spared, err2 := b.Exceptions(ctx)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		return len(list), len(spared)
	}
	b.pass(keptEnded)
	if rules, exceptions := left(); rules != 4 || exceptions != 2 {
		t.Errorf("a month later: %d rules, %d exceptions, want 4 and 2", rules, exceptions)
	}
	b.pass(day)
	if rules, exceptions := left(); rules != 2 || exceptions != 1 {
		t.Errorf("a month after they ended: %d rules, %d exceptions, want 2 and 1", rules, exceptions)
	}
	b.restart()
	if b.ceiling("198.51.100.2").Level != access.None || b.ceiling("198.51.100.3").Level != access.None {
		t.Error("one that holds is gone")
	}
	if rules, exceptions := left(); rules != 2 || exceptions != 1 {
		t.Errorf("after a restart: %d rules, %d exceptions", rules, exceptions)
	}
	b.pass(90 * day)
	if rules, exceptions := left(); rules != 1 || exceptions != 0 {
		t.Errorf("at last: %d rules, %d exceptions, want 1 and none", rules, exceptions)
	}
}
