package proxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/mtproto/faketls"
	"mtguard/security/policy"
	"mtguard/tgsim"
)

// flightOf is what a site answers to a Telegram client's hello, which it takes
// for a browser's: all it sends before the client speaks again.
func flightOf(t testing.TB, addr string) []byte {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Write(strangersHello(t))
	c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	flight, _ := io.ReadAll(c)
	return flight
}

// looksLike compares a flight with what a profile says of it. ECDSA signatures
// differ by some bytes.
func looksLike(flight []byte, p faketls.Profile, slack int) error {
	records, rest := tgsim.Records(flight)
	if len(records) < 3 || len(rest) > 0 {
		return fmt.Errorf("%d records and %d bytes", len(records), len(rest))
	}
	size := -5 // the header of the one record of a fake answer
	for _, r := range records {
		if r.Type == 23 {
			size += 5 + len(r.Payload)
		}
	}
	hello, err := tgsim.ParseServerHello(flight)
	if err != nil {
		return err
	}
	if d := size - p.Flight; d > slack || d < -slack || hello.Group != p.Group || hello.Suite != p.Suite {
		return fmt.Errorf("flight of %d bytes, group %04x, suite %04x; the profile says %+v", size, hello.Group, hello.Suite, p)
	}
	// supported_versions before key_share, by the place of both in the ServerHello
	ext := records[0].Payload[39+32+5:]
	if first := ext[0] == 0 && ext[1] == 0x2b; first != p.VersionsFirst {
		return fmt.Errorf("supported_versions first: %v; the profile says %+v", first, p)
	}
	return nil
}

var siteKinds = []struct {
	name   string
	config tgsim.CoverConfig
	group  uint16
	slack  int
}{
	{"ECDSA, hybrid group", tgsim.CoverConfig{}, faketls.X25519MLKEM768, 8},
	{"ECDSA, X25519", tgsim.CoverConfig{Groups: []tls.CurveID{tls.X25519}}, faketls.X25519, 8},
	{"RSA, hybrid group", tgsim.CoverConfig{Certificate: tgsim.RSA}, faketls.X25519MLKEM768, 0},
	{"RSA, X25519", tgsim.CoverConfig{Certificate: tgsim.RSA, Groups: []tls.CurveID{tls.X25519}}, faketls.X25519, 0},
}

// told counts what is logged.
type told struct {
	slog.Handler
	n atomic.Int64
}

func (l *told) Enabled(context.Context, slog.Level) bool  { return true }
func (l *told) Handle(context.Context, slog.Record) error { l.n.Add(1); return nil }

// newCover returns a Cover for a site of the given address.
func newCover(addr string) (*Cover, *policy.Live) {
	live := new(policy.Live)
	live.Publish(&policy.Snapshot{Cover: policy.Cover{Address: addr, Name: domain, ConnectTimeout: 5 * time.Second}})
	return NewCover(live, slog.New(slog.DiscardHandler), func() []netip.AddrPort { return nil }), live
}

// TestTheProfileIsTheSites: what was learnt by probing is what a client's hello
// would have met, session tickets in the first flight included.
func TestTheProfileIsTheSites(t *testing.T) {
	for _, k := range siteKinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			k.config.Domain = domain
			site, err := tgsim.StartCover(context.Background(), k.config)
			if err != nil {
				t.Fatal(err)
			}
			defer site.Close()
			c, live := newCover(site.Addr())
			seen, err := c.learn(t.Context(), live.Load())
			if err != nil || len(seen) != probesAtOnce {
				t.Fatalf("%v, %v", seen, err)
			}
			flight := flightOf(t, site.Addr())
			for _, p := range seen {
				if p.Group != k.group {
					t.Errorf("group %04x, want %04x", p.Group, k.group)
				}
				if err := looksLike(flight, p, k.slack); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestProfileOf reads recorded flights.
func TestProfileOf(t *testing.T) {
	for _, k := range siteKinds {
		k.config.Domain = domain
		site, err := tgsim.StartCover(t.Context(), k.config)
		if err != nil {
			t.Fatal(err)
		}
		flight := flightOf(t, site.Addr())
		site.Close()
		p, err := profileOf(flight)
		if err != nil {
			t.Fatal(err)
		}
		if err := looksLike(flight, p, 0); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		// Not a byte of it can be missing without notice, save in the last record.
		for _, n := range []int{0, 4, 50, len(flight) / 2} {
			if q, err := profileOf(flight[:n]); err == nil && q.Flight == p.Flight {
				t.Errorf("%s, cut after %d bytes: %+v", k.name, n, q)
			}
		}
	}
}

// A client of ours sees the site's flight in the answer.
func TestTheAnswerLooksLikeTheSite(t *testing.T) {
	w := newWorld(t, nil)
	running, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { w.s.Cover.Run(running) })
	defer run.Wait()
	defer stop()
	standard := w.s.Cover.profiles.Load()
	eventually(t, "the site is learnt", func() bool { return w.s.Cover.profiles.Load() != standard })
	if err := looksLike(w.mustConnect().Answer(), w.s.Cover.Profile(), 8); err != nil {
		t.Error(err)
	}
	answer := w.mustConnect().Answer()
	if d := len(flightOf(t, w.site.Addr())) - len(answer); d > 8 || d < -8 {
		t.Errorf("the answer is %d bytes shorter than the site's", d)
	}
}

// TestASiteThatCannotBeMeasured leaves the profile in place, and is measured when
// it can be.
func TestASiteThatCannotBeMeasured(t *testing.T) {
	old := startTLS(t, &tls.Config{MaxVersion: tls.VersionTLS12})
	plain, conns := plainSite(t)
	go func() {
		for {
			select {
			case c := <-conns:
				io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
				c.Close()
			case <-t.Context().Done():
				return
			}
		}
	}()
	for name, addr := range map[string]string{
		"is down": closedPort(t), "speaks TLS 1.2": old, "speaks HTTP": plain, "has no name": "nowhere", "is not there": "",
	} {
		c, live := newCover(addr)
		log := new(told)
		c.Log = slog.New(log)
		standard := c.profiles.Load()
		if p := c.Profile(); p.Flight < 2000 || p.Flight > 5000 || p.Group != faketls.X25519MLKEM768 {
			t.Errorf("standard profile %+v", p)
		}
		if seen, err := c.learn(t.Context(), live.Load()); err == nil {
			t.Errorf("a site that %s: %+v", name, seen)
		}
		running, stop := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { c.Run(running) })
		if addr != "" {
			eventually(t, "Run has tried", func() bool { return log.n.Load() > 0 })
		}
		if c.profiles.Load() != standard {
			t.Errorf("a site that %s changed the profile", name)
		}
		if name == "is down" { // a reload names another one
			s := *live.Load()
			s.Cover.Address = startTLS(t, &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}})
			live.Publish(&s)
			c.Refresh()
			eventually(t, "the new site is learnt", func() bool { return c.profiles.Load() != standard })
			if p := c.Profile(); p.Group != faketls.X25519 {
				t.Errorf("%+v", p)
			}
		}
		stop()
		run.Wait()
	}
}

