package stats

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// namespace begins every metric's name.
const namespace = "mtguard_"

// Family is a metric whose values live elsewhere, for example the drops of the event bus. Its label values must come from closed sets.
type Family struct {
	// Name is the metric's name without the prefix "mtguard_"; Help is one sentence.
	Name, Help string
	// Labels are the label names, in the order Collect gives the values.
	Labels []string
	// Counter says that values never fall; otherwise the metric is a gauge.
	Counter bool
	// Collect reports the current values. It is called at every scrape, possibly concurrently.
	Collect func(emit func(value float64, labels ...string))
}

// BuildInfo returns the family that tells which build runs: the constant 1 with the build as labels.
func BuildInfo(version, revision, goVersion string) Family {
	return Family{
		Name: "build_info", Help: "The running build; always 1.", Labels: []string{"version", "revision", "go"},
		Collect: func(emit func(float64, ...string)) { emit(1, version, revision, goVersion) },
	}
}

// EventDrops returns the family of events that subscribers of the event bus missed. dropped is event.Bus.Dropped.
func EventDrops(dropped func(yield func(name string, n uint64))) Family {
	return Family{
		Name: "events_dropped_total", Help: "Events a subscriber had no room for.", Labels: []string{"subscriber"}, Counter: true,
		Collect: func(emit func(float64, ...string)) {
			dropped(func(name string, n uint64) { emit(float64(n), name) })
		},
	}
}

type collector struct {
	c     *Counters
	extra []Family
	descs []*prometheus.Desc // of extra
}

// NewCollector returns a Collector that shows c and the extra families. It may be registered with one registry at a time.
func NewCollector(c *Counters, extra ...Family) prometheus.Collector {
	out := &collector{c: c, extra: extra}
	for _, f := range extra {
		out.descs = append(out.descs, desc(f.Name, f.Help, f.Labels...))
	}
	return out
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+name, help, labels, nil)
}

var (
	openDesc          = desc("connections_open", "Client connections, whatever their state.")
	acceptedDesc      = desc("connections_accepted_total", "Connections that came: those that ended and those that are open.")
	connectingDesc    = desc("connections_connecting", "Client connections between their handshake and what follows it.")
	silentDesc        = desc("connections_silent", "Client connections that are read and never answered.")
	halfOpenDesc      = desc("connections_half_open", "Client connections that have not finished their handshake.")
	sessionsDesc      = desc("sessions_open", "Connections relayed to Telegram.")
	coverOpenDesc     = desc("cover_connections_open", "Connections spliced to the cover site.")
	connectionsDesc   = desc("connections_total", "Ended connections by outcome.", "outcome")
	handshakesDesc    = desc("handshakes_total", "Ended handshakes by transport and result.", "transport", "result")
	handshakeTookDesc = desc("handshake_duration_seconds", "Time from accepting a connection to the end of its handshake.")
	trialsDesc        = desc("secret_trials_total", "Secrets tried against hellos.")
	relayBytesDesc    = desc("relay_bytes_total", "Bytes relayed, up from clients and down to them.", "direction")
	dialsDesc         = desc("upstream_dials_total", "Attempts to reach a data centre.", "dc", "result")
	dialTookDesc      = desc("upstream_connect_duration_seconds", "Time of successful connects to a data centre.", "dc")
	coverDialsDesc    = desc("cover_dials_total", "Attempts to reach the cover site.", "result")
	reloadsDesc       = desc("config_reloads_total", "Readings of the configuration, the one at start included.", "result")
	lastReloadDesc    = desc("config_last_reload_success_timestamp_seconds", "When the configuration was last read without error.")
	decisionsDesc     = desc("decisions_total", "Verdicts of each control, whether they took effect, and whether they were about somebody known.", "control", "verdict", "mode", "known")
	checkTookDesc     = desc("check_duration_seconds", "Time of one judgement of a control and of what follows from it at once, of every 16th connection.", "control", "mode")
	checkPanicsDesc   = desc("check_panics_total", "Judgements that ended in a panic; the connection went on.", "control")
)

