package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
)

// browser asks a node's dashboard, and keeps its cookies as a browser does.
type browser struct {
	t       *testing.T
	base    string
	cookies map[string]string
	bearer  string
}

func (s *site) browser() *browser {
	return &browser{t: s.t, base: fmt.Sprintf("http://localhost:%d", s.node.DashboardAt().Port()), cookies: make(map[string]string)}
}

// do sends a request; a body is sent as JSON.
func (b *browser) do(method, path string, body any, headers ...string) (*http.Response, string) {
	b.t.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, in)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if b.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+b.bearer)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	w, err := transport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range w.Cookies() {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return w, string(text)
}

func (b *browser) status(want int, method, path string, body any, headers ...string) string {
	b.t.Helper()
	w, text := b.do(method, path, body, headers...)
	if w.StatusCode != want {
		b.t.Fatalf("%s %s: %d, want %d\n%s", method, path, w.StatusCode, want, text)
	}
	return text
}

// code makes a code to sign in with, as mtguard dashboard does.
func (s *site) code(person string, level access.Level) string {
	s.t.Helper()
	client := admin.NewClient(s.node.AdminSocket(), 10*time.Second)
	defer client.Close()
	result, err := client.MakeCode(s.t.Context(), admin.CodeBody{Person: person, Level: &level}, admin.ChangeOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return result.Secret
}

const withDashboard = "[admin]\nlisten = \"127.0.0.1:0\"\n"

func TestAPersonSignsInOnce(t *testing.T) {
	s := start(t, "", withDashboard)
	code := s.code("nadia", access.Superuser)
	b := s.browser()
	before := b.status(http.StatusUnauthorized, "GET", "/api/v1/status", nil)
	var me admin.Me
	if err := json.Unmarshal([]byte(b.status(http.StatusOK, "POST", "/auth/enter", map[string]string{"code": code})), &me); err != nil {
		t.Fatal(err)
	}
	if me.Person != "nadia" || me.Level != access.Superuser || me.Via != "code" {
		t.Errorf("it is %+v", me)
	}
	b.status(http.StatusOK, "GET", "/api/v1/status", nil)
	b.status(http.StatusOK, "POST", "/api/v1/users", map[string]string{"name": "omid"})
	other := s.browser()
	if again := other.status(http.StatusUnauthorized, "POST", "/auth/enter", map[string]string{"code": code}); again != before {
		t.Errorf("a code that was used: %s, a stranger: %s", again, before)
	}
	stolen := b.cookies
	b.status(http.StatusOK, "POST", "/auth/logout", struct{}{})
	if len(b.cookies) != 0 {
		t.Error("the cookie stays")
	}
	b.cookies = stolen
	b.status(http.StatusUnauthorized, "GET", "/api/v1/status", nil)
}

func TestAProgramUsesAToken(t *testing.T) {
	s := start(t, "", withDashboard)
	client := admin.NewClient(s.node.AdminSocket(), 10*time.Second)
	defer client.Close()
	result, err := client.CreateToken(t.Context(), admin.TokenBody{Name: "ci", Level: access.ReadOnly, Scopes: []string{"status", "users:read"}}, admin.ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.bearer = result.Secret
	var status control.Status
	if err := json.Unmarshal([]byte(b.status(http.StatusOK, "GET", "/api/v1/status", nil)), &status); err != nil || status.Users != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	b.status(http.StatusOK, "GET", "/api/v1/users", nil)
	b.status(http.StatusForbidden, "POST", "/api/v1/users", map[string]string{"name": "omid"})
	b.status(http.StatusForbidden, "GET", "/api/v1/keys", nil)
	if _, err := client.RevokeToken(t.Context(), "ci", admin.ChangeOptions{Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	b.status(http.StatusUnauthorized, "GET", "/api/v1/status", nil)
}
