package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"mtguard/mtproto"
)

// ID names key material without giving it away: the hex form of the first 8 bytes
// of its SHA-256. It is safe to log.
type ID string

// Size is the length of key material.
const Size = 16

// Kind is what the text form of a secret asked the client to do.
type Kind uint8

// The kinds; the zero value belongs to no secret.
const (
	Plain   Kind = iota + 1 // classic transport, or any
	Padded                  // secure transport
	FakeTLS                 // fake TLS, with a domain
)

// String is the kind's name.
func (k Kind) String() string {
	switch k {
	case Plain:
		return "plain"
	case Padded:
		return "padded"
	case FakeTLS:
		return "faketls"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Secret is one secret as it stands in a link. The zero value holds none. It
// formats, logs and encodes as its ID. Two secrets have the same material when their
// IDs are equal; == says nothing about it.
type Secret struct {
	// material is two pointers away: fmt cannot call methods on an unexported field,
	// and then prints what one pointer leads to, but never what two do.
	material **[Size]byte
	kind     Kind
	domain   string
}

// NewSecret draws a secret from r. A domain, which must be a host name as for
// ParseSecret, makes it a fake TLS one; "" a plain one.
func NewSecret(r io.Reader, domain string) (Secret, error) {
	s := Secret{kind: Plain}
	if domain != "" {
		if err := checkDomain(domain); err != nil {
			return Secret{}, err
		}
		s.kind, s.domain = FakeTLS, domain
	}
	material := new([Size]byte)
	if _, err := io.ReadFull(r, material[:]); err != nil {
		return Secret{}, fmt.Errorf("random bytes: %w", err)
	}
	if *material == ([Size]byte{}) {
		return Secret{}, errors.New("random source gives zeros")
	}
	s.material = &material
	return s, nil
}

// ID names the secret's material, whatever its kind and domain.
func (s Secret) ID() ID {
	if s.material == nil {
		return ""
	}
	sum := sha256.Sum256((*s.material)[:])
	return ID(hex.EncodeToString(sum[:8]))
}

// Kind is what the secret's text form asked for.
func (s Secret) Kind() Kind { return s.kind }

// Domain is the host name of a fake TLS secret, "" for the others.
func (s Secret) Domain() string { return s.domain }

// Encode is the hex text for a link of the given transport: the material, after dd
// for Secure, after ee and before the domain for FakeTLS. The same material serves
// all three. An empty domain stands for the secret's own. The text is "" for the
// zero Secret, an unknown transport, and FakeTLS without any domain.
func (s Secret) Encode(t mtproto.Transport, domain string) string {
	if domain == "" {
		domain = s.domain
	}
	if s.material == nil {
		return ""
	}
	key := hex.EncodeToString((*s.material)[:])
	switch {
	case t == mtproto.Classic:
		return key
	case t == mtproto.Secure:
		return "dd" + key
	case t == mtproto.FakeTLS && domain != "":
		return "ee" + key + hex.EncodeToString([]byte(domain))
	}
	return ""
}

// String is "secret" and the ID.
func (s Secret) String() string { return "secret " + string(s.ID()) }

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// Format is String for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue is the ID.
func (s Secret) LogValue() slog.Value { return slog.StringValue(string(s.ID())) }

// MarshalText is the ID, so that no encoder writes the material.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.ID()), nil }
