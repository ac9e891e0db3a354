package main

import (
	"errors"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
)

func (a *app) sessionCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "session",
		GroupID: groupAdmins,
		Short:   "See and end the sessions of browsers",
		Long: `See and end the sessions of browsers that are signed in to the dashboard. A session ends
by itself after half an hour without a request, and after twelve hours anyhow.`,
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

func (a *app) sessionListCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the browsers that are signed in",
		Example: `  mtguard session list
  mtguard session list --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
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
}

func (a *app) sessionKillCommand(o *nodeFlags) *cobra.Command {
	var person, addr string
	cmd := &cobra.Command{
		Use:   "kill [ID]",
		Short: "Sign browsers out: one, all of a person, or all from a prefix",
		Example: `  mtguard session kill k3v5xq7w2m4a6b2c
  mtguard session kill --user nadia
  mtguard session kill --addr 198.51.100.0/24`,
		Args:              atMost(1),
		ValidArgsFunction: a.sessionIDs(o),
		RunE: a.asks(o, func(c *call) error {
			if (len(c.args) == 1) == (person != "" || addr != "") {
				return &usageError{errors.New("say which session, or whose, or from where"), "an ID; or --user, --addr or both"}
			}
			if len(c.args) == 1 {
				return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.EndSession(c.ctx, c.args[0], o) }))
			}
			body := admin.EndSessionsBody{Person: person}
			if addr != "" {
				p, err := prefixFlag(addr)
				if err != nil {
					return wrongFlag("addr", err)
				}
				body.From = &p
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.EndSessions(c.ctx, body, o) }))
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&person, "user", "", "all of this `PERSON`")
	cmd.Flags().StringVar(&addr, "addr", "", "all from this `CIDR`")
	return cmd
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
