package threat

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// always finds each event with the reason "attack", with so many points.
type always float64

func (always) Name() string { return "always" }

func (a always) Observe(e event.Event) []Finding {
	if e.Reason != "attack" {
		return nil
	}
	return found("always", &e, float64(a), "it was there")
}

// world is an engine with a policy, a table of suspects, and somebody who writes down what is to be done.
type world struct {
	*Engine
	t        *testing.T
	snap     *policy.Snapshot
	suspects *guard.Suspects
	at       time.Time

	mu       sync.Mutex
	done     Response
	spare    []netip.Prefix
	rules    []access.Rule
	err      error
	answered int
}

func newWorld(t *testing.T, mode policy.Mode, rules []access.Rule, d ...Detector) *world {
	t.Helper()
	table, err := access.Compile(rules, access.Options{Default: access.Standard})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, at: day0, rules: rules, suspects: guard.NewSuspects(1 << 12)}
	w.snap = &policy.Snapshot{
		Controls: map[string]policy.Control{policy.ThreatBlock: {Mode: mode}}, Access: table,
		Limits: policy.Limits{BlocksPerMinute: 100, LongestBlock: 7 * dayLong},
	}
	if len(d) == 0 {
		d = []Detector{always(12)}
	}
	w.Engine = NewEngine(Options{
		Policy: func() *policy.Snapshot { w.mu.Lock(); defer w.mu.Unlock(); return w.snap }, Suspects: w.suspects, Responder: w,
		Regular: w.suspects.Regular,
	}, d...)
	return w
}

func (w *world) Respond(_ context.Context, r Response) ([]netip.Prefix, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered++
	w.done.Blocks = append(w.done.Blocks, r.Blocks...)
	w.done.Notes = append(w.done.Notes, r.Notes...)
	for _, b := range r.Blocks {
		if w.err == nil && !slices.Contains(w.spare, b.Prefix) {
			w.rules = append(w.rules, access.Rule{ID: fmt.Sprint(len(w.rules)), Match: access.PrefixMatch(b.Prefix), Level: access.None, Source: access.Automatic, Until: w.at.Add(b.For)})
		}
	}
	if len(r.Blocks) > 0 {
		w.load()
	}
	return w.spare, w.err
}

// load has the rules take effect. The lock is held, or nobody else is there.
func (w *world) load() {
	table, err := access.Compile(w.rules, access.Options{Default: access.Standard})
	if err != nil {
		w.t.Fatal(err)
	}
	next := *w.snap
	next.Access = table
	w.snap = &next
}

// unblock takes all rules back, as an operator does.
func (w *world) unblock() {
	w.rules = nil
	w.load()
}

func (w *world) attack(from netip.Addr) {
	w.Observe(event.Event{Time: w.at, Kind: event.HandshakeFailed, Addr: from, Reason: "attack"})
}

func (w *world) uses(from netip.Addr, user string) {
	w.suspects.Came(from, w.at)
	w.Observe(event.Event{Time: w.at, Kind: event.Authenticated, Addr: from, User: user, Key: "key of " + user})
}

// blocks has done what waits, and returns all blocks so far.
func (w *world) blocks() []Block {
	w.flushBlocks(context.Background())
	w.flushNotes(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done.Blocks
}

// TestTheLadderIsClimbedRungByRung and falls back with time.
func TestTheLadderIsClimbedRungByRung(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil, always(4))
	for i, want := range []guard.Stage{guard.Throttled, guard.Shown, guard.Shown} {
		w.attack(attacker)
		if got := w.suspects.Stage(attacker, w.at); got != want {
			t.Errorf("after %d findings: stage %d, want %d", i+1, got, want)
		}
		w.at = w.at.Add(time.Second)
	}
	b := w.blocks()
	if len(b) != 1 || b[0].Prefix.String() != "203.0.113.7/32" || b[0].For != 10*time.Minute || b[0].Reason != "always: it was there" {
		t.Errorf("blocks %+v", b)
	}
	if st := w.Status(); st.Throttled != 1 || st.Shown != 1 || st.Blocked != 1 || st.BlocksToday != 1 || st.BlockedNow != 1 {
		t.Errorf("%+v", st)
	}
	for range 20 { // one in a while: half of the score is forgotten before the next
		w.at = w.at.Add(21 * time.Minute)
		w.attack(netip.MustParseAddr("203.0.113.8"))
	}
	if b := w.blocks(); len(b) != 1 {
		t.Errorf("somebody slow is blocked: %+v", b[1:])
	}
	if w.suspects.Stage(netip.MustParseAddr("203.0.113.8"), w.at.Add(suspectFor)) != guard.Trusted {
		t.Error("a stage does not end")
	}
}

