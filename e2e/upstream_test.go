package e2e

import (
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"mtguard/e2e/client"
)

// needIPv6 skips the test where loopback has no IPv6 (some containers).
func needIPv6(t *testing.T) {
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 on loopback: ", err)
	}
	ln.Close()
}

// TestIPv6Listener serves clients on both families.
func TestIPv6Listener(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	tele := telegram(t, 2)
	s := standard(t, coverSite(t).addr, tele)
	six := freeAddr(t, "::1")
	s.values["proxy.listen"] = append(s.strings("proxy.listen"), six)
	n := start(t, s)
	for _, addr := range []string{n.addr, six} {
		for _, tt := range transports {
			served(t, way(t, addr, tt.secret, nil), 2)
		}
	}
}

// TestAddressesOfADC gives DCs several addresses of which one works. Each case has a DC of its own, since the node may
// remember which address answered.
func TestAddressesOfADC(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	tests := []struct {
		name, prefer string
		dc           int
		addrs        []string // see named
		want         string   // "" = the client is refused
	}{
		{"next address", "ipv4", 1, []string{"dead4", "four"}, "four"},
		{"next address after silence", "ipv4", -1, []string{"silent", "four"}, "four"},
		{"from IPv4 to IPv6", "ipv4", 2, []string{"dead4", "six"}, "six"},
		{"from silent IPv4 to IPv6", "ipv4", -2, []string{"silent", "dead4", "six"}, "six"},
		{"from IPv6 to IPv4", "ipv6", 3, []string{"dead6", "four"}, "four"},
		{"IPv4 preferred", "ipv4", -3, []string{"six", "four"}, "four"},
		{"IPv6 preferred", "ipv6", 4, []string{"four", "six"}, "six"},
		{"only IPv4", "only-ipv4", -4, []string{"six", "four"}, "four"},
		{"only IPv6", "only-ipv6", 5, []string{"four", "six"}, "six"},
		{"only IPv4, dead", "only-ipv4", -5, []string{"dead4", "six"}, ""},
		{"only IPv6, dead", "only-ipv6", 203, []string{"four", "dead6"}, ""},
	}
	var ids []int
	for _, tt := range tests {
		ids = append(ids, tt.dc)
	}
	tele := telegram(t)
	four, six := tele.add(t, "127.0.0.1:0", ids...), tele.add(t, "[::1]:0", ids...)
	named := map[string]string{
		"four": four.Addr(), "six": six.Addr(), "silent": silentAddr(t),
		"dead4": deadAddr(t, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
		"dead6": deadAddr(t, &syscall.SockaddrInet6{Addr: [16]byte{15: 1}}),
	}
	s := standard(t, coverSite(t).addr, nil)
	s.values["upstream.connect_timeout"] = "500ms"
	for _, tt := range tests {
		for _, name := range tt.addrs {
			s.dcs[tt.dc] = append(s.dcs[tt.dc], named[name])
		}
	}
	n := start(t, s)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.values["upstream.prefer"] = tt.prefer
			n.configure(s)
			if err := n.reload(); err != nil {
				t.Fatal(err)
			}
			before := map[string]int{"four": len(four.Hellos()), "six": len(six.Hellos())}
			r := way(t, n.addr, secureSecret, nil)
			if tt.want == "" {
				refused(t, r, tt.dc)
			} else {
				served(t, r, tt.dc)
			}
			for name, now := range map[string]int{"four": len(four.Hellos()), "six": len(six.Hellos())} {
				want := 0
				if name == tt.want {
					want = 1
				}
				if got := now - before[name]; got != want {
					t.Errorf("address %s was used %d times, want %d", name, got, want)
				}
			}
		})
	}
}

// TestPreferenceOutlivesAFallBack lets the only IPv4 address of a DC come back after IPv6 had to serve.
func TestPreferenceOutlivesAFallBack(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	tele, address := telegram(t), freeAddr(t, "127.0.0.1")
	six := tele.add(t, "[::1]:0", 2)
	s := standard(t, coverSite(t).addr, nil)
	s.dcs[2] = []string{address, six.Addr()}
	n := start(t, s)
	r := way(t, n.addr, secureSecret, nil)
	served(t, r, 2)
	if got := len(six.Hellos()); got != 1 {
		t.Fatalf("IPv6 was used %d times, want 1", got)
	}
	four := tele.add(t, address, 2)
	n.await("a client at the preferred address", func() bool {
		served(t, r, 2)
		return len(four.Hellos()) > 0
	})
}

// silentAddr is an address that does not even refuse: its queue of connections is full, so the kernel drops what
// asks to come in.
func silentAddr(t *testing.T) string {
	t.Helper()
	fd, addr := bound(t, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(os.NewSyscallError("listen", err))
	}
	for range 16 {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue of a listener does not fill up")
	return ""
}

// deadAddr is an address that refuses connections, and that nobody can take while the test runs.
func deadAddr(t *testing.T, to syscall.Sockaddr) string {
	t.Helper()
	_, addr := bound(t, to)
	return addr
}

// bound returns a TCP socket that has an address and does not listen there.
func bound(t *testing.T, to syscall.Sockaddr) (fd int, addr string) {
	t.Helper()
	family := syscall.AF_INET
	if _, six := to.(*syscall.SockaddrInet6); six {
		family = syscall.AF_INET6
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(os.NewSyscallError("socket", err))
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, to); err != nil {
		t.Fatal(os.NewSyscallError("bind", err))
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(os.NewSyscallError("getsockname", err))
	}
	switch a := name.(type) {
	case *syscall.SockaddrInet4:
		return fd, net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port))
	case *syscall.SockaddrInet6:
		return fd, net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port))
	}
	t.Fatalf("socket has a name of type %T", name)
	return 0, ""
}

// TestSOCKS5 reaches Telegram through a SOCKS5 proxy.
func TestSOCKS5(t *testing.T) {
	t.Parallel()
	tele, socks := telegram(t, 1, 2), startSOCKS5(t)
	s := standard(t, coverSite(t).addr, tele)
	s.values["upstream.socks5"] = socks.Addr().String()
	n := start(t, s)
	for _, id := range []int{1, -2} {
		served(t, way(t, n.addr, fakeTLSSecret, nil), id)
	}
	moveFile(t, tele, way(t, n.addr, secureSecret, nil), client.LargePart)
	want := []string{tele.servers[1].Addr(), tele.servers[2].Addr(), tele.servers[2].Addr()}
	if got := socks.asked(); !slices.Equal(got, want) {
		t.Errorf("the SOCKS5 proxy was asked for %v, want %v", got, want)
	}

	socks.refuse.Store(true)
	refused(t, way(t, n.addr, secureSecret, nil), 2)
	socks.refuse.Store(false)
	served(t, way(t, n.addr, secureSecret, nil), 2)
	socks.Close()
	refused(t, way(t, n.addr, secureSecret, nil), 2)
}

// TestSOCKS5IPv6 hands an IPv6 address to the SOCKS5 proxy.
func TestSOCKS5IPv6(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	tele, socks := telegram(t), startSOCKS5(t)
	six := tele.add(t, "[::1]:0", 2)
	s := standard(t, coverSite(t).addr, nil)
	s.dcs[2] = []string{six.Addr()}
	s.values["upstream.prefer"] = "ipv6"
	s.values["upstream.socks5"] = socks.Addr().String()
	n := start(t, s)
	served(t, way(t, n.addr, secureSecret, nil), 2)
	if got, want := socks.asked(), []string{six.Addr()}; !slices.Equal(got, want) {
		t.Errorf("the SOCKS5 proxy was asked for %v, want %v", got, want)
	}
}
