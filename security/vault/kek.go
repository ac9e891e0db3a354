package vault

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"mtguard/security/aead"
)

// KEK is a key-encryption key, the "master key" of an installation: 32 random bytes. Formatted with any verb, logged or encoded it
// shows its ID alone. It is a value and never changes; the zero KEK is none and seals nothing.
type KEK struct {
	key aead.Key
}

// GenerateKEK draws a key.
func GenerateKEK() KEK {
	for {
		key := aead.GenerateKey()
		if weak(key.Material()) == nil { // what is written down today must be accepted at the next start
			return KEK{key}
		}
	}
}

// ParseKEK reads a key as Encode writes it, or as `openssl rand -hex 32` and `openssl rand -base64 32` do: one line, with white
// space around it. Both alphabets of base64 are known. What nobody drew at random is refused where that can be seen. The errors
// say nothing about the key but its length.
func ParseKEK(text string) (KEK, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return KEK{}, errors.New("master key is empty")
	}
	if strings.ContainsAny(text, "\r\n") {
		return KEK{}, errors.New("master key has more than one line")
	}
	material, err := decode(text)
	if err != nil {
		return KEK{}, err
	}
	defer clear(material)
	if len(material) != aead.KeySize {
		return KEK{}, fmt.Errorf("master key has %d bytes: want %d, in hexadecimal or base64", len(material), aead.KeySize)
	}
	if err := weak(material); err != nil {
		return KEK{}, err
	}
	key, err := aead.ParseKey(material)
	if err != nil {
		return KEK{}, err
	}
	return KEK{key}, nil
}

// maxText is far more than a key takes: 64 digits.
const maxText = 256

func decode(text string) ([]byte, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("master key has %d characters: want 64 of hexadecimal or 44 of base64", len(text))
	}
	if len(text) == hex.EncodedLen(aead.KeySize) {
		if b, err := hex.DecodeString(text); err == nil {
			return b, nil
		}
	}
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	b, err := base64.RawStdEncoding.Strict().DecodeString(standard)
	if err != nil { // its text would tell a character of the key
		return nil, errors.New("master key is neither hexadecimal nor base64")
	}
	return b, nil
}

// weak refuses what is no random key. Of 32 random bytes fewer than 17 are different, or all are printable, less than once in
// 10^13 times: these checks hit counters, repetition and encoded passwords, and never a key that was drawn.
func weak(material []byte) error {
	var seen [256]bool
	different, printable, steps := 0, true, true
	for i, b := range material {
		if !seen[b] {
			seen[b] = true
			different++
		}
		printable = printable && b >= ' ' && b <= '~'
		steps = steps && (i < 2 || b-material[i-1] == material[1]-material[0])
	}
	switch {
	case printable:
		return errors.New("master key is text and not random bytes: make one with `openssl rand -base64 32`")
	case different <= len(material)/2 || steps:
		return errors.New("master key is not random: make one with `openssl rand -base64 32`")
	}
	return nil
}

// Encode returns the key itself in base64, 44 characters: for the file that it is kept in and for nothing else. It is "" for the
// zero KEK.
func (k KEK) Encode() string { return base64.StdEncoding.EncodeToString(k.key.Material()) }

// ID names the key, in the open: the first 8 bytes of the SHA-256 of it, in hexadecimal.
func (k KEK) ID() string { return k.key.ID().String() }

// IsZero reports whether k is no key.
func (k KEK) IsZero() bool { return k.key.Material() == nil }

// Derive returns size bytes for purpose that only who has the key can know; the same purpose gives the same bytes. See aead.Derive.
func (k KEK) Derive(purpose aead.Purpose, size int) ([]byte, error) {
	if k.IsZero() {
		return nil, errNoKEK
	}
	material := k.key.Material()
	defer clear(material)
	return aead.Derive(material, nil, purpose, size)
}

// String returns "master key" and the ID.
func (k KEK) String() string { return "master key " + k.ID() }

// Format writes what String returns, whatever the verb.
func (k KEK) Format(s fmt.State, _ rune) { io.WriteString(s, k.String()) }

// LogValue returns the ID.
func (k KEK) LogValue() slog.Value { return slog.StringValue(k.ID()) }

// MarshalText returns the ID: a KEK inside of what is encoded is not given away. Encode gives the key.
func (k KEK) MarshalText() ([]byte, error) { return []byte(k.ID()), nil }
