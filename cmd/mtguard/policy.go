package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/policy"
)

func (a *app) policyCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "policy",
		GroupID: groupAccess,
		Short:   "Say what is enforced, how strictly, and for whom not",
		Long: `Say what is enforced, how strictly, and for whom not. The policy is one document,
a preset and the differences to it; each change of it is a revision that can be
put back. Every control is off, in monitor (it counts what it would refuse and
refuses nothing) or enforced, for everybody or for a share of users.`,
		Example: `  mtguard policy controls
  mtguard policy mode rate.accept enforce --percent 10 --reason "monitor was quiet for a week"
  mtguard policy mode rate.accept enforce --revert-after 10m --reason "an attack"`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.policyShowCommand(o),
		a.policySetCommand(o),
		a.policyExplainCommand(o),
		a.policyPreviewCommand(o),
		a.policyDiffCommand(o),
		a.policyHistoryCommand(o),
		a.policyRollBackCommand(o),
		a.policyControlsCommand(o),
		a.policyModeCommand(o),
		a.policyExceptCommand(o),
		a.policyExceptionsCommand(o),
		a.policyUnexceptCommand(o),
		a.policyTrialsCommand(o),
		a.policyKeepCommand(o),
		a.policyUndoCommand(o),
		a.policyGlassCommand(o),
		a.bundleCommand(o),
	)
	return cmd
}

// parseRevision reads r7 or 7.
func parseRevision(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(text, "r"), 10, 64)
	if err != nil || n < 0 {
		return 0, &usageError{fmt.Errorf("revision %q is none", text), "a number, as mtguard policy history shows them"}
	}
	return n, nil
}

func revisionText(n int64) string { return "r" + strconv.FormatInt(n, 10) }

func (a *app) policyShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show [REV]",
		Short: "Print the document in force, or an earlier one",
		Long: `Print the document in force, or an earlier one. It holds only what differs from
the preset: every value there is, see "mtguard policy explain". Revision r0 is
what was before anybody set a policy.`,
		Example: `  mtguard policy show > policy.toml
  mtguard policy show r40 --json`,
		Args:              atMost(1),
		ValidArgsFunction: a.policyRevisions(o),
		RunE: a.asks(o, func(c *call) error {
			revision := control.PolicyInForce
			if len(c.args) == 1 {
				var err error
				if revision, err = parseRevision(c.args[0]); err != nil {
					return err
				}
			}
			info, err := c.client.Policy(c.ctx, revision)
			if err != nil {
				return err
			}
			return answer(c, []control.PolicyInfo{info}, func() error {
				if !c.quiet {
					c.app.note(provenance(info, revision, c.now))
				}
				_, err := fmt.Fprintln(a.stdout, strings.TrimRight(cleanLines(info.Document), "\n"))
				return err
			})
		}),
	}
}

// provenance says what the revision is that was asked for, and whether it is the policy that counts.
func provenance(info control.PolicyInfo, asked int64, now time.Time) string {
	text := "nobody has set a policy yet"
	if asked == 0 {
		text = "r0 is what was before anybody set a policy"
	}
	text += ": the preset is " + orElse(info.Preset, policy.Presets()[0])
	if info.Revision > 0 {
		text = revisionText(info.Revision) + " of " + when(info.At, now) + ", by " + info.Actor
		if info.Reason != "" {
			text += ": " + info.Reason
		}
	}
	if info.Glass != nil {
		text += "; " + glassText(info.Glass, now)
	}
	return text
}

// glassText says what broken glass means.
func glassText(until *time.Time, now time.Time) string {
	return "the glass is broken, nothing that can be switched is enforced until " + when(until, now)
}

// noteInForce says below modes and stages why nothing is as it stands there, when the glass is broken, and what will not stay so.
func (c *call) noteInForce() {
	if c.quiet {
		return
	}
	s, err := c.client.Status(c.ctx)
	if err != nil {
		return
	}
	if s.Glass != nil {
		c.app.note(glassText(s.Glass, s.Now))
	}
	for _, t := range s.Trials {
		c.app.note(trialText(t, s.Now))
	}
}

// maxPolicyFile is what the node takes.
const maxPolicyFile = 256 << 10

// document reads a policy and refuses one that makes no sense, with its places in the file: the
// node knows no file. Whether it can be used is the node's to say.
func (c *call) document(file string) (string, error) {
	text, name, err := c.beginning(file, maxPolicyFile+1)
	if errors.Is(err, os.ErrNotExist) {
		return "", &missingError{err.Error(), "mtguard policy show > " + file}
	}
	if err != nil {
		return "", err
	}
	if len(text) > maxPolicyFile {
		return "", &usageError{fmt.Errorf("%s is no policy: it has more than %s", name, sizeText(maxPolicyFile)), ""}
	}
	_, err = policy.Parse(name, text)
	return string(text), err
}

