package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mtguard/control"
	"mtguard/control/passkey"
	"mtguard/security/access"
	"mtguard/security/token"
)

// fakeSignIn knows the credentials that a test gives it.
type fakeSignIn struct {
	ids      map[string]control.Identity // by the text of the token
	ceiling  access.Level
	passkeys int
	passkey  passkey.Credential // the one that signs somebody in
	entered  []control.Where
	codes    map[string]control.Identity
	asked    int // Authenticate
	ended    atomic.Bool
	changed  atomic.Pointer[access.Level] // the ceiling, while requests are under way
}

func (f *fakeSignIn) Known(t token.Token) bool {
	for text := range f.ids {
		if strings.Contains(text, t.ID()) {
			return true
		}
	}
	_, known := f.codes[t.Reveal()]
	return known
}

func (f *fakeSignIn) Authenticate(t token.Token, from netip.Addr) (control.Identity, bool) {
	f.asked++
	id, ok := f.ids[t.Reveal()]
	id.Actor.From, id.Actor.Level = from, min(id.Granted, f.ceiling)
	return id, ok
}

func (f *fakeSignIn) Look(t token.Token, from netip.Addr) (control.Identity, bool) {
	id, ok := f.ids[t.Reveal()]
	id.Actor.From, id.Actor.Level = from, min(id.Granted, f.Ceiling(from))
	return id, ok && !f.ended.Load()
}

func (f *fakeSignIn) Enter(_ context.Context, code token.Token, where control.Where) (token.Token, control.Identity, error) {
	id, ok := f.codes[code.Reveal()]
	if !ok {
		return token.Token{}, id, &control.Error{Kind: control.Denied, Text: "no"}
	}
	delete(f.codes, code.Reveal())
	f.entered = append(f.entered, where)
	cookie := token.New(token.Session)
	f.ids[cookie.Reveal()] = id
	return cookie, id, nil
}

func (f *fakeSignIn) Leave(_ context.Context, id control.Identity) error {
	for text, known := range f.ids {
		if known.Session == id.Session && id.Session != "" {
			delete(f.ids, text)
		}
	}
	return nil
}

func (f *fakeSignIn) FindPasskey(_, _ string, raw []byte) (passkey.Credential, bool) {
	return f.passkey, len(raw) > 0 && bytes.Equal(raw, f.passkey.Raw)
}

func (f *fakeSignIn) PasskeysOf(string, string) ([][]byte, []byte) {
	return make([][]byte, f.passkeys), []byte("handle")
}

var errNever = errors.New("nobody comes this far")

func (f *fakeSignIn) EnterWithPasskey(_ context.Context, proof passkey.Proof, _ control.Where) (token.Token, control.Identity, error) {
	if !bytes.Equal(proof.Credential.Raw, f.passkey.Raw) {
		return token.Token{}, control.Identity{}, errNever
	}
	cookie := token.New(token.Session)
	id := control.Identity{Actor: control.Actor{Name: "nadia"}, Person: "nadia", Granted: access.Admin, Session: cookie.ID(), Via: "passkey", Host: "localhost"}
	f.ids[cookie.Reveal()] = id
	return cookie, id, nil
}

func (f *fakeSignIn) StepUp(context.Context, control.Identity, passkey.Proof, control.Where) (token.Token, control.Identity, error) {
	return token.Token{}, control.Identity{}, errNever
}

func (f *fakeSignIn) Enrol(context.Context, control.Identity, string, passkey.Proof) (token.Token, control.Identity, error) {
	return token.Token{}, control.Identity{}, errNever
}

func (f *fakeSignIn) MayEnrol(id control.Identity) bool { return id.Fresh(time.Now()) }

func (f *fakeSignIn) Ceiling(netip.Addr) access.Level {
	if now := f.changed.Load(); now != nil {
		return *now
	}
	return f.ceiling
}
func (f *fakeSignIn) Origin(host, port string) bool {
	return slices.ContainsFunc(f.entered, func(w control.Where) bool { return w.Host == host && w.Port == port })
}
func (f *fakeSignIn) TwoPerson() []string { return []string{} }

// site is the listener's handler with what stands behind it.
type site struct {
	t      *testing.T
	plane  *fakePlane
	signIn *fakeSignIn
	web    *web
	now    time.Time
	h      http.Handler
	guess  []netip.Addr
}

const testPage = "<title>Sign in</title>"

func newSite(t *testing.T, o WebOptions) *site {
	t.Helper()
	s := &site{t: t, plane: &fakePlane{written: []byte("x")}, now: time.Now()}
	s.signIn = &fakeSignIn{ids: make(map[string]control.Identity), codes: make(map[string]control.Identity), ceiling: access.Superuser, passkeys: 1}
	o.SignIn, o.Port = s.signIn, "8380"
	o.Enter = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(testPage)) })
	o.Assets = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("dashboard")) })
	o.Guessed = func(from netip.Addr) { s.guess = append(s.guess, from) }
	s.web = newWeb(NewAPI(s.plane, slog.New(slog.DiscardHandler)), o)
	s.web.now = func() time.Time { return s.now }
	s.web.lookEvery = time.Hour // the fake is a test's own meanwhile
	s.h = s.web.handler()
	return s
}

