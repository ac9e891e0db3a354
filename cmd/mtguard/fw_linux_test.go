package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mtguard/fw"
	"mtguard/fw/fwtest"
)

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

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

// fwBench is a node in a network of its own, asked by the commands that people type.
type fwBench struct {
	t   *testing.T
	dir string
}

func (b *fwBench) command(args ...string) *exec.Cmd {
	cmd := exec.Command("mtguard", args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "HOME="+b.dir, "MTGUARD_CLI_STATE_DIR="+filepath.Join(b.dir, "state"), "DEFAULT_CONFIG=none", "DEFAULT_SOCKET="+filepath.Join(b.dir, "none.sock"),
		"MTGUARD__COVER__FALL_BACK_TO=127.0.0.1:1", "MTGUARD__METRICS__LISTEN=")
	return cmd
}

func (b *fwBench) run(args ...string) string {
	b.t.Helper()
	out, err := b.command(args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("mtguard %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start starts a process, and waits until it says so.
func (b *fwBench) start(says string, args ...string) *exec.Cmd {
	b.t.Helper()
	cmd, out := b.command(args...), new(output)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	defer func() {
		if b.t.Failed() {
			b.t.Log(out.String())
		}
	}()
	b.within(20*time.Second, says+" of mtguard "+args[0], func() bool { return strings.Contains(out.String(), says) })
	return cmd
}

// within waits for something, and returns how long that took.
func (b *fwBench) within(most time.Duration, what string, done func() bool) time.Duration {
	b.t.Helper()
	start := time.Now()
	for !done() {
		if time.Since(start) > most {
			b.t.Fatalf("not within %v: %s", most, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}

// TestABlockReachesTheKernel: node and helper as they are run, over the admin socket.
func TestABlockReachesTheKernel(t *testing.T) {
	if !fwtest.Enter(t) {
		return
	}
	w := fwtest.New(t)
	b := &fwBench{t, t.TempDir()}
	if err := os.WriteFile(filepath.Join(b.dir, "mtguard.toml"), []byte("[policy.controls]\n\"access.level\" = \"enforce\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const port = "7443"
	to4, to6 := net.JoinHostPort(fwtest.Server4, port), net.JoinHostPort(fwtest.Server6, port)
	helper := b.start("the node does not answer", "fw", "run", "--hold", "5s") // it may start first, and then does not know where the node will be
	b.start("t.me/proxy", "run", "--config", "mtguard.toml", "--state-dir", "state", "--listen", ":"+port)
	const soon, dropAt = 10 * time.Second, 300 * time.Millisecond
	reaches := func(from, to string) {
		t.Helper()
		if err := w.Reaches(from, to, soon); err != nil {
			t.Error(err)
		}
	}
	drops := func(from, to string) bool { return fwtest.Dropped(w.Reaches(from, to, dropAt)) }
	stands := func(a string) bool {
		return strings.Contains(b.run("fw", "status", "--output", "jsonl"), `"`+a+`/`)
	}
	reaches(fwtest.Bad4, to4)
	reaches(fwtest.Bad6, to6)

	b.run("block", fwtest.Bad4, "--for", "1h", "--reason", "scans")
	t.Logf("in the kernel after %v", b.within(soon, "the block in the kernel", func() bool { return stands(fwtest.Bad4) }))
	if !drops(fwtest.Bad4, to4) {
		t.Error("the blocked address is not dropped")
	}
	reaches(fwtest.Good4, to4)
	if text := b.run("fw", "status", "--output", "jsonl"); !strings.Contains(text, "not dropped in the kernel: the control threat.block is not enforced") {
		t.Errorf("nothing says that half of the blocks are not dropped: %s", text)
	}
	b.run("block", fwtest.Bad6+"/128", "--reason", "scans")
	b.within(soon, "the block of IPv6", func() bool { return drops(fwtest.Bad6, to6) })

	b.run("unblock", fwtest.Bad4)
	b.within(soon, "the undo", func() bool { return w.Reaches(fwtest.Bad4, to4, dropAt) == nil })
	if !stands(fwtest.Bad6) {
		t.Error("the other block went, too")
	}

	// Monitor is for everybody: what the proxy lets through the kernel does, too.
	b.run("policy", "mode", "access.level", "monitor", "--reason", "x", "--yes")
	b.within(soon, "the end of enforcing", func() bool { return !stands(fwtest.Bad6) })
	b.run("policy", "mode", "access.level", "enforce", "--reason", "x", "--yes", "--force")
	b.within(soon, "enforcing", func() bool { return stands(fwtest.Bad6) })

	// A killed helper leaves what the kernel ends by itself; it outlives two refreshes before.
	b.run("access", "add", fwtest.Bad4, "--level", "none", "--reason", "for ever")
	b.within(soon, "the rule without an end", func() bool { return drops(fwtest.Bad4, to4) })
	time.Sleep(7 * time.Second) // longer than --hold: only refreshing keeps it
	if !drops(fwtest.Bad4, to4) {
		t.Error("it was not refreshed")
	}
	if err := helper.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	helper.Wait()
	if !drops(fwtest.Bad4, to4) {
		t.Error("the element went with the helper, and not by its time-out")
	}
	t.Logf("gone %v after SIGKILL", b.within(soon, "the time-out", func() bool { return !drops(fwtest.Bad4, to4) && !stands(fwtest.Bad4) }))

	// One that is stopped takes the table away, and finds what a killed one left.
	again := b.start("follows the node", "fw", "run")
	b.within(soon, "the next helper", func() bool { return drops(fwtest.Bad4, to4) })
	again.Process.Signal(syscall.SIGTERM)
	if err := again.Wait(); err != nil {
		t.Errorf("a helper that is stopped: %v", err)
	}
	reaches(fwtest.Bad4, to4)
	kernel, _ := fw.Open()
	if err := kernel.Stands(); err == nil {
		t.Error("the table is still there")
	}
	b.run("fw", "flush")
}
