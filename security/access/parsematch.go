package access

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseMatch reads the text form of a match. Letters of names may be of either
// case, IPv4-mapped IPv6 is taken for the IPv4 it is. Errors say what to write
// instead.
func ParseMatch(text string) (Match, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Match{}, fmt.Errorf("a match is empty: write an address, 203.0.113.0/24, country:DE, asn:64500, sni:*.example.com or ja4:t13d*")
	}
	if len(text) > maxMatch {
		return Match{}, fmt.Errorf("match %s is longer than %d bytes", quote(text), maxMatch)
	}
	word, rest, colon := strings.Cut(text, ":")
	if colon {
		switch strings.ToLower(word) {
		case "country":
			return parseCountry(rest)
		case "asn":
			return parseASN(rest)
		case "sni":
			return parseServerName(rest)
		case "ja4":
			return parseFingerprint(rest)
		case "list":
			return parseListName(rest)
		}
	}
	switch {
	case strings.Contains(text, "*"):
		return parseWildcard(text)
	case strings.Contains(text, "/"):
		p, err := parsePrefix(text)
		return PrefixMatch(p), err
	case strings.Contains(text, "-") && !mayBeName(text):
		return parseRange(text)
	}
	a, err := parseAddr(text)
	if err != nil {
		return Match{}, err
	}
	return AddrMatch(a), nil
}

// mayBeName tells a host name with a hyphen from a range.
func mayBeName(text string) bool {
	from, _, _ := strings.Cut(text, "-")
	_, err := netip.ParseAddr(strings.TrimSpace(from))
	return err != nil && strings.ContainsFunc(text, func(r rune) bool { return 'g' <= r|0x20 && r|0x20 <= 'z' })
}

func parseAddr(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s is no address%s", quote(text), hint(text))
	}
	if a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%s has a zone, which means something on one machine only: write %v", quote(text), plain(a))
	}
	return plain(a), nil
}

// hint guesses what was meant by a text that is no address.
func hint(text string) string {
	low := strings.ToLower(text)
	if number, ok := strings.CutPrefix(low, "as"); ok {
		if _, err := strconv.ParseUint(number, 10, 32); err == nil {
			return ": for an AS number write asn:" + clip(number)
		}
	}
	switch {
	case len(text) == 2 && letters(low):
		return ": for a country write country:" + strings.ToUpper(text)
	case strings.HasPrefix(low, "t1") && strings.Contains(low, "_") && checkGlob(low, ja4Bytes) == nil:
		return ": for a fingerprint write ja4:" + clip(low)
	case strings.Contains(text, ".") && checkGlob(low, nameBytes) == nil && strings.ContainsAny(low, "abcdefghijklmnopqrstuvwxyz"):
		return ": for a server name write sni:" + clip(low)
	}
	return ": want one like 203.0.113.7, 2001:db8::1 or 203.0.113.0/24"
}

// parsePrefix reads a prefix whose host bits are zero.
func parsePrefix(text string) (netip.Prefix, error) {
	addr, size, _ := strings.Cut(text, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s is no prefix: want one like 203.0.113.0/24 or 2001:db8::/32", quote(text))
	}
	if a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%s has a zone, which means something on one machine only: leave out what is between %% and /", quote(text))
	}
	bits, err := strconv.ParseUint(size, 10, 8)
	if err != nil || len(size) > 1 && size[0] == '0' || int(bits) > a.BitLen() {
		if mask, ok := maskBits(size); ok && a.Is4() {
			return netip.Prefix{}, fmt.Errorf("%s: write the mask as /%d", quote(text), mask)
		}
		return netip.Prefix{}, fmt.Errorf("%s: the length after / is a number up to %d", quote(text), a.BitLen())
	}
	p, ok := plainPrefix(netip.PrefixFrom(a, int(bits)))
	if !ok {
		return netip.Prefix{}, fmt.Errorf("%s is partly IPv4-mapped: write the IPv4 prefix itself, or 0.0.0.0/0 for all of IPv4", quote(text))
	}
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%s has host bits: want %v, or the address %v", quote(text), p.Masked(), p.Addr())
	}
	return p, nil
}

// maskBits is the length of a network mask such as 255.255.255.0.
func maskBits(text string) (bits int, ok bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return 0, false
	}
	mask := words4(a)
	for mask&(1<<31) != 0 {
		mask <<= 1
		bits++
	}
	return bits, mask == 0
}

// plainPrefix is a prefix as rules know it. It is not ok when it is no prefix or
// when it holds all of IPv4 in its IPv4-mapped form and more.
func plainPrefix(p netip.Prefix) (netip.Prefix, bool) {
	if !p.IsValid() {
		return netip.Prefix{}, false
	}
	a, bits := p.Addr(), p.Bits()
	if a.Is4In6() {
		if bits < 96 {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a.Unmap(), bits-96), true
	}
	return netip.PrefixFrom(a.WithZone(""), bits), true
}

