package e2e

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
)

// because is the reason of changes that need one, insist what goes through the gate, too.
var (
	because = admin.ChangeOptions{Reason: "a test"}
	insist  = admin.ChangeOptions{Reason: "they will not mind", Force: true}
)

// setPolicy puts a document in force.
func (n *node) setPolicy(lines ...string) control.PolicyInfo {
	n.t.Helper()
	r, err := n.api.SetPolicy(n.t.Context(), admin.PolicyBody{Document: policyText(lines...)}, insist)
	if err != nil || r.Policy == nil {
		n.t.Fatalf("policy: %v", err)
	}
	return *r.Policy
}

func policyText(lines ...string) string { return "schema = 1\n" + strings.Join(lines, "\n") + "\n" }

// steadfast is the part of a document by which no control steps back by itself, however many it refuses whom it knows.
const steadfast = "[rollout]\nstep_back = \"0%\""

// in is a control's part of a document.
func in(mode, name string) string { return fmt.Sprintf("[controls.%q]\nmode = %q", name, mode) }

// control is what a control does, and has done.
func (n *node) control(name string) control.ControlInfo {
	n.t.Helper()
	all, err := n.api.Controls(n.t.Context())
	if err != nil {
		n.t.Fatalf("controls: %v", err)
	}
	for _, c := range all {
		if c.Name == name {
			return c
		}
	}
	n.t.Fatalf("no control %s", name)
	return control.ControlInfo{}
}

// letIn reports whether a client is taken, and fails the test when it is shown anything but the cover site otherwise.
func (n *node) letIn(secret []byte, from string, site *tape) bool {
	n.t.Helper()
	v, err := visit(n.t.Context(), n.addr, secret, dialFrom(from), site)
	if err != nil {
		n.t.Fatalf("a client from %s: %v", from, err)
	}
	return v.taken()
}

// isLetIn and isRefused fail the test when a second connection of somebody does not fare so.
func (n *node) isLetIn(p person, from string, site *tape, why string) {
	n.t.Helper()
	if !n.letIn(p.ways["secure"], from, site) {
		n.t.Errorf("%s is refused: %s", p.name, why)
	}
}

func (n *node) isRefused(p person, from string, site *tape, why string) {
	n.t.Helper()
	if n.letIn(p.ways["secure"], from, site) {
		n.t.Errorf("%s is let in: %s", p.name, why)
	}
}

// TestBadChangeStepsBackByItself allows each user one connection where all have two, and enforces that for a tenth of
// them. The control goes back into monitor by itself and says why; whoever was let in once is never refused, so nobody
// outside of the tenth has noticed; and nobody at all lost what was open.
func TestBadChangeStepsBackByItself(t *testing.T) {
	t.Parallel()
	const users = 200 // of which none is in the tenth once in a thousand million runs
	tele, site := telegram(t, 2), someSite(t)
	s := standard(t, site.Addr().String(), tele)
	s.values["log.level"] = "warn"
	for i := range users {
		s.users[fmt.Sprintf("member%03d", i)] = secretOf()
	}
	n := start(t, s)
	n.setPolicy("[connections]", "per_user = 1", "per_key = 1", "read_only = 1")
	from := func(i int) string { return fmt.Sprintf("127.2.%d.1", i) } // networks of their own, where keys are found at once
	secrets := make([][]byte, users)
	open := make([]*session, users)
	for i := range users {
		// Fake TLS: of thousands of bare inits of gotd's one begins like TLS, which is refused.
		secrets[i] = append(append([]byte{0xee}, s.users[fmt.Sprintf("member%03d", i)]...), coverName...)
		open[i] = enter(t, n, secrets[i], from(i))
		if !n.letIn(secrets[i], from(i), site) {
			t.Fatal("a control in monitor refuses somebody")
		}
	}
	if c := n.control("conns.user"); c.WouldRefuse != users || c.KnownWould != users || c.Refused != 0 {
		t.Errorf("%+v, want %d connections that would be refused", c, users)
	}
	if steps, err := n.api.Rollout(t.Context()); err != nil || !slices.ContainsFunc(steps, func(r control.RolloutStep) bool {
		return r.Control == "conns.user" && r.Mode == "monitor" && r.Next == "enforce 10%" && r.Waits != ""
	}) {
		t.Errorf("the rollout: %+v, %v, want conns.user to wait", steps, err)
	}
	_, err := n.api.AdvanceControl(t.Context(), "conns.user", because)
	refusedAs(t, err, control.Refused) // the gate
	_, err = n.api.SetPolicy(t.Context(), admin.PolicyBody{Document: policyText(in("enforce", "conns.user"))}, because)
	refusedAs(t, err, control.Refused) // there is no way around it
	if _, err := n.api.AdvanceControl(t.Context(), "conns.user", insist); err != nil {
		t.Fatal(err)
	}

	refusals, met := 0, map[int]bool{}
	spared := map[int]bool{}
	began := time.Now()
	for n.control("conns.user").Mode == "enforce" {
		if time.Since(began) > patience {
			t.Fatalf("after %d refusals the control is still enforced", refusals)
		}
		for i := range users {
			switch in := n.letIn(secrets[i], from(i), site); {
			case in:
				spared[i] = true
			case spared[i]:
				t.Errorf("user %d was let in and is refused now", i)
			default:
				met[i] = true
				refusals++
			}
		}
	}
	t.Logf("the control stepped back after %v: %d of %d users were refused %d times", time.Since(began).Round(time.Millisecond), len(met), users, refusals)
	if len(met) == 0 || len(met) > users/4 {
		t.Errorf("%d of %d users were refused, want about a tenth", len(met), users)
	}
	for i := range users {
		if !n.letIn(secrets[i], from(i), site) {
			t.Errorf("user %d is refused by a control that has stepped back", i)
		}
		open[i].goesOn(t, "a control was tried")
	}
	if got := n.metric("mtguard_handshakes_total", `result="budget"`); got > 0 {
		t.Errorf("%v searches for a key were given up: this test is about something else", got)
	}
	n.awaitLog("steps back", "conns.user", "tolerated 2%")
	rows, err := n.api.AuditTail(t.Context(), 10, 0)
	if err != nil || !slices.ContainsFunc(rows, func(r control.AuditRow) bool {
		return r.Action == "rollout.back" && r.Actor == "rollout" && r.Object == "conns.user" && strings.Contains(r.Reason, "tolerated 2%")
	}) {
		t.Errorf("the audit log does not tell why: %+v, %v", rows, err)
	}
	if !slices.ContainsFunc(rows, func(r control.AuditRow) bool { return r.Action == "rollout.next" && r.Reason == insist.Reason }) {
		t.Errorf("the audit log does not tell who insisted: %+v", rows)
	}
}

