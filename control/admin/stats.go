package admin

import (
	"context"

	"mtguard/telemetry/stats"
)

type statsInput struct {
	Name string `query:"name" maxLength:"128" doc:"only metrics of this name, with or without mtguard_ in front; * stands for any text, ? for any character"`
}

func (s *server) getStats(ctx context.Context, in *statsInput) (*page[stats.Value], error) {
	items, err := s.plane.Stats(ctx, in.Name)
	return listed(items, "", err)
}

// Stats returns the metrics whose name a pattern means, "" for all; see stats.Match.
func (c *Client) Stats(ctx context.Context, pattern string) ([]stats.Value, error) {
	var page list[stats.Value]
	err := c.do(ctx, get("/stats", "name", pattern), &page)
	return page.Items, err
}
