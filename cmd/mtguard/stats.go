package main

import (
	"encoding/csv"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtguard/telemetry/stats"
)

func (a *app) statsCommand() *cobra.Command {
	o := &nodeFlags{csv: true}
	var q statsQuery
	cmd := &cobra.Command{
		Use:     "stats [NAME]",
		GroupID: groupThreats,
		Short:   "Show the node's numbers",
		Long: `Show the node's numbers, the same that /metrics shows: doc/metrics.md says what each
is. NAME is that of a metric, with or without mtguard_ in front; * in it stands for
any text. Totals go on over restarts. What is zero is left out, unless --all or a
NAME asks for it.

With --last it shows what the numbers were, up to ninety days back, as blocks from
zero to the largest; blanks are times when the node did not run. NAME is then one
of a series: accepted, served, covered, refused, open, sessions, bytes_up,
bytes_down, handshakes:RESULT, refused:CONTROL, would_refuse:CONTROL,
incidents_open, posture, heap, rss, cpu.`,
		Example: `  mtguard stats
  mtguard stats 'connections*'
  mtguard stats decisions_total -o csv
  mtguard stats 'relay_*' --watch
  mtguard stats accepted --last 24h
  mtguard stats 'handshakes:*' --last 30d -o csv`,
		Args: atMost(1),
		RunE: a.asks(o, func(c *call) error {
			if len(c.args) == 1 {
				q.name = c.args[0]
			}
			if c.cmd.Flags().Changed("last") {
				return c.pastStats(q)
			}
			return c.stats(q)
		}),
	}
	o.common(cmd.Flags())
	completeFlag(cmd, "output", words(formTable, formJSON, formLines, formCSV))
	cmd.Flags().BoolVar(&q.all, "all", false, "also what is zero")
	cmd.Flags().BoolVar(&q.watch, "watch", false, "again every two seconds, until interrupted")
	cmd.Flags().StringVar(&q.last, "last", "", "what they were in the last `TIME`: 2m to 90d")
	completeFlag(cmd, "last", words("1h", "24h", "7d", "30d", "90d"))
	return cmd
}

type statsQuery struct {
	name, last string
	all, watch bool
}

// watchEvery is how often --watch asks.
const watchEvery = 2 * time.Second

func (c *call) stats(q statsQuery) error {
	if q.watch {
		c.stream()
	}
	for first := true; ; first = false {
		if !first {
			select {
			case <-c.ctx.Done():
				return nil
			case <-time.After(watchEvery):
			}
			if c.format == formTable && colour(c.app.stdout) {
				fmt.Fprint(c.app.stdout, "\x1b[H\x1b[2J")
			}
		}
		items, err := c.client.Stats(c.ctx, q.name)
		if err != nil {
			return err
		}
		if len(items) == 0 && q.name != "" {
			return &missingError{fmt.Sprintf("no metric is called %s", q.name), "mtguard stats --all; doc/metrics.md"}
		}
		if q.name == "" && !q.all {
			items = slices.DeleteFunc(items, func(v stats.Value) bool { return v.Value == 0 && v.Count == 0 })
		}
		if err := c.showStats(items); err != nil || !q.watch {
			return err
		}
	}
}

func (c *call) showStats(items []stats.Value) error {
	header := []string{"metric", "labels", "type", "unit", "value", "count", "p50", "p99"}
	if c.format == formCSV {
		rows := [][]string{header}
		for _, v := range items {
			rows = append(rows, []string{v.Name, labelText(v.Labels), v.Type, v.Unit, plainNumber(v.Value), count(v.Count), plainNumber(v.P50), plainNumber(v.P99)})
		}
		return csv.NewWriter(c.app.stdout).WriteAll(rows)
	}
	return answer(c, items, func() error {
		var rows [][]string
		for _, v := range items {
			rows = append(rows, []string{strings.TrimPrefix(v.Name, "mtguard_"), labelText(v.Labels), valueText(v)})
		}
		return table(c.app.stdout, []string{"METRIC", "LABELS", "VALUE"}, rows)
	})
}

func labelText(labels map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, name+"="+labels[name])
	}
	return strings.Join(parts, " ")
}

func plainNumber(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// valueText is a metric for people.
func valueText(v stats.Value) string {
	switch {
	case v.Type == "histogram" && v.Count == 0:
		return "none"
	case v.Type == "histogram":
		return fmt.Sprintf("%d, mean %s, half ≤ %s, 99 %% ≤ %s", v.Count, secondsText(v.Value/float64(v.Count)), secondsText(v.P50), secondsText(v.P99))
	case strings.Contains(v.Name, "timestamp") && v.Value > 0:
		return time.UnixMilli(int64(v.Value * 1000)).Local().Format(dateTime)
	case v.Unit == "seconds":
		return secondsText(v.Value)
	case v.Unit == "bytes" && math.Abs(v.Value) < 1<<62:
		return sizeText(int64(v.Value))
	}
	return plainNumber(v.Value)
}

// secondsText is a time that may be very short, to three digits.
func secondsText(seconds float64) string {
	for _, unit := range []struct {
		name string
		size float64
	}{{"s", 1}, {"ms", 1e-3}, {"µs", 1e-6}} {
		if seconds >= unit.size {
			return strconv.FormatFloat(seconds/unit.size, 'g', max(3, len(strconv.Itoa(int(seconds/unit.size)))), 64) + " " + unit.name
		}
	}
	return strconv.FormatFloat(seconds*1e9, 'g', 3, 64) + " ns"
}
