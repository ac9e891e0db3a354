package admin

import (
	"context"
	"net/http"
	"strconv"

	"mtguard/control"
)

// Tokens lists the tokens of programs.
func (c *Client) Tokens(ctx context.Context) ([]control.TokenInfo, error) {
	var page list[control.TokenInfo]
	err := c.do(ctx, get("/tokens"), &page)
	return page.Items, err
}

// CreateToken makes a token. The result has it, once.
func (c *Client) CreateToken(ctx context.Context, body TokenBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/tokens", body, o)
}

// RevokeToken revokes a token, by its ID or its name.
func (c *Client) RevokeToken(ctx context.Context, id string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodDelete, "/tokens/", "token", id, "", nil, o)
}

// BrowserSessions lists the browsers that are signed in.
func (c *Client) BrowserSessions(ctx context.Context) ([]control.SessionInfo, error) {
	var page list[control.SessionInfo]
	err := c.do(ctx, get("/sessions"), &page)
	return page.Items, err
}

// EndSession signs a browser out.
func (c *Client) EndSession(ctx context.Context, id string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodDelete, "/sessions/", "session", id, "", nil, o)
}

// EndSessions signs browsers out.
func (c *Client) EndSessions(ctx context.Context, body EndSessionsBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/sessions/end", body, o)
}

// MakeCode makes a code to sign in with. The result has it, once.
func (c *Client) MakeCode(ctx context.Context, body CodeBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/sign-in-codes", body, o)
}

// Passkeys lists the passkeys that people sign in with.
func (c *Client) Passkeys(ctx context.Context) ([]control.PasskeyInfo, error) {
	var page list[control.PasskeyInfo]
	err := c.do(ctx, get("/passkeys"), &page)
	return page.Items, err
}

// RemovePasskey takes a passkey out.
func (c *Client) RemovePasskey(ctx context.Context, id string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodDelete, "/passkeys/", "passkey", id, "", nil, o)
}

// Approvals lists changes that wait, or waited, for a second person; next goes on as
// after, and is 0 at the end.
func (c *Client) Approvals(ctx context.Context, after int64, limit int) (items []control.ApprovalInfo, next int64, err error) {
	var page list[control.ApprovalInfo]
	if err = c.do(ctx, get("/approvals", "limit", number(limit), "cursor", number(after)), &page); err == nil && page.NextCursor != "" {
		next, err = strconv.ParseInt(page.NextCursor, 10, 64)
	}
	return page.Items, next, err
}

// Approval returns one change that waits, or waited, for a second person, all of it.
func (c *Client) Approval(ctx context.Context, id string) (info control.ApprovalInfo, err error) {
	id, err = segment("id", id)
	if err == nil {
		err = c.do(ctx, get("/approvals/"+id), &info)
	}
	return info, err
}

// Approve makes a change that waits for a second person.
func (c *Client) Approve(ctx context.Context, id string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodPost, "/approvals/", "approval", id, "/approve", nil, o)
}

// RefuseApproval ends a change that waits for a second person.
func (c *Client) RefuseApproval(ctx context.Context, id string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodPost, "/approvals/", "approval", id, "/refuse", nil, o)
}

// Clients lists sessions of clients of the proxy, those that moved most first.
func (c *Client) Clients(ctx context.Context, f control.ClientFilter) ([]control.ClientInfo, error) {
	var page list[control.ClientInfo]
	from := ""
	if f.From.IsValid() {
		from = f.From.String()
	}
	err := c.do(ctx, get("/clients", "limit", number(f.Limit), "user", f.User, "from", from), &page)
	return page.Items, err
}

// EndClients ends sessions of clients of the proxy.
func (c *Client) EndClients(ctx context.Context, body EndClientsBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/clients/end", body, o)
}
