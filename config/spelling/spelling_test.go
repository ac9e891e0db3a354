package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"listen", "public_address", "transports", "engine"}
	for word, want := range map[string]string{
		"lisen": "listen", "lsiten": "listen", "Listen": "listen", "public_adress": "public_address", "transport": "transports",
		"engien": "engine", "banana": "", "x": "", "": "", strings.Repeat("x", 500): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%.20q: %q, want %q", word, got, want)
		}
	}
	for _, pair := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "acbd", 1}, {"same", "same", 0}} {
		if got := Distance(pair.a, pair.b); got != pair.want {
			t.Errorf("%q to %q: %d, want %d", pair.a, pair.b, got, pair.want)
		}
	}
}
