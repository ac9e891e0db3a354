package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

func TestAStrangerIsShownTheSite(t *testing.T) {
	w := newWorld(t, nil)
	w.seesSite(w.dial())
	if n := w.site.Accepted(); n != 1 {
		t.Errorf("the site was visited %d times", n)
	}
	w.stop()
	if n := w.stats.Connections.Load(stats.OutcomeCovered); n != 1 {
		t.Errorf("%d connections were counted as covered", n)
	}
	failed, covered := w.events.of(event.HandshakeFailed), w.events.of(event.Covered)
	if len(failed) != 1 || failed[0].Reason != "bad_secret" || failed[0].Transport != "faketls" || failed[0].User != "" {
		t.Errorf("%+v", failed)
	}
	if len(covered) != 1 || covered[0].Sent == 0 || covered[0].Received == 0 {
		t.Errorf("%+v", covered)
	}
}

// Every byte goes to the site, as it came.
func TestTheSiteGetsEveryByte(t *testing.T) {
	addr, conns := plainSite(t)
	w := newWorld(t, func(s *policy.Snapshot) {
		s.Cover.Address = addr
		s.Transports = [4]bool{3: true}
	})
	sent := append(strangersHello(t), "and what came behind it"...)
	c := w.dial()
	c.Write(sent)
	site := <-conns
	defer site.Close()
	if got := readSome(t, site, len(sent)); !bytes.Equal(got, sent) {
		t.Error("the site got something else")
	}
	io.WriteString(c, "more")
	if got := readSome(t, site, 4); string(got) != "more" {
		t.Errorf("%q", got)
	}
	io.WriteString(site, "answer")
	if got := readSome(t, c, 6); string(got) != "answer" {
		t.Errorf("%q", got)
	}
	c.(*net.TCPConn).CloseWrite()
	if n, err := site.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%d bytes, %v; want the stranger's end", n, err)
	}
	io.WriteString(site, "last")
	if got := readSome(t, c, 4); string(got) != "last" {
		t.Errorf("%q", got)
	}
	site.Close()
	isClosed(t, c)
}

// A stranger who says nothing meets the site when the handshake time is over.
func TestASilentStrangerIsShownTheSiteInTheEnd(t *testing.T) {
	addr, conns := plainSite(t)
	w := newWorld(t, func(s *policy.Snapshot) { s.Cover.Address, s.Handshake = addr, 100*time.Millisecond })
	c := w.dial()
	site := <-conns
	defer site.Close()
	io.WriteString(site, "who is there?")
	if got := readSome(t, c, 13); string(got) != "who is there?" {
		t.Errorf("%q", got)
	}
}

func TestTheSiteLearnsTheStrangersAddress(t *testing.T) {
	addr, conns := plainSite(t)
	w := newWorld(t, func(s *policy.Snapshot) {
		s.Cover.Address, s.Cover.ProxyProtocol = addr, true
		s.ProxyProtocolFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}
	})
	visit := func(from string, first []byte) (source, dest string) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		hello := strangersHello(t)
		c.Write(append(first, hello...))
		site := <-conns
		defer site.Close()
		site.SetDeadline(time.Now().Add(10 * time.Second))
		r := bufio.NewReader(site)
		header, err := proxyproto.Read(r)
		if err != nil {
			t.Fatal(err)
		}
		if header.Version != 2 || header.Command != proxyproto.PROXY {
			t.Errorf("version %d, %v", header.Version, header.Command)
		}
		if got := readSome(t, r, len(hello)); !bytes.Equal(got, hello) {
			t.Error("behind the header the site got something else")
		}
		if len(first) == 0 && header.SourceAddr.String() != c.LocalAddr().String() {
			t.Errorf("source %v, want %v", header.SourceAddr, c.LocalAddr())
		}
		return header.SourceAddr.String(), header.DestinationAddr.String()
	}
	if _, dest := visit("127.0.0.2", nil); dest != w.addr {
		t.Errorf("destination %s, want %s", dest, w.addr)
	}
	// The address that a listed peer told is passed on.
	if source, _ := visit("127.0.0.3", []byte("PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n")); source != "192.0.2.7:4711" {
		t.Errorf("source %s", source)
	}
	if source, _ := visit("127.0.0.3", []byte("PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n")); source != "[2001:db8::7]:4711" {
		t.Errorf("source %s", source)
	}
}

