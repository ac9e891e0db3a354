package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtguard/config"
	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/policy"
)

// leaves returns the commands that do something, by their path.
func leaves(cmd *cobra.Command) []*cobra.Command {
	if !cmd.HasSubCommands() {
		return []*cobra.Command{cmd}
	}
	var all []*cobra.Command
	for _, sub := range cmd.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			all = append(all, leaves(sub)...)
		}
	}
	return all
}

func TestCommandsKeepTheRules(t *testing.T) {
	a := &app{stdout: io.Discard, stderr: io.Discard}
	commands := leaves(a.root())
	if len(commands) < 6 {
		t.Fatalf("only %d commands", len(commands))
	}
	// These answer with a stream or a file, not with a value.
	withoutJSON := map[string]bool{"mtguard run": true, "mtguard config example": true}
	for _, cmd := range commands {
		path := cmd.CommandPath()
		if n := strings.Count(cmd.Example, "\n") + 1; n < 2 {
			t.Errorf("%s: %d examples, want two", path, n)
		}
		for example := range strings.Lines(cmd.Example) {
			if !strings.Contains(example, path) {
				t.Errorf("%s: example %q is of another command", path, example)
			}
		}
		if (cmd.Flag("json") == nil) != withoutJSON[path] {
			t.Errorf("%s: --json is missing, or not expected", path)
		}
		if cmd.Args == nil || cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: no argument rule, or the short help is not as the others", path)
		}
		if cmd.HasParent() && cmd.Parent().Name() == "mtguard" && cmd.GroupID == "" {
			t.Errorf("%s: belongs to no group of the help", path)
		}
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			if strings.Contains(flag.Name, "secret") || strings.Contains(flag.Name, "pass") {
				if !strings.HasSuffix(flag.Name, "-file") {
					t.Errorf("%s: --%s would take a secret as an argument", path, flag.Name)
				}
			}
		})
	}
}

// The help of every command is in one file, so that a change of it is seen in a review.
func TestHelpIsGolden(t *testing.T) {
	const golden = "testdata/help.golden"
	a := &app{stdout: io.Discard, stderr: io.Discard}
	var all strings.Builder
	for _, cmd := range everyCommand(a.root()) {
		line := cmd.CommandPath() + " --help"
		code, out, stderr := typed("", strings.Fields(line)[1:]...)
		if code != 0 || stderr != "" {
			t.Errorf("%s: exit code %d, %q", line, code, stderr)
		}
		fmt.Fprintf(&all, "$ %s\n%s\n", line, out)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, lines := strings.Split(all.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(lines)) {
		if i >= len(got) || i >= len(lines) || got[i] != lines[i] {
			t.Fatalf("%s:%d differs from the help; after a look at it: go test ./cmd/mtguard -run TestHelpIsGolden -update", golden, i+1)
		}
	}
}

// everyCommand returns all commands, those that only hold others too.
func everyCommand(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			all = append(all, everyCommand(sub)...)
		}
	}
	return all
}

func TestAMistypedCommandNamesTheNearest(t *testing.T) {
	a := &app{stdout: io.Discard, stderr: io.Discard}
	for word, want := range map[string]string{
		"lnik": "link, leak", "usr": "user", "stauts": "stats, status", "keys": "key", "back": "backup, block", "S": "seal, session, stats", "demonstration": "", "banana": "",
		"rum": "run", "oepn": "open", strings.Repeat("x", 1<<16): "",
	} {
		if got := strings.Join(nearest(word, a.root().Commands()), ", "); got != want {
			t.Errorf("%.40s: got %q, want %q", word, got, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{&usageError{err: errors.New("x")}, 2},
		{&config.Error{}, 3},
		{&policy.Error{}, 3},
		{fmt.Errorf("reload: %w", &config.Error{}), 3},
		{&missingError{text: "x"}, 4},
		{&refusedError{text: "x"}, 5},
		{&foundError{text: "x"}, 10},
		{&auditFoundError{text: "x"}, 1},
		{&auditUnmadeError{err: &admin.UnreachableError{Socket: "x"}}, 2},
		{&auditUnmadeError{err: &control.Error{Kind: control.Denied}}, 2},
		{errInterrupted, 130},
		{errors.Join(errInterrupted, errors.New("x")), 130},
		{fmt.Errorf("asking: %w", context.Canceled), 130},
		{&control.Error{Kind: control.NotFound}, 4},
		{fmt.Errorf("alice: %w", &control.Error{Kind: control.Stale}), 8},
		// The socket may not be opened: out of reach, whatever the reason.
		{&admin.UnreachableError{Socket: "x", Err: fs.ErrPermission}, 7},
		{fmt.Errorf("default secret: %w", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}), 6},
	}
	for _, test := range tests {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%v: exit code %d, want %d", test.err, got, test.want)
		}
	}
}

func TestVersionTellsWhatItWasBuiltFrom(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.time", Value: "2026-11-23T10:00:00Z"}, {Key: "vcs.modified", Value: "true"},
	}}
	b := describe(info)
	if b.Version != "devel" || b.Revision != "0123456789abcdef0123" || b.Time != "2026-11-23T10:00:00Z" || !b.Modified {
		t.Errorf("got %+v", b)
	}
	if got, want := b.String(), "mtguard devel 0123456789ab (modified) "; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q in front", got, want)
	}
	if b := describe(nil); b.Version != "unknown" || b.Go == "" {
		t.Errorf("without information: %+v", b)
	}
}
