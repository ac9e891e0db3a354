package fw

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPlanKeepsTheKernelInStep: whatever the node wants from one moment to the next, the
// kernel has all of it and nothing else, each for no longer than the block and hold.
func TestPlanKeepsTheKernelInStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		hold := time.Duration(rapid.IntRange(5, 600).Draw(t, "hold")) * time.Second
		b, kernel := book{}, map[netip.Prefix]time.Time{}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, int(2*hold/time.Millisecond)).Draw(t, "pause")) * time.Millisecond)
			maps.DeleteFunc(kernel, func(_ netip.Prefix, end time.Time) bool { return !now.Before(end) })
			var blocks []Block
			for i := range 6 {
				if !rapid.Bool().Draw(t, "wanted") {
					continue
				}
				block := Block{Prefix: netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/32", i))}
				if rapid.Bool().Draw(t, "ends") {
					block.Until = now.Add(time.Duration(rapid.IntRange(-1000, int(2*hold/time.Millisecond)).Draw(t, "until")) * time.Millisecond)
				}
				blocks = append(blocks, block)
			}
			out, in, due := b.plan(blocks, now, hold)
			for _, p := range out {
				if _, there := kernel[p]; !there {
					t.Fatalf("%v is to go, and is not there", p)
				}
				delete(kernel, p)
			}
			for _, e := range in {
				if _, there := kernel[e.Prefix]; there || e.Left < shortest || e.Left > hold {
					t.Fatalf("%v comes for %v; already there: %v", e.Prefix, e.Left, there)
				}
				kernel[e.Prefix] = now.Add(e.Left)
			}
			b.apply(out, in, now)
			if !maps.Equal(b, kernel) {
				t.Fatalf("the book has %v, the kernel %v", b, kernel)
			}
			wanted := 0
			for _, block := range blocks {
				end, there := kernel[block.Prefix]
				if !block.Until.IsZero() && block.Until.Sub(now) < shortest {
					continue
				}
				wanted++
				if !there || !block.Until.IsZero() && end.After(block.Until) {
					t.Fatalf("%v until %v stands until %v", block.Prefix, block.Until, end)
				}
				if !end.Equal(block.Until) && end.Sub(now) < hold/2 {
					t.Fatalf("%v has %v left of %v", block.Prefix, end.Sub(now), hold)
				}
				if due.IsZero() || due.After(end) {
					t.Fatalf("looked at again at %v, after its end at %v", due, end)
				}
			}
			if len(kernel) != wanted {
				t.Fatalf("%d stand, %d are wanted", len(kernel), wanted)
			}
			if out, in, _ := b.plan(blocks, now, hold); len(out)+len(in) > 0 {
				t.Fatalf("once more: %v out, %v in", out, in)
			}
		}
	})
}

// TestBordersAndElements: what a prefix becomes in the kernel becomes that prefix again.
func TestBordersAndElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a netip.Addr
		if rapid.Bool().Draw(t, "IPv6") {
			a = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")))
		} else {
			a = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")))
		}
		p := netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
		list := borders(Element{p, time.Second})
		if got := elements(list); len(got) != 1 || got[0] != (Element{p, time.Second}) {
			t.Fatalf("%v: %v", p, got)
		}
		if len(list) == 2 {
			end, _ := netip.AddrFromSlice(list[1].key)
			if p.Contains(end) || !p.Contains(end.Prev()) {
				t.Fatalf("%v ends before %v", p, end)
			}
		}
	})
}

func TestOrdersThatAreNotBelieved(t *testing.T) {
	good := netip.MustParsePrefix("192.0.2.1/32")
	at := netip.MustParseAddrPort("[::]:443")
	many := make([]Block, MaxElements+1)
	for i := range many {
		many[i].Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	for name, o := range map[string]Order{
		"loopback":              {Blocks: []Block{{Prefix: netip.MustParsePrefix("127.0.0.1/32")}}},
		"what holds loopback":   {Blocks: []Block{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}},
		"loopback of IPv6":      {Blocks: []Block{{Prefix: netip.MustParsePrefix("::/64")}}},
		"host bits":             {Blocks: []Block{{Prefix: netip.MustParsePrefix("192.0.2.1/24")}}},
		"IPv4 as IPv6":          {Blocks: []Block{{Prefix: netip.MustParsePrefix("::ffff:192.0.2.1/128")}}},
		"none":                  {Blocks: []Block{{}}},
		"twice":                 {Blocks: []Block{{Prefix: good}, {Prefix: good}}},
		"too many":              {Blocks: many},
		"a listener of no port": {Listening: []netip.AddrPort{netip.AddrPortFrom(at.Addr(), 0)}},
		"too many listeners":    {Listening: make([]netip.AddrPort, MaxListeners+1)},
	} {
		if o.check() == nil {
			t.Errorf("%s is believed", name)
		}
	}
	o := Order{Listening: []netip.AddrPort{at}, Blocks: many[:MaxElements]}
	if err := o.check(); err != nil {
		t.Error(err)
	}
}
