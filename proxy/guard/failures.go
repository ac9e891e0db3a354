package guard

import (
	"time"

	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/telemetry/stats"
)

// ReasonFailures is the reason of FailureRate.
const ReasonFailures = "failures"

// FailureRate is the check that keeps failed handshakes within Limits.HandshakeFailures: per IPv4 address, per IPv6 /64, and 16 times that
// per IPv6 /48. A hello with a wrong secret or one that was seen before costs more than other failures, since that is how secrets are
// guessed; a client that is let in gets its address everything back, so that those who share an address with somebody's forgotten phone are
// not shut out by it. Use NewFailureRate.
type FailureRate struct{ limiters twins }

// NewFailureRate returns the check with room for at least entries prefixes, in memory that never grows: see NewAcceptRate.
func NewFailureRate(entries int) *FailureRate { return &FailureRate{limiters: twins{entries: entries}} }

// Name returns policy.RateFailures.
func (*FailureRate) Name() string { return policy.RateFailures }

// Busy returns how many prefixes are counted at now, and how many there is room for.
func (f *FailureRate) Busy(now time.Time) (busy, room int) { return f.limiters.enforced().Busy(now) }

// Check masks the connection when too many handshakes from its prefix have failed. It counts nothing.
func (f *FailureRate) Check(c *Conn) Verdict {
	narrow, wide, ok := ratelimit.PrefixesOf(c.Addr.Addr())
	limit := c.limits().HandshakeFailures
	if !ok || limit.Events <= 0 {
		return Verdict{}
	}
	limiter := f.limiters.of(c)
	if d := limiter.Take(narrow, limit, 0, c.At); !d.Allowed {
		return Verdict{Action: Mask, Reason: ReasonFailures, RetryAfter: d.RetryAfter}
	}
	if wide.IsValid() {
		if d := limiter.Take(wide, limit.Times(wideFactor), 0, c.At); !d.Allowed {
			return Verdict{Action: Mask, Reason: ReasonFailures, RetryAfter: d.RetryAfter}
		}
	}
	return Verdict{}
}

// guessCost is what a guess costs, where other failures cost 1.
const guessCost = 4

// Learn implements Learner.
func (f *FailureRate) Learn(c *Conn, r stats.Result) {
	cost := 1
	switch r {
	case stats.ResultOK:
		cost = 0
	case stats.ResultRefused, stats.ResultError:
		return // that was us
	case stats.ResultBadSecret, stats.ResultReplay, stats.ResultBudget:
		cost = guessCost
	}
	f.count(c, cost)
	if c.Policy == nil {
		return
	}
	if limits := c.Policy.CandidateOf(policy.RateFailures, c.At); limits != nil {
		c.candidate = limits
		f.count(c, cost)
		c.candidate = nil
	}
}

func (f *FailureRate) count(c *Conn, cost int) {
	narrow, wide, ok := ratelimit.PrefixesOf(c.Addr.Addr())
	limit := c.limits().HandshakeFailures
	if !ok || limit.Events <= 0 {
		return
	}
	limiter := f.limiters.of(c)
	if cost == 0 {
		limiter.Forget(narrow)
		return
	}
	for range cost { // one by one: what is left is taken, also when it is less than all
		limiter.Check(narrow, limit, c.At)
		if wide.IsValid() {
			limiter.Check(wide, limit.Times(wideFactor), c.At)
		}
	}
}
