package main

// Rules of output, for every command:
//
//   - Results go to standard output, everything else to standard error.
//   - --json prints one JSON value in an envelope {"items": […]} and nothing around it.
//   - An error is what happened, if known why, and what to do: the last part is a hint on
//     a line of its own. Messages are lower case without a full stop.
//   - Problems of the configuration are printed all at once, with their place.
//   - No secret is taken as an argument, since histories and process lists keep them, and
//     none is printed but by link and generate-secret, whose purpose that is.
//   - Escape sequences only to a terminal, never with NO_COLOR or TERM=dumb.
//   - The exit code comes from the table exitCodes and from nowhere else.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"mtguard/config"
)

// usageError is a command line that cannot be meant.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// missingError is an object that does not exist.
type missingError struct{ text, hint string }

func (e *missingError) Error() string { return e.text }

// exitCodes maps errors to exit codes; the first that fits counts, 1 when none does.
var exitCodes = []struct {
	fits func(error) bool
	code int
}{
	{is[*usageError], 2},
	{is[*config.Error], 3},
	{is[*missingError], 4},
	{func(err error) bool { return errors.Is(err, fs.ErrPermission) }, 6},
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	for _, row := range exitCodes {
		if row.fits(err) {
			return row.code
		}
	}
	return 1
}

// explain writes an error to standard error.
func (a *app) explain(err error) {
	if problems, ok := errors.AsType[*config.Error](err); ok {
		noun := "error"
		if len(problems.Problems) > 1 {
			noun = "errors"
		}
		fmt.Fprintf(a.stderr, "%v\n%d %s\n", problems, len(problems.Problems), noun)
		return
	}
	fmt.Fprintf(a.stderr, "error: %v\n", err)
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(a.stderr, "  %s\n", hint)
	}
}

// hintFor says what to do about an error, as far as the error tells.
func hintFor(err error) string {
	usage, isUsage := errors.AsType[*usageError](err)
	missing, isMissing := errors.AsType[*missingError](err)
	switch {
	case isUsage:
		return usage.hint
	case isMissing:
		return missing.hint
	}
	return ""
}

// note writes a remark that is no error.
func (a *app) note(text string) {
	if text != "" {
		fmt.Fprintf(a.stderr, "note: %s\n", text)
	}
}

// envelope is the form of every JSON answer that is a list.
type envelope[T any] struct {
	Items []T `json:"items"`
}

func (a *app) printJSON(value any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false) // links are full of ampersands
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// isTerminal reports whether w is a terminal that understands escape sequences.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// colour reports whether w may get colours.
func colour(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }
