package proxy

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"time"

	"mtguard/mtproto"
	"mtguard/mtproto/faketls"
	"mtguard/mtproto/obfs2"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/proxy/handshake"
	"mtguard/proxy/relay"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// conn is a connection on its way through this file, from top to bottom:
//
//	serveConn   PROXY header, counting, judgement at the door
//	identify    handshake, with judgement of the hello and of the client; who
//	            fails goes to mask.go
//	connect     the way to its DC, the first bytes
//	relay       the relay takes the pair; no goroutine is left behind
//	ended       the relay calls back: everything is given back and counted
//
// What a connection holds, a place in the occupancy and, once it is known, a
// grant, is given back in one place: brief.release, at its end.
type conn struct {
	guard.Conn
	s       *Server
	c       net.Conn
	key     *keys.Key   // nil until a secret matched
	grant   *auth.Grant // nil until the client was let in
	counted bool        // stands in the occupancy
	verdict guard.Verdict
	said    *event.Hello // nil before a fake-TLS hello was read
}

// serveConn owns c until the relay does.
func (s *Server) serveConn(c net.Conn, open int) {
	snap := s.Live.Load() // the only time: it meets one policy for its whole life
	x := &conn{s: s, c: c}
	x.Conn = guard.Conn{ID: s.serial.Add(1), Addr: addrPort(c.RemoteAddr()), At: time.Now(), Policy: snap}
	c.SetDeadline(x.At.Add(snap.Handshake))
	waiting, n, evicted := s.half.enter(c, snap.Limits.HalfOpen)
	x.Open, x.HalfOpen = open, n
	if evicted {
		s.Stats.Decision(policy.HalfOpen, stats.VerdictDeny, stats.ModeEnforce)
	}
	var early []byte // read together with a PROXY header
	var err error
	if contains(snap.ProxyProtocolFrom, x.Addr.Addr()) {
		x.Addr, early, err = readProxyHeader(c, x.Addr)
	}
	var client *handshake.Client
	var failure *handshake.Failure
	if err == nil {
		if x.admit() {
			client, failure = x.identify(early)
		} else {
			s.Guard.Conclude(&x.Conn, stats.ResultRefused)
		}
	}
	s.Stats.Moved(stats.StateHandshake, stats.StateConnecting)
	switch {
	case !s.half.leave(waiting), x.verdict.Action == guard.Deny:
		x.close(stats.OutcomeDenied)
	case err != nil:
		if s.headers.now(x.At) {
			s.Log.Warn("PROXY header of a listed peer", "peer", x.Addr.Addr().String(), "error", err)
		}
		x.close(stats.OutcomeError)
	case failure != nil:
		x.refuse(failure)
	case client == nil:
		x.mask(&handshake.Failure{Read: early}, stats.OutcomeLimited)
	default:
		x.connect(client)
	}
}

// admit counts the connection and has it judged by its address.
func (x *conn) admit() bool {
	addr := x.Addr.Addr()
	_, x.FromAddr, x.FromPrefix = x.s.Occupancy.Enter(addr)
	x.counted = true
	x.Known = x.s.Auth.Knows(addr)
	x.Access = x.Policy.Access.Check(access.Query{Addr: addr, Now: x.At})
	return x.judged(x.s.Guard.Admit(&x.Conn))
}

// Hello implements handshake.Judge.
func (x *conn) Hello(h *faketls.ClientHello) bool {
	x.Transport, x.ServerName, x.KeyShare = mtproto.FakeTLS, h.ServerName(), h.Offers(faketls.X25519MLKEM768)
	x.JA4 = h.JA4() // also where no rule asks for it yet: records of connections do, and rules to come
	x.said = &event.Hello{ServerName: x.ServerName, JA4: x.JA4, KeyShare: x.KeyShare}
	return x.judged(x.s.Guard.Hello(&x.Conn))
}

