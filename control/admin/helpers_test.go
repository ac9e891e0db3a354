package admin

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/advisory"
	"mtguard/control/alert"
	"mtguard/control/audit"
	"mtguard/control/preview"
	"mtguard/control/threat"
	"mtguard/security/access"
	"mtguard/telemetry/history"
	"mtguard/telemetry/live"
	"mtguard/telemetry/stats"
)

// fakePlane answers what it was given and remembers what it was asked.
type fakePlane struct {
	mu    sync.Mutex
	asked []any // changes, filters, requests, in order
	by    control.Actor
	with  control.Options

	denied []string // who was refused what before it was a change
	why    string   // what he was told last

	err    error // the answer to everything, when set
	result control.Result
	user   control.UserInfo
	key    control.KeyInfo
	rule   control.RuleInfo
	next   string
	events []control.KeyEvent
	rows   []control.AuditRow

	revisions []control.PolicyInfo
	hub       *live.Hub

	written []byte                    // by backups and exports, before err
	during  func(ctx context.Context) // while a change is made
}

func (p *fakePlane) ask(by control.Actor, what any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.by = append(p.asked, what), by
	return p.err
}

// last is what was asked last.
func (p *fakePlane) last() any {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) == 0 {
		return nil
	}
	return p.asked[len(p.asked)-1]
}

func (p *fakePlane) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = nil
}

func (p *fakePlane) Apply(ctx context.Context, by control.Actor, c control.Change, o control.Options) (control.Result, error) {
	if p.during != nil {
		p.during(ctx)
	}
	if ctx.Err() != nil {
		return control.Result{}, ctx.Err()
	}
	p.mu.Lock()
	p.with = o
	p.mu.Unlock()
	err := p.ask(by, c)
	return p.result, err
}

func (p *fakePlane) NoteDenied(_ context.Context, by control.Actor, operation, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.denied, p.why = append(p.denied, by.Name+" "+operation), why
}

func (p *fakePlane) Status(context.Context) (control.Status, error) {
	return control.Status{Version: "1.2.3", Users: 7}, p.ask(control.Actor{}, "status")
}

func (p *fakePlane) Users(_ context.Context, f control.UserFilter) ([]control.UserInfo, string, error) {
	return []control.UserInfo{p.user}, p.next, p.ask(control.Actor{}, f)
}

func (p *fakePlane) User(_ context.Context, name string) (control.UserInfo, error) {
	err := p.ask(control.Actor{}, name)
	if e, ok := err.(*control.Error); ok && e.Kind == control.Stale {
		err = nil // only changes can be stale
	}
	return p.user, err
}

func (p *fakePlane) Keys(_ context.Context, f control.KeyFilter) ([]control.KeyInfo, string, error) {
	return []control.KeyInfo{p.key}, p.next, p.ask(control.Actor{}, f)
}

func (p *fakePlane) Key(_ context.Context, id string) (control.KeyInfo, error) {
	return p.key, p.ask(control.Actor{}, id)
}

func (p *fakePlane) History(_ context.Context, f control.HistoryFilter) ([]control.KeyEvent, error) {
	return p.events, p.ask(control.Actor{}, f)
}

func (p *fakePlane) Schedule(context.Context) (control.Schedule, error) {
	return testSchedule, p.ask(control.Actor{}, "schedule")
}

func (p *fakePlane) Leaks(_ context.Context, f control.LeakFilter) ([]control.LeakInfo, int64, error) {
	return []control.LeakInfo{testLeak}, 7, p.ask(control.Actor{}, f)
}

func (p *fakePlane) Leak(_ context.Context, name string) (control.LeakReport, error) {
	return testLeakReport, p.ask(control.Actor{}, name)
}

var (
	testLeak       = control.LeakInfo{ID: "l1", Seq: 7, User: "family", Key: "a69e7b2f47a107eb", Holders: []control.HolderInfo{{User: "anna", Key: "b69e7b2f47a107eb"}}}
	testLeakReport = control.LeakReport{
		User: "anna", Lineage: []control.Lineage{{User: "anna", From: "family", FromKey: "a69e7b2f47a107eb", Split: "l1"}},
		Splits: []control.LeakInfo{testLeak}, Incidents: []control.IncidentInfo{testIncident},
	}
)

