package admin

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"mtguard/control"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/keys"
)

// ChangeInput is how ChangeOptions travel. It is exported because huma looks at
// nothing else.
type ChangeInput struct {
	IfMatch        string `header:"If-Match" maxLength:"64" doc:"the ETag that the caller has seen; * for any"`
	IdempotencyKey string `header:"Idempotency-Key" minLength:"1" maxLength:"128" pattern:"^[!-~]*$" patternDescription:"visible ASCII characters" doc:"a repetition within a day does nothing again"`
	DryRun         bool   `query:"dry_run" doc:"do everything but keep it"`
	Force          bool   `query:"force" doc:"override the safety rules that say so"`
	Reason         string `query:"reason" maxLength:"1024" doc:"stands in the audit log; revoking, enforcing and excepting take one"`
	From           string `header:"Mtguard-From" maxLength:"64" doc:"the address that whoever asks comes from, as far as the client knows: what would shut it out is refused unless forced"`
}

// options are the control plane's.
func (in *ChangeInput) options() (control.Options, error) {
	o := control.Options{Reason: in.Reason, IdempotencyKey: in.IdempotencyKey, DryRun: in.DryRun, Force: in.Force}
	if in.IfMatch == "" || in.IfMatch == "*" {
		return o, nil
	}
	digits := strings.TrimSuffix(strings.TrimPrefix(in.IfMatch, `"`), `"`)
	revision, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || revision <= 0 || in.IfMatch != etag(revision) {
		return o, malformed.problem("If-Match is no revision").fixedBy(`send the ETag of the object, such as "42", or *`)
	}
	o.IfRevision = store.Revision(revision)
	return o, nil
}

// matched are the options of a change that may overwrite somebody else's.
func (in *ChangeInput) matched() (control.Options, error) {
	if in.IfMatch == "" {
		return control.Options{}, revisionMissing.problem("this overwrites what somebody else may have changed").fixedBy("send If-Match with the ETag of the object as you have seen it, or with *")
	}
	return in.options()
}

// address is that of From; none when the client says nothing.
func (in *ChangeInput) address() (netip.Addr, error) {
	if in.From == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(in.From)
	if err != nil {
		return addr, malformed.problem("%s is no address", fromHeader)
	}
	return addr.Unmap().WithZone(""), nil
}

// changed is the answer to a change.
type changed struct {
	ETag string `header:"ETag" doc:"of the user, rule, list, exception or policy, when the change was of one"`
	Body control.Result
}

// revisionOf is the revision of the object that a change was of; 0 when of none.
func revisionOf(r *control.Result) int64 {
	switch {
	case r.User != nil:
		return int64(r.User.Revision)
	case r.Rule != nil:
		return int64(r.Rule.Revision)
	case r.List != nil:
		return int64(r.List.Revision)
	case r.Exception != nil:
		return int64(r.Exception.Revision)
	case r.Policy != nil:
		return r.Policy.Revision
	}
	return 0
}

// change asks the plane.
func (s *server) change(ctx context.Context, c control.Change, in *ChangeInput) (*changed, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.apply(ctx, c, in, o)
}

func (s *server) apply(ctx context.Context, c control.Change, in *ChangeInput, o control.Options) (*changed, error) {
	by := actor(ctx)
	from, err := in.address()
	if err != nil {
		return nil, err
	}
	if callerOf(ctx) == nil { // else the socket knows better
		by.From = from
	}
	result, err := s.plane.Apply(ctx, by, c, o)
	return s.outcome(ctx, result, err)
}

// outcome is the answer to a change.
func (s *server) outcome(ctx context.Context, result control.Result, err error) (*changed, error) {
	if err != nil && result.Revision != 0 && refusal(err) == nil {
		s.log.Error("admin: change kept, but incomplete", "actor", actor(ctx).Name, "revision", result.Revision, "error", err)
		return nil, incomplete.problem("the change is kept, with revision %d; but %v", result.Revision, err)
	}
	if err != nil {
		return nil, err
	}
	out := &changed{Body: result}
	if revision := revisionOf(&result); revision != 0 {
		out.ETag = etag(revision)
	}
	return out, nil
}

// page is the part of a list that is asked for.
type page[T any] struct{ Body list[T] }

func listed[T any](items []T, next string, err error) (*page[T], error) {
	if err != nil {
		return nil, err
	}
	if items == nil {
		items = []T{}
	}
	return &page[T]{list[T]{items, next}}, nil
}

