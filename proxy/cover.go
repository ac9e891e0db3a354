package proxy

import (
	"context"
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
	mine   map[netip.AddrPort]struct{} // local ends of our connections to the site

	down     atomic.Bool // what the last dial said
	profiles atomic.Pointer[[]faketls.Profile]
	again    chan struct{}
}

// NewCover returns a Cover that answers with a default profile until Run has
// seen the site.
func NewCover(live *policy.Live, log *slog.Logger, listening func() []netip.AddrPort) *Cover {
	c := &Cover{Live: live, Log: log, Listening: listening,
		mine: make(map[netip.AddrPort]struct{}), again: make(chan struct{}, 1)}
	// The size of a certificate chain of two: stable for this process, since a
	// site's is, and different in the next.
	standard := []faketls.Profile{{Flight: 2500 + rand.IntN(2000), Group: faketls.X25519MLKEM768, VersionsFirst: true}}
	c.profiles.Store(&standard)
	return c
}

// Profile says how to answer the next good hello: like one of the answers that
// the site was seen to give.
func (c *Cover) Profile() faketls.Profile {
	seen := *c.profiles.Load()
	return seen[rand.IntN(len(seen))]
}

// target is where the site is, as far as it was resolved.
type target struct {
	name    string
	addrs   []netip.AddrPort
	expires time.Time
}

// resolveEvery is how long a resolved address is used.
const resolveEvery = time.Minute

// errSelf: the cover site's name leads to this proxy.
var errSelf = errors.New("the cover site resolves to this proxy itself")

// dial connects to the site. peer is who is shown it and in the connection it
// came by, for the PROXY header.
func (c *Cover) dial(ctx context.Context, s *policy.Snapshot, peer netip.AddrPort, in net.Conn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Cover.ConnectTimeout)
	defer cancel()
	addrs, err := c.resolve(ctx, s.Cover.Address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{KeepAlive: -1}
	for _, addr := range addrs {
		var site net.Conn
		if site, err = d.DialContext(ctx, "tcp", addr.String()); err != nil {
			continue
		}
		c.mu.Lock()
		c.mine[addrPort(site.LocalAddr())] = struct{}{}
		c.mu.Unlock()
		if s.Cover.ProxyProtocol {
			header := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(peer), in.LocalAddr())
			if _, err := header.WriteTo(site); err != nil {
				c.forget(site)
				site.Close()
				return nil, err
			}
		}
		return site, nil
	}
	return nil, err
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

// resolve returns the site's addresses, those that are not ours.
func (c *Cover) resolve(ctx context.Context, name string) ([]netip.AddrPort, error) {
	c.mu.Lock()
	t := c.target
	c.mu.Unlock()
	if t.name == name && time.Now().Before(t.expires) {
		return t.addrs, nil
	}
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
		if t.name == name && len(t.addrs) > 0 { // better an old address than none
			return t.addrs, nil
		}
		return nil, err
	}
	fresh := target{name: name, expires: time.Now().Add(resolveEvery)}
	own := c.ownAddresses()
	for _, ip := range ips {
		addr := netip.AddrPortFrom(ip.Unmap(), uint16(number))
		if !own(addr) {
			fresh.addrs = append(fresh.addrs, addr)
		}
	}
	if len(fresh.addrs) == 0 {
		return nil, fmt.Errorf("%s: %w", name, errSelf)
	}
	c.mu.Lock()
	c.target = fresh
	c.mu.Unlock()
	return fresh.addrs, nil
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

// isOurs reports whether from is the local end of one of our own connections
// to the site: then the site's address leads back here by a way that resolve
// could not see (a NAT, say).
func (c *Cover) isOurs(from netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ours := c.mine[from]
	return ours
}

func (c *Cover) forget(site net.Conn) { c.forgetAddr(site.LocalAddr()) }

func (c *Cover) forgetAddr(local net.Addr) {
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
