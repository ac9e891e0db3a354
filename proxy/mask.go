package proxy

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"

	"mtguard/mtproto"
	"mtguard/proxy/handshake"
	"mtguard/proxy/relay"
	"mtguard/security/keys"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// mask shows a refused peer the cover site: everything it has sent goes there,
// unchanged, and the relay does the rest. All refusals go this way, so that
// none can be told from another, or from the site itself.
//
// Where there is nothing to show (no fake TLS on this server, the site is
// down, too many are being shown it), the peer is read and never answered.
func (x *conn) mask(f *handshake.Failure, outcome stats.Outcome) {
	switch {
	case f.Gone, f.Ended && len(f.Read) == 0:
		x.close(outcome)
	case f.Answered, !x.Policy.Transports[mtproto.FakeTLS], x.Policy.Cover.Address == "":
		x.discard(outcome)
	default:
		x.splice(f.Read, outcome)
	}
}

// loops closes the connection and reports true when it is our own to the cover
// site, which came back to us. The other end has noted its address by now: it
// has sent something, or a time-out has passed, or it will be here again.
func (x *conn) loops(said []byte) bool {
	if !x.s.Cover.isOurs(addrPort(x.c.RemoteAddr()), said) {
		return false
	}
	if x.s.rarely.now(x.At) {
		x.s.Log.Error("cover site leads back to this proxy", "address", x.Policy.Cover.Address)
	}
	x.close(stats.OutcomeDenied)
	return true
}

// share is the part of the strangers shown the site that one address may be: a
// sixteenth, lest one of them take the disguise from all others.
func share(limit int) int { return max(limit/16, 16) }

// splice connects the peer with the cover site.
func (x *conn) splice(read []byte, outcome stats.Outcome) {
	if x.loops(read) {
		return
	}
	all, own, _ := x.s.Covered.Enter(x.Addr.Addr())
	if limit := x.Policy.Cover.MaxConnections; all > limit || own > share(limit) {
		x.s.Covered.Leave(x.Addr.Addr())
		x.discard(outcome)
		return
	}
	site, err := x.s.Cover.open(x.s.ctx, x.Policy, x.Addr, x.c, read)
	x.s.Stats.CoverDial(err == nil)
	x.s.Cover.dialled(x.Policy, err)
	if err != nil {
		x.s.Covered.Leave(x.Addr.Addr())
		x.discard(outcome)
		return
	}
	x.s.Stats.Moved(stats.StateConnecting, stats.StateCovered)
	x.c.SetDeadline(time.Time{})
	shown := &covered{s: x.s, conn: x.brief(), key: x.key, local: site.LocalAddr(), read: len(read), outcome: outcome}
	x.s.Engine.Start(relay.Session{Client: x.c, Server: site, Idle: x.Policy.Idle, Done: shown.ended})
}

// covered is what the proxy keeps of a stranger while the relay has it.
type covered struct {
	s       *Server
	conn    brief
	key     *keys.Key // somebody's, out of time or for the second time; else nil
	local   net.Addr  // our end of the connection to the site
	read    int       // bytes that went ahead of the relay
	outcome stats.Outcome
}

func (c *covered) ended(r relay.Result) {
	r.Up += int64(c.read)
	c.s.Cover.forget(c.local)
	c.s.Covered.Leave(c.conn.addr)
	c.s.Events.Emit(c.conn.event(event.Covered, r.Reason.String(), c.key, r))
	c.conn.release(c.s, stats.StateCovered, c.outcome)
}

// Limits of discard: how long a peer is read that is never answered (protocol
// paper section 9), and how much of what it sends.
const (
	discardAtLeast = 30 * time.Second
	discardAtMost  = 90 * time.Second
	discardBytes   = 1 << 20
)

// discard reads and answers nothing until a random deadline, or until the
// server stops. After discardBytes it does not even read.
func (x *conn) discard(outcome stats.Outcome) {
	defer x.s.silent.Add(-1)
	if x.s.silent.Add(1) > int64(x.Policy.Cover.MaxConnections) {
		x.close(outcome)
		return
	}
	x.s.Stats.Moved(stats.StateConnecting, stats.StateSilent)
	wait := discardAtLeast + rand.N(discardAtMost-discardAtLeast)
	ctx, cancel := context.WithDeadline(x.s.ctx, x.At.Add(wait))
	defer cancel()
	x.c.SetDeadline(time.Time{}) // before the next line: the deadline may have come already
	defer context.AfterFunc(ctx, func() { x.c.SetDeadline(time.Unix(1, 0)) })()
	n, err := io.CopyN(io.Discard, x.c, discardBytes)
	if n == discardBytes && err == nil {
		<-ctx.Done()
	}
	x.closeFrom(stats.StateSilent, outcome)
}

// readProxyHeader reads a PROXY protocol header, version 1 or 2, which a
// listed peer must begin with. It returns the client's address and what was
// read behind the header.
func readProxyHeader(c net.Conn, from netip.AddrPort) (netip.AddrPort, []byte, error) {
	r := bufio.NewReader(c)
	if err := awaitLine(r); err != nil {
		return from, nil, err
	}
	header, err := proxyproto.Read(r)
	if err != nil {
		return from, nil, err
	}
	if addr, ok := header.SourceAddr.(*net.TCPAddr); ok && header.Command == proxyproto.PROXY {
		from = addr.AddrPort()
		from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	}
	early, _ := r.Peek(r.Buffered())
	return from, append([]byte(nil), early...), nil
}

// awaitLine waits until a version 1 header, which is a line of text, is there as
// a whole: the library takes what has come for all of it.
func awaitLine(r *bufio.Reader) error {
	const longest = 107 // bytes of a line, by the protocol's specification
	start, err := r.Peek(6)
	if err != nil || string(start) != "PROXY " {
		return err
	}
	for n := len(start); n <= longest; n++ {
		line, err := r.Peek(n)
		if err != nil {
			return err
		}
		if line[n-1] == '\n' {
			return nil
		}
	}
	return nil // too long: the library says so
}

// rewound is a connection whose first bytes were read already.
type rewound struct {
	net.Conn
	early []byte
}

func (r *rewound) Read(b []byte) (int, error) {
	if len(r.early) > 0 {
		n := copy(b, r.early)
		r.early = r.early[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}
