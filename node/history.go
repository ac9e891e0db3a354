package node

import (
	"context"
	"math"
	"path/filepath"
	"runtime/metrics"
	"time"

	"mtguard/control/threat"
	"mtguard/security/policy"
	"mtguard/telemetry/history"
	"mtguard/telemetry/stats"
)

// historyName is the file with what the numbers were.
const historyName = "history"

// chronicle samples the numbers of a node into a history. Its methods are called by one
// goroutine.
type chronicle struct {
	n       *Node
	h       *history.History
	numbers []numberOf
	last    []float64 // what sums had come to at the sample before
}

// numberOf is one number that is sampled. A sum is
// that of a counter of this process, whose growth since the last sample is taken.
type numberOf struct {
	history.Column
	read func(*moment) float64
}

// moment is what one sample is read from.
type moment struct {
	n    *Node
	flow stats.Flow
	heap uint64
}

func sampled() (all []numberOf) {
	sum := func(name, unit string, read func(*moment) float64) {
		all = append(all, numberOf{history.Column{Name: name, Unit: unit}, read})
	}
	most := func(name, unit string, read func(*moment) float64) {
		all = append(all, numberOf{history.Column{Name: name, Unit: unit, Max: true}, read})
	}
	sum("accepted", "count", func(m *moment) float64 { return float64(m.flow.Accepted) })
	sum("served", "count", func(m *moment) float64 { return float64(m.flow.Served()) })
	sum("covered", "count", func(m *moment) float64 { return float64(m.flow.Covered()) })
	sum("refused", "count", func(m *moment) float64 { return float64(m.flow.Refused()) })
	most("open", "count", func(m *moment) float64 { return float64(m.flow.Open) })
	most("sessions", "count", func(m *moment) float64 { return float64(m.flow.In[stats.StateSession]) })
	sum("bytes_up", "bytes", func(m *moment) float64 { up, _ := m.n.stats.Relayed(); return float64(up) })
	sum("bytes_down", "bytes", func(m *moment) float64 { _, down := m.n.stats.Relayed(); return float64(down) })
	for r := range stats.ResultError + 1 {
		sum("handshakes:"+r.String(), "count", func(m *moment) float64 { return float64(m.n.stats.HandshakesOf(r)) })
	}
	for _, name := range policy.Controls() {
		sum("refused:"+name, "count", func(m *moment) float64 { return float64(turnedAway(m.n.stats.Control(name), stats.ModeEnforce)) })
		sum("would_refuse:"+name, "count", func(m *moment) float64 { return float64(turnedAway(m.n.stats.Control(name), stats.ModeMonitor)) })
	}
	most("incidents_open", "count", func(m *moment) float64 { return m.n.incidentsOpen() })
	most("posture", "ratio", func(m *moment) float64 {
		if score, ok := m.n.plane.Posture(); ok {
			return float64(score) / 100
		}
		return math.NaN()
	})
	most("heap", "bytes", func(m *moment) float64 { return float64(m.heap) })
	most("rss", "bytes", func(*moment) float64 { return float64(resident()) })
	sum("cpu", "seconds", func(*moment) float64 { return processorTime().Seconds() })
	return all
}

// turnedAway is how many decisions of a control in a mode let nobody on as he came.
func turnedAway(c *stats.Control, m stats.Mode) (n uint64) {
	for _, v := range []stats.Verdict{stats.VerdictDeny, stats.VerdictMask, stats.VerdictDelay} {
		n += c.Decisions(v, m)
	}
	return n
}

// incidentsOpen is NaN when the store does not say.
func (n *Node) incidentsOpen() (all float64) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	count, err := n.plane.IncidentsOpen(ctx)
	if err != nil {
		return math.NaN()
	}
	for s := threat.Low; s <= threat.High; s++ {
		all += float64(count[s.String()])
	}
	return all
}

// openHistory opens the file. Without it the node runs, and remembers nothing.
func (n *Node) openHistory() {
	numbers := sampled()
	var columns []history.Column
	for _, s := range numbers {
		columns = append(columns, s.Column)
	}
	h, err := history.Open(filepath.Join(n.dir.Path(), historyName), columns, n.log)
	if err != nil {
		n.log.Warn("no history of the node's numbers", "error", err)
		return
	}
	n.chronicle = &chronicle{n: n, h: h, numbers: numbers, last: make([]float64, len(columns))}
}

// sample writes down what has happened since the last one, at a time.
func (c *chronicle) sample(at time.Time) {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	m := &moment{n: c.n, flow: c.n.stats.Flow(), heap: heap[0].Value.Uint64()}
	row := make([]float64, len(c.last))
	for i, s := range c.numbers {
		v := s.read(m)
		if row[i] = v; !s.Max {
			row[i], c.last[i] = max(0, v-c.last[i]), v
		}
	}
	if err := c.h.Add(at, row); err != nil {
		c.n.log.Error("history of the node's numbers", "error", err)
	}
}

// run samples at every full minute until ctx ends, and once more then.
func (c *chronicle) run(ctx context.Context) {
	defer c.h.Close()
	for {
		// The monotonic clock does not matter: it is the minutes of the wall clock that have rows.
		wait := time.NewTimer(time.Until(time.Now().Round(0).Truncate(time.Minute).Add(time.Minute)))
		select {
		case <-ctx.Done():
			wait.Stop()
			c.sample(time.Now())
			return
		case now := <-wait.C:
			c.sample(now.Add(-time.Minute / 2)) // of the minute that is over
		}
	}
}

// Series implements control.Numbers.
func (x numbers) Series(q history.Query) ([]history.Series, error) {
	if x.n.chronicle == nil {
		return nil, nil
	}
	return x.n.chronicle.h.Query(q, time.Now())
}
