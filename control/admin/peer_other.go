//go:build !linux

package admin

import (
	"net"
	"os"
)

// peerOf cannot tell here who connected. The mode of the socket lets only its
// owner and its group connect, so whoever is there counts as the node's own user.
func peerOf(net.Conn) (peer, error) { return peer{uid: uint32(os.Geteuid())}, nil }
