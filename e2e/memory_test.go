package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"mtguard/control/admin"
	"mtguard/security/access"
)

// TestMemoryOfANode prints what memory a node with store, API and dashboard takes: at rest, with the dashboard open
// in a browser, and when the browser has gone. What it fails on is a dashboard that does not open; the figures depend
// on the kernel and never decide.
//
//	cd e2e && E2E_LONG=1 go test -count 1 -run TestMemoryOfANode -v .
func TestMemoryOfANode(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes several times the memory")
	}
	rest, open := time.Second, time.Second
	if long {
		rest, open = 10*time.Second, 30*time.Second
	}
	s := standard(t, coverSite(t).addr, nil)
	s.values["admin.listen"] = freeAddr(t, "127.0.0.1")
	n := start(t, s)
	time.Sleep(rest)
	t.Logf("at rest:                  %s", n.memory())

	b := n.browse(s.values["admin.listen"].(string))
	b.page()
	read := b.readings()
	events := b.stream()
	time.Sleep(open)
	t.Logf("dashboard open, %3d GETs: %s", read, n.memory())
	events.Close()
	time.Sleep(rest)
	t.Logf("dashboard closed:         %s", n.memory())
}

// memory says what the kernel counts as the process's memory. "" where it does not say so in Linux's way.
func (n *node) memory() string {
	n.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		n.t.Skip("this system has no /proc/PID/status")
	}
	mb := make(map[string]float64)
	for line := range strings.Lines(string(status)) {
		var name string
		var kb float64
		if _, err := fmt.Sscanf(line, "%s %f kB", &name, &kb); err == nil {
			mb[name] = kb / 1024
		}
	}
	if mb["VmRSS:"] == 0 {
		n.t.Errorf("no resident memory in %s", status)
	}
	return fmt.Sprintf("%.1f MB resident: %.1f its own, %.1f of its file", mb["VmRSS:"], mb["RssAnon:"], mb["RssFile:"])
}

// viewer asks as a browser does in which the dashboard is open.
type viewer struct {
	t      *testing.T
	base   string
	client *http.Client
}

// browse signs a browser in.
func (n *node) browse(listen string) *viewer {
	n.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		n.t.Fatal(err)
	}
	level := access.Superuser
	made, err := n.api.MakeCode(n.t.Context(), admin.CodeBody{Person: "nadia", Level: &level}, admin.ChangeOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true} // asked for below, and looked at
	n.t.Cleanup(transport.CloseIdleConnections)
	b := &viewer{n.t, "http://localhost" + listen[strings.LastIndex(listen, ":"):], &http.Client{Jar: jar, Transport: transport}}
	body, _ := json.Marshal(map[string]string{"code": made.Secret})
	answer, err := b.client.Post(b.base+"/auth/enter", "application/json", bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		n.t.Fatalf("signing in: %s", answer.Status)
	}
	return b
}

// ask opens an answer, which the caller closes.
func (b *viewer) ask(path string) *http.Response {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

// read takes an answer whole.
func (b *viewer) read(path string) (status int, body []byte) {
	b.t.Helper()
	answer := b.ask(path)
	defer answer.Body.Close()
	var from io.Reader = answer.Body
	if answer.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if from, err = gzip.NewReader(answer.Body); err != nil {
			b.t.Fatalf("%s: %v", path, err)
		}
	}
	body, err := io.ReadAll(from)
	if err != nil {
		b.t.Fatalf("%s: %v", path, err)
	}
	return answer.StatusCode, body
}

var (
	fileOfPage = regexp.MustCompile(`/a/[0-9a-zA-Z/._-]+\.(?:js|mjs|css|svg|woff2|json)`)
	readingOf  = regexp.MustCompile(`(?m)^  (/[a-z0-9/-]+):\n(?:    [a-fh-z].*\n|     .*\n)*    get:`)
)

// page loads the shell and the files that it names.
func (b *viewer) page() {
	b.t.Helper()
	status, shell := b.read("/")
	files := fileOfPage.FindAllString(string(shell), -1)
	if status != http.StatusOK || len(files) < 3 {
		b.t.Fatalf("the page: %d, %d files", status, len(files))
	}
	for _, file := range files {
		if status, _ := b.read(file); status != http.StatusOK {
			b.t.Errorf("%s: %d", file, status)
		}
	}
}

// readings asks once for everything that the API has to read without an argument, which is more than the pages show.
func (b *viewer) readings() (n int) {
	b.t.Helper()
	document, err := os.ReadFile("../api/openapi.yaml")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, m := range readingOf.FindAllStringSubmatch(string(document), -1) {
		if m[1] == "/events" {
			continue
		}
		status, body := b.read("/api/v1" + m[1])
		if status >= 500 || status == http.StatusUnauthorized {
			b.t.Errorf("%s: %d %s", m[1], status, body)
		}
		n++
	}
	if n < 30 {
		b.t.Errorf("only %d readings in the API's description", n)
	}
	return n
}

// stream opens the stream of events and waits for its first bytes.
func (b *viewer) stream() io.Closer {
	b.t.Helper()
	answer := b.ask("/api/v1/events")
	if _, err := io.ReadFull(answer.Body, make([]byte, 1)); err != nil || answer.StatusCode != http.StatusOK {
		b.t.Fatalf("events: %s %v", answer.Status, err)
	}
	return answer.Body
}
