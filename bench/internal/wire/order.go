package wire

import (
	"encoding/binary"
	"errors"
)

// Op is what the simulated data centre is asked to do with a connection.
type Op uint8

const (
	// Echo sends back every byte that follows the order.
	Echo Op = 1 + iota
	// Download sends Bytes bytes, in chunks of Chunk at Rate bytes per second when Rate is not 0.
	Download
	// Upload takes Bytes bytes and then answers with UploadReceipt bytes.
	Upload
)

// UploadReceipt is the length of the answer to an upload.
const UploadReceipt = 16

// Order is the first thing a client says, in the clear text of its stream. It has a fixed size.
type Order struct {
	Op      Op
	Checked bool // really decrypt and encrypt, and compare what arrives with Pattern; otherwise the cipher is ignored
	Chunk   uint32
	Bytes   int64
	Rate    int64
}

// OrderSize is the length of an order on the wire.
const OrderSize = 32

const orderMagic = 0x6d746231

// Append adds the order's clear text to dst.
func (o Order) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, orderMagic)
	checked := byte(0)
	if o.Checked {
		checked = 1
	}
	dst = append(dst, byte(o.Op), checked, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, o.Chunk)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(o.Bytes))
	return binary.LittleEndian.AppendUint64(dst, uint64(o.Rate))
}

// ParseOrder reads an order's clear text.
func ParseOrder(b []byte) (Order, error) {
	if len(b) < OrderSize || binary.LittleEndian.Uint32(b) != orderMagic {
		return Order{}, errors.New("not an order: the stream was not translated as it should be")
	}
	o := Order{
		Op:      Op(b[4]),
		Checked: b[5] == 1,
		Chunk:   binary.LittleEndian.Uint32(b[8:]),
		Bytes:   int64(binary.LittleEndian.Uint64(b[16:])),
		Rate:    int64(binary.LittleEndian.Uint64(b[24:])),
	}
	if o.Op < Echo || o.Op > Upload || o.Bytes < 0 || o.Rate < 0 {
		return Order{}, errors.New("order out of range")
	}
	return o, nil
}

// Pattern fills b with the bytes that a checked stream carries from offset on.
func Pattern(b []byte, offset int64) {
	for i := range b {
		x := uint64(offset+int64(i)) * 0x9e3779b97f4a7c15
		b[i] = byte(x >> 56)
	}
}

// IsPattern tells whether b is what Pattern writes from offset on.
func IsPattern(b []byte, offset int64) bool {
	for i, got := range b {
		if got != byte(uint64(offset+int64(i))*0x9e3779b97f4a7c15>>56) {
			return false
		}
	}
	return true
}
