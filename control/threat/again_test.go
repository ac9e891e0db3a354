package threat

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
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

// TestABlockThatAnOperatorTookBackIsNone: whoever goes on is found and blocked again, for as long as if that block had not been; who does not is not said
// to be blocked.
func TestABlockThatAnOperatorTookBackIsNone(t *testing.T) {
	for _, from := range []netip.Addr{attacker, netip.MustParseAddr("2001:db8:1:2::3")} {
		w := newWorld(t, policy.Enforce, nil)
		w.attack(from)
		w.attack(from) // before the store has answered
		if b := w.blocks(); len(b) != 1 {
			t.Fatalf("%v: blocks %+v", from, b)
		}
		w.attack(from)
		if b, st := w.blocks(), w.Status(); len(b) != 1 || st.BlockedNow != 1 {
			t.Fatalf("%v: while it is in force: blocks %+v, %+v", from, b, st)
		}
		w.unblock()
		if st := w.Status(); st.BlockedNow != 0 {
			t.Errorf("%v: %d are said to be blocked", from, st.BlockedNow)
		}
		w = w.again(t) // what is remembered is not taken for a block either
		w.at = w.at.Add(time.Second)
		w.attack(from)
		if got := w.suspects.Stage(from, w.at); got != guard.Shown {
			t.Errorf("%v: stage %d", from, got)
		}
		b := w.blocks()
		if len(b) != 1 || b[0].For != terms[0] {
			t.Fatalf("%v: blocks %+v, want one more of %v", from, b, terms[0])
		}
		if st := w.Status(); st.BlockedNow != 1 {
			t.Errorf("%v: %d are said to be blocked", from, st.BlockedNow)
		}
	}
}

// TestWhatIsOverIsNotBlockedNow, though nothing has happened since.
func TestWhatIsOverIsNotBlockedNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Enforce, nil)
		w.attack(attacker)
		w.blocks()
		time.Sleep(terms[0] - time.Second)
		if n := w.Status().BlockedNow; n != 1 {
			t.Errorf("shortly before the end %d are blocked", n)
		}
		time.Sleep(time.Second)
		if n := w.Status().BlockedNow; n != 0 {
			t.Errorf("after the end %d are blocked", n)
		}
	})
}

// TestMonitorMakesNoBlockLonger: what would have been blocked for longer and longer is blocked for ten minutes the first time, and what was blocked
// before is forgiven as soon as if nothing had been counted.
func TestMonitorMakesNoBlockLonger(t *testing.T) {
	w := newWorld(t, policy.Monitor, nil)
	mode := func(m policy.Mode) { w.snap.Controls[policy.ThreatBlock] = policy.Control{Mode: m} }
	for i, want := range []time.Duration{terms[0], terms[1], terms[2], terms[3], terms[4], terms[4], terms[4]} {
		w.attack(attacker)
		w.blocks()
		if n := w.done.Notes; n[len(n)-1].Action != "would be blocked for "+want.String() {
			t.Errorf("count %d: %s, want %v", i, n[len(n)-1].Action, want)
		}
		w.at = w.at.Add(want + time.Second)
	}
	mode(policy.Enforce)
	for _, want := range terms[:2] {
		w.attack(attacker)
		b := w.blocks()
		if got := b[len(b)-1].For; got != want {
			t.Errorf("blocked for %v, want %v", got, want)
		}
		w.at = w.at.Add(want + time.Second)
	}
	mode(policy.Monitor)
	for begin := w.at; w.at.Sub(begin) < 2*forgive; w.at = w.at.Add(dayLong) {
		w.attack(attacker)
	}
	mode(policy.Enforce)
	w.attack(attacker)
	if b := w.blocks(); b[len(b)-1].For != terms[0] {
		t.Errorf("after two weeks in monitor blocked for %v", b[len(b)-1].For)
	}
}

// TestAnExceptionCountsWhatItSpares, and not that somebody looked.
func TestAnExceptionCountsWhatItSpares(t *testing.T) {
	exceptions, err := policy.NewExceptions([]policy.Exception{{
		ID: "e", Prefix: netip.MustParsePrefix("203.0.113.0/24"), Controls: []string{policy.ThreatBlock}, Until: day0.Add(dayLong), Reason: "r", Owner: "o",
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, policy.Monitor, nil)
	w.attack(attacker)
	w.snap.Exceptions = exceptions
	for range 5 { // while it would be blocked
		w.attack(attacker)
	}
	if n, _ := exceptions.Hits("e"); n != 0 {
		t.Errorf("%d are counted that it spared nobody", n)
	}
	w.at = w.at.Add(terms[0])
	w.attack(attacker)
	if n, _ := exceptions.Hits("e"); n != 1 {
		t.Errorf("%d are counted, want the one that it spared", n)
	}
}
