// Package usage counts what one user takes, as it happens: open connections, the addresses they come from, bytes; and remembers, under
// pseudonyms, from where each of the user's keys was used. It holds the user's level, and the budgets of bytes that all sessions share.
//
// An [Account] is one user's. The control plane sets what the user may take; the data path asks for a place before it serves, gives it back
// afterwards, and adds what went through. A [Sightings] is one key's: it answers "has everybody moved to the new secret?" and "from how many
// places is a revoked one still used?" without keeping anybody's address.
//
//	account.Set(usage.Limits{Connections: 20, Addresses: 3}, usage.Allowed)
//	if refusal := account.Enter(from); refusal != usage.Allowed { … }
//	defer account.Leave(from)
//
// It does no I/O, reads no clock and starts no goroutine. Everything in it is safe for concurrent use, and everything that strangers or users
// can grow is bounded. An Account or a Sightings that nothing has happened to holds no memory beyond itself.
package usage

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
)

// Refusal says why a user is not served.
type Refusal uint8

// The refusals. Allowed, the zero value, is none; the control plane sets the next four, an Account comes to the last two itself.
const (
	Allowed Refusal = iota
	Disabled
	Expired
	NoAccess // the user's level is none
	OverQuota
	TooManyConnections
	TooManyAddresses
)

var refusalNames = [...]string{
	Allowed: "allowed", Disabled: "disabled", Expired: "expired", NoAccess: "no_access", OverQuota: "over_quota",
	TooManyConnections: "too_many_connections", TooManyAddresses: "too_many_addresses",
}

// String is the refusal's name, fit for a log and for a metric's label.
func (r Refusal) String() string {
	if int(r) >= len(refusalNames) {
		return "refusal(" + strconv.Itoa(int(r)) + ")"
	}
	return refusalNames[r]
}

// Limits bound what is open at one time. 0, or less, means no bound.
type Limits struct {
	Connections int
	Addresses   int // IPv4 addresses and IPv6 /64s together
}

// Totals is what went through so far. All numbers only grow.
type Totals struct {
	Up, Down int64 // payload bytes, from the client and to it
	Sessions int64 // places that Enter has given
}

// MaxAddresses is how many addresses an Account tells apart, or its limit when that is higher.
const MaxAddresses = 4096

// Account is what one user takes at this time, and has taken since the process started. The zero Account is ready and bounds nothing; nil is
// one that allows all and counts nothing. It must not be copied.
type Account struct {
	up, down, sessions atomic.Int64
	level              atomic.Uint32 // one more than the level; 0 is Standard
	meters             atomic.Pointer[meters]

	mu       sync.Mutex
	limits   Limits
	standing Refusal
	open     int
	// places counts the open connections by address; nil when there are none. others counts those whose address found no room in it: the
	// counts in places and others together are always open.
	places map[place]int32
	others int
}

// Set says what the user may take from now on. A refusal other than Allowed stands until the next Set. Whatever is open stays open: ending it
// is the caller's business.
func (a *Account) Set(l Limits, standing Refusal) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limits, a.standing = l, standing
}

// Standing is the refusal of the last Set.
func (a *Account) Standing() Refusal {
	if a == nil {
		return Allowed
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.standing
}

// Enter takes a place for a connection from an address, unless it answers something else than Allowed. Whoever was given a place gives it
// back with one Leave from the same address.
//
// Beyond MaxAddresses addresses, which only a user without a lower limit can reach, each connection from a further one counts as an address of
// its own.
func (a *Account) Enter(from netip.Addr) Refusal {
	if a == nil {
		return Allowed
	}
	p := placeOf(from)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.standing != Allowed:
		return a.standing
	case a.limits.Connections > 0 && a.open >= a.limits.Connections:
		return TooManyConnections
	}
	known := a.places[p] > 0
	switch {
	case !known && a.limits.Addresses > 0 && a.addresses() >= a.limits.Addresses:
		return TooManyAddresses
	case known || len(a.places) < max(MaxAddresses, a.limits.Addresses):
		if a.places == nil {
			a.places = make(map[place]int32)
		}
		a.places[p]++
	default:
		a.others++
	}
	a.open++
	a.sessions.Add(1)
	return Allowed
}

// Leave gives a place back. One that was never taken changes nothing, as far as that can be told.
func (a *Account) Leave(from netip.Addr) {
	if a == nil {
		return
	}
	p := placeOf(from)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch n := a.places[p]; {
	case n > 1:
		a.places[p] = n - 1
	case n == 1:
		delete(a.places, p)
	case a.others > 0:
		a.others--
	default:
		return
	}
	a.open--
	if len(a.places) == 0 {
		a.places = nil // a map keeps the size it once had
	}
}

// Add counts payload bytes; less than none counts as none.
func (a *Account) Add(up, down int64) {
	if a == nil {
		return
	}
	if up > 0 {
		a.up.Add(up)
	}
	if down > 0 {
		a.down.Add(down)
	}
}

// Totals is what was taken since this process started. Its numbers may be some instants apart.
func (a *Account) Totals() Totals {
	if a == nil {
		return Totals{}
	}
	return Totals{Up: a.up.Load(), Down: a.down.Load(), Sessions: a.sessions.Load()}
}

// Open is how many connections are open, and from how many addresses.
func (a *Account) Open() (connections, addresses int) {
	if a == nil {
		return 0, 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open, a.addresses()
}

func (a *Account) addresses() int { return len(a.places) + a.others }

// place is what counts as one address: an IPv4 address, or an IPv6 /64, which is what one customer has at least. An address that is none
// is a place too.
type place struct {
	bits    uint64
	version uint8
}

func placeOf(a netip.Addr) place {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return place{bits: uint64(binary.BigEndian.Uint32(b[:])), version: 4}
	case a.Is6():
		b := a.As16()
		return place{bits: binary.BigEndian.Uint64(b[:8]), version: 6}
	}
	return place{}
}
