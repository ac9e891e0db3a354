package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"mtguard/control"
	"mtguard/control/passkey/softkey"
	"mtguard/security/access"
	"mtguard/security/token"
	"mtguard/telemetry/live"
)

// TestStrangersDoNotUseUpProofs: whoever has no challenge of this node, or names no passkey there is, costs no signature.
func TestStrangersDoNotUseUpProofs(t *testing.T) {
	s := newSite(t, WebOptions{})
	key := s.enrol()
	const path = "/auth/passkey/login/finish"
	begin := func() []byte { return s.ask(http.MethodPost, "/auth/passkey/login/begin", "{}").Body.Bytes() }
	old := signed(t, key, anothersChallenge(t, s))
	for i := range 4 * proofLimit.Burst {
		for _, body := range []string{`{"credential":{}}`, "x", `{"credential":"` + strings.Repeat("a", 1000) + `"}`, old} {
			if w := s.ask(http.MethodPost, path, body, fmt.Sprintf("From: 192.0.2.%d:1", i)); w.Code != http.StatusUnauthorized {
				t.Fatalf("%.40s: %d", body, w.Code)
			}
		}
	}
	if w := s.ask(http.MethodPost, path, signed(t, key, begin())); w.Code != http.StatusOK {
		t.Errorf("then somebody shows a passkey: %d", w.Code)
	}
}

// anothersChallenge is a challenge of another node for the same name.
func anothersChallenge(t *testing.T, s *site) []byte {
	t.Helper()
	other := newSite(t, WebOptions{})
	other.signIn.passkey = s.signIn.passkey
	return other.ask(http.MethodPost, "/auth/passkey/login/begin", "{}").Body.Bytes()
}

// TestWhoMeetsABusyNodeIsNoGuesser: he shows a good passkey while too many others do.
func TestWhoMeetsABusyNodeIsNoGuesser(t *testing.T) {
	s := newSite(t, WebOptions{})
	key := s.enrol()
	answer := signed(t, key, s.ask(http.MethodPost, "/auth/passkey/login/begin", "{}").Body.Bytes())
	refused := 0
	for range proofLimit.Burst + 5 {
		if s.ask(http.MethodPost, "/auth/passkey/login/finish", answer).Code == http.StatusUnauthorized {
			refused++
		}
	}
	if refused == 0 || len(s.guess) != 0 {
		t.Errorf("%d are refused, %d of them as guesses", refused, len(s.guess))
	}
	wrong := strings.Replace(answer, `"signature":"`, `"signature":"AAAA`, 1)
	s.now = s.now.Add(proofLimit.Per)
	if w := s.ask(http.MethodPost, "/auth/passkey/login/finish", wrong); w.Code != http.StatusUnauthorized || len(s.guess) != 1 {
		t.Errorf("a wrong signature: %d, %d guesses", w.Code, len(s.guess))
	}
}

// TestNobodySignsInWhereNothingIsLeft: with a good code, or a good passkey, from an address that is shut out. The code stays good.
func TestNobodySignsInWhereNothingIsLeft(t *testing.T) {
	s := newSite(t, WebOptions{})
	key := s.enrol()
	code := token.New(token.Code)
	s.signIn.codes[code.Reveal()] = control.Identity{Actor: control.Actor{Name: "nadia"}, Person: "nadia", Granted: access.Admin, Session: "x", Via: "code"}
	asked := s.ask(http.MethodPost, "/auth/passkey/login/begin", "{}").Body.Bytes()
	for _, left := range []access.Level{access.None, access.ReadOnly} {
		s.signIn.ceiling = left
		want := http.StatusUnauthorized
		if left == access.ReadOnly {
			want = http.StatusOK
		}
		for path, body := range map[string]string{
			"/auth/enter":                `{"code":"` + code.Reveal() + `"}`,
			"/auth/passkey/login/finish": signed(t, key, asked),
			"/auth/passkey/login/begin":  "{}",
		} {
			if w := s.ask(http.MethodPost, path, body); w.Code != want || want != http.StatusOK && len(w.Result().Cookies()) > 0 {
				t.Errorf("%s where %v is left: %d %v", path, left, w.Code, w.Result().Cookies())
			}
		}
		if left == access.None && len(s.signIn.entered) > 0 {
			t.Error("the code is used up")
		}
	}
}

