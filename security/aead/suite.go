package aead

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/cpu"
)

// Suite is one way of encrypting with authentication. Its number is what stands in blobs and on the wire: it never changes, and
// that of a suite that is gone is never given again. The zero Suite is none.
type Suite uint8

// The suites.
const (
	AES256GCM         Suite = 1
	AES128GCM         Suite = 2
	ChaCha20Poly1305  Suite = 3
	XChaCha20Poly1305 Suite = 4
)

// TagSize is how many bytes longer a ciphertext is than its plaintext, in every suite.
const TagSize = 16

// ErrNoCommonSuite is the answer of Negotiate when nothing offered is allowed.
var ErrNoCommonSuite = errors.New("no common cipher suite")

// properties is a row of the registry.
type properties struct {
	name             string
	keySize          int
	nonceSize        int
	recordsPerKeyLog int
	new              func(key []byte) (cipher.AEAD, error)
}

// Records per key. GCM: 2^24 records of MaxRecord bytes are 2^34.1 blocks, within the 2^34.5 of RFC 8446, 5.5 (2^24.5 full
// records). ChaCha20-Poly1305 has no such bound before the counter ends; 2^32 is there so that no key lasts for ever.
var registry = [...]properties{
	AES256GCM:         {"aes-256-gcm", 32, 12, 24, newGCM},
	AES128GCM:         {"aes-128-gcm", 16, 12, 24, newGCM},
	ChaCha20Poly1305:  {"chacha20-poly1305", chacha20poly1305.KeySize, chacha20poly1305.NonceSize, 32, chacha20poly1305.New},
	XChaCha20Poly1305: {"xchacha20-poly1305", chacha20poly1305.KeySize, chacha20poly1305.NonceSizeX, 32, chacha20poly1305.NewX},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Suites returns all suites in the order of their numbers.
func Suites() []Suite {
	return []Suite{AES256GCM, AES128GCM, ChaCha20Poly1305, XChaCha20Poly1305}
}

// ParseSuite returns the suite of that name, which is that of the configuration: "xchacha20-poly1305".
func ParseSuite(name string) (Suite, error) {
	for _, s := range Suites() {
		if registry[s].name == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("cipher suite %q: want aes-256-gcm, aes-128-gcm, chacha20-poly1305 or xchacha20-poly1305", name)
}

// Valid reports whether s is one of the suites.
func (s Suite) Valid() bool {
	return s != 0 && int(s) < len(registry)
}

// String returns the name that ParseSuite knows, or "suite N" for a number that is none.
func (s Suite) String() string {
	if !s.Valid() {
		return fmt.Sprintf("suite %d", uint8(s))
	}
	return registry[s].name
}

// KeySize returns the bytes of a key. It panics when s is not valid, as do NonceSize and MaxRecords.
func (s Suite) KeySize() int { return s.properties().keySize }

// NonceSize returns the bytes of a nonce.
func (s Suite) NonceSize() int { return s.properties().nonceSize }

// MaxRecords returns how many records a Sealer protects with one key before it insists on Rekey.
func (s Suite) MaxRecords() uint64 { return 1 << s.properties().recordsPerKeyLog }

func (s Suite) properties() *properties {
	if !s.Valid() {
		panic("aead: properties of " + s.String())
	}
	return &registry[s]
}

// New returns the bare cipher of the suite, for key of exactly KeySize bytes. With it the caller answers for nonces: outside of
// this package it is for tests and measurements.
func (s Suite) New(key []byte) (cipher.AEAD, error) {
	if !s.Valid() {
		return nil, fmt.Errorf("cipher %v is unknown", s)
	}
	p := s.properties()
	if len(key) != p.keySize {
		return nil, fmt.Errorf("%v: key has %d bytes: want %d", s, len(key), p.keySize)
	}
	return p.new(key)
}

// HasAES reports whether this host has the instructions that AES-GCM is fast with.
func HasAES() bool {
	switch runtime.GOARCH {
	case "amd64":
		return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41
	case "arm64":
		return cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
	}
	// Elsewhere ChaCha20 is at worst somewhat slower, and AES in software is both slow and of uneven timing.
	return false
}

// Preference returns all suites, the fastest first, on a host with or without AES instructions: see HasAES.
func Preference(aes bool) []Suite {
	if aes {
		return []Suite{AES128GCM, AES256GCM, ChaCha20Poly1305, XChaCha20Poly1305}
	}
	return []Suite{ChaCha20Poly1305, XChaCha20Poly1305, AES128GCM, AES256GCM}
}

// Negotiate returns the first of allowed that was offered too: the order is ours, that of the offer does not count. Numbers
// that are no suite are passed over on both sides, as a newer peer offers what we do not know. Without any it returns
// ErrNoCommonSuite. Offer and choice have to be authenticated by the handshake; Negotiate cannot see what was removed.
func Negotiate(offered, allowed []Suite) (Suite, error) {
	for _, s := range allowed {
		if s.Valid() && slices.Contains(offered, s) {
			return s, nil
		}
	}
	return 0, ErrNoCommonSuite
}
