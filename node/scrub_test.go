package node

import (
	"strings"
	"testing"
)

func TestAddressesInTextsAreHidden(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"nadia by uid 0", "nadia by uid 0"},
		{"203.0.113.7", "203.0.113.0/24"},
		{"203.0.113.7/32", "203.0.113.0/24"},
		{"203.0.113.0/24", "203.0.113.0/24"},
		{"203.0.0.0/16", "203.0.0.0/16"},
		{"203.0.113.7/16", "203.0.0.0/16"},
		{"203.0.113.128/25", "203.0.113.0/24"},
		{"203.0.113.7:443", "203.0.113.0/24:443"},
		{"203.0.113.7-203.0.113.9", "203.0.113.0/24-203.0.113.0/24"},
		{"from 203.0.113.7, and 198.51.100.1.", "from 203.0.113.0/24, and 198.51.100.0/24."},
		{"cafe:203.0.113.7", "cafe:203.0.113.0/24"},
		{"203.0.113.7/99", "203.0.113.0/24"},
		{"999.0.113.7 is none, version 1.2.3 neither", "999.0.113.7 is none, version 1.2.3 neither"},
		{"00.203.0.113.7", "(hidden)"},
		{"2001:db8:1:2::7", "2001:db8:1::/48"},
		{"2001:db8:1:2::/64", "2001:db8:1::/48"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"[2001:db8:1:2::7]:443", "[2001:db8:1::/48]:443"},
		{"seen: 2001:db8:1:2::7: gone", "seen: 2001:db8:1::/48: gone"},
		{"::ffff:203.0.113.7", "203.0.113.0/24"},
		{"at 12:30:45", "at 12:30:45"},
	} {
		if got := scrub(c.text, hider("truncate")); got != c.want {
			t.Errorf("%q is %q, want %q", c.text, got, c.want)
		}
		if got := scrub(c.text, hider("full")); strings.Contains(c.text, "203.0.113.7") && !strings.Contains(c.text, "/16") && !strings.Contains(c.text, "00.") && !strings.Contains(got, "203.0.113.7") {
			t.Errorf("in full, %q is %q", c.text, got)
		}
		if got := scrub(c.text, hider("hash")); strings.Contains(got, "203.0") || strings.Contains(got, "2001:db8") {
			t.Errorf("as a hash, %q is %q", c.text, got)
		}
	}
}

// Whatever stands around an address, it is not shown.
func FuzzAddressesAreHidden(f *testing.F) {
	f.Add("from ", " to")
	f.Add("::ffff:", "/32")
	f.Add("1:", ":2")
	f.Add("7", "7")
	f.Add("203.0.", ".113.7/33")
	f.Fuzz(func(t *testing.T, before, behind string) {
		const four, six = "198.51.100.77", "2001:db8:5:6::77"
		if digitAt(before, len(before)-1) || digitAt(behind, 0) {
			return // then it is another one, or none
		}
		if got := scrub(before+four+behind, hider("truncate")); strings.Contains(got, four) {
			t.Errorf("%q is %q", before+four+behind, got)
		}
		if got := scrub(before+" "+six+" "+behind, hider("truncate")); strings.Contains(got, " "+six+" ") {
			t.Errorf("%q is %q", before+" "+six+" "+behind, got)
		}
	})
}

func digitAt(text string, i int) bool {
	return i >= 0 && i < len(text) && '0' <= text[i] && text[i] <= '9'
}
