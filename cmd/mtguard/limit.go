package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"mtguard/control"
)

func (a *app) limitCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "limit",
		GroupID: groupAccess,
		Short:   "Say how much is left of the limits",
		Example: `  mtguard limit check 203.0.113.7
  mtguard limit check --user alice`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.limitCheckCommand(o))
	return cmd
}

func (a *app) limitCheckCommand(o *nodeFlags) *cobra.Command {
	var q control.LimitQuery
	cmd := &cobra.Command{
		Use:   "check [ADDR]",
		Short: "Say how much is left of the limits of an address or a user",
		Long: `Say how much is left of the limits of an address or a user, and when there is
more. Nothing is counted by asking. A limit of which nothing is left matters as its
mode says: off, monitor (one too many is counted and let through) or enforce.`,
		Example: `  mtguard limit check 203.0.113.7
  mtguard limit check --user alice
  mtguard limit check 2001:db8::1 --user alice --json`,
		Args: atMost(1),
		RunE: a.asks(o, func(c *call) error {
			if len(c.args) == 1 {
				q.Addr = c.args[0]
			}
			items, err := c.client.CheckLimits(c.ctx, q)
			if err != nil {
				return err
			}
			return answer(c, items, func() error {
				var rows [][]string
				for _, i := range items {
					mode := i.Mode
					if i.Exception != "" {
						mode += ", exception " + i.Exception
					}
					rows = append(rows, []string{i.Control, i.Of, i.Limit, strconv.FormatInt(i.Left, 10), soon(i.RetryAt, c.now), mode})
				}
				return table(c.app.stdout, []string{"CONTROL", "COUNTED FOR", "LIMIT", "LEFT", "MORE", "MODE"}, rows)
			})
		}),
	}
	cmd.Flags().StringVar(&q.User, "user", "", "of user `NAME`")
	completeFlag(cmd, "user", a.userNames(o, 0))
	return cmd
}
