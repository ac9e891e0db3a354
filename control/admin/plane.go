package admin

import (
	"context"
	"io"

	"mtguard/control"
	"mtguard/control/advisory"
	"mtguard/control/alert"
	"mtguard/control/threat"
	"mtguard/telemetry/history"
	"mtguard/telemetry/live"
	"mtguard/telemetry/stats"
)

// Plane is what the API needs of the control plane: *control.Plane.
type Plane interface {
	Apply(ctx context.Context, by control.Actor, c control.Change, o control.Options) (control.Result, error)
	NoteDenied(ctx context.Context, by control.Actor, operation, why string)

	Status(ctx context.Context) (control.Status, error)
	Users(ctx context.Context, f control.UserFilter) (items []control.UserInfo, next string, err error)
	User(ctx context.Context, name string) (control.UserInfo, error)
	Keys(ctx context.Context, f control.KeyFilter) (items []control.KeyInfo, next string, err error)
	Key(ctx context.Context, id string) (control.KeyInfo, error)
	History(ctx context.Context, f control.HistoryFilter) ([]control.KeyEvent, error)
	Schedule(ctx context.Context) (control.Schedule, error)
	Leaks(ctx context.Context, f control.LeakFilter) (items []control.LeakInfo, next int64, err error)
	Leak(ctx context.Context, name string) (control.LeakReport, error)

	Rules(ctx context.Context, f control.RuleFilter) (items []control.RuleInfo, next string, err error)
	Rule(ctx context.Context, id string) (control.RuleInfo, error)
	Lists(ctx context.Context) ([]control.ListInfo, error)
	Blocked(ctx context.Context, known string) (control.Blocked, error)
	CheckAccess(ctx context.Context, q control.CheckQuery) (control.AccessReport, error)
	CheckLimits(ctx context.Context, q control.LimitQuery) ([]control.LimitInfo, error)

	ThreatStatus(ctx context.Context) (threat.Standing, error)
	ThreatFindings(ctx context.Context, most int) ([]threat.Finding, error)
	Incidents(ctx context.Context, f control.IncidentFilter) (items []control.IncidentInfo, next int64, err error)
	Incident(ctx context.Context, id string) (control.IncidentInfo, error)

	Stats(ctx context.Context, pattern string) ([]stats.Value, error)
	Series(ctx context.Context, q history.Query) ([]history.Series, error)

	Policy(ctx context.Context, revision int64) (control.PolicyInfo, error)
	PolicyHistory(ctx context.Context, before int64, limit int) ([]control.PolicyInfo, error)
	PolicyExplain(ctx context.Context, document string) ([]control.PolicyValue, error)
	Preview(ctx context.Context, q control.PreviewQuery) (control.PreviewReport, error)
	PolicyDiff(ctx context.Context, from, to int64) ([]control.PolicyValue, error)
	Controls(ctx context.Context) ([]control.ControlInfo, error)
	Rollout(ctx context.Context) ([]control.RolloutStep, error)
	Bundle(ctx context.Context) (control.BundleInfo, error)
	Trials(ctx context.Context) ([]control.TrialInfo, error)
	Exceptions(ctx context.Context) ([]control.ExceptionInfo, error)

	Crypto(ctx context.Context) (control.CryptoInfo, error)
	CheckCrypto(ctx context.Context, by control.Actor) (*advisory.Outcome, error)
	Alerts(ctx context.Context) (alert.Report, error)
	TestAlerts(ctx context.Context, by control.Actor, receiver string) ([]alert.Answer, error)

	Events(ctx context.Context, by control.Actor, q live.Query) (*live.View, error)

	Seal(ctx context.Context, by control.Actor, r control.SealRequest) ([]byte, error)
	Open(ctx context.Context, by control.Actor, r control.OpenRequest) ([]byte, error)
	Backup(ctx context.Context, by control.Actor, to control.BackupTarget, w io.Writer) error

	Audit(ctx context.Context, by control.Actor, r control.AuditRequest) (control.AuditResult, error)
	Audits(ctx context.Context, before int64, limit int) ([]control.AuditInfo, error)
	AuditDiff(ctx context.Context, from, to int64) ([]control.AuditDiff, error)
	AuditSchedule(ctx context.Context) (control.AuditSchedule, error)
	Findings(ctx context.Context, f control.FindingFilter) (items []control.FindingInfo, next string, err error)
	Finding(ctx context.Context, id string) (control.FindingInfo, error)

	Tokens(ctx context.Context) ([]control.TokenInfo, error)
	BrowserSessions(ctx context.Context) ([]control.SessionInfo, error)
	Clients(ctx context.Context, f control.ClientFilter) (items []control.ClientInfo, more bool, err error)
	Passkeys(ctx context.Context) ([]control.PasskeyInfo, error)
	Approval(ctx context.Context, id string) (control.ApprovalInfo, error)
	Approvals(ctx context.Context, after int64, limit int) (items []control.ApprovalInfo, next int64, err error)
	Approve(ctx context.Context, by control.Actor, id string, o control.Options) (control.Result, error)
	Report(ctx context.Context, by control.Actor, q control.ReportQuery) ([]byte, error)
	SealedReport(ctx context.Context, by control.Actor, q control.ReportQuery) ([]byte, error)

	AuditTail(ctx context.Context, by control.Actor, n int, before int64) ([]control.AuditRow, error)
	AuditVerify(ctx context.Context, by control.Actor) (control.AuditReport, error)
	AuditExport(ctx context.Context, by control.Actor, w io.Writer) error
	AuditKey(ctx context.Context) (string, error)
}

var _ Plane = (*control.Plane)(nil)
