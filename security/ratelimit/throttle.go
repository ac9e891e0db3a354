package ratelimit

import (
	"sync/atomic"
	"time"
)

// Budgets are what one connection's bytes are taken from, in each direction from all that are not nil. Connections share them; a Budgets is
// not changed once it is in a Throttle.
type Budgets struct {
	Up, Down Pair // from the client, to the client
}

// Pair is up to two budgets that both count the same bytes: a user's, say, and a level's.
type Pair [2]*Bytes

// Spent counts n bytes in both. It returns the longer pause, and whether the bytes went beyond a rate: also one that is only watched.
func (p *Pair) Spent(n int, now time.Time) (pause time.Duration, over bool) {
	a, overA := p[0].spend(n, now)
	b, overB := p[1].spend(n, now)
	return max(a, b), overA || overB
}

// Owes reports whether somebody who had just come would have to pause.
func (p *Pair) Owes(now time.Time) bool { return p[0].Spent(0, now) > 0 || p[1].Spent(0, now) > 0 }

// Portion is the smaller of both.
func (p *Pair) Portion() int { return min(p[0].Portion(), p[1].Portion()) }

// Unlimited reports whether neither has a limit now, so that nothing has to be counted.
func (p *Pair) Unlimited() bool {
	return (p[0] == nil || p[0].rate.Load() == 0) && (p[1] == nil || p[1].rate.Load() == 0)
}

// Throttle says what one connection's bytes are taken from at present. The zero Throttle is ready and holds nothing back. It may be set
// while the connection runs: who carries it looks again before each reading, and while it pauses at least once a second.
type Throttle struct{ budgets atomic.Pointer[Budgets] }

// Set changes the budgets; nil is none.
func (t *Throttle) Set(b *Budgets) { t.budgets.Store(b) }

// Budgets are those of the last Set.
func (t *Throttle) Budgets() *Budgets { return t.budgets.Load() }

// Up are the budgets of what the client sends, nil when nothing is held back. A nil Throttle has none.
func (t *Throttle) Up() *Pair { return t.pair(true) }

// Down are the budgets of what the client gets.
func (t *Throttle) Down() *Pair { return t.pair(false) }

func (t *Throttle) pair(up bool) *Pair {
	if t == nil {
		return nil
	}
	b := t.budgets.Load()
	if b == nil {
		return nil
	}
	p := &b.Down
	if up {
		p = &b.Up
	}
	if p.Unlimited() {
		return nil
	}
	return p
}
