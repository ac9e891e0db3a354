package control

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// takesTwo makes those classes take two people; after a restart it has to be said again.
func (b *bench) takesTwo(classes ...string) {
	b.Plane.mu.Lock()
	defer b.Plane.mu.Unlock()
	b.twoPerson = classes
}

// person is somebody with a passkey.
func person(name string) Actor {
	return Actor{Name: name + ", session x", Person: name, Level: access.Superuser}
}

var root = Actor{Name: "uid 0", Person: "uid 0", Level: access.Superuser}

// asks has a change wait, and returns the ID of its approval.
func (b *bench) asks(by Actor, c Change, o Options) string {
	b.t.Helper()
	r, err := b.Apply(b.t.Context(), by, c, o)
	if err != nil || r.Approval == nil {
		b.t.Fatalf("%T by %s does not wait: %+v, %v", c, by.Name, r, err)
	}
	return r.Approval.ID
}

// fails expects an error of that kind.
func fails(t testing.TB, kind Kind, what string, err error) {
	t.Helper()
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != kind {
		t.Errorf("%s: %v, want a refusal of the kind %v", what, err, kind)
	}
}

func TestAnotherPersonApproves(t *testing.T) {
	b := newBench(t)
	b.takesTwo(ClassEnforce, ClassGlass, ClassKEK)
	mine := Actor{Name: "uid 0", Person: "uid 0", Level: access.Superuser}
	token0 := Actor{Name: "token ci", Person: "uid 0", Level: access.Superuser}
	nadia := Actor{Name: "nadia, session x", Person: "nadia", Level: access.Superuser}
	ask := func(c Change, o Options) string {
		t.Helper()
		r, err := b.Apply(t.Context(), mine, c, o)
		if err != nil || r.Approval == nil {
			t.Fatalf("%T: %+v, %v", c, r, err)
		}
		return r.Approval.ID
	}
	approve := func(by Actor, id string) (Result, error) { return b.Approve(t.Context(), by, id, Options{}) }
	refusedWith := func(kind Kind, by Actor, id string) {
		t.Helper()
		_, err := approve(by, id)
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != kind {
			t.Errorf("%s approves %s: %v, want %v", by.Name, id, err, kind)
		}
	}
	id := ask(BreakGlass{For: Duration(time.Hour)}, Options{Reason: "test"})
	refusedWith(Refused, mine, id)
	refusedWith(Refused, token0, id) // another credential of the same person
	refusedWith(NotFound, nadia, "w0")
	refusedWith(Denied, Actor{Name: "omid", Person: "omid", Level: access.Admin}, id)
	if info, _ := b.Policy(t.Context(), PolicyInForce); info.Glass != nil {
		t.Fatal("the glass is broken already")
	}
	b.restart()
	b.takesTwo(ClassEnforce, ClassGlass, ClassKEK)
	if _, err := approve(nadia, id); err != nil {
		t.Fatal(err)
	}
	if info, _ := b.Policy(t.Context(), PolicyInForce); info.Glass == nil {
		t.Error("it was approved, and nothing happened")
	}
	refusedWith(Refused, nadia, id) // once

	late := ask(BreakGlass{For: Duration(2 * time.Hour)}, Options{Reason: "test"})
	b.jump(approvalLife)
	refusedWith(Refused, nadia, late)
	b.jump(-approvalLife)

	back := ask(RotateMasterKey{}, Options{})
	kek := b.master.kek
	b.apply(RefuseApproval{back}, Options{})
	refusedWith(Refused, nadia, back)
	again := ask(RotateMasterKey{}, Options{})
	if b.master.kek != kek {
		t.Fatal("the master key is another one already")
	}
	if _, err := approve(nadia, again); err != nil || b.master.kek == kek {
		t.Errorf("the master key after two people: %v", err)
	}
	// What makes no sense does not wait for anybody.
	if _, err := b.Apply(t.Context(), mine, SetMode{Control: "nothing", Mode: "enforce"}, Options{Reason: "test", Force: true}); err == nil {
		t.Error("a change that cannot be made waits for a second person")
	}
	// To take the bite out takes one.
	if r, err := b.Apply(t.Context(), mine, EndGlass{}, Options{}); err != nil || r.Approval != nil {
		t.Errorf("%+v, %v", r, err)
	}
	items, next, err := b.Approvals(t.Context(), 0, 2)
	if err != nil || len(items) != 2 || next == 0 || items[0].State != "approved" || items[0].Decider != nadia.Name || items[1].State != "refused" {
		t.Errorf("the list has %+v, %d, %v", items, next, err)
	}
}

