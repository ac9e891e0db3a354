package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"time"

	"mtguard/bench/internal/evloop"
	"mtguard/bench/internal/wire"
)

// phase is how far a client's connection has come.
type phase uint8

const (
	connecting phase = iota
	greeting         // hello sent, the proxy's answer is awaited
	open
	closed
)

// client is one connection to the proxy. What it does with its stream is in the hooks, which its work sets before start.
type client struct {
	load   *Load
	fd     int
	phase  phase
	begun  time.Time
	order  wire.Order
	extra  int // bytes sent right behind the order
	small  bool
	from   netip.Addr
	answer []byte
	frames wire.Deframer
	out    []byte // what the socket would not take yet

	onOpen    func(*client)        // the order has been sent
	onPayload func(*client, int)   // so many bytes of the stream arrived
	onDrained func(*client)        // everything written has been taken; set by uploads
	onFailure func(*client, error) // the connection is closed already
}

func (c *client) start() {
	c.begun = time.Now()
	c.phase = connecting
	receive := 0
	if c.small {
		receive = 16 << 10
	}
	fd, err := evloop.Connect(c.load.spec.Proxy, c.from, receive)
	if err != nil {
		c.phase = closed
		c.onFailure(c, err)
		return
	}
	c.fd = fd
	if err := c.load.loop.Watch(fd, evloop.Writable, c); err != nil {
		c.fail(err)
	}
}

// reset ends the connection at once, without a trace in the kernel.
func (c *client) reset() {
	if c.phase == closed {
		return
	}
	c.phase = closed
	c.load.loop.Forget(c.fd)
	evloop.Reset(c.fd)
}

func (c *client) fail(err error) {
	at := c.phase
	c.reset()
	c.onFailure(c, fmt.Errorf("%s: %w", [...]string{"connecting", "handshake", "relaying", "closed"}[at], err))
}

// Ready moves the connection on.
func (c *client) Ready(events uint32) {
	if c.phase == connecting {
		if err := evloop.Failure(c.fd); err != nil {
			c.fail(err)
			return
		}
		c.greet()
		return
	}
	if events&evloop.Writable != 0 {
		c.flush()
	}
	if c.phase != closed && events&^evloop.Writable != 0 {
		c.read()
	}
}

func (c *client) greet() {
	if c.load.spec.Mode != FakeTLS {
		c.begin(nil)
		return
	}
	c.phase = greeting
	c.send(c.load.hellos.Append(c.load.work[:0], time.Now()))
}

// begin opens the stream: header, order and the first message leave together, as with real clients.
func (c *client) begin(prefix []byte) {
	l := c.load
	tag := byte(wire.TagPadded)
	if l.spec.Mode == Classic {
		tag = wire.TagIntermediate
	}
	first, key := wire.NewHeader(l.first[:0], tag, l.spec.DC, l.secret)
	up := key.Up()
	first = c.order.Append(first)
	up.XORKeyStream(first[wire.HeaderSize:], first[wire.HeaderSize:])
	first = append(first, l.garbage[:c.extra]...)

	c.phase = open
	if l.spec.Mode == FakeTLS {
		first = wire.AppendRecords(append(l.work[:0], prefix...), first)
	}
	c.send(first)
	if c.phase == open {
		c.onOpen(c)
	}
}

// send writes b and keeps a copy of what does not fit.
func (c *client) send(b []byte) {
	n := 0
	if len(c.out) == 0 {
		var errno syscall.Errno
		if n, errno = evloop.Write(c.fd, b); errno != 0 && errno != evloop.Again {
			c.fail(errno)
			return
		}
	}
	if n < len(b) {
		c.out = append(c.out, b[n:]...)
	}
	c.want()
}

func (c *client) want() {
	events := uint32(evloop.Readable)
	if len(c.out) > 0 || c.onDrained != nil {
		events |= evloop.Writable
	}
	if err := c.load.loop.Want(c.fd, events); err != nil {
		c.fail(err)
	}
}

func (c *client) flush() {
	if len(c.out) > 0 {
		n, errno := evloop.Write(c.fd, c.out)
		if errno != 0 && errno != evloop.Again {
			c.fail(errno)
			return
		}
		if c.out = c.out[n:]; len(c.out) > 0 {
			return
		}
		c.out = nil
	}
	if c.onDrained != nil && c.phase == open {
		c.onDrained(c)
		return
	}
	c.want()
}

func (c *client) read() {
	b := c.load.in
	n, errno := evloop.Read(c.fd, b)
	if errno == evloop.Again {
		return
	}
	if errno != 0 {
		c.fail(errno)
		return
	}
	if n == 0 {
		c.fail(io.EOF)
		return
	}
	b = b[:n]
	if c.phase == greeting {
		c.readAnswer(b)
		return
	}
	if c.load.spec.Mode == FakeTLS {
		var err error
		if n, err = c.frames.Count(b); err != nil {
			c.fail(err)
			return
		}
	}
	if n > 0 {
		c.onPayload(c, n)
	}
}

func (c *client) readAnswer(b []byte) {
	c.answer = append(c.answer, b...)
	n, whole := wire.AnswerSize(c.answer)
	switch {
	case len(c.answer) > 64<<10:
		c.fail(errors.New("answer without end"))
	case !whole:
	case n != len(c.answer):
		c.fail(errors.New("bytes behind the answer"))
	case c.answer[0] != 0x16:
		c.fail(fmt.Errorf("answer is a record of type %d", c.answer[0]))
	default:
		c.answer = nil
		c.begin(wire.ChangeCipherSpec)
	}
}
