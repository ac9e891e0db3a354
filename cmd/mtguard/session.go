package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/keys"
)

func (a *app) sessionCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "session",
		GroupID: groupAdmins,
		Short:   "See and end the sessions of browsers, and of clients of the proxy",
		Long: `See and end the sessions of browsers that are signed in to the dashboard, and, with
--clients, of clients of the proxy. A browser's ends by itself after half an hour
without a request, and after twelve hours anyhow.`,
		Example: `  mtguard session list
  mtguard session kill --user nadia --reason "lost laptop"`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.sessionListCommand(o), a.sessionKillCommand(o))
	return cmd
}

// clientFlags choose sessions of clients.
type clientFlags struct {
	clients    bool
	user, addr string
}

func (f *clientFlags) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&f.clients, "clients", false, "of clients of the proxy, not of browsers")
	flags.StringVar(&f.user, "user", "", "all of this `NAME`")
	flags.StringVar(&f.addr, "addr", "", "all from this `CIDR`")
}

func (f *clientFlags) prefix() (p netip.Prefix, err error) {
	if f.addr != "" {
		if p, err = prefixFlag(f.addr); err != nil {
			return p, wrongFlag("addr", err)
		}
	}
	return p, nil
}

// mostClients is how many the node tells at once.
const mostClients = 1000

func (c *call) listClients(f clientFlags, limit int) error {
	from, err := f.prefix()
	if err != nil {
		return err
	}
	if limit <= 0 || limit > mostClients {
		limit = mostClients
	}
	items, err := c.client.Clients(c.ctx, control.ClientFilter{User: f.user, From: from, Limit: limit})
	if err != nil {
		return err
	}
	return answer(c, items, func() error {
		var rows [][]string
		for _, s := range items {
			rows = append(rows, []string{s.User, s.From, s.Level.String(), shortID(keys.ID(s.Key)), soon(&s.Since, c.now), sizeText(s.Up), sizeText(s.Down)})
		}
		err := table(c.app.stdout, []string{"USER", "FROM", "LEVEL", "KEY", "SINCE", "UP", "DOWN"}, rows)
		if len(items) == limit && !c.quiet {
			c.app.note(fmt.Sprintf("there may be more: these are the %d that moved most; --user and --addr choose", limit))
		}
		return err
	})
}

func (a *app) sessionListCommand(o *nodeFlags) *cobra.Command {
	var f clientFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the browsers that are signed in, or clients of the proxy",
		Example: `  mtguard session list
  mtguard session list --clients --user nadia`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			if f.clients {
				return c.listClients(f, limit)
			}
			if f.user != "" || f.addr != "" {
				return &usageError{errors.New("--user and --addr choose among clients"), "add --clients"}
			}
			items, err := c.client.BrowserSessions(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, items, func() error {
				var rows [][]string
				for _, s := range items {
					rows = append(rows, []string{s.ID, s.Person, s.Level.String(), s.Via, s.From, soon(&s.Opened, c.now), soon(&s.Last, c.now), soon(&s.Expires, c.now), s.Agent})
				}
				return table(a.stdout, []string{"SESSION", "PERSON", "LEVEL", "VIA", "FROM", "OPENED", "LAST", "ENDS", "BROWSER"}, rows)
			})
		}),
	}
	f.flags(cmd.Flags())
	cmd.Flags().IntVar(&limit, "limit", 50, "of clients at most `N`, those that moved most; 0 for 1000")
	return cmd
}

func (a *app) sessionKillCommand(o *nodeFlags) *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use:   "kill [ID]",
		Short: "Sign browsers out, or end sessions of clients: one, all of somebody, or all from a prefix",
		Long: `Sign browsers out: one, all of a person, or all from a prefix. With --clients it ends
sessions of clients of the proxy, who may come again: "mtguard user disable" and
"mtguard block" keep them out.`,
		Example: `  mtguard session kill k3v5xq7w2m4a6b2c
  mtguard session kill --user nadia --yes
  mtguard session kill --clients --addr 198.51.100.0/24`,
		Args:              atMost(1),
		ValidArgsFunction: a.sessionIDs(o),
		RunE: a.asks(o, func(c *call) error {
			if (len(c.args) == 1) == (f.user != "" || f.addr != "") || f.clients && len(c.args) == 1 {
				return &usageError{errors.New("say which session, or whose, or from where"), "an ID; or --user, --addr or both"}
			}
			if len(c.args) == 1 {
				return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.EndSession(c.ctx, c.args[0], o) }))
			}
			return c.endMany(f)
		}),
	}
	o.change(cmd.Flags())
	f.flags(cmd.Flags())
	return cmd
}

