package auth

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/security/keys"
	"mtguard/security/usage"
	"mtguard/telemetry/stats"
)

// within makes a bench of the realm as it is.
func (r *realm) within() *bench {
	r.t.Helper()
	return newBench(r.t, r.ring.Set())
}

// wants demands a result, and that somebody is told of as whose it was.
func (b *bench) wants(t testing.TB, what, from string, h Hello, want stats.Result, whose string) {
	t.Helper()
	if user, result, _ := b.ask(from, h); result != want || user != whose {
		t.Errorf("%s: %v of %q, want %v of %q", what, result, user, want, whose)
	}
}

func TestWhoIsLetInHoldsTheKeyAndAPlace(t *testing.T) {
	r := newRealm(t, 2)
	b := r.within()
	from := netip.MustParseAddr("192.0.2.7")
	v := b.Authenticate(b.snap, from, b.hello(1), b.now)
	if v.Result != stats.ResultOK || v.Key != r.key(1) || v.Grant.Key() != v.Key || v.Grant.From() != from || v.Grant.User() != "user-1" {
		t.Fatalf("%+v", v)
	}
	if open, _ := r.accounts[1].Open(); open != 1 || r.key(1).Leases() != 1 {
		t.Errorf("%d leases, %d connections", r.key(1).Leases(), open)
	}
	if n, _ := r.key(1).Use().Count(); n != 1 || !r.key(1).Use().Last().Equal(b.now) || !r.key(1).Trips().Last().IsZero() {
		t.Errorf("%d users of the key, last at %v; trips at %v", n, r.key(1).Use().Last(), r.key(1).Trips().Last())
	}
	// However often and by whomever it is released, it was one.
	other := b.Authenticate(b.snap, from, b.hello(1), b.now).Grant
	var all sync.WaitGroup
	for range 8 {
		all.Go(v.Grant.Release)
	}
	all.Wait()
	v.Grant.Release()
	(*Grant)(nil).Release()
	if last := r.key(1).Use().Last(); !last.After(b.now) {
		t.Errorf("the key was in use until the grant went back: told %v", last)
	}
	if open, _ := r.accounts[1].Open(); open != 1 || r.key(1).Leases() != 1 {
		t.Errorf("of two, %d leases and %d connections are left", r.key(1).Leases(), open)
	}
	other.Release()
	r.unused(1)
}

// TestARevokedSecretIsATripwire: also for connections that met the policy before.
func TestARevokedSecretIsATripwire(t *testing.T) {
	r := newRealm(t, 3)
	old := r.within()
	old.wants(t, "before", "192.0.2.7", old.hello(1), stats.ResultOK, "user-1")
	r.put(1, keys.Revoked)
	fresh := r.within()
	for i, b := range []*bench{old, fresh} {
		for n := range 3 {
			b.now = b.now.Add(time.Second)
			b.wants(t, "afterwards", fmt.Sprintf("192.0.2.%d", n), b.hello(1), stats.ResultRevoked, "user-1")
		}
		if n, _ := r.key(1).Trips().Count(); n != 3 || !r.key(1).Trips().Last().Equal(b.now) {
			t.Errorf("policy %d: %d addresses tripped, the last at %v", i, n, r.key(1).Trips().Last())
		}
		b.wants(t, "another user", "192.0.2.7", b.hello(2), stats.ResultOK, "user-2")
	}
	if n, _ := r.key(1).Use().Count(); n != 1 {
		t.Errorf("%d addresses are told to have used the key, want the one before", n)
	}
	r.unused(1)
	// What makes no good hello trips nothing: it takes no secret to send it.
	h := fresh.hello(1)
	h.sentAt = fresh.now.Add(-time.Hour)
	fresh.wants(t, "out of time", "203.0.113.1", h, stats.ResultClock, "user-1")
	h = fresh.hello(1)
	fresh.wants(t, "once", "192.0.2.1", h, stats.ResultRevoked, "user-1")
	fresh.wants(t, "captured and sent again", "203.0.113.2", h, stats.ResultReplay, "user-1")
	if n, _ := r.key(1).Trips().Count(); n != 3 {
		t.Errorf("%d addresses tripped, want 3", n)
	}
}

// Of a user who was removed nothing is left to recognise.
func TestADroppedKeyIsNobodys(t *testing.T) {
	r := newRealm(t, 2)
	old := r.within()
	id := r.key(1).ID()
	r.ring.Drop(id)
	if _, result, trials := old.ask("192.0.2.7", old.hello(1)); result != stats.ResultBadSecret || trials != 1 {
		t.Errorf("by the old policy: %v after %d trials, want none of the erased key", result, trials)
	}
	b := r.within()
	b.wants(t, "by the new one", "192.0.2.7", b.hello(1), stats.ResultBadSecret, "")
}

// A key whose time ends between the policy and the hello: somebody else's bytes
// are on lease, so that they are still there.
func TestAKeyThatIsOverIsNotTaken(t *testing.T) {
	for _, state := range []keys.State{keys.Retired, keys.Expired} {
		r := newRealm(t, 2)
		b := r.within()
		other := grantOf(t, r.key(1), "198.51.100.1")
		r.put(1, state)
		b.wants(t, state.String(), "192.0.2.7", b.hello(1), stats.ResultExpired, "user-1")
		if n, _ := r.key(1).Trips().Count(); n != 0 {
			t.Errorf("%v: it was taken for revoked", state)
		}
		other.Release()
		b.wants(t, state.String()+" and erased", "192.0.2.7", b.hello(1), stats.ResultBadSecret, "")
		r.unused(1)
	}
	r := newRealm(t, 2)
	b := r.within()
	r.put(1, keys.Retiring)
	b.wants(t, "retiring", "192.0.2.7", b.hello(1), stats.ResultOK, "user-1")
}

// meddler does something while its hello is being opened.
type meddler struct {
	*simple
	t     *testing.T
	doing func()
}

func (m meddler) Open(secret []byte, now time.Time) (time.Time, bool) {
	before := bytes.Clone(secret)
	m.doing()
	if !bytes.Equal(secret, before) || bytes.Equal(secret, make([]byte, 16)) {
		m.t.Error("the bytes were erased while they were tried")
	}
	return m.simple.Open(secret, now)
}

func TestAKeyIsNotErasedDuringATrial(t *testing.T) {
	r := newRealm(t, 1)
	b := r.within()
	key := r.key(0)
	b.wants(t, "dropped meanwhile", "192.0.2.7", meddler{b.hello(0), t, func() {
		r.ring.Drop(key.ID())
		r.ring.Sweep()
	}}, stats.ResultRevoked, "user-0")
	if !key.Erased() {
		t.Error("afterwards it is still there")
	}
}

func TestTripwiresComeLast(t *testing.T) {
	const good, revoked = 40, 20
	r := newRealm(t, good+revoked)
	b := r.within()
	for i := range revoked { // remembered for their prefix, and of the name that all ask for
		b.wants(t, "before", "192.0.2.7", b.hello(i), stats.ResultOK, fmt.Sprint("user-", i))
		r.put(i, keys.Revoked)
	}
	b.snap.Keys = r.ring.Set()
	for i := revoked; i < good+revoked; i++ {
		most := i - revoked + 1 + min(i-revoked, recentKeys) // those before it, and of those the latest twice
		if user, result, trials := b.ask("192.0.2.7", b.hello(i)); result != stats.ResultOK || trials > most {
			t.Errorf("user %d: %q, %v after %d trials, want at most %d", i, user, result, trials, most)
		}
	}
	for i := range revoked {
		for range 2 { // they are not remembered
			if user, result, trials := b.ask("198.51.100.1", b.hello(i)); result != stats.ResultRevoked || trials <= good {
				t.Errorf("user %d: %q, %v after %d trials, want more than %d", i, user, result, trials, good)
			}
		}
	}
	if _, result, trials := b.ask("203.0.113.9", b.hello(-1)); result != stats.ResultBadSecret || trials != good+revoked {
		t.Errorf("a stranger: %v after %d trials, want each key once", result, trials)
	}
}

