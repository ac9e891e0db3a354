package node

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Dead peers are found by keep-alive: a phone that lost its network never says
// so, and the idle time-out alone would hold its session for minutes more.
const (
	keepAliveIdle     = 60 // seconds
	keepAliveInterval = 20
	keepAliveCount    = 4
)

// tune sets the options that accepted sockets inherit.
func tune(_, _ string, c syscall.RawConn) error {
	var err error
	set := func(level, name, value int) func(uintptr) {
		return func(fd uintptr) {
			if e := unix.SetsockoptInt(int(fd), level, name, value); e != nil {
				err = e
			}
		}
	}
	for _, option := range [][3]int{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
	} {
		if e := c.Control(set(option[0], option[1], option[2])); e != nil {
			return e
		}
	}
	return err
}

// affordable lowers the number of connections to what the descriptors allow:
// two for each, and some for everything else.
func (n *Node) affordable(connections int) int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<24 {
		return connections
	}
	spare := min(int(limit.Cur)/4, 1024)
	most := (int(limit.Cur) - spare) / 2
	if connections <= most {
		return connections
	}
	if n.lowered == most {
		return most // said already
	}
	n.lowered = most
	n.log.Warn("fewer connections than configured: the limit of open files is too low", "max_connections", connections,
		"affordable", most, "open_files", limit.Cur, "hint", "LimitNOFILE=262144 in the systemd unit, or ulimit -n")
	return most
}
