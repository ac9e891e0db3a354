package auth

import (
	"net/netip"
	"sync"

	"mtguard/security/keys"
)

// Session is a live, authenticated connection.
type Session struct {
	Conn uint64 // its number, unique in this process
	Key  keys.ID
	Addr netip.Addr
}

// Sessions is the list of live sessions with a switch to end each. The zero
// value is ready.
type Sessions struct {
	shards [16]sessionShard
}

type sessionShard struct {
	mu   sync.Mutex
	live map[uint64]liveSession
}

type liveSession struct {
	Session
	kill func(reason string)
}

func (s *Sessions) shard(conn uint64) *sessionShard {
	return &s.shards[conn%uint64(len(s.shards))]
}

// Open adds a session. kill is called at most once per matching Kill, must not
// block, and may be called before Open returns. Whoever opens a session looks
// once more, afterwards, whether its key is still good: a revocation between
// authentication and Open is then caught by one side or the other.
func (s *Sessions) Open(session Session, kill func(reason string)) {
	sh := s.shard(session.Conn)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.live == nil {
		sh.live = make(map[uint64]liveSession)
	}
	sh.live[session.Conn] = liveSession{session, kill}
}

// Close removes a session that has ended.
func (s *Sessions) Close(conn uint64) {
	sh := s.shard(conn)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.live, conn)
}

// Kill ends every session that match accepts and returns how many that were.
func (s *Sessions) Kill(match func(Session) bool, reason string) int {
	n := 0
	for i := range s.shards {
		for _, kill := range s.shards[i].matching(match) {
			kill(reason) // outside the lock: it may close the session
			n++
		}
	}
	return n
}

func (sh *sessionShard) matching(match func(Session) bool) []func(string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var kills []func(string)
	for _, l := range sh.live {
		if match(l.Session) {
			kills = append(kills, l.kill)
		}
	}
	return kills
}
