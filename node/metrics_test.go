package node

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"mtguard/control"
	"mtguard/control/advisory"
	"mtguard/security/policy"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

var update = flag.Bool("update", false, "write doc/metrics.md anew")

const metricsDoc = "../doc/metrics.md"

// used is a node in which everything that has a metric has happened or is set up.
func used(t *testing.T, rest string) *site {
	t.Helper()
	s := start(t, "", "[[alert]]\nkind = \"jsonl\"\nurl = \"file://"+t.TempDir()+"/alerts.jsonl\"\n"+rest)
	s.dial(s.client(tgsim.FakeTLS)).Close()
	s.audit()
	w := s.node.watcher
	w.mu.Lock()
	w.last = &advisory.Outcome{Time: time.Now(), Verdict: advisory.Fine, Scan: new(advisory.ScanReport), Release: &advisory.ReleaseReport{Verdict: advisory.Newer}}
	w.mu.Unlock()
	return s
}

// gathered are the node's own families, in order.
func (s *site) gathered() (own []*dto.MetricFamily) {
	s.t.Helper()
	all, err := s.node.totals.source.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range all {
		if strings.HasPrefix(f.GetName(), "mtguard_") {
			own = append(own, f)
		}
	}
	return own
}

// described are the names of all families that the node may show.
func (s *site) described() (names []string) {
	ch := make(chan *prometheus.Desc, 1024)
	stats.NewCollector(&s.node.stats, s.node.families()...).Describe(ch)
	close(ch)
	for d := range ch {
		names = append(names, regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1])
	}
	slices.Sort(names)
	return names
}

// TestMetricsAreWhatTheDocumentSays: doc/metrics.md has each metric of a node, no other, and of each the type, unit, labels and meaning. With
// -update its table is written anew.
func TestMetricsAreWhatTheDocumentSays(t *testing.T) {
	s := used(t, "")
	var rows, names []string
	for _, f := range s.gathered() {
		name, kind := strings.TrimPrefix(f.GetName(), "mtguard_"), strings.ToLower(f.GetType().String())
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		names = append(names, f.GetName())
		unit := stats.UnitOf(f.GetName())
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", name, kind, unit, strings.Join(labels, " "), f.GetHelp()))
		if (kind == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, kind)
		}
		if kind == "histogram" && unit != "seconds" && unit != "bytes" {
			t.Errorf("%s is a distribution of no unit", name)
		}
		if strings.Contains(name, "timestamp") != strings.HasSuffix(name, "_timestamp_seconds") {
			t.Errorf("%s does not say that it is in seconds", name)
		}
	}
	if described := s.described(); !slices.Equal(described, names) {
		for _, name := range described {
			if !slices.Contains(names, name) {
				t.Errorf("%s is never shown by a node in use", name)
			}
		}
	}
	text, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `[a-z].*\\|$\n?")
	if *update {
		at := row.FindIndex(text)
		if at == nil {
			t.Fatal("the document has no table")
		}
		rest := row.ReplaceAll(text[at[0]:], nil)
		text = slices.Concat(text[:at[0]], []byte(strings.Join(rows, "\n")+"\n"), rest)
		if err := os.WriteFile(metricsDoc, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var written []string
	for _, line := range row.FindAllString(string(text), -1) {
		written = append(written, strings.TrimSpace(line))
	}
	for _, r := range rows {
		if !slices.Contains(written, r) {
			t.Errorf("the document lacks, or has otherwise:\n%s", r)
		}
	}
	for _, r := range written {
		if !slices.Contains(rows, r) {
			t.Errorf("the document has, and a node has not:\n%s", r)
		}
	}
}

// TestMetricsPassTheLinter of Prometheus, all that a node in use shows.
func TestMetricsPassTheLinter(t *testing.T) {
	families := used(t, "").gathered()
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(families) < 45 {
		t.Fatal(len(families), err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestSeriesAreBounded: with 10,000 users, and every control enforced for some, in monitor for others and with a candidate, a node shows at
// most 2000 series, those of the Go runtime included.
func TestSeriesAreBounded(t *testing.T) {
	const n, most = 10_000, 2000
	s := used(t, users(n))
	for _, name := range policy.Controls() {
		for m := range stats.ModeCandidate + 1 {
			s.node.stats.Control(name).Took(m, time.Microsecond)
		}
	}
	if page, _, err := s.node.plane.Users(t.Context(), control.UserFilter{Find: fmt.Sprintf("user-%05d", n-1)}); err != nil || len(page) != 1 {
		t.Fatalf("%d users, %v", len(page), err)
	}
	series, names := 0, make(map[string]int)
	in := bufio.NewScanner(strings.NewReader(get(t, "http://"+s.node.MetricsAt().String()+"/metrics")))
	for in.Scan() {
		if name, _, _ := strings.Cut(in.Text(), "{"); !strings.HasPrefix(name, "#") {
			series++
			names[name]++
		}
	}
	t.Logf("%d series", series)
	if series > most || series < 500 {
		t.Errorf("%d series, at most %d: %v", series, most, names)
	}
}
