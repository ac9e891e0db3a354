package access

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
)

// List is a set of addresses under a name. Entries within others are left out, so
// that what is left does not overlap: finding the entry an address is in is one
// search in an array; of a million IPv4 entries
// each takes 4 bytes. ParseList makes lists.
type List struct {
	name    string
	v4      sorted  // address<<8 | length
	v6      sorted6 // with the length
	lines   int     // that held an entry
	covered int     // of the entries: twice there, or within another one
}

// Name is the name rules know the list by.
func (l *List) Name() string { return l.name }

// Len is how many entries there are, each a prefix.
func (l *List) Len() int { return l.v4.n + l.v6.hi.n }

// Lines is how many lines held an entry.
func (l *List) Lines() int { return l.lines }

// Covered is how many entries were left out, since they were there twice or within
// another one.
func (l *List) Covered() int { return l.covered }

// Share is the part of all addresses that the list holds: of IPv4 or of IPv6's
// 2000::/3, whichever is more.
func (l *List) Share() float64 {
	var four, six float64
	for _, x := range l.v4.all {
		four += part(int(x & 0xff))
	}
	for i := range l.v6.hi.n {
		six += part(int(l.v6.hi.number(i)) - 3)
	}
	return min(1, max(four, six))
}

// part is 2 to the power of -bits.
func part(bits int) float64 {
	if bits <= 0 {
		return 1
	}
	return 1 / (float64(uint64(1)<<min(bits, 62)) * float64(uint64(1)<<max(0, min(bits-62, 62))) * float64(uint64(1)<<max(0, bits-124)))
}

// Memory is about how many bytes the list takes.
func (l *List) Memory() int {
	return l.v4.memory() + l.v6.memory()
}

// All are the entries, ascending, IPv4 first.
func (l *List) All() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for _, x := range l.v4.all {
			if !yield(netip.PrefixFrom(addr4(uint32(x>>8)), int(x&0xff))) {
				return
			}
		}
		for e := range l.all6 {
			if !yield(netip.PrefixFrom(addr6(e.addr128), int(e.bits))) {
				return
			}
		}
	}
}

// all6 are the entries of IPv6, ascending.
func (l *List) all6(yield func(entry6) bool) {
	for i, x := range l.v6.all {
		if !yield(entry6{x, uint8(l.v6.hi.number(i))}) {
			return
		}
	}
}

// Find is the entry an address is in.
func (l *List) Find(a netip.Addr) (netip.Prefix, bool) {
	a = plain(a)
	bits, ok := l.find(a)
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// find wants a plain address.
func (l *List) find(a netip.Addr) (bits int, ok bool) {
	switch {
	case a.Is4():
		x := uint64(words4(a))<<8 | 0xff // above every entry that begins there
		f := l.v4.last(x)
		if f.i < 0 {
			return 0, false
		}
		bits = int(f.key & 0xff)
		return bits, (x^f.key)>>(40-bits) == 0
	case a.Is6():
		x := words6(a)
		i, entry := l.v6.last(x)
		if i < 0 {
			return 0, false
		}
		bits = int(l.v6.hi.number(i))
		return bits, x.in(entry, bits)
	}
	return 0, false
}

// entry6 is a prefix of IPv6 in a list that is being made.
type entry6 struct {
	addr128
	bits uint8
}

// listMaker collects entries.
type listMaker struct {
	v4 []uint64 // address, then length: sorting them puts what holds others first
	v6 []entry6
}

func (m *listMaker) add(p netip.Prefix) {
	if p.Addr().Is4() {
		m.v4 = append(m.v4, uint64(words4(p.Addr()))<<8|uint64(p.Bits()))
		return
	}
	m.v6 = append(m.v6, entry6{words6(p.Addr()), uint8(p.Bits())})
}

// list sorts the entries and leaves out those within others. It uses up the maker.
func (m *listMaker) list(name string) *List {
	l := &List{name: name}
	slices.Sort(m.v4)
	kept := m.v4[:0]
	end := int64(-1) // last address held so far
	for _, x := range m.v4 {
		start, bits := int64(x>>8), uint8(x)
		if start <= end {
			continue
		}
		end = start + 1<<(32-bits) - 1
		kept = append(kept, x)
	}
	l.covered = len(m.v4) - len(kept)
	l.v4 = newSorted(kept, nil)
	slices.SortFunc(m.v6, func(a, b entry6) int {
		return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo), cmp.Compare(a.bits, b.bits))
	})
	var hi, lo []uint64
	var sizes []uint32
	for _, e := range m.v6 {
		if n := len(hi); n > 0 && e.in(addr128{hi[n-1], lo[n-1]}, int(sizes[n-1])) {
			continue
		}
		hi, lo, sizes = append(hi, e.hi), append(lo, e.lo), append(sizes, uint32(e.bits))
	}
	l.v6 = newSorted6(hi, lo, sizes)
	l.covered += len(m.v6) - len(hi)
	return l
}

// fit gives back the room a slice does not use, which for a list that is kept is
// worth a copy.
func fit[T any](s []T) []T {
	if cap(s)-len(s) <= len(s)/16 {
		return s
	}
	return append(make([]T, 0, len(s)), s...)
}

// Errors of Guard, for callers that let a person confirm what they are about.
var (
	ErrEmpty  = errors.New("list is empty")
	ErrShrunk = errors.New("list has shrunk")
	ErrGrown  = errors.New("list has grown")
)

const (
	shrinkTo   = 0.5  // of the entries must be left
	growTo     = 10   // times the entries at most
	growsFrom  = 1000 // entries: below it lists may grow as they like
	shrinkFrom = 20   // entries: below it they may shrink
)

// Guard compares a list with the one it is to replace, nil for none. It is an
// error when the new one is empty, has lost more than half of the entries, or has
// more than ten times as many: a list that was cut short or swapped. Small ones
// may do either.
func (l *List) Guard(previous *List) error {
	if l.Len() == 0 {
		return fmt.Errorf("%w: %s", ErrEmpty, l.name)
	}
	if previous == nil {
		return nil
	}
	was, is := previous.Len(), l.Len()
	switch {
	case was >= shrinkFrom && float64(is) < shrinkTo*float64(was):
		return fmt.Errorf("%w: %s had %d entries and now has %d", ErrShrunk, l.name, was, is)
	case is >= growsFrom && is > growTo*was:
		return fmt.Errorf("%w: %s had %d entries and now has %d", ErrGrown, l.name, was, is)
	}
	return nil
}
