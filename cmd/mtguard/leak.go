package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/control"
	"mtguard/control/admin"
)

func (a *app) leakCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "leak",
		GroupID: groupPeople,
		Short:   "Find out who passes a link on: give each of its holders one of his own",
		Long: `Find out who passes a link on. Of a link that several people have, nobody can tell
from whom it got about. leak split gives each of them one of his own: of the next leak,
the finding, the incident and leak show name the holder and where his link came from.`,
		Example: `  mtguard leak split family --holders anna,ben,cem --reason "seen in a channel"
  mtguard leak show anna`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.leakSplitCommand(o), a.leakListCommand(o), a.leakShowCommand(o))
	return cmd
}

// splitFlags are those of leak split.
type splitFlags struct {
	holders  []string
	file     string
	count    int
	overlap  string
	now, csv bool
	incident string
}

func (a *app) leakSplitCommand(o *nodeFlags) *cobra.Command {
	var f splitFlags
	cmd := &cobra.Command{
		Use:   "split USER",
		Short: "Give each holder of a user's leaked secret one of his own, and end the leaked one",
		Long: `Give each holder of a user's leaked secret one of his own, and end the leaked one.
Holders become users with the level, expiry, quota, bounds, domain and note of the
leaked one; when USER is a holder too, name it among them. The leaked secret works for
the overlap, or with --now not at all any more, and stays as a tripwire.

Nothing of the traffic says who the holders are: name them, or say how many they are.
The links are printed, once: --csv prints a line of each for sending them out.`,
		Example: `  mtguard leak split family --holders anna,ben,cem --reason "seen in a channel"
  mtguard leak split club --count 40 --now --csv --yes --reason "for sale" > links.csv
  mtguard leak split family --holders-file names --incident i5721cefaf3 --dry-run --reason "shared"`,
		Args:              exactly(1),
		ValidArgsFunction: a.userNames(o, 1),
		RunE: a.asks(o, func(c *call) error {
			body, err := f.body(c)
			if err != nil {
				return err
			}
			if err := c.needsReason(); err != nil {
				return err
			}
			if f.csv && c.format != formTable {
				return &usageError{errors.New("--csv and --json exclude each other"), "choose one"}
			}
			if err := c.confirmSplit(body); err != nil {
				return err
			}
			c.slow()
			result, err := c.change(func(o admin.ChangeOptions) (control.Result, error) {
				return c.client.SplitLeak(c.ctx, c.args[0], body, o)
			})
			if err != nil || !f.csv {
				return c.handsOut(result, err, false)
			}
			return c.linksAsCSV(result)
		}),
	}
	o.change(cmd.Flags())
	cmd.Flags().StringSliceVar(&f.holders, "holders", nil, "the holders' `NAMES`, such as anna,ben")
	cmd.Flags().StringVar(&f.file, "holders-file", "", "read the holders' names from `FILE`, one a line; - is standard input")
	cmd.Flags().IntVar(&f.count, "count", 0, "there are `N` holders, whom the node numbers: USER-1, USER-2, …")
	cmd.Flags().StringVar(&f.overlap, "overlap", "1d", "the leaked secret works for so `LONG` beside the new ones")
	cmd.Flags().BoolVar(&f.now, "now", false, "revoke the leaked secret at once, and end its sessions")
	cmd.Flags().StringVar(&f.incident, "incident", "", "this answers the incident `ID`, which is contained by it")
	cmd.Flags().BoolVar(&f.csv, "csv", false, "print the links as CSV: user, kind, tg, https")
	completeFlag(cmd, "overlap", words("12h", "1d", "3d"))
	return cmd
}

// maxHoldersFile is far above the longest list of names.
const maxHoldersFile = 64 << 10

func (f *splitFlags) body(c *call) (body admin.SplitBody, err error) {
	flags := c.cmd.Flags()
	ways := 0
	for _, name := range []string{"holders", "holders-file", "count"} {
		if flags.Changed(name) {
			ways++
		}
	}
	if ways != 1 {
		return body, &usageError{errors.New("say once who the holders are"), "one of --holders NAMES, --holders-file FILE, --count N"}
	}
	body = admin.SplitBody{Holders: f.holders, Count: f.count, Now: f.now, Incident: f.incident}
	if f.file != "" {
		text, name, err := c.beginning(f.file, maxHoldersFile+1)
		if err != nil {
			return body, err
		}
		if body.Holders = strings.Fields(string(text)); len(body.Holders) == 0 || len(text) > maxHoldersFile {
			return body, &usageError{fmt.Errorf("%s holds no names", name), "it is a list of names, one a line"}
		}
	}
	if f.now && flags.Changed("overlap") {
		return body, &usageError{errors.New("--now and --overlap exclude each other"), "choose one"}
	}
	if !f.now {
		d, err := control.ParseDuration(f.overlap)
		if err != nil {
			return body, wrongFlag("overlap", err)
		}
		body.Overlap = &d
	}
	return body, nil
}

