package node

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"mtguard/config/statedir"
	"mtguard/telemetry/stats"
)

// totalsFile is where counters are written down, and totalsEvery how often at
// least: what a crash can lose of them. They are written before each scrape is
// answered, too: a total that somebody has seen and that falls after a crash would
// look to him like a restart from zero, and as much traffic again.
const (
	totalsFile  = "totals"
	totalsEvery = time.Minute
	totalsRest  = time.Second // between two writings for scrapes
)

// totals carries the counters over a restart. A file that is missing, damaged or of
// another version never stops the node: they start from zero, and the log says so.
type totals struct {
	dir     *statedir.Dir
	log     *slog.Logger
	lasting stats.Lasting
	source  prometheus.Gatherer // the counters of this process, and what they had come to before

	mu    sync.Mutex // held by save
	saved time.Time
	saves saves
}

// openTotals registers all metrics and reads what totals had come to.
func (n *Node) openTotals() {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		stats.NewCollector(&n.stats, n.families()...),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	n.totals = &totals{dir: n.dir, log: n.log}
	n.totals.source = n.totals.lasting.Over(registry)
	n.totals.open()
}

// families are the metrics whose values live elsewhere than in n.stats.
func (n *Node) families() []stats.Family {
	return slices.Concat(n.watcher.families(), n.alerts.Metrics(), n.threat.Families(), n.plane.Families(), n.ownFamilies(), []stats.Family{
		buildInfo(), stats.EventDrops(n.bus.Dropped), stats.AuditFindings(n.auditCounts), stats.AuditLastSuccess(n.lastAudit)})
}

func (t *totals) open() {
	f, err := t.dir.OpenFile(totalsFile)
	if err == nil {
		defer f.Close()
		var unended uint64
		if unended, err = t.lasting.Import(f); err == nil && unended > 0 {
			t.log.Warn("the process before did not come to its end: connections that were open count as failed", "connections", unended)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.log.Warn("totals not read: counters start from zero", "file", totalsFile, "error", err)
	}
}

// Gather returns all metrics, as they are scraped.
func (t *totals) Gather() ([]*dto.MetricFamily, error) {
	families, err := t.source.Gather()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.saved) >= totalsRest || now.Before(t.saved) {
		t.write(families)
	}
	return families, err
}

// numbers are the metrics of a node, for the control plane.
type numbers struct{ n *Node }

// Values implements control.Numbers.
func (x numbers) Values(pattern string) ([]stats.Value, error) {
	families, err := x.n.totals.Gather()
	return stats.List(families, pattern), err
}

// save writes the totals down.
func (t *totals) save() {
	families, err := t.source.Gather()
	if err != nil {
		t.log.Error("metrics", "error", err) // what could be gathered is there
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.write(families)
}

// write writes them down. The caller holds mu.
func (t *totals) write(families []*dto.MetricFamily) {
	t.saved = time.Now()
	err := t.dir.Replace(totalsFile, func(w io.Writer) error { return t.lasting.Export(w, families) })
	t.saves.report(t.log, err, "totals not written: after a restart counters go on from an earlier value", "totals are written again")
}

// run saves now and then until ctx ends.
func (t *totals) run(ctx context.Context) {
	tick := time.NewTicker(totalsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.save()
		}
	}
}