// startTLS serves TLS with a certificate of its own and returns the address.
func startTLS(t *testing.T, config *tls.Config) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{domain}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				c.Read(make([]byte, 1))
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

// The order of the extensions after a HelloRetryRequest is that of the second
// ServerHello.
func TestProfileAfterARetry(t *testing.T) {
	addr := startTLS(t, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}})
	c, live := newCover(addr)
	p, err := c.probe(t.Context(), live.Load())
	if err != nil {
		t.Fatal(err)
	}
	if p.Group != uint16(tls.CurveP384) || !p.VersionsFirst || p.Flight < 300 {
		t.Errorf("%+v", p)
	}
}

// FuzzProfileOf: a site may send anything; what is read from it can be answered
// with.
func FuzzProfileOf(f *testing.F) {
	for _, k := range siteKinds {
		k.config.Domain = domain
		site, err := tgsim.StartCover(f.Context(), k.config)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(flightOf(f, site.Addr()))
		site.Close()
	}
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add([]byte{22, 3, 3, 0, 4, 2, 0, 0, 0})
	secret := bytes.Repeat([]byte{7}, 16)
	raw, err := (&tgsim.Client{Secret: secret, Domain: domain}).NewHello()
	if err != nil {
		f.Fatal(err)
	}
	hello, _, _, err := faketls.ParseHello(raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, flight []byte) {
		p, err := profileOf(flight)
		if err != nil {
			return
		}
		if p.Flight < 64 || p.Flight > faketls.MaxPayload || p.Flight > len(flight) || p.Group == 0 {
			t.Fatalf("%+v of %d bytes", p, len(flight))
		}
		answer, err := hello.Answer(secret, p, rand.Reader)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		records, rest := tgsim.Records(answer)
		if len(records) != 3 || len(rest) > 0 || len(records[2].Payload) != p.Flight {
			t.Fatalf("%+v: %d records", p, len(records))
		}
	})
}

// TestAFlightInPieces: a site's flight comes over a network as it likes, and the
// tickets behind its Finished message belong to it.
func TestAFlightInPieces(t *testing.T) {
	site, err := tgsim.StartCover(t.Context(), tgsim.CoverConfig{Domain: domain, Certificate: tgsim.RSA})
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	addr, conns := plainSite(t)
	go func() { // the site from afar: each record some time after the one before
		for {
			select {
			case c := <-conns:
				go slowly(t, c, site.Addr())
			case <-t.Context().Done():
				return
			}
		}
	}()
	c, live := newCover(addr)
	p, err := c.probe(t.Context(), live.Load())
	if err != nil {
		t.Fatal(err)
	}
	if err := looksLike(flightOf(t, site.Addr()), p, 0); err != nil {
		t.Error(err)
	}
}

// slowly joins c with addr and passes the answer on record by record.
func slowly(t *testing.T, c net.Conn, addr string) {
	defer c.Close()
	site, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer site.Close()
	var up sync.WaitGroup
	up.Go(func() { io.Copy(site, c); site.(*net.TCPConn).CloseWrite() })
	defer up.Wait()
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(site, head); err != nil {
			return
		}
		record := append(head, make([]byte, int(head[3])<<8|int(head[4]))...)
		if _, err := io.ReadFull(site, record[5:]); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
		if _, err := c.Write(record); err != nil {
			return
		}
	}
}
