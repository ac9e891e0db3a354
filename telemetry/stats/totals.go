package stats

import "time"

// Sums over labels, for those who judge the node as a whole.

// Dials returns how many attempts to reach any data centre succeeded, and how many failed.
func (c *Counters) Dials() (ok, failed uint64) {
	for i := range c.dials {
		ok, failed = ok+c.dials[i][0].Load(), failed+c.dials[i][1].Load()
	}
	return ok, failed
}

// DialTime returns how long all successful attempts to reach a data centre took together.
func (c *Counters) DialTime() (sum time.Duration) {
	for i := range c.dialTook {
		sum += time.Duration(c.dialTook[i].sum.Load())
	}
	return sum
}

// CoverDials returns how many attempts to reach the cover site succeeded, and how many failed.
func (c *Counters) CoverDials() (ok, failed uint64) {
	return c.coverDials[0].Load(), c.coverDials[1].Load()
}

// HandshakesOf returns how many handshakes of any transport ended with r.
func (c *Counters) HandshakesOf(r Result) (n uint64) {
	for t := range c.handshakes {
		n += c.handshakes[t][min(r, ResultError)].Load()
	}
	return n
}

// EachControl calls yield with every control that has counters.
func (c *Counters) EachControl(yield func(name string, counters *Control)) {
	for name, counters := range c.controlMap() {
		yield(name, counters)
	}
}
