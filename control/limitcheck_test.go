package control

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/proxy/auth"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/security/usage"
)

func TestLimitsOfAUser(t *testing.T) {
	b := newBench(t)
	b.apply(AddUser{Name: "nadia", Level: access.Standard, MaxConnections: 2, Quota: Quota{Bytes: 4096, Per: "month"}}, Options{})
	b.parts.Limits = func(addr netip.Addr, now time.Time) []LimitInfo {
		return []LimitInfo{Counted(policy.ConnsAddr, addr.String(), 5, 3)}
	}
	ask := func(q LimitQuery) map[string]LimitInfo {
		t.Helper()
		items, err := b.CheckLimits(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		by := make(map[string]LimitInfo)
		for _, i := range items {
			by[i.Control] = i
		}
		return by
	}
	account := b.names["nadia"].account
	for want := int64(2); want >= 0; want-- {
		if i := ask(LimitQuery{User: "nadia"})["user.connections"]; i.Left != want || i.Mode != "enforce" || i.Limit != "2" {
			t.Errorf("want %d left: %+v", want, i)
		}
		if want > 0 && account.Enter(netip.MustParseAddr("192.0.2.7")) != usage.Allowed {
			t.Fatal("no room")
		}
	}
	if i := ask(LimitQuery{User: "nadia"})["user.quota"]; i.Left != 4096 || i.RetryAt != nil {
		t.Errorf("quota: %+v", i)
	}
	account.Add(4000, 1000)
	if i := ask(LimitQuery{User: "nadia"})["user.quota"]; i.Left != 0 || i.RetryAt == nil || !i.RetryAt.Equal(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("quota, used up: %+v", i)
	}
	b.apply(AddException{Controls: []string{policy.ConnsAddr}, Prefix: "203.0.113.0/24", Until: b.clock().Add(time.Hour)}, Options{Reason: "moves house"})
	both := ask(LimitQuery{User: "nadia", Addr: "::ffff:203.0.113.7"})
	if i := both[policy.ConnsAddr]; i.Of != "203.0.113.7" || i.Left != 0 || i.Mode != "monitor" || i.Exception == "" {
		t.Errorf("by address: %+v", i)
	}
	if _, ok := both["user.connections"]; !ok {
		t.Errorf("of both: %v", both)
	}
}

// TestLimitsOfBytes: what is shown is what the sessions of the user are held to, by
// the user, by his level there, and with what is left of it.
func TestLimitsOfBytes(t *testing.T) {
	b := newBench(t)
	b.apply(AddUser{Name: "nadia", Level: access.Standard}, Options{})
	ask := func(addr string) map[string]LimitInfo {
		t.Helper()
		items, err := b.CheckLimits(context.Background(), LimitQuery{User: "nadia", Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		by := make(map[string]LimitInfo)
		for _, i := range items {
			if i.Control == policy.BytesUser {
				by[i.Of] = i
			} else if i.Origin == "" {
				t.Errorf("nobody knows where this comes from: %+v", i)
			}
		}
		return by
	}
	if all := ask(""); len(all) != 4 || all["nadia, sent"].Limit != "no bound" || all["nadia, sent"].Left != -1 || all["nadia, standard, received"].Origin != "preset personal" {
		t.Errorf("without a bound: %+v", all)
	}
	b.apply(SetPolicy{"schema = 1\n[bandwidth]\nper_user = \"1KiB/s burst 4KiB\"\n[bandwidth.level]\nstandard = \"2KiB/s\"\n"}, Options{Reason: "x"})
	account := b.names["nadia"].account
	come := func() {
		account.SetRates(auth.RatesOf(b.live.Load(), "nadia", b.clock()), b.clock())
	}
	come()
	account.Budgets(access.Standard).Up.Spent(8<<10, b.clock())
	if i := ask("")["nadia, sent"]; i.Mode != "monitor" || i.Left != 0 || i.RetryAt != nil || i.Origin != "policy r1" {
		t.Errorf("in monitor nobody is held back: %+v", i)
	}
	b.apply(SetMode{Control: policy.BytesUser, Mode: "enforce"}, Options{Reason: "x", Force: true})
	b.pass(time.Minute)
	come()
	if i := ask("")["nadia, standard, sent"]; i.Mode != "enforce" || i.Left != 2<<10 || i.Limit != "2KiB/s" {
		t.Errorf("before anything went: %+v", i)
	}
	account.Budgets(access.Standard).Up.Spent(3<<10, b.clock())
	all := ask("")
	if i := all["nadia, sent"]; i.Left != 1<<10 || i.RetryAt != nil {
		t.Errorf("of the user: %+v", i)
	}
	if i := all["nadia, standard, sent"]; i.Left != 0 || i.RetryAt == nil || i.RetryAt.Sub(b.clock()) != 500*time.Millisecond {
		t.Errorf("of the level: %+v", i)
	}
	if i := all["nadia, standard, received"]; i.Left != 2<<10 || len(ask("")) != len(all) {
		t.Errorf("the other direction, and asking takes nothing: %+v", i)
	}
	// A ceiling counts where it is enforced; what read_only sends is bounded in any mode.
	b.apply(AddRule{Match: "203.0.113.0/24", Level: access.ReadOnly}, Options{})
	if _, ok := ask("203.0.113.7")["nadia, standard, sent"]; !ok {
		t.Error("a rule in monitor lowers the level")
	}
	b.apply(SetMode{Control: policy.AccessLevel, Mode: "enforce"}, Options{Reason: "x", Force: true})
	b.apply(SetMode{Control: policy.BytesUser, Mode: "off"}, Options{Reason: "x"})
	all = ask("203.0.113.7")
	if i := all["nadia, read_only, sent"]; len(all) != 3 || i.Mode != "enforce" || i.Limit != "8KiB/s burst 256KiB" || i.Left != 256<<10 || all["nadia, sent"].Mode != "off" {
		t.Errorf("where the ceiling is read_only: %+v", all)
	}
}

// TestAUserShowsTheTransportsHeCameBy, and when they end.
func TestAUserShowsTheTransportsHeCameBy(t *testing.T) {
	b := newBench(t)
	b.apply(AddUser{Name: "nadia", Level: access.Standard}, Options{})
	if u := b.user("nadia"); len(u.Transports) != 0 {
		t.Errorf("at first: %+v", u.Transports)
	}
	account := b.names["nadia"].account
	account.Came(mtproto.Classic, b.clock())
	account.Came(mtproto.FakeTLS, b.clock().Add(time.Minute))
	account.Came(mtproto.Classic, b.clock().Add(time.Hour))
	b.apply(SetPolicy{"schema = 1\n[encryption.until]\nclassic = 2027-01-01\n"}, Options{Reason: "x"})
	used := b.user("nadia").Transports
	if len(used) != 2 || used[0].Transport != "faketls" || used[0].Came != 1 || used[0].Until != nil {
		t.Fatalf("%+v", used)
	}
	if c := used[1]; c.Transport != "classic" || c.Came != 2 || !c.Last.Equal(b.clock().Add(time.Hour)) || c.Until == nil || c.Until.Year() != 2027 {
		t.Errorf("%+v", c)
	}
}

func TestLimitsOfNobody(t *testing.T) {
	b := newBench(t)
	for q, kind := range map[LimitQuery]Kind{{}: Invalid, {Addr: "home"}: Invalid, {Addr: "fe80::1%eth0"}: Invalid, {User: "nobody"}: NotFound} {
		_, err := b.CheckLimits(context.Background(), q)
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != kind {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