// TestWhatTakesTwoPeople has every change that there is, so that a new one is thought
// about: it is guarded, or why it need not be stands here.
func TestWhatTakesTwoPeople(t *testing.T) {
	b := newBench(t)
	loosened := trial{TrialInfo{Revision: 7, Changes: []PolicyValue{{Path: "controls.rate.accept", Loosens: true}}}, b.clock()}
	tightened := trial{TrialInfo{Revision: 8, Changes: []PolicyValue{{Path: "controls.rate.accept"}}}, b.clock()}
	b.Plane.mu.Lock()
	b.trials = []trial{loosened, tightened}
	b.Plane.mu.Unlock()
	guardedBy := map[string][]struct {
		c     Change
		class string
	}{
		"SetPolicy":       {{SetPolicy{}, ClassEnforce}},
		"RollbackPolicy":  {{RollbackPolicy{}, ClassEnforce}},
		"SetMode":         {{SetMode{Mode: "enforce"}, ClassEnforce}, {SetMode{Mode: "off"}, ClassEnforce}, {SetMode{Mode: "monitor"}, ""}},
		"RolloutNext":     {{RolloutNext{}, ClassEnforce}},
		"KeepTrial":       {{KeepTrial{}, ClassEnforce}},
		"EndTrial":        {{EndTrial{7}, ClassEnforce}, {EndTrial{8}, ""}, {EndTrial{9}, ""}},
		"ApproveBundle":   {{ApproveBundle{}, ClassEnforce}},
		"SetBundles":      {{SetBundles{}, ClassEnforce}},
		"RotateMasterKey": {{RotateMasterKey{}, ClassKEK}},
		"BreakGlass":      {{BreakGlass{}, ClassGlass}},
	}
	harmless := map[string]string{
		"EndGlass":     "what is enforced again was decided before",
		"RolloutBack":  "it only takes the bite out",
		"StopBundles":  "nothing in force changes",
		"takeBundle":   "of a publisher whom two people have chosen, by the node itself",
		"declareModes": "the file is the machine's, and says so by itself",
		"declareUsers": "the file is the machine's, and says so by itself",

		"askApproval": "it is the question", "decideApproval": "it is the answer, and changes nothing", "RefuseApproval": "nothing is done then",

		"AddUser": "users", "SetUser": "users", "RemoveUser": "users", "takeOutEnded": "users, by the node itself",
		"RotateKeys": "users' keys", "RevokeKey": "users' keys", "SetSchedule": "users' keys", "sweepKeys": "users' keys, by the node itself",
		"RevealLinks": "links of users", "OpenPage": "links of users", "ClosePage": "links of users", "RenewPage": "links of users",
		"SplitLeak": "links of users", "EndClients": "clients come again",
		"RotateSealKey": "older ones go on opening", "RotateStoreKey": "it stays under the same master key",
		"AddRule": "whom a rule refuses is the business of controls", "RemoveRule": "as AddRule", "ConfirmRule": "as AddRule",
		"Block": "as AddRule", "Unblock": "as AddRule", "AutoBlock": "as AddRule, by the node itself",
		"SetList": "as AddRule", "RemoveList": "as AddRule", "ReloadList": "as AddRule",
		"AddException": "it lets somebody through", "RemoveException": "what the policy says holds again",
		"AckFinding": "a note", "AcceptFinding": "a note", "SetAuditSchedule": "when it is looked", "MoveIncident": "a note, and blocks",
		"SilenceAlerts": "messages", "EndSilence": "messages",
		"TakeBulletin": "signed by the publisher that the file names", "DropBulletin": "the cryptography of the build holds again",
		"CreateToken": "it answers for who made it", "RevokeToken": "it takes away", "MakeCode": "made at the machine only; see nameOf",
		"EndSession": "it takes away", "EndSessions": "it takes away", "RemovePasskey": "it takes away",
		"usePasskey": "signing in", "enrol": "signing in; see endOthers", "enter": "signing in", "leave": "signing out",
	}
	for _, name := range changesOf(t) {
		cases, isGuarded := guardedBy[name]
		_, isHarmless := harmless[name]
		if isGuarded == isHarmless {
			t.Errorf("%s has to be either guarded or harmless for a reason", name)
		}
		delete(harmless, name)
		delete(guardedBy, name)
		for _, c := range cases {
			g, ok := c.c.(guarded)
			if !ok || g.class(b.Plane) != c.class {
				t.Errorf("%s %+v is not of the class %q", name, c.c, c.class)
			}
			if read := approvable[name]; read == nil {
				t.Errorf("%s waits, and nobody could approve it", name)
			} else if got, err := read([]byte(`{}`)); err != nil || kindOf(got) != name {
				t.Errorf("%s is read back as %T, %v", name, got, err)
			}
		}
	}
	for name := range harmless {
		t.Errorf("%s is no change", name)
	}
	for name := range guardedBy {
		t.Errorf("%s is no change", name)
	}
}

