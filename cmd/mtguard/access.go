package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/security/access"
)

func (a *app) accessCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "access",
		GroupID: groupAccess,
		Short:   "Say what may be done from where",
		Long: `Say what may be done from where: rules give addresses, countries, networks and
ClientHellos a ceiling. What somebody may do is the lower of that ceiling and the
level of the user. Whoever may do nothing sees the cover site.`,
		Example: `  mtguard access add 203.0.113.0/24 --level read_only --for 24h
  mtguard access check 203.0.113.7 --user alice`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(
		a.accessListCommand(o),
		a.accessAddCommand(o),
		a.accessRemoveCommand(o),
		a.accessConfirmCommand(o),
		a.accessCheckCommand(o),
		a.accessExportCommand(o),
	)
	return cmd
}

func (a *app) accessListCommand(o *nodeFlags) *cobra.Command {
	var given []string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List rules",
		Long: `List rules. --filter keeps those with level=… (none, read_only, standard, admin,
superuser) or source=… (operator, automatic, feed). What stands on lists is not
here: see mtguard list show.`,
		Example: `  mtguard access list
  mtguard access list --filter level=none --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			var f control.RuleFilter
			if err := filters(given, map[string]*string{"level": &f.Level, "source": &f.Source}); err != nil {
				return err
			}
			if _, err := access.ParseLevel(f.Level); f.Level != "" && err != nil {
				return wrongFlag("filter", err)
			}
			if known := []string{"operator", "automatic", "feed"}; f.Source != "" && !slices.Contains(known, f.Source) {
				return wrongFlag("filter", fmt.Errorf("source %q: want %s", f.Source, strings.Join(known, ", ")))
			}
			return c.listRules(f, limit)
		}),
	}
	cmd.Flags().StringArrayVar(&given, "filter", nil, "only those with `KEY=VALUE`; may be repeated")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0 for all")
	completeFlag(cmd, "filter", words("level=", "source="))
	return cmd
}

func (c *call) listRules(f control.RuleFilter, limit int) error {
	rules, more, err := c.rules(f, limit)
	if err != nil {
		return err
	}
	return answer(c, rules, func() error {
		var rows [][]string
		for _, r := range rules {
			source := r.Source
			if r.Pinned {
				source += ", pinned"
			}
			rows = append(rows, []string{r.ID, r.Match, r.Level.String(), r.State, soon(ruleEnd(r), c.now), r.Schedule, source, r.By, r.Reason})
		}
		err := table(c.app.stdout, []string{"RULE", "MATCH", "LEVEL", "STATE", "ENDS", "SCHEDULE", "SOURCE", "BY", "REASON"}, rows)
		if more && !c.quiet {
			c.app.note("there are more: --limit 0 shows all")
		}
		return err
	})
}

func (c *call) rules(f control.RuleFilter, limit int) ([]control.RuleInfo, bool, error) {
	return collect(limit, func(after string, n int) ([]control.RuleInfo, string, error) {
		f.After, f.Limit = after, n
		return c.client.Rules(c.ctx, f)
	})
}

// ruleEnd is when a rule ends by itself.
func ruleEnd(r control.RuleInfo) *time.Time {
	if r.ConfirmBy != nil && (r.Until == nil || r.ConfirmBy.Before(*r.Until)) {
		return r.ConfirmBy
	}
	return r.Until
}

// span is when something holds, as text.
type span struct{ from, until, long string }

// times reads a span. A length counts from the beginning, which is now unless it is said.
func (s span) times(now time.Time) (from, until *time.Time, err error) {
	at := func(flag, text string) *time.Time {
		if text == "" || err != nil {
			return nil
		}
		t, failed := parseTime(text, now)
		if failed != nil {
			err = wrongFlag(flag, failed)
		}
		return &t
	}
	from, until = at("from", s.from), at("until", s.until)
	if s.long == "" || err != nil {
		return from, until, err
	}
	if until != nil {
		return nil, nil, &usageError{errors.New("--for and --until exclude each other"), "both say when it ends"}
	}
	d, err := control.ParseDuration(s.long)
	if err == nil && d == 0 {
		err = errors.New("0s is no time at all")
	}
	if err != nil {
		return nil, nil, wrongFlag("for", err)
	}
	begin := now
	if from != nil {
		begin = *from
	}
	end := begin.Add(time.Duration(d)).Truncate(time.Second)
	return from, &end, nil
}

func (a *app) accessAddCommand(o *nodeFlags) *cobra.Command {
	var level string
	var s span
	var body admin.RuleBody
	cmd := &cobra.Command{
		Use:   "add MATCH",
		Short: "Make a rule: a ceiling for whom it matches",
		Long: `Make a rule: a ceiling for whom it matches. A rule gives nobody more than the
level of the user. MATCH is one of

  203.0.113.7, 203.0.113.0/24, 2001:db8::/32   an address or a prefix
  192.0.2.10-192.0.2.20, 203.0.113.*           a range, or a wildcard
  country:DE, country:unknown, asn:64500       where the address is, with a country file
  sni:*.example.com                            the server name a client asks for
  ja4:t13d*                                    the fingerprint of its ClientHello

Of rules on addresses the most specific prefix wins. A rule that would shut out
yourself, the machine or a balancer takes --force, and ends by itself after ten
minutes unless it is confirmed: mtguard access confirm.`,
		Example: `  mtguard access add 203.0.113.0/24 --level none --for 24h --reason "scans"
  mtguard access add 198.51.100.7 --level superuser --pin
  mtguard access add country:DE --level read_only --schedule "mon-fri 08:00-18:00 Europe/Berlin"
  mtguard access add 'ja4:t13d1516h2_*' --level none --from 2026-12-24 --until 2027-01-02`,
		Args: exactly(1),
		RunE: a.asks(o, func(c *call) (err error) {
			if level == "" {
				return &usageError{errors.New("no level"), "--level " + strings.Join(levelNames(), ", ")}
			}
			if body.Level, err = access.ParseLevel(level); err != nil {
				return wrongFlag("level", err)
			}
			if body.From, body.Until, err = s.times(c.now); err != nil {
				return err
			}
			body.Match = c.args[0]
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.AddRule(c.ctx, body, o) }))
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringVar(&level, "level", "", "the ceiling, a `LEVEL`: none, read_only, standard, admin or superuser")
	cmd.Flags().StringVar(&s.long, "for", "", "it ends after so `LONG`")
	cmd.Flags().StringVar(&s.from, "from", "", "it begins `WHEN`: a date, an RFC 3339 time or a duration from now")
	cmd.Flags().StringVar(&s.until, "until", "", "it ends `WHEN`")
	cmd.Flags().StringVar(&body.Schedule, "schedule", "", "only in these `HOURS` of the week, such as \"mon-fri 08:00-18:00 Europe/Berlin\"")
	cmd.Flags().BoolVar(&body.Pinned, "pin", false, "no list and nothing automatic shuts these addresses out")
	completeFlag(cmd, "level", words(levelNames()...))
	completeFlag(cmd, "for", words("1h", "24h", "7d"))
	for _, free := range []string{"from", "until", "schedule"} {
		completeFlag(cmd, free, cobra.NoFileCompletions)
	}
	return cmd
}

func (a *app) accessRemoveCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm ID",
		Short: "Take a rule out",
		Example: `  mtguard access rm r1f0c2a9be
  mtguard access rm r1f0c2a9be --reason "it was the office" --dry-run`,
		Args:              exactly(1),
		ValidArgsFunction: a.ruleIDs(o),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.RemoveRule(c.ctx, c.args[0], o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

func (a *app) accessConfirmCommand(o *nodeFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "confirm ID",
		Short: "Keep a rule that would end by itself because it shuts out who made it",
		Example: `  mtguard access confirm r1f0c2a9be
  mtguard access confirm r1f0c2a9be --json`,
		Args:              exactly(1),
		ValidArgsFunction: a.ruleIDs(o),
		RunE: a.asks(o, func(c *call) error {
			return c.changed(c.change(func(o admin.ChangeOptions) (control.Result, error) { return c.client.ConfirmRule(c.ctx, c.args[0], o) }))
		}),
	}
	o.change(cmd.Flags())
	return cmd
}

func (a *app) accessExportCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Print the operator's rules as the commands that make them again",
		Long: `Print the operator's rules as the commands that make them again, on this node or
another. What is over, waits to be confirmed, is automatic or on a list is left
out.`,
		Example: `  mtguard access export > rules.sh
  mtguard access export --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			rules, _, err := c.rules(control.RuleFilter{Source: "operator"}, 0)
			if err != nil {
				return err
			}
			kept := rules[:0]
			for _, r := range rules {
				if r.State != "over" && r.ConfirmBy == nil {
					kept = append(kept, r)
				}
			}
			return answer(c, kept, func() error {
				for _, r := range kept {
					fmt.Fprintln(a.stdout, commandOf(r))
				}
				return nil
			})
		}),
	}
}

// commandOf is the command line that makes a rule.
func commandOf(r control.RuleInfo) string {
	line := "mtguard access add " + quoted(r.Match) + " --level " + r.Level.String()
	for _, t := range []struct {
		flag string
		at   *time.Time
	}{{"--from", r.From}, {"--until", r.Until}} {
		if t.at != nil {
			line += " " + t.flag + " " + t.at.UTC().Format(time.RFC3339)
		}
	}
	if r.Schedule != "" {
		line += " --schedule " + quoted(r.Schedule)
	}
	if r.Pinned {
		line += " --pin"
	}
	if r.Reason != "" {
		line += " --reason " + quoted(r.Reason)
	}
	return line
}

// quoted is text as one word of a shell.
func quoted(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/_-"
	text = clean(text)
	if text != "" && strings.Trim(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
