package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Format is how a report is written.
type Format string

// The formats.
const (
	Markdown Format = "md"
	HTML     Format = "html"
	CSV      Format = "csv"
	JSON     Format = "json"
)

// Formats are all of them.
func Formats() []Format { return []Format{Markdown, HTML, JSON, CSV} }

// Media is the media type of a format.
func (f Format) Media() string {
	return map[Format]string{Markdown: "text/markdown; charset=utf-8", HTML: "text/html; charset=utf-8", CSV: "text/csv; charset=utf-8", JSON: "application/json"}[f]
}

// ParseFormat reads a name of a format.
func ParseFormat(text string) (Format, error) {
	if f := Format(text); slices.Contains(Formats(), f) {
		return f, nil
	}
	return "", fmt.Errorf("format %q: want md, html, json or csv", text)
}

// Schema is the name of a report's JSON.
func (r *Report) Schema() string { return "mtguard/report." + string(r.Kind) + "/v1" }

// Render writes a report without a seal. The same report is always the same bytes. What
// strangers chose stands in it as text: in HTML escaped, in Markdown without anything
// that Markdown or HTML reads, in CSV never as a formula.
func Render(r *Report, f Format) ([]byte, error) {
	switch f {
	case Markdown:
		return r.markdown(), nil
	case HTML:
		return r.html()
	case CSV:
		return r.csv()
	case JSON:
		return r.json()
	}
	return nil, fmt.Errorf("format %q", f)
}

// The JSON of a report is an envelope: schema, items with the one report, and seal.
const (
	sealField = "\n  \"seal\": "
	noSeal    = "null"
	jsonEnd   = "\n}\n"
)

func (r *Report) json() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(struct {
		Schema string    `json:"schema"`
		Items  []*Report `json:"items"`
		Seal   *string   `json:"seal"`
	}{r.Schema(), []*Report{r}, nil})
	return b.Bytes(), err
}

// csv writes every table as rows that begin with its name. What a spreadsheet takes for
// a formula begins with an apostrophe.
func (r *Report) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	write := func(cells ...string) {
		for i, cell := range cells {
			cells[i] = plainCell(cell)
		}
		w.Write(cells) // its error is that of Flush
	}
	write("report", string(r.Kind), r.Profile, r.Title)
	write("period", stamp(r.Since), stamp(r.Until))
	write("log", r.Log.Origin, number(r.Log.Row), r.Log.Hash)
	for _, t := range r.tables() {
		head := append([]string{t.id + ":head"}, t.head...)
		if t.hasEvidence() {
			head = append(head, "evidence")
		}
		write(head...)
		for _, line := range t.rows {
			cells := append([]string{t.id}, line.cells...)
			if t.hasEvidence() {
				cells = append(cells, strings.Join(line.evidence, " "))
			}
			write(cells...)
		}
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

// plainCell is text that no spreadsheet takes for a formula.
func plainCell(text string) string {
	text = tidy(text)
	if text != "" && strings.ContainsRune("=+-@\t\r|%", rune(text[0])) {
		return "'" + text
	}
	return text
}

// markdown writes tables in the form that GitHub made common.
func (r *Report) markdown() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", plainMarkdown(r.Title))
	fmt.Fprintf(&b, "Period: later than %s, until %s.\n", when(r.Since), when(r.Until))
	if r.Log.Row == 0 {
		fmt.Fprintf(&b, "The audit log %s had no row by then.\n", plainMarkdown(r.Log.Origin))
	} else {
		fmt.Fprintf(&b, "The audit log %s ended with row %d, hash %s.\n", plainMarkdown(r.Log.Origin), r.Log.Row, plainMarkdown(r.Log.Hash))
	}
	b.WriteString("Keys such as E1 name evidence, which stands at the end.\n")
	for _, whole := range r.tables() {
		t := whole.narrow()
		fmt.Fprintf(&b, "\n## %s\n\n", t.title)
		if len(t.rows) == 0 {
			b.WriteString(t.none + "\n")
			continue
		}
		head := slices.Clone(t.head)
		if t.hasEvidence() {
			head = append(head, "evidence")
		}
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat(" --- |", len(head)))
		for _, line := range t.rows {
			for _, cell := range line.cells {
				b.WriteString("| " + plainMarkdown(cell) + " ")
			}
			if t.hasEvidence() {
				b.WriteString("| " + strings.Join(line.evidence, " ") + " ")
			}
			b.WriteString("|\n")
		}
	}
	return []byte(b.String())
}

