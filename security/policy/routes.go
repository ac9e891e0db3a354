package policy

import (
	"fmt"
	"time"
)

// Cover says which web site strangers are shown, and how it is reached.
type Cover struct {
	// Address is the site's host:port; empty when there is none. Name is the server name to measure its TLS answers with.
	Address, Name string
	// ProxyProtocol sends the site a PROXY header, version 2, with the stranger's address.
	ProxyProtocol bool
	// ConnectTimeout bounds the time until the site answers.
	ConnectTimeout time.Duration
	// MaxConnections bounds the strangers that are shown the site at once, and also those that are read and not answered.
	MaxConnections int
}

// Upstream says how data centres are reached.
type Upstream struct {
	// Prefer orders their addresses.
	Prefer Prefer
	// SOCKS5 is the host:port of a server to go through; empty to go directly.
	SOCKS5 string
	// ConnectTimeout bounds the time that one address may take to answer.
	ConnectTimeout time.Duration
}

// Prefer says which IP version is used first, or alone. The zero Prefer is PreferIPv4.
type Prefer uint8

// The preferences.
const (
	PreferIPv4 Prefer = iota
	PreferIPv6
	OnlyIPv4
	OnlyIPv6
)

var preferNames = [...]string{"ipv4", "ipv6", "only-ipv4", "only-ipv6"}

// ParsePrefer reads a preference as String writes it.
func ParsePrefer(text string) (Prefer, error) {
	for p, name := range preferNames {
		if name == text {
			return Prefer(p), nil
		}
	}
	return 0, fmt.Errorf("address preference %q: want ipv4, ipv6, only-ipv4 or only-ipv6", text)
}

// String returns the preference as the configuration writes it.
func (p Prefer) String() string { return preferNames[p&3] }

// IPv4First reports whether IPv4 addresses are to be tried first.
func (p Prefer) IPv4First() bool { return p == PreferIPv4 || p == OnlyIPv4 }

// Only reports whether addresses of the other version are to be left out.
func (p Prefer) Only() bool { return p == OnlyIPv4 || p == OnlyIPv6 }
