package wire

import (
	"encoding/binary"
	"fmt"
)

// RecordPayload is how much Telegram's applications put into one record on the way up.
const RecordPayload = 2878

// MaxRecord is the largest payload of a record that Telegram's applications take.
const MaxRecord = 16384

// ChangeCipherSpec is the record that a client sends once before its first data.
var ChangeCipherSpec = []byte{0x14, 3, 3, 0, 1, 1}

// AppendRecord adds payload as one data record.
func AppendRecord(dst, payload []byte) []byte {
	dst = append(dst, 0x17, 3, 3, byte(len(payload)>>8), byte(len(payload)))
	return append(dst, payload...)
}

// AppendRecords adds payload cut into records of at most RecordPayload bytes.
func AppendRecords(dst, payload []byte) []byte {
	for len(payload) > 0 {
		n := min(len(payload), RecordPayload)
		dst = AppendRecord(dst, payload[:n])
		payload = payload[n:]
	}
	return dst
}

// RecordedSize is the length of n payload bytes on the wire as AppendRecords writes them.
func RecordedSize(n int64) int64 {
	return n + 5*((n+RecordPayload-1)/RecordPayload)
}

// Deframer walks over a stream of records. Its zero value stands at the start of one.
type Deframer struct {
	header [5]byte
	have   int
	left   int
}

// Count tells how many bytes of b are payload, without touching them.
func (d *Deframer) Count(b []byte) (payload int, err error) {
	return d.walk(b, nil)
}

// Strip moves the payload of b to its front and tells how long it is.
func (d *Deframer) Strip(b []byte) (payload int, err error) {
	return d.walk(b, b)
}

func (d *Deframer) walk(b, into []byte) (payload int, err error) {
	for len(b) > 0 {
		if d.left == 0 {
			n := copy(d.header[d.have:], b)
			d.have += n
			b = b[n:]
			if d.have < len(d.header) {
				break
			}
			d.have = 0
			d.left = int(binary.BigEndian.Uint16(d.header[3:]))
			if d.header[0] != 0x17 || d.header[1] != 3 || d.header[2] != 3 || d.left == 0 || d.left > MaxRecord {
				return payload, fmt.Errorf("record header % x", d.header)
			}
			continue
		}
		n := min(d.left, len(b))
		if into != nil {
			copy(into[payload:], b[:n])
		}
		payload += n
		d.left -= n
		b = b[n:]
	}
	return payload, nil
}
