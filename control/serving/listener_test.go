package serving

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// listen returns a listener of 127.0.0.1, or of every address, in each of the ways that connections are taken.
func listen(t *testing.T, each func(t *testing.T, open func(address string, bounds func(netip.Addr) Bounds) *Listener)) {
	for name, wrap := range map[string]func(net.Listener) net.Listener{
		"socket":   func(l net.Listener) net.Listener { return l },
		"listener": func(l net.Listener) net.Listener { return struct{ net.Listener }{l} },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(address string, bounds func(netip.Addr) Bounds) *Listener {
				t.Helper()
				below, err := net.Listen("tcp", address)
				if err != nil {
					t.Skip(err) // a machine without IPv6
				}
				l := Listen(wrap(below), bounds)
				t.Cleanup(func() { l.Close() })
				return l
			})
		})
	}
}

// dial connects from an address, "" being any. It returns nil when the connection was reset already.
func dial(t *testing.T, l *Listener, from string) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: 20 * time.Second}
	if from != "" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	}
	c, err := d.Dial("tcp", l.Addr().String())
	if errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// greet says "hello" to whoever is let in, until the listener is closed, and keeps the connections.
func greet(l *Listener) (open func() []net.Conn, ended <-chan error) {
	var mu sync.Mutex
	var all []net.Conn
	done := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				done <- err
				return
			}
			io.WriteString(c, "hello")
			mu.Lock()
			all = append(all, c)
			mu.Unlock()
		}
	}()
	return func() []net.Conn { mu.Lock(); defer mu.Unlock(); return slices.Clone(all) }, done
}

func greeted(t *testing.T, c net.Conn) bool {
	t.Helper()
	if c == nil {
		return false
	}
	var b [5]byte
	_, err := io.ReadFull(c, b[:])
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that is refused ends with %v, not with a reset", err)
	}
	return err == nil
}

func TestConnectionsAreBoundedAndPlacesComeBack(t *testing.T) {
	listen(t, func(t *testing.T, listener func(string, func(netip.Addr) Bounds) *Listener) {
		var mu sync.Mutex
		asked := make(map[string]int)
		l := listener("127.0.0.1:0", func(from netip.Addr) Bounds {
			mu.Lock()
			defer mu.Unlock()
			asked[from.String()]++
			if from.String() == "127.9.0.1" {
				return Bounds{}
			}
			return Bounds{All: 5, Each: 3}
		})
		open, ended := greet(l)
		for i, c := range []struct {
			from string
			want bool
		}{
			{"127.0.0.1", true}, {"127.0.0.1", true}, {"127.0.0.1", true}, {"127.0.0.1", false}, // of one prefix
			{"127.9.0.1", false},
			{"127.1.2.3", true}, {"127.4.5.6", true}, {"127.7.8.9", false}, // of all
		} {
			conn := dial(t, l, c.from)
			if got := greeted(t, conn); got != c.want {
				t.Fatalf("connection %d from %s is let in: %v", i, c.from, got)
			}
			if c.want {
				last := open()
				for ; len(last) == 0 || last[len(last)-1].RemoteAddr().String() != conn.LocalAddr().String(); last = open() {
					time.Sleep(time.Millisecond)
				}
			}
		}
		if all, prefixes := l.places.counted(); all != 5 || prefixes != 3 {
			t.Errorf("%d places of %d prefixes are taken", all, prefixes)
		}
		mu.Lock()
		if asked["127.0.0.1"] != 4 || asked["127.7.8.9"] != 1 {
			t.Errorf("it was asked of %v", asked)
		}
		mu.Unlock()
		first := open()[0]
		first.Close()
		first.Close() // a place is given back once
		if !greeted(t, dial(t, l, "127.0.0.1")) {
			t.Error("the place of a connection that was closed is not given again")
		}
		if greeted(t, dial(t, l, "127.0.0.1")) {
			t.Error("it is given twice")
		}
		for range 500 { // whoever is refused holds nobody up
			if c := dial(t, l, "127.9.0.1"); c != nil {
				c.Close()
			}
		}
		open()[3].Close()
		if !greeted(t, dial(t, l, "127.1.2.3")) {
			t.Error("behind those who are refused nobody is let in")
		}
		l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a listener that is closed ends with %v", err)
		}
		for _, c := range open() {
			c.Close()
		}
		if all, prefixes := l.places.counted(); all != 0 || prefixes != 0 {
			t.Errorf("%d places of %d prefixes are left", all, prefixes)
		}
		if again, err := net.Listen("tcp", l.Addr().String()); err != nil {
			t.Errorf("the address is not given back: %v", err)
		} else {
			again.Close()
		}
	})
}

