package report

import (
	"bytes"
	_ "embed"
	"html"
	"html/template"
	"strings"
)

var (
	//go:embed report.html
	reportHTML string
	//go:embed report.css
	reportCSS string

	reportTemplate = template.Must(template.New("report").Parse(reportHTML))
)

// The seal stands at the end of the page: these bytes are around it.
const (
	htmlSeal   = "<section><h2 id=\"seal\">Seal</h2><pre tabindex=\"0\" aria-labelledby=\"seal\">"
	htmlNoSeal = "<section><h2 id=\"seal\">No seal</h2><p>This report was made without one: nothing proves what it says."
	htmlEnd    = "\n</section></main></body></html>\n"
)

// page is a report as the template wants it.
type page struct {
	*Report
	Style  template.CSS
	Period string
	Tables []pageTable
	Counts []pageCount // results of a compliance report
}

type pageTable struct {
	ID, Title, None string
	Head            []string
	Cited           bool
	Rows            []pageRow
}

type pageRow struct {
	Anchor   string
	Cells    []pageCell
	Evidence []string
}

type pageCell struct{ Text, Class string }

type pageCount struct {
	Result Result
	Class  string
	N      int
}

// class is the name of a result in the style.
func (r Result) class() string { return strings.ReplaceAll(string(r), " ", "-") }

func (r *Report) html() ([]byte, error) {
	p := page{Report: r, Style: template.CSS(strings.TrimSpace(reportCSS)), Period: when(r.Since) + " – " + when(r.Until)}
	if r.Kind == Compliance {
		n := make(map[Result]int)
		for _, q := range r.Requirements {
			n[q.Result]++
		}
		for _, res := range Results() {
			p.Counts = append(p.Counts, pageCount{res, res.class(), n[res]})
		}
	}
	for _, whole := range r.tables() {
		t := whole.narrow()
		out := pageTable{ID: t.id, Title: t.title, None: t.none, Head: t.head, Cited: t.hasEvidence()}
		for _, line := range t.rows {
			shown := pageRow{Evidence: line.evidence}
			if t.id == "evidence" {
				shown.Anchor = line.cells[0]
			}
			for i, text := range line.cells {
				cell := pageCell{Text: tidy(text)}
				if line.result != "" && i == resultAt {
					cell.Class = line.result.class()
				}
				shown.Cells = append(shown.Cells, cell)
			}
			out.Rows = append(out.Rows, shown)
		}
		p.Tables = append(p.Tables, out)
	}
	var b bytes.Buffer
	if err := reportTemplate.Execute(&b, p); err != nil {
		return nil, err
	}
	b.WriteString(htmlNoSeal + htmlEnd)
	return b.Bytes(), nil
}

func escapeHTML(s string) string { return html.EscapeString(s) + "</pre>" }

func unescapeHTML(s string) (string, error) {
	text, ok := strings.CutSuffix(s, "</pre>")
	if !ok {
		return "", errNoSeal
	}
	return html.UnescapeString(text), nil
}
