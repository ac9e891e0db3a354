package main

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
)

func (a *app) listSetCommand(o *nodeFlags) *cobra.Command {
	var level, every string
	var body admin.ListBody
	cmd := &cobra.Command{
		Use:   "set NAME ORIGIN",
		Short: "Subscribe to a list, or change how; it is read at once",
		Long: `Subscribe to a list, or change how; it is read at once. ORIGIN is a file on the
node or an https address. A later reading that has lost half of its entries, or
has ten times as many, is refused and shown as a problem: look at it, then
"mtguard list reload" takes it.`,
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
		Short: "Read a list now, however much it has shrunk or grown",
		Example: `  mtguard list reload drop
  mtguard list reload drop --json`,
		Args:              exactly(1),
		ValidArgsFunction: a.listNames(o),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.ReloadList(c.ctx, c.args[0], o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}
