package control

import (
	"context"
	"sync"
	"time"

	"mtguard/control/audit"
	"mtguard/control/store"
	"mtguard/control/threat"
	"mtguard/security/access"
	"mtguard/security/aead"
	"mtguard/security/keys"
	"mtguard/telemetry/stats"
)

// tally counts what the plane does. Its labels are from closed sets.
type tally struct {
	mu sync.Mutex
	n  map[[4]string]float64 // metric and up to three label values
}

func (t *tally) add(n float64, metric string, labels ...string) {
	key := [4]string{metric}
	copy(key[1:], labels)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[[4]string]float64)
	}
	t.n[key] += n
}

func (t *tally) get(metric string, labels ...string) float64 {
	key := [4]string{metric}
	copy(key[1:], labels)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[key]
}

// Names of what is tallied.
const (
	incidentsMetric = "incidents_total"
	rotationsMetric = "key_rotations_total"
	cryptoMetric    = "crypto_operations_total"
	cryptoBytes     = "crypto_bytes_total"
)

func resultText(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}

// sealed counts one blob that was sealed or opened.
func (p *Plane) sealed(suite, op string, bytes int, err error) {
	p.tally.add(1, cryptoMetric, suite, op, resultText(err))
	if err == nil {
		p.tally.add(float64(bytes), cryptoBytes, suite, op)
	}
}

// suiteOf is the suite that a blob says it was sealed with, which it may say falsely.
func suiteOf(blob []byte) string {
	if len(blob) > 1 && aead.Suite(blob[1]).Valid() { // behind the version
		return aead.Suite(blob[1]).String()
	}
	return "unknown"
}

// rotated counts what a change has done to secrets.
func (p *Plane) rotated(c Change, o Options, err error) {
	if o.DryRun {
		return
	}
	switch c.(type) {
	case RotateKeys:
		p.tally.add(1, rotationsMetric, "operator", resultText(err))
	case sweepKeys:
		p.tally.add(1, rotationsMetric, "schedule", resultText(err))
	}
}

// scrapePatience bounds what a scrape may wait for the store.
const scrapePatience = time.Second

// Families are the metrics of the plane.
func (p *Plane) Families() []stats.Family {
	return []stats.Family{
		{Name: "incidents_open", Help: "Incidents that nobody has closed.", Labels: []string{"severity"}, Collect: p.collectIncidents},
		{
			Name: incidentsMetric, Help: "Incidents that began.", Labels: []string{"kind", "severity"}, Counter: true,
			Collect: func(emit func(float64, ...string)) {
				for _, kind := range threat.Names() {
					for s := threat.Low; s <= threat.High; s++ {
						emit(p.tally.get(incidentsMetric, kind, s.String()), kind, s.String())
					}
				}
			},
		},
		{Name: "blocks_active", Help: "Rules and entries of lists that shut addresses out.", Labels: []string{"source"}, Collect: p.collectBlocks},
		{Name: "secrets", Help: "Users' secrets that are not erased.", Labels: []string{"state"}, Collect: func(emit func(float64, ...string)) {
			count, _ := p.secretStates()
			byState(count, emit)
		}},
		{Name: "secret_references", Help: "Sessions and handshakes that hold a secret.", Labels: []string{"state"}, Collect: func(emit func(float64, ...string)) {
			_, references := p.secretStates()
			byState(references, emit)
		}},
		{Name: "secrets_overdue", Help: "Active secrets that the schedule should have replaced a day ago.", Collect: func(emit func(float64, ...string)) {
			emit(float64(p.Health().KeysOverdue))
		}},
		{
			Name: rotationsMetric, Help: "Rotations by an operator, and passes of the schedule over secrets that were due.", Labels: []string{"trigger", "result"}, Counter: true,
			Collect: func(emit func(float64, ...string)) {
				for _, trigger := range []string{"operator", "schedule"} {
					for _, result := range []string{"ok", "error"} {
						emit(p.tally.get(rotationsMetric, trigger, result), trigger, result)
					}
				}
			},
		},
		{Name: cryptoMetric, Help: "Blobs sealed and opened for operators.", Labels: []string{"suite", "op", "result"}, Counter: true, Collect: p.collectCrypto},
		{
			Name: cryptoBytes, Help: "Bytes of plaintext that were sealed and opened for operators.", Labels: []string{"suite", "op"}, Counter: true,
			Collect: func(emit func(float64, ...string)) {
				for _, suite := range aead.Suites() {
					for _, op := range []string{"seal", "open"} {
						emit(p.tally.get(cryptoBytes, suite.String(), op), suite.String(), op)
					}
				}
			},
		},
		{Name: "audit_score_ratio", Help: "The posture of the node as audits see it, from 0 to 1.", Collect: func(emit func(float64, ...string)) {
			if score, ok := p.Posture(); ok {
				emit(float64(score) / 100)
			}
		}},
		{Name: "glass_broken", Help: "1 while the controls are in monitor by break-glass.", Collect: func(emit func(float64, ...string)) {
			if p.parts.Now().Before(p.Health().Glass) {
				emit(1)
				return
			}
			emit(0)
		}},
	}
}

