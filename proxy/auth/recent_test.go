package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"mtguard/security/keys"
)

func remembered(r *recent, from string) []keys.ID {
	var ids [recentKeys]keys.ID
	n := r.of(netip.MustParseAddr(from), &ids)
	return slices.Clone(ids[:n])
}

func TestRecentKeysAreLatestFirst(t *testing.T) {
	var r recent
	from := netip.MustParseAddr("192.0.2.7")
	steps := []struct {
		note keys.ID
		want []keys.ID
	}{
		{"a", []keys.ID{"a"}}, {"a", []keys.ID{"a"}}, {"b", []keys.ID{"b", "a"}}, {"a", []keys.ID{"a", "b"}},
		{"c", []keys.ID{"c", "a", "b"}}, {"d", []keys.ID{"d", "c", "a", "b"}}, {"e", []keys.ID{"e", "d", "c", "a", "b"}},
		{"f", []keys.ID{"f", "e", "d", "c", "a", "b"}}, {"b", []keys.ID{"b", "f", "e", "d", "c", "a"}},
		{"g", []keys.ID{"g", "b", "f", "e", "d", "c"}}, // the one that was quiet for longest has gone
	}
	for i, s := range steps {
		r.note(from, s.note)
		if got := remembered(&r, "192.0.2.7"); !slices.Equal(got, s.want) {
			t.Fatalf("step %d: %v, want %v", i, got, s.want)
		}
	}
}

func TestRecentPrefixes(t *testing.T) {
	var r recent
	r.note(netip.MustParseAddr("192.0.2.7"), "four")
	r.note(netip.MustParseAddr("2001:db8:1:2::3"), "six")
	for from, want := range map[string]string{
		"192.0.2.0": "[four]", "192.0.2.255": "[four]", "::ffff:192.0.2.9": "[four]", "192.0.3.7": "[]", "192.0.1.7": "[]",
		"2001:db8:1::": "[six]", "2001:db8:1:ffff::1": "[six]", "2001:db8:1:2::3%eth0": "[six]", "2001:db8:2:2::3": "[]", "2001:db8::": "[]",
	} {
		if got := fmt.Sprint(remembered(&r, from)); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

// The table never grows; in a full group the prefix that was quiet for longest
// makes room, and one that is used stays.
func TestRecentIsBounded(t *testing.T) {
	var r recent
	busy := netip.MustParseAddr("203.0.113.1")
	const prefixes = 200_000
	for i := range prefixes {
		if i%1000 == 0 {
			// Between two of these some other prefix pushes it out only if
			// recentWays new ones fall into its group: a chance of 10^-4.
			r.note(busy, "busy")
		}
		r.note(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "new") // 256 of them in each /24
		r.note(netip.AddrFrom16([16]byte{0x20, 1, 0, byte(i >> 16), byte(i >> 8), byte(i)}), "new")
	}
	if len(r.sets) != recentSets {
		t.Fatalf("%d groups", len(r.sets))
	}
	n := 0
	for i := range r.sets {
		for _, e := range r.sets[i].entries {
			if e.prefix.IsValid() {
				n++
			}
		}
	}
	if limit := recentSets * recentWays; n != limit {
		t.Errorf("%d prefixes, want the table full with %d", n, limit)
	}
	if got := remembered(&r, "10.3.13.63"); len(got) != 1 {
		t.Errorf("the latest prefix: %v", got)
	}
}

func TestAFullGroupForgetsTheQuietest(t *testing.T) {
	var r recent
	first := netip.MustParseAddr("192.0.2.1")
	_, group, _ := r.place(first)
	members := []netip.Addr{first}
	for i := 0; len(members) <= recentWays; i++ {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		if _, g, _ := r.place(a); g == group {
			members = append(members, a)
		}
		if i >= 1<<16 {
			t.Skip("too few of the addresses tried fall into one group") // a chance below 10^-3
		}
	}
	for _, m := range members[:recentWays] {
		r.note(m, "x")
	}
	r.note(first, "y") // used again: the second is the quietest now
	r.note(members[recentWays], "x")
	for i, m := range members {
		if got := len(remembered(&r, m.String())) > 0; got != (i != 1) {
			t.Errorf("member %d is remembered: %v", i, got)
		}
	}
}

func TestRecentUnderRace(t *testing.T) {
	var r recent
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				from := netip.AddrFrom4([4]byte{10, 0, byte(i % 50), byte(g)})
				r.note(from, keys.ID(fmt.Sprint(i%10)))
				var ids [recentKeys]keys.ID
				n := r.of(from, &ids)
				for i, id := range ids[:n] {
					if slices.Contains(ids[:i], id) {
						t.Errorf("%v holds a key twice", ids)
						return
					}
				}
			}
		})
	}
	all.Wait()
}
