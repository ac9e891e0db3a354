package admin

import (
	"context"

	"mtguard/control/threat"
)

type threatOutput struct{ Body threat.Report }

func (s *server) getThreat(ctx context.Context, _ *struct{}) (*threatOutput, error) {
	status, err := s.plane.ThreatStatus(ctx)
	return &threatOutput{status}, err
}

type findingsInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

func (s *server) listFindings(ctx context.Context, in *findingsInput) (*page[threat.Finding], error) {
	items, err := s.plane.Findings(ctx, in.Limit)
	return listed(items, "", err)
}