func (a *app) policySetCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set FILE",
		Short: "Put the document in a file in force, as a new revision",
		Long: `Put the document in a file, - for standard input, in force, as a new revision.
A document with any mistake is refused whole, and the policy in force stays. What
would change says "mtguard policy explain FILE", whom it would have refused
"mtguard policy preview FILE"; --dry-run has the node check it.`,
		Example: `  mtguard policy set policy.toml --reason "the same limits as the other nodes"
  mtguard policy set policy.toml --if-revision 41 --dry-run
  mtguard policy set policy.toml --revert-after 30m --reason "stricter, if nobody is hit"`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) error {
			text, err := c.document(c.args[0])
			if err != nil {
				return err
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.SetPolicy(c.ctx, admin.PolicyBody{Document: text}, o)
			}))
		}),
	}
	o.change(cmd.Flags())
	o.trial(cmd)
	return cmd
}

func (a *app) policyExplainCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [FILE]",
		Short: "Show every value in force and where it comes from, or what a file would make of it",
		Example: `  mtguard policy explain
  mtguard policy explain policy.toml --json`,
		Args: atMost(1),
		RunE: a.asks(o, func(c *call) (err error) {
			text := ""
			if len(c.args) == 1 {
				if text, err = c.document(c.args[0]); err != nil {
					return err
				}
			}
			values, err := c.client.PolicyExplain(c.ctx, text)
			if err != nil {
				return err
			}
			return answer(c, values, func() error {
				var rows [][]string
				for _, v := range values {
					rows = append(rows, []string{v.Path, v.Value, v.Origin})
				}
				return table(a.stdout, []string{"KEY", "VALUE", "FROM"}, rows)
			})
		}),
	}
}

func (a *app) policyDiffCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "diff [REV [REV]]",
		Short: "Show what the last change of the policy changed, or what differs between revisions",
		Long: `Show what differs between two revisions, or between one and the policy in force;
without any, what the last change changed. Revision r0 is what was before anybody
set a policy: what the file and its preset say.`,
		Example: `  mtguard policy diff
  mtguard policy diff r0
  mtguard policy diff r38 r40 --json`,
		Args:              atMost(2),
		ValidArgsFunction: a.policyRevisions(o),
		RunE: a.asks(o, func(c *call) error {
			from, to, err := c.twoRevisions()
			if err != nil {
				return err
			}
			values, err := c.client.PolicyDiff(c.ctx, from, to)
			if err != nil {
				return err
			}
			return answer(c, values, func() error {
				if len(values) == 0 && !c.quiet {
					a.note("they say the same")
				}
				return c.showChanges(values)
			})
		}),
	}
}

// twoRevisions are those to compare.
func (c *call) twoRevisions() (from, to int64, err error) {
	from, to = control.PolicyInForce, control.PolicyInForce
	for i, target := range []*int64{&from, &to} {
		if i < len(c.args) {
			if *target, err = parseRevision(c.args[i]); err != nil {
				return 0, 0, err
			}
		}
	}
	if len(c.args) > 0 {
		return from, to, nil
	}
	last, err := c.client.PolicyHistory(c.ctx, 0, 2)
	switch {
	case err != nil:
		return 0, 0, err
	case len(last) == 0:
		return 0, 0, &missingError{"nobody has set a policy yet", "mtguard policy explain shows what is not as in the preset"}
	case len(last) == 1 && last[0].Revision > 1:
		return 0, 0, &missingError{"the revision before it is not kept any more", "mtguard policy diff r0 compares with what was before any"}
	case len(last) == 1:
		return 0, to, nil
	}
	return last[1].Revision, to, nil
}

func (a *app) policyHistoryCommand(o *nodeFlags) *cobra.Command {
	var p past
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List the revisions of the policy, newest first",
		Example: `  mtguard policy history
  mtguard policy history --limit 5 --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			revisions, err := c.client.PolicyHistory(c.ctx, p.before, p.limit)
			if err != nil {
				return err
			}
			return answer(c, revisions, func() error {
				var rows [][]string
				for _, r := range revisions {
					rows = append(rows, []string{revisionText(r.Revision), when(r.At, c.now), orElse(r.Preset, "as the file says"), r.Actor, r.Reason})
				}
				if n := len(revisions); n > 0 {
					defer c.noteOlder(p, n, revisions[n-1].Revision)
				}
				return table(a.stdout, []string{"REVISION", "TIME", "PRESET", "BY", "REASON"}, rows)
			})
		}),
	}
	p.flags(cmd.Flags(), "revision")
	return cmd
}

func (a *app) policyRollBackCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback REV",
		Short: "Put an earlier revision in force again, as a new one",
		Example: `  mtguard policy rollback r40 --reason "users were refused"
  mtguard policy rollback r0 --dry-run`,
		Long: `Put an earlier revision in force again, as a new one: the way back can be gone
back, too. Revision r0 is what was before anybody set a policy. Exceptions, rules
and lists are not part of it and stay.`,
		Args:              exactly(1),
		ValidArgsFunction: a.policyRevisions(o),
		RunE: a.asks(o, func(c *call) error {
			revision, err := parseRevision(c.args[0])
			if err != nil {
				return err
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.RollBackPolicy(c.ctx, admin.RollBackBody{Revision: revision}, o)
			}))
		}),
	}
	o.change(cmd.Flags())
	o.trial(cmd)
	return cmd
}
