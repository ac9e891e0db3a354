package ratelimit

import (
	"sync/atomic"
	"time"
)

// Bucket is the state of one key: eight bytes. The zero Bucket is empty and ready. It is safe for concurrent use and must not be copied
// after first use. The limit is given with each call, so a changed configuration applies at once.
type Bucket struct {
	tat atomic.Int64
}

// Take counts cost events if l allows all of them at now, and none otherwise. With cost 0 nothing is counted and the answer is what a cost
// of 1 would have got. A negative cost is taken as 0.
func (b *Bucket) Take(l Limit, cost int, now time.Time) Decision {
	at := now.UnixNano()
	for {
		tat := b.tat.Load()
		next, d := decide(tat, at, l, cost)
		if next == tat || b.tat.CompareAndSwap(tat, next) {
			return d
		}
	}
}
