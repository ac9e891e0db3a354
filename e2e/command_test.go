package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// buildFlags is what the command is built with besides the usual.
var buildFlags []string

// raceDetector says that the command is built with it, which changes what memory it takes.
var raceDetector bool

// command builds cmd/mtguard once and returns the path of the binary.
var command = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "mtguard")
	args := append([]string{"build", "-o", path}, buildFlags...)
	cmd := exec.Command("go", append(args, "./cmd/mtguard")...)
	cmd.Dir = ".." // the product's own module chooses the versions of its dependencies
	if !raceDetector {
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0") // as releases are
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build of cmd/mtguard: %w\n%s", err, out)
	}
	return path, nil
})

// scratch is a directory that lives as long as the tests.
var scratch string

// long chooses the long form of the tests that have one.
var long = os.Getenv("E2E_LONG") == "1"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "mtguard-e2e-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(scratch)
		raiseFileLimit()
		return m.Run()
	}())
}

// wantFiles is enough for 10,000 sessions with both ends in this process.
const wantFiles = 32_768

// raiseFileLimit gets descriptors for the floods, as many as it may; the command inherits them. Root may go above
// the hard limit.
func raiseFileLimit() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return
	}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: wantFiles, Max: max(wantFiles, l.Max)}) == nil {
		return
	}
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: l.Max, Max: l.Max})
}

// fileLimit is the number of descriptors this process, and the command, may have.
func fileLimit() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return int(l.Cur)
}
