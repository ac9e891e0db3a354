package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/passkey/softkey"
	"mtguard/security/access"
	"mtguard/tgsim"
)

// browser asks a node's dashboard, and keeps its cookies as a browser does.
type browser struct {
	t       testing.TB
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

// TestSessionsMakeRegulars: whoever had signed in before a node starts is no stranger to its listener.
func TestSessionsMakeRegulars(t *testing.T) {
	s := start(t, "", withDashboard)
	knows := func() bool {
		sources := admin.NewSources()
		s.node.knowSessions(t.Context(), sources)
		return sources.Knows(netip.MustParseAddr("127.0.0.1"))
	}
	if knows() {
		t.Error("somebody is known before anybody has signed in")
	}
	b := s.browser()
	b.status(http.StatusOK, "POST", "/auth/enter", map[string]string{"code": s.code("nadia", access.Superuser)})
	if !knows() {
		t.Error("where a session came from is not known")
	}
}

// TestARevokedStreamEnds: a stream of events over TCP ends when what it was opened with is taken back: a session or a token.
func TestARevokedStreamEnds(t *testing.T) {
	s := start(t, "", withDashboard)
	client := admin.NewClient(s.node.AdminSocket(), 10*time.Second)
	defer client.Close()
	because := admin.ChangeOptions{Reason: "test"}
	program := func(name string) *browser {
		result, err := client.CreateToken(t.Context(), admin.TokenBody{Name: name, Level: access.ReadOnly}, admin.ChangeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b := s.browser()
		b.bearer = result.Secret
		return b
	}
	person := s.browser()
	person.status(http.StatusOK, "POST", "/auth/enter", map[string]string{"code": s.code("nadia", access.Superuser)})
	stays := program("stays").events()
	for name, c := range map[string]struct {
		of     *browser
		revoke func() error
	}{
		"a session": {person, func() error {
			_, err := client.EndSessions(t.Context(), admin.EndSessionsBody{Person: "nadia"}, because)
			return err
		}},
		"a token": {program("ci"), func() error {
			_, err := client.RevokeToken(t.Context(), "ci", because)
			return err
		}},
	} {
		stream := c.of.events()
		if err := c.revoke(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, stream); err != nil { // it never ends while its credential is good
			t.Errorf("%s: the stream ends with %v", name, err)
		}
		c.of.status(http.StatusUnauthorized, "GET", "/api/v1/events", nil)
	}
	line := make([]byte, 1) // of a sample: one comes every second
	if _, err := io.ReadFull(stays, line); err != nil {
		t.Errorf("the stream of another ended: %v", err)
	}
}

// events opens a stream, which the test's end closes.
func (b *browser) events() io.Reader {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute) // what never ends is a failure
	b.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", b.base+"/api/v1/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if b.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+b.bearer)
	}
	w, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { w.Body.Close() })
	lines := bufio.NewReader(w.Body)
	if line, err := lines.ReadString('\n'); w.StatusCode != http.StatusOK || err != nil {
		b.t.Fatalf("%d %q, %v", w.StatusCode, line, err)
	}
	return lines
}

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

// ask sends JSON and reads the answer's member publicKey.
func (b *browser) ask(path string) json.RawMessage {
	b.t.Helper()
	var out struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if err := json.Unmarshal([]byte(b.status(http.StatusOK, "POST", path, struct{}{})), &out); err != nil {
		b.t.Fatal(err)
	}
	return out.PublicKey
}

func (b *browser) me(text string) (me admin.Me) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(text), &me); err != nil {
		b.t.Fatal(err)
	}
	return me
}

// enter signs a person in with a code.
func (b *browser) enter(code string) admin.Me {
	b.t.Helper()
	return b.me(b.status(http.StatusOK, "POST", "/auth/enter", map[string]string{"code": code}))
}

