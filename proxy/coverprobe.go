package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"mtguard/mtproto/faketls"
	"mtguard/security/policy"
)

// How often the site is looked at. Three answers in a row show how much the
// size of its first flight varies (an ECDSA signature is 70 to 72 bytes).
const (
	probeEvery   = time.Hour
	probeAgain   = time.Minute // after a failure
	probesAtOnce = 3
	// probeQuiet is how long the site must be silent for its turn to be over.
	probeQuiet = 200 * time.Millisecond
	// probeBytes is the most that is read of an answer.
	probeBytes = 64 << 10
)

// Run learns the site's answers, at once and then every hour, and keeps its name
// resolved, until ctx ends. What it cannot learn leaves the last profile of the
// same site in place, and the standard one for a new site.
func (c *Cover) Run(ctx context.Context) {
	var resolving sync.WaitGroup
	resolving.Go(func() { c.keepResolved(ctx) })
	defer resolving.Wait()
	learnt := ""
	for {
		wait := probeEvery
		s := c.Live.Load()
		if s.Cover.Address != "" {
			seen, err := c.learn(ctx, s)
			if ctx.Err() == nil {
				c.note(s.Cover.Address, seen, err)
			}
			switch {
			case err == nil:
				learnt = s.Cover.Address
				c.profiles.Store(&seen)
				c.Log.Debug("cover site", "address", s.Cover.Address, "flight", seen[0].Flight, "group", seen[0].Group)
			case ctx.Err() == nil:
				using := "its last one"
				if learnt != s.Cover.Address {
					using = "a standard one"
					c.profiles.Store(&c.standard)
				}
				c.Log.Warn("cover site cannot be measured", "address", s.Cover.Address, "error", err, "answers_look_like", using)
				wait = probeAgain
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.again:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Measurement is what the last look at a cover site has shown.
type Measurement struct {
	Address string    // of the site
	Tried   time.Time // when it was looked at last
	Err     error     // of that look
	// Seen is when it was looked at last with success: zero for never. Group is the key exchange that it chose then, Flight the bytes of its
	// first flight.
	Seen   time.Time
	Group  uint16
	Flight int
}

// Measured is what the last look at the site has shown; the zero Measurement before the first.
func (c *Cover) Measured() Measurement {
	if m := c.measured.Load(); m != nil {
		return *m
	}
	return Measurement{}
}

// note remembers a look at the site. Only Run calls it.
func (c *Cover) note(address string, seen []faketls.Profile, err error) {
	m := c.Measured()
	if m.Address != address {
		m = Measurement{Address: address}
	}
	m.Tried, m.Err = time.Now(), err
	if err == nil {
		m.Seen, m.Group, m.Flight = m.Tried, seen[0].Group, seen[0].Flight
	}
	c.measured.Store(&m)
}

// Refresh makes Run look at the site again now: its address may have changed.
func (c *Cover) Refresh() {
	for _, wake := range []chan struct{}{c.lookAgain, c.again} {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

func (c *Cover) learn(ctx context.Context, s *policy.Snapshot) ([]faketls.Profile, error) {
	var seen []faketls.Profile
	for range probesAtOnce {
		p, err := c.probe(ctx, s)
		if err != nil {
			return nil, err
		}
		seen = append(seen, p)
	}
	return seen, nil
}

// probe does one TLS handshake with the site, as a browser would begin it, and
// looks at the records that came back.
func (c *Cover) probe(ctx context.Context, s *policy.Snapshot) (faketls.Profile, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.Cover.ConnectTimeout)
	defer cancel()
	var header *proxyproto.Header
	if s.Cover.ProxyProtocol { // for ourselves: no client is behind it
		header = &proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	}
	conn, err := c.dial(ctx, s, header)
	if err != nil {
		return faketls.Profile{}, err
	}
	defer conn.Close()
	record := &recording{Conn: conn}
	// Whether the certificate is any good is not ours to judge: we only want
	// to look like this site.
	client := tls.Client(record, &tls.Config{ServerName: s.Cover.Name, InsecureSkipVerify: true,
		NextProtos:         []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(1)}) // asks for tickets, as every client does
	if err := client.HandshakeContext(ctx); err != nil {
		return faketls.Profile{}, fmt.Errorf("tls: %w", err)
	}
	return profileOf(record.got.Bytes())
}

// recording keeps what is read through it.
type recording struct {
	net.Conn
	got    bytes.Buffer
	writes int
}

func (r *recording) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	if r.got.Len()+n > probeBytes {
		return n, errors.New("answer too long")
	}
	r.got.Write(b[:n])
	return n, err
}

// Write first takes in what else the site has sent in its turn. The TLS client
// stops at the Finished message, and some servers send session tickets right
// behind it: their first flight is longer.
func (r *recording) Write(b []byte) (int, error) {
	if r.writes++; r.writes > 1 {
		r.SetReadDeadline(time.Now().Add(probeQuiet))
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		r.SetReadDeadline(time.Time{})
	}
	return r.Conn.Write(b)
}

// profileOf reads a server's first flight: ServerHello, ChangeCipherSpec, and
// the encrypted records, which a fake answer shows as one of the same length.
func profileOf(flight []byte) (faketls.Profile, error) {
	p := faketls.Profile{Flight: -5}
	r := bytes.NewReader(flight)
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			break
		}
		body := make([]byte, int(head[3])<<8|int(head[4]))
		if _, err := io.ReadFull(r, body); err != nil {
			break
		}
		switch head[0] {
		case 22:
			if err := serverHello(body, &p); err != nil {
				return p, err
			}
		case 23:
			p.Flight += 5 + len(body)
		}
	}
	if p.Flight < 64 || p.Group == 0 {
		return p, errors.New("it does not speak TLS 1.3")
	}
	p.Flight = min(p.Flight, faketls.MaxPayload)
	return p, nil
}

var errServerHello = errors.New("strange ServerHello")

// serverHello reads what a client of our kind would see of it: suite, group,
// and which of the two extensions comes first.
func serverHello(b []byte, p *faketls.Profile) error {
	if len(b) < 39 || b[0] != 2 {
		return errServerHello
	}
	b = b[38:]
	if session := int(b[0]); len(b) < 1+session+5 {
		return errServerHello
	} else {
		b = b[1+session:]
	}
	p.Suite = uint16(b[0])<<8 | uint16(b[1])
	b = b[5:]                           // suite, compression, length of all extensions
	p.Group, p.VersionsFirst = 0, false // of a HelloRetryRequest before
	for len(b) >= 4 {
		kind, n := uint16(b[0])<<8|uint16(b[1]), int(b[2])<<8|int(b[3])
		if len(b) < 4+n {
			return errServerHello
		}
		switch {
		case kind == 0x2b:
			p.VersionsFirst = p.Group == 0
		case kind == 0x33 && n >= 2:
			p.Group = uint16(b[4])<<8 | uint16(b[5])
		}
		b = b[4+n:]
	}
	return nil
}
