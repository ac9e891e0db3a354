package guard

import (
	"net/netip"
	"testing"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/telemetry/stats"
)

func suspectConn(t *testing.T, addr string, mode policy.Mode, rules ...access.Rule) *Conn {
	t.Helper()
	table, err := access.Compile(rules, access.Options{Default: access.Standard})
	if err != nil {
		t.Fatal(err)
	}
	s := modes(map[string]policy.Mode{policy.ThreatBlock: mode})
	s.Access = table
	c := conn(s)
	c.Addr = netip.AddrPortFrom(netip.MustParseAddr(addr), 40000)
	c.Access = table.Check(access.Query{Addr: c.Addr.Addr(), Now: c.At})
	return c
}

func autoRule(match string, source access.Source, pinned bool) access.Rule {
	level := access.None
	if pinned {
		level = access.Standard
	}
	return access.Rule{ID: match + source.String(), Match: access.PrefixMatch(netip.MustParsePrefix(match)), Level: level, Source: source, Pinned: pinned}
}

func TestSuspectsAreRefusedByStageAndByRule(t *testing.T) {
	block := autoRule("192.0.2.7/32", access.Automatic, false)
	for _, c := range []struct {
		name  string
		addr  string
		rules []access.Rule
		set   Stage
		came  time.Duration // ago; 0: never
		want  string
	}{
		{name: "nothing is held against it", addr: "192.0.2.7"},
		{name: "throttled", addr: "192.0.2.7", set: Throttled},
		{name: "shown the site", addr: "192.0.2.7", set: Shown, want: ReasonSuspect},
		{name: "an IPv6 neighbour in the /64", addr: "2001:db8::2", set: Shown, want: ReasonSuspect},
		{name: "blocked", addr: "192.0.2.7", rules: []access.Rule{block}, want: ReasonBlocked},
		{name: "an operator's rule is none of it", addr: "192.0.2.7", rules: []access.Rule{autoRule("192.0.2.7/32", access.Operator, false)}},
		{name: "shown, and pinned", addr: "192.0.2.7", set: Shown, rules: []access.Rule{autoRule("192.0.2.0/24", access.Operator, true)}},
		{name: "blocked, and pinned", addr: "192.0.2.7", rules: []access.Rule{block, autoRule("192.0.2.0/24", access.Operator, true)}},
		{name: "shown, and somebody came from there", addr: "192.0.2.7", set: Shown, came: 23 * time.Hour},
		{name: "blocked, and somebody came from there", addr: "192.0.2.7", rules: []access.Rule{block}, came: time.Minute},
		{name: "blocked, and somebody came from there long ago", addr: "192.0.2.7", rules: []access.Rule{block}, came: Lately, want: ReasonBlocked},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewSuspects(1 << 10)
			x := suspectConn(t, c.addr, policy.Enforce, c.rules...)
			if c.set != Trusted {
				from := x.Addr.Addr()
				if from.Is6() {
					from = from.Next()
				}
				s.Set(from, c.set, x.At.Add(time.Minute))
			}
			if c.came > 0 {
				s.Came(x.Addr.Addr(), x.At.Add(-c.came))
			}
			if v := s.Check(x); v.Reason != c.want || (v.Action == Mask) != (c.want != "") {
				t.Errorf("got %+v, want %q", v, c.want)
			}
		})
	}
}

func TestAStageEndsAndIsTakenBack(t *testing.T) {
	s := NewSuspects(8)
	a := netip.MustParseAddr("192.0.2.7")
	s.Set(a, Shown, at.Add(time.Minute))
	if s.Stage(a, at.Add(time.Minute-1)) != Shown || s.Stage(a, at.Add(time.Minute)) != Trusted || s.Stage(netip.MustParseAddr("192.0.2.8"), at) != Trusted {
		t.Error("the stage holds for too long, too short, or for another")
	}
	s.Set(a, Throttled, at.Add(time.Minute))
	if s.Stage(a, at) != Throttled {
		t.Error("a stage is not replaced")
	}
	s.Set(a, Trusted, time.Time{})
	if s.Stage(a, at) != Trusted {
		t.Error("a stage is not taken back")
	}
	for i := range 1000 { // the memory holds eight; the longest suspects stay
		s.Set(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Shown, at.Add(time.Duration(i)*time.Second))
	}
	if s.Stage(netip.MustParseAddr("10.0.3.231"), at) != Shown || s.Stage(netip.MustParseAddr("10.0.0.1"), at) != Trusted {
		t.Error("the wrong ones were forgotten")
	}
}

