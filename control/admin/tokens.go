package admin

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"mtguard/config/spelling"
	"mtguard/control"
	"mtguard/security/access"
)

// TokenBody makes a token.
type TokenBody struct {
	Name   string            `json:"name" minLength:"1" maxLength:"64"`
	Level  access.Level      `json:"level" enum:"read_only,admin,superuser" doc:"at most that of whoever makes it"`
	For    *control.Duration `json:"for,omitempty" doc:"how long it is good: 90d when left out, 365d at most"`
	Scopes []string          `json:"scopes,omitempty" maxItems:"32" nullable:"false" doc:"what it may be used for: nouns of the API such as users, nouns with :read, or operations such as list-users; left out: everything"`
	From   []netip.Prefix    `json:"from,omitempty" maxItems:"32" nullable:"false" doc:"where it may be used; left out: anywhere"`
}

func (s *server) listTokens(ctx context.Context, _ *struct{}) (*page[control.TokenInfo], error) {
	items, err := s.plane.Tokens(ctx)
	return listed(items, "", err)
}

type createTokenInput struct {
	ChangeInput
	Body TokenBody
}

// createToken refuses a program that is bound to scopes or sources, whose tokens would
// not be, and one whose tokens would outlive its own.
func (s *server) createToken(ctx context.Context, in *createTokenInput) (*changed, error) {
	b := &in.Body
	who := callerOf(ctx)
	if who != nil && (len(who.Scopes) > 0 || who.Bound) {
		return nil, kinds[control.Denied].problem("a token that is bound to scopes or sources makes no tokens")
	}
	known := s.scopes()
	for _, scope := range b.Scopes {
		if _, ok := slices.BinarySearch(known, scope); !ok {
			fix := "a noun of the API such as users or users:read, or an operation such as list-users"
			if near := spelling.Nearest(scope, known); near != "" {
				fix = "did you mean " + near + "?"
			}
			return nil, &control.Error{Kind: control.Invalid, Field: "scopes", Text: "there is no scope " + clip(scope), Fix: fix}
		}
	}
	c := control.CreateToken{Name: b.Name, Level: b.Level, Scopes: b.Scopes, From: b.From}
	if b.For != nil {
		if c.For = *b.For; c.For == 0 { // and not the usual 90 days
			return nil, &control.Error{Kind: control.Invalid, Field: "for", Text: "a token is good for a minute at least"}
		}
	}
	if who != nil && who.Token != "" && (c.For == 0 || time.Now().Add(time.Duration(c.For)).After(who.Expires)) {
		return nil, kinds[control.Denied].problem("a token makes none that would outlive it: it is good until %s; say for how long", who.Expires.UTC().Format(time.RFC3339))
	}
	return s.change(ctx, c, &in.ChangeInput)
}

// TokenPath names a token in a path.
type TokenPath struct {
	ID string `path:"id" minLength:"1" maxLength:"64"`
}

type revokeTokenInput struct {
	TokenPath
	ChangeInput
}

func (s *server) revokeToken(ctx context.Context, in *revokeTokenInput) (*changed, error) {
	return s.change(ctx, control.RevokeToken{Token: in.ID}, &in.ChangeInput)
}

func (s *server) listSessions(ctx context.Context, _ *struct{}) (*page[control.SessionInfo], error) {
	items, err := s.plane.BrowserSessions(ctx)
	if c := callerOf(ctx); c != nil {
		for i := range items {
			items[i].Current = items[i].ID == c.Session
		}
	}
	return listed(items, "", err)
}

type endSessionInput struct {
	TokenPath
	ChangeInput
}

func (s *server) endSession(ctx context.Context, in *endSessionInput) (*changed, error) {
	return s.change(ctx, control.EndSession{ID: in.ID}, &in.ChangeInput)
}

// EndSessionsBody says whose sessions end.
type EndSessionsBody struct {
	Person string        `json:"person,omitempty" maxLength:"64"`
	From   *netip.Prefix `json:"from,omitempty" doc:"a prefix of addresses"`
}

type endSessionsInput struct {
	ChangeInput
	Body EndSessionsBody
}

