package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/node/links"
)

func (a *app) linkCommand() *cobra.Command {
	var configFlag, stateDir string
	var asJSON, qr bool
	cmd := &cobra.Command{
		Use:     "link [NAME]",
		GroupID: groupServe,
		Short:   "Print the links of all users, or of one",
		Long: `Print the links of all users, or of one: one for each transport.

The links are those that the last "mtguard run" printed. Whoever has a link
can use the proxy: hand it out like a key.`,
		Example: `  mtguard link
  mtguard link alice --qr
  mtguard link --json`,
		Args: atMost(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.completeUser(configFlag, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if asJSON && qr {
				return &usageError{errors.New("--json and --qr exclude each other"), "a QR code holds the text of tg"}
			}
			items, at, err := a.links(configFlag, stateDir)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if items, err = linksOf(args[0], items); err != nil {
					return err
				}
			}
			if asJSON {
				return a.printJSON(envelope[links.Item]{items})
			}
			a.note(at.Note)
			return links.Write(a.stdout, items, links.Style{QR: qr, Colour: colour(a.stdout)})
		},
	}
	cmd.Flags().StringVar(&configFlag, "config", "", "configuration `FILE`; default: that of the last run, else "+config.DefaultPath)
	cmd.Flags().StringVar(&stateDir, "state-dir", "", "state directory `DIR` instead of state.dir")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&qr, "qr", false, "draw a QR code below each link")
	return cmd
}

// links returns the links as the last run with the same configuration had them, or as the next
// run would.
func (a *app) links(configFlag, stateDir string) ([]links.Item, links.Address, error) {
	none := links.Address{}
	path, err := a.configPath(configFlag)
	if err != nil {
		return nil, none, err
	}
	file, err := load(path, stateFlag(stateDir))
	if err != nil {
		return nil, none, err
	}
	dir, stateErr := statedir.Find(file.State.Dir, file.Explicit("state.dir"))
	run, same := statedir.Run{}, false
	if stateErr == nil {
		if run, err = dir.ReadRun(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, none, err
		}
		same = err == nil && (configFlag == "" || run.Config == path)
	}
	if same && run.Config != path {
		if file, err = load(run.Config, stateFlag(stateDir)); err != nil {
			return nil, none, err
		}
	}
	if same {
		file.Proxy.Listen, file.Proxy.PublicAddress = run.Listen, run.PublicAddress
		file.Proxy.Transports, file.Cover.Domains = run.Transports, run.Domains
	}
	return assemble(file, func() (string, error) {
		if stateErr != nil {
			return "", stateErr
		}
		return dir.ReadDefaultSecret()
	})
}

// assemble computes the links of a configuration; stored gives the default user's secret.
func assemble(file *config.File, stored func() (string, error)) ([]links.Item, links.Address, error) {
	at, err := links.Locate(file.Proxy.PublicAddress, file.Proxy.Listen)
	if err != nil {
		return nil, at, err
	}
	list, err := links.Keys(file, stored)
	if len(file.Users) == 0 && errors.Is(err, fs.ErrNotExist) {
		return nil, at, &missingError{fmt.Sprintf("no user yet: %v", err), "start `mtguard run` once: it makes the user \"default\" and its link"}
	}
	if err != nil {
		return nil, at, err
	}
	domain := ""
	if len(file.Cover.Domains) > 0 {
		domain = file.Cover.Domains[0]
	}
	items, err := links.All(list, file.Proxy.Transports, domain, at)
	return items, at, err
}

func linksOf(name string, items []links.Item) ([]links.Item, error) {
	mine := slices.DeleteFunc(slices.Clone(items), func(item links.Item) bool { return item.User != name })
	if len(mine) > 0 {
		return mine, nil
	}
	const shown = 10
	var names []string
	for _, item := range items {
		if !slices.Contains(names, item.User) && len(names) <= shown {
			names = append(names, item.User)
		}
	}
	if len(names) > shown {
		names[shown] = "…"
	}
	return nil, &missingError{fmt.Sprintf("no user %q", name), "users: " + strings.Join(names, ", ")}
}

// completeUser offers the names of the configuration to the shell.
func (a *app) completeUser(configFlag string, args []string) []string {
	path, err := a.configPath(configFlag)
	if err != nil || len(args) > 0 {
		return nil
	}
	file, err := config.Load(path)
	if err != nil {
		return nil
	}
	var names []string
	for _, user := range file.Users {
		names = append(names, user.Name)
	}
	return names
}
