package tgsim

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Probe is one way to misuse a proxy's port.
type Probe struct {
	Name  string
	About string
	// Served tells that a proxy answers by itself, because the hello is a good one
	// in odd clothes. Any other probe must meet the cover site.
	Served bool

	oneShot bool // all bytes go out in one write
	prepare func(ctx context.Context, t Target) (probing, error)
}

// probing is a prepared probe: what was captured before, what is done on the
// connection.
type probing struct {
	hello   []byte // whose answer would show the secret's holder
	capture error
	visit   func(c *tap) (page, leaf []byte, err error) // does its own reading
	send    func(ctx context.Context, c *tap) error
}

// Run probes the target and reports what it did. The error tells of the probe's
// own troubles, such as no connection; whatever the peer does is no error.
func (p Probe) Run(ctx context.Context, t Target) (Observed, error) {
	if t.Dialer == nil {
		t.Dialer = &net.Dialer{}
	}
	do, err := p.prepare(ctx, t)
	if err != nil {
		return Observed{}, fmt.Errorf("probe %s: %w", p.Name, err)
	}
	raw, err := t.Dialer.DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return Observed{}, fmt.Errorf("probe %s: %w", p.Name, err)
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	c := &tap{Conn: raw, start: time.Now()}
	var o Observed
	if do.visit != nil {
		c.giveUpAfter(t.wait())
		page, leaf, err := do.visit(c)
		c.watch()
		o = c.observed()
		o.Page, o.Leaf, o.Visit = page, leaf, err
	} else {
		var sending sync.WaitGroup
		sending.Go(func() {
			// A peer that closes early makes the rest of the sending fail: that is
			// an observation, and the watcher makes it.
			do.send(ctx, c)
			c.giveUpAfter(t.wait())
		})
		c.watch()
		sending.Wait()
		o = c.observed()
	}
	o.Capture = do.capture
	if size, err := flightSize(o.Bytes); do.hello != nil && err == nil && size > 0 && size <= len(o.Bytes) {
		o.Served = checkFlight(o.Bytes[:size], t.Secret, do.hello[randomAt:randomEnd]) == nil
	}
	return o, ctx.Err()
}

// Compare runs the probe against a proxy and then against the web site at the
// address site. Where the probe allows it the site is shown the very bytes that
// the proxy got: servers answer one noise with an alert and another with none,
// and at the site there is no session to capture.
func (p Probe) Compare(ctx context.Context, t Target, site string) (atProxy, atSite Observed, err error) {
	if atProxy, err = p.Run(ctx, t); err != nil {
		return atProxy, atSite, err
	}
	if p.oneShot {
		p = Replay(atProxy.Sent)
	}
	t.Addr, t.Dialer = site, nil
	atSite, err = p.Run(ctx, t)
	return atProxy, atSite, err
}

