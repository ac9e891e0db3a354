// Package sim is the far side of every measurement: a simulated Telegram data centre and a simulated cover site in one event loop.
//
// It is built to cost less than any proxy in front of it: unless an order asks for checking, it ignores the cipher, sends bytes made
// beforehand and throws away what it gets. It is not a Telegram server; package tgsim of mtguard is the faithful one.
//
// A Sim belongs to one goroutine. Linux only.
package sim

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"mtguard/bench/internal/evloop"
)

// Counters are what a Sim has seen so far.
type Counters struct {
	Accepted   int64  `json:"accepted"` // connections to the data centre
	Open       int64  `json:"open"`
	Sent       int64  `json:"sent"`
	Received   int64  `json:"received"`
	BadOrders  int64  `json:"bad_orders"` // streams whose first bytes made no sense
	LastBad    string `json:"last_bad,omitempty"`
	CoverOpen  int64  `json:"cover_open"`
	CoverTaken int64  `json:"cover_taken"`
}

// Sim serves data centre and cover site connections.
type Sim struct {
	Counters
	loop    *evloop.Loop
	ready   []byte // what unchecked downloads are made of
	scratch []byte
	flight  []byte // the cover site's answer
	paced   map[*dcConn]struct{}
	ticker  *evloop.Ticker
}

// bulk is the size of one write: large, since a data centre that writes often would be a cost of its own.
const bulk = 256 << 10

// New makes a Sim in the loop, listening for data centre connections at each address of dc, and for visitors of the cover site at each
// address of cover.
func New(loop *evloop.Loop, dc, cover []netip.AddrPort) (*Sim, error) {
	s := &Sim{
		loop: loop, ready: make([]byte, bulk), scratch: make([]byte, bulk),
		flight: coverFlight(), paced: map[*dcConn]struct{}{},
	}
	for i := range s.ready {
		s.ready[i] = byte(i * 131)
	}
	for _, at := range dc {
		if err := s.listen(at, s.newDC); err != nil {
			return nil, err
		}
	}
	for _, at := range cover {
		if err := s.listen(at, s.newVisitor); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Sim) listen(at netip.AddrPort, accepted func(fd int) error) error {
	listener, err := evloop.Listen(at)
	if err != nil {
		return err
	}
	return s.loop.Watch(listener, evloop.Readable, evloop.Func(func(uint32) {
		for range 64 { // a burst must not starve the connections that are already here
			fd, errno := evloop.Accept(listener)
			if errno != 0 {
				return
			}
			if err := accepted(fd); err != nil {
				syscall.Close(fd)
			}
		}
	}))
}

// setPaced keeps one ticker running for as long as somebody wants to be paced.
func (s *Sim) setPaced(c *dcConn, on bool) error {
	if !on {
		delete(s.paced, c)
		if len(s.paced) == 0 && s.ticker != nil {
			s.ticker.Stop()
			s.ticker = nil
		}
		return nil
	}
	s.paced[c] = struct{}{}
	if s.ticker != nil {
		return nil
	}
	ticker, err := s.loop.Every(time.Millisecond, func(int) {
		now := time.Now()
		for c := range s.paced {
			c.tick(now)
		}
	})
	if err != nil {
		return fmt.Errorf("pacing: %w", err)
	}
	s.ticker = ticker
	return nil
}

// visitor is one connection to the cover site.
type visitor struct {
	sim      *Sim
	fd       int
	answered bool
}

func (s *Sim) newVisitor(fd int) error {
	s.CoverTaken++
	s.CoverOpen++
	return s.loop.Watch(fd, evloop.Readable, &visitor{sim: s, fd: fd})
}

// Ready answers the first bytes with a server's first flight and ignores what comes after them.
func (v *visitor) Ready(uint32) {
	n, errno := evloop.Read(v.fd, v.sim.scratch)
	switch {
	case errno == evloop.Again:
	case errno != 0 || n == 0:
		v.sim.CoverOpen--
		v.sim.loop.Forget(v.fd)
		evloop.Reset(v.fd)
	case !v.answered:
		v.answered = true
		evloop.Write(v.fd, v.sim.flight)
	}
}

// coverFlight has the shape and size of a TLS 1.3 server's first flight; nobody in a benchmark looks inside.
func coverFlight() []byte {
	hello := []byte{0x16, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3}
	for i := range 32 {
		hello = append(hello, byte(i*7+1))
	}
	hello = append(hello, 32)
	for i := range 32 {
		hello = append(hello, byte(i*5+3))
	}
	hello = append(hello, 0x13, 1, 0, 0, 46, 0, 0x2b, 0, 2, 3, 4, 0, 0x33, 0, 0x24, 0, 0x1d, 0, 0x20)
	for i := range 32 {
		hello = append(hello, byte(i*3+9))
	}
	const certificates = 2600
	hello = append(hello, 0x14, 3, 3, 0, 1, 1, 0x17, 3, 3, certificates>>8, certificates&0xff)
	for i := range certificates {
		hello = append(hello, byte(i*29))
	}
	return hello
}
