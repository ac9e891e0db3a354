package admin

import (
	"context"
	"net/http"
	"strconv"

	"mtguard/control"
)

// Policy returns a revision of the policy: 0 is what held before anybody set one,
// control.PolicyInForce the one in force.
func (c *Client) Policy(ctx context.Context, revision int64) (info control.PolicyInfo, err error) {
	err = c.do(ctx, get("/policy", "revision", strconv.FormatInt(revision, 10)), &info)
	return info, err
}

// SetPolicy replaces the policy.
func (c *Client) SetPolicy(ctx context.Context, body PolicyBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPut, "/policy", body, o)
}

// PolicyHistory returns revisions, the newest first, or those before one.
func (c *Client) PolicyHistory(ctx context.Context, before int64, limit int) ([]control.PolicyInfo, error) {
	var page list[control.PolicyInfo]
	err := c.do(ctx, get("/policy/history", "limit", number(limit), "cursor", number(before)), &page)
	return page.Items, err
}

// PolicyExplain returns every value that a document gives, "" for the one in force.
func (c *Client) PolicyExplain(ctx context.Context, document string) ([]control.PolicyValue, error) {
	k := get("/policy/explain")
	if document != "" {
		k.method = http.MethodPost
		if err := k.encode(PolicyBody{document}); err != nil {
			return nil, err
		}
	}
	var page list[control.PolicyValue]
	err := c.do(ctx, k, &page)
	return page.Items, err
}

// Preview returns what would have been refused of the connections that came lately.
func (c *Client) Preview(ctx context.Context, body PreviewBody) (report control.PreviewReport, err error) {
	k := get("/policy/preview")
	k.method, k.long = http.MethodPost, true
	if err = k.encode(body); err == nil {
		err = c.do(ctx, k, &report)
	}
	return report, err
}

// PolicyDiff returns what differs between two revisions, which are as Policy takes them.
func (c *Client) PolicyDiff(ctx context.Context, from, to int64) ([]control.PolicyValue, error) {
	var page list[control.PolicyValue]
	k := get("/policy/diff", "from", strconv.FormatInt(from, 10), "to", strconv.FormatInt(to, 10))
	err := c.do(ctx, k, &page)
	return page.Items, err
}

// RollBackPolicy puts an earlier revision in force.
func (c *Client) RollBackPolicy(ctx context.Context, body RollBackBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/policy/rollback", body, o)
}

// Controls returns all controls.
func (c *Client) Controls(ctx context.Context) ([]control.ControlInfo, error) {
	var page list[control.ControlInfo]
	err := c.do(ctx, get("/policy/controls"), &page)
	return page.Items, err
}

// SetControl sets the mode of a control.
func (c *Client) SetControl(ctx context.Context, name string, body ModeBody, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodPatch, "/policy/controls/", "name", name, "", body, o)
}

// Rollout returns where every control stands.
func (c *Client) Rollout(ctx context.Context) ([]control.RolloutStep, error) {
	var page list[control.RolloutStep]
	err := c.do(ctx, get("/rollout"), &page)
	return page.Items, err
}

// AdvanceControl takes a control one stage up.
func (c *Client) AdvanceControl(ctx context.Context, name string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodPost, "/rollout/", "name", name, "/next", nil, o)
}

// StepControlBack takes a control one stage down.
func (c *Client) StepControlBack(ctx context.Context, name string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodPost, "/rollout/", "name", name, "/back", nil, o)
}

// Trials returns what reverts by itself unless somebody keeps it.
func (c *Client) Trials(ctx context.Context) ([]control.TrialInfo, error) {
	var page list[control.TrialInfo]
	err := c.do(ctx, get("/policy/trials"), &page)
	return page.Items, err
}

// KeepTrial lets the policy of that revision stay.
func (c *Client) KeepTrial(ctx context.Context, revision int64, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/policy/trials/"+number(revision)+"/keep", nil, o)
}

// EndTrial reverts the policy of that revision at once.
func (c *Client) EndTrial(ctx context.Context, revision int64, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodDelete, "/policy/trials/"+number(revision), nil, o)
}

// Exceptions returns all exceptions.
func (c *Client) Exceptions(ctx context.Context) ([]control.ExceptionInfo, error) {
	var page list[control.ExceptionInfo]
	err := c.do(ctx, get("/policy/exceptions"), &page)
	return page.Items, err
}

// AddException spares somebody some controls.
func (c *Client) AddException(ctx context.Context, body ExceptionBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/policy/exceptions", body, o)
}

// RemoveException ends an exception.
func (c *Client) RemoveException(ctx context.Context, id string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodDelete, "/policy/exceptions/", "id", id, "", nil, o)
}

// BreakGlass puts the controls in monitor for a while.
func (c *Client) BreakGlass(ctx context.Context, body GlassBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/policy/break-glass", body, o)
}

// EndGlass puts them back in their modes.
func (c *Client) EndGlass(ctx context.Context, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodDelete, "/policy/break-glass", nil, o)
}

// Bundle returns where policy bundles come from, and what waits.
func (c *Client) Bundle(ctx context.Context) (info control.BundleInfo, err error) {
	err = c.do(ctx, get("/policy/bundles"), &info)
	return info, err
}

// SetBundles subscribes to policy bundles.
func (c *Client) SetBundles(ctx context.Context, body BundlesBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPut, "/policy/bundles", body, o)
}

// StopBundles ends that.
func (c *Client) StopBundles(ctx context.Context, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodDelete, "/policy/bundles", nil, o)
}

// ApproveBundle applies the bundle that waits. o.IfRevision is the revision of the
// policy that it was compared with.
func (c *Client) ApproveBundle(ctx context.Context, body ApproveBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/policy/bundles/approve", body, o)
}
