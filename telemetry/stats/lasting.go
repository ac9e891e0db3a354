package stats

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Lasting lets totals go on over a restart. Counters count from the start of the process; a Lasting knows what they had come to before, and
// adds it where they are shown:
//
//	l := new(stats.Lasting)
//	lost, err := l.Import(file)       // of the process before
//	families, err := l.Over(registry).Gather()
//	err = l.Export(file, families)    // for the one after
//
// It knows of no counter by name but those of the connections: whatever is a counter and begins with mtguard_ lasts. Gauges and histograms
// begin anew. Safe for concurrent use; the zero value is ready and knows of nothing.
type Lasting struct {
	mu     sync.Mutex
	before map[string]map[string]total // by family and labels
}

type total struct {
	Labels map[string]string `json:"labels,omitempty"`
	Value  float64           `json:"value"`
}

// Bounds of what Import believes and Export writes.
const (
	lastingBytes  = 1 << 20
	lastingSeries = 4096 // of all families
	gonePerFamily = 64   // series of a family that nothing counts any more
	lastingHead   = "mtguard totals 1 "
)

// ErrDamaged is what Import returns for what Export did not write.
var ErrDamaged = errors.New("the totals are damaged")

// Export writes the counters among families, which come from Over: at most 1 MiB, of at most 4096 series.
func (l *Lasting) Export(w io.Writer, families []*dto.MetricFamily) error {
	all := make(map[string][]total)
	n := 0
	for _, f := range families {
		if !lasts(f) {
			continue
		}
		for _, m := range f.GetMetric() {
			if n++; n > lastingSeries {
				return fmt.Errorf("more than %d totals", lastingSeries)
			}
			all[f.GetName()] = append(all[f.GetName()], total{labelsOf(m), m.GetCounter().GetValue()})
		}
	}
	body, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return writeTotals(w, body)
}

func writeTotals(w io.Writer, body []byte) error {
	sum := sha256.Sum256(body)
	_, err := fmt.Fprintf(w, "%s%s\n%s\n", lastingHead, hex.EncodeToString(sum[:]), body)
	return err
}

// Import takes what Export wrote, instead of what it knew. Connections that were open then, when the process came to its end without
// counting theirs, count as ended by an error on our side; unended is how many those are. On an error nothing has changed.
func (l *Lasting) Import(r io.Reader) (unended uint64, err error) {
	data, err := io.ReadAll(io.LimitReader(r, lastingBytes+1))
	if err != nil {
		return 0, err
	}
	all, err := parseTotals(data)
	if err != nil {
		return 0, err
	}
	before := make(map[string]map[string]total, len(all))
	for name, totals := range all {
		before[name] = make(map[string]total, len(totals))
		for _, t := range totals {
			before[name][keyOf(t.Labels)] = t
		}
	}
	if unended, err = endAll(before); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = before
	return unended, nil
}

func parseTotals(data []byte) (all map[string][]total, err error) {
	head, body, _ := bytes.Cut(data, []byte("\n"))
	sum, known := strings.CutPrefix(string(head), lastingHead)
	body, whole := bytes.CutSuffix(body, []byte("\n"))
	if want := sha256.Sum256(body); !known || !whole || len(data) > lastingBytes || sum != hex.EncodeToString(want[:]) {
		return nil, ErrDamaged
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, ErrDamaged
	}
	n := 0
	for name, totals := range all {
		for _, t := range totals {
			n++
			if n > lastingSeries || !strings.HasPrefix(name, namespace) || t.Value < 0 || math.IsInf(t.Value, 0) || math.IsNaN(t.Value) {
				return nil, ErrDamaged
			}
		}
	}
	return all, nil
}

// Names of the two families whose totals belong together; see Flow.
const (
	acceptedName = namespace + "connections_accepted_total"
	endedName    = namespace + "connections_total"
)

// endAll gives the connections that were open an end, so that totals add up again.
func endAll(before map[string]map[string]total) (uint64, error) {
	ended := 0.0
	for _, t := range before[endedName] {
		ended += t.Value
	}
	open := before[acceptedName][""].Value - ended
	if open < 0 {
		return 0, ErrDamaged
	}
	if open > 0 {
		labels := map[string]string{"outcome": OutcomeError.String()}
		t := before[endedName][keyOf(labels)]
		if before[endedName] == nil {
			before[endedName] = make(map[string]total)
		}
		before[endedName][keyOf(labels)] = total{labels, t.Value + open}
	}
	return uint64(open), nil
}

// Over shows what g gathers, with what counters had come to before. What a counter of a family that g has came to with labels that it does
// not have now is shown as well, for at most 64 of a family.
func (l *Lasting) Over(g prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := g.Gather()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, f := range families {
			if before := l.before[f.GetName()]; len(before) > 0 && lasts(f) {
				add(f, before)
			}
		}
		return families, err
	})
}

func add(f *dto.MetricFamily, before map[string]total) {
	now := make(map[string]bool, len(f.GetMetric()))
	var names []string
	for _, m := range f.GetMetric() {
		labels := labelsOf(m)
		key := keyOf(labels)
		now[key], names = true, slices.Sorted(maps.Keys(labels))
		if t, ok := before[key]; ok {
			m.Counter.Value = new(m.GetCounter().GetValue() + t.Value)
		}
	}
	gone := 0
	for _, key := range slices.Sorted(maps.Keys(before)) {
		t := before[key]
		if now[key] || gone >= gonePerFamily || !slices.Equal(slices.Sorted(maps.Keys(t.Labels)), names) {
			continue
		}
		gone++
		m := &dto.Metric{Counter: &dto.Counter{Value: new(t.Value)}}
		for _, name := range names {
			m.Label = append(m.Label, &dto.LabelPair{Name: new(name), Value: new(t.Labels[name])})
		}
		f.Metric = append(f.Metric, m)
	}
	if gone > 0 {
		slices.SortFunc(f.Metric, func(a, b *dto.Metric) int { return cmp.Compare(keyOf(labelsOf(a)), keyOf(labelsOf(b))) })
	}
}

// lasts tells which families do: a counter of the Go runtime or of the operating system's is one of this process.
func lasts(f *dto.MetricFamily) bool {
	return f.GetType() == dto.MetricType_COUNTER && strings.HasPrefix(f.GetName(), namespace)
}

func labelsOf(m *dto.Metric) map[string]string {
	if len(m.GetLabel()) == 0 {
		return nil
	}
	labels := make(map[string]string, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	return labels
}

// keyOf is one text for one set of labels.
func keyOf(labels map[string]string) string {
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&key, "%s=%q,", name, labels[name])
	}
	return key.String()
}
