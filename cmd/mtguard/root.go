package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtguard/config"
	"mtguard/config/spelling"
)

// app is what all commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// defaultConfig is the file used when it exists and --config names none.
	defaultConfig string
	// defaultSocket is where a node's admin socket is that chose no other place.
	defaultSocket string
	// asking says that somebody answers at stdin although it is no terminal.
	asking bool
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
	groupServe   = "serve"
	groupPeople  = "people"
	groupKeys    = "keys"
	groupAccess  = "access"
	groupThreats = "threats"
	groupAdmins  = "admins"
	groupCare    = "care"
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.Help(); err != nil {
				return err
			}
			if line := a.statusLine(cmd); line != "" {
				fmt.Fprintln(a.stdout, "\n"+line)
			}
			return nil
		},
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			if _, ok := errors.AsType[*strconv.NumError](err); ok {
				err = fmt.Errorf("--%s: %q is no number", bad.GetFlag().Name, bad.GetValue())
			}
		}
		return &usageError{err, "see " + cmd.CommandPath() + " --help"}
	})
	root.AddGroup(&cobra.Group{ID: groupServe, Title: "Serve:"}, &cobra.Group{ID: groupPeople, Title: "People:"},
		&cobra.Group{ID: groupKeys, Title: "Keys:"}, &cobra.Group{ID: groupAccess, Title: "Access:"}, &cobra.Group{ID: groupThreats, Title: "Threats:"},
		&cobra.Group{ID: groupAdmins, Title: "Who manages:"},
		&cobra.Group{ID: groupCare, Title: "Care:"})
	root.SetHelpCommandGroupID(groupCare)
	root.SetCompletionCommandGroupID(groupCare)
	root.AddCommand(
		a.runCommand(),
		a.demoCommand(),
		a.statusCommand(),
		a.eventsCommand(),
		a.topCommand(),
		a.doctorCommand(),
		a.userCommand(),
		a.linkCommand(),
		a.pageCommand(),
		a.leakCommand(),
		a.keyCommand(),
		a.sealCommand(),
		a.openCommand(),
		a.accessCommand(),
		a.blockCommand(),
		a.unblockCommand(),
		a.listCommand(),
		a.fwCommand(),
		a.limitCommand(),
		a.threatCommand(),
		a.incidentCommand(),
		a.policyCommand(),
		a.rolloutCommand(),
		a.statsCommand(),
		a.alertCommand(),
		a.dashboardCommand(),
		a.tokenCommand(),
		a.sessionCommand(),
		a.passkeyCommand(),
		a.approvalCommand(),
		a.auditCommand(),
		a.auditlogCommand(),
		a.reportCommand(),
		a.backupCommand(),
		a.cryptoCommand(),
		a.updateCommand(),
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
	if args[0] == "import" { // a word for it that other programs have
		hint = "lists of addresses are kept, not imported: mtguard list set NAME FILE"
	} else if near := nearest(args[0], cmd.Commands()); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	} else if cmd.HasParent() {
		var all []string
		for _, sub := range cmd.Commands() {
			all = append(all, sub.Name())
		}
		hint = "its commands: " + strings.Join(all, ", ")
	}
	return &usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()), hint}
}

// shownNearest is how many commands an unknown one is compared with.
const shownNearest = 3

// nearest are the commands that a misspelt one may have been meant to be, likeliest first.
func nearest(word string, commands []*cobra.Command) []string {
	type candidate struct {
		name     string
		distance int
	}
	word = strings.ToLower(word)
	var near []candidate
	for _, cmd := range commands {
		if !cmd.IsAvailableCommand() {
			continue
		}
		name := cmd.Name()
		d := spelling.Distance(word, name)
		if strings.HasPrefix(name, word) || slices.Contains(cmd.SuggestFor, word) {
			d = 0
		}
		if d <= 1+min(len(word), 32)/3 { // no command is near a longer word
			near = append(near, candidate{name, d})
		}
	}
	slices.SortStableFunc(near, func(x, y candidate) int { return cmp.Compare(x.distance, y.distance) })
	var names []string
	for _, c := range near[:min(len(near), shownNearest)] {
		names = append(names, c.name)
	}
	return names
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

// exactly is the argument rule of commands that take n objects.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n && !slices.Contains(args, "") {
			return nil
		}
		if len(args) == n {
			return &usageError{errors.New("an argument is empty"), "usage: " + cmd.UseLine()}
		}
		return &usageError{fmt.Errorf("%s takes %s, not %d", cmd.CommandPath(), plural(n, "argument"), len(args)), "usage: " + cmd.UseLine()}
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
