// Package auth answers "who is this, and may it come in?": it finds the key whose
// secret made a client's hello, refuses replays, asks the key and its user, and
// keeps the list of live sessions.
//
// Finding the key means trying secrets, since a hello does not say whose it
// is: 1.5 µs each for a fake-TLS hello of 1.8 KB, 0.4 µs for an obfuscated2
// init. With 10,000 users one bogus hello could burn 15 ms of CPU. So keys are tried
// likeliest first, and a stranger's attempts cost no more than a budget
// allows, per prefix and in all:
//
//  1. keys last used by the sender's prefix: a returning client costs one or
//     a few trials;
//  2. the first FreeTrials keys of those named by the hello's server name, and
//     of the rest: a small server never asks the budget at all;
//  3. everybody else, server name first, as far as the budget goes. Where it
//     ends, the search ended for nothing and the stranger sees the cover site;
//     the next attempt goes on elsewhere in the list;
//  4. tripwires, which are keys that were revoked, as far as the budget goes.
//     Nobody who has a good secret ever gets there.
//
// Who is let in holds a Grant until its end, by which ever way it ends.
//
// The package starts no goroutine. All methods may be called concurrently.
package auth

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/security/replay"
	"mtguard/security/usage"
	"mtguard/telemetry/stats"
)

// Hello is what a client says first, before anybody knows who it is.
type Hello interface {
	// Open reports whether secret (16 bytes) made this hello, and the time the
	// client put into it. now is what a hello without a time of its own gives.
	Open(secret []byte, now time.Time) (sentAt time.Time, ok bool)
	// Timed tells whether the hello carries a time. One that does not is an
	// obfuscated2 init, and is remembered among the inits: whoever takes the
	// init out of a captured fake-TLS session meets it there.
	Timed() bool
	// ServerName is the name asked for, lower case, or "" when there is none.
	ServerName() string
	// ReplayKey is the same for every copy of this hello, moved in time or not.
	ReplayKey() [16]byte
}

// Limits of the search for a key.
const (
	// FreeTrials is how many secrets are tried for anybody.
	FreeTrials = 64
	// chunk is how many trials are taken from the budget at a time.
	chunk = 128
	// trialsPerSecond bounds the trials beyond the free ones in all: a fifth of
	// a core. After a start of a server with 10,000 users it lets 30 clients a
	// second in that nothing is known of.
	trialsPerSecond = 150_000
	// prefixTrialsPerSecond and prefixBurst bound those of one prefix: two
	// searches among 10,000 at once, then one in five seconds.
	prefixTrialsPerSecond = 2_000
	prefixBurst           = 20_000
)

// Authenticator finds and checks.
type Authenticator struct {
	// Replay remembers the fake-TLS hellos that were accepted. Inits is its twin
	// for obfuscated2 inits, with and without TLS around them: they carry no time.
	Replay, Inits *replay.Cache
	Stats         *stats.Counters

	recent   recent
	prefixes *ratelimit.Limiter
	all      ratelimit.Bucket
}

// New returns an Authenticator that remembers hellos in replay and inits.
func New(hellos, inits *replay.Cache, c *stats.Counters) *Authenticator {
	return &Authenticator{Replay: hellos, Inits: inits, Stats: c, prefixes: ratelimit.New(1 << 14)}
}

// Verdict is what Authenticate makes of a hello.
type Verdict struct {
	// Result is stats.ResultOK for a client that is let in.
	Result stats.Result
	// Refusal says why the user is not let in, with stats.ResultUser.
	Refusal usage.Refusal
	// Key is set when a secret matched, whatever the result, to say whose it was.
	Key *keys.Key
	// Grant is set with stats.ResultOK. The caller releases it.
	Grant *Grant
	// Skew is by how much the hello's clock is behind ours, with stats.ResultClock.
	Skew time.Duration
}

// Authenticate finds the key whose secret made h and lets the client in, unless
// the hello is out of time or was sent before, or the key or its user is good no
// more. A hello is remembered only after its secret matched, so that strangers
// cannot fill the memory.
func (a *Authenticator) Authenticate(s *policy.Snapshot, from netip.Addr, h Hello, now time.Time) Verdict {
	found := search{a: a, set: s.Keys, hello: h, from: from, now: now}
	i, result := found.run()
	a.Stats.Trials.Add(int64(found.trials))
	if result != stats.ResultOK {
		return Verdict{Result: result}
	}
	key := s.Keys.At(i)
	if skew := now.Sub(found.sentAt); skew > s.Skew || skew < -s.Skew {
		return Verdict{Result: stats.ResultClock, Key: key, Skew: skew}
	}
	seen := a.Replay
	if !h.Timed() {
		seen = a.Inits
	}
	if seen.FirstSeen(h.ReplayKey(), found.sentAt, now) != replay.Fresh {
		return Verdict{Result: stats.ResultReplay, Key: key}
	}
	v := Admit(key, from, now)
	if v.Result == stats.ResultOK || v.Result == stats.ResultUser { // who is refused comes again, and soon
		a.recent.note(from, key.ID())
	}
	return v
}

