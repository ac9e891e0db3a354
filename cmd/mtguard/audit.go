package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/audit"
)

func (a *app) auditCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "audit",
		GroupID: groupCare,
		Short:   "Look for what is wrong with keys, access, load, policy and host",
		Long: `Look for what is wrong with keys, access, load, policy and host. The node audits
itself every day; each finding says what was seen and the command that mends it, and
stays until it is fixed. What could not be looked at is a finding, too.

mtguard auditlog is something else: who changed what.`,
		Example: `  mtguard audit run
  mtguard audit list`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.auditRunCommand(o),
		a.auditListCommand(o),
		a.auditShowCommand(o),
		a.auditSayCommand(o, "ack", "Say that somebody is at work on a finding", "30 days", (*admin.Client).AckFinding),
		a.auditSayCommand(o, "accept", "Accept the risk of a finding for a while", "a year", (*admin.Client).AcceptFinding),
		a.auditHistoryCommand(o),
		a.auditDiffCommand(o),
		a.auditScheduleCommand(o),
		a.auditChecksCommand(o),
	)
	return cmd
}

// checkNames completes the IDs of checks and the names of groups.
func checkNames(most int) completer {
	var list []string
	for _, g := range audit.Groups() {
		list = append(list, string(g))
	}
	for _, c := range audit.Checks() {
		list = append(list, c.ID)
	}
	complete := words(list...)
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, begun)
	}
}

func severityNames() (names []string) {
	for _, s := range audit.Severities() {
		names = append(names, s.String())
	}
	return names
}

// auditFoundError is an audit that came to its end and found something that is as bad
// as --fail-on says; auditUnmadeError one that could not be made, or in which a check
// could not.
type (
	auditFoundError  struct{ text, hint string }
	auditUnmadeError struct {
		err  error
		hint string
	}
)

func (e *auditFoundError) Error() string  { return e.text }
func (e *auditUnmadeError) Error() string { return e.err.Error() }
func (e *auditUnmadeError) Unwrap() error { return e.err }

func (a *app) auditRunCommand(o *nodeFlags) *cobra.Command {
	var body admin.AuditBody
	var failOn string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Audit the node now; exit code 1 if something is wrong, 2 if that could not be told",
		Long: `Audit the node now, and print what was found, the worst first.

The exit code is 0 when nothing waits that is as bad as --fail-on says, 1 when
something does, and 2 when the audit, or a check that matters as much, could not be
made. What somebody has acknowledged or accepted does not count until that ends.`,
		Example: `  mtguard audit run
  mtguard audit run --only keys --only host.disk
  mtguard audit run --fail-on medium --json`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.asks(o, func(c *call) error {
				least, err := audit.ParseSeverity(failOn)
				if err != nil {
					return wrongFlag("fail-on", err)
				}
				c.slow()
				result, err := c.client.Audit(c.ctx, body)
				if err != nil {
					return err
				}
				if err := answer(c, []control.AuditResult{result}, func() error { return c.showAuditResult(result) }); err != nil {
					return err
				}
				return judgeFindings(result.Findings, result.Problem, least)
			})(cmd, args)
			if err == nil || is[*auditFoundError](err) || is[*auditUnmadeError](err) || errors.Is(err, errInterrupted) {
				return err
			}
			return &auditUnmadeError{err: err}
		},
	}
	cmd.Flags().StringArrayVar(&body.Only, "only", nil, "ask only the check or group `ID`; may be repeated")
	cmd.Flags().StringVar(&body.Profile, "profile", "", "ask the checks of `PROFILE`: baseline (all) or host; default: baseline")
	cmd.Flags().StringVar(&failOn, "fail-on", audit.High.String(), "fail on findings of `SEVERITY` or worse: low, medium, high or critical")
	completeFlag(cmd, "only", checkNames(0))
	completeFlag(cmd, "profile", words(string(audit.Baseline), string(audit.Machine)))
	completeFlag(cmd, "fail-on", words(severityNames()...))
	return cmd
}

// judgeFindings is the error of findings that wait and weigh at least so much.
func judgeFindings(list []control.FindingInfo, problem string, least audit.Severity) error {
	wrong, unmade := 0, 0
	for _, f := range list {
		switch {
		case f.Severity < least || f.State != audit.StateNew && f.State != audit.StateOpen:
		case f.Unknown:
			unmade++
		default:
			wrong++
		}
	}
	switch {
	case wrong > 0:
		return &auditFoundError{fmt.Sprintf("%s of severity %v or worse", plural(wrong, "finding"), least), "each says what mends it; mtguard audit show ID says more"}
	case problem != "":
		return &auditUnmadeError{errors.New(problem), ""}
	case unmade > 0:
		return &auditUnmadeError{fmt.Errorf("%s of severity %v or worse could not be made", plural(unmade, "check"), least), "each says why"}
	}
	return nil
}

func (c *call) showAuditResult(r control.AuditResult) error {
	out := c.app.stdout
	showFindings(out, r.Findings)
	if c.quiet {
		return nil
	}
	var why []string
	for _, reason := range r.Reasons {
		why = append(why, fmt.Sprintf("%s -%d", reason.Check, reason.Points))
	}
	const shown = 6
	if more := len(why) - shown; more > 0 {
		why = append(why[:shown], strconv.Itoa(more)+" more")
	}
	_, err := fmt.Fprintf(out, "%s, %s; %s\n", plural(r.Asked, "check"), plural(len(r.Findings), "finding"), scoreText(r.Score, why))
	if r.Accepted > 0 {
		c.app.note(plural(r.Accepted, "finding") + " of accepted risk: mtguard audit list --state accepted")
	}
	return err
}

