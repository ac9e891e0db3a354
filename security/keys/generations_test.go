package keys

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

const day = 24 * time.Hour

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// rotated is a history of n rotations, a day apart from start, each with this overlap.
func rotated(t testing.TB, n int, overlap time.Duration) (g Generations) {
	t.Helper()
	for i := range n {
		next, err := g.Rotate(Generation{ID: ID(rune('a' + i))}, start.Add(time.Duration(i)*day), overlap)
		if err != nil {
			t.Fatal(err)
		}
		g = next
	}
	return g
}

func states(g Generations) (s []State) {
	for _, x := range g {
		s = append(s, x.State)
	}
	return s
}

func TestRotationKeepsTheOldKeyForTheOverlap(t *testing.T) {
	g := rotated(t, 2, 14*day)
	want := Generations{
		{ID: "a", Number: 1, State: Retiring, Reason: "replaced", Created: start, Activated: start, RetireBy: start.Add(15 * day)},
		{ID: "b", Number: 2, State: Active, Created: start.Add(day), Activated: start.Add(day)},
	}
	if !reflect.DeepEqual(g, want) {
		t.Errorf("%+v", g)
	}
	end := start.Add(15 * day)
	if g.Next() != end {
		t.Errorf("next is %v", g.Next())
	}
	if same, done := g.Sweep(end.Add(-1), Sweep{}); done != nil || !reflect.DeepEqual(same, want) {
		t.Errorf("before its time: %v", done)
	}
	g, done := g.Sweep(end, Sweep{})
	if !slices.Equal(done, []Transition{{ID: "a", From: Retiring, To: Retired, Reason: "overlap ended"}}) || g[0].Ended != end || g[0].State != Retired {
		t.Errorf("at its time: %v, %+v", done, g[0])
	}
	if !g.Next().IsZero() {
		t.Errorf("next is %v", g.Next())
	}
	if active, ok := g.Active(); !ok || active.ID != "b" {
		t.Errorf("active is %v", active)
	}
}

func TestRotationWithoutOverlapRetiresAtOnce(t *testing.T) {
	g := rotated(t, 3, 0)
	if !slices.Equal(states(g), []State{Retired, Retired, Active}) || g[1].Ended != start.Add(2*day) || g[1].Reason != "replaced" || !g[1].RetireBy.IsZero() {
		t.Errorf("%+v", g)
	}
}

func TestAtMostTwoRetire(t *testing.T) {
	g := rotated(t, 3, 14*day)
	now := start.Add(3 * day)
	if _, err := g.Rotate(Generation{ID: "d"}, now, day); !errors.Is(err, ErrRetiring) {
		t.Errorf("a third one retires: %v", err)
	}
	if next, err := g.Rotate(Generation{ID: "d"}, now, 0); err != nil || !slices.Equal(states(next), []State{Retiring, Retiring, Retired, Active}) {
		t.Errorf("without overlap: %v, %v", states(next), err)
	}
	g, err := g.Retire("a", now)
	if err != nil {
		t.Fatal(err)
	}
	if g, err = g.Rotate(Generation{ID: "d"}, now, day); err != nil || !slices.Equal(states(g), []State{Retired, Retiring, Retiring, Active}) {
		t.Errorf("with the oldest retired: %v, %v", states(g), err)
	}
	if g[0].Reason != "retired" || g[0].Ended != now {
		t.Errorf("%+v", g[0])
	}
}

func TestAPendingKeyTakesOverWhenItIsTime(t *testing.T) {
	g := rotated(t, 3, 14*day)
	at := start.Add(5 * day)
	g, err := g.Rotate(Generation{ID: "d", NotBefore: at, NotAfter: at.Add(90 * day)}, start.Add(3*day), day)
	if err != nil || !slices.Equal(states(g), []State{Retiring, Retiring, Active, Pending}) || g.Next() != at {
		t.Fatalf("%v, %v, next %v", states(g), err, g.Next())
	}
	if _, err := g.Rotate(Generation{ID: "e"}, start.Add(3*day), day); !errors.Is(err, ErrPending) {
		t.Errorf("two pending: %v", err)
	}
	later := at.Add(time.Hour)
	g, done := g.Sweep(later, Sweep{Overlap: 2 * day}) // the rotation itself said a day
	want := []Transition{
		{"a", Retiring, Retired, "made room for a younger one"}, {"c", Active, Retiring, "replaced"}, {"d", Pending, Active, ""},
	}
	if !slices.Equal(done, want) || g[2].RetireBy != later.Add(day) || g[3].Activated != later || g[3].NotAfter != at.Add(90*day) {
		t.Errorf("%v, %+v", done, g)
	}
}

