package guard

import (
	"net/netip"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

func table(t testing.TB, rules ...access.Rule) *access.Table {
	t.Helper()
	tab, err := access.Compile(rules, access.Options{Default: access.Standard, NoGeo: true})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func rule(t testing.TB, id, match string, l access.Level) access.Rule {
	t.Helper()
	m, err := access.ParseMatch(match)
	if err != nil {
		t.Fatal(err)
	}
	return access.Rule{ID: id, Match: m, Level: l}
}

// TestChecksOfClients: within the limit, beyond it, and without one.
func TestChecksOfClients(t *testing.T) {
	limits := policy.Limits{
		ConnectionsPerPrefix: 3, ConnectionsPerUser: 4, ConnectionsReadOnly: 2, ConnectionsPerKey: 3, AddressesPerUser: 2,
		MinTransport: mtproto.Secure, RequireKeyShare: true, MaxSecretAge: time.Hour, RefuseImported: true,
	}
	limits.Barred[mtproto.Classic] = true
	limits.TransportUntil[mtproto.Secure] = at
	user := func(change func(*Conn)) Conn {
		c := Conn{User: "alice", Key: "0123", Level: access.Standard, Transport: mtproto.FakeTLS, KeyShare: true, UserOpen: 1, UserAddrs: 1, KeyOpen: 1, At: at}
		change(&c)
		return c
	}
	mask := func(reason string) Verdict { return Verdict{Action: Mask, Reason: reason} }
	for _, c := range []struct {
		name  string
		check Check
		conn  Conn
		want  Verdict
	}{
		{"the last of a network", PerNetwork{}, Conn{FromPrefix: 3}, Verdict{}},
		{"one too many of a network", PerNetwork{}, Conn{FromPrefix: 4}, mask(ReasonCrowd)},
		{"the last of a user", PerUser{}, user(func(c *Conn) { c.UserOpen = 4 }), Verdict{}},
		{"one too many of a user", PerUser{}, user(func(c *Conn) { c.UserOpen = 5 }), mask(ReasonUser)},
		{"the last of a user who only reads", PerUser{}, user(func(c *Conn) { c.Level, c.UserOpen = access.ReadOnly, 2 }), Verdict{}},
		{"one too many of such a user", PerUser{}, user(func(c *Conn) { c.Level, c.UserOpen = access.ReadOnly, 3 }), mask(ReasonReadOnly)},
		{"the last of a secret", PerKey{}, user(func(c *Conn) { c.KeyOpen = 3 }), Verdict{}},
		{"one too many of a secret", PerKey{}, user(func(c *Conn) { c.KeyOpen = 4 }), mask(ReasonKey)},
		{"the last address of a user", AddressesPerUser{}, user(func(c *Conn) { c.UserAddrs = 2 }), Verdict{}},
		{"one address too many", AddressesPerUser{}, user(func(c *Conn) { c.UserAddrs = 3 }), mask(ReasonAddresses)},
		{"the least transport", MinTransport{}, user(func(c *Conn) { c.Transport, c.KeyShare = mtproto.Secure, false }), Verdict{}},
		{"one below", MinTransport{}, user(func(c *Conn) { c.Transport = mtproto.Classic }), mask(ReasonTransport)},
		{"an old hello", MinTransport{}, user(func(c *Conn) { c.KeyShare = false }), mask(ReasonKeyShare)},
		{"an allowed transport", AllowedTransports{}, user(func(*Conn) {}), Verdict{}},
		{"a barred transport", AllowedTransports{}, user(func(c *Conn) { c.Transport = mtproto.Classic }), mask(ReasonTransport)},
		{"before its end", AllowedTransports{}, user(func(c *Conn) { c.Transport, c.At = mtproto.Secure, at.Add(-1) }), Verdict{}},
		{"at its end", AllowedTransports{}, user(func(c *Conn) { c.Transport = mtproto.Secure }), mask(ReasonEnded)},
		{"a secret that is old enough", SecretStrength{}, user(func(c *Conn) { c.SecretSince = at.Add(-time.Hour) }), Verdict{}},
		{"a secret that is too old", SecretStrength{}, user(func(c *Conn) { c.SecretSince = at.Add(-time.Hour - 1) }), mask(ReasonSecretAge)},
		{"a secret of unknown age", SecretStrength{}, user(func(*Conn) {}), Verdict{}},
		{"an imported secret", SecretStrength{}, user(func(c *Conn) { c.Imported = true }), mask(ReasonImported)},
		{"a user who may do something", UserLevel{}, user(func(c *Conn) { c.Level = access.ReadOnly }), Verdict{}},
		{"a user who may do nothing", UserLevel{}, user(func(c *Conn) { c.Level = access.None }), mask(ReasonLevel)},
	} {
		c.conn.Policy = &policy.Snapshot{Limits: limits}
		if got := c.check.Check(&c.conn); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		c.conn.Policy = &policy.Snapshot{} // 0 is no bound
		if got := c.check.Check(&c.conn); got != (Verdict{}) && c.want.Reason != ReasonLevel {
			t.Errorf("%s, without a limit: got %+v", c.name, got)
		}
	}
}

// TestEachAccessControlRefusesByItsOwnRules: what the others refuse neither counts
// nor hides anything.
func TestEachAccessControlRefusesByItsOwnRules(t *testing.T) {
	tab := table(t, rule(t, "a", "192.0.2.0/24", access.None), rule(t, "b", "198.51.100.0/24", access.ReadOnly),
		rule(t, "c", "country:unknown", access.None), rule(t, "d", "203.0.113.0/24", access.Standard),
		rule(t, "e", "sni:bad.example.com", access.None))
	for _, c := range []struct {
		addr, name           string
		address, origin, sni bool // who refuses
	}{
		{"192.0.2.7:1", "", true, true, false},
		{"198.51.100.7:1", "", false, true, false},
		{"203.0.113.7:1", "", false, false, false},
		{"203.0.113.7:1", "bad.example.com", false, false, true},
		{"192.0.2.7:1", "good.example.com", true, true, false},
		{"[2001:db8::1]:1", "bad.example.com", false, true, true},
		{"127.0.0.1:1", "", false, false, false},
	} {
		x := &Conn{Addr: netip.MustParseAddrPort(c.addr), At: at, ServerName: c.name, Policy: &policy.Snapshot{Access: tab}}
		x.Access = tab.Check(access.Query{Addr: x.Addr.Addr(), Now: at})
		for check, want := range map[Check]bool{AddressRules{}: c.address, OriginRules{}: c.origin, HelloRules{}: c.sni} {
			if got := check.Check(x).Action == Mask; got != want {
				t.Errorf("%s, %q: %s refuses: %v, want %v", c.addr, c.name, check.Name(), got, want)
			}
		}
	}
}

// TestFailuresCostAndSuccessRefunds is the story of one address.
func TestFailuresCostAndSuccessRefunds(t *testing.T) {
	f := NewFailureRate(1024)
	snap := &policy.Snapshot{Limits: policy.Limits{HandshakeFailures: ratelimit.Limit{Events: 6, Per: time.Hour, Burst: 6}}}
	of := func(addr string) *Conn { return &Conn{Addr: netip.MustParseAddrPort(addr), At: at, Policy: snap} }
	fail := func(c *Conn, r stats.Result, want Action) {
		t.Helper()
		f.Learn(c, r)
		if got := f.Check(c); got.Action != want || want == Mask && (got.Reason != ReasonFailures || got.RetryAfter <= 0) {
			t.Errorf("after %v: %+v, want %v", r, got, want)
		}
	}
	c := of("192.0.2.7:1")
	for range 5 {
		fail(c, stats.ResultEOF, Allow)
	}
	fail(c, stats.ResultRefused, Allow) // that was not the client
	fail(c, stats.ResultMalformed, Mask)
	fail(of("192.0.2.8:1"), stats.ResultBadSecret, Allow)
	fail(of("192.0.2.8:1"), stats.ResultReplay, Mask) // two guesses cost more than six timeouts
	fail(c, stats.ResultOK, Allow)                    // it came to an end that was good
	fail(c, stats.ResultBadSecret, Allow)
	shared := of("[2001:db8:0:1::1]:1")
	for i := range 100 {
		x := of(netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, byte(i)}), 1).String())
		f.Learn(x, stats.ResultTimeout)
	}
	if got := f.Check(shared); got.Action != Mask {
		t.Errorf("a /48 that fails from all its /64s: %+v", got)
	}
}

