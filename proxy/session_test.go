package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"
	"unsafe"

	"mtguard/mtproto"
	"mtguard/proxy/auth"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/usage"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// pausing dials and does something before the first byte is sent.
type pausing struct{ before func() }

func (p pausing) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		p.before()
	}
	return c, err
}

// ends are the ways in which what a client was granted can be taken away.
var ends = []struct {
	name string
	do   func(*world)
	why  string
}{
	{"its key is revoked", func(w *world) { w.becomes(keys.Revoked) }, "revoked"},
	{"its key expires", func(w *world) { w.becomes(keys.Expired) }, "expired"},
	{"its user is removed", func(w *world) {
		w.ring.Drop(w.alice().ID())
		w.change(func(s *policy.Snapshot) { s.Keys = w.ring.Set() })
	}, "revoked"},
	{"its user is disabled", func(w *world) { w.alice().Account().Set(usage.Limits{}, usage.Disabled) }, "disabled"},
	{"its user has no access", func(w *world) { w.alice().Account().Set(usage.Limits{}, usage.NoAccess) }, "no_access"},
}

// ended demands that c is over and was over before Telegram heard of it.
func (w *world) ended(c *tgsim.Conn, reason string) {
	w.t.Helper()
	if err := c.Ping([]byte("ping")); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		w.t.Errorf("it goes on: %v", err)
	}
	eventually(w.t, "the connection has ended", func() bool { return w.s.open.Load() == 0 })
	if n := w.dc.Stats().Received; n != 0 {
		w.t.Errorf("%d bytes reached Telegram", n)
	}
	failed := w.events.of(event.HandshakeFailed)
	if len(failed) != 1 || failed[0].Reason != reason || failed[0].User != "alice" || failed[0].Key != string(w.alice().ID()) {
		w.t.Errorf("%+v", failed)
	}
	if n := len(w.events.of(event.Relayed)); n != 0 {
		w.t.Errorf("%d sessions came of it", n)
	}
}

// TestTakenAwayBeforeTheHello: the connection is in, and keeps the policy it met at
// the door. Its hello is a stranger's now.
func TestTakenAwayBeforeTheHello(t *testing.T) {
	for _, end := range ends {
		for _, transport := range []tgsim.Transport{tgsim.FakeTLS, tgsim.Secure} {
			t.Run(fmt.Sprint(end.name, ", ", transport), func(t *testing.T) {
				w := newWorld(t, nil)
				client := w.client()
				client.Transport, client.Timeout = transport, time.Second
				client.Dialer = pausing{before: func() {
					eventually(t, "the connection is in", func() bool { return w.stats.HalfOpen.Load() == 1 })
					end.do(w)
				}}
				if _, err := w.connect(client); err == nil {
					t.Error("it was served")
				}
				eventually(t, "it is shown the site", func() bool { return w.site.Accepted() == 1 })
				if n := len(w.events.of(event.Authenticated)); n != 0 {
					t.Errorf("%d sessions came of it", n)
				}
			})
		}
	}
}

// TestTakenAwayBeforeTheInit: the hello was answered, and then the client waits.
func TestTakenAwayBeforeTheInit(t *testing.T) {
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			w := newWorld(t, nil)
			c, err := w.client().Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if n := w.alice().Leases(); n != 1 {
				t.Fatalf("%d leases", n)
			}
			end.do(w)
			if n := w.dc.Stats().Accepted; n != 0 {
				t.Errorf("%d connections to Telegram", n)
			}
			w.ended(c, end.why)
			if n := w.dc.Stats().Accepted; n != 0 {
				t.Errorf("%d connections to Telegram were made for it", n)
			}
		})
	}
}

// TestTakenAwayWhileTheDCIsDialled: nothing of the client gets to Telegram.
func TestTakenAwayWhileTheDCIsDialled(t *testing.T) {
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.way.on.set(func(mtproto.DC) { end.do(w) })
			c, err := w.client().Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			w.ended(c, end.why)
		})
	}
}

