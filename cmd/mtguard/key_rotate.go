package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mtguard/control"
	"mtguard/control/admin"
)

// rotation are the flags that say when a new secret takes over from the old one.
type rotation struct{ overlap, at, window string }

func (r *rotation) flags(flags *pflag.FlagSet) {
	flags.StringVar(&r.overlap, "overlap", "", "the old secret works for so `LONG` beside the new one; default: the schedule's")
	flags.StringVar(&r.at, "at", "", "the new secret takes over at `TIME`: a date, an RFC 3339 time, or a duration from now; default: now")
}

// body reads the flags.
func (r *rotation) body(c *call) (b admin.RotateBody, err error) {
	for name, value := range map[string]struct {
		text string
		to   **control.Duration
	}{"overlap": {r.overlap, &b.Overlap}, "window": {r.window, &b.Window}} {
		if value.text == "" {
			continue
		}
		d, err := control.ParseDuration(value.text)
		if err != nil {
			return b, wrongFlag(name, err)
		}
		*value.to = &d
	}
	if r.at != "" {
		at, err := parseTime(r.at, c.now)
		if err != nil {
			return b, wrongFlag("at", err)
		}
		b.At = &at
	}
	return b, nil
}

func (a *app) keyRotateCommand(o *nodeFlags) *cobra.Command {
	var r rotation
	var all, seal, store, master bool
	var suite, file string
	cmd := &cobra.Command{
		Use:   "rotate NAME… | --all | --seal | --store | --master",
		Short: "Make new keys: of users, or those that seal",
		Long: `Make new keys. For users the old secret works beside the new one for the overlap,
so that nobody is cut off: mtguard key show says who still uses it.

  NAME…     these users
  --all     every user whose secret is not in the configuration file
  --seal    the key of mtguard seal; older ones go on opening
  --store   the key that seals secrets in the store, which are sealed again
  --master  the key-encryption key; keep a copy of the new one elsewhere`,
		Example: `  mtguard key rotate alice bob --overlap 14d
  mtguard key rotate --all --at 2026-12-05 --window 2d --reason "yearly"
  mtguard key rotate --seal --suite aes-256-gcm
  mtguard key rotate --master --file /etc/mtguard/master.new`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.userNames(o, 0),
		RunE: a.asks(o, func(c *call) error {
			purpose, err := onePurpose(len(c.args) > 0 || all, seal, store, master)
			if err != nil {
				return err
			}
			if all && len(c.args) > 0 {
				return &usageError{errors.New("names and --all exclude each other"), "usage: " + c.cmd.UseLine()}
			}
			if err := onlyWith(c.cmd.Flags(), purpose, all); err != nil {
				return err
			}
			switch {
			case purpose != "user":
				c.slow()
				if file != "" {
					if file, err = filepath.Abs(file); err != nil {
						return err
					}
				}
				return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
					return c.client.RotateKeys(c.ctx, admin.RotateBody{Purpose: purpose, Suite: suite, File: file}, o)
				}))
			case all:
				return c.rotateAll(r)
			}
			return c.rotateUsers(r)
		}),
	}
	o.change(cmd.Flags())
	r.flags(cmd.Flags())
	cmd.Flags().StringVar(&r.window, "window", "", "with --all: spread over so `LONG` from then on")
	cmd.Flags().BoolVar(&all, "all", false, "every user's secret")
	cmd.Flags().BoolVar(&seal, "seal", false, "the key that mtguard seal uses")
	cmd.Flags().BoolVar(&store, "store", false, "the key that seals the store")
	cmd.Flags().BoolVar(&master, "master", false, "the key-encryption key")
	cmd.Flags().StringVar(&suite, "suite", "", "with --seal: what the new key seals with, a `SUITE`, while it may be used; default: the first that the policy allows and no bulletin forbids")
	cmd.Flags().StringVar(&file, "file", "", "with --master: the new key is in `FILE`, for a node that may not write where it reads it")
	completeFlag(cmd, "suite", words(suiteNames()...))
	completeFlag(cmd, "overlap", words("7d", "14d", "30d"))
	return cmd
}

// onePurpose is what a rotation is of.
func onePurpose(user, seal, store, master bool) (string, error) {
	var purposes []string
	for _, p := range []struct {
		chosen bool
		name   string
	}{{user, "user"}, {seal, "seal"}, {store, "store"}, {master, "master"}} {
		if p.chosen {
			purposes = append(purposes, p.name)
		}
	}
	if len(purposes) == 1 {
		return purposes[0], nil
	}
	text := "nothing to rotate"
	if len(purposes) > 1 {
		text = "one at a time, not " + strings.Join(purposes, " and ")
	}
	return "", &usageError{errors.New(text), "one of NAME…, --all, --seal, --store, --master"}
}

// onlyWith refuses flags that would do nothing.
func onlyWith(flags *pflag.FlagSet, purpose string, all bool) error {
	for _, rule := range []struct {
		name string
		fits bool
		with string
	}{
		{"overlap", purpose == "user", "users"},
		{"at", purpose == "user", "users"},
		{"window", all, "--all"},
		{"suite", purpose == "seal", "--seal"},
		{"file", purpose == "master", "--master"},
	} {
		if flags.Changed(rule.name) && !rule.fits {
			return &usageError{fmt.Errorf("--%s does nothing here", rule.name), "it goes with " + rule.with}
		}
	}
	return nil
}

// rotateUsers gives each named user a new secret. It stops at the first that is refused; those
// before it are done, and printed.
func (c *call) rotateUsers(r rotation) error {
	body, err := r.body(c)
	if err != nil {
		return err
	}
	if body.Overlap != nil && *body.Overlap == 0 {
		sessions := 0
		for _, name := range c.args {
			user, err := c.client.User(c.ctx, name)
			if err != nil {
				return err
			}
			sessions += user.Connections
		}
		what := fmt.Sprintf("rotate %s without overlap: links of now stop working at once; %s live",
			strings.Join(c.args, ", "), plural(sessions, "connection"))
		if err := c.confirm(what, c.args[0]); err != nil {
			return err
		}
	}
	var results []control.Result
	for _, name := range c.args {
		body.User = name
		result, failed := c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.RotateKeys(c.ctx, body, o) })
		if err = failed; err != nil {
			break
		}
		results = append(results, result)
	}
	if err != nil && len(results) == 0 {
		return err
	}
	return errors.Join(err, answer(c, results, func() error {
		for _, result := range results {
			c.say(result)
			if err := c.showLinks(result, false); err != nil {
				return err
			}
		}
		return nil
	}))
}

// rotateAll asks the node how many it concerns before it asks the user.
func (c *call) rotateAll(r rotation) error {
	c.slow()
	body, err := r.body(c)
	if err != nil {
		return err
	}
	body.All = true
	if !c.yes && !c.dryRun {
		try := c.options()
		try.DryRun = true
		would, err := c.client.RotateKeys(c.ctx, body, try)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("rotate all: %s will get a new secret", plural(would.Affected, "user"))
		if body.Overlap != nil && *body.Overlap == 0 {
			what += ", and links of now stop working at once"
		}
		if err := c.confirm(what, "all"); err != nil {
			return err
		}
	}
	return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.RotateKeys(c.ctx, body, o) }))
}
