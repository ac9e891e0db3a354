// Package client drives gotd's Telegram client through a proxy, or straight to a data centre.
//
// A Route says how a connection reaches a DC. Connect runs gotd's MTProto connection over it, with the whole key
// exchange; Login runs gotd's complete client on top, as an application would. Both give the generated API, which
// Upload and Download move files with.
//
// The package makes correct clients only: hostile ones are made by the tests that need them. Everything in it may
// be used from several goroutines.
package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/exchange"
	"github.com/gotd/td/mtproto"
	"github.com/gotd/td/mtproxy"
	"github.com/gotd/td/mtproxy/obfuscator"
	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/dcs"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/transport"

	"mtguard/e2e/dc"
)

// timeout bounds each step of a connection: far above what loopback needs on a busy machine, well below the
// time limit of a test.
const timeout = 20 * time.Second

// Dial opens the network connection under a Route; nil means a plain TCP connection. Tests put a PROXY header or a
// certain source address in here.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// bounded dials so that the handshake, which knows no context, ends when the context's time does. A transport sets
// deadlines of its own afterwards.
func (d Dial) bounded(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d(ctx, network, addr)
	if at, ok := ctx.Deadline(); err == nil && ok {
		c.SetDeadline(at)
	}
	return c, err
}

// Route opens a transport to the DC with the given id: negative for media, 10000 and more for test.
type Route func(ctx context.Context, id int) (transport.Conn, error)

// Proxy is gotd's own way through the proxy at addr, with a secret in the binary form of a link. gotd speaks padded
// intermediate for 16 bytes, and the framing whose tag stands in front of 17.
func Proxy(addr string, secret []byte, dial Dial) (Route, error) {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	r, err := dcs.MTProxy(addr, secret, dcs.MTProxyOptions{Dial: dial.bounded})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, id int) (transport.Conn, error) {
		return r.Primary(ctx, id, dcs.List{})
	}, nil
}

// LongPadding goes through the proxy as Proxy does, in padded intermediate with 0 to 15 bytes of padding, as
// Telegram's own applications send it and gotd does not. The secret is the 16 bytes, with a domain for fake TLS.
func LongPadding(addr string, secret []byte, domain string) Route {
	s := mtproxy.Secret{Secret: secret, Type: mtproxy.Secured, Tag: byte(dc.Padded), CloakHost: domain}
	if domain != "" {
		s.Type = mtproxy.TLS
	}
	return handshake(addr, s, dc.Padded, func() transport.Codec { return longPadded{} })
}

// Direct goes to a data centre without a proxy and without a secret.
func Direct(addr string, f dc.Framing, longPadding bool) Route {
	codec := map[dc.Framing]transport.Protocol{
		dc.Abridged: transport.Abridged, dc.Intermediate: transport.Intermediate, dc.Padded: transport.PaddedIntermediate,
	}[f].CodecNoHeader
	if longPadding {
		codec = func() transport.Codec { return longPadded{} }
	}
	return handshake(addr, mtproxy.Secret{}, f, codec)
}

func handshake(addr string, s mtproxy.Secret, f dc.Framing, codec func() transport.Codec) Route {
	return func(ctx context.Context, id int) (transport.Conn, error) {
		c, err := Dial(new(net.Dialer).DialContext).bounded(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		o := obfuscator.Obfuscated2(rand.Reader, c)
		if s.Type == mtproxy.TLS {
			o = obfuscator.FakeTLS(rand.Reader, c)
		}
		tag := [4]byte{byte(f), byte(f), byte(f), byte(f)}
		if err := o.Handshake(tag, id, s); err != nil {
			c.Close()
			return nil, fmt.Errorf("handshake: %w", err)
		}
		return transport.NewProtocol(codec).Handshake(o)
	}
}

// Account is somebody with a Telegram application: it knows the data centres' key and remembers what it agreed with
// each of them, as an application does between connections.
type Account struct {
	key exchange.PublicKey

	mu   sync.Mutex
	auth map[int]mtproto.Session // by DC id
}

// NewAccount returns an account that has not been anywhere yet.
func NewAccount(key exchange.PublicKey) *Account {
	return &Account{key: key, auth: map[int]mtproto.Session{}}
}

// OnMessage implements mtproto.Handler: what the server sends unasked is dropped.
func (*Account) OnMessage(*bin.Buffer) error { return nil }

// OnSession implements mtproto.Handler.
func (*Account) OnSession(mtproto.Session) error { return nil }

// visit is the account in one DC.
type visit struct {
	*Account
	id int
}

// OnSession implements mtproto.Handler: the server has accepted the key.
func (v visit) OnSession(s mtproto.Session) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.auth[v.id] = s
	return nil
}

