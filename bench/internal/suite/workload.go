// Package suite holds the workloads, the order in which they meet the targets, and the measuring.
//
// Runs are interleaved: in odd rounds the targets come in order, in even rounds backwards, and ratios are formed inside a round, so that a
// machine whose speed drifts does not favour anybody. What it measures is handed over as Samples; package report makes tables of them.
//
// One Suite runs at a time. Linux only.
package suite

import (
	"time"

	"mtguard/bench/internal/load"
	"mtguard/bench/internal/report"
	"mtguard/bench/internal/target"
)

// Workload is one kind of run.
type Workload struct {
	report.Table
	Targets []string
	Rounds  int  // at most so many, 0 for no limit
	NoCover bool // nobody answers where the cover site should be

	// spec is the run for a target. scale is 1 for real measurements and smaller for smoke runs.
	spec func(t target.Target, scale float64) load.Spec
	// settle is how long held sessions are left alone before memory is read.
	settle time.Duration
}

// Shorten makes held sessions settle in a moment, for smoke runs whose figures nobody reads.
func (w *Workload) Shorten() { w.settle = min(w.settle, 100*time.Millisecond) }

var ratioAll = []string{target.Relay, target.Haproxy, target.Mtg}

const (
	mb = 1_000_000
	gb = 1000 * mb
)

// Workloads are all of them, in the order of design/performance.md.
func Workloads() []Workload {
	ee, dd := "mtguard-ee", "mtguard-dd"
	return []Workload{
		{
			Table: report.Table{
				Name: "download", Title: "Download as fast as it goes, 8 connections",
				Metrics: []report.Metric{cpuPerGB, peakMB, rateMB}, Ratio: []string{target.Relay, target.Splice, target.Mtg},
				Text: "mtg shapes its streams to about 2 MB/s each and gets fewer bytes to move.",
			},
			Targets: []string{target.Relay, target.Haproxy, target.Splice, target.Mtg, ee, dd, "mtguard-classic",
				"mtguard-ee-full", "mtguard-dd-full", "mtguard-ee-on", "mtguard-ee-off"},
			spec: func(t target.Target, scale float64) load.Spec {
				bytes := int64(gb / 8 * scale)
				if t.Name == target.Mtg {
					bytes = int64(48 * mb / 8 * scale)
				}
				return load.Spec{Work: load.Download, Conns: 8, Bytes: max(bytes, 100_000)}
			},
		},
		{
			Table: report.Table{
				Name: "paced", Title: "Download paced, 50 connections of 2 MB/s in chunks of 16 KB",
				Metrics: []report.Metric{cpuPerGB, wall}, Ratio: ratioAll,
			},
			Targets: []string{target.Relay, target.Haproxy, target.Splice, target.Mtg, ee, dd, "mtguard-ee-full"},
			spec: func(_ target.Target, scale float64) load.Spec {
				return load.Spec{Work: load.Download, Conns: 50, Bytes: max(int64(6*mb*scale), 200_000), Chunk: 16 << 10, Rate: 2 * mb}
			},
		},
		{
			Table: report.Table{
				Name: "upload", Title: "Upload as fast as it goes, 8 connections (ee: records of 2878 bytes)",
				Metrics: []report.Metric{cpuPerGB, rateMB}, Ratio: []string{target.Relay, target.Splice, target.Mtg},
			},
			Targets: []string{target.Relay, target.Haproxy, target.Splice, target.Mtg, ee, dd},
			spec: func(t target.Target, scale float64) load.Spec {
				bytes := gb / 2 / 8 * scale
				if t.Name == target.Mtg {
					bytes /= 2
				}
				return load.Spec{Work: load.Upload, Conns: 8, Bytes: max(int64(bytes), 100_000)}
			},
		},
		{
			Table: report.Table{
				Name: "sessions", Title: "Sessions: connect, handshake, one echo, reset; 16 clients",
				Metrics: []report.Metric{cpuPerSession, p50ms, p99ms}, Ratio: ratioAll,
			},
			Targets: []string{target.Relay, target.Haproxy, target.Mtg, ee, dd, "mtguard-ee-on", "mtguard-ee-off", "mtguard-ee-10k", "mtguard-dd-10k"},
			spec: func(_ target.Target, scale float64) load.Spec {
				return load.Spec{Work: load.Sessions, Conns: 16, Count: max(int(5000*scale), 100), Size: 64}
			},
		},
		{
			Table: report.Table{
				Name: "idle", Title: "Idle sessions, after 32 KB of use each",
				Metrics: []report.Metric{sessionsHeld, rssPerSession, baseMB}, Ratio: ratioAll,
			},
			Targets: []string{target.Relay, target.Haproxy, target.Mtg, ee, dd},
			Rounds:  2, settle: 4 * time.Second,
			spec: func(_ target.Target, scale float64) load.Spec {
				n := min(int(9000*scale), (target.Descriptors()-500)/2)
				return load.Spec{Work: load.Idle, Conns: max(n, 50), Size: 16 << 10}
			},
		},
		slow("slow", 4*mb, "Slow clients: 64 that never read, 4 MB offered to each"),
		slow("slow-more", 16*mb, "Slow clients: the same with 16 MB offered to each"),
		latency("latency-1", "Latency of a 1 KB echo, 1 connection, 500 per second", 1, 500),
		latency("latency-500", "Latency of a 1 KB echo, 500 connections, 2000 per second in all", 500, 2000),
		strangers("strangers", "Strangers: 64 clients with a wrong key at full speed, the cover site answers", false,
			target.Mtg, ee, dd, "mtguard-ee-10k", "mtguard-dd-10k"),
		strangers("strangers-hangup", "Strangers when the cover site is down", true, target.Mtg, ee, dd),
	}
}

