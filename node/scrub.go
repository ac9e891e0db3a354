package node

import (
	"net/netip"
	"regexp"
	"strings"
)

// scrub hides the addresses in a text the way the log does.
func (n *Node) scrub(text string) string { return scrub(text, n.hide) }

var (
	// What may be an address; whether it is one, netip says.
	fourParts  = regexp.MustCompile(`[0-9]{1,3}(?:\.[0-9]{1,3}){3,}(?:/[0-9]{1,2})?`)
	withColons = regexp.MustCompile(`[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:/[0-9]{1,3})?`)
)

// scrub writes every address and every prefix in a text as hide does. A prefix that says no more than hide would stays as it is.
func scrub(text string, hide func(netip.Addr) string) string {
	if !strings.ContainsAny(text, ".:") {
		return text
	}
	one := func(word string) string { return hideWord(word, hide) }
	return fourParts.ReplaceAllStringFunc(withColons.ReplaceAllStringFunc(text, one), one)
}

func hideWord(word string, hide func(netip.Addr) string) string {
	if p, err := netip.ParsePrefix(word); err == nil {
		hidden := hide(p.Addr().Unmap())
		if shown, err := netip.ParsePrefix(hidden); err == nil && shown.Bits() >= p.Bits() {
			return p.Masked().String() // whatever stood beyond its bits
		}
		return hidden
	}
	bare, bits, _ := strings.Cut(word, "/") // bits that no address has
	if a, err := netip.ParseAddr(bare); err == nil {
		return hide(a.Unmap())
	}
	// With a colon before or behind it that belongs to the sentence.
	trimmed := strings.Trim(bare, ":.")
	if a, err := netip.ParseAddr(trimmed); err == nil {
		return strings.Replace(bare, trimmed, hide(a.Unmap()), 1) + bits
	}
	// More numbers than an address has, and one among them.
	for parts := strings.Split(bare, "."); len(parts) >= 4; parts = parts[1:] {
		if _, err := netip.ParseAddr(strings.Join(parts[:4], ".")); err == nil {
			return "(hidden)"
		}
	}
	return word
}