// Client implements handshake.Judge.
func (x *conn) Client(g *auth.Grant, t mtproto.Transport) bool {
	x.key = g.Key()
	account := x.key.Account()
	x.User, x.Key, x.Transport = x.key.User(), string(x.key.ID()), t
	x.UserOpen, x.UserAddrs = account.Open()
	x.KeyOpen = x.key.Leases()
	x.SecretSince, x.Imported = x.key.Since(), x.key.Imported()
	x.Level = min(account.Level(), auth.HelloCeiling(x.Policy, x.Addr.Addr(), x.User, x.ServerName, x.JA4, x.At),
		auth.Ceiling(x.Policy, x.Addr.Addr(), x.User, x.At))
	account.Came(t, x.At)
	return x.judged(x.s.Guard.Authorize(&x.Conn))
}

// judged notes a verdict that came in the middle of the handshake.
func (x *conn) judged(v guard.Verdict) bool {
	x.verdict = v
	return v.Action == guard.Allow
}

// identify does the handshake and counts how it went.
func (x *conn) identify(early []byte) (*handshake.Client, *handshake.Failure) {
	c := x.c
	if len(early) > 0 {
		c = &rewound{Conn: x.c, early: early}
	}
	buf := x.s.buffers.Get().(*[]byte)
	defer x.s.buffers.Put(buf)
	a := handshake.Acceptor{Policy: x.Policy, Auth: x.s.Auth, Cover: x.s.Cover, Judge: x}
	client, failure := a.Accept(c, x.Addr.Addr(), (*buf)[:0])
	took := time.Since(x.At)
	if failure != nil {
		x.s.Guard.Conclude(&x.Conn, failure.Result)
		x.s.Stats.Handshake(failure.Transport.String(), failure.Result, took)
		failure.Read = append([]byte(nil), failure.Read...) // buf goes back
		x.Transport = failure.Transport
		x.key = failure.Key
		return nil, failure
	}
	x.s.Guard.Conclude(&x.Conn, stats.ResultOK)
	x.s.Stats.Handshake(client.Transport.String(), stats.ResultOK, took)
	client.Payload = append([]byte(nil), client.Payload...)
	x.grant, x.DC = client.Grant, client.Header.DC
	return client, nil
}

// refuse tells of a handshake that failed. What the peer is shown does not depend
// on why.
func (x *conn) refuse(f *handshake.Failure) {
	b := x.brief()
	e := b.event(event.HandshakeFailed, f.Reason(), x.key, relay.Result{Up: int64(len(f.Read))})
	e.Skew, e.Hello = f.Skew, x.said
	x.s.Events.Emit(e)
	outcome := stats.OutcomeCovered
	switch f.Result {
	case stats.ResultRevoked:
		x.emit(event.Tripwire, f.Reason(), relay.Result{})
	case stats.ResultUser, stats.ResultRefused:
		outcome = stats.OutcomeLimited
	}
	if f.Result != stats.ResultRefused && !f.Gone && !(f.Ended && len(f.Read) == 0) && x.s.Suspects.Slowed(&x.Conn) {
		x.discard(outcome) // a suspect whose handshakes fail too often does not even see the site
		return
	}
	x.mask(f, outcome)
}

// connect opens the client's way to Telegram.
func (x *conn) connect(client *handshake.Client) {
	if x.lost() { // the client took its time
		return
	}
	ctx, cancel := context.WithTimeout(x.s.ctx, x.Policy.Handshake)
	defer cancel()
	dc, err := x.s.Upstream.Dial(ctx, x.Policy, client.Header.DC)
	if err != nil {
		if x.s.dials.now(time.Now()) {
			x.s.Log.Warn("no way to the DC", "conn", x.ID, "dc", int(client.Header.DC), "error", err)
		}
		x.emit(event.UpstreamFailed, "dial", relay.Result{})
		x.close(stats.OutcomeError)
		return
	}
	if x.lost() { // the DC took its time
		dc.Close()
		return
	}
	session, first, err := plan(x.Policy, client)
	if err == nil {
		dc.SetDeadline(time.Now().Add(x.Policy.Handshake))
		_, err = dc.Write(first)
	}
	if err != nil {
		x.emit(event.UpstreamFailed, "first bytes", relay.Result{})
		dc.Close()
		x.close(stats.OutcomeError)
		return
	}
	session.Client, session.Server = x.c, dc
	x.relay(session, len(client.Payload))
}

