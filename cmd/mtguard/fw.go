package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control/admin"
	"mtguard/fw"
)

func (a *app) fwCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "fw",
		GroupID: groupAccess,
		Short:   "Have the kernel drop whom the node blocks; a process of its own, with CAP_NET_ADMIN",
		Long: `Have the kernel drop whom the node blocks: a process of its own, which alone has
CAP_NET_ADMIN. The proxy itself has no capability, and blocks without this, too; this
spares it the connections. Whoever is dropped finds the port dead, and not the cover
site.

It keeps one nftables table, inet mtguard, and touches no other. Dropped are new TCP
connections to where the proxy listens, from what rules on addresses give level none:
those of operators ("mtguard block") while the control access.level is enforced for
all, the node's own while threat.block is. Never dropped are loopback, what is pinned
or trusted, a balancer, or a connection that stands.`,
		Example: `  mtguard fw run
  mtguard fw status`,
		Args: noSubcommand,
		RunE: help,
	}
	cmd.AddCommand(a.fwRunCommand(), a.fwStatusCommand(), a.fwFlushCommand())
	return cmd
}

// Bounds of --hold: sooner is no use, and later would keep a block that was undone while nobody looked.
const (
	usualFwHold = 10 * time.Minute
	leastFwHold = 5 * time.Second
)

func (a *app) fwRunCommand() *cobra.Command {
	o := new(nodeFlags)
	var hold time.Duration
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Keep the kernel's table in step with the node, until SIGTERM or Ctrl-C",
		Long: `Keep the kernel's table in step with the node, until SIGTERM or Ctrl-C; then the table
goes. Each prefix in it has a time-out of the kernel's, refreshed while the node says
that it is blocked: when this process is killed, or the node does not answer, all of
it is gone after --hold. It may start before the node.`,
		Example: `  mtguard fw run
  mtguard fw run --server /run/mtguard/admin.sock --hold 5m`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			if hold < leastFwHold || hold > usualFwHold {
				return wrongFlag("hold", fmt.Errorf("%v is not from %v to %v", hold, leastFwHold, usualFwHold))
			}
			ctx, stop := signal.NotifyContext(c.cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop)
			kernel, err := fw.Open()
			if err == nil {
				source := &blockSource{client: c.client}
				if !c.cmd.Flags().Changed("server") {
					source.find = func() *admin.Client {
						path, err := a.socket(o)
						if err != nil || path == o.server {
							return nil
						}
						o.server = path
						client, err := newClient(o)
						if err != nil {
							return nil
						}
						return client
					}
				}
				log := slog.New(slog.NewTextHandler(a.stderr, nil)) // it reads no configuration but to find the node
				err = fw.Run(ctx, fw.Options{Source: source, Kernel: kernel, Log: log, Hold: hold,
					Ready: func() { a.note("the table inet mtguard follows the node at " + o.server) }})
			}
			return fwError(err)
		}),
	}
	o.common(cmd.Flags())
	cmd.Flags().DurationVar(&hold, "hold", usualFwHold, "the kernel forgets a prefix after so `LONG` unless it is refreshed; 5s to 10m")
	return cmd
}

// blockSource is the node, as package fw asks it: from one goroutine.
type blockSource struct {
	client *admin.Client
	// find returns a client for where the node is by now, nil when that is where it was: a node that starts later than this process may
	// have its socket elsewhere. It is nil where somebody said which socket it is.
	find func() *admin.Client
}

// Order asks for what is blocked.
func (s *blockSource) Order(ctx context.Context, known string) (*fw.Order, error) {
	answer, err := s.client.Blocked(ctx, known)
	if err != nil && s.find != nil {
		if client := s.find(); client != nil {
			s.client = client
		}
	}
	if err != nil || answer.Unchanged {
		return nil, err
	}
	order := &fw.Order{Tag: answer.Tag, Suspended: answer.Suspended, Partly: answer.Partly, LeftOut: answer.LeftOut}
	for _, text := range answer.Listening {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, fmt.Errorf("the node listens at %q, which is no address", clean(text))
		}
		order.Listening = append(order.Listening, at)
	}
	for _, p := range answer.Prefixes {
		block := fw.Block{Prefix: p.Prefix}
		if p.Until != nil {
			block.Until = *p.Until
		}
		order.Blocks = append(order.Blocks, block)
	}
	return order, nil
}

// fwStatus is what fw status prints.
type fwStatus struct {
	Table    bool        `json:"table"`
	Dropped  uint64      `json:"dropped"`
	Prefixes []fwElement `json:"prefixes"`
	// LeftOut is why blocks are not among them, as far as the node answers.
	LeftOut string `json:"left_out,omitempty"`
}