// TestTheSiteIsUs: a cover site whose address is our own is not dialled.
func TestTheSiteIsUs(t *testing.T) {
	w := newWorld(t, nil)
	_, port, _ := net.SplitHostPort(w.addr)
	for _, address := range []string{w.addr, "localhost:" + port} {
		w.change(func(s *policy.Snapshot) { s.Cover.Address = address })
		serial := w.s.serial.Load()
		c := w.stranger()
		eventually(t, "the stranger is discarded", func() bool { return w.s.silent.Load() == 1 })
		isSilent(t, c)
		if n := w.s.serial.Load() - serial; n != 1 {
			t.Errorf("%s: %d connections came of one stranger", address, n)
		}
		c.Close()
		eventually(t, "it has ended", func() bool { return w.s.open.Load() == 0 })
	}
}

func TestOwnAddresses(t *testing.T) {
	other := netip.MustParseAddr("192.0.2.1") // documentation: nobody's here
	for _, c := range []struct {
		listening, name string
		self            bool
	}{
		{"127.0.0.1:443", "127.0.0.1:443", true},
		{"127.0.0.1:443", "127.0.0.1:444", false},
		{"127.0.0.1:443", "127.0.0.2:443", false},
		{"0.0.0.0:443", "127.0.0.9:443", true},
		{"[::]:443", "127.0.0.1:443", true},
		{"[::]:443", "[::1]:443", true},
		{"[::]:443", other.String() + ":443", false},
		{"[::ffff:127.0.0.1]:443", "127.0.0.1:443", true},
		{"127.0.0.1:443", "[::ffff:127.0.0.1]:443", true},
	} {
		cover := NewCover(new(policy.Live), slog.New(slog.DiscardHandler), func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(c.listening)} })
		addrs, err := cover.resolve(context.Background(), c.name)
		if errors.Is(err, errSelf) != c.self || (err == nil) == c.self {
			t.Errorf("listening on %s, site %s: %v, %v", c.listening, c.name, addrs, err)
		}
	}
}

// TestTheSiteLeadsBackToUs: by a way that its address does not show. Each
// stranger costs one connection more, never a chain of them.
func TestTheSiteLeadsBackToUs(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) { s.Transports = [4]bool{3: true} })
	w.s.Cover.Listening = func() []netip.AddrPort { return nil }
	w.change(func(s *policy.Snapshot) { s.Cover.Address = w.addr })
	for i := range 30 {
		var c net.Conn
		if i%2 == 0 {
			c = w.stranger()
		} else {
			c = w.dial()
			c.Write([]byte("x"))
		}
		isClosed(t, c)
		c.Close()
		eventually(t, "all has ended", func() bool { return w.s.open.Load() == 0 })
		if n := w.s.serial.Load(); n != uint64(2*(i+1)) {
			t.Fatalf("%d connections came of %d strangers", n, i+1)
		}
	}
	if n := w.stats.Connections.Load(stats.OutcomeDenied); n != 30 {
		t.Errorf("%d loops were cut, want 30", n)
	}
}

