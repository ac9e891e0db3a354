package control

import (
	"fmt"
	"time"
)

const (
	// jump is how far the wall clock may move away from the monotonic one between
	// two looks: time synchronisation slews, and steps by less.
	jump = time.Minute
	// settle is how long a clock that jumped must run evenly before it is
	// believed. An administrator or a time server mends a wrong step within it.
	settle = 10 * time.Minute
)

// clock notices a wall clock that jumps. What is done by time (expiry, rotation,
// erasure) cannot be taken back, so after a jump it waits until the clock has
// run evenly for settle, or has jumped back. Connections do not wait: whether a
// key is accepted is a state, not a comparison of times.
//
// The zero value is ready. Not safe for concurrent use.
type clock struct {
	started bool
	wall    time.Time
	mono    time.Duration
	off     time.Duration // sum of the jumps that are not believed yet
	until   time.Duration // monotonic; when they will be
}

// look takes both clocks and returns why work by time has to wait, "" if it has
// not to.
func (c *clock) look(wall time.Time, mono time.Duration) (held string) {
	wall = wall.Round(0)
	if c.started {
		step := wall.Sub(c.wall) - (mono - c.mono)
		if step > jump || step < -jump {
			c.off += step
			c.until = mono + settle
		}
	}
	c.started, c.wall, c.mono = true, wall, mono
	if c.off <= jump && c.off >= -jump || mono >= c.until {
		c.off = 0
		return ""
	}
	return fmt.Sprintf("the clock jumped by %v; nothing expires or rotates for another %v", c.off.Round(time.Second), (c.until - mono).Round(time.Second))
}