func TestExpiryComesBeforeTakeover(t *testing.T) {
	g, err := Generations(nil).Rotate(Generation{ID: "a", NotAfter: start.Add(day)}, start, 0)
	if err != nil {
		t.Fatal(err)
	}
	if g, err = g.Rotate(Generation{ID: "b", NotBefore: start.Add(day), NotAfter: start.Add(3 * day)}, start, 0); err != nil {
		t.Fatal(err)
	}
	next, done := g.Sweep(start.Add(day), Sweep{Overlap: day})
	if want := []Transition{{"a", Active, Expired, "expired"}, {"b", Pending, Active, ""}}; !slices.Equal(done, want) || next[0].Ended != start.Add(day) {
		t.Errorf("%v", done)
	}
	next, done = g.Sweep(start.Add(3*day), Sweep{Overlap: day})
	if want := []Transition{{"a", Active, Expired, "expired"}, {"b", Pending, Expired, "expired"}}; !slices.Equal(done, want) || !next.Next().IsZero() {
		t.Errorf("after both: %v", done)
	}
}

func TestAnOverlapEndsEarlyOnlyWhenNobodyNeedsIt(t *testing.T) {
	const idle = 3 * day
	for name, c := range map[string]struct {
		oldUsed, newUsed time.Duration // after start; 0: never
		now              time.Duration
		idle             time.Duration
		early            bool
	}{
		"moved over":                   {oldUsed: 2 * day, newUsed: 2 * day, now: 5 * day, idle: idle, early: true},
		"the old one is too recent":    {oldUsed: 2*day + 1, newUsed: 2 * day, now: 5 * day, idle: idle},
		"the new one was never used":   {oldUsed: 2 * day, now: 9 * day, idle: idle},
		"the old one was never used":   {newUsed: 2 * day, now: 4 * day, idle: idle, early: true},
		"the new one is too young":     {newUsed: 2 * day, now: 4*day - 1, idle: idle},
		"old use, but before the new":  {oldUsed: 1, newUsed: 2 * day, now: 4*day - 1, idle: idle},
		"early ends are switched off":  {oldUsed: 2 * day, newUsed: 2 * day, now: 9 * day},
		"the clock went back for long": {oldUsed: 2 * day, newUsed: 2 * day, now: -99 * day, idle: idle},
	} {
		g := rotated(t, 2, 14*day) // b is active from day 1 on
		if c.oldUsed != 0 {
			g[0].LastUsed = start.Add(c.oldUsed)
		}
		if c.newUsed != 0 {
			g[1].FirstUsed = start.Add(c.newUsed)
		}
		next, done := g.Sweep(start.Add(c.now), Sweep{Idle: c.idle})
		if early := next[0].State == Retired; early != c.early || early != (len(done) == 1) || early && done[0].Reason != "unused, and the new one is in use" {
			t.Errorf("%s: %v", name, done)
		}
	}
	g := rotated(t, 2, 14*day)
	g[0].LastUsed, g[1].FirstUsed = start, start.Add(day)
	g, err := g.Revoke("b", "lost", start.Add(day))
	if err != nil {
		t.Fatal(err)
	}
	if _, done := g.Sweep(start.Add(9*day), Sweep{Idle: idle}); done != nil {
		t.Errorf("the last accepted key was ended early: %v", done)
	}
}