// TestTakenAwayBeforeTheSessionIsListed: whoever ends sessions does not find this
// one yet. It is ended all the same.
func TestTakenAwayBeforeTheSessionIsListed(t *testing.T) {
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.events.on.set(func(e event.Event) {
				if e.Kind == event.Authenticated {
					end.do(w)
				}
			})
			w.connect(w.client()) // its first packet may get through, or not
			eventually(t, "the session has ended", func() bool { return len(w.events.of(event.Relayed)) == 1 })
			if e := w.events.of(event.Relayed)[0]; e.Reason != "killed" || e.User != "alice" {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestRevocationEndsSessions: those of the key, and no others.
func TestRevocationEndsSessions(t *testing.T) {
	w := newWorld(t, nil)
	other := []byte("fedcba9876543210")
	w.put("bob", other, keys.Active)
	w.change(func(s *policy.Snapshot) { s.Keys = w.ring.Set() })
	var doomed []*tgsim.Conn
	for range 20 {
		doomed = append(doomed, w.mustConnect())
	}
	c := w.client()
	c.Secret = other
	bob, err := w.connect(c)
	if err != nil {
		t.Fatal(err)
	}
	w.becomes(keys.Revoked)
	for _, c := range doomed {
		if _, err := c.Receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a session goes on: %v", err)
		}
	}
	if err := bob.Ping([]byte("ping")); err != nil {
		t.Errorf("another user's session: %v", err)
	}
	eventually(t, "the key is free", func() bool { return w.alice().Leases() == 0 })
	for _, e := range w.events.of(event.Relayed) {
		if e.Reason != "killed" || e.User != "alice" {
			t.Errorf("%+v", e)
		}
	}
}

// A rotation ends nobody: sessions go on while their key retires and when it has.
func TestARetiredKeysSessionsGoOn(t *testing.T) {
	w := newWorld(t, nil)
	conn := w.mustConnect()
	for _, state := range []keys.State{keys.Retiring, keys.Retired} {
		w.becomes(state)
		if err := conn.Ping([]byte("ping")); err != nil {
			t.Errorf("%v: %v", state, err)
		}
	}
	w.ring.Sweep()
	if w.alice().Erased() {
		t.Error("the key is erased and has a session")
	}
	w.s.Sessions.Meter()
	conn.Close()
	eventually(t, "the session has ended", func() bool { return w.alice().Leases() == 0 })
	if !w.alice().Erased() {
		t.Error("the key is in nobody's hands and not erased")
	}
}

// A key that retires while its client is on the way lets it through.
func TestAKeyThatRetiresDuringTheHandshake(t *testing.T) {
	w := newWorld(t, nil)
	w.way.on.set(func(mtproto.DC) { w.becomes(keys.Retired) })
	w.mustConnect()
}

// TestBytesAreMeteredOnce: however often the meter is read while sessions run and
// end, the account has in the end what the events tell, payload ahead of the relay
// included.
func TestBytesAreMeteredOnce(t *testing.T) {
	w := newWorld(t, nil)
	stop := make(chan struct{})
	var metering, using sync.WaitGroup
	for range 2 {
		metering.Go(func() {
			var before usage.Totals
			for {
				select {
				case <-stop:
					return
				default:
				}
				w.s.Sessions.Meter()
				now := w.alice().Account().Totals()
				if now.Up < before.Up || now.Down < before.Down {
					t.Errorf("the account fell from %+v to %+v", before, now)
				}
				before = now
			}
		})
	}
	const clients, sessions = 8, 5
	for i := range clients {
		using.Go(func() {
			for n := range sessions {
				c := w.client()
				if i%2 == 1 {
					c.Transport = tgsim.Secure
				}
				conn, err := w.connect(c)
				if err == nil {
					err = conn.Ping(make([]byte, 1000*(n+1)))
				}
				if err != nil {
					t.Error(err)
					return
				}
				conn.Close()
			}
		})
	}
	using.Wait()
	eventually(t, "all have ended", func() bool { return len(w.events.of(event.Relayed)) == clients*sessions })
	close(stop)
	metering.Wait()
	var want usage.Totals
	for _, e := range w.events.of(event.Relayed) {
		want.Up += e.Received
		want.Down += e.Sent
		want.Sessions++
	}
	if got := w.alice().Account().Totals(); got != want || got.Up == 0 {
		t.Errorf("the account has %+v, the sessions had %+v", got, want)
	}
}

// While a session lives its bytes are in the account as soon as somebody looks, and
// it can be listed.
func TestALiveSessionIsMeteredAndListed(t *testing.T) {
	w := newWorld(t, nil)
	conn := w.mustConnect()
	account := w.alice().Account()
	eventually(t, "the session is there", func() bool { return w.s.Sessions.Count() == 1 })
	last := usage.Totals{Up: -1}
	for range 3 {
		if err := conn.Ping(make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its bytes are counted", func() bool {
			w.s.Sessions.Meter()
			now := account.Totals()
			return now.Up >= last.Up+5000 && now.Down >= last.Down+5000
		})
		last = account.Totals()
	}
	list := w.s.Sessions.List(func(s *auth.Session) bool { return s.User() == "alice" }, 10)
	if len(list) != 1 || list[0].Key != w.alice() || list[0].From.String() != "127.0.0.1" || list[0].Up != last.Up || list[0].Down != last.Down {
		t.Errorf("%+v, %+v", list, last)
	}
	if age := time.Since(list[0].Since); age < 0 || age > time.Minute {
		t.Errorf("it came %v ago", age)
	}
}

