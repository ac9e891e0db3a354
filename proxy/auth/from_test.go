package auth

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestFromIsWhereSessionsAre: against a walk, while sessions come and go.
func TestFromIsWhereSessionsAre(t *testing.T) {
	var s Sessions
	r := newRealm(t, 1)
	places := []string{"192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::c000:201"}
	var live []*Session
	for i := range 2000 {
		if n := len(live); n > 12 || n > 0 && rand.IntN(2) == 0 {
			at := rand.IntN(n)
			s.Close(live[at], 0, 0)
			s.Close(live[at], 0, 0) // twice does no harm
			live[at] = live[n-1]
			live = live[:n-1]
		} else {
			x := &Session{Conn: uint64(i), Grant: grantOf(t, r.key(0), places[rand.IntN(len(places))]), Relay: &carrier{}}
			s.Open(x)
			s.Open(x)
			live = append(live, x)
		}
		for _, p := range places {
			asked := netip.MustParseAddr(p).Unmap()
			bits := 32
			if asked.Is6() {
				bits = 64
			}
			prefix, _ := asked.Prefix(bits)
			want := len(s.List(func(x *Session) bool { return prefix.Contains(x.From().Unmap()) }, 1)) > 0
			if got := s.From(netip.MustParseAddr(p)); got != want {
				t.Fatalf("step %d, %s: %v, want %v", i, p, got, want)
			}
		}
	}
	for _, x := range live {
		s.Close(x, 0, 0)
	}
	for i := range s.shards {
		if s.shards[i].from != nil {
			t.Error(fmt.Sprint("what nobody is in is kept: ", s.shards[i].from))
		}
	}
}
