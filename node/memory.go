package node

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// tidy gives memory back to the system in quiet moments, until ctx ends. A
// wave of handshakes leaves garbage behind that the collector, by itself,
// would only come to with the next wave: an idle session would cost several
// times what it needs. A collection costs a few milliseconds of a core that has
// nothing else to do.
func tidy(ctx context.Context) {
	const (
		every = 2 * time.Second
		quiet = 1 << 20 // bytes allocated between two looks
		worth = 4 << 20 // bytes allocated since the last collection of ours
	)
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	allocated := func() uint64 { metrics.Read(sample); return sample[0].Value.Uint64() }
	tick := time.NewTicker(every)
	defer tick.Stop()
	last, tidied := allocated(), uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := allocated()
		if now-last < quiet && now-tidied > worth {
			debug.FreeOSMemory()
			tidied = now
		}
		last = now
	}
}