// TestNothingIsHeldInTheEnd: clients that leave at every point of their way, in a
// crowd, while their user comes and goes. newWorld counts when all is over.
func TestNothingIsHeldInTheEnd(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) {
		s.Limits.HalfOpen = 8 // some are given up in the middle
		s.Cover.MaxConnections = 1000
		s.Idle = time.Second
	})
	account := w.alice().Account()
	w.way.on.set(func(mtproto.DC) {
		if rand.IntN(8) == 0 {
			account.Set(usage.Limits{}, usage.Disabled)
		}
	})
	var crowd sync.WaitGroup
	for i := range 8 {
		crowd.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(i), 7))
			for range 40 {
				account.Set(usage.Limits{Connections: 1 + dice.IntN(10)}, usage.Allowed)
				leave(w, dice)
			}
		})
	}
	crowd.Wait()
	w.stop()
	if n := w.stats.Handshakes("faketls", stats.ResultOK); n < 20 {
		t.Errorf("%d clients were let in: this test shows little", n)
	}
	w.becomes(keys.Revoked)
	w.ring.Drop(w.alice().ID())
	if !w.alice().Erased() {
		t.Error("somebody holds the key's bytes")
	}
}

// leave is one client who leaves at some point, or is refused.
func leave(w *world, dice *rand.Rand) {
	client := w.client()
	client.Timeout = 2 * time.Second
	switch dice.IntN(8) {
	case 0: // in the middle of the hello
		if hello, err := client.NewHello(); err == nil {
			c := w.dial()
			c.Write(hello[:dice.IntN(len(hello))])
			c.Close()
		}
	case 1: // without hearing the answer
		if hello, err := client.NewHello(); err == nil {
			c := w.dial()
			c.Write(hello)
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	case 2: // before the init
		if c, err := client.Dial(w.t.Context()); err == nil {
			c.Close()
		}
	case 3: // with noise for an init
		if hello, err := client.NewHello(); err == nil {
			c := w.dial()
			c.Write(hello)
			io.ReadFull(c, make([]byte, 100))
			c.Write(append([]byte{23, 3, 3, 0, 64}, make([]byte, 64)...))
			c.Close()
		}
	case 4: // for a DC that there is none of
		client.DC = 77
		w.connect(client)
	case 5: // by a reset
		if c, err := w.connect(client); err == nil {
			c.Reset()
		}
	case 6:
		client.Transport = tgsim.Secure
		fallthrough
	default:
		if c, err := w.connect(client); err == nil {
			c.Close()
		}
	}
}

// TestASessionIsSmall: what is kept of an idle session beside the relay's own and
// two sockets. Before grants and meters it was 192 bytes and two closures.
func TestASessionIsSmall(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the sizes are of 64 bit systems")
	}
	if n := unsafe.Sizeof(session{}); n > 128 {
		t.Errorf("a session takes %d bytes", n)
	}
	if n := unsafe.Sizeof(auth.Grant{}); n > 48 {
		t.Errorf("a grant takes %d bytes", n)
	}
}