func byState(values map[keys.State]int, emit func(float64, ...string)) {
	for s := keys.Pending; s <= keys.Revoked; s++ {
		emit(float64(values[s]), s.String())
	}
}

// Posture is the score of what audits found, from 0 to 100; ok is false before the first audit.
func (p *Plane) Posture() (score int, ok bool) {
	a, now := &p.audits, p.parts.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.good.IsZero() && len(a.live) == 0 {
		return 0, false
	}
	score, _, _ = audit.Posture(a.live, now)
	return score, true
}

// IncidentsOpen counts the incidents that nobody has closed, by severity.
func (p *Plane) IncidentsOpen(ctx context.Context) (count map[string]int, err error) {
	err = p.view(ctx, func(tx *store.Tx) error {
		count, err = tx.CountIncidents()
		return err
	})
	return count, err
}

func (p *Plane) collectIncidents(emit func(float64, ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	count, err := p.IncidentsOpen(ctx)
	if err != nil {
		return // no value is better than a wrong one
	}
	for s := threat.Low; s <= threat.High; s++ {
		emit(float64(count[s.String()]), s.String())
	}
}

func (p *Plane) collectBlocks(emit func(float64, ...string)) {
	now := p.parts.Now()
	count := map[string]int64{"auto": 0, "manual": 0, "feed": 0}
	p.mu.Lock()
	for _, r := range p.rules {
		if r.Level != access.None || !r.Removed.IsZero() || now.Before(r.From) || !r.Until.IsZero() && !now.Before(r.Until) {
			continue
		}
		if r.Source == store.FromAutomatic {
			count["auto"]++
		} else {
			count["manual"]++
		}
	}
	for _, l := range p.listRows {
		if l.Removed.IsZero() && l.Level == access.None {
			count["feed"] += l.Entries
		}
	}
	p.mu.Unlock()
	for source, n := range count {
		emit(float64(n), source)
	}
}

// secretStates counts the secrets of users that are there, and who holds them, by state.
func (p *Plane) secretStates() (count, references map[keys.State]int) {
	count, references = make(map[keys.State]int), make(map[keys.State]int)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.names {
		for i := range u.keys {
			k := &u.keys[i]
			if k.Erased {
				continue
			}
			count[k.State]++
			if live := p.ring.Key(k.ID); live != nil {
				references[k.State] += live.Leases()
			}
		}
	}
	return count, references
}

func (p *Plane) collectCrypto(emit func(float64, ...string)) {
	suites := []string{"unknown"}
	for _, s := range aead.Suites() {
		suites = append(suites, s.String())
	}
	for _, suite := range suites {
		for _, op := range []string{"seal", "open"} {
			for _, result := range []string{"ok", "error"} {
				if n := p.tally.get(cryptoMetric, suite, op, result); suite != "unknown" || op == "open" && result == "error" {
					emit(n, suite, op, result)
				}
			}
		}
	}
}