// marks are what Markdown and the HTML within it read as more than text.
const marks = "\\`*_{}[]<>()#|~$&!"

// plainMarkdown is text of which Markdown makes nothing else. A colon behind a scheme
// would become a link, and so would an address that begins with www.
func plainMarkdown(text string) string {
	var b strings.Builder
	for _, r := range tidy(text) {
		if strings.ContainsRune(marks, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	out := strings.ReplaceAll(b.String(), "://", "&#58;//")
	return strings.ReplaceAll(strings.ReplaceAll(out, "www.", "www&#46;"), "@", "&#64;")
}

// frame is how a format holds a seal: what stands before and after it, and how its text
// is written there.
type frame struct {
	before, after string
	write         func(string) string
	read          func(string) (string, error)
	// empty is what stands in the place of a seal where there is none.
	empty string
}

var errNoSeal = errors.New("it carries no seal: it was made without one, or it was cut off")

func frameOf(f Format) frame {
	same := func(s string) (string, error) { return s, nil }
	switch f {
	case Markdown:
		return frame{before: "\n## Seal\n\n~~~ mtguard-seal\n", after: "~~~\n", write: func(s string) string { return s }, read: same}
	case HTML:
		return frame{before: htmlSeal, after: htmlEnd, empty: htmlNoSeal + htmlEnd, write: escapeHTML, read: unescapeHTML}
	case CSV:
		return frame{before: "seal,", after: "\n", write: quoteLines, read: unquoteLines}
	}
	return frame{before: sealField, after: jsonEnd, empty: sealField + noSeal + jsonEnd, write: quoteJSON, read: unquoteJSON}
}

func quoteJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("report: " + err.Error()) // a text always is JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func unquoteJSON(s string) (out string, err error) {
	if s == noSeal {
		return "", errNoSeal
	}
	err = json.Unmarshal([]byte(s), &out)
	return out, err
}

// quoteLines writes lines of a seal as rows of CSV, of which the first cell is "seal".
func quoteLines(s string) string {
	var rows []string
	for line := range strings.Lines(s) {
		rows = append(rows, `"`+strings.ReplaceAll(strings.TrimSuffix(line, "\n"), `"`, `""`)+`"`)
	}
	return strings.Join(rows, "\nseal,")
}

func unquoteLines(s string) (string, error) {
	var b strings.Builder
	for _, line := range strings.Split(s, "\nseal,") {
		if len(line) < 2 || line[0] != '"' || line[len(line)-1] != '"' {
			return "", errNoSeal
		}
		b.WriteString(strings.ReplaceAll(line[1:len(line)-1], `""`, `"`) + "\n")
	}
	return b.String(), nil
}

// join puts a seal into a body.
func join(f Format, body []byte, seal string) ([]byte, error) {
	fr := frameOf(f)
	rest, ok := bytes.CutSuffix(body, []byte(fr.empty))
	if !ok {
		return nil, errors.New("report: this is no body of that format")
	}
	return slices.Concat(rest, []byte(fr.before+fr.write(seal)+fr.after)), nil
}

// split is the way back. It takes nothing but what join made of the two.
func split(f Format, file []byte) (body []byte, seal string, err error) {
	fr := frameOf(f)
	at := bytes.LastIndex(file, []byte(fr.before))
	if f == CSV { // the first of the rows
		at = bytes.Index(file, []byte("\nseal,")) + 1
	}
	if at < 0 || f == CSV && at == 0 {
		return nil, "", errNoSeal
	}
	text, ok := bytes.CutSuffix(file[at+len(fr.before):], []byte(fr.after))
	if !ok {
		return nil, "", errNoSeal
	}
	if seal, err = fr.read(string(text)); err != nil {
		return nil, "", err
	}
	body = slices.Concat(file[:at], []byte(fr.empty))
	again, err := join(f, body, seal)
	if err == nil && !bytes.Equal(again, file) {
		err = errors.New("the seal is not written as it should be")
	}
	return body, seal, err
}