// Probes returns all kinds, in a fixed order.
func Probes() []Probe {
	list := []Probe{
		fixed("wrong-secret", "a good hello, signed with another secret", func(t Target) ([]byte, error) {
			t.Secret = someBytes(16)
			return t.client().NewHello()
		}),
		fixed("wrong-name", "the right secret, another server name", func(t Target) ([]byte, error) {
			t.Domain = "elsewhere.example.org"
			return t.client().NewHello()
		}),
		fixed("no-name", "the right secret, no server name", func(t Target) ([]byte, error) {
			t.Domain = ""
			return t.client().NewHello()
		}),
		fixed("clock-behind", "the right secret, a time one day ago", atClock(-24*time.Hour)),
		fixed("clock-ahead", "the right secret, a time one hour ahead", atClock(time.Hour)),
		fixed("oversized-record", "the right secret, a record above 2^14", oversized),
		fixed("http", "a plain HTTP request", func(t Target) ([]byte, error) {
			return []byte("GET / HTTP/1.1\r\nHost: " + t.Domain + "\r\n\r\n"), nil
		}),
		fixed("wrong-secret-init", "a padded-mode init of another secret and a packet", func(Target) ([]byte, error) {
			init, _, err := newInit(padded, 2, someBytes(16))
			return append(init[:], someBytes(200)...), err
		}),
		replay("replay", "a captured hello, sent again", FakeTLS, func(sent, hello []byte) []byte { return hello }),
		replay("replay-all", "all that a client sent, sent again", FakeTLS, func(sent, hello []byte) []byte { return sent }),
		replay("replay-retimed", "a captured hello, moved in time without the secret", FakeTLS, retime),
		replay("replay-init", "what a padded-mode client sent, sent again", Secure, func(sent, _ []byte) []byte { return sent }),
		served("byte-at-a-time", "a good hello, one byte at a time", func(t Target, c *tap, hello []byte) error {
			// With pauses where a server decides, without where it only collects.
			if err := inPieces(c, hello[:64], 1, t.pause()); err != nil {
				return err
			}
			return inPieces(c, hello[64:], 1, 0)
		}),
		served("segments", "a good hello over many TCP segments", func(t Target, c *tap, hello []byte) error {
			return inPieces(c, hello, 97, t.pause())
		}),
		served("tls-records", "a good hello over several TLS records", func(_ Target, c *tap, hello []byte) error {
			_, err := c.Write(splitRecords(hello, 600))
			return err
		}),
		served("bad-init-inside", "a good hello, then noise in place of the init", func(t Target, c *tap, hello []byte) error {
			if _, err := c.Write(hello); err != nil {
				return err
			}
			time.Sleep(10 * t.pause()) // the answer comes first; the watcher reads it
			_, err := c.Write(appendRecords([]byte{recordCCS, 3, 3, 0, 1, 1}, someBytes(300), recordSent))
			return err
		}),
		acting("reset-after-hello", "a good hello, then a reset", func(ctx context.Context, t Target, c *tap) error {
			hello, err := t.client().NewHello()
			if err == nil {
				_, err = c.Write(hello)
			}
			reset(c.Conn)
			return err
		}),
		acting("half-open", "connects and sends nothing", func(context.Context, Target, *tap) error { return nil }),
		acting("slow-loris", "a good hello, too slow to ever finish", slowLoris),
		visitor(),
	}
	for _, n := range []int{1, 16, 64, 517, 4096} {
		list = append(list, Garbage(n))
	}
	for _, k := range []int{1, 5, 43, 700} {
		list = append(list, Truncated(k, StaysOpen), Truncated(k, FIN))
	}
	return append(list, Truncated(700, RST))
}

// Garbage is a probe of n random bytes.
func Garbage(n int) Probe {
	return fixed(fmt.Sprintf("garbage-%d", n), fmt.Sprintf("%d random bytes", n), func(Target) ([]byte, error) {
		return someBytes(n), nil
	})
}

// Replay is a probe that sends b: with Observed.Sent of an earlier run, a proxy
// and a web site can be shown the very same bytes.
func Replay(b []byte) Probe {
	return fixed("replay-given", "given bytes, sent again", func(Target) ([]byte, error) { return b, nil })
}

// Truncated is a good hello cut after k bytes; then the prober waits
// (StaysOpen), ends its direction (FIN) or resets (RST).
func Truncated(k int, then Ending) Probe {
	word := map[Ending]string{StaysOpen: "wait", FIN: "fin", RST: "rst"}[then]
	return acting(fmt.Sprintf("truncated-%d-%s", k, word), "the start of a good hello, then "+word,
		func(ctx context.Context, t Target, c *tap) error {
			hello, err := t.client().NewHello()
			if err != nil {
				return err
			}
			if _, err = c.Write(hello[:min(k, len(hello))]); err != nil {
				return err
			}
			switch then {
			case FIN:
				return c.CloseWrite()
			case RST:
				return reset(c.Conn)
			}
			return nil
		})
}

// fixed is a probe that sends bytes which are known beforehand.
func fixed(name, about string, make func(Target) ([]byte, error)) Probe {
	return Probe{Name: name, About: about, oneShot: true, prepare: func(ctx context.Context, t Target) (probing, error) {
		b, err := make(t)
		return sending(b, nil), err
	}}
}

// sending writes b in one go; an answer to b as a hello would count as served.
func sending(b []byte, capture error) probing {
	p := probing{capture: capture, send: func(ctx context.Context, c *tap) error {
		_, err := c.Write(b)
		return err
	}}
	if len(b) >= randomEnd {
		p.hello = b
	}
	return p
}

func acting(name, about string, act func(context.Context, Target, *tap) error) Probe {
	return Probe{Name: name, About: about, prepare: func(_ context.Context, t Target) (probing, error) {
		return probing{send: func(ctx context.Context, c *tap) error { return act(ctx, t, c) }}, nil
	}}
}

