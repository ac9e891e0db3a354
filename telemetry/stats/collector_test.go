package stats

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
)

var update = flag.Bool("update", false, "rewrite testdata/metrics.golden")

// filled returns counters in which everything has been counted at least once, and the families a node adds.
func filled() (*Counters, []Family) {
	c := new(Counters)
	c.Open.Set(7)
	c.HalfOpen.Set(2)
	c.Sessions.Set(4)
	c.CoverOpen.Set(1)
	c.Connections.Add(OutcomeRelayed)
	c.accepted.Add(8)
	c.Handshake("faketls", ResultOK, 30*time.Millisecond)
	c.Handshake("classic", ResultReplay, 3*time.Millisecond)
	c.Trials.Add(12)
	c.RelayBytes(1000, 5000)
	c.Dial(2, true, 40*time.Millisecond)
	c.Dial(203, false, time.Second)
	c.CoverDial(true)
	c.Reload(true, time.Unix(1_770_000_000, 0))
	c.Reload(false, time.Unix(1_780_000_000, 0))
	c.Decision("conns.addr", VerdictMask, ModeMonitor)
	c.Control("conns.addr").Took(ModeMonitor, 300*time.Nanosecond)
	c.Control("conns.addr").Panicked()
	drops := func(yield func(string, uint64)) { yield("threat", 3) }
	counts := func() map[string]int {
		return map[string]int{"low": 4, "medium": 3, "high": 2, "critical": 1, "unknown": 0}
	}
	last := func() time.Time { return time.Unix(1_790_000_000, 0) }
	return c, []Family{BuildInfo("1.2.3", "abcdef", "go1.26"), EventDrops(drops), AuditFindings(counts), AuditLastSuccess(last)}
}

