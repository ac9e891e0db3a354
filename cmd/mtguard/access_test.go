package main

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/preview"
	"mtguard/security/access"
)

func (p *fakePlane) Rules(context.Context, control.RuleFilter) ([]control.RuleInfo, string, error) {
	return p.rules, "", p.refusal
}

func (p *fakePlane) Lists(context.Context) ([]control.ListInfo, error) { return p.lists, p.refusal }

func (p *fakePlane) CheckAccess(_ context.Context, q control.CheckQuery) (control.AccessReport, error) {
	return control.AccessReport{User: q.User, UserLevel: new(access.Standard), Outcome: "let through", Rule: q.User, Considered: []control.ConsideredRule{{Rule: q.User, Why: q.User}}}, p.refusal
}

func (p *fakePlane) Policy(context.Context, int64) (control.PolicyInfo, error) {
	return p.policy, p.refusal
}

func (p *fakePlane) PolicyHistory(context.Context, int64, int) ([]control.PolicyInfo, error) {
	return []control.PolicyInfo{p.policy}, p.refusal
}

func (p *fakePlane) Exceptions(context.Context) ([]control.ExceptionInfo, error) {
	return p.exceptions, p.refusal
}

func (p *fakePlane) Controls(context.Context) ([]control.ControlInfo, error) {
	return []control.ControlInfo{{Name: "rate.accept", Mode: "monitor", Allowed: 9000, WouldRefuse: 1204, KnownWould: 31}}, p.refusal
}

func (p *fakePlane) Bundle(context.Context) (control.BundleInfo, error) { return p.bundle, p.refusal }

func (p *fakePlane) Preview(_ context.Context, q control.PreviewQuery) (control.PreviewReport, error) {
	p.asked = q
	return p.preview, p.refusal
}

func TestAPreviewNamesWhomItWouldHit(t *testing.T) {
	day := time.Date(2026, 12, 1, 12, 0, 0, 0, time.Local)
	plane := &fakePlane{preview: control.PreviewReport{
		From: day, To: day.Add(24 * time.Hour), Connections: 5000, Known: 4000, Users: 120, Refused: 1204, KnownRefused: 1204, UsersRefused: 6, RefusedNow: 3,
		Controls: []preview.ControlReport{{Control: "rate.accept", Mode: "enforce", Percent: 10, Refused: 1204, RefusedNow: 3, Addresses: 31, UsersRefused: 6,
			Users: []preview.UserCount{{User: "kiosk-3", Refused: 1150}, {User: "school-lab", Refused: 41}, {User: "omid", Refused: 9}, {User: "alice", Refused: 2}, {User: "bob", Refused: 1}, {User: "carol", Refused: 1}}}},
		Endings: []preview.Ending{{Transport: "classic", Until: day.Add(720 * time.Hour), Connections: 12, UsersCame: 2, Refused: 9, WouldRefuse: 3, Users: []preview.EndingFor{
			{User: "kiosk-3", Connections: 9, Refused: 9, Last: time.Now().Add(-5 * time.Minute)}, {User: "omid", Connections: 3, Last: time.Now().Add(-time.Hour)}}}},
		NotJudged: []string{"bytes.user"}, Notes: []string{"older ones are gone"},
	}}
	socket := plane.node(t)
	code, out, stderr := typed("", "policy", "preview", "--control", "rate.accept", "--percent", "10", "--last", "2d", "--server", socket)
	for _, want := range []string{
		"5000 connections from 2026-12-01 12:00 to 2026-12-02 12:00, 4000 of 120 known users\n",
		"refused: 1204, 1204 of them of 6 known users; by the policy in force 3\n",
		"rate.accept  enforce 10%  1204     3    0        31     kiosk-3 1150, school-lab 41, omid 9, alice 2, 2 more\n",
		"12          9             3        kiosk-3 9, last 5m ago; omid 3, last 60m ago\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("exit code %d, %q, without %q; %q", code, out, want, stderr)
		}
	}
	if plane.asked != (control.PreviewQuery{Control: "rate.accept", Percent: 10, Since: 48 * time.Hour}) || !strings.Contains(stderr, "bytes.user") || !strings.Contains(stderr, "older ones") {
		t.Errorf("asked %+v, noted %q", plane.asked, stderr)
	}
	plane.preview = control.PreviewReport{}
	if _, out, _ := typed("", "policy", "preview", "--control", "rate.accept", "--server", socket); !strings.HasPrefix(out, "no connections are recorded of that time\n") {
		t.Errorf("of nothing: %q", out)
	}
}