func TestOverloadShedsTheLowestFirst(t *testing.T) {
	var p Pressure
	o := NewOverload(func() Pressure { return p })
	stranger, known := &Conn{}, &Conn{Known: true}
	user := func(l access.Level) *Conn { return &Conn{User: "a", Level: l} }
	for _, c := range []struct {
		pressure Pressure
		want     [6]Action // stranger, known network, read_only, standard, admin, superuser
		reason   string
	}{
		{Pressure{0.5, 0.84}, [6]Action{}, ""},
		{Pressure{0.85, 0.1}, [6]Action{Mask, Allow, Mask, Allow, Allow, Allow}, ReasonMemory},
		{Pressure{0.1, 0.93}, [6]Action{Deny, Allow, Deny, Deny, Allow, Allow}, ReasonDescriptors},
		{Pressure{0.98, 0.1}, [6]Action{Deny, Deny, Deny, Deny, Deny, Deny}, ReasonMemory},
	} {
		p = c.pressure
		for i, x := range []*Conn{stranger, known, user(access.ReadOnly), user(access.Standard), user(access.Admin), user(access.Superuser)} {
			if got := o.Check(x); got.Action != c.want[i] || got.Action != Allow && got.Reason != c.reason {
				t.Errorf("%+v, connection %d: %+v, want %v", p, i, got, c.want[i])
			}
		}
	}
}

