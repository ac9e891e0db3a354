package access

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// sorted finds the last of many ascending keys that is not above another one, and
// the small number that goes with it. The span of the keys is cut into equal parts,
// about one for eight keys, and of each key only what tells it apart within its part
// is kept: 4 bytes of the 6 of an IPv4 entry when there are a million. That is what
// makes it fast, since the time goes into waiting for memory: one read for the part,
// one for its keys and their numbers. Keys that are all in one part cost a halving
// search, twenty steps for a million. It holds no pointers but to its two arrays, so
// there is nothing for the garbage collector to walk.
type sorted struct {
	base  uint64   // the first key
	n     int      // keys
	shift uint8    // bits of a key's place in its part
	width uint8    // bytes these take
	tail  uint8    // bytes the number takes
	first []uint32 // of each part, the index of its first key; then n
	low   []byte   // of each key, its place in its part and its number, lowest bytes first; then 8 more
}

// perPart is how many keys are in a part when they are spread evenly.
const perPart = 8

// newSorted makes one of ascending keys, some of which may be equal, and their
// numbers; nil if all are 0.
func newSorted(keys []uint64, tails []uint32) sorted {
	s := sorted{n: len(keys)}
	if s.n == 0 {
		return s
	}
	s.base = keys[0]
	span := keys[s.n-1] - s.base
	s.shift = uint8(max(0, bits.Len64(span)-bits.Len(uint(s.n/perPart))))
	s.width = (s.shift + 7) / 8
	if tails != nil {
		s.tail = uint8(bits.Len32(slices.Max(tails))+7) / 8
	}
	s.first = make([]uint32, (span>>s.shift)+2)
	s.low = make([]byte, s.n*s.stride()+8)
	part := 0
	for i, k := range keys {
		for at := int((k - s.base) >> s.shift); part <= at; part++ {
			s.first[part] = uint32(i)
		}
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], (k-s.base)&lowMask(int(s.shift)))
		at := s.low[i*s.stride():]
		copy(at, b[:s.width])
		if s.tail > 0 {
			binary.LittleEndian.PutUint32(b[:], tails[i])
			copy(at[s.width:], b[:s.tail])
		}
	}
	s.first[part] = uint32(s.n)
	return s
}

// found is a key that was looked for.
type found struct {
	i    int // its index; -1 when there is none
	part int // the part it is in
	key  uint64
}

// last is the last key that is at most x.
func (s *sorted) last(x uint64) found {
	if s.n == 0 || x < s.base {
		return found{i: -1}
	}
	mask := lowMask(int(s.shift))
	part, place := len(s.first)-2, mask // the end, if x is beyond it
	if p := (x - s.base) >> s.shift; p <= uint64(part) {
		part, place = int(p), (x-s.base)&mask
	}
	from, to := int(s.first[part]), int(s.first[part+1])
	begin := from
	for to-from > 2*perPart {
		mid := int(uint(from+to) / 2)
		if s.place(mid, mask) <= place {
			from = mid
		} else {
			to = mid
		}
	}
	// Few are left, which are counted without a branch, since none could be foreseen.
	i := from - 1
	for at := from; at < to; at++ {
		_, above := bits.Sub64(place, s.place(at, mask), 0)
		i += 1 - int(above)
	}
	if i < begin { // in a part before this one
		return s.at(i, part)
	}
	return found{i, part, s.base + uint64(part)<<s.shift + s.place(i, mask)}
}

func (s *sorted) stride() int { return int(s.width) + int(s.tail) }

func (s *sorted) place(i int, mask uint64) uint64 {
	return binary.LittleEndian.Uint64(s.low[i*s.stride():]) & mask
}

// number is the number that goes with a key.
func (s *sorted) number(i int) uint32 {
	return binary.LittleEndian.Uint32(s.low[i*s.stride()+int(s.width):]) & uint32(lowMask(8*int(s.tail)))
}

