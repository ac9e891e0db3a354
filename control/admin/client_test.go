package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mtguard/control"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/telemetry/history"
)

// TestEveryCallOfTheClientReachesThePlane goes over a real socket and back.
func TestEveryCallOfTheClientReachesThePlane(t *testing.T) {
	expires := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	secret, err := keys.ParseSecret("dd4aa64c177c5cd517d10a3ccc87024392")
	if err != nil {
		t.Fatal(err)
	}
	plane := &fakePlane{
		user: control.UserInfo{Name: "nadia", Level: access.Standard, Revision: 42, Expires: &expires},
		key:  control.KeyInfo{ID: "a69e7b2f47a107eb", State: "active"},
		rule: control.RuleInfo{ID: "r1", Match: "203.0.113.0/24", Until: &expires, Revision: 12},
		result: control.Result{
			Revision: 43, Summary: "done", Affected: 1, Links: []control.Link{{User: "nadia", Kind: "faketls", Secret: "ee00", TG: "tg://proxy?a&b"}},
		},
		next:    "nadia",
		events:  []control.KeyEvent{{Key: "a69e7b2f47a107eb", To: "active", Cursor: 7}},
		rows:    []control.AuditRow{{Seq: 3, Actor: "uid 0"}, {Seq: 4, Actor: "uid 0"}},
		written: []byte("row 1\nrow 2\n"),

		revisions: []control.PolicyInfo{{Revision: 8}, {Revision: 7}},
	}
	long := strings.Repeat("#\"\n", maxDocument/3) // every other character has to be escaped
	c := client(t, serve(t, NewAPI(plane, quiet(t)).Handler(), quiet(t)))
	ctx := context.Background()
	o := ChangeOptions{Reason: "because & so", IfRevision: 42, IdempotencyKey: "k", DryRun: true, Force: true, From: netip.MustParseAddr("2001:db8::9")}
	with := control.Options{Reason: "because & so", IfRevision: 42, IdempotencyKey: "k", DryRun: true, Force: true}

	reads := []struct {
		name string
		call func() (any, error)
		want any
		asks any
	}{
		{"status", func() (any, error) { return c.Status(ctx) }, control.Status{Version: "1.2.3", Users: 7}, "status"},
		{"user", func() (any, error) { return c.User(ctx, "na.d_ia-1") }, plane.user, "na.d_ia-1"},
		{"user that no path holds as it is", func() (any, error) { return c.User(ctx, "a/b?c#d %") }, plane.user, "a/b?c#d %"},
		{"key", func() (any, error) { return c.Key(ctx, "a69e") }, plane.key, "a69e"},
		{"history", func() (any, error) {
			return c.History(ctx, control.HistoryFilter{Key: "a6", User: "n", Before: 9, Limit: 1})
		}, plane.events, control.HistoryFilter{Key: "a6", User: "n", Before: 9, Limit: 1}},
		{"schedule", func() (any, error) { return c.Schedule(ctx) }, testSchedule, "schedule"},
		{"audit tail", func() (any, error) { return c.AuditTail(ctx, 2, 5) }, plane.rows, [2]int64{2, 5}},
		{"audit verify", func() (any, error) { return c.AuditVerify(ctx) }, control.AuditReport{OK: true, Rows: 9, Witnessed: 8}, "verify"},
		{"audit key", func() (any, error) { return c.AuditKey(ctx) }, "mtguard-1+abc+def", "key"},
		{"rule", func() (any, error) { return c.Rule(ctx, "r1") }, plane.rule, "r1"},
		{"lists", func() (any, error) { return c.Lists(ctx) }, []control.ListInfo{testList}, "lists"},
		{"list", func() (any, error) { return c.List(ctx, "drop") }, testList, "lists"},
		{"access", func() (any, error) {
			return c.CheckAccess(ctx, control.CheckQuery{Addr: "203.0.113.7", User: "n", ServerName: "a.example", JA4: "t13d"})
		}, testReport, control.CheckQuery{Addr: "203.0.113.7", User: "n", ServerName: "a.example", JA4: "t13d"}},
		{"limits", func() (any, error) {
			return c.CheckLimits(ctx, control.LimitQuery{Addr: "203.0.113.7", User: "n"})
		}, testLimits, control.LimitQuery{Addr: "203.0.113.7", User: "n"}},
		{"threat", func() (any, error) { return c.Threat(ctx) }, testThreat, "threat"},
		{"threat findings", func() (any, error) { return c.ThreatFindings(ctx, 9) }, testFindings, 9},
		{"leak", func() (any, error) { return c.Leak(ctx, "anna") }, testLeakReport, "anna"},
		{"incident", func() (any, error) { return c.Incident(ctx, "i1") }, testIncident, "i1"},
		{"stats", func() (any, error) { return c.Stats(ctx, "relay_*") }, testStats, asksStats("relay_*")},
		{"series", func() (any, error) {
			return c.Series(ctx, history.Query{Names: []string{"accepted", "refused:*"}, From: time.Unix(1_790_000_000, 0).UTC(), To: time.Unix(1_790_003_600, 0).UTC(), Step: 2 * time.Minute})
		}, testSeries, history.Query{Names: []string{"accepted", "refused:*"}, From: time.Unix(1_790_000_000, 0).UTC(), To: time.Unix(1_790_003_600, 0).UTC(), Step: 2 * time.Minute}},
		{"policy", func() (any, error) { return c.Policy(ctx, 7) }, control.PolicyInfo{Revision: 7, Preset: "community", Document: "schema = 1\n"}, asksPolicy(7)},
		{"policy in force", func() (any, error) { return c.Policy(ctx, control.PolicyInForce) }, control.PolicyInfo{Revision: 7, Preset: "community", Document: "schema = 1\n"}, asksPolicy(-1)},
		{"policy before any", func() (any, error) { return c.Policy(ctx, 0) }, control.PolicyInfo{Revision: 7, Preset: "community", Document: "schema = 1\n"}, asksPolicy(0)},
		{"policies", func() (any, error) { return c.PolicyHistory(ctx, 9, 2) }, []control.PolicyInfo{{Revision: 8}, {Revision: 7}}, asksHistory{9, 2}},
		{"explain", func() (any, error) { return c.PolicyExplain(ctx, "") }, testValues, asksExplain("")},
		{"explain a document", func() (any, error) { return c.PolicyExplain(ctx, long) }, testValues, asksExplain(long)},
		{"preview", func() (any, error) {
			return c.Preview(ctx, PreviewBody{Document: long, Control: "rate.accept", Mode: "enforce", Percent: 10, Since: new(hour)})
		}, testPreview, control.PreviewQuery{Document: long, Control: "rate.accept", Mode: "enforce", Percent: 10, Since: time.Hour}},
		{"diff", func() (any, error) { return c.PolicyDiff(ctx, 3, 4) }, testValues, asksDiff{3, 4}},
		{"diff with what was before", func() (any, error) { return c.PolicyDiff(ctx, 0, control.PolicyInForce) }, testValues, asksDiff{0, -1}},
		{"controls", func() (any, error) { return c.Controls(ctx) }, testControls, "controls"},
		{"rollout", func() (any, error) { return c.Rollout(ctx) }, testSteps, "rollout"},
		{"bundles", func() (any, error) { return c.Bundle(ctx) }, testBundles, "bundles"},
		{"crypto", func() (any, error) { return c.Crypto(ctx) }, testCrypto, "crypto"},
		{"crypto check", func() (any, error) { return c.CheckCrypto(ctx) }, *testCrypto.Last, "crypto check"},
		{"alerts", func() (any, error) { return c.Alerts(ctx) }, testAlerts, "alerts"},
		{"alert test", func() (any, error) { return c.TestAlerts(ctx, "oncall") }, testAnswers, asksTest("oncall")},
		{"audit", func() (any, error) {
			return c.Audit(ctx, AuditBody{Only: []string{"keys", "host.root"}, Profile: "host"})
		}, testResult, askedAudit{"keys host.root", "host"}},
		{"audits", func() (any, error) { return c.Audits(ctx, 9, 2) }, []control.AuditInfo{testAudit}, asksAudits{9, 2}},
		{"audit diff", func() (any, error) { return c.AuditDiff(ctx, 3, 4) }, testDiff, asksAuditDiff{3, 4}},
		{"audit schedule", func() (any, error) { return c.AuditSchedule(ctx) }, control.AuditSchedule{Every: 6 * hour}, "audit schedule"},
		{"finding", func() (any, error) { return c.Finding(ctx, "a69e") }, testFinding, asksFinding("a69e")},
		{"exceptions", func() (any, error) { return c.Exceptions(ctx) }, testExceptions, "exceptions"},
		{"seal", func() (any, error) {
			return c.Seal(ctx, "a6", "aes-256-gcm", []byte("ctx\x00\xff"), strings.NewReader("text"))
		}, []byte("sealed:text"), control.SealRequest{Key: "a6", Suite: "aes-256-gcm", Plaintext: []byte("text"), Context: []byte("ctx\x00\xff")}},
		{"seal nothing", func() (any, error) { return c.Seal(ctx, "", "", nil, strings.NewReader("")) }, []byte("sealed:"), control.SealRequest{Plaintext: []byte{}, Context: []byte{}}},
		{"open", func() (any, error) { return c.Open(ctx, []byte("ctx"), strings.NewReader("sealed:text")) }, []byte("text"), control.OpenRequest{Sealed: []byte("sealed:text"), Context: []byte("ctx")}},
		{"report", func() (any, error) {
			var b bytes.Buffer
			err := c.Report(ctx, "usage", ReportBody{Format: "csv"}, false, &b)
			return b.String(), err
		}, "# Report\n", control.ReportQuery{Kind: "usage", Format: "csv"}},
		{"sealed report", func() (any, error) {
			var b bytes.Buffer
			err := c.Report(ctx, "compliance", ReportBody{Profile: "host", Until: time.Unix(9, 0).UTC()}, true, &b)
			return b.String(), err
		}, "# Sealed report\n", control.ReportQuery{Kind: "compliance", Profile: "host", Until: time.Unix(9, 0).UTC()}},
		{"export", func() (any, error) { var b bytes.Buffer; err := c.AuditExport(ctx, &b); return b.String(), err }, "row 1\nrow 2\n", "export"},
		{"backup", func() (any, error) {
			var b bytes.Buffer
			err := c.Backup(ctx, control.BackupTarget{Recipients: []string{"age1"}, Passphrase: "p"}, &b)
			return b.String(), err
		}, "row 1\nrow 2\n", control.BackupTarget{Recipients: []string{"age1"}, Passphrase: "p"}},
	}
	for _, r := range reads {
		got, err := r.call()
		if err != nil || !reflect.DeepEqual(got, r.want) || !reflect.DeepEqual(plane.last(), r.asks) {
			t.Errorf("%s: %#v, %v, asked %#v", r.name, got, err, plane.last())
		}
	}
	leaks, after, err := c.Leaks(ctx, control.LeakFilter{After: 9, Limit: 3})
	if err != nil || after != 7 || len(leaks) != 1 || plane.last() != (control.LeakFilter{After: 9, Limit: 3}) {
		t.Errorf("leaks: %v %d %v", leaks, after, err)
	}
	incidents, after, err := c.Incidents(ctx, control.IncidentFilter{State: "open", After: 9, Limit: 3})
	if err != nil || after != 7 || len(incidents) != 1 || plane.last() != (control.IncidentFilter{State: "open", After: 9, Limit: 3}) {
		t.Errorf("incidents: %v %d %v", incidents, after, err)
	}
	users, next, err := c.Users(ctx, control.UserFilter{After: "bo", Limit: 3, State: "ok", Source: "admin"})
	if err != nil || next != "nadia" || len(users) != 1 || !reflect.DeepEqual(users[0], plane.user) || plane.last() != (control.UserFilter{After: "bo", Limit: 3, State: "ok", Source: "admin"}) {
		t.Errorf("users: %v %q %v", users, next, err)
	}
	list, next, err := c.Keys(ctx, control.KeyFilter{User: "nadia", State: "active", Purpose: "user", After: "nadia/0000000001", Limit: 1000})
	if err != nil || next != "nadia" || len(list) != 1 || plane.last() != (control.KeyFilter{User: "nadia", State: "active", Purpose: "user", After: "nadia/0000000001", Limit: 1000}) {
		t.Errorf("keys: %v %q %v", list, next, err)
	}

	rules, next, err := c.Rules(ctx, control.RuleFilter{After: "r0", Limit: 3, Level: "none", Source: "operator"})
	if err != nil || next != "nadia" || len(rules) != 1 || !reflect.DeepEqual(rules[0], plane.rule) || plane.last() != (control.RuleFilter{After: "r0", Limit: 3, Level: "none", Source: "operator"}) {
		t.Errorf("rules: %v %q %v", rules, next, err)
	}

	filter := control.FindingFilter{State: "open", Check: "keys", Least: "high", All: true, After: "3", Limit: 3}
	findings, next, err := c.Findings(ctx, filter)
	if err != nil || next != "nadia" || len(findings) != 1 || !reflect.DeepEqual(findings[0], testFinding) || plane.last() != filter {
		t.Errorf("findings: %v %q %v", findings, next, err)
	}
	if blocked, err := c.Blocked(ctx, "t"); err != nil || !blocked.Unchanged || plane.last() != "blocked t" {
		t.Errorf("blocked: %+v %v", blocked, err)
	}

	changes := []struct {
		name string
		call func(o ChangeOptions) (control.Result, error)
		want control.Change
	}{
		{"add", func(o ChangeOptions) (control.Result, error) {
			return c.AddUser(ctx, UserBody{Name: "nadia", Level: new(access.None), Expires: &expires, Quota: &control.Quota{Bytes: 5, Per: "day"}, MaxConnections: 3, MaxAddresses: 2, Domain: "a.example", Note: "n", Secret: "dd4aa64c177c5cd517d10a3ccc87024392"}, o)
		}, control.AddUser{Name: "nadia", Level: access.None, Expires: expires, Quota: control.Quota{Bytes: 5, Per: "day"}, MaxConnections: 3, MaxAddresses: 2, Domain: "a.example", Note: "n", Import: secret}},
		{"set", func(o ChangeOptions) (control.Result, error) {
			return c.SetUser(ctx, "nadia", UserPatch{Level: new(access.None), Disabled: new(false), Expires: new(Expiry(expires)), Quota: &control.Quota{}, MaxConnections: new(0), MaxAddresses: new(0), Domain: new(""), Note: new("")}, o)
		}, control.SetUser{Name: "nadia", Level: new(access.None), Disabled: new(false), Expires: &expires, Quota: &control.Quota{}, MaxConnections: new(0), MaxAddresses: new(0), Domain: new(""), Note: new("")}},
		{"set to never", func(o ChangeOptions) (control.Result, error) {
			return c.SetUser(ctx, "nadia", UserPatch{Expires: new(Expiry{})}, o)
		}, control.SetUser{Name: "nadia", Expires: new(time.Time{})}},
		{"audit schedule", func(o ChangeOptions) (control.Result, error) {
			return c.SetAuditSchedule(ctx, AuditScheduleBody{Every: 6 * hour}, o)
		}, control.SetAuditSchedule{Every: 6 * hour}},
		{"ack", func(o ChangeOptions) (control.Result, error) {
			return c.AckFinding(ctx, "a69e", SayBody{Until: expires}, o)
		}, control.AckFinding{ID: "a69e", Until: expires}},
		{"accept", func(o ChangeOptions) (control.Result, error) {
			return c.AcceptFinding(ctx, "a69e", SayBody{Until: expires}, o)
		}, control.AcceptFinding{ID: "a69e", Until: expires}},
		{"remove", func(o ChangeOptions) (control.Result, error) { return c.RemoveUser(ctx, "nadia", o) }, control.RemoveUser{Name: "nadia"}},
		{"links", func(o ChangeOptions) (control.Result, error) { return c.Links(ctx, "nadia", o) }, control.RevealLinks{User: "nadia"}},
		{"all links", func(o ChangeOptions) (control.Result, error) { return c.Links(ctx, "", o) }, control.RevealLinks{}},
		{"open page", func(o ChangeOptions) (control.Result, error) { return c.Page(ctx, "nadia", "open", o) }, control.OpenPage{User: "nadia"}},
		{"close page", func(o ChangeOptions) (control.Result, error) { return c.Page(ctx, "nadia", "close", o) }, control.ClosePage{User: "nadia"}},
		{"renew page", func(o ChangeOptions) (control.Result, error) { return c.Page(ctx, "nadia", "renew", o) }, control.RenewPage{User: "nadia"}},
		{"revoke", func(o ChangeOptions) (control.Result, error) {
			return c.RevokeKey(ctx, "a69e7b2f47a107eb", RevokeBody{Replace: true}, o)
		}, control.RevokeKey{ID: "a69e7b2f47a107eb", Replace: true}},
		{"schedule", func(o ChangeOptions) (control.Result, error) { return c.SetSchedule(ctx, testSchedule, o) }, control.SetSchedule{Schedule: testSchedule}},
		{"add rule", func(o ChangeOptions) (control.Result, error) {
			return c.AddRule(ctx, RuleBody{Match: "203.0.113.*", Level: access.None, From: &expires, Until: &expires, Schedule: "mon-fri 08:00-18:00", Pinned: true}, o)
		}, control.AddRule{Match: "203.0.113.*", From: expires, Until: expires, Schedule: "mon-fri 08:00-18:00", Pinned: true}},
		{"remove rule", func(o ChangeOptions) (control.Result, error) { return c.RemoveRule(ctx, "r1", o) }, control.RemoveRule{ID: "r1"}},
		{"confirm rule", func(o ChangeOptions) (control.Result, error) { return c.ConfirmRule(ctx, "r1", o) }, control.ConfirmRule{ID: "r1"}},
		{"split", func(o ChangeOptions) (control.Result, error) {
			return c.SplitLeak(ctx, "family", SplitBody{Count: 3, Now: true}, o)
		}, control.SplitLeak{User: "family", Count: 3, Now: true}},
		{"incident", func(o ChangeOptions) (control.Result, error) {
			return c.MoveIncident(ctx, "i1", control.IncidentContained, IncidentBody{For: new(hour)}, o)
		}, control.MoveIncident{ID: "i1", To: "contained", For: hour}},
		{"block", func(o ChangeOptions) (control.Result, error) {
			return c.Block(ctx, BlockBody{Target: "2001:db8::/32", For: new(hour)}, o)
		}, control.Block{Target: "2001:db8::/32", For: hour}},
		{"block as usual", func(o ChangeOptions) (control.Result, error) {
			return c.Block(ctx, BlockBody{Target: "sni:*.example.com"}, o)
		}, control.Block{Target: "sni:*.example.com"}},
		{"unblock", func(o ChangeOptions) (control.Result, error) { return c.Unblock(ctx, "2001:db8::/32", o) }, control.Unblock{Target: "2001:db8::/32"}},
		{"set list", func(o ChangeOptions) (control.Result, error) {
			return c.SetList(ctx, "drop", ListBody{Origin: "https://lists.example/drop", Level: access.ReadOnly, Every: new(hour), Wide: true}, o)
		}, control.SetList{Name: "drop", Origin: "https://lists.example/drop", Level: access.ReadOnly, Every: hour, Wide: true}},
		{"remove list", func(o ChangeOptions) (control.Result, error) { return c.RemoveList(ctx, "drop", o) }, control.RemoveList{Name: "drop"}},
		{"reload list", func(o ChangeOptions) (control.Result, error) { return c.ReloadList(ctx, "drop", o) }, control.ReloadList{Name: "drop"}},
		{"set policy", func(o ChangeOptions) (control.Result, error) { return c.SetPolicy(ctx, PolicyBody{long}, o) }, control.SetPolicy{Document: long}},
		{"roll back", func(o ChangeOptions) (control.Result, error) { return c.RollBackPolicy(ctx, RollBackBody{0}, o) }, control.RollbackPolicy{}},
		{"set control", func(o ChangeOptions) (control.Result, error) {
			return c.SetControl(ctx, "rate.accept", ModeBody{"enforce", 10}, o)
		}, control.SetMode{Control: "rate.accept", Mode: "enforce", Percent: 10}},
		{"advance", func(o ChangeOptions) (control.Result, error) { return c.AdvanceControl(ctx, "rate.accept", o) }, control.RolloutNext{Control: "rate.accept"}},
		{"step back", func(o ChangeOptions) (control.Result, error) { return c.StepControlBack(ctx, "rate.accept", o) }, control.RolloutBack{Control: "rate.accept"}},
		{"add exception", func(o ChangeOptions) (control.Result, error) {
			return c.AddException(ctx, ExceptionBody{Controls: []string{"rate.accept", "conns.addr"}, Prefix: "203.0.113.0/24", User: "nadia", Country: "DE", Until: expires}, o)
		}, control.AddException{Controls: []string{"rate.accept", "conns.addr"}, Prefix: "203.0.113.0/24", User: "nadia", Country: "DE", Until: expires}},
		{"silence", func(o ChangeOptions) (control.Result, error) {
			return c.SilenceAlerts(ctx, SilenceBody{Code: "disk.full", For: hour}, o)
		}, control.SilenceAlerts{Code: "disk.full", For: hour}},
		{"end silence", func(o ChangeOptions) (control.Result, error) { return c.EndSilence(ctx, "s-1", o) }, control.EndSilence{ID: "s-1"}},
		{"remove exception", func(o ChangeOptions) (control.Result, error) { return c.RemoveException(ctx, "e1", o) }, control.RemoveException{ID: "e1"}},
		{"set bundles", func(o ChangeOptions) (control.Result, error) {
			return c.SetBundles(ctx, BundlesBody{Origin: "/srv/bundle", Key: "p+1+a", Every: new(2 * hour)}, o)
		}, control.SetBundles{Origin: "/srv/bundle", Key: "p+1+a", Every: 2 * time.Hour}},
		{"stop bundles", func(o ChangeOptions) (control.Result, error) { return c.StopBundles(ctx, o) }, control.StopBundles{}},
		{"approve bundle", func(o ChangeOptions) (control.Result, error) { return c.ApproveBundle(ctx, ApproveBody{5}, o) }, control.ApproveBundle{Number: 5}},
		{"take bulletin", func(o ChangeOptions) (control.Result, error) { return c.TakeBulletin(ctx, BulletinBody{"signed"}, o) }, control.TakeBulletin{Signed: "signed"}},
		{"drop bulletin", func(o ChangeOptions) (control.Result, error) { return c.DropBulletin(ctx, o) }, control.DropBulletin{}},
		{"break glass", func(o ChangeOptions) (control.Result, error) { return c.BreakGlass(ctx, GlassBody{new(hour)}, o) }, control.BreakGlass{For: hour}},
		{"break glass as usual", func(o ChangeOptions) (control.Result, error) { return c.BreakGlass(ctx, GlassBody{}, o) }, control.BreakGlass{}},
		{"end glass", func(o ChangeOptions) (control.Result, error) { return c.EndGlass(ctx, o) }, control.EndGlass{}},
		{"rotate one", func(o ChangeOptions) (control.Result, error) {
			return c.RotateKeys(ctx, RotateBody{User: "nadia", Overlap: new(control.Duration(0)), At: &expires}, o)
		}, control.RotateKeys{User: "nadia", Overlap: new(control.Duration(0)), At: expires}},
		{"rotate all", func(o ChangeOptions) (control.Result, error) {
			return c.RotateKeys(ctx, RotateBody{Purpose: "user", All: true, Window: new(24 * hour)}, o)
		}, control.RotateKeys{All: true, Window: 24 * hour}},
		{"rotate what seals", func(o ChangeOptions) (control.Result, error) {
			return c.RotateKeys(ctx, RotateBody{Purpose: "seal", Suite: "aes-256-gcm"}, o)
		}, control.RotateSealKey{Suite: 1}},
		{"rotate the store's", func(o ChangeOptions) (control.Result, error) {
			return c.RotateKeys(ctx, RotateBody{Purpose: "store"}, o)
		}, control.RotateStoreKey{}},
		{"rotate the master", func(o ChangeOptions) (control.Result, error) {
			return c.RotateKeys(ctx, RotateBody{Purpose: "master", File: "/new.key"}, o)
		}, control.RotateMasterKey{File: "/new.key"}},
	}
	for _, change := range changes {
		for _, c := range []struct {
			o    ChangeOptions
			with control.Options
		}{{o, with}, {ChangeOptions{}, control.Options{}}} {
			got, err := change.call(c.o)
			if err != nil || !reflect.DeepEqual(got, plane.result) || !reflect.DeepEqual(plane.last(), change.want) || plane.with != c.with {
				t.Errorf("%s: %+v, %v, asked %#v with %+v", change.name, got, err, plane.last(), plane.with)
			}
			if by := plane.by; by.Level != access.Superuser || !strings.HasPrefix(by.Name, "uid ") || by.From != c.o.From {
				t.Errorf("%s: by %v", change.name, by)
			}
		}
	}
}

