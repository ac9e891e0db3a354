package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/keys"
)

func (a *app) incidentCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "incident",
		GroupID: groupThreats,
		Short:   "Look at incidents, and say what became of them",
		Long: `Look at incidents, and say what became of them. An incident is all that was found of
one kind about one address or one secret. It is open until somebody acknowledges it,
contains it, resolves it, or says that it was none. What the node has answered in
full, and where nothing more comes for a day, is resolved by itself; an incident of
high severity waits for a person. Closed ones are kept for 30 days.`,
		Example: `  mtguard incident list
  mtguard incident show i5721cefaf3`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.incidentListCommand(o),
		a.incidentShowCommand(o),
		a.incidentMoveCommand(o, "ack", control.IncidentAcknowledged, "Say that somebody looks at it", ""),
		a.incidentMoveCommand(o, "contain", control.IncidentContained, "Keep it from going on: block the address, or replace the secret", "1d"),
		a.incidentMoveCommand(o, "resolve", control.IncidentResolved, "Say that it is over", ""),
		a.incidentMoveCommand(o, "false-positive", control.IncidentFalsePositive, "Say that it was none, and spare whom it was about from now on", "90d"),
	)
	return cmd
}

func (a *app) incidentListCommand(o *nodeFlags) *cobra.Command {
	var state string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List incidents, the newest first",
		Example: `  mtguard incident list
  mtguard incident list --state resolved --limit 20 --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			if state == "all" {
				state = ""
			}
			items, more, err := collectSeq(limit, func(after int64, n int) ([]control.IncidentInfo, int64, error) {
				return c.client.Incidents(c.ctx, control.IncidentFilter{State: state, After: after, Limit: n})
			})
			if err != nil {
				return err
			}
			return answer(c, items, func() error {
				err := table(a.stdout, incidentHeader, c.incidentRows(items))
				if more && !c.quiet {
					a.note("there are more: --limit 0 shows all")
				}
				return err
			})
		}),
	}
	cmd.Flags().StringVar(&state, "state", control.IncidentOpen, "those in `STATE`: open (all that are not closed), acknowledged, contained, resolved, false-positive or all")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most `N`; 0 for all")
	completeFlag(cmd, "state", words(control.IncidentOpen, control.IncidentAcknowledged, control.IncidentContained, control.IncidentResolved, control.IncidentFalsePositive, "all"))
	return cmd
}

var incidentHeader = []string{"INCIDENT", "SEVERITY", "STATE", "KIND", "ABOUT", "USER", "FINDINGS", "LAST", "DONE"}

func (c *call) incidentRows(items []control.IncidentInfo) (rows [][]string) {
	for _, n := range items {
		rows = append(rows, []string{n.ID, n.Severity.String(), n.State, n.Detector, n.Subject, n.User, strconv.FormatInt(n.Count, 10), soon(&n.Last, c.now), n.Action})
	}
	return rows
}

func (a *app) incidentShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show an incident with its timeline and similar ones",
		Example: `  mtguard incident show i5721cefaf3
  mtguard incident show i5721cefaf3 --json`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) error {
			n, err := c.client.Incident(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			return answer(c, []control.IncidentInfo{n}, func() error { return c.showIncident(n) })
		}),
	}
}

func (c *call) showIncident(n control.IncidentInfo) error {
	out := c.app.stdout
	if err := table(out, incidentHeader, c.incidentRows([]control.IncidentInfo{n})); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n", clean(n.Evidence))
	if text := control.LineageText(n.Lineage); text != "" {
		fmt.Fprintf(out, "%s\n", clean(text))
	}
	fmt.Fprintln(out)
	var rows [][]string
	for _, m := range slices.Backward(n.Timeline) {
		rows = append(rows, []string{m.At.UTC().Format(time.DateTime), m.By, m.What})
	}
	if err := table(out, []string{"WHEN (UTC)", "BY", "WHAT"}, rows); err != nil || len(n.Similar) == 0 {
		return err
	}
	fmt.Fprintln(out, "\nSimilar:")
	return table(out, incidentHeader, c.incidentRows(n.Similar))
}

// incidentMoveCommand is one of the verbs. usual is for how long it holds, "" when that makes no sense.
func (a *app) incidentMoveCommand(o *nodeFlags, verb, to, short, usual string) *cobra.Command {
	var long string
	cmd := &cobra.Command{
		Use:   verb + " ID",
		Short: short,
		Example: `  mtguard incident ` + verb + ` i5721cefaf3 --reason "seen"
  mtguard incident ` + verb + ` i5721cefaf3 --dry-run`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) error {
			var body admin.IncidentBody
			if usual != "" && c.cmd.Flags().Changed("for") {
				d, err := control.ParseDuration(long)
				if err != nil {
					return wrongFlag("for", err)
				}
				body.For = &d
			}
			if to == control.IncidentContained {
				if err := c.confirmContainment(); err != nil {
					return err
				}
			}
			result, err := c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.MoveIncident(c.ctx, c.args[0], to, body, o)
			})
			return c.handsOut(result, err, false)
		}),
	}
	o.change(cmd.Flags())
	if usual != "" {
		cmd.Flags().StringVar(&long, "for", usual, "block, or exception, for so `LONG`")
	}
	return cmd
}

// confirmContainment asks before a secret is revoked: its users are cut off.
func (c *call) confirmContainment() error {
	n, err := c.client.Incident(c.ctx, c.args[0])
	if err != nil || n.Key == "" {
		return err
	}
	return c.confirm(fmt.Sprintf("This revokes the secret %s of user %s and ends its sessions; the user gets a new one.", shortID(keys.ID(n.Key)), n.User), n.ID)
}
