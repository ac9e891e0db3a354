package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/config/spelling"
)

// checker collects problems of one File.
type checker struct {
	file     *File
	problems []Problem
}

// check returns everything that is wrong with the values.
func (f *File) check() []Problem {
	c := &checker{file: f}
	c.proxy()
	c.cover()
	c.users()
	c.upstream()
	c.limits()
	c.policy()
	c.pages()
	c.advisory()
	c.alerts()
	c.rest()
	return c.problems
}

func (c *checker) refuse(path, message, hint string) {
	c.problems = append(c.problems, c.file.source().problem(path, message, hint))
}

func (c *checker) refuseKey(path, message, hint string) {
	c.problems = append(c.problems, c.file.source().problemWithKey(path, message, hint))
}

func (c *checker) proxy() {
	p := &c.file.Proxy
	if len(p.Listen) == 0 {
		c.refuse("proxy.listen", "proxy.listen is empty", `such as [":443"]`)
	}
	for i, address := range p.Listen {
		path := fmt.Sprintf("proxy.listen[%d]", i)
		c.listenAddress(path, "proxy.listen", address)
		for _, earlier := range p.Listen[:i] {
			if sameListener(address, earlier) {
				c.refuse(path, fmt.Sprintf("proxy.listen holds %q, which %q covers already", address, earlier), "name each address once")
				break
			}
		}
	}
	c.publicAddress(p.PublicAddress)
	if len(p.Transports) == 0 {
		c.refuse("proxy.transports", "proxy.transports is empty", `such as ["faketls"]`)
	}
	for i, transport := range p.Transports {
		path := fmt.Sprintf("proxy.transports[%d]", i)
		c.oneOf(path, "proxy.transports", transport, "faketls", "secure", "classic")
		if slices.Contains(p.Transports[:i], transport) {
			c.refuse(path, fmt.Sprintf("proxy.transports holds %q twice", transport), "name each once")
		}
	}
	c.count("proxy.max_connections", p.MaxConnections, 4_194_304)
	c.duration("proxy.handshake_timeout", p.HandshakeTimeout, time.Second, 5*time.Minute)
	c.duration("proxy.idle_timeout", p.IdleTimeout, 10*time.Second, 24*time.Hour)
	c.duration("proxy.drain_timeout", p.DrainTimeout, 0, time.Hour)
	c.duration("proxy.clock_skew", p.ClockSkew, 10*time.Second, time.Hour)
	c.oneOf("proxy.engine", "proxy.engine", p.Engine, "auto", "loop", "goroutine")
}

func (c *checker) publicAddress(address string) {
	if address == "auto" {
		return
	}
	host, port := address, "443" // any good port
	if h, p, err := net.SplitHostPort(address); err == nil && !strings.Contains(address, "/") {
		host, port = h, p
	}
	addr, err := netip.ParseAddr(host)
	if err == nil && addr.Zone() == "" && !addr.IsUnspecified() || err != nil && isHostName(host) {
		if !isPort(port, 1) {
			c.refuse("proxy.public_address", fmt.Sprintf("proxy.public_address has the port %q", port), "a port is 1 to 65535")
		}
		return
	}
	c.refuse("proxy.public_address", fmt.Sprintf("proxy.public_address is no host that links could carry: %q", address),
		`"auto", a lower-case name, or an address, each also with ":port"`)
}

func (c *checker) cover() {
	cover := &c.file.Cover
	if len(cover.Domains) == 0 && slices.Contains(c.file.Proxy.Transports, "faketls") {
		c.refuse("cover.domains", "cover.domains is empty, but proxy.transports holds faketls", "a fake-TLS link contains a server name: give one, or leave faketls out")
	}
	for i, domain := range cover.Domains {
		path := fmt.Sprintf("cover.domains[%d]", i)
		_, err := netip.ParseAddr(domain)
		switch {
		case err == nil:
			c.refuse(path, fmt.Sprintf("cover.domains holds the address %q", domain), "a hello carries a name, never an address")
		case isHostName(strings.ToLower(domain)) && !isHostName(domain):
			c.refuse(path, fmt.Sprintf("cover.domains holds %q with capitals", domain), fmt.Sprintf("write %q", strings.ToLower(domain)))
		case !isHostName(domain):
			c.refuse(path, fmt.Sprintf("cover.domains holds %q, which is no host name", domain), "letters, digits and dashes between dots; other scripts as xn--…")
		case len(domain) < 4 || len(domain) > 182:
			c.refuse(path, fmt.Sprintf("cover.domains holds a name of %d bytes", len(domain)), "Telegram's apps take 4 to 182 bytes")
		case slices.Contains(cover.Domains[:i], domain):
			c.refuse(path, fmt.Sprintf("cover.domains holds %q twice", domain), "name each once")
		}
	}
	if cover.FallBackTo != "" {
		c.fallBackTo(cover.FallBackTo)
	}
	c.duration("cover.connect_timeout", cover.ConnectTimeout, 100*time.Millisecond, time.Minute)
	c.count("cover.max_connections", cover.MaxConnections, 1_048_576)
}

