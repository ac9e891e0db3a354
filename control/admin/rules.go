package admin

import (
	"context"
	"fmt"

	"mtguard/control"
)

type rulesInput struct {
	ListInput
	Level  string `query:"level" enum:"none,read_only,standard,admin,superuser" doc:"only those of it: none are blocks"`
	Source string `query:"source" enum:"operator,automatic,feed" doc:"only those from it"`
}

func (s *server) listRules(ctx context.Context, in *rulesInput) (*page[control.RuleInfo], error) {
	return listed(s.plane.Rules(ctx, control.RuleFilter{After: in.Cursor, Limit: in.Limit, Level: in.Level, Source: in.Source}))
}

// RulePath names a rule in a path.
type RulePath struct {
	ID string `path:"id" minLength:"1" maxLength:"64"`
}

type ruleOutput struct {
	ETag string `header:"ETag"`
	Body control.RuleInfo
}

func (s *server) getRule(ctx context.Context, in *RulePath) (*ruleOutput, error) {
	info, err := s.plane.Rule(ctx, in.ID)
	return &ruleOutput{etag(int64(info.Revision)), info}, err
}

type addRuleInput struct {
	ChangeInput
	Body RuleBody
}

func (s *server) addRule(ctx context.Context, in *addRuleInput) (*changed, error) {
	b := &in.Body
	c := control.AddRule{Match: b.Match, Level: b.Level, Schedule: b.Schedule, Pinned: b.Pinned}
	if b.From != nil {
		c.From = *b.From
	}
	if b.Until != nil {
		c.Until = *b.Until
	}
	return s.change(ctx, c, &in.ChangeInput)
}

type ruleChangeInput struct {
	RulePath
	ChangeInput
}

// removeRule takes no revision: a rule is never changed, only made and taken out.
func (s *server) removeRule(ctx context.Context, in *ruleChangeInput) (*changed, error) {
	return s.change(ctx, control.RemoveRule{ID: in.ID}, &in.ChangeInput)
}

func (s *server) confirmRule(ctx context.Context, in *ruleChangeInput) (*changed, error) {
	return s.change(ctx, control.ConfirmRule{ID: in.ID}, &in.ChangeInput)
}

type checkAccessInput struct {
	Addr       string `query:"addr" maxLength:"64" doc:"where a connection would come from"`
	User       string `query:"user" maxLength:"64" doc:"whose it would be"`
	ServerName string `query:"server_name" maxLength:"253" doc:"that its ClientHello would ask for"`
	JA4        string `query:"ja4" maxLength:"64" doc:"its ClientHello's fingerprint"`
}

type accessOutput struct{ Body control.AccessReport }

func (s *server) checkAccess(ctx context.Context, in *checkAccessInput) (*accessOutput, error) {
	report, err := s.plane.CheckAccess(ctx, control.CheckQuery{Addr: in.Addr, User: in.User, ServerName: in.ServerName, JA4: in.JA4})
	return &accessOutput{report}, err
}

type checkLimitsInput struct {
	Addr string `query:"addr" maxLength:"64" doc:"whose limits, by address"`
	User string `query:"user" maxLength:"64" doc:"whose limits, by name"`
}

func (s *server) checkLimits(ctx context.Context, in *checkLimitsInput) (*page[control.LimitInfo], error) {
	items, err := s.plane.CheckLimits(ctx, control.LimitQuery{Addr: in.Addr, User: in.User})
	return listed(items, "", err)
}

type blockedInput struct {
	Known string `query:"known" maxLength:"64" doc:"the tag of an answer you have"`
}

type blockedOutput struct{ Body control.Blocked }

func (s *server) listBlocked(ctx context.Context, in *blockedInput) (*blockedOutput, error) {
	blocked, err := s.plane.Blocked(ctx, in.Known)
	return &blockedOutput{blocked}, err
}

type blockInput struct {
	ChangeInput
	Body BlockBody
}

func (s *server) block(ctx context.Context, in *blockInput) (*changed, error) {
	c := control.Block{Target: in.Body.Target}
	if in.Body.For != nil {
		c.For = *in.Body.For
	}
	return s.change(ctx, c, &in.ChangeInput)
}

type unblockInput struct {
	Target string `query:"target" required:"true" minLength:"1" maxLength:"512" doc:"as it was blocked"`
	ChangeInput
}

func (s *server) unblock(ctx context.Context, in *unblockInput) (*changed, error) {
	return s.change(ctx, control.Unblock{Target: in.Target}, &in.ChangeInput)
}

// listLists answers with all: they are few.
func (s *server) listLists(ctx context.Context, _ *struct{}) (*page[control.ListInfo], error) {
	lists, err := s.plane.Lists(ctx)
	return listed(lists, "", err)
}

// ListPath names a list in a path.
type ListPath struct {
	Name string `path:"name" minLength:"1" maxLength:"64"`
}

type listOutput struct {
	ETag string `header:"ETag"`
	Body control.ListInfo
}

func (s *server) getList(ctx context.Context, in *ListPath) (*listOutput, error) {
	lists, err := s.plane.Lists(ctx)
	if err != nil {
		return nil, err
	}
	for _, info := range lists {
		if info.Name == in.Name {
			return &listOutput{etag(int64(info.Revision)), info}, nil
		}
	}
	return nil, &control.Error{Kind: control.NotFound, Text: fmt.Sprintf("no list %q", in.Name), Fix: "mtguard list show"}
}

type setListInput struct {
	ListPath
	ChangeInput
	Body ListBody
}

// setList takes no revision: it says all that a list is.
func (s *server) setList(ctx context.Context, in *setListInput) (*changed, error) {
	c := control.SetList{Name: in.Name, Origin: in.Body.Origin, Level: in.Body.Level, Wide: in.Body.Wide}
	if in.Body.Every != nil {
		c.Every = *in.Body.Every
	}
	return s.change(ctx, c, &in.ChangeInput)
}

type listChangeInput struct {
	ListPath
	ChangeInput
}

func (s *server) removeList(ctx context.Context, in *listChangeInput) (*changed, error) {
	return s.change(ctx, control.RemoveList{Name: in.Name}, &in.ChangeInput)
}

func (s *server) reloadList(ctx context.Context, in *listChangeInput) (*changed, error) {
	return s.change(ctx, control.ReloadList{Name: in.Name}, &in.ChangeInput)
}
