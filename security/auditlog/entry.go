package auditlog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The most bytes of each part of an Entry, and the most details. They keep a row on a page: a log that anybody can make swell is no record.
const (
	MaxActor       = 128
	MaxAction      = 64
	MaxObject      = 256
	MaxReason      = 1024
	MaxDetails     = 16
	MaxDetailKey   = 32
	MaxDetailValue = 256

	// MaxCanonical is more than the canonical encoding of any Entry takes, were every character escaped.
	MaxCanonical = 16 << 10
)

// Entry says who did what to what, when, why, and how it ended. None of it may be secret: see the package comment.
//
// All text is UTF-8 without the characters that Clip replaces, so that no row can pretend to be two or write over another on a terminal.
type Entry struct {
	Seq     int64     // the row's number, from 1; Append sets it
	Time    time.Time // when, of the years 1970 to 9999, kept to the nanosecond in UTC
	Actor   string    // who: a user, a token's name, "schedule"; not empty
	Action  string    // what, as in "key.rotate": lower-case letters, digits, '.', '_' and '-'; not empty
	Object  string    // to what, as in "user nadia"; may be empty
	Outcome Outcome   // how it ended
	Reason  string    // why, in the actor's words, or why it was refused; may be empty
	Details []Detail  // what else matters, in this order; no key twice
}

// Detail is one named value of an Entry.
type Detail struct {
	Key   string // letters as in Entry.Action; not empty
	Value string
}

// Outcome is how an action ended. The zero value is none, and refused.
type Outcome uint8

// An action was Done; or Refused, since it was not allowed or not valid; or it was allowed and Failed.
const (
	Done Outcome = iota + 1
	Refused
	Failed
)

var outcomes = [...]string{Done: "done", Refused: "refused", Failed: "failed"}

// String returns "done", "refused" or "failed", as in rows.
func (o Outcome) String() string {
	if o < Done || o > Failed {
		return "outcome " + strconv.Itoa(int(o))
	}
	return outcomes[o]
}

// timeLayout always has nine digits behind the point and is always UTC, so that equal times are equal text and text sorts as time does.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// Canonical returns the encoding of e: one JSON object on one line, all fields always there in this order without spaces, only '"' and '\'
// escaped, each by '\'. Different entries have different encodings and each has exactly one; times are the same when they are the same
// instant. Version 1 of it is
//
//	{"v":1,"seq":7,"time":"2026-01-02T03:04:05.000000006Z","actor":"uid 0","action":"key.rotate","object":"user nadia","outcome":"done","reason":"","details":{"overlap":"168h"}}
//
// An e that breaks a rule of Entry is refused; the error says which field and does not quote it.
func (e Entry) Canonical() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("auditlog: %w", err)
	}
	return e.encode(make([]byte, 0, 256)), nil
}

func (e *Entry) encode(b []byte) []byte {
	b = append(b, `{"v":1,"seq":`...)
	b = strconv.AppendInt(b, e.Seq, 10)
	b = append(b, `,"time":"`...)
	b = e.Time.UTC().AppendFormat(b, timeLayout)
	b = appendQuoted(append(b, `","actor":`...), e.Actor)
	b = appendQuoted(append(b, `,"action":`...), e.Action)
	b = appendQuoted(append(b, `,"object":`...), e.Object)
	b = appendQuoted(append(b, `,"outcome":`...), e.Outcome.String())
	b = appendQuoted(append(b, `,"reason":`...), e.Reason)
	b = append(b, `,"details":{`...)
	for i, d := range e.Details {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, d.Key)
		b = appendQuoted(append(b, ':'), d.Value)
	}
	return append(b, "}}"...)
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n': // only in checkpoints, see Export
			b = append(b, `\n`...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func (e *Entry) check() error {
	if e.Seq < 1 || e.Seq > MaxRows {
		return fmt.Errorf("seq is not in 1 to %d", int64(MaxRows))
	}
	if y := e.Time.UTC().Year(); y < 1970 || y > 9999 {
		return errors.New("time is not in the years 1970 to 9999")
	}
	if e.Outcome < Done || e.Outcome > Failed {
		return errors.New("outcome is none of done, refused and failed")
	}
	if e.Actor == "" {
		return errors.New("actor is empty")
	}
	if len(e.Details) > MaxDetails {
		return fmt.Errorf("there are %d details; the most is %d", len(e.Details), MaxDetails)
	}
	err := cmp.Or(checkText("actor", e.Actor, MaxActor), checkName("action", e.Action, MaxAction),
		checkText("object", e.Object, MaxObject), checkText("reason", e.Reason, MaxReason))
	for i, d := range e.Details {
		err = cmp.Or(err, checkName("a detail's key", d.Key, MaxDetailKey), checkText("a detail's value", d.Value, MaxDetailValue))
		if err == nil && slices.ContainsFunc(e.Details[:i], func(other Detail) bool { return other.Key == d.Key }) {
			err = errors.New("a detail's key is there twice")
		}
	}
	return err
}

func checkName(field, s string, most int) error {
	if s == "" {
		return fmt.Errorf("%s is empty", field)
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("%s has other characters than a-z, 0-9, '.', '_' and '-'", field)
		}
	}
	return checkText(field, s, most)
}

