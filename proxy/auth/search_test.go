package auth

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"mtguard/telemetry/stats"
)

const many = 10_000

// granted is how many trials of a limit of n the budgets give out: they do so in
// whole chunks.
func granted(n int) int { return n / chunk * chunk }

func TestAReturningClientCostsOneTrial(t *testing.T) {
	b := newBench(t, users(t, many, anyName))
	if user, result, _ := b.ask("192.0.2.7", b.hello(7777)); user != "user-7777" || result != stats.ResultOK {
		t.Fatalf("the first time: %q, %v", user, result)
	}
	for _, from := range []string{"192.0.2.7", "::ffff:192.0.2.7", "192.0.2.200"} {
		if user, result, trials := b.ask(from, b.hello(7777)); user != "user-7777" || result != stats.ResultOK || trials != 1 {
			t.Errorf("from %s again: %q, %v after %d trials, want one", from, user, result, trials)
		}
	}
}

func TestAHouseholdCostsAHandfulOfTrials(t *testing.T) {
	b := newBench(t, users(t, many, anyName))
	household := make([]int, recentKeys)
	for i := range household {
		household[i] = 1500 * i
		b.now = b.now.Add(5 * time.Second) // the budget of one search
		b.ask("2001:db8:7:1::1", b.hello(household[i]))
	}
	for range 50 {
		i := household[rand.IntN(len(household))]
		if _, result, trials := b.ask("2001:db8:7:ffff::2", b.hello(i)); result != stats.ResultOK || trials > recentKeys {
			t.Fatalf("user %d: %v after %d trials, want at most %d", i, result, trials, recentKeys)
		}
	}
}

// A user who was removed, and whom the prefix is remembered for, is nobody.
func TestARemovedUserIsNotFoundByThePrefix(t *testing.T) {
	b := newBench(t, users(t, 10, anyName))
	b.ask("192.0.2.7", b.hello(9))
	b.snap.Keys = users(t, 9, anyName)
	if user, result, trials := b.ask("192.0.2.7", b.hello(9)); result != stats.ResultBadSecret || user != "" || trials != 9 {
		t.Errorf("%q, %v after %d trials, want nobody after 9", user, result, trials)
	}
}

func TestANewClientIsFoundWithinTheBudget(t *testing.T) {
	b := newBench(t, users(t, many, anyName))
	// The first and last of the list, and some between; each from a prefix of its own.
	for n, i := range append([]int{0, many - 1}, rand.Perm(many)[:100]...) {
		b.now = b.now.Add(100 * time.Millisecond)
		from := fmt.Sprintf("198.18.%d.1", n)
		user, result, trials := b.ask(from, b.hello(i))
		if user != fmt.Sprintf("user-%d", i) || result != stats.ResultOK || trials < 1 || trials > many {
			t.Fatalf("user %d: %q, %v after %d trials", i, user, result, trials)
		}
	}
}

func TestASmallServerNeverAsksTheBudget(t *testing.T) {
	b := newBench(t, users(t, FreeTrials, anyName))
	for range 1000 {
		if _, result, trials := b.ask("192.0.2.7", b.hello(-1)); result != stats.ResultBadSecret || trials != FreeTrials {
			t.Fatalf("a stranger: %v after %d trials, want %d", result, trials, FreeTrials)
		}
	}
}

// A stranger's prefix pays for two searches at once, and then only as time passes.
func TestAStrangerMeetsTheBudgetOfHisPrefix(t *testing.T) {
	b := newBench(t, users(t, many, anyName))
	const perSearch = (many - FreeTrials + chunk - 1) / chunk * chunk // granted to one whole search
	left := granted(prefixBurst)
	step := func(what string, want stats.Result, trials int) {
		t.Helper()
		if _, result, n := b.ask("192.0.2.7", b.hello(-1)); result != want || n != trials {
			t.Fatalf("%s: %v after %d trials, want %v after %d", what, result, n, want, trials)
		}
	}
	step("first", stats.ResultBadSecret, many)
	step("second", stats.ResultBadSecret, many)
	left -= 2 * perSearch
	step("third", stats.ResultBudget, FreeTrials+left)
	for range 100 {
		step("on and on", stats.ResultBudget, FreeTrials)
	}
	// The neighbour has a budget of its own.
	if _, result, n := b.ask("192.0.2.8", b.hello(-1)); result != stats.ResultBadSecret || n != many {
		t.Errorf("the neighbour: %v after %d trials", result, n)
	}
	b.now = b.now.Add(time.Second)
	step("after a second", stats.ResultBudget, FreeTrials+granted(prefixTrialsPerSecond+prefixBurst-granted(prefixBurst)))
	b.now = b.now.Add(time.Hour)
	step("after an hour", stats.ResultBadSecret, many)
	step("and again", stats.ResultBadSecret, many)
	step("no more than the burst was saved up", stats.ResultBudget, FreeTrials+granted(prefixBurst)-2*perSearch)
}

