package e2e

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
)

// dashboard is a node with a past, and the dashboard over it.
type dashboard struct {
	*node
	url string
}

// withDashboard has the node serve the dashboard, at an address of its own.
func withDashboard(t *testing.T, s *settings) *settings {
	t.Helper()
	s.values["admin.listen"] = freeAddr(t, "127.0.0.1")
	return s
}

// dashboardOf is the dashboard of a node that was started with one.
func dashboardOf(n *node, s *settings) *dashboard {
	n.t.Helper()
	_, port, ok := strings.Cut(s.values["admin.listen"].(string), ":")
	if !ok {
		n.t.Fatal("the node has no dashboard")
	}
	return &dashboard{n, "http://localhost:" + port}
}

// code is a one-time code that signs a person in, as mtguard dashboard prints it.
func (n *node) code(person string, level access.Level) string {
	n.t.Helper()
	made, err := n.api.MakeCode(n.t.Context(), admin.CodeBody{Person: person, Level: &level}, admin.ChangeOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	return made.Secret
}

// open opens the dashboard in a tab of its own, signed in with an address that works once.
func (d *dashboard) open(browser context.Context, l look, more ...chromedp.ContextOption) *tab {
	d.t.Helper()
	b := newTab(d.t, browser, d.url, l, more...)
	b.enter(d.code("nadia", access.Superuser))
	return b
}

// hostile are texts that would do something if they were taken for anything but text.
const (
	hostile      = `"><img src=x onerror="window.pwned=1">`
	hostileShort = `<script>window.pwned=1</script>`
)

// past gives a node what a few busy weeks leave: users, a rotation under way, rules, blocks, an
// exception, attacks with their incidents, an audit.
func (n *node) past() {
	n.t.Helper()
	do := func(_ control.Result, err error) {
		n.t.Helper()
		if err != nil {
			n.t.Fatal(err)
		}
	}
	ctx, why := n.t.Context(), admin.ChangeOptions{Reason: "handed out at the meeting"}
	for _, u := range []struct {
		name, note string
		level      access.Level
		expires    time.Duration
	}{
		{"nadia", "family", access.Standard, 0}, {"omid", "community, second phone", access.Standard, 90 * 24 * time.Hour},
		{"kiosk-3", "school lab, shared address", access.ReadOnly, 0}, {"ira", "security team", access.Admin, 0},
		{"mum", hostile, access.Standard, 0}, {"guest-7", "one week", access.Standard, 7 * 24 * time.Hour},
		{"left", hostileShort, access.Standard, 0},
	} {
		body := admin.UserBody{Name: u.name, Note: u.note, Level: &u.level}
		if u.expires > 0 {
			at := time.Now().Add(u.expires)
			body.Expires = &at
		}
		do(n.api.AddUser(ctx, body, why))
	}
	do(n.api.SetUser(ctx, "left", admin.UserPatch{Disabled: new(true)}, admin.ChangeOptions{Reason: "left the group " + hostileShort}))
	do(n.api.RotateKeys(ctx, admin.RotateBody{User: "ira"}, admin.ChangeOptions{Reason: "the link was in a public channel"}))
	do(n.api.RotateKeys(ctx, admin.RotateBody{User: "omid"}, why))
	do(n.api.AddRule(ctx, admin.RuleBody{Match: "192.0.2.0/28", Level: access.Admin, Pinned: true}, admin.ChangeOptions{Reason: "office, never shut out"}))
	do(n.api.AddRule(ctx, admin.RuleBody{Match: "198.51.100.0/24", Level: access.ReadOnly}, admin.ChangeOptions{Reason: hostile}))
	do(n.api.Block(ctx, admin.BlockBody{Target: "203.0.113.66"}, admin.ChangeOptions{Reason: "scans every night"}))
	do(n.api.AddException(ctx, admin.ExceptionBody{Controls: []string{"conns.user"}, User: "kiosk-3", Until: time.Now().Add(30 * 24 * time.Hour)},
		admin.ChangeOptions{Reason: "a whole school behind one address"}))
	do(n.api.SetControl(ctx, "rate.failures", admin.ModeBody{Mode: "enforce", Percent: 10}, admin.ChangeOptions{Reason: "a week without a refused user", Force: true}))

	storm, end := context.WithTimeout(ctx, time.Minute)
	defer end()
	var wg sync.WaitGroup
	for _, from := range []string{"203.0.113.9", "203.0.113.44", "198.18.7.1", "2001:db8:7::1"} {
		wg.Go(func() { attack(storm, n, from) })
	}
	for _, from := range []string{"192.0.2.10", "192.0.2.11"} {
		r := way(n.t, n.addr, fakeTLSSecret, dialWith(dialFrom(listed), headerV1(from)))
		wg.Go(func() {
			for storm.Err() == nil {
				knock(storm, r, 2) // what it gets other tests look at
			}
		})
	}
	n.await("incidents", func() bool {
		open, _, err := n.api.Incidents(ctx, control.IncidentFilter{State: "open", Limit: 50})
		return err == nil && len(open) >= 4
	})
	end()
	wg.Wait()
	if _, err := n.api.Audit(ctx, admin.AuditBody{}); err != nil {
		n.t.Fatal(err)
	}
}