func parseRange(text string) (Match, error) {
	first, second, _ := strings.Cut(text, "-")
	from, err := parseAddr(strings.TrimSpace(first))
	if err != nil {
		return Match{}, fmt.Errorf("range %s: %w", quote(text), err)
	}
	to, err := parseAddr(strings.TrimSpace(second))
	if err != nil {
		if n, bad := strconv.ParseUint(second, 10, 8); bad == nil && from.Is4() {
			b := from.As4()
			b[3] = byte(n)
			return Match{}, fmt.Errorf("range %s: write both addresses whole: %v-%v", quote(text), from, netip.AddrFrom4(b))
		}
		return Match{}, fmt.Errorf("range %s: %w", quote(text), err)
	}
	switch {
	case from.BitLen() != to.BitLen():
		return Match{}, fmt.Errorf("range %s goes from one version of IP to the other", quote(text))
	case to.Less(from):
		return Match{}, fmt.Errorf("range %s ends before it begins: want %v-%v", quote(text), to, from)
	case from == to:
		return AddrMatch(from), nil
	}
	return Match{kind: InRange, from: from, to: to}, nil
}

func parseWildcard(text string) (Match, error) {
	parts := strings.Split(text, ".")
	if strings.Contains(text, ":") {
		return Match{}, fmt.Errorf("%s: wildcards are for IPv4, for IPv6 write a prefix like 2001:db8::/32", quote(text))
	}
	if strings.ContainsFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != '*' }) {
		if low := strings.ToLower(text); checkGlob(low, nameBytes) == nil {
			return Match{}, fmt.Errorf("%s is no address wildcard like 203.0.113.*: for a server name write sni:%s", quote(text), clip(low))
		}
		return Match{}, fmt.Errorf("%s is no address wildcard like 203.0.113.*", quote(text))
	}
	bits := 0
	for bits < len(parts) && parts[bits] != "*" {
		bits++
	}
	for i, part := range parts {
		if i >= bits && part != "*" {
			return Match{}, fmt.Errorf("%s: stars stand at the end only, as in 203.0.*.*", quote(text))
		}
		if i >= bits {
			parts[i] = "0"
		}
	}
	if len(parts) != 4 || bits == 4 {
		return Match{}, fmt.Errorf("%s: an address wildcard has four parts, as in 203.0.*.*", quote(text))
	}
	a, err := netip.ParseAddr(strings.Join(parts, "."))
	if err != nil {
		return Match{}, fmt.Errorf("%s is no address wildcard like 203.0.113.*", quote(text))
	}
	return Match{kind: InWildcard, from: a, bits: uint8(8 * bits)}, nil
}

func parseASN(text string) (Match, error) {
	number := strings.TrimPrefix(strings.ToLower(text), "as")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n == 0 {
		return Match{}, fmt.Errorf("AS number %s: want 1 to 4294967295, as in asn:64500", quote(text))
	}
	return Match{kind: InASN, asn: uint32(n)}, nil
}

// otherCodes are codes that people write for a country whose code is another one.
var otherCodes = map[string]string{"UK": "GB", "EL": "GR"}

func parseCountry(text string) (Match, error) {
	if strings.EqualFold(text, UnknownCountry) {
		return Match{kind: InCountry, text: UnknownCountry}, nil
	}
	code := strings.ToUpper(text)
	if right, ok := otherCodes[code]; ok {
		return Match{}, fmt.Errorf("country %s: the code is %s", code, right)
	}
	if len(code) != 2 || !letters(strings.ToLower(code)) {
		return Match{}, fmt.Errorf("country %s: want two letters of ISO 3166, as in country:DE, or country:unknown", quote(text))
	}
	return Match{kind: InCountry, text: code}, nil
}

func parseListName(name string) (Match, error) {
	if err := checkName(name); err != nil {
		return Match{}, err
	}
	return ListMatch(name), nil
}

// checkName refuses what is not fit for a list's name.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("a list's name has 1 to %d characters, not %d", maxName, len(name))
	}
	for _, c := range []byte(name) {
		if !lowerDigit(c) && c != '-' && c != '_' && c != '.' && !('A' <= c && c <= 'Z') {
			return fmt.Errorf("list name %s: letters, digits, '-', '_' and '.' only", quote(name))
		}
	}
	return nil
}

func letters(low string) bool {
	for _, c := range []byte(low) {
		if c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

func lowerDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// quote and clip bound what an error repeats of a text that others wrote.
func quote(text string) string { return strconv.Quote(clip(text)) }

func clip(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
