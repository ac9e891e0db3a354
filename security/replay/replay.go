// Package replay remembers which handshakes were accepted, so that none is accepted twice.
//
// A [Cache] is an exact set, not a filter that guesses. Its promise is
//
//	FirstSeen(key, sentAt, now) == Fresh  ⇒  sentAt is not before the floor, and key was not in the set
//
// with check and insert as one atomic step. Memory is bounded, so old entries must go; the floor makes going safe: it rises past the time of
// every entry that is forgotten, and starts just before the process did. Running out of room therefore costs availability for clients whose
// clock is far behind, and never exactness.
//
// The key must leave out whatever an attacker can change in a captured handshake. In a fake-TLS hello that is the timestamp, which is not
// authenticated: a captured hello can be moved in time, and then only the set refuses it, not the floor. So the set forgets by need and not by age,
// and its capacity should cover as long a past as there is memory for. Handshakes that carry no time (obfuscated2) pass sentAt = now; for
// them, too, the set alone protects.
//
//	c := replay.New(1<<17, time.Now())
//	switch c.FirstSeen(hello.ReplayKey(), sentAt, now) {
//	case replay.Fresh: // go on
//	default:           // treat as a stranger
//	}
//
// Only handshakes that already matched a secret belong in here; otherwise anybody could fill it.
//
// # Across a restart
//
// [Cache.Export] writes everything a Cache knows, [Cache.Import] reads it into a new one, which from then on answers as the old one would
// have. The new Cache keeps its own floor where that is the higher one: what the old process accepted after its last export is in no file, so
// only the floor, a second before the new process started, stands against copies of it. See Import for what that leaves open.
//
// # Memory
//
// An entry takes 24 bytes in a table filled to three quarters, 32 bytes in effect, and there are two such tables (generations), the second one
// allocated when the first is full. For New(1<<17) that is 4.3 MiB at first and 8.5 MiB for good, whatever anybody does: 68 bytes for each
// handshake of the capacity.
//
// A Cache is safe for concurrent use, reads no clock and starts no goroutine.
package replay

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"time"
)

// Verdict is the answer to one handshake. The zero Verdict is invalid, so that a forgotten assignment does not let a replay in.
type Verdict uint8

// The verdicts.
const (
	// Fresh: not seen, not too old, and remembered from now on.
	Fresh Verdict = 1 + iota
	// Seen: the key is in the set.
	Seen
	// BelowFloor: the handshake is from before the time the set can vouch for.
	BelowFloor
)

// String returns "fresh", "seen" or "below floor", or "verdict(n)" for other values.
func (v Verdict) String() string {
	switch v {
	case Fresh:
		return "fresh"
	case Seen:
		return "seen"
	case BelowFloor:
		return "below floor"
	}
	return "verdict(" + strconv.Itoa(int(v)) + ")"
}

const (
	// maxShards keeps handshakes on different cores apart. More shards would cost memory: each needs slack for an uneven share.
	maxShards = 16
	// minPerShard is the least capacity worth splitting off; below it the slack would outgrow the share.
	minPerShard = 1024
)

// Cache is the memory of accepted handshakes. Use New.
type Cache struct {
	seed   seed // random, so that nobody can aim at one shard or one probe sequence
	shards []shard
	shift  uint8 // shard number = hash >> shift
}

// New returns a Cache that at every moment remembers at least the last capacity fresh handshakes (a capacity below one is taken as one).
// Above 2,048 that rests on a random hash, which spreads keys over several shards; the chance of falling short is about one in 10^8 per
// filling. The floor begins one second before start: times on the wire are whole seconds, and a client may have sent its hello in the second
// in which the process started.
func New(capacity int, start time.Time) *Cache {
	capacity = max(capacity, 1)
	n := 1
	for n < maxShards && capacity/(2*n) >= minPerShard {
		n *= 2
	}
	share := (capacity + n - 1) / n
	if n > 1 {
		// A shard's share of a filling is Poisson distributed; six standard deviations are kept in reserve.
		share += int(math.Ceil(6 * math.Sqrt(float64(share))))
	}
	c := &Cache{
		shards: make([]shard, n),
		shift:  uint8(64 - bits.TrailingZeros(uint(n))),
	}
	rand.Read(c.seed[:])
	for i := range c.shards {
		c.shards[i].init(c.seed, share, stamp(start.Add(-time.Second)))
	}
	return c
}

// FirstSeen judges one handshake, identified by key and sent at sentAt by its sender's clock, and remembers it when it is Fresh. A key in
// the set is Seen even when it is also below the floor. Times are compared by wall clock. now should not run backwards; where it does, the
// promise holds, and hellos older than the floor stay refused until the clock has caught up.
func (c *Cache) FirstSeen(key [16]byte, sentAt, now time.Time) Verdict {
	h := c.seed.hash(&key)
	return c.shards[h>>c.shift].firstSeen(&key, h, stamp(sentAt), stamp(now))
}

// Len returns how many handshakes are remembered.
func (c *Cache) Len() int {
	n := 0
	for i := range c.shards {
		n += c.shards[i].len()
	}
	return n
}

// Accepted returns how many handshakes were Fresh since New. While it stays the same, so does what Export writes.
func (c *Cache) Accepted() uint64 {
	n := uint64(0)
	for i := range c.shards {
		n += c.shards[i].readAccepted()
	}
	return n
}

// Floor returns the time before which some handshakes may be refused without having been seen. A handshake sent at or after it is refused
// only when it was seen. Floor never falls.
func (c *Cache) Floor() time.Time {
	floor := int64(math.MinInt64)
	for i := range c.shards {
		floor = max(floor, c.shards[i].readFloor())
	}
	return time.Unix(0, floor)
}

// seed keys the hash that places keys. maphash would be faster by 100 ns, but its seeds end with the process, and with another seed an export
// could not be put back into the shards it came from: those turn independently, and what each still remembers depends on its own count.
type seed [16]byte

func (s *seed) hash(key *[16]byte) uint64 {
	var b [32]byte
	copy(b[:16], s[:])
	copy(b[16:], key[:])
	sum := sha256.Sum256(b[:])
	return binary.LittleEndian.Uint64(sum[:])
}

// stamp is a time as the tables hold it: nanoseconds since 1970. 0 marks a free slot, and a time that is 0 is moved up by one, which can
// only raise a floor.
func stamp(t time.Time) int64 {
	if ns := t.UnixNano(); ns != 0 {
		return ns
	}
	return 1
}
