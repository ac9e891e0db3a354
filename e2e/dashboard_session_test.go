package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
)

// visitor is somebody with a browser profile of his own, and a device that holds his passkeys.
type visitor struct {
	*tab
	name string
	d    *dashboard
}

// comes opens a profile for somebody, who signs in and makes a passkey.
func (d *dashboard) comes(browser context.Context, name string) *visitor {
	d.t.Helper()
	p := &visitor{newTab(d.t, browser, d.url, looks[0], chromedp.WithNewBrowserContext()), name, d}
	p.key()
	p.enter(d.code(name, access.Superuser))
	p.enrol()
	return p
}

// settledDialog says that the dialog tells what the change will do, or why not.
const settledDialog = `document.querySelector("dialog[open] .preview p") && !document.querySelector("dialog[open] [aria-busy=true]")`

// TestTheDashboardKnowsWhoSitsThere: the passkey is asked for again, two people are, and a session that is over is over
// in every tab.
func TestTheDashboardKnowsWhoSitsThere(t *testing.T) {
	chrome := browser(t)
	settings := withDashboard(t, standard(t, coverSite(t).addr, nil))
	settings.values["admin.two_person"] = []string{"enforce"}
	n := start(t, settings)
	d := dashboardOf(n, settings)
	nadia, omid := d.comes(chrome, "nadia"), d.comes(chrome, "omid")
	for _, part := range []struct {
		name string
		play func(t *testing.T, n *node, nadia, omid *visitor)
	}{
		{"a passkey once more", stepsUp}, {"two people", twoPeople}, {"a session ended elsewhere", endedElsewhere}, {"signing out in one tab", signsOutEverywhere},
	} {
		t.Run(part.name, func(t *testing.T) {
			part.play(t, &node{t: t, cmd: n.cmd, exited: n.exited, api: n.api}, nadia.on(t), omid.on(t))
		})
	}
}

func (p *visitor) on(t *testing.T) *visitor { return &visitor{p.tab.on(t), p.name, p.d} }

// stepsUp: whoever has a passkey and comes by a code shows it before what takes the level superuser, in a dialog over
// the change, which then goes on.
func stepsUp(t *testing.T, n *node, nadia, _ *visitor) {
	nadia.enter(nadia.d.code("nadia", access.Superuser))
	if got := is[string](nadia.tab, `fetch("/auth/me").then((r) => r.text())`); strings.Contains(got, "fresh_until") {
		t.Fatalf("a code counts as a passkey: %s", got)
	}
	nadia.visit("tokens")
	nadia.press("New token")
	nadia.fill("Name", "backup")
	nadia.says("Is it still you?")
	if tokens, err := n.api.Tokens(t.Context()); err != nil || len(tokens) != 0 {
		t.Fatalf("before: %d tokens, %v", len(tokens), err)
	}
	nadia.pressIn("Is it still you?", "Use the passkey")
	nadia.await("the question to be answered", `![...document.querySelectorAll("dialog h2")].some((h) => h.textContent === "Is it still you?")`)
	nadia.await("what it will do", settledDialog+` && !document.querySelector("dialog .failure")`)
	nadia.press("New token")
	nadia.says("mtg_")
	tokens, err := n.api.Tokens(t.Context())
	if err != nil || len(tokens) != 1 || tokens[0].Name != "backup" {
		t.Errorf("after: %+v, %v", tokens, err)
	}
	nadia.press("Close")
}

// pressIn presses a button of the dialog with that title, which may lie over another.
func (b *tab) pressIn(title, name string) {
	b.t.Helper()
	button := fmt.Sprintf(`[...document.querySelectorAll("dialog[open]")].filter((d) => d.querySelector("h2").textContent === %q).flatMap((d) => [...d.querySelectorAll("button")]).find((b) => !b.disabled && b.textContent.trim() === %q)`, title, name)
	b.await("button "+name, button)
	is[chromedp.Void](b, button+".click()")
}

