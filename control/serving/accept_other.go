//go:build !linux

package serving

import "net"

func acceptorOf(net.Listener) acceptor { return nil }
