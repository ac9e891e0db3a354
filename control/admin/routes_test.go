package admin

import (
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"mtguard/control"
	"mtguard/security/access"
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
	{"reveal-all-links", access.Admin, "/links", "", control.RevealLinks{}},
	{"list-keys", access.ReadOnly, "/keys?user=nadia&state=active&purpose=user", "", control.KeyFilter{User: "nadia", State: "active", Purpose: "user", Limit: 50}},
	{"get-key", access.ReadOnly, "/keys/a69e7b2f", "", "a69e7b2f"},
	{"revoke-key", access.Admin, "/keys/a69e7b2f47a107eb/revoke", `{"replace":true}`, control.RevokeKey{ID: "a69e7b2f47a107eb", Replace: true}},
	{"rotate-keys", access.Admin, "/keys/rotate", `{"user":"nadia","overlap":"2d"}`, control.RotateKeys{User: "nadia", Overlap: new(48 * hour)}},
	{"list-key-events", access.ReadOnly, "/keys/history?key=a6&user=nadia&cursor=9", "", control.HistoryFilter{Key: "a6", User: "nadia", Before: 9, Limit: 50}},
	{"get-schedule", access.ReadOnly, "/keys/schedule", "", "schedule"},
	{"set-schedule", access.Admin, "/keys/schedule", `{"every":"30d","overlap":"7d","window":"1d","announce":"3h","idle":"2h","tripwire":"1h"}`, control.SetSchedule{Schedule: testSchedule}},
	{"seal", access.Admin, "/seal?key=a6&suite=aes-256-gcm", "x", control.SealRequest{Key: "a6", Suite: "aes-256-gcm", Plaintext: []byte("x"), Context: []byte{}}},
	{"open", access.Admin, "/open", "x", control.OpenRequest{Sealed: []byte("x"), Context: []byte{}}},
	{"create-backup", access.Superuser, "/backups", `{"recipients":["age1x"]}`, control.BackupTarget{Recipients: []string{"age1x"}}},
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
		h := Handler(plane, quiet(t))
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
	defer func() {
		if recover() == nil {
			t.Error("it is served")
		}
	}()
	newServer(nil, slog.New(slog.DiscardHandler)).HandleFunc("GET /api/v1/secrets", func(http.ResponseWriter, *http.Request) {})
}

// TestOptionsOfAChangeArrive: every operation that changes something takes all of
// them, in the same way.
func TestOptionsOfAChangeArrive(t *testing.T) {
	want := control.Options{Reason: "он ушёл", IfRevision: 42, IdempotencyKey: "k-1", DryRun: true, Force: true}
	changes := 0
	for i, sample := range samples {
		if _, ok := sample.asked.(control.Change); !ok {
			continue
		}
		changes++
		plane := &fakePlane{result: control.Result{DryRun: true, User: &control.UserInfo{Name: "nadia", Revision: 43}}}
		h := Handler(plane, quiet(t))
		w := request(h, root, routes[i].method, sample.target+"?dry_run=true&force=true&reason=%D0%BE%D0%BD+%D1%83%D1%88%D1%91%D0%BB", sample.body,
			`If-Match: "42"`, "Idempotency-Key: k-1")
		if w.Code != http.StatusOK || plane.with != want || w.Header().Get("ETag") != `"43"` {
			t.Errorf("%s: %d, %+v, ETag %s\n%s", sample.id, w.Code, plane.with, w.Header().Get("ETag"), w.Body)
		}
		for name, header := range map[string]string{
			"no revision": "If-Match: 42", "no number": `If-Match: "x"`, "a weak one": `If-Match: W/"42"`, "none of ours": `If-Match: "0"`,
			"a list": `If-Match: "1", "2"`, "a long key": "Idempotency-Key: " + strings.Repeat("k", 129), "a key with a space": "Idempotency-Key: a b",
		} {
			plane.asked = nil
			if w := request(h, root, routes[i].method, sample.target, sample.body, "If-Match: *", header); w.Code/100 != 4 || plane.asked != nil {
				t.Errorf("%s with %s: %d, asked %v", sample.id, name, w.Code, plane.asked)
			}
		}
	}
	if changes != 11 {
		t.Errorf("%d operations change something", changes)
	}
}

// TestWhatIsOverwrittenNeedsARevision: without If-Match somebody else's change
// would be lost.
func TestWhatIsOverwrittenNeedsARevision(t *testing.T) {
	plane := &fakePlane{}
	h := Handler(plane, quiet(t))
	for method, body := range map[string]string{http.MethodPatch: `{"note":"x"}`, http.MethodDelete: ""} {
		w := request(h, root, method, "/users/nadia", body)
		if w.Code != http.StatusPreconditionRequired || plane.asked != nil {
			t.Errorf("%s without: %d, asked %v", method, w.Code, plane.asked)
		}
		if w := request(h, root, method, "/users/nadia", body, "If-Match: *"); w.Code != http.StatusOK || plane.with.IfRevision != 0 {
			t.Errorf("%s with *: %d, %+v", method, w.Code, plane.with)
		}
		plane.asked = nil
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	for i, sample := range samples {
		plane := &fakePlane{}
		h := Handler(plane, quiet(t))
		with := func(target, more string) string {
			if strings.Contains(target, "?") {
				return target + "&" + more
			}
			return target + "?" + more
		}
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
	h := Handler(&fakePlane{}, quiet(t))
	for _, c := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{http.MethodPut, "/users", 405, "GET, POST"},
		{http.MethodPost, "/users/nadia", 405, "GET, PATCH, DELETE"},
		{http.MethodPost, "/status", 405, "GET"},
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
