package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/config"
	"mtguard/control"
	"mtguard/control/audit"
	"mtguard/tgsim"
)

// audit runs an audit over a node and returns what it found by check and subject.
func (s *site) audit(only ...string) map[string]control.FindingInfo {
	s.t.Helper()
	r, err := s.node.plane.Audit(context.Background(), starter, control.AuditRequest{Only: only})
	if err != nil {
		s.t.Fatal(err)
	}
	found := make(map[string]control.FindingInfo)
	for _, f := range r.Findings {
		found[f.Check+": "+f.Subject] = f
	}
	return found
}

// TestAnAuditSeesTheNode: what only the node knows reaches its checks.
func TestAnAuditSeesTheNode(t *testing.T) {
	s := start(t, "", "")
	if err := os.Chmod(s.node.dir.Path(), 0o700); err != nil { // what testing makes is open to all
		t.Fatal(err)
	}
	s.node.options.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.200")}, nil
	}
	eventually(t, "the cover site is measured", func() bool { return !s.node.cover.Measured().Tried.IsZero() })
	s.dial(s.client(tgsim.FakeTLS)).Close()
	found := s.audit()
	for _, want := range []string{"policy.transport: transport classic", "policy.transport: transport secure", "keys.inline: user alice", "site.name: server name " + domain} {
		if _, ok := found[want]; !ok {
			t.Errorf("no %s", want)
		}
	}
	for _, wrong := range []string{"site.reach", "host.files", "host.disk", "policy.drift", "policy.behind", "care.auditlog", "site.telegram", "host.metrics", "host.address"} {
		for name, f := range found {
			if strings.HasPrefix(name, wrong+":") && !(wrong == "host.disk" && strings.HasSuffix(f.Evidence, "% is free")) { // this machine's disk may be full
				t.Errorf("%s: %s", name, f.Evidence)
			}
		}
	}
	facts, err := s.node.auditSite(t.Context())
	if err != nil || facts.Measured.IsZero() || facts.Flight < 64 || facts.Group == "" || facts.DCs[1].OK+facts.DCs[0].OK == 0 {
		t.Errorf("%+v, %v", facts, err)
	}

	dir := s.node.dir.Path()
	if err := errors.Join(os.Chmod(filepath.Join(dir, storeName), 0o644), os.Chmod(s.path, 0o640)); err != nil {
		t.Fatal(err)
	}
	found = s.audit("host.files")
	if f := found["host.files: state file "+filepath.Join(dir, storeName)]; f.Severity != audit.Critical || !strings.Contains(f.Remedy, "chmod 0600") {
		t.Errorf("%+v", found)
	}
	if _, ok := found["host.files: configuration "+s.path]; !ok {
		t.Errorf("a configuration with secrets that others read: %+v", found)
	}

	s.cover.Close()
	s.node.cover.Refresh()
	eventually(t, "it is noticed that the cover site is gone", func() bool { return s.node.cover.Measured().Err != nil })
	if f, ok := s.audit("site.reach")["site.reach: cover site "+s.cover.Addr()]; !ok || f.Unknown {
		t.Errorf("the cover site is gone: %+v", f)
	}

	s.write(strings.Replace(s.base, "[cover]", "[covers]", 1))
	if err := s.node.Reload(); err == nil {
		t.Fatal("a broken configuration was taken")
	}
	if _, ok := s.audit("policy")["policy.reload: the configuration"]; !ok {
		t.Error("a refused reload is not found")
	}

	text := get(t, "http://"+s.node.MetricsAt().String()+"/metrics")
	for _, want := range []string{`mtguard_audit_findings{severity="critical"} 1`, "mtguard_audit_last_success_timestamp_seconds 1."} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}

