// Package policy is what the operator wants, in the form the data path reads.
//
// A [Document] is the policy as people write it, in TOML: a preset and the differences to it, checked as a whole by [Parse]. [Merge] lays
// documents over each other and remembers where each value came from. [Document.Apply] puts the result into a Snapshot.
//
// A [Snapshot] holds every setting a connection needs. It is built whole, published once through [Live], and never changed afterwards: a
// connection loads it at accept and meets one policy for its whole life, without a lock. Each control has a [Mode], so that a new one can be
// watched before it bites, and may be enforced for a percentage of clients first. The package judges nobody: that is proxy/guard.
//
//	var live policy.Live
//	live.Publish(&policy.Snapshot{Controls: map[string]policy.Control{policy.ConnsAddr: {Mode: policy.Enforce, Percent: 10}}})
//	snap := live.Load()
//	mode, exception := snap.Judge(policy.ConnsAddr, policy.Subject{Addr: addr}, now)
//	if mode == policy.Enforce { … }
//
// Live and published Snapshots are safe for concurrent use.
package policy

import (
	"net/netip"
	"sync/atomic"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/keys"
)

// Snapshot is one complete policy. It is read only from Publish on. A nil *Snapshot answers Mode with the defaults.
type Snapshot struct {
	// Revision numbers the snapshots of a process, rising.
	Revision uint64
	// Controls holds the controls that differ from the default, by name.
	Controls map[string]Control
	// Seed keys the choice of clients under a Percent. It must be random, so that nobody can pick an address outside the share, and should
	// be the same from one snapshot to the next, so that the choice holds.
	Seed [16]byte
	// Limits are the numbers of the built-in controls.
	Limits Limits
	// Candidates holds, by control, the limits that the control is asked about a second time, for measurement only: whatever it refuses by
	// them is reported as if the control were in Monitor. See CandidateOf.
	Candidates map[string]*Limits
	// Exceptions are those for whom a control does not bite. It may be nil.
	Exceptions *Exceptions
	// Glass is when broken glass is whole again: until then everything but the memory bounds is in Monitor. Zero: nothing is broken.
	Glass time.Time
	// Access says what may be done from an address. Nil is a table without rules.
	Access *access.Table

	// Keys are the secrets accepted.
	Keys *keys.Set
	// DCs says where the data centres are.
	DCs *mtproto.DCTable
	// Transports says which transports are served, by mtproto.Transport. The entry of the invalid zero Transport is unused.
	Transports [4]bool
	// ServerNames are the names accepted in fake-TLS hellos, in lower case.
	ServerNames map[string]struct{}
	// Skew is how far a hello's time may lie from ours, both ways.
	Skew time.Duration
	// PassThrough hands the client's download key to the data centre, so that the proxy need not decrypt what it relays.
	PassThrough bool
	// Handshake bounds the time from accept to an authenticated client, Idle the time a session may carry nothing.
	Handshake, Idle time.Duration
	// ProxyProtocolFrom are the peers that must begin with a PROXY header, which is believed.
	ProxyProtocolFrom []netip.Prefix
	// Cover is the site that strangers are shown, Upstream the way to Telegram.
	Cover    Cover
	Upstream Upstream
}

// Serves reports whether clients of a transport are accepted.
func (s *Snapshot) Serves(t mtproto.Transport) bool {
	return s != nil && t != 0 && int(t) < len(s.Transports) && s.Transports[t]
}

// Live holds the snapshot in force. The zero Live holds none.
type Live struct {
	p atomic.Pointer[Snapshot]
}

// Load returns the snapshot in force, or nil before the first Publish.
func (l *Live) Load() *Snapshot { return l.p.Load() }

// Publish puts s in force for connections accepted from now on. The caller must not change s, or anything it refers to, afterwards.
func (l *Live) Publish(s *Snapshot) { l.p.Store(s) }