// lost ends the connection if what it was granted does not hold any more, and
// reports whether it has: nothing more of this client goes anywhere.
func (x *conn) lost() bool {
	why := x.grant.Lost()
	if why == "" {
		return false
	}
	x.emit(event.HandshakeFailed, why, relay.Result{})
	x.close(stats.OutcomeLimited)
	return true
}

// plan says what the relay has to do to the bytes, and makes those that go to
// the DC first: our own init and what the client has sent behind its.
//
// With pass-through (protocol paper 2.7) our init is chosen so that the DC
// encrypts with the key that the client expects: the download needs no cipher.
func plan(s *policy.Snapshot, client *handshake.Client) (relay.Session, []byte, error) {
	h := obfs2.Header{Framing: client.Header.Framing, DC: client.Header.DC}
	var init obfs2.Init
	var err error
	if s.PassThrough {
		init, err = obfs2.NewPassThroughInit(rand.Reader, h, client.S2C)
	} else {
		init, err = obfs2.NewInit(rand.Reader, h, nil)
	}
	if err != nil {
		return relay.Session{}, nil, err
	}
	toDC, fromDC := init.Keys(nil)
	session := relay.Session{Idle: s.Idle}
	session.Up = relay.Flow{
		Unwrap:  client.Unwrap,
		Decrypt: &relay.Cipher{Key: client.C2S, Offset: obfs2.InitSize},
		Encrypt: &relay.Cipher{Key: toDC, Offset: obfs2.InitSize},
	}
	session.Down.Wrap = client.Transport == mtproto.FakeTLS
	if !s.PassThrough {
		session.Down.Decrypt = &relay.Cipher{Key: fromDC}
		session.Down.Encrypt = &relay.Cipher{Key: client.S2C}
	}
	session.Up.Decrypt.XOR(client.Payload)
	session.Up.Encrypt.XOR(client.Payload)
	return session, append(init[:], client.Payload...), nil
}

// relay hands the pair over. The session is registered before it runs, and its
// grant looked at once more afterwards: what was taken away since the handshake is
// caught by one side or the other.
func (x *conn) relay(r relay.Session, payload int) {
	x.c.SetDeadline(time.Time{})
	r.Server.SetDeadline(time.Time{})
	live := &session{s: x.s, payload: int32(payload), dc: x.DC, counted: x.counted}
	live.Conn, live.Since, live.Grant, live.Relay, live.Transport = x.ID, x.At.UnixNano(), x.grant, live, x.Transport
	live.Grant.Said = auth.Saying(x.ServerName, x.JA4)
	x.key.Account().SetRates(auth.RatesOf(x.Policy, x.User, x.At), x.At)
	live.Grade(x.Level)
	r.Done, r.Throttle = live.ended, &live.Throttle
	x.s.Stats.Moved(stats.StateConnecting, stats.StateSession)
	x.emit(event.Authenticated, "", relay.Result{})
	x.s.Sessions.Open(&live.Session)
	live.start(x.s.Engine.Start(r))
	if why := live.Grant.Lost(); why != "" {
		live.End(why)
	} else if now := x.s.Live.Load(); now != x.Policy && !live.Follow(now, time.Now()) {
		live.End("level")
	}
}

// session is what the proxy keeps of a connection while the relay has it. There
// may be very many: nothing stands here twice.
type session struct {
	auth.Session
	s       *Server
	payload int32 // bytes from the client that went ahead of the relay
	dc      mtproto.DC
	counted bool // stands in the occupancy

	killed bool         // guarded by mu
	mu     sync.Mutex   // guards killed and handle
	handle relay.Handle // zero until the relay has started
}

