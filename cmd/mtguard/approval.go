package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
)

func (a *app) approvalCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "approval",
		GroupID: groupAdmins,
		Short:   "Changes that wait for a second person",
		Long: `Changes that wait for a second person. With [admin] two_person some changes are only
made when somebody else than who asked for them approves, within a day. Somebody
else is another person, not another credential of the same one.`,
		Example: `  mtguard approval list
  mtguard approval show w5721cefaf3
  mtguard approval approve w5721cefaf3`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.approvalListCommand(o),
		a.approvalShowCommand(o),
		a.approvalDecideCommand(o, "approve", "Make the change", func(c *call, o admin.ChangeOptions) (control.Result, error) {
			return c.client.Approve(c.ctx, c.args[0], o)
		}),
		a.approvalDecideCommand(o, "refuse", "See to it that the change is not made; who asked may, too", func(c *call, o admin.ChangeOptions) (control.Result, error) {
			return c.client.RefuseApproval(c.ctx, c.args[0], o)
		}),
	)
	return cmd
}

func (a *app) approvalListCommand(o *nodeFlags) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List changes that wait, or waited, the newest first",
		Example: `  mtguard approval list
  mtguard approval list --limit 5 --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			items, more, err := collectSeq(limit, func(after int64, n int) ([]control.ApprovalInfo, int64, error) {
				return c.client.Approvals(c.ctx, after, n)
			})
			if err != nil {
				return err
			}
			return answer(c, items, func() error {
				err := table(a.stdout, approvalHeader, c.approvalRows(items))
				if more && !c.quiet {
					a.note("there are more: --limit 0 shows all")
				}
				return err
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most `N`; 0 for all")
	return cmd
}

var approvalHeader = []string{"APPROVAL", "STATE", "ACTION", "OF", "CHANGE", "FORCED", "REVERTS AFTER", "BY", "ASKED", "EXPIRES", "DECIDED BY", "REASON"}

func (c *call) approvalRows(items []control.ApprovalInfo) (rows [][]string) {
	for _, w := range items {
		rows = append(rows, []string{w.ID, w.State, w.Action, w.Object, w.Brief, map[bool]string{true: "yes"}[w.Force], trialLength(w.Trial), w.By, soon(&w.Asked, c.now), soon(&w.Expires, c.now), w.Decider, w.Reason})
	}
	return rows
}

func (a *app) approvalShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show all of a change that waits, or waited",
		Long: `Show all of a change that waits, or waited: the change itself as JSON, and of a policy
what would differ from the one in force.`,
		Example: `  mtguard approval show w5721cefaf3
  mtguard approval show w5721cefaf3 --json`,
		Args:              exactly(1),
		ValidArgsFunction: a.live(o, 1, approvalIDs),
		RunE: a.asks(o, func(c *call) error {
			w, err := c.client.Approval(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			return answer(c, []control.ApprovalInfo{w}, func() error { return c.showApproval(w) })
		}),
	}
}

func (c *call) showApproval(w control.ApprovalInfo) error {
	if err := table(c.app.stdout, approvalHeader, c.approvalRows([]control.ApprovalInfo{w})); err != nil {
		return err
	}
	fmt.Fprintf(c.app.stdout, "\nWho answers for it: %s\n\n%s\n", clean(w.Person), clean(w.Change))
	if len(w.Changes) == 0 {
		return nil
	}
	fmt.Fprintln(c.app.stdout)
	return c.showChanges(w.Changes)
}

// approvalIDs completes those that wait.
func approvalIDs(c *call, _ string) (ids []string, err error) {
	items, _, err := c.client.Approvals(c.ctx, 0, completionMost)
	for _, w := range items {
		if w.State == "pending" {
			ids = append(ids, clean(w.ID)+"\t"+described(w.Action, w.Object, w.By))
		}
	}
	return ids, err
}

func (a *app) approvalDecideCommand(o *nodeFlags, verb, short string, do func(*call, admin.ChangeOptions) (control.Result, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:               verb + " ID",
		Short:             short,
		Example:           "  mtguard approval " + verb + " w5721cefaf3\n  mtguard approval " + verb + " w5721cefaf3 --dry-run",
		Args:              exactly(1),
		ValidArgsFunction: a.live(o, 1, approvalIDs),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return do(c, o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

// trialLength is empty for a change that stays.
func trialLength(d control.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
