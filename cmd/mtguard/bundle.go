package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
)

func (a *app) bundleCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Take policies that a publisher signs",
		Long: `Take policies that a publisher signs, from a file or an https address. A bundle
that only tightens is applied by itself; one that would loosen something waits
until somebody has looked at it and approves it.`,
		Example: `  mtguard policy bundle set https://policy.example.com/bundle --key "policy+1a2b3c4d+AT8…"
  mtguard policy bundle show`,
		Args: noSubcommand,
		RunE: help,
	}
	cmd.AddCommand(a.bundleShowCommand(o), a.bundleSetCommand(o), a.bundleApproveCommand(o), a.bundleStopCommand(o))
	return cmd
}

func (a *app) bundleShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show where bundles come from, what became of the last one, and what waits",
		Example: `  mtguard policy bundle show
  mtguard policy bundle show --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			info, err := c.client.Bundle(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, []control.BundleInfo{info}, func() error { return c.showBundles(info) })
		}),
	}
}

func (c *call) showBundles(b control.BundleInfo) error {
	if b.Origin == "" {
		_, err := fmt.Fprintln(c.app.stdout, "no bundles are looked for")
		return err
	}
	waiting := "nothing"
	if b.Waiting != nil {
		waiting = fmt.Sprintf("bundle %d: %s, %d of them loosen something", b.Waiting.Number, plural(len(b.Waiting.Changes), "change"), len(b.Waiting.Loosens))
	}
	gate := ""
	if b.Waiting != nil {
		gate = orElse(b.Waiting.Gate, "open")
	}
	err := table(c.app.stdout, nil, [][]string{
		{"origin", b.Origin},
		{"key", b.Key},
		{"looked at", "every " + b.Every.String() + ", last " + orElse(when(b.Checked, c.now), "never")},
		{"newest", strings.TrimSuffix(fmt.Sprintf("bundle %d, of %s", b.Number, when(b.Time, c.now)), ", of ")},
		{"applied", "bundle " + strconv.FormatInt(b.Applied, 10)},
		{"problem", orElse(b.Problem, "none")},
		{"waits", waiting},
		{"gate", gate},
	})
	if err != nil || b.Waiting == nil {
		return err
	}
	fmt.Fprintln(c.app.stdout)
	return c.showChanges(b.Waiting.Changes)
}

// showChanges prints what differs between two policies.
func (c *call) showChanges(values []control.PolicyValue) error {
	var rows [][]string
	for _, v := range values {
		effect := "tightens"
		if v.Loosens {
			effect = "loosens"
		}
		rows = append(rows, []string{v.Path, v.Was, v.Value, effect})
	}
	return table(c.app.stdout, []string{"KEY", "WAS", "IS", "EFFECT"}, rows)
}

func (a *app) bundleSetCommand(o *nodeFlags) *cobra.Command {
	var every string
	var body admin.BundlesBody
	cmd := &cobra.Command{
		Use:   "set ORIGIN",
		Short: "Subscribe to the bundles of a publisher, or change how",
		Long: `Subscribe to the bundles of a publisher, or change how. ORIGIN is a file on the
node or an https address. Whoever has the private key to --key may tighten what
this node enforces: take it from the publisher himself.`,
		Example: `  mtguard policy bundle set https://policy.example.com/bundle --key "policy+1a2b3c4d+AT8…"
  mtguard policy bundle set /var/lib/policy/bundle --key "policy+1a2b3c4d+AT8…" --every 10m`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) error {
			if body.Key == "" {
				return &usageError{errors.New("no key"), "--key, the publisher's public key"}
			}
			d, err := control.ParseDuration(every)
			if err != nil {
				return wrongFlag("every", err)
			}
			body.Every, body.Origin = &d, c.args[0]
			if !strings.Contains(body.Origin, "://") { // the node's working directory is another
				if body.Origin, err = filepath.Abs(body.Origin); err != nil {
					return err
				}
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.SetBundles(c.ctx, body, o) }))
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&body.Key, "key", "", "the publisher's public `KEY`, as golang.org/x/mod/sumdb/note writes it")
	cmd.Flags().StringVar(&every, "every", "1h", "look for a newer one every so `LONG`")
	completeFlag(cmd, "key", cobra.NoFileCompletions)
	completeFlag(cmd, "every", words("10m", "1h", "1d"))
	return cmd
}

func (a *app) bundleApproveCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "approve",
		Short: "Apply the bundle that waits",
		Long: `Apply the bundle that waits, with all that it changes; see it with
"mtguard policy bundle show". When the bundle or the policy is another by then,
nothing is applied.`,
		Example: `  mtguard policy bundle approve --reason "the publisher explained it"
  mtguard policy bundle approve --reason "looked at" --yes`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			info, err := c.client.Bundle(c.ctx)
			switch {
			case err != nil:
				return err
			case info.Waiting == nil:
				return &missingError{"no bundle waits", "mtguard policy bundle show"}
			}
			w := info.Waiting
			what := fmt.Sprintf("approve bundle %d: %s of the policy, %d of them loosen something", w.Number, plural(len(w.Changes), "change"), len(w.Loosens))
			if err := c.confirm(what, strconv.FormatInt(w.Number, 10)); err != nil {
				return err
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
				if o.IfRevision == 0 {
					o.IfRevision = w.Policy
				}
				return c.client.ApproveBundle(c.ctx, admin.ApproveBody{Number: w.Number}, o)
			}))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

func (a *app) bundleStopCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Look for no more bundles; what was applied stays",
		Example: `  mtguard policy bundle stop
  mtguard policy bundle stop --reason "the publisher is gone"`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.StopBundles(c.ctx, o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}
