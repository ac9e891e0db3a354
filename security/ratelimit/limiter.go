package ratelimit

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"time"
)

const (
	// ways is how many keys share a set. Eight slots of 16 bytes are two cache lines.
	ways = 8
	// stripes is how many locks guard the sets; more only helps beyond some tens of cores.
	stripes = 64
)

// Limiter holds the buckets of very many keys in a table whose size never changes, because strangers choose the keys.
//
// A key may live in one of eight slots of one set. A slot whose TAT has passed is as good as an empty one and is reused. When all eight are
// still paying off, a newcomer takes over the slot with the smallest TAT together with that TAT. So a collision can only make the limit
// stricter: the key that lost its slot had the smallest debt of the set, and finds at least that debt when it returns. The hash is keyed by
// a random value of each Limiter, so nobody outside can choose keys that meet in one set.
//
// Use New. A Limiter is safe for concurrent use.
type Limiter struct {
	seed  maphash.Seed
	shift uint8 // set number = hash >> shift
	locks [stripes]struct {
		sync.Mutex
		_ [56]byte // a cache line each
	}
	sets []set
}

type set [ways]slot

// slot is one key's bucket. Two keys with the same 64-bit tag share it, which again is only stricter. The zero slot is free.
type slot struct {
	tag uint64
	tat int64
}

// New returns a Limiter with room for at least entries keys (at least eight), 16 bytes each, all allocated now. The number is rounded up to
// eight times a power of two.
func New(entries int) *Limiter {
	n := 1
	for n*ways < entries {
		n *= 2
	}
	return &Limiter{
		seed:  maphash.MakeSeed(),
		shift: uint8(64 - bits.TrailingZeros(uint(n))),
		sets:  make([]set, n),
	}
}

// Check counts one event for key if lim allows it at now.
func (l *Limiter) Check(key netip.Prefix, lim Limit, now time.Time) Decision {
	return l.Take(key, lim, 1, now)
}

// Take counts cost events for key if lim allows all of them at now, and none otherwise; see [Bucket.Take] for a cost of 0. The bits of
// key's address behind its length count, so pass masked prefixes as PrefixesOf gives them.
func (l *Limiter) Take(key netip.Prefix, lim Limit, cost int, now time.Time) Decision {
	if lim.unlimited() {
		_, d := decide(0, 0, lim, cost)
		return d
	}
	at := now.UnixNano()
	tag := l.hash(key)
	index := tag >> l.shift // a shift of 64 gives 0: the only set
	lock := &l.locks[index%stripes]
	lock.Lock()
	defer lock.Unlock()

	s := l.sets[index].find(tag)
	next, d := decide(s.tat, at, lim, cost)
	if s.tag == tag || d.Allowed && cost > 0 {
		*s = slot{tag: tag, tat: next} // only a counted event takes over a slot: asking and being refused push nobody out
	}
	return d
}

// Forget takes back all that was counted for key.
func (l *Limiter) Forget(key netip.Prefix) {
	tag := l.hash(key)
	index := tag >> l.shift
	lock := &l.locks[index%stripes]
	lock.Lock()
	defer lock.Unlock()
	if s := l.sets[index].find(tag); s.tag == tag {
		*s = slot{}
	}
}

// Busy returns how many keys are still paying off at now, and how many there is room for. It looks at every slot, and holds each lock for
// as long as its share of that takes.
func (l *Limiter) Busy(now time.Time) (busy, room int) {
	at := now.UnixNano()
	for i := range l.locks {
		lock := &l.locks[i]
		lock.Lock()
		for j := i; j < len(l.sets); j += stripes {
			for k := range l.sets[j] {
				if l.sets[j][k].tat > at {
					busy++
				}
			}
		}
		lock.Unlock()
	}
	return busy, len(l.sets) * ways
}

// find returns the slot of tag, or else the slot with the smallest TAT, which is a free or paid-off one whenever the set has any.
func (s *set) find(tag uint64) *slot {
	least := &s[0]
	for i := range s {
		if s[i].tag == tag {
			return &s[i]
		}
		if s[i].tat < least.tat {
			least = &s[i]
		}
	}
	return least
}

// hash maps a prefix to its tag. Tag 0 marks a free slot, so no key may have it.
func (l *Limiter) hash(key netip.Prefix) uint64 {
	var b [17]byte
	addr := key.Addr().As16() // IPv4 comes out as ::ffff:0:0/96, which no masked IPv6 prefix of up to 32 bits lies in
	copy(b[:], addr[:])
	b[16] = byte(key.Bits())
	return maphash.Bytes(l.seed, b[:]) | 1
}

// PrefixesOf returns the prefixes by which a client address is counted. For IPv4, also when written as an IPv4-mapped IPv6 address, narrow
// is the /32 and wide is the zero Prefix. For IPv6, narrow is the /64, since one customer owns at least that many addresses, and wide the
// /48 around it. Zones are dropped. ok is false for the zero Addr.
func PrefixesOf(a netip.Addr) (narrow, wide netip.Prefix, ok bool) {
	a = a.Unmap()
	switch {
	case a.Is4():
		return netip.PrefixFrom(a, 32), netip.Prefix{}, true
	case a.Is6():
		narrow, _ = a.Prefix(64)
		wide, _ = a.Prefix(48)
		return narrow, wide, true
	}
	return netip.Prefix{}, netip.Prefix{}, false
}
