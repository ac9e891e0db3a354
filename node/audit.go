package node

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"mtguard/config"
	"mtguard/control"
	"mtguard/control/audit"
	"mtguard/mtproto/faketls"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/telemetry/stats"
)

// around is what audits see of this node beside its control plane.
func (n *Node) around() control.Around {
	return control.Around{
		Keys:   n.auditKeys,
		Policy: n.auditPolicy,
		Load:   n.auditLoad,
		Host:   n.auditHost,
		Site:   n.auditSite,
	}
}

// auditKeys adds which secrets stand in the file itself, and certificates.
func (n *Node) auditKeys(f *audit.KeyFacts) {
	file := n.File()
	inline := inlineUsers(file)
	for i := range f.Secrets {
		f.Secrets[i].Inline = f.Secrets[i].Source == "file" && inline[f.Secrets[i].User]
	}
	if path := file.Pages.CertFile; path != "" {
		c := audit.Certificate{Name: "pages", Path: path}
		c.NotAfter, c.Err = certificateEnd(path)
		f.Certificates = append(f.Certificates, c)
	}
}

func inlineUsers(file *config.File) map[string]bool {
	inline := make(map[string]bool)
	for _, u := range file.Users {
		inline[u.Name] = u.SecretFile == ""
	}
	return inline
}

// certificateEnd is when the first certificate of a file ends.
func certificateEnd(path string) (time.Time, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, err
		}
		return c.NotAfter, nil
	}
	return time.Time{}, errors.New("there is no certificate in it")
}

// auditPolicy adds what is served, and how the last reload went.
func (n *Node) auditPolicy(f *audit.PolicyFacts) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f.Transports, f.ConfigError = slices.Clone(n.file.Proxy.Transports), n.refused
}

// lookupPatience bounds each question to the name server.
const lookupPatience = 5 * time.Second

// auditSite is the cover site as it was measured last, the name in links, and how
// Telegram was reached in the last day.
func (n *Node) auditSite(ctx context.Context) (*audit.SiteFacts, error) {
	snapshot, m := n.live.Load(), n.cover.Measured()
	f := &audit.SiteFacts{Address: snapshot.Cover.Address, Name: snapshot.Cover.Name, DCs: n.load24.with(n.sample(time.Now())).dcs()}
	f.FakeTLS = slices.Contains(n.File().Proxy.Transports, "faketls")
	if m.Address == f.Address {
		f.Measured, f.Tried, f.Err = m.Seen, m.Tried, m.Err
		f.Group, f.Hybrid, f.Flight = groupName(m.Group), m.Group == faketls.X25519MLKEM768, m.Flight
	}
	f.Own = ownAddresses()
	if f.FakeTLS && f.Name != "" {
		f.Names, f.NoNames = n.lookup(ctx, f.Name)
	}
	return f, nil
}

func groupName(group uint16) string {
	switch group {
	case faketls.X25519MLKEM768:
		return "X25519MLKEM768"
	case faketls.X25519:
		return "X25519"
	}
	return fmt.Sprintf("group 0x%04x", group)
}

// sampleEvery and keptSamples make a day.
const (
	sampleEvery = time.Minute
	keptSamples = 24 * 60
)

// audited are the data centres that audits look at.
var audited = [...]int{1, 2, 3, 4, 5, 203}

// sample is what the counters of a node say at one moment.
type sample struct {
	at                         time.Time
	ended, limited, denied     uint64
	handshakes, sessions       uint64
	budget                     uint64
	halfOpen                   int64
	shedding                   bool
	tables                     [2]audit.Fill
	dialled, failedDials       [len(audited)]uint64
	halfOpenLimit, tablesKnown int
}

// loadWatch remembers a day of samples. Its methods may be called concurrently.
type loadWatch struct {
	mu      sync.Mutex
	samples []sample // a ring: the oldest is at next, once it is full
	next    int
}

func (w *loadWatch) add(s sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.samples) < keptSamples {
		w.samples = append(w.samples, s)
		return
	}
	w.samples[w.next] = s
	w.next = (w.next + 1) % keptSamples
}

// ordered are the samples of the last day, the oldest first. The caller holds mu.
func (w *loadWatch) ordered() []sample {
	return append(slices.Clone(w.samples[w.next:]), w.samples[:w.next]...)
}