func (p *fakePlane) Rules(_ context.Context, f control.RuleFilter) ([]control.RuleInfo, string, error) {
	return []control.RuleInfo{p.rule}, p.next, p.ask(control.Actor{}, f)
}

func (p *fakePlane) Rule(_ context.Context, id string) (control.RuleInfo, error) {
	return p.rule, p.ask(control.Actor{}, id)
}

func (p *fakePlane) Lists(context.Context) ([]control.ListInfo, error) {
	return []control.ListInfo{testList}, p.ask(control.Actor{}, "lists")
}

func (p *fakePlane) Blocked(_ context.Context, known string) (control.Blocked, error) {
	return control.Blocked{Tag: "t", Unchanged: known == "t"}, p.ask(control.Actor{}, "blocked "+known)
}

func (p *fakePlane) CheckAccess(_ context.Context, q control.CheckQuery) (control.AccessReport, error) {
	return testReport, p.ask(control.Actor{}, q)
}

func (p *fakePlane) CheckLimits(_ context.Context, q control.LimitQuery) ([]control.LimitInfo, error) {
	return testLimits, p.ask(control.Actor{}, q)
}

var testLimits = []control.LimitInfo{{Control: "rate.accept", Mode: "enforce", Of: "203.0.113.7/32", Limit: "60/1m0s", Left: 3}}

// asksPolicy and the others tell questions of the same shape apart.
type (
	asksPolicy  int64
	asksHistory [2]int64
	asksExplain string
	asksDiff    [2]int64
)

func (p *fakePlane) ThreatStatus(context.Context) (threat.Standing, error) {
	return testThreat, p.ask(control.Actor{}, "threat")
}

func (p *fakePlane) ThreatFindings(_ context.Context, most int) ([]threat.Finding, error) {
	return testFindings, p.ask(control.Actor{}, most)
}

func (p *fakePlane) Incidents(_ context.Context, f control.IncidentFilter) ([]control.IncidentInfo, int64, error) {
	return []control.IncidentInfo{testIncident}, 7, p.ask(control.Actor{}, f)
}

func (p *fakePlane) Incident(_ context.Context, id string) (control.IncidentInfo, error) {
	return testIncident, p.ask(control.Actor{}, id)
}

var (
	testIncident = control.IncidentInfo{ID: "i1", Seq: 7, Detector: "replay", Subject: "203.0.113.7/32", Severity: threat.High, State: "open", Count: 3}
	testThreat   = threat.Standing{Mode: "monitor", Findings: map[string]uint64{"probe_scan": 2}}
	testFindings = []threat.Finding{{Detector: "probe_scan", Addr: netip.MustParseAddr("203.0.113.7"), Points: 4, Evidence: "noise"}}
)

// asksStats tells a question for metrics from others.
type asksStats string

func (p *fakePlane) Stats(_ context.Context, pattern string) ([]stats.Value, error) {
	return testStats, p.ask(control.Actor{}, asksStats(pattern))
}

func (p *fakePlane) Series(_ context.Context, q history.Query) ([]history.Series, error) {
	return testSeries, p.ask(control.Actor{}, q)
}

var testSeries = []history.Series{{Name: "accepted", Unit: "count", By: "sum", Step: 60, Points: []history.Point{{At: time.Unix(1_790_000_000, 0).UTC(), Value: 7}}}}

var testStats = []stats.Value{
	{Name: "mtguard_relay_bytes_total", Labels: map[string]string{"direction": "up"}, Type: "counter", Unit: "bytes", Help: "Bytes.", Value: 12},
	{Name: "mtguard_handshake_duration_seconds", Type: "histogram", Unit: "seconds", Help: "Time.", Value: 1.5, Count: 3, P50: 0.5, P99: 1},
}

func (p *fakePlane) Policy(_ context.Context, revision int64) (control.PolicyInfo, error) {
	err := p.ask(control.Actor{}, asksPolicy(revision))
	if e, ok := err.(*control.Error); ok && e.Kind == control.Stale {
		err = nil // only changes can be stale
	}
	return control.PolicyInfo{Revision: 7, Preset: "community", Document: "schema = 1\n"}, err
}

func (p *fakePlane) PolicyHistory(_ context.Context, before int64, limit int) ([]control.PolicyInfo, error) {
	return p.revisions, p.ask(control.Actor{}, asksHistory{before, int64(limit)})
}

