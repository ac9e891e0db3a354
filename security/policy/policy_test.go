package policy

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"mtguard/mtproto"

	"pgregory.net/rapid"
)

func TestModeText(t *testing.T) {
	for m, name := range map[Mode]string{Off: "off", Monitor: "monitor", Enforce: "enforce"} {
		if got := m.String(); got != name {
			t.Errorf("mode %d: got %q, want %q", m, got, name)
		}
		if got, err := ParseMode(name); err != nil || got != m {
			t.Errorf("ParseMode(%q): got %v, %v", name, got, err)
		}
	}
	if got := Mode(7).String(); got != "mode(7)" {
		t.Errorf("mode 7: got %q", got)
	}
	if text, err := Enforce.MarshalText(); err != nil || string(text) != "enforce" {
		t.Errorf("marshalled as %q, %v", text, err)
	}
	if _, err := Mode(7).MarshalText(); err == nil {
		t.Error("mode 7 is marshalled")
	}
	var read Mode
	if err := read.UnmarshalText([]byte("monitor")); err != nil || read != Monitor || read.UnmarshalText([]byte("on")) == nil || read != Monitor {
		t.Errorf("unmarshalled as %v, %v", read, err)
	}
	for _, text := range []string{"", "Enforce", "on", "mode(7)"} {
		if m, err := ParseMode(text); err == nil || m != Off || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("ParseMode(%q): got %v, %v, want an error that names it", text, m, err)
		}
	}
}

func TestMode(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.7")
	all := func(m Mode) *Snapshot {
		c := make(map[string]Control)
		for _, name := range []string{ConnsTotal, HalfOpen, ConnsAddr, RateAccept} {
			c[name] = Control{Mode: m}
		}
		return &Snapshot{Controls: c}
	}
	for _, c := range []struct {
		name    string
		s       *Snapshot
		control string
		want    Mode
	}{
		{"a bound without a policy", nil, ConnsTotal, Enforce},
		{"a bound the policy does not name", &Snapshot{}, HalfOpen, Enforce},
		{"a bound the policy turns off", all(Off), ConnsTotal, Enforce},
		{"a bound the policy only watches", all(Monitor), HalfOpen, Enforce},
		{"a control without a policy", nil, ConnsAddr, Monitor},
		{"a control the policy does not name", &Snapshot{}, RateAccept, Monitor},
		{"a foreign control the policy does not name", &Snapshot{}, "geo.country", Monitor},
		{"off", all(Off), ConnsAddr, Off},
		{"monitor", all(Monitor), ConnsAddr, Monitor},
		{"enforce", all(Enforce), RateAccept, Enforce},
	} {
		if got := c.s.Mode(c.control, Subject{Addr: addr}); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestPercentBounds(t *testing.T) {
	for percent, want := range map[int]int{-5: 1000, 0: 1000, 100: 1000, 250: 1000} {
		if got := enforced(&Snapshot{}, "x", percent); got != want {
			t.Errorf("percent %d: enforced for %d of 1000 clients, want %d", percent, got, want)
		}
	}
	// Neither off nor monitor has a share to speak of.
	for _, m := range []Mode{Off, Monitor} {
		s := &Snapshot{Controls: map[string]Control{"x": {Mode: m, Percent: 50}}}
		for i := range 100 {
			if got := s.Mode("x", Subject{Addr: client(i)}); got != m {
				t.Fatalf("%v with a percentage: got %v", m, got)
			}
		}
	}
}

func client(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0a000000+uint32(i))
	return netip.AddrFrom4(b)
}

// enforced returns for how many of a thousand clients a control at percent is in Enforce.
func enforced(s *Snapshot, control string, percent int) (n int) {
	s.Controls = map[string]Control{control: {Mode: Enforce, Percent: percent}}
	for i := range 1000 {
		if s.Mode(control, Subject{Addr: client(i)}) == Enforce {
			n++
		}
	}
	return n
}

func TestPercentIsAboutThatShare(t *testing.T) {
	s := &Snapshot{Seed: [16]byte{1, 2, 3}}
	for _, percent := range []int{1, 10, 50, 90, 99} {
		// Five standard deviations of a fair draw from a thousand are below 80.
		if got := enforced(s, ConnsAddr, percent); got < percent*10-80 || got > percent*10+80 {
			t.Errorf("%d percent: enforced for %d of 1000 clients", percent, got)
		}
	}
}

// Raising a percentage only adds clients, the choice of a client never changes by itself, and a client is its whole /64.
func TestPercentIsSticky(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var seed [16]byte
		copy(seed[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed"))
		control := rapid.SampledFrom([]string{ConnsAddr, RateAccept, "geo.country", strings.Repeat("long.", 40)}).Draw(t, "control")
		low := rapid.IntRange(1, 100).Draw(t, "low")
		high := rapid.IntRange(low, 100).Draw(t, "high")
		at := func(percent int, revision uint64) *Snapshot {
			return &Snapshot{Revision: revision, Seed: seed, Controls: map[string]Control{control: {Mode: Enforce, Percent: percent}}}
		}
		var b [16]byte
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address"))
		addr := netip.AddrFrom16(b)
		if rapid.Bool().Draw(t, "ipv4") {
			addr = netip.AddrFrom4([4]byte(b[:4]))
		}
		before, after := at(low, 1).Mode(control, Subject{Addr: addr}), at(high, 2).Mode(control, Subject{Addr: addr})
		if before == Enforce && after != Enforce {
			t.Fatalf("%v was enforced at %d %% and is %v at %d %%", addr, low, after, high)
		}
		if before == Off || after == Off {
			t.Fatalf("%v: the control is off for a client outside the share", addr)
		}
		if again := at(low, 3).Mode(control, Subject{Addr: addr}); again != before {
			t.Fatalf("%v: %v first, %v in a later snapshot", addr, before, again)
		}
		sibling := addr
		if addr.Is6() && !addr.Is4In6() {
			b[15] ^= 0xff
			sibling = netip.AddrFrom16(b)
		} else if addr.Is4() {
			sibling = netip.AddrFrom16(addr.As16())
		}
		if got := at(low, 1).Mode(control, Subject{Addr: sibling}); got != before {
			t.Fatalf("%v is %v and %v, the same client, is %v", addr, before, sibling, got)
		}
	})
}

// Controls draw separately, and so do processes with another seed; otherwise the same clients would always be the first to suffer, and anybody
// could compute an address outside the share.
func TestSharesAreIndependent(t *testing.T) {
	both := func(a, b *Snapshot, controlA, controlB string) (n int) {
		for i := range 1000 {
			if a.Mode(controlA, Subject{Addr: client(i)}) == Enforce && b.Mode(controlB, Subject{Addr: client(i)}) == Enforce {
				n++
			}
		}
		return n
	}
	half := map[string]Control{ConnsAddr: {Enforce, 50}, RateAccept: {Enforce, 50}}
	s, other := &Snapshot{Seed: [16]byte{1}, Controls: half}, &Snapshot{Seed: [16]byte{2}, Controls: half}
	if n := both(s, s, ConnsAddr, RateAccept); n < 170 || n > 330 {
		t.Errorf("two controls at 50 %% share %d of 1000 clients, want about 250", n)
	}
	if n := both(s, other, ConnsAddr, ConnsAddr); n < 170 || n > 330 {
		t.Errorf("two seeds at 50 %% share %d of 1000 clients, want about 250", n)
	}
}

func TestModeDoesNotAllocate(t *testing.T) {
	s := &Snapshot{Controls: map[string]Control{ConnsAddr: {Enforce, 50}}}
	addr := netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() { s.Mode(ConnsAddr, Subject{Addr: addr}) }); n != 0 {
		t.Errorf("Mode: %v allocations, want none", n)
	}
}

