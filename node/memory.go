package node

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// tidy gives memory back to the system in quiet moments, until ctx ends. A
// wave of handshakes leaves garbage behind that the collector, by itself,
// would only come to with the next wave: an idle session would cost several
// times what it needs. A collection costs a few milliseconds of a core that has
// nothing else to do.
//
// For the same reason the collector need not hurry during the wave: with the
// usual doubling, a node of 3 MB would collect after every 200 handshakes.
func tidy(ctx context.Context) {
	const (
		every = 2 * time.Second
		quiet = 1 << 20  // bytes allocated between two looks
		worth = 4 << 20  // bytes allocated since the last collection of ours
		slack = 16 << 20 // bytes of garbage that may pile up at least
	)
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	allocated := func() uint64 { metrics.Read(sample); return sample[0].Value.Uint64() }
	// Who set a limit himself knows better.
	limited := os.Getenv("GOMEMLIMIT") == "" && os.Getenv("GOGC") == ""
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	percent := 100
	tick := time.NewTicker(every)
	defer tick.Stop()
	giveBack()        // what the start left, so that what is live is known
	var tidied uint64 // nothing yet: the first quiet moment is when the start is over
	last := allocated()
	for {
		live := max(sample[1].Value.Uint64(), 1<<20)
		if limited { // a flood between two looks must not grow the heap seventeenfold
			debug.SetMemoryLimit(int64(64<<20 + 3*live))
		}
		if fit := int(max(100, 100*slack/live)); fit < percent*3/4 || fit > percent*4/3 { // each change stops the world
			percent = fit
			debug.SetGCPercent(percent)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := allocated()
		if now-last < quiet && now-tidied > worth {
			giveBack()
			tidied = now
		}
		last = now
	}
}

// giveBack collects, and gives back what is not in use: of the heap, and of what the
// program's file was mapped for.
func giveBack() {
	debug.FreeOSMemory()
	unmapProgram()
}
