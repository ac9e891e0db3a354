package aead

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Purpose says what a key is for, in a constant of the program: "backup", "link client to server". Keys of different purposes
// are independent, and what was sealed for one opens for no other. It has 1 to MaxPurpose bytes.
type Purpose string

// MaxPurpose is the most bytes of a Purpose.
const MaxPurpose = 64

// minSecret is the least bytes of input key material: 128 bits, provided they are random.
const minSecret = 16

// Uses, the first part of every label: what within this package a derived key is for.
const (
	useDerive       = "derive"
	useRecordSecret = "record secret"
	useRecordKey    = "record key"
	useRecordIV     = "record iv"
	useRecordNext   = "record next"
	useBlob         = "blob"
)

// Derive returns a key of size bytes for purpose from a secret of at least 16 random bytes and a salt, which may be nil and
// needs to be neither secret nor unique: the same arguments give the same key. Keys of different purposes or sizes say nothing
// about one another. Size is 1 to 8160. The errors say nothing about the secret but its length.
func Derive(secret, salt []byte, purpose Purpose, size int) ([]byte, error) {
	if err := checkInput(secret, purpose); err != nil {
		return nil, err
	}
	if size < 1 || size > 255*sha256.Size {
		return nil, fmt.Errorf("derived key of %d bytes: want 1 to %d", size, 255*sha256.Size)
	}
	return extractAndExpand(secret, salt, label(useDerive, 0, size, purpose, nil), size)
}

func checkInput(secret []byte, purpose Purpose) error {
	if len(secret) < minSecret {
		return fmt.Errorf("secret has %d bytes: want at least %d", len(secret), minSecret)
	}
	if !purpose.valid() {
		return fmt.Errorf("purpose has %d bytes: want 1 to %d", len(purpose), MaxPurpose)
	}
	return nil
}

func (p Purpose) valid() bool {
	return len(p) >= 1 && len(p) <= MaxPurpose
}

// label returns the info of HKDF as in the package comment. The use holds no zero byte, what follows it has a fixed length or
// says it, and the context comes last: no two different calls give the same text.
func label(use string, s Suite, size int, p Purpose, context []byte) string {
	b := make([]byte, 0, 128)
	b = append(b, "mtguard aead v1\x00"...)
	b = append(b, use...)
	b = append(b, 0, byte(s))
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	b = append(b, byte(len(p)))
	b = append(b, p...)
	return string(append(b, context...))
}

// extractAndExpand is HKDF-SHA256 of RFC 5869, for input that may be uneven.
func extractAndExpand(secret, salt []byte, info string, size int) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, salt, info, size)
}

// expand is the second half of it, for a secret that came from HKDF.
func expand(secret []byte, info string, size int) ([]byte, error) {
	return hkdf.Expand(sha256.New, secret, info, size)
}
