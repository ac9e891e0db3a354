package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"

	"mtguard/security/access"
)

// TestADashboardAloneProlongsNothing: an open page looks again and again, and says each time whether anybody has touched
// it since. The node goes by that when it ends sessions nobody is at.
func TestADashboardAloneProlongsNothing(t *testing.T) {
	b := browser(t)
	s := withDashboard(t, standard(t, coverSite(t).addr, telegram(t, 2)))
	n := start(t, s)
	d := dashboardOf(n, s)
	tab := newTab(t, b, d.url, looks[0])
	call(tab, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		window.said = [];
		const real = fetch;
		window.fetch = (url, init) => (String(url).startsWith("/api/") && said.push(new Headers(init.headers).get("Mtguard-Here")), real(url, init));
	`})
	tab.enter(d.code("nadia", access.Superuser))
	before := is[int](tab, "said.length")
	tab.await("the page looks by itself", fmt.Sprintf("said.length >= %d", before+4))
	if alone := is[string](tab, fmt.Sprintf("said.slice(%d, %d).join()", before, before+4)); alone != "no,no,no,no" {
		t.Errorf("with nobody there it says %s", alone)
	}
	before = is[int](tab, "said.length")
	call(tab, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: "mouseMoved", X: 200, Y: 200})
	tab.await("somebody is there", fmt.Sprintf(`said.slice(%d).includes("yes")`, before))
	tab.clean("overview")
}
