package access

import (
	"net/netip"
	"strconv"
	"strings"
)

// Kind says what a Match looks at.
type Kind uint8

// The kinds. Those up to InList look at the address itself.
const (
	NoKind      Kind = iota
	InPrefix         // "203.0.113.0/24", "2001:db8::/32", "203.0.113.7"
	InRange          // "192.0.2.10-192.0.2.20"
	InWildcard       // "203.0.113.*"
	InList           // "list:drop"
	InASN            // "asn:64500"
	InCountry        // "country:DE", "country:unknown"
	ServerName       // "sni:*.example.com"
	Fingerprint      // "ja4:t13d*"
)

var kindNames = [...]string{NoKind: "nothing", InPrefix: "prefix", InRange: "range", InWildcard: "wildcard", InList: "list", InASN: "asn",
	InCountry: "country", ServerName: "sni", Fingerprint: "ja4"}

// String is one word.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return "kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// Address tells whether matches of this kind look at the address itself.
func (k Kind) Address() bool { return InPrefix <= k && k <= InList }

// Pattern tells whether matches of this kind look at the ClientHello.
func (k Kind) Pattern() bool { return k == ServerName || k == Fingerprint }

// UnknownCountry is the country of an address no country file names.
const UnknownCountry = "unknown"

const (
	maxMatch = 300 // bytes of a match's text; a server name has up to 253
	maxName  = 64  // bytes of a list's name
	ja4Size  = 36  // of a whole fingerprint
)

// Match says whom a rule is about. It has one text form, that of ParseMatch and
// String. Matches are comparable, and equal when their texts are. The zero Match
// is about nobody.
type Match struct {
	kind     Kind
	bits     uint8      // of a prefix and a wildcard
	asn      uint32     //
	from, to netip.Addr // a prefix's address is in from
	text     string     // list, country, pattern
}

// PrefixMatch is the match of a prefix, host bits cleared and IPv4-mapped
// prefixes as IPv4; the zero Match if the prefix is none, or is wider than the
// IPv4-mapped ones.
func PrefixMatch(p netip.Prefix) Match {
	if p, ok := plainPrefix(p); ok {
		p = p.Masked()
		return Match{kind: InPrefix, from: p.Addr(), bits: uint8(p.Bits())}
	}
	return Match{}
}

// AddrMatch is the match of one address.
func AddrMatch(a netip.Addr) Match {
	a = plain(a)
	return PrefixMatch(netip.PrefixFrom(a, a.BitLen()))
}

// ListMatch is the match of the list with this name.
func ListMatch(name string) Match { return Match{kind: InList, text: name} }

// Kind says what the match looks at.
func (m Match) Kind() Kind { return m.kind }

// IsZero tells whether this is the zero Match.
func (m Match) IsZero() bool { return m.kind == NoKind }

// Text is what a list, country or pattern match is about without the word before
// the colon; "" for the others.
func (m Match) Text() string { return m.text }

// Prefixes are the prefixes that a prefix, range or wildcard is made of, ascending;
// nil for every other match.
func (m Match) Prefixes() []netip.Prefix {
	switch m.kind {
	case InPrefix, InWildcard:
		return []netip.Prefix{netip.PrefixFrom(m.from, int(m.bits))}
	case InRange:
		return prefixesOf(m.from, m.to)
	}
	return nil
}

// String is the match as ParseMatch reads it; "" for the zero Match.
func (m Match) String() string {
	switch m.kind {
	case InPrefix:
		if int(m.bits) == m.from.BitLen() {
			return m.from.String()
		}
		return netip.PrefixFrom(m.from, int(m.bits)).String()
	case InRange:
		return m.from.String() + "-" + m.to.String()
	case InWildcard:
		parts := strings.Split(m.from.String(), ".")
		for i := int(m.bits) / 8; i < len(parts); i++ {
			parts[i] = "*"
		}
		return strings.Join(parts, ".")
	case InASN:
		return "asn:" + strconv.FormatUint(uint64(m.asn), 10)
	case InList, InCountry, ServerName, Fingerprint:
		return m.kind.String() + ":" + m.text
	}
	return ""
}

// MarshalText is String.
func (m Match) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMatch; no text is the zero Match.
func (m *Match) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*m = Match{}
		return nil
	}
	parsed, err := ParseMatch(string(text))
	if err == nil {
		*m = parsed
	}
	return err
}