func scoreText(score int, why []string) string {
	text := fmt.Sprintf("score %d of 100", score)
	if len(why) > 0 {
		text += ": " + strings.Join(why, ", ")
	}
	return text
}

// showFindings prints findings as paragraphs: what is wrong, what was seen, what mends it.
func showFindings(out io.Writer, list []control.FindingInfo) {
	for _, f := range list {
		id := ""
		if f.State != "" {
			id = fmt.Sprintf("  (%s, %s)", f.ID, f.State)
		}
		fmt.Fprintf(out, "%-8s  %s: %s%s\n", strings.ToUpper(severityText(f)), f.Check, clean(f.Title), id)
		fmt.Fprintf(out, "          %s: %s\n", clean(f.Subject), clean(f.Evidence))
		if f.Remedy != "" {
			fmt.Fprintf(out, "          fix: %s\n", clean(f.Remedy))
		}
	}
}

func severityText(f control.FindingInfo) string {
	if f.Unknown {
		return "unknown"
	}
	return f.Severity.String()
}

func (a *app) auditListCommand(o *nodeFlags) *cobra.Command {
	var f control.FindingFilter
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what audits have found",
		Example: `  mtguard audit list
  mtguard audit list --severity high --json
  mtguard audit list --all`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			items, more, err := collect(limit, func(after string, limit int) ([]control.FindingInfo, string, error) {
				f.After, f.Limit = after, limit
				return c.client.Findings(c.ctx, f)
			})
			if err != nil {
				return err
			}
			if more && !c.quiet {
				a.note("there are more: --limit 0 shows all")
			}
			return answer(c, items, func() error {
				var rows [][]string
				for _, x := range items {
					rows = append(rows, []string{severityText(x), x.ID, x.State, x.Check, x.Subject, x.Evidence, soon(&x.FirstSeen, c.now), soon(x.Until, c.now)})
				}
				return table(a.stdout, []string{"SEVERITY", "ID", "STATE", "CHECK", "SUBJECT", "SEEN", "SINCE", "UNTIL"}, rows)
			})
		}),
	}
	cmd.Flags().StringVar(&f.State, "state", "", "only those in `STATE`: "+strings.Join(audit.States(), ", "))
	cmd.Flags().StringVar(&f.Check, "check", "", "only those of the check or group `ID`")
	cmd.Flags().StringVar(&f.Least, "severity", "", "only those of `SEVERITY` or worse: low, medium, high or critical")
	cmd.Flags().BoolVar(&f.All, "all", false, "the fixed ones too")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most `N`; 0 for all")
	completeFlag(cmd, "state", words(audit.States()...))
	completeFlag(cmd, "check", checkNames(0))
	completeFlag(cmd, "severity", words(severityNames()...))
	return cmd
}

func (a *app) auditShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show a finding: what was seen, since when, and what mends it",
		Example: `  mtguard audit show a69e7b2f47a107eb
  mtguard audit show a69e --json`,
		Args:              exactly(1),
		ValidArgsFunction: a.findingIDs(o),
		RunE: a.asks(o, func(c *call) error {
			f, err := c.client.Finding(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			return answer(c, []control.FindingInfo{f}, func() error {
				rows := [][]string{{"id", f.ID}, {"check", f.Check + ": " + f.Title}, {"severity", severityText(f)}, {"subject", f.Subject}, {"seen", f.Evidence}, {"fix", f.Remedy},
					{"state", f.State}, {"first seen", when(&f.FirstSeen, c.now)}, {"last seen", when(&f.LastSeen, c.now)}}
				for _, more := range [][]string{{"fixed", when(f.Fixed, c.now)}, {"until", when(f.Until, c.now)}, {"reason", f.Reason}, {"by", f.By}} {
					if more[1] != "" {
						rows = append(rows, more)
					}
				}
				if f.Returned > 0 {
					rows = append(rows, []string{"came back", plural(f.Returned, "time")})
				}
				return table(a.stdout, nil, rows)
			})
		}),
	}
}

type saying = func(*admin.Client, context.Context, string, admin.SayBody, admin.ChangeOptions) (control.Result, error)

// auditSayCommand is `audit ack` and `audit accept`.
func (a *app) auditSayCommand(o *nodeFlags, verb, short, most string, say saying) *cobra.Command {
	var until string
	cmd := &cobra.Command{
		Use:   verb + " ID",
		Short: short,
		Long: short + `, at most for ` + most + `; then it is open again if it
is still there. It is open again at once when it gets worse.`,
		Example: `  mtguard audit ` + verb + ` a69e7b2f47a107eb --until 14d --reason "ticket 4711"
  mtguard audit ` + verb + ` a69e --until 2026-12-24 --reason "a container has no clock of its own"`,
		Args:              exactly(1),
		ValidArgsFunction: a.findingIDs(o),
		RunE: a.asks(o, func(c *call) error {
			if until == "" {
				return &usageError{errors.New("until when?"), "--until 14d, or a date"}
			}
			end, err := parseTime(until, c.now)
			if err != nil {
				return wrongFlag("until", err)
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return say(c.client, c.ctx, c.args[0], admin.SayBody{Until: end}, o)
			}))
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&until, "until", "", "until `WHEN`: a date, an RFC 3339 time or a duration from now")
	completeFlag(cmd, "until", words("7d", "14d", "30d"))
	return cmd
}
