package admin

import (
	"context"
	"errors"
	"strconv"
	"time"

	"mtguard/control"
)

type policyInput struct {
	Revision int64 `query:"revision" minimum:"-1" default:"-1" doc:"0: what held before anybody set one; -1, or left out: the one in force"`
}

type policyOutput struct {
	ETag string `header:"ETag"`
	Body control.PolicyInfo
}

func (s *server) getPolicy(ctx context.Context, in *policyInput) (*policyOutput, error) {
	info, err := s.plane.Policy(ctx, in.Revision)
	out := &policyOutput{Body: info}
	if info.Revision != 0 { // else nobody has set one: there is nothing to overwrite
		out.ETag = etag(info.Revision)
	}
	return out, err
}

type setPolicyInput struct {
	TrialInput
	Body PolicyBody
}

func (s *server) setPolicy(ctx context.Context, in *setPolicyInput) (*changed, error) {
	current := func(ctx context.Context) (any, error) { return s.plane.Policy(ctx, control.PolicyInForce) }
	o, err := in.matched()
	if err == nil {
		err = in.onTrial(&o) // of a document
	}
	if err != nil {
		return nil, err
	}
	return s.replaced(ctx, current, &in.ChangeInput, control.SetPolicy{Document: in.Body.Document}, o)
}

type policiesInput struct {
	Limit  int   `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"how many at most"`
	Cursor int64 `query:"cursor" minimum:"0" doc:"next_cursor of the page before: only revisions before this one"`
}

func (s *server) listPolicies(ctx context.Context, in *policiesInput) (*page[control.PolicyInfo], error) {
	revisions, err := s.plane.PolicyHistory(ctx, in.Cursor, in.Limit)
	next := ""
	if n := len(revisions); n > 0 && n == in.Limit && revisions[n-1].Revision > 1 {
		next = strconv.FormatInt(revisions[n-1].Revision, 10)
	}
	return listed(revisions, next, err)
}

func (s *server) explainPolicy(ctx context.Context, _ *struct{}) (*page[control.PolicyValue], error) {
	values, err := s.plane.PolicyExplain(ctx, "")
	return listed(values, "", err)
}

type explainInput struct{ Body PolicyBody }

func (s *server) explainDocument(ctx context.Context, in *explainInput) (*page[control.PolicyValue], error) {
	values, err := s.plane.PolicyExplain(ctx, in.Body.Document)
	return listed(values, "", err)
}

type previewInput struct{ Body PreviewBody }

type previewOutput struct{ Body control.PreviewReport }

func (s *server) previewPolicy(ctx context.Context, in *previewInput) (*previewOutput, error) {
	q := control.PreviewQuery{Document: in.Body.Document, Control: in.Body.Control, Mode: in.Body.Mode, Percent: in.Body.Percent}
	if in.Body.Since != nil {
		q.Since = time.Duration(*in.Body.Since)
	}
	report, err := s.plane.Preview(ctx, q)
	return &previewOutput{report}, err
}

type diffInput struct {
	From int64 `query:"from" minimum:"-1" default:"-1" doc:"a revision; 0: what held before anybody set one; -1, or left out: the one in force"`
	To   int64 `query:"to" minimum:"-1" default:"-1" doc:"as from"`
}

func (s *server) diffPolicies(ctx context.Context, in *diffInput) (*page[control.PolicyValue], error) {
	values, err := s.plane.PolicyDiff(ctx, in.From, in.To)
	return listed(values, "", err)
}

// TrialInput is a change of the policy that may revert by itself.
type TrialInput struct {
	ChangeInput
	RevertAfter string `query:"revert_after" maxLength:"32" doc:"such as 10m: it reverts by itself then, unless it is kept with POST /policy/trials/{revision}/keep; left out: it stays"`
}

// onTrial adds to the options of a change how long it is on trial.
func (in *TrialInput) onTrial(o *control.Options) (err error) {
	if in.RevertAfter == "" {
		return nil
	}
	if o.RevertAfter, err = control.ParseDuration(in.RevertAfter); err == nil && o.RevertAfter == 0 {
		err = errors.New("a trial of 0s is none") // and not a change that stays
	}
	if err != nil {
		return &control.Error{Kind: control.Invalid, Field: "revert_after", Text: err.Error()}
	}
	return nil
}

// try asks the plane.
func (s *server) try(ctx context.Context, c control.Change, in *TrialInput) (*changed, error) {
	o, err := in.options()
	if err == nil {
		err = in.onTrial(&o)
	}
	if err != nil {
		return nil, err
	}
	return s.apply(ctx, c, &in.ChangeInput, o)
}

func (s *server) listTrials(ctx context.Context, _ *struct{}) (*page[control.TrialInfo], error) {
	trials, err := s.plane.Trials(ctx)
	return listed(trials, "", err)
}

