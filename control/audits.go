package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mtguard/control/audit"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
)

// AuditRequest says what to audit. Only are IDs of checks and names of groups; empty
// means all. Profile is "baseline" (all, also "") or "host".
type AuditRequest struct {
	Only    []string
	Profile string
}

// AuditInfo is one audit.
type AuditInfo struct {
	Number     int64          `json:"number"`
	Started    time.Time      `json:"started"`
	TookMillis int64          `json:"took_ms"`
	Actor      string         `json:"actor"`
	Partial    bool           `json:"partial,omitempty" doc:"not all checks were asked"`
	Asked      int            `json:"asked" doc:"checks"`
	Score      int            `json:"score" minimum:"0" maximum:"100" doc:"of the node after this audit; 100: nothing is known to be wrong"`
	Problem    string         `json:"problem,omitempty" doc:"why it did not come to its end"`
	Counts     map[string]int `json:"counts" doc:"findings that were there, by severity, and unknown"`
}

// AuditResult is what an audit found: its own findings, and the posture of the node
// with all that is known.
type AuditResult struct {
	AuditInfo
	Accepted int            `json:"accepted" doc:"findings whose risk somebody accepted; they do not count"`
	Reasons  []audit.Reason `json:"reasons" nullable:"false" doc:"why the score is not 100, the dearest first"`
	Findings []FindingInfo  `json:"findings" nullable:"false" doc:"the worst first"`
}

// FindingInfo is a finding as commands and the API show it.
type FindingInfo struct {
	audit.Finding
	State     string     `json:"state" enum:"new,open,acknowledged,accepted,fixed"`
	FirstSeen time.Time  `json:"first_seen"`
	LastSeen  time.Time  `json:"last_seen"`
	Fixed     *time.Time `json:"fixed,omitempty"`
	Returned  int        `json:"returned,omitempty" doc:"how often it came back after it was fixed"`
	Until     *time.Time `json:"until,omitempty" doc:"of an acknowledged or accepted one: when it is open again"`
	Reason    string     `json:"reason,omitempty"`
	By        string     `json:"by,omitempty" doc:"who acknowledged or accepted it"`
}

// AuditDiff is one finding that differs between two audits.
type AuditDiff struct {
	Change  string      `json:"change" enum:"appeared,gone,worse,better"`
	Was     string      `json:"was,omitempty" doc:"severity before"`
	Is      string      `json:"is,omitempty" doc:"severity since"`
	Finding FindingInfo `json:"finding" doc:"as it is now; of one that is long gone only the id"`
}

// AuditSchedule is when audits run by themselves.
type AuditSchedule struct {
	Every Duration   `json:"every" doc:"0s: never"`
	Next  *time.Time `json:"next,omitempty"`
	Last  *time.Time `json:"last,omitempty" doc:"the last audit of all checks that came to its end"`
}

// AuditBrief is what the status says of audits.
type AuditBrief struct {
	Last    *time.Time `json:"last,omitempty" doc:"of all checks"`
	Score   int        `json:"score"`
	Waiting int        `json:"waiting" doc:"findings that nobody has acknowledged or accepted"`
	High    int        `json:"high" doc:"of these, of the severity high or critical"`
	Next    *time.Time `json:"next,omitempty"`
}

// auditing is what the plane keeps of audits in memory.
type auditing struct {
	turn chan struct{} // held by the one that runs

	mu    sync.Mutex // guards what follows
	every Duration
	last  audit.Past       // of all checks
	good  time.Time        // the last that came to its end; zero: none
	score int              // after the last
	live  []store.Finding  // those that are not fixed
	since map[string]since // of each control, in which mode it is since when
}

const (
	settingAudits   = "audit.schedule"
	settingControls = "audit.controls"
)

