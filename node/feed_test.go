package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/threat"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/live"
	"mtguard/tgsim"
)

func TestOfAFloodSomeAreTold(t *testing.T) {
	s, now := newSieve(), time.Unix(1_800_000_000, 0)
	pass := func(k event.Kind) string {
		skipped, ok := s.pass(&event.Event{Kind: k}, now)
		return fmt.Sprint(skipped, ok)
	}
	for i := range sieveBurst {
		if got := pass(event.HandshakeFailed); got != "0 true" {
			t.Fatalf("%d: %s", i, got)
		}
	}
	for range 50 {
		if got := pass(event.HandshakeFailed); got != "0 false" {
			t.Fatal(got)
		}
	}
	if got := pass(event.Refused); got != "0 true" {
		t.Errorf("a flood of one verdict hides another: %s", got)
	}
	now = now.Add(time.Second / sieveRate)
	if got := pass(event.HandshakeFailed); got != "50 true" {
		t.Errorf("a little later: %s", got)
	}
	now = now.Add(-time.Hour)
	for range 3 {
		if got := pass(event.HandshakeFailed); got != "0 false" {
			t.Errorf("the clock was set back: %s", got)
		}
	}
	now = now.Add(time.Hour)
	for range sieveBurst {
		pass(event.HandshakeFailed)
	}
	if got := pass(event.HandshakeFailed); got != "0 false" {
		t.Errorf("the clock was set forth: more than a burst came: %s", got)
	}
	for _, k := range []event.Kind{event.Accepted, event.Relayed, event.Covered, event.Reload, event.CryptoCheck} {
		if got := pass(k); got != "0 false" {
			t.Errorf("%v is a decision: %s", k, got)
		}
	}
}

func TestKindsOfChanges(t *testing.T) {
	for action, want := range map[string]live.Kind{
		"block": live.Block, "unblock": live.Block, "threat.block": live.Block, "key.rotate": live.Key, "key.revoke": live.Key, "key.sweep": live.Key,
		"policy.set": live.Policy, "policy.mode": live.Policy, "policy.break-glass": live.Policy, "rollout.next": live.Policy, "exception.add": live.Policy,
		"bundle.take": live.Policy, "user.add": live.Audit, "audit.run": live.Audit, "access.add": live.Audit, "link.reveal": live.Audit, "blocked": live.Audit,
	} {
		if got := kindOf(action); got != want {
			t.Errorf("%s is of %s, want %s", action, got, want)
		}
	}
}

// watching collects what a viewer sees.
type watching struct {
	t    testing.TB
	view *live.View
	seen []seenEvent
}

type seenEvent struct {
	Kind live.Kind
	Data json.RawMessage
	line string
}

func (s *site) watch(by control.Actor, q live.Query) *watching {
	s.t.Helper()
	view, err := s.node.plane.Events(s.t.Context(), by, q)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(view.Close)
	return &watching{t: s.t, view: view}
}

// until reads on until an event of a kind holds all the words, and returns it.
func (w *watching) until(k live.Kind, words ...string) seenEvent {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	for {
		events, err := w.view.Next(ctx)
		if err != nil {
			w.t.Fatalf("no %s with %q: %v", k, words, err)
		}
		found := -1
		for _, e := range events {
			var seen seenEvent
			if err := json.Unmarshal(e.Line(), &seen); err != nil {
				w.t.Fatalf("%s: %v", e.Line(), err)
			}
			seen.line = string(e.Line())
			holds := seen.Kind == k
			for _, word := range words {
				holds = holds && strings.Contains(seen.line, word)
			}
			if w.seen = append(w.seen, seen); holds && found < 0 {
				found = len(w.seen) - 1
			}
		}
		if found >= 0 {
			return w.seen[found]
		}
	}
}

