package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"mtguard/security/ratelimit"
)

// WebServeOptions say how ServeWeb listens.
type WebServeOptions struct {
	// CertFile and KeyFile are a certificate and its key in PEM, read again when they
	// change. Both empty: plain HTTP, on loopback only.
	CertFile, KeyFile string
	Log               *slog.Logger
}

const (
	maxWebConnections = 512
	// maxFromPrefix is how many of them one address, or one /64, may have.
	maxFromPrefix = 128
	maxWebHeader  = 16 << 10
	maxStreams    = 64
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
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		BaseContext:       func(net.Listener) context.Context { return requests },
		// OPTIONS * is for the handler, which tells strangers nothing.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	bounded := &boundedListener{Listener: l, from: make(map[netip.Prefix]int)}
	serve := func() error { return server.Serve(bounded) }
	if o.CertFile != "" {
		pair := &certificate{certFile: o.CertFile, keyFile: o.KeyFile, log: o.Log}
		if err := pair.load(); err != nil {
			return err
		}
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: pair.get}
		serve = func() error { return server.ServeTLS(bounded, "", "") }
	} else if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		return fmt.Errorf("the dashboard is served without a certificate on loopback only, not on %v", l.Addr())
	}
	ended := make(chan error, 1)
	go func() { ended <- serve() }()
	select {
	case err := <-ended:
		server.Close()
		return err
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(requests, grace)
	defer cancel()
	if server.Shutdown(patience) != nil {
		abandon()
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// boundedListener bounds the open connections, in all and by prefix. One above the
// bound is closed at once.
type boundedListener struct {
	net.Listener
	mu   sync.Mutex
	open int
	from map[netip.Prefix]int
}

func (b *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var prefix netip.Prefix
		if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			prefix, _, _ = ratelimit.PrefixesOf(t.AddrPort().Addr())
		}
		if b.take(prefix) {
			return &boundedConn{Conn: c, free: sync.OnceFunc(func() { b.free(prefix) })}, nil
		}
		c.Close()
	}
}

func (b *boundedListener) take(prefix netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= maxWebConnections || b.from[prefix] >= maxFromPrefix {
		return false
	}
	b.open++
	b.from[prefix]++
	return true
}

func (b *boundedListener) free(prefix netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if b.from[prefix]--; b.from[prefix] <= 0 {
		delete(b.from, prefix)
	}
}

type boundedConn struct {
	net.Conn
	free func()
}

func (c *boundedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}

// certificate is a pair of files that are read again when they change. A pair that
// does not fit leaves the one before in use; so does a new one that has ended
// already. One that ends while it is in use is refused by those who connect.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	stamp  [2]fileStamp
	looked time.Time
}

type fileStamp struct {
	at   time.Time
	size int64
}

// lookForCertificate is how often a change is looked for, while there are handshakes.
const lookForCertificate = time.Second

func (c *certificate) load() error {
	stamp, err := c.stamps()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", c.certFile, err)
	}
	c.pair, c.stamp, c.looked = &pair, stamp, time.Now()
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		c.log.Warn("the dashboard's certificate is not valid now: browsers will refuse it", "file", c.certFile, "from", pair.Leaf.NotBefore, "until", pair.Leaf.NotAfter)
	}
	return nil
}

func (c *certificate) stamps() (s [2]fileStamp, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

// get is for tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookForCertificate {
		c.looked = now
		c.renew(now)
	}
	return c.pair, nil
}

func (c *certificate) renew(now time.Time) {
	stamp, err := c.stamps()
	if err != nil || stamp == c.stamp {
		return // a file that is missing is being replaced
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err == nil && now.After(pair.Leaf.NotAfter) {
		err = errors.New("it has ended already")
	}
	c.stamp = stamp
	if err != nil {
		c.log.Warn("the dashboard's new certificate cannot be used; the old one stays", "error", err)
		return
	}
	c.pair = &pair
	c.log.Info("the dashboard has a new certificate", "file", c.certFile)
}
