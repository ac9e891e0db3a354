package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/control"
	"mtguard/telemetry/history"
)

// sparkWidth is how many columns a line of blocks has at most, and how many rows the table of one series.
const sparkWidth = 48

// pastStats shows what numbers were over the last time.
func (c *call) pastStats(q statsQuery) error {
	long, err := control.ParseDuration(q.last)
	if err == nil && (time.Duration(long) < 2*time.Minute || time.Duration(long) > history.Span) {
		err = fmt.Errorf("%s is not between 2m and 90d", q.last)
	}
	if err != nil {
		return wrongFlag("last", err)
	}
	if q.watch {
		return &usageError{errors.New("--last and --watch exclude each other"), ""}
	}
	name := strings.TrimPrefix(q.name, "mtguard_")
	ask := history.Query{To: c.now, From: c.now.Add(-time.Duration(long))}
	ask.Step = (time.Duration(long)/sparkWidth + time.Minute - 1).Truncate(time.Minute)
	if name != "" {
		ask.Names = []string{name}
	}
	series, err := c.client.Series(c.ctx, ask)
	if isKind(control.Invalid)(err) && name != "" {
		return &missingError{"no series is called " + name, "mtguard stats --last " + q.last + " --all"}
	}
	if err != nil {
		return err
	}
	if name == "" && !q.all {
		series = slices.DeleteFunc(series, func(s history.Series) bool { return total(s) == 0 })
	}
	if c.format == formCSV {
		rows := [][]string{{"series", "unit", "by", "step", "at", "value"}}
		for _, s := range series {
			for _, p := range s.Points {
				rows = append(rows, []string{s.Name, s.Unit, s.By, strconv.FormatInt(s.Step, 10), p.At.UTC().Format(time.RFC3339), plainNumber(p.Value)})
			}
		}
		return csv.NewWriter(c.app.stdout).WriteAll(rows)
	}
	return answer(c, series, func() error { return c.drawSeries(series, ask, q.last) })
}

// drawSeries is one row for each series, and for one alone a row for each of its points too.
func (c *call) drawSeries(series []history.Series, q history.Query, last string) error {
	var rows [][]string
	for _, s := range series {
		latest := ""
		if n := len(s.Points); n > 0 {
			latest = unitText(s.Points[n-1].Value, s.Unit)
		}
		rows = append(rows, []string{s.Name, sparkline(s, q.From, q.To), s.By, unitText(total(s), s.Unit), latest})
	}
	if err := table(c.app.stdout, []string{"SERIES", "LAST " + strings.ToUpper(last), "BY", "IN ALL", "LATEST"}, rows); err != nil || len(series) != 1 {
		return err
	}
	rows = nil
	for _, p := range series[0].Points {
		rows = append(rows, []string{p.At.Local().Format(dateTime), unitText(p.Value, series[0].Unit)})
	}
	fmt.Fprintln(c.app.stdout)
	return table(c.app.stdout, []string{"FROM", "VALUE"}, rows)
}

// total is the sum of a series, or its maximum, as its points are made.
func total(s history.Series) (all float64) {
	for i, p := range s.Points {
		switch {
		case i == 0:
			all = p.Value
		case s.By == "max":
			all = max(all, p.Value)
		default:
			all += p.Value
		}
	}
	return all
}

var blocks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws a series from 0 to its largest point, one column for each step; a blank is a time of which nothing is known.
func sparkline(s history.Series, from, to time.Time) string {
	if s.Step <= 0 || !from.Before(to) {
		return ""
	}
	step := time.Duration(s.Step) * time.Second
	first := from.Truncate(step)
	columns := slices.Repeat([]rune{' '}, int(to.Sub(first)/step)+1)
	most := 0.0
	for _, p := range s.Points {
		most = max(most, p.Value)
	}
	for _, p := range s.Points {
		i := int(p.At.Sub(first) / step)
		if i < 0 || i >= len(columns) {
			continue
		}
		columns[i] = blocks[0]
		if most > 0 {
			columns[i] = blocks[min(len(blocks)-1, max(0, int(p.Value/most*float64(len(blocks)))))]
		}
	}
	return "|" + string(columns) + "|"
}

// unitText is a value for people.
func unitText(v float64, unit string) string {
	switch {
	case unit == "seconds":
		return secondsText(v)
	case unit == "bytes" && v < 1<<62 && v >= 0:
		return sizeText(int64(v))
	case unit == "ratio":
		return strconv.FormatFloat(100*v, 'f', 0, 64) + " %"
	}
	return plainNumber(v)
}
