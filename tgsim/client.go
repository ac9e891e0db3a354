package tgsim

import (
	"bufio"
	"cmp"
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Transport is how a client talks to its proxy.
type Transport uint8

// The transports of Telegram's clients.
const (
	FakeTLS             Transport = iota // ee secrets; padded framing in fake TLS records
	Secure                               // dd secrets; padded framing
	ClassicIntermediate                  // 16-byte secrets, as TDLib uses them
	ClassicAbridged                      // 16-byte secrets, as Telegram Desktop uses them
)

// String names the transport.
func (t Transport) String() string {
	switch t {
	case FakeTLS:
		return "faketls"
	case Secure:
		return "secure"
	case ClassicIntermediate:
		return "classic-intermediate"
	case ClassicAbridged:
		return "classic-abridged"
	}
	return fmt.Sprintf("transport %d", uint8(t))
}

func (t Transport) framing() framing {
	switch t {
	case ClassicAbridged:
		return abridged
	case ClassicIntermediate:
		return intermediate
	}
	return padded
}

// Dialer opens TCP connections; *net.Dialer is one.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Client is a Telegram client behind a proxy. Without a Secret it speaks as to a
// data centre itself.
type Client struct {
	Proxy     string    // host:port
	Secret    []byte    // the 16 key bytes; nil talks without one
	Transport Transport // zero is FakeTLS
	Domain    string    // server name of a fake TLS hello; "" sends none
	DC        int       // as on the wire: negative for media, 10000 more for test

	Dialer  Dialer           // nil is a net.Dialer
	Clock   func() time.Time // nil is time.Now
	Timeout time.Duration    // of a dial, and of each wait for the peer after it; 0 is 30 s

	Hello     HelloForm // of a fake TLS hello
	InitAlone bool      // send the init at once and by itself, as gotd does, not with the first packet
	Record    int       // largest payload of a record sent; 0 is 2878, as TDLib
}

const recordSent = 2878

func (c *Client) now() time.Time {
	if c.Clock != nil {
		return c.Clock()
	}
	return time.Now()
}

func (c *Client) dialer() Dialer {
	if c.Dialer != nil {
		return c.Dialer
	}
	return &net.Dialer{}
}

func (c *Client) timeout() time.Duration { return cmp.Or(c.Timeout, 30*time.Second) }

// NewHello makes a signed ClientHello as Dial sends it, in one record.
func (c *Client) NewHello() ([]byte, error) {
	record, err := hello{form: c.Hello, domain: c.Domain}.bytes()
	if err != nil {
		return nil, err
	}
	sign(record, c.Secret, c.now())
	return record, nil
}

// Dial connects to the proxy and, with fake TLS, completes the handshake by the
// strict client rule. The init travels with the first request unless InitAlone.
func (c *Client) Dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	raw, err := c.dialer().DialContext(ctx, "tcp", c.Proxy)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	conn, err := c.start(raw)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

func (c *Client) start(raw net.Conn) (*Conn, error) {
	conn := &Conn{
		raw:     raw,
		timeout: c.timeout(),
		framing: c.Transport.framing(),
		record:  cmp.Or(c.Record, recordSent),
		fakeTLS: c.Transport == FakeTLS,
	}
	if conn.record < 0 || conn.record > 0xffff {
		return nil, fmt.Errorf("record size %d", c.Record)
	}
	in := io.Reader(raw)
	if conn.fakeTLS {
		if err := conn.greet(c); err != nil {
			return nil, err
		}
		in = &recordReader{r: bufio.NewReader(raw)}
	}
	init, s, err := newInit(conn.framing, c.DC, c.Secret)
	if err != nil {
		return nil, err
	}
	conn.opening, conn.c2s = init[:], s.c2s
	conn.in = bufio.NewReader(cipher.StreamReader{S: s.s2c, R: in})
	if c.InitAlone {
		return conn, conn.flush(nil)
	}
	return conn, nil
}

// greet does the fake TLS handshake.
func (conn *Conn) greet(c *Client) error {
	record, err := c.NewHello()
	if err != nil {
		return err
	}
	if _, err := conn.raw.Write(record); err != nil {
		return err
	}
	// Read in large steps, as apps do: whatever arrived together with the answer
	// would be part of what they hash, and so must not be there.
	answer := make([]byte, 0, maxFlight)
	for {
		size, err := flightSize(answer)
		if err != nil {
			return err
		}
		if size > 0 && len(answer) >= size {
			break
		}
		n, err := conn.raw.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
		if n == 0 && err != nil {
			return fmt.Errorf("answer after %d bytes: %w", len(answer), midPacket(err))
		}
	}
	conn.answer = append([]byte(nil), answer...)
	return checkFlight(answer, c.Secret, record[randomAt:randomEnd])
}

// Conn is an authenticated connection through a proxy. One goroutine at a time
// makes requests; Close and Reset may come from any.
type Conn struct {
	raw     net.Conn
	timeout time.Duration
	framing framing
	fakeTLS bool
	record  int
	opening []byte // the init while it has not been sent
	answer  []byte
	c2s     cipher.Stream
	in      *bufio.Reader
	packet  []byte // reused by Receive
	message []byte // reused by exchange
	out     []byte // reused by Send
	wire    []byte // reused by flush
	reached int
}

// Answer returns the proxy's fake TLS flight as received; nil in other transports.
func (conn *Conn) Answer() []byte { return conn.answer }

// Reached returns the number of the data centre that answered the last ping.
func (conn *Conn) Reached() int { return conn.reached }

// RemoteAddr returns the proxy's address.
func (conn *Conn) RemoteAddr() net.Addr { return conn.raw.RemoteAddr() }

// LocalAddr returns this end's address.
func (conn *Conn) LocalAddr() net.Addr { return conn.raw.LocalAddr() }

// Close ends the connection in order.
func (conn *Conn) Close() error { return conn.raw.Close() }

// Reset ends the connection with a TCP reset.
func (conn *Conn) Reset() error { return reset(conn.raw) }

// CloseWrite sends the end of the stream and leaves the other direction open.
func (conn *Conn) CloseWrite() error { return closeWrite(conn.raw) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func reset(c net.Conn) error {
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		t.SetLinger(0)
	}
	return c.Close()
}

// flush encrypts b, wraps it for the transport and writes it with whatever must
// come before it.
func (conn *Conn) flush(b []byte) error {
	conn.c2s.XORKeyStream(b, b)
	if !conn.fakeTLS {
		conn.wire = append(append(conn.wire[:0], conn.opening...), b...)
	} else {
		conn.wire = conn.wire[:0]
		if conn.opening != nil {
			conn.wire = append(conn.wire, recordCCS, 3, 3, 0, 1, 1)
			b = append(conn.opening, b...)
		}
		conn.wire = appendRecords(conn.wire, b, conn.record)
	}
	conn.opening = nil
	conn.raw.SetWriteDeadline(time.Now().Add(conn.timeout))
	_, err := conn.raw.Write(conn.wire)
	return err
}

// Send frames and writes one packet; the payload's length is a multiple of 4.
func (conn *Conn) Send(payload []byte) error {
	out, err := appendPacket(conn.out[:0], conn.framing, payload, 15)
	conn.out = out
	if err != nil {
		return err
	}
	return conn.flush(out)
}

// Receive reads one packet, padding included; the payload is valid until the
// next call. It returns io.EOF when the peer ended the stream between packets.
func (conn *Conn) Receive() ([]byte, error) {
	conn.raw.SetReadDeadline(time.Now().Add(conn.timeout))
	payload, _, err := readPacket(conn.in, conn.framing, conn.packet)
	conn.packet = payload
	return payload, err
}