// secretOf draws a secret for a user of the file.
func secretOf() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	return b
}

// strict is a node that allows each user one connection, and means it, with two users who have theirs.
func strict(t *testing.T) (n *node, s *settings, site *tape, anna, ben person) {
	t.Helper()
	site = someSite(t)
	s = standard(t, site.Addr().String(), telegram(t, 2))
	n = start(t, s)
	n.setPolicy("[connections]", "per_user = 1", "per_key = 1", "read_only = 1", steadfast, in("enforce", "conns.user"), in("enforce", "access.level"))
	anna, ben = n.add(admin.UserBody{Name: "anna"}), n.add(admin.UserBody{Name: "ben"})
	enter(t, n, anna.ways["secure"], annas)
	enter(t, n, ben.ways["secure"], bens)
	n.isRefused(anna, annas, site, "she has a connection")
	n.isRefused(ben, bens, site, "he has a connection")
	return n, s, site, anna, ben
}

const annas, bens = "127.0.211.1", "127.0.212.1"

// TestExceptionSparesAndEnds spares a user, then a prefix, for a while.
func TestExceptionSparesAndEnds(t *testing.T) {
	t.Parallel()
	n, _, site, anna, ben := strict(t)
	spare := func(body admin.ExceptionBody) control.ExceptionInfo {
		t.Helper()
		body.Controls = []string{"conns.user"}
		r, err := n.api.AddException(t.Context(), body, because)
		if err != nil || r.Exception == nil {
			t.Fatalf("exception: %v", err)
		}
		return *r.Exception
	}
	look := func(id string) control.ExceptionInfo {
		t.Helper()
		all, err := n.api.Exceptions(t.Context())
		i := slices.IndexFunc(all, func(e control.ExceptionInfo) bool { return e.ID == id })
		if err != nil || i < 0 {
			t.Fatalf("exceptions: %+v, %v", all, err)
		}
		return all[i]
	}
	if _, err := n.api.AddException(t.Context(), admin.ExceptionBody{Controls: []string{"conns.user"}, User: "anna", Until: time.Now().Add(time.Hour)}, admin.ChangeOptions{}); err == nil {
		t.Error("an exception without a reason was taken")
	}
	e := spare(admin.ExceptionBody{User: "anna", Until: time.Now().Add(time.Hour)})
	for range 3 {
		n.isLetIn(anna, annas, site, "she is an exception")
		n.isRefused(ben, bens, site, "he is none")
	}
	if e = look(e.ID); e.Hits != 3 || e.State != "in force" || e.Owner == "" || e.Reason != because.Reason {
		t.Errorf("%+v, want 3 hits, an owner and the reason", e)
	}
	if _, err := n.api.RemoveException(t.Context(), e.ID, because); err != nil {
		t.Fatal(err)
	}
	n.isRefused(anna, annas, site, "the exception was removed")

	until := time.Now().Add(5 * time.Second)
	e = spare(admin.ExceptionBody{Prefix: "127.0.212.0/24", Until: until})
	in := n.letIn(ben.ways["secure"], bens, site)
	if time.Now().Before(until) && !in {
		t.Error("ben is refused: his prefix is an exception")
	}
	n.isRefused(anna, annas, site, "hers is none")
	n.await("the end of the exception", func() bool { return look(e.ID).State == "over" })
	n.isRefused(ben, bens, site, "the exception is over")
}

