package admin

import (
	"context"
	"strconv"
	"time"

	"mtguard/control"
)

// AuditBody says what to audit.
type AuditBody struct {
	Only    []string `json:"only,omitempty" maxItems:"64" doc:"ids of checks (keys.expired) and names of groups (keys, access, dos, policy, host); left out: all"`
	Profile string   `json:"profile,omitempty" enum:"baseline,host" doc:"host: only what can be asked of a machine without a node; left out: baseline, which is all"`
}

// SayBody is what somebody says of a finding.
type SayBody struct {
	Until time.Time `json:"until" doc:"then the finding is open again"`
}

// AuditScheduleBody sets when audits run by themselves.
type AuditScheduleBody struct {
	Every control.Duration `json:"every" doc:"1h to a year; 0s: never"`
}

type runAuditInput struct{ Body AuditBody }

type auditOutput struct{ Body control.AuditResult }

func (s *server) runAudit(ctx context.Context, in *runAuditInput) (*auditOutput, error) {
	result, err := s.plane.Audit(ctx, actor(ctx), control.AuditRequest{Only: in.Body.Only, Profile: in.Body.Profile})
	return &auditOutput{result}, err
}

type auditsInput struct {
	Limit  int   `query:"limit" minimum:"1" maximum:"100" default:"50" doc:"how many at most"`
	Cursor int64 `query:"cursor" minimum:"0" doc:"next_cursor of the page before: only audits before this one"`
}

func (s *server) listAudits(ctx context.Context, in *auditsInput) (*page[control.AuditInfo], error) {
	audits, err := s.plane.Audits(ctx, in.Cursor, in.Limit)
	next := ""
	if n := len(audits); n > 0 && n == in.Limit && audits[n-1].Number > 1 {
		next = strconv.FormatInt(audits[n-1].Number, 10)
	}
	return listed(audits, next, err)
}

type auditDiffInput struct {
	From int64 `query:"from" minimum:"0" doc:"number of an audit; left out: the one before to"`
	To   int64 `query:"to" minimum:"0" doc:"number of an audit; left out: the newest"`
}

func (s *server) diffAudits(ctx context.Context, in *auditDiffInput) (*page[control.AuditDiff], error) {
	items, err := s.plane.AuditDiff(ctx, in.From, in.To)
	return listed(items, "", err)
}

type auditScheduleOutput struct{ Body control.AuditSchedule }

func (s *server) getAuditSchedule(ctx context.Context, _ *struct{}) (*auditScheduleOutput, error) {
	schedule, err := s.plane.AuditSchedule(ctx)
	return &auditScheduleOutput{schedule}, err
}

type setAuditScheduleInput struct {
	ChangeInput
	Body AuditScheduleBody
}

// setAuditSchedule takes no revision: it says all that the schedule is.
func (s *server) setAuditSchedule(ctx context.Context, in *setAuditScheduleInput) (*changed, error) {
	return s.change(ctx, control.SetAuditSchedule{Every: in.Body.Every}, &in.ChangeInput)
}

type findingsInput struct {
	ListInput
	State    string `query:"state" enum:"new,open,acknowledged,accepted,fixed" doc:"only those in it; left out: all that are not fixed"`
	Check    string `query:"check" maxLength:"64" doc:"only those of a check or a group"`
	Severity string `query:"severity" enum:"low,medium,high,critical" doc:"only those of it or worse"`
	All      bool   `query:"all" doc:"the fixed ones too"`
}

func (s *server) listFindings(ctx context.Context, in *findingsInput) (*page[control.FindingInfo], error) {
	return listed(s.plane.Findings(ctx, control.FindingFilter{State: in.State, Check: in.Check, Least: in.Severity, All: in.All, After: in.Cursor, Limit: in.Limit}))
}

// FindingPath names a finding in a path.
type FindingPath struct {
	ID string `path:"id" minLength:"1" maxLength:"64"`
}

type findingOutput struct{ Body control.FindingInfo }

func (s *server) getFinding(ctx context.Context, in *FindingPath) (*findingOutput, error) {
	info, err := s.plane.Finding(ctx, in.ID)
	return &findingOutput{info}, err
}

type sayInput struct {
	FindingPath
	ChangeInput
	Body SayBody
}

func (s *server) ackFinding(ctx context.Context, in *sayInput) (*changed, error) {
	return s.change(ctx, control.AckFinding{ID: in.ID, Until: in.Body.Until}, &in.ChangeInput)
}

func (s *server) acceptFinding(ctx context.Context, in *sayInput) (*changed, error) {
	return s.change(ctx, control.AcceptFinding{ID: in.ID, Until: in.Body.Until}, &in.ChangeInput)
}
