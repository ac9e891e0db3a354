package tgsim

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// endFirst dials connections on which the peer's end is read before the write that called for
// it returns: on a busy machine the writer may be the last to be told.
type endFirst struct{}

func (endFirst) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	return &lateWriter{Conn: c, ended: make(chan struct{})}, err
}

type lateWriter struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
}

func (c *lateWriter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.once.Do(func() { close(c.ended) })
	}
	return n, err
}

func (c *lateWriter) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	<-c.ended
	return n, err
}

// TestSentIsWholeWhenTheEndComesFirst: what a probe has sent is shown to the site afterwards,
// which must not be asked nothing because the end came early.
func TestSentIsWholeWhenTheEndComesFirst(t *testing.T) {
	var s server
	if err := s.start(t.Context(), "", false); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.serve(func(c net.Conn) { io.ReadFull(c, make([]byte, 64)); c.Close() })
	for range 200 { // the two goroutines run on in any order
		o, err := Garbage(64).Run(t.Context(), Target{Addr: s.Addr(), Dialer: endFirst{}})
		if err != nil || o.End != FIN || len(o.Sent) != 64 {
			t.Fatalf("sent %d bytes, %v, %v; want 64, fin", len(o.Sent), o.End, err)
		}
	}
}

// stalled is a connection on a machine that runs nobody for a while: the deadline has long
// passed when a reader is woken, and the peer has its turn only then.
type stalled struct {
	net.Conn
	stall    time.Duration
	deadline time.Time
	reads    int
}

func (c *stalled) SetReadDeadline(at time.Time) error {
	c.deadline = at
	return nil
}

func (c *stalled) Read([]byte) (int, error) {
	if c.reads++; c.reads > 1 && c.stall > 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Until(c.deadline) + c.stall)
	return 0, os.ErrDeadlineExceeded
}

func TestAStallIsNotSilence(t *testing.T) {
	const wait = 3 * time.Second
	for name, tc := range map[string]struct {
		stall time.Duration
		want  Ending
		after time.Duration
	}{
		"the peer ends after a stall":       {time.Minute, FIN, time.Minute + wait/20},
		"the peer is silent":                {0, StaysOpen, wait},
		"the reader is woken a little late": {time.Millisecond, FIN, wait/20 + time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &tap{Conn: &stalled{stall: tc.stall}, start: time.Now()}
				c.giveUpAfter(wait)
				c.watch()
				if o := c.observed(); o.End != tc.want || o.After != tc.after {
					t.Errorf("%v after %v, want %v after %v", o.End, o.After, tc.want, tc.after)
				}
			})
		})
	}
}

// TestFailedSendingIsNoSending: what is tried after the peer's end moves no times.
func TestFailedSendingIsNoSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, peer := net.Pipe()
		c := &tap{Conn: here, start: time.Now()}
		go func() {
			io.ReadFull(peer, make([]byte, 1))
			time.Sleep(time.Second)
			io.WriteString(peer, "no")
			time.Sleep(time.Second)
			peer.Close()
		}()
		c.Write([]byte("a"))
		c.watch()
		time.Sleep(time.Second)
		c.Write([]byte("b"))
		if o := c.observed(); o.First != time.Second || o.After != 2*time.Second || string(o.Sent) != "a" {
			t.Errorf("first byte after %v, end after %v, sent %q", o.First, o.After, o.Sent)
		}
	})
}

// mute dials connections on which nothing can be sent.
type mute struct{ dialled int }

func (m *mute) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	m.dialled++
	return muted{c}, err
}

type muted struct{ net.Conn }

func (muted) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestNothingCapturedIsNoReplay: what no genuine client has sent is not known to the proxy, and
// would be served.
func TestNothingCapturedIsNoReplay(t *testing.T) {
	l := startLab(t, DCConfig{}, &testRelay{})
	for _, name := range []string{"replay", "replay-all", "replay-retimed", "replay-init"} {
		var dialer mute
		_, err := find(t, name).Run(t.Context(), Target{Addr: l.relay.Addr(), Secret: l.relay.secret, Domain: testDomain, Dialer: &dialer})
		if err == nil || dialer.dialled != 1 {
			t.Errorf("%s: %v after %d connections, want an error after the first", name, err, dialer.dialled)
		}
	}
}
