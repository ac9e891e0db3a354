package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/alert"
	"mtguard/control/threat"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/tgsim"
)

// from is a way to connect for somebody at an address, as a balancer in front of the node tells of it.
type from string

func (f from) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	family := "TCP4"
	if netip.MustParseAddr(string(f)).Is6() {
		family = "TCP6"
	}
	if _, err := fmt.Fprintf(c, "PROXY %s %s %s 40000 443\r\n", family, f, map[string]string{"TCP4": "192.0.2.1", "TCP6": "2001:db8::1"}[family]); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// balanced is for [proxy]: loopback is the operator's own, and is never blocked.
const balanced = `proxy_protocol_from = ["127.0.0.1/32"]`

// scan makes the node find a probe scan from an address.
func (s *site) scan(at string, rounds int) {
	s.t.Helper()
	for range rounds {
		for _, name := range []string{"wrong-secret", "wrong-name", "garbage-517", "clock-behind"} {
			s.probe(at, name, 30*time.Millisecond)
		}
	}
}

// probe is what somebody at an address sees of the node.
func (s *site) probe(at, name string, wait time.Duration) tgsim.Observed {
	s.t.Helper()
	for _, p := range tgsim.Probes() {
		if p.Name == name {
			o, err := p.Run(s.t.Context(), tgsim.Target{Addr: s.addr(), Secret: secret, Domain: domain, Dialer: from(at), Wait: wait})
			if err != nil {
				s.t.Fatal(err)
			}
			return o
		}
	}
	s.t.Fatalf("no probe %s", name)
	return tgsim.Observed{}
}

// TestAScannerIsBlockedAndNobodyElse goes from a packet to a rule and back: events, detector, score, change, table, next accept.
func TestAScannerIsBlockedAndNobodyElse(t *testing.T) {
	s := start(t, balanced, "[policy.controls]\n\"threat.block\" = \"enforce\"\n")
	blocked := func() []control.RuleInfo {
		rules, _, err := s.node.plane.Rules(t.Context(), control.RuleFilter{Source: "automatic"})
		if err != nil {
			t.Fatal(err)
		}
		return rules
	}
	for begin := time.Now(); len(blocked()) == 0; {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("no block: %+v", s.node.threat.Status())
		}
		s.scan("198.51.100.7", 1)
	}
	rule := blocked()[0]
	if len(blocked()) != 1 || rule.Match != "198.51.100.7" || rule.Level != access.None || rule.By != "threat" || rule.Reason == "" || rule.Until == nil ||
		rule.Until.Sub(rule.Created) != 10*time.Minute {
		t.Errorf("rule %+v", rule)
	}
	c := s.client(tgsim.FakeTLS)
	c.Dialer = from("198.51.100.7")
	if conn, err := c.Dial(t.Context()); err == nil {
		conn.Close()
		t.Error("the blocked address was served, with a good secret")
	}
	c.Dialer = from("198.51.100.8")
	conn := s.dial(c)
	if err := conn.Ping([]byte("ping")); err != nil {
		t.Errorf("its neighbour: %v", err)
	}
	if got := s.node.stats.Control(policy.ThreatBlock); got.Decisions(2, 1) == 0 {
		t.Error("no refusal was counted")
	}
	rows, err := s.node.plane.AuditTail(t.Context(), operator, 20, 0)
	if err != nil || !hasRow(rows, "threat", "threat.block", "198.51.100.7/32") {
		t.Errorf("audit rows %+v, %v", rows, err)
	}
	if _, err := s.node.plane.Apply(t.Context(), operator, control.Unblock{Target: "198.51.100.7"}, control.Options{Reason: "undo"}); err != nil {
		t.Fatal(err)
	}
	if left := blocked(); len(left) != 0 {
		t.Errorf("after the undo: %+v", left)
	}
}

var operator = control.Actor{Name: "uid 0", Level: access.Superuser}

func hasRow(rows []control.AuditRow, actor, action, object string) bool {
	for _, r := range rows {
		if r.Actor == actor && r.Action == action && r.Object == object {
			return true
		}
	}
	return false
}

// TestInMonitorAttacksAreOnlyCounted, and the users whom a block would have hit.
func TestInMonitorAttacksAreOnlyCounted(t *testing.T) {
	s := start(t, balanced, "")
	for begin := time.Now(); s.node.threat.Status().WouldBlock == 0; {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("nothing is counted: %+v", s.node.threat.Status())
		}
		s.scan("198.51.100.7", 1)
	}
	c := s.client(tgsim.FakeTLS)
	c.Dialer = from("198.51.100.7")
	s.dial(c)
	eventually(t, "the user who would have been hit is counted", func() bool { return s.node.threat.Status().UsersHitToday == 1 })
	st := s.node.threat.Status()
	if st.Mode != "monitor" || st.Blocked+st.Shown+st.Throttled != 0 || st.UsersHit[0] != "alice" || st.BlocksToday != 1 {
		t.Errorf("%+v", st)
	}
	rules, _, err := s.node.plane.Rules(t.Context(), control.RuleFilter{Source: "automatic"})
	if err != nil || len(rules) != 0 {
		t.Errorf("rules %+v, %v", rules, err)
	}
}

