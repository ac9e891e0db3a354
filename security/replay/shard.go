package replay

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
	"sync"
)

// shard is one part of a Cache with its own lock, generations and floor. A key always meets the same shard, so the promise of the Cache
// holds when it holds for each shard.
//
// Handshakes go into cur. When cur has taken its limit it becomes prev, and what was prev is forgotten. The floor then rises past the
// forgotten times, which is at most to the moment prev had been closed: later handshakes of well-set clocks are still remembered. Only
// handshakes of clocks that ran ahead can lie beyond that moment; those few are carried into the new cur.
type shard struct {
	mu    sync.Mutex
	seed  seed
	limit int // fresh handshakes per generation
	floor int64
	// ended is when prev stopped being cur: no entry of prev was inserted later.
	ended     int64
	fresh     int    // handshakes in cur that were not carried
	accepted  uint64 // handshakes that were fresh, ever
	cur, prev generation

	_ [64]byte // keeps the lock of the next shard on another cache line
}

// carryShare bounds what a turn carries over to limit/carryShare. That much is added to a table filled to three quarters, so it stays small.
const carryShare = 8

func (s *shard) init(seed seed, limit int, floor int64) {
	s.seed, s.limit, s.floor = seed, limit, floor
	s.cur = newGeneration(limit)
}

func (s *shard) firstSeen(key *[16]byte, h uint64, sentAt, now int64) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.cur.find(key, h)
	if found {
		return Seen
	}
	if _, found = s.prev.find(key, h); found {
		return Seen
	}
	if sentAt < s.floor {
		return BelowFloor
	}
	s.cur.put(at, key, sentAt)
	s.accepted++
	if s.fresh++; s.fresh >= s.limit {
		s.turn(now)
	}
	return Fresh
}

// turn closes the full generation cur and forgets prev.
func (s *shard) turn(now int64) {
	old := s.prev
	s.prev, s.fresh = s.cur, 0
	if old.slots == nil {
		s.cur = newGeneration(s.limit)
		s.ended = now
		return
	}
	carried := s.forget(old)
	s.ended = now
	clear(old.slots)
	s.cur = generation{slots: old.slots}
	for i := range carried {
		key := &carried[i].key
		at, _ := s.cur.find(key, s.seed.hash(key))
		s.cur.put(at, key, carried[i].sentAt)
	}
}

// forget raises the floor past every entry of old except those it returns, which must be carried on.
func (s *shard) forget(old generation) (carried []entry) {
	for i := range old.slots {
		switch e := &old.slots[i]; {
		case e.sentAt == 0:
		case e.sentAt > s.ended:
			carried = append(carried, *e)
		default:
			s.floor = max(s.floor, e.sentAt+1)
		}
	}
	// More than a few from the future is a flood with a known secret. Exactness goes before availability: the floor gives way upwards.
	if n := len(carried) - s.limit/carryShare; n > 0 {
		slices.SortFunc(carried, func(a, b entry) int {
			// Nothing may depend on where in the table an entry was: an import puts it elsewhere.
			return cmp.Or(cmp.Compare(a.sentAt, b.sentAt), bytes.Compare(a.key[:], b.key[:]))
		})
		s.floor = max(s.floor, carried[n-1].sentAt+1)
		carried = carried[n:]
	}
	return carried
}

func (s *shard) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur.count + s.prev.count
}

func (s *shard) readAccepted() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *shard) readFloor() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.floor
}

// entry is one remembered handshake. sentAt 0 marks a free slot.
type entry struct {
	key    [16]byte
	sentAt int64
}

// generation is a hash table with linear probing that is only ever added to. The zero generation is empty and takes nothing.
type generation struct {
	slots []entry
	count int
}

// newGeneration returns a table that limit entries fill to three quarters. There is always a free slot to stop a search, also with what is
// carried over: limit + limit/carryShare is less than 4/3 limit + 1.
func newGeneration(limit int) generation {
	return generation{slots: make([]entry, tableSize(limit))}
}

func tableSize(limit int) int { return (limit*4+2)/3 + 1 }

// find returns where key is, or the free slot where it belongs.
func (g *generation) find(key *[16]byte, h uint64) (at int, found bool) {
	n := uint64(len(g.slots))
	if n == 0 {
		return 0, false
	}
	// The top bits chose the shard and are the same for all keys here, so they are shifted out. The product maps the rest evenly to 0..n-1.
	start, _ := bits.Mul64(h<<bits.Len(maxShards-1), n)
	for i := start; ; {
		e := &g.slots[i]
		if e.sentAt == 0 {
			return int(i), false
		}
		if e.key == *key {
			return int(i), true
		}
		if i++; i == n {
			i = 0
		}
	}
}

func (g *generation) put(at int, key *[16]byte, sentAt int64) {
	g.slots[at] = entry{key: *key, sentAt: sentAt}
	g.count++
}
