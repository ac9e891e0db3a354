package admin

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"mtguard/security/ratelimit"
)

// What strangers may try. Whoever has a credential that is known is not asked.
var (
	guessLimit = ratelimit.Limit{Events: 10, Per: time.Minute, Burst: 20} // by prefix
	proofLimit = ratelimit.Limit{Events: 20, Per: time.Second, Burst: 40} // signatures that are checked, of all strangers together
)

const (
	guessEntries = 65_536
	wideFactor   = 4 // for the /48 around an IPv6 /64
	// sayEvery is how often the log tells of wrong credentials.
	sayEvery = time.Minute
)

// guesses counts wrong credentials.
type guesses struct {
	limiter *ratelimit.Limiter
	proofs  ratelimit.Bucket
	tell    func(netip.Addr)
	log     *slog.Logger

	mu    sync.Mutex
	count int // since said
	said  time.Time
}

func newGuesses(tell func(netip.Addr), log *slog.Logger) *guesses {
	if tell == nil {
		tell = func(netip.Addr) {}
	}
	return &guesses{limiter: ratelimit.New(guessEntries), tell: tell, log: log}
}

// may reports whether a source may guess once more. It counts nothing.
func (g *guesses) may(from netip.Addr, now time.Time) bool {
	narrow, wide, ok := ratelimit.PrefixesOf(from)
	return ok && g.limiter.Take(narrow, guessLimit, 0, now).Allowed &&
		(!wide.IsValid() || g.limiter.Take(wide, guessLimit.Times(wideFactor), 0, now).Allowed)
}

// wrong counts a guess. The log tells of them once in a while, without what was
// guessed.
func (g *guesses) wrong(from netip.Addr, now time.Time) {
	narrow, wide, ok := ratelimit.PrefixesOf(from)
	if !ok {
		return
	}
	counted := g.limiter.Check(narrow, guessLimit, now).Allowed
	if wide.IsValid() {
		counted = g.limiter.Check(wide, guessLimit.Times(wideFactor), now).Allowed && counted
	}
	if counted {
		g.tell(from) // of those beyond the limit nobody has to be told
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
	if since := now.Sub(g.said); since < sayEvery && since >= 0 {
		return
	}
	g.log.Warn("admin: wrong credentials", "times", g.count, "last_from", narrow)
	g.count, g.said = 0, now
}

// mayProve reports whether one more stranger's signature is checked now.
func (g *guesses) mayProve(now time.Time) bool { return g.proofs.Take(proofLimit, 1, now).Allowed }