// token makes one that is good.
func (s *site) token(level access.Level, scopes ...string) string {
	t := token.New(token.API)
	s.signIn.ids[t.Reveal()] = control.Identity{Actor: control.Actor{Name: "token x", Person: "x"}, Granted: level, Token: t.ID(), Via: "token", Scopes: scopes, Expires: s.now.Add(365 * 24 * time.Hour)}
	return "Authorization: Bearer " + t.Reveal()
}

// session makes one that is good, fresh or not.
func (s *site) session(level access.Level, fresh bool) string {
	t := token.New(token.Session)
	id := control.Identity{Actor: control.Actor{Name: "nadia", Person: "nadia"}, Person: "nadia", Granted: level, Session: t.ID(), Via: "code", Host: "localhost"}
	if fresh {
		id.FreshUntil = s.now.Add(time.Minute)
	}
	s.signIn.ids[t.Reveal()] = id
	return "Cookie: mtguard_8380=" + t.Reveal()
}

// ask sends a request to localhost:8380, from the machine itself; headers may say
// otherwise.
func (s *site) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:8380"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:50000"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "Host":
			r.Host = value
		case "From":
			r.RemoteAddr = value
		default:
			r.Header.Add(name, value)
		}
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w
}

// TestThePermissionMatrix is every route with every level of every credential, from
// every kind of source: the lower of the credential's level and the source's counts,
// and what only superusers may change takes a session that is fresh.
func TestThePermissionMatrix(t *testing.T) {
	type how struct {
		name    string
		session bool
		fresh   bool
	}
	asked := 0
	s := newSite(t, WebOptions{})
	for i, sample := range samples {
		r := routes[i]
		for _, ceiling := range access.Levels() {
			for _, c := range []how{{"token", false, false}, {"fresh session", true, true}, {"session", true, false}} {
				for _, level := range access.Levels() {
					s.signIn.ceiling = ceiling
					clear(s.signIn.ids)
					s.plane.forget()
					s.plane.by = control.Actor{}
					who := s.token(level)
					if c.session {
						who = s.session(level, c.fresh)
					}
					media := "Content-Type: application/json"
					if !strings.HasPrefix(sample.body, "{") {
						media = "Content-Type: application/octet-stream"
					}
					w := s.ask(r.method, apiPath+sample.target, sample.body, who, "If-Match: *", media)
					asked++
					effective, want := min(level, ceiling), http.StatusOK
					stepUp := c.session && !c.fresh && r.method != http.MethodGet && effective == access.Superuser
					if stepUp {
						effective = access.Admin
					}
					switch {
					case min(level, ceiling) < access.ReadOnly:
						want = http.StatusUnauthorized
					case effective < sample.least || r.id == "make-code":
						want = http.StatusForbidden
					}
					if w.Code != want {
						t.Fatalf("%s, %s of %v from %v: %d, want %d\n%s", r.id, c.name, level, ceiling, w.Code, want, w.Body)
					}
					if (s.plane.last() != nil) != (want == http.StatusOK && r.id != "draw-qr") {
						t.Fatalf("%s, %s of %v from %v: the plane is asked %v", r.id, c.name, level, ceiling, s.plane.last())
					}
					if want == http.StatusOK && s.plane.by.Name != "" && s.plane.by.Level != effective {
						t.Fatalf("%s, %s of %v from %v: asked with the level %v", r.id, c.name, level, ceiling, s.plane.by.Level)
					}
					if stepUp && sample.least == access.Superuser && r.id != "make-code" && !strings.Contains(w.Body.String(), "/problems/step-up-required") {
						t.Fatalf("%s, %s: it is told %s", r.id, c.name, w.Body)
					}
				}
			}
		}
	}
	if want := len(routes) * 5 * 3 * 5; asked != want {
		t.Errorf("%d combinations, want %d", asked, want)
	}
}

// TestScopes asks every route with every scope.
func TestScopes(t *testing.T) {
	s := newSite(t, WebOptions{})
	all := s.web.scopes()
	if len(all) < len(routes) {
		t.Fatalf("%d scopes", len(all))
	}
	for _, scope := range all {
		noun, reading := strings.CutSuffix(scope, ":read")
		who := s.token(access.Superuser, scope)
		used := 0
		for i, sample := range samples {
			r := routes[i]
			s.plane.forget()
			media := "Content-Type: application/json"
			if !strings.HasPrefix(sample.body, "{") {
				media = "Content-Type: application/octet-stream"
			}
			w := s.ask(r.method, apiPath+sample.target, sample.body, who, "If-Match: *", media)
			of := strings.Split(r.path, "/")[1] == noun
			want := of && !reading || of && r.method == http.MethodGet || scope == r.id
			used += map[bool]int{true: 1}[want]
			if r.id == "make-code" || r.id == "create-token" {
				want = false // a token with scopes makes none without
			}
			if (w.Code == http.StatusOK) != want || (s.plane.last() != nil) != (want && r.id != "draw-qr") { // which needs no plane
				t.Errorf("%s with the scope %s: %d, asked %v", r.id, scope, w.Code, s.plane.last())
			}
		}
		if used == 0 && !reading {
			t.Errorf("the scope %s is for nothing", scope)
		}
	}
	for _, text := range []string{"user", "users:write", "users:", "", "USERS", "nothing"} {
		body, _ := json.Marshal(map[string]any{"name": "x", "level": "admin", "scopes": []string{text}})
		if w := s.ask(http.MethodPost, apiPath+"/tokens", string(body), s.token(access.Superuser)); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("a token with the scope %q: %d", text, w.Code)
		}
	}
}

