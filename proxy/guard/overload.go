package guard

import (
	"mtguard/security/access"
	"mtguard/security/policy"
)

// Reasons of Overload.
const (
	ReasonMemory      = "memory"
	ReasonDescriptors = "descriptors"
)

// Pressure is how much is used of what a process must not run out of, from 0 to 1.
type Pressure struct{ Memory, Descriptors float64 }

// Shares of Pressure from which on connections are shed. Between the first and the last lies what the handshakes under way and the sessions
// that grow may still need.
const (
	shedReadOnly = 0.85
	shedStandard = 0.92
	shedAll      = 0.97
)

// ShedBelow is the level below which connections are shed; access.None when there is no need, and beyond access.Superuser when all are.
func (p Pressure) ShedBelow() access.Level {
	switch most := max(p.Memory, p.Descriptors); {
	case most >= shedAll:
		return access.Superuser + 1
	case most >= shedStandard:
		return access.Admin
	case most >= shedReadOnly:
		return access.Standard
	}
	return access.None
}

func (p Pressure) reason() string {
	if p.Descriptors > p.Memory {
		return ReasonDescriptors
	}
	return ReasonMemory
}

// Overload is the check that sheds connections before memory or descriptors run out, those of the lowest level first. A level is not known
// before the user is: so at accept those go first whose network nobody known came from lately, and the rest only when all must go; what is
// let in then is judged again, by its level, when its user is known. Put it into both stages. Sessions are not its business: whoever
// measures the pressure ends those, last of all, by auth.Sessions.Shed. Use NewOverload.
type Overload struct{ measure func() Pressure }

// NewOverload returns the check. measure is called for each connection, concurrently, and must be quick.
func NewOverload(measure func() Pressure) *Overload { return &Overload{measure} }

// Name returns policy.OverloadLevel.
func (*Overload) Name() string { return policy.OverloadLevel }

// Check refuses the connection when its like are shed. Where much is short it denies, since masking takes a second descriptor.
func (o *Overload) Check(c *Conn) Verdict {
	p := o.measure()
	below := p.ShedBelow()
	if below == access.None {
		return Verdict{}
	}
	shed := below > access.Superuser || !c.Known
	if c.User != "" {
		shed = c.Level < below
	}
	switch {
	case !shed:
		return Verdict{}
	case below > access.Standard:
		return Verdict{Action: Deny, Reason: p.reason()}
	}
	return Verdict{Action: Mask, Reason: p.reason()}
}
