package admin

import (
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/security/access"
	"mtguard/telemetry/history"
	"mtguard/telemetry/live"
)

// samples is one good request of every operation, with the level it takes and what
// the plane is asked then.
var samples = []struct {
	id     string
	least  access.Level
	target string
	body   string
	asked  any
}{
	{"get-status", access.ReadOnly, "/status", "", "status"},
	{"list-users", access.ReadOnly, "/users?limit=3&cursor=bo&state=ok&source=admin", "", control.UserFilter{After: "bo", Limit: 3, State: "ok", Source: "admin"}},
	{"add-user", access.Admin, "/users", `{"name":"nadia"}`, control.AddUser{Name: "nadia", Level: access.Standard}},
	{"get-user", access.ReadOnly, "/users/nadia", "", "nadia"},
	{"set-user", access.Admin, "/users/nadia", `{"disabled":true}`, control.SetUser{Name: "nadia", Disabled: new(true)}},
	{"remove-user", access.Admin, "/users/nadia", "", control.RemoveUser{Name: "nadia"}},
	{"reveal-links", access.Admin, "/users/nadia/links", "", control.RevealLinks{User: "nadia"}},
	{"open-page", access.Admin, "/users/nadia/page", "", control.OpenPage{User: "nadia"}},
	{"renew-page", access.Admin, "/users/nadia/page", "", control.RenewPage{User: "nadia"}},
	{"close-page", access.Admin, "/users/nadia/page", "", control.ClosePage{User: "nadia"}},
	{"split-leak", access.Admin, "/users/family/split", `{"holders":["anna","ben"],"overlap":"1h","incident":"i1"}`,
		control.SplitLeak{User: "family", Holders: []string{"anna", "ben"}, Overlap: new(hour), Incident: "i1"}},
	{"get-leak", access.ReadOnly, "/users/anna/leaks", "", "anna"},
	{"list-leaks", access.ReadOnly, "/leaks?limit=3&cursor=9", "", control.LeakFilter{After: 9, Limit: 3}},
	{"reveal-all-links", access.Admin, "/links", "", control.RevealLinks{}},
	{"draw-qr", access.ReadOnly, "/qr", `{"text":"tg://proxy?server=a.example"}`, nil},
	{"list-keys", access.ReadOnly, "/keys?user=nadia&state=active&purpose=user", "", control.KeyFilter{User: "nadia", State: "active", Purpose: "user", Limit: 50}},
	{"get-key", access.ReadOnly, "/keys/a69e7b2f", "", "a69e7b2f"},
	{"revoke-key", access.Admin, "/keys/a69e7b2f47a107eb/revoke", `{"replace":true}`, control.RevokeKey{ID: "a69e7b2f47a107eb", Replace: true}},
	{"rotate-keys", access.Admin, "/keys/rotate", `{"user":"nadia","overlap":"2d"}`, control.RotateKeys{User: "nadia", Overlap: new(48 * hour)}},
	{"list-key-events", access.ReadOnly, "/keys/history?key=a6&user=nadia&cursor=9", "", control.HistoryFilter{Key: "a6", User: "nadia", Before: 9, Limit: 50}},
	{"get-schedule", access.ReadOnly, "/keys/schedule", "", "schedule"},
	{"set-schedule", access.Admin, "/keys/schedule", `{"every":"30d","overlap":"7d","window":"1d","announce":"3h","idle":"2h","tripwire":"1h"}`, control.SetSchedule{Schedule: testSchedule}},
	{"list-rules", access.ReadOnly, "/access-rules?limit=3&cursor=r1&level=none&source=operator", "", control.RuleFilter{After: "r1", Limit: 3, Level: "none", Source: "operator"}},
	{"add-rule", access.Admin, "/access-rules", `{"match":"203.0.113.0/24","level":"read_only","pinned":true}`, control.AddRule{Match: "203.0.113.0/24", Level: access.ReadOnly, Pinned: true}},
	{"get-rule", access.ReadOnly, "/access-rules/r1", "", "r1"},
	{"remove-rule", access.Admin, "/access-rules/r1", "", control.RemoveRule{ID: "r1"}},
	{"confirm-rule", access.Admin, "/access-rules/r1/confirm", "", control.ConfirmRule{ID: "r1"}},
	{"check-access", access.ReadOnly, "/access/check?addr=203.0.113.7&user=nadia&server_name=a.example&ja4=t13d", "", control.CheckQuery{Addr: "203.0.113.7", User: "nadia", ServerName: "a.example", JA4: "t13d"}},
	{"check-limits", access.ReadOnly, "/limits/check?addr=203.0.113.7&user=nadia", "", control.LimitQuery{Addr: "203.0.113.7", User: "nadia"}},
	{"list-blocked", access.ReadOnly, "/blocks?known=t", "", "blocked t"},
	{"block", access.Admin, "/blocks", `{"target":"203.0.113.7","for":"1h"}`, control.Block{Target: "203.0.113.7", For: hour}},
	{"unblock", access.Admin, "/blocks?target=203.0.113.0%2F24", "", control.Unblock{Target: "203.0.113.0/24"}},
	{"list-lists", access.ReadOnly, "/lists", "", "lists"},
	{"get-list", access.ReadOnly, "/lists/drop", "", "lists"},
	{"set-list", access.Admin, "/lists/drop", `{"origin":"/etc/drop.netset","level":"none","every":"6h","wide":true}`, control.SetList{Name: "drop", Origin: "/etc/drop.netset", Every: 6 * hour, Wide: true}},
	{"remove-list", access.Admin, "/lists/drop", "", control.RemoveList{Name: "drop"}},
	{"reload-list", access.Admin, "/lists/drop/reload", "", control.ReloadList{Name: "drop"}},
	{"get-threat", access.ReadOnly, "/threat", "", "threat"},
	{"list-threat-findings", access.ReadOnly, "/threat/findings?limit=7", "", 7},
	{"list-incidents", access.ReadOnly, "/incidents?limit=3&cursor=9&state=open", "", control.IncidentFilter{State: "open", After: 9, Limit: 3}},
	{"get-incident", access.ReadOnly, "/incidents/i1", "", "i1"},
	{"move-incident", access.Admin, "/incidents/i1/contained", `{"for":"1h"}`, control.MoveIncident{ID: "i1", To: "contained", For: hour}},
	{"get-stats", access.ReadOnly, "/stats?name=relay_%2A", "", asksStats("relay_*")},
	{"get-series", access.ReadOnly, "/stats/series?name=accepted,refused:%2A&from=2026-09-21T14:13:20Z&to=2026-09-21T15:13:20Z&step=120", "", history.Query{Names: []string{"accepted", "refused:*"}, From: time.Unix(1_790_000_000, 0).UTC(), To: time.Unix(1_790_003_600, 0).UTC(), Step: 2 * time.Minute}},
	{"get-policy", access.ReadOnly, "/policy?revision=4", "", asksPolicy(4)},
	{"set-policy", access.Superuser, "/policy", `{"document":"schema = 1\n"}`, control.SetPolicy{Document: "schema = 1\n"}},
	{"list-policies", access.ReadOnly, "/policy/history?limit=2&cursor=9", "", asksHistory{9, 2}},
	{"explain-policy", access.ReadOnly, "/policy/explain", "", asksExplain("")},
	{"explain-document", access.ReadOnly, "/policy/explain", `{"document":"schema = 1\n"}`, asksExplain("schema = 1\n")},
	{"preview-policy", access.ReadOnly, "/policy/preview", `{"control":"rate.accept","mode":"enforce","percent":10,"since":"2h"}`, control.PreviewQuery{Control: "rate.accept", Mode: "enforce", Percent: 10, Since: 2 * time.Hour}},
	{"diff-policies", access.ReadOnly, "/policy/diff?from=3&to=4", "", asksDiff{3, 4}},
	{"roll-back-policy", access.Superuser, "/policy/rollback", `{"revision":3}`, control.RollbackPolicy{Revision: 3}},
	{"list-controls", access.ReadOnly, "/policy/controls", "", "controls"},
	{"set-control", access.Admin, "/policy/controls/rate.accept", `{"mode":"enforce","percent":10}`, control.SetMode{Control: "rate.accept", Mode: "enforce", Percent: 10}},
	{"get-rollout", access.ReadOnly, "/rollout", "", "rollout"},
	{"advance-control", access.Superuser, "/rollout/rate.accept/next", "", control.RolloutNext{Control: "rate.accept"}},
	{"step-control-back", access.Admin, "/rollout/rate.accept/back", "", control.RolloutBack{Control: "rate.accept"}},
	{"list-trials", access.ReadOnly, "/policy/trials", "", "trials"},
	{"keep-trial", access.Superuser, "/policy/trials/7/keep", "", control.KeepTrial{Revision: 7}},
	{"end-trial", access.Admin, "/policy/trials/7", "", control.EndTrial{Revision: 7}},
	{"list-exceptions", access.ReadOnly, "/policy/exceptions", "", "exceptions"},
	{"add-exception", access.Admin, "/policy/exceptions", `{"controls":["rate.accept"],"user":"nadia","until":"2027-01-02T03:04:05Z"}`, control.AddException{Controls: []string{"rate.accept"}, User: "nadia", Until: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)}},
	{"remove-exception", access.Admin, "/policy/exceptions/e1", "", control.RemoveException{ID: "e1"}},
	{"get-bundles", access.ReadOnly, "/policy/bundles", "", "bundles"},
	{"set-bundles", access.Superuser, "/policy/bundles", `{"origin":"https://policy.example/bundle","key":"p+1+a","every":"2h"}`, control.SetBundles{Origin: "https://policy.example/bundle", Key: "p+1+a", Every: 2 * time.Hour}},
	{"stop-bundles", access.Admin, "/policy/bundles", "", control.StopBundles{}},
	{"approve-bundle", access.Superuser, "/policy/bundles/approve", `{"number":5}`, control.ApproveBundle{Number: 5}},
	{"break-glass", access.Superuser, "/policy/break-glass", `{"for":"1h"}`, control.BreakGlass{For: hour}},
	{"end-break-glass", access.Admin, "/policy/break-glass", "", control.EndGlass{}},
	{"get-crypto", access.ReadOnly, "/crypto", "", "crypto"},
	{"check-crypto", access.Admin, "/crypto/check", "", "crypto check"},
	{"take-bulletin", access.Superuser, "/crypto/bulletin", `{"signed":"x"}`, control.TakeBulletin{Signed: "x"}},
	{"drop-bulletin", access.Superuser, "/crypto/bulletin", "", control.DropBulletin{}},
	{"get-alerts", access.ReadOnly, "/alerts", "", "alerts"},
	{"test-alerts", access.Admin, "/alerts/test?receiver=oncall", "", asksTest("oncall")},
	{"silence-alerts", access.Admin, "/alerts/silences", `{"code":"disk.full","for":"1h"}`, control.SilenceAlerts{Code: "disk.full", For: hour}},
	{"end-silence", access.Admin, "/alerts/silences/s-1", "", control.EndSilence{ID: "s-1"}},
	{"watch-events", access.ReadOnly, "/events?kind=block,key&since=2027-01-02T03:04:05Z&follow=false", "", live.Query{Kinds: []live.Kind{live.Block, live.Key}, Since: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC), Past: true}},
	{"seal", access.Admin, "/seal?key=a6&suite=aes-256-gcm", "x", control.SealRequest{Key: "a6", Suite: "aes-256-gcm", Plaintext: []byte("x"), Context: []byte{}}},
	{"open", access.Admin, "/open", "x", control.OpenRequest{Sealed: []byte("x"), Context: []byte{}}},
	{"create-backup", access.Superuser, "/backups", `{"recipients":["age1x"]}`, control.BackupTarget{Recipients: []string{"age1x"}}},
	{"run-audit", access.Admin, "/audits", `{"only":["keys"],"profile":"host"}`, askedAudit{"keys", "host"}},
	{"list-audits", access.ReadOnly, "/audits?limit=2&cursor=9", "", asksAudits{9, 2}},
	{"diff-audits", access.ReadOnly, "/audits/diff?from=3&to=4", "", asksAuditDiff{3, 4}},
	{"get-audit-schedule", access.ReadOnly, "/audits/schedule", "", "audit schedule"},
	{"set-audit-schedule", access.Admin, "/audits/schedule", `{"every":"6h"}`, control.SetAuditSchedule{Every: 6 * hour}},
	{"list-findings", access.ReadOnly, "/audits/findings?limit=3&cursor=3&state=open&check=keys&severity=high&all=true", "", control.FindingFilter{State: "open", Check: "keys", Least: "high", All: true, After: "3", Limit: 3}},
	{"get-finding", access.ReadOnly, "/audits/findings/a69e", "", asksFinding("a69e")},
	{"ack-finding", access.Admin, "/audits/findings/a69e/ack", `{"until":"2027-01-02T03:04:05Z"}`, control.AckFinding{ID: "a69e", Until: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)}},
	{"accept-finding", access.Superuser, "/audits/findings/a69e/accept", `{"until":"2027-01-02T03:04:05Z"}`, control.AcceptFinding{ID: "a69e", Until: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)}},
	{"list-tokens", access.ReadOnly, "/tokens", "", "tokens"},
	{"create-token", access.Superuser, "/tokens", `{"name":"ci","level":"admin","for":"30d","scopes":["users:read"],"from":["192.0.2.0/24"]}`, control.CreateToken{Name: "ci", Level: access.Admin, For: 30 * 24 * hour, Scopes: []string{"users:read"}, From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}},
	{"revoke-token", access.Admin, "/tokens/ci", "", control.RevokeToken{Token: "ci"}},
	{"list-sessions", access.ReadOnly, "/sessions", "", "sessions"},
	{"end-session", access.Admin, "/sessions/abc", "", control.EndSession{ID: "abc"}},
	{"end-sessions", access.Admin, "/sessions/end", `{"person":"nadia","from":"192.0.2.7/24"}`, control.EndSessions{Person: "nadia", From: netip.MustParsePrefix("192.0.2.0/24")}},
	{"list-clients", access.Admin, "/clients?limit=3&user=nadia&from=192.0.2.7/24", "", control.ClientFilter{User: "nadia", From: netip.MustParsePrefix("192.0.2.0/24"), Limit: 3}},
	{"end-clients", access.Admin, "/clients/end", `{"user":"nadia","from":"192.0.2.7/24"}`, control.EndClients{User: "nadia", From: netip.MustParsePrefix("192.0.2.0/24")}},
	{"make-code", access.Superuser, "/sign-in-codes", `{"person":"nadia","level":"admin"}`, control.MakeCode{Person: "nadia", Level: access.Admin}},
	{"list-passkeys", access.ReadOnly, "/passkeys", "", "passkeys"},
	{"remove-passkey", access.Superuser, "/passkeys/p1", "", control.RemovePasskey{ID: "p1"}},
	{"list-approvals", access.ReadOnly, "/approvals?limit=3&cursor=9", "", [2]int64{9, 3}},
	{"get-approval", access.ReadOnly, "/approvals/w1", "", "w1"},
	{"approve", access.Admin, "/approvals/w1/approve", "", asksApproval("w1")},
	{"refuse-approval", access.Admin, "/approvals/w1/refuse", "", control.RefuseApproval{ID: "w1"}},
	{"get-report", access.ReadOnly, "/reports/compliance?profile=asvs&since=2026-10-01T00:00:00Z&until=2026-11-01T00:00:00Z&format=html", "", control.ReportQuery{Kind: "compliance", Profile: "asvs", Since: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Format: "html"}},
	{"seal-report", access.ReadOnly, "/reports/usage", `{"format":"csv"}`, control.ReportQuery{Kind: "usage", Format: "csv"}},
	{"list-audit-rows", access.Admin, "/auditlog?limit=9&cursor=100", "", [2]int64{9, 100}},
	{"get-audit-key", access.ReadOnly, "/auditlog/key", "", "key"},
	{"export-audit-log", access.Admin, "/auditlog/export", "", "export"},
	{"verify-audit-log", access.ReadOnly, "/auditlog/verify", "", "verify"},
}

