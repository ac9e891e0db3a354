package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
)

// AuditRow is a row of the audit log for people and programs.
type AuditRow struct {
	Seq     int64             `json:"seq"`
	Time    time.Time         `json:"time"`
	Actor   string            `json:"actor"`
	Action  string            `json:"action"`
	Object  string            `json:"object,omitempty"`
	Outcome string            `json:"outcome" doc:"done, refused or failed"`
	Reason  string            `json:"reason,omitempty"`
	Details map[string]string `json:"details,omitempty"`
}

// AuditReport is what a verification of the audit log found.
type AuditReport struct {
	OK          bool     `json:"ok"`
	Rows        int64    `json:"rows" doc:"whose chain is whole"`
	Witnessed   int64    `json:"witnessed" doc:"rows that a signed checkpoint covers"`
	Checkpoints int      `json:"checkpoints" doc:"that agree"`
	Problem     string   `json:"problem,omitempty" doc:"the first that was found"`
	Row         int64    `json:"row,omitempty" doc:"where it was found"`
	Refused     []string `json:"refused,omitempty" doc:"checkpoints that prove nothing, and why"`
	Backwards   int64    `json:"backwards,omitempty" doc:"rows older than the one before: the clock was set back"`
}

// signedState is what the last checkpoint was.
type signedState struct {
	rows int64
	at   time.Time
}

// checkpoint signs the audit log when enough rows are new, or now.
func (p *Plane) checkpoint(ctx context.Context, now bool) error {
	p.signing.Lock()
	defer p.signing.Unlock()
	at := p.parts.Now()
	due := now || at.Sub(p.signed.at) >= checkpointEvery || at.Before(p.signed.at)
	var state auditlog.State
	err := p.view(ctx, func(tx *store.Tx) (err error) {
		state, err = tx.AuditState()
		return err
	})
	if err != nil || state.Rows() == p.signed.rows || !due && state.Rows()-p.signed.rows < checkpointRows {
		return err
	}
	// Only what is durable is signed: this state was committed.
	signed, err := auditlog.Sign(state, p.signer)
	if err != nil {
		return err
	}
	_, err = p.store.Update(ctx, func(tx *store.Tx) error { return tx.PutCheckpoint(state.Rows(), signed) })
	if err == nil {
		p.signed = signedState{rows: state.Rows(), at: at}
	}
	return err
}

// AuditKey is the public key that the log's checkpoints verify with: a line of
// text, no secret.
func (p *Plane) AuditKey(context.Context) (string, error) { return p.origin, nil }

// AuditVerifier is the public key of a store's audit log.
func AuditVerifier(tx *store.Tx) (note.Verifier, error) {
	text, err := tx.Setting(settingVerifier)
	if err != nil {
		return nil, fmt.Errorf("public key of the audit log: %w", err)
	}
	return note.NewVerifier(string(text))
}

// AuditTail returns n rows, oldest first, that end before the row before, or at
// the end of the log when before is 0.
func (p *Plane) AuditTail(ctx context.Context, by Actor, n int, before int64) ([]AuditRow, error) {
	if err := may(by, access.Admin, "read the audit log"); err != nil {
		return nil, err
	}
	if n < 1 || n > 1000 {
		return nil, invalid("limit", "1 to 1000 rows can be read at once")
	}
	var rows []AuditRow
	err := p.view(ctx, func(tx *store.Tx) error {
		state, err := tx.AuditState()
		if err != nil {
			return err
		}
		to := state.Rows()
		if before > 0 && before-1 < to {
			to = before - 1
		}
		for row, err := range tx.AuditRows(max(1, to-int64(n)+1), to) {
			if err != nil {
				return err
			}
			e, err := row.Entry()
			if err != nil {
				return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
			}
			rows = append(rows, auditRow(e))
		}
		return nil
	})
	return rows, explain(err)
}

func auditRow(e auditlog.Entry) AuditRow {
	r := AuditRow{Seq: e.Seq, Time: e.Time, Actor: e.Actor, Action: e.Action, Object: e.Object, Outcome: e.Outcome.String(), Reason: e.Reason}
	if len(e.Details) > 0 {
		r.Details = make(map[string]string, len(e.Details))
		for _, d := range e.Details {
			r.Details[d.Key] = d.Value
		}
	}
	return r
}

// AuditVerify reads the whole log and holds it against its chain, its
// checkpoints and the sealed state. A log that does not hold is a report, no
// error.
func (p *Plane) AuditVerify(ctx context.Context, by Actor) (AuditReport, error) {
	if err := may(by, access.ReadOnly, "verify the audit log"); err != nil {
		return AuditReport{}, err
	}
	verifier, err := note.NewVerifier(p.origin)
	if err != nil {
		return AuditReport{}, err
	}
	var report auditlog.Report
	err = p.view(ctx, func(tx *store.Tx) error {
		evidence := auditlog.Evidence{Keys: []note.Verifier{verifier}}
		state, err := tx.AuditState()
		if err == nil {
			evidence.Head = &state
		} else if !errors.Is(err, store.ErrCorrupt) {
			return err
		}
		if evidence.Checkpoints, err = tx.Checkpoints(); err != nil {
			return err
		}
		report = auditlog.Verify(allRows(tx), evidence)
		if evidence.Head == nil && report.Bad == nil {
			report.Bad = &auditlog.Problem{Kind: auditlog.Unreadable, Row: report.Intact, Last: report.Intact, Err: errors.New("the sealed state of the log is damaged")}
		}
		return nil
	})
	if err != nil {
		return AuditReport{}, explain(err)
	}
	return reportOf(report), nil
}

func allRows(tx *store.Tx) iter.Seq2[auditlog.Row, error] { return tx.AuditRows(1, auditlog.MaxRows) }

func reportOf(r auditlog.Report) AuditReport {
	out := AuditReport{OK: r.Err() == nil, Rows: r.Intact, Witnessed: r.Witnessed, Checkpoints: r.Checkpoints, Backwards: r.Backwards}
	if r.Bad != nil {
		out.Problem, out.Row = r.Bad.Error(), r.Bad.Row
	}
	for _, err := range r.Refused {
		out.Refused = append(out.Refused, err.Error())
	}
	return out
}

// AuditExport writes the whole log with its checkpoints, in the form that
// auditlog.VerifyExport checks with AuditKey alone. It signs first, so that every
// row in it is covered.
func (p *Plane) AuditExport(ctx context.Context, by Actor, w io.Writer) error {
	if err := may(by, access.Admin, "export the audit log"); err != nil {
		return err
	}
	if err := p.note(ctx, by, "auditlog.export", ""); err != nil {
		return err
	}
	if err := p.checkpoint(ctx, true); err != nil {
		return explain(err)
	}
	var state auditlog.State
	err := p.view(ctx, func(tx *store.Tx) (err error) {
		state, err = tx.AuditState()
		return err
	})
	if err != nil {
		return explain(err)
	}
	// Rows and checkpoints are not sealed: whoever reads slowly holds nobody up.
	return explain(p.store.View(ctx, func(tx *store.Tx) error {
		checkpoints, err := tx.Checkpoints()
		if err != nil {
			return err
		}
		return auditlog.Export(w, tx.AuditRows(1, state.Rows()), checkpoints)
	}))
}

// may refuses an actor below a level.
func may(by Actor, least access.Level, what string) error {
	if by.Level >= least {
		return nil
	}
	return &Error{Kind: Denied, Text: fmt.Sprintf("to %s needs the level %v, and %s has %v", what, least, by.Name, by.Level)}
}
