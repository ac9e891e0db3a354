package usage

import (
	"sync"
	"time"
)

// Latest is when each pseudonym was seen last in any of the Sightings that tell it: whoever asks about one address need not ask all keys. It may
// remember whom they have forgotten since, and forgets nobody who was seen within LatestFor before the last that was noted; what is older goes
// when there are many. Only who was let in adds to it. The zero value is ready; a nil Latest knows nobody. It must not be copied, and its methods
// may be called concurrently.
type Latest struct{ shards [16]latestShard }

// LatestFor is for how long a Latest forgets nobody.
const LatestFor = 48 * time.Hour

// fewLatest is how many pseudonyms a shard holds before it looks for old ones.
const fewLatest = 512

type latestShard struct {
	mu   sync.Mutex
	last map[Pseudonym]int64 // microseconds since 1970
	look int                 // how many there are when old ones are looked for
}

// Seen is when a pseudonym was seen last, zero when it is not known.
func (l *Latest) Seen(who Pseudonym) time.Time {
	if l == nil {
		return time.Time{}
	}
	sh := &l.shards[who%16]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	at, ok := sh.last[who]
	if !ok {
		return time.Time{}
	}
	return timeOf(at)
}

func (l *Latest) note(who Pseudonym, at int64) {
	if l == nil {
		return
	}
	sh := &l.shards[who%16]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.last == nil {
		sh.last, sh.look = make(map[Pseudonym]int64), fewLatest
	}
	if old, ok := sh.last[who]; ok {
		sh.last[who] = max(old, at)
		return
	}
	if sh.last[who] = at; len(sh.last) >= sh.look {
		for p, last := range sh.last {
			if at-last > LatestFor.Microseconds() {
				delete(sh.last, p)
			}
		}
		sh.look = max(fewLatest, 2*len(sh.last))
	}
}
