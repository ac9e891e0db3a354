package main

import (
	"testing"
	"time"

	"mtguard/telemetry/history"
)

func TestSparkline(t *testing.T) {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	points := func(values ...float64) (list []history.Point) {
		for i, v := range values {
			if v >= 0 { // else there is none
				list = append(list, history.Point{At: from.Add(time.Duration(i) * time.Hour), Value: v})
			}
		}
		return list
	}
	for _, c := range []struct {
		by     string
		points []history.Point
		want   string
		total  float64
	}{
		{"sum", points(0, 1, 2, 3, 4, 5, 6, 8), "|▁▂▃▄▅▆▇█|", 29},
		{"max", points(8, -1, -1, 8, 0), "|█  █▁   |", 8},
		{"sum", points(0, 0), "|▁▁      |", 0},
		{"sum", nil, "|        |", 0},
	} {
		s := history.Series{By: c.by, Step: 3600, Points: c.points}
		if got := sparkline(s, from, from.Add(7*time.Hour)); got != c.want || total(s) != c.total {
			t.Errorf("%v: %s, in all %v, want %s, %v", c.points, got, total(s), c.want, c.total)
		}
	}
	late := history.Series{By: "sum", Step: 3600, Points: points(1, 1, 1)}
	if got := sparkline(late, from.Add(90*time.Minute), from.Add(2*time.Hour)); got != "|██|" {
		t.Errorf("points before its time: %s", got)
	}
}
