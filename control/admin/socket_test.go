package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mtguard/control"
)

// leaveStale leaves the socket of a process that has ended at path.
func leaveStale(t testing.TB, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
}

func TestASocketIsForItsOwnerAndItsGroup(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	path := filepath.Join(shortDir(t), "run", "admin.sock")
	s, err := Listen(path, fmt.Sprint(os.Getegid()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, want := range map[string]fs.FileMode{path: fs.ModeSocket | 0o660, filepath.Dir(path): fs.ModeDir | 0o750} {
		if info, err := os.Lstat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if s.Group() != os.Getegid() {
		t.Errorf("group %d", s.Group())
	}
}

func TestADirectoryThatIsThereIsLeftAlone(t *testing.T) {
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(filepath.Join(dir, "s"), "")
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestALiveSocketIsNotStolenAStaleOneIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "admin.sock")
	leaveStale(t, path)
	plane := &fakePlane{}
	s, err := Listen(path, "")
	if err != nil {
		t.Fatalf("over a stale one: %v", err)
	}
	serveOn(t, s, NewAPI(plane, quiet(t)).Handler(), quiet(t))
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("over a live one: %v", err)
	}
	if _, err := client(t, path).Status(context.Background()); err != nil {
		t.Errorf("the live one is gone: %v", err)
	}
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	dir := shortDir(t)
	file, link, sub := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "dir")
	stale := filepath.Join(dir, "stale")
	leaveStale(t, stale)
	if err := errors.Join(os.WriteFile(file, []byte("precious"), 0o600), os.Symlink(stale, link), os.Mkdir(sub, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, sub} {
		if s, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "is no socket") {
			t.Errorf("%s: %v, %v", path, s, err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", path, err)
		}
	}
}

func TestBadPlacesForASocket(t *testing.T) {
	dir := shortDir(t)
	for name, c := range map[string]struct{ path, group, want string }{
		"too long":         {filepath.Join(dir, strings.Repeat("x", 107)), "", "at most 107"},
		"no such group":    {filepath.Join(dir, "s"), "no-such-group-here", `no group "no-such-group-here"`},
		"below no file":    {filepath.Join(dir, "s", "s"), "", ""},
		"nowhere to write": {"/proc/mtguard/s", "", ""},
	} {
		if name == "below no file" {
			if err := os.WriteFile(filepath.Join(dir, "s"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Listen(c.path, c.group)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
		os.Remove(filepath.Join(dir, "s"))
	}
}

func TestCloseRemovesOnlyItsOwnFile(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other's is gone: %v", err)
	}
	second.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("our own is still there: %v", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	path := serve(t, NewAPI(&fakePlane{}, quiet(t)).Handler(), quiet(t))
	dial := func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var open []net.Conn
	for range maxConnections {
		open = append(open, dial())
	}
	if err := answered(open[0]); err != nil {
		t.Errorf("within the bound: %v", err)
	}
	if err := answered(dial()); err == nil {
		t.Error("above the bound there is an answer")
	}
	open[1].Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if answered(dial()) == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a place that is free again is not given away")
		}
	}
}

// answered asks for a path that is none over c.
func answered(c net.Conn) error {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, "GET /api/v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// TestABodyThatDoesNotArriveIsNotWaitedFor, and one that does not end is not read.
func TestABodyThatDoesNotArriveIsNotWaitedFor(t *testing.T) {
	const soon, never = 30 * time.Millisecond, time.Minute
	for name, c := range map[string]struct {
		head, body string
		wait       time.Duration
		status     int
	}{
		"slow":                {"Content-Length: 100", `{"name"`, soon, http.StatusRequestTimeout},
		"slow in chunks":      {"Transfer-Encoding: chunked", "5\r\n{\"nam\r\n", soon, http.StatusRequestTimeout},
		"announced huge":      {"Content-Length: 1000000000", "", never, http.StatusRequestEntityTooLarge},
		"huge without a word": {"Transfer-Encoding: chunked", "100000\r\n" + strings.Repeat("x", 0x100000) + "\r\n", never, http.StatusRequestEntityTooLarge},
	} {
		plane := &fakePlane{}
		s := newServer(plane, quiet(t))
		s.slow = c.wait
		path := serve(t, s.handler(), quiet(t))
		connection, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		connection.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(connection, "POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\n\r\n%s", c.head, c.body)
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil || response.StatusCode != c.status || plane.asked != nil {
			t.Errorf("%s: %v, %v, asked %v", name, response, err, plane.asked)
		}
		connection.Close()
	}
}

// TestAChangeMayTakeLongerThanItsBody: the bound on slow senders does not end what
// comes after.
func TestAChangeMayTakeLongerThanItsBody(t *testing.T) {
	plane := &fakePlane{during: func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond): // six times as long as a body may take
		}
	}}
	s := newServer(plane, quiet(t))
	s.slow, s.slowest = 50*time.Millisecond, 50*time.Millisecond
	c := client(t, serve(t, s.handler(), quiet(t)))
	if _, err := c.AddUser(context.Background(), UserBody{Name: "nadia"}, ChangeOptions{}); err != nil {
		t.Errorf("a change: %v", err)
	}
	if _, err := c.RemoveUser(context.Background(), "nadia", ChangeOptions{}); err != nil {
		t.Errorf("one without a body: %v", err)
	}
	if _, err := c.Seal(context.Background(), "", "", nil, strings.NewReader("x")); err != nil {
		t.Errorf("a blob: %v", err)
	}
}

