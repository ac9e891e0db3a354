// Package proxy is the data path: it accepts connections, has them judged and
// authenticated, opens the way to Telegram and hands the pair to the relay.
// doc/connection.md walks one connection through it.
//
// A connection is served by one goroutine, in one straight line (conn.go),
// until the relay has it; from then on no goroutine belongs to it. Everything
// a connection wants to know about policy it takes from one snapshot, loaded
// once. Whoever is refused is shown the cover site (mask.go).
//
//	s := &proxy.Server{Live: live, Guard: pipeline, Auth: authenticator, ...}
//	go s.Serve(listener)
//	s.Shutdown(ctx) // drain, then end
package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/proxy/relay"
	"mtguard/proxy/upstream"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// Server serves any number of listeners. All fields are required and read-only
// once Serve was called.
type Server struct {
	Live     *policy.Live
	Guard    *guard.Pipeline
	Auth     *auth.Authenticator
	Sessions *auth.Sessions
	Upstream upstream.Dialer
	Engine   relay.Engine
	Cover    *Cover
	// Occupancy counts the connections per address, Covered those of them that
	// are shown the cover site.
	Occupancy, Covered *guard.Occupancy
	Suspects           *guard.Suspects // nil: nobody is suspected
	Events             event.Sink
	Stats              *stats.Counters
	Log                *slog.Logger

	serial atomic.Uint64
	open   atomic.Int64 // connections in any state
	silent atomic.Int64 // read and never answered
	half   halfOpen
	// What is logged once a minute at most: a cover site that leads back, bad
	// PROXY headers, accept errors, DCs out of reach.
	rarely, headers, accepts, dials occasional
	buffers                         sync.Pool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	stopping  bool
	handshake sync.WaitGroup // connections that the relay does not have
	ctx       context.Context
	stop      context.CancelFunc
}

// ErrClosed is returned by Serve after Shutdown.
var ErrClosed = errors.New("proxy: server closed")

// Serve accepts connections from l until Shutdown closes it, and returns
// ErrClosed then. A failing accept (no free descriptors, say) is tried again
// after a pause; the connections that are there go on meanwhile.
func (s *Server) Serve(l net.Listener) error {
	if !s.add(l) {
		l.Close()
		return ErrClosed
	}
	var pause time.Duration
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.accept(c)
		case errors.Is(err, net.ErrClosed):
			return ErrClosed
		default:
			if s.accepts.now(time.Now()) {
				s.Log.Error("accept", "listener", l.Addr().String(), "error", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
		}
	}
}

func (s *Server) add(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == nil {
		s.listeners = make(map[net.Listener]struct{})
		s.ctx, s.stop = context.WithCancel(context.Background())
		s.buffers.New = func() any { b := make([]byte, 0, helloBuffer); return &b }
	}
	s.listeners[l] = struct{}{}
	return !s.stopping
}

// helloBuffer holds the hello of every client of 2026 (up to 1.9 KB) and the
// first packets behind the init; a longer hello grows its own.
const helloBuffer = 4096

// accept starts the goroutine of a connection.
func (s *Server) accept(c net.Conn) {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		c.Close()
		return
	}
	s.handshake.Add(1)
	s.mu.Unlock()
	s.Stats.Accepted()
	open := s.open.Add(1)
	go func() {
		defer s.handshake.Done()
		s.serveConn(c, int(open))
	}()
}

// Shutdown closes the listeners and waits for connections to end by
// themselves. When ctx is done, those that are left are ended.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	s.stopping = true
	for l := range s.listeners {
		l.Close()
	}
	stop := s.stop
	s.mu.Unlock()
	if stop == nil { // Serve was never called
		s.Engine.Close()
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	// Strangers, shown the cover site or read in silence, are not waited for.
	for s.open.Load() > int64(s.Covered.Open())+s.silent.Load() && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	stop()
	s.half.closeAll()
	s.Engine.Close()
	s.handshake.Wait()
}

// occasional lets something through once a minute: a log line that a flood
// would write thousands of times.
type occasional struct{ last atomic.Int64 }

func (o *occasional) now(t time.Time) bool {
	last := o.last.Load()
	return (last == 0 || t.UnixNano()-last > int64(time.Minute)) && o.last.CompareAndSwap(last, t.UnixNano())
}

// halfOpen holds the connections that have not said who they are. It bounds
// them by giving up the one that has taken longest: a client that means it is
// through in one round trip, so under a flood the flood pays.
type halfOpen struct {
	mu            sync.Mutex
	oldest, young *waiting
	n             int
	closed        bool
}

type waiting struct {
	c          net.Conn
	next, prev *waiting
	in         bool
}

// enter adds c and returns how many there are with it, after the oldest made
// room if they were more than limit; 0 is no limit.
func (h *halfOpen) enter(c net.Conn, limit int) (w *waiting, n int, evicted bool) {
	w = &waiting{c: c, in: true}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		c.Close()
	}
	w.prev = h.young
	if h.young != nil {
		h.young.next = w
	} else {
		h.oldest = w
	}
	h.young = w
	h.n++
	if limit > 0 && h.n > limit {
		out := h.oldest
		h.unlink(out)
		out.c.Close() // wakes its goroutine
		evicted = true
	}
	return w, h.n, evicted
}

// leave takes w out and reports whether it was still in: if not, it was given
// up and its connection is closed.
func (h *halfOpen) leave(w *waiting) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := w.in
	h.unlink(w)
	return was
}

func (h *halfOpen) unlink(w *waiting) {
	if !w.in {
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		h.oldest = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		h.young = w.prev
	}
	w.in, w.next, w.prev = false, nil, nil
	h.n--
}

func (h *halfOpen) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for w := h.oldest; w != nil; w = w.next {
		w.c.Close()
	}
}