// Connect opens one connection to the DC with the given id, makes an authorisation key there unless the account has
// one already, and calls f. It returns f's error together with the reason, if any, why the connection ended before f
// did or did not come about.
func Connect(ctx context.Context, r Route, a *Account, id int, f func(ctx context.Context, c *Conn) error) error {
	a.mu.Lock()
	known := a.auth[id]
	a.mu.Unlock()
	proto := mtproto.New(func(ctx context.Context) (transport.Conn, error) { return r(ctx, id) }, mtproto.Options{
		DC:                id,
		PublicKeys:        []exchange.PublicKey{a.key},
		Key:               known.Key,
		Salt:              known.Salt,
		Random:            rand.Reader,
		Handler:           visit{a, id},
		DialTimeout:       timeout,
		ExchangeTimeout:   timeout,
		RetryInterval:     timeout,
		CompressThreshold: -1,
		PingInterval:      time.Hour, // the tests ping when they want to
		PingTimeout:       timeout,
		RequestTimeout:    func(uint32) time.Duration { return timeout },
	})
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := false
	var result error
	err := proto.Run(inner, func(ctx context.Context) error {
		result = f(ctx, &Conn{Client: tg.NewClient(proto), Ping: proto.Ping})
		if finished = ctx.Err() == nil; finished {
			cancel() // proto.Run goes on until its context ends
		}
		return nil
	})
	if finished {
		return result
	}
	return fmt.Errorf("connection to DC %d: %w", id, errors.Join(err, result))
}

// Login runs gotd's complete client, its home being the DC with the given id, and calls f once it is ready. It always
// makes a new authorisation key. The client reconnects by itself; lost is called for each connection that dies, and
// may be nil.
func Login(ctx context.Context, r Route, a *Account, id int, lost func(error), f func(ctx context.Context, c *Conn) error) error {
	c := telegram.NewClient(1, "e2e", telegram.Options{
		PublicKeys:        []telegram.PublicKey{a.key},
		DC:                id,
		Resolver:          resolver(r),
		DialTimeout:       timeout,
		ExchangeTimeout:   timeout,
		RetryInterval:     timeout,
		CompressThreshold: -1,
		OnDead:            lost,
	})
	return c.Run(ctx, func(ctx context.Context) error {
		return f(ctx, &Conn{Client: c.API(), Ping: c.Ping})
	})
}

// Conn is a client that is ready for calls.
type Conn struct {
	*tg.Client
	Ping func(context.Context) error
}

// resolver makes a Route look like gotd's choice of addresses.
type resolver Route

// Primary implements dcs.Resolver.
func (r resolver) Primary(ctx context.Context, id int, _ dcs.List) (transport.Conn, error) {
	return r(ctx, id)
}

// MediaOnly implements dcs.Resolver.
func (r resolver) MediaOnly(ctx context.Context, id int, _ dcs.List) (transport.Conn, error) {
	return r(ctx, -id)
}

// CDN implements dcs.Resolver.
func (r resolver) CDN(ctx context.Context, id int, _ dcs.List) (transport.Conn, error) {
	return r(ctx, id)
}
