package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mtguard/control/report"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
)

// ReportQuery asks for a report. Profile is of a compliance report, "" is baseline. The
// period is (Since, Until]; a zero Until is now, a zero Since 30 days before Until.
// Format is md (also ""), html, json or csv.
type ReportQuery struct {
	Kind, Profile string
	Since, Until  time.Time
	Format        string
}

// usualPeriod is how long the period of a report is unless somebody says otherwise.
const usualPeriod = 30 * day

// Report makes a report of what the ledgers keep: the same query gives the same bytes
// as long as they keep it. It changes nothing and carries no seal.
func (p *Plane) Report(ctx context.Context, by Actor, q ReportQuery) ([]byte, error) {
	if err := may(by, access.ReadOnly, "make a report"); err != nil {
		return nil, err
	}
	_, _, body, err := p.makeReport(ctx, q)
	return body, err
}

// SealedReport makes a report as Report does, writes down in the audit log that it was
// made, with the SHA-256 of its bytes, signs the log, and puts the proof into the report.
func (p *Plane) SealedReport(ctx context.Context, by Actor, q ReportQuery) ([]byte, error) {
	if err := may(by, access.ReadOnly, "make a report"); err != nil {
		return nil, err
	}
	r, format, body, err := p.makeReport(ctx, q)
	if err != nil {
		return nil, err
	}
	entry := r.Entry(format, body)
	entry.Actor = auditlog.Clip(by.Name, auditlog.MaxActor)
	entry.Time = p.parts.Now()
	if !entry.Time.After(r.Until) { // it is no part of its own period
		entry.Time = r.Until.Add(1)
	}
	inclusion, err := p.appendAndSign(ctx, entry)
	if err != nil {
		return nil, explain(err)
	}
	return report.Seal(format, body, inclusion)
}

// makeReport makes the report and its bytes.
func (p *Plane) makeReport(ctx context.Context, q ReportQuery) (*report.Report, report.Format, []byte, error) {
	now := p.parts.Now()
	kind, profile, format, err := checkReport(q)
	if err != nil {
		return nil, "", nil, err
	}
	if q.Until.IsZero() {
		q.Until = now.Truncate(time.Microsecond)
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-usualPeriod)
	}
	if err := report.CheckPeriod(q.Since, q.Until, now); err != nil {
		return nil, "", nil, invalid("until", "%v", err)
	}
	facts, err := p.reportFacts(ctx, kind, q.Since.UTC(), q.Until.UTC())
	if err != nil {
		return nil, "", nil, explain(err)
	}
	r, err := report.Compose(kind, profile, facts)
	if err != nil {
		return nil, "", nil, invalid("kind", "%v", err)
	}
	body, err := report.Render(r, format)
	return r, format, body, err
}

func checkReport(q ReportQuery) (kind report.Kind, profile string, format report.Format, err error) {
	kind, profile = report.Kind(q.Kind), q.Profile
	switch kind {
	case report.Compliance:
		if profile == "" {
			profile = report.Profiles()[0]
		}
		if report.Items(profile) == nil {
			return "", "", "", invalid("profile", "there is no profile %q: %s", clean(profile), strings.Join(report.Profiles(), ", "))
		}
	case report.Security, report.Usage:
		if profile != "" {
			return "", "", "", invalid("profile", "only a compliance report has a profile")
		}
	default:
		return "", "", "", invalid("kind", "there is no report %q: compliance, security or usage", clean(q.Kind))
	}
	if q.Format == "" {
		q.Format = string(report.Markdown)
	}
	if format, err = report.ParseFormat(q.Format); err != nil {
		return "", "", "", invalid("format", "%v", err)
	}
	return kind, profile, format, nil
}

// appendAndSign appends one row to the audit log, signs the log as it is with that row
// the last, and returns the proof that the row is in what was signed.
func (p *Plane) appendAndSign(ctx context.Context, e auditlog.Entry) (auditlog.Inclusion, error) {
	p.signing.Lock()
	defer p.signing.Unlock()
	var before, after auditlog.State
	var row auditlog.Row
	_, err := p.store.Update(ctx, func(tx *store.Tx) (err error) {
		if before, err = tx.AuditState(); err != nil {
			return err
		}
		if _, err = tx.Audit(e); err != nil {
			return err
		}
		if after, err = tx.AuditState(); err != nil {
			return err
		}
		// What Append made of the same state and entry is what was appended.
		row, _, err = auditlog.Append(before, e)
		return err
	})
	if err != nil {
		return auditlog.Inclusion{}, err
	}
	// Only what is durable is signed: this state was committed.
	signed, err := auditlog.Sign(after, p.signer)
	if err != nil {
		return auditlog.Inclusion{}, err
	}
	if _, err = p.store.Update(ctx, func(tx *store.Tx) error { return tx.PutCheckpoint(after.Rows(), signed) }); err != nil {
		return auditlog.Inclusion{}, err
	}
	p.signed = signedState{rows: after.Rows(), at: p.parts.Now()}
	in, err := auditlog.Include(before, row, signed)
	if err != nil {
		return in, fmt.Errorf("row %d: %w", after.Rows(), err)
	}
	return in, nil
}
