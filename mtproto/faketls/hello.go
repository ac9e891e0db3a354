package faketls

import (
	"encoding/binary"
	"errors"
)

const (
	minMessage = 100   // of a hello, handshake header included; real ones have 512 and more
	maxMessage = 16384 // what one record may hold
	maxRecords = 10    // a hello may be cut into
	randomAt   = 11    // in a hello that begins with a record header
	randomSize = 32
	maxSession = 32
)

// MaxHello is the most bytes of a connection that ParseHello takes or asks for.
const MaxHello = maxMessage + maxRecords*HeaderSize

var (
	errNotHandshake = errors.New("not a handshake record")
	errNotHello     = errors.New("not a client hello")
	errVersion      = errors.New("not a hello of TLS 1.2 or later")
	errHelloSize    = errors.New("hello is too short or too long")
	errSplit        = errors.New("hello does not fit its records")
	errSession      = errors.New("session id is too long")
	errSuites       = errors.New("malformed cipher suites")
	errCompression  = errors.New("malformed compression methods")
	errExtensions   = errors.New("malformed extensions")
	errServerName   = errors.New("malformed server name")
	errShares       = errors.New("malformed key shares")
)

// ParseHello looks at the first bytes of a connection, as many as there are so far.
//
//   - h is set: b starts with a whole hello that takes n bytes. h holds a copy.
//   - need > 0: this may become a hello and at least need bytes more belong to it.
//     Reading what comes, but at most need bytes, never reads beyond the hello.
//   - err: whatever follows, this will be no hello that could be ours.
//
// An err about framing and fixed fields comes with the byte that proves it; one
// about the inside of extensions only with the whole hello, as a real server's
// would. A hello cut into several records is joined again. No more than MaxHello
// bytes are ever wanted.
func ParseHello(b []byte) (h *ClientHello, n, need int, err error) {
	var head [4]byte // type and length, perhaps spread over records
	got, total := 0, 0
	for record := 1; record <= maxRecords; record++ {
		size, need, err := recordHeader(b[n:])
		if err != nil || need > 0 {
			return nil, 0, need, err
		}
		body := b[n+HeaderSize:]
		body = body[:min(size, len(body))]
		if got < len(head) {
			copy(head[got:], body)
		}
		if total, err = messageSize(head[:min(len(head), got+len(body))]); err != nil {
			return nil, 0, 0, err
		}
		if got += size; got > maxMessage || total > 0 && (got > total || record == maxRecords && got < total) {
			return nil, 0, 0, errSplit
		}
		if record == 1 && total > 0 {
			// Later records are looked at with the whole: their start has no fixed place.
			if err := new(fields).read(body, total); err != nil {
				return nil, 0, 0, err
			}
		}
		if len(body) < size {
			return nil, 0, size - len(body), nil
		}
		n += HeaderSize + size
		if got == total {
			h, err := newHello(b[:n], total)
			if err != nil {
				return nil, 0, 0, err
			}
			return h, n, 0, nil
		}
	}
	return nil, 0, 0, errSplit
}

// recordHeader reads the header of a handshake record, or says how much of it is
// missing.
func recordHeader(b []byte) (size, need int, err error) {
	if len(b) > 0 && b[0] != typeHandshake {
		return 0, 0, errNotHandshake
	}
	if len(b) > 1 && b[1] != 3 || len(b) > 2 && b[2] != 1 && b[2] != 3 {
		return 0, 0, errVersion
	}
	if len(b) > 3 && b[3] > maxMessage>>8 {
		return 0, 0, errHelloSize
	}
	if len(b) < HeaderSize {
		return 0, HeaderSize - len(b), nil
	}
	size = int(binary.BigEndian.Uint16(b[3:]))
	if size == 0 || size > maxMessage {
		return 0, 0, errHelloSize
	}
	return size, 0, nil
}

// messageSize reads a handshake header as far as it has come; 0 is not yet known.
func messageSize(head []byte) (int, error) {
	if len(head) > 0 && head[0] != 1 {
		return 0, errNotHello
	}
	if len(head) > 1 && head[1] != 0 || len(head) > 2 && head[2] > maxMessage>>8 {
		return 0, errHelloSize
	}
	if len(head) < 4 {
		return 0, nil
	}
	total := 4 + int(binary.BigEndian.Uint16(head[2:]))
	if total < minMessage || total > maxMessage {
		return 0, errHelloSize
	}
	return total, nil
}

// fields are the parts of a hello message, each a part of the message itself.
type fields struct {
	random, session, suites, compression, extensions []byte
}

// read finds the fields in the first bytes of a message that will be total bytes
// long. It succeeds when nothing there is wrong; a field that is not wholly there
// stays nil. Its cost does not depend on the length.
func (f *fields) read(msg []byte, total int) error {
	c := cursor{b: msg, end: total, at: 4}
	if v := c.partial(2); len(v) > 0 && v[0] != 3 || len(v) > 1 && v[1] != 3 {
		return errVersion
	}
	f.random = c.take(randomSize)
	n, ok := c.length(1)
	if ok && n > maxSession || c.over(n) {
		return errSession
	}
	f.session = c.take(n)
	n, ok = c.length(2)
	if ok && (n == 0 || n%2 != 0) || c.over(n) {
		return errSuites
	}
	f.suites = c.take(n)
	n, ok = c.length(1)
	if ok && n == 0 || c.over(n) {
		return errCompression
	}
	f.compression = c.take(n)
	if c.at == c.end { // allowed before TLS 1.3
		return nil
	}
	n, ok = c.length(2)
	if ok && n != c.end-c.at || c.over(0) {
		return errExtensions
	}
	f.extensions = c.take(n)
	return nil
}

// cursor walks over a message of which only the first bytes may be there. Once
// it stands beyond these it stays silent.
type cursor struct {
	b       []byte
	at, end int
}

// partial takes n bytes and returns those that are there.
func (c *cursor) partial(n int) []byte {
	from, to := min(c.at, len(c.b)), min(c.at+n, len(c.b))
	c.at += n
	return c.b[from:to]
}

// take takes n bytes and returns them, or nil when they are not all there.
func (c *cursor) take(n int) []byte {
	if v := c.partial(n); len(v) == n {
		return v
	}
	return nil
}

// length takes a length of 1 or 2 bytes; ok is false when it is not there yet.
func (c *cursor) length(size int) (n int, ok bool) {
	v := c.take(size)
	for _, b := range v {
		n = n<<8 | int(b)
	}
	return n, v != nil
}

// over tells whether n bytes more would lead beyond the end of the message.
func (c *cursor) over(n int) bool { return c.at+n > c.end }
