package guard

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/telemetry/stats"
)

// Reasons of Suspects.
const (
	ReasonSuspect = "suspect" // its conduct is being watched
	ReasonBlocked = "blocked" // the node has blocked it for a while
)

// Stage is how far the answer to an address goes, short of a block.
type Stage uint8

// The stages.
const (
	// Trusted: nothing is held against the address.
	Trusted Stage = iota
	// Throttled: few of its failed handshakes see the cover site, the others are read and never answered.
	Throttled
	// Shown: it is shown the cover site without a look at its hello.
	Shown
)

// Lately is for how long an address is spared by threat.block after somebody authenticated from it: a day, since people who share an address
// come back to it.
const Lately = 24 * time.Hour

// Suspects is the check that keeps out, for a while, whom the node itself has found to misbehave: by a stage set with Set, and by automatic
// rules on the address. It never refuses an address from which somebody authenticated within Lately, nor one that a pinned rule covers: who
// shares an address with an attacker is not cut off for it.
//
// Its memory never grows: addresses, of IPv6 the /64s, stand in two tables of fixed size. In a full set of the one the suspect goes whose time
// is over first, in the other the address that was quiet for longest; only who authenticated can write to that. Use NewSuspects.
type Suspects struct {
	seed     maphash.Seed
	locks    [stripes]sync.Mutex
	suspects []suspectSet
	regulars []regularSet
	// networks are shut for a moment, until a rule is in force; nil: none is. changing guards who replaces them.
	networks atomic.Pointer[[]shutNetwork]
	changing sync.Mutex
}

type shutNetwork struct {
	prefix netip.Prefix
	until  time.Time
}

// mostNetworks bounds the networks that are shut at a time: each costs every connection a look.
const mostNetworks = 64

const (
	stripes = 64
	ways    = 8
)

type suspectSet [ways]suspect

type suspect struct {
	tag    uint64
	until  int64 // Unix nanoseconds
	stage  Stage
	failed ratelimit.Bucket // handshakes
}

type regularSet [ways]regular

type regular struct {
	tag  uint64
	last int64 // Unix nanoseconds
}

// NewSuspects returns the check with room for at least entries suspects, and as many addresses that people come from: 40 bytes for each pair.
func NewSuspects(entries int) *Suspects {
	n := 1
	for n*ways < entries {
		n *= 2
	}
	return &Suspects{seed: maphash.MakeSeed(), suspects: make([]suspectSet, n), regulars: make([]regularSet, n)}
}

// Name returns policy.ThreatBlock.
func (*Suspects) Name() string { return policy.ThreatBlock }

// Check masks the connection of a blocked address, and of one in the stage Shown.
func (s *Suspects) Check(c *Conn) Verdict {
	if c.Access.Pinned {
		return Verdict{}
	}
	v := c.barredBy(access.ByThreat, ReasonBlocked)
	if v.Action == Allow && (s.Stage(c.Addr.Addr(), c.At) == Shown || s.shut(c.Addr.Addr(), c.At)) {
		v = Verdict{Action: Mask, Reason: ReasonSuspect}
	}
	if v.Action != Allow && s.Regular(c.Addr.Addr(), c.At) {
		return Verdict{}
	}
	return v
}

// Learn implements Learner: it notes where people come from.
func (s *Suspects) Learn(c *Conn, r stats.Result) {
	if r == stats.ResultOK {
		s.Came(c.Addr.Addr(), c.At)
	}
}

// Came notes that somebody authenticated from an address.
func (s *Suspects) Came(from netip.Addr, at time.Time) {
	tag, i, lock, ok := s.place(from)
	if !ok {
		return
	}
	lock.Lock()
	defer lock.Unlock()
	set := &s.regulars[i]
	oldest := &set[0]
	for w := range set {
		if set[w].tag == tag {
			oldest = &set[w]
			break
		}
		if set[w].last < oldest.last {
			oldest = &set[w]
		}
	}
	if oldest.tag != tag {
		*oldest = regular{tag: tag}
	}
	oldest.last = max(oldest.last, at.UnixNano())
}

// Regular reports whether somebody authenticated from the address within Lately.
func (s *Suspects) Regular(from netip.Addr, now time.Time) bool {
	tag, i, lock, ok := s.place(from)
	if !ok {
		return false
	}
	lock.Lock()
	defer lock.Unlock()
	for _, r := range s.regulars[i] {
		if r.tag == tag {
			return now.UnixNano()-r.last < int64(Lately)
		}
	}
	return false
}

