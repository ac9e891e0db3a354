package access

import (
	"encoding/binary"
	"net/netip"
)

// fan is how many keys one step of a ladder looks at: one cache line of 4 bytes
// each, two of 8.
const fan = 16

// ladder finds the last of many sorted keys that is not above another one. Step 0
// is the keys, each further step every fan-th key of the one below, so a million
// keys take five steps of a cache line or two instead of twenty of a halving
// search. It holds no pointers but to its steps: nothing for the garbage collector
// to walk.
type ladder[K uint32 | uint64] struct{ steps [][]K }

// newLadder takes over the keys, which must ascend; equal ones are allowed.
func newLadder[K uint32 | uint64](keys []K) ladder[K] {
	l := ladder[K]{steps: [][]K{keys}}
	for len(keys) > fan {
		next := make([]K, 0, (len(keys)+fan-1)/fan)
		for i := 0; i < len(keys); i += fan {
			next = append(next, keys[i])
		}
		l.steps = append(l.steps, next)
		keys = next
	}
	return l
}

// last is the index of the last key that is at most x, -1 when all are above it.
func (l *ladder[K]) last(x K) int {
	at := 0
	for i := len(l.steps) - 1; i >= 0; i-- {
		step := l.steps[i]
		from := at * fan
		at = from - 1
		for _, k := range step[from:min(from+fan, len(step))] {
			if k <= x {
				at++
			}
		}
		if at < from { // only at the top: below it the first key is one that was found
			return -1
		}
	}
	return at
}

func (l *ladder[K]) keys() []K {
	if len(l.steps) == 0 {
		return nil
	}
	return l.steps[0]
}

func (l *ladder[K]) memory(size int) int {
	n := 0
	for _, step := range l.steps {
		n += len(step) * size
	}
	return n
}

// ladder6 is a ladder of IPv6 addresses: their upper halves, and where any lower
// half is not zero all of these too. Most are zero: lists and country files rarely
// tell apart what is within a /64.
type ladder6 struct {
	hi ladder[uint64]
	lo []uint64
}

func newLadder6(hi, lo []uint64) ladder6 {
	l := ladder6{hi: newLadder(hi)}
	for _, x := range lo {
		if x != 0 {
			l.lo = lo
			break
		}
	}
	return l
}

func (l *ladder6) at(i int) (hi, lo uint64) {
	if l.lo != nil {
		lo = l.lo[i]
	}
	return l.hi.keys()[i], lo
}

func (l *ladder6) last(hi, lo uint64) int {
	i := l.hi.last(hi)
	if i < 0 || l.lo == nil || l.hi.keys()[i] != hi {
		return i
	}
	// Several may share the upper half: the last of them that is not above.
	keys := l.hi.keys()
	from, to := 0, i+1 // what is below from is not above; what is from to on is
	for from < to {
		mid := int(uint(from+to) / 2)
		if keys[mid] < hi || l.lo[mid] <= lo {
			from = mid + 1
		} else {
			to = mid
		}
	}
	return from - 1
}

func (l *ladder6) memory() int { return l.hi.memory(8) + 8*len(l.lo) }

func words4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func words6(a netip.Addr) (hi, lo uint64) {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
}

func addr4(x uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], x)
	return netip.AddrFrom4(b)
}

func addr6(hi, lo uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return netip.AddrFrom16(b)
}

// plain is the address as rules know it: IPv4 also where it came as IPv4-mapped
// IPv6, and without a zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
