package node

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"mtguard/control"
	"mtguard/mtproto"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

// What is proven of each mechanism where it lives is shown here to be plugged in: a change by a command, by a file or by the
// clock reaches clients and live sessions of a whole node.

// balancer is in the configuration of nodes whose clients come from addresses of the tests' choice.
const balancer = `proxy_protocol_from = ["127.0.0.1/32"]`

// behind dials as a balancer does for a client of that address.
type behind string

// DialContext implements tgsim.Dialer.
func (from behind) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(c, "PROXY TCP4 %s 192.0.2.1 40000 443\r\n", string(from)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// from is alice at that address.
func (s *site) from(addr string) *tgsim.Client {
	c := s.client(tgsim.FakeTLS)
	c.Dialer = behind(addr)
	return c
}

var root = control.Actor{Name: "test", Level: access.Superuser}

func (s *site) apply(c control.Change) control.Result {
	s.t.Helper()
	r, err := s.node.plane.Apply(context.Background(), root, c, control.Options{Reason: "a test", Force: true})
	if err != nil {
		s.t.Fatalf("%T: %v", c, err)
	}
	return r
}

// levels are those of the live sessions from an address.
func (s *site) levels(addr string) (all []access.Level) {
	for _, l := range s.node.sessions.List(func(x *auth.Session) bool { return x.From() == netip.MustParseAddr(addr) }, 10) {
		all = append(all, l.Level)
	}
	return all
}

// becomes waits until the one session from an address has a level; with access.None until it has ended.
func (s *site) becomes(what, addr string, want access.Level) {
	s.t.Helper()
	eventually(s.t, what, func() bool {
		all := s.levels(addr)
		return len(all) == 0 && want == access.None || len(all) == 1 && all[0] == want
	})
}

// is fails the test unless the one session from an address has a level already.
func (s *site) is(what, addr string, want access.Level) {
	s.t.Helper()
	if all := s.levels(addr); len(all) != 1 || all[0] != want {
		s.t.Errorf("%s: the sessions have the levels %v, want %v", what, all, want)
	}
}

// TestLevelsReachLiveSessions by every way on which they change: what somebody does is in force when he is answered.
func TestLevelsReachLiveSessions(t *testing.T) {
	s := start(t, balancer, "[policy.controls]\n\"access.level\" = \"enforce\"\n")
	const here, there = "198.51.100.7", "203.0.113.9"
	s.dial(s.from(here))
	s.dial(s.from(there))
	s.becomes("a session", here, access.Standard)
	s.becomes("another session", there, access.Standard)

	r := s.apply(control.AddRule{Match: "198.51.100.0/24", Level: access.ReadOnly})
	s.is("a rule", here, access.ReadOnly)
	s.is("a rule elsewhere", there, access.Standard)
	s.apply(control.RemoveRule{ID: r.Rule.ID})
	s.is("no rule", here, access.Standard)
	soon := time.Now().Add(4 * time.Second)
	s.apply(control.AddRule{Match: "198.51.100.0/24", Level: access.ReadOnly, Until: soon})
	if all := s.levels(here); time.Now().Before(soon) && (len(all) != 1 || all[0] != access.ReadOnly) {
		t.Errorf("a rule for a moment: %v", all)
	}
	s.becomes("the moment is over", here, access.Standard)

	list := filepath.Join(t.TempDir(), "list.txt")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(here + "\n")
	s.apply(control.SetList{Name: "slow", Origin: list, Level: access.ReadOnly})
	s.is("on a list", here, access.ReadOnly)
	put(there + "\n")
	s.apply(control.ReloadList{Name: "slow"})
	s.is("on the list no more", here, access.Standard)
	s.is("on the list now", there, access.ReadOnly)
	s.apply(control.RemoveList{Name: "slow"})
	s.is("without the list", there, access.Standard)

	soon = time.Now().Add(4 * time.Second)
	s.apply(control.AddException{Controls: []string{policy.AccessLevel}, Prefix: here, Until: soon})
	s.apply(control.AddRule{Match: here, Level: access.None})
	if all := s.levels(here); time.Now().Before(soon) && (len(all) != 1 || all[0] != access.Standard) {
		t.Errorf("spared: %v", all)
	}
	s.becomes("spared no more", here, access.None)
	s.is("nobody else", there, access.Standard)

	s.apply(control.BreakGlass{})
	s.dial(s.from(here))
	s.becomes("the glass is broken", here, access.Standard)
	s.apply(control.BreakGlass{For: control.Duration(time.Second)})
	s.becomes("the glass is whole again", here, access.None)
	s.is("nobody else", there, access.Standard)
}

// TestTrustedAddressesAreLeftAlone: what the file trusts no list touches.
func TestTrustedAddressesAreLeftAlone(t *testing.T) {
	s := start(t, balancer, "[access]\ntrusted = [\"198.51.100.0/25\"]\n[policy.controls]\n\"access.level\" = \"enforce\"\n")
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte("198.51.100.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.apply(control.SetList{Name: "drop", Origin: list})
	s.dial(s.from("198.51.100.7"))
	if c, err := s.from("198.51.100.200").Dial(context.Background()); err == nil {
		c.Close()
		t.Error("who is on the list and not trusted was served")
	}
}

// countryFile is one of MaxMind's format with a country for each prefix.
func countryFile(t *testing.T, countries map[string]string) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-Country", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, country := range countries {
		_, network, err := net.ParseCIDR(prefix)
		if err == nil {
			err = tree.Insert(network, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTheCountryFileIsExchanged under live sessions; a broken one changes nothing.
func TestTheCountryFileIsExchanged(t *testing.T) {
	const german, french = "198.51.100.7", "203.0.113.9"
	path := filepath.Join(t.TempDir(), "countries.mmdb")
	put := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(countryFile(t, map[string]string{"198.51.100.0/24": "DE", "203.0.113.0/24": "FR"}))
	s := start(t, balancer, fmt.Sprintf("[access]\ncountry_db = %q\n[policy.controls]\n\"geo.country\" = \"enforce\"\n", path))
	s.apply(control.SetPolicy{Document: "schema = 1\n[geography]\nblock = [\"country:DE\"]\n"})
	refused := func(addr string) {
		t.Helper()
		if c, err := s.from(addr).Dial(context.Background()); err == nil {
			c.Close()
			t.Errorf("%s: a client of a country that is refused was served", addr)
		}
	}
	s.dial(s.from(french))
	s.becomes("a session", french, access.Standard)
	refused(german)
	for _, bad := range []string{"", "no country file"} {
		put([]byte(bad))
		if err := s.node.Reload(); err == nil {
			t.Errorf("%q was taken for a country file", bad)
		}
		s.is("a broken file", french, access.Standard)
		refused(german)
	}
	put(countryFile(t, map[string]string{"198.51.100.0/24": "FR", "203.0.113.0/24": "DE"}))
	if err := s.node.Reload(); err != nil {
		t.Fatal(err)
	}
	s.becomes("by the new file it is refused", french, access.None)
	refused(french)
	s.dial(s.from(german))
}

// TestConnectionsAreShed at the door by the network, and again by the level of the user.
func TestConnectionsAreShed(t *testing.T) {
	s := start(t, "", "")
	s.halt() // nobody measures any more
	pipeline := guard.NewPipeline(s.node.stages, nil, nil)
	limits := s.node.live.Load().Limits
	snap := &policy.Snapshot{Limits: limits, Controls: map[string]policy.Control{policy.OverloadLevel: {Mode: policy.Enforce}}}
	comes := func(known bool, user access.Level) (door, level guard.Verdict) {
		c := &guard.Conn{Policy: snap, At: time.Now(), Addr: netip.MustParseAddrPort("198.51.100.7:40000"), Known: known}
		door = pipeline.Admit(c)
		c.User, c.Key, c.Level, c.Transport = "alice", "0123", user, mtproto.FakeTLS
		return door, pipeline.Authorize(c)
	}
	for _, c := range []struct {
		memory      float64
		known       bool
		user        access.Level
		door, level bool // shed there
	}{
		{0.5, false, access.ReadOnly, false, false},
		{0.88, false, access.Standard, true, false},
		{0.88, true, access.Standard, false, false},
		{0.88, true, access.ReadOnly, false, true},
		{0.94, true, access.Standard, false, true},
		{0.94, true, access.Admin, false, false},
		{0.99, true, access.Superuser, true, true},
	} {
		s.node.pressure.memory.Store(math.Float64bits(c.memory))
		door, level := comes(c.known, c.user)
		for where, v := range map[string]struct {
			got  guard.Verdict
			want bool
		}{"at the door": {door, c.door}, "by the level": {level, c.level}} {
			if shed := v.got.Action != guard.Allow; shed != v.want || shed && v.got.Control != policy.OverloadLevel {
				t.Errorf("memory %v, known %v, %v, %s: %+v, want it shed: %v", c.memory, c.known, c.user, where, v.got, v.want)
			}
		}
	}
}

// TestSessionsEndLastOfAll: the node measures what is in use; while overload.level is in monitor no session ends whatever
// is measured, and when it is enforced they do.
func TestSessionsEndLastOfAll(t *testing.T) {
	s := start(t, "", "")
	n := s.node
	s.dial(s.client(tgsim.FakeTLS))
	eventually(t, "memory and descriptors are measured", func() bool { p := n.pressure.now(); return p.Memory > 0 && p.Descriptors > 0 })
	if p := n.pressure.now(); p.Memory >= 1 || p.Descriptors >= 0.5 {
		t.Errorf("%+v are in use, by one client", p)
	}
	n.stats.CoverOpen.Add(1 << 40) // as if all descriptors were
	defer n.stats.CoverOpen.Add(-1 << 40)
	for range 3 { // when it is measured the third time, the first two have had their consequences
		n.pressure.descriptors.Store(0)
		eventually(t, "it is measured", func() bool { return n.pressure.now().Descriptors > 1 })
	}
	if n.sessions.Count() != 1 {
		t.Error("a session ended by a control in monitor")
	}
	s.apply(control.SetMode{Control: policy.OverloadLevel, Mode: "enforce"})
	eventually(t, "a session ends", func() bool { return n.sessions.Count() == 0 })
}

// TestTheRolloutKnowsWhatWasDecided: of known users and in all, by what was enforced and what was not.
func TestTheRolloutKnowsWhatWasDecided(t *testing.T) {
	s := start(t, "", "")
	s.apply(control.SetPolicy{Document: "schema = 1\n[connections]\nper_user = 1\nper_key = 1\nread_only = 1\n"})
	look := func() control.ControlInfo {
		t.Helper()
		all, err := s.node.plane.Controls(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if c.Name == policy.ConnsUser {
				return c
			}
		}
		t.Fatal("no such control")
		return control.ControlInfo{}
	}
	s.dial(s.client(tgsim.FakeTLS))
	s.dial(s.client(tgsim.FakeTLS))
	if c := look(); c.Allowed != 1 || c.KnownAllowed != 1 || c.KnownAllowedEnforced != 0 || c.WouldRefuse != 1 || c.KnownWould != 1 || c.Refused != 0 {
		t.Errorf("in monitor: %+v", c)
	}
	if c := look(); c.CostSamples != 1 || c.CostMonitorMicros <= 0 || c.CostMicros != c.CostMonitorMicros || c.CostEnforcedMicros != 0 {
		t.Errorf("the first connection was timed: %+v", c)
	}
	s.apply(control.SetMode{Control: policy.ConnsUser, Mode: "enforce"})
	if c, err := s.client(tgsim.FakeTLS).Dial(context.Background()); err == nil {
		c.Close()
		t.Error("one too many was served")
	}
	if c := look(); c.Refused != 1 || c.KnownRefused != 1 || c.WouldRefuse != 1 || c.Allowed != 1 {
		t.Errorf("enforced: %+v", c)
	}
	if c := s.node.stats.Control(policy.ConnsUser); c.Decisions(stats.VerdictMask, stats.ModeEnforce) != 1 {
		t.Error("the metrics say something else")
	}
	for range 32 { // two of them are timed, give or take one
		if c, err := s.client(tgsim.FakeTLS).Dial(context.Background()); err == nil {
			c.Close()
		}
	}
	if c := look(); c.CostSamples < 2 || c.CostEnforcedMicros <= 0 || c.CostMonitorMicros <= 0 ||
		c.CostMicros < min(c.CostEnforcedMicros, c.CostMonitorMicros) || c.CostMicros > max(c.CostEnforcedMicros, c.CostMonitorMicros) {
		t.Errorf("enforced beside monitor: %+v", c)
	}
}

// TestAPreviewKnowsWhoCame: connections are recorded while the node runs.
func TestAPreviewKnowsWhoCame(t *testing.T) {
	s := start(t, "", "")
	for range 3 {
		s.dial(s.client(tgsim.FakeTLS)).Close()
	}
	eventually(t, "three connections are recorded", func() bool {
		r, err := s.node.plane.Preview(context.Background(), control.PreviewQuery{Document: "schema = 1\n[encryption]\ntransports = [\"secure\"]\n[controls.\"encryption.required\"]\nmode = \"enforce\"\n"})
		if err != nil {
			t.Fatal(err)
		}
		return r.Connections == 3 && r.KnownRefused == 3 && r.UsersRefused == 1
	})
}
