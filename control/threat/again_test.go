package threat

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"mtguard/proxy/guard"
	"mtguard/security/policy"
)

// TestABlockThatIsNotInForceIsNoneToWaitFor: whoever would have been blocked in monitor, or whose block could not be made, is answered when he goes on.
func TestABlockThatIsNotInForceIsNoneToWaitFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   policy.Mode
		before func(*world)
		after  func(*world)
	}{
		{"it was in monitor", policy.Monitor, func(*world) {}, func(w *world) {
			w.snap.Controls[policy.ThreatBlock] = policy.Control{Mode: policy.Enforce}
		}},
		{"the store would not take it", policy.Enforce, func(w *world) { w.err = errors.New("the disk is full") }, func(w *world) {
			w.err, w.done = nil, Response{}
		}},
		{"somebody was there", policy.Enforce, func(w *world) { w.spare = []netip.Prefix{prefixOf(attacker)} }, func(w *world) {
			w.spare, w.done = nil, Response{}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.mode, nil)
			c.before(w)
			w.attack(attacker)
			w.blocks()
			if st := w.Status(); c.mode == policy.Enforce && st.BlockedNow != 0 {
				t.Errorf("%d are said to be blocked", st.BlockedNow)
			}
			c.after(w)
			w.at = w.at.Add(time.Second)
			w.attack(attacker)
			if got := w.suspects.Stage(attacker, w.at); got != guard.Shown {
				t.Errorf("stage %d", got)
			}
			b := w.blocks()
			if len(b) != 1 || b[0].Prefix != prefixOf(attacker) {
				t.Fatalf("blocks %+v", b)
			}
			if c.mode == policy.Enforce && b[0].For != 10*time.Minute {
				t.Errorf("blocked for %v: the block that was none counts as an offence", b[0].For)
			}
		})
	}
}