func TestForeignRulesCannotDriveTheTerminal(t *testing.T) {
	const evil = "o\x1b[2Jff\u202eice\n$(reboot) 'x"
	plane := &fakePlane{
		rules:      []control.RuleInfo{{ID: "r1", Match: "203.0.113.7", Source: "operator", State: "in force", Reason: evil, By: evil}},
		lists:      []control.ListInfo{{Name: "drop", Origin: evil, Problem: evil}},
		policy:     control.PolicyInfo{Revision: 3, Document: "# \x1b[2J" + "\u202e\nschema = 1\n", Actor: evil, Reason: evil},
		exceptions: []control.ExceptionInfo{{ID: "e1", Controls: []string{"conns.addr"}, User: evil, Owner: evil, Reason: evil}},
		bundle:     control.BundleInfo{Origin: evil, Problem: evil, Waiting: &control.BundleWaiting{Changes: []control.PolicyValue{{Path: evil, Value: evil}}}},
	}
	socket := plane.node(t)
	for _, args := range []string{
		"access list", "access export", "access check 203.0.113.7 --user \x1b[2J", "block list", "list show", "policy show", "policy history", "policy exceptions", "policy bundle show",
	} {
		code, out, stderr := typed("", append(strings.Split(args, " "), "--server", socket)...)
		if code != 0 || strings.ContainsAny(out+stderr, "\x1b\u202e") {
			t.Errorf("%s (exit code %d) prints %q, %q", args, code, out, stderr)
		}
	}
}

// TestAnExportIsOneCommandForEachRule, whatever a reason holds: it is run by a shell.
func TestAnExportIsOneCommandForEachRule(t *testing.T) {
	from, until := time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2099, 2, 3, 4, 5, 6, 0, time.UTC)
	rules := []control.RuleInfo{
		{ID: "r1", Match: "203.0.113.*", Level: access.None, Source: "operator", State: "in force", Reason: "it's $(reboot)\n; `reboot` \"x\" \\"},
		{ID: "r2", Match: "sni:*.example.com", Level: access.ReadOnly, State: "not yet", From: &from, Until: &until, Schedule: "mon-fri 08:00-18:00 Europe/Berlin", Pinned: true},
		{ID: "r3", Match: "192.0.2.1", State: "over"},
		{ID: "r4", Match: "192.0.2.2", State: "to be confirmed", ConfirmBy: &until},
	}
	socket := (&fakePlane{rules: rules}).node(t)
	_, out, _ := typed("", "access", "export", "--server", socket)
	dir := t.TempDir()
	fake := "#!/bin/sh\nfor a in \"$@\"; do printf '[%s]' \"$a\"; done\necho\n"
	if err := os.WriteFile(filepath.Join(dir, "mtguard"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("/bin/sh", "-eu")
	shell.Dir, shell.Env, shell.Stdin = dir, []string{"PATH=" + dir}, strings.NewReader(out)
	got, err := shell.CombinedOutput()
	want := "[access][add][203.0.113.*][--level][none][--reason][it's $(reboot) ; `reboot` \"x\" \\]\n" +
		"[access][add][sni:*.example.com][--level][read_only][--from][2099-01-02T03:04:05Z][--until][2099-02-03T04:05:06Z][--schedule][mon-fri 08:00-18:00 Europe/Berlin][--pin]\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nof\n%s\nwant\n%s", err, got, out, want)
	}
}

func TestEnforcingSaysWhatItWillDoAndAsks(t *testing.T) {
	plane := &fakePlane{result: control.Result{Summary: "policy r2 is in force: 1 change"}}
	socket := plane.node(t)
	enforce := []string{"policy", "mode", "rate.accept", "enforce", "--percent", "10", "--reason", "quiet", "--server", socket}
	code, _, stderr := typed("yes\n", enforce...)
	const want = "enforce rate.accept for 10%: since the start it would have refused 1204 connections of 10204, 31 of them of known users"
	if code != 5 || !strings.Contains(stderr, want) || plane.done() != 1 || !plane.options[0].DryRun { // the node is asked first
		t.Errorf("exit code %d, %q, %d changes", code, stderr, plane.done())
	}
	code, _, stderr = typed("rate.accept\n", enforce...)
	if code != 0 || plane.done() != 3 || plane.changes[2] != (control.SetMode{Control: "rate.accept", Mode: "enforce", Percent: 10}) ||
		!plane.options[1].DryRun || plane.options[2].DryRun || plane.options[2].Reason != "quiet" {
		t.Errorf("exit code %d, %q, %+v", code, stderr, plane.changes)
	}
	if code, _, _ := typed("", "policy", "mode", "rate.accept", "monitor", "--server", socket); code != 0 || plane.done() != 4 {
		t.Errorf("monitor asks: exit code %d", code)
	}
}

