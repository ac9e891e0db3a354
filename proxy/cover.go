package proxy

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"

	"mtguard/mtproto/faketls"
	"mtguard/security/policy"
)

// Cover is the real web site that strangers are shown: the way to it, and what
// is known of its TLS answers (coverprobe.go).
type Cover struct {
	Live *policy.Live
	Log  *slog.Logger
	// Listening are the addresses this proxy listens on. A cover site that
	// resolves to one of them would be ourselves.
	Listening func() []netip.AddrPort

	mu     sync.Mutex
	target target
	// mine holds the local ends of our connections to the site, each with what
	// was sent ahead on it.
	mine map[netip.AddrPort][32]byte

	lookup    chan struct{} // held by who resolves
	lookAgain chan struct{}
	failed    failedLookup

	down     atomic.Bool  // what the last dial said
	resting  atomic.Int64 // until when, Unix nanoseconds, it is not dialled
	standard []faketls.Profile
	profiles atomic.Pointer[[]faketls.Profile]
	measured atomic.Pointer[Measurement]
	again    chan struct{}
}

// NewCover returns a Cover that answers with a default profile until Run has
// seen the site. The first in a process takes some milliseconds: a client that is
// answered first need not wait for what all others find made.
func NewCover(live *policy.Live, log *slog.Logger, listening func() []netip.AddrPort) *Cover {
	c := &Cover{Live: live, Log: log, Listening: listening,
		mine: make(map[netip.AddrPort][32]byte), lookup: make(chan struct{}, 1), lookAgain: make(chan struct{}, 1), again: make(chan struct{}, 1)}
	// The size of a certificate chain of two: stable for this process, since a
	// site's is, and different in the next.
	c.standard = []faketls.Profile{{Flight: 2500 + rand.IntN(2000), Group: faketls.X25519MLKEM768, VersionsFirst: true}}
	c.profiles.Store(&c.standard)
	shares()
	return c
}

// shares is made once in a process. nil, if ever, only means that keys are made one by one.
var shares = sync.OnceValue(func() *faketls.Shares {
	s, _ := faketls.NewShares(crand.Reader)
	return s
})

// Profile says how to answer the next good hello: like one of the answers that
// the site was seen to give.
func (c *Cover) Profile() faketls.Profile {
	seen := *c.profiles.Load()
	p := seen[rand.IntN(len(seen))]
	p.Shares = shares()
	return p
}

// target is where the site is, as far as it was resolved: the address that
// answered last first.
type target struct {
	name  string
	addrs []netip.AddrPort
}

// failedLookup is remembered for a moment, so that strangers do not queue up
// behind a name server that is silent.
type failedLookup struct {
	name  string
	err   error
	until time.Time
}

const (
	// resolveEvery is how often the site's name is looked up again.
	resolveEvery = time.Minute
	resolveAgain = 5 * time.Second // after a failure, by strangers
)

// errSelf: the cover site's name leads to this proxy.
var errSelf = errors.New("the cover site resolves to this proxy itself")

// A site that is down is asked four times a second, not by every stranger.
const restAfterFailure = 250 * time.Millisecond

var errResting = errors.New("it was out of reach a moment ago")

// open connects to the site and sends it what the peer has said so far. peer is
// who is shown it and in the connection it came by, for the PROXY header.
func (c *Cover) open(ctx context.Context, s *policy.Snapshot, peer netip.AddrPort, in net.Conn, said []byte) (net.Conn, error) {
	var header *proxyproto.Header
	if s.Cover.ProxyProtocol {
		header = proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(peer), in.LocalAddr())
	}
	if time.Now().UnixNano() < c.resting.Load() {
		return nil, errResting
	}
	site, err := c.dial(ctx, s, header)
	if err != nil {
		c.resting.Store(time.Now().Add(restAfterFailure).UnixNano())
		return nil, err
	}
	c.mu.Lock()
	c.mine[addrPort(site.LocalAddr())] = sha256.Sum256(said)
	c.mu.Unlock()
	site.SetDeadline(time.Now().Add(s.Cover.ConnectTimeout))
	if _, err := site.Write(said); err != nil {
		c.forget(site.LocalAddr())
		site.Close()
		return nil, err
	}
	site.SetDeadline(time.Time{})
	return site, nil
}