// endMany ends all sessions of somebody, or from somewhere, after it has said how many these are.
func (c *call) endMany(f clientFlags) error {
	from, err := f.prefix()
	if err != nil {
		return err
	}
	var in *netip.Prefix
	if from.IsValid() {
		in = &from
	}
	end := func(o admin.ChangeOptions) (control.Result, error) {
		return c.client.EndSessions(c.ctx, admin.EndSessionsBody{Person: f.user, From: in}, o)
	}
	what, may := "sign out %s", ""
	if f.clients {
		end = func(o admin.ChangeOptions) (control.Result, error) {
			return c.client.EndClients(c.ctx, admin.EndClientsBody{User: f.user, From: in}, o)
		}
		what, may = "cut off %s of clients", "; they may come again"
	}
	if !c.yes && !c.dryRun {
		o := c.options()
		o.DryRun = true
		would, err := end(o)
		if err != nil {
			return err
		}
		what = fmt.Sprintf(what, plural(would.Closed, "session"))
		if f.user != "" {
			what += " of " + f.user
		}
		if in != nil {
			what += " from " + in.String()
		}
		if would.Closed > 0 {
			if err := c.confirm(what+may, orElse(f.user, f.addr)); err != nil {
				return err
			}
		}
	}
	return c.changed(c.change(end))
}

// sessionIDs completes sessions of browsers.
func (a *app) sessionIDs(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) (ids []string, err error) {
		items, err := c.client.BrowserSessions(c.ctx)
		for _, s := range items {
			ids = append(ids, clean(s.ID)+"\t"+described(s.Person, s.From))
		}
		return ids, err
	})
}

func (a *app) passkeyCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "passkey",
		GroupID: groupAdmins,
		Short:   "See and take out the passkeys that people sign in with",
		Long: `See and take out the passkeys that people sign in to the dashboard with. They are set up in
the browser, after signing in with the address that "mtguard dashboard" prints.
Whoever has lost the last one: take it out here, and sign in with a new address.`,
		Example: `  mtguard passkey list
  mtguard passkey remove p5721cefaf3 --reason "lost phone"`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	list := &cobra.Command{
		Use:   "list",
		Short: "List passkeys",
		Example: `  mtguard passkey list
  mtguard passkey list --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			items, err := c.client.Passkeys(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, items, func() error {
				var rows [][]string
				for _, k := range items {
					where := "on one device"
					if k.BackedUp {
						where = "on several"
					}
					rows = append(rows, []string{k.ID, k.Name, k.Person, k.Level.String(), k.Host, where, soon(&k.Created, c.now), orElse(soon(k.LastUsed, c.now), "never")})
				}
				return table(a.stdout, []string{"PASSKEY", "NAME", "PERSON", "LEVEL", "GOOD FOR", "LIVES", "MADE", "USED"}, rows)
			})
		}),
	}
	remove := &cobra.Command{
		Use:   "remove ID",
		Short: "Take a passkey out, and sign out whom it signed in",
		Example: `  mtguard passkey remove p5721cefaf3 --reason "lost phone"
  mtguard passkey remove p5721cefaf3 --reason "lost phone" --dry-run`,
		Args: exactly(1),
		ValidArgsFunction: a.live(o, 1, func(c *call, _ string) (ids []string, err error) {
			items, err := c.client.Passkeys(c.ctx)
			for _, k := range items {
				ids = append(ids, clean(k.ID)+"\t"+described(k.Person, k.Name))
			}
			return ids, err
		}),
		RunE: a.asks(o, func(c *call) error {
			if err := c.needsReason(); err != nil {
				return err
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.RemovePasskey(c.ctx, c.args[0], o)
			}))
		}),
	}
	o.change(remove.Flags())
	cmd.AddCommand(list, remove)
	return cmd
}
