// Package fw has the kernel drop new connections from whom the proxy would refuse
// anyway, so that a flood from a blocked address costs the proxy nothing.
//
// It runs in a process of its own, which alone has CAP_NET_ADMIN, imports nothing of
// the proxy, and reads no byte of a stranger. What it is to drop comes from the node
// (a [Source]), whole each time; what it keeps is one nftables table of its own, inet
// mtguard, with a set of IPv4 and one of IPv6 prefixes. A rule for each place the
// proxy listens at drops the first packet (SYN alone) of a TCP connection from these.
// Packets of established connections, other ports and the loopback interface are
// never looked up.
//
// Each element has a time-out of the kernel's, at most [Options.Hold], and is
// refreshed while the node says that it holds. So a helper that is killed, or that the
// node no longer answers, leaves nothing behind for longer than that; one that is
// stopped takes its table away. A table of that name which is not ours is left
// alone, and an error.
//
//	k, err := fw.Open()
//	err = fw.Run(ctx, fw.Options{Source: node, Kernel: k, Log: log}) // until ctx ends
package fw