// dial connects to the first address that answers; each has its share of the
// time. A header, if any, goes ahead.
func (c *Cover) dial(ctx context.Context, s *policy.Snapshot, header *proxyproto.Header) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Cover.ConnectTimeout)
	defer cancel()
	addrs, err := c.resolve(ctx, s.Cover.Address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{KeepAlive: -1, Timeout: s.Cover.ConnectTimeout / time.Duration(len(addrs))}
	for i, addr := range addrs {
		var site net.Conn
		if site, err = d.DialContext(ctx, "tcp", addr.String()); err != nil {
			continue
		}
		if i > 0 {
			c.prefer(s.Cover.Address, addrs, i)
		}
		if header != nil {
			if _, err := header.WriteTo(site); err != nil {
				site.Close()
				return nil, err
			}
		}
		return site, nil
	}
	return nil, err
}

// prefer puts the address that answered first, for the next.
func (c *Cover) prefer(name string, addrs []netip.AddrPort, i int) {
	order := append([]netip.AddrPort{addrs[i]}, addrs[:i]...)
	order = append(order, addrs[i+1:]...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.target.name == name && len(c.target.addrs) == len(order) {
		c.target.addrs = order
	}
}

// dialled notes how a dial went and tells of changes, not of every stranger.
func (c *Cover) dialled(s *policy.Snapshot, err error) {
	switch {
	case err != nil && !c.down.Swap(true):
		c.Log.Warn("cover site is out of reach: strangers are not answered", "address", s.Cover.Address, "error", err)
	case err == nil && c.down.Load() && c.down.Swap(false):
		c.Log.Info("cover site is back", "address", s.Cover.Address)
	}
}

// resolve returns the site's addresses, those that are not ours. Only the first
// time somebody waits for the name server; Run asks it again in the background.
func (c *Cover) resolve(ctx context.Context, name string) ([]netip.AddrPort, error) {
	known := func() ([]netip.AddrPort, error, bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.target.name == name && len(c.target.addrs) > 0 {
			return c.target.addrs, nil, true
		}
		return nil, c.failed.err, c.failed.name == name && time.Now().Before(c.failed.until)
	}
	if addrs, err, ok := known(); ok {
		return addrs, err
	}
	select {
	case c.lookup <- struct{}{}:
		defer func() { <-c.lookup }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if addrs, err, ok := known(); ok { // while we waited for our turn
		return addrs, err
	}
	addrs, err := c.look(ctx, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = failedLookup{name, err, time.Now().Add(resolveAgain)}
		return nil, err
	}
	c.target = target{name, addrs}
	return addrs, nil
}

// keepResolved looks the site's name up again and again, until ctx ends. When
// that fails the old addresses stay: better old ones than none.
func (c *Cover) keepResolved(ctx context.Context) {
	tick := time.NewTicker(resolveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.lookAgain:
		}
		name := c.Live.Load().Cover.Address
		if name == "" {
			continue
		}
		if addrs, err := c.look(ctx, name); err == nil {
			c.mu.Lock()
			c.target = target{name, addrs}
			c.mu.Unlock()
		}
	}
}

// look asks the name server.
func (c *Cover) look(ctx context.Context, name string) ([]netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return nil, err
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	own := c.ownAddresses()
	for _, ip := range ips {
		addr := netip.AddrPortFrom(ip.Unmap(), uint16(number))
		if !own(addr) {
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s: %w", name, errSelf)
	}
	return addrs, nil
}

// ownAddresses returns a test whether an address is one we listen on.
func (c *Cover) ownAddresses() func(netip.AddrPort) bool {
	local := make(map[netip.Addr]bool)
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				local[p.Addr().Unmap()] = true
			}
		}
	}
	listening := c.Listening()
	return func(a netip.AddrPort) bool {
		for _, l := range listening {
			if l.Port() != a.Port() {
				continue
			}
			if ip := l.Addr().Unmap(); ip == a.Addr() || ip.IsUnspecified() && (local[a.Addr()] || a.Addr().IsLoopback()) {
				return true
			}
		}
		return false
	}
}

// isOurs reports whether a peer is our own connection to the site: it has the
// address of one and says what was said there. Then the site's address leads
// back here by a way that look could not see (a NAT, say). The address alone
// would not do: a system gives one port to connections with several peers.
func (c *Cover) isOurs(from netip.AddrPort, said []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ahead, ok := c.mine[from]
	return ok && ahead == sha256.Sum256(said)
}

// forget must be called when a connection that open returned has ended.
func (c *Cover) forget(local net.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mine, addrPort(local))
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}
