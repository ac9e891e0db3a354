// Package handshake turns a fresh connection into an authenticated client, or
// into what has to be replayed to the cover site.
//
// One port takes every transport. The first bytes decide: a TLS handshake
// record is the start of a fake-TLS hello, anything else of an obfuscated2 init
// (protocol paper section 9). Nothing is ever written to somebody who has not
// proven a secret; every byte read from such a peer is in Failure.Read.
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
}

// Reason is the result in a word, or why the user is not served.
func (f *Failure) Reason() string {
	if f.Result == stats.ResultUser {
		return f.Refusal.String()
	}
	return f.Result.String()
}

// Accept reads until it knows the client. buf is where reading starts, of any
// capacity; Client.Payload and Failure.Read may point into it.
func Accept(c net.Conn, s *policy.Snapshot, a *auth.Authenticator, p Profiler, from netip.Addr, buf []byte) (*Client, *Failure) {
	r := reader{c: c, b: buf[:0]}
	if s.Transports[mtproto.FakeTLS] {
		return acceptAny(&r, s, a, p, from)
	}
	return acceptInit(&r, s, a, from)
}

// Profiler says how the cover site answers a good hello.
type Profiler interface {
	Profile() faketls.Profile
}

// acceptAny goes the way of the first bytes.
func acceptAny(r *reader, s *policy.Snapshot, a *auth.Authenticator, p Profiler, from netip.Addr) (*Client, *Failure) {
	for {
		hello, n, need, err := faketls.ParseHello(r.b)
		switch {
		case err != nil && initWanted(r.b, s):
			return acceptInit(r, s, a, from)
		case err != nil:
			return nil, r.failure(stats.ResultMalformed, transportOf(r.b))
		case hello != nil:
			return acceptHello(r, hello, n, s, a, p, from)
		}
		if f := r.more(need); f != nil {
			f.Transport = transportOf(r.b)
			return nil, f
		}
	}
}

// initWanted: these are not the first bytes of TLS, and a transport without
// TLS is served.
func initWanted(b []byte, s *policy.Snapshot) bool {
	return transportOf(b) == 0 && (s.Transports[mtproto.Classic] || s.Transports[mtproto.Secure])
}

// transportOf names the transport that the first bytes promise: an init may
// not start like a TLS record (protocol paper 2.2 and 9), so two bytes tell.
func transportOf(b []byte) mtproto.Transport {
	if len(b) >= 2 && b[0] == 0x16 && b[1] == 0x03 {
		return mtproto.FakeTLS
	}
	return 0
}

func acceptHello(r *reader, h *faketls.ClientHello, n int, s *policy.Snapshot, a *auth.Authenticator, p Profiler, from netip.Addr) (*Client, *Failure) {
	if _, ok := s.ServerNames[h.ServerName()]; !ok {
		return nil, r.failure(stats.ResultServerName, mtproto.FakeTLS)
	}
	v := a.Authenticate(s, from, hello{h}, time.Now())
	if v.Result != stats.ResultOK {
		return nil, r.refusal(v, mtproto.FakeTLS)
	}
	client, f := answerHello(r, h, n, v.Grant, a, p)
	if f != nil {
		f.Transport, f.Key = mtproto.FakeTLS, v.Key
		v.Grant.Release()
	}
	return client, f
}

// answerHello says who we are and reads on. The grant stays the caller's unless
// there is a client.
func answerHello(r *reader, h *faketls.ClientHello, n int, g *auth.Grant, a *auth.Authenticator, p Profiler) (*Client, *Failure) {
	noise := noises.Get().(*rand.ChaCha8)
	answer, err := h.Answer(g.Key().Material(), p.Profile(), noise)
	noises.Put(noise)
	if err != nil { // no suite that we could answer with
		return nil, r.failure(stats.ResultMalformed, mtproto.FakeTLS)
	}
	if _, err := r.c.Write(answer); err != nil {
		return nil, &Failure{Result: stats.ResultEOF, Gone: true, Answered: true}
	}
	client, f := insideTLS(r, n, g, a)
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
func insideTLS(r *reader, helloSize int, g *auth.Grant, a *auth.Authenticator) (*Client, *Failure) {
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
	if !a.FirstInit(init.ReplayKey(), time.Now()) {
		return nil, &Failure{Result: stats.ResultReplay}
	}
	client := newClient(g, mtproto.FakeTLS, header, &init)
	client.Payload, client.Unwrap = payload[obfs2.InitSize:], unwrap
	return client, nil
}

// acceptInit serves the transports without TLS.
func acceptInit(r *reader, s *policy.Snapshot, a *auth.Authenticator, from netip.Addr) (*Client, *Failure) {
	for len(r.b) < obfs2.InitSize {
		if f := r.more(obfs2.InitSize - len(r.b)); f != nil {
			return nil, f
		}
	}
	init := obfs2.Init(r.b[:obfs2.InitSize])
	h := &bareInit{Init: &init, allowed: &s.Transports}
	v := a.Authenticate(s, from, h, time.Now())
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
	c net.Conn
	b []byte
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
	return &Failure{Result: v.Result, Refusal: v.Refusal, Transport: t, Read: r.b, Key: v.Key}
}
