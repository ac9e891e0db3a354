package frame

import (
	"encoding/binary"
	"errors"
	"fmt"

	"mtguard/mtproto"
)

const (
	// MaxPayload is the longest packet of a client that the official proxy takes,
	// padding included.
	MaxPayload = 1_044_480
	// MaxPadding is the most padding that clients add.
	MaxPadding = 15

	word      = 4
	longForm  = 0x7f // abridged: three bytes of length follow
	maxWords  = 1 << 24
	ackFlag   = 0x80       // top bit of the first abridged byte
	ackFlag32 = 0x80000000 // top bit of the others' length
)

var (
	errFraming  = errors.New("no such framing")
	errLength   = errors.New("frame length is zero or no multiple of 4")
	errOverlong = errors.New("frame length is in the long form without need")
	errLimit    = errors.New("frame is longer than the limit")
)

// Append appends the frame for a packet to dst. The payload is a non-zero multiple
// of 4 bytes. Padding, at most MaxPadding bytes that the caller draws at random, is
// for the Padded framing alone. On an error dst is returned as it was.
func Append(dst []byte, f mtproto.Framing, payload, padding []byte) ([]byte, error) {
	switch {
	case len(payload) == 0 || len(payload)%word != 0:
		return dst, errLength
	case len(padding) > 0 && f != mtproto.Padded || len(padding) > MaxPadding:
		return dst, fmt.Errorf("padding of %d bytes in %v framing", len(padding), f)
	case len(payload) > maxWords*word-word:
		return dst, errLimit
	}
	switch f {
	case mtproto.Abridged:
		if n := len(payload) / word; n < longForm {
			dst = append(dst, byte(n))
		} else {
			dst = append(dst, longForm, byte(n), byte(n>>8), byte(n>>16))
		}
	case mtproto.Intermediate, mtproto.Padded:
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)+len(padding)))
	default:
		return dst, errFraming
	}
	return append(append(dst, payload...), padding...), nil
}

// RequestAck marks a frame made by Append, which begins at frame[0], as one whose
// receipt the server shall acknowledge at once.
func RequestAck(frame []byte, f mtproto.Framing) {
	if f == mtproto.Abridged {
		frame[0] |= ackFlag
	} else {
		frame[3] |= ackFlag
	}
}
