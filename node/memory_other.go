//go:build !linux

package node

func unmapProgram() {}
