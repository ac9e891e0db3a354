// Package report makes numbers of samples and tables of numbers: minimum, median and maximum, ratios formed inside each round, and the
// comparison with the figures of design/performance.md.
//
// It measures nothing. Everything in it is a plain value without locks.
package report

import (
	"slices"

	"mtguard/bench/internal/load"
)

// Sample is one run of one target.
type Sample struct {
	Workload string      `json:"workload"`
	Target   string      `json:"target"`
	Round    int         `json:"round"`
	Error    string      `json:"error,omitempty"` // the run is no measurement
	Conns    int         `json:"conns"`
	CPU      float64     `json:"cpu_s"`
	KitCPU   float64     `json:"kit_cpu_s"` // what the load generator and the simulator used meanwhile
	Base     int64       `json:"rss_base"`  // bytes, before the measured part
	Held     int64       `json:"rss_held"`  // with all sessions open
	Peak     int64       `json:"rss_peak"`
	Taken    int64       `json:"dc_sent"` // bytes that left the data centre in the measured part
	Report   load.Report `json:"load"`
}

// Metric is one column.
type Metric struct {
	Name   string
	Format string
	Less   bool // less is better, so ratios make sense
	Value  func(*Sample) (float64, bool)
}

// Table is what is shown of a workload. The first metric that is better when less is the one that ratios are formed of.
type Table struct {
	Name, Title, Text string
	Metrics           []Metric
	Ratio             []string // targets that others are divided by
	Added             string   // a target whose value is what remains without any proxy
}

// Main gives the metric that ratios are formed of.
func (t *Table) Main() Metric {
	for _, m := range t.Metrics {
		if m.Less {
			return m
		}
	}
	return t.Metrics[0]
}

// Spread is the minimum, median and maximum of some values.
type Spread struct {
	Min, Median, Max float64
	N                int
}

// SpreadOf gives the spread of values; N is 0 when there are none.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	median := v[len(v)/2]
	if len(v)%2 == 0 {
		median = (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return Spread{Min: v[0], Median: median, Max: v[len(v)-1], N: len(v)}
}

// Results are the samples of one call.
type Results []Sample

// Values gives a metric of a target in the order of the rounds.
func (r Results) Values(workload, target string, m Metric) []float64 {
	var v []float64
	for i := range r {
		if s := &r[i]; s.Workload == workload && s.Target == target && s.Error == "" {
			if x, ok := m.Value(s); ok {
				v = append(v, x)
			}
		}
	}
	return v
}

// Ratios divides target by base round by round.
func (r Results) Ratios(workload, target, base string, m Metric) []float64 {
	return r.RatiosAcross(workload, target, workload, base, m)
}

// RatiosAcross does the same where the two come from different workloads.
func (r Results) RatiosAcross(workload, target, baseWorkload, base string, m Metric) []float64 {
	var v []float64
	for round := range r.rounds() {
		a, okA := r.at(workload, target, round, m)
		b, okB := r.at(baseWorkload, base, round, m)
		if okA && okB && b > 0 {
			v = append(v, a/b)
		}
	}
	return v
}

// AddedRatios divides what target adds to without by what base adds to it, round by round.
func (r Results) AddedRatios(workload, target, base, without string, m Metric) []float64 {
	var v []float64
	for round := range r.rounds() {
		a, okA := r.at(workload, target, round, m)
		b, okB := r.at(workload, base, round, m)
		w, okW := r.at(workload, without, round, m)
		if okA && okB && okW && b > w {
			v = append(v, (a-w)/(b-w))
		}
	}
	return v
}

// Differences subtracts base from target round by round.
func (r Results) Differences(workload, target, base string, m Metric) []float64 {
	var v []float64
	for round := range r.rounds() {
		a, okA := r.at(workload, target, round, m)
		b, okB := r.at(workload, base, round, m)
		if okA && okB {
			v = append(v, a-b)
		}
	}
	return v
}

func (r Results) rounds() int {
	n := 0
	for i := range r {
		n = max(n, r[i].Round+1)
	}
	return n
}

func (r Results) at(workload, target string, round int, m Metric) (float64, bool) {
	for i := range r {
		s := &r[i]
		if s.Workload == workload && s.Round == round && s.Target == target && s.Error == "" {
			return m.Value(s)
		}
	}
	return 0, false
}

// Failed counts the runs of a target that gave no measurement, and gives the last reason.
func (r Results) Failed(workload, target string) (n int, reason string) {
	for _, s := range r {
		if s.Workload == workload && s.Target == target && s.Error != "" {
			n++
			reason = s.Error
		}
	}
	return n, reason
}
