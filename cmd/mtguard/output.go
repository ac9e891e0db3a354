package main

// Rules of output, for every command:
//
//   - Results go to standard output, everything else to standard error.
//   - --json prints one envelope {"schema":"mtguard/user.list/v1","items":[…]} and nothing
//     around it; -o jsonl prints the items alone, one in a line.
//   - An error is what happened, if known why, and what to do: the last two are lines of
//     their own. Messages are lower case without a full stop.
//   - Problems of the configuration are printed all at once, with their place.
//   - No secret is taken as an argument, since histories and process lists keep them, and
//     none is printed but by link, user add and generate-secret, whose purpose that is.
//   - Escape sequences only to a terminal, never with NO_COLOR or TERM=dumb; none that came
//     from elsewhere, such as in a name, at all.
//   - What cuts people off says so in numbers and asks first: see confirm.
//   - The exit code comes from the table exitCodes and from nowhere else.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mtguard/config"
	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/policy"
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

// refusedError is a safety rule of the command line itself.
type refusedError struct{ text, hint string }

func (e *refusedError) Error() string { return e.text }

// foundError is a check that ran and found something.
type foundError struct{ text, hint string }

func (e *foundError) Error() string { return e.text }

// errInterrupted is a command that the user stopped.
var errInterrupted = errors.New("interrupted")

// exitCodes maps errors to exit codes; the first that fits counts, 1 when none does.
var exitCodes = []struct {
	fits func(error) bool
	code int
}{
	{isAny(errInterrupted, context.Canceled), 130},
	// Of audit run: before what an audit that could not be made wraps.
	{is[*auditFoundError], 1},
	{is[*auditUnmadeError], 2},
	{is[*usageError], 2},
	{is[*config.Error], 3},
	{is[*policy.Error], 3},
	{is[*missingError], 4},
	{is[*refusedError], 5},
	{is[*foundError], 10},
	// Before permission: the socket that may not be opened is a node out of reach.
	{is[*admin.UnreachableError], 7},
	{isKind(control.Invalid), 2},
	{isKind(control.NotFound), 4},
	{isKind(control.Refused), 5},
	{isKind(control.Denied), 6},
	{isKind(control.Stale), 8},
	{isAny(fs.ErrPermission), 6},
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

func isAny(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
}

func isKind(kind control.Kind) func(error) bool {
	return func(err error) bool {
		refusal, ok := errors.AsType[*control.Error](err)
		return ok && refusal.Kind == kind
	}
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
		fmt.Fprintf(a.stderr, "%v\n%s\n", problems, plural(len(problems.Problems), "error"))
		return
	}
	if problems, ok := errors.AsType[*policy.Error](err); ok {
		fmt.Fprintf(a.stderr, "%s\n%s\n", cleanLines(problems.Error()), plural(len(problems.Problems), "error"))
		return
	}
	// What the node or a file said may hold anything.
	text := "error: " + cleanLines(err.Error())
	for hint := range strings.Lines(hintFor(err)) {
		text += "\n  " + clean(strings.TrimRight(hint, "\n"))
	}
	fmt.Fprintln(a.stderr, text)
}

// hintFor says why an error is thought to be and what to do about it, as far as it tells.
func hintFor(err error) string {
	if usage, ok := errors.AsType[*usageError](err); ok {
		return usage.hint
	}
	if missing, ok := errors.AsType[*missingError](err); ok {
		return missing.hint
	}
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return refused.hint
	}
	if found, ok := errors.AsType[*foundError](err); ok {
		return found.hint
	}
	if found, ok := errors.AsType[*auditFoundError](err); ok {
		return found.hint
	}
	if unmade, ok := errors.AsType[*auditUnmadeError](err); ok && unmade.hint != "" {
		return unmade.hint
	}
	if unreachable, ok := errors.AsType[*admin.UnreachableError](err); ok {
		return strings.Join(slices.DeleteFunc([]string{unreachable.Why, unreachable.Hint}, func(line string) bool { return line == "" }), "\n")
	}
	if refusal, ok := errors.AsType[*control.Error](err); ok {
		return refusal.Fix
	}
	return ""
}

// note writes a remark that is no error.
func (a *app) note(text string) {
	if text != "" {
		fmt.Fprintf(a.stderr, "note: %s\n", clean(text))
	}
}

// envelope is the form of every JSON answer.
type envelope[T any] struct {
	Schema string `json:"schema"`
	Items  []T    `json:"items"`
}

// schema is the name of what a command answers with: mtguard/user.list/v1.
func schema(cmd *cobra.Command) string {
	words := strings.Fields(cmd.CommandPath())
	return words[0] + "/" + strings.Join(words[1:], ".") + "/v1"
}

// printJSON answers with items in an envelope. No item is [], not null.
func printJSON[T any](a *app, cmd *cobra.Command, items ...T) error {
	if items == nil {
		items = []T{}
	}
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false) // links are full of ampersands
	encoder.SetIndent("", "  ")
	return encoder.Encode(envelope[T]{schema(cmd), items})
}

// printLines answers with items alone, one in a line.
func printLines[T any](a *app, items ...T) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	for _, item := range items {
		if err := encoder.Encode(item); err != nil {
			return err
		}
	}
	return nil
}

// table lines up cells for people: a header in capitals and rows. An empty header leaves the
// line out, for names with their values.
func table(w io.Writer, header []string, rows [][]string) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(header) > 0 {
		fmt.Fprintln(out, strings.Join(header, "\t"))
	}
	for _, row := range rows {
		line := make([]string, len(row))
		for i, cell := range row {
			if line[i] = clean(cell); cell == "" {
				line[i] = "-"
			}
		}
		fmt.Fprintln(out, strings.Join(line, "\t"))
	}
	return out.Flush()
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a device of characters, too
	return err != nil || !os.SameFile(info, null)
}

// colour reports whether w is a terminal that understands escape sequences, and may get colours.
func colour(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
}