// TestEveryRouteTakesItsLevel is the permission matrix: every route with every
// level, and with nobody.
func TestEveryRouteTakesItsLevel(t *testing.T) {
	if len(samples) != len(routes) {
		t.Fatalf("%d samples of %d routes", len(samples), len(routes))
	}
	for i, sample := range samples {
		r := routes[i]
		if r.id != sample.id {
			t.Fatalf("sample %d is of %s, the route is %s", i, sample.id, r.id)
		}
		plane := &fakePlane{written: []byte("x")}
		h := NewAPI(plane, quiet(t)).Handler()
		for _, level := range access.Levels() {
			plane.asked = nil
			by := control.Actor{Name: "somebody", Level: level}
			w := request(h, by, r.method, sample.target, sample.body, "If-Match: *")
			if level >= sample.least {
				if w.Code != http.StatusOK || !reflect.DeepEqual(plane.last(), sample.asked) {
					t.Errorf("%s as %v: %d, asked %#v, want %#v\n%s", r.id, level, w.Code, plane.last(), sample.asked, w.Body)
				}
				if plane.by != by && plane.by != (control.Actor{}) {
					t.Errorf("%s: asked by %v", r.id, plane.by)
				}
			} else if w.Code != http.StatusForbidden || plane.asked != nil || !strings.Contains(w.Body.String(), "/problems/denied") {
				t.Errorf("%s as %v: %d, asked %v\n%s", r.id, level, w.Code, plane.asked, w.Body)
			}
		}
		plane.asked = nil
		if w := request(h, control.Actor{}, r.method, sample.target, sample.body, "If-Match: *"); w.Code != http.StatusForbidden || plane.asked != nil {
			t.Errorf("%s as nobody: %d, asked %v", r.id, w.Code, plane.asked)
		}
	}
}

