package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/security/policy"
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
		Long: `Say how much is left of the limits of an address or a user, when there is more, and
where each limit comes from. Of bytes per second, which are counted for all
sessions of a user and for those of his level, LEFT is what goes at once. Nothing is counted by asking. A limit of which nothing is left matters as its
mode says: off, monitor (one too many is counted and let through) or enforce.`,
		Example: `  mtguard limit check 203.0.113.7
  mtguard limit check --user alice
  mtguard limit check 2001:db8::1 --user alice --json`,
		Args: atMost(1),
		RunE: a.asks(o, func(c *call) error {
			if len(c.args) == 1 {
				q.Addr = c.args[0]
			}
			if q == (control.LimitQuery{}) {
				return &usageError{errors.New("nobody to check"), "an ADDR, --user NAME, or both"}
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
					rows = append(rows, []string{i.Control, i.Of, i.Limit, leftText(i), soon(i.RetryAt, c.now), mode, i.Origin})
				}
				return table(c.app.stdout, []string{"CONTROL", "COUNTED FOR", "LIMIT", "LEFT", "MORE", "MODE", "FROM"}, rows)
			})
		}),
	}
	cmd.Flags().StringVar(&q.User, "user", "", "of user `NAME`")
	completeFlag(cmd, "user", a.userNames(o, 0))
	return cmd
}

// leftText is how much is left; "" without a bound.
func leftText(i control.LimitInfo) string {
	switch {
	case i.Left < 0:
		return ""
	case i.Control == policy.BytesUser:
		return sizeText(i.Left)
	}
	return strconv.FormatInt(i.Left, 10)
}
