package statedir_test

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// inChild reports whether this is a process for the test alone, and runs the test in one if not: the limit is the process's, and the
// testing package writes a file now and then too.
func inChild(t *testing.T) bool {
	t.Helper()
	const sign = "STATEDIR_TEST_CHILD"
	if os.Getenv(sign) == t.Name() {
		return true
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), sign+"="+t.Name())
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// limitFileSize makes every write beyond size fail until the returned function is called.
func limitFileSize(t *testing.T, size uint64) (restore func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	}
}
