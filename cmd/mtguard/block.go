package main

import (
	"errors"

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
shows it among the others. Nobody feels it before the control that it is the
business of, access.level for addresses, is enforced: see "mtguard rollout".

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
		RunE: a.asks(o, func(c *call) error {
			shut := control.RuleFilter{Level: "none"}
			if err := c.listRules(shut, limit); err != nil || c.quiet {
				return err
			}
			if some, _, err := c.rules(shut, 1); err == nil && len(some) > 0 {
				c.app.note(leftOut(c.ctx, c.client))
			}
			return nil
		}),
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
