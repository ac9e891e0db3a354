package usage

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// MaxSightings is how many pseudonyms a Sightings keeps. Who shares a secret with more than that is found out long before.
const MaxSightings = 1024

// Pseudonym stands for an IPv4 address or an IPv6 /64: the first 8 bytes of its HMAC-SHA256 under the key given to NewSightings. Without that
// key it says nothing; with it, it is the same after a restart.
type Pseudonym uint64

// Sighting is when a pseudonym was last seen.
type Sighting struct {
	Pseudonym Pseudonym
	Last      time.Time
}

// Sightings remembers who used one key, and when. It keeps pseudonyms, at most MaxSightings of them: of more it only knows that there were
// more. Times are kept to the microsecond and given in UTC. A nil Sightings sees nobody. It must not be copied.
type Sightings struct {
	key    *[32]byte // a pointer, so that fmt does not print it where it cannot call Format
	latest *Latest   // is told of everybody; nil: nobody is

	mu   sync.Mutex
	seen *seen // nil until somebody was seen
}

// seen is apart so that a key nobody has used costs little.
type seen struct {
	last        map[Pseudonym]mark
	more        bool
	first, late int64 // microseconds since 1970
}

type mark struct {
	at      int64 // microseconds since 1970
	changed bool  // since the last Changed
}

// NewSightings makes one whose pseudonyms are made with this key. Sightings that are to be compared must have the same.
func NewSightings(key [32]byte) *Sightings { return &Sightings{key: &key} }

// Telling makes s tell a Latest whom it sees from now on. It is for one that has seen nobody yet and that nobody else has.
func (s *Sightings) Telling(latest *Latest) *Sightings {
	s.latest = latest
	return s
}

// See notes that somebody at this address used the key. Of two times the later counts, whatever order they come in.
func (s *Sightings) See(from netip.Addr, at time.Time) {
	if s == nil {
		return
	}
	who := s.pseudonym(from)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(who, at.UnixMicro(), true)
}

// Restore puts back what Changed once gave, and is not itself a change. When it fills the memory there may have been more.
func (s *Sightings) Restore(list []Sighting) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range list {
		s.note(x.Pseudonym, x.Last.UnixMicro(), false)
	}
	if s.seen != nil && len(s.seen.last) == MaxSightings {
		s.seen.more = true
	}
}

func (s *Sightings) note(who Pseudonym, at int64, changed bool) {
	if s.seen == nil {
		s.seen = &seen{last: make(map[Pseudonym]mark), first: at, late: at}
	}
	x := s.seen
	x.first, x.late = min(x.first, at), max(x.late, at)
	s.latest.note(who, at)
	m, known := x.last[who]
	switch {
	case known && at <= m.at:
	case known || len(x.last) < MaxSightings:
		x.last[who] = mark{at: at, changed: changed || m.changed}
	default:
		x.more = true
	}
}

// Changed is who was seen since the last call, in no order, each once. The caller saves it; what it could not save it must keep, since it is
// not given again.
func (s *Sightings) Changed() []Sighting {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		return nil
	}
	var list []Sighting
	for who, m := range s.seen.last {
		if m.changed {
			list = append(list, Sighting{Pseudonym: who, Last: timeOf(m.at)})
			s.seen.last[who] = mark{at: m.at}
		}
	}
	return list
}

// Count is how many pseudonyms were seen, and whether there were, or may have been, more.
func (s *Sightings) Count() (n int, more bool) {
	if s == nil {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		return 0, false
	}
	return len(s.seen.last), s.seen.more
}

// First is the earliest time known, zero when nobody was seen. After a Restore it is the earliest of the last times, which may be later than
// the first use was.
func (s *Sightings) First() time.Time {
	if s == nil {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		return time.Time{}
	}
	return timeOf(s.seen.first)
}

// Last is when somebody was seen last, zero when nobody was.
func (s *Sightings) Last() time.Time {
	if s == nil {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		return time.Time{}
	}
	return timeOf(s.seen.late)
}

// Pseudonym is what stands here for an address; 0 in a nil Sightings.
func (s *Sightings) Pseudonym(from netip.Addr) Pseudonym {
	if s == nil {
		return 0
	}
	return s.pseudonym(from)
}

// Seen is when a pseudonym was seen last, zero when it is not kept.
func (s *Sightings) Seen(who Pseudonym) time.Time {
	if s == nil {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		return time.Time{}
	}
	m, ok := s.seen.last[who]
	if !ok {
		return time.Time{}
	}
	return timeOf(m.at)
}

// Missing is how many of the pseudonyms are not in the other: with the old key's sightings asked about the new key's, who has still to move.
func (s *Sightings) Missing(in *Sightings) int {
	n := 0
	who := s.pseudonyms()
	if in == nil {
		return len(who)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, p := range who {
		if in.seen == nil {
			n++
		} else if _, ok := in.seen.last[p]; !ok {
			n++
		}
	}
	return n
}

// pseudonyms is a copy, so that no two Sightings are ever locked at once.
func (s *Sightings) pseudonyms() []Pseudonym {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		return nil
	}
	list := make([]Pseudonym, 0, len(s.seen.last))
	for who := range s.seen.last {
		list = append(list, who)
	}
	return list
}

// Reset forgets everybody.
func (s *Sightings) Reset() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
}

// String is how many were seen. The key is never printed.
func (s *Sightings) String() string {
	n, more := s.Count()
	text := strconv.Itoa(n)
	if more {
		text += " or more"
	}
	return "sightings of " + text
}

// Format is String for every verb.
func (s *Sightings) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

func (s *Sightings) pseudonym(from netip.Addr) Pseudonym {
	p := placeOf(from)
	var b [9]byte // of one length for both versions, so that no two places write the same bytes
	b[0] = p.version
	binary.BigEndian.PutUint64(b[1:], p.bits)
	h := hmac.New(sha256.New, s.key[:])
	h.Write(b[:])
	var sum [sha256.Size]byte
	return Pseudonym(binary.BigEndian.Uint64(h.Sum(sum[:0])))
}

func timeOf(micro int64) time.Time { return time.UnixMicro(micro).UTC() }
