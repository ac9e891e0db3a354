package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/control"
)

func (a *app) accessCheckCommand(o *nodeFlags) *cobra.Command {
	var q control.CheckQuery
	cmd := &cobra.Command{
		Use:   "check ADDR",
		Short: "Say what would become of a connection, and which rules say so",
		Example: `  mtguard access check 203.0.113.77 --user alice
  mtguard access check 2001:db8::1 --sni www.example.com --json`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) error {
			q.Addr = c.args[0]
			report, err := c.client.CheckAccess(c.ctx, q)
			if err != nil {
				return err
			}
			return answer(c, []control.AccessReport{report}, func() error { return c.showAccess(report) })
		}),
	}
	cmd.Flags().StringVar(&q.User, "user", "", "of user `NAME`")
	cmd.Flags().StringVar(&q.ServerName, "sni", "", "whose client asks for this server `NAME`")
	cmd.Flags().StringVar(&q.JA4, "ja4", "", "whose ClientHello has this `FINGERPRINT`")
	completeFlag(cmd, "user", a.userNames(o, 0))
	completeFlag(cmd, "sni", cobra.NoFileCompletions)
	completeFlag(cmd, "ja4", cobra.NoFileCompletions)
	return cmd
}

func (c *call) showAccess(r control.AccessReport) error {
	rows := [][]string{{"outcome", r.Outcome}, {"level", r.Level.String()}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	if r.UserLevel != nil {
		add("user", r.User+": "+r.UserLevel.String())
	}
	add("ceiling", r.Ceiling.String())
	add("rule", r.Rule)
	control := r.Control
	if r.Mode != "" {
		control += ": " + r.Mode
	}
	add("control", control)
	add("exception", r.Exception)
	where := r.Country
	if r.ASN != 0 {
		where = strings.TrimPrefix(where+", AS"+strconv.FormatUint(uint64(r.ASN), 10), ", ")
	}
	add("from", where)
	if err := table(c.app.stdout, nil, rows); err != nil || len(r.Considered) == 0 {
		return err
	}
	fmt.Fprintln(c.app.stdout)
	rows = nil
	for _, rule := range r.Considered {
		rows = append(rows, []string{rule.Rule, rule.Match, rule.Level.String(), rule.Control, rule.Why})
	}
	return table(c.app.stdout, []string{"RULE", "MATCH", "LEVEL", "CONTROL", "WHY"}, rows)
}
