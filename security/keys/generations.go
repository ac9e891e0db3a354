package keys

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// What Generations refuse to do.
var (
	ErrRetiring = errors.New("two older secrets are still accepted")
	ErrPending  = errors.New("a new secret already waits for its time")
	ErrRevoked  = errors.New("the secret is already revoked")
	ErrFinal    = errors.New("the secret is no longer accepted")
	ErrUnknown  = errors.New("no such secret")
	ErrKnown    = errors.New("the secret was in use before")
)

// Leaked is the Reason of a retiring key that somebody else may have. When its time is over it is revoked, and so can be watched.
const Leaked = "leaked"

// MaxRetiring is how many keys of one user may be accepted beside the active one. Each is one more that opens every hello, and one more link
// to lose.
const MaxRetiring = 2

// Generation is what is known of one key beside its material. A zero time means never, or no bound.
type Generation struct {
	ID     ID
	Number int // from 1, rising
	State  State
	Reason string // why the state is what it is

	Created   time.Time
	NotBefore time.Time // Pending until then
	Activated time.Time
	RetireBy  time.Time // Retiring until then; of a Pending one: until when the one before it retires then
	NotAfter  time.Time // Expired from then on
	Ended     time.Time // when it was no longer accepted

	// FirstUsed and LastUsed are kept by the caller; Sweep reads them. A connection that is still open is use too: while Key.Leases is not 0,
	// LastUsed is now.
	FirstUsed, LastUsed time.Time
}

// Generations are all keys of one user, by ascending Number: at most one pending, one active and MaxRetiring retiring, any number of others.
// It is a value: methods that change something return another and leave this one as it was, also when they fail. They read no clock, and a
// clock that goes back makes nothing undone.
type Generations []Generation

// Active is the active one.
func (g Generations) Active() (Generation, bool) {
	if i := g.index(Active); i >= 0 {
		return g[i], true
	}
	return Generation{}, false
}

// Rotate adds a fresh key, of which ID, NotBefore, NotAfter and, if it should not be now, Created are taken. It becomes active at once and
// the active one retires, for as long as overlap says; at 0 it is retired at once. With NotBefore in the future the fresh key is pending, and
// takes over in a Sweep.
//
// When the fresh key is the active or the pending one already, nothing changes: a retry is no second rotation. When it is retiring, it becomes
// the active one again. Otherwise Rotate fails with ErrPending when one is pending, ErrRetiring when too many would retire (Retire the oldest
// first), ErrKnown when the key was one before.
func (g Generations) Rotate(fresh Generation, now time.Time, overlap time.Duration) (Generations, error) {
	if fresh.ID == "" {
		return nil, fmt.Errorf("rotate to a key without an ID: %w", ErrUnknown)
	}
	if i := g.find(fresh.ID); i >= 0 {
		switch g[i].State {
		case Active, Pending:
			return g, nil
		case Retiring:
			g = slices.Clone(g)
			g[i].RetireBy = time.Time{}
			g.takeOver(i, now, overlap)
			return g, nil
		}
		return nil, ErrKnown
	}
	if g.index(Pending) >= 0 {
		return nil, ErrPending
	}
	if ends := fresh.NotAfter; !ends.IsZero() && (!ends.After(now) || !ends.After(fresh.NotBefore)) {
		return nil, errors.New("the new secret would expire before it is accepted")
	}
	next := Generation{ID: fresh.ID, Number: 1, State: Pending, Created: fresh.Created, NotBefore: fresh.NotBefore, NotAfter: fresh.NotAfter}
	if next.Created.IsZero() {
		next.Created = now
	}
	if n := len(g); n > 0 {
		next.Number = g[n-1].Number + 1
	}
	g = append(slices.Clone(g), next)
	if fresh.NotBefore.After(now) {
		g[len(g)-1].RetireBy = fresh.NotBefore.Add(overlap)
		return g, nil
	}
	if overlap > 0 && g.index(Active) >= 0 && g.count(Retiring) >= MaxRetiring {
		return nil, ErrRetiring
	}
	g.takeOver(len(g)-1, now, overlap)
	return g, nil
}

// takeOver makes the i-th active in the place of the one that is.
func (g Generations) takeOver(i int, now time.Time, overlap time.Duration) {
	if old := g.index(Active); old >= 0 {
		if overlap > 0 {
			g[old].State, g[old].Reason, g[old].RetireBy = Retiring, "replaced", now.Add(overlap)
		} else {
			g.end(old, Retired, "replaced", now)
		}
	}
	g[i].State, g[i].Reason, g[i].Activated = Active, "", now
}

// Revoke withdraws a key, of whatever state. It fails with ErrUnknown, and with ErrRevoked the second time.
func (g Generations) Revoke(id ID, reason string, now time.Time) (Generations, error) {
	i := g.find(id)
	switch {
	case i < 0:
		return nil, ErrUnknown
	case g[i].State == Revoked:
		return nil, ErrRevoked
	}
	g = slices.Clone(g)
	g.end(i, Revoked, reason, now)
	return g, nil
}

