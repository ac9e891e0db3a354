package guard

import (
	"sync"
	"time"

	"mtguard/security/policy"
	"mtguard/security/ratelimit"
)

// Reasons of the built-in checks.
const (
	ReasonFull    = "full"        // all connections the process has memory for are taken
	ReasonAddress = "address"     // too many connections of one address
	ReasonPrefix  = "prefix_rate" // new connections of one address or /64 come too fast
	ReasonNetwork = "network_rate"
	ReasonCrowd   = "network" // too many connections of one /24 or /48
)

// TotalConnections is the check that keeps all connections within Limits.MaxConnections. It denies: what it protects is the memory that
// masking a connection would need.
type TotalConnections struct{}

// Name returns policy.ConnsTotal.
func (TotalConnections) Name() string { return policy.ConnsTotal }

// Check denies the connection when it is one too many.
func (TotalConnections) Check(c *Conn) Verdict {
	if limit := c.limits().MaxConnections; limit > 0 && c.Open > limit {
		return Verdict{Action: Deny, Reason: ReasonFull}
	}
	return Verdict{}
}

// PerAddress is the check that keeps the connections of one address, or one IPv6 /64, within Limits.ConnectionsPerAddress.
type PerAddress struct{}

// Name returns policy.ConnsAddr.
func (PerAddress) Name() string { return policy.ConnsAddr }

// Check masks the connection when its address has one too many.
func (PerAddress) Check(c *Conn) Verdict {
	if limit := c.limits().ConnectionsPerAddress; limit > 0 && c.FromAddr > limit {
		return Verdict{Action: Mask, Reason: ReasonAddress}
	}
	return Verdict{}
}

// PerNetwork is the check that keeps the connections of one IPv4 /24, or one IPv6 /48, within Limits.ConnectionsPerPrefix.
type PerNetwork struct{}

// Name returns policy.ConnsPrefix.
func (PerNetwork) Name() string { return policy.ConnsPrefix }

// Check masks the connection when its network has one too many.
func (PerNetwork) Check(c *Conn) Verdict {
	if limit := c.limits().ConnectionsPerPrefix; limit > 0 && c.FromPrefix > limit {
		return Verdict{Action: Mask, Reason: ReasonCrowd}
	}
	return Verdict{}
}

// twins are a limiter and its twin, which counts by candidate limits, so that a rehearsal takes nothing from anybody. The twin is made when
// it is first needed.
type twins struct {
	entries int
	once    [2]sync.Once
	limiter [2]*ratelimit.Limiter
}

func (t *twins) of(c *Conn) *ratelimit.Limiter {
	if c.candidate != nil {
		return t.make(1)
	}
	return t.enforced()
}

func (t *twins) enforced() *ratelimit.Limiter { return t.make(0) }

func (t *twins) make(i int) *ratelimit.Limiter {
	t.once[i].Do(func() { t.limiter[i] = ratelimit.New(t.entries) })
	return t.limiter[i]
}

// wideFactor is how many times the limit of one /64 its /48 has. A /48 is one site at some providers and thousands of phones at others, so
// it gets more than one customer's share; and a site that spreads over all its /64s still meets a limit.
const wideFactor = 16

// AcceptRate is the check that keeps new connections within Limits.NewPerPrefix: per IPv4 address, per IPv6 /64, and 16 times that per IPv6
// /48. Use NewAcceptRate.
type AcceptRate struct{ limiters twins }

// NewAcceptRate returns the check with room for at least entries prefixes, in memory that never grows (16 bytes each). An IPv6 client takes
// two. When more are busy at once, those that share a place are limited more strictly.
func NewAcceptRate(entries int) *AcceptRate { return &AcceptRate{limiters: twins{entries: entries}} }

// Name returns policy.RateAccept.
func (*AcceptRate) Name() string { return policy.RateAccept }

// Busy returns how many prefixes are counted at now, and how many there is room for.
func (a *AcceptRate) Busy(now time.Time) (busy, room int) { return a.limiters.enforced().Busy(now) }

// Check counts the connection and masks it when its prefix connects too fast. What the narrow prefix refuses is not counted for the wide
// one, so that one busy client does not use up its neighbours' share.
func (a *AcceptRate) Check(c *Conn) Verdict {
	narrow, wide, ok := ratelimit.PrefixesOf(c.Addr.Addr())
	limit := c.limits().NewPerPrefix
	if !ok || limit.Events <= 0 {
		return Verdict{}
	}
	limiter := a.limiters.of(c)
	if d := limiter.Check(narrow, limit, c.At); !d.Allowed {
		return Verdict{Action: Mask, Reason: ReasonPrefix, RetryAfter: d.RetryAfter}
	}
	if !wide.IsValid() {
		return Verdict{}
	}
	if d := limiter.Check(wide, limit.Times(wideFactor), c.At); !d.Allowed {
		return Verdict{Action: Mask, Reason: ReasonNetwork, RetryAfter: d.RetryAfter}
	}
	return Verdict{}
}