func served(name, about string, act func(t Target, c *tap, hello []byte) error) Probe {
	return Probe{Name: name, About: about, Served: true, prepare: func(_ context.Context, t Target) (probing, error) {
		hello, err := t.client().NewHello()
		return probing{hello: hello, send: func(_ context.Context, c *tap) error { return act(t, c, hello) }}, err
	}}
}

// replay lets a genuine client pass first and then sends what pick makes of its
// bytes, over a connection of its own.
func replay(name, about string, transport Transport, pick func(sent, hello []byte) []byte) Probe {
	return Probe{Name: name, About: about, oneShot: true, prepare: func(ctx context.Context, t Target) (probing, error) {
		sent, err := capture(ctx, t, transport)
		if len(sent) < randomEnd {
			return probing{}, fmt.Errorf("nothing was captured: %w", err)
		}
		hello := sent
		if records, _ := Records(sent); len(records) > 0 {
			hello = sent[:recordHeader+len(records[0].Payload)]
		}
		return sending(pick(sent, hello), err), nil
	}}
}

// capture lets a genuine client pass and returns what it sent. With an error there may be
// bytes all the same: a web site lets nobody in. The client is more patient than a prober: on
// a busy machine it must not be the replay that comes through first.
func capture(ctx context.Context, t Target, transport Transport) ([]byte, error) {
	tape := &recorder{Dialer: t.Dialer}
	genuine := t.client()
	genuine.Dialer, genuine.Transport, genuine.Timeout = tape, transport, 4*t.wait()
	conn, err := genuine.Dial(ctx)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		err = conn.Ping([]byte("captured"))
		stop()
		conn.Close()
	}
	if tape.last == nil {
		return nil, err
	}
	return tape.last.sent, err
}

// retime moves a captured hello by one second: enough to get past a memory of
// whole randoms, and within every clock window. The capturer knows when it saw
// the hello and so what the four bytes hid (4.7).
func retime(_, hello []byte) []byte {
	moved := append([]byte(nil), hello...)
	moveTime(moved, 1)
	return moved
}

func atClock(shift time.Duration) func(Target) ([]byte, error) {
	return func(t Target) ([]byte, error) {
		c := t.client()
		now := c.now().Add(shift)
		c.Clock = func() time.Time { return now }
		return c.NewHello()
	}
}

func oversized(t Target) ([]byte, error) {
	record, err := hello{domain: t.Domain, grow: maxRecord + 1000}.bytes()
	if err == nil {
		sign(record, t.Secret, t.client().now())
	}
	return record, err
}

func inPieces(c *tap, b []byte, size int, pause time.Duration) error {
	for len(b) > 0 {
		n := min(size, len(b))
		if _, err := c.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
		time.Sleep(pause)
	}
	return nil
}

// slowLoris goes on for as long as the target's Wait, or until it is shut out.
func slowLoris(ctx context.Context, t Target, c *tap) error {
	hello, err := t.client().NewHello()
	if err != nil {
		return err
	}
	step := max(t.wait()/20, t.pause())
	for i := 0; i < 20 && ctx.Err() == nil; i++ {
		if _, err := c.Write(hello[i : i+1]); err != nil {
			return err
		}
		time.Sleep(step)
	}
	return ctx.Err()
}

// visitor is somebody with an ordinary TLS client, who gets a page and leaves.
func visitor() Probe {
	visit := func(t Target, c *tap) (page, leaf []byte, err error) {
		conn := tls.Client(c, &tls.Config{ServerName: t.Domain, InsecureSkipVerify: true})
		if err := conn.Handshake(); err != nil {
			return nil, nil, err
		}
		leaf = conn.ConnectionState().PeerCertificates[0].Raw
		request, err := http.NewRequest("GET", "https://"+t.Domain+"/", nil)
		if err != nil {
			return nil, leaf, err
		}
		request.Close = true
		if err := request.Write(conn); err != nil {
			return nil, leaf, err
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), request)
		if err != nil {
			return nil, leaf, err
		}
		defer answer.Body.Close()
		page, err = io.ReadAll(answer.Body)
		return page, leaf, err
	}
	return Probe{Name: "visitor", About: "an ordinary TLS client that gets a page", prepare: func(_ context.Context, t Target) (probing, error) {
		return probing{visit: func(c *tap) ([]byte, []byte, error) { return visit(t, c) }}, nil
	}}
}

// someBytes makes noise whose first byte starts neither TLS nor HTTP, so that a
// probe means the same in every run.
func someBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	b[0] |= 0x80
	return b
}
