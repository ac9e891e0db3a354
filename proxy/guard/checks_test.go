package guard

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mtguard/security/policy"
	"mtguard/security/ratelimit"
)

func TestBounds(t *testing.T) {
	limits := policy.Limits{MaxConnections: 10, HalfOpen: 5, ConnectionsPerAddress: 3}
	deny := func(reason string) Verdict { return Verdict{Action: Deny, Reason: reason} }
	for _, c := range []struct {
		name  string
		check Check
		conn  Conn
		want  Verdict
	}{
		{"the last place", TotalConnections{}, Conn{Open: 10}, Verdict{}},
		{"one too many", TotalConnections{}, Conn{Open: 11}, deny(ReasonFull)},
		{"the other counts do not matter", TotalConnections{}, Conn{Open: 1, HalfOpen: 100, FromAddr: 100}, Verdict{}},
		{"the last of an address", PerAddress{}, Conn{FromAddr: 3}, Verdict{}},
		{"one too many of an address", PerAddress{}, Conn{FromAddr: 4}, Verdict{Action: Mask, Reason: ReasonAddress}},
		{"an address counts alone", PerAddress{}, Conn{Open: 100, HalfOpen: 100, FromAddr: 3}, Verdict{}},
	} {
		c.conn.Policy = &policy.Snapshot{Limits: limits}
		if got := c.check.Check(&c.conn); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		c.conn.Policy = &policy.Snapshot{} // 0 is no bound
		if got := c.check.Check(&c.conn); got != (Verdict{}) {
			t.Errorf("%s, without a limit: got %+v", c.name, got)
		}
	}
}

// A control's name is an interface: it stands in metrics, events and configurations.
func TestNames(t *testing.T) {
	want := []string{"conns.total", "conns.addr", "rate.accept"}
	for i, c := range builtIn() {
		if got := c.Name(); got != want[i] {
			t.Errorf("check %d: got %q, want %q", i, got, want[i])
		}
	}
}

func rated(limit ratelimit.Limit) *policy.Snapshot {
	return &policy.Snapshot{Limits: policy.Limits{NewPerPrefix: limit}}
}

func TestAcceptRateCountsByPrefix(t *testing.T) {
	snap := rated(ratelimit.Limit{Events: 2, Per: time.Second, Burst: 2})
	a := NewAcceptRate(1024)
	steps := []struct {
		addr  string
		after time.Duration
		want  Verdict
	}{
		{"192.0.2.7", 0, Verdict{}},
		{"::ffff:192.0.2.7", 0, Verdict{}},
		{"192.0.2.7", 0, Verdict{Action: Mask, Reason: ReasonPrefix, RetryAfter: 500 * time.Millisecond}},
		{"::ffff:192.0.2.7", 0, Verdict{Action: Mask, Reason: ReasonPrefix, RetryAfter: 500 * time.Millisecond}},
		{"192.0.2.8", 0, Verdict{}},
		{"192.0.2.7", 400 * time.Millisecond, Verdict{Action: Mask, Reason: ReasonPrefix, RetryAfter: 100 * time.Millisecond}},
		{"192.0.2.7", 500 * time.Millisecond, Verdict{}},
		{"2001:db8:0:1::1", 0, Verdict{}},
		{"2001:db8:0:1:ffff::2", 0, Verdict{}},
		{"2001:db8:0:1::3", 0, Verdict{Action: Mask, Reason: ReasonPrefix, RetryAfter: 500 * time.Millisecond}},
		{"2001:db8:0:2::1", 0, Verdict{}},
	}
	for i, s := range steps {
		c := &Conn{Addr: netip.AddrPortFrom(netip.MustParseAddr(s.addr), 1), At: at.Add(s.after), Policy: snap}
		if got := a.Check(c); got != s.want {
			t.Errorf("step %d, %s after %v: got %+v, want %+v", i, s.addr, s.after, got, s.want)
		}
	}
}

// Somebody with a whole /48 meets its limit however many /64s are used, and does not touch the neighbouring /48.
func TestAcceptRateHoldsASpreadingNetwork(t *testing.T) {
	const events = 3
	snap := rated(ratelimit.Limit{Events: events, Per: time.Hour, Burst: events})
	a := NewAcceptRate(1 << 14)
	passed := 0
	for i := range 1000 {
		addr := netip.MustParseAddr(fmt.Sprintf("2001:db8:5:%x::1", i))
		v := a.Check(&Conn{Addr: netip.AddrPortFrom(addr, 1), At: at, Policy: snap})
		switch {
		case v.Action == Allow:
			passed++
		case v.Reason != ReasonNetwork || v.Action != Mask || v.RetryAfter <= 0:
			t.Fatalf("%v: %+v", addr, v)
		}
	}
	if passed != wideFactor*events {
		t.Errorf("%d connections of one /48 passed, want %d", passed, wideFactor*events)
	}
	neighbour := netip.MustParseAddrPort("[2001:db8:6::1]:1")
	if v := a.Check(&Conn{Addr: neighbour, At: at, Policy: snap}); v.Action != Allow {
		t.Errorf("the neighbouring /48: %+v", v)
	}
}

// What a busy /64 is refused does not use up the share of its /48.
func TestRefusedConnectionsLeaveTheNetworkAlone(t *testing.T) {
	snap := rated(ratelimit.Limit{Events: 1, Per: time.Hour, Burst: 1})
	a := NewAcceptRate(1024)
	for range 1000 {
		a.Check(&Conn{Addr: netip.MustParseAddrPort("[2001:db8:5:1::1]:1"), At: at, Policy: snap})
	}
	if v := a.Check(&Conn{Addr: netip.MustParseAddrPort("[2001:db8:5:2::1]:1"), At: at, Policy: snap}); v.Action != Allow {
		t.Errorf("another /64 of the /48: %+v", v)
	}
}

func TestAcceptRateWithoutLimitOrAddress(t *testing.T) {
	a := NewAcceptRate(8)
	strict := rated(ratelimit.Limit{Events: 1, Per: time.Hour, Burst: 1})
	for range 100 {
		for _, c := range []*Conn{{}, {Policy: strict, At: at}, {Addr: netip.MustParseAddrPort("192.0.2.7:1"), Policy: rated(ratelimit.Limit{}), At: at}} {
			if v := a.Check(c); v.Action != Allow {
				t.Fatalf("%+v: %+v", c, v)
			}
		}
	}
}
