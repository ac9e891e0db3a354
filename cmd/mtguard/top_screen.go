package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"mtguard/control"
	"mtguard/telemetry/live"
)

// picture is the model on a terminal of that size: at most so many lines, none wider. It holds no escape sequences.
func (m *topModel) picture(columns, rows int) string {
	columns, rows = max(columns, 20), max(rows, 4)
	lines := m.head(columns)
	lines = append(lines, "")
	lines = append(lines, m.tiles(columns)...)
	if curve := m.curve(columns - 12); curve != "" {
		lines = append(lines, "accepted    "+curve)
	}
	foot := "q quit   space hold"
	if m.held {
		foot = "HELD: space goes on"
	}
	// Incidents come first: what no longer fits is at the bottom.
	lines = append(lines, m.incidentLines()...)
	lines = append(lines, m.controlLines()...)
	lines = append(lines[:min(len(lines), rows-1)], foot)
	for i, line := range lines {
		lines[i] = cut(clean(line), columns)
	}
	return strings.Join(lines, "\n")
}

// cut shortens a line to so many columns.
func cut(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:columns-1]) + "…"
}

func (m *topModel) head(columns int) []string {
	s := m.status
	state := "serving"
	switch {
	case m.away:
		state = "GONE: waiting for it"
	case s.Draining:
		state = "draining"
	}
	left := fmt.Sprintf("mtguard %s  %s  up %s  %s", s.Version, state, about(m.now.Sub(s.Started)), strings.Join(s.Listening, " "))
	right := m.now.Local().Format("15:04:05")
	if gap := columns - utf8.RuneCountInString(left) - len(right); gap > 1 {
		left += strings.Repeat(" ", gap) + right
	}
	lines := []string{left}
	for _, warning := range warnings(s) {
		lines = append(lines, "WARN "+warning)
	}
	return lines
}

// tiles are names above their numbers, as many beside each other as there is room for.
func (m *topModel) tiles(columns int) (lines []string) {
	const width = 12
	s := m.last
	all := [][2]string{
		{"open", fmt.Sprint(s.Open)}, {"sessions", fmt.Sprint(s.Sessions)}, {"cover site", fmt.Sprint(s.CoverOpen)}, {"accepted/s", rate(s.Accepted)},
		{"served/s", rate(s.Served)}, {"covered/s", rate(s.Covered)}, {"refused/s", rate(s.Refused)}, {"would/s", rate(s.WouldRefuse)},
		{"up/s", size(int64(s.Up))}, {"down/s", size(int64(s.Down))}, {"incidents", fmt.Sprint(len(m.incidents))},
	}
	if a := m.status.Audit; a != nil {
		all = append(all, [2]string{"posture", fmt.Sprint(a.Score)})
	}
	for row := range slices.Chunk(all, max(1, columns/width)) {
		var names, numbers string
		for _, tile := range row {
			names, numbers = names+cell(width, tile[0]), numbers+cell(width, tile[1])
		}
		lines = append(lines, strings.TrimRight(names, " "), strings.TrimRight(numbers, " "))
	}
	return lines
}

var bars = []rune("▁▂▃▄▅▆▇█")

// curve is what was accepted in the last seconds, as high as the highest of them.
func (m *topModel) curve(columns int) string {
	past := m.past[max(0, len(m.past)-max(columns, 0)):]
	if len(past) == 0 || slices.Max(past) <= 0 {
		return ""
	}
	most := slices.Max(past)
	var out strings.Builder
	for _, n := range past {
		out.WriteRune(bars[min(int(n/most*float64(len(bars))), len(bars)-1)])
	}
	return out.String()
}

func (m *topModel) incidentLines() []string {
	if len(m.incidents) == 0 {
		return nil
	}
	const shown = 5
	lines := []string{"", cell(10, "SEVERITY") + cell(15, "STATE") + cell(20, "INCIDENT") + cell(24, "ABOUT") + cell(10, "LAST") + "DONE"}
	for _, i := range m.incidents[:min(len(m.incidents), shown)] {
		lines = append(lines, cell(10, i.Severity.String())+cell(15, i.State)+cell(20, i.Detector)+cell(24, i.Subject)+cell(10, soon(&i.Last, m.now))+i.Action)
	}
	if more := len(m.incidents) - shown; more > 0 {
		lines = append(lines, fmt.Sprintf("%d more: mtguard incident list", more))
	}
	return lines
}

// controlLines are the controls that refuse, or would, those that do it most first.
func (m *topModel) controlLines() []string {
	now := make(map[string]live.ControlRate)
	for _, r := range m.last.Controls {
		now[r.Name] = r
	}
	busy := slices.DeleteFunc(slices.Clone(m.controls), func(c control.ControlInfo) bool { return c.Refused+c.WouldRefuse == 0 })
	if len(busy) == 0 {
		return nil
	}
	slices.SortStableFunc(busy, func(x, y control.ControlInfo) int {
		rateOf := func(c control.ControlInfo) float64 { return now[c.Name].Refused + now[c.Name].WouldRefuse }
		return cmp.Or(cmp.Compare(rateOf(y), rateOf(x)), cmp.Compare(y.Refused+y.WouldRefuse, x.Refused+x.WouldRefuse))
	})
	lines := []string{"", cell(20, "CONTROL") + cell(14, "MODE") + cell(12, "REFUSED/S") + cell(10, "WOULD/S") + cell(12, "REFUSED") + "WOULD"}
	for _, c := range busy {
		mode := c.Mode
		if c.Percent > 0 && c.Percent < 100 {
			mode += fmt.Sprintf(" %d%%", c.Percent)
		}
		lines = append(lines, cell(20, c.Name)+cell(14, mode)+cell(12, rate(now[c.Name].Refused))+cell(10, rate(now[c.Name].WouldRefuse))+
			cell(12, fmt.Sprint(c.Refused))+fmt.Sprint(c.WouldRefuse))
	}
	return lines
}
