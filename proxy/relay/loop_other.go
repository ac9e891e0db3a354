//go:build !linux

package relay

const haveLoops = false

// newLoops has no event loop to offer on this system.
func newLoops(int) (Engine, error) { return NewGoroutines(), nil }
