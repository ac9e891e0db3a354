package node

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mtguard/telemetry/stats"
)

// handler serves the metrics listener: /metrics, /livez (the process runs) and
// /readyz (it serves, and does not drain).
func (n *Node) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.totals, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", n.readyz)
	return mux
}

// readyz answers 200 while new connections are served. ?verbose says more.
func (n *Node) readyz(w http.ResponseWriter, r *http.Request) {
	serving := n.serving.Load()
	if !serving {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if !r.URL.Query().Has("verbose") {
		fmt.Fprintln(w, map[bool]string{true: "ready", false: "draining"}[serving])
		return
	}
	fmt.Fprintf(w, "serving: %v\n", serving)
	for _, a := range n.Listening() {
		fmt.Fprintf(w, "listening: %v\n", a)
	}
	s := n.live.Load()
	fmt.Fprintf(w, "policy: revision %d, %d keys\n", s.Revision, s.Keys.Accepted())
	fmt.Fprintf(w, "sessions: %d\n", n.stats.Sessions.Load())
}

func buildInfo() stats.Family {
	revision, goVersion := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return stats.BuildInfo(version(), revision, goVersion)
}

// version is that of this program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