func (s *server) endSessions(ctx context.Context, in *endSessionsInput) (*changed, error) {
	c := control.EndSessions{Person: in.Body.Person}
	if in.Body.From != nil {
		c.From = in.Body.From.Masked()
	}
	return s.change(ctx, c, &in.ChangeInput)
}

// CodeBody says who signs in.
type CodeBody struct {
	Person string        `json:"person,omitempty" maxLength:"64" doc:"who the session will be shown as; left out: who asks"`
	Level  *access.Level `json:"level,omitempty" enum:"read_only,admin,superuser" doc:"left out: that of who asks"`
}

type makeCodeInput struct {
	ChangeInput
	Body CodeBody
}

// makeCode is for the socket: a credential that ends, or is bound to something, makes
// none that does not.
func (s *server) makeCode(ctx context.Context, in *makeCodeInput) (*changed, error) {
	if callerOf(ctx) != nil {
		return nil, kinds[control.Denied].problem("codes to sign in with are made at the node: mtguard dashboard")
	}
	c := control.MakeCode{Person: in.Body.Person}
	if in.Body.Level != nil {
		c.Level = *in.Body.Level
	}
	return s.change(ctx, c, &in.ChangeInput)
}

func (s *server) listPasskeys(ctx context.Context, _ *struct{}) (*page[control.PasskeyInfo], error) {
	items, err := s.plane.Passkeys(ctx)
	return listed(items, "", err)
}

type removePasskeyInput struct {
	TokenPath
	ChangeInput
}

func (s *server) removePasskey(ctx context.Context, in *removePasskeyInput) (*changed, error) {
	return s.change(ctx, control.RemovePasskey{ID: in.ID}, &in.ChangeInput)
}

type approvalsInput struct {
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"how many at most"`
	Cursor int64 `query:"cursor" minimum:"0" doc:"next_cursor of the page before"`
}

func (s *server) listApprovals(ctx context.Context, in *approvalsInput) (*page[control.ApprovalInfo], error) {
	items, next, err := s.plane.Approvals(ctx, in.Cursor, in.Limit)
	return listed(items, number(next), err)
}

type approvalOutput struct{ Body control.ApprovalInfo }

func (s *server) getApproval(ctx context.Context, in *TokenPath) (*approvalOutput, error) {
	info, err := s.plane.Approval(ctx, in.ID)
	return &approvalOutput{info}, err
}

type approvalInput struct {
	TokenPath
	ChangeInput
}

// approve takes the options of the change from who asked for it.
func (s *server) approve(ctx context.Context, in *approvalInput) (*changed, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	result, err := s.plane.Approve(ctx, actor(ctx), in.ID, o)
	return s.outcome(ctx, result, err)
}

func (s *server) refuseApproval(ctx context.Context, in *approvalInput) (*changed, error) {
	return s.change(ctx, control.RefuseApproval{ID: in.ID}, &in.ChangeInput)
}

type clientsInput struct {
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"how many at most"`
	User  string `query:"user" maxLength:"64" doc:"only those of this user"`
	From  string `query:"from" maxLength:"64" doc:"only those from this prefix"`
}

func (s *server) listClients(ctx context.Context, in *clientsInput) (*page[control.ClientInfo], error) {
	f := control.ClientFilter{User: in.User, Limit: in.Limit}
	if in.From != "" {
		p, err := netip.ParsePrefix(in.From)
		if err != nil {
			return nil, malformed.problem("from is no prefix of addresses")
		}
		f.From = p.Masked()
	}
	items, _, err := s.plane.Clients(ctx, f)
	return listed(items, "", err)
}

// EndClientsBody says whose sessions end.
type EndClientsBody struct {
	User string        `json:"user,omitempty" maxLength:"64"`
	From *netip.Prefix `json:"from,omitempty" doc:"a prefix of addresses"`
}

type endClientsInput struct {
	ChangeInput
	Body EndClientsBody
}

func (s *server) endClients(ctx context.Context, in *endClientsInput) (*changed, error) {
	c := control.EndClients{User: in.Body.User}
	if in.Body.From != nil {
		c.From = in.Body.From.Masked()
	}
	return s.change(ctx, c, &in.ChangeInput)
}
