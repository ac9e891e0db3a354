package aead

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
)

// A blob is version, suite, key id, nonce, ciphertext and tag: see the package comment.
const (
	blobVersion = 1
	nonceAt     = 1 + 1 + keyIDSize
	nonceSize   = 24
	headerSize  = nonceAt + nonceSize

	// BlobOverhead is how many bytes longer a blob is than what is in it.
	BlobOverhead = headerSize + TagSize
	// MaxPlaintext is the most bytes in a blob.
	MaxPlaintext = 64 << 20
	// KeySize is the bytes of a Key, whatever the suite.
	KeySize = 32

	keyIDSize = 8
)

// KeyID names a key, in the open: the first 8 bytes of the SHA-256 of its material.
type KeyID [keyIDSize]byte

// String returns the id in hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// Key is a key that blobs are sealed with. Formatted, logged or encoded it shows its id alone. The zero Key is none.
type Key struct {
	m *material
}

// material has the bytes behind a second pointer because fmt follows one, for a verb that it cannot apply to a pointer.
type material struct {
	id     KeyID
	secret *[KeySize]byte
}

// GenerateKey draws a key.
func GenerateKey() Key {
	secret := new([KeySize]byte)
	rand.Read(secret[:])
	return keyOf(secret)
}

// ParseKey returns the key of material that GenerateKey drew and Material gave: KeySize bytes, which are copied. All zeros are
// refused, as no key but a buffer that nobody filled. The errors say nothing about the material but its length.
func ParseKey(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("key has %d bytes: want %d", len(b), KeySize)
	}
	secret := [KeySize]byte(b)
	if secret == ([KeySize]byte{}) {
		return Key{}, fmt.Errorf("key is all zeros")
	}
	return keyOf(&secret), nil
}

func keyOf(secret *[KeySize]byte) Key {
	sum := sha256.Sum256(secret[:])
	return Key{&material{KeyID(sum[:keyIDSize]), secret}}
}

// ID returns the name of the key.
func (k Key) ID() KeyID {
	if k.m == nil {
		return KeyID{}
	}
	return k.m.id
}

// Material returns a copy of the key's bytes, for whoever wraps them to be stored. It returns nil for the zero Key.
func (k Key) Material() []byte {
	if k.m == nil {
		return nil
	}
	return append([]byte(nil), k.m.secret[:]...)
}

// String returns "key" and the id.
func (k Key) String() string { return "key " + k.ID().String() }

// GoString returns what String does.
func (k Key) GoString() string { return k.String() }

// LogValue returns the id.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.ID().String()) }

// MarshalText returns the id.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.ID().String()), nil }

// Seal appends to dst a blob with plaintext in it, which Open gives back to whoever has the key and names the same purpose and
// the same associated data ad; ad is not in the blob and may be nil. Any number of blobs may be sealed with one key, in any
// suites. It returns ErrTooLarge for more than MaxPlaintext bytes. The plaintext may not overlap with the room behind dst.
func Seal(dst []byte, s Suite, k Key, purpose Purpose, plaintext, ad []byte) ([]byte, error) {
	switch {
	case !s.Valid():
		return nil, fmt.Errorf("cipher %v is unknown", s)
	case k.m == nil:
		return nil, fmt.Errorf("no key to seal with")
	case !purpose.valid():
		return nil, fmt.Errorf("purpose has %d bytes: want 1 to %d", len(purpose), MaxPurpose)
	case len(plaintext) > MaxPlaintext:
		return nil, ErrTooLarge
	}
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	return seal(dst, s, k, purpose, &nonce, plaintext, ad)
}

func seal(dst []byte, s Suite, k Key, purpose Purpose, nonce *[nonceSize]byte, plaintext, ad []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, blobVersion, byte(s))
	dst = append(dst, k.m.id[:]...)
	dst = append(dst, nonce[:]...)
	c, iv, err := blobCipher(dst[start:], k, purpose)
	if err != nil {
		return nil, err
	}
	return c.Seal(dst, iv, plaintext, ad), nil
}

// Lookup finds the key of that id among those that may still open blobs. It must be safe for whatever concurrency Open is used
// with.
type Lookup func(KeyID) (Key, bool)

// Open appends to dst what is in the blob and returns it. The error is ErrOpen whatever is wrong: a byte of the blob, the key,
// the purpose, the associated data. The id in the blob is the attacker's to choose and not secret: that it is unknown may be
// seen in the time this takes. Upon an error no plaintext stands behind dst; what stood there may be gone. The blob may not
// overlap with the room behind dst.
func Open(dst []byte, lookup Lookup, purpose Purpose, blob, ad []byte) ([]byte, error) {
	if len(blob) < BlobOverhead || len(blob) > MaxPlaintext+BlobOverhead || !purpose.valid() {
		return nil, ErrOpen
	}
	header := blob[:headerSize]
	if header[0] != blobVersion || !Suite(header[1]).Valid() {
		return nil, ErrOpen
	}
	k, ok := lookup(KeyID(header[2:nonceAt]))
	if !ok || k.m == nil {
		return nil, ErrOpen
	}
	c, iv, err := blobCipher(header, k, purpose)
	if err != nil {
		return nil, ErrOpen
	}
	out, err := c.Open(dst, iv, blob[headerSize:], ad)
	if err != nil {
		wipe(dst, len(blob)-BlobOverhead)
		return nil, ErrOpen
	}
	return out, nil
}

// blobCipher derives the cipher and the nonce of one blob. All of its header goes in, so that a blob with another header has
// another key. The id is that of the header and not of the key: a lookup that confuses keys opens nothing.
func blobCipher(header []byte, k Key, purpose Purpose) (c cipher.AEAD, iv []byte, err error) {
	s := Suite(header[1])
	size := s.KeySize() + s.NonceSize()
	context := append([]byte{header[0]}, header[2:nonceAt]...)
	b, err := extractAndExpand(k.m.secret[:], header[nonceAt:], label(useBlob, s, size, purpose, context), size)
	if err != nil {
		return nil, nil, err
	}
	key, iv := b[:s.KeySize()], b[s.KeySize():]
	defer clear(key)
	c, err = s.New(key)
	return c, iv, err
}
