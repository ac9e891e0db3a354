package auth

import (
	"net/netip"
	"sync"

	"mtguard/security/keys"
)

// Session is a live, authenticated connection. It is linked into the list by
// its own fields, since an idle session should cost little more than it says.
// Conn must stay as it is while the session is open.
type Session struct {
	Conn uint64 // its number, unique in this process
	Key  keys.ID
	Addr netip.Addr
	// End is called, at most once for each matching Kill, to end the session.
	// It must not block, and may be called before Open returns.
	End func(reason string)

	next, prev *Session
	open       bool
}

// Sessions is the list of live sessions. The zero value is ready.
type Sessions struct {
	shards [16]sessionShard
}

type sessionShard struct {
	mu    sync.Mutex
	first *Session
}

func (s *Sessions) shard(x *Session) *sessionShard {
	return &s.shards[x.Conn%uint64(len(s.shards))]
}

// Open adds a session. Whoever opens one looks once more, afterwards, whether
// its key is still good: a revocation between authentication and Open is then
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
}

// Close removes a session that has ended; once more does no harm.
func (s *Sessions) Close(x *Session) {
	sh := s.shard(x)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !x.open {
		return
	}
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		sh.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	}
	x.open, x.next, x.prev = false, nil, nil
}

// Kill ends every session that match accepts and returns how many that were.
// match must not keep the session.
func (s *Sessions) Kill(match func(*Session) bool, reason string) int {
	n := 0
	for i := range s.shards {
		for _, end := range s.shards[i].matching(match) {
			end(reason) // outside the lock: it may close the session
			n++
		}
	}
	return n
}

func (sh *sessionShard) matching(match func(*Session) bool) []func(string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var ends []func(string)
	for x := sh.first; x != nil; x = x.next {
		if match(x) {
			ends = append(ends, x.End)
		}
	}
	return ends
}
