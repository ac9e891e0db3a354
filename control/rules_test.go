package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// ceiling is what the table in force gives an address.
func (b *bench) ceiling(addr string) access.Decision {
	return b.live.Load().Access.Check(access.Query{Addr: netip.MustParseAddr(addr), Now: b.clock()})
}

func TestARuleIsACeilingWhileItHolds(t *testing.T) {
	b := newBench(t)
	r := b.apply(AddRule{Match: "203.0.113.0/24", Level: access.None, Until: b.clock().Add(time.Hour)}, Options{Reason: "abuse"})
	b.apply(AddRule{Match: "203.0.113.7", Level: access.ReadOnly}, Options{})
	if d := b.ceiling("203.0.113.1"); d.Level != access.None || d.Rule != r.Rule.ID || d.Control != access.ControlLevel {
		t.Errorf("in the prefix: %+v", d)
	}
	if d := b.ceiling("203.0.113.7"); d.Level != access.ReadOnly {
		t.Errorf("the more specific rule: %+v", d)
	}
	if d := b.ceiling("198.51.100.1"); d.Level != access.Standard || d.Rule != "" {
		t.Errorf("elsewhere: %+v", d)
	}
	b.restart()
	if d := b.ceiling("203.0.113.1"); d.Level != access.None {
		t.Errorf("after a restart: %+v", d)
	}
	b.pass(time.Hour)
	if d := b.ceiling("203.0.113.1"); d.Level != access.Standard {
		t.Errorf("an hour later: %+v", d)
	}
	list, _, err := b.Rules(context.Background(), RuleFilter{})
	if err != nil || len(list) != 2 {
		t.Fatalf("rules %+v, %v", list, err)
	}
	for _, info := range list {
		if want := map[bool]string{true: "over", false: "in force"}[info.ID == r.Rule.ID]; info.State != want {
			t.Errorf("rule on %s is %s", info.Match, info.State)
		}
		b.apply(RemoveRule{ID: info.ID}, Options{IfRevision: info.Revision})
	}
	b.refuses(NotFound, RemoveRule{ID: r.Rule.ID}, Options{})
	if d := b.ceiling("203.0.113.7"); d.Level != access.Standard {
		t.Errorf("after its removal: %+v", d)
	}
}

func TestBadRulesAreRefusedWhole(t *testing.T) {
	b := newBench(t)
	b.apply(AddRule{Match: "192.0.2.0/24", Level: access.None}, Options{})
	for _, c := range []AddRule{
		{Match: ""}, {Match: "192.0.2.1/24"}, {Match: "fe80::1%eth0"}, {Match: "::ffff:192.0.2.0/200"}, {Match: "country:Germany"}, {Match: "192.0.2.0/24", Level: 9},
		{Match: "10.0.0.0/8", Schedule: "sometimes"}, {Match: "10.0.0.0/8", Until: b.clock()}, {Match: "10.0.0.0/8", From: b.clock().Add(day), Until: b.clock().Add(time.Hour)},
		{Match: "192.0.2.0/24", Level: access.Standard}, // another level for the same
		{Match: "list:none"},
	} {
		e := b.refuses(Invalid, c, Options{})
		if e.Field == "" {
			t.Errorf("%+v: no field is named: %v", c, e)
		}
	}
	list, _, _ := b.Rules(context.Background(), RuleFilter{})
	if len(list) != 1 {
		t.Fatalf("%d rules are there", len(list))
	}
	// What is told can be done: no rule is named that was never kept.
	if e := b.refuses(Invalid, AddRule{Match: "192.0.2.0/24", Level: access.Standard}, Options{}); e.Fix != "mtguard access rm "+list[0].ID || !strings.Contains(e.Text, list[0].ID) {
		t.Errorf("a contradiction: %s, %s", e.Text, e.Fix)
	}
	if e := b.refuses(Refused, AddRule{Match: "sni:old.example.com", Level: access.None}, Options{}); !strings.Contains(e.Text, "such a hello") {
		t.Errorf("a rule on hellos: %s", e.Text)
	}
	if r := b.apply(AddRule{Match: "country:DE", Level: access.None}, Options{}); !strings.Contains(r.Summary, "access.country_db") {
		t.Errorf("without a country file: %s", r.Summary)
	}
}

