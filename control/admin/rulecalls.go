package admin

import (
	"context"
	"net/http"

	"mtguard/control"
)

// Rules lists access rules in the order of their IDs; next goes on as f.After, and
// is empty at the end.
func (c *Client) Rules(ctx context.Context, f control.RuleFilter) (items []control.RuleInfo, next string, err error) {
	var page list[control.RuleInfo]
	err = c.do(ctx, get("/access-rules", "limit", number(f.Limit), "cursor", f.After, "level", f.Level, "source", f.Source), &page)
	return page.Items, page.NextCursor, err
}

// Rule returns one rule.
func (c *Client) Rule(ctx context.Context, id string) (info control.RuleInfo, err error) {
	id, err = segment("id", id)
	if err == nil {
		err = c.do(ctx, get("/access-rules/"+id), &info)
	}
	return info, err
}

// AddRule makes a rule.
func (c *Client) AddRule(ctx context.Context, body RuleBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/access-rules", body, o)
}

// RemoveRule takes a rule out.
func (c *Client) RemoveRule(ctx context.Context, id string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodDelete, "/access-rules/", "id", id, "", nil, o)
}

// ConfirmRule keeps a rule that would end by itself.
func (c *Client) ConfirmRule(ctx context.Context, id string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodPost, "/access-rules/", "id", id, "/confirm", nil, o)
}

// CheckAccess tells what would become of a connection.
func (c *Client) CheckAccess(ctx context.Context, q control.CheckQuery) (report control.AccessReport, err error) {
	err = c.do(ctx, get("/access/check", "addr", q.Addr, "user", q.User, "server_name", q.ServerName, "ja4", q.JA4), &report)
	return report, err
}

// CheckLimits tells where an address, a user or both are with the limits.
func (c *Client) CheckLimits(ctx context.Context, q control.LimitQuery) ([]control.LimitInfo, error) {
	var page list[control.LimitInfo]
	err := c.do(ctx, get("/limits/check", "addr", q.Addr, "user", q.User), &page)
	return page.Items, err
}

// Blocked returns what may be dropped before it reaches the proxy. known is the tag of an
// answer that the caller has: when that is still true, the answer is Unchanged.
func (c *Client) Blocked(ctx context.Context, known string) (blocked control.Blocked, err error) {
	err = c.do(ctx, get("/blocks", "known", known), &blocked)
	return blocked, err
}

// Block shuts a target out for a while.
func (c *Client) Block(ctx context.Context, body BlockBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/blocks", body, o)
}

// Unblock takes the blocks of a target back.
func (c *Client) Unblock(ctx context.Context, target string, o ChangeOptions) (result control.Result, err error) {
	k, err := change(http.MethodDelete, "/blocks", nil, o)
	if err != nil {
		return result, err
	}
	k.query.Set("target", target)
	return result, c.do(ctx, k, &result)
}

// Lists returns all lists by name.
func (c *Client) Lists(ctx context.Context) ([]control.ListInfo, error) {
	var page list[control.ListInfo]
	err := c.do(ctx, get("/lists"), &page)
	return page.Items, err
}

// List returns one list.
func (c *Client) List(ctx context.Context, name string) (info control.ListInfo, err error) {
	name, err = segment("name", name)
	if err == nil {
		err = c.do(ctx, get("/lists/"+name), &info)
	}
	return info, err
}

// SetList subscribes to a list, or changes how.
func (c *Client) SetList(ctx context.Context, name string, body ListBody, o ChangeOptions) (control.Result, error) {
	return c.changeList(ctx, http.MethodPut, name, "", body, o)
}

// RemoveList takes a list out.
func (c *Client) RemoveList(ctx context.Context, name string, o ChangeOptions) (control.Result, error) {
	return c.changeList(ctx, http.MethodDelete, name, "", nil, o)
}

// ReloadList reads a list now.
func (c *Client) ReloadList(ctx context.Context, name string, o ChangeOptions) (control.Result, error) {
	return c.changeList(ctx, http.MethodPost, name, "/reload", nil, o)
}

// changeList waits for a list that comes from far away.
func (c *Client) changeList(ctx context.Context, method, name, below string, body any, o ChangeOptions) (result control.Result, err error) {
	name, err = segment("name", name)
	if err != nil {
		return result, err
	}
	k, err := change(method, "/lists/"+name+below, body, o)
	if k.long = true; err == nil {
		err = c.do(ctx, k, &result)
	}
	return result, err
}

// changeNamed changes the object that name stands for in a path.
func (c *Client) changeNamed(ctx context.Context, method, above, field, name, below string, body any, o ChangeOptions) (control.Result, error) {
	name, err := segment(field, name)
	if err != nil {
		return control.Result{}, err
	}
	return c.change(ctx, method, above+name+below, body, o)
}