// TestBlocksGrowAndAreForgiven: ten minutes, an hour, six hours, a day, a week at most, never for ever.
func TestBlocksGrowAndAreForgiven(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil)
	var got []string
	for range 7 {
		w.attack(attacker)
		w.attack(attacker) // while it is blocked nothing more happens
		b := w.blocks()
		last := b[len(b)-1]
		got = append(got, last.For.String())
		w.at = w.at.Add(last.For + time.Second)
	}
	if text := strings.Join(got, " "); text != "10m0s 1h0m0s 6h0m0s 24h0m0s 168h0m0s 168h0m0s 168h0m0s" {
		t.Errorf("blocks of %s", text)
	}
	w.at = w.at.Add(3 * forgive)
	w.attack(attacker)
	if b := w.blocks(); b[len(b)-1].For >= 168*time.Hour {
		t.Errorf("three weeks later it is blocked for %v", b[len(b)-1].For)
	}
	w.snap.Limits.LongestBlock = time.Hour
	w.at = w.at.Add(forgive)
	w.attack(attacker)
	if b := w.blocks(); b[len(b)-1].For != time.Hour {
		t.Errorf("with an hour as the longest it is blocked for %v", b[len(b)-1].For)
	}
}

func TestWhoIsSpared(t *testing.T) {
	trusted := access.Rule{ID: "t", Match: access.PrefixMatch(netip.MustParsePrefix("203.0.113.0/24")), Level: access.Standard, Pinned: true}
	exceptions, err := policy.NewExceptions([]policy.Exception{{
		ID: "e", Prefix: netip.MustParsePrefix("203.0.113.0/24"), Controls: []string{policy.ThreatBlock}, Until: day0.Add(dayLong), Reason: "r", Owner: "o",
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		rules  []access.Rule
		change func(*world)
		why    string
		stage  guard.Stage
	}{
		{"an address that an operator trusts", []access.Rule{trusted}, func(*world) {}, sparedPinned, guard.Trusted},
		{"an exception", nil, func(w *world) { w.snap.Exceptions = exceptions }, sparedException, guard.Trusted},
		{"an address that a user shares", nil, func(w *world) { w.uses(attacker, "alice"); w.at = w.at.Add(23 * time.Hour) }, sparedShared, guard.Throttled},
		{"no block is left in the minute", nil, func(w *world) { w.snap.Limits.BlocksPerMinute = 0 }, sparedBudget, guard.Shown},
		{"blocks of no length", nil, func(w *world) { w.snap.Limits.LongestBlock = 0 }, sparedBudget, guard.Shown},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, policy.Enforce, c.rules)
			c.change(w)
			w.attack(attacker)
			if b := w.blocks(); len(b) != 0 {
				t.Errorf("blocked: %+v", b)
			}
			if st := w.Status(); st.Spared[c.why] != 1 || st.Blocked != 0 {
				t.Errorf("%+v", st)
			}
			if got := w.suspects.Stage(attacker, w.at); got != c.stage {
				t.Errorf("stage %d, want %d", got, c.stage)
			}
			if n := w.done.Notes; c.why == sparedException {
				if len(n) != 0 { // somebody has looked at it already
					t.Errorf("notes %+v", n)
				}
			} else if len(n) != 1 || !strings.Contains(n[0].Action, "spared: "+c.why) {
				t.Errorf("notes %+v", n)
			}
		})
	}
	w := newWorld(t, policy.Enforce, nil)
	w.uses(attacker, "alice")
	w.at = w.at.Add(guard.Lately)
	w.attack(attacker)
	if b := w.blocks(); len(b) != 1 {
		t.Errorf("a day after the user it is not blocked: %+v", w.Status())
	}
}

