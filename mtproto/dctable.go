package mtproto

import (
	"maps"
	"net/netip"
	"slices"
)

// DCTable says where each data centre is. It is immutable; get one from
// NewDCTable.
type DCTable struct {
	addrs map[DC][]netip.AddrPort
}

// NewDCTable makes the built-in table with the entries of override in place of
// the built-in ones for the same id; nil leaves the built-in table as it is.
// An entry without addresses is passed over. The table keeps its own copy.
func NewDCTable(override map[DC][]netip.AddrPort) *DCTable {
	t := &DCTable{addrs: builtin()}
	for d, addrs := range override {
		if len(addrs) > 0 {
			t.addrs[d] = slices.Clip(slices.Clone(addrs))
		}
	}
	return t
}

// Lookup finds the addresses for d and the id whose addresses they are. A media
// id without an entry of its own is served by its positive twin, and any other
// id that is not in the table by DefaultDC, so addrs is never empty. IPv4
// addresses of the built-in table come first. The caller must not change addrs.
func (t *DCTable) Lookup(d DC) (used DC, addrs []netip.AddrPort) {
	if a, ok := t.addrs[d]; ok {
		return d, a
	}
	// Negating -32768 gives itself, which has no entry unless it was found above.
	if a, ok := t.addrs[-d]; ok && d < 0 {
		return -d, a
	}
	return DefaultDC, t.addrs[DefaultDC]
}

// IDs lists the ids that have an entry, ascending.
func (t *DCTable) IDs() []DC { return slices.Sorted(maps.Keys(t.addrs)) }

// builtin is the public list of Telegram's addresses (spec section 5). Media ids
// have no list of their own.
func builtin() map[DC][]netip.AddrPort {
	at := func(hosts ...string) []netip.AddrPort {
		list := make([]netip.AddrPort, len(hosts))
		for i, h := range hosts {
			list[i] = netip.AddrPortFrom(netip.MustParseAddr(h), 443)
		}
		return list
	}
	return map[DC][]netip.AddrPort{
		1:     at("149.154.175.50", "2001:b28:f23d:f001::a"),
		2:     at("149.154.167.51", "95.161.76.100", "2001:67c:4e8:f002::a"),
		3:     at("149.154.175.100", "2001:b28:f23d:f003::a"),
		4:     at("149.154.167.91", "2001:67c:4e8:f004::a"),
		5:     at("149.154.171.5", "2001:b28:f23f:f005::a"),
		203:   at("91.105.192.100", "2a0a:f280:203:a:5000::100"),
		10001: at("149.154.175.10", "2001:b28:f23d:f001::e"),
		10002: at("149.154.167.40", "2001:67c:4e8:f002::e"),
		10003: at("149.154.175.117", "2001:b28:f23d:f003::e"),
	}
}
