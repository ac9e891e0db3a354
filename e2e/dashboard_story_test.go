package e2e

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"mtguard/control"
)

// atDesk opens the dashboard over a node with a past, as it is looked at from a desk.
func atDesk(t *testing.T) (*node, *tab) {
	t.Helper()
	b := browser(t)
	s := withDashboard(t, behindBalancer(t, coverSite(t).addr, telegram(t, 2)))
	n := start(t, s)
	n.past()
	return n, dashboardOf(n, s).open(b, looks[0])
}

// TestTheDashboardPromotesAControlAndTakesItBack: what it will do in numbers, a reason, done; it waits to be kept,
// and undoing brings back what was. An enforcement that is kept stays.
func TestTheDashboardPromotesAControlAndTakesItBack(t *testing.T) {
	n, b := atDesk(t)
	b.visit("policy/conns.addr")
	enforce := func() {
		b.press("Set the mode")
		b.fill("Mode", "enforce")
		b.fill("For how many percent", "10")
		b.says("Connections looked at")
		b.says("A safety rule is against it") // the gate has not seen enough yet
		b.press("Cancel")
	}
	enforce()
	b.press("Set the mode")
	b.fill("Mode", "enforce")
	b.fill("For how many percent", "10")
	b.fill("Reason", "a week without a refused user")
	b.await("what it will do", `document.querySelector("dialog .failure")`)
	is[chromedp.Void](b, `document.querySelector("dialog input[type=checkbox]").click()`)
	b.says("conns.addr: monitor > enforce 10%")
	b.press("Save")
	b.says("Keep it?")
	if c := n.control("conns.addr"); c.Mode != "enforce" || c.Percent != 10 {
		t.Fatalf("conns.addr is %s %d", c.Mode, c.Percent)
	}
	b.press("Undo now")
	b.await("the end of the trial", `!document.querySelector(".trial")`)
	if c := n.control("conns.addr"); c.Mode != "monitor" {
		t.Errorf("undone, conns.addr is %s", c.Mode)
	}

	b.press("Set the mode")
	b.fill("Mode", "enforce")
	b.fill("Reason", "for all, and to stay")
	b.await("what it will do", `document.querySelector("dialog .failure")`)
	is[chromedp.Void](b, `document.querySelector("dialog input[type=checkbox]").click()`)
	b.says("conns.addr: monitor > enforce")
	b.press("Save")
	b.press("Keep")
	b.await("the end of the trial", `!document.querySelector(".trial")`)
	if c := n.control("conns.addr"); c.Mode != "enforce" {
		t.Errorf("kept, conns.addr is %s", c.Mode)
	}
	if trials, err := n.api.Trials(t.Context()); err != nil || len(trials) != 0 {
		t.Errorf("trials %v, %v", trials, err)
	}
	b.clean("promotion")
}

