package alert

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Severity is how bad something is.
type Severity uint8

// The severities, rising. The zero Severity is none.
const (
	Info Severity = iota + 1
	Low
	Medium
	High
	Critical
)

var severityNames = [...]string{Info: "info", Low: "low", Medium: "medium", High: "high", Critical: "critical"}

// Severities are the names of all severities, rising.
func Severities() []string { return slices.Clone(severityNames[Info:]) }

// ParseSeverity reads a name.
func ParseSeverity(text string) (Severity, error) {
	if i := slices.Index(severityNames[:], text); i >= int(Info) {
		return Severity(i), nil
	}
	return 0, fmt.Errorf("no severity %q: %s", clip(text, 32), strings.Join(Severities(), ", "))
}

// String is the name.
func (s Severity) String() string {
	if s < Info || s > Critical {
		return fmt.Sprintf("severity(%d)", uint8(s))
	}
	return severityNames[s]
}

// MarshalText is String; an unknown severity is an error.
func (s Severity) MarshalText() ([]byte, error) {
	if s < Info || s > Critical {
		return nil, errors.New("no severity")
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *Severity) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSeverity(string(text))
	return err
}

// Kind is what a message is about.
type Kind string

// The kinds.
const (
	KindAlert    Kind = "alert"    // a condition of this package fires or is over
	KindFinding  Kind = "finding"  // a detector saw something, once
	KindIncident Kind = "incident" // something that people work on
	KindTest     Kind = "test"     // somebody asked for it
)

// Status is where the thing stands that a message is about.
type Status string

// The statuses. Alerts are firing, then resolved; incidents go from open to resolved or
// false_positive; findings and tests are firing and never heard of again.
const (
	Firing        Status = "firing"
	Open          Status = "open"
	Acknowledged  Status = "acknowledged"
	Contained     Status = "contained"
	Resolved      Status = "resolved"
	FalsePositive Status = "false_positive"
)

// Over reports whether nothing more is wrong.
func (s Status) Over() bool { return s == Resolved || s == FalsePositive }

// statuses a kind may have.
var statuses = map[Kind][]Status{
	KindAlert:    {Firing, Resolved},
	KindFinding:  {Firing},
	KindIncident: {Open, Acknowledged, Contained, Resolved, FalsePositive},
	KindTest:     {Firing},
}

// Message is what a receiver is told. It holds nothing secret: whoever makes one sees to
// that, and to addresses being as the operator wants them in logs.
type Message struct {
	// ID names this message: whoever gets it twice knows by it. Empty: made by Notify.
	ID string `json:"id"`
	// About names the alert, finding or incident; all messages about it have it.
	About    string   `json:"about"`
	Kind     Kind     `json:"kind"`
	Status   Status   `json:"status"`
	Code     string   `json:"code"` // what sort of thing: "disk.full", "probe.scan"
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	Detail   string   `json:"detail,omitempty"` // one or two sentences with figures
	Fix      string   `json:"fix,omitempty"`    // what to do: a command, where there is one
	// At is when this was said, Since when the thing began, Until when it was over.
	At    time.Time  `json:"at"`
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until,omitempty"`
	Value *float64   `json:"value,omitempty"` // of an alert
	// Evidence is what it was seen by, at most maxEvidence pairs.
	Evidence map[string]string `json:"evidence,omitempty"`
	Assignee string            `json:"assignee,omitempty"` // of an incident
	Node     string            `json:"node,omitempty"`     // filled in by the Manager
	Version  string            `json:"version,omitempty"`  // filled in by the Manager
}

// Bounds of a message. What is longer is cut.
const (
	maxCode     = 64
	maxID       = 128
	maxTitle    = 160
	maxText     = 1000
	maxEvidence = 32
	maxPair     = 256
)

// settle fills in what may be left out, bounds the rest and says what is wrong.
func (m *Message) settle(now time.Time) error {
	allowed, ok := statuses[m.Kind]
	switch {
	case !ok:
		return fmt.Errorf("alert: no kind of message %q", clip(string(m.Kind), 32))
	case !slices.Contains(allowed, m.Status):
		return fmt.Errorf("alert: a message of the kind %s has no status %q", m.Kind, clip(string(m.Status), 32))
	case m.Code == "" || m.Title == "":
		return errors.New("alert: a message has no code or no title")
	case m.Severity < Info || m.Severity > Critical:
		return errors.New("alert: a message has no severity")
	}
	if m.About == "" {
		m.About = newID(string(m.Kind))
	}
	m.At = cmp.Or(m.At, now).UTC()
	m.Since = cmp.Or(m.Since, m.At).UTC()
	if m.Status.Over() && m.Until == nil {
		m.Until = &m.At
	}
	if m.ID == "" {
		m.ID = newID("msg")
	}
	m.ID, m.About, m.Code = clip(m.ID, maxID), clip(m.About, maxID), clip(m.Code, maxCode)
	m.Title, m.Detail, m.Fix, m.Assignee = clip(m.Title, maxTitle), clip(m.Detail, maxText), clip(m.Fix, maxText), clip(m.Assignee, maxTitle)
	m.Evidence = bounded(m.Evidence)
	return nil
}

// bounded is a copy of at most maxEvidence pairs, those that come first by name.
func bounded(pairs map[string]string) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	out := make(map[string]string, min(len(pairs), maxEvidence))
	for _, key := range sortedKeys(pairs) {
		if len(out) == maxEvidence {
			break
		}
		out[clip(key, maxCode)] = clip(pairs[key], maxPair)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (m Message) encode() ([]byte, error) { return json.Marshal(m) }

// decode reads what encode wrote; what is of no use any more is an error.
func decode(body []byte) (m Message, err error) {
	if err = json.Unmarshal(body, &m); err == nil && (m.ID == "" || len(statuses[m.Kind]) == 0) {
		err = errors.New("no message")
	}
	return m, err
}

// line is the message in one line, for people.
func (m Message) line() string {
	text := strings.ToUpper(m.Severity.String()) + " " + string(m.Status) + ": " + m.Title
	if m.Detail != "" {
		text += ": " + m.Detail
	}
	return text
}

// clip makes text one line of valid UTF-8 without control characters, of at most n bytes.
func clip(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	if len(text) <= n {
		return text
	}
	cut := n - len("…")
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:max(cut, 0)] + "…"
}

// newID is a fresh name.
func newID(prefix string) string {
	var b [8]byte
	rand.Read(b[:])
	return prefix + "-" + hex.EncodeToString(b[:])
}
