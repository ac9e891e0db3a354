package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
)

// Admin says how the node is managed while it runs.
type Admin struct {
	// Socket is the Unix socket that commands such as `mtguard user` talk to. Root, the node's own
	// user and members of the socket's group may use it. "auto" is /run/mtguard/admin.sock where that directory
	// can be used, else admin.sock in the state directory. Empty turns management off.
	// Reload: no, restart.
	Socket string `toml:"socket"`

	// Group is the group the socket is given to. Empty: the group the node runs with.
	// Reload: no, restart.
	Group string `toml:"group" example:"\"mtguard\""`

	// Listen is where browsers and programs reach the dashboard and the API: sign in with the
	// address that `mtguard dashboard` prints, or with a token. Anything but loopback needs cert_file, key_file and
	// hosts, and serves nothing but enrolment until somebody has enrolled a passkey for that name.
	// When another program has the default address it is off. Empty turns it off.
	// Reload: no, restart.
	Listen string `toml:"listen"`

	// Hosts are the names that browsers may use for the dashboard, beside localhost on a
	// loopback address. Requests for other names are refused.
	// Reload: no, restart.
	Hosts []string `toml:"hosts" example:"[\"admin.example.com\"]"`

	// CertFile and KeyFile are a certificate and its key in PEM. They are read again when they
	// change.
	// Reload: no, restart.
	CertFile string `toml:"cert_file" example:"\"/etc/mtguard/admin.crt\""`

	// KeyFile is the key of CertFile.
	// Reload: no, restart.
	KeyFile string `toml:"key_file" example:"\"/etc/mtguard/admin.key\""`

	// TwoPerson says which changes take a second person, who approves them: "enforce" (a control is
	// enforced, or the policy is replaced), "kek" (the key that seals the store's keys), "break-glass".
	// Reload: yes.
	TwoPerson []string `toml:"two_person" example:"[\"enforce\", \"kek\", \"break-glass\"]"`
}

// host is a name as a Host header has it, without a port.
var host = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

func (c *checker) admin() {
	a := &c.file.Admin
	for i, name := range a.TwoPerson {
		c.oneOf(fmt.Sprintf("admin.two_person[%d]", i), "admin.two_person", name, "enforce", "kek", "break-glass")
	}
	for i, name := range a.Hosts {
		if _, err := netip.ParseAddr(name); err == nil || len(name) > 253 || !host.MatchString(name) {
			c.refuse(fmt.Sprintf("admin.hosts[%d]", i), fmt.Sprintf("admin.hosts holds %q, which is no name in lower case", name), `such as "admin.example.com"`)
		}
	}
	if (a.CertFile == "") != (a.KeyFile == "") {
		c.refuse("admin.cert_file", "admin.cert_file and admin.key_file belong together", "give both, or neither")
	}
	if a.Listen == "" || !c.listenAddress("admin.listen", "admin.listen", a.Listen) {
		return
	}
	if c.file.Explicit("admin.listen") {
		c.apart("admin.listen", a.Listen, c.file.Proxy.Listen...)
		c.apart("admin.listen", a.Listen, c.file.Metrics.Listen, c.file.Pages.Listen)
	}
	if a.CertFile == "" && !loopback(a.Listen) {
		c.refuse("admin.listen", fmt.Sprintf("admin.listen is no loopback address, and there is no certificate: %q", a.Listen), `"127.0.0.1:8380" and a tunnel, or cert_file, key_file and hosts`)
	}
	if a.CertFile != "" && len(a.Hosts) == 0 {
		c.refuse("admin.cert_file", "admin.cert_file is set, but admin.hosts is empty", `the names in the certificate, such as ["admin.example.com"]`)
	}
}

// loopback reports whether only this machine can reach an address.
func loopback(address string) bool {
	name, _, _ := net.SplitHostPort(address)
	at, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && at.Unmap().IsLoopback()
}
