package target

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
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
	return Target{
		Name: name, Note: "mtguard, " + note, Mode: mode, program: "mtguard",
		prepare: func(e *Env) ([]string, error) { return mtguard(e, o) },
	}
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
		fmt.Fprintf(&b, `[limits]
connections_per_address = 100_000
new_per_prefix = "1000000/s"
[policy.controls]
"conns.addr" = "%[1]s"
"rate.accept" = "%[1]s"
`, o.controls)
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