type fwElement struct {
	Prefix  netip.Prefix `json:"prefix"`
	Seconds int64        `json:"seconds"`
}

func (a *app) fwStatusCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the kernel drops, and for how long unless it is refreshed",
		Example: `  mtguard fw status
  mtguard fw status --json`,
		Args: atMost(0),
		RunE: a.works(o, func(c *call) error {
			status, err := kernelStatus()
			if err != nil {
				return fwError(err)
			}
			if path, err := a.socket(o); o.server == "" && err == nil {
				o.server = path
			}
			status.LeftOut = leftOut(c.ctx, admin.NewClient(o.server, min(o.timeout, fwPatience)))
			return answer(c, []fwStatus{status}, func() error { return c.showFw(status) })
		}),
	}
	o.common(cmd.Flags())
	return cmd
}

func kernelStatus() (s fwStatus, err error) {
	kernel, err := fw.Open()
	if err != nil {
		return s, err
	}
	list, err := kernel.Elements()
	if errors.Is(err, fw.ErrNoTable) {
		return fwStatus{Prefixes: []fwElement{}}, nil
	}
	if err != nil {
		return s, err
	}
	s = fwStatus{Table: true, Prefixes: make([]fwElement, 0, len(list))}
	for _, e := range list {
		s.Prefixes = append(s.Prefixes, fwElement{e.Prefix, int64(e.Left.Seconds())})
	}
	slices.SortFunc(s.Prefixes, func(a, b fwElement) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	s.Dropped, err = kernel.Dropped()
	return s, err
}

func (c *call) showFw(s fwStatus) error {
	if !s.Table {
		_, err := fmt.Fprintln(c.app.stdout, "no table: mtguard fw run is not running, and nothing is dropped")
		return err
	}
	rows := make([][]string, 0, len(s.Prefixes))
	for _, e := range s.Prefixes {
		rows = append(rows, []string{e.Prefix.String(), strconv.FormatInt(e.Seconds, 10) + "s"})
	}
	if len(rows) > 0 {
		if err := table(c.app.stdout, []string{"PREFIX", "LEFT"}, rows); err != nil {
			return err
		}
	}
	if c.quiet {
		return nil
	}
	_, err := fmt.Fprintf(c.app.stdout, "%s in the table, %s dropped\n", plural(len(rows), "block"), plural(int(s.Dropped), "packet"))
	c.app.note(s.LeftOut)
	return err
}

// fwPatience is how long fw status waits for a node, which it can do without.
const fwPatience = 2 * time.Second

// leftOut is why the node wants less dropped than there are blocks; "": it does not, or does not answer.
func leftOut(ctx context.Context, client *admin.Client) string {
	answer, err := client.Blocked(ctx, "")
	if err != nil {
		return ""
	}
	var why []string
	if text := answer.Suspended + answer.Partly; text != "" { // never both
		why = append(why, text)
	}
	if answer.Present > 0 {
		why = append(why, fmt.Sprintf("users come from %s", plural(answer.Present, "automatic block")))
	}
	if answer.LeftOut > 0 {
		why = append(why, fmt.Sprintf("%s beyond the most", plural(answer.LeftOut, "block")))
	}
	if len(why) == 0 {
		return ""
	}
	return "not dropped in the kernel: " + strings.Join(why, "; ")
}

func (a *app) fwFlushCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "Take the kernel's table away",
		Long: `Take the kernel's table away, so that nothing is dropped. That is for one that a killed
"mtguard fw run" has left; one that runs makes it again within seconds: stop it, or
unblock who was blocked.`,
		Example: `  mtguard fw flush
  sudo systemctl stop mtguard-fw && sudo mtguard fw flush`,
		Args: atMost(0),
		RunE: a.works(o, func(c *call) error {
			kernel, err := fw.Open()
			if err == nil {
				err = kernel.Remove()
			}
			return fwError(err)
		}),
	}
	o.common(cmd.Flags())
	return cmd
}

// fwError adds what to do about a kernel that refuses.
func fwError(err error) error {
	switch {
	case errors.Is(err, fw.ErrForbidden):
		return &refusedError{err.Error(), "run it with sudo, or as the service mtguard-fw, which has the capability"}
	case errors.Is(err, fw.ErrNoKernel):
		return &refusedError{err.Error(), "the proxy blocks without it, too: leave fw off on this machine"}
	case errors.Is(err, fw.ErrForeign):
		return &refusedError{err.Error(), "nft list table inet mtguard shows it; delete or rename it first"}
	}
	return err
}
