package threat

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/proxy/guard"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
)

// slowStore never answers.
type slowStore struct{ asked chan Response }

func (s *slowStore) Respond(ctx context.Context, r Response) ([]netip.Prefix, error) {
	s.asked <- r
	<-ctx.Done()
	return nil, ctx.Err()
}

// refused is what the door says to an address.
func (w *world) refused(addr netip.Addr, at time.Time) bool {
	return w.suspects.Check(&guard.Conn{Addr: netip.AddrPortFrom(addr, 1), At: at, Policy: w.snap}).Action != guard.Allow
}

// TestTheDoorRefusesBeforeTheStoreAnswers: an address, and a network, from the decision on; what the store says counts for later.
func TestTheDoorRefusesBeforeTheStoreAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Enforce, nil)
		s := &slowStore{make(chan Response, 64)}
		w.Engine.o.Responder = s
		events := make(chan event.Event)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.Run(ctx, events); close(done) }()
		attack := func(from netip.Addr) {
			events <- event.Event{Time: w.at, Kind: event.HandshakeFailed, Addr: from, Reason: "attack"}
			synctest.Wait()
		}
		w.Engine.began = w.at.Add(-2 * guard.Lately) // up for long enough to judge networks
		neighbour := netip.MustParseAddr("2001:db8:7:ffff::1")
		if w.refused(attacker, w.at) || w.refused(neighbour, w.at) {
			t.Fatal("somebody is refused who did nothing")
		}
		attack(attacker)
		for i := range networkMost + 1 {
			attack(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0, 7, 0, byte(i), 15: 1}))
		}
		if !w.refused(attacker, w.at) || !w.refused(neighbour, w.at) {
			t.Errorf("before the store was asked: address refused %v, network %v", w.refused(attacker, w.at), w.refused(neighbour, w.at))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !w.refused(attacker, w.at) || !w.refused(neighbour, w.at) {
			t.Error("while the store thinks, somebody is let in")
		}
		blocks, notes := 0, 0
		for len(s.asked) > 0 {
			r := <-s.asked
			blocks, notes = blocks+len(r.Blocks), notes+len(r.Notes)
		}
		if blocks != networkMost+3 || notes == 0 {
			t.Errorf("the store was asked for %d blocks, and %d notes that need not wait for them", blocks, notes)
		}
		stop()
		<-done
	})
}

// TestWhatTheStoreTakesIsTheRulesFromThenOn, and can be taken back; what it does not take holds ten minutes and no longer.
func TestWhatTheStoreTakesIsTheRulesFromThenOn(t *testing.T) {
	network := func(w *world) netip.Addr {
		w.Engine.began = w.at.Add(-2 * guard.Lately)
		for i := range networkMost + 1 {
			w.attack(netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0, 7, 0, byte(i), 15: 1}))
		}
		return netip.MustParseAddr("2001:db8:7:ffff::1")
	}
	w := newWorld(t, policy.Enforce, nil)
	neighbour := network(w)
	w.attack(attacker)
	w.blocks()
	w.unblock()
	if w.refused(attacker, w.at) || w.refused(neighbour, w.at) {
		t.Error("after an operator took the rule back, the door would refuse still")
	}
	w = newWorld(t, policy.Enforce, nil)
	w.err = errors.New("the disk is full")
	network(w)
	w.attack(attacker)
	w.blocks()
	before := w.at.Add(suspectFor - time.Second)
	if !w.refused(attacker, before) || !w.refused(neighbour, before) {
		t.Error("what the store does not take is let in")
	}
	if after := w.at.Add(suspectFor); w.refused(attacker, after) || w.refused(neighbour, after) {
		t.Error("what the store does not take holds for longer than its stage")
	}
	if st := w.Status(); st.Failed == 0 {
		t.Error("the failure is not counted")
	}
}
