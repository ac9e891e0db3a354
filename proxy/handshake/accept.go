// Package handshake turns a fresh connection into an authenticated client, or
// into what has to be replayed to the cover site.
//
// One port takes every transport. The first bytes decide: a TLS handshake
// record is the start of a fake-TLS hello, anything else of an obfuscated2 init
// (protocol paper section 9). What begins like TLS and turns out to be no hello is
// tried as an init too, if it has come as a whole by then. Nothing is ever written to somebody who has not
// proven a secret; every byte read from such a peer is in Failure.Read. Nor is
// anything written before the Judge has let the client pass.
//
// The package starts no goroutine. Accept reads with the deadline that the
// caller has set on the connection.
package handshake

import (
	crand "crypto/rand"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"mtguard/mtproto"
	"mtguard/mtproto/faketls"
	"mtguard/mtproto/obfs2"
	"mtguard/proxy/auth"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/usage"
	"mtguard/telemetry/stats"
)

// Client is an authenticated client.
type Client struct {
	Grant     *auth.Grant // the caller's, who releases it
	Transport mtproto.Transport
	Header    obfs2.Header // framing and DC it asked for
	// C2S and S2C are the client's key streams; of C2S the init has used
	// obfs2.InitSize bytes.
	C2S, S2C obfs2.StreamKey
	// Payload is what came behind the init, still encrypted.
	Payload []byte
	// Unwrap goes on where reading stopped; nil without fake TLS.
	Unwrap *faketls.Deframer
}

// Failure says why there is no client and what was read until then. Whatever was
// granted before has been given back.
type Failure struct {
	Result    stats.Result
	Refusal   usage.Refusal     // with stats.ResultUser
	Transport mtproto.Transport // as far as it was recognised, else 0
	// Read holds every byte the peer has sent. Ended: it said its end behind
	// them. Gone: it cannot be answered any more.
	Read        []byte
	Ended, Gone bool
	// Answered: the peer had proven a secret and was sent a ServerHello, so
	// the cover site can no longer speak to it.
	Answered bool
	// Key is set when a secret matched all the same: somebody's, out of time,
	// for the second time, good no more, of a user who is not served, or in a form
	// that cannot be answered.
	Key *keys.Key
	// Skew is by how much the client's clock is behind ours, with stats.ResultClock.
	Skew time.Duration
}

// Reason is the result in a word, or why the user is not served.
func (f *Failure) Reason() string {
	if f.Result == stats.ResultUser {
		return f.Refusal.String()
	}
	return f.Result.String()
}

// Judge decides on the way whether a client may go on. Whom it refuses has
// stats.ResultRefused.
type Judge interface {
	// Hello is asked before any secret is tried. It must not keep h.
	Hello(h *faketls.ClientHello) bool
	// Client is asked when a client would be let in, before anything is answered:
	// so the DC is not known yet. The grant is only lent.
	Client(g *auth.Grant, t mtproto.Transport) bool
}

// Acceptor is what Accept needs beside a connection. All fields are required.
type Acceptor struct {
	Policy *policy.Snapshot
	Auth   *auth.Authenticator
	Cover  Profiler
	Judge  Judge
}

// Accept reads until it knows the client. buf is where reading starts, of any
// capacity; Client.Payload and Failure.Read may point into it.
func (a *Acceptor) Accept(c net.Conn, from netip.Addr, buf []byte) (*Client, *Failure) {
	r := reader{Acceptor: a, c: c, from: from, b: buf[:0]}
	if a.Policy.Transports[mtproto.FakeTLS] {
		return r.acceptAny()
	}
	return r.acceptInit()
}

// Profiler says how the cover site answers a good hello.
type Profiler interface {
	Profile() faketls.Profile
}

// acceptAny goes the way of the first bytes.
func (r *reader) acceptAny() (*Client, *Failure) {
	for {
		hello, n, need, err := faketls.ParseHello(r.b)
		switch {
		case err != nil && transportOf(r.b) == 0 && r.initServed():
			return r.acceptInit()
		case err != nil:
			return r.acceptNoHello()
		case hello != nil:
			return r.acceptHello(hello, n)
		}
		if f := r.more(need); f != nil {
			f.Transport = transportOf(r.b)
			return nil, f
		}
	}
}

