package audit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mtguard/control/store"
)

// The states of a finding. A finding is new when it is seen for the first time, or
// again after it was fixed, and open from the next audit on. Somebody may acknowledge
// it or accept it, until a time; then it is open again, if it is still there. It is
// fixed when its check was made and did not find it.
const (
	StateNew          = "new"
	StateOpen         = "open"
	StateAcknowledged = "acknowledged"
	StateAccepted     = "accepted"
	StateFixed        = "fixed"
)

// States are all of them.
func States() []string {
	return []string{StateNew, StateOpen, StateAcknowledged, StateAccepted, StateFixed}
}

// StateAt is the state of a finding at a time: what somebody said holds until its end.
func StateAt(f store.Finding, now time.Time) string {
	if (f.State == StateAcknowledged || f.State == StateAccepted) && !now.Before(f.Until) {
		return StateOpen
	}
	return f.State
}

// Waits reports whether a finding waits for somebody to do something.
func Waits(f store.Finding, now time.Time) bool {
	state := StateAt(f, now)
	return state == StateNew || state == StateOpen
}

// overflow is the subject of the finding that tells how many more there are.
const overflow = "others"

// Merge holds a report against what is known, by ID, and returns the findings that are
// not as they were. The same check and subject are one finding for ever: it keeps its
// first sight, and comes back when it was fixed. Of one check at most PerCheck are
// kept, those first that are known; one more tells of the others. A check that could
// not be made fixes nothing.
func Merge(known map[string]store.Finding, r Report) (changed []store.Finding) {
	byCheck := make(map[string][]Finding)
	for _, f := range r.Findings {
		byCheck[f.Check] = append(byCheck[f.Check], f)
	}
	asked := make(map[string]bool, len(r.Asked))
	present := make(map[string]bool, len(r.Findings))
	unmade := make(map[string]bool)
	for _, id := range r.Asked {
		asked[id] = true
		for _, f := range byCheck[id] {
			present[f.ID] = true
			unmade[id] = unmade[id] || f.Unknown
		}
	}
	for _, id := range r.Asked {
		for _, f := range bounded(byCheck[id], known) {
			present[f.ID] = true
			changed = append(changed, seen(known[f.ID], f, r.Started))
		}
	}
	for _, f := range known {
		if asked[f.Check] && f.State != StateFixed && !present[f.ID] && (f.Unknown || !unmade[f.Check]) {
			f.State, f.Fixed = StateFixed, r.Started
			changed = append(changed, f)
		}
	}
	slices.SortFunc(changed, func(a, b store.Finding) int { return cmp.Compare(a.ID, b.ID) })
	return changed
}

// bounded are the findings of one check that are kept.
func bounded(found []Finding, known map[string]store.Finding) []Finding {
	if len(found) <= PerCheck {
		return found
	}
	before := func(f Finding) int {
		if k, ok := known[f.ID]; ok && k.State != StateFixed {
			return 0
		}
		return 1
	}
	found = slices.Clone(found)
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(before(a), before(b)) })
	rest := found[PerCheck]
	rest.Subject, rest.Evidence = overflow, fmt.Sprintf("%d more, the first of them %s", len(found)-PerCheck, rest.Subject)
	rest.ID = fingerprint(rest)
	return append(found[:PerCheck:PerCheck], rest)
}

// seen is what becomes of a finding, which may be the zero one, when it is seen.
func seen(was store.Finding, f Finding, now time.Time) store.Finding {
	is := was
	is.ID, is.Check, is.Group, is.Title, is.Subject = f.ID, f.Check, string(f.Group), f.Title, f.Subject
	is.Severity, is.Unknown, is.Evidence, is.Remedy, is.LastSeen = f.Severity.String(), f.Unknown, f.Evidence, f.Remedy, now
	worse := was.Severity != "" && rank(was.Severity) < f.Severity
	switch {
	case was.ID == "":
		is.State, is.FirstSeen = StateNew, now
	case was.State == StateFixed:
		is.State, is.Fixed, is.Returned = StateNew, time.Time{}, was.Returned+1
		is.Until, is.Reason, is.Actor = time.Time{}, "", ""
	case was.State == StateNew, StateAt(was, now) == StateOpen, worse:
		is.State, is.Until, is.Reason, is.Actor = StateOpen, time.Time{}, "", ""
	}
	return is
}

// rank reads a severity of the store; what is none there is the lowest.
func rank(text string) Severity {
	s, err := ParseSeverity(text)
	if err != nil {
		return Low
	}
	return s
}

// Reason is why a score is not 100: what one check costs.
type Reason struct {
	Points int    `json:"points"`
	Check  string `json:"check"`
	Title  string `json:"title"`
	Count  int    `json:"count" doc:"findings that count"`
}

// points is what a finding of a severity costs; one that nobody can tell, half.
var points = map[Severity]int{Low: 1, Medium: 3, High: 10, Critical: 25}

// perCheckCost is how many findings of a check count: a hundred old secrets are one
// neglect.
const perCheckCost = 3

// Posture is the state of a node as a number from 0 to 100, with its reasons, the
// dearest first. What is acknowledged counts, since it is still there; what is accepted
// does not, and is told in Accepted.
func Posture(all []store.Finding, now time.Time) (score int, reasons []Reason, accepted int) {
	type cost struct {
		Reason
		each []int
	}
	costs := make(map[string]*cost)
	for _, f := range all {
		switch StateAt(f, now) {
		case StateFixed:
			continue
		case StateAccepted:
			accepted++
			continue
		}
		price := points[rank(f.Severity)]
		if f.Unknown {
			price = (price + 1) / 2
		}
		c := costs[f.Check]
		if c == nil {
			c = &cost{Reason: Reason{Check: f.Check, Title: f.Title}}
			costs[f.Check] = c
		}
		c.Count++
		c.each = append(c.each, price)
	}
	score = 100
	for _, c := range costs {
		slices.SortFunc(c.each, func(a, b int) int { return b - a })
		for _, price := range c.each[:min(perCheckCost, len(c.each))] {
			c.Points += price
		}
		score -= c.Points
		reasons = append(reasons, c.Reason)
	}
	slices.SortFunc(reasons, func(a, b Reason) int { return cmp.Or(b.Points-a.Points, cmp.Compare(a.Check, b.Check)) })
	return max(score, 0), reasons, accepted
}
