package links

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Address is where links send clients.
type Address struct {
	Host string // a name or an address, IPv6 without brackets
	Port uint16
	// Note says what an operator should know about the address, or nothing.
	Note string
}

// Locate finds the address for links from proxy.public_address and the listen addresses, of
// which the first counts. "auto" means its host or, when that stands for every address,
// the one this machine uses towards the internet; finding that sends nothing.
func Locate(public string, listen []string) (Address, error) {
	return locate(public, listen, outbound)
}

func locate(public string, listen []string, outbound func() (netip.Addr, error)) (Address, error) {
	if len(listen) == 0 {
		return Address{}, errors.New("no listen address")
	}
	host, port, err := splitAddress(listen[0])
	if err != nil {
		return Address{}, err
	}
	if public != "auto" && public != "" {
		if h, p, err := splitAddress(public); err == nil {
			return Address{Host: h, Port: p}, nil
		}
		return Address{Host: public, Port: port}, nil
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case host != "" && (err != nil || !addr.IsUnspecified()):
		return Address{Host: host, Port: port, Note: reach(addr)}, nil
	default:
		addr, err = outbound()
		if err != nil {
			return Address{Host: "127.0.0.1", Port: port, Note: "this machine has no way to the internet, so the link works on this machine only: set proxy.public_address"}, nil
		}
		return Address{Host: addr.String(), Port: port, Note: reach(addr)}, nil
	}
}

func splitAddress(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q: not a number up to 65535", text)
	}
	return host, uint16(number), nil
}

// reach says who cannot use an address; nothing for a public one and for names.
func reach(addr netip.Addr) string {
	switch {
	case !addr.IsValid():
		return ""
	case addr.IsLoopback():
		return "the link works on this machine only"
	case addr.IsPrivate() || addr.IsLinkLocalUnicast() || sharedSpace.Contains(addr.Unmap()):
		return addr.String() + " is a private address: for clients outside, set proxy.public_address"
	}
	return ""
}

// sharedSpace is what carriers put in front of customers (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// outbound asks the routing table which of our addresses would be used. Connecting a UDP socket
// does that and sends nothing; the addresses asked for are of documentation (RFC 5737, 3849).
func outbound() (netip.Addr, error) {
	var first error
	for _, probe := range []struct{ network, to string }{
		{"udp4", "192.0.2.1:443"},
		{"udp6", "[2001:db8::1]:443"},
	} {
		conn, err := net.Dial(probe.network, probe.to)
		if err != nil {
			first = err
			continue
		}
		local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		conn.Close()
		if !local.IsUnspecified() {
			return local.WithZone(""), nil
		}
	}
	if first == nil {
		first = errors.New("no route")
	}
	return netip.Addr{}, first
}
