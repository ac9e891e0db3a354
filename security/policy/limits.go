package policy

import (
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/ratelimit"
)

// Limits are the numbers of the built-in controls. 0 means no bound, and the zero Limits refuse nobody.
type Limits struct {
	// MaxConnections bounds the client connections of all states together.
	MaxConnections int
	// HalfOpen bounds the connections still in their handshake.
	HalfOpen int

	// ConnectionsPerAddress bounds the connections of one IPv4 address or IPv6 /64, ConnectionsPerPrefix those of one /24 or /48.
	ConnectionsPerAddress, ConnectionsPerPrefix int
	// ConnectionsPerUser bounds the connections of one user, ConnectionsPerKey those of one secret, and ConnectionsReadOnly those of a user
	// whose effective level is access.ReadOnly. A bound of the user's own may be lower.
	ConnectionsPerUser, ConnectionsPerKey, ConnectionsReadOnly int
	// AddressesPerUser bounds the addresses of one user, where an IPv6 /64 is one address.
	AddressesPerUser int

	// NewPerPrefix bounds the new connections of one IPv4 address or IPv6 /64; a /48 has a multiple of it.
	NewPerPrefix ratelimit.Limit
	// HandshakeFailures bounds the failed handshakes of one IPv4 address or IPv6 /64.
	HandshakeFailures ratelimit.Limit

	// BytesPerUser bounds what all sessions of one user carry, each direction for itself.
	BytesPerUser ByteRate
	// BytesPerLevel bounds what all sessions of one user of a level carry, by access.Level: for ReadOnly the upload alone, for the others each
	// direction for itself.
	BytesPerLevel [access.Superuser + 1]ByteRate

	// Barred are the transports that policy does not allow, by mtproto.Transport. TransportUntil is when an allowed one ends; zero is never.
	// Use Allows.
	Barred         [mtproto.FakeTLS + 1]bool
	TransportUntil [mtproto.FakeTLS + 1]time.Time
	// MinTransport is the least transport; the zero Transport is any.
	MinTransport mtproto.Transport
	// RequireKeyShare wants a hybrid (post-quantum) key share in fake-TLS hellos, as the apps of today send it.
	RequireKeyShare bool

	// MaxSecretAge bounds the age of a user's secret.
	MaxSecretAge time.Duration
	// RefuseImported refuses secrets that were not made here.
	RefuseImported bool

	// BlocksPerMinute bounds the blocks that threat.block makes, LongestBlock how long one holds. With either 0 it blocks nobody.
	BlocksPerMinute int
	LongestBlock    time.Duration
}

// Allows reports whether clients of a transport may come at now: it is not barred and has not ended.
func (l *Limits) Allows(t mtproto.Transport, now time.Time) bool {
	if int(t) >= len(l.Barred) {
		return false
	}
	until := l.TransportUntil[t]
	return !l.Barred[t] && (until.IsZero() || now.Before(until))
}
