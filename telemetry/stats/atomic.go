package stats

import (
	"sync/atomic"
	"time"
)

// Counter counts upwards. The zero Counter is ready; it must not be copied.
type Counter struct{ n atomic.Uint64 }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n; a negative n is ignored, because a counter that falls looks like a restart.
func (c *Counter) Add(n int64) {
	if n > 0 {
		c.n.Add(uint64(n))
	}
}

// Load returns the count.
func (c *Counter) Load() uint64 { return c.n.Load() }

// Gauge is a number that goes up and down. The zero Gauge is ready; it must not be copied.
type Gauge struct{ n atomic.Int64 }

// Inc adds one.
func (g *Gauge) Inc() { g.n.Add(1) }

// Dec takes one off.
func (g *Gauge) Dec() { g.n.Add(-1) }

// Add adds n, which may be negative.
func (g *Gauge) Add(n int64) { g.n.Add(n) }

// Set replaces the value.
func (g *Gauge) Set(n int64) { g.n.Store(n) }

// Load returns the value.
func (g *Gauge) Load() int64 { return g.n.Load() }

// scale is the upper bounds of a histogram's buckets, ascending.
type scale [buckets]time.Duration

const buckets = 13

// networkScale suits what waits for a peer: dials and handshakes.
var networkScale = scale{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// checkScale suits pure computation.
var checkScale = scale{
	100 * time.Nanosecond, 250 * time.Nanosecond, 500 * time.Nanosecond, time.Microsecond, 2500 * time.Nanosecond, 5 * time.Microsecond,
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
}

// Histogram counts durations in fixed buckets. It must not be copied. The zero Histogram has the buckets for waiting on the network, from
// one millisecond to ten seconds.
type Histogram struct {
	check  bool // checkScale instead of networkScale
	counts [buckets + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

func (h *Histogram) scale() *scale {
	if h.check {
		return &checkScale
	}
	return &networkScale
}

// Observe counts one duration. A negative one, from a clock that was set back, counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for s := h.scale(); i < buckets && d > s[i]; i++ {
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Count returns how many durations were observed.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// read returns the cumulative counts by upper bound in seconds. The counts are read one by one, so an observation made meanwhile may be in
// the buckets and not in the sum; the next reading has both.
func (h *Histogram) read() (count uint64, sum float64, cumulative map[float64]uint64) {
	cumulative = make(map[float64]uint64, buckets)
	for i, bound := range h.scale() {
		count += h.counts[i].Load()
		cumulative[bound.Seconds()] = count
	}
	count += h.counts[buckets].Load()
	return count, time.Duration(h.sum.Load()).Seconds(), cumulative
}
