package guard

import (
	"net/netip"
	"time"

	"mtguard/security/ratelimit"
)

// Standing is where a prefix is with a rate.
type Standing struct {
	Prefix netip.Prefix
	Limit  ratelimit.Limit
	ratelimit.Decision
}

// Ask says where the prefixes of an address are with Limits.NewPerPrefix: none without a limit. It counts nothing.
func (a *AcceptRate) Ask(addr netip.Addr, limit ratelimit.Limit, now time.Time) []Standing {
	return a.limiters.ask(addr, limit, now)
}

// Ask says where the prefixes of an address are with Limits.HandshakeFailures: none without a limit. It counts nothing.
func (f *FailureRate) Ask(addr netip.Addr, limit ratelimit.Limit, now time.Time) []Standing {
	return f.limiters.ask(addr, limit, now)
}

func (t *twins) ask(addr netip.Addr, limit ratelimit.Limit, now time.Time) []Standing {
	narrow, wide, ok := ratelimit.PrefixesOf(addr)
	if !ok || limit.Events <= 0 {
		return nil
	}
	limiter := t.enforced()
	all := []Standing{{narrow, limit, limiter.Take(narrow, limit, 0, now)}}
	if wide.IsValid() {
		limit = limit.Times(wideFactor)
		all = append(all, Standing{wide, limit, limiter.Take(wide, limit, 0, now)})
	}
	return all
}
