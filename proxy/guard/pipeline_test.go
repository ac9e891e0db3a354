package guard

import (
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/mtproto"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// says is a check that always says the same, and counts how often it was asked.
type says struct {
	name    string
	verdict Verdict
	mu      *sync.Mutex
	asked   *[]string
}

func (s says) Name() string { return s.name }

func (s says) Check(*Conn) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.asked = append(*s.asked, s.name)
	return s.verdict
}

// panics is a check that panics.
type panics struct{ name string }

func (p panics) Name() string        { return p.name }
func (p panics) Check(*Conn) Verdict { panic("index out of patience") }

type recorder struct {
	mu     sync.Mutex
	events []event.Event
}

func (r *recorder) Emit(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func modes(m map[string]policy.Mode) *policy.Snapshot {
	s := &policy.Snapshot{Controls: make(map[string]policy.Control)}
	for name, mode := range m {
		s.Controls[name] = policy.Control{Mode: mode}
	}
	return s
}

func conn(s *policy.Snapshot) *Conn {
	return &Conn{ID: 42, Addr: netip.MustParseAddrPort("192.0.2.7:40001"), At: at, Policy: s, Open: 1, HalfOpen: 1, FromAddr: 1}
}

func TestModesDecideWhatAVerdictDoes(t *testing.T) {
	mask := Verdict{Action: Mask, Reason: "because", RetryAfter: time.Second}
	for _, c := range []struct {
		name    string
		modes   map[string]policy.Mode
		first   Verdict
		want    Verdict
		asked   []string
		events  []event.Kind
		counted stats.Mode
		decided bool
	}{
		{
			name: "enforce stops", modes: map[string]policy.Mode{"first": policy.Enforce}, first: mask,
			want:  Verdict{Action: Mask, Control: "first", Reason: "because", RetryAfter: time.Second},
			asked: []string{"first"}, events: []event.Kind{event.Refused}, counted: stats.ModeEnforce, decided: true,
		},
		{
			name: "monitor reports and lets through", modes: map[string]policy.Mode{"first": policy.Monitor}, first: mask,
			asked: []string{"first", "second"}, events: []event.Kind{event.WouldRefuse}, counted: stats.ModeMonitor, decided: true,
		},
		{
			name: "a control the policy does not name is in monitor", first: mask,
			asked: []string{"first", "second"}, events: []event.Kind{event.WouldRefuse}, counted: stats.ModeMonitor, decided: true,
		},
		{
			name: "off is not asked", modes: map[string]policy.Mode{"first": policy.Off}, first: mask,
			asked: []string{"second"},
		},
		{
			name: "an allow is counted and not reported", modes: map[string]policy.Mode{"first": policy.Enforce}, first: Verdict{Reason: "ignored"},
			asked: []string{"first", "second"}, counted: stats.ModeEnforce, decided: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			var sink recorder
			var counters stats.Counters
			checks := []Check{says{"first", c.first, &mu, &asked}, says{"second", Verdict{}, &mu, &asked}}
			for _, stage := range []string{"Admit", "Hello", "Authorize"} {
				asked, sink.events = nil, nil
				before := decisions(&counters, "first")
				p, run := NewPipeline(Stages{Accept: checks}, &sink, &counters), (*Pipeline).Admit
				switch stage {
				case "Hello":
					p, run = NewPipeline(Stages{Hello: checks}, &sink, &counters), (*Pipeline).Hello
				case "Authorize":
					p, run = NewPipeline(Stages{Auth: checks}, &sink, &counters), (*Pipeline).Authorize
				}
				x := conn(modes(c.modes))
				if got := run(p, x); got != c.want {
					t.Errorf("%s: got %+v, want %+v", stage, got, c.want)
				}
				p.Conclude(x, stats.ResultOK)
				if !slices.Equal(asked, c.asked) {
					t.Errorf("%s: asked %v, want %v", stage, asked, c.asked)
				}
				var kinds []event.Kind
				for _, e := range sink.events {
					kinds = append(kinds, e.Kind)
				}
				if !slices.Equal(kinds, c.events) {
					t.Errorf("%s: events %v, want %v", stage, kinds, c.events)
				}
				after := decisions(&counters, "first")
				for k, n := range after {
					want := before[k]
					if c.decided && k == (decision{statsVerdict[c.first.Action], c.counted}) {
						want++
					}
					if n != want {
						t.Errorf("%s: decisions %+v rose from %d to %d, want %d", stage, k, before[k], n, want)
					}
				}
			}
		})
	}
}

type decision struct {
	v stats.Verdict
	m stats.Mode
}

func decisions(c *stats.Counters, control string) map[decision]uint64 {
	out := make(map[decision]uint64)
	for _, v := range []stats.Verdict{stats.VerdictAllow, stats.VerdictDeny, stats.VerdictMask} {
		for _, m := range []stats.Mode{stats.ModeMonitor, stats.ModeEnforce, stats.ModeCandidate} {
			out[decision{v, m}] = c.Control(control).Decisions(v, m)
		}
	}
	return out
}

