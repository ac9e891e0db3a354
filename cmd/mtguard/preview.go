package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/preview"
	"mtguard/security/policy"
)

func (a *app) policyPreviewCommand(o *nodeFlags) *cobra.Command {
	var last string
	var body admin.PreviewBody
	cmd := &cobra.Command{
		Use:   "preview [FILE]",
		Short: "Say what a policy, or one control, would have refused of the connections that came lately",
		Long: `Say what a policy, or one control, would have refused of the connections that came
lately: those that the node has recorded come once more, and nobody is refused.
Of transports that end on a date it says who came by them, and what happens then.
Without FILE the policy is the one in force, with --control enforced in it.`,
		Example: `  mtguard policy preview policy.toml --last 24h
  mtguard policy preview --control rate.accept --percent 10 --json`,
		Args: atMost(1),
		RunE: a.asks(o, func(c *call) (err error) {
			if len(c.args) == 0 && body.Control == "" {
				return &usageError{fmt.Errorf("nothing to preview"), "a FILE, or --control NAME"}
			}
			if (c.cmd.Flags().Changed("percent") || body.Mode != "") && body.Control == "" {
				return &usageError{fmt.Errorf("--mode and --percent are of a control"), "--control NAME"}
			}
			if c.cmd.Flags().Changed("percent") && (body.Percent < 1 || body.Percent > 100 || body.Mode != "" && body.Mode != policy.Enforce.String()) {
				return &usageError{fmt.Errorf("--percent %d does nothing here", body.Percent), "it goes with enforce, and is 1 to 100"}
			}
			if body.Mode != "" {
				if _, err := policy.ParseMode(body.Mode); err != nil {
					return wrongFlag("mode", err)
				}
			}
			if len(c.args) == 1 {
				if body.Document, err = c.document(c.args[0]); err != nil {
					return err
				}
			}
			d, err := control.ParseDuration(last)
			if err != nil {
				return wrongFlag("last", err)
			}
			body.Since = &d
			report, err := c.client.Preview(c.ctx, body)
			if err != nil {
				return err
			}
			return answer(c, []control.PreviewReport{report}, func() error { return c.showPreview(report) })
		}),
	}
	cmd.Flags().StringVar(&last, "last", "24h", "of the connections of so `LONG`")
	cmd.Flags().StringVar(&body.Control, "control", "", "with the control `NAME` in another mode")
	cmd.Flags().StringVar(&body.Mode, "mode", "", "that `MODE`: off, monitor or enforce; default: enforce")
	cmd.Flags().IntVar(&body.Percent, "percent", 0, "enforced for `N` percent; default: for all")
	completeFlag(cmd, "control", controlNames(1))
	completeFlag(cmd, "mode", words(modes...))
	completeFlag(cmd, "last", words("1h", "24h", "7d"))
	return cmd
}

// shownUsers are how many users a control names in a table.
const shownUsers = 4

func (c *call) showPreview(r control.PreviewReport) error {
	out := c.app.stdout
	if r.Connections == 0 {
		fmt.Fprintln(out, "no connections are recorded of that time")
	} else {
		fmt.Fprintf(out, "%s from %s to %s, %d of %s\n", plural(r.Connections, "connection"), r.From.Local().Format(dateTime), r.To.Local().Format(dateTime),
			r.Known, plural(r.Users, "known user"))
		fmt.Fprintf(out, "refused: %d, %d of them of %s; by the policy in force %d\n\n", r.Refused, r.KnownRefused, plural(r.UsersRefused, "known user"), r.RefusedNow)
	}
	var rows [][]string
	for _, t := range r.Controls {
		var users []string
		for _, u := range t.Users[:min(len(t.Users), shownUsers)] {
			users = append(users, u.User+" "+strconv.Itoa(u.Refused))
		}
		if more := t.UsersRefused - len(users); more > 0 {
			users = append(users, fmt.Sprintf("%d more", more))
		}
		rows = append(rows, []string{t.Control, shareText(t.Mode, t.Percent), strconv.Itoa(t.Refused), strconv.Itoa(t.RefusedNow), strconv.Itoa(t.WouldRefuse),
			strconv.Itoa(t.Addresses), strings.Join(users, ", ")})
	}
	err := table(out, []string{"CONTROL", "MODE", "REFUSED", "NOW", "COUNTED", "ADDRS", "KNOWN USERS"}, rows)
	if err == nil {
		err = c.showEndings(r.Endings)
	}
	if len(r.NotJudged) > 0 && !c.quiet {
		c.app.note("records say nothing about " + strings.Join(r.NotJudged, ", "))
	}
	for _, note := range r.Notes {
		c.app.note(note)
	}
	return err
}

// showEndings says what happens to whom when old transports end.
func (c *call) showEndings(endings []preview.Ending) error {
	if len(endings) == 0 {
		return nil
	}
	var rows [][]string
	for _, e := range endings {
		var users []string
		for _, u := range e.Users[:min(len(e.Users), shownUsers)] {
			users = append(users, fmt.Sprintf("%s %d, last %s", u.User, u.Connections, soon(&u.Last, c.now)))
		}
		if more := e.UsersCame - len(users); more > 0 {
			users = append(users, fmt.Sprintf("%d more", more))
		}
		rows = append(rows, []string{e.Transport, when(&e.Until, c.now), strconv.Itoa(e.Connections), strconv.Itoa(e.Refused), strconv.Itoa(e.WouldRefuse), strings.Join(users, "; ")})
	}
	fmt.Fprintln(c.app.stdout)
	return table(c.app.stdout, []string{"TRANSPORT", "ENDS", "CAME BY IT", "REFUSED THEN", "COUNTED", "KNOWN USERS"}, rows)
}
