package admin

import (
	"context"

	"mtguard/control/threat"
)

// Threat tells what was found of attacks, and done about them.
func (c *Client) Threat(ctx context.Context) (status threat.Report, err error) {
	err = c.do(ctx, get("/threat"), &status)
	return status, err
}

// Findings are the last findings, the newest first, at most so many.
func (c *Client) Findings(ctx context.Context, most int) ([]threat.Finding, error) {
	var page list[threat.Finding]
	err := c.do(ctx, get("/threat/findings", "limit", number(most)), &page)
	return page.Items, err
}
