package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/policy"
)

func (a *app) rolloutCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "rollout",
		GroupID: groupAccess,
		Short:   "Take controls from monitor to enforcement, stage by stage",
		Long: `Take controls from monitor to enforcement, stage by stage: off, monitor, enforced
for 10% of users, for 50%, for all. A gate stays closed until a stage has lasted
long enough, has decided often enough, and has refused few enough known users. A
control that refuses too many of them where it is enforced steps back by itself.`,
		Example: `  mtguard rollout status
  mtguard rollout next rate.accept --reason "nobody was hit"`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.rolloutStatusCommand(o), a.rolloutNextCommand(o), a.rolloutBackCommand(o))
	return cmd
}

func (a *app) rolloutStatusCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show where every control stands, and what keeps it from the next stage",
		Example: `  mtguard rollout status
  mtguard rollout status --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			steps, err := c.client.Rollout(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, steps, func() error {
				var rows [][]string
				for _, s := range steps {
					gate := s.Waits
					if s.Next == "" {
						gate = "done"
					}
					rows = append(rows, []string{s.Control, shareText(s.Mode, s.Percent), soon(s.Since, c.now), count(s.Decisions), count(s.KnownDecisions), count(s.KnownRefused),
						s.Next, orElse(gate, "open")})
				}
				defer c.noteInForce()
				return table(a.stdout, []string{"CONTROL", "STAGE", "SINCE", "DECISIONS", "OF KNOWN", "REFUSALS", "NEXT", "GATE"}, rows)
			})
		}),
	}
}

// shareText is a mode with the share of users it holds for.
func shareText(mode string, percent int) string {
	if percent > 0 && percent < 100 {
		return mode + " " + strconv.Itoa(percent) + "%"
	}
	return mode
}

func (a *app) rolloutNextCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "next CONTROL",
		Short: "Take a control one stage up, if the gate is open",
		Example: `  mtguard rollout next rate.accept --reason "nobody was hit"
  mtguard rollout next rate.accept --reason "nobody was hit" --revert-after 1h
  mtguard rollout next rate.accept --reason "there is an attack" --force --yes`,
		Args:              exactly(1),
		ValidArgsFunction: controlNames(1),
		RunE: a.asks(o, func(c *call) error {
			do := func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.AdvanceControl(c.ctx, c.args[0], o)
			}
			if err := c.sureToAdvance(c.args[0], do); err != nil {
				return err
			}
			return c.changed(c.change(do))
		}),
	}
	o.change(cmd.Flags())
	o.trial(cmd)
	return cmd
}

// sureToAdvance asks before a control bites, unless the node refuses it anyway. From off to monitor it does not.
func (c *call) sureToAdvance(name string, do func(admin.ChangeOptions) (control.Result, error)) error {
	steps, err := c.client.Rollout(c.ctx)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.Control != name || s.Mode == policy.Off.String() || s.Next == "" {
			continue
		}
		if err := c.needsReason(); err != nil {
			return err
		}
		if err := c.wouldDo(do); err != nil {
			return err
		}
		what := name + ": " + shareText(s.Mode, s.Percent) + " > " + s.Next + "; in this stage " + count(s.KnownRefused) + " of " +
			count(s.KnownDecisions) + " decisions on known users were refusals"
		return c.confirm(what+c.onTrial(), name)
	}
	return nil // the node knows what is wrong with it
}

func (a *app) rolloutBackCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "back CONTROL",
		Short: "Take a control one stage down",
		Example: `  mtguard rollout back rate.accept
  mtguard rollout back rate.accept --reason "a school was refused" --json`,
		Args:              exactly(1),
		ValidArgsFunction: controlNames(1),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.StepControlBack(c.ctx, c.args[0], o)
			}))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

// controlNames completes names of controls, for up to most arguments.
func controlNames(most int) completer {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words(policy.Controls()...)(nil, nil, begun)
	}
}
