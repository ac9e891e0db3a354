package admin

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"mtguard/control/serving"
	"mtguard/security/ratelimit"
)

// What strangers may try. Whoever has a credential that is known is not asked.
var (
	guessLimit = ratelimit.Limit{Events: 10, Per: time.Minute, Burst: 20} // by prefix
	// hearLimit is how many connections of a prefix that has guessed too much are heard nevertheless: as one a second, but ten together, because
	// a browser opens several for one page.
	hearLimit = ratelimit.Limit{Events: 10, Per: hearEvery, Burst: 10}
	// hearAllLimit is how many are of all such prefixes together.
	hearAllLimit = ratelimit.Limit{Events: 250, Per: time.Second, Burst: 250}
)

const (
	guessEntries = 65_536
	heardEntries = 16_384
	wideFactor   = 4 // for the /48 around an IPv6 /64
	// Of a prefix that has guessed too much connections are heard in one period of hearFor in hearEvery. When that is differs by prefix.
	hearEvery = 10 * time.Second
	hearFor   = time.Second
	// maxRegulars is more than have sessions and tokens.
	maxRegulars = 2000
)

const (
	maxWebConnections = 4096
	keptForRegulars   = maxWebConnections / 8
	// keptForLoopback are kept for this machine, where tunnels and proxies come from, besides those for regulars.
	keptForLoopback = 128
	// maxFromPrefix is how many of them one address, or one /64, may have, and a /48 four times as many; maxFromLoopback
	// those of this machine.
	maxFromPrefix   = 128
	maxFromLoopback = 1024
)

// Sources are what is known of where connections to the dashboard come from: the
// regulars, which somebody with a good credential has lately come from, and those who
// have guessed too much. A listener that knows them closes most new connections of the
// latter before anything is spent on them, never one of a regular, and keeps its last
// places for regulars. Their memory is bounded. They may be used concurrently.
type Sources struct {
	guesses  *ratelimit.Limiter // by prefix
	heard    *ratelimit.Limiter // by prefix that has guessed too much
	heardAll ratelimit.Bucket
	unheard  atomic.Int64 // connections that were not let in, since taken
	seed     maphash.Seed // of when a prefix is heard

	mu   sync.RWMutex
	seen map[netip.Prefix]time.Time // regulars
}

// NewSources returns what knows nobody yet.
func NewSources() *Sources {
	return &Sources{
		guesses: ratelimit.New(guessEntries), heard: ratelimit.New(heardEntries), seed: maphash.MakeSeed(), seen: make(map[netip.Prefix]time.Time),
	}
}

// bounds says how many connections may be open when one more from there is. It counts
// those that are not to be heard as guesses.
func (s *Sources) bounds(from netip.Addr, now time.Time) serving.Bounds {
	b := serving.Bounds{All: maxWebConnections - keptForRegulars - keptForLoopback, Each: maxFromPrefix}
	if from.IsLoopback() {
		b = serving.Bounds{All: maxWebConnections - keptForRegulars, Each: maxFromLoopback}
	}
	switch {
	case s.Knows(from):
		b.All = maxWebConnections
	case !s.mayGuess(from, now) && !s.hear(from, now):
		s.unheard.Add(1)
		return serving.Bounds{}
	}
	return b
}

// mayGuess reports whether a source may guess once more. It counts nothing.
func (s *Sources) mayGuess(from netip.Addr, now time.Time) bool {
	narrow, wide, ok := ratelimit.PrefixesOf(from)
	return ok && s.guesses.Take(narrow, guessLimit, 0, now).Allowed &&
		(!wide.IsValid() || s.guesses.Take(wide, guessLimit.Times(wideFactor), 0, now).Allowed)
}

// guessed counts a guess, and reports whether it was within the limit.
func (s *Sources) guessed(from netip.Addr, now time.Time) bool {
	return s.count(s.guesses, guessLimit, from, now)
}

// count counts an event of a source, and reports whether it was within the limit.
func (s *Sources) count(l *ratelimit.Limiter, limit ratelimit.Limit, from netip.Addr, now time.Time) bool {
	narrow, wide, ok := ratelimit.PrefixesOf(from)
	if !ok {
		return false
	}
	within := l.Check(narrow, limit, now).Allowed
	if wide.IsValid() {
		within = l.Check(wide, limit.Times(wideFactor), now).Allowed && within
	}
	return within
}

// hear reports whether a connection of a source that has guessed too much is let in
// nevertheless. Somebody who shares his prefix with those who guess, and whom nobody
// knows yet, has to get in: for a little while at a time whoever comes first does.
func (s *Sources) hear(from netip.Addr, now time.Time) bool {
	group, wide, _ := ratelimit.PrefixesOf(from)
	if wide.IsValid() {
		group = wide
	}
	phase := time.Duration(maphash.Comparable(s.seed, group) % uint64(hearEvery))
	if (time.Duration(now.UnixNano())+phase)%hearEvery >= hearFor {
		return false
	}
	return s.count(s.heard, hearLimit, from, now) && s.heardAll.Take(hearAllLimit, 1, now).Allowed
}

// Know makes a prefix a regular: somebody with a good credential comes from there.
func (s *Sources) Know(from netip.Addr, now time.Time) {
	prefix, _, ok := ratelimit.PrefixesOf(from)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[prefix]; !known && len(s.seen) >= maxRegulars {
		oldest := prefix
		for p, at := range s.seen {
			if last, ok := s.seen[oldest]; !ok || at.Before(last) {
				oldest = p
			}
		}
		delete(s.seen, oldest)
	}
	s.seen[prefix] = now
}

// Knows reports whether an address is in the prefix of a regular.
func (s *Sources) Knows(from netip.Addr) bool {
	prefix, _, _ := ratelimit.PrefixesOf(from)
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, known := s.seen[prefix]
	return known
}
