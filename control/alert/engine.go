package alert

import (
	"slices"
	"strconv"
	"time"

	"mtguard/control/store"
)

const (
	// every is how often the engine looks.
	every = 3 * time.Second
	// history is how many snapshots are kept: those of the longest window.
	history = int(10*time.Minute/every) + 1
	// unknownFor is how long an alert goes on that nothing can be said about any more.
	unknownFor = 30 * time.Minute
)

// state is where a condition stands.
type state struct {
	c         Condition
	off       bool
	threshold float64
	clear     float64

	pending time.Time    // since when it holds; zero: it does not
	quiet   time.Time    // since when it does not hold although the alert fires; zero: it does
	unknown time.Time    // since when nothing can be said
	alert   *store.Alert // that fires
}

// engine turns snapshots into alerts. It is of one goroutine.
type engine struct {
	states []*state
	ring   []Snapshot // the newest last
}

// newEngine watches conditions with thresholds of the operator's own; active are the
// alerts that fired when the process ended.
func newEngine(conditions []Condition, active []store.Alert) *engine {
	e := &engine{}
	for _, c := range conditions {
		s := &state{c: c, threshold: c.Threshold, clear: c.Clear}
		if i := slices.IndexFunc(active, func(a store.Alert) bool { return a.Code == c.Code }); i >= 0 {
			s.alert = &active[i]
		}
		e.states = append(e.states, s)
	}
	return e
}

// threshold sets another threshold for a condition; the distance to where it clears stays
// the same share.
func (e *engine) threshold(code, text string) error {
	for _, s := range e.states {
		if s.c.Code != code {
			continue
		}
		if s.off = text == Off; s.off || text == "" {
			s.threshold, s.clear = s.c.Threshold, s.c.Clear
			return nil
		}
		v, err := parseThreshold(text)
		if err != nil {
			return err
		}
		s.threshold, s.clear = v, 0
		if s.c.Threshold > 0 {
			s.clear = v * s.c.Clear / s.c.Threshold
		}
		return nil
	}
	return errUnknownCode(code)
}

// change is an alert that begins, or is over.
type change struct {
	condition Condition
	alert     store.Alert
}

// step judges one more snapshot and returns what changed. Alerts that fire and are not
// told yet are for the caller to look at, in active.
func (e *engine) step(now Snapshot) (changes []change) {
	e.ring = append(e.ring, now)
	if len(e.ring) > history {
		e.ring = slices.Delete(e.ring, 0, len(e.ring)-history)
	}
	for _, s := range e.states {
		if s.off {
			if s.alert != nil {
				changes = append(changes, s.resolve(now.At, "the condition was turned off"))
			}
			s.pending = time.Time{}
			continue
		}
		then := e.before(now.At.Add(-s.c.Window))
		value, detail, ok := s.c.Measure(&now, then)
		if c, changed := s.judge(now.At, value, detail, ok); changed {
			changes = append(changes, c)
		}
	}
	return changes
}

// before is the oldest snapshot that is not older than at.
func (e *engine) before(at time.Time) *Snapshot {
	for i := range e.ring {
		if !e.ring[i].At.Before(at) {
			return &e.ring[i]
		}
	}
	return &e.ring[len(e.ring)-1]
}

func (s *state) judge(now time.Time, value float64, detail string, ok bool) (c change, changed bool) {
	if !ok {
		s.pending = time.Time{}
		if s.alert == nil {
			return c, false
		}
		if s.unknown.IsZero() {
			s.unknown = now
		}
		if now.Sub(s.unknown) < unknownFor {
			return c, false
		}
		return s.resolve(now, "there is nothing to judge by any more"), true
	}
	s.unknown = time.Time{}
	if s.alert == nil {
		if value <= s.threshold {
			s.pending = time.Time{}
			return c, false
		}
		if s.pending.IsZero() {
			s.pending = now
		}
		if now.Sub(s.pending) < s.c.For {
			return c, false
		}
		s.alert = &store.Alert{
			ID: newID("al"), Code: s.c.Code, Severity: s.c.Severity.String(), Detail: clip(detail, maxText), Value: value, Since: now.UTC(),
		}
		s.pending, s.quiet = time.Time{}, time.Time{}
		return change{s.c, *s.alert}, true
	}
	if value > s.clear {
		s.quiet = time.Time{}
		s.alert.Value, s.alert.Detail = value, clip(detail, maxText)
		return c, false
	}
	if s.quiet.IsZero() {
		s.quiet = now
	}
	if now.Sub(s.quiet) < s.c.Keep {
		return c, false
	}
	return s.resolve(now, s.alert.Detail), true
}

// resolve ends the alert.
func (s *state) resolve(now time.Time, detail string) change {
	s.alert.Resolved, s.alert.Detail = now.UTC(), detail
	c := change{s.c, *s.alert}
	s.alert, s.quiet, s.unknown, s.pending = nil, time.Time{}, time.Time{}, time.Time{}
	return c
}

// active are the states of alerts that fire.
func (e *engine) active() (firing []*state) {
	for _, s := range e.states {
		if s.alert != nil {
			firing = append(firing, s)
		}
	}
	return firing
}

// message is what is told of an alert. Its ID follows from what is told, so that telling
// it again tells the same.
func message(c Condition, a store.Alert) Message {
	m := Message{
		ID: a.ID + "-firing", About: a.ID, Kind: KindAlert, Status: Firing, Code: a.Code, Title: c.Title, Severity: c.Severity,
		Detail: a.Detail, Fix: c.Fix, At: a.Since, Since: a.Since, Value: &a.Value,
	}
	if !a.Resolved.IsZero() {
		m.ID, m.Status, m.At, m.Until = a.ID+"-resolved", Resolved, a.Resolved, &a.Resolved
	}
	return m
}

// Off is the threshold that turns a condition off.
const Off = "off"

func parseThreshold(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v < 1e12) {
		return 0, errThreshold(text)
	}
	return v, nil
}