// TestARotationSaysOneThing: what does not belong together is refused, not left out.
func TestARotationSaysOneThing(t *testing.T) {
	plane := &fakePlane{}
	h := NewAPI(plane, quiet(t)).Handler()
	for _, body := range []string{
		`{}`, `{"purpose":"user"}`, `{"user":"a","all":true}`, `{"user":"a","window":"1d"}`, `{"user":"a","suite":"aes-256-gcm"}`,
		`{"all":true,"file":"/x"}`, `{"purpose":"seal","user":"a"}`, `{"purpose":"seal","all":true}`, `{"purpose":"store","overlap":"1d"}`,
		`{"purpose":"master","at":"2027-01-02T03:04:05Z"}`, `{"purpose":"store","suite":"aes-256-gcm"}`, `{"purpose":"seal","file":"/x"}`,
		`{"purpose":"seal","suite":"rot13"}`, `{"purpose":"other"}`, `{"user":"a","overlap":"-1d"}`, `{"user":"a","overlap":"9999999w"}`, `{"user":"a","at":"noon"}`,
	} {
		if w := request(h, root, "POST", "/keys/rotate", body); w.Code != 422 || plane.asked != nil {
			t.Errorf("%s: %d, asked %v", body, w.Code, plane.asked)
		}
	}
}

