//go:build !linux

package node

import "syscall"

func tune(_, _ string, _ syscall.RawConn) error { return nil }

func (n *Node) affordable(connections int) int { return connections }
