package stats

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTheFlowAddsUpWhileConnectionsComeAndGo: every reading holds both sums, taken while eight goroutines send connections through every way
// that there is.
func TestTheFlowAddsUpWhileConnectionsComeAndGo(t *testing.T) {
	var c Counters
	var stop atomic.Bool
	var sent atomic.Uint64
	var work sync.WaitGroup
	for g := range 8 {
		work.Go(func() {
			for i := g; !stop.Load(); i++ {
				c.Accepted()
				sent.Add(1)
				c.Moved(StateHandshake, StateConnecting)
				at := StateConnecting
				if i%4 > 0 {
					at = State(uint8(StateConnecting) + uint8(i%4))
					c.Moved(StateConnecting, at)
				}
				c.Ended(at, Outcome(i%int(outcomes)))
			}
		})
	}
	var last uint64
	for readings := 0; readings < 10_000; {
		f := c.Flow()
		if f.Accepted == last { // nobody got to run in between: it tells nothing
			runtime.Gosched()
			continue
		}
		readings, last = readings+1, f.Accepted
		var in int64
		for _, n := range f.In {
			if n < 0 {
				t.Fatalf("a state holds %d connections: %+v", n, f)
			}
			in += n
		}
		if f.Accepted != f.Served()+f.Covered()+f.Refused()+uint64(f.Open) || in != f.Open {
			t.Fatalf("reading %d does not add up: %+v", readings, f)
		}
	}
	stop.Store(true)
	work.Wait()
	if f := c.Flow(); f.Accepted != sent.Load() || f.Accepted != c.Connections.All() || f.Open != 0 || f.In != [states]int64{} {
		t.Errorf("in the end %+v, %d were sent", f, sent.Load())
	}
}

// BenchmarkConnection is what counting costs one connection that becomes a session.
func BenchmarkConnection(b *testing.B) {
	var c Counters
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Accepted()
			c.Moved(StateHandshake, StateConnecting)
			c.Moved(StateConnecting, StateSession)
			c.Ended(StateSession, OutcomeRelayed)
		}
	})
}
