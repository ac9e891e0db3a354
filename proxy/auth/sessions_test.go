package auth

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"mtguard/security/keys"
)

// carrier is the relay of a session that exists in a test only.
type carrier struct {
	end      func(reason string)
	up, down atomic.Int64
}

func (c *carrier) End(reason string)       { c.end(reason) }
func (c *carrier) Moved() (up, down int64) { return c.up.Load(), c.down.Load() }

// grantOf lets a client of key in.
func grantOf(t testing.TB, key *keys.Key, from string) *Grant {
	t.Helper()
	v := Admit(key, netip.MustParseAddr(from), epoch)
	if v.Grant == nil {
		t.Fatalf("%v: %v, %v", key, v.Result, v.Refusal)
	}
	t.Cleanup(v.Grant.Release)
	return v.Grant
}

func TestKillEndsWhatMatches(t *testing.T) {
	var s Sessions
	var killed []uint64
	r := newRealm(t, 2)
	for conn := range uint64(40) {
		user := 0
		if conn%4 == 0 {
			user = 1
		}
		x := &Session{Conn: conn, Grant: grantOf(t, r.key(user), fmt.Sprint("10.0.0.", conn))}
		x.Relay = &carrier{end: func(reason string) {
			if reason != "user removed" {
				t.Errorf("reason %q", reason)
			}
			killed = append(killed, conn)
			s.Close(x, 0, 0) // as the end of a session does, from within
		}}
		s.Open(x)
		s.Open(x) // twice does no harm
		if conn == 8 {
			s.Close(x, 0, 0)
			s.Close(x, 0, 0) // nor here
		}
	}
	s.Close(&Session{Conn: 99}, 0, 0) // nor does one that never was open
	if n := s.Count(); n != 39 {
		t.Errorf("%d sessions, want 39", n)
	}
	bob := func(s *Session) bool { return s.Key() == r.key(1) }
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
	if n := s.Kill(func(s *Session) bool { return s.From() == one }, "user removed"); n != 1 || !slices.Contains(killed, 7) {
		t.Errorf("by address: %d sessions killed", n)
	}
	if n := s.Kill(func(s *Session) bool { return s.User() == "user-0" }, "user removed"); n != 29 || s.Count() != 0 {
		t.Errorf("by user: %d sessions killed, %d left", n, s.Count())
	}
}

func TestListDescribesWhatMatches(t *testing.T) {
	var s Sessions
	r := newRealm(t, 2)
	for conn := range uint64(50) {
		c := new(carrier)
		c.up.Store(int64(conn))
		c.down.Store(1000)
		s.Open(&Session{Conn: conn, Since: epoch.UnixNano(), Relay: c, Grant: grantOf(t, r.key(int(conn%2)), fmt.Sprint("10.0.0.", conn))})
	}
	own := func(s *Session) bool { return s.User() == "user-1" }
	list := s.List(own, 100)
	if len(list) != 25 {
		t.Fatalf("%d sessions, want 25", len(list))
	}
	slices.SortFunc(list, func(a, b Live) int { return int(a.Conn) - int(b.Conn) })
	want := Live{Conn: 49, Since: epoch, Key: r.key(1), From: netip.MustParseAddr("10.0.0.49"), Up: 49, Down: 1000}
	if got := list[24]; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, most := range []int{0, 1, 24} {
		if n := len(s.List(own, most)); n != most {
			t.Errorf("%d sessions, want %d", n, most)
		}
	}
}

// However openings, ends and kills meet, each session that stays open past a
// kill that matches it was killed.
func TestSessionsUnderRace(t *testing.T) {
	var s Sessions
	var serial, killed, told atomic.Int64
	var opening, killing sync.WaitGroup
	grant := grantOf(t, newRealm(t, 1).key(0), "192.0.2.7")
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
				x := &Session{Conn: conn, Grant: grant}
				x.Relay = &carrier{end: func(string) {
					killed.Add(1)
					s.Close(x, 0, 0)
				}}
				s.Open(x)
				if conn%3 != 0 && conn%5 == 0 {
					s.Close(x, 0, 0)
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

// TestEveryByteIsCountedOnce: however often and whenever the meter is read, while
// sessions move bytes and end.
func TestEveryByteIsCountedOnce(t *testing.T) {
	var s Sessions
	r := newRealm(t, 3)
	var serial atomic.Uint64
	var up, down [3]atomic.Int64
	var metering, moving sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		metering.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					s.Meter()
				}
			}
		})
	}
	for g := range 8 {
		moving.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(g), 1))
			for range 200 {
				user := dice.IntN(3)
				c := new(carrier)
				x := &Session{Conn: serial.Add(1), Grant: grantOf(t, r.key(user), "192.0.2.7"), Relay: c}
				s.Open(x)
				for range dice.IntN(20) {
					u, d := dice.Int64N(1000), dice.Int64N(1000)
					up[user].Add(u)
					down[user].Add(d)
					c.up.Add(u)
					c.down.Add(d)
				}
				s.Close(x, c.up.Load(), c.down.Load())
				s.Close(x, c.up.Load()+1, c.down.Load()+1)
				s.Meter()
			}
		})
	}
	moving.Wait()
	close(stop)
	metering.Wait()
	for user := range 3 {
		got := r.accounts[user].Totals()
		if got.Up != up[user].Load() || got.Down != down[user].Load() || got.Up == 0 {
			t.Errorf("user %d: %+v counted, %d and %d moved", user, got, up[user].Load(), down[user].Load())
		}
	}
}

// The meter is live: what an open session has moved is in its user's account as
// soon as somebody looks.
func TestTheMeterSeesOpenSessions(t *testing.T) {
	var s Sessions
	r := newRealm(t, 1)
	c := new(carrier)
	x := &Session{Conn: 1, Grant: grantOf(t, r.key(0), "192.0.2.7"), Relay: c}
	s.Open(x)
	for i := range int64(3) {
		c.up.Store(10 * (i + 1))
		c.down.Store(1000 * (i + 1))
		s.Meter()
		s.Meter()
		if got := r.accounts[0].Totals(); got.Up != 10*(i+1) || got.Down != 1000*(i+1) {
			t.Errorf("%+v", got)
		}
	}
	s.Close(x, 31, 3100)
	s.Meter()
	if got := r.accounts[0].Totals(); got.Up != 31 || got.Down != 3100 {
		t.Errorf("in the end %+v", got)
	}
}

// A session whose user has no account is metered like others.
func TestTheMeterOfNobody(t *testing.T) {
	var s Sessions
	c := new(carrier)
	x := &Session{Conn: 1, Grant: grantOf(t, users(t, 1, anyName).At(0), "192.0.2.7"), Relay: c}
	s.Open(x)
	c.up.Store(5)
	s.Meter()
	s.Close(x, 6, 5)
	if n := s.Count(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}
