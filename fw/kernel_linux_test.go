package fw_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"mtguard/fw"
	"mtguard/fw/fwtest"
)

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// listen answers every connection with what it gets, at every address.
func listen(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	return netip.AddrPortFrom(netip.IPv6Unspecified(), l.Addr().(*net.TCPAddr).AddrPort().Port())
}

const (
	soon   = 5 * time.Second        // a connection that comes about does so long before
	dropAt = 400 * time.Millisecond // one without an answer by then is taken as dropped; the cable takes no time
)

// TestTheKernelDropsNewConnectionsOfBlockedAddressesOnly is every promise of the table
// about packets, in a network of its own.
func TestTheKernelDropsNewConnectionsOfBlockedAddressesOnly(t *testing.T) {
	if !fwtest.Enter(t) {
		return
	}
	w := fwtest.New(t)
	at, other := listen(t), listen(t)
	k, err := fw.Open()
	if err != nil {
		t.Fatal(err)
	}
	to := func(host string, at netip.AddrPort) string { return net.JoinHostPort(host, fmt.Sprint(at.Port())) }
	stands, err := w.Dial(fwtest.Bad4, to(fwtest.Server4, at), soon)
	if err != nil {
		t.Fatal(err)
	}
	defer stands.Close()
	blocked := []fw.Element{{Prefix: prefix(fwtest.Bad4 + "/32"), Left: time.Minute}, {Prefix: prefix(fwtest.Bad6 + "/128"), Left: time.Minute}, {Prefix: prefix("127.0.0.2/32"), Left: time.Minute}}
	if err := k.Replace([]netip.AddrPort{at}, blocked); err != nil {
		t.Fatal(err)
	}
	reaches := func(from, to string) {
		t.Helper()
		if err := w.Reaches(from, to, soon); err != nil {
			t.Error(err)
		}
	}
	drops := func(from, to string) {
		t.Helper()
		if err := w.Reaches(from, to, dropAt); !fwtest.Dropped(err) {
			t.Errorf("%s to %s is not dropped: %v", from, to, err)
		}
	}
	drops(fwtest.Bad4, to(fwtest.Server4, at))
	drops(fwtest.Bad6, to(fwtest.Server6, at))
	reaches(fwtest.Good4, to(fwtest.Server4, at))
	reaches(fwtest.Good6, to(fwtest.Server6, at))
	reaches(fwtest.Bad4, to(fwtest.Server4, other)) // another port
	echo(t, stands)
	here := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.2")}, Timeout: soon}
	if c, err := here.Dial("tcp", to("127.0.0.1", at)); err != nil {
		t.Errorf("over loopback: %v", err)
	} else {
		c.Close()
	}
	if n, err := k.Dropped(); err != nil || n < 2 {
		t.Errorf("%d packets dropped: %v", n, err)
	}

	// An undo, and another in.
	if err := k.Change([]netip.Prefix{prefix(fwtest.Bad4 + "/32")}, []fw.Element{{Prefix: prefix(fwtest.Good4 + "/32"), Left: time.Minute}}); err != nil {
		t.Fatal(err)
	}
	reaches(fwtest.Bad4, to(fwtest.Server4, at))
	drops(fwtest.Good4, to(fwtest.Server4, at))

	// One listener of one address: others of the same port are left alone.
	if err := k.Replace([]netip.AddrPort{netip.MustParseAddrPort(to("192.0.2.99", at))}, blocked); err != nil {
		t.Fatal(err)
	}
	reaches(fwtest.Bad4, to(fwtest.Server4, at))
	if err := k.Replace([]netip.AddrPort{netip.MustParseAddrPort(to(fwtest.Server4, at))}, blocked); err != nil {
		t.Fatal(err)
	}
	drops(fwtest.Bad4, to(fwtest.Server4, at))
	reaches(fwtest.Bad6, to(fwtest.Server6, at))

	if err := k.Remove(); err != nil {
		t.Fatal(err)
	}
	reaches(fwtest.Bad4, to(fwtest.Server4, at))
	if _, err := k.Elements(); !errors.Is(err, fw.ErrNoTable) {
		t.Errorf("after its removal: %v", err)
	}
	if err := k.Remove(); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func echo(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(soon))
	b := make([]byte, 3)
	if _, err := c.Write([]byte("abc")); err != nil {
		t.Error(err)
	} else if _, err := io.ReadFull(c, b); err != nil {
		t.Errorf("a connection that stands was cut: %v", err)
	}
}

