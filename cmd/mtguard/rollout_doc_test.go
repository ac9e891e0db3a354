package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mtguard/control/admin"
	"mtguard/tgsim"
)

const rolloutDoc = "../../doc/rollout.md"

// TestTheRolloutIsAsWritten walks through doc/rollout.md: it writes the files that the document shows, lets the
// clients come that it speaks of, types its commands, and wants the output that stands there. With -update that is
// written anew.
func TestTheRolloutIsAsWritten(t *testing.T) {
	before, err := os.ReadFile(rolloutDoc)
	if err != nil {
		t.Fatal(err)
	}
	w := newWalk(t)
	after := w.through(string(before))
	if w.commands < 30 || w.came < 100 {
		t.Errorf("%d commands were typed and %d clients came: the document has more of them", w.commands, w.came)
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(rolloutDoc, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// walk is a node with what it needs around it, and somebody who types.
type walk struct {
	t              *testing.T
	dir, addr      string
	api            *admin.Client
	open           []*tgsim.Conn
	commands, came int
}

const walkConfig = `
[proxy]
listen = [%q]
proxy_protocol_from = ["127.0.0.1/32"]
transports = ["faketls", "secure", "classic"]
[cover]
domains = ["www.example.com"]
fall_back_to = %q
[upstream.dc]
2 = [%q]
[metrics]
listen = ""
[state]
dir = "state"
[log]
level = "warn"
`

func newWalk(t *testing.T) *walk {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	dc, err := tgsim.StartDC(ctx, tgsim.DCConfig{Number: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dc.Close() })
	cover, err := tgsim.StartCover(ctx, tgsim.CoverConfig{Domain: "www.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cover.Close() })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, dir: t.TempDir(), addr: free.Addr().String()}
	free.Close()
	w.api = admin.NewClient(filepath.Join(w.dir, "state", "admin.sock"), 10*time.Second)
	t.Cleanup(w.api.Close)
	w.write("mtguard.toml", fmt.Sprintf(walkConfig, w.addr, cover.Addr(), dc.Addr()))
	node := w.command("mtguard", "run", "--config", "mtguard.toml")
	var log bytes.Buffer
	node.Stdout, node.Stderr = &log, &log
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.leave()
		node.Process.Signal(syscall.SIGTERM)
		if err := node.Wait(); err != nil {
			t.Errorf("the node: %v\n%s", err, &log)
		}
	})
	for range 2000 { // until it answers
		if err = w.command("mtguard", "status").Run(); err == nil {
			return w
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the node does not answer: %v", err)
	return nil
}

func (w *walk) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// command is one that finds the node, and nothing of this machine's.
func (w *walk) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = w.dir
	c.Env = append(os.Environ(), "HOME="+w.dir, "MTGUARD_CLI_STATE_DIR="+filepath.Join(w.dir, "state"), "SSH_CONNECTION=", "TZ=UTC", "GORACE=atexit_sleep_ms=20")
	return c
}

var (
	walkFile   = regexp.MustCompile("^```toml (\\S+)$")
	walkPeople = regexp.MustCompile(`^<!-- (\w+): (\d+) connections? by (\w+) from (\S+?)(, kept open)? -->$`)
)

// through goes from line to line and returns the document as it should be.
func (w *walk) through(text string) string {
	w.t.Helper()
	lines := strings.SplitAfter(text, "\n")
	var out strings.Builder
	for i := 0; i < len(lines) && !w.t.Failed(); i++ {
		line := strings.TrimSuffix(lines[i], "\n")
		out.WriteString(lines[i])
		block := func() (text string) {
			for i++; i < len(lines) && lines[i] != "```\n"; i++ {
				text += lines[i]
			}
			return text
		}
		switch m := walkFile.FindStringSubmatch(line); {
		case m != nil:
			file := block()
			w.write(m[1], file)
			out.WriteString(file + "```\n")
		case line == "```console":
			out.WriteString(w.console(block()) + "```\n")
		case line == "<!-- all leave -->":
			w.leave()
		case walkPeople.MatchString(line):
			w.come(walkPeople.FindStringSubmatch(line))
		}
	}
	return out.String()
}

// console types the commands of a block and compares what they print.
func (w *walk) console(block string) string {
	w.t.Helper()
	var out strings.Builder
	for _, part := range strings.SplitAfter("\n"+block, "\n$ ")[1:] {
		typed, want, _ := strings.Cut(strings.TrimSuffix(part, "$ "), "\n")
		c := w.command("sh", "-c", typed)
		got, err := c.CombinedOutput()
		w.commands++
		fmt.Fprintf(&out, "$ %s\n%s", typed, shown(string(got)))
		failed := strings.Contains(string(got), "error: ")
		if (err != nil) != failed {
			w.t.Errorf("$ %s\n%s%v", typed, got, err)
		}
		if !*update && plainly(want) != plainly(string(got)) {
			w.t.Errorf("$ %s\ngot\n%s\nwant\n%s", typed, got, want)
		}
	}
	return out.String()
}

var walkLink = regexp.MustCompile(`(tg://|https://t\.me/)\S+`)

// shown is output as it may stand in a document.
func shown(text string) string {
	text = walkLink.ReplaceAllString(text, "${1}proxy?server=…")
	var kept strings.Builder
	for line := range strings.Lines(text) {
		kept.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return kept.String()
}

// varies is what is another one each time: names that are drawn, times, and what things cost.
var varies = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\b([re])[0-9a-f]{14}\b`), "$1…"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b|\b[0-9a-f]{8}\b`), "KEY"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?Z?`), "TIME"},
	{regexp.MustCompile(`\b(\d+s ago|\d+m ago|now)\b`), "AGO"},
	{regexp.MustCompile(`\bup (\d+[hms])+`), "up AGO"},
	{regexp.MustCompile(`\b[\d.]+(, [\d.]+)? [µn]s\b`), "COST"},
	{regexp.MustCompile(`\buid \d+`), "uid N"},
	{regexp.MustCompile(`\bin (\d+)([dhm])\b`), "in N$2"},
	{regexp.MustCompile(`\b(29|30)m\b`), "30m"}, // that a trial has left
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDR"},
	{regexp.MustCompile(`\(devel\)|v\d+\.\d+\.\d+\S*`), "VERSION"},
	{regexp.MustCompile(`\b[\d.]+ [KM]?i?B\b`), "SIZE"},
	{regexp.MustCompile(`of which \d+ are covered|rows from \d+ on`), "ROWS"}, // it depends on when the log was signed
	{regexp.MustCompile(`\b(0|1|2)m of 1d\b|\d+s of 1d\b`), "AGO of 1d"},
	{regexp.MustCompile(` +`), " "},
}

// plainly is output without what varies.
func plainly(text string) string {
	text = shown(text)
	for _, v := range varies {
		text = v.what.ReplaceAllString(text, v.as)
	}
	return strings.TrimSpace(text)
}

// come lets clients of a user connect, one after the other, and say something if they are let in.
func (w *walk) come(m []string) {
	w.t.Helper()
	user, kind, from, kept := m[1], m[3], m[4], m[5] != ""
	count, err := strconv.Atoi(m[2])
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := tgsim.NewClient(w.addr, w.secret(user, kind))
	if err != nil {
		w.t.Fatal(err)
	}
	client.Dialer = behind(from)
	for range count {
		w.came++
		c, err := client.Dial(context.Background())
		if err == nil {
			err = c.Ping([]byte("ping"))
		}
		switch {
		case err == nil && kept:
			w.open = append(w.open, c)
		case c != nil:
			c.Close()
		}
		w.settle() // one after the other, for the node too
	}
}

// leave ends the connections that were kept open.
func (w *walk) leave() {
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}

// settle waits until the node has noticed who has gone.
func (w *walk) settle() {
	w.t.Helper()
	for range 2000 {
		s, err := w.api.Status(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if s.Connections <= int64(len(w.open)) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatal("the node does not notice that its clients have gone")
}

// secret is what the node gives out for a user.
func (w *walk) secret(user, kind string) string {
	w.t.Helper()
	out, err := w.command("mtguard", "link", user, "--json").Output()
	if err != nil {
		w.t.Fatalf("link of %s: %v", user, err)
	}
	found := regexp.MustCompile(`"kind": "` + kind + `",\s+"secret": "([0-9a-f]+)"`).FindSubmatch(out)
	if found == nil {
		w.t.Fatalf("no link of %s by %s", user, kind)
	}
	return string(found[1])
}

// behind dials as a balancer does for a client of that address.
type behind string

// DialContext implements tgsim.Dialer.
func (from behind) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(c, "PROXY TCP4 %s 192.0.2.1 40000 443\r\n", string(from)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