// All addresses of an IPv6 customer are one stranger.
func TestAnIPv6CustomerIsOneStranger(t *testing.T) {
	b := newBench(t, users(t, many, anyName))
	total := 0
	for i := range 100 {
		_, _, n := b.ask(fmt.Sprintf("2001:db8:1:1::%x", i), b.hello(-1))
		total += n
	}
	if limit := granted(prefixBurst) + 100*FreeTrials; total > limit {
		t.Errorf("%d trials from one /64, want at most %d", total, limit)
	}
}

// Strangers in many prefixes meet the budget of all; whoever comes back does not.
func TestStrangersTogetherMeetTheOverallBudget(t *testing.T) {
	b := newBench(t, users(t, many, anyName))
	if _, result, _ := b.ask("203.0.113.1", b.hello(4242)); result != stats.ResultOK {
		t.Fatalf("the client that will come back: %v", result)
	}
	b.now = b.now.Add(time.Minute) // its own search is paid off
	flood := func(from int) (total, refused int) {
		for i := range 200 {
			_, result, n := b.ask(fmt.Sprintf("10.%d.%d.1", from, i), b.hello(-1))
			total += n
			if result == stats.ResultBudget {
				refused++
			}
		}
		return total, refused
	}
	total, refused := flood(1)
	// Each search that was paid for to its end leaves a rest of its last chunk unused.
	most := granted(trialsPerSecond) + 200*FreeTrials
	if total > most || total < most-200*chunk || refused < 150 {
		t.Errorf("%d trials, %d of 200 strangers refused; want about %d trials", total, refused, most)
	}
	if total, refused := flood(2); total != 200*FreeTrials || refused != 200 {
		t.Errorf("then %d trials, %d of 200 refused; want the free ones alone", total, refused)
	}
	if user, result, trials := b.ask("203.0.113.1", b.hello(4242)); user != "user-4242" || result != stats.ResultOK || trials != 1 {
		t.Errorf("the client that comes back: %q, %v after %d trials", user, result, trials)
	}
	b.now = b.now.Add(time.Second)
	if total, _ := flood(3); total > most || total < most-200*chunk {
		t.Errorf("a second later %d trials, want about %d", total, most)
	}
}

// Where the budget is gone a new client needs luck, but not for ever: each
// attempt tries other keys for free.
func TestWithoutABudgetANewClientGetsInAfterSomeAttempts(t *testing.T) {
	b := newBench(t, users(t, many, anyName))
	for range 3 {
		b.ask("192.0.2.7", b.hello(-1))
	}
	// With 64 of 10,000 keys each, 5,000 failures in a row have a chance of 10^-14.
	for n := range 5000 {
		if _, result, _ := b.ask("192.0.2.7", b.hello(1234)); result == stats.ResultOK {
			if n == 0 {
				t.Log("at once, by chance")
			}
			return
		}
	}
	t.Error("never")
}

func TestUsersOfTheServerNameComeFirst(t *testing.T) {
	names := []string{"a.example", "b.example", "", "", "", "", "", "", "", ""}
	b := newBench(t, users(t, many, func(i int) string { return names[i%len(names)] }))
	for n := range 20 {
		b.now = b.now.Add(time.Second)
		h := b.hello(10*n*37 + 1)
		h.name = "b.example"
		if user, result, trials := b.ask(fmt.Sprintf("198.18.%d.1", n), h); result != stats.ResultOK || trials > many/10 {
			t.Errorf("%q, %v after %d trials, want at most %d", user, result, trials, many/10)
		}
		h = b.hello(10*n*37 + 1) // with another name it is found too, among the others
		h.name = "c.example"
		if user, result, _ := b.ask(fmt.Sprintf("198.19.%d.1", n), h); result != stats.ResultOK {
			t.Errorf("%q, %v", user, result)
		}
	}
	b.now = b.now.Add(time.Minute)
	h := b.hello(-1)
	h.name = "b.example"
	if _, result, trials := b.ask("192.0.2.7", h); result != stats.ResultBadSecret || trials != many {
		t.Errorf("a stranger: %v after %d trials, want each key once", result, trials)
	}
}

// Where all users share one server name, as most servers have it, nobody costs
// more than where none has one.
func TestOneNameForAllCostsNoMore(t *testing.T) {
	b := newBench(t, users(t, many, func(int) string { return site }))
	if _, result, trials := b.ask("192.0.2.7", b.hello(-1)); result != stats.ResultBadSecret || trials != many {
		t.Errorf("a stranger: %v after %d trials, want %d", result, trials, many)
	}
	if user, result, trials := b.ask("198.18.0.1", b.hello(5000)); user != "user-5000" || result != stats.ResultOK || trials > many {
		t.Errorf("a client: %q, %v after %d trials", user, result, trials)
	}
}

func TestNobodyIsFoundAmongNobody(t *testing.T) {
	b := newBench(t, users(t, 0, anyName))
	if _, result, trials := b.ask("192.0.2.7", b.hello(1)); result != stats.ResultBadSecret || trials != 0 {
		t.Errorf("%v after %d trials", result, trials)
	}
}
