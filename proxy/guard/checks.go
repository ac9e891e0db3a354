package guard

import (
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
)

// Reasons of the built-in checks.
const (
	ReasonFull    = "full"        // all connections the process has memory for are taken
	ReasonAddress = "address"     // too many connections of one address
	ReasonPrefix  = "prefix_rate" // new connections of one address or /64 come too fast
	ReasonNetwork = "network_rate"
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

// wideFactor is how many times the limit of one /64 its /48 has. A /48 is one site at some providers and thousands of phones at others, so
// it gets more than one customer's share; and a site that spreads over all its /64s still meets a limit.
const wideFactor = 16

// AcceptRate is the check that keeps new connections within Limits.NewPerPrefix: per IPv4 address, per IPv6 /64, and 16 times that per IPv6
// /48. Use NewAcceptRate.
type AcceptRate struct {
	limiter *ratelimit.Limiter
}

// NewAcceptRate returns the check with room for at least entries prefixes, in memory that never grows (16 bytes each). An IPv6 client takes
// two. When more are busy at once, those that share a place are limited more strictly.
func NewAcceptRate(entries int) *AcceptRate { return &AcceptRate{ratelimit.New(entries)} }

// Name returns policy.RateAccept.
func (*AcceptRate) Name() string { return policy.RateAccept }

// Check counts the connection and masks it when its prefix connects too fast. What the narrow prefix refuses is not counted for the wide
// one, so that one busy client does not use up its neighbours' share.
func (a *AcceptRate) Check(c *Conn) Verdict {
	narrow, wide, ok := ratelimit.PrefixesOf(c.Addr.Addr())
	limit := c.limits().NewPerPrefix
	if !ok || limit.Events <= 0 {
		return Verdict{}
	}
	if d := a.limiter.Check(narrow, limit, c.At); !d.Allowed {
		return Verdict{Action: Mask, Reason: ReasonPrefix, RetryAfter: d.RetryAfter}
	}
	if !wide.IsValid() {
		return Verdict{}
	}
	if d := a.limiter.Check(wide, limit.Times(wideFactor), c.At); !d.Allowed {
		return Verdict{Action: Mask, Reason: ReasonNetwork, RetryAfter: d.RetryAfter}
	}
	return Verdict{}
}