// TestOnlyFailedHandshakesOfASuspectAreSlowed, and only where that is enforced.
func TestOnlyFailedHandshakesOfASuspectAreSlowed(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   policy.Mode
		rules  []access.Rule
		set    Stage
		slowed int // of 20
	}{
		{"nobody", policy.Enforce, nil, Trusted, 0},
		{"a suspect", policy.Enforce, nil, Throttled, 14},
		{"in monitor", policy.Monitor, nil, Throttled, 0},
		{"pinned", policy.Enforce, []access.Rule{autoRule("192.0.2.0/24", access.Operator, true)}, Throttled, 0},
	} {
		s := NewSuspects(1 << 10)
		x := suspectConn(t, "192.0.2.7", c.mode, c.rules...)
		if c.set != Trusted {
			s.Set(x.Addr.Addr(), c.set, x.At.Add(time.Hour))
		}
		n := 0
		for range 20 {
			if s.Slowed(x) {
				n++
			}
		}
		if n != c.slowed {
			t.Errorf("%s: %d of 20 are slowed, want %d", c.name, n, c.slowed)
		}
		if v := s.Check(x); v.Action != Allow {
			t.Errorf("%s: refused at the door: %+v", c.name, v)
		}
	}
	var none *Suspects
	if none.Slowed(suspectConn(t, "192.0.2.7", policy.Enforce)) {
		t.Error("without suspects somebody is slowed")
	}
}

// TestWhoIsLetInIsRemembered as the pipeline tells it.
func TestWhoIsLetInIsRemembered(t *testing.T) {
	s := NewSuspects(1 << 10)
	p := NewPipeline(Stages{Accept: []Check{s}}, nil, nil)
	x := suspectConn(t, "192.0.2.7", policy.Monitor)
	p.Admit(x)
	p.Conclude(x, stats.ResultBadSecret)
	if s.Regular(x.Addr.Addr(), at) {
		t.Error("a stranger is a regular")
	}
	p.Conclude(x, stats.ResultOK)
	if !s.Regular(x.Addr.Addr(), at.Add(Lately-1)) || s.Regular(x.Addr.Addr(), at.Add(Lately)) || s.Regular(netip.MustParseAddr("192.0.2.8"), at) {
		t.Error("who came is forgotten too early, too late, or taken for another")
	}
}

// TestANetworkIsShutForAWhile: its strangers, not who came lately; of too many the one is let go whose time is over first.
func TestANetworkIsShutForAWhile(t *testing.T) {
	s, at := NewSuspects(64), time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	network := netip.MustParsePrefix("2001:db8:7::/48")
	stranger, regular := netip.MustParseAddr("2001:db8:7:1::1"), netip.MustParseAddr("2001:db8:7:2::1")
	refused := func(a netip.Addr, at time.Time) bool {
		v := s.Check(&Conn{Addr: netip.AddrPortFrom(a, 1), At: at})
		if v.Action != Allow && (v.Action != Mask || v.Reason != ReasonSuspect) {
			t.Errorf("%v: %+v", a, v)
		}
		return v.Action != Allow
	}
	s.Came(regular, at)
	s.ShutNetwork(network, at.Add(time.Minute))
	if !refused(stranger, at) || refused(regular, at) || refused(netip.MustParseAddr("2001:db8:8::1"), at) || refused(stranger, at.Add(time.Minute)) {
		t.Error("others are refused than the network's strangers, for another time")
	}
	for i := range mostNetworks {
		s.ShutNetwork(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 2, byte(i)}), 48), at.Add(time.Hour))
	}
	if refused(stranger, at) || !refused(netip.AddrFrom16([16]byte{0x20, 2, 5, 15: 1}), at) || len(*s.networks.Load()) != mostNetworks {
		t.Error("the wrong one is let go")
	}
	for i := range mostNetworks {
		s.ShutNetwork(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 2, byte(i)}), 48), time.Time{})
	}
	if s.networks.Load() != nil {
		t.Error("what was opened again costs connections a look")
	}
}
