package e2e

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"mtguard/security/access"
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

// paints notes when the page first shows something, when the tiles have their numbers, and when the chart is drawn.
const paints = `(() => {
	const at = window.paints = {};
	const note = (name, done) => { if (at[name] === undefined && done()) at[name] = performance.now(); };
	const look = () => {
		note("frame", () => document.querySelector("main h1"));
		note("tiles", () => [...document.querySelectorAll(".tile-value")].filter((v) => /\d/.test(v.textContent)).length >= 4); // two more wait for a sample, and for an audit
		note("chart", () => document.querySelector(".plot canvas"));
		if (at.tiles === undefined || at.chart === undefined) requestAnimationFrame(look);
	};
	look();
})()`

// TestTheDashboardPaintsSoon measures the first paint over 10,000 users and 90 days of history, as the node itself
// serves it: with nothing kept by the browser, and again. How long it takes is logged; what is asked for is counted.
func TestTheDashboardPaintsSoon(t *testing.T) {
	chrome := browser(t)
	s := standard(t, coverSite(t).addr, nil)
	for i := range 10_000 {
		secret := make([]byte, 16)
		rand.Read(secret)
		s.users[fmt.Sprintf("user-%05d", i)] = secret
	}
	remember(t, withDashboard(t, s), 90)
	b := dashboardOf(start(t, s), s).openAs(chrome, access.Superuser)
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `if (location.protocol === "http:") localStorage.setItem("mtguard.range", "7d"); ` + paints})
	for _, round := range []string{"nothing kept", "nothing kept", "kept", "kept"} {
		call(b, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: round == "nothing kept"})
		b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.url+"/#/overview"))
		b.await("tiles and chart", `window.paints?.tiles && window.paints.chart`)
		at := is[map[string]float64](b, `window.paints`)
		paint := is[float64](b, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
		files := is[int](b, `performance.getEntriesByType("resource").filter((e) => e.name.includes("/a/")).length`)
		sent := is[int](b, `performance.getEntriesByType("resource").filter((e) => e.name.includes("/a/")).reduce((n, e) => n + e.transferSize, 0)`)
		t.Logf("%s: first paint after %.0f ms, tiles with numbers %.0f, a chart of 7 days %.0f; %d files, %d bytes", round, paint, at["tiles"], at["chart"], files, sent)
		if round == "kept" && sent > 0 {
			t.Errorf("kept files are fetched again: %d bytes", sent)
		}
	}
	b.clean("first paint")
}
