package tgsim

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// CertificateKind is the key type of a cover site's certificate.
type CertificateKind uint8

// The kinds. An ECDSA signature varies by a few bytes, so the length of the
// first flight does too; an RSA one does not.
const (
	ECDSA CertificateKind = iota
	RSA
)

// CoverBehaviour is how a web site misbehaves; the zero value is a good one.
type CoverBehaviour struct {
	Down      bool          // nobody listens at the address; only at the start
	Reset     bool          // reset the connection when its first bytes arrive
	Delay     time.Duration // wait that long before each read
	HalfClose bool          // after the page end the own direction and go on reading
}

// CoverConfig describes a web site.
type CoverConfig struct {
	Listen      string // "" is a free port of 127.0.0.1
	Domain      string // in the certificate
	Certificate CertificateKind
	Groups      []tls.CurveID // that the server takes; nil is X25519MLKEM768, then X25519
	Page        string        // body of every answer; "" is a short one
	Behaviour   CoverBehaviour
}

// Cover is a running HTTPS server with a self-made certificate. All methods may
// be called concurrently.
type Cover struct {
	server
	certificate *x509.Certificate
	behaviour   atomic.Pointer[CoverBehaviour]
	accepted    atomic.Int64
	requests    atomic.Int64
}

// StartCover starts a web site; it ends with ctx or Close.
func StartCover(ctx context.Context, cfg CoverConfig) (*Cover, error) {
	cert, err := newCertificate(cfg.Domain, cfg.Certificate)
	if err != nil {
		return nil, err
	}
	c := &Cover{certificate: cert.Leaf}
	c.SetBehaviour(cfg.Behaviour)
	if err := c.start(ctx, cfg.Listen, cfg.Behaviour.Down); err != nil {
		return nil, err
	}
	groups := cfg.Groups
	if groups == nil {
		groups = []tls.CurveID{tls.X25519MLKEM768, tls.X25519}
	}
	page := cfg.Page
	if page == "" {
		page = "<!doctype html><title>" + cfg.Domain + "</title><p>It works.</p>\n"
	}
	handed := &handedListener{conns: make(chan net.Conn), addr: c.listener.Addr(), done: c.done}
	web := &http.Server{
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{*cert}, CurvePreferences: groups},
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c.requests.Add(1)
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Length", strconv.Itoa(len(page)))
			if c.behaviour.Load().HalfClose {
				w.Header().Set("Connection", "close")
			}
			io.WriteString(w, page)
		}),
	}
	c.tasks.Go(func() { web.ServeTLS(handed, "", "") })
	c.serve(func(conn net.Conn) {
		c.accepted.Add(1)
		visit := &coverConn{Conn: conn, site: c, behaviour: *c.behaviour.Load(), over: make(chan struct{})}
		select {
		case handed.conns <- visit:
			<-visit.over // the HTTP server closes every connection it was given
		case <-c.done:
		}
	})
	return c, nil
}

// SetBehaviour changes the behaviour towards connections accepted from now on.
func (c *Cover) SetBehaviour(b CoverBehaviour) { c.behaviour.Store(&b) }

// Certificate returns the site's own.
func (c *Cover) Certificate() *x509.Certificate { return c.certificate }

// Roots returns a pool with which the site's certificate is trusted.
func (c *Cover) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.certificate)
	return pool
}

// Accepted counts the TCP connections.
func (c *Cover) Accepted() int64 { return c.accepted.Load() }

// Requests counts the pages asked for.
func (c *Cover) Requests() int64 { return c.requests.Load() }

// handedListener gives an HTTP server the connections that were accepted elsewhere.
type handedListener struct {
	conns chan net.Conn
	addr  net.Addr
	done  chan struct{}
}

func (l *handedListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handedListener) Close() error   { return nil }
func (l *handedListener) Addr() net.Addr { return l.addr }

// coverConn misbehaves below TLS.
type coverConn struct {
	net.Conn
	site      *Cover
	behaviour CoverBehaviour
	once      sync.Once
	over      chan struct{}
}

func (c *coverConn) Read(p []byte) (int, error) {
	if d := c.behaviour.Delay; d > 0 && !c.site.sleep(d) {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p)
	if n > 0 && c.behaviour.Reset {
		reset(c.Conn)
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *coverConn) Close() error {
	c.once.Do(func() {
		if c.behaviour.HalfClose && closeWrite(c.Conn) == nil {
			c.Conn.SetReadDeadline(time.Now().Add(30 * time.Second))
			io.Copy(io.Discard, c.Conn)
		}
		c.Conn.Close()
		close(c.over)
	})
	return nil
}

// rsaKey is made once: it takes long and its value does not matter.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newCertificate(domain string, kind CertificateKind) (*tls.Certificate, error) {
	var key crypto.Signer
	var err error
	if kind == RSA {
		key, err = rsaKey()
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: domain}, DNSNames: []string{domain},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
