package node

import (
	"net"
	"net/netip"

	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// Subscribe lets the caller follow what happens to connections, from now on.
// The caller closes the subscription; Run does not.
func (n *Node) Subscribe(name string, depth int) *event.Subscription {
	return n.bus.Subscribe(name, depth)
}

// Stats are the node's own counters, for reading.
func (n *Node) Stats() *stats.Counters { return &n.stats }

// MetricsAt is the address of the metrics listener, the zero AddrPort when it
// is off.
func (n *Node) MetricsAt() netip.AddrPort {
	if n.metrics == nil {
		return netip.AddrPort{}
	}
	return n.metrics.Addr().(*net.TCPAddr).AddrPort()
}