// enrol makes a passkey on this device.
func (b *browser) enrol() *softkey.Key {
	b.t.Helper()
	key, answer, err := softkey.Make(b.ask("/auth/passkey/register/begin"), b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	b.status(http.StatusOK, "POST", "/auth/passkey/register/finish", map[string]any{"name": "laptop", "credential": answer})
	return key
}

// show answers a challenge with a passkey.
func (b *browser) show(key *softkey.Key, what string) (status int, text string, answer json.RawMessage) {
	b.t.Helper()
	answer, err := key.Sign(b.ask("/auth/" + what + "/begin"))
	if err != nil {
		b.t.Fatal(err)
	}
	w, text := b.do("POST", "/auth/"+what+"/finish", map[string]any{"credential": answer})
	return w.StatusCode, text, answer
}

func TestAPasskeyIsEnrolledAndSignsIn(t *testing.T) {
	s := start(t, "", withDashboard)
	b := s.browser()
	b.enter(s.code("nadia", access.Superuser))
	first := maps.Clone(b.cookies)
	key := b.enrol()
	enrolled := maps.Clone(b.cookies)
	if maps.Equal(first, enrolled) {
		t.Error("the cookie is the one from before there was a passkey")
	}
	b.status(http.StatusOK, "POST", "/auth/logout", struct{}{})

	code, text, answer := b.show(key, "passkey/login")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	me := b.me(text)
	if me.Via != "passkey" || me.Person != "nadia" || me.Level != access.Superuser || me.Passkeys != 1 || me.FreshUntil == nil {
		t.Errorf("it is %+v", me)
	}
	// The same answer never works again, not after a restart either.
	again := func(when string) {
		t.Helper()
		thief := s.browser()
		thief.status(http.StatusUnauthorized, "POST", "/auth/passkey/login/finish", map[string]any{"credential": answer})
		if len(thief.cookies) > 0 {
			t.Errorf("%s: a cookie for a proof that was used", when)
		}
	}
	again("at once")

	stepped := maps.Clone(b.cookies)
	if code, text, _ := b.show(key, "step-up"); code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	now := maps.Clone(b.cookies)
	b.status(http.StatusOK, "GET", "/api/v1/status", nil)
	for _, old := range []map[string]string{first, enrolled, stepped} {
		b.cookies = maps.Clone(old)
		b.status(http.StatusUnauthorized, "GET", "/auth/me", nil)
	}
	s.halt()
	s.boot(testLog(t))
	b = s.browser()
	again("after a restart")
	for _, value := range now { // another port, another name of the cookie
		b.cookies[fmt.Sprintf("mtguard_%d", s.node.DashboardAt().Port())] = value
	}
	if me := b.me(b.status(http.StatusOK, "GET", "/auth/me", nil)); me.Person != "nadia" {
		t.Errorf("after a restart it is %+v", me)
	}
	// A code is no way around the passkey: it signs in, and no more.
	other := s.browser()
	if me := other.enter(s.code("nadia", access.Superuser)); me.FreshUntil != nil {
		t.Errorf("a code makes a session fresh whose person has a passkey: %+v", me)
	}
	text = other.status(http.StatusForbidden, "POST", "/api/v1/tokens", map[string]any{"name": "x", "level": "admin"})
	if !strings.Contains(text, "/problems/step-up-required") {
		t.Errorf("it is told %s", text)
	}
	other.status(http.StatusForbidden, "PATCH", "/api/v1/policy/controls/rate.accept?reason=x", map[string]any{"mode": "enforce"})
	other.status(http.StatusForbidden, "POST", "/auth/passkey/register/begin", struct{}{})
	other.status(http.StatusOK, "POST", "/api/v1/users", map[string]any{"name": "omid"})
	mine := *key
	mine.Origin = other.base
	if code, text, _ := other.show(&mine, "step-up"); code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	other.status(http.StatusOK, "POST", "/api/v1/tokens", map[string]any{"name": "x", "level": "admin"})
}

func TestTwoPeopleEnforce(t *testing.T) {
	s := start(t, "", withDashboard+"two_person = [\"enforce\"]\n")
	client := admin.NewClient(s.node.AdminSocket(), 10*time.Second)
	defer client.Close()
	result, err := client.SetControl(t.Context(), "rate.accept", admin.ModeBody{Mode: "enforce"}, admin.ChangeOptions{Reason: "test", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if result.Approval == nil || result.Policy != nil {
		t.Fatalf("it does not wait: %+v", result)
	}
	mode := func() string {
		controls, err := client.Controls(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range controls {
			if c.Name == "rate.accept" {
				return c.Mode
			}
		}
		return ""
	}
	if mode() != "monitor" {
		t.Fatalf("it is in %s already", mode())
	}
	path := "/api/v1/approvals/" + result.Approval.ID + "/approve"
	var refusal *control.Error
	if _, err := client.Approve(t.Context(), result.Approval.ID, admin.ChangeOptions{}); !errors.As(err, &refusal) || refusal.Kind != control.Refused {
		t.Errorf("who asked approves it himself: %v", err)
	}
	b := s.browser()
	b.enter(s.code("nadia", access.Superuser)) // whoever let her in answers for her
	b.status(http.StatusConflict, "POST", path, nil)
	b.enrol()
	b.status(http.StatusOK, "POST", path, nil)
	if mode() != "enforce" {
		t.Errorf("it is in %s", mode())
	}
	b.status(http.StatusConflict, "POST", path, nil)
	rows, err := client.AuditTail(t.Context(), 50, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, row := range rows {
		if row.Action == "policy.mode" && strings.Contains(fmt.Sprint(row.Details), "nadia") {
			found = true
		}
	}
	if !found {
		t.Error("the audit log does not say who approved it")
	}
}

func TestClientsOfTheProxyAreEnded(t *testing.T) {
	s := start(t, "", withDashboard)
	client := admin.NewClient(s.node.AdminSocket(), 10*time.Second)
	defer client.Close()
	conn := s.dial(s.client(tgsim.FakeTLS))
	items, err := client.Clients(t.Context(), control.ClientFilter{User: "alice", From: netip.MustParsePrefix("127.0.0.0/8")})
	if err != nil || len(items) != 1 || items[0].User != "alice" || items[0].From != "127.0.0.1" || items[0].Up == 0 {
		t.Fatalf("%+v, %v", items, err)
	}
	if others, err := client.Clients(t.Context(), control.ClientFilter{From: netip.MustParsePrefix("192.0.2.0/24")}); err != nil || len(others) != 0 {
		t.Errorf("from elsewhere: %+v, %v", others, err)
	}
	if _, err := client.AddUser(t.Context(), admin.UserBody{Name: "bob"}, admin.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	result, err := client.EndClients(t.Context(), admin.EndClientsBody{User: "bob"}, admin.ChangeOptions{})
	if err != nil || result.Closed != 0 || conn.Ping([]byte("still")) != nil {
		t.Errorf("another user's: %+v, %v", result, err)
	}
	var refusal *control.Error
	if _, err = client.EndClients(t.Context(), admin.EndClientsBody{User: "alcie"}, admin.ChangeOptions{}); !errors.As(err, &refusal) || refusal.Kind != control.NotFound {
		t.Errorf("of nobody: %v", err)
	}
	if result, err = client.EndClients(t.Context(), admin.EndClientsBody{User: "alice"}, admin.ChangeOptions{DryRun: true}); err != nil || result.Closed != 1 || conn.Ping([]byte("still")) != nil {
		t.Errorf("a dry run: %+v, %v", result, err)
	}
	if result, err = client.EndClients(t.Context(), admin.EndClientsBody{User: "alice"}, admin.ChangeOptions{}); err != nil || result.Closed != 1 {
		t.Errorf("%+v, %v", result, err)
	}
	if conn.Ping([]byte("gone")) == nil {
		t.Error("the session goes on")
	}
	s.dial(s.client(tgsim.FakeTLS)) // nobody is kept out
}
