// Package ratelimit says whether one more event of a kind may happen now.
//
// The arithmetic is the generic cell rate algorithm: a bucket is one number, the theoretical arrival time (TAT) at which all events so far
// would have been paid for at the steady rate. An event is allowed while the TAT, after adding the event, lies at most the burst ahead of
// now. [Bucket] is that number for one key; [Limiter] is a fixed-size table of such numbers for keys that strangers choose, such as address
// prefixes. The package does not decide what a refusal means, and forgets nothing by timer: an idle bucket is simply a TAT in the past.
//
//	l := ratelimit.New(65_536)
//	lim, _ := ratelimit.ParseLimit("20/s")
//	narrow, wide, ok := ratelimit.PrefixesOf(addr)
//	if d := l.Check(narrow, lim, now); !d.Allowed { wait(d.RetryAfter) }
//
// Bucket and Limiter are safe for concurrent use, never allocate after New, read no clock and start no goroutine.
package ratelimit

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Limit is a steady rate with a burst. The zero Limit, and any with Events or Per not positive, allows everything.
type Limit struct {
	// Events are allowed per Per in the long run.
	Events int
	// Per is the span Events are counted over.
	Per time.Duration
	// Burst is how many events may come at once after a quiet time; 0 means as many as Events.
	Burst int
}

// maxCount bounds the numbers in a limit's text; more than a thousand million events are not a limit any more.
const maxCount = 1_000_000_000

// maxSpan bounds every product of this package: now (about 2^61 ns today), a window and a cost together still fit an int64.
const maxSpan = int64(1) << 60

var units = []struct {
	name string
	per  time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}}

// ParseLimit reads a limit such as "20/s", "30/m", "500/h" or, with a burst of its own, "20/s burst 100". "0" is the zero Limit.
func ParseLimit(text string) (Limit, error) {
	s := strings.TrimSpace(text)
	if s == "0" {
		return Limit{}, nil
	}
	rate, burst, hasBurst := strings.Cut(s, " burst ")
	count, unit, ok := strings.Cut(rate, "/")
	if !ok {
		return Limit{}, fmt.Errorf("limit %q: want a number and a unit, such as \"20/s\"", text)
	}
	events, err := parseCount(count)
	if err != nil {
		return Limit{}, fmt.Errorf("limit %q: %w", text, err)
	}
	for _, u := range units {
		if u.name != unit {
			continue
		}
		l := Limit{Events: events, Per: u.per, Burst: events}
		if hasBurst {
			if l.Burst, err = parseCount(burst); err != nil {
				return Limit{}, fmt.Errorf("limit %q: burst: %w", text, err)
			}
		}
		return l, nil
	}
	return Limit{}, fmt.Errorf("limit %q: unit must be s, m or h", text)
}

var errCount = errors.New("want a whole number from 1 to 1000000000")

func parseCount(s string) (int, error) {
	if s == "" || s[0] < '0' || s[0] > '9' { // strconv would take a sign
		return 0, errCount
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxCount {
		return 0, errCount
	}
	return n, nil
}

// String returns the limit in the form ParseLimit reads. A Per that is no unit of ParseLimit is written out as a duration.
func (l Limit) String() string {
	if l.unlimited() {
		return "0"
	}
	per := l.Per.String()
	for _, u := range units {
		if u.per == l.Per {
			per = u.name
		}
	}
	s := strconv.Itoa(l.Events) + "/" + per
	if l.Burst > 0 && l.Burst != l.Events {
		s += " burst " + strconv.Itoa(l.Burst)
	}
	return s
}

// Times returns a limit with n times the rate and the burst, for a group of n keys that share one budget. It saturates instead of overflowing.
func (l Limit) Times(n int) Limit {
	if l.unlimited() || n <= 1 {
		return l
	}
	l.Burst = int(min(int64(l.burst())*int64(min(n, maxCount)), maxCount))
	l.Events = int(min(int64(min(l.Events, maxCount))*int64(min(n, maxCount)), maxCount))
	return l
}

func (l Limit) unlimited() bool { return l.Events <= 0 || l.Per <= 0 }

func (l Limit) burst() int {
	if l.Burst > 0 {
		return min(l.Burst, maxCount)
	}
	return min(l.Events, maxCount)
}

// interval is the time one event costs, rounded up: rounding may only make a limit stricter.
func (l Limit) interval() int64 {
	return min((int64(l.Per)-1)/int64(l.Events)+1, maxSpan)
}

// span returns n intervals, held to maxSpan.
func span(n, interval int64) int64 {
	if n > maxSpan/interval {
		return maxSpan
	}
	return n * interval
}

// Decision is the answer to one question.
type Decision struct {
	// Allowed says whether the events were counted, or, when only asked, whether one event would be.
	Allowed bool
	// Remaining is how many single events would still be allowed at the same instant.
	Remaining int
	// RetryAfter is how long to wait until the same question is answered with yes, if nothing else happens; 0 when Allowed, and the
	// longest Duration when the cost exceeds the burst and will never be allowed.
	RetryAfter time.Duration
}

// decide is the algorithm: from the stored TAT to the answer and the TAT to store. Asking (cost 0) never changes the TAT; a refusal changes
// it only when it lies beyond the window.
func decide(tat, now int64, l Limit, cost int) (next int64, d Decision) {
	if l.unlimited() {
		return tat, Decision{Allowed: true, Remaining: math.MaxInt}
	}
	interval := l.interval()
	window := span(int64(l.burst()), interval)
	// A TAT beyond the window comes from a clock that was set back or a limit that became smaller. Holding it to a full bucket keeps
	// the limit strict and lets it recover within one window.
	next = min(tat, now+window)
	used := max(next, now) - now
	want := span(int64(max(cost, 1)), interval)
	free := window - used
	switch {
	case want > free:
		d.RetryAfter = time.Duration(want - free)
		if want > window {
			d.RetryAfter = math.MaxInt64
		}
	case cost > 0:
		d.Allowed = true
		free -= want
		next = now + used + want
	default:
		d.Allowed = true
	}
	d.Remaining = int(free / interval)
	if cost <= 0 {
		next = tat
	}
	return next, d
}
