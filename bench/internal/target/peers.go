package target

import (
	"encoding/hex"
	"fmt"
)

func relayArgs(e *Env) ([]string, error) {
	return []string{"relay", "-listen", e.Network.ProxyAt.String(), "-to", e.Network.DC.String()}, nil
}

// haproxy runs in the foreground with what its package would do by default: one thread per core, buffers of 16 KB.
func haproxy(splice bool) func(*Env) ([]string, error) {
	return func(e *Env) ([]string, error) {
		const files = 1000 // beside its connections
		pipes, option := 0, "no option splice-auto"
		if splice {
			pipes, option = 1000, "option splice-request\n    option splice-response"
		}
		// It does not start when it could run out of descriptors.
		connections := max(min((Descriptors()-files)/2-pipes, 30_000), 100)
		path, err := writeConfig(e, "haproxy.cfg", fmt.Sprintf(`global
    maxconn %d
    maxpipes %d
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    %s
frontend clients
    bind %s backlog 4096
    default_backend dc
backend dc
    server dc %s
`, connections, pipes, option, e.Network.ProxyAt, e.Network.DC))
		if err != nil {
			return nil, err
		}
		return []string{"-db", "-q", "-f", path}, nil
	}
}

// mtg runs with its example configuration, less what would need the internet.
func mtg(e *Env) ([]string, error) {
	path, err := writeConfig(e, "mtg.toml", fmt.Sprintf(`secret = "ee%s%s"
bind-to = "%s"
concurrency = 60000
prefer-ip = "only-ipv4"
auto-update = false
tolerate-time-skewness = "5s"
[domain-fronting]
ip = "%s"
port = %d
[network.timeout]
tcp = "5s"
http = "10s"
idle = "10m"
handshake = "10s"
[defense.anti-replay]
enabled = true
max-size = "1mib"
error-rate = 0.001
[defense.blocklist]
enabled = false
`, Secret, hex.EncodeToString([]byte(Domain)), e.Network.ProxyAt, e.Cover.Addr(), e.Cover.Port()))
	if err != nil {
		return nil, err
	}
	return []string{"run", path}, nil
}
