package proxy

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// failing is a listener whose first accepts fail.
type failing struct {
	net.Listener
	left atomic.Int32
	err  error
}

func (l *failing) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", l.err)}
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsPass(t *testing.T) {
	for _, errno := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS} {
		w := newWorld(t, nil)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		bad := &failing{Listener: l, err: errno}
		bad.left.Store(4)
		done := make(chan error, 1)
		go func() { done <- w.s.Serve(bad) }()
		c := w.client()
		c.Proxy = l.Addr().String()
		if _, err := w.connect(c); err != nil {
			t.Errorf("%v: %v", errno, err)
		}
		if bad.left.Load() >= 0 {
			t.Errorf("%v: the listener did not fail", errno)
		}
		w.stop()
		if err := <-done; err != ErrClosed {
			t.Errorf("%v: Serve = %v", errno, err)
		}
	}
}

// A listener that only fails does not keep Shutdown waiting.
func TestShutdownDuringAcceptErrors(t *testing.T) {
	w := newWorld(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bad := &failing{Listener: l, err: syscall.EMFILE}
	bad.left.Store(8) // five milliseconds, doubled seven times, is 1.3 seconds
	done := make(chan error, 1)
	go func() { done <- w.s.Serve(bad) }()
	eventually(t, "it fails", func() bool { return bad.left.Load() < 7 })
	w.stop()
	if err := <-done; err != ErrClosed {
		t.Errorf("Serve = %v", err)
	}
}

func TestServeAfterShutdown(t *testing.T) {
	w := newWorld(t, nil)
	w.stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.s.Serve(l); err != ErrClosed {
		t.Errorf("Serve = %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is open")
	}
}

// Serve may come to life while Shutdown is already there.
func TestServeBesideShutdown(t *testing.T) {
	for range 20 {
		w := newWorld(t, nil)
		w.stop() // beside the Serve that newWorld has started
	}
}

// TestShutdownEndsEveryKindOfConnection: however a connection stands, it is ended
// when patience is, and nothing is left of it.
func TestShutdownEndsEveryKindOfConnection(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) {
		s.Cover.MaxConnections = 1
		s.Handshake = time.Hour
		s.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
	})
	session := w.mustConnect()
	half := w.dial()
	half.Write([]byte{0x16, 3, 1})
	covered := w.stranger()
	eventually(t, "a stranger is shown the site", func() bool { return w.s.Covered.Open() == 1 })
	discarded := w.stranger()
	eventually(t, "a stranger is discarded", func() bool { return w.s.silent.Load() == 1 })
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3)}}
	listed, err := d.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer listed.Close()
	eventually(t, "two are in their handshake", func() bool { return w.stats.HalfOpen.Load() == 2 })

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.s.Shutdown(ctx); close(done) }()
	eventually(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", w.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if err := session.Ping([]byte("ping")); err != nil {
		t.Errorf("a session was cut while draining: %v", err)
	}
	isSilent(t, discarded)
	isSilent(t, half)
	select {
	case <-done:
		t.Fatal("Shutdown did not wait")
	default:
	}
	cancel()
	<-done
	for _, c := range []net.Conn{half, discarded, listed} {
		isClosed(t, c)
	}
	covered.SetReadDeadline(time.Now().Add(10 * time.Second))
	for b := make([]byte, 4096); err == nil; { // the site's flight, then the end
		_, err = covered.Read(b)
	}
	if os.IsTimeout(err) {
		t.Error("a covered stranger is left")
	}
	if _, err := session.Receive(); err == nil {
		t.Error("a session is left")
	}
	w.stop()
}

// Without connections there is nothing to wait for.
func TestShutdownWaitsForTheLastConnectionOnly(t *testing.T) {
	w := newWorld(t, nil)
	session := w.mustConnect()
	done := make(chan struct{})
	go func() { w.s.Shutdown(context.Background()); close(done) }()
	if err := session.Ping([]byte("ping")); err != nil {
		t.Error(err)
	}
	session.Close()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Shutdown waits although nobody is left")
	}
	w.stop()
}

// heading dials and says first what it is told to, then what the client says.
type heading struct {
	first []byte
	from  string
}

