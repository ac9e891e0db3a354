package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"mtguard/control"
	"mtguard/telemetry/live"
)

// picture is the model on a terminal of that size, as somebody looks at it: at most so many lines, none wider. It
// holds no escape sequences.
func (m *topModel) picture(v *topView, columns, rows int) string {
	columns, rows = max(columns, 20), max(rows, 4)
	lines := m.head(columns)
	lines = append(lines, "")
	if v.help {
		lines = append(lines, strings.Split(topHelp, "\n")...)
	} else {
		tiles := m.tiles(columns)
		lines = append(lines, tiles[:min(len(tiles), max(2, rows/3&^1))]...) // the rest of a small screen is for the tables
		if curve := m.curve(columns - 12); curve != "" {
			lines = append(lines, "accepted    "+curve)
		}
		// Incidents come first: what no longer fits is at the bottom.
		lines = append(lines, m.incidentLines(v, columns, rows)...)
		if v.users {
			lines = append(lines, m.userLines(v, columns)...)
		} else {
			lines = append(lines, m.controlLines(v, columns)...)
		}
	}
	lines = append(lines[:min(len(lines), rows-1)], v.foot())
	for i, line := range lines {
		lines[i] = cut(clean(line), columns)
	}
	return strings.Join(lines, "\n")
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
	const shown = 3
	all := warnings(s)
	for _, warning := range all[:min(len(all), shown)] {
		lines = append(lines, "WARN "+warning)
	}
	if more := len(all) - shown; more > 0 {
		lines = append(lines, fmt.Sprintf("%d more: mtguard status", more))
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

func (m *topModel) incidentLines(v *topView, columns, height int) []string {
	shown := 5
	if height <= 24 {
		shown = 3
	}
	var rows []topRow
	for _, i := range m.incidents {
		if v.matches(i.Detector, i.Subject) {
			rows = append(rows, topRow{cells: []string{i.Severity.String(), i.State, i.Detector, i.Subject, soon(&i.Last, m.now), i.Action}})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	lines := topTableLines(topIncidentColumns, rows[:min(len(rows), shown)], columns, 0, false)
	if more := len(rows) - shown; more > 0 {
		lines = append(lines, fmt.Sprintf("%d more: mtguard incident list", more))
	}
	return lines
}

// controlLines are the controls that refuse, or would; with a filter all that it names. Those that do it most come
// first, unless somebody sorts them.
func (m *topModel) controlLines(v *topView, columns int) []string {
	now := make(map[string]live.ControlRate)
	for _, r := range m.last.Controls {
		now[r.Name] = r
	}
	shown := slices.DeleteFunc(slices.Clone(m.controls), func(c control.ControlInfo) bool {
		return v.filter == "" && c.Refused+c.WouldRefuse == 0 || !v.matches(c.Name)
	})
	slices.SortStableFunc(shown, func(x, y control.ControlInfo) int {
		rateOf := func(c control.ControlInfo) float64 { return now[c.Name].Refused + now[c.Name].WouldRefuse }
		return cmp.Or(cmp.Compare(rateOf(y), rateOf(x)), cmp.Compare(y.Refused+y.WouldRefuse, x.Refused+x.WouldRefuse))
	})
	var rows []topRow
	for _, c := range shown {
		r := now[c.Name]
		rows = append(rows, topRow{
			[]string{c.Name, shareText(c.Mode, c.Percent), rate(r.Refused), rate(r.WouldRefuse), count(c.Refused), count(c.WouldRefuse)},
			[]float64{text, text, r.Refused, r.WouldRefuse, float64(c.Refused), float64(c.WouldRefuse)},
		})
	}
	return v.table(rows, columns, "no control has refused anything, or would have")
}

// text stands for the number of a cell that has none.
var text = math.NaN()

// userLines are those who have sessions, the busiest first.
func (m *topModel) userLines(v *topView, columns int) []string {
	if m.usersDenied {
		return []string{"", "who is connected takes the level admin"}
	}
	var rows []topRow
	for _, u := range m.users {
		if v.matches(u.name) {
			rows = append(rows, topRow{
				[]string{u.name, fmt.Sprint(u.sessions), fmt.Sprint(u.addresses), size(int64(u.upRate)), size(int64(u.downRate)), size(u.up), size(u.down)},
				[]float64{text, float64(u.sessions), float64(u.addresses), u.upRate, u.downRate, float64(u.up), float64(u.down)},
			})
		}
	}
	return v.table(rows, columns, "nobody is connected")
}

// table is what of the rows somebody wants to see.
func (v *topView) table(rows []topRow, columns int, none string) []string {
	which := v.which()
	if len(rows) == 0 {
		if v.filter != "" {
			none = "nothing has " + v.filter + " in its name"
		}
		return []string{"", none}
	}
	sorted(rows, v.sort[which], v.turned[which])
	return topTableLines(topTables[which], rows, columns, v.sort[which], v.turned[which])
}
