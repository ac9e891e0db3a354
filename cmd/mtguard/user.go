package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
)

func (a *app) userCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "user",
		GroupID: groupPeople,
		Short:   "Add, change and look at users",
		Example: `  mtguard user add alice --expires 90d --quota 50GiB/month
  mtguard user list`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.userAddCommand(o),
		a.userListCommand(o),
		a.userShowCommand(o),
		a.userSetCommand(o),
		a.userSwitchCommand(o, true),
		a.userSwitchCommand(o, false),
		a.userRemoveCommand(o),
		a.userRotateCommand(o),
	)
	return cmd
}

func (a *app) userListCommand(o *nodeFlags) *cobra.Command {
	var given []string
	var limit int
	var sortBy string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List users",
		Long: `List users, by name. --filter keeps those with state=… (ok, disabled, expired,
no_access, over_quota) or source=… (admin, file, default).`,
		Example: `  mtguard user list
  mtguard user list --filter state=expired --json
  mtguard user list --sort traffic --limit 10`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			var f control.UserFilter
			if err := filters(given, map[string]*string{"state": &f.State, "source": &f.Source}); err != nil {
				return err
			}
			order, known := userOrders[sortBy]
			if !known {
				return &usageError{fmt.Errorf("--sort %q is none", sortBy), orWords(userOrders)}
			}
			fetch := limit
			if order != nil {
				fetch = 0 // the first of an order are known when all are
			}
			users, more, err := collect(fetch, func(after string, n int) ([]control.UserInfo, string, error) {
				f.After, f.Limit = after, n
				return c.client.Users(c.ctx, f)
			})
			if err != nil {
				return err
			}
			if order != nil {
				slices.SortStableFunc(users, order)
				if limit > 0 && len(users) > limit {
					users, more = users[:limit], true
				}
			}
			return answer(c, users, func() error { return c.showUsers(users, more) })
		}),
	}
	cmd.Flags().StringArrayVar(&given, "filter", nil, "only those with `KEY=VALUE`; may be repeated")
	cmd.Flags().StringVar(&sortBy, "sort", "name", "by `FIELD`: name, connections, traffic, expires")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0 for all")
	completeFlag(cmd, "filter", words("state=", "source="))
	completeFlag(cmd, "sort", words("name", "connections", "traffic", "expires"))
	return cmd
}

// userOrders are the orders of a list; the node's own, by name, is nil.
var userOrders = map[string]func(x, y control.UserInfo) int{
	"name":        nil,
	"connections": func(x, y control.UserInfo) int { return cmp.Compare(y.Connections, x.Connections) },
	"traffic":     func(x, y control.UserInfo) int { return cmp.Compare(y.Up+y.Down, x.Up+x.Down) },
	"expires": func(x, y control.UserInfo) int {
		switch { // those that never do come last
		case x.Expires == nil || y.Expires == nil:
			return cmp.Compare(boolInt(x.Expires == nil), boolInt(y.Expires == nil))
		default:
			return x.Expires.Compare(*y.Expires)
		}
	},
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c *call) showUsers(users []control.UserInfo, more bool) error {
	var rows [][]string
	for _, u := range users {
		key := shortID(u.Key)
		if u.Retiring > 0 {
			key += fmt.Sprintf(" +%d old", u.Retiring)
		}
		rows = append(rows, []string{u.Name, u.State, u.Level.String(), strconv.Itoa(u.Connections), strconv.Itoa(u.Addresses),
			sizeText(u.Up), sizeText(u.Down), quotaText(u.Quota), soon(u.Expires, c.now), key})
	}
	err := table(c.app.stdout, []string{"NAME", "STATE", "LEVEL", "CONNS", "ADDRS", "UP", "DOWN", "QUOTA", "EXPIRES", "KEY"}, rows)
	if more && !c.quiet {
		c.app.note("there are more: --limit 0 shows all")
	}
	return err
}

func (a *app) userShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a user, its limits, its usage and its keys",
		Example: `  mtguard user show alice
  mtguard user show alice --json`,
		Args:              exactly(1),
		ValidArgsFunction: a.userNames(o, 1),
		RunE: a.asks(o, func(c *call) error {
			user, err := c.client.User(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			return answer(c, []control.UserInfo{user}, func() error {
				if err := c.showUser(user); err != nil {
					return err
				}
				list, _, err := c.client.Keys(c.ctx, control.KeyFilter{User: user.Name, Limit: 20})
				if err != nil || len(list) == 0 {
					return err
				}
				fmt.Fprintln(c.app.stdout)
				return c.showKeys(list)
			})
		}),
	}
}

