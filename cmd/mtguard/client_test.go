package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mtguard/config/statedir"
	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
	"mtguard/telemetry/live"
)

// fakePlane answers what a test wants. Methods that no test needs are missing, and panic.
type fakePlane struct {
	admin.Plane
	users   []control.UserInfo
	keys    []control.KeyInfo
	status  control.Status
	refusal error
	result  control.Result
	hub     *live.Hub
	found   []control.IncidentInfo
	clients []control.ClientInfo

	rules      []control.RuleInfo
	lists      []control.ListInfo
	policy     control.PolicyInfo
	exceptions []control.ExceptionInfo
	bundle     control.BundleInfo
	preview    control.PreviewReport
	asked      control.PreviewQuery
	approval   control.ApprovalInfo

	mu      sync.Mutex
	changes []control.Change
	options []control.Options
	by      control.Actor
}

func (p *fakePlane) Apply(_ context.Context, by control.Actor, c control.Change, o control.Options) (control.Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes, p.options, p.by = append(p.changes, c), append(p.options, o), by
	result := p.result
	result.DryRun = o.DryRun
	return result, p.refusal
}

func (p *fakePlane) Users(_ context.Context, f control.UserFilter) (items []control.UserInfo, next string, err error) {
	for _, user := range p.users {
		switch {
		case user.Name <= f.After || f.State != "" && user.State != f.State:
		case len(items) == f.Limit:
			return items, items[len(items)-1].Name, nil
		default:
			items = append(items, user)
		}
	}
	return items, "", p.refusal
}

func (p *fakePlane) User(_ context.Context, name string) (control.UserInfo, error) {
	for _, user := range p.users {
		if user.Name == name {
			return user, nil
		}
	}
	return control.UserInfo{}, &control.Error{Kind: control.NotFound, Text: fmt.Sprintf("no user %q", name), Fix: "mtguard user list"}
}

func (p *fakePlane) Keys(context.Context, control.KeyFilter) ([]control.KeyInfo, string, error) {
	return p.keys, "", p.refusal
}

func (p *fakePlane) Key(_ context.Context, id string) (control.KeyInfo, error) {
	for _, key := range p.keys {
		if strings.HasPrefix(string(key.ID), id) {
			return key, nil
		}
	}
	return control.KeyInfo{}, &control.Error{Kind: control.NotFound, Text: "no such key"}
}

func (p *fakePlane) Status(context.Context) (control.Status, error) { return p.status, p.refusal }

func (p *fakePlane) Events(_ context.Context, _ control.Actor, q live.Query) (*live.View, error) {
	p.mu.Lock()
	hub := p.hub
	p.mu.Unlock()
	return hub.View(q)
}

func (p *fakePlane) Clients(context.Context, control.ClientFilter) ([]control.ClientInfo, bool, error) {
	return p.clients, false, p.refusal
}

func (p *fakePlane) Incidents(context.Context, control.IncidentFilter) ([]control.IncidentInfo, int64, error) {
	return p.found, 0, p.refusal
}

func (p *fakePlane) done() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.changes)
}

// onSocket serves over a Unix socket until the test ends.
func onSocket(t *testing.T, h http.Handler) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mtguard") // shorter than t.TempDir: a socket's path has its limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "admin.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return socket
}

// node serves the real API in front of a plane.
func (p *fakePlane) node(t *testing.T) (socket string) {
	api := admin.NewAPI(p, slog.New(slog.DiscardHandler)).Handler()
	return onSocket(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by := control.Actor{Name: "uid 0", Level: access.Superuser}
		api.ServeHTTP(w, r.WithContext(admin.WithActor(r.Context(), by)))
	}))
}

// typed runs a command line with what somebody types into it.
func typed(input string, args ...string) (code int, stdout, stderr string) {
	var out, err strings.Builder
	a := &app{stdin: strings.NewReader(input), stdout: &out, stderr: &err, asking: input != "", defaultConfig: "/nonexistent/mtguard.toml", defaultSocket: "/nonexistent/admin.sock"}
	code = a.execute(append([]string{}, args...)) // nil would be the arguments of the test
	return code, out.String(), err.String()
}

