package control

import (
	"testing"
	"time"
)

func TestWorkByTimeWaitsAfterAJumpOfTheClock(t *testing.T) {
	type look struct {
		after time.Duration // monotonic, since the look before
		jump  time.Duration // of the wall clock, on top of it
		held  bool
	}
	tests := []struct {
		name  string
		looks []look
	}{
		{"an even clock", []look{{0, 0, false}, {time.Second, 0, false}, {time.Hour, 0, false}}},
		{"slewing", []look{{0, 0, false}, {time.Second, 500 * time.Millisecond, false}, {time.Second, -30 * time.Second, false}}},
		{"ahead, and believed in the end", []look{{0, 0, false}, {time.Second, 365 * 24 * time.Hour, true}, {settle / 2, 0, true}, {settle / 2, 0, false}, {time.Second, 0, false}}},
		{"back, and believed in the end", []look{{0, 0, false}, {time.Second, -48 * time.Hour, true}, {settle, 0, false}}},
		{"ahead and back again", []look{{0, 0, false}, {time.Second, 48 * time.Hour, true}, {time.Second, -48 * time.Hour, false}}},
		{"ahead twice begins anew", []look{{0, 0, false}, {time.Second, time.Hour, true}, {settle - time.Second, time.Hour, true}, {settle - time.Second, 0, true}, {time.Second, 0, false}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c clock
			wall, mono := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), time.Duration(0)
			for i, l := range test.looks {
				wall, mono = wall.Add(l.after+l.jump), mono+l.after
				if held := c.look(wall, mono); (held != "") != l.held {
					t.Errorf("look %d: held %q, want held: %v", i, held, l.held)
				}
			}
		})
	}
}
