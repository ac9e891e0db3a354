package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtguard/control"
	"mtguard/control/admin"
)

// A change of the policy may revert by itself: see control.Options. These are the commands for what
// is on trial, and the flag of those that begin a trial.

// revertAfter is the value of --revert-after: how long a change is on trial, 0 for none.
type revertAfter control.Duration

func (r *revertAfter) String() string {
	if *r == 0 {
		return ""
	}
	return control.Duration(*r).String()
}

func (*revertAfter) Type() string { return "LONG" }

func (r *revertAfter) Set(text string) error {
	d, err := control.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("that is no time at all")
	}
	*r = revertAfter(d)
	return err
}

// trial defines the flag of a command that may be on trial.
func (o *nodeFlags) trial(cmd *cobra.Command) {
	cmd.Flags().Var(&o.revertAfter, "revert-after", "so `LONG` after it the change reverts by itself, unless \"mtguard policy keep\" keeps it; 1m to 1d")
	completeFlag(cmd, "revert-after", words("10m", "1h", "1d"))
}

// onTrial is the end of a question about a change that is on trial.
func (o *nodeFlags) onTrial() string {
	if o.revertAfter == 0 {
		return ""
	}
	return "; it reverts by itself in " + o.revertAfter.String()
}

// trialText says what a trial is, and when it is over.
func trialText(t control.TrialInfo, now time.Time) string {
	return fmt.Sprintf("%s reverts by itself %s, unless somebody keeps it: mtguard policy keep %s", t.What, soon(&t.Until, now), revisionText(t.Revision))
}

func (a *app) policyTrialsCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "trials",
		Short: "List changes that revert by themselves unless somebody keeps them",
		Long: `List changes that revert by themselves unless somebody keeps them: those that were made
with --revert-after, and those that the dashboard has made. What somebody has decided
for good since then is not on trial any more.`,
		Example: `  mtguard policy trials
  mtguard policy trials --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			trials, err := c.client.Trials(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, trials, func() error {
				var rows [][]string
				for _, t := range trials {
					rows = append(rows, []string{revisionText(t.Revision), about(t.Until.Sub(c.now)), revisionText(t.Base), t.By, t.What})
				}
				return table(a.stdout, []string{"TRIAL", "LEFT", "BACK TO", "BY", "CHANGE"}, rows)
			})
		}),
	}
}

func (a *app) policyKeepCommand(o *nodeFlags) *cobra.Command {
	return a.settleTrialCommand(o, "keep", "Keep a change that would revert by itself", `Keep a change that would revert by itself. Without REV it is the one that is on trial,
if there is one only. Where it takes two people to enforce, it takes two to keep.`,
		func(c *call, revision int64, o admin.ChangeOptions) (control.Result, error) {
			return c.client.KeepTrial(c.ctx, revision, o)
		})
}

func (a *app) policyUndoCommand(o *nodeFlags) *cobra.Command {
	return a.settleTrialCommand(o, "undo", "Revert a change that is on trial now", `Revert a change that is on trial now, instead of at its end. Without REV it is the one
that is on trial, if there is one only. What others have changed since stays. Any
other change is undone by "mtguard policy rollback".`,
		func(c *call, revision int64, o admin.ChangeOptions) (control.Result, error) {
			return c.client.EndTrial(c.ctx, revision, o)
		})
}

func (a *app) settleTrialCommand(o *nodeFlags, verb, short, long string, do func(*call, int64, admin.ChangeOptions) (control.Result, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:               verb + " [REV]",
		Short:             short,
		Long:              long,
		Example:           "  mtguard policy " + verb + "\n  mtguard policy " + verb + " r41 --reason \"nobody was hit\"",
		Args:              atMost(1),
		ValidArgsFunction: a.trialRevisions(o),
		RunE: a.asks(o, func(c *call) error {
			revision, err := c.whichTrial()
			if err != nil {
				return err
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return do(c, revision, o) }))
		}),
	}
	o.unforced(cmd.Flags())
	return cmd
}

// whichTrial is the one that was named, or the only one.
func (c *call) whichTrial() (int64, error) {
	if len(c.args) == 1 {
		revision, err := parseRevision(c.args[0])
		if err == nil && revision == 0 {
			return 0, &missingError{"r0 is never on trial", "mtguard policy trials"}
		}
		return revision, err
	}
	trials, err := c.client.Trials(c.ctx)
	switch {
	case err != nil:
		return 0, err
	case len(trials) == 0:
		return 0, &missingError{"nothing is on trial", "mtguard policy history"}
	case len(trials) > 1:
		var names []string
		for _, t := range trials {
			names = append(names, revisionText(t.Revision))
		}
		return 0, &usageError{errors.New("several changes are on trial"), "name one: " + strings.Join(names, ", ") + "; see mtguard policy trials"}
	}
	return trials[0].Revision, nil
}

// trialRevisions completes revisions that are on trial.
func (a *app) trialRevisions(o *nodeFlags) completer {
	return a.live(o, 1, func(c *call, _ string) ([]string, error) {
		trials, err := c.client.Trials(c.ctx)
		var names []string
		for _, t := range trials {
			names = append(names, revisionText(t.Revision)+"\t"+described(t.What, t.By))
		}
		return names, err
	})
}

var _ pflag.Value = (*revertAfter)(nil)

// noteTrial says of a change that was made whether it stays.
func (c *call) noteTrial(result control.Result) {
	switch t := result.Trial; {
	case t != nil && result.DryRun:
		c.app.note("it would revert by itself after " + c.revertAfter.String())
	case t != nil:
		c.app.note("it reverts by itself " + when(&t.Until, c.now) + ", unless somebody keeps it: mtguard policy keep " + revisionText(t.Revision))
	case c.revertAfter != 0 && result.Approval == nil:
		c.app.note("nothing of it reverts by itself: it takes back what was on trial")
	}
}