// TestSourcesAreAddresses: whatever the socket calls them.
func TestSourcesAreAddresses(t *testing.T) {
	for _, c := range []struct{ listen, from, to, want string }{
		{"127.0.0.1:0", "127.0.0.5", "127.0.0.1", "127.0.0.5"},
		{"[::1]:0", "", "::1", "::1"},
		{"[::]:0", "127.0.0.5", "127.0.0.1", "127.0.0.5"},
		{"[::]:0", "", "::1", "::1"},
	} {
		listen(t, func(t *testing.T, listener func(string, func(netip.Addr) Bounds) *Listener) {
			saw := make(chan netip.Addr, 1)
			l := listener(c.listen, func(from netip.Addr) Bounds { saw <- from; return Bounds{1, 1} })
			_, _ = greet(l)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			d := net.Dialer{}
			if c.from != "" {
				d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.from)}
			}
			conn, err := d.Dial("tcp", net.JoinHostPort(c.to, port))
			if err != nil {
				t.Skip(err)
			}
			defer conn.Close()
			if got := <-saw; got.String() != c.want {
				t.Errorf("on %s it comes from %v, want %s", c.listen, got, c.want)
			}
		})
	}
}

// broken lets one in and cannot make a connection of it.
type broken struct{ err error }

func (b broken) accept(may func(netip.Addr) bool) (net.Conn, netip.AddrPort, error) {
	from := netip.MustParseAddrPort("192.0.2.1:1")
	may(from.Addr())
	return nil, from, b.err
}
func (broken) close() error { return nil }

func TestAPlaceIsNotLostWithItsConnection(t *testing.T) {
	l := &Listener{Listener: nil, bounds: func(netip.Addr) Bounds { return Bounds{10, 10} }, wait: broken{syscall.EMFILE}}
	for range 3 {
		if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) {
			t.Fatal(err)
		}
	}
	if all, _ := l.places.counted(); all != 0 {
		t.Errorf("%d places are lost", all)
	}
}

// counted is how many places are taken, and of how many prefixes.
func (p *Places) counted() (all, prefixes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken, len(p.by)
}

// TestOneCustomerOfIPv6HasAShare: whoever has a whole /48 does not take all the places.
func TestOneCustomerOfIPv6HasAShare(t *testing.T) {
	var p Places
	b := Bounds{All: 100, Each: 5}
	in := func(block, i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(block), byte(i >> 8), byte(i), 15: 1})
	}
	take := func(block, subnets, each int) (taken []netip.Addr) {
		for i := range subnets * each {
			if from := in(block, i/each); p.Take(from, b) {
				taken = append(taken, from)
			}
		}
		return taken
	}
	if n := len(take(9, 1, 50)); n != b.Each {
		t.Errorf("one /64 has %d places, want %d", n, b.Each)
	}
	mine := take(1, 1000, 1)
	if len(mine) != wideFactor*b.Each {
		t.Errorf("one /48 has %d places, want %d", len(mine), wideFactor*b.Each)
	}
	if len(take(2, 1, 1)) != 1 {
		t.Error("another /48 has none")
	}
	for _, from := range mine {
		p.Free(from)
	}
	if again := len(take(1, 1000, 1)); again != wideFactor*b.Each {
		t.Errorf("of the places of a /48 that are given back %d are given again", again)
	}
	for _, from := range append(mine, in(9, 0), in(9, 0), in(9, 0), in(9, 0), in(9, 0), in(2, 0)) {
		p.Free(from)
	}
	if all, prefixes := p.counted(); all != 0 || prefixes != 0 {
		t.Errorf("%d places of %d prefixes are left", all, prefixes)
	}
}

// TestPlacesAreCountedExactly, whoever takes and frees them at the same time.
func TestPlacesAreCountedExactly(t *testing.T) {
	var p Places
	var work sync.WaitGroup
	b := Bounds{All: 30, Each: 20}
	for i := range 8 {
		from := netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 2)})
		work.Go(func() {
			for range 10_000 {
				if p.Take(from, b) {
					if all, prefixes := p.counted(); all > b.All || prefixes > 2 {
						t.Errorf("%d of %d are taken", all, prefixes)
					}
					p.Free(from)
				}
			}
		})
	}
	work.Wait()
	if all, prefixes := p.counted(); all != 0 || prefixes != 0 {
		t.Errorf("%d of %d are left", all, prefixes)
	}
}

// TestUntil: requests that are under way may end, and are cut off when they do not.
func TestUntil(t *testing.T) {
	for takes, want := range map[time.Duration]struct {
		took      time.Duration
		abandoned bool
	}{4 * time.Second: {4 * time.Second, false}, time.Hour: {5 * time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			defer a.Close()
			l := &oneConn{conn: make(chan net.Conn, 1), done: make(chan struct{})}
			l.conn <- b
			requests, abandon := context.WithCancel(context.Background())
			server := &http.Server{
				BaseContext: func(net.Listener) context.Context { return requests },
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					select {
					case <-time.After(takes):
					case <-r.Context().Done():
					}
				}),
			}
			go io.Copy(io.Discard, a)
			go io.WriteString(a, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error, 1)
			go func() { ended <- Until(ctx, server, func() error { return server.Serve(l) }, 5*time.Second, abandon) }()
			synctest.Wait()
			begun := time.Now()
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took < want.took || took > want.took+time.Second || (requests.Err() != nil) != want.abandoned {
				t.Errorf("a request of %v: it took %v, abandoned %v", takes, took, requests.Err())
			}
			abandon()
		})
	}
	if err := Until(t.Context(), &http.Server{}, func() error { return syscall.EMFILE }, time.Second, nil); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("a listener that broke: %v", err)
	}
}

// oneConn is a listener of one connection.
type oneConn struct {
	conn chan net.Conn
	done chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }
