package threat

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"net/netip"

	"mtguard/security/ratelimit"
	"mtguard/telemetry/event"
)

// place is an address as detectors count it, an IPv4 address or an IPv6 /64, or a network or a secret, without a pointer, so that a large table of
// them is nothing to the collector.
type place struct{ high, low uint64 }

func placeOf(a netip.Addr) (p place, ok bool) {
	narrow, _, ok := ratelimit.PrefixesOf(a)
	return placeAt(narrow), ok
}

func placeAt(p netip.Prefix) place {
	if !p.IsValid() {
		return place{}
	}
	b := p.Addr().As16() // of IPv4 it is ::ffff:a.b.c.d, which no IPv6 /64 begins with
	return place{binary.BigEndian.Uint64(b[:8]) ^ uint64(p.Bits())<<56, binary.BigEndian.Uint64(b[8:])}
}

// addr is the address, or the first one of the /64, that placeOf made the place of.
func (p place) addr() netip.Addr {
	var b [16]byte
	high := p.high ^ 32<<56
	if p.low == 0 {
		high = p.high ^ 64<<56
	}
	binary.BigEndian.PutUint64(b[:8], high)
	binary.BigEndian.PutUint64(b[8:], p.low)
	return netip.AddrFrom16(b).Unmap()
}

// networkOf is the IPv4 /24 or IPv6 /48 of an address.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p
}

// table keeps something for very many places in memory that never grows. A place may stand in one of eight entries of one set; in a full set the one
// goes that was used longest ago. The hash is keyed, so nobody outside can choose places that meet in one set.
type table[V any] struct {
	seed maphash.Seed
	sets [][entries]entry[V]
}

const entries = 8

type entry[V any] struct {
	at    place
	used  int64 // milliseconds of the last get; 0: free
	value V
}

// newTable has room for at least n places. Memory that nobody was in takes nothing of the machine's.
func newTable[V any](n int) *table[V] {
	sets := 1
	for sets*entries < n {
		sets *= 2
	}
	return &table[V]{seed: maphash.MakeSeed(), sets: make([][entries]entry[V], sets)}
}

// get is what is kept for a place, a zero V when it is new.
func (t *table[V]) get(at place, now int64) *V {
	set := t.set(at)
	oldest := &set[0]
	for i := range set {
		e := &set[i]
		if e.used != 0 && e.at == at {
			e.used = max(now, 1)
			return &e.value
		}
		if e.used < oldest.used {
			oldest = e
		}
	}
	*oldest = entry[V]{at: at, used: max(now, 1)}
	return &oldest.value
}

// peek is what is kept for a place, nil when it is new.
func (t *table[V]) peek(at place) *V {
	set := t.set(at)
	for i := range set {
		if set[i].used != 0 && set[i].at == at {
			return &set[i].value
		}
	}
	return nil
}

// each calls visit with all that is kept.
func (t *table[V]) each(visit func(place, *V)) {
	for s := range t.sets {
		for i := range t.sets[s] {
			if t.sets[s][i].used != 0 {
				visit(t.sets[s][i].at, &t.sets[s][i].value)
			}
		}
	}
}

func (t *table[V]) set(at place) *[entries]entry[V] {
	return &t.sets[maphash.Comparable(t.seed, at)%uint64(len(t.sets))]
}

// secretAt is a secret as a place.
func (t *table[V]) secretAt(key string) place {
	return place{high: math.MaxUint64, low: maphash.String(t.seed, key)}
}

// bucket leaks: it holds what was put in and what has not run out since.
type bucket struct {
	level float32
	at    int64 // milliseconds
}

// add puts n in and returns what it holds, with so much running out per second.
func (b *bucket) add(now int64, n, leak float32) float32 {
	b.level = max(b.level-float32(max(now-b.at, 0))*leak/1000, 0) + n
	b.at = max(b.at, now)
	return b.level
}

// pace lets one of several findings of the same through per second: a flood makes many.
type pace struct{ last int64 }

func (p *pace) due(now int64) bool {
	if p.last != 0 && now-p.last < 1000 && now >= p.last {
		return false
	}
	p.last = now
	return true
}

func milli(e *event.Event) int64 { return e.Time.UnixMilli() }
