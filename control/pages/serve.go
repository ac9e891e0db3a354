package pages

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"mtguard/security/ratelimit"
)

// ServeOptions say how Serve listens.
type ServeOptions struct {
	// CertFile and KeyFile are a certificate chain and its key in PEM. They are read again when they change; a pair that cannot be read
	// or does not match leaves the one before in use. Both empty means plain HTTP, which is only allowed on a loopback or private address
	// or a Unix socket: there a proxy of the operator's own must speak TLS in front, see Options.BehindProxy.
	CertFile, KeyFile string
	// MaxConnections bounds the open connections; with TLS one IPv4 address or IPv6 /64 may have a sixteenth of them. Further ones are
	// closed at once. Zero means 1024.
	MaxConnections int
	Log            *slog.Logger // nil: none
}

const (
	defaultConnections = 1024
	shareOfPrefix      = 16

	headerTime = 10 * time.Second
	// readTime is for a request with its body, and writeTime for the answer too: the cover site's minute and some.
	readTime  = 30 * time.Second
	writeTime = coverTime + headerTime
	idleTime  = 30 * time.Second
	// stopTime is how long requests under way may go on when the context has ended.
	stopTime = 5 * time.Second
	// maxHeader is what one request's fields may have. Most servers take 8 kB.
	maxHeader = 16 << 10
	// maxStreams bounds the requests at a time in one HTTP/2 connection.
	maxStreams = 32
)

// Serve serves h on l until ctx ends, and returns when no request is under way any more; after five seconds it cuts off those that are. It always
// closes l. The error is nil after ctx has ended.
func Serve(ctx context.Context, l net.Listener, h http.Handler, o ServeOptions) error {
	defer l.Close()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// What OPTIONS * gets is for the cover site to say.
		DisableGeneralOptionsHandler: true,
		// The server only tells of single strangers, with their addresses.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	bounded := newBounded(l, o)
	serve := func() error { return server.Serve(bounded) }
	if o.CertFile != "" || o.KeyFile != "" {
		pair, err := newKeyPair(o.CertFile, o.KeyFile, o.Log)
		if err != nil {
			return err
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get}
		serve = func() error { return server.ServeTLS(bounded, "", "") }
	} else if !private(l.Addr()) {
		return fmt.Errorf("pages without a certificate are served on loopback or private addresses only, not on %v", l.Addr())
	}
	ended := make(chan error, 1)
	go func() { ended <- serve() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if server.Shutdown(stop) != nil {
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// private reports whether strangers cannot reach a, as far as the address itself tells.
func private(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return a.Network() == "unix"
	}
	ip := t.AddrPort().Addr().Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
}

// bounded is a listener with a bound on its open connections.
type bounded struct {
	net.Listener
	places *places
}

func newBounded(l net.Listener, o ServeOptions) *bounded {
	n := o.MaxConnections
	if n <= 0 {
		n = defaultConnections
	}
	each := n / shareOfPrefix
	if o.CertFile == "" {
		each = n // all come from the proxy in front
	}
	return &bounded{Listener: l, places: newPlaces(n, each)}
}

// Accept returns the next connection there is a place for.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var prefix netip.Prefix
		if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			prefix, _, _ = ratelimit.PrefixesOf(t.AddrPort().Addr())
		}
		if b.places.take(prefix) {
			return &placedConn{Conn: c, free: sync.OnceFunc(func() { b.places.free(prefix) })}, nil
		}
		c.Close()
	}
}

// placedConn gives its place back when it is closed.
type placedConn struct {
	net.Conn
	free func()
}

func (c *placedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