// readAudits reads what is known of audits at start.
func (p *Plane) readAudits(ctx context.Context) error {
	a := &p.audits
	a.turn = make(chan struct{}, 1)
	a.every = Duration(audit.Usual)
	return p.view(ctx, func(tx *store.Tx) error {
		if err := optionalSetting(tx, settingAudits, &a.every); err != nil {
			return err
		}
		if err := optionalSetting(tx, settingControls, &a.since); err != nil {
			return err
		}
		last, err := tx.LastAuditRun(false)
		if err == nil {
			a.last, a.score = audit.Past{Started: last.Started, Failed: last.Problem != ""}, last.Score
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		good, err := tx.LastAuditRun(true)
		if err == nil {
			a.good, a.score = good.Started, good.Score
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		for f, err := range tx.Findings() {
			if err != nil {
				return err
			}
			if f.State != audit.StateFixed {
				a.live = append(a.live, f)
			}
		}
		return nil
	})
}

// Audit runs checks and writes down what they found. Only one runs at a time: another
// waits for its turn until ctx ends.
func (p *Plane) Audit(ctx context.Context, by Actor, r AuditRequest) (AuditResult, error) {
	if err := may(by, access.Admin, "audit the node"); err != nil {
		return AuditResult{}, err
	}
	auditor, s := &audit.Auditor{View: &auditView{p: p}}, audit.Selection{Only: r.Only, Profile: audit.Profile(r.Profile)}
	if _, err := auditor.Select(s); err != nil {
		return AuditResult{}, invalid("only", "%v: mtguard audit checks has them all", err)
	}
	select {
	case p.audits.turn <- struct{}{}:
		defer func() { <-p.audits.turn }()
	case <-ctx.Done():
		return AuditResult{}, ctx.Err()
	}
	began := time.Now()
	report, err := auditor.Run(ctx, s)
	if err != nil {
		return AuditResult{}, p.auditFailed(ctx, by, s, err)
	}
	report.Took = time.Since(began)
	result, err := p.recordAudit(ctx, by, s, report)
	if err != nil {
		return AuditResult{}, p.auditFailed(ctx, by, s, explain(err))
	}
	return result, nil
}

// recordAudit writes down a report in one transaction.
func (p *Plane) recordAudit(ctx context.Context, by Actor, s audit.Selection, report audit.Report) (result AuditResult, err error) {
	run := store.AuditRun{Started: report.Started, Took: report.Took, Actor: auditlog.Clip(by.Name, auditlog.MaxActor), Partial: s.Partial(), Asked: len(report.Asked)}
	if n := len(report.Unfinished); n > 0 {
		run.Problem = fmt.Sprintf("%d checks were not made within %v, from %s on", n, audit.Deadline, report.Unfinished[0])
	}
	var live []store.Finding
	_, err = p.store.Update(ctx, func(tx *store.Tx) error {
		known := make(map[string]store.Finding)
		for f, err := range tx.Findings() {
			if err != nil {
				return err
			}
			known[f.ID] = f
		}
		changed := audit.Merge(known, report)
		if err := tx.PutFindings(changed); err != nil {
			return err
		}
		for _, f := range changed {
			known[f.ID] = f
		}
		live = stillThere(known)
		result = AuditResult{Findings: p.found(report, known)}
		run.Score, result.Reasons, result.Accepted = audit.Posture(live, report.Started)
		if run.Found, err = p.auditRecord(report.Asked, report.Unfinished, live); err != nil {
			return err
		}
		if err := tx.AddAuditRun(&run); err != nil {
			return err
		}
		if err := p.keepControls(tx); err != nil {
			return err
		}
		_, err := tx.Audit(auditlog.Entry{Time: p.parts.Now(), Actor: run.Actor, Action: "audit.run", Object: auditlog.Clip(strings.Join(s.Only, " "), auditlog.MaxObject),
			Outcome: auditlog.Done, Details: auditDetails(strconv.FormatInt(run.Number, 10), strconv.Itoa(run.Score), run.Found)})
		return err
	})
	if err != nil {
		return AuditResult{}, err
	}
	result.AuditInfo = auditInfo(run)
	a := &p.audits
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live, a.score = live, run.Score
	if !run.Partial {
		a.last = audit.Past{Started: run.Started, Failed: run.Problem != ""}
		if !a.last.Failed {
			a.good = run.Started
		}
	}
	return result, nil
}

// found are a report's findings as they are known now; of those beyond the bound of a
// check only one that tells how many.
func (p *Plane) found(report audit.Report, known map[string]store.Finding) []FindingInfo {
	items := make([]FindingInfo, 0, len(report.Findings))
	for _, f := range known {
		if f.State != audit.StateFixed && f.LastSeen.Equal(report.Started) && slices.Contains(report.Asked, f.Check) {
			items = append(items, findingInfo(f, report.Started))
		}
	}
	slices.SortFunc(items, worstShown)
	return items
}

func worstShown(x, y FindingInfo) int {
	return cmp.Or(cmp.Compare(y.Severity, x.Severity), cmp.Compare(x.Check, y.Check), cmp.Compare(x.Subject, y.Subject))
}

func worstStored(x, y store.Finding) int {
	return cmp.Or(cmp.Compare(severityOf(y), severityOf(x)), cmp.Compare(x.Check, y.Check), cmp.Compare(x.Subject, y.Subject))
}

// severityOf is a row's; what is none counts as low.
func severityOf(f store.Finding) audit.Severity {
	s, err := audit.ParseSeverity(f.Severity)
	if err != nil {
		return audit.Low
	}
	return s
}

// auditFailed writes down that an audit did not come to its end, and returns why.
func (p *Plane) auditFailed(ctx context.Context, by Actor, s audit.Selection, why error) error {
	now := p.parts.Now()
	p.audits.mu.Lock()
	score := p.audits.score
	if !s.Partial() {
		p.audits.last = audit.Past{Started: now, Failed: true}
	}
	p.audits.mu.Unlock()
	run := store.AuditRun{Started: now, Actor: auditlog.Clip(by.Name, auditlog.MaxActor), Partial: s.Partial(), Score: score, Problem: auditlog.Clip(why.Error(), 1000)}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := p.store.Update(ctx, func(tx *store.Tx) error { return tx.AddAuditRun(&run) })
	p.report("audit", err)
	return why
}

// RunAudits audits by the schedule until ctx ends.
func (p *Plane) RunAudits(ctx context.Context) {
	for {
		wait := auditLook
		if next := p.nextAudit(); !next.IsZero() {
			wait = min(max(next.Sub(p.parts.Now()), auditSoonest), auditLook)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		p.report("audit", p.auditIfDue(ctx))
	}
}

// How often it is looked whether an audit is due: the clock may be set, and the
// schedule too.
const (
	auditLook    = time.Minute
	auditSoonest = 50 * time.Millisecond
)

func (p *Plane) auditIfDue(ctx context.Context) error {
	next := p.nextAudit()
	if next.IsZero() || p.parts.Now().Before(next) {
		return nil
	}
	result, err := p.Audit(ctx, scheduleActor, AuditRequest{})
	if err == nil {
		p.log.Info("audit", "score", result.Score, "findings", len(result.Findings), "took", time.Duration(result.TookMillis)*time.Millisecond)
	}
	return err
}

// nextAudit is when the next one is due, zero for never.
func (p *Plane) nextAudit() time.Time {
	a := &p.audits
	a.mu.Lock()
	defer a.mu.Unlock()
	return audit.Due(a.last, time.Duration(a.every), p.started.Add(p.parts.AuditAfter), p.parts.Now())
}

// auditBrief is for the status; nil while audits have nothing to say.
func (p *Plane) auditBrief() *AuditBrief {
	next := maybe(p.nextAudit())
	a, now := &p.audits, p.parts.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.good.IsZero() && len(a.live) == 0 {
		return nil
	}
	b := &AuditBrief{Last: maybe(a.good), Next: next}
	b.Score, _, _ = audit.Posture(a.live, now)
	for _, f := range a.live {
		if audit.Waits(f, now) {
			b.Waiting++
			if severityOf(f) >= audit.High {
				b.High++
			}
		}
	}
	return b
}

// AuditCounts is how many findings there are by severity, those that could not be made
// as "unknown" and those whose risk is accepted left out, and when the last audit came
// to its end, zero for never. It is for metrics and reads nothing but memory.
func (p *Plane) AuditCounts() (counts map[string]int, last time.Time) {
	a, now := &p.audits, p.parts.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	counts = noFindings()
	for _, f := range a.live {
		if audit.StateAt(f, now) != audit.StateAccepted {
			counts[countedAs(f)]++
		}
	}
	return counts, a.good
}

const unknownCount = "unknown"

func noFindings() map[string]int {
	counts := map[string]int{unknownCount: 0}
	for _, s := range audit.Severities() {
		counts[s.String()] = 0
	}
	return counts
}

func countedAs(f store.Finding) string {
	if f.Unknown {
		return unknownCount
	}
	return severityOf(f).String()
}

func auditInfo(run store.AuditRun) AuditInfo {
	info := AuditInfo{Number: run.Number, Started: run.Started.UTC(), TookMillis: run.Took.Milliseconds(), Actor: run.Actor, Partial: run.Partial, Asked: run.Asked,
		Score: run.Score, Problem: run.Problem, Counts: noFindings()}
	for severity := range maps.Values(parseFound(run.Found)) {
		info.Counts[severity]++
	}
	return info
}