// Describe implements prometheus.Collector.
func (x *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		acceptedDesc, openDesc, halfOpenDesc, connectingDesc, silentDesc, sessionsDesc, coverOpenDesc, connectionsDesc, handshakesDesc, handshakeTookDesc, trialsDesc, relayBytesDesc,
		dialsDesc, dialTookDesc, coverDialsDesc, reloadsDesc, lastReloadDesc, decisionsDesc, checkTookDesc, checkPanicsDesc,
	} {
		ch <- d
	}
	for _, d := range x.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (x *collector) Collect(ch chan<- prometheus.Metric) {
	c, out := x.c, output{ch}
	flow := c.Flow()
	out.value(acceptedDesc, prometheus.CounterValue, float64(flow.Accepted))
	out.value(openDesc, prometheus.GaugeValue, float64(flow.Open))
	for s, d := range [states]*prometheus.Desc{halfOpenDesc, connectingDesc, sessionsDesc, coverOpenDesc, silentDesc} {
		out.value(d, prometheus.GaugeValue, float64(flow.In[s]))
	}
	for o, n := range flow.Ended {
		out.value(connectionsDesc, prometheus.CounterValue, float64(n), outcomeNames[o])
	}
	for t := range c.handshakes {
		for r := range c.handshakes[t] {
			out.counter(handshakesDesc, &c.handshakes[t][r], transportNames[t], resultNames[r])
		}
	}
	out.histogram(handshakeTookDesc, &c.handshakeTook)
	out.counter(trialsDesc, &c.Trials)
	out.counter(relayBytesDesc, &c.relayUp, "up")
	out.counter(relayBytesDesc, &c.relayDown, "down")
	for i, name := range dcNames {
		out.results(dialsDesc, &c.dials[i], name)
		out.histogram(dialTookDesc, &c.dialTook[i], name)
	}
	out.results(coverDialsDesc, &c.coverDials)
	out.results(reloadsDesc, &c.reloads)
	out.value(lastReloadDesc, prometheus.GaugeValue, time.Duration(c.lastGoodReload.Load()).Seconds())
	for name, s := range c.controlMap() {
		out.control(name, s)
	}
	for i, f := range x.extra {
		kind := prometheus.GaugeValue
		if f.Counter {
			kind = prometheus.CounterValue
		}
		f.Collect(func(v float64, labels ...string) { out.value(x.descs[i], kind, v, labels...) })
	}
}

// output writes constant metrics. Label counts are fixed above, so building a metric fails only for a Family that breaks its own
// declaration; the scrape then reports that metric as an error.
type output struct{ ch chan<- prometheus.Metric }

func (o output) value(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, kind, v, labels...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	o.ch <- m
}

func (o output) counter(d *prometheus.Desc, c *Counter, labels ...string) {
	o.value(d, prometheus.CounterValue, float64(c.Load()), labels...)
}

func (o output) results(d *prometheus.Desc, c *okCounter, labels ...string) {
	for i, name := range okNames {
		o.counter(d, &c[i], append(labels[:len(labels):len(labels)], name)...)
	}
}

func (o output) histogram(d *prometheus.Desc, h *Histogram, labels ...string) {
	count, sum, cumulative := h.read()
	o.ch <- prometheus.MustNewConstHistogram(d, count, sum, cumulative, labels...)
}

func (o output) control(name string, s *Control) {
	for v := range s.decisions {
		for m := range s.decisions[v] {
			d := &s.decisions[v][m]
			o.counter(decisionsDesc, &d.known, name, verdictNames[v], modeNames[m], "yes")
			o.counter(decisionsDesc, &d.unknown, name, verdictNames[v], modeNames[m], "no")
		}
	}
	for m := range s.took {
		if s.took[m].Count() > 0 { // a control is in one mode, seldom in two: the others would be hundreds of series of nothing
			o.histogram(checkTookDesc, &s.took[m], name, modeNames[m])
		}
	}
	o.counter(checkPanicsDesc, &s.panics, name)
}
