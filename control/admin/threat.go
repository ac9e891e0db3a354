package admin

import (
	"context"

	"mtguard/control"
	"mtguard/control/threat"
)

type threatOutput struct{ Body threat.Standing }

func (s *server) getThreat(ctx context.Context, _ *struct{}) (*threatOutput, error) {
	status, err := s.plane.ThreatStatus(ctx)
	return &threatOutput{status}, err
}

type threatFindingsInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

func (s *server) listThreatFindings(ctx context.Context, in *threatFindingsInput) (*page[threat.Finding], error) {
	items, err := s.plane.ThreatFindings(ctx, in.Limit)
	return listed(items, "", err)
}

type incidentsInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"how many at most"`
	Cursor int64  `query:"cursor" minimum:"0" doc:"next_cursor of the page before"`
	State  string `query:"state" enum:"open,acknowledged,contained,resolved,false-positive" doc:"only those in it; open: all that are not closed"`
}

func (s *server) listIncidents(ctx context.Context, in *incidentsInput) (*page[control.IncidentInfo], error) {
	items, next, err := s.plane.Incidents(ctx, control.IncidentFilter{State: in.State, After: in.Cursor, Limit: in.Limit})
	cursor := ""
	if next > 0 {
		cursor = number(int(next))
	}
	return listed(items, cursor, err)
}

// IncidentPath names an incident in a path.
type IncidentPath struct {
	ID string `path:"id" minLength:"1" maxLength:"64"`
}

type incidentOutput struct{ Body control.IncidentInfo }

func (s *server) getIncident(ctx context.Context, in *IncidentPath) (*incidentOutput, error) {
	info, err := s.plane.Incident(ctx, in.ID)
	return &incidentOutput{info}, err
}

// IncidentBody says for how long.
type IncidentBody struct {
	For *control.Duration `json:"for,omitempty" doc:"how long the block of contained holds (a day), or the exception of false-positive (90 days)"`
}

type moveIncidentInput struct {
	IncidentPath
	To string `path:"to" enum:"acknowledged,contained,resolved,false-positive"`
	ChangeInput
	Body IncidentBody
}

// moveIncident takes no revision: the state says what can follow.
func (s *server) moveIncident(ctx context.Context, in *moveIncidentInput) (*changed, error) {
	c := control.MoveIncident{ID: in.ID, To: in.To}
	if in.Body.For != nil {
		c.For = *in.Body.For
	}
	return s.change(ctx, c, &in.ChangeInput)
}
