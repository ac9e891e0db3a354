package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"mtguard/mtproto"
	"mtguard/security/policy"
	"mtguard/telemetry/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server listens and hands each connection to serve until the test ends.
func server(t *testing.T, host string, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("no %s here: %v", host, err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// named is a data centre that says its name.
func named(t *testing.T, host, name string) netip.AddrPort {
	return server(t, host, func(c net.Conn) { io.WriteString(c, name) })
}

// refusing is an address where nobody listens.
func refusing(t *testing.T, host string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("no %s here: %v", host, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func snapshot(prefer policy.Prefer, addrs ...netip.AddrPort) *policy.Snapshot {
	return &policy.Snapshot{
		DCs:      mtproto.NewDCTable(map[mtproto.DC][]netip.AddrPort{2: addrs, 203: {addrs[0]}}),
		Upstream: policy.Upstream{Prefer: prefer, ConnectTimeout: 5 * time.Second},
	}
}

// reach dials and returns the name that answers.
func reach(t *testing.T, d *Direct, s *policy.Snapshot) (string, error) {
	t.Helper()
	c, err := d.Dial(context.Background(), s, 2)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	name, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(name), nil
}

func TestOrder(t *testing.T) {
	list := func(text string) (out []netip.AddrPort) {
		for _, a := range strings.Fields(text) {
			out = append(out, netip.MustParseAddrPort(a))
		}
		return out
	}
	const mixed = "[2001:db8::1]:1 192.0.2.1:1 [::ffff:192.0.2.2]:1 [2001:db8::2]:1 192.0.2.3:1"
	for prefer, want := range map[policy.Prefer]string{
		policy.PreferIPv4: "192.0.2.1:1 [::ffff:192.0.2.2]:1 192.0.2.3:1 [2001:db8::1]:1 [2001:db8::2]:1",
		policy.PreferIPv6: "[2001:db8::1]:1 [2001:db8::2]:1 192.0.2.1:1 [::ffff:192.0.2.2]:1 192.0.2.3:1",
		policy.OnlyIPv4:   "192.0.2.1:1 [::ffff:192.0.2.2]:1 192.0.2.3:1",
		policy.OnlyIPv6:   "[2001:db8::1]:1 [2001:db8::2]:1",
	} {
		in := list(mixed)
		if got := order(in, prefer); !slices.Equal(got, list(want)) {
			t.Errorf("%v: %v, want %v", prefer, got, want)
		}
		if !slices.Equal(in, list(mixed)) {
			t.Errorf("%v changed the table, which is shared", prefer)
		}
	}
}

func TestPreference(t *testing.T) {
	four, six := named(t, "127.0.0.1", "four"), named(t, "::1", "six")
	dead4, dead6 := refusing(t, "127.0.0.1"), refusing(t, "::1")
	for _, c := range []struct {
		name   string
		prefer policy.Prefer
		addrs  []netip.AddrPort
		want   string // "" is an error
	}{
		{"IPv4 first", policy.PreferIPv4, []netip.AddrPort{six, four}, "four"},
		{"IPv6 first", policy.PreferIPv6, []netip.AddrPort{four, six}, "six"},
		{"only IPv4", policy.OnlyIPv4, []netip.AddrPort{six, four}, "four"},
		{"only IPv6", policy.OnlyIPv6, []netip.AddrPort{four, six}, "six"},
		{"the next address", policy.PreferIPv4, []netip.AddrPort{dead4, four, six}, "four"},
		{"the other version", policy.PreferIPv4, []netip.AddrPort{dead4, six}, "six"},
		{"the other version, IPv6 first", policy.PreferIPv6, []netip.AddrPort{dead6, four}, "four"},
		{"only IPv4 does not fall back", policy.OnlyIPv4, []netip.AddrPort{dead4, six}, ""},
		{"only IPv6 does not fall back", policy.OnlyIPv6, []netip.AddrPort{dead6, four}, ""},
		{"nobody is there", policy.PreferIPv4, []netip.AddrPort{dead4, dead6}, ""},
	} {
		got, err := reach(t, new(Direct), snapshot(c.prefer, c.addrs...))
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestNoAddressOfTheVersion(t *testing.T) {
	_, err := new(Direct).Dial(context.Background(), snapshot(policy.OnlyIPv6, refusing(t, "127.0.0.1")), 2)
	if !errors.Is(err, ErrNoAddress) {
		t.Errorf("%v", err)
	}
}

// TestADeadAddressIsTriedLast: it costs its failure once; and when the good one
// dies, the others have their turn again.
func TestADeadAddressIsTriedLast(t *testing.T) {
	var c stats.Counters
	d := &Direct{Stats: &c}
	var lives []net.Listener
	start := func(addr string) netip.AddrPort {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		lives = append(lives, l)
		return l.Addr().(*net.TCPAddr).AddrPort()
	}
	t.Cleanup(func() {
		for _, l := range lives {
			l.Close()
		}
	})
	dead, good := refusing(t, "127.0.0.1"), start("127.0.0.1:0")
	s := snapshot(policy.PreferIPv4, dead, good)
	step := func(what string, ok, failed int, wantErr bool) {
		t.Helper()
		before := dials(t, &c)
		conn, err := d.Dial(context.Background(), s, 2)
		if err == nil {
			conn.Close()
		}
		after := dials(t, &c)
		if o, f := after["ok"]-before["ok"], after["error"]-before["error"]; o != ok || f != failed || (err != nil) != wantErr {
			t.Errorf("%s: %d dials succeeded and %d failed, %v; want %d and %d", what, o, f, err, ok, failed)
		}
	}
	step("first", 1, 1, false)
	step("then", 1, 0, false)
	step("and on", 1, 0, false)
	lives[0].Close()
	step("both dead", 0, 2, true)
	start(dead.String())
	step("the first came up", 1, 0, false)
	step("and stays first", 1, 0, false)
	// Another table without the good address: it is not used behind the policy's back.
	s = snapshot(policy.PreferIPv4, good)
	step("a table without it", 0, 1, true)
}

// dials reads the counts of dials to DC 2 as an operator would.
func dials(t *testing.T, c *stats.Counters) map[string]int {
	t.Helper()
	return metric(t, c, "mtguard_upstream_dials_total", "2")
}

func metric(t *testing.T, c *stats.Counters, name, dc string) map[string]int {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(stats.NewCollector(c))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]int)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := make(map[string]string)
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["dc"] == dc {
				out[labels["result"]] = int(m.GetCounter().GetValue())
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("no metric %s", name)
	}
	return out
}

func TestDialsAreCountedByTheDCThatIsUsed(t *testing.T) {
	var c stats.Counters
	d := &Direct{Stats: &c}
	s := snapshot(policy.PreferIPv4, named(t, "127.0.0.1", "x"))
	for _, dc := range []mtproto.DC{2, -2, 0, 77, 203, -203} { // unknown ones are served by the default, 2
		conn, err := d.Dial(context.Background(), s, dc)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	for dc, want := range map[string]int{"2": 4, "203": 2, "1": 0, "other": 0} {
		if got := metric(t, &c, "mtguard_upstream_dials_total", dc)["ok"]; got != want {
			t.Errorf("dc %s: %d dials, want %d", dc, got, want)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	live := named(t, "127.0.0.1", "x")
	var c stats.Counters
	if _, err := (&Direct{Stats: &c}).Dial(ctx, snapshot(policy.PreferIPv4, live, live, live), 2); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got := dials(t, &c); got["error"] != 1 {
		t.Errorf("%v: after the cancellation it tries on", got)
	}
}

func TestConcurrentDials(t *testing.T) {
	d := new(Direct)
	s := snapshot(policy.PreferIPv4, refusing(t, "127.0.0.1"), named(t, "127.0.0.1", "x"), named(t, "127.0.0.2", "y"))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := reach(t, d, s); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// socks is a SOCKS5 server that answers a request with reply and, where that is
// success, connects.
func socks(t *testing.T, reply byte, asked chan<- string) netip.AddrPort {
	return server(t, "127.0.0.1", func(c net.Conn) {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 300)
		if _, err := io.ReadFull(c, b[:2]); err != nil || b[0] != 5 {
			return
		}
		io.ReadFull(c, b[:b[1]])
		c.Write([]byte{5, 0})
		if _, err := io.ReadFull(c, b[:4]); err != nil || b[1] != 1 {
			return
		}
		var target string
		switch b[3] {
		case 1:
			io.ReadFull(c, b[:6])
			target = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), binary.BigEndian.Uint16(b[4:])).String()
		case 4:
			io.ReadFull(c, b[:18])
			target = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)), binary.BigEndian.Uint16(b[16:])).String()
		}
		asked <- target
		c.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
		if reply != 0 {
			return
		}
		out, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer out.Close()
		io.Copy(c, out)
	})
}

func TestSOCKS5(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			dc := named(t, host, "the DC")
			asked := make(chan string, 1)
			s := snapshot(policy.PreferIPv4, dc)
			s.Upstream.SOCKS5 = socks(t, 0, asked).String()
			if got, err := reach(t, new(Direct), s); err != nil || got != "the DC" {
				t.Errorf("%q, %v", got, err)
			}
			if got := <-asked; got != dc.String() {
				t.Errorf("it asked for %s, want %s", got, dc)
			}
		})
	}
}