// Tripwires take from the same budget as everybody: where it ends, a revoked
// secret is one that nobody knows.
func TestTripwiresMeetTheBudget(t *testing.T) {
	const revoked = 300
	r := newRealm(t, FreeTrials+revoked)
	for i := range revoked {
		r.put(i, keys.Revoked)
	}
	b := r.within()
	found, poor := 0, 0
	for range 400 {
		switch _, result, trials := b.ask("192.0.2.7", b.hello(7)); result {
		case stats.ResultRevoked:
			found++
		case stats.ResultBudget:
			if poor++; (trials-FreeTrials)%chunk != 0 || trials >= FreeTrials+revoked {
				t.Fatalf("%d trials, want the free ones and those that were paid for", trials)
			}
		default:
			t.Fatalf("%v", result)
		}
	}
	if found == 0 || poor == 0 {
		t.Errorf("recognised %d times, %d times not", found, poor)
	}
	// The same prefix, and a good secret: those were never asked of the budget.
	b.wants(t, "a neighbour", "192.0.2.7", b.hello(revoked+1), stats.ResultOK, fmt.Sprint("user-", revoked+1))
}

func TestAUserWhoIsNotServed(t *testing.T) {
	for _, refusal := range []usage.Refusal{usage.Disabled, usage.Expired, usage.NoAccess, usage.OverQuota} {
		r := newRealm(t, 100)
		b := r.within()
		ask := func() Verdict { return b.Authenticate(b.snap, netip.MustParseAddr("192.0.2.7"), b.hello(1), b.now) }
		ask().Grant.Release()
		seen := r.key(1).Use().Last()
		r.accounts[1].Set(usage.Limits{}, refusal)
		b.now = b.now.Add(time.Second)
		for range 3 {
			before := b.Stats.Trials.Load()
			v := ask()
			if v.Result != stats.ResultUser || v.Refusal != refusal || v.Grant != nil || v.Key != r.key(1) {
				t.Errorf("%v: %+v", refusal, v)
			}
			if n := b.Stats.Trials.Load() - before; n != 1 {
				t.Errorf("%v: it cost %d trials to say so", refusal, n)
			}
		}
		r.unused(1)
		if last := r.key(1).Use().Last(); last != seen {
			t.Errorf("%v: told to have used the key at %v", refusal, last)
		}
		b.wants(t, "another", "192.0.2.7", b.hello(2), stats.ResultOK, "user-2")
		r.accounts[1].Set(usage.Limits{}, usage.Allowed)
		b.wants(t, "served again", "192.0.2.7", b.hello(1), stats.ResultOK, "user-1")
	}
}

// Who was refused from the beginning and tries again and again is found at once,
// and pays with nobody's budget.
func TestARefusedUserCostsOneTrialFromTheSecondTimeOn(t *testing.T) {
	r := newRealm(t, 2000)
	r.accounts[77].Set(usage.Limits{}, usage.Disabled)
	b := r.within()
	b.ask("192.0.2.7", b.hello(77))
	for range 10_000 {
		b.now = b.now.Add(time.Millisecond)
		if _, result, trials := b.ask("192.0.2.7", b.hello(77)); result != stats.ResultUser || trials != 1 {
			t.Fatalf("%v after %d trials", result, trials)
		}
	}
}

