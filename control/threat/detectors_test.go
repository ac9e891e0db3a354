package threat

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"mtguard/proxy/guard"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
)

// day0 is when traces begin: a Monday.
var day0 = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

var (
	attacker = netip.MustParseAddr("203.0.113.7")
	other    = netip.MustParseAddr("2001:db8:1:2::3")
)

// trace is what happens, in order; at is when the next thing does.
type trace struct {
	at     time.Time
	events []event.Event
	conn   uint64
}

func newTrace() *trace { return &trace{at: day0} }

func (t *trace) pass(d time.Duration) *trace { t.at = t.at.Add(d); return t }

func (t *trace) add(e event.Event) *trace {
	t.conn++
	e.Time, e.Conn = t.at, t.conn
	t.events = append(t.events, e)
	return t
}

// fails adds handshakes that fail so, one each time that every has passed.
func (t *trace) fails(from netip.Addr, reason string, n int, every time.Duration) *trace {
	for range n {
		t.add(event.Event{Kind: event.HandshakeFailed, Addr: from, Reason: reason, Received: 517}).pass(every)
	}
	return t
}

func (t *trace) uses(from netip.Addr, key string) *trace {
	return t.add(event.Event{Kind: event.Authenticated, Addr: from, User: "user of " + key, Key: key})
}

// play is what a detector finds in a trace.
func (t *trace) play(d Detector) (list []Finding) {
	for _, e := range t.events {
		list = append(list, d.Observe(e)...)
	}
	return list
}

func nth(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, byte(18 + n>>16), byte(n >> 8), byte(n)})
}

