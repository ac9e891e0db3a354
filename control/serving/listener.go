package serving

import (
	"net"
	"net/netip"
	"sync"
)

// Listener bounds the open connections. One that finds no place is reset at once, before anything is read of it, started for it or said to
// it: the same for whoever it is.
type Listener struct {
	net.Listener
	bounds func(from netip.Addr) Bounds
	places Places
	wait   acceptor // nil: connections come from Listener
}

// acceptor takes connections in the way that costs least where most are refused.
type acceptor interface {
	// accept returns the next connection that may has let in. An error that comes with an address is of one that was let in.
	accept(may func(from netip.Addr) bool) (c net.Conn, from netip.AddrPort, err error)
	close() error
}

// Listen returns a listener that takes the connections of l, which it owns from now on. bounds is asked for each of them, by one goroutine
// at a time, and must not block; of a connection that has no address of the Internet protocol it gets the zero Addr.
func Listen(l net.Listener, bounds func(from netip.Addr) Bounds) *Listener {
	return &Listener{Listener: l, bounds: bounds, wait: acceptorOf(l)}
}

// Accept returns the next connection there is a place for. Its Close gives the place back.
func (l *Listener) Accept() (net.Conn, error) {
	if l.wait == nil {
		return l.acceptAny()
	}
	c, from, err := l.wait.accept(l.take)
	if err != nil {
		if from.IsValid() {
			l.places.Free(from.Addr())
		}
		return nil, err
	}
	return l.placed(c, from.Addr(), net.TCPAddrFromAddrPort(from)), nil
}

// acceptAny is Accept where connections come from the listener below.
func (l *Listener) acceptAny() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var from netip.Addr
		if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			from = t.AddrPort().Addr()
		}
		if l.take(from) {
			return l.placed(c, from, c.RemoteAddr()), nil
		}
		if t, ok := c.(*net.TCPConn); ok {
			t.SetLinger(0) // a reset: nothing of it is left to wait for
		}
		c.Close()
	}
}

func (l *Listener) take(from netip.Addr) bool {
	return l.places.Take(from, l.bounds(from.Unmap().WithZone("")))
}

func (l *Listener) placed(c net.Conn, from netip.Addr, remote net.Addr) net.Conn {
	return &placed{Conn: c, remote: remote, free: sync.OnceFunc(func() { l.places.Free(from) })}
}

// Close stops listening.
func (l *Listener) Close() error {
	if l.wait == nil {
		return l.Listener.Close()
	}
	err := l.wait.close()
	l.Listener.Close() // it may be closed already
	return err
}

// placed is a connection that gives its place back when it is closed.
type placed struct {
	net.Conn
	remote net.Addr // the socket below forgets it when the other end has gone already
	free   func()
}

func (c *placed) RemoteAddr() net.Addr { return c.remote }

func (c *placed) Close() error {
	defer c.free()
	return c.Conn.Close()
}
