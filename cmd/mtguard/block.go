package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
)

// blockCommand is `block ADDR` and `block list`.
func (a *app) blockCommand() *cobra.Command {
	o := new(nodeFlags)
	var long string
	cmd := &cobra.Command{
		Use:     "block ADDR",
		GroupID: groupAccess,
		Short:   "Shut an address out for a while, and end its connections",
		Long: `Shut an address out for a while, and end its connections: it sees the cover site
from then on. ADDR is what "mtguard access add" takes, too: a prefix, a country, a
ClientHello's fingerprint. A block is a rule of level none, and "mtguard access"
shows it among the others.

Your own address, that of the machine or of a balancer takes --force, and the
block ends by itself after ten minutes unless it is confirmed.`,
		Example: `  mtguard block 203.0.113.7
  mtguard block 203.0.113.0/24 --for 7d --reason "scans"
  mtguard block list`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) error {
			body := admin.BlockBody{Target: c.args[0]}
			if c.cmd.Flags().Changed("for") {
				d, err := control.ParseDuration(long)
				if err == nil && d == 0 {
					err = errors.New("0s is no time at all")
				}
				if err != nil {
					return wrongFlag("for", err)
				}
				body.For = &d
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.Block(c.ctx, body, o) }))
		}),
	}
	o.common(cmd.PersistentFlags())
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&long, "for", "1h", "for so `LONG`, up to a year")
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	completeFlag(cmd, "for", words("1h", "24h", "7d"))
	cmd.AddCommand(a.blockListCommand(o))
	return cmd
}

func (a *app) blockListCommand(o *nodeFlags) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what is shut out: the rules of level none",
		Example: `  mtguard block list
  mtguard block list --limit 20 --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error { return c.listRules(control.RuleFilter{Level: "none"}, limit) }),
	}
	cmd.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0 for all")
	return cmd
}

func (a *app) unblockCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "unblock ADDR",
		GroupID: groupAccess,
		Short:   "Let an address in again that was shut out",
		Long: `Let an address in again that was shut out: takes out every rule of level none
that matches just this. What a list shuts out stays shut out: a rule of your own
lets it in, see "mtguard access add --pin".`,
		Example: `  mtguard unblock 203.0.113.7
  mtguard unblock 203.0.113.0/24 --reason "it was the office"`,
		Args:              exactly(1),
		ValidArgsFunction: a.blocked(o),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.Unblock(c.ctx, c.args[0], o) }))
		}),
	}
	o.common(cmd.Flags())
	o.change(cmd.Flags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	return cmd
}

// listCommand is about lists of addresses. The noun is `list`, and nothing is imported: a list
// is an object with a name that stays tied to where it comes from, is read again by itself, and
// goes as a whole. `import` takes over what another program had, once.
func (a *app) listCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "list",
		GroupID: groupAccess,
		Short:   "Keep lists of addresses from files and HTTPS addresses up to date",
		Long: `Keep lists of addresses from files and HTTPS addresses up to date: ipset save,
netset, or plain text with one address, prefix or range in a line. A list is
taken whole or not at all; the last good one stays in force meanwhile. A rule of
your own on the same addresses wins over a list.`,
		Example: `  mtguard list set drop https://lists.example.com/drop.netset --level none
  mtguard list show`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.listShowCommand(o), a.listSetCommand(o), a.listRemoveCommand(o), a.listReloadCommand(o))
	return cmd
}

func (a *app) listShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show all lists, or one: how old, how long, and what went wrong",
		Example: `  mtguard list show
  mtguard list show drop --json`,
		Args:              atMost(1),
		ValidArgsFunction: a.listNames(o),
		RunE: a.asks(o, func(c *call) error {
			if len(c.args) == 1 {
				info, err := c.client.List(c.ctx, c.args[0])
				if err != nil {
					return err
				}
				return answer(c, []control.ListInfo{info}, func() error { return c.showList(info) })
			}
			lists, err := c.client.Lists(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, lists, func() error {
				var rows [][]string
				for _, l := range lists {
					rows = append(rows, []string{l.Name, l.Level.String(), fmt.Sprint(l.Entries), everyText(l.Every), soon(l.Checked, c.now), soon(l.Good, c.now), orElse(l.Problem, "ok")})
				}
				return table(a.stdout, []string{"LIST", "LEVEL", "ENTRIES", "EVERY", "LOOKED AT", "AS OF", "STATE"}, rows)
			})
		}),
	}
}

func everyText(d control.Duration) string {
	if d == 0 {
		return "when told"
	}
	return d.String()
}

func (c *call) showList(l control.ListInfo) error {
	wide := "no"
	if l.Wide {
		wide = "yes: any size, any change"
	}
	return table(c.app.stdout, nil, [][]string{
		{"list", l.Name},
		{"origin", l.Origin},
		{"level", l.Level.String()},
		{"entries", fmt.Sprint(l.Entries)},
		{"read", everyText(l.Every)},
		{"looked at", orElse(when(l.Checked, c.now), "never")},
		{"as of", orElse(when(l.Good, c.now), "never")},
		{"problem", orElse(l.Problem, "none")},
		{"wide", wide},
		{"revision", fmt.Sprint(l.Revision)},
	})
}
