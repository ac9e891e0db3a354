package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"mtguard/config"
	"mtguard/node"
	"mtguard/node/links"
)

func (a *app) runCommand() *cobra.Command {
	var configFlag, stateDir string
	var listen []string
	cmd := &cobra.Command{
		Use:     "run",
		GroupID: groupServe,
		Short:   "Serve, until SIGTERM or Ctrl-C",
		Long: `Serve, until SIGTERM or Ctrl-C: then open connections may finish for
proxy.drain_timeout, and a second signal ends it at once. SIGHUP reads the
configuration again; when it has errors the old one stays in force.

Flags win over MTGUARD__… variables, those over the file, the file over defaults.`,
		Example: `  mtguard run
  mtguard run --listen 127.0.0.1:8443
  mtguard run --config ./mtguard.toml --listen :443 --listen '[::1]:8443'`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := a.configPath(configFlag)
			if err != nil {
				return err
			}
			return a.run(cmd.Context(), path, func(file *config.File) error {
				if len(listen) > 0 {
					if err := file.Set("--listen", "proxy.listen", listen...); err != nil {
						return err
					}
				}
				return stateFlag(stateDir)(file)
			})
		},
	}
	cmd.Flags().StringVar(&configFlag, "config", "", "configuration `FILE`; default: "+config.DefaultPath+" if it exists")
	cmd.Flags().StringArrayVar(&listen, "listen", nil, "address `ADDR` to listen on instead of proxy.listen; may be repeated")
	cmd.Flags().StringVar(&stateDir, "state-dir", "", "state directory `DIR` instead of state.dir")
	return cmd
}

func (a *app) run(ctx context.Context, path string, flags func(*config.File) error) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// From the first signal on, a second one has its ordinary effect.
	context.AfterFunc(ctx, stop)

	read := func() (*config.File, error) {
		file, err := load(path, flags)
		if err != nil {
			return nil, err
		}
		return file, file.CheckAccess()
	}
	file, err := read()
	if err != nil {
		return err
	}
	n, err := node.New(node.Options{
		Load:  read,
		Log:   node.NewLogger(file.Log, a.stderr),
		Ready: func(n *node.Node) { a.announce(ctx, n, path) },
	})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-hangup:
			// The node says in its log how that went; it goes on either way.
			if n.Reload() == nil {
				a.remember(n, path)
			}
		}
	}
}

// remember notes how this node runs, so that other commands find it. Without the note they have to
// be told, so it is no reason to stop.
func (a *app) remember(n *node.Node, path string) {
	if err := n.Note(path); err != nil {
		a.note(err.Error())
	}
}

// shownLinks is how many links are printed at start; of more, nobody reads any.
const shownLinks = 6

func (a *app) announce(ctx context.Context, n *node.Node, path string) {
	defer a.remember(n, path) // whoever waits for the note finds the rest said
	if os.Getenv("JOURNAL_STREAM") != "" {
		a.note("links are secrets and stay out of the journal: mtguard link prints them")
		return
	}
	at, err := n.Locate()
	if err != nil {
		a.note(err.Error())
		return
	}
	switch items, err := n.Reveal(ctx, shownLinks); {
	case err != nil:
		a.note(err.Error())
	case len(items) == 0:
		a.note("mtguard link NAME prints the links of a user")
	default:
		if err := links.Write(a.stdout, items, links.Style{QR: len(items) == 1, Colour: colour(a.stdout)}); err != nil {
			a.note(err.Error())
		}
	}
	a.note(at.Note)
}