// TestANodeTellsWhatHappens goes from a packet, and from a change, to the viewer.
func TestANodeTellsWhatHappens(t *testing.T) {
	s := start(t, balanced, "[log]\naddress = \"truncate\"\n")
	if names := s.subscribers(); strings.Contains(names, "live") {
		t.Errorf("nobody looks, and subscribers are %s", names)
	}
	w := s.watch(operator, live.Query{})
	eventually(t, "the node listens to itself", func() bool { return strings.Contains(s.subscribers(), "live") })
	w.until(live.Sample)

	client := s.client(tgsim.FakeTLS)
	client.Dialer = from("203.0.113.77")
	conn := s.dial(client)
	w.until(live.Decision, `"verdict":"served"`, `"addr":"203.0.113.0/24"`, `"user":`)
	if err := conn.Download(1 << 20); err != nil {
		t.Fatal(err)
	}
	w.until(live.Sample, `"sessions":1`)
	for w.moved() < 1<<19 { // in this second or the next
		w.until(live.Sample)
	}
	s.probe("198.51.100.9", "wrong-secret", 100*time.Millisecond)
	w.until(live.Decision, `"verdict":"failed"`, `"addr":"198.51.100.0/24"`, `"reason":"bad_secret"`)

	s.apply(control.Block{Target: "198.51.100.9", For: control.Duration(time.Hour)})
	w.until(live.Block, `"object":"198.51.100.0/24"`, `"outcome":"done"`, `"action":"block"`)
	s.apply(control.SetMode{Control: policy.RateAccept, Mode: "enforce"})
	w.until(live.Policy, `"action":"policy.mode"`)
	s.apply(control.RotateSealKey{})
	w.until(live.Key, `"action":"key.rotate"`)
	s.apply(control.AddUser{Name: "mum", Level: access.Standard})
	w.until(live.Audit, `"action":"user.add"`, "mum")
	s.node.publishIncident(control.IncidentInfo{ID: "i1", Detector: "probe_scan", Severity: threat.Low, Subject: "198.51.100.9/32", Evidence: "198.51.100.9 had noise", State: "open"})
	w.until(live.Incident, `"subject":"198.51.100.0/24"`)

	for _, e := range w.seen {
		for _, secretive := range []string{"198.51.100.9", "203.0.113.77", fmt.Sprintf("%x", secret)} {
			if strings.Contains(e.line, secretive) {
				t.Errorf("%s tells %s", e.line, secretive)
			}
		}
	}
	reader := s.watch(control.Actor{Name: "reader", Level: access.ReadOnly}, live.Query{Past: true})
	for {
		events, err := reader.view.Next(t.Context())
		if err != nil {
			break
		}
		for _, e := range events {
			if e.Kind == live.Audit {
				t.Errorf("who may not see the audit log sees %s", e.Line())
			}
		}
	}
	if _, err := s.node.plane.Events(t.Context(), control.Actor{Name: "reader", Level: access.ReadOnly}, live.Query{Kinds: []live.Kind{live.Audit}}); err == nil {
		t.Error("who may not see the audit log may ask for it")
	}
	ended := make(chan error)
	go func() {
		for {
			if _, err := w.view.Next(t.Context()); err != nil {
				ended <- err
				return
			}
		}
	}()
	s.halt()
	if err := <-ended; err != live.ErrEnded {
		t.Errorf("the node has stopped: %v", err)
	}
}

// moved is about how many bytes the samples tell of.
func (w *watching) moved() (down float64) {
	w.t.Helper()
	for _, e := range w.seen {
		var s live.Second
		if e.Kind != live.Sample {
			continue
		}
		if err := json.Unmarshal(e.Data, &s); err != nil {
			w.t.Fatal(err)
		}
		down += s.Down
	}
	return down
}

// subscribers are the names of all who ever listened on the bus.
func (s *site) subscribers() string {
	var names []string
	s.node.bus.Dropped(func(name string, _ uint64) { names = append(names, name) })
	return strings.Join(names, " ")
}

func TestRatesAreByTheTimeThatPassed(t *testing.T) {
	s := start(t, "", "")
	x, at := newSampler(s.node), time.Now()
	x.last = at
	s.dial(s.client(tgsim.Secure))
	for _, c := range []struct {
		after time.Duration
		want  float64
	}{{4 * time.Second, 0.25}, {time.Second, 0}} {
		if at = at.Add(c.after); true {
			if got := x.second(at); got.Served != c.want || got.Accepted != c.want || got.Open != 1 {
				t.Errorf("after %v: %+v, want %v a second", c.after, got, c.want)
			}
		}
	}
	s.dial(s.client(tgsim.Secure))
	if got := x.second(at.Add(-time.Hour)); got.Served < 0 || got.Served > 1 {
		t.Errorf("the clock was set back: %+v", got)
	}
}