// Retire ends a key's time before it is over. It fails with ErrUnknown, and with ErrFinal when the key is no longer accepted.
func (g Generations) Retire(id ID, now time.Time) (Generations, error) {
	i := g.find(id)
	switch {
	case i < 0:
		return nil, ErrUnknown
	case g[i].State.Final():
		return nil, ErrFinal
	}
	g = slices.Clone(g)
	g.end(i, Retired, "retired", now)
	return g, nil
}

// Withdraw ends the time of every key, with nobody in their place: what is accepted retires by now+overlap at the latest, as Leaked, and what is
// pending is retired at once, for nobody has it. It fails with ErrRetiring when too many would retire, and when overlap is not above 0.
func (g Generations) Withdraw(now time.Time, overlap time.Duration) (Generations, error) {
	if overlap <= 0 {
		return nil, errors.New("an overlap of nothing: revoke the secrets")
	}
	if g.index(Active) >= 0 && g.count(Retiring) >= MaxRetiring {
		return nil, ErrRetiring
	}
	g = slices.Clone(g)
	for i := range g {
		switch x := &g[i]; x.State {
		case Pending:
			g.end(i, Retired, Leaked, now)
		case Active, Retiring:
			by := now.Add(overlap)
			if x.State == Active || x.RetireBy.IsZero() || by.Before(x.RetireBy) {
				x.RetireBy = by
			}
			x.State, x.Reason = Retiring, Leaked
		}
	}
	return g, nil
}

func (g Generations) end(i int, state State, reason string, now time.Time) {
	if g[i].Ended.IsZero() {
		g[i].Ended = now
	}
	g[i].State, g[i].Reason = state, reason
}

// Sweep is what Sweep needs to know beside the time.
type Sweep struct {
	// Overlap is for how long the active key stays accepted when a pending one takes over that does not say so itself.
	Overlap time.Duration
	// Idle ends an overlap early: when the old key was not used for so long, while the new one is active and has been used. 0 never does.
	Idle time.Duration
}

// Transition is one change of a key's state.
type Transition struct {
	ID       ID
	From, To State
	Reason   string
}

// Sweep does what is due at this time, and says what that was. Of a key that came to its end and a key that takes over, the end comes first.
func (g Generations) Sweep(now time.Time, s Sweep) (Generations, []Transition) {
	next := slices.Clone(g)
	for i := range next {
		if x := &next[i]; !x.State.Final() && due(x.NotAfter, now) {
			next.end(i, Expired, "expired", now)
		}
	}
	if i := next.index(Pending); i >= 0 && due(next[i].NotBefore, now) {
		overlap := s.Overlap
		if x := &next[i]; !x.RetireBy.IsZero() {
			overlap, x.RetireBy = x.RetireBy.Sub(x.NotBefore), time.Time{}
		}
		if next.index(Active) >= 0 && overlap > 0 && next.count(Retiring) >= MaxRetiring {
			next.end(next.index(Retiring), Retired, "made room for a younger one", now)
		}
		next.takeOver(i, now, overlap)
	}
	active, _ := next.Active()
	for i := range next {
		switch x := &next[i]; {
		case x.State != Retiring:
		case x.Reason == Leaked && (due(x.RetireBy, now) || x.unused(active, now, s.Idle)):
			next.end(i, Revoked, Leaked, now)
		case due(x.RetireBy, now):
			next.end(i, Retired, "overlap ended", now)
		case x.unused(active, now, s.Idle):
			next.end(i, Retired, "unused, and the new one is in use", now)
		}
	}
	var done []Transition
	for i := range g {
		if from, x := g[i].State, next[i]; from != x.State {
			done = append(done, Transition{ID: x.ID, From: from, To: x.State, Reason: x.Reason})
		}
	}
	if done == nil {
		return g, nil
	}
	return next, done
}

// unused tells whether nobody needs a retiring key any more. The time counts from when the new one took over: nobody could change before.
func (x *Generation) unused(active Generation, now time.Time, idle time.Duration) bool {
	if idle <= 0 || active.FirstUsed.IsZero() {
		return false
	}
	since := active.Activated
	if x.LastUsed.After(since) {
		since = x.LastUsed
	}
	return now.Sub(since) >= idle
}

func due(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// Next is when Sweep has something to do at the earliest, early ends of an overlap aside; zero when it never has.
func (g Generations) Next() time.Time {
	var next time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for i := range g {
		x := &g[i]
		if x.State.Final() {
			continue
		}
		sooner(x.NotAfter)
		switch x.State {
		case Pending:
			sooner(x.NotBefore)
		case Retiring:
			sooner(x.RetireBy)
		}
	}
	return next
}

func (g Generations) find(id ID) int {
	return slices.IndexFunc(g, func(x Generation) bool { return x.ID == id })
}

// index is the first in a state, which is the oldest.
func (g Generations) index(s State) int {
	return slices.IndexFunc(g, func(x Generation) bool { return x.State == s })
}

func (g Generations) count(s State) int {
	n := 0
	for i := range g {
		if g[i].State == s {
			n++
		}
	}
	return n
}
