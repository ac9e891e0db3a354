package guard

import (
	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// Reasons of the checks that judge clients.
const (
	ReasonUser      = "user"       // too many connections of one user
	ReasonReadOnly  = "read_only"  // too many for the level
	ReasonKey       = "key"        // too many connections of one secret
	ReasonAddresses = "addresses"  // too many addresses of one user
	ReasonTransport = "transport"  // a transport that is not allowed, or too weak
	ReasonEnded     = "ended"      // a transport whose time is over
	ReasonKeyShare  = "key_share"  // no hybrid key exchange offered
	ReasonSecretAge = "secret_age" // an old secret
	ReasonImported  = "imported"   // a secret that was made elsewhere
)

// PerUser is the check that keeps the connections of one user within Limits.ConnectionsPerUser, and, while the level is access.ReadOnly,
// within Limits.ConnectionsReadOnly.
type PerUser struct{}

// Name returns policy.ConnsUser.
func (PerUser) Name() string { return policy.ConnsUser }

// Check masks the connection when its user has one too many.
func (PerUser) Check(c *Conn) Verdict {
	l := c.limits()
	switch {
	case l.ConnectionsPerUser > 0 && c.UserOpen > l.ConnectionsPerUser:
		return Verdict{Action: Mask, Reason: ReasonUser}
	case c.Level == access.ReadOnly && l.ConnectionsReadOnly > 0 && c.UserOpen > l.ConnectionsReadOnly:
		return Verdict{Action: Mask, Reason: ReasonReadOnly}
	}
	return Verdict{}
}

// PerKey is the check that keeps the connections of one secret within Limits.ConnectionsPerKey.
type PerKey struct{}

// Name returns policy.ConnsKey.
func (PerKey) Name() string { return policy.ConnsKey }

// Check masks the connection when its secret has one too many.
func (PerKey) Check(c *Conn) Verdict {
	if limit := c.limits().ConnectionsPerKey; limit > 0 && c.KeyOpen > limit {
		return Verdict{Action: Mask, Reason: ReasonKey}
	}
	return Verdict{}
}

// AddressesPerUser is the check that keeps the addresses of one user within Limits.AddressesPerUser.
type AddressesPerUser struct{}

// Name returns policy.AddrsUser.
func (AddressesPerUser) Name() string { return policy.AddrsUser }

// Check masks the connection when its user comes from one address too many.
func (AddressesPerUser) Check(c *Conn) Verdict {
	if limit := c.limits().AddressesPerUser; limit > 0 && c.UserAddrs > limit {
		return Verdict{Action: Mask, Reason: ReasonAddresses}
	}
	return Verdict{}
}

// MinTransport is the check that wants Limits.MinTransport at least, and a hybrid key share in the hello where Limits.RequireKeyShare says so.
type MinTransport struct{}

// Name returns policy.TransportMin.
func (MinTransport) Name() string { return policy.TransportMin }

// Check masks the client whose transport is too weak.
func (MinTransport) Check(c *Conn) Verdict {
	l := c.limits()
	switch {
	case c.Transport == 0:
	case c.Transport < l.MinTransport:
		return Verdict{Action: Mask, Reason: ReasonTransport}
	case l.RequireKeyShare && c.Transport == mtproto.FakeTLS && !c.KeyShare:
		return Verdict{Action: Mask, Reason: ReasonKeyShare}
	}
	return Verdict{}
}

// AllowedTransports is the check that refuses transports that Limits does not allow, or whose time is over.
type AllowedTransports struct{}

// Name returns policy.EncryptionRequired.
func (AllowedTransports) Name() string { return policy.EncryptionRequired }

// Check masks the client whose transport is not allowed.
func (AllowedTransports) Check(c *Conn) Verdict {
	l := c.limits()
	if c.Transport == 0 || l.Allows(c.Transport, c.At) {
		return Verdict{}
	}
	if l.Barred[c.Transport] {
		return Verdict{Action: Mask, Reason: ReasonTransport}
	}
	return Verdict{Action: Mask, Reason: ReasonEnded}
}

// SecretStrength is the check that refuses secrets older than Limits.MaxSecretAge, and with Limits.RefuseImported those made elsewhere. A
// secret of which nobody knows how old it is passes.
type SecretStrength struct{}

// Name returns policy.AuthStrength.
func (SecretStrength) Name() string { return policy.AuthStrength }

// Check masks the client with such a secret.
func (SecretStrength) Check(c *Conn) Verdict {
	l := c.limits()
	switch {
	case c.User == "":
	case l.RefuseImported && c.Imported:
		return Verdict{Action: Mask, Reason: ReasonImported}
	case l.MaxSecretAge > 0 && !c.SecretSince.IsZero() && c.At.Sub(c.SecretSince) > l.MaxSecretAge:
		return Verdict{Action: Mask, Reason: ReasonSecretAge}
	}
	return Verdict{}
}
