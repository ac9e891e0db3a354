package control

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

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
	b.apply(AddException{Controls: []string{policy.ConnsAddr}, User: "nadia", Until: b.clock().Add(time.Hour)}, Options{Reason: "moves house"})
	both := ask(LimitQuery{User: "nadia", Addr: "::ffff:203.0.113.7"})
	if i := both[policy.ConnsAddr]; i.Of != "203.0.113.7" || i.Left != 0 || i.Mode != "monitor" || i.Exception == "" {
		t.Errorf("by address: %+v", i)
	}
	if _, ok := both["user.connections"]; !ok {
		t.Errorf("of both: %v", both)
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
