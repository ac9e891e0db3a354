package policy

import "slices"

// Names of the built-in controls. A control has one name everywhere: check, metric label, event, configuration, exception.
//
// The refusal of replays, of revoked and expired secrets, and the authentication of administrators are no controls: nothing here weakens them.
const (
	// ConnsTotal bounds all client connections together. It is a memory bound.
	ConnsTotal = "conns.total"
	// HalfOpen bounds the connections that have not finished their handshake. It is a memory bound, and no check: the oldest gives way.
	HalfOpen = "conns.half_open"
	// ConnsAddr bounds the connections of one client address, or of one /64 for IPv6.
	ConnsAddr = "conns.addr"
	// ConnsPrefix bounds the connections of one network, an IPv4 /24 or IPv6 /48.
	ConnsPrefix = "conns.prefix"
	// ConnsUser bounds the connections of one user, ConnsKey those of one secret of a user.
	ConnsUser = "conns.user"
	ConnsKey  = "conns.key"
	// AddrsUser bounds the addresses (or IPv6 /64s) that one user is connected from at once.
	AddrsUser = "addrs.user"
	// RateAccept bounds new connections per time and address prefix.
	RateAccept = "rate.accept"
	// RateFailures bounds failed handshakes per time and address prefix.
	RateFailures = "rate.failures"
	// BytesUser holds what a user sends and receives to so many bytes per second. It delays and refuses nobody.
	BytesUser = "bytes.user"
	// AccessLevel is the ceiling of the client's address, AccessPattern that of its hello, GeoCountry that of its country and network.
	AccessLevel   = "access.level"
	AccessPattern = "access.pattern"
	GeoCountry    = "geo.country"
	// TransportMin is the least transport, and what a hello must offer.
	TransportMin = "transport.min"
	// AuthStrength is the age and the origin of secrets.
	AuthStrength = "auth.strength"
	// EncryptionRequired says which transports are allowed, and until when.
	EncryptionRequired = "encryption.required"
	// OverloadLevel sheds connections, those of the lowest level first, before memory or descriptors run out.
	OverloadLevel = "overload.level"
	// ThreatBlock answers attacks by itself: it throttles, shows the cover site to, and blocks for a while addresses that misbehave.
	ThreatBlock = "threat.block"
)

var controlNames = []string{ConnsTotal, HalfOpen, ConnsAddr, ConnsPrefix, ConnsUser, ConnsKey, AddrsUser, RateAccept, RateFailures, BytesUser,
	AccessLevel, AccessPattern, GeoCountry, TransportMin, AuthStrength, EncryptionRequired, OverloadLevel,
	ThreatBlock}

// Controls returns the names of the built-in controls, those bounding memory first.
func Controls() []string { return slices.Clone(controlNames) }

// MemoryBound reports whether a control keeps the process within its memory. Such a control is always enforced, whatever the policy says:
// with it in monitor, a flood would take the process down and every user with it.
func MemoryBound(control string) bool { return control == ConnsTotal || control == HalfOpen }

// BeforeUsers reports whether a control judges a connection before its user is known, and never after: no name of a user counts for it.
func BeforeUsers(control string) bool {
	return slices.Contains([]string{ConnsAddr, ConnsPrefix, RateAccept, RateFailures}, control)
}

// rollable are the controls that have a mode.
func rollable() []string { return slices.DeleteFunc(Controls(), MemoryBound) }

// Control is how one control is rolled out.
type Control struct {
	// Mode is what a refusal does.
	Mode Mode
	// Percent, from 1 to 100, is the share of subjects for whom Enforce takes effect; the others are in Monitor. 0 means all. A subject is a
	// user where one is known, else an IPv4 address or an IPv6 /64; for what access rules refuse always the latter. It stays on its side;
	// raising Percent only adds subjects.
	Percent int
}

// String is "off", "monitor", "enforce" or "enforce 10%".
func (c Control) String() string {
	if c.Mode == Enforce && c.partial() {
		return c.Mode.String() + " " + itoa(c.Percent) + "%"
	}
	return c.Mode.String()
}

func (c Control) partial() bool { return c.Percent > 0 && c.Percent < 100 }

// strictness orders controls: 0 is off, 1 monitor, 101 enforced for all.
func (c Control) strictness() int {
	switch {
	case c.Mode == Off:
		return 0
	case c.Mode == Monitor:
		return 1
	case c.partial():
		return 1 + c.Percent
	}
	return 101
}
