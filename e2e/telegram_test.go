package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/exchange"
	"github.com/gotd/td/proto/codec"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/transport"

	"mtguard/e2e/client"
	"mtguard/e2e/dc"
)

// cluster is a Telegram of several data centres that share a key, as the real one does.
type cluster struct {
	key     exchange.PrivateKey
	servers map[int]*dc.Server
	regular *client.Account // who has been there before
}

// rsaKey is made once: it costs more than everything else in a small test.
var rsaKey = sync.OnceValues(dc.NewKey)

// telegram starts a data centre for each id, which answers for the media twin of the id too unless that is in the
// list as well. When the test ends it must have nothing to complain about.
func telegram(t *testing.T, ids ...int) *cluster {
	t.Helper()
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{key: key, servers: map[int]*dc.Server{}, regular: client.NewAccount(key.Public())}
	own := map[int]bool{}
	for _, id := range ids {
		own[id] = true
	}
	for _, id := range ids {
		serves := []int{id}
		if !own[-id] {
			serves = append(serves, -id)
		}
		c.servers[id] = c.add(t, "127.0.0.1:0", serves...)
	}
	return c
}

// add starts one more data centre with the cluster's key, which is not in the list.
func (c *cluster) add(t *testing.T, addr string, ids ...int) *dc.Server {
	t.Helper()
	s, err := dc.Listen(addr, c.key, ids...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if err := s.Err(); err != nil {
			t.Errorf("DC %v: %v", ids, err)
		}
	})
	return s
}

// way is gotd's way through the proxy with a secret.
func way(t *testing.T, addr string, secret []byte, dial client.Dial) client.Route {
	t.Helper()
	r, err := client.Proxy(addr, secret, dial)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// dialFrom dials from a certain address of loopback, so that clients can be told apart.
func dialFrom(ip string) client.Dial {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return d.DialContext
}

// bounded is a context for one story.
func bounded(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// newcomer is somebody who has to log in first.
func (c *cluster) newcomer() *client.Account { return client.NewAccount(c.key.Public()) }

// refused fails the test if a client gets an answer from its DC. There is nothing to wait for, so it tries for a
// bounded time; the time is short, because being too short cannot make the test fail.
func refused(t *testing.T, r client.Route, id int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := knock(ctx, r, id); err == nil {
		t.Errorf("DC %d: a client that should be refused was served", id)
	}
}

// served fails the test if a client does not get an answer from its DC.
func served(t *testing.T, r client.Route, id int) {
	t.Helper()
	if err := knock(bounded(t, patience), r, id); err != nil {
		t.Errorf("DC %d: a client that should be served: %v", id, err)
	}
}

// knock opens a transport to the DC, sends a message under an authorisation key that the DC cannot know, and waits
// for the DC to say so: a round trip through everything, without the cost of a login.
func knock(ctx context.Context, r client.Route, id int) error {
	c, err := r(ctx, id)
	if err != nil {
		return err
	}
	defer c.Close()
	return answered(ctx, c)
}

// calls makes one of each kind of call and checks the answers.
func calls(ctx context.Context, c *client.Conn, id int) error {
	cfg, err := c.HelpGetConfig(ctx)
	if err != nil {
		return fmt.Errorf("help.getConfig: %w", err)
	}
	near, err := c.HelpGetNearestDC(ctx)
	if err != nil {
		return fmt.Errorf("help.getNearestDc: %w", err)
	}
	if cfg.ThisDC != id || near.ThisDC != id {
		return fmt.Errorf("connected to DC %d and %d, want %d", cfg.ThisDC, near.ThisDC, id)
	}
	if err := c.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	for _, n := range []int{1, 500, 10_000} {
		if err := echo(ctx, c, n); err != nil {
			return err
		}
	}
	return nil
}

// echo sends n bytes and wants them back.
func echo(ctx context.Context, c *client.Conn, n int) error {
	want := strings.Repeat("0123456789abcdef", n/16+1)[:n]
	got, err := c.BotsSendCustomRequest(ctx, &tg.BotsSendCustomRequestRequest{Params: tg.DataJSON{Data: want}})
	if err != nil {
		return fmt.Errorf("echo of %d bytes: %w", n, err)
	}
	if got.Data != want {
		return fmt.Errorf("echo of %d bytes: %d others came back", n, len(got.Data))
	}
	return nil
}

// randomBytes returns n bytes that no cipher or compression makes look like others.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

// answered sends a message under an authorisation key that the DC cannot know, and waits for the DC to say so.
func answered(ctx context.Context, c transport.Conn) error {
	var b bin.Buffer
	b.Put(append([]byte("no key!!"), make([]byte, 16+64)...))
	if err := c.Send(ctx, &b); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	b.Reset()
	err := c.Recv(ctx, &b)
	var code *codec.ProtocolErr
	if errors.As(err, &code) && code.Code == codec.CodeAuthKeyNotFound {
		return nil
	}
	return fmt.Errorf("got packet of %d bytes, %w, want the DC's complaint about the key", b.Len(), err)
}