// confirmSplit asks before sessions are cut off, with how many they are.
func (c *call) confirmSplit(body admin.SplitBody) error {
	if !body.Now || c.yes || c.dryRun {
		return nil
	}
	try := c.options()
	try.DryRun = true
	would, err := c.client.SplitLeak(c.ctx, c.args[0], body, try)
	if err != nil {
		return err
	}
	return c.confirm(would.Summary, c.args[0])
}

// linksAsCSV prints what a change handed out, a line each.
func (c *call) linksAsCSV(result control.Result) error {
	if !c.quiet {
		c.app.note(clean(result.Summary))
	}
	w := csv.NewWriter(c.app.stdout)
	w.Write([]string{"user", "kind", "tg", "https"}) // the writer keeps its error
	for _, link := range result.Links {
		w.Write([]string{clean(link.User), clean(link.Kind), clean(link.TG), clean(link.HTTPS)})
	}
	w.Flush()
	return w.Error()
}

func (a *app) leakListCommand(o *nodeFlags) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List leaked secrets that were split, the newest first",
		Example: `  mtguard leak list
  mtguard leak list --limit 10 --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			items, more, err := collectSeq(limit, func(after int64, n int) ([]control.LeakInfo, int64, error) {
				return c.client.Leaks(c.ctx, control.LeakFilter{After: after, Limit: n})
			})
			if err != nil {
				return err
			}
			return answer(c, items, func() error {
				err := c.showLeaks(items)
				if more && !c.quiet {
					a.note("there are more: --limit 0 shows all")
				}
				return err
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most `N`; 0 for all")
	return cmd
}

func (c *call) showLeaks(items []control.LeakInfo) error {
	var rows [][]string
	for _, l := range items {
		state := orElse(l.KeyState, "gone")
		if l.Until != nil && l.KeyState == "retiring" {
			state += " until " + when(l.Until, c.now)
		}
		suspects := 0
		for _, h := range l.Holders {
			if len(h.Incidents) > 0 || h.Tripped > 0 {
				suspects++
			}
		}
		rows = append(rows, []string{l.ID, l.User, shortID(l.Key), state, strconv.Itoa(len(l.Holders)), strconv.Itoa(suspects), soon(&l.Time, c.now), l.By, l.Incident, l.Reason})
	}
	return table(c.app.stdout, []string{"SPLIT", "USER", "KEY", "STATE", "HOLDERS", "LEAK AGAIN", "WHEN", "BY", "INCIDENT", "REASON"}, rows)
}

func (a *app) leakShowCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show USER",
		Short: "Show where a user's secrets come from, who got one in their place, and who of them leaks",
		Example: `  mtguard leak show family
  mtguard leak show anna --json`,
		Args:              exactly(1),
		ValidArgsFunction: a.userNames(o, 1),
		RunE: a.asks(o, func(c *call) error {
			report, err := c.client.Leak(c.ctx, c.args[0])
			if err != nil {
				return err
			}
			return answer(c, []control.LeakReport{report}, func() error { return c.showLeak(report) })
		}),
	}
}

func (c *call) showLeak(r control.LeakReport) error {
	out := c.app.stdout
	if len(r.Lineage)+len(r.Splits)+len(r.Incidents) == 0 {
		fmt.Fprintf(out, "no secret of user %s is known to have leaked\n", clean(r.User))
		return nil
	}
	for _, step := range r.Lineage {
		fmt.Fprintf(out, "user %s got its secret in the place of %s's, %s (split %s, %s UTC, by %s)\n",
			clean(step.User), clean(step.From), clean(shortID(step.FromKey)), clean(step.Split), step.Time.UTC().Format(time.DateTime), clean(step.By))
	}
	if len(r.Splits) > 0 {
		if len(r.Lineage) > 0 {
			fmt.Fprintln(out)
		}
		if err := c.showLeaks(r.Splits); err != nil {
			return err
		}
	}
	for _, l := range r.Splits {
		fmt.Fprintf(out, "\nHolders of split %s:\n", clean(l.ID))
		var rows [][]string
		for _, h := range l.Holders {
			leaks := strings.Join(h.Incidents, " ")
			if h.Gone {
				leaks = "removed"
			}
			rows = append(rows, []string{h.User, shortID(h.Key), strconv.Itoa(h.Tripped), orElse(leaks, "nothing")})
		}
		if err := table(out, []string{"HOLDER", "KEY", "TRIPPED", "INCIDENTS"}, rows); err != nil {
			return err
		}
	}
	if len(r.Incidents) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nIncidents:")
	return table(out, incidentHeader, c.incidentRows(r.Incidents))
}
