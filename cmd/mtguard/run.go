package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"mtguard/config"
	"mtguard/config/statedir"
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
	var listening []string
	n, err := node.New(node.Options{
		Load: read,
		Log:  node.NewLogger(file.Log, a.stderr),
		Ready: func(n *node.Node) {
			listening = effective(n)
			a.announce(n, path, listening)
		},
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
				a.remember(n, path, listening)
			}
		}
	}
}

// effective are the addresses in use as they were written, with the ports the system chose.
func effective(n *node.Node) []string {
	written := n.File().Proxy.Listen
	var list []string
	for i, at := range n.Listening() {
		host := at.Addr().String()
		if i < len(written) {
			host, _, _ = net.SplitHostPort(written[i])
		}
		list = append(list, net.JoinHostPort(host, strconv.Itoa(int(at.Port()))))
	}
	return list
}

// remember notes how this node runs, so that `mtguard link` can print the same links. Without
// the note links are computed from the configuration alone, so it is no reason to stop.
func (a *app) remember(n *node.Node, path string, listening []string) {
	file := n.File()
	err := n.Dir().WriteRun(statedir.Run{
		Config:        path,
		Listen:        listening,
		PublicAddress: file.Proxy.PublicAddress,
		Transports:    file.Proxy.Transports,
		Domains:       file.Cover.Domains,
	})
	if err != nil {
		a.note(fmt.Sprintf("mtguard link may print other links than these: %v", err))
	}
}

// shownLinks is how many links are printed at start; of more, nobody reads any.
const shownLinks = 6

func (a *app) announce(n *node.Node, path string, listening []string) {
	a.remember(n, path, listening)
	file := *n.File() // a copy: the node's own is read by others
	file.Proxy.Listen = listening
	items, at, err := assemble(&file, n.Dir().ReadDefaultSecret)
	switch {
	case err != nil:
		a.note(err.Error())
		return
	case os.Getenv("JOURNAL_STREAM") != "":
		a.note("links are secrets and stay out of the journal: mtguard link prints them")
	case len(items) > shownLinks:
		a.note(strconv.Itoa(len(items)) + " links: mtguard link NAME prints those of one user")
	default:
		err = links.Write(a.stdout, items, links.Style{QR: len(items) == 1, Colour: colour(a.stdout)})
	}
	if err != nil {
		a.note(err.Error())
	}
	a.note(at.Note)
}