// TestABundleIsApprovedAsItWasSeen: neither another bundle nor another policy is.
func TestABundleIsApprovedAsItWasSeen(t *testing.T) {
	plane := &fakePlane{bundle: control.BundleInfo{Origin: "/srv/bundle"}}
	socket := plane.node(t)
	approve := []string{"policy", "bundle", "approve", "--reason", "seen", "--server", socket}
	if code, _, _ := typed("", approve...); code != 4 {
		t.Errorf("without one: exit code %d", code)
	}
	plane.bundle.Waiting = &control.BundleWaiting{Number: 5, Policy: 41, Changes: make([]control.PolicyValue, 3), Loosens: make([]control.PolicyValue, 1)}
	code, _, stderr := typed("5\n", approve...)
	if code != 0 || !strings.Contains(stderr, "approve bundle 5: 3 changes of the policy, 1 of them loosen something") || plane.done() != 1 ||
		plane.changes[0] != (control.ApproveBundle{Number: 5}) || plane.options[0].IfRevision != 41 {
		t.Errorf("exit code %d, %q, %+v with %+v", code, stderr, plane.changes, plane.options)
	}
}

func TestWhomAnExceptionIsFor(t *testing.T) {
	for words, want := range map[string]admin.ExceptionBody{
		"alice":          {User: "alice"},
		"user:alice":     {User: "alice"},
		"user:10.0.0.1":  {User: "10.0.0.1"},
		"203.0.113.7":    {Prefix: "203.0.113.7"},
		"2001:db8::/32":  {Prefix: "2001:db8::/32"},
		"203.0.113.0/33": {Prefix: "203.0.113.0/33"}, // the node says what is wrong
		"country:DE":     {Country: "DE"},
		"user:alice country:unknown 203.0.113.0/24": {User: "alice", Country: "unknown", Prefix: "203.0.113.0/24"},
		"alice bob":                     {},
		"user:":                         {},
		"":                              {},
		"country:DE country:FR":         {},
		"203.0.113.0/24 203.0.113.0/24": {},
	} {
		var got admin.ExceptionBody
		var err error
		for _, word := range strings.Split(words, " ") {
			if err == nil {
				err = exceptWhom(&got, word)
			}
		}
		wrong := want.User == "" && want.Prefix == "" && want.Country == ""
		if (err != nil) != wrong || !wrong && (got.User != want.User || got.Prefix != want.Prefix || got.Country != want.Country) {
			t.Errorf("%q: %+v, %v", words, got, err)
		}
	}
}

func TestASpanCountsFromItsBeginning(t *testing.T) {
	now := time.Date(2026, 12, 2, 14, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		span
		from, until time.Time
		bad         bool
	}{
		{span{}, time.Time{}, time.Time{}, false},
		{span{long: "24h"}, time.Time{}, now.Add(24 * time.Hour), false},
		{span{from: "2d", long: "8h"}, now.Add(48 * time.Hour), now.Add(56 * time.Hour), false},
		{span{from: "1d", until: "2d"}, now.Add(24 * time.Hour), now.Add(48 * time.Hour), false},
		{span{until: "1d", long: "1h"}, time.Time{}, time.Time{}, true},
		{span{long: "0s"}, time.Time{}, time.Time{}, true},
		{span{from: "soon"}, time.Time{}, time.Time{}, true},
	} {
		from, until, err := c.times(now)
		same := func(got *time.Time, want time.Time) bool {
			return got == nil && want.IsZero() || got != nil && got.Equal(want)
		}
		if (err != nil) != c.bad || !c.bad && (!same(from, c.from) || !same(until, c.until)) {
			t.Errorf("%+v: %v, %v, %v", c.span, from, until, err)
		}
	}
}

func TestWhereAPersonComesFrom(t *testing.T) {
	for environment, want := range map[string]string{
		"SSH_CONNECTION=192.0.2.50 50000 192.0.2.1 22":            "192.0.2.50",
		"A=1|SSH_CLIENT=2001:db8::5 50000 22":                     "2001:db8::5",
		"SSH_CONNECTION=fe80::1%eth0 50000 fe80::2%eth0 22":       "fe80::1",
		"SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535":              "",
		"MY_SSH_CONNECTION=192.0.2.50 1 2 3|SSH_CONNECTIONS=|=|x": "",
		"": "",
	} {
		addr, ok := sshClient(strings.Split(environment, "|"))
		if ok != (want != "") || ok && addr != netip.MustParseAddr(want) {
			t.Errorf("%s: %v, %v", environment, addr, ok)
		}
	}
	plane := &fakePlane{}
	socket := plane.node(t)
	t.Setenv("SSH_CONNECTION", "192.0.2.50 50000 192.0.2.1 22")
	if code, _, stderr := typed("", "block", "192.0.2.0/24", "--server", socket); code != 0 || plane.by.From != netip.MustParseAddr("192.0.2.50") {
		t.Errorf("exit code %d, %q, from %v", code, stderr, plane.by.From)
	}
}

func TestTheParentOfAProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	if got, want := parentOf("/proc/self"), os.Getppid(); got != want {
		t.Errorf("parent %d, want %d", got, want)
	}
	if parentOf("/proc/none") != 0 {
		t.Error("a process that is gone has a parent")
	}
}