// Set puts an address, of IPv6 its /64, in a stage until a time. Trusted takes it off the list.
func (s *Suspects) Set(addr netip.Addr, stage Stage, until time.Time) {
	tag, i, lock, ok := s.place(addr)
	if !ok {
		return
	}
	lock.Lock()
	defer lock.Unlock()
	set := &s.suspects[i]
	at := 0
	for w := range set {
		if set[w].tag == tag {
			at = w
			break
		}
		if set[w].until < set[at].until {
			at = w
		}
	}
	x := &set[at]
	switch {
	case stage == Trusted:
		if x.tag == tag {
			x.tag, x.until, x.stage = 0, 0, Trusted
		}
		return
	case x.tag != tag:
		*x = suspect{}
	}
	x.tag, x.until, x.stage = tag, until.UnixNano(), stage
}

// ShutNetwork has the connections of a network masked until a time, as the stage Shown does with those of an address; the zero time ends that. It
// bridges the time until a rule is in force: of more than 64 networks the one goes whose time is over first.
func (s *Suspects) ShutNetwork(prefix netip.Prefix, until time.Time) {
	s.changing.Lock()
	defer s.changing.Unlock()
	var kept []shutNetwork
	if list := s.networks.Load(); list != nil {
		kept = slices.DeleteFunc(slices.Clone(*list), func(n shutNetwork) bool { return n.prefix == prefix })
	}
	if !until.IsZero() {
		kept = append(kept, shutNetwork{prefix, until})
	}
	if len(kept) > mostNetworks {
		slices.SortStableFunc(kept, func(a, b shutNetwork) int { return b.until.Compare(a.until) })
		kept = kept[:mostNetworks]
	}
	if len(kept) == 0 {
		s.networks.Store(nil)
		return
	}
	s.networks.Store(&kept)
}

// shut reports whether the network of an address is.
func (s *Suspects) shut(addr netip.Addr, now time.Time) bool {
	list := s.networks.Load()
	if list == nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(*list, func(n shutNetwork) bool { return now.Before(n.until) && n.prefix.Contains(addr) })
}

// Stage is that of an address at now.
func (s *Suspects) Stage(addr netip.Addr, now time.Time) Stage {
	tag, i, lock, ok := s.place(addr)
	if !ok {
		return Trusted
	}
	lock.Lock()
	defer lock.Unlock()
	if x := s.find(tag, i, now); x != nil {
		return x.stage
	}
	return Trusted
}

func (s *Suspects) find(tag, i uint64, now time.Time) *suspect {
	set := &s.suspects[i]
	for w := range set {
		if set[w].tag == tag && now.UnixNano() < set[w].until {
			return &set[w]
		}
	}
	return nil
}

// shownFailures is how many failed handshakes of a suspect see the cover site.
var shownFailures = ratelimit.Limit{Events: 6, Per: time.Minute, Burst: 6}

// Slowed counts a failed handshake of a suspect, and reports whether it is one too many to be shown the cover site. It is never so where
// threat.block is not enforced.
func (s *Suspects) Slowed(c *Conn) bool {
	if s == nil || c.Access.Pinned {
		return false
	}
	addr := c.Addr.Addr()
	tag, i, lock, ok := s.place(addr)
	if !ok {
		return false
	}
	lock.Lock()
	x := s.find(tag, i, c.At)
	slowed := x != nil && !x.failed.Take(shownFailures, 1, c.At).Allowed
	lock.Unlock()
	if !slowed {
		return false
	}
	m, _ := c.Policy.Judge(policy.ThreatBlock, c.subject(), c.At)
	return m == policy.Enforce
}

// place is where an address stands; ok is false for none.
func (s *Suspects) place(a netip.Addr) (tag, set uint64, lock *sync.Mutex, ok bool) {
	narrow, _, ok := ratelimit.PrefixesOf(a)
	if !ok {
		return 0, 0, nil, false
	}
	tag = maphash.Comparable(s.seed, narrow) | 1
	set = tag >> 1 % uint64(len(s.suspects))
	return tag, set, &s.locks[set%stripes], true
}
