package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
)

func (a *app) pageCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "page",
		GroupID: groupPeople,
		Short:   "Give users a page of their own, which shows their newest link",
		Long: `Give users a page of their own, which shows their newest link. Its address stays
the same when the secret changes. Pages are on when pages.listen is set.`,
		Example: `  mtguard page open alice
  mtguard page renew alice`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.pageVerbCommand(o, "open", "Give a user a page and print its address", "sent by post"),
		a.pageVerbCommand(o, "close", "Take a user's page away; its address then looks like any unknown one", "left"),
		a.pageVerbCommand(o, "renew", "Move a user's page to a new address, when the old one leaked", "address was forwarded"),
	)
	return cmd
}

func (a *app) pageVerbCommand(o *nodeFlags, verb, short, reason string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Example: fmt.Sprintf(`  mtguard page %[1]s alice
  mtguard page %[1]s alice --reason %[2]q --json`, verb, reason),
		Args:              exactly(1),
		ValidArgsFunction: a.userNames(o, 1),
		RunE: a.asks(o, func(c *call) error {
			result, err := c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.Page(c.ctx, c.args[0], verb, o) })
			return c.handsOut(result, err, false)
		}),
	}
	o.change(cmd.Flags())
	return cmd
}
