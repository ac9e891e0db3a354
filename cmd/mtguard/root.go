package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/config"
)

// app is what all commands share.
type app struct {
	stdout, stderr io.Writer
	// defaultConfig is the file used when it exists and --config names none.
	defaultConfig string
}

// execute runs one command line and returns the exit code.
func (a *app) execute(args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.Execute()
	if err != nil {
		a.explain(err)
	}
	return exitCode(err)
}

const (
	groupServe = "serve"
	groupCare  = "care"
)

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "mtguard",
		Short: "A Telegram proxy that looks like a web site",
		Long: `mtguard is a Telegram MTProto proxy that looks like a web site.

Without any configuration, "mtguard run" serves one user and prints the link.`,
		Example: `  mtguard run
  mtguard link --qr`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSubcommand,
		RunE:          help,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{err, "see " + cmd.CommandPath() + " --help"}
	})
	root.AddGroup(&cobra.Group{ID: groupServe, Title: "Serve:"}, &cobra.Group{ID: groupCare, Title: "Set up:"})
	root.SetHelpCommandGroupID(groupCare)
	root.SetCompletionCommandGroupID(groupCare)
	root.AddCommand(
		// in the order of the help: those that serve (run, demo, link), then the others
		a.runCommand(),
		a.demoCommand(),
		a.linkCommand(),
		a.configCommand(),
		a.secretCommand(),
		a.versionCommand(),
	)
	return root
}

func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// noSubcommand is the argument rule of commands that only hold others.
func noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see " + cmd.CommandPath() + " --help"
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return &usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()), hint}
}

// atMost is the argument rule of commands that take up to n objects.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= n {
			return nil
		}
		return &usageError{fmt.Errorf("%s takes at most %d arguments, not %d", cmd.CommandPath(), n, len(args)), "usage: " + cmd.UseLine()}
	}
}

// configPath returns the absolute path of the file to use: the one named by the flag, else
// the default one if it exists, else none.
func (a *app) configPath(flag string) (string, error) {
	if flag != "" {
		return filepath.Abs(flag)
	}
	switch _, err := os.Stat(a.defaultConfig); {
	case err == nil:
		return a.defaultConfig, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	default:
		return "", err
	}
}

// load reads the configuration at path, and lets flags win over it.
func load(path string, flags func(*config.File) error) (*config.File, error) {
	file, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &missingError{err.Error(), "mtguard config example > " + path}
	}
	if err != nil {
		return nil, err
	}
	if err := flags(file); err != nil {
		return nil, err
	}
	return file, file.Validate()
}

// stateFlag lays --state-dir over a configuration.
func stateFlag(dir string) func(*config.File) error {
	return func(file *config.File) error {
		if dir == "" {
			return nil
		}
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		return file.Set("--state-dir", "state.dir", absolute)
	}
}
