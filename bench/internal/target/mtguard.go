package target

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mtguard/bench/internal/load"
)

type guardOptions struct {
	full     bool   // pass-through off: both directions are encrypted anew
	controls string // a mode for every control that has one, with limits that nobody here reaches
	users    int
}

func guard(name, note string, mode load.Mode, o guardOptions) Target {
	t := Target{
		Name: name, Note: "mtguard, " + note, Mode: mode, program: "mtguard",
		prepare: func(e *Env) ([]string, error) { return mtguard(e, o) },
	}
	if o.controls != "" {
		t.operate = func(e *Env) error { return setControls(e, o.controls) }
	}
	return t
}

func mtguard(e *Env, o guardOptions) ([]string, error) {
	state := filepath.Join(e.Dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `[proxy]
listen = ["%s"]
public_address = "%s"
transports = ["faketls", "secure", "classic"]
[cover]
domains = ["%s"]
fall_back_to = "%s"
[upstream]
pass_through = %t
[upstream.dc]
2 = ["%s"]
[metrics]
listen = ""
[state]
dir = "%s"
[log]
level = "warn"
`, e.Network.ProxyAt, e.Network.ProxyAt.Addr(), Domain, e.Cover, !o.full, e.Network.DC, state)
	if o.controls != "" {
		fmt.Fprintf(&b, "[admin]\nsocket = %q\n", socket(e))
	}
	fmt.Fprintf(&b, "[[user]]\nname = \"alice\"\nsecret = \"%s\"\n", Secret)
	for i := 1; i < o.users; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "bench user %d", i))
		fmt.Fprintf(&b, "[[user]]\nname = \"u%05d\"\nsecret = \"%s\"\n", i, hex.EncodeToString(sum[:16]))
	}
	path, err := writeConfig(e, "mtguard.toml", b.String())
	if err != nil {
		return nil, err
	}
	return []string{"run", "--config", path}, nil
}

func socket(e *Env) string { return filepath.Join(e.Dir, "admin.sock") }

// wide are limits for everything that can be limited, which nobody here reaches.
const wide = `schema = 1
[connections]
per_address = 100_000
per_prefix = 100_000
per_user = 100_000
per_key = 100_000
read_only = 100_000
addresses_per_user = 4096
[rates]
new_per_prefix = "1000000/s"
handshake_failures = "1000000/s"
[bandwidth]
per_user = "20GiB/s"
[authentication]
max_secret_age = "3650d"
`

// setControls does what an operator would: it gives the node rules and a policy with each control in the mode, and looks whether they hold.
func setControls(e *Env, mode string) error {
	why := []string{"--force", "--yes", "--reason", "bench"}
	for _, match := range []string{"198.51.100.0/24", "2001:db8::/32", "sni:*.example.org", "ja4:t13d0000h0_*"} {
		if _, err := operate(e, append([]string{"access", "add", match, "--level", "none"}, why...)...); err != nil {
			return err
		}
	}
	all, err := controls(e)
	if err != nil {
		return err
	}
	var doc strings.Builder
	doc.WriteString(wide)
	for _, c := range all {
		if !c.Always {
			fmt.Fprintf(&doc, "[controls.%q]\nmode = %q\n", c.Name, mode)
		}
	}
	path, err := writeConfig(e, "policy.toml", doc.String())
	if err != nil {
		return err
	}
	if _, err := operate(e, append([]string{"policy", "set", path}, why...)...); err != nil {
		return err
	}
	if all, err = controls(e); err != nil {
		return err
	}
	for _, c := range all {
		if !c.Always && c.Mode != mode {
			return fmt.Errorf("%s is in %s, not in %s", c.Name, c.Mode, mode)
		}
	}
	return nil
}

type control struct {
	Name   string `json:"name"`
	Mode   string `json:"mode"`
	Always bool   `json:"always"` // it has no other mode
}

func controls(e *Env) ([]control, error) {
	out, err := operate(e, "policy", "controls", "--json")
	if err != nil {
		return nil, err
	}
	var all struct {
		Items []control `json:"items"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("policy controls: %w", err)
	}
	if len(all.Items) < 10 {
		return nil, fmt.Errorf("policy controls: only %d of them", len(all.Items))
	}
	return all.Items, nil
}

// operate runs a command of mtguard's against the node that was started.
func operate(e *Env, args ...string) ([]byte, error) {
	cmd := exec.Command(e.Programs.Mtguard, append(args, "--server", socket(e), "--no-input")...)
	cmd.Dir, cmd.Env = e.Dir, environment()
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("mtguard %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(failure.String()))
	}
	return out, nil
}