func TestTheBudgetOfBlocksHolds(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil)
	w.snap.Limits.BlocksPerMinute = 10
	for i := range 100 {
		w.attack(nth(i << 8))
		w.at = w.at.Add(10 * time.Millisecond)
	}
	if b := w.blocks(); len(b) != 10 || w.Status().Spared[sparedBudget] != 90 {
		t.Errorf("%d blocks in a second, %+v", len(b), w.Status().Spared)
	}
	w.at = w.at.Add(30 * time.Second)
	for i := range 100 {
		w.attack(nth((200 + i) << 8))
	}
	if n := len(w.blocks()); n != 15 {
		t.Errorf("half a minute later %d blocks in all, want 15", n)
	}
}

// TestInMonitorNothingIsDone: it is counted, and so is every user whom a block would have hit.
func TestInMonitorNothingIsDone(t *testing.T) {
	w := newWorld(t, policy.Monitor, nil)
	w.attack(attacker)
	for i := range 3 {
		w.uses(attacker, fmt.Sprint("user", i%2))
	}
	w.uses(nth(1), "elsewhere")
	if b := w.blocks(); len(b) != 0 || w.suspects.Stage(attacker, w.at) != guard.Trusted {
		t.Errorf("blocks %+v", b)
	}
	st := w.Status()
	if st.Mode != "monitor" || st.WouldBlock != 1 || st.Blocked != 0 || st.UsersHitToday != 2 || strings.Join(st.UsersHit, " ") != "user0 user1" {
		t.Errorf("%+v", st)
	}
	w.at = w.at.Add(dayLong)
	w.uses(attacker, "late")
	if st := w.Status(); st.UsersHitToday != 0 || st.BlocksToday != 0 {
		t.Errorf("the next day: %+v", st)
	}
	if n := w.done.Notes; len(n) != 1 || n[0].Action != "would be blocked for 10m0s" {
		t.Errorf("notes %+v", n)
	}
}

func TestSwitchedOffNothingIsFound(t *testing.T) {
	w := newWorld(t, policy.Off, nil)
	w.attack(attacker)
	if st := w.Status(); st.Findings["always"] != 0 || st.WouldBlock != 0 || st.Mode != "off" {
		t.Errorf("%+v", st)
	}
}

// TestAnIPv6SiteIsBlockedAsAWhole only where nobody ever came from it and the node has been up for a day; of an IPv4 network a person is asked.
func TestAnIPv6SiteIsBlockedAsAWhole(t *testing.T) {
	site := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:5:%x::1", i)) }
	for _, c := range []struct {
		name    string
		up      time.Duration
		known   bool
		blocked bool
		at      func(int) netip.Addr
	}{
		{"a site nobody knows", 25 * time.Hour, false, true, site},
		{"the node is young", time.Hour, false, false, site},
		{"a user came from there", 25 * time.Hour, true, false, site},
		{"IPv4", 25 * time.Hour, false, false, nth},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, policy.Enforce, nil)
			w.o.Network = func(netip.Addr) bool { return c.known }
			w.uses(netip.MustParseAddr("192.0.2.1"), "alice")
			w.at = w.at.Add(c.up)
			for i := range networkMost + 1 {
				w.attack(c.at(i + 1))
			}
			wide := 0
			for _, b := range w.blocks() {
				if b.Prefix.Bits() == 48 || b.Prefix.Bits() == 24 {
					wide++
				}
			}
			if (wide == 1) != c.blocked || wide > 1 {
				t.Errorf("%d wide blocks", wide)
			}
			asked := 0
			for _, n := range w.done.Notes {
				if n.Detector == "network" && n.Severity == High {
					asked++
				}
			}
			if asked != 1 {
				t.Errorf("%d notes about the network: %+v", asked, w.done.Notes)
			}
		})
	}
}

// TestVeryManyAttackersAreFewIncidents.
func TestVeryManyAttackersAreFewIncidents(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil)
	w.snap.Limits.BlocksPerMinute = 100_000
	for i := range 5000 {
		w.attack(nth(i << 4))
		w.at = w.at.Add(time.Millisecond)
		if i%100 == 0 {
			w.blocks()
		}
	}
	if n := len(w.blocks()); n < 5000 {
		t.Errorf("%d blocks", n)
	}
	subjects, most := make(map[string]int), 0
	for _, n := range w.done.Notes {
		subjects[n.Subject]++
		if n.Subject == Many {
			most += n.Count
		}
	}
	if len(subjects) > 2*mostIncidents+400 || subjects[Many] == 0 || most < 4000 {
		t.Errorf("%d subjects, %d findings of many", len(subjects), most)
	}
}

