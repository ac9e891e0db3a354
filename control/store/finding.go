package store

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// Bounds of what audits leave behind. Beyond KeepFixed the findings that were fixed
// first go, beyond KeepAudits the oldest audits.
const (
	MaxFindings  = 10_000 // that are not fixed
	KeepFixed    = 2000
	KeepAudits   = 400 // a year of days
	MaxAudits    = 100 // that AuditRuns returns at once
	MaxFoundList = 64 << 10
)

// Finding is one thing that audits found, however often. It raises no Revision.
type Finding struct {
	ID       string // of the check and the subject
	Check    string
	Group    string
	Title    string
	Subject  string
	Severity string
	Unknown  bool // the check could not be made
	Evidence string
	Remedy   string
	State    string // new, open, acknowledged, accepted or fixed

	FirstSeen, LastSeen time.Time
	Fixed               time.Time // zero: it is there
	Returned            int       // how often it came back after it was fixed
	// What somebody said about it, who, and until when that holds.
	Until         time.Time
	Reason, Actor string
}

var findingRecord = record(text("id"), text("check_id"), text("grp"), text("title"), text("subject"), text("severity"), num("unknown"), text("evidence"),
	text("remedy"), text("state"), num("first_seen"), num("last_seen"), num("fixed"), num("returned"), num("until"), text("reason"), text("actor"))

func scanFinding(r scanner, x *Finding) (string, error) {
	f, err := scanFields(r)
	if err != nil {
		return "", err
	}
	x.ID, x.Check, x.Group, x.Title, x.Subject, x.Severity = f.text(), f.word(), f.word(), f.text(), f.text(), f.word()
	x.Unknown, x.Evidence, x.Remedy, x.State = f.bool(), f.text(), f.text(), f.word()
	x.FirstSeen, x.LastSeen, x.Fixed = f.time(), f.time(), f.time()
	x.Returned, x.Until, x.Reason, x.Actor = int(f.number()), f.time(), f.text(), f.text()
	return x.ID, f.end("findings", x.ID)
}

// Findings gives all findings in the order of their IDs, fixed ones too.
func (tx *Tx) Findings() iter.Seq2[Finding, error] {
	return list(tx, `SELECT `+findingRecord+` FROM findings WHERE id > ? ORDER BY id LIMIT ?`, "", scanFinding)
}

// Finding returns the finding of that ID.
func (tx *Tx) Finding(id string) (Finding, error) {
	f, err := one(tx, `SELECT `+findingRecord+` FROM findings WHERE id = ?`, id, scanFinding)
	if err != nil {
		return Finding{}, fmt.Errorf("finding %q: %w", id, err)
	}
	return f, nil
}

// PutFindings adds findings, or replaces those of their IDs. When more than MaxFindings
// are then not fixed it is ErrTooMany, and the transaction is to be given up.
func (tx *Tx) PutFindings(list []Finding) error {
	for i := range list {
		if err := tx.putFinding(&list[i]); err != nil {
			return err
		}
	}
	var open int64
	if err := tx.row(`SELECT count(*) FROM findings WHERE fixed = 0`, nil, &open); err != nil {
		return err
	}
	if open > MaxFindings {
		return fmt.Errorf("findings: %w: %d of them", ErrTooMany, open)
	}
	return nil
}

func (tx *Tx) putFinding(f *Finding) error {
	if f.ID == "" || f.Check == "" || f.State == "" {
		return errors.New("finding has no ID, check or state")
	}
	if err := plain(MaxText, f.ID, f.Check, f.Group, f.Title, f.Subject, f.Severity, f.Evidence, f.Remedy, f.State, f.Reason, f.Actor); err != nil {
		return fmt.Errorf("finding %.40q: %w", f.ID, err)
	}
	_, err := tx.exec(`INSERT INTO findings (id, check_id, grp, title, subject, severity, unknown, evidence, remedy, state,
		first_seen, last_seen, fixed, returned, until, reason, actor) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET check_id = excluded.check_id, grp = excluded.grp, title = excluded.title, subject = excluded.subject,
		severity = excluded.severity, unknown = excluded.unknown, evidence = excluded.evidence, remedy = excluded.remedy, state = excluded.state,
		first_seen = excluded.first_seen, last_seen = excluded.last_seen, fixed = excluded.fixed, returned = excluded.returned,
		until = excluded.until, reason = excluded.reason, actor = excluded.actor`,
		f.ID, f.Check, f.Group, f.Title, f.Subject, f.Severity, f.Unknown, f.Evidence, f.Remedy, f.State,
		micros(f.FirstSeen), micros(f.LastSeen), micros(f.Fixed), f.Returned, micros(f.Until), f.Reason, f.Actor)
	return err
}

