package proxy

import (
	"context"
	"net"
	"testing"
	"time"

	"mtguard/proxy/auth"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
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

// TestAKeyTakenAwayDuringTheHandshake: a connection keeps the policy it met at
// the door, and a reload that removes its user finds no session yet. It is ended
// all the same.
func TestAKeyTakenAwayDuringTheHandshake(t *testing.T) {
	w := newWorld(t, nil)
	client := w.client()
	client.Transport, client.InitAlone = tgsim.Secure, true
	client.Dialer = pausing{before: func() {
		eventually(t, "the connection is in", func() bool { return w.stats.HalfOpen.Load() == 1 })
		none, err := keys.NewSet(nil)
		if err != nil {
			t.Fatal(err)
		}
		w.change(func(s *policy.Snapshot) { s.Keys = none })
		if n := w.s.Sessions.Kill(func(*auth.Session) bool { return true }, "user removed"); n != 0 {
			t.Errorf("%d sessions were there", n)
		}
	}}
	client.Timeout = 5 * time.Second
	w.connect(client) // its first packet may get through, or not
	eventually(t, "the session has ended", func() bool { return len(w.events.of(event.Relayed)) == 1 })
	if e := w.events.of(event.Relayed)[0]; e.Reason != "killed" || e.User != "alice" {
		t.Errorf("%+v", e)
	}
}
