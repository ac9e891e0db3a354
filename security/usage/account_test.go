package usage

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// v4 is the n-th IPv4 address.
func v4(n int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b)
}

func TestAnAddressIsAnIPv4AddressOrAnIPv6Network(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true}, {"192.0.2.1", "192.0.2.2", false}, {"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:1", true}, {"2001:db8::1", "2001:db8:0:1::1", false}, {"fe80::1%eth0", "fe80::2%eth1", true},
		{"::1", "0.0.0.0", false}, {"0.0.0.0", "::", false},
	} {
		var a Account
		a.Enter(addr(c.a))
		a.Enter(addr(c.b))
		if conns, addrs := a.Open(); conns != 2 || (addrs == 1) != c.same {
			t.Errorf("%s and %s: %d connections, %d addresses", c.a, c.b, conns, addrs)
		}
		s, other := NewSightings([32]byte{1}), NewSightings([32]byte{1})
		s.See(addr(c.a), start)
		other.See(addr(c.b), start)
		if (s.Missing(other) == 0) != c.same {
			t.Errorf("%s and %s as pseudonyms: same %v", c.a, c.b, !c.same)
		}
	}
	var a Account
	a.Enter(netip.Addr{})
	a.Enter(addr("0.0.0.0"))
	if _, n := a.Open(); n != 2 {
		t.Errorf("no address and an address are %d", n)
	}
}

func TestLimitsRefuseWhatIsTooMuch(t *testing.T) {
	one, two, three := addr("192.0.2.1"), addr("192.0.2.2"), addr("192.0.2.3")
	var a Account
	a.Set(Limits{Connections: 3, Addresses: 2}, Allowed)
	for i, c := range []struct {
		from netip.Addr
		want Refusal
	}{{one, Allowed}, {two, Allowed}, {three, TooManyAddresses}, {one, Allowed}, {one, TooManyConnections}, {three, TooManyConnections}} {
		if got := a.Enter(c.from); got != c.want {
			t.Errorf("connection %d: %v, want %v", i, got, c.want)
		}
	}
	a.Leave(two)
	if got := a.Enter(three); got != Allowed {
		t.Errorf("after one has left: %v", got)
	}
	a.Set(Limits{Connections: 1, Addresses: 1}, Allowed)
	a.Leave(three)
	if got := a.Enter(one); got != TooManyConnections {
		t.Errorf("over a lowered limit: %v", got)
	}
	a.Set(Limits{Addresses: 1}, Allowed)
	if got := a.Enter(one); got != Allowed {
		t.Errorf("a known address at the limit: %v", got)
	}
	a.Set(Limits{Connections: -1, Addresses: -1}, Allowed)
	if got := a.Enter(two); got != Allowed {
		t.Errorf("without limits: %v", got)
	}
	if got, want := a.Totals(), (Totals{Sessions: 6}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAStandingRefusalComesFirst(t *testing.T) {
	var a Account
	from := addr("192.0.2.1")
	a.Enter(from)
	for _, r := range []Refusal{Disabled, Expired, NoAccess, OverQuota} {
		a.Set(Limits{Connections: 1}, r)
		if a.Enter(from) != r || a.Standing() != r {
			t.Errorf("%v is %v", r, a.Standing())
		}
	}
	if n, _ := a.Open(); n != 1 {
		t.Errorf("%d open", n)
	}
	a.Set(Limits{}, Allowed)
	if a.Enter(from) != Allowed || a.Standing() != Allowed {
		t.Error("the refusal stays")
	}
}

func TestRefusalNames(t *testing.T) {
	want := []string{"allowed", "disabled", "expired", "no_access", "over_quota", "too_many_connections", "too_many_addresses", "refusal(7)"}
	for i, name := range want {
		if got := Refusal(i).String(); got != name {
			t.Errorf("%d is %q, want %q", i, got, name)
		}
	}
}

func TestTotalsOnlyGrow(t *testing.T) {
	var a Account
	a.Add(3, 5)
	a.Add(-1, -1)
	a.Add(0, 2)
	if got, want := a.Totals(), (Totals{Up: 3, Down: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestNoAccountAllowsAll(t *testing.T) {
	var a *Account
	a.Set(Limits{Connections: 1}, Disabled)
	a.Add(1, 1)
	refusal := a.Enter(addr("192.0.2.1"))
	a.Leave(addr("192.0.2.1"))
	conns, addrs := a.Open()
	if refusal != Allowed || a.Standing() != Allowed || a.Totals() != (Totals{}) || conns != 0 || addrs != 0 {
		t.Error("no account counts")
	}
}

// oracle counts every address by itself.
type oracle map[string]int

func (o oracle) open() (n int) {
	for _, k := range o {
		n += k
	}
	return n
}

func TestAccountAgainstPlainCounting(t *testing.T) {
	pool := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::", "2001:db8:1::", "2001:db8:2::"}
	rapid.Check(t, func(t *rapid.T) {
		var a Account
		o := make(oracle)
		l, standing, sessions := Limits{}, Allowed, int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if conns, addrs := a.Open(); conns != o.open() || addrs != len(o) || a.Totals().Sessions != sessions {
					t.Fatalf("%d connections from %d addresses, want %d from %d", conns, addrs, o.open(), len(o))
				}
			},
			"set": func(t *rapid.T) {
				l = Limits{Connections: rapid.IntRange(0, 8).Draw(t, "connections"), Addresses: rapid.IntRange(0, 4).Draw(t, "addresses")}
				standing = Refusal(rapid.SampledFrom([]int{0, 0, 0, 1, 4}).Draw(t, "standing"))
				a.Set(l, standing)
			},
			"enter": func(t *rapid.T) {
				from := rapid.SampledFrom(pool).Draw(t, "from")
				want := standing
				switch {
				case want != Allowed:
				case l.Connections > 0 && o.open() >= l.Connections:
					want = TooManyConnections
				case l.Addresses > 0 && o[from] == 0 && len(o) >= l.Addresses:
					want = TooManyAddresses
				default:
					o[from]++
					sessions++
				}
				if got := a.Enter(addr(from)); got != want {
					t.Fatalf("%v, want %v", got, want)
				}
			},
			"leave": func(t *rapid.T) {
				from := rapid.SampledFrom(pool).Draw(t, "from")
				if o[from]--; o[from] <= 0 {
					delete(o, from)
				}
				a.Leave(addr(from))
			},
		})
	})
}

func TestAddressesAreBounded(t *testing.T) {
	var a Account
	const many = 3 * MaxAddresses
	for i := range many {
		a.Enter(v4(i))
	}
	if conns, addrs := a.Open(); conns != many || addrs != many || len(a.places) != MaxAddresses {
		t.Errorf("%d connections from %d addresses, %d kept", conns, addrs, len(a.places))
	}
	a.Enter(v4(0)) // one that is told apart
	if _, addrs := a.Open(); addrs != many {
		t.Errorf("a known address counts again: %d", addrs)
	}
	a.Leave(v4(0))
	for i := range many { // in the order they came, so that room appears while others are open
		a.Leave(v4(i))
		if i%2 == 0 {
			a.Enter(v4(many + i))
			a.Leave(v4(many + i))
		}
		if len(a.places) > MaxAddresses {
			t.Fatalf("%d kept", len(a.places))
		}
	}
	if conns, addrs := a.Open(); conns != 0 || addrs != 0 || a.places != nil {
		t.Errorf("after all have left: %d connections from %d addresses", conns, addrs)
	}
	a.Leave(v4(1))
	if conns, _ := a.Open(); conns != 0 {
		t.Errorf("%d open", conns)
	}
	a.Set(Limits{Addresses: MaxAddresses + 10}, Allowed)
	for i := range many {
		a.Enter(v4(i))
	}
	if _, addrs := a.Open(); addrs != MaxAddresses+10 || a.others != 0 {
		t.Errorf("a higher limit gives %d addresses, %d of them not told apart", addrs, a.others)
	}
}

func TestAccountsAreCountedExactlyByMany(t *testing.T) {
	var a Account
	a.Set(Limits{Connections: 8, Addresses: 3}, Allowed)
	var wg sync.WaitGroup
	var entered sync.Map
	for i := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			n := int64(0)
			for range 500 {
				from := v4(r.IntN(5))
				if a.Enter(from) == Allowed {
					n++
					a.Add(1, 2)
					if conns, addrs := a.Open(); conns > 8 || addrs > 3 || conns < 1 || addrs < 1 {
						t.Errorf("%d connections from %d addresses", conns, addrs)
					}
					a.Leave(from)
				}
				a.Set(Limits{Connections: 8, Addresses: 3}, Allowed)
			}
			entered.Store(i, n)
		})
	}
	wg.Wait()
	var sum int64
	entered.Range(func(_, n any) bool { sum += n.(int64); return true })
	if got := a.Totals(); got != (Totals{Up: sum, Down: 2 * sum, Sessions: sum}) {
		t.Errorf("%+v, want %d sessions", got, sum)
	}
	if conns, addrs := a.Open(); conns != 0 || addrs != 0 {
		t.Errorf("%d connections from %d addresses at the end", conns, addrs)
	}
}