// initServed: a transport without TLS is served.
func (r *reader) initServed() bool {
	served := &r.Policy.Transports
	return served[mtproto.Classic] || served[mtproto.Secure]
}

// transportOf names the transport that the first bytes promise. Clients draw an
// init anew that begins with 16 03 01 02, but none with 16 03 and something else
// (protocol paper 2.2): see acceptNoHello.
func transportOf(b []byte) mtproto.Transport {
	if len(b) >= 2 && b[0] == 0x16 && b[1] == 0x03 {
		return mtproto.FakeTLS
	}
	return 0
}

// acceptNoHello is for what is no hello, although it may have begun like one: so
// does one init in 65,536. Such an init is there as a whole, since clients send it
// in one piece. Where it is not, nothing more is read for its sake: a web server
// may answer the byte that proved it to be no hello, and whoever sent it would see
// us wait. For the same reason a stranger's failure stays the one it was.
func (r *reader) acceptNoHello() (*Client, *Failure) {
	if len(r.b) >= obfs2.InitSize && r.initServed() {
		if client, f := r.acceptInit(); client != nil || f.Key != nil {
			return client, f
		}
	}
	return nil, r.failure(stats.ResultMalformed, transportOf(r.b))
}

func (r *reader) acceptHello(h *faketls.ClientHello, n int) (*Client, *Failure) {
	if _, ok := r.Policy.ServerNames[h.ServerName()]; !ok {
		return nil, r.failure(stats.ResultServerName, mtproto.FakeTLS)
	}
	if !r.Judge.Hello(h) {
		return nil, r.failure(stats.ResultRefused, mtproto.FakeTLS)
	}
	v := r.authenticate(hello{h}, func() mtproto.Transport { return mtproto.FakeTLS })
	if v.Result != stats.ResultOK {
		return nil, r.refusal(v, mtproto.FakeTLS)
	}
	client, f := r.answerHello(h, n, v.Grant)
	if f != nil {
		f.Transport, f.Key = mtproto.FakeTLS, v.Key
		v.Grant.Release() // no session
	}
	return client, f
}

// authenticate finds out who made h, and asks the judge about whoever would be let
// in. Whom that refuses gets the grant taken away.
func (r *reader) authenticate(h auth.Hello, transport func() mtproto.Transport) auth.Verdict {
	v := r.Auth.Authenticate(r.Policy, r.from, h, time.Now())
	if v.Result == stats.ResultOK && !r.Judge.Client(v.Grant, transport()) {
		v.Grant.Release() // refused
		v.Result, v.Grant = stats.ResultRefused, nil
	}
	return v
}

// answerHello says who we are and reads on. The grant stays the caller's unless
// there is a client.
func (r *reader) answerHello(h *faketls.ClientHello, n int, g *auth.Grant) (*Client, *Failure) {
	noise := noises.Get().(*rand.ChaCha8)
	answer, err := h.Answer(g.Key().Material(), r.Cover.Profile(), noise)
	noises.Put(noise)
	if err != nil { // no suite that we could answer with
		return nil, r.failure(stats.ResultMalformed, mtproto.FakeTLS)
	}
	if _, err := r.c.Write(answer); err != nil {
		return nil, &Failure{Result: stats.ResultEOF, Gone: true, Answered: true}
	}
	client, f := r.insideTLS(n, g)
	if f != nil {
		f.Answered, f.Read = true, nil
	}
	return client, f
}

// noises make the 4 to 8 KB of an answer that have to look random to everybody
// and are secret to nobody. Each is seeded by the system; asking the system for
// all of them costs three times as much.
var noises = sync.Pool{New: func() any {
	var seed [32]byte
	crand.Read(seed[:])
	return rand.NewChaCha8(seed)
}}

