package control

import (
	"net"
	"slices"

	"mtguard/control/store"
)

// A page at another port of the same name is another origin, and may yet ask a browser for the name's passkeys: it could hand on what they sign. So
// passkeys are taken at the listener's own port, and at those where somebody has signed in with a code: he had the address from this node, such as
// the beginning of a tunnel that mtguard dashboard printed.

const (
	settingOrigins = "signin.origins" // JSON: names with their ports, the one that was new last at the end
	maxOrigins     = 32
)

// Origin reports whether somebody has signed in with a code at that port of a host.
func (p *Plane) Origin(host, port string) bool {
	p.credentials.mu.RLock()
	defer p.credentials.mu.RUnlock()
	return slices.Contains(p.credentials.origins, net.JoinHostPort(host, port))
}

func readOrigins(tx *store.Tx) (all []string, err error) {
	err = optionalSetting(tx, settingOrigins, &all)
	return all, err
}

// cameTo notes where somebody signs in with a code.
func (x *transaction) cameTo(where Where) error {
	at := net.JoinHostPort(where.Host, where.Port)
	all, err := readOrigins(x.tx)
	if err != nil || slices.Contains(all, at) {
		return err
	}
	all = append(all, at)
	x.detail("passkeys_at", at)
	return putSetting(x.tx, settingOrigins, all[max(0, len(all)-maxOrigins):])
}