// TestEveryDetectorFindsItsAttackAndNothingElse: each has a case that must fire, and one close to it that must not.
func TestEveryDetectorFindsItsAttackAndNothingElse(t *testing.T) {
	skewed := func(tr *trace, n int, every time.Duration, skew func(i int) time.Duration) *trace {
		for i := range n {
			tr.add(event.Event{Kind: event.HandshakeFailed, Addr: attacker, Reason: "clock", Key: "k1", Skew: skew(i)}).pass(every)
		}
		return tr
	}
	where := func(a netip.Addr) (string, uint32) {
		b := a.As4()
		return string([]byte{'A' + b[1]%26, 'A' + b[1]%26}), uint32(b[1])
	}
	for _, c := range []struct {
		name     string
		make     func() Detector
		fire     *trace
		nearMiss *trace
		about    string // "addr" or "key"
	}{
		{
			"probe_scan", NewProbeScan,
			newTrace().fails(attacker, "malformed", 1, time.Second).fails(attacker, "server_name", 1, time.Second).fails(attacker, "bad_secret", 1, 0),
			newTrace().fails(attacker, "malformed", 3, time.Second).fails(attacker, "bad_secret", 500, time.Second).pass(probeWindow*time.Millisecond).
				fails(attacker, "server_name", 3, time.Second), "addr",
		},
		{
			"probe_scan by noise", NewProbeScan,
			newTrace().fails(other, "malformed", 6, time.Second),
			newTrace().fails(other, "malformed", 50, 12*time.Second), "addr",
		},
		{
			"replay", NewReplay,
			newTrace().fails(attacker, "replay", 2, 5*time.Minute),
			newTrace().fails(attacker, "replay", 3, time.Hour), "addr",
		},
		{
			"replay from many addresses", NewReplay,
			newTrace().add(replayBy(1)).pass(time.Minute).add(replayBy(2)).pass(time.Minute).add(replayBy(3)),
			newTrace().add(replayBy(1)).pass(time.Minute).add(replayBy(2)).pass(10 * time.Minute).add(replayBy(3)), "key",
		},
		{
			"clock", NewClock,
			skewed(newTrace(), 3, 10*time.Second, func(i int) time.Duration { return time.Hour + time.Duration(i)*35*time.Second }),
			skewed(newTrace(), 500, time.Second, func(i int) time.Duration { return 2*time.Hour + time.Duration(i%7)*time.Second }), "addr",
		},
		{
			"secret_spray", NewSecretSpray,
			newTrace().fails(attacker, "bad_secret", 100, 50*time.Millisecond),
			newTrace().fails(attacker, "bad_secret", 3000, 400*time.Millisecond), "addr",
		},
		{
			"handshake_only", NewHandshakeOnly,
			repeat(newTrace(), 40, 200*time.Millisecond, event.Event{Kind: event.HandshakeFailed, Addr: attacker, Reason: "eof"}),
			repeat(newTrace(), 1000, 2*time.Second, event.Event{Kind: event.HandshakeFailed, Addr: attacker, Reason: "eof"}), "addr",
		},
		{
			"handshake_only with a secret", NewHandshakeOnly,
			repeat(newTrace(), 40, 200*time.Millisecond, event.Event{Kind: event.Relayed, Addr: attacker, User: "u", Key: "k", Sent: 60, Received: 100, Took: time.Second}),
			repeat(newTrace(), 400, 200*time.Millisecond, event.Event{Kind: event.Relayed, Addr: attacker, User: "u", Key: "k", Sent: 6000, Received: 100, Took: time.Second}), "addr",
		},
		{
			"connection_flood", NewConnectionFlood,
			newTrace().fails(attacker, "eof", 200, 20*time.Millisecond),
			mixed(newTrace().fails(attacker, "eof", 75, 0), 5000), "addr",
		},
		{
			"slow_hello", NewSlowHello,
			newTrace().fails(attacker, "timeout", 6, time.Second),
			newTrace().fails(attacker, "timeout", 100, 31*time.Second), "addr",
		},
		{
			"key_fanout by networks", func() Detector { return NewKeyFanOut(nil) },
			wander(newTrace(), networksHour, time.Minute, 256), wander(newTrace(), 40, 10*time.Minute, 256), "key",
		},
		{
			"key_fanout by AS numbers and countries", func() Detector { return NewKeyFanOut(where) },
			wander(newTrace(), countriesDay, time.Minute, 1<<16), wander(newTrace(), 100, time.Minute, 256), "key",
		},
		{
			"key_fanout by AS numbers", func() Detector {
				return NewKeyFanOut(func(a netip.Addr) (string, uint32) { return "DE", uint32(a.As4()[2]) + 1 })
			},
			wander(newTrace(), asnsDay, time.Minute, 256), wander(newTrace(), asnsDay-1, time.Minute, 256), "key",
		},
		{
			"dormant_key", func() Detector { return NewDormantKey(func(string) time.Time { return day0.Add(-10 * dayLong) }) },
			newTrace().pass(21*dayLong).uses(attacker, "k1"),
			newTrace().uses(attacker, "k1").pass(29*dayLong).uses(attacker, "k1"), "key",
		},
		{
			"dormant_key, never used before", func() Detector { return NewDormantKey(nil) },
			newTrace().uses(attacker, "k1").pass(31*dayLong).uses(attacker, "k1"),
			newTrace().pass(100*dayLong).uses(attacker, "k1"), "key",
		},
		{
			"tripwire", NewTripwire,
			newTrace().add(event.Event{Kind: event.Tripwire, Addr: attacker, User: "u", Key: "k1"}),
			newTrace().fails(attacker, "expired", 9, time.Second).fails(attacker, "user", 9, time.Second), "key",
		},
		{"byte_drift", NewByteDrift, weeks(8, 4), weeks(1, 1), "key"},
		{"byte_drift, one busy hour", NewByteDrift, weeks(64, 4), weeks(64, 1), "key"},
		{
			"admin_guess", NewAdminGuess,
			repeat(newTrace(), 12, time.Second, event.Event{Kind: event.Guess, Addr: attacker, Control: "pages"}),
			repeat(newTrace(), 50, time.Minute, event.Event{Kind: event.Guess, Addr: attacker, Control: "pages"}), "addr",
		},
		{
			"persistence", NewPersistence,
			newTrace().add(event.Event{Kind: event.Refused, Addr: attacker, Control: policy.ThreatBlock, Reason: guard.ReasonSuspect}),
			repeat(newTrace(), 99, time.Second, event.Event{Kind: event.Refused, Addr: attacker, Control: policy.ThreatBlock, Reason: guard.ReasonBlocked}), "addr",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := c.fire.play(c.make())
			if len(found) == 0 {
				t.Fatal("the attack is not found")
			}
			if f := found[0]; f.Detector != c.make().Name() || f.Evidence == "" || f.Points <= 0 || f.Time.IsZero() ||
				(c.about == "addr") != f.Addr.IsValid() || (c.about == "key") != (f.Key != "") {
				t.Errorf("found %+v", f)
			}
			if found := c.nearMiss.play(c.make()); len(found) > 0 {
				t.Errorf("the near miss is found: %+v", found[0])
			}
		})
	}
}

func TestGuessesAtTheAdminSocketAreFoundByName(t *testing.T) {
	d := NewAdminGuess()
	found := repeat(newTrace(), 7, time.Second, event.Event{Kind: event.Guess, User: "uid 1000", Control: "admin"}).play(d)
	if len(found) == 0 || found[0].User != "uid 1000" || found[0].Addr.IsValid() {
		t.Errorf("%+v", found)
	}
	if found := repeat(newTrace(), 4, time.Second, event.Event{Kind: event.Guess, User: "uid 1001", Control: "admin"}).play(d); len(found) > 0 {
		t.Errorf("another one: %+v", found)
	}
}