// TestCandidatesAreRehearsed: candidate limits change numbers and events, and nothing
// for anybody; what they count is counted apart.
func TestCandidatesAreRehearsed(t *testing.T) {
	var sink recorder
	var counters stats.Counters
	p := NewPipeline(Stages{Accept: []Check{NewAcceptRate(1024)}}, &sink, &counters)
	strict := policy.Limits{NewPerPrefix: ratelimit.Limit{Events: 1, Per: time.Hour, Burst: 1}}
	snap := &policy.Snapshot{
		Controls:   map[string]policy.Control{policy.RateAccept: {Mode: policy.Enforce}},
		Limits:     policy.Limits{NewPerPrefix: ratelimit.Limit{Events: 3, Per: time.Hour, Burst: 3}},
		Candidates: map[string]*policy.Limits{policy.RateAccept: &strict},
	}
	for i := range 4 {
		c := conn(snap)
		if got := p.Admit(c); (got.Action == Allow) != (i < 3) {
			t.Errorf("connection %d: %+v", i, got)
		}
		p.Conclude(c, stats.ResultOK)
	}
	d := counters.Control(policy.RateAccept)
	if d.Decisions(stats.VerdictMask, stats.ModeCandidate) != 3 || d.Decisions(stats.VerdictAllow, stats.ModeCandidate) != 1 ||
		d.Decisions(stats.VerdictMask, stats.ModeEnforce) != 1 || d.Decisions(stats.VerdictAllow, stats.ModeEnforce) != 3 {
		t.Errorf("%v", decisions(&counters, policy.RateAccept))
	}
	var rehearsed int
	for _, e := range sink.events {
		if e.Mode == ModeCandidate && e.Kind == event.WouldRefuse {
			rehearsed++
		}
	}
	if rehearsed != 3 {
		t.Errorf("%d rehearsals are told of", rehearsed)
	}
}

// TestRefusalsThatDidNotHappenNameTheUser: they wait for the end of the handshake;
// and known ones are counted apart.
func TestRefusalsThatDidNotHappenNameTheUser(t *testing.T) {
	var sink recorder
	var counters stats.Counters
	p := NewPipeline(Stages{Accept: []Check{PerAddress{}}, Auth: []Check{PerUser{}}}, &sink, &counters)
	snap := &policy.Snapshot{Limits: policy.Limits{ConnectionsPerAddress: 1, ConnectionsPerUser: 1}}
	exception := policy.Exception{ID: "x1", User: "alice", Controls: []string{policy.ConnsUser}, From: at.Add(-time.Hour), Until: at.Add(time.Hour), Reason: "r", Owner: "o"}
	var err error
	if snap.Exceptions, err = policy.NewExceptions([]policy.Exception{exception}, nil); err != nil {
		t.Fatal(err)
	}
	snap.Controls = map[string]policy.Control{policy.ConnsUser: {Mode: policy.Enforce}}
	c := conn(snap)
	c.FromAddr = 2
	p.Admit(c)
	if len(sink.events) != 0 {
		t.Errorf("told too early: %+v", sink.events)
	}
	c.User, c.Key, c.UserOpen, c.Transport = "alice", "0123", 2, mtproto.Secure
	if got := p.Authorize(c); got.Action != Allow {
		t.Errorf("an exception is refused: %+v", got)
	}
	p.Conclude(c, stats.ResultOK)
	p.Conclude(c, stats.ResultOK) // once is enough
	if len(sink.events) != 2 {
		t.Fatalf("%+v", sink.events)
	}
	for i, want := range []event.Event{{Control: policy.ConnsAddr}, {Control: policy.ConnsUser, Exception: "x1"}} {
		if e := sink.events[i]; e.Kind != event.WouldRefuse || e.User != "alice" || e.Key != "0123" || e.Control != want.Control || e.Exception != want.Exception || e.Mode != "monitor" || e.Transport != "secure" {
			t.Errorf("%+v", e)
		}
	}
	if counters.Control(policy.ConnsAddr).KnownDecisions(stats.VerdictMask, stats.ModeMonitor) != 0 ||
		counters.Control(policy.ConnsUser).KnownDecisions(stats.VerdictMask, stats.ModeMonitor) != 1 {
		t.Error("known users are not counted apart")
	}
}
