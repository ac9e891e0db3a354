package tgsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Ending is how a connection ended, as seen by one who waits for the other end.
type Ending uint8

// The endings.
const (
	StaysOpen Ending = iota // nothing within the time waited
	FIN                     // an orderly end of the peer's direction
	RST                     // a reset
	Ours                    // the probe itself broke the connection off
)

// String names the ending.
func (e Ending) String() string {
	return [...]string{"stays open", "fin", "rst", "ours"}[min(e, Ours)]
}

// Observed is everything a prober learns from one connection.
type Observed struct {
	Bytes  []byte        // exactly what the peer sent
	Sent   []byte        // exactly what the probe sent; see Replay
	End    Ending        // how it ended
	After  time.Duration // from the probe's last byte to the end or to giving up
	Lasted time.Duration // from the connection to the end or to giving up
	First  time.Duration // from the probe's last byte to the first byte received; 0 when that came earlier or never

	Served  bool   // the bytes start with an answer that only the secret's holder can give
	Capture error  // of a replay: why the genuine session before it went wrong
	Page    []byte // of a visitor: the body got over TLS
	Leaf    []byte // of a visitor: the certificate shown
	Visit   error  // of a visitor: why TLS or HTTP went wrong
}

// Shape describes the bytes by what two handshakes with one server share: types
// and lengths of the records, alerts in full.
func (o Observed) Shape() string { return shape(o.Bytes) }

// Diff tells in what a proxy's conduct differs from a web site's, "" when in
// nothing. slack is the number of bytes by which each record may differ: 8
// covers an ECDSA signature. Where the probe broke both connections off, what had come by then
// is a matter of time, and only the records that both have count. Times are left to the caller.
func Diff(site, proxy Observed, slack int) string {
	var d []string
	if site.End != proxy.End {
		d = append(d, fmt.Sprintf("end: site %v, proxy %v", site.End, proxy.End))
	}
	a, restA := Records(site.Bytes)
	b, restB := Records(proxy.Bytes)
	if site.End == Ours && proxy.End == Ours {
		common := min(len(a), len(b))
		a, b, restA, restB = a[:common], b[:common], nil, nil
	}
	same := len(a) == len(b) && len(restA) == len(restB)
	for i := 0; same && i < len(a); i++ {
		gap := len(a[i].Payload) - len(b[i].Payload)
		same = a[i].Type == b[i].Type && a[i].Version == b[i].Version && gap <= slack && -gap <= slack
		if same && a[i].Type == recordAlert {
			same = string(a[i].Payload) == string(b[i].Payload)
		}
	}
	if len(a) == 0 && len(b) == 0 {
		same = string(restA) == string(restB)
	}
	if !same {
		d = append(d, fmt.Sprintf("bytes: site %q, proxy %q", site.Shape(), proxy.Shape()))
	}
	if string(site.Page) != string(proxy.Page) || string(site.Leaf) != string(proxy.Leaf) {
		d = append(d, "visitor: another page or certificate")
	}
	return strings.Join(d, "; ")
}

// Target is what a probe is aimed at. The secret must be a good one: the probes
// spoil it as they need.
type Target struct {
	Addr   string
	Secret []byte
	Domain string
	DC     int
	Dialer Dialer           // nil is a net.Dialer
	Clock  func() time.Time // nil is time.Now
	Wait   time.Duration    // how long a silent peer is watched; 0 is 3 s
	Pause  time.Duration    // between the pieces of slow probes; 0 is 2 ms
}

func (t Target) client() *Client {
	return &Client{Proxy: t.Addr, Secret: t.Secret, Domain: t.Domain, DC: t.DC, Dialer: t.Dialer, Clock: t.Clock, Timeout: t.wait()}
}

func (t Target) wait() time.Duration {
	if t.Wait == 0 {
		return 3 * time.Second
	}
	return t.Wait
}

func (t Target) pause() time.Duration {
	if t.Pause == 0 {
		return 2 * time.Millisecond
	}
	return t.Pause
}