// at is the key with an index. Its part is looked for in the one given and the one
// before it first.
func (s *sorted) at(i, near int) found {
	part := near
	for ; part >= 0 && part > near-2; part-- {
		if int(s.first[part]) <= i && i < int(s.first[part+1]) {
			return found{i, part, s.base + uint64(part)<<s.shift + s.place(i, lowMask(int(s.shift)))}
		}
	}
	part, to := 0, len(s.first)-1 // it is part or after, and before to
	for to-part > 1 {
		mid := int(uint(part+to) / 2)
		if int(s.first[mid]) <= i {
			part = mid
		} else {
			to = mid
		}
	}
	return found{i, part, s.base + uint64(part)<<s.shift + s.place(i, lowMask(int(s.shift)))}
}

// all are the keys, ascending.
func (s *sorted) all(yield func(i int, key uint64) bool) {
	part := 0
	for i := range s.n {
		for int(s.first[part+1]) <= i {
			part++
		}
		if !yield(i, s.base+uint64(part)<<s.shift+s.place(i, lowMask(int(s.shift)))) {
			return
		}
	}
}

func (s *sorted) memory() int { return len(s.low) + 4*len(s.first) }

// sorted6 is addresses of IPv6: their upper halves, and where any lower half is not
// zero all of these too. Most are zero: lists and country files rarely tell apart
// what is within a /64.
type sorted6 struct {
	hi sorted
	lo []uint64
}

func newSorted6(hi, lo []uint64, tails []uint32) sorted6 {
	s := sorted6{hi: newSorted(hi, tails)}
	if slices.ContainsFunc(lo, func(x uint64) bool { return x != 0 }) {
		s.lo = fit(lo)
	}
	return s
}

// last is the last address that is at most x, and its index, which is -1 when all
// are above it. The lower half is only filled in when the upper is that of x.
func (s *sorted6) last(x addr128) (i int, address addr128) {
	f := s.hi.last(x.hi)
	if f.i >= 0 && s.lo != nil && f.key == x.hi && s.lo[f.i] > x.lo {
		// Several may share the upper half: the last of them that is not above, else
		// the last with a smaller upper half.
		from, to := 0, f.i // what is below from is not above; what is from to on is
		for from < to {
			mid := int(uint(from+to) / 2)
			if s.hi.at(mid, f.part).key < x.hi || s.lo[mid] <= x.lo {
				from = mid + 1
			} else {
				to = mid
			}
		}
		if from == 0 {
			return -1, addr128{}
		}
		f = s.hi.at(from-1, f.part)
	}
	if f.i < 0 || s.lo == nil || f.key != x.hi {
		return f.i, addr128{hi: f.key}
	}
	return f.i, addr128{f.key, s.lo[f.i]}
}

// at is the address with an index.
func (s *sorted6) at(i int) addr128 {
	x := addr128{hi: s.hi.at(i, 0).key}
	if s.lo != nil {
		x.lo = s.lo[i]
	}
	return x
}

// all are the addresses, ascending.
func (s *sorted6) all(yield func(i int, x addr128) bool) {
	for i, hi := range s.hi.all {
		x := addr128{hi: hi}
		if s.lo != nil {
			x.lo = s.lo[i]
		}
		if !yield(i, x) {
			return
		}
	}
}

func (s *sorted6) memory() int { return s.hi.memory() + 8*len(s.lo) }

func words4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func words6(a netip.Addr) addr128 {
	b := a.As16()
	return addr128{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
}

func addr4(x uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], x)
	return netip.AddrFrom4(b)
}

func addr6(x addr128) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], x.hi)
	binary.BigEndian.PutUint64(b[8:], x.lo)
	return netip.AddrFrom16(b)
}

// addr128 is an address of IPv6 as numbers.
type addr128 struct{ hi, lo uint64 }

// in tells whether two addresses have the same first bits.
func (a addr128) in(b addr128, bits int) bool {
	if bits <= 64 {
		return (a.hi^b.hi)>>(64-bits) == 0
	}
	return a.hi == b.hi && (a.lo^b.lo)>>(128-bits) == 0
}

// plain is the address as rules know it: IPv4 also where it came as IPv4-mapped
// IPv6, and without a zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
