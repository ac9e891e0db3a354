package admin

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"mtguard/control/serving"
)

// WebServeOptions say how ServeWeb listens.
type WebServeOptions struct {
	// CertFile and KeyFile are a certificate and its key in PEM, read again when they
	// change. Both empty: plain HTTP, on loopback only.
	CertFile, KeyFile string
	// Sources are those of the handler: see there. Unless nil, most connections from where
	// too much was guessed are closed at once, and the last eighth of all is kept for
	// regulars.
	Sources *Sources
	Log     *slog.Logger
}

// What one connection may have in memory before anybody knows who it is of.
const (
	maxWebHeader = 8 << 10 // a cookie, a token and a context of 4 KiB fit
	maxStreams   = 16      // a page takes few at a time, and one for events
	// stuckTime is how long a connection may take none of what is to be written to it.
	stuckTime = 30 * time.Second
)

// ServeWeb serves h on l until ctx ends, and closes l. It returns when no request is
// under way any more.
func ServeWeb(ctx context.Context, l net.Listener, h http.Handler, o WebServeOptions) error {
	defer l.Close()
	requests, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxWebHeader,
		HTTP2:             serving.HTTP2(maxStreams, stuckTime),
		BaseContext:       func(net.Listener) context.Context { return requests },
		// OPTIONS * is for the handler, which tells strangers nothing.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	sources := o.Sources
	if sources == nil {
		sources = NewSources()
	}
	listener := serving.Listen(l, func(from netip.Addr) serving.Bounds { return sources.bounds(from, time.Now()) })
	defer listener.Close()
	serve := func() error { return server.Serve(listener) }
	if o.CertFile != "" {
		pair, err := serving.LoadCertificate(o.CertFile, o.KeyFile, "dashboard", o.Log)
		if err != nil {
			return err
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: pair.Get}
		serve = func() error { return server.ServeTLS(listener, "", "") }
	} else if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		return fmt.Errorf("the dashboard is served without a certificate on loopback only, not on %v", l.Addr())
	}
	return serving.Until(ctx, server, serve, grace, abandon)
}