func TestARuleThatShutsItsMakerOutEndsByItself(t *testing.T) {
	b := newBench(t)
	own := Actor{Name: "uid 0", Level: access.Superuser, From: netip.MustParseAddr("192.0.2.10")}
	c := AddRule{Match: "192.0.2.0/24", Level: access.None}
	_, err := b.Apply(context.Background(), own, c, Options{})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Refused || !strings.Contains(e.Fix, "--force") || !strings.HasSuffix(e.Fix, "mtguard access confirm ID") {
		t.Fatalf("without force: %+v, %v", e, err)
	}
	dry, err := b.Apply(context.Background(), own, c, Options{Force: true, DryRun: true})
	if err != nil || dry.Rule.ID != "" || !strings.HasSuffix(dry.Summary, "mtguard access confirm ID") {
		t.Errorf("a dry run names a rule that will not be: %+v, %v", dry, err)
	}
	b.refuses(Refused, AddRule{Match: "127.0.0.0/8", Level: access.None}, Options{})
	r, err := b.Apply(context.Background(), own, c, Options{Force: true})
	if err != nil || r.Rule.ConfirmBy == nil || r.Rule.State != "to be confirmed" || !strings.HasSuffix(r.Summary, "mtguard access confirm "+r.Rule.ID) {
		t.Fatalf("with force: %+v, %v", r.Rule, err)
	}
	if d := b.ceiling("192.0.2.10"); d.Level != access.None {
		t.Errorf("it does not hold: %+v", d)
	}
	b.pass(confirmWithin)
	if d := b.ceiling("192.0.2.10"); d.Level != access.Standard {
		t.Errorf("nobody confirmed it: %+v", d)
	}
	b.refuses(Refused, ConfirmRule{ID: r.Rule.ID}, Options{})
	r, _ = b.Apply(context.Background(), own, AddRule{Match: "192.0.2.8/29", Level: access.None}, Options{Force: true})
	b.apply(ConfirmRule{ID: r.Rule.ID}, Options{})
	b.pass(day)
	if d := b.ceiling("192.0.2.10"); d.Level != access.None {
		t.Errorf("it was confirmed: %+v", d)
	}
}

func TestBlocksEndAndAreUndone(t *testing.T) {
	b := newBench(t)
	r := b.apply(Block{Target: "198.51.100.7"}, Options{Reason: "abuse"})
	if end := b.clock().Add(usualBlock); r.Rule.Until == nil || !r.Rule.Until.Equal(end) || !strings.HasSuffix(r.Summary, "the ceiling none until "+end.Format(time.RFC3339)+"; nobody feels it while access.level is in monitor: mtguard rollout status") {
		t.Errorf("when it ends: %+v", r)
	}
	b.apply(Block{Target: "198.51.100.8", For: Duration(day)}, Options{Reason: "abuse"})
	b.apply(Unblock{Target: "198.51.100.8"}, Options{})
	b.refuses(NotFound, Unblock{Target: "198.51.100.8"}, Options{})
	if b.ceiling("198.51.100.7").Level != access.None || b.ceiling("198.51.100.8").Level != access.Standard {
		t.Error("the wrong one is blocked")
	}
	b.pass(time.Hour)
	if d := b.ceiling("198.51.100.7"); d.Level != access.Standard {
		t.Errorf("after an hour: %+v", d)
	}
	b.refuses(Invalid, Block{Target: "198.51.100.7", For: Duration(1000 * day)}, Options{})
}