func checkText(field, s string, most int) error {
	if len(s) > most {
		return fmt.Errorf("%s has %d bytes; the most is %d", field, len(s), most)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", field)
	}
	if strings.IndexFunc(s, disturbs) >= 0 {
		return fmt.Errorf("%s has a control character", field)
	}
	return nil
}

// disturbs tells the characters that change how text around them is laid out or divided: control characters, line and paragraph separators,
// and those that turn the direction of writing. The list is part of version 1; tables of Unicode grow.
func disturbs(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029:
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// Clip makes text of a stranger fit for an Entry: what is not UTF-8 and what disturbs (control characters, line separators, marks of writing
// direction) becomes U+FFFD, and the result is cut to at most limit bytes, between characters. Text that fits stays as it is.
func Clip(s string, limit int) string {
	s = s[:min(len(s), max(limit, 0)+utf8.UTFMax)] // no need to look at a megabyte
	s = strings.Map(func(r rune) rune {
		if disturbs(r) {
			return utf8.RuneError
		}
		return r
	}, s) // which makes each byte that is not UTF-8 U+FFFD too
	for len(s) > max(limit, 0) {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// ParseEntry decodes canonical bytes. It takes nothing but what Canonical wrote: one different byte is another entry or an error.
func ParseEntry(canonical []byte) (Entry, error) {
	e, err := parse(canonical)
	if err != nil {
		return Entry{}, fmt.Errorf("auditlog: %w", err)
	}
	return e, nil
}

func parse(canonical []byte) (e Entry, err error) {
	if len(canonical) > MaxCanonical {
		return e, fmt.Errorf("the entry has more than %d bytes", MaxCanonical)
	}
	s := scanner{all: canonical, rest: canonical}
	s.literal(`{"v":`)
	if version := s.number(); s.err == nil && version != 1 {
		return e, fmt.Errorf("the entry is of version %d, not 1", version)
	}
	s.literal(`,"seq":`)
	e.Seq = s.number()
	s.literal(`,"time":`)
	at := s.text()
	s.literal(`,"actor":`)
	e.Actor = s.text()
	s.literal(`,"action":`)
	e.Action = s.text()
	s.literal(`,"object":`)
	e.Object = s.text()
	s.literal(`,"outcome":`)
	outcome := s.text()
	s.literal(`,"reason":`)
	e.Reason = s.text()
	s.literal(`,"details":{`)
	for s.err == nil && !bytes.HasPrefix(s.rest, []byte("}")) {
		if len(e.Details) > 0 {
			s.literal(",")
		}
		key := s.text()
		s.literal(":")
		e.Details = append(e.Details, Detail{key, s.text()})
	}
	s.literal("}}")
	if s.err != nil {
		return Entry{}, s.err
	}
	if e.Time, err = time.Parse(timeLayout, at); err != nil {
		return Entry{}, errors.New("the entry's time has another form")
	}
	for o := Done; o <= Failed; o++ {
		if outcome == outcomes[o] {
			e.Outcome = o
		}
	}
	if err := e.check(); err != nil {
		return Entry{}, err
	}
	// What the scanner and time.Parse forgive, and what stands behind the end, ends here: one entry has one encoding.
	if again := e.encode(make([]byte, 0, len(canonical))); !bytes.Equal(again, canonical) {
		return Entry{}, errors.New("the entry is not in canonical form")
	}
	return e, nil
}

// scanner reads JSON of one known shape. It keeps the first error; after it, everything reads as nothing.
type scanner struct {
	all, rest []byte
	err       error
}

func (s *scanner) fail(want string) {
	if s.err == nil {
		s.err = fmt.Errorf("the entry has no %s at byte %d", want, len(s.all)-len(s.rest))
	}
}

func (s *scanner) literal(want string) {
	if s.err == nil && len(s.rest) >= len(want) && string(s.rest[:len(want)]) == want {
		s.rest = s.rest[len(want):]
		return
	}
	s.fail(want)
}

func (s *scanner) number() int64 {
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(string(s.rest[:n]), 10, 64)
	if s.err != nil || err != nil {
		s.fail("number")
		return 0
	}
	s.rest = s.rest[n:]
	return v
}

// text reads what appendQuoted wrote.
func (s *scanner) text() string {
	s.literal(`"`)
	if s.err != nil {
		return ""
	}
	var unescaped []byte
	for {
		n := bytes.IndexAny(s.rest, `"\`)
		if n < 0 {
			s.fail("end of text")
			return ""
		}
		if s.rest[n] == '"' {
			out := string(append(unescaped, s.rest[:n]...))
			s.rest = s.rest[n+1:]
			return out
		}
		if n+1 == len(s.rest) {
			s.fail("end of text")
			return ""
		}
		unescaped = append(unescaped, s.rest[:n]...)
		switch c := s.rest[n+1]; c {
		case '"', '\\':
			unescaped = append(unescaped, c)
		case 'n':
			unescaped = append(unescaped, '\n')
		default:
			s.fail("known escape")
			return ""
		}
		s.rest = s.rest[n+2:]
	}
}
