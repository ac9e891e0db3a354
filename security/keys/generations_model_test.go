package keys

import (
	"errors"
	"flag"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// runModel checks a property over some ten thousand steps, or, with MTGUARD_LONG=1, over a million at least. The property adds up its steps.
func runModel(t *testing.T, property func(*rapid.T, *atomic.Int64)) {
	checks, steps, goal := 100, 100, int64(5_000)
	if os.Getenv("MTGUARD_LONG") == "1" {
		checks, steps, goal = 1_100, 1_000, 1_000_000
	} else if testing.Short() {
		checks, goal = 20, 100
	}
	for name, n := range map[string]int{"rapid.checks": checks, "rapid.steps": steps} {
		before := flag.Lookup(name).Value.String()
		if err := flag.Set(name, strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
		defer flag.Set(name, before)
	}
	var done atomic.Int64
	began := time.Now()
	rapid.Check(t, func(r *rapid.T) { property(r, &done) })
	t.Logf("%d steps in %v", done.Load(), time.Since(began).Round(time.Millisecond))
	if n := done.Load(); n < goal && !t.Failed() {
		t.Errorf("%d steps, want %d", n, goal)
	}
}

// history drives the Generations of one user through everything that can happen to them.
type history struct {
	g     Generations
	now   time.Time
	fresh int
	swept time.Time // when the last Sweep was, if nothing came after it
}

func (h *history) draw(t *rapid.T, label string) time.Duration {
	return time.Duration(rapid.IntRange(0, 100).Draw(t, label)) * time.Hour
}

// some draws the ID of a generation that there is, or of none.
func (h *history) some(t *rapid.T) ID {
	if len(h.g) == 0 {
		return "none"
	}
	return h.g[max(0, len(h.g)-rapid.IntRange(1, 6).Draw(t, "from the end"))].ID
}

// become takes the outcome of an operation, and checks what holds for all of them.
func (h *history) become(t *rapid.T, before, next Generations, err error, refusals ...error) bool {
	if !reflect.DeepEqual(before, h.g) {
		t.Fatalf("the value that the method was called on has changed from %+v to %+v", before, h.g)
	}
	if err != nil {
		if !slices.ContainsFunc(refusals, func(want error) bool { return errors.Is(err, want) }) {
			t.Fatalf("refused with %v", err)
		}
		return false
	}
	if len(next) < len(h.g) || len(next) > len(h.g)+1 {
		t.Fatalf("%d generations became %d", len(h.g), len(next))
	}
	for i, old := range h.g {
		x := next[i]
		if x.ID != old.ID || x.Number != old.Number || x.Created != old.Created || !old.State.leadsTo(x.State) {
			t.Fatalf("%+v became %+v", old, x)
		}
	}
	h.g, h.swept = next, time.Time{}
	return true
}

func (h *history) rotate(t *rapid.T) {
	h.fresh++
	fresh := Generation{ID: ID(strconv.Itoa(h.fresh))}
	if rapid.Bool().Draw(t, "later") {
		fresh.NotBefore = h.now.Add(h.draw(t, "not before"))
	}
	if rapid.Bool().Draw(t, "ends") {
		fresh.NotAfter = h.now.Add(h.draw(t, "not after") + 101*time.Hour)
	}
	overlap := h.draw(t, "overlap")
	before, had := slices.Clone(h.g), len(h.g)
	_, active := h.g.Active()
	pending, retiring := h.g.index(Pending) >= 0, h.g.count(Retiring)
	next, err := h.g.Rotate(fresh, h.now, overlap)
	at := fresh.NotBefore.After(h.now)
	if wantPending, wantRetiring := pending, !pending && !at && active && overlap > 0 && retiring == 2; wantPending != errors.Is(err, ErrPending) || wantRetiring != errors.Is(err, ErrRetiring) {
		t.Fatalf("%v rotate with %v", states(h.g), err)
	}
	if !h.become(t, before, next, err, ErrPending, ErrRetiring) {
		return
	}
	if x := h.g[had]; x.ID != fresh.ID || (x.State == Pending) != at || (x.State == Active) == at {
		t.Fatalf("the new one is %+v", x)
	}
	if i := h.g.index(Retiring); i >= 0 && rapid.Bool().Draw(t, "take back") && h.g.index(Pending) < 0 {
		h.takeBack(t, i, overlap)
		return
	}
	if again, err := h.g.Rotate(fresh, h.now, overlap); err != nil || !reflect.DeepEqual(again, h.g) {
		t.Fatalf("a retry gives %v, %v", states(again), err)
	}
}

// takeBack rotates to a key that retires.
func (h *history) takeBack(t *rapid.T, i int, overlap time.Duration) {
	before := slices.Clone(h.g)
	was, had := h.g.Active()
	next, err := h.g.Rotate(Generation{ID: h.g[i].ID}, h.now, overlap)
	if !h.become(t, before, next, err) {
		return
	}
	if x := h.g[i]; x.State != Active || !x.RetireBy.IsZero() {
		t.Fatalf("taken back: %+v", x)
	}
	if old := h.g.find(was.ID); had && (h.g[old].State != Retiring) == (overlap > 0) {
		t.Fatalf("the one before it: %+v", h.g[old])
	}
}

func (h *history) revoke(t *rapid.T) {
	id, before := h.some(t), slices.Clone(h.g)
	next, err := h.g.Revoke(id, "leaked", h.now)
	if i := h.g.find(id); (i >= 0 && h.g[i].State == Revoked) != errors.Is(err, ErrRevoked) {
		t.Fatalf("revoking: %v", err)
	}
	if h.become(t, before, next, err, ErrRevoked, ErrUnknown) && h.g[h.g.find(id)].State != Revoked {
		t.Fatal("not revoked")
	}
}

func (h *history) retire(t *rapid.T) {
	id, before := h.some(t), slices.Clone(h.g)
	next, err := h.g.Retire(id, h.now)
	if h.become(t, before, next, err, ErrFinal, ErrUnknown) && h.g[h.g.find(id)].State != Retired {
		t.Fatal("not retired")
	}
}

func (h *history) used(t *rapid.T) {
	if i := h.g.find(h.some(t)); i >= 0 && h.g[i].State.Accepted() {
		g := slices.Clone(h.g)
		if g[i].LastUsed = h.now; g[i].FirstUsed.IsZero() {
			g[i].FirstUsed = h.now
		}
		h.g, h.swept = g, time.Time{}
	}
}

func (h *history) sweep(t *rapid.T) {
	h.now = h.now.Add(h.draw(t, "passed"))
	s := Sweep{Overlap: h.draw(t, "overlap")}
	if rapid.Bool().Draw(t, "early ends") {
		s.Idle = h.draw(t, "idle")
	}
	before, due := slices.Clone(h.g), h.g.Next()
	isDue := !due.IsZero() && !due.After(h.now)
	next, done := h.g.Sweep(h.now, s)
	if isDue && len(done) == 0 || !isDue && len(done) > 0 && s.Idle == 0 {
		t.Fatalf("next was %v, at %v these were done: %v", due, h.now, done)
	}
	if at := h.g.Next(); !at.IsZero() {
		if _, early := h.g.Sweep(at.Add(-1), Sweep{Overlap: s.Overlap}); at.After(h.now) && early != nil {
			t.Fatalf("done before next: %v", early)
		}
	}
	h.become(t, before, next, nil)
	h.explain(t, before, done, s)
	for _, again := range []time.Time{h.now, h.now.Add(-h.draw(t, "set back"))} {
		if _, more := h.g.Sweep(again, Sweep{Overlap: s.Overlap}); more != nil {
			t.Fatalf("swept at %v and then at %v: %v", h.now, again, more)
		}
	}
	h.swept = h.now
}

// explain checks that the transitions are those that happened, and that each had its reason.
func (h *history) explain(t *rapid.T, before Generations, done []Transition, s Sweep) {
	overlap := s.Overlap
	if i := before.index(Pending); i >= 0 { // it was said when the rotation was
		overlap = before[i].RetireBy.Sub(before[i].NotBefore)
	}
	for i, old := range before {
		x := h.g[i]
		if x.State == old.State {
			continue
		}
		if len(done) == 0 || done[0] != (Transition{x.ID, old.State, x.State, x.Reason}) {
			t.Fatalf("%+v became %+v, said is %v", old, x, done)
		}
		done = done[1:]
		ok := true
		switch {
		case x.State == Expired:
			ok = due(old.NotAfter, h.now)
		case x.State == Active:
			ok = old.State == Pending && due(old.NotBefore, h.now)
		case x.State == Retiring:
			ok = x.RetireBy == h.now.Add(overlap)
		case x.Reason == "overlap ended":
			ok = due(old.RetireBy, h.now)
		case x.Reason == "replaced":
			ok = old.State == Active && overlap == 0
		case x.Reason == "made room for a younger one":
			ok = before.count(Retiring) == 2 && h.g.count(Retiring) <= 2
		default:
			active, has := h.g.Active()
			ok = has && s.Idle > 0 && !active.FirstUsed.IsZero() && h.now.Sub(active.Activated) >= s.Idle && (old.LastUsed.IsZero() || h.now.Sub(old.LastUsed) >= s.Idle)
		}
		if !ok {
			t.Fatalf("no reason for %+v becoming %+v", old, x)
		}
	}
	if len(done) > 0 {
		t.Fatalf("these did not happen: %v", done)
	}
}

// check holds after every step.
func (h *history) check(t *rapid.T) {
	if h.g.count(Active) > 1 || h.g.count(Retiring) > 2 || h.g.count(Pending) > 1 {
		t.Fatalf("too many: %v", states(h.g))
	}
	if next := h.g.Next(); !h.swept.IsZero() && !next.IsZero() && !next.After(h.swept) {
		t.Fatalf("swept at %v, and next is %v", h.swept, next)
	}
	seen := make(map[ID]bool)
	for i, x := range h.g {
		if seen[x.ID] || i > 0 && x.Number <= h.g[i-1].Number {
			t.Fatalf("%+v", h.g)
		}
		seen[x.ID] = true
		if x.State.Final() == x.Ended.IsZero() || x.Ended.After(h.now) || x.State.Accepted() && x.Activated.IsZero() {
			t.Fatalf("%+v at %v", x, h.now)
		}
		if !h.swept.IsZero() && x.State.Accepted() && due(x.NotAfter, h.swept) {
			t.Fatalf("accepted after its end: %+v", x)
		}
	}
}

func TestGenerationsModel(t *testing.T) {
	runModel(t, func(t *rapid.T, steps *atomic.Int64) {
		h := &history{now: start}
		step := func(f func(*rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) { steps.Add(1); f(t) }
		}
		t.Repeat(map[string]func(*rapid.T){
			"": h.check, "rotate": step(h.rotate), "rotate again": step(h.rotate), "revoke": step(h.revoke), "retire": step(h.retire),
			"use": step(h.used), "sweep": step(h.sweep), "sweep again": step(h.sweep), "trim": step(func(*rapid.T) {
				// A long history makes a step slow; the store drops old ones too.
				if n := len(h.g) - 8; n > 0 {
					h.g = slices.DeleteFunc(slices.Clone(h.g), func(x Generation) bool { n--; return n >= 0 && x.State.Final() })
				}
			}),
		})
	})
}
