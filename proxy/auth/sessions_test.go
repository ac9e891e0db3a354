package auth

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"mtguard/security/keys"
)

func TestKillEndsWhatMatches(t *testing.T) {
	var s Sessions
	var killed []uint64
	for conn := range uint64(40) {
		key := keys.ID("alice")
		if conn%4 == 0 {
			key = "bob"
		}
		x := &Session{Conn: conn, Key: key, Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(conn)})}
		x.End = func(reason string) {
			if reason != "user removed" {
				t.Errorf("reason %q", reason)
			}
			killed = append(killed, conn)
			s.Close(x) // as the end of a session does, from within
		}
		s.Open(x)
		s.Open(x) // twice does no harm
		if conn == 8 {
			s.Close(x)
			s.Close(x) // nor here
		}
	}
	s.Close(&Session{Conn: 99}) // nor does one that never was open
	bob := func(s *Session) bool { return s.Key == "bob" }
	if n := s.Kill(bob, "user removed"); n != 9 {
		t.Errorf("%d sessions killed, want 9", n)
	}
	slices.Sort(killed)
	if want := []uint64{0, 4, 12, 16, 20, 24, 28, 32, 36}; !slices.Equal(killed, want) {
		t.Errorf("killed %v, want %v", killed, want)
	}
	if n := s.Kill(bob, "user removed"); n != 0 {
		t.Errorf("%d sessions killed a second time", n)
	}
	one := netip.MustParseAddr("10.0.0.7")
	if n := s.Kill(func(s *Session) bool { return s.Addr == one }, "user removed"); n != 1 || !slices.Contains(killed, 7) {
		t.Errorf("by address: %d sessions killed", n)
	}
}

// However openings, ends and kills meet, each session that stays open past a
// kill that matches it was killed.
func TestSessionsUnderRace(t *testing.T) {
	var s Sessions
	var serial, killed, told atomic.Int64
	var opening, killing sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		killing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					told.Add(int64(s.Kill(func(s *Session) bool { return s.Conn%3 == 0 }, "x")))
				}
			}
		})
	}
	for range 8 {
		opening.Go(func() {
			for range 500 {
				conn := uint64(serial.Add(1))
				x := &Session{Conn: conn}
				x.End = func(string) {
					killed.Add(1)
					s.Close(x)
				}
				s.Open(x)
				if conn%3 != 0 && conn%5 == 0 {
					s.Close(x)
				}
			}
		})
	}
	opening.Wait()
	close(stop)
	killing.Wait()
	told.Add(int64(s.Kill(func(s *Session) bool { return s.Conn%3 == 0 }, "x")))
	if killed.Load() != told.Load() || killed.Load() < 4000/3 {
		t.Errorf("%d sessions were killed, Kill told of %d; at least %d matched", killed.Load(), told.Load(), 4000/3)
	}
	if n := s.Kill(func(s *Session) bool { return true }, "x"); n != 4000-4000/3-countFives() {
		t.Errorf("%d sessions were left", n)
	}
}

// countFives is how many of 1..4000 end by themselves in TestSessionsUnderRace.
func countFives() (n int) {
	for i := 1; i <= 4000; i++ {
		if i%3 != 0 && i%5 == 0 {
			n++
		}
	}
	return n
}
