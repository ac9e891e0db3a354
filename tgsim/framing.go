package tgsim

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// framing is a transport framing, named by its tag byte (3).
type framing byte

const (
	abridged     framing = 0xef
	intermediate framing = 0xee
	padded       framing = 0xdd
)

// maxPacket bounds what a length field can make a reader allocate. It is above
// the largest packet a client may send (3.7).
const maxPacket = 1 << 20

var errPacket = errors.New("bad packet length")

func (f framing) tag() [4]byte { return [4]byte{byte(f), byte(f), byte(f), byte(f)} }

// String names the framing as the protocol paper does.
func (f framing) String() string {
	switch f {
	case abridged:
		return "abridged"
	case intermediate:
		return "intermediate"
	case padded:
		return "padded"
	}
	return fmt.Sprintf("framing %#02x", byte(f))
}

// appendPacket frames payload, whose length must be a multiple of 4. In the
// padded framing up to maxPad random bytes follow it; maxPad is one less than a
// power of two.
func appendPacket(dst []byte, f framing, payload []byte, maxPad byte) ([]byte, error) {
	n := len(payload)
	if n == 0 || n%4 != 0 || n+int(maxPad) > maxPacket {
		return dst, fmt.Errorf("%w: %d", errPacket, n)
	}
	switch f {
	case abridged:
		if words := n / 4; words < 0x7f {
			dst = append(dst, byte(words))
		} else {
			dst = append(dst, 0x7f, byte(words), byte(words>>8), byte(words>>16))
		}
		return append(dst, payload...), nil
	case intermediate:
		dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
		return append(dst, payload...), nil
	case padded:
		var noise [16]byte
		rand.Read(noise[:])
		pad := noise[1 : 1+noise[0]&maxPad]
		dst = binary.LittleEndian.AppendUint32(dst, uint32(n+len(pad)))
		return append(append(dst, payload...), pad...), nil
	}
	return dst, fmt.Errorf("no packet in %v", f)
}

// readPacket reads one packet into buf, growing it when needed. In the padded
// framing the payload still carries its padding. quick tells that the sender
// asked for a quick acknowledgement. The error is io.EOF only between packets.
func readPacket(r io.Reader, f framing, buf []byte) (payload []byte, quick bool, err error) {
	n, quick, err := readLength(r, f)
	if err != nil {
		return buf[:0], false, err
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return buf[:0], false, midPacket(err)
	}
	return buf, quick, nil
}

func readLength(r io.Reader, f framing) (n int, quick bool, err error) {
	var h [4]byte
	if f == abridged {
		if _, err := io.ReadFull(r, h[:1]); err != nil {
			return 0, false, err
		}
		quick, n = h[0]&0x80 != 0, int(h[0]&0x7f)*4
		if h[0]&0x7f == 0x7f {
			if _, err := io.ReadFull(r, h[1:]); err != nil {
				return 0, false, midPacket(err)
			}
			n = int(h[1])<<2 | int(h[2])<<10 | int(h[3])<<18
			if n < 0x7f*4 { // the short form exists for these: the official proxy closes too
				return 0, false, fmt.Errorf("%w: long form for %d", errPacket, n)
			}
		}
	} else {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return 0, false, err
		}
		v := binary.LittleEndian.Uint32(h[:])
		quick, n = v>>31 != 0, int(v&^(1<<31))
	}
	if n < 4 || n > maxPacket || (f != padded && n%4 != 0) {
		return 0, false, fmt.Errorf("%w: %d", errPacket, n)
	}
	return n, quick, nil
}

func midPacket(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
