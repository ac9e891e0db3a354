package ratelimit

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// ByteRate is bytes per second, with a burst. The zero ByteRate, and any with PerSecond not positive, is no limit.
type ByteRate struct {
	// PerSecond is the bytes per second in the long run, at most MaxByteRate.
	PerSecond int64
	// Burst is how many bytes may go at once after a quiet time, at most MaxByteRate; 0 means what goes in a second.
	Burst int64
}

// MaxByteRate is the most that a ByteRate says, 4 GiB less one byte; more counts as this.
const MaxByteRate = math.MaxUint32

// Unlimited reports whether the rate is no limit.
func (r ByteRate) Unlimited() bool { return r.PerSecond <= 0 }

// byteUnits are the units of ParseByteRate, the largest first.
var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

// ParseByteRate reads a rate such as "8KiB/s", or, with a burst of its own, "8KiB/s burst 256KiB". Units are B, kB, MB, GB, KiB, MiB and GiB.
// "0" is no limit.
func ParseByteRate(text string) (ByteRate, error) {
	s := strings.TrimSpace(text)
	if s == "0" {
		return ByteRate{}, nil
	}
	rate, burst, hasBurst := strings.Cut(s, " burst ")
	count, perSecond := strings.CutSuffix(rate, "/s")
	if !perSecond {
		return ByteRate{}, fmt.Errorf("rate %q: want bytes per second, such as \"8KiB/s\"", text)
	}
	var r ByteRate
	var err error
	if r.PerSecond, err = parseSize(count); err != nil {
		return ByteRate{}, fmt.Errorf("rate %q: %w", text, err)
	}
	if hasBurst {
		if r.Burst, err = parseSize(burst); err != nil {
			return ByteRate{}, fmt.Errorf("rate %q: burst: %w", text, err)
		}
	}
	return r, nil
}

var errSize = errors.New("want a whole number and a unit, such as 64KiB, below 4GiB")

func parseSize(text string) (int64, error) {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		if digits == "" || digits[0] < '0' || digits[0] > '9' { // strconv would take a sign
			return 0, errSize
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 1 || n > MaxByteRate/u.size {
			return 0, errSize
		}
		return n * u.size, nil
	}
	return 0, errSize
}

// String returns the rate in the form ParseByteRate reads.
func (r ByteRate) String() string {
	if r.Unlimited() {
		return "0"
	}
	s := sizeText(r.PerSecond) + "/s"
	if r.Burst > 0 {
		s += " burst " + sizeText(r.Burst)
	}
	return s
}

func sizeText(n int64) string {
	for _, u := range byteUnits {
		if n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// Bytes is a budget that any number of connections share: who has moved bytes is told how long to pause. The zero Bytes is ready and has no
// limit, and so has a nil one. Its state is one atomic word, the rate another; the rate may change at any time. All methods may be called
// concurrently, none waits or allocates. It must not be copied.
//
// Connections that take their bytes a Portion at a time, and pause as they are told, get equal shares: each one's pause ends after that of
// whoever came before it.
type Bytes struct {
	tat  atomic.Int64  // when all bytes so far would have been paid for, nanoseconds since 1970
	rate atomic.Uint64 // PerSecond in the upper half, Burst in the lower; 0 is no limit
}

// maxDebt bounds how long anybody may be told to pause beyond what the burst covers. Only a clock that was set back, or some hundred
// connections at once, come that far.
const maxDebt = int64(time.Minute)

// Set changes the rate. Bytes that were spent and not paid for count at the new one.
func (b *Bytes) Set(r ByteRate, now time.Time) {
	word := uint64(0)
	if !r.Unlimited() {
		burst := r.Burst
		if burst <= 0 {
			burst = r.PerSecond
		}
		word = uint64(min(r.PerSecond, MaxByteRate))<<32 | uint64(min(burst, MaxByteRate))
	}
	old := b.rate.Swap(word)
	if old == word || old == 0 || word == 0 {
		return
	}
	at := now.UnixNano()
	for {
		tat := b.tat.Load()
		if tat <= at {
			return
		}
		debt := float64(tat-at) * float64(old>>32) / float64(word>>32)
		if b.tat.CompareAndSwap(tat, at+int64(min(debt, float64(maxSpan)))) {
			return
		}
	}
}

// Rate is the rate of the last Set, with its burst.
func (b *Bytes) Rate() ByteRate {
	if b == nil {
		return ByteRate{}
	}
	word := b.rate.Load()
	return ByteRate{PerSecond: int64(word >> 32), Burst: int64(word & math.MaxUint32)}
}

// Spent counts n bytes that went through, and returns how long to pause before the next; 0 while they are covered. With n 0 nothing is
// counted, and the answer is how long somebody would pause who had just come.
func (b *Bytes) Spent(n int, now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	word := b.rate.Load()
	if word == 0 {
		return 0
	}
	rate, burst := int64(word>>32), int64(word&math.MaxUint32)
	at := now.UnixNano()
	covered := at + min(burst*int64(time.Second)/rate, maxSpan)
	cost := (min(int64(max(n, 0)), MaxByteRate)*int64(time.Second) + rate - 1) / rate
	for {
		tat := b.tat.Load()
		next := min(max(tat, at)+min(cost, maxSpan), covered+maxDebt)
		if n <= 0 || next == tat || b.tat.CompareAndSwap(tat, next) {
			return time.Duration(max(next-covered, 0))
		}
	}
}

// Portion is how many bytes to move at a time, so that pauses are short and the shares even: a sixteenth of a second's, but not less than
// 4 KiB. Without a limit it is the largest int.
func (b *Bytes) Portion() int {
	if b == nil {
		return math.MaxInt
	}
	word := b.rate.Load()
	if word == 0 {
		return math.MaxInt
	}
	return max(int(word>>36), 4<<10)
}