// fallBackTo also finds the loops that show in the text; the node finds those that
// only name resolution shows.
func (c *checker) fallBackTo(address string) {
	const path = "cover.fall_back_to"
	if !c.hostPort(path, address, "443") {
		return
	}
	host, port, _ := net.SplitHostPort(address)
	for _, listen := range c.file.Proxy.Listen {
		ourHost, ourPort, err := net.SplitHostPort(listen)
		if err != nil || ourPort != port {
			continue
		}
		ours := ourHost == host || isLoopback(host) && (isAny(ourHost) || ourHost == "localhost")
		if ours || isAny(host) {
			c.refuse(path, fmt.Sprintf("cover.fall_back_to is this node itself: it listens on %q", listen), "name the real site, on another address or port")
			return
		}
	}
}

var userName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (c *checker) users() {
	first := make(map[string]int, len(c.file.Users))
	for i, user := range c.file.Users {
		path := fmt.Sprintf("user[%d]", i)
		switch earlier, taken := first[user.Name]; {
		case user.Name == "":
			c.refuse(path+".name", "a user has no name", `name = "alice"`)
		case !userName.MatchString(user.Name):
			c.refuse(path+".name", "a user's name holds what a name cannot", "1 to 64 letters, digits, dots, dashes or underscores")
		case taken:
			c.refuse(path+".name", fmt.Sprintf("user %s is given twice", user.Name), fmt.Sprintf("it is [[user]] number %d already", earlier+1))
		default:
			first[user.Name] = i
		}
		switch {
		case !user.Secret.IsZero() && user.SecretFile != "":
			c.refuse(path+".secret_file", fmt.Sprintf("user %s has secret and secret_file", user.Name), "keep one of them")
		case user.Secret.IsZero() && user.SecretFile == "":
			c.refuse(path, fmt.Sprintf("user %s has no secret", user.Name), "`mtguard generate-secret` makes one; put it into secret, or into a file named by secret_file")
		}
	}
}