func TestRefusalEvent(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	var sink recorder
	check := says{"sessions.key", Verdict{Action: Mask, Reason: "too_many"}, &mu, &asked}
	p := NewPipeline(Stages{Auth: []Check{check}}, &sink, nil)
	c := conn(nil)
	c.User, c.Key, c.Transport, c.DC = "alice", "0123456789abcdef", mtproto.FakeTLS, -4
	p.Authorize(c)
	p.Conclude(c, stats.ResultOK)
	want := event.Event{
		Time: at, Kind: event.WouldRefuse, Conn: 42, Addr: netip.MustParseAddr("192.0.2.7"), User: "alice", Key: "0123456789abcdef",
		Transport: "faketls", Control: "sessions.key", Reason: "too_many", Mode: "monitor", DC: -4,
	}
	if len(sink.events) != 1 || sink.events[0] != want {
		t.Errorf("got %+v, want %+v", sink.events, want)
	}
}

// Only memory bounds may close at once; anything else that is not Allow becomes Mask, so that a foreign check cannot make the listener
// tell itself apart from a web site.
func TestOnlyMemoryBoundsDeny(t *testing.T) {
	for _, c := range []struct {
		control    string
		said, want Action
	}{
		{policy.ConnsTotal, Deny, Deny},
		{policy.HalfOpen, Deny, Deny},
		{policy.ConnsTotal, Mask, Mask},
		{policy.ConnsAddr, Deny, Mask},
		{"geo.country", Deny, Mask},
		{"geo.country", Mask, Mask},
		{"geo.country", Action(99), Mask},
		{policy.ConnsTotal, Action(99), Mask},
		{"geo.country", Allow, Allow},
	} {
		var mu sync.Mutex
		var asked []string
		check := says{c.control, Verdict{Action: c.said, Reason: "r"}, &mu, &asked}
		p := NewPipeline(Stages{Accept: []Check{check}}, nil, nil)
		if got := p.Admit(conn(modes(map[string]policy.Mode{c.control: policy.Enforce}))); got.Action != c.want {
			t.Errorf("%s says %v: got %v, want %v", c.control, c.said, got.Action, c.want)
		}
	}
}

// A check that panics is counted and reported, and the connection meets the checks behind it.
func TestPanicInACheckIsCountedAndPassedOver(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	var sink recorder
	var counters stats.Counters
	p := NewPipeline(Stages{Accept: []Check{panics{"broken"}, says{"next", Verdict{Action: Mask, Reason: "r"}, &mu, &asked}}}, &sink, &counters)
	var told []string
	p.OnPanic = func(control string, value any) {
		told = append(told, control+": "+value.(string))
		if !strings.Contains(string(debug.Stack()), "panics.Check") {
			t.Error("the stack does not show where the check panicked")
		}
	}
	all := modes(map[string]policy.Mode{"broken": policy.Enforce, "next": policy.Enforce})
	for range 3 {
		if v := p.Admit(conn(all)); v.Control != "next" {
			t.Errorf("got %+v, want the verdict of the next check", v)
		}
	}
	s := counters.Control("broken")
	if s.Panics() != 3 {
		t.Errorf("%d panics counted, want 3", s.Panics())
	}
	if d := decisions(&counters, "broken"); d[decision{stats.VerdictAllow, stats.ModeEnforce}] != 0 {
		t.Error("a panic was counted as a decision")
	}
	if len(told) != 3 || told[0] != "broken: index out of patience" {
		t.Errorf("OnPanic was told %q", told)
	}
	want := event.Event{Time: at, Kind: event.CheckFailed, Conn: 42, Addr: netip.MustParseAddr("192.0.2.7"), Control: "broken", Reason: ReasonPanic}
	if len(sink.events) != 6 || sink.events[0] != want {
		t.Errorf("events %+v, want %+v first of six", sink.events, want)
	}
}

func TestPanicWithoutOnPanicAndZeroConn(t *testing.T) {
	p := NewPipeline(Stages{Accept: []Check{panics{"broken"}}, Auth: []Check{panics{"broken"}}}, nil, nil)
	if v := p.Admit(&Conn{}); v != (Verdict{}) {
		t.Errorf("Admit: got %+v", v)
	}
	if v := p.Authorize(&Conn{}); v != (Verdict{}) {
		t.Errorf("Authorize: got %+v", v)
	}
	if v := NewPipeline(Stages{}, nil, nil).Admit(conn(nil)); v != (Verdict{}) {
		t.Errorf("a pipeline without checks: got %+v", v)
	}
}

// A percentage splits clients, not connections: a client inside the share is refused each time, one outside never.
func TestShareOfClientsIsSticky(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	check := says{"x", Verdict{Action: Mask, Reason: "r"}, &mu, &asked}
	p := NewPipeline(Stages{Accept: []Check{check}}, nil, nil)
	s := &policy.Snapshot{Controls: map[string]policy.Control{"x": {Mode: policy.Enforce, Percent: 50}}}
	refused := 0
	for i := range 200 {
		c := conn(s)
		c.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1)
		first := p.Admit(c)
		if first.Action == Mask {
			refused++
		}
		for range 3 {
			if again := p.Admit(c); again != first {
				t.Fatalf("%v: first %v, then %v", c.Addr, first, again)
			}
		}
	}
	if refused < 60 || refused > 140 {
		t.Errorf("%d of 200 clients were refused at 50 %%", refused)
	}
}