func TestRevoke(t *testing.T) {
	now := start.Add(9 * day)
	all := Generations{{ID: "1", State: Pending}, {ID: "2", State: Active}, {ID: "3", State: Retiring}, {ID: "4", State: Retired, Ended: start}, {ID: "5", State: Expired}}
	for _, x := range all {
		g, err := all.Revoke(x.ID, "leaked", now)
		i := g.find(x.ID)
		if err != nil || g[i].State != Revoked || g[i].Reason != "leaked" || (g[i].Ended != now) != (x.ID == "4") {
			t.Errorf("%v: %v, %+v", x.State, err, g[i])
		}
		if _, err := g.Revoke(x.ID, "again", now); !errors.Is(err, ErrRevoked) {
			t.Errorf("%v: revoked twice: %v", x.State, err)
		}
	}
	if !slices.Equal(states(all), []State{Pending, Active, Retiring, Retired, Expired}) {
		t.Error("revoking changed the value it was called on")
	}
	if _, err := all.Revoke("9", "", now); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

func TestRetire(t *testing.T) {
	for s := Pending; s <= Revoked; s++ {
		g, err := Generations{{ID: "a", State: s}}.Retire("a", start)
		if s.Final() && !errors.Is(err, ErrFinal) || !s.Final() && (err != nil || g[0].State != Retired || g[0].Ended != start) {
			t.Errorf("%v: %v", s, err)
		}
	}
	if _, err := Generations(nil).Retire("a", start); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

func TestRotationIsRefused(t *testing.T) {
	g := rotated(t, 2, 0)
	for name, c := range map[string]struct {
		fresh Generation
		want  error
	}{
		"without an ID":           {Generation{}, ErrUnknown},
		"to an old key":           {Generation{ID: "a"}, ErrKnown},
		"to an expired one":       {Generation{ID: "c", NotAfter: start}, nil},
		"to one that never lives": {Generation{ID: "c", NotBefore: start.Add(9 * day), NotAfter: start.Add(9 * day)}, nil},
	} {
		next, err := g.Rotate(c.fresh, start.Add(2*day), day)
		if err == nil || next != nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARetriedRotationIsNone(t *testing.T) {
	g := rotated(t, 2, day)
	if again, err := g.Rotate(Generation{ID: "b"}, start.Add(2*day), 5*day); err != nil || !reflect.DeepEqual(again, g) {
		t.Errorf("%v, %v", states(again), err)
	}
	g, err := g.Rotate(Generation{ID: "c", NotBefore: start.Add(9 * day)}, start.Add(2*day), day)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := g.Rotate(Generation{ID: "c", NotBefore: start.Add(9 * day)}, start.Add(2*day), day); err != nil || !reflect.DeepEqual(again, g) {
		t.Errorf("pending: %v, %v", states(again), err)
	}
}

// TestWithdrawnKeysAreRevokedAtTheirEnd: a leaked secret has no successor, and is watched afterwards.
func TestWithdrawnKeysAreRevokedAtTheirEnd(t *testing.T) {
	now := start.Add(3 * day)
	g := rotated(t, 2, 14*day)
	g, err := g.Rotate(Generation{ID: "p", NotBefore: now.Add(day)}, now, day)
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(g)
	w, err := g.Withdraw(now, 2*day)
	if err != nil || !slices.Equal(states(w), []State{Retiring, Retiring, Retired}) || !reflect.DeepEqual(g, before) {
		t.Fatalf("%v, %v", states(w), err)
	}
	end := now.Add(2 * day)
	if w[0].RetireBy != end || w[1].RetireBy != end || w[0].Reason != Leaked || w.Next() != end {
		t.Errorf("%+v, next %v", w, w.Next())
	}
	if _, done := w.Sweep(end.Add(-1), Sweep{Idle: time.Hour}); done != nil {
		t.Errorf("before its end: %v", done)
	}
	ended, done := w.Sweep(end, Sweep{})
	if want := []Transition{{"a", Retiring, Revoked, Leaked}, {"b", Retiring, Revoked, Leaked}}; !slices.Equal(done, want) || ended[1].Ended != end {
		t.Errorf("at its end: %v", done)
	}
	if soon, err := rotated(t, 2, day).Withdraw(start.Add(day), 90*day); err != nil || soon[0].RetireBy != start.Add(2*day) {
		t.Errorf("who retired before retires no later: %+v, %v", soon, err)
	}
	if _, err := rotated(t, 3, 14*day).Withdraw(now, day); !errors.Is(err, ErrRetiring) {
		t.Errorf("three that work: %v", err)
	}
	if _, err := g.Withdraw(now, 0); err == nil {
		t.Error("without an overlap it works")
	}
	// With a new one beside it, a leaked secret that nobody uses ends early, and is revoked then too.
	again, err := w.Rotate(Generation{ID: "n"}, now, 0)
	if err != nil {
		t.Fatal(err)
	}
	again[3].FirstUsed = now
	if early, done := again.Sweep(now.Add(time.Hour), Sweep{Idle: time.Hour}); len(done) != 2 || early[0].State != Revoked || early[1].State != Revoked {
		t.Errorf("early: %v", done)
	}
}