func (c *checker) upstream() {
	u := &c.file.Upstream
	c.oneOf("upstream.prefer", "upstream.prefer", u.Prefer, "ipv4", "ipv6", "only-ipv4", "only-ipv6")
	switch {
	case strings.Contains(u.Socks5, "@"):
		c.refuse("upstream.socks5", "upstream.socks5 holds a user name", "a SOCKS5 proxy with a password is not supported: host:port only")
	case u.Socks5 != "":
		c.hostPort("upstream.socks5", u.Socks5, "1080")
	}
	c.duration("upstream.connect_timeout", u.ConnectTimeout, 100*time.Millisecond, time.Minute)
	for _, dc := range slices.Sorted(maps.Keys(u.DC)) {
		path := "upstream.dc." + dc
		if !isDC(dc) {
			c.refuseKey(path, fmt.Sprintf("upstream.dc has the key %q, which is no data centre", dc), "1 to 5, 203, 10001 to 10003, or one of these negative")
		}
		if len(u.DC[dc]) == 0 {
			c.refuse(path, path+" is empty", "give an address, or leave the line out to use the built-in ones")
		}
		for i, address := range u.DC[dc] {
			if at, err := netip.ParseAddrPort(address); err != nil || at.Port() == 0 || at.Addr().IsUnspecified() {
				c.refuse(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%s holds %q, which is no address with a port", path, address), `such as "149.154.167.51:443" or "[2001:67c:4e8:f002::a]:443"`)
			}
		}
	}
}

func isDC(text string) bool {
	dc, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(dc) != text {
		return false
	}
	dc = max(dc, -dc)
	return dc >= 1 && dc <= 5 || dc == 203 || dc >= 10001 && dc <= 10003
}

var rate = regexp.MustCompile(`^([1-9][0-9]{0,5}|1000000)/[smh]( burst ([1-9][0-9]{0,5}|1000000))?$`)

func (c *checker) limits() {
	l := &c.file.Limits
	c.count("limits.connections_per_address", l.ConnectionsPerAddress, 4_194_304)
	if !rate.MatchString(l.NewPerPrefix) {
		c.refuse("limits.new_per_prefix", fmt.Sprintf("limits.new_per_prefix is no rate: %q", l.NewPerPrefix), `a number up to 1000000 and a unit: "20/s", "30/m", "500/h", or "20/s burst 100"`)
	}
	c.count("limits.half_open", l.HalfOpen, 1_048_576)
	if l.HalfOpen > c.file.Proxy.MaxConnections && c.file.Proxy.MaxConnections > 0 {
		c.refuse("limits.half_open", "limits.half_open is above proxy.max_connections", fmt.Sprintf("at most %s", number(c.file.Proxy.MaxConnections)))
	}
}

// controls are the names a mode can be given to; bounds always act.
var (
	controls = []string{
		"access.level", "access.pattern", "addrs.user", "auth.strength", "bytes.user", "conns.addr", "conns.key", "conns.prefix", "conns.user",
		"encryption.required", "geo.country", "overload.level", "rate.accept", "rate.failures", "threat.block", "transport.min",
	}
	bounds = []string{"conns.total", "conns.half_open"}
)

var mode = regexp.MustCompile(`^(off|monitor|enforce( ([1-9][0-9]?|100)%)?)$`)

func (c *checker) policy() {
	for _, name := range slices.Sorted(maps.Keys(c.file.Policy.Controls)) {
		path := "policy.controls." + name
		switch {
		case slices.Contains(bounds, name):
			c.refuseKey(path, fmt.Sprintf("control %s has no mode: it bounds memory and is always enforced", name), "remove this line")
			continue
		case !slices.Contains(controls, name):
			hint := "known: " + strings.Join(controls, ", ")
			if near := spelling.Nearest(name, controls); near != "" {
				hint = "did you mean " + strconv.Quote(near) + "?"
			}
			c.refuseKey(path, fmt.Sprintf("unknown control %q", name), hint)
			continue
		}
		if m := c.file.Policy.Controls[name]; !mode.MatchString(m) {
			c.refuse(path, fmt.Sprintf("control %s has the mode %q", name, m), `"off", "monitor", "enforce", or "enforce 10%" with 1 to 100`)
		}
	}
}

func (c *checker) pages() {
	p := &c.file.Pages
	if p.Listen == "" {
		return
	}
	if c.listenAddress("pages.listen", "pages.listen", p.Listen) {
		c.apart("pages.listen", p.Listen, c.file.Proxy.Listen...)
		c.apart("pages.listen", p.Listen, c.file.Metrics.Listen)
	}
	at, err := url.Parse(p.URL)
	switch {
	case p.URL == "":
		c.refuse("pages.listen", "pages.listen is set, but pages.url is not", `url = "https://links.example.com"`)
	case err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "":
		c.refuse("pages.url", "pages.url is no address of a web site", `such as "https://links.example.com"`)
	}
	if (p.CertFile == "") != (p.KeyFile == "") {
		c.refuse("pages.cert_file", "pages.cert_file and pages.key_file belong together", "give both, or neither")
	}
	if len(p.Note) > 200 {
		c.refuse("pages.note", fmt.Sprintf("pages.note has %d bytes", len(p.Note)), "at most 200")
	}
}

// apart refuses an address that another listener has.
func (c *checker) apart(key, address string, others ...string) {
	for _, other := range others {
		if other != "" && sameListener(address, other) {
			c.refuse(key, fmt.Sprintf("%s is taken already: %q", key, other), "choose another port")
			return
		}
	}
}

func (c *checker) rest() {
	if listen := c.file.Metrics.Listen; listen != "" && c.listenAddress("metrics.listen", "metrics.listen", listen) {
		for _, ours := range c.file.Proxy.Listen {
			if sameListener(listen, ours) {
				c.refuse("metrics.listen", fmt.Sprintf("metrics.listen is taken by proxy.listen: %q", ours), "choose another port")
				break
			}
		}
	}
	c.admin()
	if s := c.file.Admin.Socket; s != "" && s != "auto" && !filepath.IsAbs(s) {
		c.refuse("admin.socket", fmt.Sprintf("admin.socket is no absolute path: %q", s), `"auto", or such as "/run/mtguard/admin.sock"`)
	} else if len(s) > maxSocketPath {
		c.refuse("admin.socket", fmt.Sprintf("admin.socket has %d bytes", len(s)), fmt.Sprintf("the path of a Unix socket has at most %d", maxSocketPath))
	}
	if c.file.State.Dir == "" {
		c.refuse("state.dir", "state.dir is empty", strconv.Quote(DefaultStateDir))
	}
	c.oneOf("log.level", "log.level", c.file.Log.Level, "debug", "info", "warn", "error")
	c.oneOf("log.format", "log.format", c.file.Log.Format, "auto", "text", "json")
	c.oneOf("log.address", "log.address", c.file.Log.Address, "full", "truncate", "hash")
}

// maxSocketPath is what the kernel takes, less the zero behind it.
const maxSocketPath = 107

func (c *checker) oneOf(path, key, value string, known ...string) {
	if slices.Contains(known, value) {
		return
	}
	hint := "known: " + strings.Join(known, ", ")
	if near := spelling.Nearest(strings.ToLower(value), known); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	c.refuse(path, fmt.Sprintf("%s cannot be %q", key, value), hint)
}

func (c *checker) duration(path string, value, low, high time.Duration) {
	outOfRange(c, path, value, low, high, func(d time.Duration) string { return strconv.Quote(FormatDuration(d)) })
}

func (c *checker) count(path string, value, high int) {
	outOfRange(c, path, value, 1, high, number)
}

func outOfRange[T cmp.Ordered](c *checker, path string, value, low, high T, text func(T) string) {
	if value < low {
		c.refuse(path, path+" is too small", fmt.Sprintf("allowed: %s to %s", text(low), text(high)))
	} else if value > high {
		c.refuse(path, path+" is too large", fmt.Sprintf("allowed: %s to %s", text(low), text(high)))
	}
}

func (c *checker) listenAddress(path, key, address string) bool {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil && isPort(address, 0):
		c.refuse(path, fmt.Sprintf("%s holds %q without a host", key, address), fmt.Sprintf("write %q", ":"+address))
	case err != nil:
		c.refuse(path, fmt.Sprintf("%s holds %q, which is no address with a port", key, address), `such as ":443", "127.0.0.1:8443" or "[::1]:8443"`)
	case !isPort(port, 0):
		c.refuse(path, fmt.Sprintf("%s has the port %q", key, port), "a port is 0 to 65535")
	case host != "" && !isHost(host):
		c.refuse(path, fmt.Sprintf("%s has the host %q", key, host), "an address, a name, or nothing for every address of the machine")
	default:
		return true
	}
	return false
}