// slow is a check that takes its time, and refuses.
type slow struct{ name string }

func (s slow) Name() string { return s.name }
func (s slow) Check(*Conn) Verdict {
	time.Sleep(3 * time.Microsecond)
	return Verdict{Action: Mask, Reason: "r"}
}

// TestJudgementsAreTimed: of one in 16 connections, exactly and by the mode that held, while all are counted.
func TestJudgementsAreTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its clock moves only while the check sleeps
		const connections, timed = 16_000, 1000
		var counters stats.Counters
		p := NewPipeline(Stages{Accept: []Check{slow{policy.ConnsAddr}, panics{"broken"}, TotalConnections{}}}, nil, &counters)
		s := &policy.Snapshot{Controls: map[string]policy.Control{policy.ConnsAddr: {Mode: policy.Enforce, Percent: 50}}, Candidates: map[string]*policy.Limits{policy.ConnsAddr: {}}}
		for i := range connections {
			c := conn(s)
			c.ID, c.Addr = uint64(i+1), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
			p.Admit(c)
		}
		c := counters.Control(policy.ConnsAddr)
		if n := c.Decisions(stats.VerdictMask, stats.ModeEnforce) + c.Decisions(stats.VerdictMask, stats.ModeMonitor); n != connections {
			t.Errorf("%d judgements were counted, of %d", n, connections)
		}
		enforced, monitored := c.Times(stats.ModeEnforce), c.Times(stats.ModeMonitor)
		if n := enforced + monitored; n < timed-1 || n > timed+1 || enforced < timed/3 || monitored < timed/3 {
			t.Errorf("%d were timed enforced and %d in monitor, want %d in all", enforced, monitored, timed)
		}
		for m := range stats.ModeCandidate + 1 {
			if took := c.Cost(m); took != 3*time.Microsecond {
				t.Errorf("mode %d: %v, want 3µs", m, took)
			}
		}
		if n := counters.Control(policy.ConnsTotal).Times(stats.ModeEnforce); n != monitored {
			t.Errorf("a check behind: %d were timed, want the %d that came so far", n, monitored)
		}
	})
}

// TestTheFirstConnectionIsTimed, a check that panics included, and none without a number.
func TestTheFirstConnectionIsTimed(t *testing.T) {
	var counters stats.Counters
	p := NewPipeline(Stages{Accept: []Check{TotalConnections{}, panics{"broken"}}}, nil, &counters)
	for id := range uint64(2) {
		c := conn(nil)
		c.ID = id
		p.Admit(c)
		for control, mode := range map[string]stats.Mode{policy.ConnsTotal: stats.ModeEnforce, "broken": stats.ModeMonitor} {
			if got := counters.Control(control).Times(mode); got != id {
				t.Errorf("%s: %d times counted, want %d", control, got, id)
			}
		}
	}
}

func builtIn() []Check {
	return []Check{TotalConnections{}, PerAddress{}, NewAcceptRate(1 << 16)}
}

func roomy() *policy.Snapshot {
	return &policy.Snapshot{Limits: policy.Limits{
		MaxConnections: 1 << 20, HalfOpen: 1 << 20, ConnectionsPerAddress: 1 << 20,
		NewPerPrefix: ratelimit.Limit{Events: 1 << 29, Per: time.Second},
	}}
}

func TestAdmitDoesNotAllocateWhenItAllows(t *testing.T) {
	p := NewPipeline(Stages{Accept: builtIn()}, event.NewBus(), nil)
	for _, addr := range []string{"192.0.2.7:1", "[2001:db8::1]:1"} {
		c := conn(roomy())
		c.Addr = netip.MustParseAddrPort(addr)
		if n := testing.AllocsPerRun(100, func() {
			if v := p.Admit(c); v.Action != Allow {
				t.Fatalf("%s: %+v", addr, v)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations per Admit, want none", addr, n)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	for name, addr := range map[string]string{"ipv4": "192.0.2.7:1", "ipv6": "[2001:db8::1]:1"} {
		b.Run(name, func(b *testing.B) {
			p := NewPipeline(Stages{Accept: builtIn()}, event.NewBus(), nil)
			c := conn(roomy())
			c.Addr = netip.MustParseAddrPort(addr)
			b.ReportAllocs()
			for b.Loop() {
				p.Admit(c)
			}
		})
	}
	b.Run("refused", func(b *testing.B) {
		p := NewPipeline(Stages{Accept: builtIn()}, event.NewBus(), nil)
		s := roomy()
		s.Limits.MaxConnections = 1
		c := conn(s)
		c.Open = 2
		b.ReportAllocs()
		for b.Loop() {
			p.Admit(c)
		}
	})
}
