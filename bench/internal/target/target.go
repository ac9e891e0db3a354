// Package target knows the programs that are compared: how each is built, configured and started, and what its clients have to speak.
//
// It measures nothing. A Target is a value and may be shared; a Running belongs to one goroutine. Linux only.
package target

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mtguard/bench/internal/load"
	"mtguard/bench/internal/netlab"
	"mtguard/bench/internal/proc"
)

// The one user of every measurement.
const (
	Secret = "7c1f0d93a55be24486f2b1093cd86e5a"
	Domain = "www.example.com"
)

// Target is one program in one configuration.
type Target struct {
	Name string
	Note string // for the reader of the tables
	Mode load.Mode

	program string
	prepare func(e *Env) (args []string, err error)
	operate func(e *Env) error // once it listens; nil: nothing to do
	// needsTelegram: the program dials Telegram's own addresses whatever it is told.
	needsTelegram bool
}

// Env is what a target is started with.
type Env struct {
	Programs Programs
	Network  *netlab.Network
	Cover    netip.AddrPort
	Dir      string // empty, of this start alone
}

// Programs are the paths of what can be started; an empty path means that there is none.
type Programs struct {
	Self, Mtguard, Mtg, Haproxy string
	SelfEnv                     string // an assignment that turns Self into mtbench, for tests
}

// Baselines, in the order of the tables' ratio columns.
const (
	Direct  = "direct"
	Relay   = "relay"
	Haproxy = "haproxy"
	Splice  = "haproxy-splice"
	Mtg     = "mtg"
)

// All are the targets by the order in which tables show them.
func All() []Target {
	return []Target{
		{Name: Direct, Note: "no proxy at all", Mode: load.Plain},
		{Name: Relay, Note: "plain Go TCP relay, 64 KB buffers", Mode: load.Plain, program: "self", prepare: relayArgs},
		{Name: Haproxy, Note: "TCP mode, without splice", Mode: load.Plain, program: "haproxy", prepare: haproxy(false)},
		{Name: Splice, Note: "TCP mode, splice forced in both directions", Mode: load.Plain, program: "haproxy", prepare: haproxy(true)},
		{Name: Mtg, Note: "mtg 2.2.8, fake TLS", Mode: load.FakeTLS, program: "mtg", prepare: mtg, needsTelegram: true},
		guard("mtguard-ee", "fake TLS", load.FakeTLS, guardOptions{}),
		guard("mtguard-dd", "secure transport", load.Secure, guardOptions{}),
		guard("mtguard-classic", "classic transport, intermediate framing", load.Classic, guardOptions{}),
		guard("mtguard-ee-full", "fake TLS, pass-through off", load.FakeTLS, guardOptions{full: true}),
		guard("mtguard-dd-full", "secure, pass-through off", load.Secure, guardOptions{full: true}),
		guard("mtguard-ee-on", "fake TLS, every control enforced with limits out of reach", load.FakeTLS, guardOptions{controls: "enforce"}),
		guard("mtguard-ee-off", "fake TLS, every control off", load.FakeTLS, guardOptions{controls: "off"}),
		guard("mtguard-ee-10k", "fake TLS, 10,000 users", load.FakeTLS, guardOptions{users: 10_000}),
		guard("mtguard-dd-10k", "secure, 10,000 users", load.Secure, guardOptions{users: 10_000}),
	}
}

// Missing says why the target cannot be started, or nothing.
func (t Target) Missing(p Programs, n *netlab.Network) string {
	switch {
	case t.program == "mtguard" && p.Mtguard == "":
		return "mtguard was not built"
	case t.program == "mtg" && p.Mtg == "":
		return "mtg was not built"
	case t.program == "haproxy" && p.Haproxy == "":
		return "haproxy is not installed"
	case t.needsTelegram && !n.Telegram:
		return "dials Telegram's addresses, which need a network namespace here"
	}
	return ""
}

// Running is a started target.
type Running struct {
	PID    int
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
}

// Start starts the target and waits until it listens. Direct starts nothing and gives nil.
func (t Target) Start(e *Env) (*Running, error) {
	if t.prepare == nil {
		return nil, nil
	}
	args, err := t.prepare(e)
	if err != nil {
		return nil, err
	}
	path := map[string]string{"self": e.Programs.Self, "mtguard": e.Programs.Mtguard, "mtg": e.Programs.Mtg, "haproxy": e.Programs.Haproxy}[t.program]
	r := &Running{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	r.cmd.Dir = e.Dir
	r.cmd.Env = append(environment(), e.Programs.SelfEnv)
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	if err := e.Network.Proxy.Start(r.cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	r.PID = r.cmd.Process.Pid
	go func() {
		r.cmd.Wait()
		close(r.ended)
	}()
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); {
		select {
		case <-r.ended:
			return nil, fmt.Errorf("%s ended at once: %s", t.Name, r.tail())
		case <-time.After(20 * time.Millisecond):
		}
		if proc.Listens(r.PID, e.Network.ProxyAt.Port()) {
			if t.operate == nil {
				return r, nil
			}
			if err := t.operate(e); err != nil {
				r.Stop()
				return nil, fmt.Errorf("%s: %w", t.Name, err)
			}
			return r, nil
		}
	}
	r.Stop()
	return nil, fmt.Errorf("%s does not listen: %s", t.Name, r.tail())
}

// Alive tells whether the target still runs.
func (r *Running) Alive() error {
	select {
	case <-r.ended:
		return fmt.Errorf("ended while measured: %s", r.tail())
	default:
		return nil
	}
}

// Stop kills the target; nothing of it is wanted any more.
func (r *Running) Stop() {
	if r == nil {
		return
	}
	for _, pid := range proc.Tree(r.PID)[1:] {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	r.cmd.Process.Kill()
	<-r.ended
}

// tail may be called once the process has ended.
func (r *Running) tail() string {
	s := strings.TrimSpace(r.output.String())
	const most = 600
	if len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return s
}

// environment is this process's own without what changes how Go programs run.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "GOGC", "GOMEMLIMIT", "GODEBUG", "GOMAXPROCS", "NOTIFY_SOCKET", "LISTEN_FDS":
			continue
		}
		env = append(env, v)
	}
	return env
}

func writeConfig(e *Env, name, text string) (string, error) {
	path := filepath.Join(e.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	return path, nil
}