func TestAListIsTakenWholeOrTheLastGoodOneStays(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(t.TempDir(), "drop.netset")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var lines strings.Builder
	for i := range 200 {
		fmt.Fprintf(&lines, "198.18.%d.0/24\n", i)
	}
	write("# a list\n" + lines.String())
	r := b.apply(SetList{Name: "drop", Origin: path, Level: access.None, Every: Duration(time.Hour)}, Options{})
	if r.List.Entries == 0 || b.ceiling("198.18.7.9").Level != access.None {
		t.Fatalf("list %+v, ceiling %+v", r.List, b.ceiling("198.18.7.9"))
	}
	// A pinned rule of the operator's is not touched by any list.
	b.apply(AddRule{Match: "198.18.0.0/16", Level: access.Standard, Pinned: true}, Options{})
	if d := b.ceiling("198.18.7.9"); d.Level != access.Standard || !d.Pinned {
		t.Errorf("a pinned address: %+v", d)
	}
	for text, wrong := range map[string]string{
		lines.String() + "not an address\n": "not an address", "# nothing\n": "empty", "0.0.0.0/0\n": "0.0.0.0/0",
		"198.18.1.0/24\n": "has shrunk: drop had 200 entries and now has 1",
	} {
		write(text)
		b.pass(time.Hour)
		infos, err := b.Lists(context.Background())
		if err != nil || !strings.Contains(infos[0].Problem, wrong) || infos[0].Entries != r.List.Entries {
			t.Errorf("%.40q: %+v, %v", text, infos, err)
		}
	}
	// What is wrong is said whole, as far as it fits.
	directory := filepath.Join(t.TempDir(), strings.Repeat("d", 200), strings.Repeat("é", 100))
	for _, path := range []string{directory, filepath.Join(directory, strings.Repeat("é", 1000))} {
		_, want := os.Open(path)
		if got := problemText(errors.Join(want, errors.New("disk\x1b"))); len(got) > store.MaxText || !utf8.ValidString(got) ||
			!strings.HasSuffix(got, "…") && got != want.Error()+"; disk?" || len(want.Error()) < store.MaxText/2 && strings.HasSuffix(got, "…") {
			t.Errorf("%q of %v", got, want)
		}
	}
	b.refuses(Refused, ReloadList{Name: "drop"}, Options{})
	b.restart()
	list, _, _ := b.Rules(context.Background(), RuleFilter{})
	b.apply(RemoveRule{ID: list[0].ID}, Options{})
	if d := b.ceiling("198.18.7.9"); d.Level != access.None {
		t.Errorf("after a restart the last good one does not hold: %+v", d)
	}
	write(lines.String())
	b.apply(ReloadList{Name: "drop"}, Options{})
	b.apply(RemoveList{Name: "drop"}, Options{})
	if d := b.ceiling("198.18.7.9"); d.Level != access.Standard {
		t.Errorf("after its removal: %+v", d)
	}
	for _, c := range []SetList{{Name: "../x", Origin: path}, {Name: "x", Origin: "relative"}, {Name: "x", Origin: "http://example.com/l"}, {Name: "x", Origin: path, Every: 1}} {
		b.refuses(Invalid, c, Options{})
	}
}

