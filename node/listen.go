package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"mtguard/config"
)

// listen opens every listener of the file.
func (n *Node) listen(file *config.File) error {
	// Options that accepted sockets inherit are set once, on the listener.
	lc := net.ListenConfig{KeepAlive: -1, Control: tune}
	for _, address := range file.Proxy.Listen {
		l, err := lc.Listen(context.Background(), "tcp", address)
		if err != nil {
			return explain(address, err)
		}
		n.listeners = append(n.listeners, l)
	}
	if address := file.Metrics.Listen; address != "" {
		l, err := net.Listen("tcp", address)
		switch {
		case err == nil:
			n.metrics = l
		case file.Explicit("metrics.listen"):
			return explain(address, err)
		default:
			// Nobody asked for it: a second node on this machine is fine.
			n.log.Warn("metrics are off: the default address is taken", "address", address, "error", err)
		}
	}
	if address := file.Pages.Listen; address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return explain(address, err)
		}
		n.pages = l
	}
	if err := n.listenDashboard(file); err != nil {
		return err
	}
	return n.listenAdmin(file)
}

// explain adds what to do to the usual reasons.
func explain(address string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("listen on %s: not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE, or choose another one: --listen 127.0.0.1:8443 (%w)", address, err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s: another program has this port; choose another one with --listen or [proxy] listen (%w)", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: this machine does not have that address (%w)", address, err)
	}
	return fmt.Errorf("listen on %s: %w", address, err)
}
