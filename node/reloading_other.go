//go:build !linux

package node

func reloading() string { return "RELOADING=1" }