// TestTheKernelKeepsWhatItIsGiven: what is read back is what was put in, whatever
// prefixes lie side by side, as many as there may be, and it runs out by itself.
func TestTheKernelKeepsWhatItIsGiven(t *testing.T) {
	if !fwtest.Enter(t) {
		return
	}
	fwtest.New(t)
	k, err := fw.Open()
	if err != nil {
		t.Fatal(err)
	}
	var few, many []fw.Element
	for _, text := range []string{"0.0.0.0/2", "64.0.0.0/3", "192.0.2.0/25", "192.0.2.128/26", "192.0.2.192/32", "224.0.0.0/3", "::/4", "2001:db8::/127", "2001:db8::2/128", "8000::/1"} {
		few = append(few, fw.Element{Prefix: prefix(text), Left: time.Hour})
	}
	for i := range fw.MaxElements {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		many = append(many, fw.Element{Prefix: netip.PrefixFrom(a, 32), Left: time.Hour})
	}
	at := []netip.AddrPort{netip.MustParseAddrPort("[::]:443"), netip.MustParseAddrPort("0.0.0.0:8443"), netip.MustParseAddrPort("192.0.2.1:1")}
	if err := k.Replace(at, nil); err != nil {
		t.Fatal(err)
	}
	same(t, k, nil)
	start := time.Now()
	if err := k.Replace(at, many); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d elements put in within %v", len(many), time.Since(start))
	var all []netip.Prefix
	for _, e := range many {
		all = append(all, e.Prefix)
	}
	start = time.Now()
	if err := k.Change(all, many); err != nil { // what refreshing all at once is
		t.Fatal(err)
	}
	t.Logf("and refreshed within %v", time.Since(start))
	if err := k.Change(all, nil); err != nil {
		t.Fatalf("they were not all there: %v", err)
	}
	if err := k.Replace(at, few); err != nil {
		t.Fatal(err)
	}
	same(t, k, few)
	out := []netip.Prefix{few[1].Prefix, few[3].Prefix, few[9].Prefix}
	in := []fw.Element{{Prefix: few[3].Prefix, Left: time.Minute}, {Prefix: prefix("64.0.0.0/4"), Left: time.Minute}, {Prefix: prefix("ff00::/8"), Left: 300 * time.Millisecond}}
	if err := k.Change(out, in); err != nil {
		t.Fatal(err)
	}
	want := append(slices.DeleteFunc(slices.Clone(few), func(e fw.Element) bool { return slices.Contains(out, e.Prefix) }), in[:2]...)
	for end := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
		list, err := k.Elements()
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == len(want) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("what ran out is still there: %v", list)
		}
	}
	same(t, k, want)
	if err := k.Change([]netip.Prefix{prefix("203.0.113.0/24")}, nil); err == nil {
		t.Error("what is not there was taken out")
	}
	same(t, k, want)
}

func same(t *testing.T, k *fw.NFTables, want []fw.Element) {
	t.Helper()
	got, err := k.Elements()
	if err != nil {
		t.Fatal(err)
	}
	texts := func(all []fw.Element) (list []string) {
		for _, e := range all {
			list = append(list, e.Prefix.String())
		}
		slices.Sort(list)
		return list
	}
	if a, b := texts(got), texts(want); !slices.Equal(a, b) {
		t.Fatalf("%d elements, want %d: %.400v, want %.400v", len(a), len(b), a, b)
	}
	for _, e := range got {
		if e.Left <= 0 || e.Left > time.Hour {
			t.Fatalf("%v has %v left", e.Prefix, e.Left)
		}
	}
}

func TestATableOfSomebodyElseIsLeftAlone(t *testing.T) {
	if !fwtest.Enter(t) {
		return
	}
	fwtest.New(t)
	k, err := fw.Open()
	if err != nil {
		t.Fatal(err)
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	mine := &nftables.Table{Name: "mtguard", Family: nftables.TableFamilyINet}
	for name, add := range map[string]func(){
		"an empty one":  func() {},
		"another's set": func() { c.AddSet(&nftables.Set{Table: mine, Name: "blocked4", KeyType: nftables.TypeIPAddr}, nil) },
		"one just like ours": func() {
			for name, of := range map[string]nftables.SetDatatype{"blocked4": nftables.TypeIPAddr, "blocked6": nftables.TypeIP6Addr} {
				c.AddSet(&nftables.Set{Table: mine, Name: name, KeyType: of, Interval: true, HasTimeout: true}, nil)
			}
			chain := c.AddChain(&nftables.Chain{Table: mine, Name: "input"})
			c.AddRule(&nftables.Rule{Table: mine, Chain: chain, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}})
		},
		"another's chains": func() { c.AddChain(&nftables.Chain{Table: mine, Name: "forward"}) },
	} {
		t.Run(name, func(t *testing.T) {
			c.AddTable(mine)
			add()
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			_, err := k.Elements()
			for what, err := range map[string]error{"elements": err, "replace": k.Replace(nil, nil), "remove": k.Remove()} {
				if !errors.Is(err, fw.ErrForeign) {
					t.Errorf("%s: %v", what, err)
				}
			}
			c.DelTable(mine)
			if err := c.Flush(); err != nil {
				t.Errorf("it is gone: %v", err)
			}
		})
	}
	other := c.AddTable(&nftables.Table{Name: "other", Family: nftables.TableFamilyINet})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.Replace(nil, nil), k.Replace(nil, nil), k.Remove()); err != nil {
		t.Error(err)
	}
	if _, err := c.ListTableOfFamily(other.Name, other.Family); err != nil {
		t.Errorf("the table beside ours: %v", err)
	}
}
