package guard

import (
	"hash/maphash"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"

	"mtguard/security/ratelimit"
)

// occupancyShards keeps accepts on different cores apart.
const occupancyShards = 32

// Occupancy counts open connections: all, and those of each address, where the addresses of an IPv6 /64 count as one. Handshakes are counted
// by the server, which must know them one by one to end the oldest. The memory of an Occupancy follows the number of addresses connected
// now, never the number ever seen. Use NewOccupancy; it is safe for concurrent use.
type Occupancy struct {
	open   atomic.Int64
	seed   maphash.Seed
	shards [occupancyShards]addrShard
}

type addrShard struct {
	mu    sync.Mutex
	count map[[16]byte]int
	peak  int // the most entries count has held since it was made
	_     [40]byte
}

// NewOccupancy returns an Occupancy that counts no connection.
func NewOccupancy() *Occupancy {
	o := &Occupancy{seed: maphash.MakeSeed()}
	for i := range o.shards {
		o.shards[i].count = make(map[[16]byte]int)
	}
	return o
}

// Enter counts a new connection from a and returns how many there are now, in all and from its address, this one included. Each Enter needs
// one Leave with the same address.
func (o *Occupancy) Enter(a netip.Addr) (open, fromAddr int) {
	key, s := o.place(a)
	s.mu.Lock()
	s.count[key]++
	fromAddr = s.count[key]
	s.peak = max(s.peak, len(s.count))
	s.mu.Unlock()
	return int(o.open.Add(1)), fromAddr
}

// Leave takes back one Enter. A Leave that no Enter matches is ignored: a count that is too high refuses a client, one that is too low
// refuses nobody.
func (o *Occupancy) Leave(a netip.Addr) {
	key, s := o.place(a)
	s.mu.Lock()
	n := s.count[key]
	switch {
	case n > 1:
		s.count[key] = n - 1
	case n == 1:
		delete(s.count, key)
		s.shrink()
	}
	s.mu.Unlock()
	if n > 0 {
		o.open.Add(-1)
	}
}

// shrink gives back what a flood has left. A Go map keeps its room when entries go, so it is made anew once it is mostly empty.
func (s *addrShard) shrink() {
	if s.peak < 64 || len(s.count) > s.peak/8 {
		return
	}
	small := make(map[[16]byte]int, len(s.count))
	maps.Copy(small, s.count)
	s.count, s.peak = small, len(small)
}

func (o *Occupancy) place(a netip.Addr) ([16]byte, *addrShard) {
	narrow, _, _ := ratelimit.PrefixesOf(a) // an invalid address counts as one address of its own
	key := narrow.Addr().As16()
	return key, &o.shards[maphash.Bytes(o.seed, key[:])%occupancyShards]
}

// Open returns the number of connections.
func (o *Occupancy) Open() int { return int(o.open.Load()) }

// FromAddr returns the number of connections from a, or from its /64.
func (o *Occupancy) FromAddr(a netip.Addr) int {
	key, s := o.place(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[key]
}

// Addresses returns the number of addresses, IPv6 /64s counting as one, that have a connection.
func (o *Occupancy) Addresses() int {
	n := 0
	for i := range o.shards {
		s := &o.shards[i]
		s.mu.Lock()
		n += len(s.count)
		s.mu.Unlock()
	}
	return n
}
