package pages

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"mtguard/control/serving"
)

// ServeOptions say how Serve listens.
type ServeOptions struct {
	// CertFile and KeyFile are a certificate chain and its key in PEM. They are read again when they change; a pair that cannot be read
	// or does not match leaves the one before in use. Both empty means plain HTTP, which is only allowed on a loopback or private address
	// or a Unix socket: there a proxy of the operator's own must speak TLS in front, see Options.BehindProxy.
	CertFile, KeyFile string
	// MaxConnections bounds the open connections; with TLS one IPv4 address or IPv6 /64 may have a sixteenth of them, a /48 a quarter.
	// Further ones are closed at once. Zero means 1024.
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
	// stuckTime is how long a connection may take none of what is to be written to it.
	stuckTime = 30 * time.Second
	// maxHeader is what one request's fields may have. Most servers take 8 kB.
	maxHeader = 8 << 10
	// maxStreams bounds the requests at a time in one HTTP/2 connection.
	maxStreams = 16
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
		HTTP2:          serving.HTTP2(maxStreams, stuckTime),
		// What OPTIONS * gets is for the cover site to say.
		DisableGeneralOptionsHandler: true,
		// The server only tells of single strangers, with their addresses.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	bounds := boundsOf(o)
	listener := serving.Listen(l, func(netip.Addr) serving.Bounds { return bounds })
	defer listener.Close()
	serve := func() error { return server.Serve(listener) }
	if o.CertFile != "" || o.KeyFile != "" {
		pair, err := serving.LoadCertificate(o.CertFile, o.KeyFile, "pages", o.Log)
		if err != nil {
			return err
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.Get}
		serve = func() error { return server.ServeTLS(listener, "", "") }
	} else if !private(l.Addr()) {
		return fmt.Errorf("pages without a certificate are served on loopback or private addresses only, not on %v", l.Addr())
	}
	return serving.Until(ctx, server, serve, stopTime, nil)
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

// boundsOf is how many connections may be open.
func boundsOf(o ServeOptions) serving.Bounds {
	b := serving.Bounds{All: o.MaxConnections}
	if b.All <= 0 {
		b.All = defaultConnections
	}
	b.Each = max(b.All/shareOfPrefix, 1)
	if o.CertFile == "" {
		b.Each = b.All // all come from the proxy in front
	}
	return b
}