func TestListsGoOnWhereTheyEnded(t *testing.T) {
	plane := &fakePlane{rows: []control.AuditRow{{Seq: 7}, {Seq: 8}}, events: []control.KeyEvent{{Cursor: 9}, {Cursor: 4}}}
	h := NewAPI(plane, quiet(t)).Handler()
	for target, want := range map[string]string{
		"/auditlog?limit=2": `"next_cursor":"7"`, "/keys/history?limit=2": `"next_cursor":"4"`,
		"/keys/history?limit=3": `{"items":[{`, "/users": `{"items":[{`,
	} {
		body := request(h, root, "GET", target, "").Body.String()
		if !strings.Contains(body, want) || strings.HasPrefix(want, "{") && strings.Contains(body, "next_cursor") {
			t.Errorf("%s: %s, want %s", target, body, want)
		}
	}
	plane.rows, plane.events = []control.AuditRow{{Seq: 1}, {Seq: 2}}, nil
	for target, want := range map[string]string{"/auditlog?limit=2": "}]}\n", "/keys/history": `{"items":[]}` + "\n"} {
		if body := request(h, root, "GET", target, "").Body.String(); !strings.HasSuffix(body, want) {
			t.Errorf("at the end %s: %s", target, body)
		}
	}
}

func TestTheClientTellsRefusals(t *testing.T) {
	plane := &fakePlane{}
	c := client(t, serve(t, NewAPI(plane, quiet(t)).Handler(), quiet(t)))
	ctx := context.Background()
	for kind := control.Invalid; kind <= control.Unavailable; kind++ {
		want := &control.Error{Kind: kind, Text: "so it is", Fix: "do that", Field: "name"}
		plane.err = want
		calls := map[string]func() error{
			"read":   func() error { _, err := c.Status(ctx); return err },
			"change": func() error { _, err := c.RemoveUser(ctx, "nadia", ChangeOptions{}); return err },
			"blob":   func() error { _, err := c.Seal(ctx, "", "", nil, strings.NewReader("x")); return err },
			"backup": func() error { return c.Backup(ctx, control.BackupTarget{}, io.Discard) },
			"export": func() error { return c.AuditExport(ctx, io.Discard) },
		}
		for name, call := range calls {
			var got *control.Error
			if err := call(); !errors.As(err, &got) || *got != *want {
				t.Errorf("%s: %#v, want %#v", name, err, want)
			}
		}
	}
	plane.err, plane.asked = nil, nil
	for name, err := range map[string]error{
		"no name": second(c.RemoveUser(ctx, "", ChangeOptions{})), "no segment": second(c.RemoveUser(ctx, "..", ChangeOptions{})),
		"no id": second(c.RevokeKey(ctx, ".", RevokeBody{}, ChangeOptions{})), "no user": second(c.User(ctx, "")), "no key": second(c.Key(ctx, "")),
		"no rule": second(c.Rule(ctx, "")), "no rule to take out": second(c.RemoveRule(ctx, "..", ChangeOptions{})), "no list": second(c.List(ctx, ".")),
		"no list to read": second(c.ReloadList(ctx, "", ChangeOptions{})), "no control": second(c.SetControl(ctx, "", ModeBody{}, ChangeOptions{})),
		"no page": second(c.Page(ctx, "", "open", ChangeOptions{})),
	} {
		var refused *control.Error
		if !errors.As(err, &refused) || refused.Kind != control.Invalid || plane.asked != nil {
			t.Errorf("%s: %v, asked %v", name, err, plane.asked)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestAStreamThatBreaksIsNoWholeOne: after the first byte an error cannot be told,
// but it must not look like the end.
func TestAStreamThatBreaksIsNoWholeOne(t *testing.T) {
	plane := &fakePlane{written: bytes.Repeat([]byte("x"), 1<<20), err: &control.Error{Kind: control.Unavailable, Text: "disk full"}}
	c := client(t, serve(t, NewAPI(plane, quiet(t)).Handler(), quiet(t)))
	for name, call := range map[string]func(io.Writer) error{
		"backup": func(w io.Writer) error { return c.Backup(context.Background(), control.BackupTarget{}, w) },
		"export": func(w io.Writer) error { return c.AuditExport(context.Background(), w) },
	} {
		var b bytes.Buffer
		if err := call(&b); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("%s: %v with %d bytes", name, err, b.Len())
		}
	}
	crashing := client(t, serve(t, NewAPI(panicPlane{plane, "x"}, slog.New(slog.DiscardHandler)).Handler(), quiet(t)))
	if err := crashing.AuditExport(context.Background(), io.Discard); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("a panic: %v", err)
	}
	full := errors.New("no space left")
	plane.err = nil
	if err := c.AuditExport(context.Background(), failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
	if _, err := c.Seal(context.Background(), "", "", nil, iotest.ErrReader(full)); !errors.Is(err, full) {
		t.Errorf("a reader that fails: %v", err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

func TestNobodyAnswers(t *testing.T) {
	dir := shortDir(t)
	file, stale := filepath.Join(dir, "file"), filepath.Join(dir, "stale")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	leaveStale(t, stale)
	for name, c := range map[string]struct{ path, why string }{
		"no socket":       {filepath.Join(dir, "none"), "no such socket"},
		"nobody listens":  {stale, "nobody listens"},
		"no socket at it": {file, "nobody listens"},
		"a long path":     {"/" + strings.Repeat("x", 200), "at most 107"},
	} {
		_, err := NewClient(c.path, time.Minute).Status(context.Background())
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || !strings.Contains(unreachable.Why, c.why) || unreachable.Error() != "the node is not answering on "+c.path || unreachable.Err == nil {
			t.Errorf("%s: %#v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewClient(stale, time.Minute).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

// TestAClientWaitsNoLongerThanItsTimeout, and says so.
func TestAClientWaitsNoLongerThanItsTimeout(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(shortDir(t), "s")) // accepts by backlog, answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = NewClient(l.Addr().String(), 20*time.Millisecond).Status(context.Background())
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(unreachable.Why, "no answer in time") {
		t.Errorf("%#v", err)
	}
}

// TestSomethingElseAnswers: a wrong --server must not look like success.
func TestSomethingElseAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"other JSON error": "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"a page":           "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
		"a redirect":       "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
		"no HTTP":          "SSH-2.0-OpenSSH\r\n",
		"nothing":          "",
	} {
		l, err := net.Listen("unix", filepath.Join(shortDir(t), "s"))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			io.WriteString(c, answer)
			c.Close()
		}()
		c := NewClient(l.Addr().String(), time.Minute)
		if status, err := c.Status(context.Background()); err == nil {
			t.Errorf("%s: %+v", name, status)
		}
		c.Close()
		l.Close()
		<-done
	}
}

func TestExpiryIsATimeOrNever(t *testing.T) {
	for text, want := range map[string]string{
		"never": "never", "2027-01-02T03:04:05Z": "2027-01-02T03:04:05Z", "2027-01-02T03:04:05+02:00": "2027-01-02T01:04:05Z",
		"": "", "Never": "", "2027-01-02": "", "0001-01-01T00:00:00Z": "", "tomorrow": "",
	} {
		var e Expiry
		err := e.UnmarshalText([]byte(text))
		if (err == nil) != (want != "") || err == nil && e.String() != want {
			t.Errorf("%q: %v, %v", text, e, err)
		}
	}
}
