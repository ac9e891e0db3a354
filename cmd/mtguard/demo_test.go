package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"mtguard/tgsim"
)

// demoDecoded has the fields of all three kinds of line that the test looks at.
type demoDecoded struct {
	Demo          bool
	Kind, Link    string
	Who, What     string
	Attacker, OK  bool
	Proxy, Reason string
	Sums          demoSums
	Users         []demoUserRow
	Attacks       []demoAttackRow
	NotTried      []string `json:"not_tried"`
}

// runDemo runs a demonstration and checks that nothing of it is left.
func runDemo(t *testing.T, ctx context.Context, o demoOptions) (stdout string, err error) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Setenv("TMPDIR", t.TempDir())
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs}
	err = a.demo(ctx, o)
	if errs.Len() > 0 {
		t.Errorf("standard error: %s", errs.String())
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	goleak.VerifyNone(t, before)
	return out.String(), err
}

func TestDemoServesUsersAndShowsEveryAttack(t *testing.T) {
	kinds := tgsim.Probes()
	out, err := runDemo(t, t.Context(), demoOptions{length: 8 * time.Second, users: 5, attackers: len(kinds), json: true})
	if err != nil || exitCode(err) != 0 {
		t.Fatalf("demo: %v, exit code %d", err, exitCode(err))
	}
	var lines []demoDecoded
	for text := range strings.Lines(out) {
		var d demoDecoded
		if err := json.Unmarshal([]byte(text), &d); err != nil || !d.Demo {
			t.Fatalf("not JSON of a demonstration: %v: %s", err, text)
		}
		lines = append(lines, d)
	}
	if first := lines[0]; first.Kind != "start" || !strings.HasPrefix(first.Link, "tg://proxy?server=127.0.0.1&port=") {
		t.Errorf("first line: %+v", first)
	}
	reasons := make(map[string]string)
	for _, d := range lines[1 : len(lines)-1] {
		if d.Kind == "attack" {
			continue
		}
		if d.Kind != "happening" || !d.OK || d.Proxy == "" {
			t.Errorf("line: %+v", d)
		}
		if d.Attacker {
			reasons[d.What] = d.Reason
		}
	}
	for attack, reason := range map[string]string{
		"replay": "replay", "replay-retimed": "replay", "wrong-secret": "bad_secret", "wrong-name": "server_name", "clock-ahead": "clock", "half-open": "timeout",
	} {
		if reasons[attack] != reason {
			t.Errorf("%s: the node's reason is %q, want %q", attack, reasons[attack], reason)
		}
	}
	last := lines[len(lines)-1]
	if last.Kind != "summary" || !last.OK {
		t.Fatalf("last line: %+v", last)
	}
	for _, u := range last.Users {
		if u.Sessions == 0 || u.Up == 0 || u.Down == 0 || u.Errors != 0 {
			t.Errorf("user: %+v", u)
		}
	}
	if len(last.Users) != 6 || len(last.Attacks) != len(kinds) || len(last.NotTried) != 0 {
		t.Errorf("%d users, %d of %d kinds of attack, not tried: %v", len(last.Users), len(last.Attacks), len(kinds), last.NotTried)
	}
	if s := last.Sums; s.Open != 0 || s.Replays < 4 || s.Covered == 0 || s.Relayed == 0 || s.Missed != 0 {
		t.Errorf("sums: %+v", s)
	}
}

// TestDemoEndsByInterrupt: within a second or two, with its tables, and as a success.
func TestDemoEndsByInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(1500*time.Millisecond, cancel)
	began := time.Now()
	out, err := runDemo(t, ctx, demoOptions{users: 3, attackers: 3})
	if err != nil {
		t.Errorf("demo: %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("it ended %v after the interrupt", took-1500*time.Millisecond)
	}
	for _, want := range []string{"DEMO DATA", "tg://proxy?", "/metrics", "Ctrl-C", "MTGUARD_CLI_SERVER=", "USER ", "alice", "Users were served"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 && !strings.Contains(line, "admin.sock") && !strings.Contains(line, "/enter#") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("escape sequences for what is no terminal")
	}
}