// TestAListThatCannotBeReadLeavesNothingBehind: neither a new one, nor of an old one
// another origin or level.
func TestAListThatCannotBeReadLeavesNothingBehind(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var long strings.Builder
	for i := range 200 {
		fmt.Fprintf(&long, "198.18.%d.0/24\n", i)
	}
	good := file("good", long.String())
	broken, short := file("broken", "198.18.7.0/24\nnot an address\n"), file("short", "198.18.7.0/24\n")
	kept := func(want ...ListInfo) {
		t.Helper()
		infos, err := b.Lists(context.Background())
		if err != nil || fmt.Sprintf("%+v", infos) != fmt.Sprintf("%+v", want) {
			t.Errorf("lists %+v, want %+v, %v", infos, want, err)
		}
		files, err := filepath.Glob(filepath.Join(b.dir, "*list-*"))
		if err != nil || len(files) != len(want) {
			t.Errorf("files %v, %v", files, err)
		}
		if held := b.ceiling("198.18.7.9").Level == access.None; held != (len(want) > 0) {
			t.Errorf("in force: %v", held)
		}
	}
	for _, origin := range []string{broken, filepath.Join(dir, "none")} {
		if e := b.refuses(Refused, SetList{Name: "drop", Origin: origin, Level: access.None}, Options{}); strings.Contains(e.Fix, "--force") {
			t.Errorf("%s: nobody may insist on that: %s", origin, e.Fix)
		}
		kept()
	}
	if r := b.apply(SetList{Name: "drop", Origin: good, Level: access.None}, Options{DryRun: true}); r.List.Entries != 200 {
		t.Errorf("a dry run: %+v", r.List)
	}
	kept()
	once := Options{IdempotencyKey: "k"}
	before := *b.apply(SetList{Name: "drop", Origin: good, Level: access.None}, once).List
	kept(before)
	b.refuses(Refused, SetList{Name: "drop", Origin: broken, Level: access.ReadOnly}, Options{DryRun: true})
	b.refuses(Refused, SetList{Name: "drop", Origin: broken, Level: access.ReadOnly}, Options{})
	if e := b.refuses(Refused, SetList{Name: "drop", Origin: short, Level: access.None}, Options{}); !strings.HasSuffix(e.Fix, "mtguard list set drop --force") {
		t.Errorf("what has shrunk may be insisted on: %s", e.Fix)
	}
	wide := file("wide", "192.0.0.0/4\n")
	if e := b.refuses(Refused, SetList{Name: "drop", Origin: wide, Level: access.None}, Options{}); !strings.HasSuffix(e.Fix, "mtguard list set drop --wide") || !strings.HasPrefix(e.Text, "list drop, line 1: ") {
		t.Errorf("what is wide may be meant: %s, %s", e.Text, e.Fix)
	}
	kept(before)
	b.restart()
	kept(before)
	if err := os.Remove(good); err != nil { // it was made already: nothing has to be read
		t.Fatal(err)
	}
	if r := b.apply(SetList{Name: "drop", Origin: good, Level: access.None}, once); !r.Repeated {
		t.Errorf("%+v", r)
	}
	after := *b.apply(SetList{Name: "drop", Origin: short, Level: access.None}, Options{Force: true}).List
	if kept(after); after.Entries != 1 {
		t.Errorf("%+v", after)
	}
	// A file that is gone, or is another, is made good after a start.
	for _, text := range []string{"", long.String()} {
		b.apply(SetList{Name: "drop", Origin: short, Level: access.None, Every: Duration(day)}, Options{Force: true})
		err := os.Remove(b.listFile("drop"))
		if text != "" {
			err = os.WriteFile(b.listFile("drop"), []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.restart()
		if due := b.dueLists(b.clock()); len(due) != 1 {
			t.Errorf("%d bytes: due are %v", len(text), due)
		}
	}
}

func TestThePolicyHasRevisionsAndAWayBack(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	before := b.live.Load().Limits.ConnectionsPerAddress
	r := b.apply(SetPolicy{"schema = 1\n[connections]\nper_address = 17\n"}, Options{Reason: "less"})
	if got := b.live.Load().Limits.ConnectionsPerAddress; got != 17 || r.Policy.Revision != 1 {
		t.Fatalf("limit %d, revision %+v", got, r.Policy)
	}
	b.apply(SetMode{Control: policy.ConnsAddr, Mode: "enforce", Percent: 10}, Options{Reason: "try", Force: true})
	if c := b.live.Load().Controls[policy.ConnsAddr]; c.Mode != policy.Enforce || c.Percent != 10 {
		t.Errorf("control %+v", c)
	}
	if got := b.live.Load().Limits.ConnectionsPerAddress; got != 17 {
		t.Errorf("setting a mode changed the limit to %d", got)
	}
	b.restart()
	if c := b.live.Load().Controls[policy.ConnsAddr]; c.Mode != policy.Enforce {
		t.Errorf("after a restart: %+v", c)
	}
	b.apply(RollbackPolicy{Revision: 1}, Options{Reason: "too much"})
	if c := b.live.Load().Controls[policy.ConnsAddr]; c.Mode == policy.Enforce {
		t.Errorf("after the rollback: %+v", c)
	}
	b.apply(RollbackPolicy{}, Options{Reason: "all of it"})
	if got := b.live.Load().Limits.ConnectionsPerAddress; got != before {
		t.Errorf("after going back to nothing the limit is %d, it was %d", got, before)
	}
	history, err := b.PolicyHistory(ctx, 0, 10)
	if err != nil || len(history) != 4 || history[0].Revision != 4 || history[3].Reason != "less" || history[0].Document != "" || history[0].Preset != "" {
		t.Errorf("history %+v, %v", history, err)
	}
	values, err := b.PolicyExplain(ctx, "")
	if err != nil || len(values) < 20 {
		t.Fatalf("%d values, %v", len(values), err)
	}
	diff, err := b.PolicyDiff(ctx, 1, 2)
	if err != nil || len(diff) != 1 || diff[0].Path != "controls.conns.addr" {
		t.Errorf("difference %+v, %v", diff, err)
	}
	before0, err := b.PolicyDiff(ctx, 0, 1)
	if err != nil || len(before0) != 1 || before0[0].Was != fmt.Sprint(before) || before0[0].Value != "17" {
		t.Errorf("from what was before any: %+v, %v", before0, err)
	}
	if same, err := b.PolicyDiff(ctx, 0, PolicyInForce); err != nil || len(same) != 0 {
		t.Errorf("it went back to that: %+v, %v", same, err)
	}
	if none, err := b.Policy(ctx, 0); err != nil || none.Revision != 0 || none.Document != noPolicy {
		t.Errorf("revision 0: %+v, %v", none, err)
	}
	if now, err := b.Policy(ctx, PolicyInForce); err != nil || now.Revision != 4 {
		t.Errorf("in force: %+v, %v", now, err)
	}
	for _, text := range []string{"", "schema = 2\n", "schema = 1\n[nonsense]\n", "schema = 1\n[connections]\nper_address = -1\n", "schema = 1\n[controls.\"no.such\"]\nmode = \"enforce\"\n"} {
		b.refuses(Invalid, SetPolicy{text}, Options{Reason: "x"})
	}
	b.refuses(Invalid, SetMode{Control: policy.ConnsTotal, Mode: "off"}, Options{Reason: "x"})
	b.refuses(NotFound, RollbackPolicy{Revision: 99}, Options{Reason: "x"})
	b.refuses(Invalid, SetMode{Control: policy.ConnsAddr, Mode: "enforce"}, Options{Force: true}) // no reason
}

func TestABrokenGlassMendsItself(t *testing.T) {
	b := newBench(t)
	b.apply(SetMode{Control: policy.RateAccept, Mode: "enforce"}, Options{Reason: "x", Force: true})
	mode := func() policy.Mode {
		m, _ := b.live.Load().Judge(policy.RateAccept, policy.Subject{Addr: home}, b.clock())
		return m
	}
	b.refuses(Invalid, BreakGlass{}, Options{})
	b.refuses(Invalid, BreakGlass{For: Duration(day + time.Second)}, Options{Reason: "for good"})
	b.apply(BreakGlass{}, Options{Reason: "everybody is locked out"})
	if mode() != policy.Monitor {
		t.Errorf("with the glass broken: %v", mode())
	}
	status := func() *time.Time {
		s, err := b.Status(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return s.Glass
	}
	if until := status(); until == nil || !until.Equal(b.clock().Add(usualGlass)) {
		t.Errorf("the status says that it is broken until %v", until)
	}
	b.pass(usualGlass)
	if mode() != policy.Enforce || status() != nil {
		t.Errorf("four hours later: %v, %v", mode(), status())
	}
	b.apply(BreakGlass{}, Options{Reason: "again"})
	b.apply(EndGlass{}, Options{})
	if mode() != policy.Enforce {
		t.Errorf("after it was ended: %v", mode())
	}
}

func TestAnExceptionSparesUntilItsEnd(t *testing.T) {
	b := newBench(t)
	b.add("kiosk")
	b.apply(SetMode{Control: policy.ConnsUser, Mode: "enforce"}, Options{Reason: "x", Force: true})
	subject := policy.Subject{Addr: home, User: "kiosk"}
	r := b.apply(AddException{Controls: []string{policy.ConnsUser}, User: "kiosk", Until: b.clock().Add(day)}, Options{Reason: "many people"})
	if m, id := b.live.Load().Judge(policy.ConnsUser, subject, b.clock()); m == policy.Enforce || id != r.Exception.ID {
		t.Errorf("spared: %v by %q", m, id)
	}
	if err := b.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if list, _ := b.Exceptions(context.Background()); len(list) != 1 || list[0].Hits != 1 || list[0].Owner != operator.Name {
		t.Errorf("after a restart: %+v", list)
	}
	if m, _ := b.live.Load().Judge(policy.ConnsUser, subject, b.clock().Add(day)); m != policy.Enforce {
		t.Errorf("at its end: %v", m)
	}
	b.apply(RemoveException{ID: r.Exception.ID}, Options{})
	if m, _ := b.live.Load().Judge(policy.ConnsUser, subject, b.clock()); m != policy.Enforce {
		t.Errorf("after its removal: %v", m)
	}
	b.refuses(Invalid, AddException{Controls: []string{policy.ConnsUser}, User: "kiosk", Until: b.clock().Add(day)}, Options{})
	o := Options{Reason: "x"}
	for _, c := range []AddException{{}, {Controls: []string{"no.such"}, User: "kiosk", Until: b.clock().Add(day)}, {Controls: []string{policy.ConnsTotal}, User: "kiosk", Until: b.clock().Add(day)},
		{Controls: []string{policy.ConnsUser}, User: "kiosk"}, {Controls: []string{policy.ConnsUser}, User: "kiosk", Until: b.clock()}, {Controls: []string{policy.ConnsUser}, Prefix: "nonsense", Until: b.clock().Add(day)},
		{Controls: []string{policy.ConnsUser}, Until: b.clock().Add(day)}, {Controls: []string{policy.ConnsUser}, Prefix: "0.0.0.0/0", Until: b.clock().Add(day)}} {
		b.refuses(Invalid, c, o)
	}
	for prefix, want := range map[string]string{"fe80::1%eth0": "zone", "10.0.0.1/8": "10.0.0.0/8", "country:DE": "no address", "203.0.113.*": "no address"} {
		c := AddException{Controls: []string{policy.ConnsUser}, Prefix: prefix, Until: b.clock().Add(day)}
		if e := b.refuses(Invalid, c, o); e.Field != "prefix" || !strings.Contains(e.Text, want) {
			t.Errorf("for %s: %s, %s", prefix, e.Field, e.Text)
		}
	}
	r = b.apply(AddException{Controls: []string{policy.ConnsUser}, Prefix: "::ffff:203.0.113.7", Until: b.clock().Add(day)}, o)
	if r.Exception.Prefix != "203.0.113.7" {
		t.Errorf("a mapped address: %+v", r.Exception)
	}
	// What was never made has no name.
	c := AddException{Controls: []string{"acces.level"}, User: "kiosk", Until: b.clock().Add(day)}
	if e := b.refuses(Invalid, c, o); e.Text != `unknown control "acces.level": did you mean access.level?` {
		t.Errorf("a misspelt control: %s", e.Text)
	}
	if e := b.refuses(NotFound, RolloutNext{Control: "acces.level"}, o); e.Fix != "did you mean access.level?" {
		t.Errorf("a misspelt control: %s", e.Fix)
	}
}

// TestARuleThatShutsABalancerOutNeedsForce: the file's peers are the operator's own.
func TestARuleThatShutsABalancerOutNeedsForce(t *testing.T) {
	b := newBench(t)
	base := policy.Snapshot{ServerNames: map[string]struct{}{}, ProxyProtocolFrom: []netip.Prefix{netip.MustParsePrefix("198.51.100.4/32"), netip.MustParsePrefix("10.1.0.0/16")}}
	if _, err := b.Load(context.Background(), File{Base: base}); err != nil {
		t.Fatal(err)
	}
	b.refuses(Refused, AddRule{Match: "198.51.100.0/24", Level: access.None}, Options{})
	b.refuses(Refused, AddRule{Match: "10.1.2.0/24", Level: access.None}, Options{}) // one of many balancers
	b.refuses(Refused, Block{Target: "10.1.0.7-10.1.0.9"}, Options{})
	b.apply(AddRule{Match: "10.2.0.0/16", Level: access.None}, Options{})
	b.apply(AddRule{Match: "198.51.100.128/25", Level: access.None}, Options{})
	b.apply(AddRule{Match: "198.51.100.0/24", Level: access.Standard}, Options{})
}

// TestListsComeOverHTTPSAndNothingElse: a server that leads to one without TLS is not followed.
func TestListsComeOverHTTPSAndNothingElse(t *testing.T) {
	b := newBench(t)
	const text = "198.18.1.0/24\n"
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, text) }))
	defer plain.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/list":
			fmt.Fprint(w, text)
		case "/moved":
			http.Redirect(w, r, "/list", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	usual := http.DefaultTransport
	http.DefaultTransport = server.Client().Transport
	defer func() { http.DefaultTransport = usual }()
	for path, says := range map[string]string{"/plain": "without TLS", "/gone": "404"} {
		if e := b.refuses(Refused, SetList{Name: "l", Origin: server.URL + path}, Options{}); !strings.Contains(e.Text, says) {
			t.Errorf("%s: %v", path, e)
		}
		if b.ceiling("198.18.1.1").Level != access.Standard {
			t.Errorf("%s: the list is in force", path)
		}
	}
	for _, path := range []string{"/moved", "/list"} {
		if r := b.apply(SetList{Name: "l", Origin: server.URL + path}, Options{}); r.List.Entries != 1 || b.ceiling("198.18.1.1").Level != access.None {
			t.Errorf("%s: %+v", path, r.List)
		}
	}
}
