package proxy

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"mtguard/security/policy"
	"mtguard/telemetry/stats"
)

// closing is a connection that can only be closed.
type closing struct {
	net.Conn
	closed atomic.Bool
}

func (c *closing) Close() error { c.closed.Store(true); return nil }

func TestTheOldestHandshakeMakesRoom(t *testing.T) {
	var h halfOpen
	conns := make([]closing, 7)
	places := make([]*waiting, len(conns))
	for i := range conns {
		w, n, evicted := h.enter(&conns[i], 3)
		places[i] = w
		if n != min(i+1, 3) || evicted != (i >= 3 && i != 5) {
			t.Errorf("connection %d is one of %d, evicted %v", i, n, evicted)
		}
		if i == 4 { // 0 and 1 have gone; 2 says who it is
			if !h.leave(places[2]) {
				t.Error("2 was given up")
			}
			if h.leave(places[2]) {
				t.Error("2 has left twice")
			}
		}
	}
	// Then 5 found room, and 6 took that of 3.
	for i, want := range []bool{true, true, false, true, false, false, false} {
		if conns[i].closed.Load() != want {
			t.Errorf("connection %d is closed: %v, want %v", i, !want, want)
		}
		if i != 2 && h.leave(places[i]) == want {
			t.Errorf("connection %d was in: %v", i, want)
		}
	}
	if h.n != 0 || h.oldest != nil || h.young != nil {
		t.Errorf("%d are left", h.n)
	}
}

func TestNoLimitOfHandshakes(t *testing.T) {
	var h halfOpen
	for range 100 {
		if _, _, evicted := h.enter(new(closing), 0); evicted {
			t.Fatal("somebody was given up")
		}
	}
}

func TestHandshakesWhileStopping(t *testing.T) {
	var h halfOpen
	before, after := new(closing), new(closing)
	w, _, _ := h.enter(before, 10)
	h.closeAll()
	h.enter(after, 10)
	if !before.closed.Load() || !after.closed.Load() || !h.leave(w) {
		t.Error("a handshake goes on")
	}
}

func TestHandshakesUnderRace(t *testing.T) {
	var h halfOpen
	const limit = 16
	var given, evictions atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			var mine []*waiting
			leave := func() {
				i := rand.IntN(len(mine))
				if w := mine[i]; h.leave(w) == w.c.(*closing).closed.Load() {
					t.Error("leave does not say whether it was given up")
				} else if w.c.(*closing).closed.Load() {
					given.Add(1)
				}
				mine[i] = mine[len(mine)-1]
				mine = mine[:len(mine)-1]
			}
			for range 2000 {
				w, n, evicted := h.enter(new(closing), limit)
				if mine = append(mine, w); n > limit {
					t.Errorf("%d handshakes at once", n)
				}
				if evicted {
					evictions.Add(1)
				}
				if rand.IntN(3) > 0 {
					leave()
				}
			}
			for len(mine) > 0 {
				leave()
			}
		})
	}
	all.Wait()
	if h.n != 0 || h.oldest != nil || h.young != nil || given.Load() != evictions.Load() || given.Load() == 0 {
		t.Errorf("%d left; %d evictions, %d noticed", h.n, evictions.Load(), given.Load())
	}
}

// Through a server: a flood of handshakes that never end costs the flood its
// places, and a client gets through.
func TestHalfOpenLimit(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) { s.Limits.HalfOpen = 4 })
	conns := make([]net.Conn, 10)
	for i := range conns {
		conns[i] = w.dial()
		conns[i].Write([]byte{0x16, 3, 1})
		eventually(t, "it waits for its handshake", func() bool {
			w.s.half.mu.Lock()
			defer w.s.half.mu.Unlock()
			return w.s.half.young != nil && w.s.half.young.c.RemoteAddr().String() == conns[i].LocalAddr().String()
		})
	}
	for i, c := range conns {
		if i < 6 {
			isClosed(t, c)
		} else {
			isSilent(t, c)
		}
	}
	w.mustConnect()
	isClosed(t, conns[6])
	isSilent(t, conns[7])
	if n := w.stats.Control(policy.HalfOpen).Decisions(stats.VerdictDeny, stats.ModeEnforce); n != 7 {
		t.Errorf("%d were counted as given up, want 7", n)
	}
	eventually(t, "their end is counted", func() bool { return w.stats.Connections.Load(stats.OutcomeDenied) == 7 })
}
