package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mtguard/control/alert"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
)

// Alerts is what the control plane shows of alerts: *alert.Manager.
type Alerts interface {
	Report(ctx context.Context) (alert.Report, error)
	Test(ctx context.Context, receiver string) ([]alert.Answer, error)
}

// SilenceAlerts begins a maintenance window: nobody is told of alerts that begin in it.
// Code, unless empty, is the condition it is about.
type SilenceAlerts struct {
	Code string
	For  Duration
}

// EndSilence ends a maintenance window early.
type EndSilence struct{ ID string }

func (SilenceAlerts) action() string { return "alert.silence" }
func (EndSilence) action() string    { return "alert.unsilence" }

func (c SilenceAlerts) object() string {
	if c.Code == "" {
		return "all alerts"
	}
	return "alert " + clean(c.Code)
}
func (c EndSilence) object() string { return "silence " + clean(c.ID) }

func (SilenceAlerts) least() access.Level { return access.Admin }
func (EndSilence) least() access.Level    { return access.Admin }

// maxSilence bounds a maintenance window: one that is forgotten ends.
const maxSilence = 30 * day

func (c SilenceAlerts) apply(x *transaction) error {
	if err := errors.Join(x.requireReason(), x.noObject()); err != nil {
		return err
	}
	if c.For < Duration(time.Minute) || c.For > Duration(maxSilence) {
		return invalid("for", "a maintenance window lasts a minute to 30 days")
	}
	if c.Code != "" && !knownCode(c.Code) {
		return invalid("code", "no condition %q", clean(c.Code))
	}
	until := x.now.Add(time.Duration(c.For))
	id, err := alert.AddSilence(x.tx, alert.Silence{Code: c.Code, From: x.now.UTC(), Until: until.UTC(), Reason: x.o.Reason, By: x.by.Name}, x.now)
	if errors.Is(err, alert.ErrTooManySilences) {
		return refused("mtguard alert unsilence ID", "%v", err)
	}
	if err != nil {
		return err
	}
	x.detail("silence", id)
	x.detail("until", until.UTC().Format(time.RFC3339))
	x.result.Summary = fmt.Sprintf("silence %s: nobody is told of %s until %s", id, c.object(), until.UTC().Format(time.RFC3339))
	return nil
}

func knownCode(code string) bool {
	for _, known := range alert.Codes() {
		if known == code {
			return true
		}
	}
	return false
}

func (c EndSilence) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	err := alert.EndSilence(x.tx, c.ID, x.now)
	if errors.Is(err, store.ErrNotFound) {
		return notFound("silence", clean(c.ID), "mtguard alert list")
	}
	x.result.Summary = "silence " + clean(c.ID) + " is over"
	return err
}

// Alerts returns what fires and what was over, who is told, and what is silenced.
func (p *Plane) Alerts(ctx context.Context) (alert.Report, error) {
	if p.parts.Alerts == nil {
		return alert.Report{}, nil
	}
	r, err := p.parts.Alerts.Report(ctx)
	return r, explain(err)
}

// TestAlerts sends a test to one receiver, or with "" to all, and returns what each said.
// The audit log has who did that.
func (p *Plane) TestAlerts(ctx context.Context, by Actor, receiver string) ([]alert.Answer, error) {
	if p.parts.Alerts == nil {
		return nil, nil
	}
	answers, err := p.parts.Alerts.Test(ctx, receiver)
	if errors.Is(err, alert.ErrNoReceiver) {
		return nil, notFound("receiver", clean(receiver), "mtguard alert list")
	}
	if err != nil {
		return nil, err
	}
	outcome, failed := auditlog.Done, 0
	for _, a := range answers {
		if !a.OK {
			outcome, failed = auditlog.Failed, failed+1
		}
	}
	_, err = p.store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Audit(auditlog.Entry{
			Time: p.parts.Now(), Actor: auditlog.Clip(by.Name, auditlog.MaxActor), Action: "alert.test", Object: auditlog.Clip(clean(receiver), auditlog.MaxObject),
			Outcome: outcome, Details: []auditlog.Detail{{Key: "receivers", Value: fmt.Sprint(len(answers))}, {Key: "failed", Value: fmt.Sprint(failed)}},
		})
		return err
	})
	p.report("audit", err) // a store that takes nothing is a reason to test receivers
	return answers, nil
}