// insideTLS reads records until the init is whole. Its boundaries mean
// nothing: real clients put the first packet into the init's record, others
// do not (protocol paper 4.8).
func (r *reader) insideTLS(helloSize int, g *auth.Grant) (*Client, *Failure) {
	unwrap := new(faketls.Deframer)
	payload := r.b[:0]
	fresh := r.b[helloSize:]
	for {
		n, err := unwrap.Strip(fresh)
		if err != nil {
			return nil, &Failure{Result: stats.ResultMalformed}
		}
		payload = append(payload, fresh[:n]...) // never overtakes fresh: it starts at or behind payload's end
		if len(payload) >= obfs2.InitSize {
			break
		}
		r.b = payload
		if f := r.more(1); f != nil {
			return nil, f
		}
		payload, fresh = r.b[:len(payload)], r.b[len(payload):] // reading may have moved them
	}
	init := obfs2.Init(payload[:obfs2.InitSize])
	header, ok := init.Open(g.Key().Material())
	if !ok || header.Framing != mtproto.Padded {
		return nil, &Failure{Result: stats.ResultBadSecret}
	}
	if !r.Auth.FirstInit(init.ReplayKey(), time.Now()) {
		return nil, &Failure{Result: stats.ResultReplay}
	}
	client := newClient(g, mtproto.FakeTLS, header, &init)
	client.Payload, client.Unwrap = payload[obfs2.InitSize:], unwrap
	return client, nil
}

// acceptInit serves the transports without TLS.
func (r *reader) acceptInit() (*Client, *Failure) {
	for len(r.b) < obfs2.InitSize {
		if f := r.more(obfs2.InitSize - len(r.b)); f != nil {
			return nil, f
		}
	}
	init := obfs2.Init(r.b[:obfs2.InitSize])
	h := &bareInit{Init: &init, allowed: &r.Policy.Transports}
	v := r.authenticate(h, h.transport)
	if v.Result != stats.ResultOK {
		return nil, r.refusal(v, h.transport())
	}
	client := newClient(v.Grant, h.transport(), h.header, &init)
	client.Payload = r.b[obfs2.InitSize:]
	return client, nil
}

func newClient(g *auth.Grant, t mtproto.Transport, h obfs2.Header, init *obfs2.Init) *Client {
	c := &Client{Grant: g, Transport: t, Header: h}
	c.C2S, c.S2C = init.Keys(g.Key().Material())
	return c
}

// hello makes a fake-TLS hello an auth.Hello.
type hello struct{ *faketls.ClientHello }

func (h hello) Open(secret []byte, _ time.Time) (time.Time, bool) {
	return h.ClientHello.Open(secret)
}

func (h hello) Timed() bool { return true }

// bareInit makes an obfuscated2 init an auth.Hello. A key whose tag names a
// transport that is not served has not been found: by itself a tag matches by
// chance once in 2^30.
type bareInit struct {
	*obfs2.Init
	allowed *[4]bool
	header  obfs2.Header
}

func (h *bareInit) Open(secret []byte, now time.Time) (time.Time, bool) {
	header, ok := h.Init.Open(secret)
	if !ok {
		return now, false
	}
	h.header = header
	return now, h.allowed[h.transport()]
}

func (h *bareInit) transport() mtproto.Transport {
	switch h.header.Framing {
	case 0:
		return 0
	case mtproto.Padded:
		return mtproto.Secure
	}
	return mtproto.Classic
}

func (h *bareInit) Timed() bool        { return false }
func (h *bareInit) ServerName() string { return "" }

// reader collects what a peer sends.
type reader struct {
	*Acceptor
	c    net.Conn
	from netip.Addr
	b    []byte
}

// more reads what has come, with room for n bytes at least. It does not wait for
// all n: the next byte may prove that this is no client of ours, and the cover
// site would have seen it by now.
func (r *reader) more(n int) *Failure {
	if free := cap(r.b) - len(r.b); free < n {
		grown := make([]byte, len(r.b), len(r.b)+n)
		copy(grown, r.b)
		r.b = grown
	}
	got, err := r.c.Read(r.b[len(r.b):cap(r.b)])
	r.b = r.b[:len(r.b)+got]
	if err == nil || got > 0 {
		return nil
	}
	f := r.failure(stats.ResultEOF, 0)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.Result = stats.ResultTimeout
	case errors.Is(err, io.EOF):
		f.Ended = true
	default:
		f.Gone = true
	}
	return f
}

func (r *reader) failure(why stats.Result, t mtproto.Transport) *Failure {
	return &Failure{Result: why, Transport: t, Read: r.b}
}

func (r *reader) refusal(v auth.Verdict, t mtproto.Transport) *Failure {
	return &Failure{Result: v.Result, Refusal: v.Refusal, Transport: t, Read: r.b, Key: v.Key, Skew: v.Skew}
}