func (p *fakePlane) PolicyExplain(_ context.Context, document string) ([]control.PolicyValue, error) {
	return testValues, p.ask(control.Actor{}, asksExplain(document))
}

func (p *fakePlane) Preview(_ context.Context, q control.PreviewQuery) (control.PreviewReport, error) {
	return testPreview, p.ask(control.Actor{}, q)
}

func (p *fakePlane) PolicyDiff(_ context.Context, from, to int64) ([]control.PolicyValue, error) {
	return testValues, p.ask(control.Actor{}, asksDiff{from, to})
}

func (p *fakePlane) Controls(context.Context) ([]control.ControlInfo, error) {
	return testControls, p.ask(control.Actor{}, "controls")
}

func (p *fakePlane) Rollout(context.Context) ([]control.RolloutStep, error) {
	return testSteps, p.ask(control.Actor{}, "rollout")
}

func (p *fakePlane) Bundle(context.Context) (control.BundleInfo, error) {
	return testBundles, p.ask(control.Actor{}, "bundles")
}

func (p *fakePlane) Crypto(context.Context) (control.CryptoInfo, error) {
	return testCrypto, p.ask(control.Actor{}, "crypto")
}

func (p *fakePlane) CheckCrypto(_ context.Context, by control.Actor) (*advisory.Outcome, error) {
	return testCrypto.Last, p.ask(by, "crypto check")
}

func (p *fakePlane) Trials(context.Context) ([]control.TrialInfo, error) {
	return []control.TrialInfo{{Revision: 7, Base: 6, What: "rate.accept"}}, p.ask(control.Actor{}, "trials")
}

func (p *fakePlane) Exceptions(context.Context) ([]control.ExceptionInfo, error) {
	return testExceptions, p.ask(control.Actor{}, "exceptions")
}

// asksTest tells which receiver is tested.
type asksTest string

func (p *fakePlane) Alerts(context.Context) (alert.Report, error) {
	return testAlerts, p.ask(control.Actor{}, "alerts")
}

func (p *fakePlane) TestAlerts(_ context.Context, by control.Actor, receiver string) ([]alert.Answer, error) {
	return testAnswers, p.ask(by, asksTest(receiver))
}

var (
	testAlerts  = alert.Report{Alerts: []alert.AlertInfo{{ID: "al-1", Code: "disk.full", Severity: alert.High, State: alert.Firing}}, Receivers: []alert.ReceiverInfo{{Name: "oncall", MinSeverity: alert.Low}}, Silences: []alert.Silence{{ID: "s-1"}}, Conditions: []alert.ConditionInfo{{Code: "disk.full", Severity: alert.High}}}
	testAnswers = []alert.Answer{{Receiver: "oncall", Kind: "webhook", OK: true, Answer: "200 OK"}}
)

func (p *fakePlane) Report(_ context.Context, by control.Actor, q control.ReportQuery) ([]byte, error) {
	return []byte("# Report\n"), p.ask(by, q)
}

func (p *fakePlane) SealedReport(_ context.Context, by control.Actor, q control.ReportQuery) ([]byte, error) {
	return []byte("# Sealed report\n"), p.ask(by, q)
}

var (
	testList     = control.ListInfo{Name: "drop", Origin: "https://lists.example/drop.netset", Every: 6 * hour, Entries: 1200, Revision: 9}
	testReport   = control.AccessReport{Addr: "203.0.113.7", Rule: "r1", Control: "access.level", Considered: []control.ConsideredRule{{Rule: "r1", Why: "decides"}}}
	testValues   = []control.PolicyValue{{Path: "rates.new_per_prefix", Value: `"20/s"`, Origin: "preset personal"}}
	testPreview  = control.PreviewReport{Connections: 900, Refused: 12, Controls: []preview.ControlReport{{Control: "rate.accept", Refused: 12}}, NotJudged: []string{"bytes.user"}}
	testControls = []control.ControlInfo{{Name: "rate.accept", Mode: "monitor", WouldRefuse: 12}}
	testSteps    = []control.RolloutStep{{Control: "rate.accept", Mode: "monitor", Next: "enforce 10%", Waits: "it has made 3 of 1000 decisions"}}
	testBundles  = control.BundleInfo{Origin: "https://policy.example/bundle", Every: hour, Number: 4, Waiting: &control.BundleWaiting{Number: 5, Changes: testValues, Loosens: testValues}}
	testCrypto   = control.CryptoInfo{
		Inventory: advisory.Inventory{Program: "1.4.0", Suites: []advisory.Suite{{Name: "aes-128-gcm", Why: "crypto bulletin 3 forbids it"}}, Modules: []advisory.Module{{Path: "golang.org/x/crypto", Sum: "h1:x"}}},
		Bulletin:  control.BulletinInfo{Number: 3, Suites: []control.SuiteUse{{Name: "aes-128-gcm", Use: "forbidden"}}},
		Asked:     true, Last: &advisory.Outcome{Verdict: "found", Findings: []string{"version 1.5.0 is there"}},
	}
	testExceptions = []control.ExceptionInfo{{ID: "e1", Controls: []string{"rate.accept"}, User: "nadia", Hits: 3}}
)