// ListInput is how one goes through a list.
type ListInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"how many at most"`
	Cursor string `query:"cursor" maxLength:"128" doc:"next_cursor of the page before"`
}

type usersInput struct {
	ListInput
	State  string `query:"state" maxLength:"32" doc:"only those in it, such as ok or expired"`
	Source string `query:"source" maxLength:"32" doc:"only those from it: admin, file or default"`
	Find   string `query:"find" maxLength:"64" doc:"only those whose name has this in it, large or small letters"`
}

func (s *server) listUsers(ctx context.Context, in *usersInput) (*page[control.UserInfo], error) {
	return listed(s.plane.Users(ctx, control.UserFilter{After: in.Cursor, Limit: in.Limit, State: in.State, Source: in.Source, Find: in.Find}))
}

// UserPath names a user in a path.
type UserPath struct {
	Name string `path:"name" minLength:"1" maxLength:"64"`
}

type userOutput struct {
	ETag string `header:"ETag"`
	Body control.UserInfo
}

func (s *server) getUser(ctx context.Context, in *UserPath) (*userOutput, error) {
	info, err := s.plane.User(ctx, in.Name)
	return &userOutput{etag(int64(info.Revision)), info}, err
}

type addUserInput struct {
	ChangeInput
	Body UserBody
}

func (s *server) addUser(ctx context.Context, in *addUserInput) (*changed, error) {
	b := &in.Body
	c := control.AddUser{
		Name: b.Name, Level: access.Standard, MaxConnections: b.MaxConnections, MaxAddresses: b.MaxAddresses,
		Domain: b.Domain, Note: b.Note,
	}
	if b.Level != nil {
		c.Level = *b.Level
	}
	if b.Expires != nil {
		c.Expires = *b.Expires
	}
	if b.Quota != nil {
		c.Quota = *b.Quota
	}
	if b.Secret != "" {
		secret, err := keys.ParseSecret(b.Secret)
		if err != nil {
			return nil, &control.Error{Kind: control.Invalid, Field: "secret", Text: err.Error()}
		}
		c.Import = secret
	}
	return s.change(ctx, c, &in.ChangeInput)
}

type setUserInput struct {
	UserPath
	ChangeInput
	Body UserPatch
}

func (s *server) setUser(ctx context.Context, in *setUserInput) (*changed, error) {
	b := &in.Body
	return s.overwrite(ctx, s.user(in.Name), &in.ChangeInput, control.SetUser{
		Name: in.Name, Level: b.Level, Disabled: b.Disabled, Expires: (*time.Time)(b.Expires), Quota: b.Quota,
		MaxConnections: b.MaxConnections, MaxAddresses: b.MaxAddresses, Domain: b.Domain, Note: b.Note,
	})
}

type userChangeInput struct {
	UserPath
	ChangeInput
}

func (s *server) removeUser(ctx context.Context, in *userChangeInput) (*changed, error) {
	return s.overwrite(ctx, s.user(in.Name), &in.ChangeInput, control.RemoveUser{Name: in.Name})
}

// user returns what a stale change of a user is told.
func (s *server) user(name string) func(context.Context) (any, error) {
	return func(ctx context.Context) (any, error) { return s.plane.User(ctx, name) }
}

// overwrite applies a change that needs a revision; a stale one is told the
// present state.
func (s *server) overwrite(ctx context.Context, current func(context.Context) (any, error), in *ChangeInput, c control.Change) (*changed, error) {
	o, err := in.matched()
	if err != nil {
		return nil, err
	}
	return s.replaced(ctx, current, in, c, o)
}

// replaced applies a change, and tells one that is stale the present state.
func (s *server) replaced(ctx context.Context, current func(context.Context) (any, error), in *ChangeInput, c control.Change, o control.Options) (*changed, error) {
	out, err := s.apply(ctx, c, in, o)
	if p := refusal(err); p != nil && p.Status == http.StatusPreconditionFailed {
		if now, err := current(ctx); err == nil {
			p.Current = now
		}
		return nil, p
	}
	return out, err
}

func (s *server) revealLinks(ctx context.Context, in *userChangeInput) (*changed, error) {
	return s.change(ctx, control.RevealLinks{User: in.Name}, &in.ChangeInput)
}

func (s *server) revealAllLinks(ctx context.Context, in *ChangeInput) (*changed, error) {
	return s.change(ctx, control.RevealLinks{}, in)
}

func (s *server) openPage(ctx context.Context, in *userChangeInput) (*changed, error) {
	return s.change(ctx, control.OpenPage{User: in.Name}, &in.ChangeInput)
}

func (s *server) renewPage(ctx context.Context, in *userChangeInput) (*changed, error) {
	return s.change(ctx, control.RenewPage{User: in.Name}, &in.ChangeInput)
}

// closePage takes no revision: it says all that it does.
func (s *server) closePage(ctx context.Context, in *userChangeInput) (*changed, error) {
	return s.change(ctx, control.ClosePage{User: in.Name}, &in.ChangeInput)
}