type trialInput struct {
	Revision int64 `path:"revision" minimum:"1" doc:"of the policy that is on trial"`
	ChangeInput
}

func (s *server) keepTrial(ctx context.Context, in *trialInput) (*changed, error) {
	return s.change(ctx, control.KeepTrial{Revision: in.Revision}, &in.ChangeInput)
}

func (s *server) endTrial(ctx context.Context, in *trialInput) (*changed, error) {
	return s.change(ctx, control.EndTrial{Revision: in.Revision}, &in.ChangeInput)
}

type rollBackInput struct {
	TrialInput
	Body RollBackBody
}

func (s *server) rollBackPolicy(ctx context.Context, in *rollBackInput) (*changed, error) {
	return s.try(ctx, control.RollbackPolicy{Revision: in.Body.Revision}, &in.TrialInput)
}

func (s *server) listControls(ctx context.Context, _ *struct{}) (*page[control.ControlInfo], error) {
	controls, err := s.plane.Controls(ctx)
	return listed(controls, "", err)
}

// ControlPath names a control in a path.
type ControlPath struct {
	Name string `path:"name" minLength:"1" maxLength:"64"`
}

type setControlInput struct {
	ControlPath
	TrialInput
	Body ModeBody
}

// setControl takes no revision: it says all that the mode of a control is.
func (s *server) setControl(ctx context.Context, in *setControlInput) (*changed, error) {
	return s.try(ctx, control.SetMode{Control: in.Name, Mode: in.Body.Mode, Percent: in.Body.Percent}, &in.TrialInput)
}

func (s *server) getRollout(ctx context.Context, _ *struct{}) (*page[control.RolloutStep], error) {
	steps, err := s.plane.Rollout(ctx)
	return listed(steps, "", err)
}

type rolloutInput struct {
	ControlPath
	ChangeInput
}

type advanceInput struct {
	ControlPath
	TrialInput
}

func (s *server) advanceControl(ctx context.Context, in *advanceInput) (*changed, error) {
	return s.try(ctx, control.RolloutNext{Control: in.Name}, &in.TrialInput)
}

func (s *server) stepControlBack(ctx context.Context, in *rolloutInput) (*changed, error) {
	return s.change(ctx, control.RolloutBack{Control: in.Name}, &in.ChangeInput)
}

// listExceptions answers with all: they are few.
func (s *server) listExceptions(ctx context.Context, _ *struct{}) (*page[control.ExceptionInfo], error) {
	exceptions, err := s.plane.Exceptions(ctx)
	return listed(exceptions, "", err)
}

type addExceptionInput struct {
	ChangeInput
	Body ExceptionBody
}

func (s *server) addException(ctx context.Context, in *addExceptionInput) (*changed, error) {
	b := &in.Body
	return s.change(ctx, control.AddException{Controls: b.Controls, Prefix: b.Prefix, User: b.User, Country: b.Country, Until: b.Until}, &in.ChangeInput)
}

type exceptionChangeInput struct {
	ID string `path:"id" minLength:"1" maxLength:"64"`
	ChangeInput
}

func (s *server) removeException(ctx context.Context, in *exceptionChangeInput) (*changed, error) {
	return s.change(ctx, control.RemoveException{ID: in.ID}, &in.ChangeInput)
}

type breakGlassInput struct {
	ChangeInput
	Body GlassBody
}

func (s *server) breakGlass(ctx context.Context, in *breakGlassInput) (*changed, error) {
	var c control.BreakGlass
	if in.Body.For != nil {
		c.For = *in.Body.For
	}
	return s.change(ctx, c, &in.ChangeInput)
}

func (s *server) endGlass(ctx context.Context, in *ChangeInput) (*changed, error) {
	return s.change(ctx, control.EndGlass{}, in)
}

type bundlesOutput struct{ Body control.BundleInfo }

func (s *server) getBundles(ctx context.Context, _ *struct{}) (*bundlesOutput, error) {
	info, err := s.plane.Bundle(ctx)
	return &bundlesOutput{info}, err
}

type setBundlesInput struct {
	ChangeInput
	Body BundlesBody
}

// setBundles takes no revision: it says all that a subscription is.
func (s *server) setBundles(ctx context.Context, in *setBundlesInput) (*changed, error) {
	c := control.SetBundles{Origin: in.Body.Origin, Key: in.Body.Key}
	if in.Body.Every != nil {
		c.Every = time.Duration(*in.Body.Every)
	}
	return s.change(ctx, c, &in.ChangeInput)
}

func (s *server) stopBundles(ctx context.Context, in *ChangeInput) (*changed, error) {
	return s.change(ctx, control.StopBundles{}, in)
}

type approveBundleInput struct {
	ChangeInput
	Body ApproveBody
}

func (s *server) approveBundle(ctx context.Context, in *approveBundleInput) (*changed, error) {
	return s.change(ctx, control.ApproveBundle{Number: in.Body.Number}, &in.ChangeInput)
}
