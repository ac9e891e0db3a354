package control

import (
	"context"

	"mtguard/telemetry/stats"
)

// Numbers is where the numbers of a node come from.
type Numbers interface {
	// Values are all metrics whose name a pattern means; see stats.Match.
	Values(pattern string) ([]stats.Value, error)
}

// Stats returns the metrics whose name, with or without mtguard_ in front, a pattern with * and ? means; "" means all.
func (p *Plane) Stats(_ context.Context, pattern string) ([]stats.Value, error) {
	if p.parts.Numbers == nil {
		return nil, nil
	}
	return p.parts.Numbers.Values(pattern)
}
