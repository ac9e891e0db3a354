package guard

import (
	"net/netip"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestOccupancyCounts(t *testing.T) {
	o := NewOccupancy()
	enter := func(addr string, wantOpen, wantFrom, wantNetwork int) {
		t.Helper()
		open, from, network := o.Enter(netip.MustParseAddr(addr))
		if open != wantOpen || from != wantFrom || network != wantNetwork {
			t.Errorf("enter %s: got %d open, %d from there and %d from its network, want %d, %d and %d", addr, open, from, network, wantOpen, wantFrom, wantNetwork)
		}
		if a := netip.MustParseAddr(addr); o.FromAddr(a) != from || o.FromNetwork(a) != network {
			t.Errorf("%s: asked again, %d and %d", addr, o.FromAddr(a), o.FromNetwork(a))
		}
	}
	enter("192.0.2.7", 1, 1, 1)
	enter("::ffff:192.0.2.7", 2, 2, 2)
	enter("192.0.2.8", 3, 1, 3)
	enter("2001:db8::1", 4, 1, 1)
	enter("2001:db8::ffff:1", 5, 2, 2)
	enter("2001:db8:0:1::1", 6, 1, 3)
	if got := o.Addresses(); got != 4 {
		t.Errorf("%d addresses, want 4", got)
	}
	o.Leave(netip.MustParseAddr("192.0.2.7"))
	o.Leave(netip.MustParseAddr("203.0.113.1")) // never entered
	if o.Open() != 5 || o.FromAddr(netip.MustParseAddr("192.0.2.7")) != 1 {
		t.Errorf("after one left: %d open, %d from its address, want 5 and 1", o.Open(), o.FromAddr(netip.MustParseAddr("192.0.2.7")))
	}
	o.Leave(netip.MustParseAddr("192.0.2.7"))
	o.Leave(netip.MustParseAddr("192.0.2.7")) // one too many
	if o.Open() != 4 || o.Addresses() != 3 {
		t.Errorf("after a Leave too many: %d open from %d addresses, want 4 from 3", o.Open(), o.Addresses())
	}
	var none netip.Addr
	if open, from, _ := o.Enter(none); open != 5 || from != 1 {
		t.Errorf("enter without an address: %d open, %d from there", open, from)
	}
	o.Leave(none)
}

func TestOccupancyAgainstPlainMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := NewOccupancy()
		want, open := make(map[netip.Addr]int), 0
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 200).Draw(t, "addr"))})
			if rapid.Bool().Draw(t, "enter") {
				want[a]++
				open++
				gotOpen, from, _ := o.Enter(a)
				if gotOpen != open || from != want[a] {
					t.Fatalf("enter %v: got %d, %d, want %d, %d", a, gotOpen, from, open, want[a])
				}
				continue
			}
			o.Leave(a)
			if want[a] > 0 {
				want[a]--
				open--
			}
			if want[a] == 0 {
				delete(want, a)
			}
			if o.Open() != open || o.FromAddr(a) != want[a] || o.Addresses() != len(want) {
				t.Fatalf("leave %v: %d open, %d from there, %d addresses, want %d, %d, %d", a, o.Open(), o.FromAddr(a), o.Addresses(), open, want[a], len(want))
			}
		}
	})
}

// Concurrent floods leave nothing behind: no count, and no memory of the addresses.
func TestOccupancyReturnsToNothing(t *testing.T) {
	o := NewOccupancy()
	stays := netip.MustParseAddr("198.51.100.1")
	o.Enter(stays)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(w / 2), byte(i >> 8), byte(i)}) }
			for i := range 10_000 {
				o.Enter(addr(i))
			}
			for i := range 10_000 {
				o.Leave(addr(i))
			}
		})
	}
	wg.Wait()
	if o.Open() != 1 || o.Addresses() != 1 || o.FromAddr(stays) != 1 {
		t.Errorf("%d open, %d addresses, want only the one that stays", o.Open(), o.Addresses())
	}
	for i := range o.shards {
		if s := &o.shards[i]; s.peak > 64 {
			t.Errorf("shard %d keeps the room of %d addresses for %d", i, s.peak, len(s.count))
		}
	}
}

func BenchmarkOccupancy(b *testing.B) {
	o := NewOccupancy()
	a := netip.MustParseAddr("2001:db8::1")
	b.ReportAllocs()
	for b.Loop() {
		o.Enter(a)
		o.Leave(a)
	}
}
