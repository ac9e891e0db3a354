package report

import (
	"strconv"
	"strings"
	"time"
)

// table is a part of a report as people see it.
type table struct {
	id, title string
	head      []string
	rows      []row
	none      string // what is said when there is no row
}

// row is a line of a table. Keys of evidence stand in its last cell.
type row struct {
	cells    []string
	result   Result // unless empty, the one of the cell resultAt
	evidence []string
}

// resultAt is the cell of a row that holds its result.
const resultAt = 2

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func whenever(t *time.Time) string {
	if t == nil {
		return ""
	}
	return when(*t)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func orUnknown(n *int64) string {
	if n == nil {
		return "unknown"
	}
	return number(*n)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// tables are the parts of a report in their order.
func (r *Report) tables() []table {
	summary := table{id: "summary", title: "Summary", head: []string{"figure", "value", "note"}}
	for _, f := range r.Summary {
		summary.rows = append(summary.rows, row{cells: []string{f.Name, f.Text(), f.Note}, evidence: f.Evidence})
	}
	all := []table{summary}
	switch r.Kind {
	case Compliance:
		all = append(all, r.requirementTable(), r.answerTable(), r.controlTable(), r.changeTable(), r.exceptionTable(), r.acceptedTable())
	case Security:
		all = append(all, r.postureTable(), r.incidentTable(), r.blockTable(), r.decisionTable())
	case Usage:
		all = append(all, r.userTable())
	}
	limits := table{id: "limits", title: "What this report does not know", head: []string{"limit"}, none: "Nothing but what is marked unknown."}
	for _, text := range r.Limits {
		limits.rows = append(limits.rows, row{cells: []string{text}})
	}
	evidence := table{id: "evidence", title: "Evidence", head: []string{"key", "of", "id", "time", "what it says", "sha-256", "shown by"}, none: "There is none."}
	for _, e := range r.Evidence {
		evidence.rows = append(evidence.rows, row{cells: []string{e.Key, e.Of, e.ID, e.At, e.Text, e.Hash, e.Command}})
	}
	return append(all, limits, evidence)
}

func (r *Report) requirementTable() table {
	t := table{id: "requirements", title: "Requirements", head: []string{"id", "requirement", "result", "source", "note"}}
	for _, q := range r.Requirements {
		t.rows = append(t.rows, row{cells: []string{q.ID, q.Title, string(q.Result), q.Source, q.Why}, result: q.Result, evidence: q.Evidence})
	}
	return t
}

func (r *Report) answerTable() table {
	t := table{id: "answers", title: "What the results stand on", head: []string{"requirement", "asked", "result", "says", "configured", "effective"}}
	for _, q := range r.Requirements {
		for _, a := range q.Answers {
			t.rows = append(t.rows, row{cells: []string{q.ID, a.By + " " + a.Name, string(a.Result), a.Text, a.Configured, a.Effective}, result: a.Result, evidence: a.Evidence})
		}
	}
	return t
}

func (r *Report) controlTable() table {
	t := table{id: "controls", title: "Controls at the end of the period", head: []string{"control", "configured", "effective", "changes", "exceptions"}, none: "No control answers this profile."}
	for _, c := range r.Controls {
		t.rows = append(t.rows, row{cells: []string{c.Name, c.Configured, c.Effective, strconv.Itoa(len(c.Changes)), strings.Join(c.Exceptions, " ")}, evidence: c.Evidence})
	}
	return t
}

func (r *Report) changeTable() table {
	t := table{id: "changes", title: "Changes of controls within the period", head: []string{"time", "control", "configured", "effective", "why"}, none: "None."}
	for _, c := range r.Controls {
		for _, x := range c.Changes {
			t.rows = append(t.rows, row{cells: []string{when(x.At), c.Name, x.Configured, x.Effective, x.Why}, evidence: x.Evidence})
		}
	}
	return t
}

func (r *Report) exceptionTable() table {
	t := table{id: "exceptions", title: "Exceptions of the period", head: []string{"exception", "controls", "spares", "owner", "reason", "from", "until", "taken out", "in force", "hits"}, none: "None."}
	for _, e := range r.Exceptions {
		t.rows = append(t.rows, row{cells: []string{e.ID, strings.Join(e.Controls, " "), e.Spares, e.Owner, e.Reason, when(e.From), when(e.Until), whenever(e.Ended), yesNo(e.InForce), orUnknown(e.Hits)}, evidence: e.Evidence})
	}
	return t
}

func (r *Report) acceptedTable() table {
	t := table{id: "accepted", title: "Risks that were accepted", head: []string{"finding", "check", "subject", "by", "reason", "until"}, none: "None."}
	for _, a := range r.Accepted {
		t.rows = append(t.rows, row{cells: []string{a.Finding, a.Check, a.Subject, a.By, a.Reason, when(a.Until)}, evidence: a.Evidence})
	}
	return t
}

func (r *Report) postureTable() table {
	t := table{id: "posture", title: "Audits of the period", head: []string{"audit", "time", "score", "critical", "high", "medium", "low", "unknown", "problem"}, none: "There was none."}
	for _, p := range r.Posture {
		t.rows = append(t.rows, row{cells: []string{number(p.Audit), when(p.At), number(p.Score), number(p.Critical), number(p.High), number(p.Medium), number(p.Low), number(p.Unknown), p.Problem}, evidence: p.Evidence})
	}
	return t
}

func (r *Report) incidentTable() table {
	t := table{id: "incidents", title: "Incidents that began in the period", head: []string{"incident", "opened", "detector", "subject", "severity", "state"}, none: "None is kept."}
	for _, n := range r.Incidents {
		t.rows = append(t.rows, row{cells: []string{n.ID, when(n.Opened), n.Detector, n.Subject, n.Severity, n.State}, evidence: n.Evidence})
	}
	return t
}

func (r *Report) blockTable() table {
	t := table{id: "blocks", title: "Blocks and what was done about them", head: []string{"time", "by", "action", "target", "addresses", "reason"}, none: "None."}
	for _, b := range r.Blocks {
		t.rows = append(t.rows, row{cells: []string{when(b.At), b.By, b.Action, b.Target, orUnknown(b.Count), b.Reason}, evidence: b.Evidence})
	}
	return t
}

func (r *Report) decisionTable() table {
	t := table{id: "decisions", title: "What controls refused, and would have refused", head: []string{"control", "allowed", "refused", "would have refused"}, none: "Nothing was counted."}
	for _, d := range r.Decisions {
		t.rows = append(t.rows, row{cells: []string{d.Control, number(d.Allowed), number(d.Refused), number(d.Would)}, evidence: d.Evidence})
	}
	return t
}

func (r *Report) userTable() table {
	t := table{id: "users", title: "Users", head: []string{"user", "made", "removed", "sessions", "bytes from", "bytes to"}, none: "Nothing is known of users in this period."}
	for _, u := range r.Users {
		t.rows = append(t.rows, row{cells: []string{u.Name, when(u.Created), whenever(u.Removed), number(u.Sessions), number(u.Up), number(u.Down)}, evidence: u.Evidence})
	}
	return t
}

// hasEvidence reports whether a table has a column for keys of evidence.
func (t *table) hasEvidence() bool { return t.id != "limits" && t.id != "evidence" }

// tidy makes text of a stranger fit for one cell: control characters, line breaks and
// marks that turn the direction of writing become U+FFFD.
func tidy(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029,
			r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// narrow leaves out the columns of a table in which nothing stands. The results of rows
// stay in their place, since whatever has a result has an ID and a name before it.
func (t *table) narrow() table {
	var kept []int
	for i := range t.head {
		for _, line := range t.rows {
			if line.cells[i] != "" {
				kept = append(kept, i)
				break
			}
		}
	}
	out := *t
	out.head, out.rows = nil, nil
	for _, i := range kept {
		out.head = append(out.head, t.head[i])
	}
	for _, line := range t.rows {
		cells := make([]string, 0, len(kept))
		for _, i := range kept {
			cells = append(cells, line.cells[i])
		}
		line.cells = cells
		out.rows = append(out.rows, line)
	}
	return out
}
