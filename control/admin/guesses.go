package admin

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"mtguard/security/ratelimit"
)

// proofLimit is how many signatures of strangers are checked, of all together.
var proofLimit = ratelimit.Limit{Events: 20, Per: time.Second, Burst: 40}

// sayEvery is how often the log tells of wrong credentials.
const sayEvery = time.Minute

// guesses counts wrong credentials, and tells of them.
type guesses struct {
	*Sources
	proofs ratelimit.Bucket
	tell   func(netip.Addr)
	log    *slog.Logger

	mu    sync.Mutex
	times int // since said
	said  time.Time
}

func newGuesses(s *Sources, tell func(netip.Addr), log *slog.Logger) *guesses {
	if s == nil {
		s = NewSources()
	}
	if tell == nil {
		tell = func(netip.Addr) {}
	}
	return &guesses{Sources: s, tell: tell, log: log}
}

// wrong counts a guess. The log tells of them once in a while, without what was
// guessed.
func (g *guesses) wrong(from netip.Addr, now time.Time) {
	narrow, _, ok := ratelimit.PrefixesOf(from)
	if !ok {
		return
	}
	if g.guessed(from, now) {
		g.tell(from) // of those beyond the limit nobody has to be told
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.times++
	if since := now.Sub(g.said); since < sayEvery && since >= 0 {
		return
	}
	g.log.Warn("admin: wrong credentials", "times", g.times, "connections_refused", g.unheard.Swap(0), "last_from", narrow)
	g.times, g.said = 0, now
}

// mayProve reports whether one more stranger's signature is checked now.
func (g *guesses) mayProve(now time.Time) bool { return g.proofs.Take(proofLimit, 1, now).Allowed }
