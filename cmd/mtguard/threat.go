package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mtguard/control/threat"
)

func (a *app) threatCommand() *cobra.Command {
	o := new(nodeFlags)
	cmd := &cobra.Command{
		Use:     "threat",
		GroupID: groupThreats,
		Short:   "Show what attacks were found, and what was done about them",
		Long: `Show what attacks were found, and what was done about them. An address that
misbehaves is noted, then throttled, then shown the cover site, then blocked for ten
minutes, and for longer each time it comes again, up to seven days. An address that
somebody authenticated from within a day is throttled at most. In monitor, in which the
node starts, all this is counted and nothing is done.`,
		Example: `  mtguard threat status
  mtguard policy mode threat.block enforce`,
		Args: noSubcommand,
		RunE: help,
	}
	o.common(cmd.PersistentFlags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines))
	cmd.AddCommand(a.threatStatusCommand(o), a.threatFindingsCommand(o))
	return cmd
}

func (a *app) threatStatusCommand(o *nodeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show what was found and done since the start, and whom it would have hit",
		Example: `  mtguard threat status
  mtguard threat status --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			status, err := c.client.Threat(c.ctx)
			if err != nil {
				return err
			}
			return answer(c, []threat.Standing{status}, func() error { return showThreat(c, status) })
		}),
	}
}

func showThreat(c *call, s threat.Standing) error {
	done := func(did, would uint64) string { return fmt.Sprintf("%d, and %d in monitor", did, would) }
	rows := [][]string{
		{"mode", s.Mode},
		{"throttled", done(s.Throttled, s.WouldThrottle)},
		{"shown the cover site", done(s.Shown, s.WouldShow)},
		{"blocked", done(s.Blocked, s.WouldBlock)},
		{"suspects now", strconv.Itoa(s.SuspectsNow)},
		{"blocks today", strconv.Itoa(s.BlocksToday)},
	}
	hit := "none"
	if s.UsersHitToday > 0 {
		hit = fmt.Sprintf("%d: %s", s.UsersHitToday, strings.Join(s.UsersHit, ", "))
	}
	rows = append(rows, []string{"users hit today, or who would have been", hit})
	for _, why := range slices.Sorted(maps.Keys(s.Spared)) {
		rows = append(rows, []string{"spared, " + why, count(s.Spared[why])})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Findings)) {
		rows = append(rows, []string{"found " + name, count(s.Findings[name])})
	}
	return table(c.app.stdout, nil, rows)
}

func (a *app) threatFindingsCommand(o *nodeFlags) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "findings",
		Short: "Show the last findings with their evidence, the newest first",
		Example: `  mtguard threat findings
  mtguard threat findings --limit 20 --json`,
		Args: atMost(0),
		RunE: a.asks(o, func(c *call) error {
			items, err := c.client.ThreatFindings(c.ctx, limit)
			if err != nil {
				return err
			}
			return answer(c, items, func() error {
				var rows [][]string
				for _, f := range items {
					about := "key " + f.Key
					if f.Addr.IsValid() {
						about = f.Addr.String()
					}
					rows = append(rows, []string{soon(&f.Time, c.now), f.Detector, about, f.User, fmt.Sprintf("%.0f", f.Points), f.Evidence})
				}
				return table(c.app.stdout, []string{"WHEN", "FOUND", "ABOUT", "USER", "POINTS", "EVIDENCE"}, rows)
			})
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most `N`, up to 500")
	return cmd
}
