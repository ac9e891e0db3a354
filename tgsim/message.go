package tgsim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
)

// The application protocol inside the frames. A message is a 24-byte header
// (operation, length of the body, two numbers; all little endian), the body and
// zeros up to a multiple of 4. It states its own length, because whole words of
// transport padding cannot be told from payload (3.3).
const (
	opPing   = 0x70696e67 + iota // body → opPong with the same body, a = number of the DC
	opPong                       //
	opFetch                      // a bytes of the content of seed b → opChunk…
	opChunk                      // body: the next part of a fetch or a store
	opStore                      // a bytes follow as opChunk… → opStored
	opStored                     // body: SHA-256 of what was stored

	messageHeader = 24
	chunkSize     = 32 << 10
	maxTransfer   = 1 << 40
)

var errMessage = errors.New("not a message of the simulation")

type message struct {
	op   uint32
	a, b uint64
	body []byte
}

func (m message) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, m.op)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(m.body)))
	dst = binary.LittleEndian.AppendUint64(dst, m.a)
	dst = binary.LittleEndian.AppendUint64(dst, m.b)
	dst = append(dst, m.body...)
	return append(dst, make([]byte, -len(m.body)&3)...)
}

// parseMessage reads a payload that may end in up to 15 bytes of padding. The
// body points into the payload.
func parseMessage(payload []byte) (message, error) {
	if len(payload) >= 4 && len(payload) < messageHeader {
		if code := int32(binary.LittleEndian.Uint32(payload)); code < 0 {
			return message{}, TransportError(code)
		}
	}
	if len(payload) < messageHeader {
		return message{}, errMessage
	}
	m := message{
		op: binary.LittleEndian.Uint32(payload),
		a:  binary.LittleEndian.Uint64(payload[8:]),
		b:  binary.LittleEndian.Uint64(payload[16:]),
	}
	n, rest := uint64(binary.LittleEndian.Uint32(payload[4:])), payload[messageHeader:]
	if m.op < opPing || m.op > opStored || n > uint64(len(rest)) || len(rest)-int((n+3)&^3) > 15 {
		return message{}, errMessage
	}
	m.body = rest[:n]
	return m, nil
}

// TransportError is the negative code that a data centre sends in place of an
// answer, such as -404 (3.6).
type TransportError int32

// Error implements error.
func (e TransportError) Error() string { return fmt.Sprintf("transport error %d", int32(e)) }

// content is the endless byte sequence of a seed, the same on both ends.
func content(seed uint64) *rand.ChaCha8 {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	copy(key[8:], "tgsim content")
	return rand.NewChaCha8(key)
}
