package keys

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Lengths of the domain in a fake TLS secret: some clients refuse a shorter or a
// longer one.
const (
	minDomain = 4
	maxDomain = 182
)

// maxBytes is the longest secret, decoded.
const maxBytes = 1 + Size + maxDomain

// ParseSecret reads a secret in any form links use: 16 bytes, dd and 16 bytes, or
// ee, 16 bytes and a host name of 4 to 182 lower-case letters, digits, hyphens and
// dots; as hex, else base64url, else standard base64, with or without padding. A
// secret of zeros is refused. No error holds any part of the text.
func ParseSecret(text string) (Secret, error) {
	b, err := decode(text)
	if err != nil {
		return Secret{}, err
	}
	s := Secret{kind: Plain}
	switch {
	case len(b) == Size:
	case len(b) < Size:
		return Secret{}, fmt.Errorf("secret has %d bytes: want at least %d", len(b), Size)
	case b[0] == 0xdd && len(b) == 1+Size:
		s.kind, b = Padded, b[1:]
	case b[0] == 0xdd:
		return Secret{}, fmt.Errorf("dd secret has %d bytes: want %d", len(b), 1+Size)
	case b[0] == 0xee:
		s.kind, s.domain, b = FakeTLS, string(b[1+Size:]), b[1:1+Size]
		if err := checkDomain(s.domain); err != nil {
			return Secret{}, fmt.Errorf("ee secret: %w", err)
		}
	default:
		return Secret{}, fmt.Errorf("secret of %d bytes begins with neither dd nor ee", len(b))
	}
	material := (*[Size]byte)(b)
	if *material == ([Size]byte{}) {
		return Secret{}, errors.New("secret is all zeros")
	}
	s.material = &material
	return s, nil
}

// decode takes the first encoding that fits. The decoders' own errors quote their
// input and are dropped.
func decode(text string) ([]byte, error) {
	if text == "" {
		return nil, errors.New("secret is empty")
	}
	if len(text) > hex.EncodedLen(maxBytes) {
		return nil, fmt.Errorf("secret of %d characters is too long", len(text))
	}
	if b, err := hex.DecodeString(text); err == nil {
		return b, nil
	}
	if strings.Trim(text, "0123456789abcdefABCDEF") == "" {
		return nil, fmt.Errorf("secret has %d hex digits: want an even number, 32 for a plain one", len(text))
	}
	if !strings.ContainsAny(text, "\r\n") { // the decoder would pass over them
		unpadded := strings.TrimRight(text, "=")
		padding := len(text) - len(unpadded)
		if padding == 0 || padding < 3 && len(text)%4 == 0 {
			for _, e := range [...]*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
				if b, err := e.DecodeString(unpadded); err == nil {
					return b, nil
				}
			}
		}
	}
	return nil, errors.New("secret is neither hex nor base64")
}

// checkDomain tells what is wrong with a host name that is to be sent as the server
// name of a hello.
func checkDomain(name string) error {
	if len(name) < minDomain || len(name) > maxDomain {
		return fmt.Errorf("domain has %d bytes: want %d to %d", len(name), minDomain, maxDomain)
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return errors.New("domain is an address: want a host name")
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("domain is no valid host name")
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return errors.New("domain is no valid host name of lower-case letters, digits and hyphens")
			}
		}
	}
	return nil
}