// End implements auth.Relay: it asks the relay to end the session, or remembers to.
func (l *session) End(string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed = true
	l.handle.Kill(relay.Killed)
}

// Moved implements auth.Relay.
func (l *session) Moved() (up, down int64) {
	l.mu.Lock()
	handle := l.handle
	l.mu.Unlock()
	up, down = handle.Moved()
	return up + int64(l.payload), down
}

func (l *session) start(h relay.Handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handle = h; l.killed {
		h.Kill(relay.Killed)
	}
}

// ended is called by the relay.
func (l *session) ended(r relay.Result) {
	r.Up += int64(l.payload)
	l.s.Sessions.Close(&l.Session, r.Up, r.Down)
	l.judgeBytes(r.Over, time.Now())
	b := brief{id: l.Conn, addr: l.From(), arrived: l.Since, transport: l.Transport, dc: l.dc, counted: l.counted, grant: l.Grant}
	l.s.Events.Emit(b.event(event.Relayed, r.Reason.String(), l.Key(), r))
	b.release(l.s, stats.StateSession, stats.OutcomeRelayed)
}

// judgeBytes counts what bytes.user came to for this session. It refuses nobody, so it is no check of the pipeline: whether it held the
// session back is known at the end. Of access.ReadOnly that is the level's meaning, and nothing is counted.
func (l *session) judgeBytes(over bool, now time.Time) {
	s := l.s.Live.Load()
	subject := policy.Subject{Addr: l.From(), User: l.User()}
	mode, _ := s.Expect(policy.BytesUser, subject, now)
	if mode == policy.Off || l.Level() == access.ReadOnly {
		return
	}
	verdict := stats.VerdictAllow
	if over {
		verdict = stats.VerdictDelay
		mode, _ = s.Judge(policy.BytesUser, subject, now) // an exception that spared it counts that
	}
	l.s.Stats.Control(policy.BytesUser).Decided(verdict, guard.StatsMode(mode), true)
}

// close ends a connection that the relay never had.
func (x *conn) close(outcome stats.Outcome) { x.closeFrom(stats.StateConnecting, outcome) }

func (x *conn) closeFrom(state stats.State, outcome stats.Outcome) {
	x.c.Close()
	b := x.brief()
	b.release(x.s, state, outcome)
}

func (x *conn) emit(kind event.Kind, reason string, r relay.Result) {
	b := x.brief()
	e := b.event(kind, reason, x.key, r)
	e.Hello = x.said
	x.s.Events.Emit(e)
}

// brief is what has to be remembered of a connection until its end.
type brief struct {
	id        uint64
	addr      netip.Addr
	arrived   int64 // Unix nanoseconds
	transport mtproto.Transport
	dc        mtproto.DC
	counted   bool        // stands in the occupancy
	grant     *auth.Grant // nil when there is none
}

func (x *conn) brief() brief {
	return brief{id: x.ID, addr: x.Addr.Addr(), arrived: x.At.UnixNano(), transport: x.Transport, dc: x.DC, counted: x.counted, grant: x.grant}
}

// release gives back what the connection holds and counts its end.
func (b *brief) release(s *Server, state stats.State, outcome stats.Outcome) {
	b.grant.Release()
	if b.counted {
		s.Occupancy.Leave(b.addr)
	}
	s.Stats.Ended(state, outcome)
	s.open.Add(-1)
}

// event tells of the connection; key is nil before it was found.
func (b *brief) event(kind event.Kind, reason string, key *keys.Key, r relay.Result) event.Event {
	now := time.Now()
	e := event.Event{Time: now, Kind: kind, Conn: b.id, Addr: b.addr, DC: int(b.dc), Reason: reason,
		Sent: r.Down, Received: r.Up, Took: time.Duration(now.UnixNano() - b.arrived)}
	if b.transport != 0 {
		e.Transport = b.transport.String()
	}
	if key != nil {
		e.User, e.Key = key.User(), string(key.ID())
	}
	return e
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
