package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the expected output of the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"mtguard": func() {
			// The machine's own configuration must not reach the tests.
			a := &app{
				stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
				defaultConfig: os.Getenv("DEFAULT_CONFIG"), defaultSocket: os.Getenv("DEFAULT_SOCKET"),
			}
			os.Exit(a.execute(os.Args[1:]))
		},
	})
}

// Each command is tested as it is typed, with its exit code.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			answers, err := filepath.Abs("../../control/advisory/testdata/sumdb") // of the checksum database, recorded
			if err != nil {
				return err
			}
			env.Setenv("SUMDB", answers)
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "xdg"))
			env.Setenv("DEFAULT_CONFIG", filepath.Join(env.WorkDir, "etc", "mtguard.toml"))
			env.Setenv("DEFAULT_SOCKET", filepath.Join(env.WorkDir, "run", "admin.sock"))
			env.Setenv("TZ", "UTC")
			// A program with the race detector waits a second before it exits.
			env.Setenv("GORACE", "atexit_sleep_ms=20")
			// Nothing leaves the machine: no cover site, no fixed port for metrics.
			env.Setenv("MTGUARD__COVER__FALL_BACK_TO", "127.0.0.1:1")
			env.Setenv("MTGUARD__METRICS__LISTEN", "")
			env.Setenv("MTGUARD__ADMIN__LISTEN", "")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"await":   await,
			"signal":  signalAll,
			"mode":    mode,
			"expand":  expand,
			"capture": capture,
			"edit":    edit,
		},
	})
}

// exits CODE COMMAND… runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// await FILE TEXT waits until a process in the background has written text into a file.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if data, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && strings.Contains(string(data), args[1]) {
			return
		}
	}
	ts.Fatalf("no %q in %s", args[1], args[0])
}

// signal NAME sends a signal to all processes in the background.
func signalAll(ts *testscript.TestScript, _ bool, args []string) {
	number := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}[args[0]]
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(number))
	}
}

// capture NAME REGEXP sets a variable to what the first group matches in the last standard output.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	match := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if match == nil {
		ts.Fatalf("no %s in standard output", args[1])
	}
	ts.Setenv(args[0], match[1])
}

// edit FROM TO REGEXP TEXT copies a file with what matches replaced, which must be something.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	before := ts.ReadFile(args[0])
	after := regexp.MustCompile(args[2]).ReplaceAllString(before, args[3])
	if after == before {
		ts.Fatalf("no %s in %s", args[2], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(after), 0o600))
}

// expand FILE… puts the test's own directory in the place of $WORK.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		text := strings.ReplaceAll(ts.ReadFile(name), "$WORK", ts.Getenv("WORK"))
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// mode OCTAL FILE checks the permissions of a file.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatInt(int64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}
