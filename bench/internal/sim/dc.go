package sim

import (
	"fmt"
	"syscall"
	"time"

	"mtguard/bench/internal/evloop"
	"mtguard/bench/internal/wire"
)

const (
	openingSize = wire.HeaderSize + wire.OrderSize
	maxChecked  = 4 << 20 // checked downloads are made whole in memory
)

// dcConn is one connection to the data centre.
type dcConn struct {
	sim     *Sim
	fd      int
	opening [openingSize]byte
	have    int

	order    wire.Order
	streams  wire.Streams // of checked orders only
	content  []byte       // the whole of a checked download
	received int64        // payload of an upload
	sent     int64        // of a download
	allowed  int64        // how much of a download may have left by now
	due      time.Time    // of the next chunk
	held     []byte       // echo or receipt that the socket would not take
}

func (s *Sim) newDC(fd int) error {
	s.Accepted++
	s.Open++
	return s.loop.Watch(fd, evloop.Readable, &dcConn{sim: s, fd: fd})
}

// Ready moves the connection on.
func (c *dcConn) Ready(events uint32) {
	var err error
	if events&evloop.Writable != 0 {
		err = c.writable()
	}
	if err == nil && events&^evloop.Writable != 0 {
		err = c.readable()
	}
	if err != nil {
		c.close()
	}
}

func (c *dcConn) close() {
	c.sim.Open--
	if c.order.Rate > 0 {
		c.sim.setPaced(c, false)
	}
	c.sim.loop.Forget(c.fd)
	// A reset spares the proxy a TIME_WAIT: thousands of sessions per second would run out of ports otherwise.
	evloop.Reset(c.fd)
}

func (c *dcConn) readable() error {
	read := evloop.Read
	if c.order.Op == wire.Upload && !c.order.Checked {
		read = evloop.Discard
	}
	n, errno := read(c.fd, c.sim.scratch)
	if errno == evloop.Again {
		return nil
	}
	if errno != 0 {
		return errno
	}
	if n == 0 {
		return syscall.EPIPE
	}
	c.sim.Received += int64(n)
	b := c.sim.scratch[:n]
	if c.have < openingSize {
		took := copy(c.opening[c.have:], b)
		c.have += took
		if c.have < openingSize {
			return nil
		}
		if err := c.begin(); err != nil {
			c.sim.BadOrders++
			c.sim.LastBad = err.Error()
			return err
		}
		if b = b[took:]; len(b) == 0 {
			return nil
		}
	}
	return c.data(b)
}

// begin reads the header and the order and starts to do what it says.
func (c *dcConn) begin() error {
	_, _, key, ok := wire.OpenHeader(c.opening[:wire.HeaderSize])
	if !ok {
		return fmt.Errorf("no obfuscated2 header: % x", c.opening[:8])
	}
	up := key.Up()
	var clear [wire.OrderSize]byte
	up.XORKeyStream(clear[:], c.opening[wire.HeaderSize:])
	order, err := wire.ParseOrder(clear[:])
	if err != nil {
		return err
	}
	c.order = order
	if order.Checked {
		c.streams = key.Streams()
		c.streams.Up = up
	}
	if order.Op != wire.Download {
		return nil
	}
	if order.Checked {
		if order.Bytes > maxChecked {
			return fmt.Errorf("checked download of %d bytes", order.Bytes)
		}
		c.content = make([]byte, order.Bytes)
		wire.Pattern(c.content, 0)
		c.streams.Down.XORKeyStream(c.content, c.content)
	}
	if order.Rate == 0 {
		c.allowed = order.Bytes
		return c.download()
	}
	if order.Chunk == 0 {
		return fmt.Errorf("paced download without a chunk size")
	}
	// Streams that start together must not tick together.
	c.due = time.Now().Add(time.Duration(c.fd%64) * c.interval() / 64)
	return c.sim.setPaced(c, true)
}

func (c *dcConn) interval() time.Duration {
	return time.Duration(int64(c.order.Chunk) * int64(time.Second) / c.order.Rate)
}

// tick lets the next chunk of a paced download go. A stream that is blocked falls behind instead of saving up for a burst.
func (c *dcConn) tick(now time.Time) {
	if now.Before(c.due) || c.sent < c.allowed || c.allowed == c.order.Bytes {
		return
	}
	c.due = c.due.Add(c.interval())
	if now.Sub(c.due) > 4*c.interval() {
		c.due = now
	}
	c.allowed = min(c.allowed+int64(c.order.Chunk), c.order.Bytes)
	if err := c.download(); err != nil {
		c.close()
	}
}

func (c *dcConn) download() error {
	for range 4 { // then the others
		if c.sent == c.allowed {
			return c.sim.loop.Want(c.fd, evloop.Readable)
		}
		n := min(c.allowed-c.sent, bulk)
		from := c.sim.ready[:n]
		if c.content != nil {
			from = c.content[c.sent : c.sent+n]
		}
		wrote, errno := evloop.Write(c.fd, from)
		if errno != 0 && errno != evloop.Again {
			return errno
		}
		c.sent += int64(wrote)
		c.sim.Sent += int64(wrote)
		if wrote < int(n) {
			break
		}
	}
	if c.sent == c.allowed {
		return c.sim.loop.Want(c.fd, evloop.Readable)
	}
	return c.sim.loop.Want(c.fd, evloop.Readable|evloop.Writable)
}

func (c *dcConn) data(b []byte) error {
	switch c.order.Op {
	case wire.Echo:
		if c.order.Checked {
			c.streams.Up.XORKeyStream(b, b)
			c.streams.Down.XORKeyStream(b, b)
		}
		return c.answer(b)
	case wire.Upload:
		if c.order.Checked {
			c.streams.Up.XORKeyStream(b, b)
			if !wire.IsPattern(b, c.received) {
				c.sim.BadOrders++
				c.sim.LastBad = fmt.Sprintf("upload differs within %d bytes after %d", len(b), c.received)
				return syscall.EPROTO
			}
		}
		before := c.received
		c.received += int64(len(b))
		if before < c.order.Bytes && c.received >= c.order.Bytes {
			receipt := make([]byte, wire.UploadReceipt)
			if c.order.Checked {
				wire.Pattern(receipt, 0)
				c.streams.Down.XORKeyStream(receipt, receipt)
			}
			return c.answer(receipt)
		}
	}
	return nil
}

// answer writes b, or keeps what does not fit and reads nothing until it has left.
func (c *dcConn) answer(b []byte) error {
	n, errno := evloop.Write(c.fd, b)
	if errno != 0 && errno != evloop.Again {
		return errno
	}
	c.sim.Sent += int64(n)
	if n == len(b) {
		return nil
	}
	c.held = append(c.held, b[n:]...)
	return c.sim.loop.Want(c.fd, evloop.Writable)
}

func (c *dcConn) writable() error {
	if c.order.Op == wire.Download {
		return c.download()
	}
	n, errno := evloop.Write(c.fd, c.held)
	if errno != 0 && errno != evloop.Again {
		return errno
	}
	c.sim.Sent += int64(n)
	if c.held = c.held[n:]; len(c.held) > 0 {
		return nil
	}
	c.held = nil
	return c.sim.loop.Want(c.fd, evloop.Readable)
}
