package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"

	"mtguard/control"
	"mtguard/security/access"
)

const goldenProblems = "testdata/problems.golden"

// TestProblemDocuments holds every sort of refusal against its golden document.
func TestProblemDocuments(t *testing.T) {
	var got strings.Builder
	show := func(name string, w *httptest.ResponseRecorder) {
		fmt.Fprintf(&got, "# %s\n%d %s\n", name, w.Code, w.Header().Get("Content-Type"))
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, w.Body.Bytes(), "", "  "); err != nil {
			t.Errorf("%s: %v: %s", name, err, w.Body)
		}
		got.WriteString(strings.TrimSpace(pretty.String()) + "\n\n")
	}
	plane := &fakePlane{user: control.UserInfo{Name: "nadia", Revision: 43}}
	h := NewAPI(plane, slog.New(slog.DiscardHandler)).Handler()
	for kind := control.Invalid; kind <= control.Unavailable; kind++ {
		plane.err = &control.Error{Kind: kind, Text: "what happened and why", Fix: "mtguard user show nadia"}
		if kind == control.Invalid {
			plane.err = &control.Error{Kind: kind, Text: "an expiry in the past", Field: "expires"}
		}
		show("the control plane says "+kind.String(), request(h, root, http.MethodPatch, "/users/nadia", `{"note":"x"}`, `If-Match: "42"`))
	}
	plane.err = errors.New("disk I/O error at /var/lib/mtguard/store.db")
	show("the control plane breaks", request(h, root, http.MethodGet, "/status", ""))
	plane.result.Revision, plane.err = 44, errors.New("key a69e7b2f47a107eb: some of its sessions have not ended yet")
	show("a change is kept and does not take effect", request(h, root, http.MethodPost, "/keys/a69e7b2f47a107eb/revoke", ""))
	plane.result, plane.err = control.Result{}, nil
	show("no JSON", request(h, root, http.MethodPost, "/users", `{"name":`))
	show("values that make no sense", request(h, root, http.MethodPost, "/users", `{"name":"","level":"god","max_connections":-1,"quota":{"bytes":1}}`))
	show("an unknown value", request(h, root, http.MethodPost, "/users", `{"name":"nadia","colour":"red"}`))
	show("an unknown query", request(h, root, http.MethodGet, "/users?page=2", ""))
	show("an unknown query of a blob", request(h, root, http.MethodPost, "/seal?colour=red", "x"))
	show("a limit out of bounds", request(h, root, http.MethodGet, "/users?limit=100000", ""))
	show("another media type", request(h, root, http.MethodPost, "/users", "name=nadia", "Content-Type: application/x-www-form-urlencoded"))
	show("a body too large", request(h, root, http.MethodPost, "/users", `{"note":"`+strings.Repeat("x", maxBody)+`"}`))
	show("no revision", request(h, root, http.MethodDelete, "/users/nadia", ""))
	show("a revision that is none", request(h, root, http.MethodDelete, "/users/nadia", "", "If-Match: yesterday"))
	show("a level too low", request(h, control.Actor{Name: "uid 7", Level: access.ReadOnly}, http.MethodPost, "/links", ""))
	show("nobody", request(h, control.Actor{}, http.MethodGet, "/status", ""))
	show("another origin", request(h, root, http.MethodPost, "/links", "", "Sec-Fetch-Site: cross-site"))
	show("no such path", request(h, root, http.MethodGet, "/nodes", ""))
	show("no such method", request(h, root, http.MethodPost, "/status", ""))

	if *update {
		os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(goldenProblems, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenProblems)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the problem documents are not those of %s; got\n%s", goldenProblems, got.String())
	}
}

// TestRefusalsComeBackAsTheyWere: what the client makes of a problem is what the
// control plane said.
func TestRefusalsComeBackAsTheyWere(t *testing.T) {
	for kind := control.Invalid; kind <= control.Unavailable; kind++ {
		want := &control.Error{Kind: kind, Text: "text of " + kind.String(), Fix: "fix", Field: "expires"}
		if got := refusal(fmt.Errorf("wrapped: %w", want)).refusal(); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	for kind, sort := range kinds {
		if sort.word == "" || sort.status < 400 || kind.String() != sort.word {
			t.Errorf("kind %v: %+v", kind, sort)
		}
	}
	if len(kinds) != int(control.Unavailable) {
		t.Errorf("%d kinds have a status", len(kinds))
	}
	for sort, want := range map[problemSort]control.Kind{malformed: control.Invalid, tooLarge: control.Invalid, internal: control.Unavailable, crossOrigin: control.Invalid} {
		if got := sort.problem("x").refusal(); got.Kind != want {
			t.Errorf("%s is %v", sort.word, got.Kind)
		}
	}
}

// TestAProblemIsSmallWhateverWasSent: neither the number nor the size of what is
// wrong makes it grow.
func TestAProblemIsSmallWhateverWasSent(t *testing.T) {
	h := NewAPI(&fakePlane{}, quiet(t)).Handler()
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, `"f%d":1,`, i)
	}
	for _, body := range []string{
		`{` + many.String() + `"name":"x"}`, `{"` + strings.Repeat("ä", 100_000) + `":1}`, strings.Repeat("[", 100_000),
		`{"name":"` + strings.Repeat("ä", 100_000) + `"}`,
	} {
		w := request(h, root, http.MethodPost, "/users", body)
		if w.Code/100 != 4 || w.Body.Len() > 32<<10 {
			t.Errorf("%.20s…: %d with %d bytes", body, w.Code, w.Body.Len())
		}
	}
}