func TestLimitsOfAUser(t *testing.T) {
	r := newRealm(t, 2)
	b := r.within()
	enter := func(user int, from string) Verdict {
		return b.Authenticate(b.snap, netip.MustParseAddr(from), b.hello(user), b.now)
	}
	r.accounts[0].Set(usage.Limits{Connections: 3, Addresses: 2}, usage.Allowed)
	first, second := enter(0, "2001:db8:1:1::1"), enter(0, "2001:db8:1:1::2") // one /64
	if first.Grant == nil || second.Grant == nil {
		t.Fatal("refused within the limits")
	}
	third := enter(0, "192.0.2.7")
	if third.Grant == nil {
		t.Fatal("refused within the limits")
	}
	if v := enter(0, "192.0.2.7"); v.Refusal != usage.TooManyConnections || v.Result != stats.ResultUser {
		t.Errorf("a fourth connection: %v, %v", v.Result, v.Refusal)
	}
	second.Grant.Release()
	if v := enter(0, "198.51.100.1"); v.Refusal != usage.TooManyAddresses {
		t.Errorf("a third address: %v, %v", v.Result, v.Refusal)
	}
	if v := enter(1, "198.51.100.1"); v.Result != stats.ResultOK {
		t.Errorf("another user: %v", v.Result)
	} else {
		v.Grant.Release()
	}
	first.Grant.Release()
	if v := enter(0, "198.51.100.1"); v.Result != stats.ResultOK {
		t.Errorf("with the first address gone: %v, %v", v.Result, v.Refusal)
	} else {
		v.Grant.Release()
	}
	third.Grant.Release()
	r.unused(0)
	r.unused(1)
}

func TestWhatTakesAGrantAway(t *testing.T) {
	r := newRealm(t, 5)
	for i, c := range []struct {
		state    keys.State
		standing usage.Refusal
		want     string
	}{
		{keys.Active, usage.Allowed, ""}, {keys.Retiring, usage.Allowed, ""}, {keys.Retired, usage.Allowed, ""},
		{keys.Expired, usage.Allowed, "expired"}, {keys.Revoked, usage.Allowed, "revoked"},
	} {
		g := grantOf(t, r.key(i), "192.0.2.7")
		r.put(i, c.state)
		r.accounts[i].Set(usage.Limits{Connections: 1}, usage.Allowed) // a limit ends nothing that is open
		if got := g.Lost(); got != c.want {
			t.Errorf("%v: %q, want %q", c.state, got, c.want)
		}
	}
	g := grantOf(t, newRealm(t, 1).key(0), "192.0.2.7")
	for _, refusal := range []usage.Refusal{usage.Disabled, usage.Expired, usage.NoAccess, usage.OverQuota} {
		g.Key().Account().Set(usage.Limits{}, refusal)
		if got := g.Lost(); got != refusal.String() {
			t.Errorf("%q, want %q", got, refusal)
		}
	}
	g.Release()
	if got := g.Lost(); got != "over_quota" {
		t.Errorf("after its end: %q", got)
	}
	if got := grantOf(t, users(t, 1, anyName).At(0), "192.0.2.7").Lost(); got != "" {
		t.Errorf("without an account: %q", got)
	}
}

// TestRevocationAndAdmissionMeet: whoever is let in beside a revocation is seen by
// a look after it, and the bytes go with the last of them.
func TestRevocationAndAdmissionMeet(t *testing.T) {
	for range 200 {
		r := newRealm(t, 1)
		b := r.within()
		key := r.key(0)
		var in, out atomic.Int64
		var all sync.WaitGroup
		revoked := make(chan struct{})
		for i := range 4 {
			all.Go(func() {
				v := b.Authenticate(b.snap, netip.MustParseAddr(fmt.Sprint("192.0.2.", i)), b.hello(0), b.now)
				if v.Grant == nil {
					out.Add(1)
					return
				}
				in.Add(1)
				if len(v.Grant.Key().Material()) != keys.Size || bytes.Equal(v.Grant.Key().Material(), make([]byte, keys.Size)) {
					t.Error("the bytes are gone and somebody holds a lease")
				}
				<-revoked
				if v.Grant.Lost() != "revoked" {
					t.Error("it goes on")
				}
				v.Grant.Release()
			})
		}
		all.Go(func() { r.ring.Drop(key.ID()); close(revoked) })
		all.Wait()
		if in.Load()+out.Load() != 4 || key.Leases() != 0 || !key.Erased() {
			t.Fatalf("%d in, %d out, %d leases, erased %v", in.Load(), out.Load(), key.Leases(), key.Erased())
		}
	}
}