// TestWhoSharesAnAddressWithAUserGetsNobodyCutOff: an attacker behind the same carrier's address can do what he likes.
func TestWhoSharesAnAddressWithAUserGetsNobodyCutOff(t *testing.T) {
	s := start(t, balanced, "[policy.controls]\n\"threat.block\" = \"enforce\"\n")
	c := s.client(tgsim.FakeTLS)
	c.Dialer = from("198.51.100.7")
	conn := s.dial(c)
	for begin := time.Now(); s.node.threat.Status().Spared["shared"] == 0; {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("nobody was spared: %+v", s.node.threat.Status())
		}
		s.scan("198.51.100.7", 1)
	}
	s.scan("198.51.100.7", 2)
	if o := s.probe("198.51.100.7", "wrong-secret", 200*time.Millisecond); len(o.Bytes) != 0 {
		t.Error("the failed handshakes of a suspect are all shown the cover site")
	}
	if o := s.probe("198.51.100.8", "wrong-secret", 3*time.Second); len(o.Bytes) == 0 {
		t.Error("a neighbour is not shown the cover site")
	}
	if err := conn.Ping([]byte("ping")); err != nil {
		t.Errorf("the session: %v", err)
	}
	s.dial(c)
	conn.Close()
	s.halt()
	s.boot(testLog(t)) // what was in memory is gone; the store knows who comes from where
	for begin := time.Now(); s.node.threat.Status().Spared["shared"] == 0; {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("after a restart nobody was spared: %+v", s.node.threat.Status())
		}
		s.scan("198.51.100.7", 1)
	}
	c = s.client(tgsim.FakeTLS)
	c.Dialer = from("198.51.100.7")
	s.dial(c)
	if st := s.node.threat.Status(); st.Blocked != 0 || st.Throttled == 0 {
		t.Errorf("%+v", st)
	}
}

// TestAnAttackIsAnIncident in the store, once, with what was seen and done; receivers of alerts are told when it begins and what becomes of it.
func TestAnAttackIsAnIncident(t *testing.T) {
	var mu sync.Mutex
	told := make(map[string]alert.Message) // by status
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m alert.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if m.Kind == alert.KindIncident {
			told[string(m.Status)+" "+m.About] = m
		}
	}))
	t.Cleanup(hook.Close)
	s := start(t, balanced, "[policy.controls]\n\"threat.block\" = \"enforce\"\n[[alert]]\nkind = \"webhook\"\nurl = \""+hook.URL+"\"\nmin_severity = \"low\"\n")
	for begin := time.Now(); s.node.threat.Status().Blocked == 0; {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("no block: %+v", s.node.threat.Status())
		}
		s.scan("198.51.100.7", 1)
	}
	var incident control.IncidentInfo
	eventually(t, "the block is written down", func() bool {
		items, _, err := s.node.plane.Incidents(t.Context(), control.IncidentFilter{State: "open"})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range items {
			if n.Subject == "198.51.100.7/32" && n.Action == "blocked for 10m0s" && n.Evidence != "" {
				incident = n
				return true
			}
		}
		return false
	})
	was := func(status alert.Status) (m alert.Message, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		m, ok = told[string(status)+" incident "+incident.ID]
		return m, ok
	}
	eventually(t, "somebody is told", func() bool { _, ok := was(alert.Open); return ok })
	if m, _ := was(alert.Open); m.Code != incident.Detector || strings.Contains(m.Title, "198.51.100.7") || !strings.Contains(m.Title, "198.51.100.0/24") || !strings.Contains(m.Fix, incident.ID) {
		t.Errorf("told %+v", m)
	}
	if _, err := s.node.plane.Apply(t.Context(), operator, control.MoveIncident{ID: incident.ID, To: control.IncidentResolved}, control.Options{Reason: "a test"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "somebody is told of the end", func() bool { _, ok := was(alert.Resolved); return ok })
}

