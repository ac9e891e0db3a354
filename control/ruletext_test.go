package control

import (
	"context"
	"strings"
	"testing"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
)

// Whoever shuts somebody out is told when nobody is shut out by it yet.
func TestARuleSaysThatNobodyFeelsIt(t *testing.T) {
	b := newBench(t)
	force := Options{Reason: "x", Force: true}
	says := func(c Change, want string) {
		t.Helper()
		r := b.apply(c, force)
		if got := r.Summary; want == "" && strings.Contains(got, ";") || !strings.Contains(got, want) {
			t.Errorf("%#v: %q, want %q", c, got, want)
		}
	}
	says(Block{Target: "198.51.100.1"}, "; nobody feels it while access.level is in monitor: mtguard rollout status")
	says(AddRule{Match: "198.51.100.2", Level: access.ReadOnly}, "; nobody feels it while access.level is in monitor")
	says(AddRule{Match: "198.51.100.3", Level: access.Standard}, "")
	says(AddRule{Match: "asn:64500", Level: access.None}, "; nobody feels it while geo.country is in monitor")
	says(AddRule{Match: "ja4:t13d*", Level: access.None}, "; nobody feels it while access.pattern is in monitor")
	b.apply(SetMode{Control: policy.AccessLevel, Mode: "enforce", Percent: 10}, force)
	says(Block{Target: "198.51.100.4"}, "; access.level is enforced for 10%")
	b.apply(SetMode{Control: policy.AccessLevel, Mode: "enforce"}, force)
	says(Block{Target: "198.51.100.5"}, "")
	b.apply(BreakGlass{}, force)
	says(Block{Target: "198.51.100.6"}, "; nobody feels it while the glass is broken, until "+b.clock().Add(usualGlass).UTC().Format(time.RFC3339))
	b.apply(EndGlass{}, force)
	b.apply(SetMode{Control: policy.AccessLevel, Mode: "off"}, force)
	says(Block{Target: "198.51.100.7"}, "; nobody feels it while access.level is off")
}

// A block that is shorter than the time to confirm it ends by itself anyway.
func TestAShortBlockOfOnesOwnNeedsNoConfirmation(t *testing.T) {
	b := newBench(t)
	for length, waits := range map[time.Duration]bool{5 * time.Minute: false, confirmWithin: false, confirmWithin + time.Second: true} {
		r := b.apply(Block{Target: "127.0.0.1", For: Duration(length)}, Options{Force: true})
		if (r.Rule.ConfirmBy != nil) != waits || strings.Contains(r.Summary, "confirm") != waits {
			t.Errorf("for %v: %s, %+v", length, r.Summary, r.Rule)
		}
		if b.ceiling("127.0.0.1").Level != access.None {
			t.Errorf("for %v it does not hold", length)
		}
		b.pass(length)
		if b.ceiling("127.0.0.1").Level == access.None {
			t.Errorf("after %v it holds still", length)
		}
	}
}

// An address that something else shuts out is not said to be let in.
func TestUnblockSaysWhatBlocksStill(t *testing.T) {
	b := newBench(t)
	wide := b.apply(AddRule{Match: "198.51.100.0/24", Level: access.None}, Options{})
	b.apply(Block{Target: "198.51.100.7"}, Options{})
	want := "the block on 198.51.100.7 is gone, and " + wide.Rule.ID + " still shuts 198.51.100.7 out: mtguard access check 198.51.100.7"
	if r := b.apply(Unblock{Target: "198.51.100.7"}, Options{}); r.Summary != want || r.Affected != 1 {
		t.Errorf("%d: %q, want %q", r.Affected, r.Summary, want)
	}
	if r := b.apply(Unblock{Target: "198.51.100.0/24"}, Options{}); r.Summary != "198.51.100.0/24 is not blocked any more" {
		t.Errorf("%q", r.Summary)
	}
	b.apply(Block{Target: "ja4:t13d*"}, Options{Force: true})
	if r := b.apply(Unblock{Target: "ja4:t13d*"}, Options{}); r.Summary != "ja4:t13d* is not blocked any more" {
		t.Errorf("%q", r.Summary)
	}
}

// Whoever is refused at the door is refused, whatever would spare him inside: check
// says so, and so does who makes such an exception.
func TestChecksJudgeAsTheDoorDoes(t *testing.T) {
	b := newBench(t)
	b.add("kiosk")
	o := Options{Reason: "x", Force: true}
	b.apply(SetMode{Control: policy.AccessLevel, Mode: "enforce"}, o)
	b.apply(SetMode{Control: policy.ConnsAddr, Mode: "enforce"}, o)
	b.apply(Block{Target: "203.0.113.7"}, o)
	outcome := func() AccessReport {
		t.Helper()
		r, err := b.CheckAccess(context.Background(), CheckQuery{Addr: "203.0.113.7", User: "kiosk"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	until := b.clock().Add(day)
	r := b.apply(AddException{Controls: []string{policy.AccessLevel}, User: "kiosk", Until: until}, o)
	if !strings.Contains(r.Summary, "; rules of level none refuse before it is known who comes") {
		t.Errorf("an exception that does not spare: %q", r.Summary)
	}
	if c := outcome(); c.Outcome != isRefused || c.Exception != "" {
		t.Errorf("with an exception for the user: %+v", c)
	}
	b.refuses(Invalid, AddException{Controls: []string{policy.ConnsAddr}, User: "kiosk", Until: until}, o)
	r = b.apply(AddException{Controls: []string{policy.AccessLevel, policy.ConnsAddr}, Prefix: "203.0.113.0/24", Until: until}, o)
	if strings.Contains(r.Summary, ";") {
		t.Errorf("an exception that spares: %q", r.Summary)
	}
	if c := outcome(); c.Outcome != wouldRefused || c.Exception == "" {
		t.Errorf("with an exception for the prefix: %+v", c)
	}
}
