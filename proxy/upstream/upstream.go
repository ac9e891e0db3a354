// Package upstream opens the connection to a Telegram data centre.
//
// Direct, the only way so far, goes through the addresses of the DC: the one
// that answered last before all others, then those of the preferred IP version,
// then the rest, each with a time-out of its own. With a SOCKS5 server
// configured it is that server which connects.
//
// It speaks no protocol: the caller writes the obfuscated2 init. All methods
// may be called concurrently.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/proxy"

	"mtguard/mtproto"
	"mtguard/security/policy"
	"mtguard/telemetry/stats"
)

// Dialer opens connections to data centres. The caller closes them.
type Dialer interface {
	Dial(ctx context.Context, s *policy.Snapshot, dc mtproto.DC) (net.Conn, error)
}

// Direct dials the addresses of the snapshot's DC table. The zero value counts
// nothing.
type Direct struct {
	Stats *stats.Counters

	mu   sync.Mutex
	dead map[netip.AddrPort]time.Time // when it may be tried first again
}

// deadFor is how long an address that did not answer is tried last.
const deadFor = 15 * time.Second

// ErrNoAddress is returned when the DC has no address of an allowed IP version.
var ErrNoAddress = errors.New("no address of an allowed IP version")

// Dial connects to the first address of dc that answers.
func (d *Direct) Dial(ctx context.Context, s *policy.Snapshot, dc mtproto.DC) (net.Conn, error) {
	used, addrs := s.DCs.Lookup(dc)
	addrs = order(addrs, s.Upstream.Prefer)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("dc %v: %w", dc, ErrNoAddress)
	}
	d.postpone(addrs, time.Now())
	var failures []error
	for _, addr := range addrs {
		started := time.Now()
		c, err := dial(ctx, &s.Upstream, addr)
		if d.Stats != nil {
			d.Stats.Dial(used.Number(), err == nil, time.Since(started))
		}
		d.note(addr, err == nil, started)
		if err == nil {
			return c, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("dc %v: %w", dc, errors.Join(failures...))
}

// order keeps the addresses that prefer allows, preferred version first.
func order(addrs []netip.AddrPort, prefer policy.Prefer) []netip.AddrPort {
	var first, second []netip.AddrPort
	for _, a := range addrs {
		if a.Addr().Unmap().Is4() == prefer.IPv4First() {
			first = append(first, a)
		} else if !prefer.Only() {
			second = append(second, a)
		}
	}
	return append(first, second...)
}

// postpone moves the addresses that did not answer lately behind the others.
func (d *Direct) postpone(addrs []netip.AddrPort, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.dead) == 0 {
		return
	}
	slices.SortStableFunc(addrs, func(a, b netip.AddrPort) int {
		aDead, bDead := now.Before(d.dead[a]), now.Before(d.dead[b])
		switch {
		case aDead == bDead:
			return 0
		case aDead:
			return 1
		}
		return -1
	})
}

// note remembers how an address did. The memory is bounded by the DC table.
func (d *Direct) note(addr netip.AddrPort, ok bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case ok:
		delete(d.dead, addr)
	case d.dead == nil:
		d.dead = map[netip.AddrPort]time.Time{addr: now.Add(deadFor)}
	default:
		d.dead[addr] = now.Add(deadFor)
	}
}

// dial opens one TCP connection, through the SOCKS5 server if there is one.
func dial(ctx context.Context, u *policy.Upstream, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, u.ConnectTimeout)
	defer cancel()
	// Keep-alive is left to the idle deadline: it saves three system calls.
	tcp := net.Dialer{KeepAlive: -1}
	if u.SOCKS5 == "" {
		return tcp.DialContext(ctx, "tcp", addr.String())
	}
	c, err := tcp.DialContext(ctx, "tcp", u.SOCKS5)
	if err != nil {
		return nil, fmt.Errorf("socks5 server: %w", err)
	}
	if err := connect(ctx, c, u.SOCKS5, addr); err != nil {
		c.Close()
		return nil, fmt.Errorf("socks5 server: %w", err)
	}
	return c, nil
}

// connect asks the SOCKS5 server at the other end of c for a connection to
// addr. Afterwards c itself carries its bytes.
func connect(ctx context.Context, c net.Conn, server string, addr netip.AddrPort) error {
	d, err := proxy.SOCKS5("tcp", server, nil, nil)
	if err != nil {
		return err
	}
	on, ok := d.(interface {
		DialWithConn(ctx context.Context, c net.Conn, network, address string) (net.Addr, error)
	})
	if !ok {
		return errors.New("this build's SOCKS library cannot use a connection")
	}
	_, err = on.DialWithConn(ctx, c, "tcp", addr.String())
	return err
}
