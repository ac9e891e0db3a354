package frame

import (
	"encoding/binary"

	"mtguard/mtproto"
)

// keepBuffer is the largest buffer kept between packets: big packets are rare, and
// an idle connection should not hold one's memory.
const keepBuffer = 64 << 10

// Frame is one packet.
type Frame struct {
	// Payload is nil while no packet is whole. It may lie in the decoder's buffer or
	// in its caller's, and is valid until the next call.
	Payload []byte
	// Padding is the bytes beyond the last whole word, in the Padded framing alone.
	// Whole words of padding cannot be told from payload and are part of it.
	Padding []byte
	// QuickAck is set when the client wants the receipt acknowledged at once.
	QuickAck bool
}

// Decoder takes packets out of a client's stream, however it is cut. It holds no
// more memory than twice what has come of one packet.
type Decoder struct {
	framing mtproto.Framing
	limit   int
	err     error
	header  [4]byte
	have    int // bytes of header
	size    int // of the packet, 0 while the header is not whole
	ack     bool
	buf     []byte // of the packet what earlier calls brought
}

// NewDecoder makes a decoder that stands at the start of a stream. A packet of more
// than limit bytes, padding included, is an error; 0 is MaxPayload.
func NewDecoder(f mtproto.Framing, limit int) *Decoder {
	d := &Decoder{framing: f, limit: limit}
	if limit <= 0 {
		d.limit = MaxPayload
	}
	if f.Tag() == ([4]byte{}) {
		d.err = errFraming
	}
	return d
}

// Next takes the first n bytes of b, up to the end of the packet they belong to.
// When that end is reached, f holds the packet; else n is len(b) and f is empty. An
// error is final: the stream cannot be read on.
func (d *Decoder) Next(b []byte) (f Frame, n int, err error) {
	for d.size == 0 && d.err == nil {
		if n == len(b) {
			return Frame{}, n, nil
		}
		d.header[d.have] = b[n]
		d.have++
		n++
		d.err = d.readHeader()
	}
	if d.err != nil {
		return Frame{}, n, d.err
	}
	packet := b[n:]
	if len(d.buf) > 0 || len(packet) < d.size {
		packet = packet[:min(len(packet), d.size-len(d.buf))]
		n += len(packet)
		d.buf = append(d.buf, packet...)
		if len(d.buf) < d.size {
			return Frame{}, n, nil
		}
		packet = d.buf
	} else {
		packet = packet[:d.size]
		n += d.size
	}
	whole := d.size &^ (word - 1)
	f = Frame{Payload: packet[:whole:whole], Padding: packet[whole:], QuickAck: d.ack}
	d.size, d.have = 0, 0
	if d.buf = d.buf[:0]; cap(d.buf) > keepBuffer {
		d.buf = nil
	}
	return f, n, nil
}

// readHeader sets size and ack once the header is whole.
func (d *Decoder) readHeader() error {
	var size int
	if d.framing == mtproto.Abridged {
		first := d.header[0] &^ ackFlag
		switch {
		case first < longForm:
			size = int(first) * word
		case d.have < len(d.header):
			return nil
		default:
			words := binary.LittleEndian.Uint32(d.header[:]) >> 8
			if words < longForm {
				return errOverlong
			}
			size = int(words) * word
		}
		d.ack = d.header[0]&ackFlag != 0
	} else {
		if d.have < len(d.header) {
			return nil
		}
		raw := binary.LittleEndian.Uint32(d.header[:])
		size = int(raw &^ ackFlag32)
		d.ack = raw&ackFlag32 != 0
	}
	switch {
	case size < word || size%word != 0 && d.framing != mtproto.Padded:
		return errLength
	case size > d.limit:
		return errLimit
	}
	d.size = size
	return nil
}