// changesOf are the names of all types of this package that are changes.
func changesOf(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "least" {
				continue
			}
			if of, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
				names = append(names, of.Name)
			}
		}
	}
	if slices.Sort(names); len(names) < 60 {
		t.Fatalf("only %d changes are found: %v", len(names), names)
	}
	return names
}

// TestEveryGuardedChangeWaits goes the whole way with those that can be made here.
func TestEveryGuardedChangeWaits(t *testing.T) {
	b := newBench(t)
	b.apply(SetPolicy{Document: "schema = 1\n[controls.\"rate.accept\"]\nmode = \"off\"\n"}, Options{Reason: "x", Force: true})
	b.apply(SetMode{Control: policy.RateAccept, Mode: "monitor"}, Options{Reason: "x", Force: true})
	b.takesTwo(ClassEnforce)
	before, err := b.Policy(t.Context(), PolicyInForce)
	if err != nil {
		t.Fatal(err)
	}
	_, verifier, err := note.GenerateKey(rand.Reader, "publisher.example")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Reason: "x", Force: true}
	for _, c := range []Change{
		RollbackPolicy{Revision: 1}, RolloutNext{Control: policy.RateAccept}, tenth(policy.RateAccept),
		SetBundles{Origin: "/var/lib/x", Key: verifier},
	} {
		id := b.asks(root, c, o)
		if now, _ := b.Policy(t.Context(), PolicyInForce); now.Revision != before.Revision {
			t.Fatalf("%T has changed the policy", c)
		}
		if info, _ := b.Bundle(t.Context()); info.Origin != "" {
			t.Fatalf("%T: bundles come from %s", c, info.Origin)
		}
		_, err := b.Approve(t.Context(), root, id, Options{})
		fails(t, Refused, kindOf(c), err)
	}
}