func TestAHandlerWithoutARouteIsNotServed(t *testing.T) {
	s := newServer(nil, slog.New(slog.DiscardHandler))
	s.ready()
	defer func() {
		if recover() == nil {
			t.Error("it is served")
		}
	}()
	s.HandleFunc("GET /api/v1/secrets", func(http.ResponseWriter, *http.Request) {})
}

// noChanges are the operations that are sent like changes and are none of the node's: they go without the options of
// one. What is neither here nor a change is a mistake.
var noChanges = []string{
	"draw-qr", "explain-document", "preview-policy", "check-crypto", "test-alerts", "seal", "open", "create-backup", "run-audit", "approve",
	"seal-report", "verify-audit-log",
}

// TestOptionsOfAChangeArrive: every operation that changes something takes all of
// them, in the same way.
func TestOptionsOfAChangeArrive(t *testing.T) {
	want := control.Options{Reason: "он ушёл", IfRevision: 42, IdempotencyKey: "k-1", DryRun: true, Force: true}
	var none []string
	for i, sample := range samples {
		if _, ok := sample.asked.(control.Change); !ok {
			if routes[i].method != http.MethodGet {
				none = append(none, sample.id)
			}
			continue
		}
		plane := &fakePlane{result: control.Result{DryRun: true, User: &control.UserInfo{Name: "nadia", Revision: 43}}}
		h := NewAPI(plane, quiet(t)).Handler()
		w := request(h, root, routes[i].method, with(sample.target, "dry_run=true&force=true&reason=%D0%BE%D0%BD+%D1%83%D1%88%D1%91%D0%BB"), sample.body,
			`If-Match: "42"`, "Idempotency-Key: k-1", "Mtguard-From: ::ffff:192.0.2.1")
		if w.Code != http.StatusOK || plane.with != want || plane.by.From.String() != "192.0.2.1" || w.Header().Get("ETag") != `"43"` {
			t.Errorf("%s: %d, %+v, ETag %s\n%s", sample.id, w.Code, plane.with, w.Header().Get("ETag"), w.Body)
		}
		for name, header := range map[string]string{
			"no revision": "If-Match: 42", "no number": `If-Match: "x"`, "a weak one": `If-Match: W/"42"`, "none of ours": `If-Match: "0"`,
			"a list": `If-Match: "1", "2"`, "a long key": "Idempotency-Key: " + strings.Repeat("k", 129), "a key with a space": "Idempotency-Key: a b",
			"a place that is none": "Mtguard-From: home", "two places": "Mtguard-From: ::1, ::2",
		} {
			plane.asked = nil
			if w := request(h, root, routes[i].method, sample.target, sample.body, "If-Match: *", header); w.Code/100 != 4 || plane.asked != nil {
				t.Errorf("%s with %s: %d, asked %v", sample.id, name, w.Code, plane.asked)
			}
		}
	}
	if !slices.Equal(none, noChanges) {
		t.Errorf("sent like changes, but none of them: %q, want %q", none, noChanges)
	}
}

