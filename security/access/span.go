package access

import "net/netip"

// prefixesOf are the fewest prefixes that make up a range, ascending: at most 62 of
// IPv4 and 254 of IPv6.
func prefixesOf(from, to netip.Addr) []netip.Prefix {
	var list []netip.Prefix
	for {
		p := netip.PrefixFrom(from, from.BitLen())
		for p.Bits() > 0 {
			wider := netip.PrefixFrom(from, p.Bits()-1)
			if wider.Masked() != wider || to.Less(lastOf(wider)) {
				break
			}
			p = wider
		}
		list = append(list, p)
		end := lastOf(p)
		if end == to {
			return list
		}
		from = end.Next()
	}
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return addr4(words4(p.Addr()) | uint32(uint64(1)<<(32-p.Bits())-1))
	}
	hi, lo := words6(p.Addr())
	switch bits := p.Bits(); {
	case bits == 0:
		hi, lo = ^uint64(0), ^uint64(0)
	case bits < 64:
		hi, lo = hi|(1<<(64-bits)-1), ^uint64(0)
	default:
		lo |= lowMask(128 - bits)
	}
	return addr6(hi, lo)
}

// lowMask has the n lowest of 64 bits set.
func lowMask(n int) uint64 {
	if n >= 64 {
		return ^uint64(0)
	}
	return 1<<n - 1
}