func TestTheLoadOfADayIsSampled(t *testing.T) {
	var w loadWatch
	if f := w.facts(time.Now()); f.Window != 0 || w.dcs() != nil {
		t.Errorf("%+v", f)
	}
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	const extra = 100
	for i := range keptSamples + extra {
		n := uint64(i)
		s := sample{at: begin.Add(time.Duration(i) * sampleEvery), ended: 10 * n, limited: n, denied: n / 2, handshakes: 4 * n, sessions: n, budget: n, halfOpen: 1, halfOpenLimit: 50,
			shedding: i%100 == 0, tablesKnown: 1}
		s.tables[0] = audit.Fill{Name: "a", Share: audit.Share{Part: int64(i % 7), Whole: 10}}
		s.dialled[0], s.failedDials[5] = n, 3*n
		if i == extra/2 || i == keptSamples {
			s.halfOpen = int64(i) // of these two only one is of the last day
		}
		w.add(s)
	}
	last := begin.Add(time.Duration(keptSamples+extra-1) * sampleEvery)
	f := w.facts(last)
	const n = keptSamples - 1
	want := audit.LoadFacts{Window: n * sampleEvery, Refused: audit.Share{Part: n, Whole: 10 * n}, Denied: audit.Share{Part: f.Denied.Part, Whole: 10 * n}, Failed: audit.Share{Part: 3 * n, Whole: 4 * n},
		Budget: n, HalfOpen: audit.Share{Part: keptSamples, Whole: 50}, Overloaded: 15 * time.Minute, Tables: []audit.Fill{{Name: "a", Share: audit.Share{Part: 6, Whole: 10}}}}
	if !slices.Equal(f.Tables, want.Tables) || f.Window != want.Window || f.Refused != want.Refused || f.Denied != want.Denied || f.Failed != want.Failed || f.Budget != want.Budget ||
		f.HalfOpen != want.HalfOpen || f.Overloaded != want.Overloaded || f.Denied.Part < n/2 || f.Denied.Part > n/2+1 {
		t.Errorf("%+v\nwant %+v", *f, want)
	}
	dcs := w.dcs()
	if dcs[0] != (audit.DC{Name: "1", OK: n}) || dcs[5] != (audit.DC{Name: "203", Failed: 3 * n}) {
		t.Errorf("%+v", dcs)
	}
	more := w.with(sample{at: last.Add(time.Second), budget: 1 << 20})
	if f := more.facts(last.Add(time.Second)); f.Budget < 1<<19 || w.facts(last).Budget != n {
		t.Errorf("with one more: %+v", f)
	}
}

func doctor(t *testing.T, text string) (audit.Report, map[string]audit.Finding) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mtguard.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Doctor(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]audit.Finding)
	for _, f := range r.Findings {
		found[f.Check+": "+f.Subject] = f
		if f.Group != audit.Host {
			t.Errorf("without a node: %+v", f)
		}
	}
	return r, found
}

func TestDoctorLooksAtTheHostWithoutANode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	rest := "[proxy]\nlisten = [\"127.0.0.1:8443\"]\n[state]\ndir = \"" + dir + "\"\n"
	r, found := doctor(t, rest)
	if len(r.Asked) < 9 {
		t.Errorf("asked only %v", r.Asked)
	}
	for name, f := range found {
		if strings.HasPrefix(name, "host.files") || strings.HasPrefix(name, "host.address") || strings.HasPrefix(name, "host.metrics") {
			t.Errorf("%s: %s", name, f.Evidence)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, found = doctor(t, rest+"[metrics]\nlisten = \":9380\"\n")
	if f := found["host.files: state directory "+dir]; f.Severity != audit.Critical {
		t.Errorf("%+v", found)
	}
	if _, ok := found["host.metrics: metrics"]; !ok {
		t.Errorf("metrics for all: %+v", found)
	}
	_, found = doctor(t, rest+"[[user]]\nname = \"a\"\nsecret_file = \"/no/such/file\"\n")
	if f := found["host.files: secret of a /no/such/file"]; !f.Unknown {
		t.Errorf("a file that is not there: %+v", found)
	}
	_, found = doctor(t, "[proxy]\nmax_connections = 4_194_304\nlisten = [\"127.0.0.1:8443\"]\n[state]\ndir = \""+dir+"\"\n")
	if _, ok := found["host.descriptors: open files"]; !ok {
		t.Errorf("four million connections: %+v", found)
	}
}

func TestANameWithoutAddressIsToldFromASilentServer(t *testing.T) {
	for _, c := range []struct {
		host string
		err  error
		want int
		fail bool
	}{
		{"192.0.2.7", errors.New("asked"), 1, false},
		{"a.example", &net.DNSError{IsNotFound: true}, 0, false},
		{"a.example", &net.DNSError{IsTimeout: true}, 0, true},
		{"a.example", nil, 2, false},
	} {
		ask := func(context.Context, string) ([]netip.Addr, error) {
			if c.err != nil {
				return nil, c.err
			}
			return []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, nil
		}
		list, err := lookupHost(t.Context(), c.host, ask)
		if len(list) != c.want || (err != nil) != c.fail || len(list) > 0 && list[0].Is4In6() {
			t.Errorf("%s, %v: %v, %v", c.host, c.err, list, err)
		}
	}
}

func TestWhoIsReachable(t *testing.T) {
	for text, want := range map[string]bool{"127.0.0.1": false, "::1": false, "10.1.2.3": false, "fd00::1": false, "0.0.0.0": true, "::": true, "203.0.113.7": true} {
		if got := reachable(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestANodeAuditsItself: nobody asks it to.
func TestANodeAuditsItself(t *testing.T) {
	s := start(t, "", "")
	s.halt()
	var err error
	s.node, err = New(Options{Load: func() (*config.File, error) { return config.Load(s.path) }, Log: testLog(t), AuditAfter: time.Millisecond,
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.node.Run(run) }()
	eventually(t, "the node has audited itself", func() bool { return !s.node.lastAudit().IsZero() })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