func replayBy(n int) event.Event {
	return event.Event{Kind: event.HandshakeFailed, Reason: "replay", Addr: nth(n << 8), User: "u", Key: "k1"}
}

func repeat(t *trace, n int, every time.Duration, e event.Event) *trace {
	for range n {
		t.add(e).pass(every)
	}
	return t
}

// mixed adds users who come back all at once, from one address.
func mixed(t *trace, n int) *trace {
	for i := range n {
		t.uses(attacker, fmt.Sprint("k", i)).pass(time.Millisecond)
	}
	return t
}

// wander uses one secret from addresses that are so far apart.
func wander(t *trace, n int, every time.Duration, step int) *trace {
	for i := range n {
		t.uses(nth(i*step), "k1").pass(every)
	}
	return t
}

// weeks are three ordinary weeks of five users, and then so many hours in which the first carries times as much.
func weeks(times float64, hours int) *trace {
	t, r := newTrace(), rand.New(rand.NewPCG(1, 2))
	carry := func(user int, factor float64) {
		hour := t.at.Hour()
		usual := 1e6 * float64(1+user) * (1 + 20*max(0, 1-float64((hour-20)*(hour-20))/60)) // the evening is busy
		b := usual * (0.5 + r.Float64()) * factor
		t.add(event.Event{Kind: event.Relayed, Addr: nth(user), User: fmt.Sprint("u", user), Key: fmt.Sprint("k", user), Sent: int64(b), Received: int64(b / 20), Took: time.Minute})
	}
	for h := range 3 * 7 * 24 {
		for u := range 5 {
			if (h+u)%2 == 0 {
				carry(u, 1)
			}
		}
		t.pass(time.Hour)
	}
	for h := range 24 {
		factor := 1.0
		if h < hours {
			factor = times
		}
		carry(0, factor)
		t.pass(time.Hour)
	}
	return t
}

// TestDetectorsForgetNothingThatCounts: what attackers fill with addresses of theirs does not grow, and an address that goes on is found all the same.
func TestDetectorsKeepWithinTheirMemory(t *testing.T) {
	d := NewProbeScan().(*probeScan)
	size := len(d.seen.sets)
	tr := newTrace()
	for i := range 100_000 {
		tr.fails(netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 16), byte(i >> 8), byte(i)}), "malformed", 1, time.Millisecond)
	}
	tr.fails(attacker, "malformed", 6, time.Millisecond)
	if found := tr.play(d); len(found) == 0 || found[len(found)-1].Addr != attacker || len(d.seen.sets) != size {
		t.Errorf("%d findings, %d sets", len(found), len(d.seen.sets))
	}
}

// TestDetectorsBearAnything: events of every kind with whatever in them, and clocks that go back.
func TestDetectorsBearAnything(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	reasons := []string{"", "bad_secret", "replay", "clock", "server_name", "malformed", "timeout", "budget", "eof", "nonsense"}
	all := Detectors(Known{})
	kinds := event.Kinds()
	for range 200_000 {
		e := event.Event{
			Time: day0.Add(time.Duration(r.Int64N(int64(100 * dayLong)))), Kind: kinds[r.IntN(len(kinds))], Reason: reasons[r.IntN(len(reasons))],
			Sent: r.Int64() - r.Int64(), Received: r.Int64() - r.Int64(), Took: time.Duration(r.Int64() - r.Int64()), Skew: time.Duration(r.Int64()),
		}
		if r.IntN(8) > 0 {
			e.Addr = nth(r.IntN(1 << 12))
		}
		if r.IntN(2) > 0 {
			e.Key, e.User = fmt.Sprint("k", r.IntN(100)), "u"
		}
		for _, d := range all {
			for _, f := range d.Observe(e) {
				if f.Detector != d.Name() || f.Points <= 0 || f.Points > 12 || f.Evidence == "" || len(f.Evidence) > 200 {
					t.Fatalf("%+v of %+v", f, e)
				}
			}
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	all := Detectors(Known{})
	for _, c := range []struct {
		name string
		e    event.Event
	}{
		{"relayed", event.Event{Kind: event.Relayed, Addr: attacker, Key: "0123456789abcdef", Sent: 1 << 20, Received: 1 << 16, Took: time.Minute}},
		{"failed", event.Event{Kind: event.HandshakeFailed, Addr: attacker, Reason: "bad_secret", Received: 517}},
	} {
		b.Run(c.name, func(b *testing.B) {
			e := c.e
			e.Time = day0
			b.ReportAllocs()
			for b.Loop() {
				e.Time = e.Time.Add(time.Second)
				for _, d := range all {
					d.Observe(e)
				}
			}
		})
	}
}
