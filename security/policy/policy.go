// Package policy is what the operator wants, in the form the data path reads.
//
// A [Snapshot] holds every setting a connection needs. It is built whole, published once through [Live], and never changed afterwards: a
// connection loads it at accept and meets one policy for its whole life, without a lock. Each control has a [Mode], so that a new one can be
// watched before it bites, and may be enforced for a percentage of clients first. The package judges nobody: that is proxy/guard.
//
//	var live policy.Live
//	live.Publish(&policy.Snapshot{Controls: map[string]policy.Control{policy.ConnsAddr: {Mode: policy.Enforce, Percent: 10}}})
//	snap := live.Load()
//	if snap.ModeFor(policy.ConnsAddr, addr) == policy.Enforce { … }
//
// Live and published Snapshots are safe for concurrent use.
package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"mtguard/mtproto"
	"mtguard/security/keys"
	"mtguard/security/ratelimit"
)

// Control is how one control is rolled out.
type Control struct {
	// Mode is what a refusal does.
	Mode Mode
	// Percent, from 1 to 100, is the share of clients for whom Enforce takes effect; the others are in Monitor. 0 means all. A client is an
	// IPv4 address or an IPv6 /64 and stays on its side; raising Percent only adds clients.
	Percent int
}

// Limits are the numbers of the built-in controls. 0 means no bound.
type Limits struct {
	// MaxConnections bounds the client connections of all states together.
	MaxConnections int
	// HalfOpen bounds the connections still in their handshake.
	HalfOpen int
	// ConnectionsPerAddress bounds the connections of one IPv4 address or IPv6 /64.
	ConnectionsPerAddress int
	// NewPerPrefix bounds the new connections of one IPv4 address or IPv6 /64; a /48 has a multiple of it.
	NewPerPrefix ratelimit.Limit
}

// Snapshot is one complete policy. It is read only from Publish on. A nil *Snapshot answers ModeFor with the defaults.
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

// ModeFor returns what a refusal by the control means for a client at address a. Memory bounds are always in Enforce; a control the policy
// does not mention is in Monitor.
func (s *Snapshot) ModeFor(control string, a netip.Addr) Mode {
	if MemoryBound(control) {
		return Enforce
	}
	if s == nil {
		return Monitor
	}
	c, ok := s.Controls[control]
	if !ok {
		return Monitor
	}
	if c.Mode == Enforce && c.Percent > 0 && c.Percent < 100 && !s.chosen(control, a, c.Percent) {
		return Monitor
	}
	return c.Mode
}

// chosen reports whether a is in the given share of a control. Each control draws its own lot, so that the same clients are not always first.
func (s *Snapshot) chosen(control string, a netip.Addr, percent int) bool {
	narrow, _, _ := ratelimit.PrefixesOf(a) // an invalid address is one subject of its own
	subject := narrow.Addr().As16()
	// Seed and subject have fixed lengths, so the bytes cannot be read in two ways. An array keeps the hash off the heap.
	var b [96]byte
	n := copy(b[:], s.Seed[:])
	n += copy(b[n:], subject[:])
	n += copy(b[n:], control)
	sum := sha256.Sum256(b[:n])
	const fine = 10_000 // hundredths of a percent; the bias of 2^64 mod 10,000 is far below that
	return binary.BigEndian.Uint64(sum[:])%fine < uint64(percent)*(fine/100)
}

// Live holds the snapshot in force. The zero Live holds none.
type Live struct {
	p atomic.Pointer[Snapshot]
}

// Load returns the snapshot in force, or nil before the first Publish.
func (l *Live) Load() *Snapshot { return l.p.Load() }

// Publish puts s in force for connections accepted from now on. The caller must not change s, or anything it refers to, afterwards.
func (l *Live) Publish(s *Snapshot) { l.p.Store(s) }
