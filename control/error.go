package control

import "fmt"

// Kind says what sort of refusal an Error is. The API maps it to a status, the
// command line to an exit code, each through one table.
type Kind uint8

// The kinds.
const (
	Invalid     Kind = iota + 1 // a value makes no sense; Field names it
	NotFound                    // the object does not exist
	Exists                      // an object of that name, or that secret, exists already
	Refused                     // a safety rule; Fix names what overrides it, if anything does
	Stale                       // the object was changed meanwhile: Options.IfRevision
	Denied                      // the actor's level is too low
	Unavailable                 // the store cannot take it now: full, read-only, broken
)

var kindNames = [...]string{Invalid: "invalid", NotFound: "not-found", Exists: "exists", Refused: "refused", Stale: "stale-revision",
	Denied: "denied", Unavailable: "unavailable"}

// String is the kind in one word, as in the type of a problem document.
func (k Kind) String() string {
	if k < Invalid || k > Unavailable {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Error is a refusal that is told to whoever asked: what happened and why in
// Text, what to do about it in Fix. Neither holds anything secret. The old state
// is in force when a method returns one.
type Error struct {
	Kind  Kind
	Text  string
	Fix   string // a command or a change of the request; may be empty
	Field string // of Invalid: which value
}

// Error is Text.
func (e *Error) Error() string { return e.Text }

func invalid(field, format string, args ...any) error {
	return &Error{Kind: Invalid, Field: field, Text: fmt.Sprintf(format, args...)}
}

func notFound(what, name, fix string) error {
	return &Error{Kind: NotFound, Text: fmt.Sprintf("no %s %q", what, name), Fix: fix}
}

func refused(fix, format string, args ...any) error {
	return &Error{Kind: Refused, Text: fmt.Sprintf(format, args...), Fix: fix}
}
