package admin

import (
	"context"
	"strings"
	"time"

	"mtguard/telemetry/history"
	"mtguard/telemetry/stats"
)

type statsInput struct {
	Name string `query:"name" maxLength:"128" doc:"only metrics of this name, with or without mtguard_ in front; * stands for any text, ? for any character"`
}

func (s *server) getStats(ctx context.Context, in *statsInput) (*page[stats.Value], error) {
	items, err := s.plane.Stats(ctx, in.Name)
	return listed(items, "", err)
}

type seriesInput struct {
	Name string    `query:"name" maxLength:"512" doc:"which series, separated by commas; * stands for any text; default: all"`
	From time.Time `query:"from" doc:"since when; default: a day before to"`
	To   time.Time `query:"to" doc:"until when; default: now"`
	Step int64     `query:"step" minimum:"0" maximum:"7776000" doc:"seconds that a point stands for, whole minutes; made longer where it is too fine; default: as fine as can be"`
}

func (s *server) getSeries(ctx context.Context, in *seriesInput) (*page[history.Series], error) {
	q := history.Query{From: in.From, To: in.To, Step: time.Duration(in.Step) * time.Second}
	if in.Name != "" {
		q.Names = strings.Split(in.Name, ",")
	}
	items, err := s.plane.Series(ctx, q)
	return listed(items, "", err)
}

// Series returns what numbers were over time.
func (c *Client) Series(ctx context.Context, q history.Query) ([]history.Series, error) {
	var page list[history.Series]
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	err := c.do(ctx, get("/stats/series", "name", strings.Join(q.Names, ","), "from", stamp(q.From), "to", stamp(q.To), "step", number(int64(q.Step/time.Second))), &page)
	return page.Items, err
}

// Stats returns the metrics whose name a pattern means, "" for all; see stats.Match.
func (c *Client) Stats(ctx context.Context, pattern string) ([]stats.Value, error) {
	var page list[stats.Value]
	err := c.do(ctx, get("/stats", "name", pattern), &page)
	return page.Items, err
}
