package control

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
)

func (b *bench) blocked(known string) Blocked {
	b.t.Helper()
	answer, err := b.Blocked(context.Background(), known)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer
}

func prefixes(answer Blocked) (list []string) {
	for _, p := range answer.Prefixes {
		list = append(list, p.Prefix.String())
	}
	return list
}

// TestWhatIsBlockedBeforeTheProxy: just what the proxy would refuse from everybody, and
// nothing while it would not.
func TestWhatIsBlockedBeforeTheProxy(t *testing.T) {
	b := newBench(t)
	b.add("kiosk")
	base := policy.Snapshot{ServerNames: map[string]struct{}{}, ProxyProtocolFrom: []netip.Prefix{netip.MustParsePrefix("198.51.100.4/32")}}
	if _, err := b.Load(context.Background(), File{Base: base}); err != nil {
		t.Fatal(err)
	}
	b.apply(Block{Target: "192.0.2.7"}, Options{Reason: "x"})
	b.apply(AddRule{Match: "203.0.113.0/31", Level: access.None}, Options{})
	b.apply(AddRule{Match: "203.0.113.1", Level: access.Standard}, Options{})
	r := b.apply(AddRule{Match: "198.51.100.4/31", Level: access.None}, Options{Force: true})
	b.apply(ConfirmRule{ID: r.Rule.ID}, Options{})
	expect := func(what string, want ...string) Blocked {
		t.Helper()
		answer := b.blocked("")
		if got := prefixes(answer); !slices.Equal(got, want) || (len(want) == 0) != (answer.Suspended != "") {
			t.Errorf("%s: %v, suspended %q; want %v", what, got, answer.Suspended, want)
		}
		return answer
	}
	all := []string{"192.0.2.7/32", "198.51.100.5/32", "203.0.113.0/32"}
	expect("in monitor")
	set := func(mode string, percent int) {
		b.apply(SetMode{Control: policy.AccessLevel, Mode: mode, Percent: percent}, Options{Reason: "x", Force: true})
	}
	set("enforce", 50)
	expect("for a share")
	set("enforce", 100)
	answer := expect("enforced", all...)
	if p := answer.Prefixes[0]; p.Until == nil || !p.Until.Equal(b.clock().Add(usualBlock)) || p.Source != access.Operator || p.Rule == "" || answer.Prefixes[2].Until != nil {
		t.Errorf("%+v", answer.Prefixes)
	}
	if again := b.blocked(answer.Tag); !again.Unchanged || again.Tag != answer.Tag || again.Prefixes != nil {
		t.Errorf("asked with its tag: %+v", again)
	}
	spared := b.apply(AddException{Controls: []string{policy.AccessLevel}, Prefix: "203.0.113.0/24", Until: b.clock().Add(day)}, Options{Reason: "x"})
	if again := b.blocked(answer.Tag); again.Unchanged {
		t.Error("an exception changed nothing")
	}
	expect("with an exception of a prefix", all[:2]...)
	b.apply(RemoveException{ID: spared.Exception.ID}, Options{})
	expect("without it", all...)
	spared = b.apply(AddException{Controls: []string{policy.AccessLevel}, User: "kiosk", Until: b.clock().Add(time.Minute)}, Options{Reason: "x"})
	expect("with an exception of a user")
	b.pass(time.Minute)
	expect("after its end", all...)
	b.apply(BreakGlass{}, Options{Reason: "x"})
	expect("with broken glass")
	b.apply(EndGlass{}, Options{Reason: "x"})
	b.pass(time.Hour)
	expect("after the block", all[1:]...)
	b.apply(Unblock{Target: "203.0.113.0/31"}, Options{})
	expect("after an undo", all[1])
}