// facts are what the samples say together.
func (w *loadWatch) facts(now time.Time) *audit.LoadFacts {
	w.mu.Lock()
	all := w.ordered()
	w.mu.Unlock()
	f := &audit.LoadFacts{}
	if len(all) == 0 {
		return f
	}
	first, last := all[0], all[len(all)-1]
	f.Window = now.Sub(first.at)
	share := func(part, whole uint64) audit.Share { return audit.Share{Part: int64(part), Whole: int64(whole)} }
	f.Refused = share(last.limited-first.limited, last.ended-first.ended)
	f.Denied = share(last.denied-first.denied, last.ended-first.ended)
	handshakes, sessions := last.handshakes-first.handshakes, last.sessions-first.sessions
	f.Failed = share(handshakes-min(sessions, handshakes), handshakes)
	f.Budget = int64(last.budget - first.budget)
	tables := make(map[string]audit.Fill)
	for _, s := range all {
		if s.halfOpen > f.HalfOpen.Part || f.HalfOpen.Whole == 0 {
			f.HalfOpen = audit.Share{Part: s.halfOpen, Whole: int64(s.halfOpenLimit)}
		}
		if s.shedding {
			f.Overloaded += sampleEvery
		}
		for _, t := range s.tables[:s.tablesKnown] {
			if was, ok := tables[t.Name]; !ok || t.Part > was.Part {
				tables[t.Name] = t
			}
		}
	}
	for _, t := range tables {
		f.Tables = append(f.Tables, t)
	}
	return f
}

// dcs are the data centres that were dialled.
func (w *loadWatch) dcs() (list []audit.DC) {
	w.mu.Lock()
	all := w.ordered()
	w.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	first, last := all[0], all[len(all)-1]
	for i, dc := range audited {
		list = append(list, audit.DC{Name: fmt.Sprint(dc), OK: int64(last.dialled[i] - first.dialled[i]), Failed: int64(last.failedDials[i] - first.failedDials[i])})
	}
	return list
}

// sample reads the counters.
func (n *Node) sample(now time.Time) sample {
	c := &n.stats
	s := sample{at: now, ended: c.Connections.All(), limited: c.Connections.Load(stats.OutcomeLimited), denied: c.Connections.Load(stats.OutcomeDenied),
		halfOpen: c.HalfOpen.Load(), halfOpenLimit: n.live.Load().Limits.HalfOpen, shedding: n.pressure.now().ShedBelow() > access.None}
	s.handshakes, s.sessions, s.budget = c.AllHandshakes()
	for i, dc := range audited {
		s.dialled[i], s.failedDials[i] = c.DialsTo(dc)
	}
	for name, busy := range map[string]func(time.Time) (int, int){policy.RateAccept: n.accepts.Busy, policy.RateFailures: n.failures.Busy} {
		if c.Control(name).Decisions(stats.VerdictAllow, stats.ModeMonitor)+c.Control(name).Decisions(stats.VerdictAllow, stats.ModeEnforce) == 0 {
			continue // a table that nobody was looked up in is not even made
		}
		part, whole := busy(now)
		s.tables[s.tablesKnown] = audit.Fill{Name: "table of " + name, Share: audit.Share{Part: int64(part), Whole: int64(whole)}}
		s.tablesKnown++
	}
	return s
}

// watchLoad samples until ctx ends.
func (n *Node) watchLoad(ctx context.Context) {
	n.load24.add(n.sample(time.Now()))
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			n.load24.add(n.sample(now))
		}
	}
}

// auditLoad is the last day with this moment, so that an audit sees what happened since
// the last sample.
func (n *Node) auditLoad(context.Context) (*audit.LoadFacts, error) {
	now := time.Now()
	n.load24.mu.Lock()
	watched := len(n.load24.samples) > 0
	n.load24.mu.Unlock()
	if !watched {
		return nil, errors.New("the node does not run yet")
	}
	return n.load24.with(n.sample(now)).facts(now), nil
}

// with is a copy that has one sample more.
func (w *loadWatch) with(s sample) *loadWatch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &loadWatch{samples: append(w.ordered(), s)}
}

// lookup asks the name server, unless the host is an address.
func (n *Node) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return lookupHost(ctx, host, n.options.Lookup)
}

func (n *Node) auditCounts() map[string]int {
	counts, _ := n.plane.AuditCounts()
	return counts
}

func (n *Node) lastAudit() time.Time {
	_, last := n.plane.AuditCounts()
	return last
}
