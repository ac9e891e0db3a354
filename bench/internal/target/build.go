package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Build makes the programs that can be made, under bench/out/bin. module is the folder of the benchmark's own module. What cannot be made
// is missing in the result and told to say.
func Build(module string, self string, say func(format string, args ...any)) (Programs, error) {
	bin := filepath.Join(module, "out", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return Programs{}, err
	}
	p := Programs{Self: self}
	p.Mtguard = built(say, filepath.Join(module, ".."), filepath.Join(bin, "mtguard"), "./cmd/mtguard")
	p.Mtg = built(say, filepath.Join(module, "peers", "mtg"), filepath.Join(bin, "mtg"), "github.com/9seconds/mtg/v2")
	p.Haproxy = findHaproxy(say)
	return p, nil
}

// Built gives the programs that an earlier Build has made.
func Built(module, self string) Programs {
	p := Programs{Self: self}
	for name, path := range map[string]*string{"mtguard": &p.Mtguard, "mtg": &p.Mtg} {
		file := filepath.Join(module, "out", "bin", name)
		if _, err := os.Stat(file); err == nil {
			*path = file
		}
	}
	p.Haproxy = installedHaproxy()
	return p
}

func built(say func(string, ...any), dir, out, pkg string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		say("%s is left out, it does not build: %v: %s", filepath.Base(out), err, lastLine(text))
		return ""
	}
	return out
}

// findHaproxy installs Debian's package where that is possible and haproxy is missing.
func findHaproxy(say func(string, ...any)) string {
	if found := installedHaproxy(); found != "" {
		return found
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		say("haproxy is left out: it is not installed, and installing it needs root on Debian")
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var failure error
	for _, args := range [][]string{{"install"}, {"update"}, {"install"}} {
		args = append(args, "-q", "-y")
		if args[0] == "install" {
			args = append(args, "--no-install-recommends", "haproxy")
		}
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		text, err := cmd.CombinedOutput()
		if err != nil {
			failure = fmt.Errorf("%w: %s", err, lastLine(text))
			continue
		}
		if found := installedHaproxy(); found != "" {
			return found
		}
	}
	if failure == nil {
		failure = errors.New("no program after installing the package")
	}
	say("haproxy is left out: %v", failure)
	return ""
}

func installedHaproxy() string {
	for _, path := range []string{"haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	return ""
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// Descriptors gives how many descriptors a started program may have.
func Descriptors() int {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 1024
	}
	return int(min(r.Cur, 1<<20))
}

// RaiseDescriptors asks for as many descriptors as the benchmark can use; programs started later inherit them.
func RaiseDescriptors() {
	const wanted = 100_000
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return
	}
	more := syscall.Rlimit{Cur: max(r.Cur, wanted), Max: max(r.Max, wanted)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) != nil {
		r.Cur = r.Max // without the right to more, at least all that is allowed
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r)
	}
}