func TestASiteOutOfReach(t *testing.T) {
	for name, change := range map[string]func(*policy.Snapshot){
		"refuses":         func(s *policy.Snapshot) { s.Cover.Address = closedPort(t) },
		"is too slow":     func(s *policy.Snapshot) { s.Cover.ConnectTimeout = 1 },
		"is no host:port": func(s *policy.Snapshot) { s.Cover.Address = "www.example.com" },
		"is not there":    func(s *policy.Snapshot) { s.Cover.Address = "" },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, change)
			c := w.stranger()
			eventually(t, "the stranger is discarded", func() bool { return w.s.silent.Load() == 1 })
			isSilent(t, c)
			w.mustConnect() // nobody else is slowed
			isSilent(t, c)
			if n := w.s.Covered.Open(); n != 0 {
				t.Errorf("%d count as shown the site", n)
			}
			w.stop()
			isClosed(t, c)
		})
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestTooManyStrangers(t *testing.T) {
	w := newWorld(t, func(s *policy.Snapshot) { s.Cover.MaxConnections = 2 })
	first, second := w.stranger(), w.stranger()
	eventually(t, "two are shown the site", func() bool { return w.s.Covered.Open() == 2 && w.site.Accepted() == 2 })
	third, fourth := w.stranger(), w.stranger()
	eventually(t, "two more are not answered", func() bool { return w.s.silent.Load() == 2 })
	isClosed(t, w.stranger()) // and no more than that
	isSilent(t, third)
	isSilent(t, fourth)
	if n := w.site.Accepted(); n != 2 {
		t.Errorf("the site was visited %d times", n)
	}
	w.mustConnect()
	readSome(t, second, 100)
	first.Close()
	eventually(t, "there is room", func() bool { return w.s.Covered.Open() == 1 })
	w.seesSite(w.dial())
}

// The site's address is remembered, by its name: another site is another one;
// and an address that answered is tried first from then on.
func TestTheSitesAddressIsRemembered(t *testing.T) {
	w := newWorld(t, nil)
	w.seesSite(w.dial())
	c, name := w.s.Cover, w.s.Live.Load().Cover.Address
	if c.target.name != name || len(c.target.addrs) != 1 {
		t.Fatalf("remembered: %+v", c.target)
	}
	live := c.target.addrs[0]
	if other, err := c.resolve(t.Context(), "127.0.0.1:1"); err != nil || other[0] == live {
		t.Errorf("another site: %v, %v", other, err)
	}
	dead := netip.MustParseAddrPort(closedPort(t))
	c.target = target{name, []netip.AddrPort{dead, live}}
	w.seesSite(w.dial())
	if c.target.addrs[0] != live || c.target.addrs[1] != dead {
		t.Errorf("after a dead address: %v", c.target.addrs)
	}
}

// A name server that is silent holds strangers up once, not each of them.
func TestAFailedLookupIsRemembered(t *testing.T) {
	c, _ := newCover("nowhere")
	_, first := c.resolve(t.Context(), "nowhere")
	c.failed.err = errors.New("remembered")
	if _, err := c.resolve(t.Context(), "nowhere"); first == nil || err == nil || err.Error() != "remembered" {
		t.Errorf("first %v, then %v", first, err)
	}
	c.failed.until = time.Now().Add(-time.Second)
	if _, err := c.resolve(t.Context(), "nowhere"); err == nil || err.Error() == "remembered" {
		t.Errorf("after a while: %v", err)
	}
}

// TestAnInnocentWithOurPort: a system gives one local port to connections with
// several peers, so a stranger on this host may share our address.
func TestAnInnocentWithOurPort(t *testing.T) {
	w := newWorld(t, nil)
	c := w.dial()
	w.s.Cover.mu.Lock()
	w.s.Cover.mine[addrPort(c.LocalAddr())] = sha256.Sum256([]byte("something else"))
	w.s.Cover.mu.Unlock()
	w.seesSite(c)
	w.s.Cover.forget(c.LocalAddr())
}

// TestOneAddressHasItsShareOfTheSite: whoever holds many connections takes the
// disguise from nobody else.
func TestOneAddressHasItsShareOfTheSite(t *testing.T) {
	if share(4096) != 256 || share(20) != 16 {
		t.Errorf("shares %d and %d", share(4096), share(20))
	}
	w := newWorld(t, func(s *policy.Snapshot) { s.Cover.MaxConnections = 40 })
	for range 20 {
		w.stranger()
	}
	eventually(t, "16 are shown the site and 4 read in silence", func() bool { return w.s.Covered.Open() == 16 && w.s.silent.Load() == 4 })
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	other, err := d.Dial("tcp", w.addr)
	if err != nil {
		t.Skip("this system has no second loopback address")
	}
	t.Cleanup(func() { other.Close() })
	w.seesSite(other)
}
