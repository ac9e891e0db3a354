package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/alert"
)

func (a *app) alertCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "alert",
		GroupID: groupThreats,
		Short:   "See what is wrong and who is told; test receivers; maintenance windows",
		Long: `See what is wrong and who is told. The node watches its own numbers; receivers,
which are [[alert]] sections of the configuration, are told what fires and what is
over: at least once, and what comes twice has the same ID.`,
		Example: `  mtguard alert list
  mtguard alert test oncall
  mtguard alert silence --for 2h --reason "new disk"`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.alertListCommand(o), a.alertTestCommand(o), a.alertSilenceCommand(o), a.alertUnsilenceCommand(o))
	return cmd
}

func (a *app) alertListCommand(o *nodeFlags) *cobra.Command {
	var conditions bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show what fires and what was over lately, receivers, and maintenance windows",
		Long: `Show what fires and what was over lately; who is told, what waits for each and why;
and maintenance windows. --conditions shows what is watched, and from when on.`,
		Example: `  mtguard alert list
  mtguard alert list --conditions
  mtguard alert list --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			report, err := c.client.Alerts(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, []alert.Report{report}, func() error {
				if conditions {
					return c.showConditions(report.Conditions)
				}
				return c.showAlerts(report)
			})
		}),
	}
	cmd.Flags().BoolVar(&conditions, "conditions", false, "show what is watched instead")
	return cmd
}

func (c *call) showConditions(all []alert.ConditionInfo) error {
	var rows [][]string
	for _, i := range all {
		above := strconv.FormatFloat(i.Threshold, 'g', -1, 64)
		if i.Off {
			above = alert.Off
		}
		rows = append(rows, []string{i.Code, i.Severity.String(), above, i.For, i.Title})
	}
	return table(c.app.stdout, []string{"CONDITION", "SEVERITY", "ABOVE", "FOR", "SAYS"}, rows)
}

// shownOver is how many alerts that are over a table has.
const shownOver = 10

func (c *call) showAlerts(r alert.Report) error {
	var rows [][]string
	over := 0
	for _, i := range r.Alerts {
		state := string(i.State)
		if i.Silenced {
			state += ", silenced"
		}
		if i.Until != nil {
			if over++; over > shownOver {
				break
			}
			state += " " + soon(i.Until, c.now)
		}
		rows = append(rows, []string{i.Code, i.Severity.String(), state, soon(&i.Since, c.now), orElse(i.Detail, i.Title)})
	}
	if len(rows) == 0 {
		fmt.Fprintln(c.app.stdout, "Nothing fires.")
	} else if err := table(c.app.stdout, []string{"ALERT", "SEVERITY", "STATE", "SINCE", "WHAT"}, rows); err != nil {
		return err
	}
	for _, i := range r.Alerts {
		if i.Until == nil && i.Fix != "" {
			fmt.Fprintf(c.app.stdout, "%s: %s\n", i.Code, i.Fix)
		}
	}
	fmt.Fprintln(c.app.stdout)
	if len(r.Receivers) == 0 {
		fmt.Fprintln(c.app.stdout, "Nobody is told: there is no [[alert]] section in the configuration.")
	} else {
		rows = nil
		for _, i := range r.Receivers {
			rows = append(rows, []string{i.Name, i.Kind, i.Target, i.MinSeverity.String(), strconv.FormatInt(i.Waiting, 10), strconv.FormatUint(i.Delivered, 10),
				strconv.FormatInt(i.Lost, 10), soon(i.Last, c.now), orElse(i.Problem, "ok")})
		}
		if err := table(c.app.stdout, []string{"RECEIVER", "KIND", "AT", "FROM", "WAITING", "DELIVERED", "LOST", "LAST", "STATE"}, rows); err != nil {
			return err
		}
	}
	if len(r.Silences) == 0 {
		return nil
	}
	fmt.Fprintln(c.app.stdout)
	rows = nil
	for _, i := range r.Silences {
		rows = append(rows, []string{i.ID, orElse(i.Code, "all alerts"), soon(&i.Until, c.now), i.By, i.Reason})
	}
	return table(c.app.stdout, []string{"SILENCE", "OF", "ENDS", "BY", "REASON"}, rows)
}

func (a *app) alertTestCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "test [RECEIVER]",
		Short: "Send a test to one receiver or all, and say what each answered",
		Example: `  mtguard alert test
  mtguard alert test oncall --json`,
		Args:              atMost(1),
		ValidArgsFunction: a.receiverNames(o),
		RunE: a.asks(o, func(c *call) error {
			name := ""
			if len(c.args) == 1 {
				name = c.args[0]
			}
			answers, err := c.client.TestAlerts(c.ctx, name)
			if err != nil {
				return err
			}
			if len(answers) == 0 {
				return &missingError{"nobody is told of alerts: the configuration has no [[alert]] section", "see doc/alerts.md"}
			}
			var rows [][]string
			bad := 0
			for _, i := range answers {
				state := "ok"
				if !i.OK {
					state, bad = "failed", bad+1
				}
				rows = append(rows, []string{i.Receiver, i.Kind, state, fmt.Sprintf("%.2fs", i.Seconds), i.Answer})
			}
			err = answer(c, answers, func() error {
				return table(a.stdout, []string{"RECEIVER", "KIND", "STATE", "TOOK", "ANSWER"}, rows)
			})
			if err == nil && bad > 0 {
				err = fmt.Errorf("%d of %s did not take the test", bad, plural(len(answers), "receiver"))
			}
			return err
		}),
	}
}

func (a *app) alertSilenceCommand(o *nodeFlags) *cobra.Command {
	var long string
	var body admin.SilenceBody
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "Tell nobody of alerts that begin during maintenance",
		Long: `Tell nobody of alerts that begin during maintenance. What still fires when it
ends is told then. Incidents and findings are never silenced.`,
		Example: `  mtguard alert silence --for 2h --reason "new disk"
  mtguard alert silence --code upstream.failing --for 30m --reason "the provider works on its line"`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) (err error) {
			if long == "" {
				return &usageError{errors.New("no end"), "--for 2h"}
			}
			if body.For, err = control.ParseDuration(long); err != nil {
				return wrongFlag("for", err)
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.SilenceAlerts(c.ctx, body, o) }))
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&long, "for", "", "how `LONG`, a minute to 30 days")
	cmd.Flags().StringVar(&body.Code, "code", "", "only of condition `CODE`")
	completeFlag(cmd, "for", words("30m", "2h", "1d"))
	completeFlag(cmd, "code", words(alert.Codes()...))
	return cmd
}

func (a *app) alertUnsilenceCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unsilence ID",
		Short: "End a maintenance window early",
		Example: `  mtguard alert unsilence s-4f2a9c01d3e87b65
  mtguard alert unsilence s-4f2a9c01d3e87b65 --reason "done early"`,
		Args:              exactly(1),
		ValidArgsFunction: a.silenceIDs(o),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.EndSilence(c.ctx, c.args[0], o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}