// Events is a view of nothing that ends at once, unless the test has a hub.
func (p *fakePlane) Events(_ context.Context, by control.Actor, q live.Query) (*live.View, error) {
	if err := p.ask(by, q); err != nil {
		return nil, err
	}
	if p.hub != nil {
		return p.hub.View(q)
	}
	q.Past = true
	return live.NewHub(live.Options{}).View(q)
}

func (p *fakePlane) Seal(ctx context.Context, by control.Actor, r control.SealRequest) ([]byte, error) {
	if p.during != nil {
		p.during(ctx)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return append([]byte("sealed:"), r.Plaintext...), p.ask(by, r)
}

func (p *fakePlane) Open(_ context.Context, by control.Actor, r control.OpenRequest) ([]byte, error) {
	return bytes.TrimPrefix(r.Sealed, []byte("sealed:")), p.ask(by, r)
}

func (p *fakePlane) Backup(_ context.Context, by control.Actor, to control.BackupTarget, w io.Writer) error {
	w.Write(p.written)
	return p.ask(by, to)
}

// askedAudit and the others tell questions of audits apart.
type (
	askedAudit    [2]string
	asksAudits    [2]int64
	asksAuditDiff [2]int64
	asksFinding   string
)

var (
	testFinding = control.FindingInfo{Finding: audit.Finding{ID: "a69e7b2f47a107eb", Check: "host.root", Group: audit.Host, Severity: audit.High, Subject: "process"}, State: audit.StateOpen}
	testAudit   = control.AuditInfo{Number: 8, Asked: 40, Score: 77, Counts: map[string]int{"high": 1}}
	testResult  = control.AuditResult{AuditInfo: testAudit, Reasons: []audit.Reason{{Points: 10, Check: "host.root", Count: 1}}, Findings: []control.FindingInfo{testFinding}}
	testDiff    = []control.AuditDiff{{Change: "appeared", Is: "high", Finding: testFinding}}
)

func (p *fakePlane) Audit(_ context.Context, by control.Actor, r control.AuditRequest) (control.AuditResult, error) {
	return testResult, p.ask(by, askedAudit{strings.Join(r.Only, " "), r.Profile})
}

func (p *fakePlane) Audits(_ context.Context, before int64, limit int) ([]control.AuditInfo, error) {
	return []control.AuditInfo{testAudit}, p.ask(control.Actor{}, asksAudits{before, int64(limit)})
}

func (p *fakePlane) AuditDiff(_ context.Context, from, to int64) ([]control.AuditDiff, error) {
	return testDiff, p.ask(control.Actor{}, asksAuditDiff{from, to})
}

func (p *fakePlane) AuditSchedule(context.Context) (control.AuditSchedule, error) {
	return control.AuditSchedule{Every: 6 * hour}, p.ask(control.Actor{}, "audit schedule")
}

func (p *fakePlane) Findings(_ context.Context, f control.FindingFilter) ([]control.FindingInfo, string, error) {
	return []control.FindingInfo{testFinding}, p.next, p.ask(control.Actor{}, f)
}

func (p *fakePlane) Finding(_ context.Context, id string) (control.FindingInfo, error) {
	return testFinding, p.ask(control.Actor{}, asksFinding(id))
}

func (p *fakePlane) Tokens(context.Context) ([]control.TokenInfo, error) {
	return []control.TokenInfo{{ID: "abc", Name: "ci", State: "ok"}}, p.ask(control.Actor{}, "tokens")
}

func (p *fakePlane) BrowserSessions(context.Context) ([]control.SessionInfo, error) {
	return []control.SessionInfo{{ID: "abc", Person: "nadia", Via: "code"}}, p.ask(control.Actor{}, "sessions")
}

func (p *fakePlane) Passkeys(context.Context) ([]control.PasskeyInfo, error) {
	return []control.PasskeyInfo{{ID: "p1", Name: "laptop", Person: "nadia", Host: "localhost"}}, p.ask(control.Actor{}, "passkeys")
}

func (p *fakePlane) Clients(_ context.Context, f control.ClientFilter) ([]control.ClientInfo, bool, error) {
	return []control.ClientInfo{{User: "nadia"}}, false, p.ask(control.Actor{}, f)
}

func (p *fakePlane) Approval(_ context.Context, id string) (control.ApprovalInfo, error) {
	return control.ApprovalInfo{ID: id, Class: "kek", State: "pending"}, p.ask(control.Actor{}, id)
}

func (p *fakePlane) Approvals(_ context.Context, after int64, limit int) ([]control.ApprovalInfo, int64, error) {
	return []control.ApprovalInfo{{ID: "w1", Class: "kek", State: "pending"}}, 7, p.ask(control.Actor{}, [2]int64{after, int64(limit)})
}

// asksApproval is an approval.
type asksApproval string

func (p *fakePlane) Approve(_ context.Context, by control.Actor, id string, o control.Options) (control.Result, error) {
	p.mu.Lock()
	p.with = o
	p.mu.Unlock()
	return p.result, p.ask(by, asksApproval(id))
}

func (p *fakePlane) AuditTail(_ context.Context, by control.Actor, n int, before int64) ([]control.AuditRow, error) {
	return p.rows, p.ask(by, [2]int64{int64(n), before})
}

func (p *fakePlane) AuditVerify(_ context.Context, by control.Actor) (control.AuditReport, error) {
	return control.AuditReport{OK: true, Rows: 9, Witnessed: 8}, p.ask(by, "verify")
}

func (p *fakePlane) AuditExport(_ context.Context, by control.Actor, w io.Writer) error {
	w.Write(p.written)
	return p.ask(by, "export")
}

func (p *fakePlane) AuditKey(context.Context) (string, error) {
	return "mtguard-1+abc+def", p.ask(control.Actor{}, "key")
}

const hour = control.Duration(time.Hour)

var testSchedule = control.Schedule{Every: 30 * 24 * hour, Overlap: 7 * 24 * hour, Window: 24 * hour, Announce: 3 * hour, Idle: 2 * hour, Tripwire: hour}

var root = control.Actor{Name: "uid 0", Level: access.Superuser}

// quiet is a log that fails the test when it has something to say.
func quiet(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(failing{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type failing struct{ t testing.TB }

func (f failing) Write(b []byte) (int, error) {
	f.t.Errorf("logged: %s", b)
	return len(b), nil
}

// request sends one to h as by; headers are "Name: value".
func request(h http.Handler, by control.Actor, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, apiPath+target, strings.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	if by.Name != "" {
		r = r.WithContext(WithActor(r.Context(), by))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// shortDir is a directory whose path leaves room for the name of a socket.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "mt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve serves h on a socket until the test ends, and returns the socket's path.
func serve(t testing.TB, h http.Handler, log *slog.Logger) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "admin.sock")
	s, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, s, h, log)
	return path
}

func serveOn(t testing.TB, s *Socket, h http.Handler, log *slog.Logger) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, s, h, log) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

// client is one of a node at path.
func client(t testing.TB, path string) *Client {
	c := NewClient(path, 30*time.Second)
	t.Cleanup(c.Close)
	return c
}

// panicPlane panics with a value, or with what the runtime has to say.
type panicPlane struct {
	*fakePlane
	value any
}

func (p panicPlane) Apply(context.Context, control.Actor, control.Change, control.Options) (control.Result, error) {
	if p.value == nil {
		_ = []int{}[len(p.asked)]
	}
	panic(p.value)
}

func (p panicPlane) AuditExport(_ context.Context, _ control.Actor, w io.Writer) error {
	w.Write(p.written)
	panic(p.value)
}
