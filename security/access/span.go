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
	x := words6(p.Addr())
	x.hi |= lowMask(max(0, 64-p.Bits()))
	x.lo |= lowMask(min(64, 128-p.Bits()))
	return addr6(x)
}

// lowMask has the n lowest of 64 bits set.
func lowMask(n int) uint64 {
	if n >= 64 {
		return ^uint64(0)
	}
	return 1<<n - 1
}