// TestTheKernelDropsWhatEachControlRefuses: the node's own blocks by threat.block, the operators' by access.level.
func TestTheKernelDropsWhatEachControlRefuses(t *testing.T) {
	b := newBench(t)
	b.add("kiosk")
	mode := func(control, mode string) {
		b.apply(SetMode{Control: control, Mode: mode}, Options{Reason: "x", Force: true})
	}
	mode(policy.ThreatBlock, "enforce")
	b.autoBlock(time.Hour, "203.0.113.7/32", "203.0.113.8/32")
	b.apply(Block{Target: "192.0.2.7"}, Options{Reason: "x"})
	expect := func(what string, want ...string) {
		t.Helper()
		answer := b.blocked("")
		if got := prefixes(answer); !slices.Equal(got, want) || (answer.Suspended == "") != (len(want) > 0) {
			t.Errorf("%s: %v, suspended %q; want %v", what, got, answer.Suspended, want)
		}
	}
	expect("threat.block alone", "203.0.113.7/32", "203.0.113.8/32")
	b.apply(AddException{Controls: []string{policy.ThreatBlock}, User: "kiosk", Until: b.clock().Add(day)}, Options{Reason: "x"})
	expect("somebody whom nobody can tell at the door", "203.0.113.7/32", "203.0.113.8/32")
	e := b.apply(AddException{Controls: []string{policy.ThreatBlock}, Prefix: "203.0.113.8/32", Until: b.clock().Add(day)}, Options{Reason: "x"})
	expect("an exception of threat.block", "203.0.113.7/32")
	mode(policy.AccessLevel, "enforce")
	expect("both", "192.0.2.7/32", "203.0.113.7/32")
	mode(policy.ThreatBlock, "monitor")
	expect("access.level alone", "192.0.2.7/32")
	b.apply(RemoveException{ID: e.Exception.ID}, Options{})
	mode(policy.ThreatBlock, "enforce")
	expect("both again", "192.0.2.7/32", "203.0.113.7/32", "203.0.113.8/32")
	b.apply(AddException{Controls: []string{policy.ThreatBlock}, Country: "DE", Until: b.clock().Add(day)}, Options{Reason: "x"})
	expect("an exception of a country", "192.0.2.7/32")
	mode(policy.AccessLevel, "monitor")
	expect("neither")
}

// TestTheKernelSparesWhoIsThere: from where somebody authenticated after the block, or is connected, or whom the data path knows, the proxy lets in; so the
// kernel does, until a day later. A block of an operator spares nobody.
func TestTheKernelSparesWhoIsThere(t *testing.T) {
	b := newBench(t)
	key := b.add("nadia")
	b.apply(SetMode{Control: policy.ThreatBlock, Mode: "enforce"}, Options{Reason: "x", Force: true})
	b.apply(SetMode{Control: policy.AccessLevel, Mode: "enforce"}, Options{Reason: "x", Force: true})
	b.autoBlock(7*24*time.Hour, "203.0.113.7/32", "203.0.113.8/32", "2001:db8:1:2::/64", "2001:db8:7::/48")
	b.apply(Block{Target: "192.0.2.7"}, Options{Reason: "x"})
	all := []string{"192.0.2.7/32", "203.0.113.7/32", "203.0.113.8/32", "2001:db8:1:2::/64", "2001:db8:7::/48"}
	tag := ""
	expect := func(what string, gone ...string) {
		t.Helper()
		want := slices.DeleteFunc(slices.Clone(all), func(p string) bool { return slices.Contains(gone, p) })
		answer := b.blocked("")
		if got := prefixes(answer); !slices.Equal(got, want) || answer.Present != len(gone) || answer.Tag == tag {
			t.Errorf("%s: %v, %d are said to be present; want %v", what, got, answer.Present, want)
		}
		if again := b.blocked(answer.Tag); !again.Unchanged {
			t.Errorf("%s: asked again it is another", what)
		}
		tag = answer.Tag
	}
	expect("nobody came")
	for _, from := range []string{"203.0.113.7", "2001:db8:1:2::9", "192.0.2.7"} {
		key.Use().See(netip.MustParseAddr(from), b.clock())
	}
	b.pass(lookAgain)
	expect("somebody came", "203.0.113.7/32", "2001:db8:1:2::/64")
	b.parts.Regular = func(p netip.Prefix, _ time.Time) bool { return p.Bits() == 48 }
	b.pass(lookAgain)
	expect("the data path knows of somebody in a network", "203.0.113.7/32", "2001:db8:1:2::/64", "2001:db8:7::/48")
	b.parts.Regular = nil
	b.pass(guard.Lately)
	answer := b.blocked("")
	if got := prefixes(answer); !slices.Equal(got, all[1:]) { // the operator's was for an hour
		t.Errorf("a day later: %v", got)
	}
}

// TestWhichBlocksTheKernelIsNotTold: where one control is enforced and the other is not, it is said which.
func TestWhichBlocksTheKernelIsNotTold(t *testing.T) {
	b := newBench(t)
	expect := func(suspended bool, partly string) {
		t.Helper()
		if a := b.blocked(""); (a.Suspended != "") != suspended || a.Partly != partly {
			t.Errorf("suspended %q, partly %q; want %v, %q", a.Suspended, a.Partly, suspended, partly)
		}
	}
	set := func(control, mode string) {
		b.apply(SetMode{Control: control, Mode: mode}, Options{Reason: "x", Force: true})
	}
	expect(true, "")
	set(policy.ThreatBlock, "enforce")
	expect(false, "the control access.level is not enforced: its mode is monitor")
	set(policy.AccessLevel, "enforce")
	expect(false, "")
	set(policy.ThreatBlock, "off")
	expect(false, "the control threat.block is not enforced: its mode is off")
}
