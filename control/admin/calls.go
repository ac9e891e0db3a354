package admin

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync/atomic"

	"mtguard/control"
)

// Status is the node at a glance.
func (c *Client) Status(ctx context.Context) (status control.Status, err error) {
	err = c.do(ctx, get("/status"), &status)
	return status, err
}

// Users lists users by name; next goes on as f.After, and is empty at the end.
func (c *Client) Users(ctx context.Context, f control.UserFilter) (items []control.UserInfo, next string, err error) {
	var page list[control.UserInfo]
	err = c.do(ctx, get("/users", "limit", number(f.Limit), "cursor", f.After, "state", f.State, "source", f.Source, "find", f.Find), &page)
	return page.Items, page.NextCursor, err
}

// User returns one user.
func (c *Client) User(ctx context.Context, name string) (info control.UserInfo, err error) {
	name, err = segment("name", name)
	if err == nil {
		err = c.do(ctx, get("/users/"+name), &info)
	}
	return info, err
}

// AddUser makes a user. The result holds its links.
func (c *Client) AddUser(ctx context.Context, body UserBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/users", body, o)
}

// SetUser changes what is not nil in body.
func (c *Client) SetUser(ctx context.Context, name string, body UserPatch, o ChangeOptions) (control.Result, error) {
	return c.changeUser(ctx, http.MethodPatch, name, "", body, o)
}

// RemoveUser removes a user and erases its secrets.
func (c *Client) RemoveUser(ctx context.Context, name string, o ChangeOptions) (control.Result, error) {
	return c.changeUser(ctx, http.MethodDelete, name, "", nil, o)
}

// Links hands out the links of one user, or with "" of all.
func (c *Client) Links(ctx context.Context, user string, o ChangeOptions) (control.Result, error) {
	if user == "" {
		return c.change(ctx, http.MethodPost, "/links", nil, o)
	}
	return c.changeUser(ctx, http.MethodPost, user, "/links", nil, o)
}

// Page does to a user's page what verb says: "open", "close" or "renew".
func (c *Client) Page(ctx context.Context, user, verb string, o ChangeOptions) (control.Result, error) {
	methods := map[string]string{"open": http.MethodPut, "close": http.MethodDelete, "renew": http.MethodPost}
	method, ok := methods[verb]
	if !ok {
		return control.Result{}, fmt.Errorf("page: no verb %q", verb)
	}
	return c.changeUser(ctx, method, user, "/page", nil, o)
}

// Keys lists keys; next goes on as f.After, and is empty at the end.
func (c *Client) Keys(ctx context.Context, f control.KeyFilter) (items []control.KeyInfo, next string, err error) {
	var page list[control.KeyInfo]
	err = c.do(ctx, get("/keys", "limit", number(f.Limit), "cursor", f.After, "user", f.User, "state", f.State, "purpose", f.Purpose), &page)
	return page.Items, page.NextCursor, err
}

// Key returns one key; of its ID four digits do, when no other begins with them.
func (c *Client) Key(ctx context.Context, id string) (info control.KeyInfo, err error) {
	id, err = segment("id", id)
	if err == nil {
		err = c.do(ctx, get("/keys/"+id), &info)
	}
	return info, err
}

// RotateKeys rotates what body says.
func (c *Client) RotateKeys(ctx context.Context, body RotateBody, o ChangeOptions) (control.Result, error) {
	var result control.Result
	k, err := change(http.MethodPost, "/keys/rotate", body, o)
	if k.long = true; err == nil {
		err = c.do(ctx, k, &result)
	}
	return result, err
}

// RevokeKey takes a key out at once.
func (c *Client) RevokeKey(ctx context.Context, id string, body RevokeBody, o ChangeOptions) (control.Result, error) {
	id, err := segment("id", id)
	if err != nil {
		return control.Result{}, err
	}
	return c.change(ctx, http.MethodPost, "/keys/"+id+"/revoke", body, o)
}

// History tells what happened to keys, the newest first.
func (c *Client) History(ctx context.Context, f control.HistoryFilter) ([]control.KeyEvent, error) {
	var page list[control.KeyEvent]
	err := c.do(ctx, get("/keys/history", "limit", number(f.Limit), "cursor", number(f.Before), "key", f.Key, "user", f.User), &page)
	return page.Items, err
}

// Schedule tells how secrets rotate by themselves.
func (c *Client) Schedule(ctx context.Context) (schedule control.Schedule, err error) {
	err = c.do(ctx, get("/keys/schedule"), &schedule)
	return schedule, err
}

