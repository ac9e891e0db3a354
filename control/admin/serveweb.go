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
	// Regulars, unless nil, are those whom the last eighth of the connections is kept
	// for.
	Regulars *Regulars
	Log      *slog.Logger
}

const (
	maxWebConnections = 4096
	keptForRegulars   = maxWebConnections / 8
	// maxFromPrefix is how many of them one address, or one /64, may have; maxFromLoopback
	// those of this machine, where tunnels and proxies come from.
	maxFromPrefix   = 128
	maxFromLoopback = 1024
	maxWebHeader    = 16 << 10
	maxStreams      = 64
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
	bounded := &boundedListener{Listener: l, regulars: o.Regulars, from: make(map[netip.Prefix]int)}
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
	return serveUntil(ctx, server, serve, requests, abandon)
}

// boundedListener bounds the open connections, in all and by prefix. One above the
// bound is closed at once.
type boundedListener struct {
	net.Listener
	regulars *Regulars
	mu       sync.Mutex
	open     int
	from     map[netip.Prefix]int
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
	each, all := maxFromPrefix, maxWebConnections-keptForRegulars
	if prefix.Addr().IsLoopback() {
		each = maxFromLoopback
	}
	if b.regulars.know(prefix) {
		all = maxWebConnections
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= all || b.from[prefix] >= each {
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

// Regulars are the prefixes that somebody with a good credential has lately come
// from. Strangers who take all the connections there are leave theirs. The nil
// Regulars knows nobody. It may be used concurrently.
type Regulars struct {
	mu   sync.Mutex
	seen map[netip.Prefix]time.Time
}

// NewRegulars returns one that knows nobody yet.
func NewRegulars() *Regulars { return &Regulars{seen: make(map[netip.Prefix]time.Time)} }

// maxRegulars is more than have sessions and tokens.
const maxRegulars = 2000

func (r *Regulars) note(from netip.Addr, now time.Time) {
	if r == nil {
		return
	}
	prefix, _, ok := ratelimit.PrefixesOf(from)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.seen[prefix]; !known && len(r.seen) >= maxRegulars {
		oldest := prefix
		for p, at := range r.seen {
			if last, ok := r.seen[oldest]; !ok || at.Before(last) {
				oldest = p
			}
		}
		delete(r.seen, oldest)
	}
	r.seen[prefix] = now
}

func (r *Regulars) know(prefix netip.Prefix) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.seen[prefix]
	return known
}
