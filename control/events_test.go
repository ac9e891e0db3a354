package control

import (
	"errors"
	"testing"

	"mtguard/security/access"
	"mtguard/telemetry/live"
)

// TestATokenDoesNotKeepOthersFromLooking: it has a share of the places, and who is at the node finds one in any case.
func TestATokenDoesNotKeepOthersFromLooking(t *testing.T) {
	b := newBench(t)
	b.parts.Events = live.NewHub(live.Options{})
	looks := func(by Actor) bool {
		t.Helper()
		_, err := b.Events(t.Context(), by, live.Query{Kinds: []live.Kind{live.Block}})
		if e, ok := errors.AsType[*Error](err); err != nil && (!ok || e.Kind != Unavailable) {
			t.Fatal(err)
		}
		return err == nil
	}
	got := 0
	for range live.MaxViewers {
		if looks(Actor{Name: "token ci", Level: access.ReadOnly, From: loopback}) {
			got++
		}
	}
	if got == 0 || got > live.MaxViewers/5 {
		t.Errorf("one token has %d places", got)
	}
	if !looks(Actor{Name: "nadia, session x", Level: access.ReadOnly, From: loopback}) {
		t.Error("a person gets none")
	}
	for range live.MaxViewers / 2 {
		if !looks(operator) {
			t.Fatal("somebody at the node gets none")
		}
	}
	if s, err := b.Status(t.Context()); err != nil || s.Viewers != got+1+live.MaxViewers/2 {
		t.Errorf("the status tells of %d viewers, %v", s.Viewers, err)
	}
}
