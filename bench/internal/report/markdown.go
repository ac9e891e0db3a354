package report

import (
	"fmt"
	"io"
	"strings"
)

// Document is everything that a reader of the results wants to know.
type Document struct {
	Conditions []string // one line each
	Notes      []string // what was left out, and why
	Tables     []Table
	Targets    []Row
	Results    Results
}

// Row is a target as tables show it.
type Row struct{ Name, Note string }

// WriteTo writes the document as Markdown.
func (d *Document) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	b.WriteString("# Benchmark results\n\n")
	b.WriteString("Figures are minimum / median / maximum over the rounds. Ratios are formed inside each round. CPU is user and system time of the " +
		"target's processes. Wall time and MB/s are for orientation only.\n\n")
	list(&b, d.Conditions)
	if len(d.Notes) > 0 {
		b.WriteString("\nLeft out or worth knowing:\n\n")
		list(&b, d.Notes)
	}
	b.WriteString("\n| target | what it is |\n| --- | --- |\n")
	for _, t := range d.Targets {
		fmt.Fprintf(&b, "| %s | %s |\n", t.Name, t.Note)
	}
	d.goals(&b)
	for i := range d.Tables {
		d.table(&b, &d.Tables[i])
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func list(b *strings.Builder, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(b, "- %s\n", l)
	}
}

func (d *Document) table(b *strings.Builder, t *Table) {
	if !d.has(t.Name) {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n", t.Title)
	if t.Text != "" {
		fmt.Fprintf(b, "%s\n\n", t.Text)
	}
	main := t.Main()
	head := []string{"target"}
	for _, m := range t.Metrics {
		head = append(head, m.Name)
	}
	var bases []string
	for _, base := range t.Ratio {
		if len(d.Results.Values(t.Name, base, main)) > 0 {
			bases = append(bases, base)
			head = append(head, main.Name+" : "+base)
		}
	}
	if t.Added != "" {
		head = append(head, "adds to "+t.Added)
	}
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat(" --- |", len(head)))
	for _, target := range d.Targets {
		failed, reason := d.Results.Failed(t.Name, target.Name)
		if failed > 0 && !d.measured(t, target.Name) {
			fmt.Fprintf(b, "| %s | failed: %s |%s\n", target.Name, oneLine(reason), strings.Repeat(" |", len(head)-2))
			continue
		}
		if !d.measured(t, target.Name) {
			continue
		}
		cells := []string{target.Name}
		if failed > 0 {
			cells[0] += fmt.Sprintf(" (%d runs failed: %s)", failed, oneLine(reason))
		}
		for _, m := range t.Metrics {
			cells = append(cells, SpreadOf(d.Results.Values(t.Name, target.Name, m)).text(m.Format))
		}
		for _, base := range bases {
			cells = append(cells, ratioCell(base == target.Name, d.Results.Ratios(t.Name, target.Name, base, main)))
		}
		if t.Added != "" {
			cells = append(cells, SpreadOf(d.Results.Differences(t.Name, target.Name, t.Added, main)).text(main.Format))
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
}

func ratioCell(itself bool, ratios []float64) string {
	if itself {
		return "1"
	}
	return SpreadOf(ratios).text("%.2f")
}

func (d *Document) has(workload string) bool {
	for i := range d.Results {
		if d.Results[i].Workload == workload {
			return true
		}
	}
	return false
}

func (d *Document) measured(t *Table, target string) bool {
	for _, m := range t.Metrics {
		if len(d.Results.Values(t.Name, target, m)) > 0 {
			return true
		}
	}
	return false
}

func (s Spread) text(format string) string {
	if s.N == 0 {
		return "–"
	}
	return fmt.Sprintf(format+" / "+format+" / "+format, s.Min, s.Median, s.Max)
}

func oneLine(s string) string {
	s = strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "\\|")
	if len(s) > 160 {
		s = s[:160] + "…"
	}
	return s
}
