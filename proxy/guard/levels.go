package guard

import (
	"mtguard/security/access"
	"mtguard/security/policy"
)

// Reasons of the checks that look at levels.
const (
	ReasonAddressRule = "address_rule" // a rule on addresses, or the default, gives level none
	ReasonCountry     = "country_rule" // a rule on countries or AS numbers
	ReasonPattern     = "hello_rule"   // a rule on the ClientHello
	ReasonLevel       = "level"        // the user's level is none
)

// AddressRules is the check that refuses whom rules on addresses, or the default of the access table, give level none.
type AddressRules struct{}

// Name returns policy.AccessLevel.
func (AddressRules) Name() string { return policy.AccessLevel }

// Check masks the connection when nothing may be done from its address.
func (AddressRules) Check(c *Conn) Verdict { return c.barredBy(access.ByAddress, ReasonAddressRule) }

// OriginRules is the check that refuses whom rules on countries and AS numbers give level none.
type OriginRules struct{}

// Name returns policy.GeoCountry.
func (OriginRules) Name() string { return policy.GeoCountry }

// Check masks the connection when nothing may be done from its country or network.
func (OriginRules) Check(c *Conn) Verdict { return c.barredBy(access.ByCountry, ReasonCountry) }

// HelloRules is the check that refuses whom rules on server names and fingerprints give level none. It judges hellos.
type HelloRules struct{}

// Name returns policy.AccessPattern.
func (HelloRules) Name() string { return policy.AccessPattern }

// Check masks the connection when nothing may be done with such a hello.
func (HelloRules) Check(c *Conn) Verdict {
	if c.Policy == nil {
		return Verdict{}
	}
	if name, print := c.Policy.Access.Patterns(); !name && !print {
		return Verdict{}
	}
	return c.barredBy(access.ByPattern, ReasonPattern)
}

// barredBy tells whether one control's rules give level none by themselves, without what the rules of the others refuse. Each is judged so,
// since each has a mode of its own: one that is only watched must neither hide what another refuses nor lend it its own refusals.
func (c *Conn) barredBy(own access.Controls, reason string) Verdict {
	const all = access.ByAddress | access.ByCountry | access.ByPattern | access.ByThreat
	if c.Policy == nil || own != access.ByPattern && c.Access.Level >= access.Standard {
		return Verdict{} // nothing of what is left out decided that
	}
	q := access.Query{Addr: c.Addr.Addr(), Now: c.At, ServerName: c.ServerName, JA4: c.JA4, Ignore: all &^ own}
	if c.Policy.Access.Check(q).Level != access.None {
		return Verdict{}
	}
	return Verdict{Action: Mask, Reason: reason}
}

// UserLevel is the check that refuses users whose level, or what the ceilings leave of it, is none. It judges clients.
type UserLevel struct{}

// Name returns policy.AccessLevel.
func (UserLevel) Name() string { return policy.AccessLevel }

// Check masks the connection of a user who may do nothing.
func (UserLevel) Check(c *Conn) Verdict {
	if c.User == "" || c.Level != access.None {
		return Verdict{}
	}
	return Verdict{Action: Mask, Reason: ReasonLevel}
}