// A server that refuses one address is asked for the next.
func TestSOCKS5Refuses(t *testing.T) {
	asked := make(chan string, 2)
	s := snapshot(policy.PreferIPv4, netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2"))
	s.Upstream.SOCKS5 = socks(t, 5, asked).String()
	var c stats.Counters
	_, err := reach(t, &Direct{Stats: &c}, s)
	if err == nil || !strings.Contains(err.Error(), "socks5 server") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
	if a, b := <-asked, <-asked; a != "127.0.0.1:1" || b != "127.0.0.1:2" {
		t.Errorf("it asked for %s and %s", a, b)
	}
	if got := dials(t, &c); got["error"] != 2 || got["ok"] != 0 {
		t.Errorf("counted %v", got)
	}
}

func TestSOCKS5ThatIsNone(t *testing.T) {
	silent := server(t, "127.0.0.1", func(c net.Conn) { io.Copy(io.Discard, c) })
	for name, c := range map[string]struct {
		addr netip.AddrPort
		want string
	}{
		"refuses":     {refusing(t, "127.0.0.1"), "connection refused"},
		"web server":  {server(t, "127.0.0.1", func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); io.Copy(io.Discard, c) }), "version"},
		"wants names": {server(t, "127.0.0.1", func(c net.Conn) { c.Write([]byte{5, 0xff}); io.Copy(io.Discard, c) }), "authentication"},
		"hangs up":    {server(t, "127.0.0.1", func(c net.Conn) { io.ReadFull(c, make([]byte, 3)) }), "EOF"},
		"is silent":   {silent, "timeout"},
	} {
		s := snapshot(policy.PreferIPv4, netip.MustParseAddrPort("127.0.0.1:1"))
		s.Upstream.SOCKS5 = c.addr.String()
		if name == "is silent" {
			s.Upstream.ConnectTimeout = 50 * time.Millisecond
		}
		_, err := reach(t, new(Direct), s)
		if err == nil || !strings.Contains(fmt.Sprint(err), "socks5 server") || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
	// Cancelling ends the wait for a silent one.
	s := snapshot(policy.PreferIPv4, netip.MustParseAddrPort("127.0.0.1:1"))
	s.Upstream.SOCKS5, s.Upstream.ConnectTimeout = silent.String(), time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := new(Direct).Dial(ctx, s, 2); err == nil {
		t.Error("a connection from a silent server")
	}
}
