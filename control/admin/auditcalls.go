package admin

import (
	"context"
	"net/http"

	"mtguard/control"
)

// Audit runs checks now.
func (c *Client) Audit(ctx context.Context, body AuditBody) (result control.AuditResult, err error) {
	k := get("/audits")
	k.method, k.long = http.MethodPost, true
	if err = k.encode(body); err == nil {
		err = c.do(ctx, k, &result)
	}
	return result, err
}

// Audits returns audits, the newest first, or those before one.
func (c *Client) Audits(ctx context.Context, before int64, limit int) ([]control.AuditInfo, error) {
	var page list[control.AuditInfo]
	err := c.do(ctx, get("/audits", "limit", number(limit), "cursor", number(before)), &page)
	return page.Items, err
}

// AuditDiff returns what differs between two audits: see control.Plane.AuditDiff.
func (c *Client) AuditDiff(ctx context.Context, from, to int64) ([]control.AuditDiff, error) {
	var page list[control.AuditDiff]
	err := c.do(ctx, get("/audits/diff", "from", number(from), "to", number(to)), &page)
	return page.Items, err
}

// AuditSchedule returns when audits run by themselves.
func (c *Client) AuditSchedule(ctx context.Context) (schedule control.AuditSchedule, err error) {
	err = c.do(ctx, get("/audits/schedule"), &schedule)
	return schedule, err
}

// SetAuditSchedule sets when audits run by themselves.
func (c *Client) SetAuditSchedule(ctx context.Context, body AuditScheduleBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPut, "/audits/schedule", body, o)
}

// Findings lists findings, the worst first; next goes on as f.After, and is empty at
// the end.
func (c *Client) Findings(ctx context.Context, f control.FindingFilter) (items []control.FindingInfo, next string, err error) {
	all := ""
	if f.All {
		all = "true"
	}
	var page list[control.FindingInfo]
	err = c.do(ctx, get("/audits/findings", "limit", number(f.Limit), "cursor", f.After, "state", f.State, "check", f.Check, "severity", f.Least, "all", all), &page)
	return page.Items, page.NextCursor, err
}

// Finding returns one finding; of its ID four digits do, when no other begins with them.
func (c *Client) Finding(ctx context.Context, id string) (info control.FindingInfo, err error) {
	id, err = segment("id", id)
	if err == nil {
		err = c.do(ctx, get("/audits/findings/"+id), &info)
	}
	return info, err
}

// AckFinding says that somebody is at work on a finding.
func (c *Client) AckFinding(ctx context.Context, id string, body SayBody, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodPost, "/audits/findings/", "id", id, "/ack", body, o)
}

// AcceptFinding accepts the risk of a finding.
func (c *Client) AcceptFinding(ctx context.Context, id string, body SayBody, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodPost, "/audits/findings/", "id", id, "/accept", body, o)
}
