package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtguard/config"
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

func TestExitCodes(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{&usageError{err: errors.New("x")}, 2},
		{&config.Error{}, 3},
		{fmt.Errorf("reload: %w", &config.Error{}), 3},
		{&missingError{text: "x"}, 4},
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