func TestServes(t *testing.T) {
	var s Snapshot
	s.Transports[0] = true // the invalid transport is never served
	s.Transports[mtproto.FakeTLS] = true
	for tr, want := range map[mtproto.Transport]bool{0: false, mtproto.Classic: false, mtproto.Secure: false, mtproto.FakeTLS: true, 77: false} {
		if got := s.Serves(tr); got != want {
			t.Errorf("transport %d: got %v, want %v", tr, got, want)
		}
	}
	if (*Snapshot)(nil).Serves(mtproto.FakeTLS) {
		t.Error("no policy serves a transport")
	}
}

// A reader sees one snapshot or the other, whole.
func TestLivePublishesWholeSnapshots(t *testing.T) {
	var live Live
	if live.Load() != nil {
		t.Error("a new Live holds a snapshot")
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			var last uint64
			for {
				if s := live.Load(); s != nil {
					if s.Revision < last || s.Limits.HalfOpen != int(s.Revision) {
						t.Errorf("revision %d after %d, with the limits of %d", s.Revision, last, s.Limits.HalfOpen)
						return
					}
					last = s.Revision
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for r := range uint64(1000) {
		live.Publish(&Snapshot{Revision: r, Limits: Limits{HalfOpen: int(r)}})
	}
	close(done)
	wg.Wait()
	if got := live.Load().Revision; got != 999 {
		t.Errorf("revision %d is in force, want 999", got)
	}
}

func BenchmarkMode(b *testing.B) {
	addr := netip.MustParseAddr("2001:db8::1")
	for name, s := range map[string]*Snapshot{
		"all":   {Controls: map[string]Control{ConnsAddr: {Enforce, 0}}},
		"share": {Controls: map[string]Control{ConnsAddr: {Enforce, 50}}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Mode(ConnsAddr, Subject{Addr: addr})
			}
		})
	}
}
