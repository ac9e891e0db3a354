package usage

import (
	"sync"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestLevelOfAnAccount(t *testing.T) {
	var none *Account
	none.SetLevel(access.Admin)
	var a Account
	if none.Level() != access.Standard || a.Level() != access.Standard {
		t.Errorf("without being told: %v and %v, want standard", none.Level(), a.Level())
	}
	for _, l := range access.Levels() {
		if a.SetLevel(l); a.Level() != l {
			t.Errorf("got %v, want %v", a.Level(), l)
		}
	}
}

// What is bounded for whom: a user's sessions share one budget a direction, those of a level another one, and of read_only only the upload.
func TestBudgetsOfLevels(t *testing.T) {
	rates := Rates{User: Rate{PerSecond: 1000, Burst: 1000}}
	rates.Level[access.ReadOnly] = Rate{PerSecond: 100, Burst: 100}
	rates.Level[access.Standard] = Rate{PerSecond: 500, Burst: 500}
	var a Account
	a.SetRates(rates, noon)
	for _, c := range []struct {
		level    access.Level
		up, down [2]int64 // rates of the pairs
	}{
		{access.ReadOnly, [2]int64{1000, 100}, [2]int64{1000, 0}},
		{access.Standard, [2]int64{1000, 500}, [2]int64{1000, 500}},
		{access.Admin, [2]int64{1000, 0}, [2]int64{1000, 0}},
	} {
		b := a.Budgets(c.level)
		for i := range 2 {
			up, _ := b.Up[i].Rate()
			down, _ := b.Down[i].Rate()
			if up != c.up[i] || down != c.down[i] {
				t.Errorf("%v, budget %d: %d up and %d down, want %d and %d", c.level, i, up, down, c.up[i], c.down[i])
			}
		}
	}
	if again := a.Budgets(access.Standard); a.Budgets(access.Standard) != again || a.Budgets(access.ReadOnly).Up[0] != a.Budgets(access.Admin).Up[0] {
		t.Error("sessions do not share their user's budget")
	}
	b := a.Budgets(access.ReadOnly)
	a.SetRates(Rates{}, noon)
	if b.Up.Portion() != b.Down.Portion() || !b.Up.Unlimited() {
		t.Error("rates that were taken away hold back")
	}
}

// An account that nobody uses holds no meters, however often it is told its rates.
func TestUnusedAccountsHoldNoMeters(t *testing.T) {
	var none *Account
	none.SetRates(Rates{User: Rate{PerSecond: 1, Burst: 1}}, noon)
	none.Came(mtproto.FakeTLS, noon)
	if none.Budgets(access.Standard) != nil || none.Transports() != [4]TransportUse{} {
		t.Error("no account has meters")
	}
	var a Account
	a.SetRates(Rates{}, noon)
	if a.Transports() != [4]TransportUse{} || a.meters.Load() != nil {
		t.Error("it has meters")
	}
}

func TestTransportsAreCounted(t *testing.T) {
	var a Account
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			a.Came(mtproto.Classic, noon.Add(time.Duration(i)*time.Minute))
			a.Came(mtproto.FakeTLS, noon)
			a.Came(99, noon)
			a.SetRates(Rates{User: Rate{PerSecond: 1, Burst: 1}}, noon)
			a.Budgets(access.Standard).Up.Spent(1, noon)
		})
	}
	wg.Wait()
	want := [4]TransportUse{mtproto.Classic: {8, noon.Add(7 * time.Minute)}, mtproto.FakeTLS: {8, noon}}
	if got := a.Transports(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
