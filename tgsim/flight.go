package tgsim

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	recordCCS       = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23

	maxRecord = 16384
	maxFlight = 64 << 10 // Android's limit for the whole answer
)

var (
	errFlight = errors.New("answer is not the one of a proxy that knows the secret")
	errRecord = errors.New("bad record")
)

// afterServerHello is what clients compare literally (4.9).
var afterServerHello = []byte{recordCCS, 3, 3, 0, 1, 1, recordData, 3, 3}

// flightSize looks at the first bytes of an answer: it returns the size of the
// whole answer once that is known, and 0 while more bytes are needed.
func flightSize(b []byte) (int, error) {
	want := []byte{recordHandshake, 3, 3}
	if !bytes.HasPrefix(b, want[:min(len(b), 3)]) {
		return 0, errFlight
	}
	if len(b) < recordHeader {
		return 0, nil
	}
	first := recordHeader + int(binary.BigEndian.Uint16(b[3:]))
	if first < randomEnd || first > recordHeader+maxRecord {
		return 0, errFlight
	}
	if len(b) <= first {
		return 0, nil
	}
	rest := b[first:]
	if !bytes.HasPrefix(rest, afterServerHello[:min(len(rest), len(afterServerHello))]) {
		return 0, errFlight
	}
	if len(rest) < len(afterServerHello)+2 {
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(rest[len(afterServerHello):]))
	size := first + len(afterServerHello) + 2 + n
	if n == 0 || size >= maxFlight {
		return 0, errFlight
	}
	return size, nil
}

// checkFlight is the strict client rule: exactly three records, and a digest
// over these and nothing else. b must not hold a byte more.
func checkFlight(b, secret, clientRandom []byte) error {
	size, err := flightSize(b)
	if err != nil {
		return err
	}
	if size == 0 || size != len(b) {
		return errFlight
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(clientRandom)
	mac.Write(b[:randomAt])
	mac.Write(make([]byte, 32))
	mac.Write(b[randomEnd:])
	if !hmac.Equal(mac.Sum(nil), b[randomAt:randomEnd]) {
		return errFlight
	}
	return nil
}

// ServerHello is what a server chose in the clear.
type ServerHello struct {
	SessionID []byte
	Suite     uint16
	Group     uint16 // of the key share; 0 when there is none
	Versions  uint16 // selected version; 0 when there is none
}

// ParseServerHello reads the ServerHello at the start of b, from a proxy or from
// a web site.
func ParseServerHello(b []byte) (ServerHello, error) {
	records, _ := Records(b)
	if len(records) == 0 || records[0].Type != recordHandshake {
		return ServerHello{}, errRecord
	}
	c := cursor{b: records[0].Payload}
	if kind := c.take(1); len(kind) == 0 || kind[0] != 2 {
		return ServerHello{}, errRecord
	}
	c = cursor{b: c.vector(3)}
	c.take(2 + 32)
	h := ServerHello{SessionID: c.vector(1), Suite: c.u16()}
	c.take(1)
	for e := (cursor{b: c.vector(2)}); len(e.b) > 0 && !e.short; c.short = c.short || e.short {
		id, body := e.u16(), cursor{b: e.vector(2)}
		switch id {
		case 0x002b:
			h.Versions = body.u16()
		case 0x0033:
			h.Group = body.u16()
		}
		e.short = e.short || body.short
	}
	if c.short {
		return ServerHello{}, errRecord
	}
	return h, nil
}

// cursor consumes big-endian structures; short is set once something is missing.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.short, c.b = true, nil
		return nil
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) number(n int) (v int) {
	for _, x := range c.take(n) {
		v = v<<8 | int(x)
	}
	return v
}

func (c *cursor) u16() uint16            { return uint16(c.number(2)) }
func (c *cursor) vector(size int) []byte { return c.take(c.number(size)) }

// Record is one TLS record; the payload points into the bytes it was read from.
type Record struct {
	Type    byte
	Version uint16
	Payload []byte
}

// Records cuts b into the TLS records at its start; rest is what follows the
// last complete one.
func Records(b []byte) (list []Record, rest []byte) {
	for len(b) >= recordHeader && b[0] >= recordCCS && b[0] <= recordData && b[1] == 3 {
		n := recordHeader + int(binary.BigEndian.Uint16(b[3:]))
		if n > len(b) {
			break
		}
		list = append(list, Record{b[0], binary.BigEndian.Uint16(b[1:]), b[recordHeader:n]})
		b = b[n:]
	}
	return list, b
}

// shape describes bytes by what does not change from one handshake to the next:
// record types and lengths, alerts in full.
func shape(b []byte) string {
	list, rest := Records(b)
	var s []string
	for _, r := range list {
		if r.Type == recordAlert && len(r.Payload) == 2 {
			s = append(s, fmt.Sprintf("alert %d/%d", r.Payload[0], r.Payload[1]))
			continue
		}
		s = append(s, fmt.Sprintf("%d:%d", r.Type, len(r.Payload)))
	}
	if len(rest) > 0 {
		s = append(s, fmt.Sprintf("raw:%d", len(rest)))
	}
	return strings.Join(s, " ")
}

// recordReader strips the records of a proxy from a stream (4.8). A client
// closes on anything but data records of 1..16384 bytes.
type recordReader struct {
	r    io.Reader
	left int
}

func (r *recordReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		var h [recordHeader]byte
		if _, err := io.ReadFull(r.r, h[:]); err != nil {
			return 0, err
		}
		n := int(binary.BigEndian.Uint16(h[3:]))
		if h[0] != recordData || h[1] != 3 || h[2] != 3 || n == 0 || n > maxRecord {
			return 0, fmt.Errorf("%w: type %d, version %x, %d bytes", errRecord, h[0], h[1:3], n)
		}
		r.left = n
	}
	n, err := r.r.Read(p[:min(len(p), r.left)])
	r.left -= n
	if r.left > 0 {
		err = midPacket(err)
	}
	return n, err
}

// appendRecords wraps b in data records of at most size payload bytes.
func appendRecords(dst, b []byte, size int) []byte {
	for len(b) > 0 {
		n := min(size, len(b))
		dst = append(dst, recordData, 3, 3, byte(n>>8), byte(n))
		dst = append(dst, b[:n]...)
		b = b[n:]
	}
	return dst
}
