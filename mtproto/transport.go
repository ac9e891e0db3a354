package mtproto

import (
	"fmt"
	"strconv"
)

// Transport is the way a client reaches the proxy. The zero value is no
// transport.
type Transport uint8

// The transports, from the easiest to recognise on the wire to the hardest.
const (
	Classic Transport = iota + 1 // obfuscated2 with abridged or intermediate framing
	Secure                       // obfuscated2 with padded framing, "dd" links
	FakeTLS                      // obfuscated2 in TLS records, "ee" links
)

// String is the transport's name as it stands in configuration and metrics.
func (t Transport) String() string {
	switch t {
	case Classic:
		return "classic"
	case Secure:
		return "secure"
	case FakeTLS:
		return "faketls"
	}
	return "transport(" + strconv.Itoa(int(t)) + ")"
}

// ParseTransport is the inverse of String for the three transports.
func ParseTransport(name string) (Transport, error) {
	for _, t := range [...]Transport{Classic, Secure, FakeTLS} {
		if name == t.String() {
			return t, nil
		}
	}
	return 0, fmt.Errorf("unknown transport %q: want classic, secure or faketls", name)
}
