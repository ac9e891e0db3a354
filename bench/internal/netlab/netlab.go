// Package netlab makes the private networks that the benchmark runs in, so that unmodified proxies which dial Telegram's real addresses
// reach the simulated data centre and nothing can leave the machine.
//
// Networks live in network namespaces without a name: they are gone with the process. Making them needs CAP_NET_ADMIN and the ip command;
// Here is what remains without. A Space may be used from several goroutines. Linux only.
package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// Network is where the three parties of a measurement live and how they reach each other.
type Network struct {
	Name                   string
	Clients, Proxy, Server *Space
	ProxyAt                netip.AddrPort // the proxy listens and the clients connect here
	DC                     netip.AddrPort // the data centre as proxies dial it
	DCListen, CoverListen  netip.AddrPort
	Cover                  netip.AddrPort
	NoCover                netip.AddrPort // nobody listens here
	Strangers              netip.Addr     // another source address for clients
	Telegram               bool           // Telegram's own addresses lead to the simulated data centre
}

// telegram holds the IPv4 addresses that proxies have built in.
var telegram = []string{
	"149.154.175.50", "149.154.167.51", "95.161.76.100", "149.154.175.100", "149.154.167.91", "149.154.171.5", "91.105.192.100",
}

var (
	everywhere = netip.IPv4Unspecified()
	local      = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	secondDC   = netip.MustParseAddrPort("149.154.167.51:443")
)

const (
	proxyPort   = 3128
	coverPort   = 8444
	noCoverPort = 8445
)

// Here is the machine's own loopback, with ports that were free a moment ago: works for everybody, but not for proxies that insist on
// Telegram's addresses.
func Here() (*Network, error) {
	self, err := newSpace(false)
	if err != nil {
		return nil, err
	}
	var ports [4]netip.AddrPort
	for i := range ports {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			self.Close()
			return nil, err
		}
		defer l.Close() // all together, or the same port might come twice
		ports[i] = l.Addr().(*net.TCPAddr).AddrPort()
	}
	return &Network{
		Name: "loopback of the machine", Clients: self, Proxy: self, Server: self,
		ProxyAt: ports[0], DC: ports[1], DCListen: ports[1], Cover: ports[2], CoverListen: ports[2], NoCover: ports[3],
		Strangers: netip.AddrFrom4([4]byte{127, 0, 0, 66}),
	}, nil
}

