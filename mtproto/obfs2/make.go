package obfs2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// NewInit makes an init with random bytes from r. The secret is nil or 16 bytes,
// as for Init.Keys. Its keys are those that Keys derives with the same secret.
func NewInit(r io.Reader, h Header, secret []byte) (Init, error) {
	var i Init
	if err := drawUntil(r, i[:], &i); err != nil {
		return Init{}, err
	}
	if err := i.seal(h, secret); err != nil {
		return Init{}, err
	}
	return i, nil
}

// NewPassThroughInit makes an init for a data centre that will answer with the
// given key stream from its first byte: what comes back is then already what a
// client with that server-to-client key expects, and no cipher is needed on the
// way. The init has no secret and carries the key in clear (protocol paper,
// section 2.7, states the conditions and the price).
func NewPassThroughInit(r io.Reader, h Header, s2c StreamKey) (Init, error) {
	var i Init
	if err := drawUntil(r, i[:seedAt], &i); err != nil {
		return Init{}, err
	}
	if _, err := io.ReadFull(r, i[tailAt:]); err != nil {
		return Init{}, fmt.Errorf("random bytes: %w", err)
	}
	for n, b := range s2c.Key {
		i[tagAt-1-n] = b
	}
	for n, b := range s2c.IV {
		i[tagAt-1-keySize-n] = b
	}
	if err := i.seal(h, nil); err != nil {
		return Init{}, err
	}
	return i, nil
}

// drawUntil fills part, which lies in i, until i may start a connection. The
// chance of another round is below 2^-7, so a reader that needs more than the
// limit is not random.
func drawUntil(r io.Reader, part []byte, i *Init) error {
	for range 64 {
		if _, err := io.ReadFull(r, part); err != nil {
			return fmt.Errorf("random bytes: %w", err)
		}
		if allowedStart([8]byte(i[:8])) {
			return nil
		}
	}
	return errors.New("random source gives no allowed start")
}

// allowedStart tells whether a server would take these first bytes for the start
// of an obfuscated connection and of nothing else it may be listening for.
func allowedStart(b [8]byte) bool {
	if b[0] == 0xef || [4]byte(b[4:]) == [4]byte{} {
		return false
	}
	switch string(b[:4]) {
	case "HEAD", "POST", "GET ", "OPTI", "\xee\xee\xee\xee", "\xdd\xdd\xdd\xdd", "\x16\x03\x01\x02":
		return false
	}
	return true
}

// seal writes the header into the last eight bytes and encrypts these; the seed
// and the two bytes of the tail must be in place.
func (i *Init) seal(h Header, secret []byte) error {
	tag := h.Framing.Tag()
	if tag == ([4]byte{}) {
		return fmt.Errorf("init with %v", h.Framing)
	}
	copy(i[tagAt:], tag[:])
	binary.LittleEndian.PutUint16(i[dcAt:], uint16(h.DC))
	key := streamKey(i[seedAt:tagAt], secret)
	key.Stream(tagAt).XORKeyStream(i[tagAt:], i[tagAt:])
	return nil
}
