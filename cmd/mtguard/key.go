package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/keys"
)

func (a *app) keyCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "key",
		GroupID: groupKeys,
		Short:   "Look at keys, rotate and revoke them",
		Example: `  mtguard key list --user alice
  mtguard key rotate --all --overlap 14d --window 2d`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.keyListCommand(o),
		a.keyShowCommand(o),
		a.keyRotateCommand(o),
		a.keyRevokeCommand(o),
		a.keyScheduleCommand(o),
		a.keyHistoryCommand(o),
	)
	return cmd
}

// shownDigits of an id are enough to tell one key from another in a table, and to name it.
const shownDigits = 8

func shortID(id keys.ID) string {
	return string(id[:min(len(id), shownDigits)])
}

func (a *app) keyListCommand(o *nodeFlags) *cobra.Command {
	var given []string
	var f control.KeyFilter
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List keys, never their material",
		Long: `List keys, never their material. --filter keeps those with user=…, state=…
(pending, active, retiring, retired, expired, revoked) or purpose=… (user, seal,
store, master).`,
		Example: `  mtguard key list
  mtguard key list --user alice
  mtguard key list --filter state=retiring --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			if err := filters(given, map[string]*string{"user": &f.User, "state": &f.State, "purpose": &f.Purpose}); err != nil {
				return err
			}
			list, more, err := collect(limit, func(after string, n int) ([]control.KeyInfo, string, error) {
				f.After, f.Limit = after, n
				return c.client.Keys(c.ctx, f)
			})
			if err != nil {
				return err
			}
			return answer(c, list, func() error {
				if more && !c.quiet {
					a.note("there are more: --limit 0 shows all")
				}
				return c.showKeys(list)
			})
		}),
	}
	cmd.Flags().StringVar(&f.User, "user", "", "only those of user `NAME`")
	cmd.Flags().StringArrayVar(&given, "filter", nil, "only those with `KEY=VALUE`; may be repeated")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0 for all")
	completeFlag(cmd, "user", a.userNames(o, 0))
	completeFlag(cmd, "filter", words("user=", "state=", "purpose="))
	return cmd
}

func (c *call) showKeys(list []control.KeyInfo) error {
	var rows [][]string
	for _, k := range list {
		whose := k.User
		if k.Purpose != "user" {
			whose = "(" + k.Purpose + ")"
		}
		left := ""
		if k.NotOnNew != nil {
			left = strconv.Itoa(*k.NotOnNew)
		}
		if k.Tripped > 0 {
			left = fmt.Sprintf("%d tried it", k.Tripped)
		}
		rows = append(rows, []string{shortID(k.ID), whose, numberText(k.Generation), k.State, strconv.Itoa(k.Sessions),
			addressesText(k), left, soon(k.LastUsed, c.now), ends(k, c)})
	}
	return table(c.app.stdout, []string{"KEY", "USER", "GEN", "STATE", "SESSIONS", "ADDRS", "NOT ON NEW", "LAST USED", "CHANGES"}, rows)
}

func numberText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func addressesText(k control.KeyInfo) string {
	text := strconv.Itoa(k.Addresses)
	if k.MoreThan {
		text = "over " + text
	}
	return text
}

// ends is what happens to a key next, or happened last.
func ends(k control.KeyInfo, c *call) string {
	switch {
	case k.State == "pending" && k.NotBefore != nil:
		return "active " + soon(k.NotBefore, c.now)
	case k.State == "retiring" && k.RetireBy != nil:
		return "retired " + soon(k.RetireBy, c.now)
	case k.State == "active" && k.NotAfter != nil:
		return "expires " + soon(k.NotAfter, c.now)
	case k.Ended != nil:
		return k.State + " " + soon(k.Ended, c.now)
	}
	return ""
}

func (a *app) keyShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show a key: its state, who still uses it, when it ends; never its material",
		Example: `  mtguard key show 3f2a91c0
  mtguard key show 3f2a91c0 --json`,
		Args:              exactly(1),
		ValidArgsFunction: a.keyIDs(o, control.KeyFilter{}),
		RunE: a.asks(o, func(c *call) error {
			k, err := c.client.Key(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			return answer(c, []control.KeyInfo{k}, func() error { return c.showKey(k) })
		}),
	}
}

func (c *call) showKey(k control.KeyInfo) error {
	rows := [][]string{{"key", string(k.ID)}, {"purpose", k.Purpose}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("user", k.User)
	add("generation", numberText(k.Generation))
	state := k.State
	if k.Reason != "" {
		state += ": " + k.Reason
	}
	add("state", state)
	add("source", k.Source)
	add("suite", k.Suite)
	add("created", when(k.Created, c.now))
	add("takes over", when(k.NotBefore, c.now))
	add("activated", when(k.Activated, c.now))
	add("works until", when(k.RetireBy, c.now))
	add("expires", when(k.NotAfter, c.now))
	add("ended", when(k.Ended, c.now))
	if k.Purpose == "user" {
		add("sessions", strconv.Itoa(k.Sessions)+" live")
		add("used by", usedBy(k))
		add("first used", orElse(when(k.FirstUsed, c.now), "never"))
		add("last used", orElse(when(k.LastUsed, c.now), "never"))
	}
	if k.State == "revoked" {
		add("tried since", plural(k.Tripped, "address"))
		add("last tried", when(k.LastTrip, c.now))
	}
	if k.Erased {
		add("bytes", "erased")
	}
	add("revision", strconv.FormatInt(int64(k.Revision), 10))
	return table(c.app.stdout, nil, rows)
}

// usedBy says how many addresses used a key, and how many of them only that one.
func usedBy(k control.KeyInfo) string {
	text := plural(k.Addresses, "address")
	if k.MoreThan {
		text = "over " + text
	}
	if k.State == "retiring" {
		text += " since it retires"
	}
	if k.NotOnNew != nil {
		text += fmt.Sprintf(", %d of them not seen with the new key yet", *k.NotOnNew)
	}
	return text
}

func (a *app) keyRevokeCommand(o *nodeFlags) *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "Take a key out at once, and end the connections that use it",
		Long: `Take a key out at once, and end the connections that use it. A user's revoked
secret is watched: whoever tries it later sees the cover site and is counted.`,
		Example: `  mtguard key revoke 3f2a91c0 --reason "phone stolen" --replace
  mtguard key revoke 3f2a91c0 --reason "link was posted" --yes`,
		Args:              exactly(1),
		ValidArgsFunction: a.keyIDs(o, control.KeyFilter{}),
		RunE: a.asks(o, func(c *call) error {
			if err := c.needsReason(); err != nil {
				return err
			}
			k, err := c.client.Key(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			if err := c.confirm(consequences(k, replace), shortID(k.ID)); err != nil {
				return err
			}
			result, err := c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.RevokeKey(c.ctx, string(k.ID), admin.RevokeBody{Replace: replace}, o)
			})
			return c.handsOut(result, err, false)
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().BoolVar(&replace, "replace", false, "give the user a new secret in the same step, and print its links")
	return cmd
}

// consequences says what revoking a key will do, in numbers.
func consequences(k control.KeyInfo, replace bool) string {
	if k.Purpose != "user" {
		return fmt.Sprintf("revoke %s (%s key, %s): what was sealed with it can be opened no more", shortID(k.ID), k.Purpose, k.State)
	}
	text := fmt.Sprintf("revoke %s (user %s, %s): %s will be cut off now; %s used it", shortID(k.ID), k.User, k.State,
		plural(k.Sessions, "live session"), addressesOf(k))
	switch {
	case k.State == "active" && replace:
		text += "; " + k.User + " gets a new link"
	case k.State == "active":
		text += "; " + k.User + " has no new link then (--replace makes one)"
	}
	return text
}

func addressesOf(k control.KeyInfo) string {
	text := plural(k.Addresses, "address")
	if k.MoreThan {
		text = "over " + text
	}
	return text
}

func (a *app) keyHistoryCommand(o *nodeFlags) *cobra.Command {
	f := control.HistoryFilter{}
	cmd := &cobra.Command{
		Use:   "history [ID]",
		Short: "Show what happened to keys, newest first",
		Example: `  mtguard key history
  mtguard key history 3f2a91c0
  mtguard key history --user alice --limit 50`,
		Args:              atMost(1),
		ValidArgsFunction: a.keyIDs(o, control.KeyFilter{}),
		RunE: a.asks(o, func(c *call) error {
			if len(c.args) == 1 {
				k, err := c.client.Key(c.ctx, c.args[0])
				if err != nil {
					return err
				}
				f.Key = string(k.ID)
			}
			events, err := c.client.History(c.ctx, f)
			if err != nil {
				return err
			}
			return answer(c, events, func() error { return c.showHistory(events, f.Limit) })
		}),
	}
	cmd.Flags().StringVar(&f.User, "user", "", "only of keys of user `NAME`")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "at most `N`")
	cmd.Flags().Int64Var(&f.Before, "before", 0, "go on behind the event with this `CURSOR`")
	completeFlag(cmd, "user", a.userNames(o, 0))
	return cmd
}

func (c *call) showHistory(events []control.KeyEvent, limit int) error {
	var rows [][]string
	for _, e := range events {
		step := e.To
		if e.From != "" {
			step = e.From + " > " + e.To
		}
		rows = append(rows, []string{e.Time.Local().Format("2006-01-02 15:04:05"), shortID(e.Key), e.User, step, e.Actor, e.Reason})
	}
	err := table(c.app.stdout, []string{"TIME", "KEY", "USER", "STEP", "BY", "REASON"}, rows)
	if len(events) == limit && limit > 0 && !c.quiet {
		c.app.note(fmt.Sprintf("older ones: --before %d", events[limit-1].Cursor))
	}
	return err
}