// TestARunEndsAndRespondsTogether: blocks that come together are one change, and Run leaves nothing behind.
func TestARunRespondsTogetherAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, policy.Enforce, nil)
		bus := event.NewBus()
		sub := bus.Subscribe("threat", 100)
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() { w.Run(ctx, sub.C()) })
		for i := range 50 {
			bus.Emit(event.Event{Time: time.Now(), Kind: event.HandshakeFailed, Addr: nth(i << 8), Reason: "attack"})
		}
		time.Sleep(settle + time.Millisecond)
		synctest.Wait()
		w.mu.Lock()
		if len(w.done.Blocks) != 50 || w.answered != 1 {
			t.Errorf("%d blocks in %d responses", len(w.done.Blocks), w.answered)
		}
		w.err = errors.New("the disk is full")
		w.mu.Unlock()
		bus.Emit(event.Event{Time: time.Now(), Kind: event.HandshakeFailed, Addr: attacker, Reason: "attack"})
		time.Sleep(settle + time.Millisecond)
		synctest.Wait()
		if st := w.Status(); st.Failed != 1 || w.suspects.Stage(attacker, time.Now()) != guard.Shown {
			t.Errorf("after a block that could not be made: %+v", st)
		}
		stop()
		work.Wait()
		sub.Close()
	})
}

// TestWhoIsFoundToBeSharedIsNotShownTheSite: the plane knows more than the memory.
func TestWhoIsFoundToBeSharedIsNotShownTheSite(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil)
	w.spare = []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}
	w.attack(attacker)
	w.blocks()
	if got := w.suspects.Stage(attacker, w.at); got != guard.Throttled || w.Status().Spared[sparedShared] != 1 {
		t.Errorf("stage %d, %+v", got, w.Status())
	}
}

func TestFindingsAreKeptNewestFirst(t *testing.T) {
	w := newWorld(t, policy.Monitor, nil, always(1))
	for i := range 3000 {
		w.at = w.at.Add(time.Second)
		w.attack(nth(i))
	}
	all := w.Findings(5000)
	if len(all) != 1024 || all[0].Addr != nth(2999) || all[1].Addr != nth(2998) || len(w.Findings(3)) != 3 {
		t.Errorf("%d findings, the first %+v", len(all), all[0])
	}
}

func TestMetricsTellWhatStatusTells(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil)
	w.attack(attacker)
	w.blocks()
	got := make(map[string]float64)
	for _, f := range w.Families() {
		f.Collect(func(v float64, labels ...string) {
			if len(labels) != len(f.Labels) {
				t.Errorf("%s has %v for %v", f.Name, labels, f.Labels)
			}
			got[f.Name+" "+strings.Join(labels, " ")] = v
		})
	}
	for series, want := range map[string]float64{
		"threat_findings_total always": 1, "threat_responses_total block enforce": 1, "threat_responses_total block monitor": 0,
		"threat_spared_total shared": 0, "threat_blocks_failed_total ": 0,
	} {
		if v, ok := got[series]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", series, v, ok, want)
		}
	}
	stats.NewCollector(new(stats.Counters), w.Families()...)
}

// TestOneReplayIsNoFinding: a network that sends one hello twice, in each of many homes and again an hour later, is nobody's attack. Two within minutes are,
// and a few more than that are a block.
func TestOneReplayIsNoFinding(t *testing.T) {
	w := newWorld(t, policy.Enforce, nil, Detectors(Known{})...)
	replays := func(from netip.Addr, key string) {
		w.Observe(event.Event{Time: w.at, Kind: event.HandshakeFailed, Addr: from, Reason: "replay", Key: key, User: "u", Received: 517})
	}
	for range 24 {
		for i := range 200 {
			replays(nth(i<<8), fmt.Sprint("k", i))
		}
		w.at = w.at.Add(time.Hour)
	}
	if st := w.Status(); st.Findings["replay"] != 0 || st.SuspectsNow != 0 || len(w.blocks()) != 0 || len(w.done.Notes) != 0 {
		t.Fatalf("4800 lone replays: %+v", st)
	}
	for range 8 {
		replays(attacker, "k")
		w.at = w.at.Add(10 * time.Second)
	}
	if b := w.blocks(); len(b) != 1 || b[0].Detector != "replay" {
		t.Errorf("somebody who replays all the time: %+v", b)
	}
}
