package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
)

// listCommand is about lists of addresses. The noun is `list`, and nothing is imported: a list
// is an object with a name that stays tied to where it comes from, is read again by itself, and
// goes as a whole. `import` takes over what another program had, once.
func (a *app) listCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "list",
		GroupID: groupAccess,
		Short:   "Keep lists of addresses from files and HTTPS addresses up to date",
		Long: `Keep lists of addresses from files and HTTPS addresses up to date: ipset save,
netset, or plain text with one address, prefix or range in a line. A list is
taken whole or not at all; the last good one stays in force meanwhile. A rule of
your own on the same addresses wins over a list.`,
		Example: `  mtguard list set drop https://lists.example.com/drop.netset --level none
  mtguard list show`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.listShowCommand(o), a.listSetCommand(o), a.listRemoveCommand(o), a.listReloadCommand(o))
	return cmd
}

func (a *app) listShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show all lists, or one: how old, how long, and what went wrong",
		Example: `  mtguard list show
  mtguard list show drop --json`,
		Args:              atMost(1),
		ValidArgsFunction: a.listNames(o),
		RunE: a.asks(o, func(c *call) error {
			if len(c.args) == 1 {
				info, err := c.client.List(c.ctx, c.args[0])
				if err != nil {
					return err
				}
				return answer(c, []control.ListInfo{info}, func() error { return c.showList(info) })
			}
			lists, err := c.client.Lists(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, lists, func() error {
				var rows [][]string
				for _, l := range lists {
					rows = append(rows, []string{l.Name, l.Level.String(), fmt.Sprint(l.Entries), everyText(l.Every), soon(l.Checked, c.now), soon(l.Good, c.now), orElse(l.Problem, "ok")})
				}
				return table(a.stdout, []string{"LIST", "LEVEL", "ENTRIES", "EVERY", "LOOKED AT", "AS OF", "STATE"}, rows)
			})
		}),
	}
}

func everyText(d control.Duration) string {
	if d == 0 {
		return "when told"
	}
	return d.String()
}

func (c *call) showList(l control.ListInfo) error {
	wide := "no"
	if l.Wide {
		wide = "yes: any size, any change"
	}
	return table(c.app.stdout, nil, [][]string{
		{"list", l.Name},
		{"origin", l.Origin},
		{"level", l.Level.String()},
		{"entries", fmt.Sprint(l.Entries)},
		{"read", everyText(l.Every)},
		{"looked at", orElse(when(l.Checked, c.now), "never")},
		{"as of", orElse(when(l.Good, c.now), "never")},
		{"problem", orElse(l.Problem, "none")},
		{"wide", wide},
		{"revision", fmt.Sprint(l.Revision)},
	})
}

func (a *app) listSetCommand(o *nodeFlags) *cobra.Command {
	var level, every string
	var body admin.ListBody
	cmd := &cobra.Command{
		Use:   "set NAME ORIGIN",
		Short: "Subscribe to a list, or change how; it is read at once",
		Long: `Subscribe to a list, or change how; it is read at once. ORIGIN is a file on the
node or an https address. A later reading that has lost half of its entries, or
has ten times as many, is refused and shown as a problem: look at it, then
"mtguard list reload --force" takes it.`,
		Example: `  mtguard list set drop https://lists.example.com/drop.netset --level none
  mtguard list set office /etc/mtguard/office.txt --level superuser --every 1h
  mtguard list set unrouted https://lists.example.com/bogons.txt --level none --wide --every 1d`,
		Args: exactly(2),
		RunE: a.asks(o, func(c *call) (err error) {
			if level == "" {
				return &usageError{errors.New("no level"), "--level " + strings.Join(levelNames(), ", ")}
			}
			if body.Level, err = access.ParseLevel(level); err != nil {
				return wrongFlag("level", err)
			}
			d, err := control.ParseDuration(every)
			if err != nil {
				return wrongFlag("every", err)
			}
			body.Every, body.Origin = &d, c.args[1]
			if !strings.Contains(body.Origin, "://") { // the node's working directory is another
				if body.Origin, err = filepath.Abs(body.Origin); err != nil {
					return err
				}
			}
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.SetList(c.ctx, c.args[0], body, o)
			}))
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&level, "level", "", "the ceiling of all its entries, a `LEVEL`: none, read_only, standard, admin or superuser")
	cmd.Flags().StringVar(&every, "every", "6h", "read it again every so `LONG`; 0s: when told to")
	cmd.Flags().BoolVar(&body.Wide, "wide", false, "it may cover more than a hundredth of the Internet, and change as it likes")
	completeFlag(cmd, "level", words(levelNames()...))
	completeFlag(cmd, "every", words("1h", "6h", "1d"))
	return cmd
}

func (a *app) listRemoveCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Take a list out, with all its entries",
		Example: `  mtguard list rm drop
  mtguard list rm drop --reason "too many false ones" --dry-run`,
		Args:              exactly(1),
		ValidArgsFunction: a.listNames(o),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.RemoveList(c.ctx, c.args[0], o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

func (a *app) listReloadCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload NAME",
		Short: "Read a list now; --force takes it however much it has shrunk or grown",
		Example: `  mtguard list reload drop
  mtguard list reload drop --force --reason "the publisher merged two lists"`,
		Args:              exactly(1),
		ValidArgsFunction: a.listNames(o),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.ReloadList(c.ctx, c.args[0], o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}