// AuditRun is one audit. Found is JSON that the caller makes.
type AuditRun struct {
	Number  int64 // rising from 1; set by AddAuditRun
	Started time.Time
	Took    time.Duration
	Actor   string
	Partial bool // not all checks were asked
	Asked   int  // checks
	Score   int
	Problem string // why it did not come to its end
	Found   string // what there was then, as the caller writes it; MaxFoundList bytes at most
}

const auditRunColumns = `number, started, took, actor, partial, asked, score, problem, found`

func scanAuditRun(r scanner, a *AuditRun) (int64, error) {
	var started int64
	err := r.Scan(&a.Number, &started, &a.Took, &a.Actor, &a.Partial, &a.Asked, &a.Score, &a.Problem, &a.Found)
	a.Started = instant(started)
	return a.Number, err
}

// AddAuditRun adds an audit, sets its Number, and forgets old audits and findings that
// were fixed long ago. It raises no Revision.
func (tx *Tx) AddAuditRun(a *AuditRun) error {
	if err := errors.Join(plain(MaxFoundList, a.Found), plain(MaxText, a.Actor, a.Problem)); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := tx.usableForChange(); err != nil {
		return err
	}
	var n int64 // the newest stays always, so no number comes twice
	err := tx.row(`INSERT INTO audit_runs (started, took, actor, partial, asked, score, problem, found) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING number`,
		[]any{micros(a.Started), int64(a.Took), a.Actor, a.Partial, a.Asked, a.Score, a.Problem, a.Found}, &n)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM audit_runs WHERE number <= ?`, n-KeepAudits); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM findings WHERE id IN (SELECT id FROM findings WHERE fixed <> 0 ORDER BY fixed DESC, id LIMIT -1 OFFSET ?)`, KeepFixed); err != nil {
		return err
	}
	a.Number = n
	return nil
}

// AuditRun returns the audit of that number; ErrNotFound when there is none, or none
// any more.
func (tx *Tx) AuditRun(number int64) (AuditRun, error) {
	a, err := one(tx, `SELECT `+auditRunColumns+` FROM audit_runs WHERE number = ?`, number, scanAuditRun)
	if err != nil {
		return AuditRun{}, fmt.Errorf("audit %d: %w", number, err)
	}
	return a, nil
}

// AuditRuns returns audits, the newest first: those with a lower Number than before,
// or all when before is 0; at most limit, and at most MaxAudits, which limit 0 means.
func (tx *Tx) AuditRuns(before int64, limit int) ([]AuditRun, error) {
	if limit <= 0 || limit > MaxAudits {
		limit = MaxAudits
	}
	if before <= 0 {
		before = 1<<63 - 1
	}
	var found []AuditRun
	err := tx.rows(`SELECT `+auditRunColumns+` FROM audit_runs WHERE number < ? ORDER BY number DESC LIMIT ?`, func(r scanner) error {
		var a AuditRun
		_, err := scanAuditRun(r, &a)
		found = append(found, a)
		return err
	}, before, limit)
	return found, err
}

// LastAuditRun returns the newest audit that asked all checks; ErrNotFound when there
// is none. With good it is the newest of those that came to their end.
func (tx *Tx) LastAuditRun(good bool) (AuditRun, error) {
	return one(tx, `SELECT `+auditRunColumns+` FROM audit_runs WHERE partial = 0 AND (problem = '' OR ? = 0) ORDER BY number DESC LIMIT 1`, good, scanAuditRun)
}