func (h heading) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(h.from)}}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &headed{Conn: c, first: h.first}, nil
}

type headed struct {
	net.Conn
	first []byte
}

func (h *headed) Write(b []byte) (int, error) {
	first := h.first
	h.first = nil
	n, err := h.Conn.Write(append(first, b...))
	return max(0, n-len(first)), err
}

func headerV2(t testing.TB, source, dest string) []byte {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(2, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(source)), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(dest)))
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProxyHeaders(t *testing.T) {
	const local = "127.0.0.3"
	v2local := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20, 0, 0, 0)
	for _, c := range []struct {
		name, header string
		from         string
		want         string // the address, or "" for a refusal
	}{
		{"v1", "PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n", local, "192.0.2.7"},
		{"v1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", local, "2001:db8::7"},
		{"v1, not known", "PROXY UNKNOWN\r\n", local, local},
		{"v2", string(headerV2(t, "192.0.2.7:4711", "127.0.0.1:443")), local, "192.0.2.7"},
		{"v2, IPv6", string(headerV2(t, "[2001:db8::7]:4711", "[2001:db8::1]:443")), local, "2001:db8::7"},
		{"v2, a health check", string(v2local), local, local},
		{"none", "", local, ""},
		{"cut", "PROXY TCP4 192.0.2.7", local, ""},
		{"of another version", "PROXY TCP5 192.0.2.7 127.0.0.1 4711 443\r\n", local, ""},
		{"with a port too large", "PROXY TCP4 192.0.2.7 127.0.0.1 4711 70000\r\n", local, ""},
		{"with a name for an address", "PROXY TCP4 example.com 127.0.0.1 4711 443\r\n", local, ""},
		{"without an end", "PROXY TCP4 192.0.2.7 127.0.0.1 4711 443" + strings.Repeat(" ", 200), local, ""},
		{"v2 of the wrong length", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x03\x01\x02\x03", local, ""},
		{"v2 of version 3", "\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x00\x01\x00\x02", local, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(s *policy.Snapshot) {
				s.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix(local + "/32")}
			})
			client := w.client()
			client.Dialer = heading{first: []byte(c.header), from: c.from}
			_, err := w.connect(client)
			if (err == nil) != (c.want != "") {
				t.Fatalf("%v", err)
			}
			if c.want != "" {
				if e := w.events.of(event.Authenticated); len(e) != 1 || e[0].Addr != netip.MustParseAddr(c.want) {
					t.Errorf("%+v, want address %s", e, c.want)
				}
			} else if w.site.Accepted() > 0 {
				t.Error("it was shown the site: its bytes are not a client's")
			}
			w.stop()
			if n := w.stats.Connections.Load(stats.OutcomeError); n != 0 != (c.want == "") {
				t.Errorf("%d errors were counted", n)
			}
		})
	}
}

// A header from anybody else is a stranger's bytes like others.
func TestAProxyHeaderFromOthersIsNotBelieved(t *testing.T) {
	addr, conns := plainSite(t)
	w := newWorld(t, func(s *policy.Snapshot) {
		s.Cover.Address = addr
		s.Transports = [4]bool{3: true}
		s.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
	})
	const header = "PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n"
	client := w.client()
	client.Dialer = heading{first: []byte(header), from: "127.0.0.2"}
	client.Timeout = time.Second
	go func() {
		var site net.Conn
		select {
		case site = <-conns:
		case <-t.Context().Done():
			return
		}
		got := make([]byte, len(header))
		site.SetDeadline(time.Now().Add(10 * time.Second))
		site.Read(got)
		if string(got) != header {
			t.Errorf("the site got %q", got)
		}
		site.Close()
	}()
	if _, err := w.connect(client); err == nil {
		t.Error("it was served")
	}
	if e := w.events.of(event.HandshakeFailed); len(e) != 1 || e[0].Addr != netip.MustParseAddr("127.0.0.2") {
		t.Errorf("%+v", e)
	}
	client.Dialer = heading{from: "127.0.0.2"} // without a header it is a client like others
	if _, err := w.connect(client); err != nil {
		t.Error(err)
	}
}