// TestARestartForgetsNoOffence: the second block of an address is the longer one, though the process was another.
func TestARestartForgetsNoOffence(t *testing.T) {
	s := start(t, balanced, "[policy.controls]\n\"threat.block\" = \"enforce\"\n")
	blocked := func() control.RuleInfo {
		t.Helper()
		for begin := time.Now(); ; {
			rules, _, err := s.node.plane.Rules(t.Context(), control.RuleFilter{Source: "automatic"})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rules {
				if r.Until != nil && r.Until.After(time.Now()) {
					return r
				}
			}
			if time.Since(begin) > 30*time.Second {
				t.Fatalf("no block: %+v", s.node.threat.Status())
			}
			s.scan("198.51.100.7", 1)
		}
	}
	first := blocked()
	if got := first.Until.Sub(first.Created); got != 10*time.Minute {
		t.Fatalf("first blocked for %v", got)
	}
	s.halt()
	if info, err := os.Stat(s.state(offencesFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info, err)
	}
	s.boot(testLog(t))
	if st := s.node.threat.Status(); st.BlockedNow != 1 {
		t.Errorf("after a restart %d are known to be blocked", st.BlockedNow)
	}
	if _, err := s.node.plane.Apply(t.Context(), operator, control.Unblock{Target: "198.51.100.7"}, control.Options{Reason: "nobody waits for ten minutes here"}); err != nil {
		t.Fatal(err)
	}
	// The same an hour ago, so that its block is over.
	ago := threat.NewEngine(threat.Options{Policy: s.node.live.Load}, threat.Detectors(threat.Known{})...)
	for i := range 40 {
		ago.Observe(event.Event{Time: time.Now().Add(time.Duration(i)*time.Second - time.Hour), Kind: event.HandshakeFailed, Addr: netip.MustParseAddr("198.51.100.7"),
			Reason: []string{"malformed", "server_name", "bad_secret", "clock"}[i%4], Received: 517})
	}
	if st := ago.Status(); st.Blocked != 1 {
		t.Fatalf("an hour ago: %+v", st)
	}
	s.halt()
	if err := s.node.dir.Replace(offencesFile, ago.Save); err != nil {
		t.Fatal(err)
	}
	s.boot(testLog(t))
	second := blocked()
	if got := second.Until.Sub(second.Created); got != time.Hour {
		t.Errorf("the second time blocked for %v, want an hour", got)
	}
	s.halt()
	// What nobody can read is said, and begins anew.
	if err := os.WriteFile(s.state(offencesFile), []byte("mtguard threat memory 1\nrubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, text := logged()
	s.boot(log)
	if st := s.node.threat.Status(); st.BlockedNow != 0 {
		t.Errorf("of a broken memory %d are blocked", st.BlockedNow)
	}
	s.halt()
	if !strings.Contains(text.String(), "memory of threats not read") {
		t.Errorf("the log does not say it:\n%s", text)
	}
}

// TestAnUnblockedAttackerIsFoundAgain: over the API.
func TestAnUnblockedAttackerIsFoundAgain(t *testing.T) {
	s := start(t, balanced, "[policy.controls]\n\"threat.block\" = \"enforce\"\n")
	c := admin.NewClient(s.node.AdminSocket(), 10*time.Second)
	rules := func() (live []control.RuleInfo) {
		t.Helper()
		items, _, err := c.Rules(t.Context(), control.RuleFilter{Source: "automatic"})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range items {
			if r.Until != nil && r.Until.After(time.Now()) {
				live = append(live, r)
			}
		}
		return live
	}
	blocked := func(what string) control.RuleInfo {
		t.Helper()
		for begin := time.Now(); len(rules()) == 0; {
			if time.Since(begin) > 30*time.Second {
				t.Fatalf("%s: no block: %+v", what, s.node.threat.Status())
			}
			s.scan("198.51.100.7", 1)
		}
		return rules()[0]
	}
	first := blocked("at first")
	eventually(t, "one is said to be blocked", func() bool { st, err := c.Threat(t.Context()); return err == nil && st.BlockedNow == 1 })
	if _, err := c.Unblock(t.Context(), "198.51.100.7", admin.ChangeOptions{Reason: "a mistake"}); err != nil {
		t.Fatal(err)
	}
	if st, err := c.Threat(t.Context()); err != nil || st.BlockedNow != 0 || st.Blocked != 1 {
		t.Errorf("after the undo: %+v, %v", st, err)
	}
	second := blocked("after the undo")
	if second.ID == first.ID || second.Until.Sub(second.Created) != 10*time.Minute {
		t.Errorf("%+v, after %+v", second, first)
	}
	eventually(t, "one is said to be blocked again", func() bool { st, err := c.Threat(t.Context()); return err == nil && st.BlockedNow == 1 })
}

// TestTheKernelDropsNobodyWhomTheDoorLetsIn: it asks what the door asks.
func TestTheKernelDropsNobodyWhomTheDoorLetsIn(t *testing.T) {
	s := start(t, balanced, "[policy.controls]\n\"threat.block\" = \"enforce\"\n")
	known, stranger := netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("198.51.100.8/32")
	var c control.AutoBlock
	for _, p := range []netip.Prefix{known, stranger} {
		c.Blocks = append(c.Blocks, control.AutoBlocked{Prefix: p, For: control.Duration(time.Hour), Reason: "test"})
	}
	if _, err := s.node.plane.Apply(t.Context(), control.ThreatActor, c, control.Options{Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	s.node.suspects.Came(known.Addr(), time.Now()) // while the block was made
	answer, err := s.node.plane.Blocked(t.Context(), "")
	if err != nil || len(answer.Prefixes) != 1 || answer.Prefixes[0].Prefix != stranger || answer.Present != 1 {
		t.Errorf("%+v, %v", answer, err)
	}
}