// with adds to the query of a target.
func with(target, more string) string {
	if strings.Contains(target, "?") {
		return target + "&" + more
	}
	return target + "?" + more
}

// TestWhatIsOverwrittenNeedsARevision: without If-Match somebody else's change
// would be lost.
func TestWhatIsOverwrittenNeedsARevision(t *testing.T) {
	plane := &fakePlane{}
	h := NewAPI(plane, quiet(t)).Handler()
	for _, c := range []struct{ method, target, body string }{
		{http.MethodPatch, "/users/nadia", `{"note":"x"}`}, {http.MethodDelete, "/users/nadia", ""}, {http.MethodPut, "/policy", `{"document":"schema = 1"}`},
	} {
		w := request(h, root, c.method, c.target, c.body)
		if w.Code != http.StatusPreconditionRequired || plane.asked != nil {
			t.Errorf("%s %s without: %d, asked %v", c.method, c.target, w.Code, plane.asked)
		}
		if w := request(h, root, c.method, c.target, c.body, "If-Match: *"); w.Code != http.StatusOK || plane.with.IfRevision != 0 {
			t.Errorf("%s %s with *: %d, %+v", c.method, c.target, w.Code, plane.with)
		}
		plane.asked = nil
	}
	if w := request(h, root, http.MethodGet, "/policy", ""); w.Header().Get("ETag") != `"7"` {
		t.Errorf("the policy has the ETag %s", w.Header().Get("ETag"))
	}
	plane.err = &control.Error{Kind: control.Stale, Text: "changed meanwhile"}
	w := request(h, root, http.MethodPut, "/policy", `{"document":"schema = 1"}`, `If-Match: "6"`)
	if w.Code != http.StatusPreconditionFailed || !strings.Contains(w.Body.String(), `"current":{"revision":7,`) {
		t.Errorf("a stale policy: %d, %s", w.Code, w.Body)
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	for i, sample := range samples {
		plane := &fakePlane{}
		h := NewAPI(plane, quiet(t)).Handler()
		for _, target := range []string{with(sample.target, "dryrun=true"), with(sample.target, "Dry_Run=true")} {
			if w := request(h, root, routes[i].method, target, sample.body, "If-Match: *"); w.Code != http.StatusUnprocessableEntity || plane.asked != nil {
				t.Errorf("%s %s: %d, asked %v", routes[i].method, target, w.Code, plane.asked)
			}
		}
		if !strings.HasPrefix(sample.body, "{") {
			continue
		}
		for _, body := range []string{
			strings.Replace(sample.body, "{", `{"colour":"red",`, 1), strings.Replace(sample.body, "{", `{"Name":"x",`, 1),
			strings.Replace(sample.body, "{", `{"NAME":"x",`, 1), sample.body + "{}", "[]", "null", "1", `"x"`, "{", "",
		} {
			if body == "" && sample.id == "revoke-key" || body == "null" && sample.id == "revoke-key" {
				continue // its body may be left out
			}
			plane.asked = nil
			if w := request(h, root, routes[i].method, sample.target, body, "If-Match: *"); w.Code/100 != 4 || plane.asked != nil {
				t.Errorf("%s %s: %d, asked %v\n%s", sample.id, body, w.Code, plane.asked, w.Body)
			}
		}
	}
}

func TestPathsAndMethodsThatAreNone(t *testing.T) {
	h := NewAPI(&fakePlane{}, quiet(t)).Handler()
	for _, c := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{http.MethodPut, "/users", 405, "GET, POST"},
		{http.MethodPost, "/users/nadia", 405, "GET, PATCH, DELETE"},
		{http.MethodPost, "/status", 405, "GET"},
		{http.MethodPut, "/blocks", 405, "GET, POST, DELETE"},
		{http.MethodPut, "/policy/break-glass", 405, "POST, DELETE"},
		{http.MethodGet, "/users/", 404, ""},
		{http.MethodGet, "/users/a/b", 404, ""},
		{http.MethodGet, "", 404, ""},
		{http.MethodGet, "/openapi.json", 404, ""},
		{http.MethodGet, "/docs", 404, ""},
		{http.MethodGet, "/schemas/UserInfo.json", 404, ""},
	} {
		w := request(h, root, c.method, c.target, "")
		if w.Code != c.status || w.Header().Get("Allow") != c.allow || w.Header().Get("Content-Type") != problemMedia {
			t.Errorf("%s %s: %d, Allow %q, %s", c.method, c.target, w.Code, w.Header().Get("Allow"), w.Body)
		}
	}
}
