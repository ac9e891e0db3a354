package fwtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mtguard/fw"
)

// Addresses of a world: the server's, and two clients'.
const (
	Server4, Good4, Bad4 = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	Server6, Good6, Bad6 = "2001:db8::1", "2001:db8::2", "2001:db8::3"
)

// inside is set in the environment of a test that runs in a namespace.
const inside = "MTGUARD_TEST_NAMESPACE"

// Enter runs the test once more in a process of its own, which has a network namespace
// of its own, and reports its outcome; it returns false then, and true in that
// process. It skips the test where that is not allowed.
func Enter(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("a process in a network namespace of its own is not allowed here: %v", err)
	}
	err := cmd.Wait()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out.String())
	case strings.Contains(out.String(), "--- SKIP"):
		t.Skip(out.String())
	case !strings.Contains(out.String(), "--- PASS: "+t.Name()):
		t.Fatalf("the test did not run in its namespace:\n%s", out.String())
	}
	t.Log(out.String())
	return false
}

// World is the two namespaces. The test's own process is the server's.
type World struct {
	do chan func()
}

// New joins the namespace that Enter made to a second one with a cable.
func New(t *testing.T) *World {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no program ip (iproute2), which lays the cable")
	}
	kernel, err := fw.Open()
	if err == nil {
		err = kernel.Stands()
	}
	if !errors.Is(err, fw.ErrNoTable) {
		t.Skipf("no nftables here: %v", err)
	}
	w := &World{do: make(chan func())}
	ready := make(chan string)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine, and its namespace with it
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- err.Error()
			return
		}
		ready <- ""
		for f := range w.do {
			f()
		}
	}()
	if text := <-ready; text != "" {
		t.Skip("a second network namespace is not allowed here: " + text)
	}
	t.Cleanup(func() { close(w.do) })
	tid := 0
	w.there(func() { tid = unix.Gettid() })
	ip(t, "link set lo up")
	if out, err := exec.Command("ip", strings.Fields("link add here type veth peer name there netns "+strconv.Itoa(tid))...).CombinedOutput(); err != nil {
		t.Skipf("no cable between namespaces here (veth): %s", out)
	}
	ip(t, "addr add "+Server4+"/24 dev here")
	ip(t, "addr add "+Server6+"/64 dev here nodad")
	ip(t, "link set here up")
	w.there(func() {
		for _, a := range []string{Good4 + "/24", Bad4 + "/24", Good6 + "/64", Bad6 + "/64"} {
			nodad := ""
			if strings.Contains(a, ":") {
				nodad = " nodad"
			}
			ip(t, "addr add "+a+" dev there"+nodad)
		}
		ip(t, "link set there up")
	})
	return w
}

// there does something in the clients' namespace, and waits for it.
func (w *World) there(f func()) {
	done := make(chan struct{})
	w.do <- func() { defer close(done); f() }
	<-done
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Errorf("ip %s: %s", args, out)
	}
}

// Dial connects from a client's address. What the kernel drops ends with a time-out.
func (w *World) Dial(from, to string, within time.Duration) (c net.Conn, err error) {
	w.there(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err = d.DialContext(ctx, "tcp", to)
	})
	return c, err
}

// Reaches tells whether a connection comes about within a while.
func (w *World) Reaches(from, to string, within time.Duration) error {
	c, err := w.Dial(from, to, within)
	if err != nil {
		return fmt.Errorf("%s to %s: %w", from, to, err)
	}
	return c.Close()
}

// Dropped tells whether err is that of a connection nobody answered.
func Dropped(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
