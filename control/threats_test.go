package control

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// autoBlock blocks addresses by themselves for so long.
func (b *bench) autoBlock(long time.Duration, prefixes ...string) Result {
	b.t.Helper()
	var c AutoBlock
	for _, p := range prefixes {
		c.Blocks = append(c.Blocks, AutoBlocked{Prefix: netip.MustParsePrefix(p), For: Duration(long), Reason: "probe_scan: noise"})
	}
	r, err := b.Apply(context.Background(), ThreatActor, c, Options{Reason: "attacks"})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func TestAnAutomaticBlockHasAReasonAnEndAndAnUndo(t *testing.T) {
	b := newBench(t)
	b.autoBlock(10*time.Minute, "203.0.113.7/32", "2001:db8:1:2::/64")
	for _, addr := range []string{"203.0.113.7", "2001:db8:1:2::9"} {
		d := b.ceiling(addr)
		if d.Level != access.None || d.Control != policy.ThreatBlock {
			t.Errorf("%s: %+v", addr, d)
		}
	}
	rules, _, err := b.Rules(context.Background(), RuleFilter{Source: "automatic"})
	if err != nil || len(rules) != 2 {
		t.Fatalf("%+v, %v", rules, err)
	}
	for _, r := range rules {
		if r.By != "threat" || r.Reason != "probe_scan: noise" || r.Until == nil || r.Until.Sub(b.clock()) != 10*time.Minute || r.Pinned {
			t.Errorf("%+v", r)
		}
	}
	b.autoBlock(time.Hour, "203.0.113.7/32") // longer, and not one more
	if rules, _, _ := b.Rules(context.Background(), RuleFilter{Source: "automatic"}); len(rules) != 2 {
		t.Errorf("%d rules", len(rules))
	}
	b.apply(Unblock{Target: "2001:db8:1:2::/64"}, Options{})
	if d := b.ceiling("2001:db8:1:2::9"); d.Level != access.Standard {
		t.Errorf("after the undo: %+v", d)
	}
	b.restart()
	b.pass(10 * time.Minute)
	if d := b.ceiling("203.0.113.7"); d.Level != access.None {
		t.Errorf("after ten minutes of an hour: %+v", d)
	}
	b.pass(50 * time.Minute)
	if d := b.ceiling("203.0.113.7"); d.Level != access.Standard {
		t.Errorf("after an hour: %+v", d)
	}
	b.pass(keepAutomatic)
	b.pass(sweepAutomaticEvery)
	b.pass(time.Second) // nobody watches the store here
	if rules, _, _ := b.Rules(context.Background(), RuleFilter{Source: "automatic"}); len(rules) != 0 {
		t.Errorf("what is long over is kept: %+v", rules)
	}
	b.refuses(Invalid, AutoBlock{Blocks: []AutoBlocked{{Prefix: netip.MustParsePrefix("203.0.113.7/32"), For: Duration(8 * day)}}}, Options{})
	b.refuses(Invalid, AutoBlock{Blocks: []AutoBlocked{{Prefix: netip.MustParsePrefix("203.0.113.7/32")}}}, Options{})
	if _, err := b.Apply(context.Background(), Actor{Name: "uid 1", Level: access.Admin}, AutoBlock{}, Options{}); err == nil {
		t.Error("an administrator blocks as if he were the node")
	}
}

// TestAnAutomaticBlockSparesWhoIsThere: a user who authenticated within a day, before a restart too, and addresses that are pinned.
func TestAnAutomaticBlockSparesWhoIsThere(t *testing.T) {
	b := newBench(t)
	key := b.add("nadia")
	v := auth.Admit(key, netip.MustParseAddr("203.0.113.7"), b.clock())
	v.Grant.Release()
	b.apply(AddRule{Match: "198.51.100.0/24", Level: access.Standard, Pinned: true}, Options{})
	r := b.autoBlock(time.Hour, "203.0.113.7/32", "203.0.113.8/32", "198.51.100.1/32", "127.0.0.1/32")
	if r.Affected != 1 || strings.Join(r.Spared, " ") != "203.0.113.7/32 198.51.100.1/32 127.0.0.1/32" {
		t.Errorf("%+v", r)
	}
	if d := b.ceiling("203.0.113.7"); d.Level != access.Standard {
		t.Errorf("the user's address: %+v", d)
	}
	if err := b.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if r := b.autoBlock(time.Hour, "203.0.113.7/32"); len(r.Spared) != 1 {
		t.Errorf("after a restart: %+v", r)
	}
	b.pass(guard.Lately + time.Hour) // Release noted the wall clock, which is not this one
	if !b.Present(netip.MustParsePrefix("203.0.113.7/32"), b.clock()) && len(b.autoBlock(time.Hour, "203.0.113.7/32").Spared) != 0 {
		t.Error("a day later it is spared still")
	}
}

// TestAnAutomaticBlockEndsNoSession, whatever mode its control has: it only judges at the door.
func TestAnAutomaticBlockEndsNoSession(t *testing.T) {
	b := newBench(t)
	b.apply(SetMode{Control: policy.ThreatBlock, Mode: "enforce"}, Options{Reason: "test", Force: true})
	b.apply(SetMode{Control: policy.AccessLevel, Mode: "enforce"}, Options{Reason: "test", Force: true})
	key := b.add("nadia")
	from := netip.MustParseAddr("203.0.113.7")
	v := auth.Admit(key, from, b.clock())
	ends := 0
	session := &auth.Session{Conn: 1, Grant: v.Grant, Relay: ended{&ends}}
	session.Grade(access.Standard)
	b.sessions.Open(session)
	defer b.sessions.Close(session, 0, 0)
	// Somebody else's way round the guard: an automatic rule that is there already.
	rule := access.Rule{ID: "x", Match: access.PrefixMatch(netip.MustParsePrefix("203.0.113.0/24")), Level: access.None, Source: access.Automatic}
	if r := b.autoBlock(time.Hour, "203.0.113.0/24"); len(r.Spared) != 1 {
		t.Errorf("a network with a session in it: %+v", r)
	}
	table, err := access.Compile([]access.Rule{rule}, access.Options{Default: access.Standard})
	if err != nil {
		t.Fatal(err)
	}
	snap := *b.live.Load()
	snap.Access = table
	if n := b.sessions.Apply(&snap, "test", b.clock()); n != 0 || ends != 0 || !session.Follow(&snap, b.clock()) {
		t.Errorf("an automatic block ended %d sessions", n)
	}
	rule.Source = access.Operator
	if table, err = access.Compile([]access.Rule{rule}, access.Options{Default: access.Standard}); err != nil {
		t.Fatal(err)
	}
	snap.Access = table
	if n := b.sessions.Apply(&snap, "test", b.clock()); n != 1 {
		t.Errorf("an operator's block ended %d sessions", n)
	}
}

type ended struct{ n *int }

func (e ended) End(string)              { *e.n++ }
func (e ended) Moved() (up, down int64) { return 0, 0 }

func TestABlockSaysWhomItHits(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"nadia", "omar", "pia"} {
		v := auth.Admit(b.add(name), netip.MustParseAddr("203.0.113.7"), b.clock())
		v.Grant.Release()
	}
	r := b.apply(Block{Target: "203.0.113.7"}, Options{DryRun: true})
	if !strings.Contains(r.Summary, "it would hit 3 users who came from there within a day: nadia, omar, pia") || r.Affected != 3 {
		t.Errorf("%+v", r)
	}
	if r := b.apply(Block{Target: "203.0.113.8"}, Options{DryRun: true}); strings.Contains(r.Summary, "would hit") {
		t.Errorf("%+v", r)
	}
}

func TestAutomaticRulesHaveABound(t *testing.T) {
	b := newBench(t)
	var c AutoBlock
	for i := range maxAutomatic + 1 {
		a := netip.AddrFrom4([4]byte{100, byte(64 + i>>16), byte(i >> 8), byte(i)})
		c.Blocks = append(c.Blocks, AutoBlocked{Prefix: netip.PrefixFrom(a, 32), For: Duration(time.Hour), Reason: fmt.Sprint(i)})
	}
	b.refuses(Refused, c, Options{})
	c.Blocks = c.Blocks[:1000]
	if r := b.apply(c, Options{}); r.Affected != 1000 {
		t.Errorf("%+v", r)
	}
}
