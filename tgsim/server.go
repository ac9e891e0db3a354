package tgsim

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// server is the part that DC and Cover share: a listener, the connections it
// accepted, and an end that waits for all of them.
type server struct {
	listener net.Listener
	done     chan struct{} // closed by close
	tasks    sync.WaitGroup
	stop     func() bool // detaches from the context

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]struct{}
}

// start listens on address, "" being any port of 127.0.0.1. A down server keeps
// the address but listens no more.
func (s *server) start(ctx context.Context, address string, down bool) error {
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s.listener, s.done, s.open = l, make(chan struct{}), make(map[net.Conn]struct{})
	if down {
		l.Close()
	}
	s.stop = context.AfterFunc(ctx, s.end)
	return nil
}

// serve accepts until the end and runs handle for each connection.
func (s *server) serve(handle func(net.Conn)) {
	s.tasks.Go(func() {
		for {
			c, err := s.listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // no descriptors: wait until there are some
				if !s.sleep(10 * time.Millisecond) {
					return
				}
				continue
			}
			s.mu.Lock()
			if s.closed {
				s.mu.Unlock()
				c.Close()
				return
			}
			s.open[c] = struct{}{}
			s.tasks.Go(func() {
				defer s.drop(c)
				handle(c)
			})
			s.mu.Unlock()
		}
	})
}

func (s *server) drop(c net.Conn) {
	c.Close()
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
}

// sleep waits, and reports false when the server ended meanwhile.
func (s *server) sleep(d time.Duration) bool {
	select {
	case <-s.done:
		return false
	case <-time.After(d):
		return true
	}
}

// end closes everything without waiting.
func (s *server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.done)
	s.listener.Close()
	for c := range s.open {
		c.Close()
	}
}

// Close stops listening, closes every connection and waits for the goroutines.
func (s *server) Close() error {
	s.stop()
	s.end()
	s.tasks.Wait()
	return nil
}

// Addr returns host:port.
func (s *server) Addr() string { return s.listener.Addr().String() }