// twoPeople: one asks for enforcement and cannot approve it; the other does, and then it is in force.
func twoPeople(t *testing.T, n *node, nadia, omid *visitor) {
	nadia.visit("policy/conns.addr")
	nadia.press("Set the mode")
	nadia.fill("Mode", "enforce")
	nadia.fill("For how many percent", "10")
	nadia.fill("Reason", "a week without a refused user")
	nadia.await("what it will do", `document.querySelector("dialog .failure")`)
	is[chromedp.Void](nadia.tab, `document.querySelector("dialog input[type=checkbox]").click()`)
	nadia.await("what it will do", settledDialog+` && !document.querySelector("dialog .failure")`)
	nadia.press("Save")
	var waits control.ApprovalInfo
	n.await("a change that waits", func() bool {
		items, _, err := n.api.Approvals(t.Context(), 0, 10)
		if err == nil && len(items) == 1 {
			waits = items[0]
		}
		return waits.State == "pending"
	})
	if c := n.control("conns.addr"); c.Mode != "monitor" {
		t.Fatalf("nobody has approved, and conns.addr is %s", c.Mode)
	}
	approve := func(p *visitor) {
		p.visit("tokens")
		p.press("Approve")
		p.fill("Reason", "looked at it")
	}
	approve(nadia)
	nadia.await("a refusal", settledDialog+` && document.querySelector("dialog .failure")`)
	if got := is[string](nadia.tab, `fetch("/api/v1/approvals/`+waits.ID+`/approve?reason=x", { method: "POST", headers: { "Content-Type": "application/json" } }).then(async (r) => r.status + " " + await r.text())`); !strings.HasPrefix(got, "4") || !strings.Contains(got, "another person") {
		t.Errorf("who asked approves it: %s", got)
	}
	nadia.press("Cancel")
	if c := n.control("conns.addr"); c.Mode != "monitor" {
		t.Fatalf("who asked has approved it himself: conns.addr is %s", c.Mode)
	}
	approve(omid)
	omid.await("what it will do", settledDialog)
	omid.await("the change itself", `["conns.addr", "enforce"].every((word) => document.querySelector("dialog pre").textContent.includes(word))`)
	omid.says("--force")
	omid.press("Approve")
	n.await("the change to be in force", func() bool { c := n.control("conns.addr"); return c.Mode == "enforce" && c.Percent == 10 })
	nadia.visit("policy/conns.addr")
	nadia.says("enforce")
	items, _, err := n.api.Approvals(t.Context(), 0, 10)
	if err != nil || len(items) != 1 || items[0].State != "approved" || !strings.HasPrefix(items[0].Decider, "omid") || items[0].Person != "nadia" {
		t.Errorf("the approval is %+v, %v", items, err)
	}
	rows, err := n.api.AuditTail(t.Context(), 20, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(rows, func(r control.AuditRow) bool {
		return r.Action == "approval.approve" && r.Outcome == "refused" && strings.HasPrefix(r.Actor, "nadia")
	}) {
		t.Errorf("that nadia tried to approve her own change is not in the audit log: %+v", rows)
	}
}

// endedElsewhere: an open dashboard whose session was ended leaves, and its stream ends.
func endedElsewhere(t *testing.T, n *node, nadia, omid *visitor) {
	nadia.visit("users")
	quiet := nadia.d.beside(nadia) // a page of the same session that looks at nothing but the stream
	quiet.do(chromedp.Navigate(nadia.url + "/enter.css"))
	is[chromedp.Void](quiet, `window.stream = new EventSource("/api/v1/events?kind=sample"); undefined`)
	quiet.await("the stream", `stream.readyState === EventSource.OPEN`)
	if _, err := n.api.EndSessions(t.Context(), admin.EndSessionsBody{Person: "nadia"}, admin.ChangeOptions{Reason: "lost the laptop"}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	nadia.await("the sign-in", `location.pathname === "/enter"`)
	left := time.Since(began)
	quiet.await("the end of the stream", `stream.readyState === EventSource.CLOSED`)
	t.Logf("the page left %v after its session was ended, the stream %v", left.Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond))
	if got := is[string](omid.tab, whoIs); got != "200 omid" {
		t.Errorf("who was not meant is %s", got)
	}
}

// beside opens another tab of somebody's profile.
func (d *dashboard) beside(p *visitor) *tab {
	p.t.Helper()
	return newTab(p.t, p.ctx, d.url, looks[0], chromedp.WithExistingBrowserContext(p.profile()))
}

// profile is the browser's name for the profile that a tab belongs to.
func (b *tab) profile() cdp.BrowserContextID {
	b.t.Helper()
	return call(b, target.GetTargetInfo, target.GetTargetInfoParams{}).TargetInfo.BrowserContextID
}

// signsOutEverywhere: who signs out in one tab is signed out in all.
func signsOutEverywhere(t *testing.T, _ *node, nadia, _ *visitor) {
	nadia.enter(nadia.d.code("nadia", access.Superuser))
	other := nadia.d.beside(nadia)
	other.visit("users")
	nadia.visit("overview")
	nadia.press("Sign out")
	began := time.Now()
	other.await("the sign-in in the other tab", `location.pathname === "/enter"`)
	t.Logf("the other tab left after %v", time.Since(began).Round(time.Millisecond))
	if got := is[string](other, `document.body.innerText`); strings.Contains(got, "alice") {
		t.Errorf("the other tab shows %s", got)
	}
}