// TestProgramsAreNoBrowsers: a token has no session to make fresh, makes no passkeys and sees no pages.
func TestProgramsAreNoBrowsers(t *testing.T) {
	s := newSite(t, WebOptions{})
	program, browser := s.token(access.Superuser), s.session(access.Superuser, true)
	for _, path := range []string{"/auth/step-up/begin", "/auth/step-up/finish", "/auth/passkey/register/begin", "/auth/passkey/register/finish"} {
		if w := s.ask(http.MethodPost, path, "{}", program); w.Code != http.StatusUnauthorized {
			t.Errorf("%s with a token: %d %s", path, w.Code, w.Body)
		}
		if w := s.ask(http.MethodPost, path, "{}", browser); w.Code == http.StatusUnauthorized {
			t.Errorf("%s with a session: %d %s", path, w.Code, w.Body)
		}
	}
	for path, want := range map[string]int{"/": http.StatusSeeOther, "/app.js": http.StatusUnauthorized} {
		if w := s.ask(http.MethodGet, path, "", program); w.Code != want || strings.Contains(w.Body.String(), "dashboard") {
			t.Errorf("%s with a token: %d %s", path, w.Code, w.Body)
		}
		if w := s.ask(http.MethodGet, path, "", browser); w.Code != http.StatusOK || w.Body.String() != "dashboard" {
			t.Errorf("%s with a session: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestBrowsersKeepToTLS: where there is TLS, and only there, they are told to come with it from then on.
func TestBrowsersKeepToTLS(t *testing.T) {
	for _, tls := range []bool{false, true} {
		s := newSite(t, WebOptions{TLS: tls, Hosts: []string{"admin.example.com"}})
		want := ""
		if tls {
			want = "max-age=31536000"
		}
		for _, path := range []string{"/", "/enter", apiPath + "/status"} {
			if got := s.ask(http.MethodGet, path, "", "Host: admin.example.com").Header().Get("Strict-Transport-Security"); got != want {
				t.Errorf("TLS %v, %s: %q", tls, path, got)
			}
		}
	}
}

// TestWhatIsNotAllowedIsNoted: by the level, the scopes, or what is asked for; reading too, and no passkey that has to be shown again.
func TestWhatIsNotAllowedIsNoted(t *testing.T) {
	s := newSite(t, WebOptions{})
	reader, scoped, stale := s.token(access.ReadOnly), s.token(access.Superuser, "users"), s.session(access.Superuser, false)
	s.plane.hub = live.NewHub(live.Options{})
	for _, c := range []struct {
		who, method, path, body string
		code                    int
		want                    string
	}{
		{reader, http.MethodPost, "/users", `{"name":"x"}`, http.StatusForbidden, "add-user"},
		{reader, http.MethodPost, "/tokens", `{"name":"x","level":"admin"}`, http.StatusForbidden, "create-token"},
		{reader, http.MethodGet, "/auditlog", "", http.StatusForbidden, "list-audit-rows"},
		{reader, http.MethodGet, "/auditlog/export", "", http.StatusForbidden, "export-audit-log"},
		{scoped, http.MethodGet, "/keys", "", http.StatusForbidden, "list-keys"},
		{s.token(access.Superuser), http.MethodPost, "/sign-in-codes", "{}", http.StatusForbidden, "make-code"},
		{reader, http.MethodGet, "/users", "", http.StatusOK, ""},
		{stale, http.MethodPost, "/tokens", `{"name":"x","level":"admin"}`, http.StatusForbidden, ""},
		{"X-Nothing: x", http.MethodPost, "/users", `{"name":"x"}`, http.StatusUnauthorized, ""},
	} {
		s.plane.denied = nil
		w := s.ask(c.method, apiPath+c.path, c.body, c.who)
		var want []string
		if c.want != "" {
			want = []string{"token x " + c.want}
		}
		if w.Code != c.code || !slices.Equal(s.plane.denied, want) {
			t.Errorf("%s %s: %d, noted %q, want %q", c.method, c.path, w.Code, s.plane.denied, want)
		}
		if told := (Problem{}); want != nil && (json.Unmarshal(w.Body.Bytes(), &told) != nil || told.Detail == "" || told.Detail != s.plane.why) {
			t.Errorf("%s %s: noted %q, and told %q", c.method, c.path, s.plane.why, told.Detail)
		}
	}
	s.plane.denied, s.plane.err = nil, &control.Error{Kind: control.Denied, Text: "no"}
	s.ask(http.MethodGet, apiPath+"/events?kind=audit", "", reader)
	s.ask(http.MethodPost, apiPath+"/users", `{"name":"x"}`, s.token(access.Admin)) // Apply notes that itself
	if !slices.Equal(s.plane.denied, []string{"token x watch-events"}) {
		t.Errorf("of a kind of events: %q", s.plane.denied)
	}
}

// TestPasskeysAreForPortsThatPeopleCameTo: at the listener's own, and where a code was used, as at the beginning of a tunnel. A page that something
// else serves at another port of localhost can have a browser sign for it; what it hands on is not taken.
func TestPasskeysAreForPortsThatPeopleCameTo(t *testing.T) {
	s := newSite(t, WebOptions{})
	key := s.enrol()
	const port = "9999"
	host := "Host: localhost:" + port
	session := strings.Replace(s.session(access.Superuser, true), "mtguard_8380", "mtguard_"+port, 1)
	signIn := func() (begun, finished int) {
		begin := s.ask(http.MethodPost, "/auth/passkey/login/begin", "{}", host)
		if begin.Code != http.StatusOK { // whoever relays asks as if it were for the listener's port, and has the page sign
			return begin.Code, s.ask(http.MethodPost, "/auth/passkey/login/finish", s.signedAt(key, "http://localhost:"+port, s.ask(http.MethodPost, "/auth/passkey/login/begin", "{}")), host).Code
		}
		return begin.Code, s.ask(http.MethodPost, "/auth/passkey/login/finish", s.signedAt(key, "http://localhost:"+port, begin), host).Code
	}
	if begun, finished := signIn(); begun != http.StatusUnauthorized || finished != http.StatusUnauthorized {
		t.Errorf("at a port that nobody came to: %d, %d", begun, finished)
	}
	if code := s.ask(http.MethodPost, "/auth/passkey/login/finish", s.signedAt(key, "http://localhost:"+port, s.ask(http.MethodPost, "/auth/passkey/login/begin", "{}"))).Code; code != http.StatusUnauthorized {
		t.Errorf("signed at another port: %d", code)
	}
	for _, path := range []string{"/auth/step-up/begin", "/auth/step-up/finish", "/auth/passkey/register/begin", "/auth/passkey/register/finish"} {
		body := "{}"
		if strings.HasSuffix(path, "finish") {
			body = `{"credential":{}}`
		}
		if w := s.ask(http.MethodPost, path, body, session, host); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "--local-port "+port) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	code := token.New(token.Code)
	s.signIn.codes[code.Reveal()] = control.Identity{Actor: control.Actor{Name: "nadia"}, Person: "nadia", Granted: access.Admin, Session: "x", Via: "code"}
	if w := s.ask(http.MethodPost, "/auth/enter", `{"code":"`+code.Reveal()+`"}`, host); w.Code != http.StatusOK {
		t.Fatalf("a code: %d", w.Code)
	}
	if begun, finished := signIn(); begun != http.StatusOK || finished != http.StatusOK {
		t.Errorf("after a code was used there: %d, %d", begun, finished)
	}
	for _, text := range []string{"localhost:99999999", "localhost:x", "localhost:-1"} {
		if w := s.ask(http.MethodPost, "/auth/passkey/login/begin", "{}", "Host: "+text); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", text, w.Code)
		}
	}
}

// signedAt is what a page at an origin hands on.
func (s *site) signedAt(key *softkey.Key, origin string, asked *httptest.ResponseRecorder) string {
	s.t.Helper()
	mine := *key
	mine.Origin = origin
	return signed(s.t, &mine, asked.Body.Bytes())
}
