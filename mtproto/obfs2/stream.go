package obfs2

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
)

// StreamKey is the key and first counter block of one direction's AES-256-CTR
// stream. It is all that an idle connection has to keep besides its offset. It
// never prints its bytes.
type StreamKey struct {
	Key [32]byte
	IV  [16]byte
}

const redacted = "obfs2.StreamKey(redacted)"

// String names the type and nothing of the key.
func (k StreamKey) String() string { return redacted }

// GoString is String.
func (k StreamKey) GoString() string { return redacted }

// LogValue is String for slog.
func (k StreamKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is String for encoders.
func (k StreamKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format is String for every verb, because %d and %x would print the fields.
func (k StreamKey) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// Stream makes the key stream positioned at a byte offset from its start, so
// that a connection may drop its cipher while idle and take it up again.
func (k *StreamKey) Stream(offset uint64) cipher.Stream {
	block, err := aes.NewCipher(k.Key[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	iv := counter(k.IV, offset/aes.BlockSize)
	s := cipher.NewCTR(block, iv[:])
	if n := offset % aes.BlockSize; n > 0 {
		var skip [aes.BlockSize]byte
		s.XORKeyStream(skip[:n], skip[:n])
	}
	return s
}

// counter is iv + n over all 128 bits, big-endian.
func counter(iv [16]byte, n uint64) [16]byte {
	lo, carry := bits.Add64(binary.BigEndian.Uint64(iv[8:]), n, 0)
	hi, _ := bits.Add64(binary.BigEndian.Uint64(iv[:8]), 0, carry)
	binary.BigEndian.PutUint64(iv[8:], lo)
	binary.BigEndian.PutUint64(iv[:8], hi)
	return iv
}
