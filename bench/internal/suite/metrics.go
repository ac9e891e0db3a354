package suite

import "mtguard/bench/internal/report"

// The metrics of the tables. Each gives false where a sample has nothing to say.
var (
	cpuPerGB = report.Metric{Name: "CPU-s per GB", Format: "%.2f", Less: true, Value: func(s *report.Sample) (float64, bool) {
		return s.CPU / (float64(s.Report.Payload) / 1e9), s.CPU > 0 && s.Report.Payload > 0
	}}
	cpuPerSession  = report.Metric{Name: "CPU-µs per session", Format: "%.0f", Less: true, Value: perSession}
	cpuPerStranger = report.Metric{Name: "CPU-µs per bad session", Format: "%.0f", Less: true, Value: perSession}
	cpuPerEcho     = report.Metric{Name: "CPU-µs per echo", Format: "%.0f", Less: true, Value: func(s *report.Sample) (float64, bool) {
		return s.CPU * 1e6 / float64(s.Report.Samples), s.CPU > 0 && s.Report.Samples > 0
	}}
	strangersPerSecond = report.Metric{Name: "bad/s", Format: "%.0f", Value: func(s *report.Sample) (float64, bool) {
		return float64(s.Report.Sessions) / s.Report.Wall, s.Report.Wall > 0
	}}
	answeredPercent = report.Metric{Name: "answered %", Format: "%.0f", Value: func(s *report.Sample) (float64, bool) {
		return 100 * float64(s.Report.Answered) / float64(s.Report.Sessions), s.Report.Sessions > 0
	}}
	rateMB = report.Metric{Name: "MB/s", Format: "%.0f", Value: func(s *report.Sample) (float64, bool) {
		return float64(s.Report.Payload) / s.Report.Wall / 1e6, s.Report.Wall > 0
	}}
	wall = report.Metric{Name: "seconds", Format: "%.1f", Value: func(s *report.Sample) (float64, bool) { return s.Report.Wall, true }}

	p50us = report.Metric{Name: "p50 µs", Format: "%.0f", Less: true, Value: timed(func(s *report.Sample) float64 { return s.Report.P50 })}
	p99us = report.Metric{Name: "p99 µs", Format: "%.0f", Less: true, Value: timed(func(s *report.Sample) float64 { return s.Report.P99 })}
	p50ms = report.Metric{Name: "p50 ms", Format: "%.2f", Less: true, Value: timed(func(s *report.Sample) float64 { return s.Report.P50 / 1e3 })}
	p99ms = report.Metric{Name: "p99 ms", Format: "%.1f", Less: true, Value: timed(func(s *report.Sample) float64 { return s.Report.P99 / 1e3 })}

	peakMB = report.Metric{Name: "peak RSS MB", Format: "%.0f", Less: true, Value: func(s *report.Sample) (float64, bool) {
		return float64(s.Peak) / 1e6, s.Peak > 0
	}}
	baseMB = report.Metric{Name: "RSS at start MB", Format: "%.1f", Less: true, Value: func(s *report.Sample) (float64, bool) {
		return float64(s.Base) / 1e6, s.Base > 0
	}}
	rssPerSession = report.Metric{Name: "RSS KB per session", Format: "%.2f", Less: true, Value: func(s *report.Sample) (float64, bool) {
		return float64(s.Held-s.Base) / 1024 / float64(s.Conns), s.Held > 0
	}}
	takenPerSession = report.Metric{Name: "KB per session taken from the DC", Format: "%.0f", Value: func(s *report.Sample) (float64, bool) {
		return float64(s.Taken) / 1024 / float64(s.Conns), true
	}}
	sessionsHeld = report.Metric{Name: "sessions", Format: "%.0f", Value: func(s *report.Sample) (float64, bool) { return float64(s.Conns), true }}
)

func perSession(s *report.Sample) (float64, bool) {
	return s.CPU * 1e6 / float64(s.Report.Sessions), s.CPU > 0 && s.Report.Sessions > 0
}

func timed(f func(*report.Sample) float64) func(*report.Sample) (float64, bool) {
	return func(s *report.Sample) (float64, bool) { return f(s), s.Report.Samples > 0 }
}
