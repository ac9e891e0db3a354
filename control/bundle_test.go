package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/security/access"
	"mtguard/security/policy"
)

// publisher signs bundles and puts them where a plane looks for them.
type publisher struct {
	*bench
	path   string
	signer note.Signer
	key    string
}

func newSigner(t testing.TB) (note.Signer, string) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "publisher.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, public
}

// newPublisher has a plane that subscribes to its bundles.
func newPublisher(t testing.TB) *publisher {
	p := &publisher{bench: newBench(t), path: filepath.Join(t.TempDir(), "bundle")}
	p.signer, p.key = newSigner(t)
	p.apply(SetBundles{Origin: p.path, Key: p.key}, Options{})
	return p
}

// text is a bundle of now; lists are lines of it.
func (p *publisher) text(number int64, document string, lists ...string) string {
	head := fmt.Sprintf("%s\nnumber %d\ntime %s\n", bundleTitle, number, p.clock().UTC().Format(time.RFC3339))
	for _, line := range lists {
		head += line + "\n"
	}
	return head + "\nschema = 1\n" + document
}

func (p *publisher) sign(text string) []byte {
	p.t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, p.signer)
	if err != nil {
		p.t.Fatal(err)
	}
	return signed
}

// publish puts a file where the plane looks, lets an hour go by and returns what
// became of it.
func (p *publisher) publish(signed []byte) BundleInfo {
	p.t.Helper()
	if err := os.WriteFile(p.path, signed, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return p.look()
}

func (p *publisher) look() BundleInfo {
	p.t.Helper()
	p.pass(time.Hour)
	_ = p.checkBundles(context.Background(), p.clock()) // what it says, Bundle says too
	return p.bundle()
}

func (p *publisher) bundle() BundleInfo {
	p.t.Helper()
	info, err := p.Bundle(context.Background())
	if err != nil {
		p.t.Fatal(err)
	}
	return info
}

func (p *publisher) perAddress() int { return p.live.Load().Limits.ConnectionsPerAddress }

// audited is how many rows of the audit log have that action and outcome.
func (p *publisher) audited(action, outcome string) (n int) {
	p.t.Helper()
	rows, err := p.AuditTail(context.Background(), operator, 1000, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, row := range rows {
		if row.Action == action && row.Outcome == outcome {
			n++
		}
	}
	return n
}

const (
	tighter = "[connections]\nper_address = 17\n"
	tight   = "[connections]\nper_address = 16\n"
	looser  = "[connections]\nper_address = 19\n"
)

func TestABundleThatTightensIsAppliedByItself(t *testing.T) {
	p := newPublisher(t)
	p.apply(SetPolicy{"schema = 1\n[connections]\nper_prefix = 900\n"}, Options{Reason: "ours"})
	info := p.publish(p.sign(p.text(7, tighter)))
	if info.Problem != "" || info.Number != 7 || info.Applied != 7 || info.Waiting != nil || p.perAddress() != 17 {
		t.Fatalf("%+v, limit %d", info, p.perAddress())
	}
	if got := p.live.Load().Limits.ConnectionsPerPrefix; got != 900 {
		t.Errorf("what the bundle does not give became %d", got)
	}
	history, err := p.PolicyHistory(context.Background(), 0, 10)
	if err != nil || len(history) != 2 || history[0].Actor != "policy bundle" || history[0].Reason != "bundle 7" {
		t.Fatalf("history %+v, %v", history, err)
	}
	// The same again changes nothing, not even what a person has undone since.
	p.apply(RollbackPolicy{Revision: 1}, Options{Reason: "too little"})
	if info = p.look(); info.Problem != "" || p.perAddress() == 17 {
		t.Errorf("after a person's rollback: %+v, limit %d", info, p.perAddress())
	}
	if n := p.audited("bundle.take", "done"); n != 1 {
		t.Errorf("%d rows in the audit log", n)
	}
	// Nothing new under a new number: no revision, and the number counts.
	before := p.policyNumber()
	p.apply(SetPolicy{"schema = 1\n" + tighter}, Options{Reason: "by hand"})
	if info = p.publish(p.sign(p.text(8, tighter))); info.Applied != 8 || p.policyNumber() != before+1 {
		t.Errorf("%+v, policy r%d", info, p.policyNumber())
	}
}

func (p *publisher) policyNumber() int64 {
	p.t.Helper()
	info, err := p.Policy(context.Background(), PolicyInForce)
	if err != nil {
		p.t.Fatal(err)
	}
	return info.Revision
}

func TestABundleThatLoosensWaitsForAPerson(t *testing.T) {
	p := newPublisher(t)
	p.apply(SetPolicy{"schema = 1\n" + tighter}, Options{Reason: "ours"})
	// One value tightens, one loosens: nothing of it is applied.
	info := p.publish(p.sign(p.text(3, looser+"per_prefix = 900\n")))
	w := info.Waiting
	if w == nil || w.Number != 3 || info.Number != 3 || info.Applied != 0 || p.perAddress() != 17 || p.live.Load().Limits.ConnectionsPerPrefix == 900 {
		t.Fatalf("%+v, limit %d", info, p.perAddress())
	}
	if len(w.Loosens) != 1 || w.Loosens[0].Path != "connections.per_address" || w.Loosens[0].Was != "17" || len(w.Changes) != 2 || w.Policy != 1 {
		t.Errorf("it waits with %+v", w)
	}
	p.look() // the same again is no news
	if n := p.audited("bundle.take", "done"); n != 1 {
		t.Errorf("%d rows in the audit log", n)
	}
	p.restart()
	if info = p.bundle(); info.Waiting == nil || info.Number != 3 {
		t.Fatalf("after a restart: %+v", info)
	}
	p.refuses(NotFound, ApproveBundle{Number: 2}, Options{Reason: "x"})
	p.refuses(Stale, ApproveBundle{Number: 3}, Options{Reason: "x", IfRevision: 9})
	admin := Actor{Name: "uid 1", Level: access.Admin}
	if _, err := p.Apply(context.Background(), admin, ApproveBundle{Number: 3}, Options{}); err == nil {
		t.Error("an administrator may approve")
	}
	p.apply(ApproveBundle{Number: 3}, Options{Reason: "dry", DryRun: true})
	if p.perAddress() != 17 || p.bundle().Waiting == nil {
		t.Fatal("a dry run approves")
	}
	p.apply(ApproveBundle{Number: 3}, Options{Reason: "talked it over", IfRevision: 1})
	if info = p.bundle(); info.Waiting != nil || info.Applied != 3 || p.perAddress() != 19 || p.live.Load().Limits.ConnectionsPerPrefix != 900 {
		t.Errorf("after the approval: %+v, limit %d", info, p.perAddress())
	}
	history, _ := p.PolicyHistory(context.Background(), 0, 1)
	if history[0].Actor != operator.Name || history[0].Reason != "bundle 3: talked it over" {
		t.Errorf("revision %+v", history[0])
	}
	p.refuses(NotFound, ApproveBundle{Number: 3}, Options{Reason: "x"})
}

func TestTheNewestBundleIsTheOneThatWaits(t *testing.T) {
	p := newPublisher(t)
	p.apply(SetPolicy{"schema = 1\n" + tighter}, Options{Reason: "ours"})
	p.publish(p.sign(p.text(3, looser)))
	if info := p.publish(p.sign(p.text(4, "[connections]\nper_address = 18\n"))); info.Waiting == nil || info.Waiting.Number != 4 {
		t.Fatalf("%+v", info)
	}
	p.refuses(NotFound, ApproveBundle{Number: 3}, Options{Reason: "x"})
	// Bundle 3 was never applied, and still is older than one that was seen.
	if info := p.publish(p.sign(p.text(3, looser))); info.Problem == "" || info.Waiting == nil || info.Waiting.Number != 4 {
		t.Fatalf("%+v", info)
	}
	// What it waits for may cease to loosen: then it need not wait.
	p.apply(SetPolicy{"schema = 1\n[connections]\nper_address = 21\n"}, Options{Reason: "more"})
	if info := p.publish(p.sign(p.text(5, "[connections]\nper_address = 18\n"))); info.Waiting != nil || info.Applied != 5 || p.perAddress() != 18 {
		t.Errorf("%+v, limit %d", info, p.perAddress())
	}
}

func TestAWaitingBundleThatNoLongerLoosensIsApplied(t *testing.T) {
	p := newPublisher(t)
	p.apply(SetPolicy{"schema = 1\n" + tighter}, Options{Reason: "ours"})
	p.publish(p.sign(p.text(3, looser)))
	p.apply(SetPolicy{"schema = 1\n[connections]\nper_address = 20\n"}, Options{Reason: "even more"})
	if info := p.look(); info.Waiting != nil || info.Applied != 3 || p.perAddress() != 19 {
		t.Errorf("%+v, limit %d", info, p.perAddress())
	}
}

func TestABundleGoesThroughTheGateOfARollout(t *testing.T) {
	p := newPublisher(t)
	enforced := func() bool { return p.live.Load().Controls[policy.ConnsAddr].Mode == policy.Enforce }
	signed := p.text(1, "[controls.\"conns.addr\"]\nmode = \"enforce\"\n")
	p.apply(SetPolicy{"schema = 1\n[rollout]\ngate_time = \"3h\"\ngate_decisions = 0\n"}, Options{Reason: "slowly"})
	info := p.publish(p.sign(signed))
	if w := info.Waiting; w == nil || !strings.Contains(w.Gate, "conns.addr") || len(w.Loosens) != 0 || info.Problem != "" || enforced() {
		t.Fatalf("%+v", info)
	}
	p.refuses(Refused, ApproveBundle{Number: 1}, Options{Reason: "x"})
	p.apply(ApproveBundle{Number: 1}, Options{Reason: "at once", Force: true, DryRun: true})
	if info = p.look(); info.Waiting == nil || enforced() {
		t.Errorf("an hour before it opens: %+v", info)
	}
	if info = p.look(); info.Waiting != nil || info.Applied != 1 || !enforced() {
		t.Errorf("when the gate is open: %+v", info)
	}
}

func TestBadBundlesLeaveEverythingAsItWas(t *testing.T) {
	p := newPublisher(t)
	old := p.text(6, tight)
	good := p.sign(p.text(7, tighter))
	p.publish(good)
	revision := p.policyNumber()
	next := p.text(8, tight)
	stranger, _ := newSigner(t)
	forged, err := note.Sign(&note.Note{Text: next}, stranger)
	if err != nil {
		t.Fatal(err)
	}
	changed := []byte(strings.Replace(string(p.sign(next)), "per_address = 16", "per_address = 15", 1))
	whole := p.sign(next)
	aged := strings.Replace(next, "time 2026-11", "time 2026-09", 1)
	ahead := strings.Replace(next, "time 2026", "time 2027", 1)
	for name, c := range map[string]struct {
		signed []byte
		says   string
	}{
		"rolled back":           {p.sign(old), "bundle 7 is known already"},
		"another of the number": {p.sign(p.text(7, tight)), "another one than before"},
		"forged":                {forged, "has not signed it"},
		"changed":               {changed, "signature of publisher.example is wrong"},
		"not signed":            {[]byte(next), "no signed note"},
		"cut short":             {whole[:len(whole)-20], "no signed note"},
		"empty":                 {nil, "no signed note"},
		"oversized":             {p.sign(next + "# " + strings.Repeat("x", maxBundle) + "\n"), "longer than 256 KiB"},
		"old":                   {p.sign(aged), "older than 30d"},
		"to come":               {p.sign(ahead), "which is to come"},
		"another text":          {p.sign("something else\n"), "does not begin with"},
		"no policy":             {p.sign(p.text(8, "[nonsense]\n")), "nonsense"},
		"contradictory":         {p.sign(p.text(8, "[encryption]\ntransports = [\"classic\"]\n[protocol]\nmin_transport = \"faketls\"\n")), "transport"},
	} {
		info := p.publish(c.signed)
		if !strings.Contains(info.Problem, c.says) || strings.Contains(info.Problem, "\n") {
			t.Errorf("%s: the problem is %q, want %q in it", name, info.Problem, c.says)
		}
		if info.Number != 7 || info.Waiting != nil || p.perAddress() != 17 || p.policyNumber() != revision {
			t.Errorf("%s: %+v, limit %d, policy r%d", name, info, p.perAddress(), p.policyNumber())
		}
	}
	if err := os.Remove(p.path); err != nil {
		t.Fatal(err)
	}
	if info := p.look(); info.Problem == "" || info.Checked == nil {
		t.Errorf("without a file: %+v", info)
	}
	if err := syscall.Mkfifo(p.path, 0o600); err != nil {
		t.Fatal(err)
	}
	if info := p.look(); !strings.Contains(info.Problem, "is no file") {
		t.Errorf("a pipe that nobody writes to: %+v", info)
	}
	os.Remove(p.path)
	refusals := p.audited("bundle.take", "refused")
	if refusals < 10 {
		t.Errorf("%d refusals in the audit log", refusals)
	}
	p.publish(forged)
	p.look()
	if n := p.audited("bundle.take", "refused"); n != refusals+1 {
		t.Errorf("the same problem twice made %d rows", n-refusals)
	}
	if info := p.publish(p.sign(next)); info.Problem != "" || info.Applied != 8 || p.perAddress() != 16 {
		t.Errorf("the next good one: %+v", info)
	}
}

func TestABundleMayNotContradictTheFile(t *testing.T) {
	p := newPublisher(t)
	d, err := policy.Parse("mtguard.toml", []byte("schema = 1\n[encryption]\ntransports = [\"secure\", \"classic\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Load(context.Background(), File{Policy: policy.Layer{Document: d}}); err != nil {
		t.Fatal(err)
	}
	info := p.publish(p.sign(p.text(1, "[protocol]\nmin_transport = \"faketls\"\n")))
	if !strings.Contains(info.Problem, "contradicts") || info.Number != 0 {
		t.Errorf("%+v", info)
	}
}

func TestTheNumberSurvivesARestartAndAStop(t *testing.T) {
	p := newPublisher(t)
	first := p.sign(p.text(4, tighter))
	p.publish(p.sign(p.text(5, tight)))
	p.restart()
	if info := p.publish(first); !strings.Contains(info.Problem, "known already") || info.Applied != 5 || p.perAddress() != 16 {
		t.Errorf("after a restart: %+v", info)
	}
	p.apply(StopBundles{}, Options{})
	p.refuses(NotFound, StopBundles{}, Options{})
	if info := p.look(); info.Origin != "" || info.Waiting != nil || p.perAddress() != 16 {
		t.Errorf("stopped: %+v, limit %d", info, p.perAddress())
	}
	p.apply(SetBundles{Origin: p.path, Key: p.key}, Options{})
	if info := p.look(); !strings.Contains(info.Problem, "known already") || info.Number != 5 {
		t.Errorf("after a stop: %+v", info)
	}
	// Another key is another publisher.
	p.signer, p.key = newSigner(t)
	p.apply(SetBundles{Origin: p.path, Key: p.key}, Options{})
	if info := p.publish(p.sign(p.text(1, "[connections]\nper_address = 15\n"))); info.Applied != 1 || p.perAddress() != 15 {
		t.Errorf("with another key: %+v", info)
	}
}

func TestSomebodyWhoHoldsBundlesBackIsNoticed(t *testing.T) {
	p := newPublisher(t)
	signed := p.sign(p.text(1, tighter))
	p.publish(signed)
	p.pass(maxBundleAge)
	if info := p.look(); !strings.Contains(info.Problem, "nothing new since") || p.perAddress() != 17 {
		t.Errorf("%+v", info)
	}
}

func TestABundleIsFetchedOnceInItsTime(t *testing.T) {
	p := newPublisher(t)
	p.look()
	if err := os.WriteFile(p.path, p.sign(p.text(1, tighter)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 59 {
		p.pass(time.Minute)
		if err := p.checkBundles(context.Background(), p.clock()); err != nil || p.bundle().Number != 0 {
			t.Fatalf("too early: %+v, %v", p.bundle(), err)
		}
	}
	p.pass(time.Minute)
	if err := p.checkBundles(context.Background(), p.clock()); err != nil || p.bundle().Number != 1 {
		t.Errorf("in time: %+v, %v", p.bundle(), err)
	}
}

func TestListsOfABundle(t *testing.T) {
	p := newPublisher(t)
	lists := func() map[string]string {
		found := make(map[string]string)
		infos, err := p.Lists(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range infos {
			found[l.Name] = fmt.Sprintf("%v %v %s", l.Level, l.Every, l.Origin)
		}
		return found
	}
	// On this machine nobody answers there, which is no matter of bundles.
	info := p.publish(p.sign(p.text(1, "", "list drop none 6h https://127.0.0.1:1/drop")))
	if info.Applied != 1 || lists()["drop"] != "none 6h https://127.0.0.1:1/drop" {
		t.Fatalf("a new list: %+v, %v", info, lists())
	}
	info = p.publish(p.sign(p.text(2, "", "list drop none 1h https://127.0.0.1:1/moved")))
	if info.Applied != 2 || lists()["drop"] != "none 1h https://127.0.0.1:1/moved" {
		t.Errorf("a list that moves: %+v, %v", info, lists())
	}
	// A ceiling above none may admit somebody whom another rule refuses.
	info = p.publish(p.sign(p.text(3, "", "list drop read_only 1h https://127.0.0.1:1/moved", "list more none 1h https://127.0.0.1:1/more")))
	if w := info.Waiting; w == nil || len(w.Loosens) != 1 || w.Loosens[0].Path != "lists.drop" || lists()["more"] != "" {
		t.Fatalf("a list that is raised: %+v, %v", info, lists())
	}
	p.apply(ApproveBundle{Number: 3}, Options{})
	if l := lists(); l["drop"] != "read_only 1h https://127.0.0.1:1/moved" || l["more"] == "" {
		t.Errorf("after the approval: %v", l)
	}
	// A person's list is a person's, also when a bundle has tightened it.
	path := filepath.Join(t.TempDir(), "own")
	if err := os.WriteFile(path, []byte("198.51.100.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.apply(SetList{Name: "own", Origin: path, Level: access.None, Every: Duration(day)}, Options{})
	p.apply(SetList{Name: "more", Origin: path, Level: access.None, Every: Duration(day)}, Options{})
	for i, name := range []string{"own", "more"} {
		info = p.publish(p.sign(p.text(int64(4+i), "", "list "+name+" none 1d https://127.0.0.1:1/theirs")))
		if info.Waiting == nil || !strings.HasSuffix(lists()[name], path) {
			t.Errorf("list %s was taken over: %+v, %v", name, info, lists())
		}
	}
	// One that is to be the same is no change.
	if info = p.publish(p.sign(p.text(6, "", "list drop read_only 1h https://127.0.0.1:1/moved"))); info.Applied != 6 || info.Waiting != nil {
		t.Errorf("the same list: %+v", info)
	}
}

func TestSubscriptionsThatMakeNoSenseAreRefused(t *testing.T) {
	b := newBench(t)
	_, key := newSigner(t)
	for _, c := range []SetBundles{
		{Origin: "relative", Key: key}, {Origin: "http://example.com/b", Key: key}, {Origin: "https://me:secret@example.com/b", Key: key}, {Origin: "", Key: key},
		{Origin: "/b", Key: ""}, {Origin: "/b", Key: "publisher.example+00000000+AAAA"}, {Origin: "/b", Key: key, Every: time.Second}, {Origin: "/b", Key: key, Every: 30 * day},
	} {
		e := b.refuses(Invalid, c, Options{})
		if e.Field == "" || strings.Contains(e.Text, "secret") {
			t.Errorf("%+v: %+v", c, e)
		}
	}
	admin := Actor{Name: "uid 1", Level: access.Admin}
	_, err := b.Apply(context.Background(), admin, SetBundles{Origin: "/b", Key: key}, Options{})
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Denied {
		t.Errorf("an administrator names a publisher: %v", err)
	}
	b.apply(SetBundles{Origin: "/b", Key: key + "\n"}, Options{})
	if _, err := b.Apply(context.Background(), admin, StopBundles{}, Options{}); err != nil {
		t.Errorf("an administrator stops it: %v", err)
	}
	if info, err := b.Bundle(context.Background()); err != nil || info != (BundleInfo{}) {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestBundlesAreLookedForByTheClock: nobody has to ask.
func TestBundlesAreLookedForByTheClock(t *testing.T) {
	p := newPublisher(t)
	if err := os.WriteFile(p.path, p.sign(p.text(1, tighter)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.pass(time.Hour)
	if info := p.bundle(); info.Applied != 1 || p.perAddress() != 17 {
		t.Errorf("an hour later: %+v, %d connections of an address", info, p.perAddress())
	}
}