// TestAnApprovalIsLookedAtAgain, in the transaction that makes the change: two may approve
// at the same moment, or one refuse.
func TestAnApprovalIsLookedAtAgain(t *testing.T) {
	b := newBench(t)
	b.takesTwo(ClassGlass)
	change := BreakGlass{For: Duration(time.Hour)}
	for name, then := range map[string]func(string){
		"refused": func(id string) { b.apply(RefuseApproval{id}, Options{}) },
		"approved": func(id string) {
			if _, err := b.Approve(t.Context(), person("omid"), id, Options{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		id := b.asks(root, change, Options{Reason: "test"})
		then(id)
		x := &transaction{p: b.Plane, ctx: t.Context(), by: root, o: Options{Reason: "test"}, now: b.clock(), approval: &approved{id: id, by: person("nadia")}}
		_, err := b.carryOut(x, change)
		fails(t, Refused, name, err)
	}
}

// TestWhoAskedMayStillAsk: what was asked for with a credential goes with it.
func TestWhoAskedMayStillAsk(t *testing.T) {
	b := newBench(t)
	b.takesTwo(ClassGlass)
	tokenOf := func(name string) Actor {
		id, ok := b.Authenticate(b.token(CreateToken{Name: name, Level: access.Superuser, For: Duration(time.Hour)}), loopback)
		if !ok {
			t.Fatal("the token is not good")
		}
		return id.Actor
	}
	for name, c := range map[string]struct {
		by   func() Actor
		then func(Actor)
		good bool
	}{
		"a token":         {func() Actor { return tokenOf("a") }, func(Actor) {}, true},
		"a revoked token": {func() Actor { return tokenOf("b") }, func(Actor) { b.apply(RevokeToken{"b"}, Options{Reason: "lost"}) }, false},
		"a token that an earlier version has revoked": {func() Actor { return tokenOf("d") }, func(by Actor) {
			b.update(func(tx *store.Tx) error { return tx.EndToken(by.shown.Token, b.clock()) })
		}, false},
		"a token that is over": {func() Actor { return tokenOf("c") }, func(Actor) { b.jump(2 * time.Hour) }, false},
		"a session":            {func() Actor { _, id := b.signIn("omid"); return id.Actor }, func(Actor) {}, true},
		"a session that somebody has ended": {func() Actor { _, id := b.signIn("leila"); return id.Actor }, func(Actor) {
			b.apply(EndSessions{Person: "leila"}, Options{})
		}, false},
		"another session was ended": {func() Actor { _, id := b.signIn("parisa"); return id.Actor }, func(Actor) {
			b.jump(time.Second)
			_, other := b.signIn("parisa")
			b.apply(EndSession{other.Session}, Options{})
		}, true},
		"at the machine": {func() Actor { return root }, func(Actor) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			by := c.by()
			id := b.asks(by, BreakGlass{For: Duration(time.Hour)}, Options{Reason: "test"})
			c.then(by)
			_, err := b.Approve(t.Context(), person("nadia"), id, Options{})
			if c.good && err != nil {
				t.Errorf("it cannot be approved: %v", err)
			}
			if !c.good {
				fails(t, Refused, "approved", err)
				if info, _ := b.Approval(t.Context(), id); info.State == approvalApproved {
					t.Errorf("it is %+v", info)
				}
			}
		})
	}
}

// TestWhoApprovesSeesAllOfIt, and his own reason is kept.
func TestWhoApprovesSeesAllOfIt(t *testing.T) {
	b := newBench(t)
	b.takesTwo(ClassEnforce)
	end := "\n[controls.\"rate.accept\"]\nmode = \"enforce\"\n"
	document := "schema = 1\n" + strings.Repeat("# "+strings.Repeat("x", 77)+"\n", 1000) + end
	id := b.asks(root, SetPolicy{Document: document}, Options{Reason: "asked", Force: true, RevertAfter: tenMinutes})
	items, _, err := b.Approvals(t.Context(), 0, 10)
	if err != nil || len(items) != 1 || !items[0].Clipped || len(items[0].Change) > 5<<10 || items[0].Brief != "1004 lines of policy" || !items[0].Force {
		t.Errorf("the list has %d bytes of %+v, %v", len(items[0].Change), items[0].Brief, err)
	}
	info, err := b.Approval(t.Context(), id)
	if err != nil || info.Clipped || !info.Force || info.Trial != tenMinutes {
		t.Fatalf("it is %+v, %v", info.Brief, err)
	}
	var c SetPolicy
	if err := json.Unmarshal([]byte(info.Change), &c); err != nil || c.Document != document {
		t.Errorf("%d bytes are shown, %v", len(info.Change), err)
	}
	if len(info.Changes) != 1 || info.Changes[0].Path != "controls.rate.accept" || info.Changes[0].Was != "monitor" || info.Changes[0].Value != "enforce" {
		t.Errorf("what would change is %+v", info.Changes)
	}
	_, err = b.Approval(t.Context(), "w0")
	fails(t, NotFound, "an approval that is none", err)
	_, err = b.Approve(t.Context(), person("nadia"), id, Options{IfRevision: 1})
	fails(t, Invalid, "a revision", err)
	if _, err := b.Approve(t.Context(), person("nadia"), id, Options{Reason: "looked at it"}); err != nil {
		t.Fatal(err)
	}
	rows, err := b.AuditTail(t.Context(), operator, 2, 0)
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	found := map[string]AuditRow{}
	for _, row := range rows {
		found[row.Action] = row
	}
	if row := found["approval.approve"]; row.Actor != "nadia, session x" || row.Reason != "looked at it" || row.Object != "approval "+id {
		t.Errorf("the audit log has %+v", rows)
	}
	if row := found["policy.set"]; row.Actor != "uid 0" || row.Reason != "asked" || row.Details["approved_by"] != "nadia, session x" {
		t.Errorf("the audit log has %+v", rows)
	}
}

// TestEndingALooseningTrialEnforces: it takes what enforcing takes.
func TestEndingALooseningTrialEnforces(t *testing.T) {
	b := newBench(t)
	admin := Actor{Name: "token x", Person: "token x", Level: access.Admin}
	b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce"}, Options{Reason: "x", Force: true})
	loose := b.apply(SetMode{Control: policy.RateAccept, Mode: "monitor"}, onTrial()).Trial.Revision
	_, err := b.Apply(t.Context(), admin, EndTrial{loose}, Options{})
	fails(t, Denied, "an admin enforces", err)
	b.takesTwo(ClassEnforce)
	_, err = b.Apply(t.Context(), admin, EndTrial{loose}, Options{})
	fails(t, Denied, "an admin asks to enforce", err)
	id := b.asks(root, EndTrial{loose}, Options{})
	x := &transaction{p: b.Plane, ctx: t.Context(), by: root, now: b.clock()} // the trial was not yet seen when it was asked who decides
	_, err = b.commit(x, EndTrial{loose})
	fails(t, Refused, "one person enforces", err)
	b.stages("before two have said so", map[string]policy.Control{policy.RateAccept: inMonitor})
	low := person("omid")
	low.Level = access.Admin
	_, err = b.Approve(t.Context(), low, id, Options{})
	fails(t, Denied, "an admin approves", err)
	if _, err := b.Approve(t.Context(), person("nadia"), id, Options{}); err != nil {
		t.Fatal(err)
	}
	b.stages("after two have said so", map[string]policy.Control{policy.RateAccept: {Mode: policy.Enforce}})
}
