package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mtguard/control/admin"
)

// patience bounds every wait for something that loopback does in milliseconds: a machine may be busy, but not that
// busy.
const patience = 30 * time.Second

// node is a running mtguard.
type node struct {
	t      *testing.T
	cmd    *exec.Cmd
	path   string // of the configuration file
	addr   string // of the first listener
	admin  string // of the metrics listener
	out    output
	dir    string        // of its state
	exited chan struct{} // closed when err is set
	err    error
	api    *admin.Client

	mu    sync.Mutex        // guards users
	users map[string][]byte // secrets that may not appear in the log
}

// start runs mtguard with the configuration and waits until it is ready. When the test ends, the process is stopped
// and what it wrote is looked through.
func start(t *testing.T, s *settings) *node {
	t.Helper()
	n := launch(t, s)
	n.await("readiness", func() bool { return n.get("/readyz") == http.StatusOK })
	return n
}

// launch is start without the wait: the node may have reasons to refuse.
func launch(t *testing.T, s *settings) *node {
	t.Helper()
	binary, err := command()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		t: t, path: filepath.Join(t.TempDir(), "mtguard.toml"), exited: make(chan struct{}),
		addr: s.strings("proxy.listen")[0], admin: s.values["metrics.listen"].(string), users: map[string][]byte{},
		dir: s.values["state.dir"].(string),
	}
	n.api = admin.NewClient(filepath.Join(n.dir, "admin.sock"), patience)
	t.Cleanup(n.api.Close)
	n.configure(s)
	n.cmd = exec.Command(binary, "run", "--config", n.path)
	n.cmd.Env = append(os.Environ(), s.env...)
	n.cmd.Stdout, n.cmd.Stderr = &n.out, &n.out
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		n.err = n.cmd.Wait()
		close(n.exited)
	}()
	t.Cleanup(n.finish)
	return n
}

// configure writes the configuration file, as an editor does: a new file in the place of the old one.
func (n *node) configure(s *settings) {
	n.t.Helper()
	for name, secret := range s.users {
		n.keep(name, secret)
	}
	n.replaceFile(s.text())
}

func (n *node) replaceFile(text string) {
	n.t.Helper()
	err := os.WriteFile(n.path+".new", []byte(text), 0o600)
	if err == nil {
		err = os.Rename(n.path+".new", n.path)
	}
	if err != nil {
		n.t.Errorf("configuration: %v", err)
	}
}

// errNotTaken is a reload after which the old configuration is still in force.
var errNotTaken = errors.New("the node did not take the configuration")

// reload sends SIGHUP and waits until the node has counted the reload. It returns errNotTaken when the file was
// refused.
func (n *node) reload() error {
	n.t.Helper()
	all, ok := n.metric("mtguard_config_reloads_total"), n.metric("mtguard_config_reloads_total", `result="ok"`)
	n.signal(syscall.SIGHUP)
	if err := n.poll(func() bool { return n.metric("mtguard_config_reloads_total") > all }); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if n.metric("mtguard_config_reloads_total", `result="ok"`) <= ok {
		return errNotTaken
	}
	return nil
}

func (n *node) signal(s os.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Errorf("%v: %v", s, err)
	}
}

// finish ends the process, if a test has not done so, and reads its last words.
func (n *node) finish() {
	select {
	case <-n.exited:
	default:
		n.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-n.exited:
		case <-time.After(patience):
			n.t.Error("the process does not end; it is killed, with a dump of its goroutines in the log")
			n.cmd.Process.Signal(syscall.SIGQUIT)
			<-n.exited
		}
	}
	text := n.out.String()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "[recovered]"} {
		if strings.Contains(text, bad) {
			n.t.Errorf("the process wrote %q", bad)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	public := strings.ToLower(n.withoutLinks(text))
	for name, secret := range n.users {
		if strings.Contains(public, hex.EncodeToString(secret)) {
			n.t.Errorf("the log contains the secret of %s", name)
		}
	}
	if n.t.Failed() {
		n.t.Logf("mtguard wrote:\n%s", tail(text, 12_000))
	}
}

// withoutLinks drops the lines that are printed to hand out secrets.
func (n *node) withoutLinks(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "tg://") && !strings.Contains(line, "https://t.me/") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "…" + s[len(s)-n:]
}

// waitExit waits until the process has ended and returns how.
func (n *node) waitExit(within time.Duration) error {
	n.t.Helper()
	select {
	case <-n.exited:
		return n.err
	case <-time.After(within):
		n.t.Fatalf("the process is still there after %v", within)
		return nil
	}
}

// poll waits until done says yes. It returns an error when the process ends or patience does.
func (n *node) poll(done func() bool) error {
	for deadline := time.Now().Add(patience); !done(); {
		select {
		case <-n.exited:
			return fmt.Errorf("the process has ended: %v", n.err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v", patience)
		}
	}
	return nil
}

// await is poll for the goroutine of the test, which ends when the wait is in vain.
func (n *node) await(what string, done func() bool) {
	n.t.Helper()
	if err := n.poll(done); err != nil {
		n.t.Fatalf("waiting for %s: %v", what, err)
	}
}

// awaitLog waits for a line of the log that holds all the words.
func (n *node) awaitLog(words ...string) {
	n.t.Helper()
	n.await(fmt.Sprintf("a log line with %q", words), func() bool { return n.logged(words...) })
}

func (n *node) logged(words ...string) bool {
	for line := range strings.Lines(n.out.String()) {
		found := true
		for _, w := range words {
			found = found && strings.Contains(line, w)
		}
		if found {
			return true
		}
	}
	return false
}

// get asks the metrics listener and returns the status, 0 when there is no answer.
func (n *node) get(path string) int {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.admin+path, nil)
	if err != nil {
		n.t.Error(err)
		return 0
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	r.Body.Close()
	return r.StatusCode
}

// metric adds up the samples of a metric that have all the labels, written as name="value". A metric without any
// sample is 0; all are NaN when the process has gone.
func (n *node) metric(name string, labels ...string) float64 {
	n.t.Helper()
	r, err := http.Get("http://" + n.admin + "/metrics")
	if err != nil {
		return math.NaN()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return math.NaN()
	}
	var sum float64
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		wanted := true
		for _, l := range labels {
			wanted = wanted && strings.Contains(rest, l)
		}
		if !wanted {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			n.t.Errorf("metrics: %q: %v", line, err)
		}
		sum += v
	}
	return sum
}

// resident is the memory of the process in bytes, descriptors the number of its open files.
func (n *node) resident() int {
	n.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		n.t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var kib int
		if _, err := fmt.Sscanf(string(line), "VmRSS: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	n.t.Fatal("no VmRSS in the status of the process")
	return 0
}

func (n *node) descriptors() int {
	n.t.Helper()
	d, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.cmd.Process.Pid))
	if err != nil {
		n.t.Fatal(err)
	}
	return len(d)
}

// output keeps what the process writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// freeAddr is an address of the host on which nobody listens at this moment.
func freeAddr(t *testing.T, host string) string {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