// The names, types and labels of all metrics are an interface: dashboards and alert rules are written against them. A change here is a
// change for every operator.
func TestMetricNames(t *testing.T) {
	c, extra := filled()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(NewCollector(c, extra...))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		values := make(map[string][]string) // of each label
		var order []string
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if values[l.GetName()] == nil {
					order = append(order, l.GetName())
				}
				if !slices.Contains(values[l.GetName()], l.GetValue()) {
					values[l.GetName()] = append(values[l.GetName()], l.GetValue())
				}
			}
		}
		line := fmt.Sprintf("%s %s", f.GetName(), strings.ToLower(f.GetType().String()))
		for _, name := range order {
			slices.Sort(values[name])
			line += fmt.Sprintf(" %s=%s", name, strings.Join(values[name], "|"))
		}
		lines = append(lines, line)
	}
	got := strings.Join(lines, "\n") + "\n"
	path := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("metrics differ from %s (run with -update if that is meant):\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestMetricsLint(t *testing.T) {
	c, extra := filled()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(NewCollector(c, extra...))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricValues(t *testing.T) {
	c, extra := filled()
	const want = `
# HELP mtguard_audit_findings Findings of audits that are not fixed and whose risk nobody accepted; unknown are checks that could not be made.
# TYPE mtguard_audit_findings gauge
mtguard_audit_findings{severity="critical"} 1
mtguard_audit_findings{severity="high"} 2
mtguard_audit_findings{severity="low"} 4
mtguard_audit_findings{severity="medium"} 3
mtguard_audit_findings{severity="unknown"} 0
# HELP mtguard_audit_last_success_timestamp_seconds When an audit of all checks last came to its end.
# TYPE mtguard_audit_last_success_timestamp_seconds gauge
mtguard_audit_last_success_timestamp_seconds 1.79e+09
# HELP mtguard_build_info The running build; always 1.
# TYPE mtguard_build_info gauge
mtguard_build_info{go="go1.26",revision="abcdef",version="1.2.3"} 1
# HELP mtguard_check_panics_total Judgements that ended in a panic; the connection went on.
# TYPE mtguard_check_panics_total counter
mtguard_check_panics_total{control="conns.addr"} 1
# HELP mtguard_config_last_reload_success_timestamp_seconds When the configuration was last read without error.
# TYPE mtguard_config_last_reload_success_timestamp_seconds gauge
mtguard_config_last_reload_success_timestamp_seconds 1.77e+09
# HELP mtguard_config_reloads_total Readings of the configuration, the one at start included.
# TYPE mtguard_config_reloads_total counter
mtguard_config_reloads_total{result="error"} 1
mtguard_config_reloads_total{result="ok"} 1
# HELP mtguard_connections_accepted_total Connections that came: those that ended and those that are open.
# TYPE mtguard_connections_accepted_total counter
mtguard_connections_accepted_total 8
# HELP mtguard_connections_connecting Client connections between their handshake and what follows it.
# TYPE mtguard_connections_connecting gauge
mtguard_connections_connecting 0
# HELP mtguard_connections_half_open Client connections that have not finished their handshake.
# TYPE mtguard_connections_half_open gauge
mtguard_connections_half_open 2
# HELP mtguard_connections_open Client connections, whatever their state.
# TYPE mtguard_connections_open gauge
mtguard_connections_open 7
# HELP mtguard_connections_silent Client connections that are read and never answered.
# TYPE mtguard_connections_silent gauge
mtguard_connections_silent 0
# HELP mtguard_cover_connections_open Connections spliced to the cover site.
# TYPE mtguard_cover_connections_open gauge
mtguard_cover_connections_open 1
# HELP mtguard_events_dropped_total Events a subscriber had no room for.
# TYPE mtguard_events_dropped_total counter
mtguard_events_dropped_total{subscriber="threat"} 3
# HELP mtguard_handshake_duration_seconds Time from accepting a connection to the end of its handshake.
# TYPE mtguard_handshake_duration_seconds histogram
mtguard_handshake_duration_seconds_bucket{le="0.001"} 0
mtguard_handshake_duration_seconds_bucket{le="0.0025"} 0
mtguard_handshake_duration_seconds_bucket{le="0.005"} 1
mtguard_handshake_duration_seconds_bucket{le="0.01"} 1
mtguard_handshake_duration_seconds_bucket{le="0.025"} 1
mtguard_handshake_duration_seconds_bucket{le="0.05"} 2
mtguard_handshake_duration_seconds_bucket{le="0.1"} 2
mtguard_handshake_duration_seconds_bucket{le="0.25"} 2
mtguard_handshake_duration_seconds_bucket{le="0.5"} 2
mtguard_handshake_duration_seconds_bucket{le="1"} 2
mtguard_handshake_duration_seconds_bucket{le="2.5"} 2
mtguard_handshake_duration_seconds_bucket{le="5"} 2
mtguard_handshake_duration_seconds_bucket{le="10"} 2
mtguard_handshake_duration_seconds_bucket{le="+Inf"} 2
mtguard_handshake_duration_seconds_sum 0.033
mtguard_handshake_duration_seconds_count 2
# HELP mtguard_relay_bytes_total Bytes relayed, up from clients and down to them.
# TYPE mtguard_relay_bytes_total counter
mtguard_relay_bytes_total{direction="down"} 5000
mtguard_relay_bytes_total{direction="up"} 1000
# HELP mtguard_secret_trials_total Secrets tried against hellos.
# TYPE mtguard_secret_trials_total counter
mtguard_secret_trials_total 12
# HELP mtguard_sessions_open Connections relayed to Telegram.
# TYPE mtguard_sessions_open gauge
mtguard_sessions_open 4
`
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(NewCollector(c, extra...))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	// The metrics with dozens of series are left out of the text; those follow by their series that are not zero.
	var text strings.Builder
	for _, f := range families {
		if !strings.Contains(want, "# TYPE "+f.GetName()+" ") {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	if got := text.String(); got != strings.TrimPrefix(want, "\n") {
		t.Errorf("got:\n%s\nwant:%s", got, want)
	}

	nonZero := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if v := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()); v != 0 && len(labels) > 0 {
				nonZero[f.GetName()+" "+strings.Join(labels, ",")] = v
			}
		}
	}
	for series, want := range map[string]float64{
		"mtguard_connections_total relayed":                  1,
		"mtguard_handshakes_total ok,faketls":                1,
		"mtguard_handshakes_total replay,classic":            1,
		"mtguard_upstream_dials_total 2,ok":                  1,
		"mtguard_upstream_dials_total 203,error":             1,
		"mtguard_upstream_connect_duration_seconds 2":        1,
		"mtguard_cover_dials_total ok":                       1,
		"mtguard_decisions_total conns.addr,no,monitor,mask": 1,
		"mtguard_check_duration_seconds conns.addr,monitor":  1,
	} {
		if nonZero[series] != want {
			t.Errorf("%s: got %v, want %v", series, nonZero[series], want)
		}
		delete(nonZero, series)
	}
	for _, known := range []string{"mtguard_relay_bytes_total up", "mtguard_relay_bytes_total down", "mtguard_config_reloads_total ok", "mtguard_config_reloads_total error", "mtguard_events_dropped_total threat", "mtguard_check_panics_total conns.addr"} {
		delete(nonZero, known)
	}
	if len(nonZero) > 0 {
		t.Errorf("series that nobody counted: %v", nonZero)
	}
}

// A Family that breaks its own declaration spoils its metric and is reported; it must not take the process down.
func TestBrokenFamilyIsAnError(t *testing.T) {
	broken := Family{Name: "broken", Help: "Broken.", Labels: []string{"a", "b"}, Collect: func(emit func(float64, ...string)) { emit(1, "only one") }}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(NewCollector(new(Counters), broken))
	if _, err := reg.Gather(); err == nil {
		t.Error("a family with a missing label value was gathered without an error")
	}
}
