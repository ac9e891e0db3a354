package stats

import (
	"cmp"
	"math"
	"path"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// Value is one metric with one set of label values, for people and for JSON.
type Value struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty" nullable:"false"`
	Type   string            `json:"type" enum:"counter,gauge,histogram,other"`
	Unit   string            `json:"unit" enum:"seconds,bytes,ratio,count" doc:"seconds since 1970 where the name has timestamp in it"`
	Help   string            `json:"help"`
	// Value is the sum of what was observed for a histogram.
	Value float64 `json:"value" doc:"of a histogram the sum of all that was observed"`
	Count uint64  `json:"count,omitempty" doc:"of a histogram: how much was observed"`
	// Quantiles of a histogram are the upper bounds of the buckets that they lie in.
	P50 float64 `json:"p50,omitempty" doc:"of a histogram: half of what was observed is at most this"`
	P99 float64 `json:"p99,omitempty"`
}

// Match tells whether a metric's name, with or without the prefix mtguard_, is meant by a pattern in which * stands for any text and ? for any
// character. "" means all.
func Match(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	for _, n := range []string{name, strings.TrimPrefix(name, namespace)} {
		if ok, err := path.Match(pattern, n); ok && err == nil {
			return true
		}
	}
	return false
}

// List is the families whose name a pattern means, by name and labels.
func List(families []*dto.MetricFamily, pattern string) (list []Value) {
	for _, f := range families {
		if !Match(pattern, f.GetName()) {
			continue
		}
		for _, m := range f.GetMetric() {
			v := Value{Name: f.GetName(), Labels: labelsOf(m), Unit: UnitOf(f.GetName()), Help: f.GetHelp()}
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				v.Type, v.Value = "counter", m.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				v.Type, v.Value = "gauge", m.GetGauge().GetValue()
			case dto.MetricType_HISTOGRAM:
				h := m.GetHistogram()
				v.Type, v.Value, v.Count, v.P50, v.P99 = "histogram", h.GetSampleSum(), h.GetSampleCount(), quantile(h, 0.5), quantile(h, 0.99)
			case dto.MetricType_SUMMARY:
				v.Type, v.Value, v.Count = "other", m.GetSummary().GetSampleSum(), m.GetSummary().GetSampleCount()
			default:
				v.Type, v.Value = "other", m.GetUntyped().GetValue()
			}
			if math.IsNaN(v.Value) || math.IsInf(v.Value, 0) { // JSON has no word for it
				v.Value = 0
			}
			list = append(list, v)
		}
	}
	slices.SortStableFunc(list, func(a, b Value) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// quantile is the upper bound of the bucket in which the share q of all lies; of the last bucket, which has none, its lower one.
func quantile(h *dto.Histogram, q float64) (bound float64) {
	for _, b := range h.GetBucket() {
		if math.IsInf(b.GetUpperBound(), 1) {
			break
		}
		bound = b.GetUpperBound()
		if float64(b.GetCumulativeCount()) >= q*float64(h.GetSampleCount()) {
			break
		}
	}
	if h.GetSampleCount() == 0 {
		return 0
	}
	return bound
}

// UnitOf is the unit that a metric's name says: seconds, bytes or ratio, else count.
func UnitOf(name string) string {
	name = strings.TrimSuffix(name, "_total")
	for _, unit := range []string{"seconds", "bytes", "ratio"} {
		if strings.HasSuffix(name, "_"+unit) {
			return unit
		}
	}
	return "count"
}