func (c *checker) hostPort(path, address, usual string) bool {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil && isHost(address):
		c.refuse(path, fmt.Sprintf("%s has no port: %q", path, address), fmt.Sprintf("write %q", net.JoinHostPort(address, usual)))
	case err != nil || !isHost(host):
		c.refuse(path, fmt.Sprintf("%s is not host:port: %q", path, address), "such as "+strconv.Quote("www.example.com:"+usual))
	case !isPort(port, 1):
		c.refuse(path, fmt.Sprintf("%s has the port %q", path, port), "a port is 1 to 65535")
	default:
		return true
	}
	return false
}

func isHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || isHostName(strings.ToLower(host))
}

func isPort(text string, low uint64) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port >= low && strconv.FormatUint(port, 10) == text
}

func isAny(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// sameListener reports whether two listen addresses cannot be had at once, as far as
// their text tells. Port 0 is a fresh port each time. "0.0.0.0" and "[::]" go together.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	addrA, _ := netip.ParseAddr(hostA)
	addrB, _ := netip.ParseAddr(hostB)
	if addrA.IsValid() && addrB.IsValid() && addrA.Is4() != addrB.Is4() {
		return false
	}
	return strings.EqualFold(hostA, hostB) || isAny(hostA) || isAny(hostB)
}
