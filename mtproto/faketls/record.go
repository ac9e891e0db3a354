package faketls

import (
	"encoding/binary"
	"errors"
)

// Sizes of the record layer.
const (
	HeaderSize = 5     // of a record
	MaxPayload = 16384 // of a record that we send: older clients close above it
	MaxInbound = 16640 // of a data record that we take: TLS allows 256 more, and clients use it
)

// Record types of TLS.
const (
	typeChangeCipher = 0x14
	typeHandshake    = 0x16
	typeData         = 0x17
)

// maxChangeCipher bounds the ChangeCipherSpec records taken from one client. One
// is usual.
const maxChangeCipher = 8

// The faults of a record stream, numbered so that a Deframer stays small: an idle
// connection keeps one.
const (
	faultType = iota + 1
	faultVersion
	faultSize
	faultChangeCipher
)

var faults = [...]error{
	faultType:         errors.New("record type is neither data nor change cipher spec"),
	faultVersion:      errors.New("record version is not 3.3"),
	faultSize:         errors.New("record is too long"),
	faultChangeCipher: errors.New("change cipher spec is malformed or repeated"),
}

// PutHeader writes the header of a data record of n payload bytes into the first
// HeaderSize bytes of b. A size outside 0..MaxPayload would tear the stream apart
// unnoticed and panics.
func PutHeader(b []byte, n int) {
	if uint(n) > MaxPayload {
		panic("faketls: record payload size out of range")
	}
	_ = b[4]
	b[0], b[1], b[2] = typeData, 3, 3
	b[3], b[4] = byte(n>>8), byte(n)
}

// Deframer takes the record headers off a client's byte stream. The zero value
// stands at the start of a stream. However the stream is cut into pieces, the
// payload and the error are the same.
type Deframer struct {
	left    uint16 // bytes of the current record still to come
	header  [HeaderSize]byte
	have    uint8 // bytes of header that have come
	ignored uint8 // ChangeCipherSpec records so far
	inCCS   bool  // the current record is a ChangeCipherSpec
	fault   uint8 // index into faults; 0 while the stream is good
}

// Strip removes what is no payload from the next piece of the stream, in place:
// the payload is b[:n]. A record cut by the end of b goes on with the next call.
// Records without payload and ChangeCipherSpec records (a few) vanish. On an error
// b[:n] is the payload before the fault; every later call returns the same error.
func (d *Deframer) Strip(b []byte) (n int, err error) {
	for at := 0; at < len(b) && d.fault == 0; {
		if d.left == 0 {
			at += d.readHeader(b[at:])
			continue
		}
		k := min(len(b)-at, int(d.left))
		if !d.inCCS {
			if n != at { // the rest of a record begun earlier lies where it should
				copy(b[n:], b[at:at+k])
			}
			n += k
		} else if b[at] != 1 { // the only content it may have, and its only byte
			d.fault = faultChangeCipher
		}
		d.left -= uint16(k)
		at += k
	}
	return n, faults[d.fault]
}

// readHeader takes what is there of a header and, once it is complete, opens the
// record. It returns the count of bytes taken.
func (d *Deframer) readHeader(b []byte) int {
	k := copy(d.header[d.have:], b)
	d.have += uint8(k)
	if d.have < HeaderSize {
		return k
	}
	d.have = 0
	d.left = binary.BigEndian.Uint16(d.header[3:])
	d.inCCS = d.header[0] == typeChangeCipher
	switch {
	case d.header[1] != 3 || d.header[2] != 3:
		d.fault = faultVersion
	case d.inCCS:
		if d.ignored++; d.left != 1 || d.ignored > maxChangeCipher {
			d.fault = faultChangeCipher
		}
	case d.header[0] != typeData:
		d.fault = faultType
	case d.left > MaxInbound:
		d.fault = faultSize
	}
	return k
}