// TestDemoOpensItsDashboard: the address is printed at once, signs in once, and the node itself says that its data are
// those of a demonstration.
func TestDemoOpensItsDashboard(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	printed, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := (&app{stdout: out, stderr: io.Discard}).demo(ctx, demoOptions{users: 1, crowd: 5, json: true})
		out.Close()
		ended <- err
	}()
	lines := json.NewDecoder(printed)
	var start struct{ Kind, Dashboard string }
	if err := lines.Decode(&start); err != nil || start.Kind != "start" {
		t.Fatalf("the first line is %+v, %v", start, err)
	}
	go io.Copy(io.Discard, io.MultiReader(lines.Buffered(), printed))
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	base, code, _ := strings.Cut(start.Dashboard, "/enter#")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	enter := func() int {
		answer, err := client.Post(base+"/auth/enter", "application/json", strings.NewReader(`{"code":"`+code+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	if got := enter(); got != http.StatusOK {
		t.Fatalf("signing in with what was printed: %d", got)
	}
	answer, err := client.Get(base + "/api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var status struct {
		Demo  bool
		Users int
	}
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil || !status.Demo || status.Users != 7 {
		t.Errorf("the status is %+v, %v", status, err)
	}
	if got := enter(); got < 400 {
		t.Errorf("it signs in a second time: %d", got)
	}
}

// TestDemoAttacksAreFound: each attack is what its detector finds, while a crowd is served; and the node can be watched meanwhile.
func TestDemoAttacksAreFound(t *testing.T) {
	if l, err := net.Listen("tcp", "127.0.66.1:0"); err != nil {
		t.Skip("loopback is one address here, which nobody suspects of anything")
	} else {
		l.Close()
	}
	for _, attack := range demoAttacks {
		t.Run(attack.name, func(t *testing.T) {
			out, err := runDemo(t, t.Context(), demoOptions{length: 6 * time.Second, users: 1, attackers: 1, crowd: 60, attack: attack.name, json: true})
			if err != nil {
				t.Fatal(err)
			}
			var last struct {
				Crowd     int64 `json:"crowd_acts"`
				Incidents []struct{ Detector, Subject string }
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
				t.Fatal(err)
			}
			found := false
			for _, i := range last.Incidents {
				found = found || i.Detector == attack.detector && !strings.HasPrefix(i.Subject, "127.")
			}
			if !found || last.Crowd == 0 {
				t.Errorf("no incident of %s: %+v; the crowd did %d things", attack.detector, last.Incidents, last.Crowd)
			}
			if n := strings.Count(out, `"kind":"attack"`); n != 1 {
				t.Errorf("%d attacks in six seconds", n)
			}
		})
	}
}

// TestDemoTellsWhatWentWrong feeds the tally with what must not happen.
func TestDemoTellsWhatWentWrong(t *testing.T) {
	site := tgsim.Observed{Bytes: []byte("an error page"), End: tgsim.FIN}
	good := []tgsim.Happening{
		{Who: "alice", What: "connect", OK: true}, {Who: "alice", What: "ping", OK: true},
		{Who: "attacker-1", Attacker: true, What: "http", Observed: &site},
	}
	broken := tgsim.Happening{Who: "alice", What: "ping", Err: errors.New("cut off")}
	known := tgsim.Happening{Who: "attacker-1", Attacker: true, What: "wrong-secret", Observed: &tgsim.Observed{Served: true}}
	told := tgsim.Happening{Who: "attacker-1", Attacker: true, What: "http", Observed: &tgsim.Observed{End: tgsim.RST}}
	failed := tgsim.Happening{Who: "attacker-1", Attacker: true, What: "http", Err: errors.New("no connection")}
	unserved := tgsim.Happening{Who: "attacker-1", Attacker: true, What: "segments", Observed: &tgsim.Observed{}}
	for _, c := range []struct {
		name  string
		list  []tgsim.Happening
		early bool
		want  string // of the only problem
	}{
		{"all is well", good, false, ""},
		{"nobody served", nil, false, "alice was never served"},
		{"nobody served yet", nil, true, ""},
		{"only let in", good[:1], false, "alice was never served"},
		{"an error", append(good[:3:3], broken), true, "alice had 1 errors"},
		{"an attacker answered", append(good[:3:3], known), true, "wrong-secret was answered"},
		{"another end than the site's", append(good[:2:2], told), true, "http can tell the proxy from the site"},
		{"another end, once", append(good[:3:3], told), true, ""},
		{"an attack that failed", append(good[:3:3], failed), true, "http could not be tried"},
		{"a client in odd clothes", append(good[:3:3], unserved), true, "segments was not served"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &demoWorld{options: demoOptions{users: 1, attackers: 1}, probes: make(map[string]tgsim.Probe), siteOf: map[string]tgsim.Observed{"http": site}}
			for _, p := range tgsim.Probes() {
				w.probes[p.Name] = p
			}
			w.people()
			tally := newDemoTally(w)
			for _, h := range c.list {
				tally.happening(t.Context(), h)
			}
			got := tally.problems(c.early)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
				t.Errorf("problems: %q, want %q", got, c.want)
			}
		})
	}
}

func TestDemoRefusesOddFlags(t *testing.T) {
	for _, args := range [][]string{{"--for", "10ms"}, {"--for", "-1s"}, {"--users", "0"}, {"--users", "65"}, {"--attackers", "-1"}, {"--attackers", "65"}, {"--crowd", "-1"}, {"--crowd", "2001"}, {"--attack", "war"}, {"now"}} {
		var out, errs bytes.Buffer
		a := &app{stdout: &out, stderr: &errs}
		if code := a.execute(append([]string{"demo"}, args...)); code != 2 || out.Len() > 0 {
			t.Errorf("%v: exit code %d, output %q", args, code, out.String())
		}
	}
}
