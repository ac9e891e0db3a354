package report

import (
	"strings"
	"testing"

	"mtguard/bench/internal/load"
)

var cost = Metric{Name: "cost", Format: "%.1f", Less: true, Value: func(s *Sample) (float64, bool) { return s.CPU, s.CPU > 0 }}

func sample(target string, round int, cpu float64) Sample {
	return Sample{Workload: "w", Target: target, Round: round, CPU: cpu, Report: load.Report{}}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   []float64
		want Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3, 1}},
		{[]float64{3, 1, 2}, Spread{1, 2, 3, 3}},
		{[]float64{4, 1, 2, 3}, Spread{1, 2.5, 4, 4}},
	} {
		if got := SpreadOf(c.in); got != c.want {
			t.Errorf("SpreadOf(%v) = %+v, want %+v", c.in, got, c.want)
		}
	}
}

func TestRatiosStayInsideRounds(t *testing.T) {
	t.Parallel()
	r := Results{
		sample("a", 0, 2), sample("b", 0, 4),
		sample("b", 1, 100), sample("a", 1, 10), // a machine that became slower
		sample("a", 2, 7), // the partner failed
		{Workload: "w", Target: "b", Round: 2, CPU: 9, Error: "died"},
	}
	got := r.Ratios("w", "a", "b", cost)
	if len(got) != 2 || got[0] != 0.5 || got[1] != 0.1 {
		t.Fatalf("ratios are %v, want 0.5 and 0.1", got)
	}
	if d := r.Differences("w", "b", "a", cost); len(d) != 2 || d[0] != 2 || d[1] != 90 {
		t.Fatalf("differences are %v, want 2 and 90", d)
	}
	if n, why := r.Failed("w", "b"); n != 1 || why != "died" {
		t.Fatalf("%d failures, %q", n, why)
	}
}

func TestAddedRatios(t *testing.T) {
	t.Parallel()
	r := Results{sample("none", 0, 50), sample("base", 0, 100), sample("a", 0, 110)}
	if got := r.AddedRatios("w", "a", "base", "none", cost); len(got) != 1 || got[0] != 1.2 {
		t.Fatalf("a adds %v times what base adds, want 1.2", got)
	}
}

func TestDocumentShowsFailures(t *testing.T) {
	t.Parallel()
	d := Document{
		Tables:  []Table{{Name: "w", Title: "Work", Metrics: []Metric{cost}, Ratio: []string{"b"}}},
		Targets: []Row{{"a", "one"}, {"b", "two"}, {"c", "three"}},
		Results: Results{sample("a", 0, 2), sample("b", 0, 4), {Workload: "w", Target: "c", Error: "no | such\nthing"}},
	}
	var b strings.Builder
	if _, err := d.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| a | 2.0 / 2.0 / 2.0 | 0.50 / 0.50 / 0.50 |", "| b | 4.0 / 4.0 / 4.0 | 1 |", `| c | failed: no \| such thing |`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("document lacks %q:\n%s", want, b.String())
		}
	}
}

func TestReached(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		v, first, then float64
		want           string
	}{
		{0.3, 0.5, 0.35, "**then**"}, {0.4, 0.5, 0.35, "first"}, {0.6, 0.5, 0.35, "no"}, {0.1, 0.6, 0, "first"}, {1.5, 0, 1.6, "**then**"}, {1.7, 0, 1.6, "no"},
	} {
		if got := reached(c.v, c.first, c.then); got != c.want {
			t.Errorf("reached(%g, %g, %g) = %s, want %s", c.v, c.first, c.then, got, c.want)
		}
	}
}
