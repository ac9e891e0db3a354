package e2e

import (
	"log/slog"
	"math"
	"path/filepath"
	"testing"
	"time"

	"mtguard/telemetry/history"
)

// remember fills the history of a node that does not run yet: days with their nights, an attack of an hour every
// third evening, and twice a time in which the node did not run: half an hour three hours ago, two days a week ago.
func remember(t *testing.T, s *settings, days int) {
	t.Helper()
	columns := []history.Column{
		{Name: "served", Unit: "count"}, {Name: "refused", Unit: "count"}, {Name: "would_refuse:rate.accept", Unit: "count"},
		{Name: "would_refuse:conns.addr", Unit: "count"}, {Name: "bytes_up", Unit: "bytes"}, {Name: "bytes_down", Unit: "bytes"},
	}
	h, err := history.Open(filepath.Join(s.values["state.dir"].(string), "history"), columns, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	now := time.Now().Truncate(time.Minute)
	// As the file keeps it: minutes of a day, quarters of thirty days, hours before.
	for at := now.AddDate(0, 0, -days); at.Before(now); {
		ago, step := now.Sub(at), time.Hour
		switch {
		case ago <= 24*time.Hour:
			step = time.Minute
		case ago <= 30*24*time.Hour:
			step = 15 * time.Minute
		}
		down := ago > 3*time.Hour && ago < 3*time.Hour+30*time.Minute || ago > 7*24*time.Hour && ago < 9*24*time.Hour
		if !down {
			seconds := step.Seconds()
			hour := float64(at.Unix()%86400) / 3600
			busy := 1.2 - math.Cos((hour-4)/24*2*math.Pi)
			noise := 1 + 0.15*math.Sin(float64(at.Unix()/60)*1.7)
			attack := 0.0
			if at.Unix()/86400%3 == 0 && hour >= 19 && hour < 20 {
				attack = 8
			}
			row := []float64{20 * busy * noise * seconds, (0.2 + attack) * seconds, 1.5 * busy * noise * seconds, attack / 3 * seconds, 2e6 * busy * noise * seconds, 3e7 * busy * noise * seconds}
			for i := range row {
				row[i] = math.Round(row[i])
			}
			if err := h.Add(at, row); err != nil {
				t.Fatal(err)
			}
		}
		at = at.Add(step)
	}
}
