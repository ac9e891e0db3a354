package proxy

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/mtproto"
	"mtguard/proxy/guard"
	"mtguard/proxy/handshake"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// quiet is a server that shows strangers nothing, for tests in a bubble of time.
func quiet(ctx context.Context, max int) (*Server, *policy.Snapshot) {
	snap := &policy.Snapshot{Cover: policy.Cover{MaxConnections: max}}
	s := &Server{Occupancy: guard.NewOccupancy(), Events: event.Discard(), Stats: new(stats.Counters), Log: slog.New(slog.DiscardHandler), ctx: ctx}
	s.Cover = NewCover(new(policy.Live), s.Log, nil)
	return s, snap
}

// maskOne refuses a peer who has connected at the given time, and returns its end of
// the connection.
func (s *Server) maskOne(snap *policy.Snapshot, at time.Time, f *handshake.Failure) net.Conn {
	near, far := net.Pipe()
	x := &conn{s: s, c: near}
	x.Conn = guard.Conn{At: at, Policy: snap}
	go x.mask(f, stats.OutcomeCovered)
	return far
}

// untilClosed reads until the other end closes and returns how long that took.
func untilClosed(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	began := time.Now()
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	return time.Since(began)
}

// Whoever cannot be shown a site is read for 30 to 90 seconds, counted from the
// beginning of the connection, and each for a time of its own.
func TestDiscardLastsARandomTime(t *testing.T) {
	reasons := map[string]struct {
		snap func(*policy.Snapshot)
		f    handshake.Failure
	}{
		"no fake TLS here":        {func(*policy.Snapshot) {}, handshake.Failure{Read: []byte("GET / HTTP/1.1\r\n\r\n")}},
		"no site here":            {func(s *policy.Snapshot) { s.Transports[mtproto.FakeTLS] = true }, handshake.Failure{Read: []byte("GET /")}},
		"it was answered already": {func(s *policy.Snapshot) { s.Transports[mtproto.FakeTLS] = true; s.Cover.Address = "x:1" }, handshake.Failure{Answered: true}},
	}
	for name, r := range reasons {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, snap := quiet(t.Context(), 10)
				r.snap(snap)
				least, most := time.Hour, time.Duration(0)
				for range 300 {
					took := untilClosed(t, s.maskOne(snap, time.Now().Add(-10*time.Second), &r.f)) + 10*time.Second
					least, most = min(least, took), max(most, took)
				}
				synctest.Wait()
				// The chance that 300 draws leave out a tenth of the range is 2·10^-14.
				if least < 30*time.Second || least > 36*time.Second || most > 90*time.Second || most < 84*time.Second {
					t.Errorf("from %v to %v, want 30s to 90s", least, most)
				}
				if n := s.Stats.Connections.Load(stats.OutcomeCovered); n != 300 || s.silent.Load() != 0 {
					t.Errorf("%d counted, %d still there", n, s.silent.Load())
				}
			})
		})
	}
}

// What it sends is read, up to a bound; after that it is not, and nothing else
// changes.
func TestDiscardReadsSoMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, snap := quiet(t.Context(), 10)
		c := s.maskOne(snap, time.Now(), &handshake.Failure{Read: []byte("x")})
		began, sent := time.Now(), 0
		for {
			n, err := c.Write(make([]byte, 4096))
			if sent += n; err != nil {
				break
			}
		}
		if took := time.Since(began); sent != discardBytes || took < 30*time.Second || took > 90*time.Second {
			t.Errorf("%d bytes were taken in %v, want %d", sent, took, discardBytes)
		}
		synctest.Wait()
	})
}

func TestDiscardEndsWithThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, snap := quiet(t.Context(), 10)
		c := s.maskOne(snap, time.Now(), &handshake.Failure{Read: []byte("x")})
		time.Sleep(time.Second)
		c.Close()
		synctest.Wait()
		if s.Stats.Connections.Load(stats.OutcomeCovered) != 1 {
			t.Error("it is read on")
		}
	})
}

// A deadline that has passed before reading begins counts: the server is
// stopping, or the handshake was allowed to take longer than all of this.
func TestDiscardTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 50 {
			stopped, stop := context.WithCancel(t.Context())
			stop()
			s, snap := quiet(stopped, 10)
			if took := untilClosed(t, s.maskOne(snap, time.Now(), &handshake.Failure{Read: []byte("x")})); took > 0 {
				t.Fatalf("the server has stopped, and a peer is read for %v", took)
			}
			s, snap = quiet(t.Context(), 10)
			if took := untilClosed(t, s.maskOne(snap, time.Now().Add(-time.Hour), &handshake.Failure{Read: []byte("x")})); took > 0 {
				t.Fatalf("a peer of an hour ago is read for %v", took)
			}
		}
		synctest.Wait()
	})
}

func TestDiscardIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, snap := quiet(t.Context(), 3)
		conns := make([]net.Conn, 5)
		for i := range conns {
			conns[i] = s.maskOne(snap, time.Now(), &handshake.Failure{Read: []byte("x")})
			synctest.Wait()
		}
		for i := range slices.Backward(conns) { // those beyond the bound have ended already
			if took := untilClosed(t, conns[i]); (took == 0) != (i > 2) && i >= 2 {
				t.Errorf("the %dth is read for %v", i+1, took)
			}
		}
		synctest.Wait()
	})
}

func TestWhoeverIsGoneIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, snap := quiet(t.Context(), 3)
		for _, f := range []*handshake.Failure{{Gone: true, Read: []byte("x")}, {Gone: true, Answered: true}, {Ended: true}} {
			if took := untilClosed(t, s.maskOne(snap, time.Now(), f)); took > 0 {
				t.Errorf("%+v: read for %v", *f, took)
			}
		}
		synctest.Wait()
	})
}
