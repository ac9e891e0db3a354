package access

import (
	"cmp"
	"net/netip"
	"slices"
)

// union is the entries of several lists in one place, so that asking all of them
// is one search. Entries of different lists may be equal or within one another;
// each knows the narrowest one it is in.
type union struct {
	lists []*List
	v4    sorted // address<<16 | length<<10 | list<<2 | outer
	outer outers
	v6    sorted6 // with length<<10 | list<<2 | outer
	out6  outers
}

// What an entry says of the one it is in.
const (
	outerNone   = iota
	outerBefore // it is the one before
	outerFar    // it stands in outers
)

// outers is for entries that are in another one which is not just before them, by
// their index.
type outers struct{ inner, outer []uint32 }

func (o *outers) of(i int) int {
	at, _ := slices.BinarySearch(o.inner, uint32(i))
	return int(o.outer[at])
}

// hit is an entry an address is in.
type hit struct {
	i     int32 // of the entry; -1 when there is none
	part  int32 // where it was found, to go on from
	list  uint8 // in union.lists
	bits  uint8
	outer uint8
	six   bool
}

func noHit() hit { return hit{i: -1} }

// newUnion takes at most 256 lists.
func newUnion(lists []*List) *union {
	u := &union{lists: lists}
	var n4 int
	for _, l := range lists {
		n4 += l.v4.n
	}
	keys := make([]uint64, 0, n4)
	var sixes []listed6
	for list, l := range lists {
		for _, x := range l.v4.all {
			keys = append(keys, x>>8<<16|(x&0xff)<<10|uint64(list)<<2)
		}
		for p := range l.all6 {
			sixes = append(sixes, listed6{p, uint8(list)})
		}
	}
	u.build4(keys)
	u.build6(sixes)
	return u
}

// nesting finds what each entry is in when they come in order.
type nesting struct {
	open []int // entries that hold the place where we are, widest first
	outers
}

// outerOf closes what an entry is not in, notes the narrowest that is left, and
// opens the entry.
func (n *nesting) outerOf(i int, in func(outer int) bool) (kind uint8) {
	for len(n.open) > 0 && !in(n.open[len(n.open)-1]) {
		n.open = n.open[:len(n.open)-1]
	}
	if len(n.open) > 0 {
		outer := n.open[len(n.open)-1]
		kind = outerBefore
		if outer != i-1 {
			kind = outerFar
			n.inner, n.outers.outer = append(n.inner, uint32(i)), append(n.outers.outer, uint32(outer))
		}
	}
	n.open = append(n.open, i)
	return kind
}

func (u *union) build4(keys []uint64) {
	slices.Sort(keys)
	var n nesting
	for i, k := range keys {
		keys[i] |= uint64(n.outerOf(i, func(outer int) bool { return in4(k, keys[outer]) }))
	}
	u.v4, u.outer = newSorted(keys, nil), n.outers
}

// in4 tells whether an address is in an entry, both as keys of v4.
func in4(x, entry uint64) bool { return (x^entry)>>(48-bits4(entry)) == 0 }

func bits4(entry uint64) int { return int(entry >> 10 & 0x3f) }

type listed6 struct {
	entry6
	list uint8
}

func (u *union) build6(entries []listed6) {
	slices.SortFunc(entries, func(a, b listed6) int {
		return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo), cmp.Compare(a.bits, b.bits), cmp.Compare(a.list, b.list))
	})
	hi, lo := make([]uint64, len(entries)), make([]uint64, len(entries))
	info := make([]uint32, len(entries))
	var n nesting
	for i, e := range entries {
		hi[i], lo[i] = e.hi, e.lo
		outer := n.outerOf(i, func(outer int) bool { return e.in(entries[outer].addr128, int(entries[outer].bits)) })
		info[i] = uint32(e.bits)<<10 | uint32(e.list)<<2 | uint32(outer)
	}
	u.v6, u.out6 = newSorted6(hi, lo, info), n.outers
}

// find is the narrowest entry a plain address is in; of equal ones any, since next
// gives the others.
func (u *union) find(a netip.Addr) hit {
	switch {
	case a.Is4():
		x := uint64(words4(a))<<16 | 0xffff // above every entry that begins there
		for f := u.v4.last(x); f.i >= 0; {
			h := hit4(f)
			if in4(x, f.key) {
				return h
			}
			f = u.outer4(h)
		}
	case a.Is6():
		x := words6(a)
		i, entry := u.v6.last(x)
		for i >= 0 {
			h := u.hit6(i)
			if x.in(entry, int(h.bits)) {
				return h
			}
			if i = u.outer6(h); i >= 0 {
				entry = u.v6.at(i)
			}
		}
	}
	return noHit()
}

// next is the narrowest entry that another one is in.
func (u *union) next(h hit) hit {
	if h.six {
		if i := u.outer6(h); i >= 0 {
			return u.hit6(i)
		}
		return noHit()
	}
	if f := u.outer4(h); f.i >= 0 {
		return hit4(f)
	}
	return noHit()
}

func hit4(f found) hit {
	return hit{i: int32(f.i), part: int32(f.part), list: uint8(f.key >> 2), bits: uint8(bits4(f.key)), outer: uint8(f.key & 3)}
}

func (u *union) outer4(h hit) found {
	switch h.outer {
	case outerNone:
		return found{i: -1}
	case outerBefore:
		return u.v4.at(int(h.i)-1, int(h.part))
	}
	return u.v4.at(u.outer.of(int(h.i)), int(h.part))
}

func (u *union) hit6(i int) hit {
	info := u.v6.hi.number(i)
	return hit{i: int32(i), list: uint8(info >> 2), bits: uint8(info >> 10), outer: uint8(info & 3), six: true}
}

func (u *union) outer6(h hit) int {
	switch h.outer {
	case outerNone:
		return -1
	case outerBefore:
		return int(h.i) - 1
	}
	return u.out6.of(int(h.i))
}

func (u *union) memory() int {
	return u.v4.memory() + u.v6.memory() + 8*(len(u.outer.inner)+len(u.out6.inner))
}