// TestTheDashboardResolvesAnIncidentAsFalsePositive: an exception is written, and can be taken back.
func TestTheDashboardResolvesAnIncidentAsFalsePositive(t *testing.T) {
	n, b := atDesk(t)
	open, _, err := n.api.Incidents(t.Context(), control.IncidentFilter{State: "open", Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	var scan control.IncidentInfo
	for _, i := range open {
		if i.Detector == "probe_scan" {
			scan = i
		}
	}
	b.visit("threats")
	is[chromedp.Void](b, fmt.Sprintf(`document.querySelector('a[href$=%q]').click()`, scan.ID))
	b.says("Timeline")
	b.press("False positive")
	b.fill("Reason", hostile)
	b.await("what it will do", `document.querySelector("dialog .preview p") && !document.querySelector("dialog [aria-busy=true]")`)
	b.press("False positive")
	n.await("the incident to be closed", func() bool {
		i, err := n.api.Incident(t.Context(), scan.ID)
		return err == nil && i.State == "false-positive"
	})
	b.await("the page to say so", `document.querySelector("main .tag") && document.querySelector("main").innerText.includes("false positive")`)
	exceptions, err := n.api.Exceptions(t.Context())
	if err != nil || len(exceptions) != 2 {
		t.Fatalf("exceptions %+v, %v", exceptions, err)
	}
	b.visit("policy")
	b.says(hostile)
	b.clean("false positive")
}

// TestTheDashboardRotatesASecret: the new link and its code are shown, the old one stays visible as retiring.
func TestTheDashboardRotatesASecret(t *testing.T) {
	n, b := atDesk(t)
	before, err := n.api.User(t.Context(), "nadia")
	if err != nil {
		t.Fatal(err)
	}
	b.visit("users/nadia")
	b.press("New secret")
	b.fill("Overlap", "3d")
	b.await("what it will do", `document.querySelector("dialog .preview p") && !document.querySelector("dialog [aria-busy=true]")`)
	b.press("New secret")
	b.says("Links of")
	b.await("a code", `document.querySelector("dialog img.qr")?.naturalWidth > 0`)
	link := is[string](b, `document.querySelector("dialog .address").innerText`)
	after, err := n.api.User(t.Context(), "nadia")
	if err != nil || after.Key == before.Key || after.Retiring != 1 || !strings.HasPrefix(link, "tg://proxy?") {
		t.Fatalf("after the rotation: %+v, link %q, %v", after, link, err)
	}
	b.press("Close")
	b.visit("keys")
	b.says(string(before.Key))
	b.clean("rotation")
}

// TestTheDashboardTakesKeysAlone: to another page, into a dialog, around in it, out again, and along a chart's range.
func TestTheDashboardTakesKeysAlone(t *testing.T) {
	_, b := atDesk(t)
	b.visit("overview")
	key := func(keys ...string) {
		t.Helper()
		for _, k := range keys {
			b.do(chromedp.KeyEvent(k))
		}
	}
	focus := func() string {
		return is[string](b, `(document.activeElement.getAttribute("aria-label") || document.activeElement.textContent).trim()`)
	}
	key(kb.Tab)
	if got := focus(); got != "Skip to the content" {
		t.Errorf("the first stop is %q", got)
	}
	key(kb.Enter)
	if got := is[string](b, "document.activeElement.id"); got != "main" {
		t.Errorf("skipping leads to %q", got)
	}
	key("?")
	b.says("Keys of the keyboard")
	for range 12 { // round and round inside
		key(kb.Tab)
		if !is[bool](b, `document.activeElement === document.body || !!document.activeElement.closest("dialog")`) {
			t.Fatalf("the focus left the dialog for %q", focus())
		}
	}
	key(kb.Escape)
	b.await("the dialog to close", `!document.querySelector("dialog")`)
	for letter, title := range map[string]string{"t": "Threats", "u": "Users & links", "k": "Keys", "p": "Policy & rollout", "a": "Access & blocks", "c": "Audit & compliance", "y": "System"} {
		key("g", letter)
		b.await(title, fmt.Sprintf(`document.querySelector("main h1")?.textContent === %q`, title))
		b.await("the focus on "+title, fmt.Sprintf(`document.activeElement.textContent === %q`, title))
	}
	key("g", "u")
	b.await("users", `document.activeElement.textContent === "Users & links" && document.querySelector("input[type=search]")`)
	key("/")
	b.await("the search field", `document.activeElement.matches("input[type=search]")`)
	key(kb.Backspace) // the protocol types the letter of a key even where the page has used the key up
	key("kiosk")
	b.await("one user", `document.querySelectorAll("main tbody tr").length === 1`)
	key(kb.Tab, kb.Tab, kb.Enter) // over the state to the name
	b.await("the user", `document.querySelector("main h1").textContent === "kiosk-3"`)
	b.await("its buttons", settled)
	for range 20 {
		if key(kb.Tab); focus() == "Disable" {
			break
		}
	}
	visible := `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2; })()`
	if focus() != "Disable" || !is[bool](b, visible) {
		t.Errorf("the focus is on %q, to be seen: %v", focus(), is[bool](b, visible))
	}
	key(kb.Enter)
	b.await("the dialog", `document.querySelector("dialog[open]")`)
	key(kb.Escape)
	b.await("the dialog to close", `!document.querySelector("dialog")`)
	b.await("the focus on Disable again", `document.activeElement.textContent.trim() === "Disable"`)
	b.clean("keys")
}

// TestTheDashboardUndoesWhatItDid: a user is disabled with a reason, and enabled again by the way back.
func TestTheDashboardUndoesWhatItDid(t *testing.T) {
	n, b := atDesk(t)
	disabled := func() bool {
		u, err := n.api.User(t.Context(), "mum")
		if err != nil {
			t.Fatal(err)
		}
		return u.Disabled
	}
	b.visit("users/mum")
	b.press("Disable")
	b.await("what it will do", `document.querySelector("dialog .preview p") && !document.querySelector("dialog [aria-busy=true]")`)
	b.press("Disable")
	if !is[bool](b, `document.querySelector("dialog input:invalid") !== null`) || disabled() {
		t.Error("it is done without a reason")
	}
	b.fill("Reason", "lost the phone")
	b.press("Disable")
	n.await("mum to be disabled", disabled)
	b.press("Undo")
	n.await("mum to be enabled again", func() bool { return !disabled() })
	rows, err := n.api.AuditTail(t.Context(), 2, 0)
	if err != nil || len(rows) != 2 || rows[0].Reason != "lost the phone" || rows[1].Reason != "taken back in the dashboard" {
		t.Errorf("the audit log ends with %+v, %v", rows, err)
	}
	b.clean("undo")
}

// TestTheDashboardHasRoomForTenThousand: users are paged by the node; the first paint and the next page are measured.
func TestTheDashboardHasRoomForTenThousand(t *testing.T) {
	const many = 10_000
	chrome := browser(t)
	s := withDashboard(t, standard(t, coverSite(t).addr, nil))
	for i := range many {
		secret := make([]byte, 16)
		rand.Read(secret)
		s.users[fmt.Sprintf("user-%05d", i)] = secret
	}
	n := start(t, s)
	b := dashboardOf(n, s).open(chrome, looks[0])
	b.visit("users")
	paint := is[float64](b, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	began := time.Now()
	b.press("Next")
	b.await("the second page", `document.querySelector(".paging span").textContent.includes("51")`)
	paged := time.Since(began)
	rows := is[int](b, `document.querySelectorAll("tbody tr").length`)
	frames := is[float64](b, `new Promise((done) => { let worst = 0, last = performance.now(), n = 0; const step = (now) => { worst = Math.max(worst, now - last); last = now; scrollBy(0, 30); ++n < 60 ? requestAnimationFrame(step) : done(worst); }; requestAnimationFrame(step); })`)
	b.fill("Name contains", "R-09999")
	b.await("the last user", `document.querySelectorAll("tbody tr").length === 1 && document.querySelector("tbody tr").innerText.includes("user-09999")`)
	t.Logf("%d users: first paint after %.0f ms, the next page after %v, the slowest of 60 frames while scrolling %.0f ms", many, paint, paged.Round(time.Millisecond), frames)
	if rows != 50 {
		t.Errorf("%d rows are drawn at once", rows)
	}
	b.clean("ten thousand")
}
