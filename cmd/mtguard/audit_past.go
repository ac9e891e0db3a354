package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/audit"
)

func (a *app) auditHistoryCommand(o *nodeFlags) *cobra.Command {
	var p past
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the audits, the newest first",
		Example: `  mtguard audit history
  mtguard audit history --limit 100 --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			audits, err := c.client.Audits(c.ctx, p.before, p.limit)
			if err != nil {
				return err
			}
			return answer(c, audits, func() error {
				var rows [][]string
				for _, x := range audits {
					what := "all"
					if x.Partial {
						what = plural(x.Asked, "check")
					}
					rows = append(rows, []string{strconv.FormatInt(x.Number, 10), x.Started.Local().Format(dateTime), x.Actor, what,
						(time.Duration(x.TookMillis) * time.Millisecond).String(), strconv.Itoa(x.Score), countsText(x.Counts), orElse(x.Problem, "ok")})
				}
				if n := len(audits); n > 0 {
					defer c.noteOlder(p, n, audits[n-1].Number)
				}
				return table(a.stdout, []string{"AUDIT", "TIME", "BY", "ASKED", "TOOK", "SCORE", "FINDINGS", "STATE"}, rows)
			})
		}),
	}
	p.flags(cmd.Flags(), "audit")
	return cmd
}

// countsText is "1 critical, 3 high, 2 unknown".
func countsText(counts map[string]int) string {
	var parts []string
	names := append(severityNames(), "unknown")
	for i := len(names) - 2; i >= 0; i-- {
		if n := counts[names[i]]; n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+names[i])
		}
	}
	if n := counts["unknown"]; n > 0 {
		parts = append(parts, strconv.Itoa(n)+" unknown")
	}
	return orElse(strings.Join(parts, ", "), "none")
}

func (a *app) auditDiffCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "diff [FROM [TO]]",
		Short: "Say what differs between two audits",
		Long: `Say what differs between two audits: those of these numbers, which mtguard audit
history lists. Without TO it is the newest one, without FROM the one before.`,
		Example: `  mtguard audit diff
  mtguard audit diff 12 19 --json`,
		Args: atMost(2),
		RunE: a.asks(o, func(c *call) error {
			var numbers [2]int64
			for i, text := range c.args {
				n, err := strconv.ParseInt(text, 10, 64)
				if err != nil || n < 1 {
					return &usageError{fmt.Errorf("%q is no number of an audit", text), "mtguard audit history lists them"}
				}
				numbers[i] = n
			}
			items, err := c.client.AuditDiff(c.ctx, numbers[0], numbers[1])
			if err != nil {
				return err
			}
			return answer(c, items, func() error {
				if len(items) == 0 {
					_, err := fmt.Fprintln(a.stdout, "nothing differs")
					return err
				}
				var rows [][]string
				for _, x := range items {
					rows = append(rows, []string{x.Change, orElse(x.Was, "-"), orElse(x.Is, "-"), x.Finding.ID, x.Finding.Check, x.Finding.Subject})
				}
				return table(a.stdout, []string{"CHANGE", "WAS", "IS", "ID", "CHECK", "SUBJECT"}, rows)
			})
		}),
	}
}

func (a *app) auditScheduleCommand(o *nodeFlags) *cobra.Command {
	var every string
	cmd := &cobra.Command{
		Use:   "schedule",
		Short: "Show when the node audits itself, or set it",
		Long: `Show when the node audits itself, or set it with --every. The time between two
audits is a tenth longer or shorter, so that many nodes do not work all at once; one
that was missed while the node was down is made up soon after its start.`,
		Example: `  mtguard audit schedule
  mtguard audit schedule --every 12h
  mtguard audit schedule --every 0s`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			if c.cmd.Flags().Changed("every") {
				d, err := control.ParseDuration(every)
				if err != nil {
					return wrongFlag("every", err)
				}
				return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
					return c.client.SetAuditSchedule(c.ctx, admin.AuditScheduleBody{Every: d}, o)
				}))
			}
			s, err := c.client.AuditSchedule(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, []control.AuditSchedule{s}, func() error {
				rows := [][]string{{"every", s.Every.String()}, {"next", when(s.Next, c.now)}, {"last", orElse(when(s.Last, c.now), "none yet")}}
				if s.Every == 0 {
					rows[0][1], rows = "never by itself", append(rows[:1], rows[2])
				}
				return table(a.stdout, nil, rows)
			})
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&every, "every", "", "audit every so `LONG`, from 1h on; 0s: never")
	completeFlag(cmd, "every", words("6h", "12h", "1d", "7d"))
	return cmd
}

// checkItem is a check as `audit checks` shows it.
type checkItem struct {
	ID       string         `json:"id"`
	Title    string         `json:"title"`
	Group    audit.Group    `json:"group"`
	Severity audit.Severity `json:"severity"`
	Profile  audit.Profile  `json:"profile"`
}

func (a *app) auditChecksCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "checks",
		Short: "List the checks that there are; no node is asked",
		Example: `  mtguard audit checks
  mtguard audit checks --json`,
		Args: atMost(0),
		RunE: a.works(o, func(c *call) error {
			var items []checkItem
			for _, x := range audit.Checks() {
				items = append(items, checkItem{x.ID, x.Title, x.Group, x.Severity, x.Profile})
			}
			return answer(c, items, func() error {
				var rows [][]string
				for _, x := range items {
					rows = append(rows, []string{x.ID, string(x.Group), x.Severity.String(), x.Title})
				}
				return table(a.stdout, []string{"CHECK", "GROUP", "SEVERITY", "FINDS THAT"}, rows)
			})
		}),
	}
}
