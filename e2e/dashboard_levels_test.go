package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	cdbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"mtguard/security/access"
)

// openAs opens the dashboard to a person with that level who has come by a code.
func (d *dashboard) openAs(chrome context.Context, level access.Level) *tab {
	d.t.Helper()
	b := newTab(d.t, chrome, d.url, looks[0])
	b.enter(d.code(level.String(), level))
	return b
}

// TestTheDashboardShowsWhatALevelMayDo: who may only read sees every page whole, without a button that would be
// refused; an admin sees his; and nothing that a page asks for by itself is refused.
func TestTheDashboardShowsWhatALevelMayDo(t *testing.T) {
	chrome := browser(t)
	s := withDashboard(t, behindBalancer(t, coverSite(t).addr, telegram(t, 2)))
	n := start(t, s)
	n.past()
	buttons := func(b *tab) (all []string) {
		for _, page := range []string{"overview", "threats", "users", "users/mum", "keys", "policy", "policy/rate.accept", "policy/text", "access", "audit", "tokens", "system"} {
			b.visit(page)
			b.clean(page)
			all = append(all, is[[]string](b, `[...document.querySelectorAll("main button, main a.button")].map((e) => e.textContent.replace(/[\u2068\u2069]/g, "").trim())`)...)
		}
		return all
	}
	seen := map[access.Level][]string{}
	for _, level := range []access.Level{access.ReadOnly, access.Admin, access.Superuser} {
		seen[level] = buttons(dashboardOf(n, s).openAs(chrome, level))
	}
	for name, least := range map[string]access.Level{
		"Copy": access.ReadOnly, "Verify": access.ReadOnly, "HTML": access.ReadOnly, "The policy as text": access.ReadOnly,
		"Add a user": access.Admin, "New secret": access.Admin, "Remove": access.Admin, "Revoke": access.Admin, "Block an address": access.Admin, "Audit now": access.Admin,
		"Set the mode": access.Admin, "Edit": access.Admin, "Show links and QR": access.Admin,
		"Edit as text": access.Superuser, "New token": access.Superuser, "Break the glass": access.Superuser, "Next: enforce 10%": access.Superuser,
	} {
		for level, names := range seen {
			want := level >= least && !(name == "The policy as text" && level == access.Superuser)
			if got := slices.Contains(names, name); got != want {
				t.Errorf("%v sees %q: %v, want %v", level, name, got, want)
			}
		}
	}
}

// TestTheDashboardHandsOutFiles: reports and the audit log are kept as files, with the cookie of the session and
// nothing else, and are not shown in the tab.
func TestTheDashboardHandsOutFiles(t *testing.T) {
	chrome := browser(t)
	s := withDashboard(t, behindBalancer(t, coverSite(t).addr, telegram(t, 2)))
	n := start(t, s)
	b := dashboardOf(n, s).openAs(chrome, access.Superuser)
	dir := t.TempDir()
	call(b, cdbrowser.SetDownloadBehavior, cdbrowser.SetDownloadBehaviorParams{Behavior: "allow", DownloadPath: dir})
	b.visit("audit")
	for name, looksRight := range map[string]func([]byte) bool{
		"mtguard-compliance.html": func(f []byte) bool { return bytes.HasPrefix(f, []byte("<!doctype html>")) },
		"mtguard-compliance.json": json.Valid,
		"mtguard-compliance.md":   func(f []byte) bool { return bytes.HasPrefix(f, []byte("# ")) },
		"mtguard-audit.jsonl":     func(f []byte) bool { return bytes.Count(f, []byte("\n")) > 1 },
	} {
		label := map[string]string{".html": "HTML", ".json": "JSON", ".md": "Markdown", ".jsonl": "Download"}[filepath.Ext(name)]
		link := `[...document.querySelectorAll("main a[download]")].find((a) => a.textContent.trim().startsWith("` + label + `"))`
		b.await("the link "+label, link)
		is[chromedp.Void](b, link+".click()")
		var file []byte
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			var err error
			if file, err = os.ReadFile(filepath.Join(dir, name)); err == nil && len(file) > 0 {
				break
			}
			if time.Since(began) > patience {
				t.Fatalf("%s did not come: %v", name, err)
			}
		}
		if !looksRight(file) {
			t.Errorf("%s is %.80q", name, file)
		}
	}
	if at := is[string](b, "location.hash"); at != "#/audit" {
		t.Errorf("the tab went to %s", at)
	}
	b.clean("files")
}