func slow(name string, offered int64, title string) Workload {
	return Workload{
		Table:   report.Table{Name: name, Title: title, Metrics: []report.Metric{rssPerSession, takenPerSession}, Ratio: ratioAll},
		Targets: []string{target.Relay, target.Haproxy, target.Mtg, "mtguard-ee", "mtguard-dd"},
		Rounds:  2, settle: 3 * time.Second,
		spec: func(_ target.Target, scale float64) load.Spec {
			return load.Spec{Work: load.Slow, Conns: max(int(64*scale), 8), Bytes: offered}
		},
	}
}

func latency(name, title string, conns, perSecond int) Workload {
	return Workload{
		Table: report.Table{
			Name: name, Title: title, Metrics: []report.Metric{p50us, p99us, cpuPerEcho}, Ratio: ratioAll,
			Added: target.Direct,
		},
		Targets: []string{target.Direct, target.Relay, target.Haproxy, target.Mtg, "mtguard-ee", "mtguard-dd"},
		spec: func(_ target.Target, scale float64) load.Spec {
			return load.Spec{Work: load.Echo, Conns: max(int(float64(conns)*min(scale*4, 1)), 1), PerSecond: perSecond, Size: 1024, Seconds: max(3*scale, 0.4)}
		},
	}
}

func strangers(name, title string, noCover bool, targets ...string) Workload {
	// Who is masked waits for the answer. Who is not may be left in silence, and then goes away.
	hold, text := time.Second, ""
	if noCover {
		hold, text = 20*time.Millisecond, " A stranger that hears nothing goes after 20 ms, which bounds how many there are."
	}
	return Workload{
		Table: report.Table{
			Name: name, Title: title,
			Metrics: []report.Metric{cpuPerStranger, strangersPerSecond, p50ms, p99ms, answeredPercent}, Ratio: []string{target.Mtg},
			Text: "The milliseconds are a good client's new sessions meanwhile, from another address." + text,
		},
		Targets: targets, NoCover: noCover,
		spec: func(_ target.Target, scale float64) load.Spec {
			return load.Spec{Work: load.Strangers, Conns: 64, Size: 64, Seconds: max(3*scale, 0.4), Hold: hold}
		},
	}
}
