package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/config"
	"mtguard/examples"
	"mtguard/node/links"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		GroupID: groupCare,
		Short:   "Check the configuration, or print an example of one",
		Example: `  mtguard config check
  mtguard config example > mtguard.toml`,
		Args: noSubcommand,
		RunE: help,
	}
	cmd.AddCommand(a.configCheckCommand(), a.configExampleCommand())
	return cmd
}

func (a *app) configCheckCommand() *cobra.Command {
	var path string
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether the node would start with a configuration",
		Long: `Say whether the node would start with a configuration.

All problems are printed at once, each with its place. MTGUARD__… variables of the
environment are checked along with the file, as "mtguard run" would use them.`,
		Example: `  mtguard config check
  mtguard config check --config ./mtguard.toml --json`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := a.checkedConfig(path)
			if problems, ok := errors.AsType[*config.Error](err); asJSON && ok {
				if err := printJSON(a, cmd, problems.Problems...); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON[config.Problem](a, cmd)
			}
			if !quiet {
				fmt.Fprintln(a.stdout, verdict(file))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration `FILE`; default: "+config.DefaultPath)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the problems as JSON")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing when all is well")
	return cmd
}

// checkedConfig reads a configuration as run does, and all secrets it names.
func (a *app) checkedConfig(flag string) (*config.File, error) {
	path, err := a.configPath(flag)
	if err != nil {
		return nil, err
	}
	file, err := load(path, func(*config.File) error { return nil })
	if err != nil {
		return nil, err
	}
	// Nothing is made or read for the default user: that is the state, not the file.
	_, err = links.Keys(file, func() (string, error) { return links.NewSecret("") })
	all := []error{file.CheckAccess(), err}
	for i := range file.Alerts {
		_, err := file.AlertSecret(i)
		all = append(all, err)
	}
	return file, config.Join(all...)
}

func verdict(file *config.File) string {
	what := file.Path()
	if what == "" {
		what = "no configuration file, everything at its default:"
	}
	text := what + " ok"
	if used := config.Environment(); len(used) > 0 {
		text += ", with " + strings.Join(used, ", ")
	}
	return text
}

func (a *app) configExampleCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "example",
		Short: "Print a configuration file with every key, its default and what it does",
		Example: `  mtguard config example
  mtguard config example --config ./mtguard.toml`,
		Args: atMost(0),
		RunE: func(*cobra.Command, []string) error {
			if path != "" {
				_, err := newFile(path, func(w io.Writer) error {
					_, err := io.WriteString(w, examples.Config)
					return err
				})
				return err
			}
			_, err := fmt.Fprint(a.stdout, examples.Config)
			return err
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "write to `FILE`, which must not exist yet")
	return cmd
}
