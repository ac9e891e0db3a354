package audit

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

// When audits run by themselves.
const (
	Usual = day // between two
	// Shortest is the least that may lie between two.
	Shortest = time.Hour
	// Grace is how long after its start a node audits itself at the earliest: by then
	// it has looked at the cover site, and met some clients.
	Grace = 2 * time.Minute
	// Again is how long after one that did not come to its end the next begins.
	Again = time.Hour
)

// Past is what the schedule knows of the last audit that asked all checks.
type Past struct {
	Started time.Time // zero: there was none
	Failed  bool
}

// Due is when the next audit begins: every after the last one, a tenth more or less so
// that many nodes do not all work at once, and always the same for the same last one,
// whatever happens in between, but not before earliest, which is Grace after the start of
// the node. So one that was missed while the node was down is due then, and so is one
// after a last one in the future, by a clock that was set back since. Zero when every is
// 0: never.
func Due(last Past, every time.Duration, earliest, now time.Time) time.Time {
	if every <= 0 {
		return time.Time{}
	}
	if last.Started.IsZero() || last.Started.After(now) {
		return earliest
	}
	due := last.Started.Add(every + jitter(last.Started, every))
	if again := last.Started.Add(Again); last.Failed && again.Before(due) {
		due = again
	}
	if due.Before(earliest) {
		return earliest
	}
	return due
}

// jitter is up to a tenth of every, more or less, drawn by the last audit's time.
func jitter(last time.Time, every time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(last.UnixMicro())))
	const steps = 2001 // -1000 to 1000 thousandths of a tenth
	n := int64(mix(h.Sum64())%steps) - 1000
	return time.Duration(n) * (every / 10_000)
}

// mix spreads a hash of few bits over all of them: the finish of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
