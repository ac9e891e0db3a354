package control

import (
	"context"
	"errors"

	"mtguard/telemetry/history"
	"mtguard/telemetry/stats"
)

// Numbers is where the numbers of a node come from.
type Numbers interface {
	// Values are all metrics whose name a pattern means; see stats.Match.
	Values(pattern string) ([]stats.Value, error)
	// Series are what they were; see history.Query.
	Series(q history.Query) ([]history.Series, error)
}

// Series returns what numbers of the node were over time.
func (p *Plane) Series(_ context.Context, q history.Query) ([]history.Series, error) {
	if p.parts.Numbers == nil {
		return nil, nil
	}
	now := p.parts.Now()
	if q.To.IsZero() {
		q.To = now
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-day)
	}
	list, err := p.parts.Numbers.Series(q)
	if errors.Is(err, history.ErrQuery) {
		return nil, invalid("", "%v", err)
	}
	return list, err
}

// Stats returns the metrics whose name, with or without mtguard_ in front, a pattern with * and ? means; "" means all.
func (p *Plane) Stats(_ context.Context, pattern string) ([]stats.Value, error) {
	if p.parts.Numbers == nil {
		return nil, nil
	}
	return p.parts.Numbers.Values(pattern)
}