// tap is a connection that notes what passes. Reads and writes may run in two
// goroutines.
type tap struct {
	net.Conn
	mu              sync.Mutex
	received, sent  []byte
	start           time.Time
	lastSent, first time.Time // first byte received after lastSent
	ended           time.Time // of the receiving direction, by err
	err             error
	slice           time.Duration // see giveUpAfter
	slices          int           // not begun yet
}

// giveUpAfter ends the reading of a silent peer after wait, counted from now. It is counted
// in slices, each begun when this end has seen the one before go by: on a machine that runs
// nobody for a while the peer has had no time either, and would seem to say nothing.
func (t *tap) giveUpAfter(wait time.Duration) {
	const slices = 20
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slice, t.slices = wait/slices, slices
	t.nextSlice()
}

// nextSlice needs mu. It reports false when the wait is over.
func (t *tap) nextSlice() bool {
	if t.slices == 0 {
		return false
	}
	t.slices--
	return t.SetReadDeadline(time.Now().Add(t.slice)) == nil
}

func (t *tap) patient() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nextSlice()
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	for errors.Is(err, os.ErrDeadlineExceeded) && t.patient() {
		n, err = t.Conn.Read(p)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > 0 && t.first.Before(t.lastSent) {
		t.first = time.Now()
	}
	t.received = append(t.received, p[:n]...)
	if err != nil && t.ended.IsZero() { // later ones say less: after a reset comes a plain end
		t.ended, t.err = time.Now(), err
	}
	return n, err
}

func (t *tap) Write(p []byte) (int, error) {
	t.sends() // before the write: the answer may overtake its return
	n, err := t.Conn.Write(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent = append(t.sent, p[:n]...)
	return n, err
}

func (t *tap) CloseWrite() error {
	t.sends()
	return closeWrite(t.Conn)
}

// sends notes the time of sending, which nobody sees any more after the peer's end.
func (t *tap) sends() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended.IsZero() {
		t.lastSent = time.Now()
	}
}

func (t *tap) SetLinger(seconds int) error {
	if l, ok := t.Conn.(interface{ SetLinger(int) error }); ok {
		return l.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}

// watch reads to the end. The reading side must be free.
func (t *tap) watch() { io.Copy(io.Discard, struct{ io.Reader }{t}) }

// observed sums up, when both reading and sending are over: the peer's end may be seen
// before the write that called for it has returned.
func (t *tap) observed() Observed {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := Observed{Bytes: t.received, Sent: t.sent, End: endingOf(t.err), Lasted: t.ended.Sub(t.start)}
	if t.lastSent.IsZero() {
		t.lastSent = t.start
	}
	o.After = max(0, t.ended.Sub(t.lastSent))
	if !t.first.Before(t.lastSent) {
		o.First = t.first.Sub(t.lastSent)
	}
	return o
}

func endingOf(err error) Ending {
	switch {
	case err == nil, err == io.EOF:
		return FIN
	case errors.Is(err, os.ErrDeadlineExceeded):
		return StaysOpen
	case errors.Is(err, net.ErrClosed):
		return Ours
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return RST
	}
	return FIN
}

// recorder is a Dialer that keeps what its connections send.
type recorder struct {
	Dialer
	last *tap
}

func (r *recorder) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := r.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.last = &tap{Conn: c}
	return r.last, nil
}

// Summary says in a few words what the prober got.
func (o Observed) Summary() string {
	what := "nothing"
	switch {
	case o.Served:
		what = "the proxy's answer"
	case len(o.Leaf) > 0:
		what = fmt.Sprintf("a web site's certificate and %d bytes of page", len(o.Page))
	case len(o.Bytes) > 0:
		what = fmt.Sprintf("%d bytes of a web site", len(o.Bytes))
	}
	return fmt.Sprintf("got %s; %v after %v", what, o.End, o.Lasted.Round(time.Millisecond))
}
