package history

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

// Bounds of an answer.
const (
	maxPoints = 1000   // of one series
	maxAll    = 20_000 // of all series together
)

// Span is how far back there is anything.
const Span = 90 * 24 * time.Hour

// Query asks for series.
type Query struct {
	// Names are names or patterns of path.Match; none means all columns.
	Names []string
	// From is when the first point may begin, To the time before which all do.
	From, To time.Time
	// Step is how much time a point stands for: whole minutes. 0 chooses; a step that is too fine for what is kept of that time, or for the
	// bounds of an answer, is made longer.
	Step time.Duration
}

// Series is one column over time.
type Series struct {
	Name string `json:"name"`
	Unit string `json:"unit" enum:"seconds,bytes,ratio,count"`
	By   string `json:"by" enum:"sum,max" doc:"what a point is of all that happened in its time"`
	Step int64  `json:"step" doc:"seconds that a point stands for"`
	// Points are ordered by time. There is none where the node did not run.
	Points []Point `json:"points"`
}

// Point is one value.
type Point struct {
	At    time.Time `json:"at" doc:"when its time begins"`
	Value float64   `json:"value"`
}

// ErrQuery is in all errors of Query that are the asker's.
var ErrQuery = errors.New("no such series")

// Query answers from the finest rows that reach back to q.From, as of now: at most 1000 points of a series and 20,000 of all.
func (h *History) Query(q Query, now time.Time) ([]Series, error) {
	if !q.From.Before(q.To) {
		return nil, fmt.Errorf("%w: from %s is not before to", ErrQuery, q.From.UTC().Format(time.RFC3339))
	}
	if q.Step < 0 || q.Step%time.Minute != 0 {
		return nil, fmt.Errorf("%w: a step of %v; whole minutes can be had", ErrQuery, q.Step)
	}
	chosen, err := h.choose(q.Names)
	if err != nil {
		return nil, err
	}
	from, to := max(q.From.Unix(), now.Add(-Span).Unix()), min(q.To.Add(time.Second-1).Unix(), now.Unix()+1) // a second that has begun counts
	t, step := resolution(from, to, int64(q.Step/time.Second), len(chosen), now)
	list := make([]Series, len(chosen))
	for i, c := range chosen {
		list[i] = Series{Name: h.columns[c].Name, Unit: h.columns[c].Unit, By: "sum", Step: step, Points: []Point{}}
		if h.columns[c].Max {
			list[i].By = "max"
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	b := make([]byte, rowSize)
	for start := floor(from+step-1, step); start < to; start += t.step {
		row := h.read(t, start, b)
		at := time.Unix(floor(start, step), 0).UTC()
		for i, c := range chosen {
			v := row[h.place[c]]
			if math.IsNaN(v) || math.IsInf(v, 0) {
				continue
			}
			points := &list[i].Points
			if last := len(*points) - 1; last >= 0 && (*points)[last].At.Equal(at) {
				(*points)[last].Value = merge(h.columns[c].Max, (*points)[last].Value, v)
			} else {
				*points = append(*points, Point{at, v})
			}
		}
	}
	return list, nil
}

// choose returns the columns that are meant.
func (h *History) choose(patterns []string) (chosen []int, err error) {
	if len(patterns) == 0 {
		patterns = []string{"*"}
	}
	for i, c := range h.columns {
		if slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, c.Name); return ok && err == nil }) {
			chosen = append(chosen, i)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrQuery, strings.Join(patterns, " "))
	}
	return chosen, nil
}

// resolution chooses which rows are read, and what a point stands for.
func resolution(from, to, step int64, series int, now time.Time) (tier, int64) {
	most := int64(max(1, min(maxPoints, maxAll/max(series, 1))))
	least := (max(to-from, 1) + most - 1) / most
	t := tiers[len(tiers)-1]
	for _, finer := range tiers {
		if now.Unix()-from <= finer.rows*finer.step {
			t = finer
			break
		}
	}
	step = max(step, least, t.step)
	return t, (step + t.step - 1) / t.step * t.step
}

// Columns are those of Open.
func (h *History) Columns() []Column { return slices.Clone(h.columns) }