// TestStrangersLearnNothing: whatever a stranger asks, the answer is the same, byte for
// byte and header for header.
func TestStrangersLearnNothing(t *testing.T) {
	s := newSite(t, WebOptions{})
	good := token.New(token.API)
	s.signIn.ids[good.Reveal()] = control.Identity{Actor: control.Actor{Name: "x"}, Granted: access.Admin}
	open := token.New(token.Code) // which would sign in, from a page of this origin
	s.signIn.codes[open.Reveal()] = control.Identity{Actor: control.Actor{Name: "nadia"}, Person: "nadia", Granted: access.Admin, Session: "x"}
	forged := good.Reveal()[:len(good.Reveal())-1] + "a"
	if forged == good.Reveal() {
		forged = forged[:len(forged)-1] + "b"
	}
	first := s.ask(http.MethodGet, apiPath+"/status", "")
	if first.Code != http.StatusUnauthorized || !strings.Contains(first.Body.String(), "/problems/unauthenticated") {
		t.Fatalf("a stranger gets %d %s", first.Code, first.Body)
	}
	if text := strings.ToLower(fmt.Sprint(first.Header(), first.Body)); strings.Contains(text, "mtguard") || strings.Contains(text, "server:") {
		t.Errorf("it says what it is: %s", text)
	}
	cookie := func(text string) string { return "Cookie: mtguard_8380=" + text }
	for _, c := range []struct{ method, path, body, header string }{
		{http.MethodGet, apiPath + "/nothing", "", ""},
		{http.MethodPut, apiPath + "/status", "{}", ""},
		{http.MethodPost, apiPath + "/users", `{"name":"x"}`, ""},
		{http.MethodGet, "/openapi.json", "", ""},
		{http.MethodGet, "/auth/me", "", ""},
		{http.MethodGet, "/auth/nothing", "", ""},
		{http.MethodPost, "/auth/logout", "{}", ""},
		{http.MethodPost, "/auth/step-up/begin", "{}", ""},
		{http.MethodPost, "/auth/passkey/register/begin", "{}", ""},
		{http.MethodPost, "/auth/passkey/login/finish", `{"credential":{}}`, ""},
		{http.MethodPost, "/auth/enter", `{"code":"x"}`, ""},
		{http.MethodPost, "/auth/enter", `{"code":"` + token.New(token.Code).Reveal() + `"}`, ""},
		{http.MethodPost, "/auth/enter", `{"code":"x","more":1}`, ""},
		{http.MethodPost, "/auth/enter", `{}{}`, ""},
		{http.MethodPost, "/auth/enter", "code=x", "Content-Type: application/x-www-form-urlencoded"},
		{http.MethodPost, "/auth/enter", `{"code":"` + strings.Repeat("a", 1<<16) + `"}`, ""},
		{http.MethodGet, "/anything.js", "", ""},
		{http.MethodDelete, "/", "", ""},
		{http.MethodOptions, "/", "", ""},
		{http.MethodGet, apiPath + "/status", "", "Authorization: Bearer " + forged},
		{http.MethodGet, apiPath + "/status", "", "Authorization: Bearer " + token.New(token.API).Reveal()},
		{http.MethodGet, apiPath + "/status", "", "Authorization: Bearer " + strings.Repeat("a", 8<<10)},
		{http.MethodGet, apiPath + "/status", "", "Authorization: Basic YTpi"},
		{http.MethodGet, apiPath + "/status", "", "Authorization: " + good.Reveal()},
		{http.MethodGet, apiPath + "/status", "", "Authorization: bearer " + good.Reveal()},
		{http.MethodGet, apiPath + "/status", "", cookie(good.Reveal())},
		{http.MethodGet, apiPath + "/status", "", cookie(token.New(token.Session).Reveal())},
		{http.MethodGet, apiPath + "/status", "", "Cookie: mtguard_8380=a; mtguard_8380=b"},
		{http.MethodGet, apiPath + "/status", "", "Host: evil.example:8380"},
		{http.MethodGet, apiPath + "/status", "", "Host: "},
		{http.MethodGet, "/", "", "Host: evil.example"},
		{http.MethodGet, "/auth/../foo", "", ""},
		{http.MethodGet, "/auth//enter", "", ""},
		{http.MethodPost, "/auth//enter", "{}", ""},
		{http.MethodPost, "/auth/enter/", "{}", ""},
		{http.MethodGet, "/auth/enter", "", ""},
		{http.MethodPost, "/auth/me", "{}", ""},
		{http.MethodGet, "/auth", "", ""},
		{http.MethodGet, "/enterfoo", "", ""},
		{http.MethodGet, "/enter/", "", ""},
		{http.MethodGet, "/enter/../x", "", ""},
		{http.MethodGet, "/enter.html", "", ""},
		{http.MethodPost, "/enter", "{}", ""},
		{http.MethodOptions, "/enter", "", ""},
		{http.MethodDelete, "/enter.js", "", ""},
		{http.MethodGet, "/api//v1/status", "", ""},
		{http.MethodGet, "/api/../enter", "", ""},
		{http.MethodPost, apiPath + "/users", `{"name":"x"}`, "Sec-Fetch-Site: cross-site"},
		{http.MethodPost, apiPath + "/users", `{"name":"x"}`, "Origin: https://evil.example"},
		{http.MethodGet, apiPath + "/users", "", "Sec-Fetch-Site: same-site"},
		{http.MethodPost, "/auth/logout", "{}", "Origin: https://evil.example"},
		{http.MethodPost, "/auth/enter", `{"code":"` + open.Reveal() + `"}`, "Origin: https://evil.example"},
		{http.MethodPost, "/auth/enter", `{"code":"` + open.Reveal() + `"}`, "Sec-Fetch-Site: same-site"},
		{http.MethodPost, "/auth/passkey/login/begin", "{}", "Sec-Fetch-Site: cross-site"},
	} {
		headers := []string{}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		w := s.ask(c.method, c.path, c.body, headers...)
		if w.Code != first.Code || w.Body.String() != first.Body.String() || !reflect.DeepEqual(w.Header(), first.Header()) {
			t.Errorf("%s %s with %.60s: %d %s %v\nwant %s %v", c.method, c.path, c.header, w.Code, w.Body, w.Header(), first.Body, first.Header())
		}
		if s.plane.last() != nil {
			t.Fatalf("%s %s: the plane is asked", c.method, c.path)
		}
	}
	// Two credentials are none, although one of them is good.
	if w := s.ask(http.MethodGet, apiPath+"/status", "", "Authorization: Bearer "+good.Reveal(), "Authorization: Bearer x"); w.Code != http.StatusUnauthorized {
		t.Errorf("two headers: %d", w.Code)
	}
	if len(s.guess) == 0 {
		t.Error("nobody is told of wrong credentials")
	}
	// Who is shut out, and a credential whose source leaves it nothing, look the same.
	s.signIn.ceiling = access.None
	for _, path := range []string{apiPath + "/status", "/enter", "/", "/auth/me"} {
		w := s.ask(http.MethodGet, path, "", "Authorization: Bearer "+good.Reveal())
		if w.Code != first.Code || w.Body.String() != first.Body.String() {
			t.Errorf("%s for who is shut out: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestEveryAnswerIsSecured looks at what all answers have.
func TestEveryAnswerIsSecured(t *testing.T) {
	s := newSite(t, WebOptions{})
	who := s.session(access.Superuser, true)
	for _, path := range []string{apiPath + "/status", "/", "/enter", "/auth/me", "/nothing", apiPath + "/users/x"} {
		for _, headers := range [][]string{nil, {who}, {"Host: evil.example"}, {"Host: 127.0.0.1:8380"}} {
			h := s.ask(http.MethodGet, path, "", headers...).Header()
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
				"Cache-Control":           "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
			} {
				if h.Get(name) != want {
					t.Errorf("%s with %v: %s is %q", path, headers, name, h.Get(name))
				}
			}
		}
	}
}

func TestHosts(t *testing.T) {
	for _, c := range []struct {
		tls   bool
		host  string
		bears bool
		want  int
	}{
		{false, "localhost:8380", true, 200}, {false, "localhost", true, 200}, {false, "LOCALHOST:9000", true, 200}, {false, "localhost.", true, 200},
		{false, "admin.example.com", true, 200}, {false, "127.0.0.1:8380", true, 200}, {false, "[::1]:8380", true, 200},
		{false, "127.0.0.1:8380", false, 401}, {false, "evil.example", true, 401}, {false, "localhost.evil.example", true, 401}, {false, "192.0.2.1", true, 401}, {false, "", true, 401},
		{false, "localhost:80@evil.example", true, 401}, {false, "localhost:123456", true, 401}, {false, "127.0.0.1:80@evil.example", true, 401},
		{true, "admin.example.com", true, 200}, {true, "admin.example.com:443", true, 200}, {true, "localhost", true, 401}, {true, "127.0.0.1", true, 401},
	} {
		s := newSite(t, WebOptions{TLS: c.tls, Hosts: []string{"admin.example.com"}})
		headers := []string{"Host: " + c.host}
		if c.bears {
			headers = append(headers, s.token(access.ReadOnly))
		}
		if w := s.ask(http.MethodGet, apiPath+"/status", "", headers...); w.Code != c.want {
			t.Errorf("TLS %v, host %q: %d, want %d", c.tls, c.host, w.Code, c.want)
		}
	}
	s := newSite(t, WebOptions{})
	for host, to := range map[string]string{"127.0.0.1:8380": "http://localhost:8380/enter", "[::1]:9000": "http://localhost:9000/enter", "127.9.9.9": "http://localhost/enter"} {
		if w := s.ask(http.MethodGet, "/enter", "", "Host: "+host); w.Code != http.StatusPermanentRedirect || w.Header().Get("Location") != to {
			t.Errorf("%s: %d to %s", host, w.Code, w.Header().Get("Location"))
		}
	}
	for _, host := range []string{"127.0.0.1:80@evil.example", "127.0.0.1:x"} {
		if w := s.ask(http.MethodGet, "/enter", "", "Host: "+host); w.Code != http.StatusUnauthorized || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d to %s", host, w.Code, w.Header().Get("Location"))
		}
	}
	// A cookie is for the name it was made at.
	s = newSite(t, WebOptions{Hosts: []string{"admin.example.com"}})
	who := s.session(access.Superuser, true)
	if w := s.ask(http.MethodGet, apiPath+"/status", "", who, "Host: admin.example.com:8380"); w.Code != http.StatusUnauthorized {
		t.Errorf("a cookie of localhost at another name: %d", w.Code)
	}
}

func TestOtherOriginsChangeNothing(t *testing.T) {
	s := newSite(t, WebOptions{})
	who := s.session(access.Superuser, true)
	for _, header := range []string{
		"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example", "Origin: http://localhost:3000", "Origin: null",
	} {
		for _, path := range []string{apiPath + "/users", "/auth/logout", "/auth/enter", "/auth/step-up/begin"} {
			w := s.ask(http.MethodPost, path, `{"name":"x"}`, who, header)
			if w.Code != http.StatusForbidden || s.plane.last() != nil || len(w.Result().Cookies()) > 0 {
				t.Errorf("%s with %s: %d, asked %v", path, header, w.Code, s.plane.last())
			}
		}
		if !strings.HasPrefix(header, "Sec-Fetch-Site") {
			continue // browsers that do not say so cannot have the answer read
		}
		for _, path := range []string{apiPath + "/auditlog/export", apiPath + "/users", "/auth/me"} {
			if w := s.ask(http.MethodGet, path, "", who, header); w.Code != http.StatusForbidden || s.plane.last() != nil {
				t.Errorf("reading %s with %s: %d, asked %v", path, header, w.Code, s.plane.last())
			}
		}
	}
	for _, header := range []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none", "X-Nothing: x"} {
		if w := s.ask(http.MethodGet, apiPath+"/users", "", who, header); w.Code != http.StatusOK {
			t.Errorf("reading with %s: %d %s", header, w.Code, w.Body)
		}
	}
	for _, header := range []string{"Sec-Fetch-Site: same-origin", "Origin: http://localhost:8380", "X-Nothing: x"} {
		s.plane.forget()
		if w := s.ask(http.MethodPost, apiPath+"/users", `{"name":"x"}`, who, header); w.Code != http.StatusOK {
			t.Errorf("with %s: %d %s", header, w.Code, w.Body)
		}
	}
	// A form needs no leave of the browser to be sent, and is none of ours.
	s.plane.forget()
	w := s.ask(http.MethodPost, apiPath+"/users", "name=x", who, "Content-Type: application/x-www-form-urlencoded")
	if w.Code/100 != 4 || s.plane.last() != nil {
		t.Errorf("a form: %d, asked %v", w.Code, s.plane.last())
	}
}

// TestACodeDoesNotTakeASessionsPlaceUnasked: whoever has a browser follow an address of his own does not have its owner
// act in his name.
func TestACodeDoesNotTakeASessionsPlaceUnasked(t *testing.T) {
	s := newSite(t, WebOptions{})
	code := token.New(token.Code)
	s.signIn.codes[code.Reveal()] = control.Identity{Actor: control.Actor{Name: "mallory"}, Person: "mallory", Granted: access.Admin, Session: "m", Via: "code"}
	who := s.session(access.Superuser, true)
	w := s.ask(http.MethodPost, "/auth/enter", `{"code":"`+code.Reveal()+`"}`, who)
	if w.Code != http.StatusConflict || len(w.Result().Cookies()) > 0 || len(s.signIn.entered) > 0 || !strings.Contains(w.Body.String(), `"person":"nadia"`) {
		t.Errorf("%d %s, entered %v", w.Code, w.Body, s.signIn.entered)
	}
	w = s.ask(http.MethodPost, "/auth/enter", `{"code":"`+code.Reveal()+`","instead":true}`, who)
	if w.Code != http.StatusOK || len(w.Result().Cookies()) != 1 || len(s.signIn.entered) != 1 {
		t.Errorf("asked to: %d %s, entered %v", w.Code, w.Body, s.signIn.entered)
	}
	if w := s.ask(http.MethodGet, "/auth/me", "", who); w.Code != http.StatusUnauthorized {
		t.Errorf("the session before, which the browser has lost, goes on: %d", w.Code)
	}
}

// TestSigningInGivesAFreshCookie: what a browser brings along never becomes a session.
func TestSigningInGivesAFreshCookie(t *testing.T) {
	for _, tls := range []bool{false, true} {
		o := WebOptions{TLS: tls, Hosts: []string{"admin.example.com"}}
		s := newSite(t, o)
		name, host := "mtguard_8380", "localhost:8380"
		if tls {
			name, host = "__Host-mtguard", "admin.example.com"
		}
		code := token.New(token.Code)
		s.signIn.codes[code.Reveal()] = control.Identity{Actor: control.Actor{Name: "nadia"}, Person: "nadia", Granted: access.Admin, Session: "x", Via: "code"}
		brought := token.New(token.Session).Reveal()
		w := s.ask(http.MethodPost, "/auth/enter", `{"code":"`+code.Reveal()+`"}`, "Cookie: "+name+"="+brought, "Host: "+host, "User-Agent: test")
		cookies := w.Result().Cookies()
		if w.Code != http.StatusOK || len(cookies) != 1 {
			t.Fatalf("%d %s, %v", w.Code, w.Body, cookies)
		}
		c := cookies[0]
		if c.Name != name || c.Value == brought || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != tls || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 {
			t.Errorf("the cookie is %+v", c)
		}
		if strings.Contains(w.Body.String(), c.Value) {
			t.Error("scripts see the cookie")
		}
		if where := s.signIn.entered[0]; where.Host != strings.TrimSuffix(host, ":8380") || where.From.String() != "127.0.0.1" || where.Agent != "test" {
			t.Errorf("it was entered at %+v", where)
		}
		if w := s.ask(http.MethodGet, "/auth/me", "", "Cookie: "+name+"="+brought, "Host: "+host); w.Code != http.StatusUnauthorized {
			t.Errorf("what the browser brought along is good: %d", w.Code)
		}
	}
}

// TestACookieBesideTheSession: what another port of localhost has set beside it keeps nobody out; a second session does.
func TestACookieBesideTheSession(t *testing.T) {
	s := newSite(t, WebOptions{})
	one, other := s.session(access.Admin, true), s.session(access.Admin, true)
	_, second, _ := strings.Cut(other, ": ")
	_, mine, _ := strings.Cut(one, ": ")
	for what, c := range map[string]struct {
		cookie string
		want   int
	}{
		"none beside it":        {mine, 200},
		"nonsense before it":    {"mtguard_8380=x; " + mine, 200},
		"nonsense after it":     {mine + "; mtguard_8380=", 200},
		"one unknown before it": {"mtguard_8380=" + token.New(token.Session).Reveal() + "; " + mine, 200},
		"one unknown after it":  {mine + "; mtguard_8380=" + token.New(token.Session).Reveal(), 200},
		"another session":       {mine + "; " + second, 401},
		"another before it":     {second + "; " + mine, 401},
		"two unknown":           {"mtguard_8380=" + token.New(token.Session).Reveal() + "; mtguard_8380=" + token.New(token.Session).Reveal(), 401},
		"behind many":           {strings.Repeat("mtguard_8380=x; ", 100) + mine, 200},
	} {
		if w := s.ask(http.MethodGet, "/auth/me", "", "Cookie: "+c.cookie); w.Code != c.want {
			t.Errorf("%s: %d", what, w.Code)
		}
	}
}

// TestRemoteListenersWantAPasskey: nothing but enrolment before there is one.
func TestRemoteListenersWantAPasskey(t *testing.T) {
	o := WebOptions{TLS: true, Remote: true, Hosts: []string{"localhost"}}
	s := newSite(t, o)
	s.signIn.passkeys = 0
	who := strings.Replace(s.session(access.Superuser, true), "mtguard_8380", "__Host-mtguard", 1)
	if w := s.ask(http.MethodGet, apiPath+"/status", "", s.token(access.Superuser)); w.Code != http.StatusUnauthorized {
		t.Errorf("a token before anybody has a passkey: %d", w.Code)
	}
	if w := s.ask(http.MethodGet, apiPath+"/status", "", who); w.Code != http.StatusUnauthorized {
		t.Errorf("a session without a passkey: %d", w.Code)
	}
	if w := s.ask(http.MethodGet, "/", "", who); w.Code != http.StatusSeeOther {
		t.Errorf("the dashboard without a passkey: %d", w.Code)
	}
	if w := s.ask(http.MethodGet, "/auth/me", "", who); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"enrol_required":true`) {
		t.Errorf("who it is: %d %s", w.Code, w.Body)
	}
	if w := s.ask(http.MethodPost, "/auth/passkey/register/begin", "{}", who); w.Code != http.StatusOK {
		t.Errorf("enrolling: %d %s", w.Code, w.Body)
	}
	s.signIn.passkeys = 1
	for _, header := range []string{who, s.token(access.Superuser)} {
		if w := s.ask(http.MethodGet, apiPath+"/status", "", header); w.Code != http.StatusOK {
			t.Errorf("with a passkey: %d", w.Code)
		}
	}
}

// TestGuessesAreSlowedDown: a source that has guessed too much is not looked up any
// more; whoever has a good credential is, from the same address too.
func TestGuessesAreSlowedDown(t *testing.T) {
	s := newSite(t, WebOptions{})
	guess := func(from string) {
		w := s.ask(http.MethodGet, apiPath+"/status", "", "Authorization: Bearer "+token.New(token.API).Reveal(), "From: "+from)
		if w.Code != http.StatusUnauthorized {
			t.Fatalf("%d", w.Code)
		}
	}
	for range 200 {
		guess("192.0.2.1:1")
	}
	if s.signIn.asked != guessLimit.Burst {
		t.Errorf("of 200 guesses %d were looked up, want %d", s.signIn.asked, guessLimit.Burst)
	}
	s.signIn.asked = 0
	who := s.token(access.ReadOnly)
	if w := s.ask(http.MethodGet, apiPath+"/status", "", who, "From: 192.0.2.1:1"); w.Code != http.StatusOK {
		t.Errorf("a good token from an address that guesses: %d", w.Code)
	}
	code := token.New(token.Code)
	s.signIn.codes[code.Reveal()] = control.Identity{Actor: control.Actor{Name: "nadia"}, Person: "nadia", Granted: access.Admin, Session: "x"}
	if w := s.ask(http.MethodPost, "/auth/enter", `{"code":"`+code.Reveal()+`"}`, "From: 192.0.2.1:1"); w.Code != http.StatusOK {
		t.Errorf("a good code from an address that guesses: %d", w.Code)
	}
	s.signIn.asked = 0
	guess("192.0.2.2:1")
	if s.signIn.asked != 1 {
		t.Error("the neighbour of who guesses is slowed down")
	}
	for i := range 4096 { // one customer of IPv6 has them all
		guess(fmt.Sprintf("[2001:db8:0:%x::1]:1", i))
	}
	if most := 2 + guessLimit.Times(wideFactor).Burst; s.signIn.asked > most {
		t.Errorf("%d guesses of one /48 were looked up, at most %d", s.signIn.asked, most)
	}
	s.signIn.asked = 0
	s.now = s.now.Add(time.Hour)
	guess("192.0.2.1:1")
	if s.signIn.asked != 1 {
		t.Error("an hour later the source is still slowed down")
	}
	if len(s.guess) == 0 || len(s.guess) > 500 {
		t.Errorf("the detectors are told %d times", len(s.guess))
	}
	s.guess = nil
	s.ask(http.MethodGet, apiPath+"/status", "") // no credential is no guess
	if len(s.guess) != 0 {
		t.Error("a request without a credential is a guess")
	}
}

func TestTheSocketIsNoGuess(t *testing.T) {
	// The same routes over the socket know who asks by the socket, whatever it carries.
	plane := &fakePlane{}
	w := request(NewAPI(plane, quiet(t)).Handler(), control.Actor{}, http.MethodGet, "/status", "", "Authorization: Bearer "+token.New(token.API).Reveal())
	if w.Code != http.StatusForbidden {
		t.Errorf("a token over the socket: %d", w.Code)
	}
}

// TestWhatAProgramSendsAboutItsAddress: over TCP the socket says where somebody is.
func TestWhatAProgramSendsAboutItsAddress(t *testing.T) {
	s := newSite(t, WebOptions{})
	w := s.ask(http.MethodPost, apiPath+"/users", `{"name":"x"}`, s.token(access.Admin), "From: 192.0.2.9:1", "Mtguard-From: 203.0.113.1", "X-Forwarded-For: 203.0.113.2")
	if w.Code != http.StatusOK || s.plane.by.From.String() != "192.0.2.9" {
		t.Errorf("%d, asked from %v", w.Code, s.plane.by.From)
	}
}

// TestARequestEndsWithItsCredential: a stream does not outlive the session it is of, nor what its source may.
func TestARequestEndsWithItsCredential(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(s *site)
		ends bool
	}{
		"the session ends":           {func(s *site) { s.signIn.ended.Store(true) }, true},
		"nothing is left its source": {func(s *site) { s.signIn.changed.Store(new(access.None)) }, true},
		"less is left its source":    {func(s *site) { s.signIn.changed.Store(new(access.ReadOnly)) }, true},
		"as much as it has is left":  {func(s *site) { s.signIn.changed.Store(new(access.Admin)) }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, WebOptions{})
			s.web.lookEvery = lookAgain
			who := s.session(access.Admin, true)
			begun := time.Now()
			s.plane.during = func(ctx context.Context) {
				time.Sleep(time.Minute + lookAgain/2)
				if ctx.Err() != nil {
					t.Errorf("%s: a request is ended before", name)
				}
				c.end(s)
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
				}
			}
			s.ask(http.MethodPost, apiPath+"/users", `{"name":"x"}`, who)
			if took := time.Since(begun); (took <= time.Minute+2*lookAgain) != c.ends || took < time.Minute {
				t.Errorf("%s: it is ended after %v", name, took)
			}
		})
	}
}

// lateBody is a body that the rest of which comes when something has happened.
type lateBody struct {
	first string
	then  func() string
	reads int
}

func (b *lateBody) Read(p []byte) (int, error) {
	switch b.reads++; b.reads {
	case 1:
		return copy(p, b.first), nil
	case 2:
		return copy(p, b.then()), nil
	}
	return 0, io.EOF
}

// TestWhatIsRevokedWhileItsBodyArrivesDoesNothing: JSON and blobs, of programs and of people.
func TestWhatIsRevokedWhileItsBodyArrivesDoesNothing(t *testing.T) {
	for _, c := range []struct {
		name    string
		path    string
		session bool
		happens func(*site)
		want    int
	}{
		{"nothing", "/users", false, func(*site) {}, http.StatusOK},
		{"a token is revoked", "/users", false, func(s *site) { clear(s.signIn.ids) }, http.StatusUnauthorized},
		{"a session is ended", "/users", true, func(s *site) { clear(s.signIn.ids) }, http.StatusUnauthorized},
		{"the address is shut out", "/users", false, func(s *site) { s.signIn.ceiling = access.None }, http.StatusUnauthorized},
		{"the address may read only", "/users", false, func(s *site) { s.signIn.ceiling = access.ReadOnly }, http.StatusForbidden},
		{"nothing, of a blob", "/seal", false, func(*site) {}, http.StatusOK},
		{"a token is revoked, of a blob", "/seal", false, func(s *site) { clear(s.signIn.ids) }, http.StatusUnauthorized},
		{"nothing, of a passkey", "/tokens", true, func(*site) {}, http.StatusOK},
		{"a passkey was shown too long ago", "/tokens", true, func(s *site) { s.now = s.now.Add(2 * time.Minute) }, http.StatusForbidden},
	} {
		s := newSite(t, WebOptions{})
		who := s.token(access.Superuser)
		if c.session {
			who = s.session(access.Superuser, true)
		}
		rest := `"nadia","level":"admin"}`
		if c.path == "/users" {
			rest = `"nadia"}`
		}
		r := httptest.NewRequest(http.MethodPost, "http://localhost:8380"+apiPath+c.path, &lateBody{first: `{"name":`, then: func() string { c.happens(s); return rest }})
		r.RemoteAddr = "127.0.0.1:50000"
		name, value, _ := strings.Cut(who, ": ")
		r.Header.Set(name, value)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.h.ServeHTTP(w, r)
		if w.Code != c.want || (s.plane.last() != nil) != (c.want == http.StatusOK) {
			t.Errorf("%s: %d %s, asked %v", c.name, w.Code, w.Body, s.plane.last())
		}
	}
}

// TestOnlyPeopleProlongSessions: pages that look again by themselves do not.
func TestOnlyPeopleProlongSessions(t *testing.T) {
	s := newSite(t, WebOptions{})
	browser, program := s.session(access.Superuser, true), s.token(access.Superuser)
	for _, c := range []struct {
		who, method, path, body, header string
		used                            bool
	}{
		{browser, http.MethodGet, apiPath + "/status", "", "X-Nothing: x", false},
		{browser, http.MethodGet, "/", "", "X-Nothing: x", false},
		{browser, http.MethodGet, "/auth/me", "", "X-Nothing: x", false},
		{browser, http.MethodGet, apiPath + "/status", "", hereHeader + ": no", false},
		{browser, http.MethodGet, apiPath + "/status", "", hereHeader + ": yes", true},
		{browser, http.MethodPost, apiPath + "/users", `{"name":"x"}`, "X-Nothing: x", true},
		{browser, http.MethodPost, apiPath + "/users", `{"name":"x"}`, hereHeader + ": no", false},
		{browser, http.MethodPost, apiPath + "/users", `{"name":"x"}`, "Origin: https://evil.example", false},
		{program, http.MethodGet, apiPath + "/status", "", "X-Nothing: x", true},
	} {
		s.signIn.asked = 0
		s.ask(c.method, c.path, c.body, c.who, c.header)
		if used := s.signIn.asked > 0; used != c.used {
			t.Errorf("%s %s with %s: a use %v", c.method, c.path, c.header, used)
		}
	}
}

// TestTokensMakeNoStrongerTokens: what is bound, or ends, makes nothing that is not, or
// ends later.
func TestTokensMakeNoStrongerTokens(t *testing.T) {
	s := newSite(t, WebOptions{})
	make := func(change func(*control.Identity), life string) int {
		t.Helper()
		tok := token.New(token.API)
		id := control.Identity{Actor: control.Actor{Name: "token x"}, Granted: access.Superuser, Token: tok.ID(), Via: "token", Expires: time.Now().Add(24 * time.Hour)}
		change(&id)
		s.signIn.ids[tok.Reveal()] = id
		return s.ask(http.MethodPost, apiPath+"/tokens", `{"name":"y","level":"admin"`+life+`}`, "Authorization: Bearer "+tok.Reveal()).Code
	}
	as := func(*control.Identity) {}
	for name, c := range map[string]struct {
		change func(*control.Identity)
		life   string
		want   int
	}{
		"a shorter one":     {as, `,"for":"1h"`, http.StatusOK},
		"a longer one":      {as, `,"for":"2d"`, http.StatusForbidden},
		"one of 90 days":    {as, "", http.StatusForbidden},
		"bound to a scope":  {func(i *control.Identity) { i.Scopes = []string{"tokens"} }, `,"for":"1h"`, http.StatusForbidden},
		"bound to a source": {func(i *control.Identity) { i.Bound = true }, `,"for":"1h"`, http.StatusForbidden},
	} {
		if got := make(c.change, c.life); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
