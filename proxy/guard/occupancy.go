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

// Occupancy counts open connections: all, those of each address, where the addresses of an IPv6 /64 count as one, and those of each network,
// an IPv4 /24 or IPv6 /48. Handshakes are counted
// by the server, which must know them one by one to end the oldest. The memory of an Occupancy follows the number of addresses connected
// now, never the number ever seen. Use NewOccupancy; it is safe for concurrent use.
type Occupancy struct {
	open   atomic.Int64
	seed   maphash.Seed
	shards [occupancyShards]addrShard
}

type addrShard struct {
	mu    sync.Mutex
	count map[place]int
	peak  int // the most entries count has held since it was made
	_     [40]byte
}

// place is an address or a network, by its prefix.
type place [17]byte

// NewOccupancy returns an Occupancy that counts no connection.
func NewOccupancy() *Occupancy {
	o := &Occupancy{seed: maphash.MakeSeed()}
	for i := range o.shards {
		o.shards[i].count = make(map[place]int)
	}
	return o
}

// Enter counts a new connection from a and returns how many there are now, in all, from its address and from its network, this one included.
// Each Enter needs one Leave with the same address.
func (o *Occupancy) Enter(a netip.Addr) (open, fromAddr, fromNetwork int) {
	addr, network := placesOf(a)
	fromAddr, fromNetwork = o.enter(addr), o.enter(network)
	return int(o.open.Add(1)), fromAddr, fromNetwork
}

func (o *Occupancy) enter(p place) int {
	s := o.shard(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[p]++
	s.peak = max(s.peak, len(s.count))
	return s.count[p]
}

// Leave takes back one Enter. A Leave that no Enter matches is ignored: a count that is too high refuses a client, one that is too low
// refuses nobody.
func (o *Occupancy) Leave(a netip.Addr) {
	addr, network := placesOf(a)
	if o.leave(addr) {
		o.leave(network)
		o.open.Add(-1)
	}
}

func (o *Occupancy) leave(p place) (was bool) {
	s := o.shard(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.count[p]
	switch {
	case n > 1:
		s.count[p] = n - 1
	case n == 1:
		delete(s.count, p)
		s.shrink()
	}
	return n > 0
}

// shrink gives back what a flood has left. A Go map keeps its room when entries go, so it is made anew once it is mostly empty.
func (s *addrShard) shrink() {
	if s.peak < 64 || len(s.count) > s.peak/8 {
		return
	}
	small := make(map[place]int, len(s.count))
	maps.Copy(small, s.count)
	s.count, s.peak = small, len(small)
}

// PlacesOf are the prefixes that an address is counted by: an IPv4 address and its /24, an IPv6 /64 and its /48.
func PlacesOf(a netip.Addr) (addr, network netip.Prefix) {
	addr, network, _ = ratelimit.PrefixesOf(a)
	if !network.IsValid() && addr.IsValid() {
		network, _ = addr.Addr().Prefix(24)
	}
	return addr, network
}

// placesOf are the places of an address. An invalid one counts as one address, and one network, of its own.
func placesOf(a netip.Addr) (addr, network place) {
	narrow, wide := PlacesOf(a)
	return placeOf(narrow, 1), placeOf(wide, 2)
}

func placeOf(p netip.Prefix, kind byte) (out place) {
	bytes := p.Addr().As16()
	copy(out[:], bytes[:])
	out[16] = kind
	return out
}

func (o *Occupancy) shard(p place) *addrShard {
	return &o.shards[maphash.Bytes(o.seed, p[:])%occupancyShards]
}

// Open returns the number of connections.
func (o *Occupancy) Open() int { return int(o.open.Load()) }

// FromAddr returns the number of connections from a, or from its /64.
func (o *Occupancy) FromAddr(a netip.Addr) int {
	addr, _ := placesOf(a)
	s := o.shard(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[addr]
}

// FromNetwork returns the number of connections from the /24 or /48 around a.
func (o *Occupancy) FromNetwork(a netip.Addr) int {
	_, network := placesOf(a)
	s := o.shard(network)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[network]
}

// Addresses returns the number of addresses, IPv6 /64s counting as one, that have a connection.
func (o *Occupancy) Addresses() int {
	n := 0
	for i := range o.shards {
		s := &o.shards[i]
		s.mu.Lock()
		for p := range s.count {
			if p[16] == 1 {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}
