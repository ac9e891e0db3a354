package control

import (
	"testing"
	"time"

	"mtguard/security/access"
)

// TestASweepUndoesNoRevocation: the sweep has looked at what is in memory, and stands
// behind a revocation in the queue of those who write.
func TestASweepUndoesNoRevocation(t *testing.T) {
	b := newBench(t)
	made := b.token(CreateToken{Name: "ci", Level: access.Admin})
	kept := b.token(CreateToken{Name: "cd", Level: access.Admin})
	cookie, id := b.signIn("nadia")
	b.jump(time.Second)
	for _, used := range []bool{b.good(made, loopback), b.good(kept, loopback), b.good(cookie, loopback)} {
		if !used {
			t.Fatal("a credential is not good")
		}
	}
	looked := b.credentials.toSettle(b.clock(), false)
	if len(looked.tokens) != 2 || len(looked.sessions) != 1 {
		t.Fatalf("the sweep has %d tokens and %d sessions to write down", len(looked.tokens), len(looked.sessions))
	}
	b.apply(RevokeToken{"ci"}, Options{Reason: "test"})
	b.apply(EndSession{id.Session}, Options{})
	if err := b.settleUses(t.Context(), looked, b.clock(), false); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"after the sweep", "after a restart"} {
		if b.good(made, loopback) || b.good(cookie, loopback) {
			t.Errorf("%s what was ended is good again", when)
		}
		if !b.good(kept, loopback) {
			t.Errorf("%s the other token is not good", when)
		}
		b.restart()
	}
	if items, _ := b.Tokens(t.Context()); len(items) != 2 || items[0].State != tokenRevoked || items[1].LastUsed == nil || items[1].LastFrom != loopback.String() {
		t.Errorf("the list has %+v", items)
	}
}
