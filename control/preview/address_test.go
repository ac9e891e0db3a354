package preview

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func maskerOf(t testing.TB, p Privacy, key byte) *masker {
	t.Helper()
	m, err := newMasker(p, [32]byte{key})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhatIsKeptOfAnAddress(t *testing.T) {
	for _, c := range []struct {
		privacy  Privacy
		in, want string
	}{
		{Full, "192.0.2.77", "192.0.2.77"},
		{Full, "::ffff:192.0.2.77", "192.0.2.77"},
		{Full, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"},
		{Truncated, "192.0.2.77", "192.0.2.0"},
		{Truncated, "::ffff:192.0.2.77", "192.0.2.0"},
		{Truncated, "2001:db8:1:2:3:4:5:6", "2001:db8:1::"},
		{Truncated, "fe80::1%eth0", "fe80::"},
	} {
		if got := maskerOf(t, c.privacy, 1).mask(netip.MustParseAddr(c.in)); got != netip.MustParseAddr(c.want) {
			t.Errorf("%v of %s: %v, want %s", c.privacy, c.in, got, c.want)
		}
	}
	for p := range Privacy(len(privacyNames)) {
		if got := maskerOf(t, p, 1).mask(netip.Addr{}); got.IsValid() {
			t.Errorf("%v of no address: %v", p, got)
		}
		if back, err := ParsePrivacy(p.String()); err != nil || back != p {
			t.Errorf("%v is read as %v, %v", p, back, err)
		}
	}
	if _, err := ParsePrivacy("some"); err == nil {
		t.Error("some privacy")
	}
}

// near draws addresses that often have something in common.
func near(t *rapid.T, name string) netip.Addr {
	parts := rapid.SliceOfN(rapid.Uint8Range(0, 3), 4, 4).Draw(t, name)
	if rapid.Bool().Draw(t, name+" is IPv6") {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, parts[0], 0, parts[1], 0, 0, 0, 0, 0, 0, parts[2], parts[3]})
	}
	return netip.AddrFrom4([4]byte{198, 51, parts[0] & 1, parts[1]})
}

func TestPseudonymsCountAsTheirAddressesDo(t *testing.T) {
	m, other := maskerOf(t, Pseudonym, 1), maskerOf(t, Pseudonym, 2)
	same := func(a, b netip.Addr, v4, v6 int) bool {
		bits := v6
		if a.Is4() {
			bits = v4
		}
		p, _ := a.Prefix(bits)
		return a.Is4() == b.Is4() && p.Contains(b)
	}
	differs := 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := near(t, "a"), near(t, "b")
		x, y := m.mask(a), m.mask(b)
		if x.Is4() != a.Is4() {
			t.Fatalf("%v became %v", a, x)
		}
		for _, bits := range [][2]int{{32, 64}, {24, 48}} {
			if got, want := same(x, y, bits[0], bits[1]), same(a, b, bits[0], bits[1]); got != want {
				t.Fatalf("%v and %v share a /%d or /%d: %v; %v and %v do: %v", a, b, bits[0], bits[1], want, x, y, got)
			}
		}
		if other.mask(a) != x {
			differs++
		}
	})
	if differs == 0 {
		t.Error("the key makes no difference")
	}
}

func TestAPermutationMissesNoNumber(t *testing.T) {
	m := maskerOf(t, Pseudonym, 1)
	for _, bits := range []uint{8, 16} {
		seen := make(map[uint64]bool)
		moved := 0
		for v := range uint64(1) << bits {
			w := m.permute(bits, 7, v)
			if w >= 1<<bits || seen[w] {
				t.Fatalf("%d bits: %d becomes %d", bits, v, w)
			}
			seen[w] = true
			if w != v {
				moved++
			}
		}
		if moved < 1<<bits*9/10 {
			t.Errorf("%d bits: only %d numbers moved", bits, moved)
		}
	}
}

func BenchmarkPseudonym(b *testing.B) {
	m := maskerOf(b, Pseudonym, 1)
	a := netip.MustParseAddr("192.0.2.77")
	for b.Loop() {
		m.mask(a)
	}
}
