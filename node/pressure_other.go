//go:build !linux

package node

import "math"

// resident is not known here.
func resident() uint64 { return 0 }

// diskUsed is not known here.
func diskUsed(string) float64 { return 0 }

// memoryLimit is not known here, so nothing is ever too much.
func memoryLimit() float64 { return math.Inf(1) }
