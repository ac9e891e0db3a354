package auth

import (
	"net/netip"
	"sync/atomic"
	"time"

	"mtguard/security/keys"
	"mtguard/security/usage"
	"mtguard/telemetry/stats"
)

// Grant is what a client holds that was let in: a lease of its key, whose bytes
// are not erased meanwhile, and a place among its user's connections. It has one
// owner at a time, the handshake, then the connection, then the session, and
// whoever has it at the end releases it.
type Grant struct {
	// Said is what the client's hello said, for rules that come while its session lives. Whoever owns the Grant may set it.
	Said  Said
	lease keys.Lease
	from  netip.Addr // has a place in the account of the key
	back  atomic.Bool
}

// Admit lets a client in whose hello is good, if the key it came with is still
// accepted and the key's user may have one more connection from this address. It
// notes who used the key, or tried to after it was revoked.
func Admit(key *keys.Key, from netip.Addr, now time.Time) Verdict {
	lease, ok := key.Acquire()
	if !ok {
		if key.State() != keys.Revoked {
			return Verdict{Result: stats.ResultExpired, Key: key}
		}
		key.Trips().See(from, now)
		return Verdict{Result: stats.ResultRevoked, Key: key}
	}
	if refusal := key.Account().Enter(from); refusal != usage.Allowed {
		lease.Release()
		return Verdict{Result: stats.ResultUser, Refusal: refusal, Key: key}
	}
	key.Use().See(from, now)
	return Verdict{Result: stats.ResultOK, Key: key, Grant: &Grant{lease: lease, from: from}}
}

// Key is whose secret the client has. Its material may be read until Release.
func (g *Grant) Key() *keys.Key { return g.lease.Key() }

// User is the name of the key's user.
func (g *Grant) User() string { return g.Key().User() }

// From is the client's address.
func (g *Grant) From() netip.Addr { return g.from }

// Lost says why the grant does not hold any more: that its key was revoked or has
// expired, or why its user is not served; "" while it holds. A key that has only
// retired is good for whoever it let in.
func (g *Grant) Lost() string {
	if state := g.Key().State(); state == keys.Revoked || state == keys.Expired {
		return state.String()
	}
	if refusal := g.Key().Account().Standing(); refusal != usage.Allowed {
		return refusal.String()
	}
	return ""
}

// Release gives the lease and the place back, and notes that the key was in use
// until now. Once more, or on nil, it does nothing.
func (g *Grant) Release() {
	if g == nil || g.back.Swap(true) {
		return
	}
	g.Key().Use().See(g.from, time.Now())
	g.Key().Account().Leave(g.from)
	lease := g.lease // who it was is still asked for
	lease.Release()
}