// TestHumaBoundsNoBody: the one it sets stands for five seconds, and then ends the
// request, whatever it does.
func TestHumaBoundsNoBody(t *testing.T) {
	for _, r := range routes {
		if got := r.operation().BodyReadTimeout; got >= 0 {
			t.Errorf("%s: %v", r.id, got)
		}
	}
}

// TestAReaderThatStallsIsLetGo: a stream does not hold the store's snapshot for
// somebody who has gone to sleep.
func TestAReaderThatStallsIsLetGo(t *testing.T) {
	plane := &stalledPlane{ended: make(chan error, 1)}
	s := newServer(plane, quiet(t))
	s.stalled = 30 * time.Millisecond
	c, err := net.Dial("unix", serve(t, s.handler(), quiet(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /api/v1/auditlog/export HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-plane.ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits on")
	}
}

type stalledPlane struct {
	fakePlane
	ended chan error
}

func (p *stalledPlane) AuditExport(_ context.Context, _ control.Actor, w io.Writer) error {
	for row := make([]byte, 1<<20); ; {
		if _, err := w.Write(row); err != nil {
			p.ended <- err
			return err
		}
	}
}

// TestAClientThatGoesEndsItsRequest: nobody waits for the result of a change that
// nobody waits for.
func TestAClientThatGoesEndsItsRequest(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	plane := &fakePlane{during: func(ctx context.Context) { close(begun); <-ctx.Done(); close(ended) }}
	c := client(t, serve(t, NewAPI(plane, quiet(t)).Handler(), quiet(t)))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-begun; cancel() }()
	if _, err := c.AddUser(ctx, UserBody{Name: "nadia"}, ChangeOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("the client: %v", err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the request goes on")
	}
}

func TestANodeThatStopsAnswersWhatItHasBegun(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	socket, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	plane := &fakePlane{during: func(requests context.Context) {
		stop()
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && requests.Err() == nil; time.Sleep(time.Millisecond) {
			if _, err := os.Lstat(path); err != nil {
				return // the socket is closed
			}
		}
	}}
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, socket, NewAPI(plane, quiet(t)).Handler(), quiet(t)) }()
	c := client(t, path)
	if _, err := c.AddUser(context.Background(), UserBody{Name: "nadia"}, ChangeOptions{}); err != nil {
		t.Errorf("begun: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	var unreachable *UnreachableError
	if _, err := c.Status(context.Background()); !errors.As(err, &unreachable) {
		t.Errorf("afterwards: %v", err)
	}
}
