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
		option := "no option splice-auto"
		if splice {
			option = "option splice-auto"
		}
		path, err := writeConfig(e, "haproxy.cfg", fmt.Sprintf(`global
    maxconn %d
    maxpipes 4096
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
`, haproxyConnections(), option, e.Network.ProxyAt, e.Network.DC))
		if err != nil {
			return nil, err
		}
		return []string{"-db", "-q", "-f", path}, nil
	}
}

// haproxyConnections keeps within the descriptors there are: haproxy does not start otherwise.
func haproxyConnections() int {
	return max(min((Descriptors()-9000)/2, 30_000), 1000)
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