// TestIdleAccountsAreSmall holds an account and a key's two sightings, unused, to what 10,000 users may cost.
func TestIdleAccountsAreSmall(t *testing.T) {
	const n = 10_000
	accounts := make([]*Account, n)
	sightings := make([]*Sightings, 2*n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range accounts {
		a := new(Account)
		a.Enter(v4(i))
		a.Leave(v4(i))
		accounts[i], sightings[2*i], sightings[2*i+1] = a, NewSightings([32]byte{}), NewSightings([32]byte{})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
	t.Logf("%d bytes each", each)
	if each > 400 {
		t.Errorf("%d bytes each", each)
	}
	runtime.KeepAlive(accounts)
	runtime.KeepAlive(sightings)
}

func BenchmarkEnterLeave(b *testing.B) {
	var a Account
	from := addr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		a.Enter(from)
		a.Leave(from)
	}
}

func BenchmarkAdd(b *testing.B) {
	var a Account
	for b.Loop() {
		a.Add(1, 1)
	}
}

func ExampleAccount() {
	var a Account
	a.Set(Limits{Connections: 2}, Allowed)
	from := netip.MustParseAddr("192.0.2.1")
	fmt.Println(a.Enter(from), a.Enter(from), a.Enter(from))
	a.Add(120, 4096)
	a.Leave(from)
	fmt.Println(a.Totals())
	fmt.Println(a.Open())
	a.Set(Limits{Connections: 2}, OverQuota)
	fmt.Println(a.Enter(from))
	// Output:
	// allowed allowed too_many_connections
	// {120 4096 2}
	// 1 1
	// over_quota
}