// SetSchedule sets how secrets rotate by themselves.
func (c *Client) SetSchedule(ctx context.Context, schedule control.Schedule, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPut, "/keys/schedule", schedule, o)
}

// Seal seals what in holds, at most MaxBlob bytes, with the sealing key of that
// ID, or with "" the active one, and binds it to context. An empty suite is the
// control plane's choice.
func (c *Client) Seal(ctx context.Context, key, suite string, context []byte, in io.Reader) ([]byte, error) {
	return c.blob(ctx, get("/seal", "key", key, "suite", suite), context, in)
}

// Open opens what Seal has sealed with the same context.
func (c *Client) Open(ctx context.Context, context []byte, in io.Reader) ([]byte, error) {
	return c.blob(ctx, get("/open"), context, in)
}

// Backup writes a sealed copy of the store to w. After an error w holds no backup.
func (c *Client) Backup(ctx context.Context, to control.BackupTarget, w io.Writer) error {
	k, err := change(http.MethodPost, "/backups", to, ChangeOptions{})
	if err != nil {
		return err
	}
	return c.stream(ctx, k, w)
}

// AuditTail returns the last n rows of the audit log, or of those before a row.
func (c *Client) AuditTail(ctx context.Context, n int, before int64) ([]control.AuditRow, error) {
	var page list[control.AuditRow]
	err := c.do(ctx, get("/auditlog", "limit", number(n), "cursor", number(before)), &page)
	return page.Items, err
}

// AuditVerify verifies the whole audit log at the node.
func (c *Client) AuditVerify(ctx context.Context) (report control.AuditReport, err error) {
	k, err := change(http.MethodPost, "/auditlog/verify", nil, ChangeOptions{})
	if k.long = true; err == nil {
		err = c.do(ctx, k, &report)
	}
	return report, err
}

// AuditExport writes the whole audit log to w, as one that can be verified
// elsewhere. After an error w does not hold all of it.
func (c *Client) AuditExport(ctx context.Context, w io.Writer) error {
	return c.stream(ctx, get("/auditlog/export"), w)
}

// AuditKey returns the public key of the audit log's checkpoints.
func (c *Client) AuditKey(ctx context.Context) (string, error) {
	var body AuditKeyBody
	err := c.do(ctx, get("/auditlog/key"), &body)
	return body.Key, err
}

func (c *Client) changeUser(ctx context.Context, method, name, below string, body any, o ChangeOptions) (control.Result, error) {
	name, err := segment("name", name)
	if err != nil {
		return control.Result{}, err
	}
	return c.change(ctx, method, "/users/"+name+below, body, o)
}

func (c *Client) change(ctx context.Context, method, path string, body any, o ChangeOptions) (result control.Result, err error) {
	k, err := change(method, path, body, o)
	if err == nil {
		err = c.do(ctx, k, &result)
	}
	return result, err
}

// blob sends in and returns what comes back.
func (c *Client) blob(ctx context.Context, k call, context []byte, in io.Reader) ([]byte, error) {
	source := &sourceReader{from: in, left: maxSealed}
	k.method, k.body, k.media = http.MethodPost, source, blobMedia
	if len(context) > 0 {
		k.header.Set(contextHeader, base64.RawURLEncoding.EncodeToString(context))
	}
	response, err := c.send(ctx, k)
	if err == nil {
		defer response.Body.Close()
	}
	if failed := source.failed(); failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(response.Body, maxSealed))
	if err != nil {
		return nil, c.cutOff(ctx, err)
	}
	return b, nil
}

// stream copies an answer to w.
func (c *Client) stream(ctx context.Context, k call, w io.Writer) error {
	response, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body := &sourceReader{from: response.Body, left: math.MaxInt64}
	_, err = io.Copy(w, body)
	if failed := body.failed(); failed != nil {
		return c.cutOff(ctx, failed)
	}
	return err // of w
}

// sourceReader remembers how reading from went wrong, so that this is not taken
// for an error of the other side.
type sourceReader struct {
	from io.Reader
	left int64 // more is an error
	err  atomic.Pointer[error]
}

func (r *sourceReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if r.left -= int64(n); r.left < 0 {
		err = tooLarge.problem("at most %d MiB can be sealed or opened at once", MaxBlob>>20).refusal()
	}
	if err != nil && err != io.EOF {
		r.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (r *sourceReader) failed() error {
	if err := r.err.Load(); err != nil {
		return *err
	}
	return nil
}

// number is n as a value of a query, where 0 is left out.
func number[N int | int64](n N) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(int64(n), 10)
}