// Loopback is a private namespace in which everything shares lo.
func Loopback() (*Network, error) {
	s, err := NewSpace()
	if err != nil {
		return nil, err
	}
	n := &Network{
		Name: "loopback", Clients: s, Proxy: s, Server: s,
		ProxyAt: at(local, proxyPort), DC: secondDC, DCListen: at(everywhere, 443),
		Cover: at(local, coverPort), CoverListen: at(everywhere, coverPort), NoCover: at(local, noCoverPort),
		Strangers: netip.AddrFrom4([4]byte{127, 0, 0, 66}), Telegram: true,
	}
	if err := s.prepare(); err != nil {
		n.Close()
		return nil, err
	}
	if err := s.answerForTelegram(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Veth gives clients, proxy and server a namespace each, joined by links with the MTU of the internet. Segmentation offload is off, so that
// packets have their real size; receive offload is on, as with real network cards.
func Veth() (*Network, error) {
	n := &Network{
		Name:    "veth, MTU 1500, TSO and GSO off",
		ProxyAt: netip.MustParseAddrPort("10.77.1.2:3128"), DC: secondDC, DCListen: at(everywhere, 443),
		Cover: netip.MustParseAddrPort("10.77.2.1:8444"), CoverListen: at(everywhere, coverPort),
		NoCover: netip.MustParseAddrPort("10.77.2.1:8445"), Strangers: netip.MustParseAddr("10.77.1.66"), Telegram: true,
	}
	var err error
	for _, s := range []**Space{&n.Clients, &n.Proxy, &n.Server} {
		if *s, err = NewSpace(); err == nil {
			err = (*s).prepare()
		}
		if err != nil {
			n.Close()
			return nil, err
		}
	}
	if err := n.join(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *Network) join() error {
	clients, server := n.Clients.path(), n.Server.path()
	for _, step := range []struct {
		in   *Space
		line string
	}{
		{n.Proxy, "link add mtb-pc mtu 1500 type veth peer name mtb-cp mtu 1500"},
		{n.Proxy, "link add mtb-ps mtu 1500 type veth peer name mtb-sp mtu 1500"},
		{n.Proxy, "link set mtb-cp netns " + clients},
		{n.Proxy, "link set mtb-sp netns " + server},
		{n.Proxy, "addr add 10.77.1.2/24 dev mtb-pc"},
		{n.Proxy, "addr add 10.77.2.2/24 dev mtb-ps"},
		{n.Proxy, "link set mtb-pc up"},
		{n.Proxy, "link set mtb-ps up"},
		{n.Clients, "addr add 10.77.1.1/24 dev mtb-cp"},
		{n.Clients, "addr add 10.77.1.66/24 dev mtb-cp"},
		{n.Clients, "link set mtb-cp up"},
		{n.Server, "addr add 10.77.2.1/24 dev mtb-sp"},
		{n.Server, "link set mtb-sp up"},
		{n.Clients, "route add default via 10.77.1.2"}, // for clients that go to the data centre without a proxy
		{n.Server, "route add 10.77.1.0/24 via 10.77.2.2"},
		{n.Proxy, "route add default via 10.77.2.1"},
	} {
		if err := step.in.ip(step.line); err != nil {
			return err
		}
	}
	for _, end := range []struct {
		in   *Space
		name string
	}{{n.Proxy, "mtb-pc"}, {n.Proxy, "mtb-ps"}, {n.Clients, "mtb-cp"}, {n.Server, "mtb-sp"}} {
		if err := end.in.Do(func() error { return realPackets(end.name) }); err != nil {
			return err
		}
	}
	if err := n.Proxy.sysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	return n.Server.answerForTelegram()
}

// Close ends the namespaces as soon as nobody lives in them.
func (n *Network) Close() {
	for _, s := range []*Space{n.Clients, n.Proxy, n.Server} {
		if s != nil {
			s.Close()
		}
	}
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

// Space is a network namespace with one thread that lives in it.
type Space struct {
	work chan func()
	file *os.File
}

// NewSpace makes an empty namespace.
func NewSpace() (*Space, error) { return newSpace(true) }

func newSpace(private bool) (*Space, error) {
	s := &Space{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, since nobody else may inherit its namespace
		var err error
		if private {
			err = syscall.Unshare(syscall.CLONE_NEWNET)
		}
		if err == nil {
			s.file, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
		if err != nil {
			return
		}
		for f := range s.work {
			f()
		}
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return s, nil
}

// Close ends the thread. Processes that were started in the namespace die with it.
func (s *Space) Close() {
	if s.file == nil {
		return // closed already, as when several parties share it
	}
	close(s.work)
	s.file.Close()
	s.file = nil
}

// Do calls f on a thread inside the namespace.
func (s *Space) Do(f func() error) error {
	done := make(chan error)
	s.work <- func() { done <- f() }
	return <-done
}

// Start starts a command inside the namespace. The command dies with this process.
func (s *Space) Start(cmd *exec.Cmd) error {
	// The signal follows the thread that starts the child, and only the namespace's own thread is sure to stay.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return s.Do(cmd.Start)
}

func (s *Space) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.file.Fd()) }

func (s *Space) ip(line string) error {
	return s.Do(func() error {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

func (s *Space) sysctl(name, value string) error {
	return s.Do(func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}

// prepare brings lo up and makes room for many short sessions.
func (s *Space) prepare() error {
	if err := s.ip("link set lo up"); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"net/ipv4/ip_local_port_range": "10000 65000",
		"net/ipv4/tcp_tw_reuse":        "1",
		"net/ipv4/tcp_max_syn_backlog": "8192",
	} {
		// Not every kernel lets a namespace set these; the benchmark works without, only closer to its limits.
		s.sysctl(name, value)
	}
	return nil
}

func (s *Space) answerForTelegram() error {
	for _, a := range telegram {
		if err := s.ip("addr add " + a + "/32 dev lo"); err != nil {
			return err
		}
	}
	return nil
}