// Knows reports whether somebody let in, or whose user was refused, came from the
// address's /24 or /48 lately.
func (a *Authenticator) Knows(from netip.Addr) bool {
	var ids [recentKeys]keys.ID
	return a.recent.of(from, &ids) > 0
}

// FirstInit reports whether an obfuscated2 init was never seen before. Inside
// fake TLS it is the second lock: whoever found a way to repeat a hello would
// have to repeat the init too.
func (a *Authenticator) FirstInit(key [16]byte, now time.Time) bool {
	return a.Inits.FirstSeen(key, now, now) == replay.Fresh
}

// search is one hello's way through the keys.
type search struct {
	a      *Authenticator
	set    *keys.Set
	hello  Hello
	from   netip.Addr
	now    time.Time
	trials int
	paid   int // trials that the budget has granted and that are not used up
	sentAt time.Time
}

func (s *search) run() (int, stats.Result) {
	var ids [recentKeys]keys.ID
	for _, id := range ids[:s.a.recent.of(s.from, &ids)] {
		if i, ok := s.set.ByID(id); ok && i < s.set.Accepted() && s.try(i) {
			return i, stats.ResultOK
		}
	}
	s.paid = FreeTrials // the keys above were free too: they are few
	name := s.hello.ServerName()
	named := s.set.Named(name)
	if i, result := s.among(len(named), func(i int) (int, bool) { return int(named[i]), true }); result != stats.ResultBadSecret {
		return i, result
	}
	accepted := s.set.Accepted()
	if i, result := s.among(accepted, func(i int) (int, bool) {
		return i, len(named) == 0 || s.set.At(i).Domain() != name // those were tried
	}); result != stats.ResultBadSecret {
		return i, result
	}
	return s.among(s.set.Len()-accepted, func(i int) (int, bool) { return accepted + i, true })
}

// among tries n keys from a random one on, so that an attempt that the budget
// cut short is followed by one that tries others. key gives the index of each
// and whether to try it at all.
func (s *search) among(n int, key func(int) (int, bool)) (int, stats.Result) {
	if n == 0 {
		return 0, stats.ResultBadSecret
	}
	start := 0
	if n > FreeTrials {
		start = rand.IntN(n)
	}
	for i := range n {
		k, wanted := key((start + i) % n)
		if !wanted {
			continue
		}
		if s.paid == 0 && !s.pay() {
			return 0, stats.ResultBudget
		}
		s.paid--
		if s.try(k) {
			return k, stats.ResultOK
		}
	}
	return 0, stats.ResultBadSecret
}

// try tries one key. Its bytes are borrowed, so that nobody erases them while they
// are read; of a key that was erased since the set was made there are none.
func (s *search) try(i int) bool {
	key := s.set.At(i)
	material, ok := key.Borrow()
	if !ok {
		return false
	}
	defer key.Return()
	s.trials++
	s.sentAt, ok = s.hello.Open(material, s.now)
	return ok
}

var (
	allTrials    = ratelimit.Limit{Events: trialsPerSecond, Per: time.Second, Burst: trialsPerSecond}
	prefixTrials = ratelimit.Limit{Events: prefixTrialsPerSecond, Per: time.Second, Burst: prefixBurst}
	// wideTrials is for an IPv6 /48, in which one attacker may have 65,536 /64s.
	wideTrials = prefixTrials.Times(2)
)

// pay takes the next chunk from both budgets.
func (s *search) pay() bool {
	narrow, wide, _ := ratelimit.PrefixesOf(s.from)
	if !s.a.prefixes.Take(narrow, prefixTrials, chunk, s.now).Allowed ||
		wide.IsValid() && !s.a.prefixes.Take(wide, wideTrials, chunk, s.now).Allowed ||
		!s.a.all.Take(allTrials, chunk, s.now).Allowed {
		return false
	}
	s.paid = chunk
	return true
}