// TestBrokenGlassLetsAllInAndIsWholeAgain breaks the glass, ends that, and lets it end by itself.
func TestBrokenGlassLetsAllInAndIsWholeAgain(t *testing.T) {
	t.Parallel()
	n, _, site, anna, ben := strict(t)
	zoe := n.add(admin.UserBody{Name: "zoe"})
	n.rule("127.0.213.0/24", 0)
	const zoes = "127.0.213.1"
	n.isRefused(zoe, zoes, site, "nothing may be done from there")
	smash := func(d time.Duration) {
		t.Helper()
		held := control.Duration(d)
		if _, err := n.api.BreakGlass(t.Context(), admin.GlassBody{For: &held}, because); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.api.BreakGlass(t.Context(), admin.GlassBody{}, admin.ChangeOptions{}); err == nil {
		t.Error("the glass was broken without a reason")
	}
	smash(time.Hour)
	n.isLetIn(anna, annas, site, "the glass is broken")
	n.isLetIn(ben, bens, site, "the glass is broken")
	s := enter(t, n, zoe.ways["faketls"], zoes)
	if c := n.control("conns.user"); c.Mode != "monitor" {
		t.Errorf("%+v, want it in monitor", c)
	}
	if p, err := n.api.Policy(t.Context(), control.PolicyInForce); err != nil || p.Glass == nil {
		t.Errorf("%+v, %v, want word of the broken glass", p, err)
	}
	if _, err := n.api.EndGlass(t.Context(), because); err != nil {
		t.Fatal(err)
	}
	if took := s.cut(t, time.Now()); took > prompt {
		t.Errorf("who came through the glass was cut off %v after it was whole", took)
	}
	n.isRefused(anna, annas, site, "the glass is whole")

	smash(2 * time.Second)
	until := time.Now().Add(5 * time.Second)
	in := n.letIn(anna.ways["secure"], annas, site)
	late, err := way(t, n.addr, zoe.ways["secure"], dialFrom(zoes))(t.Context(), 2)
	if time.Now().Before(until.Add(-200*time.Millisecond)) && (!in || err != nil) {
		t.Errorf("the glass is broken, and anna is let in: %v, zoe: %v", in, err)
	}
	if err == nil {
		defer late.Close()
	}
	n.await("the glass to be whole", func() bool { return n.control("conns.user").Mode == "enforce" })
	n.isRefused(anna, annas, site, "the glass is whole by itself")
	n.await("an end for who came through the glass", func() bool { return n.user("zoe").Connections == 0 })
}

// TestPolicyIsRolledBack goes forth and back between revisions, and restarts.
func TestPolicyIsRolledBack(t *testing.T) {
	t.Parallel()
	n, s, site, anna, _ := strict(t)
	first, err := n.api.Policy(t.Context(), control.PolicyInForce)
	if err != nil || first.Revision != 1 {
		t.Fatalf("%+v, %v, want r1", first, err)
	}
	n.setPolicy("[connections]", "per_user = 8", "per_key = 8", steadfast, in("enforce", "conns.user"), in("enforce", "access.level"))
	n.isLetIn(anna, annas, site, "eight are allowed now")
	for _, bad := range []string{
		policyText("[connections]", "per_user = -1"),
		policyText(in("enforce", "conns.usr")),
		policyText(in("off", "conns.total")),
		policyText("[connections]", "per_user = 1", "per_user = 2"),
		"schema = 2\n",
		"",
	} {
		if _, err := n.api.SetPolicy(t.Context(), admin.PolicyBody{Document: bad}, because); err == nil {
			t.Errorf("a policy was taken that says %q", bad)
		}
	}
	n.isLetIn(anna, annas, site, "what was refused changes nothing")
	back := func(revision int64) {
		t.Helper()
		if _, err := n.api.RollBackPolicy(t.Context(), admin.RollBackBody{Revision: revision}, because); err != nil {
			t.Fatal(err)
		}
	}
	back(1)
	n.isRefused(anna, annas, site, "one is allowed again")
	n.stop()
	n = start(t, s)
	enter(t, n, anna.ways["secure"], annas)
	n.isRefused(anna, annas, site, "a restart changes no policy")
	back(0)
	n.isLetIn(anna, annas, site, "there is no policy of ours any more")
	history, err := n.api.PolicyHistory(t.Context(), 0, 10)
	if err != nil || len(history) != 4 || history[0].Revision != 4 || history[3].Revision != 1 {
		t.Errorf("%+v, %v, want four revisions", history, err)
	}
	if third, err := n.api.Policy(t.Context(), 3); err != nil || third.Document != first.Document {
		t.Errorf("%+v, %v, want the third revision to be as the first", third, err)
	}
	for _, p := range history {
		if p.Reason == "" || p.Actor == "" || p.At == nil {
			t.Errorf("r%d tells not who set it when and why: %+v", p.Revision, p)
		}
	}
}
