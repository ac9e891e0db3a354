package admin

import (
	"context"
	"net/http"
	"strconv"

	"mtguard/control"
	"mtguard/control/threat"
)

// Threat tells what was found of attacks, and done about them.
func (c *Client) Threat(ctx context.Context) (status threat.Standing, err error) {
	err = c.do(ctx, get("/threat"), &status)
	return status, err
}

// ThreatFindings are the last findings, the newest first, at most so many.
func (c *Client) ThreatFindings(ctx context.Context, most int) ([]threat.Finding, error) {
	var page list[threat.Finding]
	err := c.do(ctx, get("/threat/findings", "limit", number(most)), &page)
	return page.Items, err
}

// Incidents lists incidents, the newest first; next goes on as f.After, and is 0 at the end.
func (c *Client) Incidents(ctx context.Context, f control.IncidentFilter) (items []control.IncidentInfo, next int64, err error) {
	var page list[control.IncidentInfo]
	if err = c.do(ctx, get("/incidents", "limit", number(f.Limit), "cursor", number(f.After), "state", f.State), &page); err == nil && page.NextCursor != "" {
		next, err = strconv.ParseInt(page.NextCursor, 10, 64)
	}
	return page.Items, next, err
}

// Incident returns one incident, with its timeline and similar ones.
func (c *Client) Incident(ctx context.Context, id string) (info control.IncidentInfo, err error) {
	id, err = segment("id", id)
	if err == nil {
		err = c.do(ctx, get("/incidents/"+id), &info)
	}
	return info, err
}

// MoveIncident takes an incident to another state.
func (c *Client) MoveIncident(ctx context.Context, id, to string, body IncidentBody, o ChangeOptions) (control.Result, error) {
	if _, err := segment("to", to); err != nil {
		return control.Result{}, err
	}
	return c.changeNamed(ctx, http.MethodPost, "/incidents/", "id", id, "/"+to, body, o)
}
