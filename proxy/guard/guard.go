// Package guard decides whether a connection may go on.
//
// A [Check] judges one aspect of a connection and does nothing else. The [Pipeline] runs the checks in order, cheap ones first, and decides what
// a judgement does: it asks the policy for the control's mode, counts, reports, and stops at the first refusal that is enforced. So every
// check, ours or somebody else's, has staged rollout, metrics and events without a line of its own. [Occupancy] keeps the numbers of open
// connections that checks judge by. The package closes no connection and opens none.
//
//	occ := guard.NewOccupancy()
//	p := guard.NewPipeline(guard.Stages{Accept: []guard.Check{guard.TotalConnections{}, guard.NewAcceptRate(65_536)}}, bus, counters)
//	open, fromAddr, _ := occ.Enter(addr)
//	defer occ.Leave(addr)
//	c := &guard.Conn{ID: id, Addr: ap, At: now, Policy: live.Load(), Open: open, FromAddr: fromAddr}
//	v := p.Admit(c)
//	… // p.Hello, p.Authorize, as the handshake goes on
//	p.Conclude(c, result)
//
// To add a check, implement Check, run guardtest on it, and name it in the node's wiring.
//
// Pipeline, Occupancy and the checks of this package are safe for concurrent use. No goroutine is started.
package guard

import (
	"net/netip"
	"strconv"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// Action is what a verdict asks for. The zero Action is Allow, so that a zero Verdict lets a connection go on.
type Action uint8

// The actions.
const (
	// Allow: nothing to object.
	Allow Action = iota
	// Deny: close at once. Only memory bounds may: a listener that closes on some clients and answers others as a web site gives itself
	// away. The Pipeline turns any other control's Deny into Mask.
	Deny
	// Mask: let the cover site answer, as for any stranger.
	Mask
)

var actionNames = [...]string{Allow: "allow", Deny: "deny", Mask: "mask"}

// String returns "allow", "deny" or "mask", or "action(n)" for other values.
func (a Action) String() string {
	if int(a) >= len(actionNames) {
		return "action(" + strconv.Itoa(int(a)) + ")"
	}
	return actionNames[a]
}

// Verdict is a judgement on one connection. The zero Verdict allows.
type Verdict struct {
	// Action is what to do.
	Action Action
	// Control is the name of the check that refused. The Pipeline fills it in.
	Control string
	// Reason is a constant of the check that refused, never text from the wire.
	Reason string
	// RetryAfter is when the same connection would be allowed, as far as the check knows; otherwise 0.
	RetryAfter time.Duration
}

// Conn is what checks may know about a connection. The server fills it, as it comes to know things; checks only read it and do not keep it.
type Conn struct {
	// ID is the connection's number, unique within the process.
	ID uint64
	// Addr is the client's address, from the PROXY header where that is believed.
	Addr netip.AddrPort
	// At is when the connection was accepted, and the only clock of checks.
	At time.Time
	// Policy is the snapshot in force at accept. It may be nil.
	Policy *policy.Snapshot
	// Open counts all connections, HalfOpen those in their handshake, FromAddr those of this address or /64, FromPrefix those of its /24 or
	// /48; each includes this one.
	Open, HalfOpen, FromAddr, FromPrefix int
	// Known tells that somebody from the client's network authenticated lately. Metrics tell what concerns such clients from the rest.
	Known bool
	// Access is what the table of access rules says about the address, whatever the modes of its controls. Ceiling says what holds.
	Access access.Decision

	// ServerName, JA4 and KeyShare are what a fake-TLS hello says: the name asked for, its fingerprint, and whether it offers a hybrid key
	// exchange. They are zero before the hello is there, and for other transports.
	ServerName, JA4 string
	KeyShare        bool

	// User and Key name who authenticated, and Transport and DC what the client asked for. They are zero before authentication; DC is zero
	// before the client was answered.
	User, Key string
	Transport mtproto.Transport
	DC        mtproto.DC
	// Level is what the user may do from here: the user's own level, or the ceiling of the address and the hello where that is lower.
	Level access.Level
	// SecretSince is when the secret was made, zero when nobody knows; Imported tells that it was made elsewhere.
	SecretSince time.Time
	Imported    bool
	// UserOpen and UserAddrs count the user's connections and the addresses they come from, KeyOpen those of the secret; each includes this
	// one.
	UserOpen, UserAddrs, KeyOpen int

	candidate *policy.Limits // judge by these instead
	held      *held          // what is told when the user is known, or nobody will be
}

// limits returns the limits to judge by, or none without a policy.
func (c *Conn) limits() *policy.Limits {
	switch {
	case c.candidate != nil:
		return c.candidate
	case c.Policy == nil:
		return &noLimits
	}
	return &c.Policy.Limits
}

var noLimits policy.Limits

// subject is whom controls judge.
func (c *Conn) subject() policy.Subject {
	return policy.Subject{Addr: c.Addr.Addr(), User: c.User, Country: c.Access.Country}
}

// known tells whether the connection is of somebody known, as far as can be told.
func (c *Conn) known() bool { return c.Known || c.User != "" }

// Check judges connections. Name is constant, not empty, and the name of the control in the policy. Check must be safe for concurrent use,
// return quickly, do no I/O, take the time from Conn.At, and not allocate when it allows; guardtest.Run verifies these promises.
type Check interface {
	Name() string
	Check(*Conn) Verdict
}
