package auth

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/ratelimit"
)

// Session is a live, authenticated connection. It is linked into the list by
// its own fields, since an idle session should cost little more than it says.
// The exported fields must stay as they are while the session is open.
type Session struct {
	Conn  uint64 // its number, unique in this process
	Since int64  // when the client came, Unix nanoseconds
	Grant *Grant
	Relay Relay
	// Throttle is what the session takes its bytes from; Grade sets it.
	Throttle ratelimit.Throttle

	next, prev *Session
	up, down   int64 // counted in the user's account so far

	level     atomic.Uint32
	Transport mtproto.Transport
	open      bool
}

// Said is what rules can ask about a client's ClientHello. It is a pointer to a value that all clients share who said the same: of a
// fleet of one app there is one. The zero Said is a client without a ClientHello.
type Said struct{ h unique.Handle[said] }

type said struct{ serverName, ja4 string }

// Saying makes a Said. serverName is as the client wrote it.
func Saying(serverName, ja4 string) Said {
	if serverName == "" && ja4 == "" {
		return Said{}
	}
	return Said{unique.Make(said{serverName, ja4})}
}

// Hello is what Saying was given.
func (s Said) Hello() (serverName, ja4 string) {
	if s == (Said{}) {
		return "", ""
	}
	v := s.h.Value()
	return v.serverName, v.ja4
}

// Relay is what carries a session. Its methods must not block, and may be called
// before Open has returned.
type Relay interface {
	// End ends the session. It is called once for each matching Kill.
	End(reason string)
	// Moved is the payload bytes so far. Neither number falls.
	Moved() (up, down int64)
}

// Key is the key that the session's client came with.
func (x *Session) Key() *keys.Key { return x.Grant.Key() }

// User is the name of the session's user.
func (x *Session) User() string { return x.Grant.User() }

// From is the client's address.
func (x *Session) From() netip.Addr { return x.Grant.from }

// count adds to the user's account what has moved since the last time. The
// shard's lock is held, so that every byte is counted once.
func (s *Sessions) count(x *Session, up, down int64) {
	x.Grant.Key().Account().Add(up-x.up, down-x.down)
	if s.Moved != nil {
		s.Moved(up-x.up, down-x.down)
	}
	x.up, x.down = up, down
}

// Sessions is the list of live sessions. The zero value is ready.
type Sessions struct {
	// Moved, unless nil, is told of the bytes of all sessions as they are counted: each once. It must not block, and is not changed while
	// there are sessions.
	Moved func(up, down int64)

	shards [16]sessionShard
}

type sessionShard struct {
	mu    sync.Mutex
	first *Session
	n     int
	from  map[uint64]int32 // sessions of each placeOf
}

func (s *Sessions) shard(x *Session) *sessionShard {
	return &s.shards[x.Conn%uint64(len(s.shards))]
}

// Open adds a session. Whoever opens one looks once more, afterwards, whether
// its grant still holds: a revocation between authentication and Open is then
// caught by one side or the other.
func (s *Sessions) Open(x *Session) {
	sh := s.shard(x)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if x.open {
		return
	}
	x.open, x.next = true, sh.first
	if sh.first != nil {
		sh.first.prev = x
	}
	sh.first = x
	sh.n++
	if sh.from == nil {
		sh.from = make(map[uint64]int32)
	}
	sh.from[placeOf(x.From())]++
}

// placeOf is what of addresses one client has, an IPv4 address or an IPv6 /64, as a number. What is IPv4, or nothing, lies where IPv6
// has multicast, which nobody sends from.
func placeOf(a netip.Addr) uint64 {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return 0xff01<<48 | uint64(binary.BigEndian.Uint32(b[:]))
	case a.Is6():
		b := a.As16()
		return binary.BigEndian.Uint64(b[:8])
	}
	return 0xff << 56
}

// From reports whether a session is live that came from the address, of IPv6 from its /64. It looks at no session.
func (s *Sessions) From(addr netip.Addr) bool {
	at := placeOf(addr)
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		n := sh.from[at]
		sh.mu.Unlock()
		if n > 0 {
			return true
		}
	}
	return false
}

// Close removes a session that has ended after up and down bytes in all, and
// counts those of them that Meter has not. Once more does no harm.
func (s *Sessions) Close(x *Session, up, down int64) {
	sh := s.shard(x)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !x.open {
		return
	}
	s.count(x, up, down)
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		sh.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	x.open, x.next, x.prev = false, nil, nil
	sh.n--
	if at := placeOf(x.From()); sh.from[at] > 1 {
		sh.from[at]--
	} else if delete(sh.from, at); len(sh.from) == 0 {
		sh.from = nil // a map keeps the size it once had
	}
}

// Meter adds what the live sessions have moved since they were last counted to
// their users' accounts. With Close, every byte gets there exactly once.
func (s *Sessions) Meter() {
	for i := range s.shards {
		s.shards[i].each(func(x *Session) bool {
			up, down := x.Relay.Moved()
			s.count(x, up, down)
			return true
		})
	}
}

// Kill ends every session that match accepts and returns how many that were.
// match must not keep the session.
func (s *Sessions) Kill(match func(*Session) bool, reason string) int {
	n := 0
	for i := range s.shards {
		var doomed []Relay
		s.shards[i].each(func(x *Session) bool {
			if match(x) {
				doomed = append(doomed, x.Relay)
			}
			return true
		})
		for _, r := range doomed {
			r.End(reason) // outside the lock: it may close the session
		}
		n += len(doomed)
	}
	return n
}

// Count is how many sessions are live. How many of them are one key's says
// keys.Key.Leases, and how many one user's usage.Account.Open, with those that
// are on their way to become sessions.
func (s *Sessions) Count() int {
	n := 0
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		n += sh.n
		sh.mu.Unlock()
	}
	return n
}

// Live describes a session.
type Live struct {
	Conn     uint64
	Since    time.Time
	Key      *keys.Key
	From     netip.Addr
	Level    access.Level
	Up, Down int64 // payload bytes so far
}

// List describes the sessions that match accepts, but not more than most of
// them, in no order.
func (s *Sessions) List(match func(*Session) bool, most int) []Live {
	var list []Live
	for i := range s.shards {
		s.shards[i].each(func(x *Session) bool {
			if len(list) < most && match(x) {
				l := Live{Conn: x.Conn, Since: time.Unix(0, x.Since), Key: x.Key(), From: x.From(), Level: x.Level()}
				l.Up, l.Down = x.Relay.Moved()
				list = append(list, l)
			}
			return len(list) < most
		})
	}
	return list
}

// each calls visit, which must not open or close sessions, until it has enough.
func (sh *sessionShard) each(visit func(*Session) (more bool)) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for x := sh.first; x != nil && visit(x); x = x.next {
	}
}