// TestNoSecretIsLoggedOrSaidBack sends a secret in every place where one could
// stand, and where none belongs.
func TestNoSecretIsLoggedOrSaidBack(t *testing.T) {
	const canary = "c0ffee5ec2e7c0ffee5ec2e7c0ffee5e"
	var log bytes.Buffer
	plane := &fakePlane{}
	h := NewAPI(plane, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))).Handler()
	for _, err := range []error{nil, &control.Error{Kind: control.Exists, Text: "known"}, errors.New("broken")} {
		plane.err = err
		for _, c := range [][2]string{
			{"/users", `{"name":"nadia","secret":"` + canary + `"}`}, {"/users", `{"name":"nadia","secret":"` + canary + `zz"}`},
			{"/users", `{"name":"nadia","secret":"` + strings.Repeat(canary, 40) + `"}`}, {"/users", `{"secret":"` + canary + `"}`},
			{"/users", `{"name":"nadia","secret":["` + canary + `"]}`}, {"/users", `{"name":"nadia","secret":{"` + "a" + `":"` + canary + `"}}`},
			{"/users", `{"name":"nadia","secret":"` + canary}, {"/users", `{"name":"nadia","level":"` + canary + `"}`},
			{"/backups", `{"passphrase":"` + canary + `"}`}, {"/backups", `{"passphrase":"` + canary + `","x":1}`}, {"/backups", `{"passphrase":["` + canary + `"]}`},
			{"/seal", canary}, {"/open", canary + canary},
		} {
			plane.asked = nil
			w := request(h, root, http.MethodPost, c[0], c[1])
			log.WriteString(fmt.Sprintf("%v %+v %#v", UserBody{Name: "nadia", Secret: canary}, &UserBody{Name: "nadia", Secret: canary}, UserBody{Name: "nadia", Secret: canary}))
			if c[0] != "/seal" && c[0] != "/open" {
				log.Write(w.Body.Bytes())
			}
		}
	}
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "body", UserBody{Name: "nadia", Secret: canary})
	if at := strings.Index(strings.ToLower(log.String()), canary[:8]); at >= 0 {
		t.Errorf("it is in …%s…", log.String()[max(0, at-200):at+40])
	}
	if !strings.Contains(log.String(), "admin: request") {
		t.Error("nothing was logged")
	}
}

// TestAPanicEndsOneRequest: the client is told nothing of it, the log what the
// runtime says and where.
func TestAPanicEndsOneRequest(t *testing.T) {
	for name, c := range map[string]struct {
		value any
		told  string
	}{
		"of the runtime": {nil, "index out of range"},
		"of ours":        {"canary-value", "what=string"},
		"with an error":  {errors.New("canary-value"), "errorString"},
	} {
		var log bytes.Buffer
		plane := &fakePlane{}
		h := NewAPI(plane, slog.New(slog.NewTextHandler(&log, nil))).Handler()
		err := c.value
		w := request(h, root, http.MethodGet, "/status", "")
		if w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
		panicking := NewAPI(panicPlane{plane, err}, slog.New(slog.NewTextHandler(&log, nil))).Handler()
		w = request(panicking, root, http.MethodPost, "/links", "")
		if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"/problems/internal"`) || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if text := log.String(); !strings.Contains(text, c.told) || strings.Contains(text, "canary") || !strings.Contains(text, "panicPlane") {
			t.Errorf("%s: logged %s", name, text)
		}
	}
}

func TestNothingOfAnAnswerIsKeptOnTheWay(t *testing.T) {
	h := NewAPI(&fakePlane{}, quiet(t)).Handler()
	for _, target := range []string{"/links", "/users/nadia/links", "/nowhere"} {
		if got := request(h, root, http.MethodPost, target, "").Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", target, got)
		}
	}
}

func TestAPageOfAnotherOriginMayNotChangeAnything(t *testing.T) {
	plane := &fakePlane{}
	h := NewAPI(plane, quiet(t)).Handler()
	for _, headers := range [][]string{{"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"}, {"Origin: https://elsewhere.example"}} {
		if w := request(h, root, http.MethodPost, "/links", "", headers...); w.Code != http.StatusForbidden || plane.asked != nil {
			t.Errorf("%v: %d, asked %v", headers, w.Code, plane.asked)
		}
	}
	if w := request(h, root, http.MethodPost, "/links", "", "Sec-Fetch-Site: same-origin"); w.Code != http.StatusOK {
		t.Errorf("of our own: %d", w.Code)
	}
}

// TestAllThatIsWrongWithAPolicyIsTold: other texts of a problem are shorter.
func TestAllThatIsWrongWithAPolicyIsTold(t *testing.T) {
	for _, n := range []int{1, maxRefusal} {
		want := &control.Error{Kind: control.Invalid, Text: strings.Repeat("x", n), Field: "document"}
		if got := refusal(want).refusal(); !reflect.DeepEqual(got, want) {
			t.Errorf("of %d bytes %d are told", n, len(got.Text))
		}
	}
	if p := refusal(&control.Error{Kind: control.Invalid, Text: strings.Repeat("ä", maxRefusal), Field: "document"}); len(p.Detail) > maxRefusal+4 || len(p.Errors[0].Message) > maxProblemText+4 {
		t.Errorf("%d and %d bytes are told", len(p.Detail), len(p.Errors[0].Message))
	}
}
