package ratelimit

import (
	"math"
	"sync/atomic"
	"time"
)

// Bytes is a budget that any number of connections share: who has moved bytes is told how long to pause. The zero Bytes is ready and has no
// limit, and so has a nil one. Its state is one atomic word, the rate another; the rate may change at any time. All methods may be called
// concurrently, none waits or allocates. It must not be copied.
//
// Connections that take their bytes a Portion at a time, and pause as they are told, get equal shares: each one's pause ends after that of
// whoever came before it.
type Bytes struct {
	tat   atomic.Int64  // when all bytes so far would have been paid for, nanoseconds since 1970
	rate  atomic.Uint64 // PerSecond in the upper half, Burst in the lower; 0 is no limit
	watch atomic.Bool   // nobody is held back
}

// maxDebt bounds how long anybody may be told to pause beyond what the burst covers. Only a clock that was set back, or some hundred
// connections at once, come that far.
const maxDebt = int64(time.Minute)

// MaxByteRate is the most a budget tells apart from no limit, in bytes per second: 4 GiB less one byte. A burst beyond it counts as this.
const MaxByteRate = math.MaxUint32

// Set changes the rate: bytes per second in the long run, and how many may go at once after a quiet time. A rate of 0 or less, or beyond
// MaxByteRate, is no limit; a burst of 0 or less is what goes in a second. Bytes that were spent and not paid for count at the new rate.
func (b *Bytes) Set(perSecond, burst int64, now time.Time) {
	b.watch.Store(false)
	b.set(perSecond, burst, now)
}

// Watch changes the rate to one that holds nobody back: it is only told when there was more. What goes beyond the rate is not owed later.
func (b *Bytes) Watch(perSecond, burst int64, now time.Time) {
	b.watch.Store(true)
	b.set(perSecond, burst, now)
}

func (b *Bytes) set(perSecond, burst int64, now time.Time) {
	word := uint64(0)
	if perSecond > 0 && perSecond <= MaxByteRate {
		if burst <= 0 {
			burst = perSecond
		}
		word = uint64(perSecond)<<32 | uint64(min(burst, MaxByteRate))
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

// Rate is what the last Set said, with the burst it came to; zeros when there is no limit.
func (b *Bytes) Rate() (perSecond, burst int64) {
	if b == nil {
		return 0, 0
	}
	word := b.rate.Load()
	return int64(word >> 32), int64(word & math.MaxUint32)
}

// Spent counts n bytes that went through, and returns how long to pause before the next; 0 while they are covered. With n 0 nothing is
// counted, and the answer is how long somebody would pause who had just come.
func (b *Bytes) Spent(n int, now time.Time) time.Duration {
	pause, _ := b.spend(n, now)
	return pause
}

// spend is Spent that tells, too, whether these bytes went beyond the rate; of one that is watched only that.
func (b *Bytes) spend(n int, now time.Time) (pause time.Duration, over bool) {
	if b == nil {
		return 0, false
	}
	word := b.rate.Load()
	if word == 0 {
		return 0, false
	}
	watched := b.watch.Load()
	rate, burst := int64(word>>32), int64(word&math.MaxUint32)
	at := now.UnixNano()
	covered := at + min(burst*int64(time.Second)/rate, maxSpan)
	cost := (min(int64(max(n, 0)), MaxByteRate)*int64(time.Second) + rate - 1) / rate
	for {
		tat := b.tat.Load()
		next := min(max(tat, at)+min(cost, maxSpan), covered+maxDebt)
		over = n > 0 && next > covered
		if watched {
			next = min(next, covered)
		}
		if n <= 0 || next == tat || b.tat.CompareAndSwap(tat, next) {
			return time.Duration(max(next-covered, 0)), over
		}
	}
}

// Left is how many bytes may go at once now without a pause; without a limit it is the largest int64.
func (b *Bytes) Left(now time.Time) int64 {
	if b == nil {
		return math.MaxInt64
	}
	word := b.rate.Load()
	if word == 0 {
		return math.MaxInt64
	}
	rate, burst := int64(word>>32), int64(word&math.MaxUint32)
	debt := float64(max(b.tat.Load()-now.UnixNano(), 0)) * float64(rate) / float64(time.Second)
	return max(burst-int64(math.Ceil(debt)), 0)
}

// Portion is how many bytes to move at a time, so that pauses are short and the shares even: a sixteenth of a second's, but not less than
// 1 KiB, so that a small call of somebody held to 10 KiB a second waits a tenth of a second for his own upload. Without a limit it is the
// largest int, and for one that is watched.
func (b *Bytes) Portion() int {
	if b == nil {
		return math.MaxInt
	}
	word := b.rate.Load()
	if word == 0 || b.watch.Load() {
		return math.MaxInt
	}
	return max(int(word>>36), 1<<10)
}
