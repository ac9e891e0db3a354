package threat

import (
	"encoding"
	"fmt"
	"time"
)

// Severity says how soon somebody should look.
type Severity uint8

// The severities.
const (
	Low    Severity = iota + 1 // it was answered, and that is all
	Medium                     // it was answered and comes again, or could not be answered in full
	High                       // a person has to decide
)

var severityNames = [...]string{Low: "low", Medium: "medium", High: "high"}

// String is "low", "medium" or "high".
func (s Severity) String() string {
	if s < Low || s > High {
		return fmt.Sprintf("severity(%d)", uint8(s))
	}
	return severityNames[s]
}

// ParseSeverity reads what String writes.
func ParseSeverity(text string) (Severity, error) {
	for s, name := range severityNames {
		if name != "" && name == text {
			return Severity(s), nil
		}
	}
	return 0, fmt.Errorf("severity %q: want low, medium or high", text)
}

var _ encoding.TextMarshaler = Low

// MarshalText is String; a number that is none is an error.
func (s Severity) MarshalText() ([]byte, error) {
	if s < Low || s > High {
		return nil, fmt.Errorf("%v is none", s)
	}
	return []byte(s.String()), nil
}

// UnmarshalText is ParseSeverity.
func (s *Severity) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSeverity(string(text))
	return err
}

// Note is what an incident is made of, or goes on with: notes of one Detector about one Subject are the same incident.
type Note struct {
	Detector string
	// Subject is a prefix, or "key" and the ID of a secret; Many for further addresses when very many do the same.
	Subject   string
	Key, User string
	Severity  Severity
	First     time.Time // of the findings that it holds
	Last      time.Time
	Count     int
	Evidence  string // of the last one
	Action    string // what was done about it, or would be
}

// Many is the subject of the incident that takes what very many addresses do.
const Many = "many addresses"

const (
	// mostIncidents is how many incidents about addresses may begin in an hour; what is beyond them becomes one incident for each detector.
	mostIncidents = 60
	// mostNotes bounds the notes that wait to be written.
	mostNotes = 512
)

// note adds a finding to what is to be written.
func (g *Engine) note(f Finding, subject, key string, severity Severity, action string) {
	if f.Addr.IsValid() && !g.single(f, subject) {
		subject = Many
	}
	id := f.Detector + "|" + subject
	n := g.notes[id]
	if n == nil {
		if len(g.notes) >= mostNotes {
			return
		}
		n = &Note{Detector: f.Detector, Subject: subject, Key: key, User: f.User, First: f.Time}
		g.notes[id] = n
	}
	n.Severity = max(n.Severity, severity)
	n.Count++
	n.Last, n.Evidence, n.Action = f.Time, f.Evidence, action
}

// single reports whether an address gets an incident of its own.
func (g *Engine) single(f Finding, subject string) bool {
	if g.notes[f.Detector+"|"+subject] != nil {
		return true
	}
	at, _ := placeOf(f.Addr)
	x := g.addresses.get(at, f.Time.UnixMilli())
	if x.told {
		return true
	}
	keep := g.recent[:0]
	for _, t := range g.recent {
		if f.Time.Sub(t) < time.Hour {
			keep = append(keep, t)
		}
	}
	g.recent = keep
	if len(g.recent) >= mostIncidents {
		return false
	}
	g.recent = append(g.recent, f.Time)
	x.told = true
	return true
}

func severityOf(points float64) Severity {
	switch {
	case points >= blockAt:
		return High
	case points >= throttleAt:
		return Medium
	}
	return Low
}

// severityOfRung asks for a person where the ladder has no further rung.
func severityOfRung(r rung, offences uint8, spared string) Severity {
	switch {
	case int(offences) >= len(terms), spared == sparedBudget:
		return High
	case offences > 1, spared == sparedShared:
		return Medium
	}
	return Low
}
