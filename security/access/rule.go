package access

import (
	"fmt"
	"strconv"
	"time"
)

// Source says who made a rule. On the same prefix the lower one comes first.
type Source uint8

// The sources, in their order.
const (
	Operator  Source = iota // a person
	Automatic               // the node itself, for an hour or a day
	Feed                    // somebody else's list
)

var sourceNames = [...]string{Operator: "operator", Automatic: "automatic", Feed: "feed"}

// String is the source's name, as commands and the API write it.
func (s Source) String() string {
	if int(s) >= len(sourceNames) {
		return "source(" + strconv.Itoa(int(s)) + ")"
	}
	return sourceNames[s]
}

// ParseSource reads a source as String writes it.
func ParseSource(text string) (Source, error) {
	for s, name := range sourceNames {
		if name == text {
			return Source(s), nil
		}
	}
	return Operator, fmt.Errorf("source %s: want operator, automatic or feed", quote(text))
}

// MarshalText is String; a number that is no source is an error.
func (s Source) MarshalText() ([]byte, error) {
	if int(s) >= len(sourceNames) {
		return nil, fmt.Errorf("%v is none", s)
	}
	return []byte(s.String()), nil
}

// UnmarshalText is ParseSource.
func (s *Source) UnmarshalText(text []byte) error {
	parsed, err := ParseSource(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}

// Rule says how much may be done by whom it matches, while it is in its time.
type Rule struct {
	ID       string    // unique among the rules of a table, never empty
	Match    Match     //
	Level    Level     // the ceiling
	From     time.Time // when it begins; zero: since ever
	Until    time.Time // when it has ended; zero: never
	Schedule Schedule  // hours of the week it counts in; zero: always
	Source   Source    //
	Pinned   bool      // of operators' rules on addresses: automatic and feed rules do not count where it matches
	Reason   string    // for people; nothing here reads it
	By       string    // for people: who made it
	List     string    // for people: the name of the list it came from
}

// Active tells whether the rule is in its time.
func (r *Rule) Active(now time.Time) bool { return r.state(now) == inTime }

type timeState uint8

const (
	inTime timeState = iota
	tooEarly
	tooLate
	offHours
)

func (r *Rule) state(now time.Time) timeState {
	switch {
	case !r.From.IsZero() && now.Before(r.From):
		return tooEarly
	case !r.Until.IsZero() && !now.Before(r.Until):
		return tooLate
	case !r.Schedule.Active(now):
		return offHours
	}
	return inTime
}

// timed tells whether the rule is ever out of its time.
func (r *Rule) timed() bool { return !r.From.IsZero() || !r.Until.IsZero() || !r.Schedule.IsZero() }

// next is when the rule begins or ends next; zero when it never does.
func (r *Rule) next(now time.Time) time.Time {
	switch r.state(now) {
	case tooLate:
		return time.Time{}
	case tooEarly:
		return r.From
	}
	next := r.Schedule.Next(now)
	if !r.Until.IsZero() && (next.IsZero() || r.Until.Before(next)) {
		next = r.Until
	}
	return next
}

// control is the control the rule belongs to.
func (r *Rule) control() Controls {
	if r.Source == Automatic && r.Match.kind.Address() {
		return ByThreat
	}
	return r.Match.control()
}

// control is the control a rule of this kind belongs to.
func (m Match) control() Controls {
	switch {
	case m.kind.Pattern():
		return ByPattern
	case m.kind == InASN || m.kind == InCountry:
		return ByCountry
	}
	return ByAddress
}

// RuleError says what is wrong with a rule, or with two of them together.
type RuleError struct {
	Rule    string // ID of the rule, as far as it has one
	Other   string // of the rule it contradicts; "" when it is wrong by itself
	Problem string // with what to do about it
}

func (e *RuleError) Error() string {
	if e.Other != "" {
		return fmt.Sprintf("rules %s and %s: %s", e.Rule, e.Other, e.Problem)
	}
	return fmt.Sprintf("rule %s: %s", e.Rule, e.Problem)
}

// check refuses what no table could use.
func (r *Rule) check() error {
	problem := ""
	switch {
	case r.ID == "":
		return &RuleError{Rule: `""`, Problem: "has no ID (" + r.Match.String() + ")"}
	case r.Match.IsZero():
		problem = "matches nobody: give it an address, prefix, list, country, AS number or pattern"
	case int(r.Level) >= len(levelNames):
		problem = r.Level.String() + " is none"
	case int(r.Source) >= len(sourceNames):
		problem = r.Source.String() + " is none"
	case !r.From.IsZero() && !r.Until.IsZero() && !r.From.Before(r.Until):
		problem = fmt.Sprintf("ends at %s, before it begins at %s", r.Until.UTC().Format(time.RFC3339), r.From.UTC().Format(time.RFC3339))
	case r.Pinned && r.Source != Operator:
		problem = "is pinned and comes from " + r.Source.String() + ": only an operator's rule can be"
	case r.Pinned && !r.Match.kind.Address():
		problem = "is pinned and about " + r.Match.String() + ": only a rule on addresses can be"
	default:
		return nil
	}
	return &RuleError{Rule: r.ID, Problem: problem}
}
