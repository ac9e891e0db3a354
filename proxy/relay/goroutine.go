package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mtguard/mtproto/faketls"
	"mtguard/security/ratelimit"
)

// Goroutines is the engine for systems without an event loop, and the plainest
// statement of the contract: two goroutines per session, each with one buffer.
type Goroutines struct {
	mu     sync.Mutex
	pairs  map[*pair]struct{}
	closed bool
	wg     sync.WaitGroup
}

// NewGoroutines returns an engine that runs two goroutines per session.
func NewGoroutines() *Goroutines {
	return &Goroutines{pairs: make(map[*pair]struct{})}
}

// Start implements Engine.
func (g *Goroutines) Start(s Session) Handle {
	p := &pair{Session: s, reason: Closed, over: make(chan struct{})}
	p.last.Store(time.Now().UnixNano())
	g.mu.Lock()
	closed := g.closed
	g.pairs[p] = struct{}{}
	g.wg.Add(1)
	g.mu.Unlock()
	if closed {
		p.end(Drained)
	}
	go func() {
		defer g.wg.Done()
		p.run()
		g.mu.Lock()
		delete(g.pairs, p)
		g.mu.Unlock()
		if p.Done != nil {
			up, down := p.moved()
			p.Done(Result{Up: up, Down: down, Reason: p.reason, Over: p.beyond.Load()})
		}
	}()
	return Handle{p}
}

// Active implements Engine.
func (g *Goroutines) Active() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pairs)
}

// Close implements Engine.
func (g *Goroutines) Close() {
	g.mu.Lock()
	g.closed = true
	for p := range g.pairs {
		p.end(Drained)
	}
	g.mu.Unlock()
	g.wg.Wait()
}

// pair is one running session.
type pair struct {
	Session
	bytes [2]atomic.Int64
	last  atomic.Int64 // when a byte last moved, Unix nanoseconds
	// failed is the Reason of a write that failed, Closed if none did.
	failed atomic.Uint32
	once   sync.Once
	over   chan struct{} // closed by end
	beyond atomic.Bool   // went beyond a rate of the throttle once
	// reason is written once, by end, before the connections are closed, and
	// read after both copies have returned.
	reason Reason
}

func (p *pair) run() {
	var wg sync.WaitGroup
	wg.Go(func() { p.copy(0, p.Client, p.Server, &p.Up, p.Throttle.Up) })
	wg.Go(func() { p.copy(1, p.Server, p.Client, &p.Down, p.Throttle.Down) })
	wg.Wait()
	p.end(Reason(p.failed.Load()))
}

func (p *pair) kill(r Reason) { p.end(r) }

func (p *pair) moved() (up, down int64) { return p.bytes[0].Load(), p.bytes[1].Load() }

// end closes both connections, once: the reason given first counts.
func (p *pair) end(r Reason) {
	p.once.Do(func() {
		p.reason = r
		close(p.over)
		if r == Reset {
			abort(p.Client)
			abort(p.Server)
		}
		p.Client.Close()
		p.Server.Close()
	})
}

// copy moves one direction until its source ends, then passes the end on. budget
// gives what its bytes are taken from at present, if anything.
func (p *pair) copy(dir int, src, dst net.Conn, f *Flow, budget func() *ratelimit.Pair) {
	buf := make([]byte, recordSize)
	for {
		most := faketls.MaxPayload
		if b := budget(); b != nil {
			most = min(most, b.Portion())
		}
		n, err := p.read(src, buf[faketls.HeaderSize:faketls.HeaderSize+most])
		if n > 0 {
			out := buf[faketls.HeaderSize : faketls.HeaderSize+n]
			if f.Wrap {
				out = buf[:f.wrap(buf, n)]
			} else if n, err := f.transform(out); err != nil {
				p.end(Malformed)
				return
			} else {
				out = out[:n]
			}
			count := len(out)
			if f.Wrap {
				count = n
			}
			if err := p.write(dst, out); err != nil {
				p.failed.Store(uint32(reasonOf(err)))
				return // the other direction hears what dst said last, and its end
			}
			p.bytes[dir].Add(int64(count))
			if b := budget(); b != nil && err == nil { // it may have come while the reading waited
				pause, over := b.Spent(count, time.Now())
				if over {
					p.beyond.Store(true)
				}
				if !p.pause(pause, budget) {
					return
				}
			}
		}
		if errors.Is(err, io.EOF) {
			if p.failed.Load() == 0 { // else this end is only what a reset leaves behind
				closeWrite(dst)
			}
			return
		}
		if err != nil {
			p.end(reasonOf(err))
			return
		}
	}
}

// pause waits so long, but not longer than what was spent has to be waited for. It
// looks twice a second, as budgets may be changed or taken away. It reports whether
// the session goes on: its end is no way round the budget.
func (p *pair) pause(d time.Duration, budget func() *ratelimit.Pair) bool {
	for until := time.Now().Add(d); d > 0; d = time.Until(until) {
		select {
		case <-p.over:
			return false
		case <-time.After(min(d, lookAgain)):
		}
		p.last.Store(time.Now().UnixNano()) // a pause is ours, not the peers' silence
		if b := budget(); b == nil || !b.Owes(time.Now()) {
			return true
		}
	}
	return true
}

// lookAgain is how long a direction pauses before its budget is looked at again,
// which may have been taken away or changed.
const lookAgain = time.Second / 2

// read waits for bytes for as long as the session, not this direction, is idle.
func (p *pair) read(src net.Conn, b []byte) (int, error) {
	for {
		if p.Idle > 0 {
			src.SetReadDeadline(time.Unix(0, p.last.Load()).Add(p.Idle))
		}
		n, err := src.Read(b)
		if n > 0 {
			p.last.Store(time.Now().UnixNano())
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && p.awake() {
			continue
		}
		return n, err
	}
}

func (p *pair) write(dst net.Conn, b []byte) error {
	for len(b) > 0 {
		if p.Idle > 0 {
			dst.SetWriteDeadline(time.Unix(0, p.last.Load()).Add(p.Idle))
		}
		n, err := dst.Write(b)
		if n > 0 {
			p.last.Store(time.Now().UnixNano())
		}
		b = b[n:]
		if err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && p.awake()) {
			return err
		}
	}
	return nil
}

func (p *pair) awake() bool {
	return time.Since(time.Unix(0, p.last.Load())) < p.Idle
}

func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Idled
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, net.ErrClosed):
		return Reset
	}
	return Failed
}

func closeWrite(c net.Conn) {
	if t, ok := c.(interface{ CloseWrite() error }); ok {
		t.CloseWrite()
	}
}

// abort makes the next Close a reset instead of an orderly end.
func abort(c net.Conn) {
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		t.SetLinger(0)
	}
}
