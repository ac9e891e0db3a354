package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"mtguard/control"
	"mtguard/security/access"
)

// TestEveryPageOfTheDashboard looks at every page in light, dark, Persian and on a phone: nothing on the console,
// nothing that the content policy had to refuse, no text of a stranger that runs, nothing that axe finds, and
// nothing wider than the screen. With MTGUARD_PICTURES=DIR it leaves a picture of each there.
func TestEveryPageOfTheDashboard(t *testing.T) {
	b := browser(t)
	s := withDashboard(t, behindBalancer(t, coverSite(t).addr, telegram(t, 2)))
	n := start(t, s)
	n.past()
	d := dashboardOf(n, s)
	open, _, err := n.api.Incidents(t.Context(), control.IncidentFilter{State: "open", Limit: 1})
	if err != nil || len(open) != 1 {
		t.Fatalf("%d incidents, %v", len(open), err)
	}
	findings, _, err := n.api.Findings(t.Context(), control.FindingFilter{Limit: 1})
	if err != nil || len(findings) != 1 {
		t.Fatalf("%d findings, %v", len(findings), err)
	}
	pages := []string{
		"overview", "threats", "threats/" + open[0].ID, "users", "users/mum", "users/omid", "keys", "policy", "policy/rate.accept", "policy/text",
		"access", "audit", "audit/" + findings[0].ID, "tokens", "system", "nowhere",
	}
	for _, l := range looks {
		t.Run(l.name, func(t *testing.T) {
			tab := newTab(t, b, d.url, l)
			tab.enter(d.code("nadia", access.Superuser))
			for _, page := range pages {
				tab.visit(page)
				tab.clean(page)
				if wide := is[int](tab, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
					t.Errorf("%s: %d pixels wider than the screen", page, wide)
				}
				if dir := os.Getenv("MTGUARD_PICTURES"); dir != "" {
					picture(tab, filepath.Join(dir, strings.NewReplacer("/", "-").Replace(page)+"-"+l.name+".png"))
				}
				tab.accessible(page)
			}
		})
	}
}

// picture writes down what a tab shows.
func picture(b *tab, path string) {
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	b.must(err)
	b.must(os.WriteFile(path, png, 0o644))
}
