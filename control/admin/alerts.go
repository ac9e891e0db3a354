package admin

import (
	"context"
	"net/http"

	"mtguard/control"
	"mtguard/control/alert"
)

// SilenceBody is a maintenance window.
type SilenceBody struct {
	Code string           `json:"code,omitempty" maxLength:"64" doc:"of one condition; left out: all"`
	For  control.Duration `json:"for" doc:"how long, such as 2h"`
}

type alertsOutput struct{ Body alert.Report }

func (s *server) getAlerts(ctx context.Context, _ *struct{}) (*alertsOutput, error) {
	report, err := s.plane.Alerts(ctx)
	return &alertsOutput{report}, err
}

type testAlertsInput struct {
	Receiver string `query:"receiver" maxLength:"64" doc:"left out: all"`
}

func (s *server) testAlerts(ctx context.Context, in *testAlertsInput) (*page[alert.Answer], error) {
	answers, err := s.plane.TestAlerts(ctx, actor(ctx), in.Receiver)
	return listed(answers, "", err)
}

type silenceInput struct {
	ChangeInput
	Body SilenceBody
}

func (s *server) silenceAlerts(ctx context.Context, in *silenceInput) (*changed, error) {
	return s.change(ctx, control.SilenceAlerts{Code: in.Body.Code, For: in.Body.For}, &in.ChangeInput)
}

type endSilenceInput struct {
	ID string `path:"id" minLength:"1" maxLength:"64"`
	ChangeInput
}

func (s *server) endSilence(ctx context.Context, in *endSilenceInput) (*changed, error) {
	return s.change(ctx, control.EndSilence{ID: in.ID}, &in.ChangeInput)
}

// Alerts returns what fires, who is told, and what is silenced.
func (c *Client) Alerts(ctx context.Context) (report alert.Report, err error) {
	err = c.do(ctx, get("/alerts"), &report)
	return report, err
}

// TestAlerts sends a test to one receiver, or with "" to all, and returns what they said.
func (c *Client) TestAlerts(ctx context.Context, receiver string) ([]alert.Answer, error) {
	k := get("/alerts/test", "receiver", receiver)
	k.method, k.long = http.MethodPost, true
	var page list[alert.Answer]
	err := c.do(ctx, k, &page)
	return page.Items, err
}

// SilenceAlerts begins a maintenance window.
func (c *Client) SilenceAlerts(ctx context.Context, body SilenceBody, o ChangeOptions) (control.Result, error) {
	return c.change(ctx, http.MethodPost, "/alerts/silences", body, o)
}

// EndSilence ends a maintenance window.
func (c *Client) EndSilence(ctx context.Context, id string, o ChangeOptions) (control.Result, error) {
	return c.changeNamed(ctx, http.MethodDelete, "/alerts/silences/", "id", id, "", nil, o)
}
