package e2e

import (
	"context"
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
			if err := tele.visit(bounded(t, time.Minute), way(t, addr, tt.secret, nil), 2); err != nil {
				t.Errorf("%s at %s: %v", tt.name, addr, err)
			}
		}
	}
}

// TestAddressesOfADC gives DC 2 several addresses of which one works.
func TestAddressesOfADC(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	tele := telegram(t, 2)
	four := tele.servers[2]
	six := tele.add(t, "[::1]:0", 2)
	dead4, dead6, silent := freeAddr(t, "127.0.0.1"), freeAddr(t, "::1"), silentAddr(t)
	tests := []struct {
		name, prefer string
		addrs        []string
		want         string // "" = the client is refused
	}{
		{"next address", "ipv4", []string{dead4, four.Addr()}, four.Addr()},
		{"next address after silence", "ipv4", []string{silent, four.Addr()}, four.Addr()},
		{"from IPv4 to IPv6", "ipv4", []string{dead4, six.Addr()}, six.Addr()},
		{"from silent IPv4 to IPv6", "ipv4", []string{silent, dead4, six.Addr()}, six.Addr()},
		{"from IPv6 to IPv4", "ipv6", []string{dead6, four.Addr()}, four.Addr()},
		{"IPv4 preferred", "ipv4", []string{six.Addr(), four.Addr()}, four.Addr()},
		{"IPv6 preferred", "ipv6", []string{four.Addr(), six.Addr()}, six.Addr()},
		{"only IPv4", "only-ipv4", []string{six.Addr(), four.Addr()}, four.Addr()},
		{"only IPv6", "only-ipv6", []string{four.Addr(), six.Addr()}, six.Addr()},
		{"only IPv4, dead", "only-ipv4", []string{dead4, six.Addr()}, ""},
		{"only IPv6, dead", "only-ipv6", []string{four.Addr(), dead6}, ""},
	}
	s := standard(t, coverSite(t).addr, nil)
	s.values["upstream.connect_timeout"] = "500ms"
	s.dcs[2] = []string{four.Addr()}
	n := start(t, s)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := s.clone()
			s.values["upstream.prefer"] = tt.prefer
			s.dcs[2] = tt.addrs
			n.configure(s)
			if !n.reload() {
				t.Fatal("the node did not take the new configuration")
			}
			before := map[string]int{four.Addr(): len(four.Hellos()), six.Addr(): len(six.Hellos())}
			err := knock(bounded(t, 20*time.Second), way(t, n.addr, secureSecret, nil), 2)
			if got := err == nil; got != (tt.want != "") {
				t.Fatalf("got %v, want success = %v", err, tt.want != "")
			}
			for addr, now := range map[string]int{four.Addr(): len(four.Hellos()), six.Addr(): len(six.Hellos())} {
				want := 0
				if addr == tt.want {
					want = 1
				}
				if got := now - before[addr]; got != want {
					t.Errorf("%s was used %d times, want %d", addr, got, want)
				}
			}
		})
	}
}

// silentAddr is an address that does not even refuse: its queue of connections is full, so the kernel drops what
// asks to come in.
func silentAddr(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(os.NewSyscallError("bind", err))
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(os.NewSyscallError("listen", err))
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
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

// TestSOCKS5 reaches Telegram through a SOCKS5 proxy.
func TestSOCKS5(t *testing.T) {
	t.Parallel()
	tele, socks := telegram(t, 1, 2), startSOCKS5(t)
	s := standard(t, coverSite(t).addr, tele)
	s.values["upstream.socks5"] = socks.Addr().String()
	n := start(t, s)
	for _, id := range []int{1, -2} {
		if err := tele.visit(bounded(t, time.Minute), way(t, n.addr, fakeTLSSecret, nil), id); err != nil {
			t.Errorf("DC %d: %v", id, err)
		}
	}
	moveFile(t, tele, way(t, n.addr, secureSecret, nil), client.LargePart)
	want := []string{tele.servers[1].Addr(), tele.servers[2].Addr(), tele.servers[2].Addr()}
	if got := socks.asked(); !slices.Equal(got, want) {
		t.Errorf("the SOCKS5 proxy was asked for %v, want %v", got, want)
	}

	socks.refuse.Store(true)
	tele.refused(t, way(t, n.addr, secureSecret, nil), 2)
	socks.refuse.Store(false)
	if err := tele.visit(bounded(t, time.Minute), way(t, n.addr, secureSecret, nil), 2); err != nil {
		t.Errorf("after the SOCKS5 proxy had refused: %v", err)
	}
	socks.Close()
	tele.refused(t, way(t, n.addr, secureSecret, nil), 2)
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
	if err := knock(bounded(t, time.Minute), way(t, n.addr, secureSecret, nil), 2); err != nil {
		t.Error(err)
	}
	if got, want := socks.asked(), []string{six.Addr()}; !slices.Equal(got, want) {
		t.Errorf("the SOCKS5 proxy was asked for %v, want %v", got, want)
	}
}

// knock opens a transport to the DC, sends a message under an authorisation key that the DC cannot know, and waits
// for the DC to say so: a round trip through everything, without the cost of a login.
func knock(ctx context.Context, r client.Route, id int) error {
	c, err := r(ctx, id)
	if err != nil {
		return err
	}
	defer c.Close()
	return answered(ctx, c)
}
