package main

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// topView is how somebody looks at what is known: it changes by keys, and by nothing else.
type topView struct {
	users   bool // the table shows users, not controls
	sort    [2]int
	turned  [2]bool // the other way round
	filter  string
	typing  bool // what is typed goes into the filter
	help    bool
	held    bool
	leaving bool
	stopped bool // by Ctrl-C
}

// Keys beside letters. In raw mode Ctrl-C and Ctrl-D are keys like others.
const (
	keyInterrupt = 3
	keyEnd       = 4
	keyErase     = 8
	keyTab       = '\t'
	keyKill      = 21 // Ctrl-U
	keyEscape    = 27
	keyDelete    = 127
)

// maxTopFilter is longer than any name.
const maxTopFilter = 64

// key does what a key is for.
func (v *topView) key(key byte) {
	switch {
	case key == keyInterrupt:
		v.leaving, v.stopped = true, true
	case key == keyEnd:
		v.leaving = true
	case v.help: // any other key takes it away
		v.help = false
	case v.typing:
		v.into(key)
	default:
		v.command(key)
	}
}

// into is key while the filter is typed.
func (v *topView) into(key byte) {
	switch {
	case key == '\r' || key == '\n':
		v.typing = false
	case key == keyEscape:
		v.typing, v.filter = false, ""
	case key == keyErase || key == keyDelete:
		v.filter = v.filter[:max(0, len(v.filter)-1)]
	case key == keyKill:
		v.filter = ""
	case key >= ' ' && key < keyDelete && len(v.filter) < maxTopFilter:
		v.filter += string(rune(key))
	}
}

func (v *topView) command(key byte) {
	which := v.which()
	switch key {
	case 'q':
		v.leaving = true
	case ' ':
		v.held = !v.held
	case 's':
		v.sort[which], v.turned[which] = (v.sort[which]+1)%(len(topTables[which])+1), false
	case 'r':
		v.turned[which] = !v.turned[which]
	case 'u', keyTab:
		v.users = !v.users
	case '/':
		v.typing, v.filter = true, ""
	case keyEscape:
		v.filter = ""
	case '?', 'h':
		v.help = true
	}
}

// which is the index of the table that is shown.
func (v *topView) which() int {
	if v.users {
		return 1
	}
	return 0
}

// topHelp is what ? shows.
const topHelp = `s      sort by the next column
r      sort the other way round
u      users, or controls again
/      only names with what you type;
       Enter keeps it, Esc ends it
space  hold the picture, go on
q      quit

Any key goes back.`

// foot is the last line: what can be done, or what is being done.
func (v *topView) foot() string {
	switch {
	case v.typing:
		return "/" + v.filter + "_   Enter, or Esc for all"
	case v.held:
		return "HELD: space goes on"
	case v.filter != "":
		return "q quit   only " + v.filter + " (Esc: all)   ? help"
	}
	return "q quit  s sort  / find  u users  ? help"
}

// topColumn is a column of a table. Where there is no room for all, those of the highest rank go first; those
// of rank 0 stay.
type topColumn struct {
	name        string
	width, rank int
}

// Columns of the tables that can be sorted, by which; and of incidents.
var (
	topTables = [2][]topColumn{
		{{"CONTROL", 20, 0}, {"MODE", 14, 3}, {"REFUSED/S", 11, 0}, {"WOULD/S", 9, 1}, {"REFUSED", 12, 4}, {"WOULD", 10, 5}},
		{{"USER", 18, 0}, {"SESSIONS", 10, 1}, {"ADDRS", 7, 2}, {"UP/S", 10, 3}, {"DOWN/S", 10, 0}, {"UP", 10, 5}, {"DOWN", 10, 4}},
	}
	topIncidentColumns = []topColumn{{"SEVERITY", 10, 0}, {"STATE", 15, 3}, {"INCIDENT", 20, 0}, {"ABOUT", 24, 1}, {"LAST", 10, 2}, {"DONE", 24, 4}}
)

// topRow is a row of a table. Cells with a number are sorted by it, the greatest first; the others by their text.
type topRow struct {
	cells   []string
	numbers []float64 // of the cells that have one, others NaN
}

// sorted puts rows in the order of the view: by column n from 1 on; 0 leaves them as they came.
func sorted(rows []topRow, n int, turned bool) {
	if n > 0 {
		slices.SortStableFunc(rows, func(a, b topRow) int {
			x, y := a.numbers[n-1], b.numbers[n-1]
			if x != x { // not a number
				return cmp.Compare(a.cells[n-1], b.cells[n-1])
			}
			return cmp.Compare(y, x)
		})
	}
	if turned {
		slices.Reverse(rows)
	}
}

// topTableLines are a table of so many columns of the terminal, with its head. sort and turned only mark a column.
func topTableLines(columns []topColumn, rows []topRow, room, sort int, turned bool) []string {
	shown := fitting(columns, room)
	head := ""
	for _, i := range shown {
		name := columns[i].name
		if i == sort-1 {
			name += map[bool]string{false: "▾", true: "▴"}[turned]
		}
		head += cell(columns[i].width, name)
	}
	lines := []string{"", strings.TrimRight(head, " ")}
	for _, row := range rows {
		line := ""
		for _, i := range shown {
			line += cell(columns[i].width, clean(row.cells[i]))
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}

// fitting are the columns that there is room for. The last one may be cut.
func fitting(columns []topColumn, room int) (shown []int) {
	width := 0
	for i, c := range columns {
		shown, width = append(shown, i), width+c.width
	}
	for width > room {
		worst := slices.MaxFunc(shown, func(a, b int) int { return cmp.Compare(columns[a].rank, columns[b].rank) })
		if columns[worst].rank == 0 {
			return shown
		}
		shown = slices.DeleteFunc(shown, func(i int) bool { return i == worst })
		width -= columns[worst].width
	}
	return shown
}

// matches reports whether one of the texts has the filter in it.
func (v *topView) matches(texts ...string) bool {
	find := strings.ToLower(v.filter)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), find) })
}

// cut shortens a line to so many columns.
func cut(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:columns-1]) + "…"
}