func (c *call) showUser(u control.UserInfo) error {
	state := u.State
	if u.Source != "admin" {
		state += " (from the " + map[string]string{"file": "configuration file", "default": "first start"}[u.Source] + ")"
	}
	quota := quotaText(u.Quota)
	if quota != "" {
		quota += ", " + sizeText(u.QuotaUsed) + " used"
	}
	key := string(u.Key)
	if u.Generation > 0 {
		key += fmt.Sprintf(" (generation %d)", u.Generation)
	}
	page := "none"
	if u.Page {
		page = "open, " + plural(int(u.PageViews), "view")
	}
	created := u.Created
	return table(c.app.stdout, nil, [][]string{
		{"name", u.Name},
		{"state", state},
		{"level", u.Level.String()},
		{"created", when(&created, c.now)},
		{"expires", orElse(when(u.Expires, c.now), "never")},
		{"quota", orElse(quota, "none")},
		{"connections", limited(u.Connections, u.MaxConnections)},
		{"addresses", limited(u.Addresses, u.MaxAddresses)},
		{"traffic", sizeText(u.Up) + " up, " + sizeText(u.Down) + " down in " + plural(int(u.Sessions), "session")},
		{"came by", transportsText(u.Transports, c.now)},
		{"key", key},
		{"rotates", orElse(when(u.Rotates, c.now), "not by itself")},
		{"domain", orElse(u.Domain, "that of the configuration")},
		{"page", page},
		{"note", u.Note},
		{"revision", strconv.FormatInt(int64(u.Revision), 10)},
	})
}

// transportsText is what a user came by since the node started: "faketls 12, last 5m ago".
func transportsText(used []control.TransportUse, now time.Time) string {
	var parts []string
	for _, t := range used {
		text := fmt.Sprintf("%s %d, last %s", t.Transport, t.Came, soon(t.Last, now))
		if t.Until != nil {
			text += ", ends " + when(t.Until, now)
		}
		parts = append(parts, text)
	}
	return orElse(strings.Join(parts, "; "), "nothing since the node started")
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// limited is a number with its bound.
func limited(n, most int) string {
	if most == 0 {
		return fmt.Sprintf("%d, no limit", n)
	}
	return fmt.Sprintf("%d of at most %d", n, most)
}

// userSwitchCommand is `user disable` and `user enable`.
func (a *app) userSwitchCommand(o *nodeFlags, off bool) *cobra.Command {
	verb, short := "enable", "Serve a disabled user again"
	if off {
		verb, short = "disable", "Stop serving a user, and end its connections, until it is enabled again"
	}
	cmd := &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Example: fmt.Sprintf(`  mtguard user %[1]s alice
  mtguard user %[1]s alice --reason "holiday" --json`, verb),
		Args:              exactly(1),
		ValidArgsFunction: a.userNames(o, 1),
		RunE: a.asks(o, func(c *call) error {
			result, err := c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.SetUser(c.ctx, c.args[0], admin.UserPatch{Disabled: &off}, o)
			})
			return c.changed(result, err)
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

func (a *app) userRemoveCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Remove a user, end its connections and erase its secrets",
		Example: `  mtguard user rm alice --reason "left the company"
  mtguard user rm alice --reason "left the company" --yes`,
		Args:              exactly(1),
		ValidArgsFunction: a.userNames(o, 1),
		RunE: a.asks(o, func(c *call) error {
			if err := c.needsReason(); err != nil {
				return err
			}
			user, err := c.client.User(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			what := fmt.Sprintf("remove %s: %s will be cut off now, and its secrets erased; no link of it will work again",
				user.Name, plural(user.Connections, "connection"))
			if err := c.confirm(what, user.Name); err != nil {
				return err
			}
			result, err := c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.RemoveUser(c.ctx, user.Name, o) })
			return c.changed(result, err)
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

func (a *app) userRotateCommand(o *nodeFlags) *cobra.Command {
	var when rotation
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Give a user a new secret; the old one works beside it for the overlap",
		Example: `  mtguard user rotate alice
  mtguard user rotate alice --overlap 7d --at "2026-12-05 03:00"`,
		Args:              exactly(1),
		ValidArgsFunction: a.userNames(o, 1),
		RunE:              a.asks(o, func(c *call) error { return c.rotateUsers(when) }),
	}
	o.change(cmd.Flags())
	when.flags(cmd.Flags())
	return cmd
}

// changed prints what a change did, with what it hands out.
func (c *call) changed(result control.Result, err error) error {
	if err != nil {
		return err
	}
	return answer(c, []control.Result{result}, func() error {
		c.say(result)
		return nil
	})
}

// handsOut is changed for a change that hands out links.
func (c *call) handsOut(result control.Result, err error, qr bool) error {
	if err != nil {
		return err
	}
	return answer(c, []control.Result{result}, func() error {
		c.say(result)
		return c.showLinks(result, qr)
	})
}

// say prints the line of a change.
func (c *call) say(result control.Result) {
	if c.quiet {
		return
	}
	prefix := ""
	switch {
	case result.DryRun:
		prefix = "would: "
	case result.Repeated:
		prefix = "done before: "
	}
	fmt.Fprintln(c.app.stdout, prefix+clean(result.Summary))
	c.noteTrial(result)
}