func TestForeignNamesCannotDriveTheTerminal(t *testing.T) {
	const evil = "ali\x1b[2Jce\u202e"
	plane := &fakePlane{users: []control.UserInfo{{Name: evil, State: "ok", Note: evil, Source: "admin"}},
		keys: []control.KeyInfo{{ID: "0123456789abcdef", Purpose: "user", User: evil, State: "active"}}, result: control.Result{Summary: "done " + evil}}
	socket := plane.node(t)
	for _, args := range [][]string{
		{"user", "list"}, {"key", "list"}, {"key", "show", "0123"}, {"user", "disable", "alice"}, {"user", "show", "bob\x1b[2J"},
	} {
		code, out, stderr := typed("", append(args, "--server", socket)...)
		if text := out + stderr; text == "" || strings.ContainsAny(text, "\x1b\u202e") {
			t.Errorf("%v (exit code %d) prints %q", args, code, text)
		}
	}
	// JSON is for programs: it holds the name as it is, escaped.
	_, out, _ := typed("", "user", "list", "--json", "--server", socket)
	var got struct{ Items []control.UserInfo }
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Items) != 1 || got.Items[0].Name != evil || strings.Contains(out, "\x1b") {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestRefusalsBecomeExitCodes(t *testing.T) {
	for kind, want := range map[control.Kind]int{
		control.Invalid: 2, control.NotFound: 4, control.Exists: 1, control.Refused: 5, control.Stale: 8, control.Denied: 6, control.Unavailable: 1,
	} {
		plane := &fakePlane{refusal: &control.Error{Kind: kind, Text: "it is so", Fix: "do that", Field: "name"}}
		code, out, stderr := typed("", "user", "disable", "alice", "--server", plane.node(t))
		if code != want || out != "" || stderr != "error: it is so\n  do that\n" {
			t.Errorf("%v: exit code %d, want %d; printed %q, %q", kind, code, want, out, stderr)
		}
	}
}

func TestTheFlagsOfAChangeReachTheNode(t *testing.T) {
	plane := &fakePlane{result: control.Result{Summary: "user alice is set"}}
	code, out, stderr := typed("", "user", "set", "alice", "--level", "read_only", "--expires", "never", "--quota", "1GiB/day", "--max-connections", "0",
		"--note", "hi", "--reason", "because", "--if-revision", "17", "--dry-run", "--force", "--server", plane.node(t))
	if code != 0 || out != "would: user alice is set\n" || plane.done() != 1 {
		t.Fatalf("exit code %d, %q, %q", code, out, stderr)
	}
	o := plane.options[0]
	if o.Reason != "because" || o.IfRevision != 17 || !o.DryRun || !o.Force || o.IdempotencyKey == "" {
		t.Errorf("got %+v", o)
	}
	set := plane.changes[0].(control.SetUser)
	switch {
	case set.Name != "alice" || *set.Level != access.ReadOnly || !set.Expires.IsZero() || *set.Note != "hi":
		t.Errorf("got %+v", set)
	case *set.Quota != control.Quota{Bytes: 1 << 30, Per: "day"} || *set.MaxConnections != 0:
		t.Errorf("got %+v", set)
	case set.Disabled != nil || set.MaxAddresses != nil || set.Domain != nil:
		t.Errorf("%+v sets what no flag named", set)
	}
}

func TestRevokingSaysWhatItWillDoAndAsks(t *testing.T) {
	plane := &fakePlane{
		keys:   []control.KeyInfo{{ID: "0123456789abcdef", Purpose: "user", User: "alice", State: "active", Sessions: 3, Addresses: 212}},
		result: control.Result{Summary: "key 0123456789abcdef of user alice is revoked"},
	}
	socket := plane.node(t)
	revoke := func(more ...string) []string {
		return append([]string{"key", "revoke", "0123", "--reason", "stolen", "--server", socket}, more...)
	}

	code, _, stderr := typed("0123456\n", revoke()...)
	if want := "revoke 01234567 (user alice, active): 3 live sessions will be cut off now; 212 addresses used it"; !strings.Contains(stderr, want) ||
		!strings.Contains(stderr, "Type 01234567 to continue: ") {
		t.Errorf("the question is %q, without %q", stderr, want)
	}
	if code != 5 || plane.done() != 0 {
		t.Fatalf("after another answer: exit code %d, %d changes", code, plane.done())
	}
	for name, args := range map[string][]string{"nobody there": revoke(), "--no-input": revoke("--no-input")} {
		code, _, stderr := typed("", args...)
		if code != 2 || !strings.Contains(stderr, "--yes") || !strings.Contains(stderr, "3 live sessions") || plane.done() != 0 {
			t.Errorf("%s: exit code %d, %q, %d changes", name, code, stderr, plane.done())
		}
	}
	if code, out, stderr := typed("01234567\n", revoke()...); code != 0 || !strings.Contains(out, "is revoked") || plane.done() != 1 {
		t.Fatalf("after the right answer: exit code %d, %q, %q, %d changes", code, out, stderr, plane.done())
	}
	if got := plane.changes[0].(control.RevokeKey); got.ID != "0123456789abcdef" || got.Replace {
		t.Errorf("got %+v: the whole id has to be sent", got)
	}
	if code, _, _ := typed("", revoke("--yes", "--replace")...); code != 0 || plane.done() != 2 || !plane.changes[1].(control.RevokeKey).Replace {
		t.Errorf("--yes: exit code %d, %d changes", code, plane.done())
	}
	if code, _, stderr := typed("", "key", "revoke", "0123", "--yes", "--server", socket); code != 2 || !strings.Contains(stderr, "--reason") {
		t.Errorf("without a reason: exit code %d, %q", code, stderr)
	}
}

func TestEndingManySessionsSaysHowManyAndAsks(t *testing.T) {
	for _, c := range []struct {
		args, question, word string
		want                 control.Change
	}{
		{"--user nadia", "sign out 3 sessions of nadia", "nadia", control.EndSessions{Person: "nadia"}},
		{"--clients --addr 198.51.100.9/24", "cut off 3 sessions of clients from 198.51.100.0/24; they may come again", "198.51.100.9/24",
			control.EndClients{From: netip.MustParsePrefix("198.51.100.0/24")}},
		{"--clients --user alice --addr 198.51.100.9", "cut off 3 sessions of clients of alice from 198.51.100.9/32; they may come again", "alice",
			control.EndClients{User: "alice", From: netip.MustParsePrefix("198.51.100.9/32")}},
	} {
		plane := &fakePlane{result: control.Result{Summary: "3 sessions ended", Closed: 3}}
		args := append([]string{"session", "kill", "--server", plane.node(t)}, strings.Fields(c.args)...)
		made := func() (n int) {
			for i, o := range plane.options {
				if !o.DryRun && plane.changes[i] == c.want {
					n++
				}
			}
			return n
		}
		if code, _, stderr := typed("", args...); code != 2 || !strings.Contains(stderr, c.question+"\n") || made() != 0 {
			t.Errorf("%s, nobody there: exit code %d, %q, %d made", c.args, code, stderr, made())
		}
		if code, _, stderr := typed("yes\n", args...); code != 5 || !strings.Contains(stderr, "Type "+c.word+" to continue: ") || made() != 0 {
			t.Errorf("%s, another answer: exit code %d, %q, %d made", c.args, code, stderr, made())
		}
		if code, out, _ := typed(c.word+"\n", args...); code != 0 || out != "3 sessions ended\n" || made() != 1 {
			t.Errorf("%s, the word: exit code %d, %q, %d made", c.args, code, out, made())
		}
		if code, _, _ := typed("", append(args, "--yes")...); code != 0 || made() != 2 {
			t.Errorf("%s --yes: exit code %d, %d made", c.args, code, made())
		}
		plane.result.Closed = 0
		if code, _, _ := typed("", args...); code != 0 || made() != 3 {
			t.Errorf("%s, of none: exit code %d, %d made", c.args, code, made())
		}
	}
}

func TestAChangeIsAskedForAgainAfterABrokenConnection(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	socket := onSocket(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys) == 1 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"revision":3,"summary":"done","repeated":true}`)
	}))
	code, out, stderr := typed("", "user", "disable", "alice", "--server", socket)
	mu.Lock()
	if code != 0 || out != "done before: done\n" || len(keys) != 2 || keys[0] == "" || keys[0] != keys[1] {
		t.Errorf("exit code %d, %q, %q, keys %q", code, out, stderr, keys)
	}
	keys = nil
	mu.Unlock()
	code, _, _ = typed("", "user", "show", "alice", "--server", socket)
	mu.Lock()
	defer mu.Unlock()
	if code != 7 || len(keys) != 1 {
		t.Errorf("a read: exit code %d, asked %d times", code, len(keys))
	}
}

func TestInterruptEndsAWaitingCommand(t *testing.T) {
	socket := onSocket(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		syscall.Kill(os.Getpid(), syscall.SIGINT)
		<-r.Context().Done()
	}))
	code, _, stderr := typed("", "status", "--timeout", "1m", "--server", socket)
	if code != 130 || stderr != "error: interrupted\n" {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestANodeThatDoesNotAnswerIsExitCode7(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Skip(err) // the directory's name is too long here
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	silent := onSocket(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no socket":        {[]string{"--server", filepath.Join(dir, "none.sock")}, "there is no such socket"},
		"nobody listens":   {[]string{"--server", dead}, "nobody listens"},
		"no answer":        {[]string{"--server", silent, "--timeout", "10ms"}, "it gave no answer"},
		"no node ever ran": {[]string{"--state-dir", filepath.Join(dir, "none")}, "/nonexistent/admin.sock"},
	} {
		code, out, stderr := typed("", append([]string{"status"}, test.args...)...)
		if code != 7 || out != "" || !strings.HasPrefix(stderr, "error: the node is not answering on ") || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit code %d, %q, %q", name, code, out, stderr)
		}
	}
}

func TestListsAreReadPageByPage(t *testing.T) {
	plane := new(fakePlane)
	for i := range 1200 {
		plane.users = append(plane.users, control.UserInfo{Name: fmt.Sprintf("user%04d", i), State: "ok", Down: int64(i)})
	}
	socket := plane.node(t)
	for _, test := range []struct {
		args  string
		count int
		first string
		note  bool
	}{
		{"", 1200, "user0000", false},
		{"--limit 3", 3, "user0000", true},
		{"--limit 700", 700, "user0000", true},
		{"--limit 1200", 1200, "user0000", false},
		{"--sort traffic --limit 2", 2, "user1199", true},
		{"--filter state=expired", 0, "", false},
	} {
		code, out, stderr := typed("", append(append([]string{"user", "list"}, strings.Fields(test.args)...), "--server", socket)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")[1:]
		if code != 0 || len(lines) != test.count || test.count > 0 && !strings.HasPrefix(lines[0], test.first+" ") || (stderr != "") != test.note {
			t.Errorf("%s: exit code %d, %d lines, %q", test.args, code, len(lines), stderr)
		}
	}
	code, out, _ := typed("", "user", "list", "-o", "jsonl", "--limit", "2", "--server", socket)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 2 || !strings.HasPrefix(lines[1], `{"name":"user0001"`) {
		t.Errorf("jsonl: exit code %d, %q", code, out)
	}
	for _, args := range []string{"--filter state", "--filter colour=red", "--sort size", "-o yaml", "--timeout 0s"} {
		if code, _, stderr := typed("", append(append([]string{"user", "list"}, strings.Fields(args)...), "--server", socket)...); code != 2 {
			t.Errorf("%s: exit code %d, %q", args, code, stderr)
		}
	}
}

func TestCompletionKnowsWhatTheNodeHas(t *testing.T) {
	plane := &fakePlane{
		users: []control.UserInfo{{Name: "alice", State: "ok", Note: "from\nwork"}, {Name: "bob", State: "expired"}, {Name: "bobby", State: "ok"}},
		keys:  []control.KeyInfo{{ID: "0123456789abcdef", User: "alice", State: "active"}},
		rules: []control.RuleInfo{{ID: "r1f0c2a9be", Match: "203.0.113.0/24", State: "in force", Reason: "scans"}},
		lists: []control.ListInfo{{Name: "drop", Origin: "https://lists.example/drop"}},

		policy:     control.PolicyInfo{Revision: 41, Actor: "uid 0", Reason: "calmer"},
		exceptions: []control.ExceptionInfo{{ID: "e7b2f47a10", Controls: []string{"conns.user"}, User: "alice"}},
	}
	socket := plane.node(t)
	for _, test := range []struct {
		line string
		want []string
	}{
		{"user show --server SOCKET ", []string{"alice\tok, from work", "bob\texpired", "bobby\tok"}},
		{"user rm --server SOCKET bo", []string{"bob\texpired", "bobby\tok"}},
		{"user set --server SOCKET alice ", nil},
		{"key rotate --server SOCKET bob bo", []string{"bobby\tok"}},
		{"link --server SOCKET al", []string{"alice\tok, from work"}},
		{"key revoke --server SOCKET 0", []string{"0123456789abcdef\tactive, alice"}},
		{"key list --server SOCKET --user b", []string{"bob\texpired", "bobby\tok"}},
		{"user add x --level s", []string{"standard", "superuser"}},
		{"key list --filter ", []string{"user=", "state=", "purpose="}},
		{"access rm --server SOCKET ", []string{"r1f0c2a9be\t203.0.113.0/24, none, scans"}},
		{"unblock --server SOCKET 2", []string{"203.0.113.0/24\tin force, scans"}},
		{"list reload --server SOCKET ", []string{"drop\tnone, https://lists.example/drop"}},
		{"policy rollback --server SOCKET r", []string{"r41\tuid 0, calmer", "r0\tbefore anybody set one"}},
		{"policy unexcept --server SOCKET ", []string{"e7b2f47a10\tconns.user, alice"}},
		{"policy except conns.user --server SOCKET --for a", []string{"alice\tok, from work"}},
		{"policy mode geo", []string{"geo.country"}},
		{"policy mode geo.country e", []string{"enforce"}},
		{"policy mode geo.country enforce ", nil},
		{"rollout next over", []string{"overload.level"}},
		// A node that is down has nothing, and says nothing.
		{"user show --server /nonexistent/x.sock ", nil},
		{"key show --config /nonexistent/mtguard.toml ", nil},
	} {
		args := append([]string{"__complete"}, strings.Split(strings.ReplaceAll(test.line, "SOCKET", socket), " ")...)
		code, out, stderr := typed("", args...)
		got := slices.DeleteFunc(strings.Split(strings.TrimSpace(out), "\n"), func(line string) bool { return strings.HasPrefix(line, ":") })
		if code != 0 || !slices.Equal(got, test.want) || strings.Contains(stderr, "error") {
			t.Errorf("%s: exit code %d, got %q, want %q; %q", test.line, code, got, test.want, stderr)
		}
	}
}

func TestCompletionScriptsAreThere(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, stderr := typed("", "completion", shell); code != 0 || !strings.Contains(out, "__complete") {
			t.Errorf("%s: exit code %d, %d bytes, %q", shell, code, len(out), stderr)
		}
	}
}

func TestWhereTheSocketIs(t *testing.T) {
	state, empty := t.TempDir(), t.TempDir()
	dir, err := statedir.Open(state, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteRun(statedir.Run{Config: "/etc/other.toml", AdminSocket: "/run/noted.sock"}); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	named := write("named.toml", "admin.socket = \"/run/named.sock\"\n")
	auto := write("auto.toml", "state.dir = \""+state+"\"\n")
	off := write("off.toml", "admin.socket = \"\"\n")
	broken := write("broken.toml", "admin.socket = 7\n")
	existing := write("admin.sock", "")
	for _, test := range []struct {
		name                  string
		flags                 nodeFlags
		byDefault, theDefault string
		want                  string
		code                  int
	}{
		{"named by the file", nodeFlags{config: named, stateDir: state}, "", "", "/run/named.sock", 0},
		{"named by the default file", nodeFlags{stateDir: state}, named, "", "/run/named.sock", 0},
		{"noted by the last run", nodeFlags{stateDir: state}, "", existing, "/run/noted.sock", 0},
		{"noted, the state directory is the file's", nodeFlags{}, auto, "", "/run/noted.sock", 0},
		{"the last run was of another file", nodeFlags{config: auto}, "", "", filepath.Join(state, "admin.sock"), 0},
		{"the last run was of another file, and there is a socket", nodeFlags{config: auto}, "", existing, existing, 0},
		{"nobody has run", nodeFlags{stateDir: empty}, "", "", filepath.Join(empty, "admin.sock"), 0},
		{"no state directory", nodeFlags{stateDir: filepath.Join(empty, "none")}, "", "", "/nonexistent/admin.sock", 0},
		{"the default file is broken", nodeFlags{stateDir: state}, broken, "", "/run/noted.sock", 0},
		{"the file asked for is broken", nodeFlags{config: broken}, "", "", "", 3},
		{"the file asked for is missing", nodeFlags{config: filepath.Join(empty, "none.toml")}, "", "", "", 4},
		{"turned off", nodeFlags{config: off}, "", "", "", 2},
	} {
		a := &app{defaultConfig: "/nonexistent/mtguard.toml", defaultSocket: "/nonexistent/admin.sock"}
		if test.byDefault != "" {
			a.defaultConfig = test.byDefault
		}
		if test.theDefault != "" {
			a.defaultSocket = test.theDefault
		}
		got, err := a.socket(&test.flags)
		if got != test.want || exitCode(err) != test.code {
			t.Errorf("%s: got %q, %v, want %q, exit code %d", test.name, got, err, test.want, test.code)
		}
	}
}

func TestFlagsHaveVariables(t *testing.T) {
	plane := &fakePlane{users: []control.UserInfo{{Name: "alice", State: "ok"}}}
	t.Setenv("MTGUARD_CLI_SERVER", plane.node(t))
	t.Setenv("MTGUARD_CLI_JSON", "true")
	code, out, stderr := typed("", "user", "list")
	if code != 0 || !strings.HasPrefix(out, "{\n  \"schema\": \"mtguard/user.list/v1\",\n  \"items\": [") {
		t.Errorf("exit code %d, %q, %q", code, out, stderr)
	}
	if code, out, _ := typed("", "user", "list", "--json=false"); code != 0 || !strings.HasPrefix(out, "NAME") {
		t.Errorf("the flag does not win: exit code %d, %q", code, out)
	}
	t.Setenv("MTGUARD_CLI_TIMEOUT", "soon")
	if code, _, stderr := typed("", "user", "list"); code != 2 || !strings.Contains(stderr, "MTGUARD_CLI_TIMEOUT") {
		t.Errorf("a bad variable: exit code %d, %q", code, stderr)
	}
}

func TestAFileIsWholeOrNotThere(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	broken := errors.New("broken")
	if _, err := newFile(name, func(w io.Writer) error { io.WriteString(w, "half"); return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("half a file is left")
	}
	if n, err := newFile(name, func(w io.Writer) error { _, err := io.WriteString(w, "whole"); return err }); n != 5 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := newFile(name, func(io.Writer) error { return nil }); !errors.Is(err, os.ErrExist) {
		t.Errorf("a file that is there: %v", err)
	}
	if got, err := os.ReadFile(name); string(got) != "whole" || err != nil {
		t.Errorf("it holds %q, %v", got, err)
	}
}

func TestALineOfStatusStandsBelowTheHelp(t *testing.T) {
	plane := new(fakePlane)
	t.Setenv("MTGUARD_CLI_SERVER", plane.node(t))
	now := time.Now()
	plane.status = control.Status{Started: now.Add(-72 * time.Hour), Now: now, Users: 12, Connections: 1, Tripped: 3}
	_, out, _ := typed("")
	if want := "\nThe node is up 3d: 12 users, 1 connection, 1 warning. See mtguard status.\n"; !strings.HasSuffix(out, want) {
		t.Errorf("%q does not end with %q", out, want)
	}
}
