package node

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"mtguard/config"
	"mtguard/control/alert"
	"mtguard/telemetry/stats"
)

// newAlerts makes what watches the node and tells receivers. It has none before
// load.
func (n *Node) newAlerts() (*alert.Manager, error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return alert.New(context.Background(), alert.Options{
		Store: n.state.store, Snapshot: n.snapshot, Log: n.log, Node: host, Version: version(),
	})
}

// alertConfig is what the file says about alerts, with the secrets that it names.
func alertConfig(file *config.File) (alert.Config, error) {
	c := alert.Config{Thresholds: file.Alerting.Thresholds}
	for i, a := range file.Alerts {
		r := alert.Receiver{Name: a.Named(), Kind: a.Kind, URL: a.URL.Reveal(), Format: a.Format, Chat: a.Chat}
		var err error
		if r.MinSeverity, err = alert.ParseSeverity(cmp.Or(a.MinSeverity, "low")); err != nil {
			return c, fmt.Errorf("alert.min_severity: %w", err)
		}
		if r.Secret, err = file.AlertSecret(i); err != nil {
			return c, err
		}
		if a.CAFile != "" {
			pem, err := os.ReadFile(a.CAFile)
			if err != nil {
				return c, fmt.Errorf("alert.ca_file: %w", err)
			}
			if r.Roots = x509.NewCertPool(); !r.Roots.AppendCertsFromPEM(pem) {
				return c, fmt.Errorf("alert.ca_file: %s holds no certificate in PEM", a.CAFile)
			}
		}
		c.Receivers = append(c.Receivers, r)
	}
	return c, c.Check()
}

// snapshot is what alerts are judged by.
func (n *Node) snapshot() alert.Snapshot {
	limits := n.live.Load().Limits
	c := &n.stats
	s := alert.Snapshot{
		At:          time.Now(),
		Connections: c.Open.Load(), MaxConnections: int64(limits.MaxConnections),
		HalfOpen: c.HalfOpen.Load(), MaxHalfOpen: int64(limits.HalfOpen),
		Sessions: c.Sessions.Load(),
		Memory:   math.Float64frombits(n.pressure.memory.Load()), Descriptors: math.Float64frombits(n.pressure.descriptors.Load()),
		CPU: processorTime(), CPUs: runtime.GOMAXPROCS(0), Disk: diskUsed(n.dir.Path()),
		DialTime:   c.DialTime(),
		Handshakes: c.HandshakesOf(stats.ResultOK), Replays: c.HandshakesOf(stats.ResultReplay),
		ClockSkews: c.HandshakesOf(stats.ResultClock), Tripped: c.HandshakesOf(stats.ResultRevoked),
		HandshakesBad: c.HandshakesOf(stats.ResultBadSecret) + c.HandshakesOf(stats.ResultMalformed) + c.HandshakesOf(stats.ResultServerName),
	}
	good, failed := c.Dials()
	s.Dials, s.DialsFailed = good+failed, failed
	good, failed = c.CoverDials()
	s.CoverDials, s.CoverDialsFailed = good+failed, failed
	c.EachControl(func(_ string, d *stats.Control) {
		s.CheckPanics += d.Panics()
		s.KnownAllowed += d.KnownDecisions(stats.VerdictAllow, stats.ModeEnforce)
		s.KnownRefused += d.KnownDecisions(stats.VerdictDeny, stats.ModeEnforce) + d.KnownDecisions(stats.VerdictMask, stats.ModeEnforce)
	})
	n.bus.Dropped(func(_ string, dropped uint64) { s.EventsDropped += dropped })
	health := n.plane.Health()
	s.ClockHeld, s.GlassUntil, s.KeysOverdue = health.ClockHeld, health.Glass, health.KeysOverdue
	s.ListsBad, s.ListsBadNames = len(health.ListsBad), strings.Join(health.ListsBad[:min(len(health.ListsBad), 5)], ", ")
	if fault := n.state.store.AuditFault(); fault != nil {
		s.AuditFault = fault.Error()
	}
	n.mu.Lock()
	s.ConfigError = n.refused
	n.mu.Unlock()
	return s
}

// processorTime is what the process has used of all processors.
func processorTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
