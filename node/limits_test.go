package node

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/preview"
	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/tgsim"
)

// TestEveryLimitIsPluggedIn: that each works is proven where it lives; here it
// must come from the file and act.
func TestEveryLimitIsPluggedIn(t *testing.T) {
	for _, c := range []struct{ name, proxy, rest string }{
		{"all connections", "max_connections = 1", ""},
		{"connections of an address", "", "[limits]\nconnections_per_address = 1\n[policy.controls]\n\"conns.addr\" = \"enforce\"\n"},
		{"new connections of a prefix", "", "[limits]\nnew_per_prefix = \"1/h\"\n[policy.controls]\n\"rate.accept\" = \"enforce\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.proxy, c.rest)
			first := s.dial(s.client(tgsim.FakeTLS))
			if conn, err := s.client(tgsim.FakeTLS).Dial(context.Background()); err == nil {
				conn.Close()
				t.Error("a client over the limit was served")
			}
			if err := first.Ping([]byte("ping")); err != nil {
				t.Errorf("the client within the limit: %v", err)
			}
		})
	}
	t.Run("handshakes", func(t *testing.T) {
		s := start(t, "", "[limits]\nhalf_open = 1\n")
		over := make(chan error, 2) // how each of two connections ends that say nothing
		for range 2 {
			c, err := net.Dial("tcp", s.addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(8 * time.Second)) // before the handshake times out
			go func() {
				_, err := c.Read(make([]byte, 1))
				over <- err
			}()
		}
		ends := func() {
			err := <-over
			if e, ok := err.(net.Error); err == nil || ok && e.Timeout() {
				t.Errorf("a handshake that was too old goes on: %v", err)
			}
		}
		ends() // the older made room for the younger, which has its place therefore
		s.dial(s.client(tgsim.FakeTLS))
		ends()
	})
}

// TestLimitCheckTellsWhatTheGuardCounts, and counts nothing itself.
func TestLimitCheckTellsWhatTheGuardCounts(t *testing.T) {
	s := start(t, "", "[limits]\nconnections_per_address = 2\nnew_per_prefix = \"2/h\"\n[policy.controls]\n\"conns.addr\" = \"enforce\"\n")
	s.dial(s.client(tgsim.FakeTLS))
	s.dial(s.client(tgsim.FakeTLS))
	for range 3 {
		items, err := s.node.plane.CheckLimits(context.Background(), control.LimitQuery{Addr: "127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		left := map[string]control.LimitInfo{}
		for _, i := range items {
			left[i.Control] = i
		}
		if i := left[policy.ConnsAddr]; i.Left != 0 || i.Limit != "2" || i.Mode != "enforce" || i.Of != "127.0.0.1/32" {
			t.Errorf("connections of an address: %+v", i)
		}
		if i := left[policy.RateAccept]; i.Left != 0 || i.Mode != "monitor" || i.RetryAt == nil || time.Until(*i.RetryAt) < time.Minute {
			t.Errorf("new connections: %+v", i)
		}
		if i := left[policy.ConnsTotal]; i.Left < 1 || i.RetryAt != nil {
			t.Errorf("all connections: %+v", i)
		}
	}
	other, err := s.node.plane.CheckLimits(context.Background(), control.LimitQuery{Addr: "::ffff:127.0.1.1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range other {
		if (i.Control == policy.ConnsAddr || i.Control == policy.RateAccept) && (i.Left != 2 || i.RetryAt != nil) {
			t.Errorf("of another address: %+v", i)
		}
	}
}

// TestEveryControlIsAsked: a control that no stage asks would be a switch that
// switches nothing; and a preview must ask in the same order.
func TestEveryControlIsAsked(t *testing.T) {
	s := start(t, "", "")
	names := func(checks []guard.Check, but ...string) (list []string) {
		for _, c := range checks {
			if !slices.Contains(but, c.Name()) {
				list = append(list, c.Name())
			}
		}
		return list
	}
	asked := slices.Concat(names(s.node.stages.Accept), names(s.node.stages.Hello), names(s.node.stages.Auth))
	elsewhere := []string{policy.HalfOpen, policy.BytesUser} // in proxy/server.go and in the relay
	for _, control := range policy.Controls() {
		if !slices.Contains(asked, control) && !slices.Contains(elsewhere, control) {
			t.Errorf("nobody asks %s", control)
		}
	}
	replayed := preview.Checks()
	if got, want := names(replayed.Accept), names(s.node.stages.Accept, policy.OverloadLevel, policy.ThreatBlock); !slices.Equal(got, want) {
		t.Errorf("a preview asks %v at accept, the node %v", got, want)
	}
	if got, want := names(replayed.Hello), names(s.node.stages.Hello); !slices.Equal(got, want) {
		t.Errorf("a preview asks %v of hellos, the node %v", got, want)
	}
	if got, want := names(replayed.Auth), names(s.node.stages.Auth, policy.OverloadLevel); !slices.Equal(got, want) {
		t.Errorf("a preview asks %v of users, the node %v", got, want)
	}
}

// TestRulesOnHellosArePreviewed: what came is kept without any such rule, so that one
// can be tried on it; and what the preview says is what then happens.
func TestRulesOnHellosArePreviewed(t *testing.T) {
	s := start(t, "", "")
	ctx, operator := context.Background(), control.Actor{Name: "uid 0", Level: access.Superuser}
	conn := s.dial(s.client(tgsim.FakeTLS))
	if err := conn.Ping([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	refused := func() int {
		t.Helper()
		report, err := s.node.plane.Preview(ctx, control.PreviewQuery{Control: policy.AccessPattern})
		if err != nil {
			t.Fatal(err)
		}
		if report.Connections != 1 || len(report.Notes) != 1 { // of addresses the network is kept
			t.Fatalf("%+v", report)
		}
		return report.KnownRefused
	}
	deadline := time.Now().Add(10 * time.Second)
	for { // the recorder hears of it in its own time
		report, err := s.node.plane.Preview(ctx, control.PreviewQuery{Control: policy.AccessPattern})
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", report, err)
		}
		if report.Connections == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if n := refused(); n != 0 {
		t.Errorf("without a rule %d are refused", n)
	}
	apply := func(c control.Change) {
		t.Helper()
		if _, err := s.node.plane.Apply(ctx, operator, c, control.Options{Reason: "try", Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	apply(control.AddRule{Match: "ja4:t1*", Level: access.None})
	if n := refused(); n != 1 {
		t.Errorf("with a rule %d are refused", n)
	}
	apply(control.SetMode{Control: policy.AccessPattern, Mode: "enforce"})
	if again, err := s.client(tgsim.FakeTLS).Dial(ctx); err == nil {
		if again.Ping([]byte("ping")) == nil {
			t.Error("enforced, and the client is served")
		}
		again.Close()
	}
}

// TestTheShareOfARolloutOutlivesARestart, and is another one elsewhere.
func TestTheShareOfARolloutOutlivesARestart(t *testing.T) {
	s := start(t, "", "")
	first := s.node.live.Load().Seed
	if other := start(t, "", "").node.live.Load().Seed; first == other || first == [16]byte{} {
		t.Errorf("two nodes draw the same lots: %x", first)
	}
	s.halt()
	s.boot(testLog(t))
	if again := s.node.live.Load().Seed; again != first {
		t.Error("after a restart the share is drawn anew")
	}
}
