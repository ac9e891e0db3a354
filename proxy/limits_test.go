package proxy

import (
	"net/netip"
	"testing"
	"time"

	"mtguard/proxy/guard"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// from is a client whose address a listed load balancer tells.
func (w *world) from(addr string) *tgsim.Client {
	w.t.Helper()
	c := w.client()
	to := "127.0.0.1:443"
	if netip.MustParseAddr(addr).Is6() {
		to = "[2001:db8::1]:443"
	}
	c.Dialer = heading{first: headerV2(w.t, netip.AddrPortFrom(netip.MustParseAddr(addr), 4711).String(), to), from: "127.0.0.3"}
	return c
}

// TestLimits: in monitor every client is served, and the refusals are told; in
// enforce whoever is over the limit is shown the cover site.
func TestLimits(t *testing.T) {
	one := ratelimit.Limit{Events: 1, Per: time.Hour, Burst: 1}
	for _, c := range []struct {
		name, control, reason string
		limits                func(*policy.Limits)
		pass                  []string // clients within the limit, in turn
		over                  string   // and one beyond
		other                 string   // whom it does not concern
	}{
		{"connections of an IPv4 address", policy.ConnsAddr, guard.ReasonAddress, func(l *policy.Limits) { l.ConnectionsPerAddress = 2 },
			[]string{"192.0.2.7", "192.0.2.7"}, "192.0.2.7", "192.0.2.8"},
		{"connections of an IPv6 /64", policy.ConnsAddr, guard.ReasonAddress, func(l *policy.Limits) { l.ConnectionsPerAddress = 2 },
			[]string{"2001:db8::7", "2001:db8::8"}, "2001:db8::9", "2001:db8:0:1::7"},
		{"new connections of an IPv4 address", policy.RateAccept, guard.ReasonPrefix, func(l *policy.Limits) { l.NewPerPrefix = one },
			[]string{"192.0.2.7"}, "192.0.2.7", "192.0.2.8"},
		{"new connections of an IPv6 /64", policy.RateAccept, guard.ReasonPrefix, func(l *policy.Limits) { l.NewPerPrefix = one },
			[]string{"2001:db8::7"}, "2001:db8::8", "2001:db8:0:1::7"},
		{"new connections of an IPv6 /48", policy.RateAccept, guard.ReasonNetwork, func(l *policy.Limits) { l.NewPerPrefix = one },
			[]string{"2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1", "2001:db8:0:4::1", "2001:db8:0:5::1", "2001:db8:0:6::1",
				"2001:db8:0:7::1", "2001:db8:0:8::1", "2001:db8:0:9::1", "2001:db8:0:a::1", "2001:db8:0:b::1", "2001:db8:0:c::1",
				"2001:db8:0:d::1", "2001:db8:0:e::1", "2001:db8:0:f::1", "2001:db8:0:10::1"}, "2001:db8:0:11::1", "2001:db8:1::1"},
	} {
		for _, mode := range []policy.Mode{policy.Monitor, policy.Enforce} {
			t.Run(c.name+", "+mode.String(), func(t *testing.T) {
				w := newWorld(t, func(s *policy.Snapshot) {
					s.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
					s.Controls = map[string]policy.Control{c.control: {Mode: mode}}
					c.limits(&s.Limits)
				})
				for _, addr := range c.pass {
					if _, err := w.connect(w.from(addr)); err != nil {
						t.Fatalf("%s, within the limit: %v", addr, err)
					}
				}
				if n := len(w.events.of(event.WouldRefuse)) + len(w.events.of(event.Refused)); n > 0 {
					t.Errorf("%d refusals within the limit", n)
				}
				_, err := w.connect(w.from(c.over))
				kind, other := event.WouldRefuse, event.Refused
				if mode == policy.Enforce {
					kind, other = other, kind
				}
				if (err == nil) != (mode == policy.Monitor) {
					t.Errorf("beyond the limit: %v", err)
				}
				if n := w.site.Accepted(); n != 0 != (mode == policy.Enforce) {
					t.Errorf("the site was visited %d times", n)
				}
				e := w.events.of(kind)
				if len(e) != 1 || e[0].Control != c.control || e[0].Reason != c.reason || e[0].Addr != netip.MustParseAddr(c.over) || e[0].Mode != mode.String() {
					t.Errorf("%+v", e)
				}
				if e := w.events.of(other); len(e) > 0 {
					t.Errorf("%+v", e)
				}
				if mode == policy.Enforce {
					visitor, err := w.from(c.over).Dialer.DialContext(t.Context(), "tcp", w.addr)
					if err != nil {
						t.Fatal(err)
					}
					defer visitor.Close()
					w.seesSite(visitor)
				}
				if _, err := w.connect(w.from(c.other)); err != nil {
					t.Errorf("%s, another: %v", c.other, err)
				}
			})
		}
	}
}

// The place of a connection that has ended is free again.
func TestConnectionsPerAddressCountsThoseThatAreOpen(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) {
		s.Limits.ConnectionsPerAddress = 1
		s.Controls = map[string]policy.Control{policy.ConnsAddr: {Mode: policy.Enforce}}
	})
	for range 5 {
		conn := w.mustConnect()
		conn.Close()
		eventually(t, "it has ended", func() bool { return w.s.open.Load() == 0 })
	}
}

// TestTotalLimit: a memory bound; whoever is over it is closed at once, whatever
// the policy says.
func TestTotalLimit(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) {
		s.Limits.MaxConnections = 3
		s.Controls = map[string]policy.Control{policy.ConnsTotal: {Mode: policy.Off}}
	})
	session, waiting, stranger := w.mustConnect(), w.dial(), w.stranger()
	eventually(t, "the stranger is shown the site", func() bool { return w.s.Covered.Open() == 1 })
	eventually(t, "three are open", func() bool { return w.s.open.Load() == 3 && w.stats.HalfOpen.Load() == 1 })
	for range 3 {
		isClosed(t, w.dial())
	}
	isSilent(t, waiting)
	readSome(t, stranger, 100)
	if err := session.Ping([]byte("ping")); err != nil {
		t.Error(err)
	}
	eventually(t, "their end is counted", func() bool { return w.stats.Connections.Load(stats.OutcomeDenied) == 3 })
	if n := w.site.Accepted(); n != 1 {
		t.Errorf("the site was visited %d times", n)
	}
	waiting.Close()
	eventually(t, "there is room", func() bool { return w.s.open.Load() == 2 })
	w.mustConnect()
}
