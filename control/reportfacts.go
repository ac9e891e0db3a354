package control

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/control/report"
	"mtguard/control/store"
	"mtguard/control/threat"
	"mtguard/security/auditlog"
)

// reportFacts reads the ledgers up to the end of a period, in one transaction.
func (p *Plane) reportFacts(ctx context.Context, kind report.Kind, since, until time.Time) (*report.Facts, error) {
	f := &report.Facts{Since: since, Until: until}
	f.Log.Origin = p.signer.Name()
	l := &ledger{facts: f, since: since, until: until}
	// Nothing of it is sealed: a long log holds nobody up.
	err := p.store.View(ctx, func(tx *store.Tx) error {
		if err := l.readLog(ctx, tx); err != nil {
			return err
		}
		switch kind {
		case report.Compliance:
			if err := l.readAudits(tx); err != nil {
				return err
			}
			l.endAcceptances()
			return l.readModes(tx)
		case report.Security:
			if err := l.readAudits(tx); err != nil {
				return err
			}
			return l.readActivity(tx)
		}
		return l.readUsage(tx, p.parts.Now())
	})
	return f, err
}

// ledger is what is gathered of the ledgers.
type ledger struct {
	facts        *report.Facts
	since, until time.Time
	audits       map[string]report.Source // rows of the audit log by number of the audit
	policies     map[int64][]report.Source
	files        []fileRow
	glass        []glassRow
	moves        map[string]moved // of incidents, the last
}

// moved is the last row that took an incident to another state.
type moved struct {
	to     string
	source report.Source
}

// Rows before the period that matter for it hold one of these, as their action begins.
var interesting = [][]byte{[]byte(`"action":"policy.`), []byte(`"action":"rollout.`), []byte(`"action":"bundle.`), []byte(`"action":"exception.`),
	[]byte(`"action":"incident.`), []byte(`"action":"audit.`)}

// timeOf finds the time of a row, which every canonical row has in the same place, as
// text that sorts as time does.
func timeOf(canonical []byte) string {
	const key, length = `"time":"`, len("2006-01-02T15:04:05.000000000Z")
	at := bytes.Index(canonical, []byte(key)) + len(key)
	if at < len(key) || len(canonical) < at+length {
		return ""
	}
	return string(canonical[at : at+length])
}

const rowTime = "2006-01-02T15:04:05.000000000Z"

// readLog goes through the audit log once.
func (l *ledger) readLog(ctx context.Context, tx *store.Tx) error {
	l.audits, l.policies, l.moves = make(map[string]report.Source), make(map[int64][]report.Source), make(map[string]moved)
	since, until := l.since.UTC().Format(rowTime), l.until.UTC().Format(rowTime)
	var last auditlog.Row
	for row, err := range allRows(tx) {
		if err != nil {
			return err
		}
		at := timeOf(row.Canonical)
		if at > until {
			continue
		}
		last = row
		if at <= since && !slices.ContainsFunc(interesting, func(word []byte) bool { return bytes.Contains(row.Canonical, word) }) {
			continue
		}
		e, err := row.Entry()
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
		}
		l.take(&e, rowSource(&e, row.Hash))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if last.Canonical == nil {
		return nil
	}
	e, err := last.Entry()
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	l.facts.Log.Row, l.facts.Log.Hash = e.Seq, last.Hash.String()
	return nil
}

// rowSource is a row of the audit log as evidence.
func rowSource(e *auditlog.Entry, hash auditlog.Hash) report.Source {
	text := e.Action
	if e.Object != "" {
		text += " " + e.Object
	}
	text += ", by " + e.Actor
	if e.Outcome != auditlog.Done {
		text += ", " + e.Outcome.String()
	}
	return report.Source{Of: report.OfRow, ID: strconv.FormatInt(e.Seq, 10), Hash: hash.String(), At: e.Time.UTC().Format(time.RFC3339Nano), Text: text}
}

// detailsOf are the details of an entry by their keys.
func detailsOf(e *auditlog.Entry) map[string]string {
	all := make(map[string]string, len(e.Details))
	for _, d := range e.Details {
		all[d.Key] = d.Value
	}
	return all
}

// take takes what one row says.
func (l *ledger) take(e *auditlog.Entry, source report.Source) {
	if e.Action == report.Action {
		return // no report tells of reports
	}
	inside := e.Time.After(l.since)
	if inside && e.Outcome != auditlog.Done {
		l.facts.Refused.Add(source)
	}
	if e.Outcome != auditlog.Done {
		return
	}
	if inside {
		l.facts.Changes.Add(source)
	}
	details := detailsOf(e)
	if details["exception"] != "" {
		l.takeException(e, details, source)
	}
	group, verb, _ := strings.Cut(e.Action, ".")
	switch {
	case e.Action == "audit.run":
		l.audits[details["audit"]] = source
	case e.Action == "audit.accept":
		l.takeAcceptance(e, details, source)
	case e.Action == "audit.ack": // it takes the place of an acceptance
		id := acceptedID(e, details)
		l.facts.Accepted = slices.DeleteFunc(l.facts.Accepted, func(a report.Acceptance) bool { return a.Finding == id })
	case e.Action == "exception.remove":
		l.endException(strings.TrimPrefix(e.Object, "exception "), e.Time, source)
	case group == "incident":
		id := strings.TrimPrefix(e.Object, "incident ")
		l.moves[id] = moved{verb, source}
		l.takeBlock(e, details, source, inside && verb == IncidentContained && details["rule"] != "")
	case e.Action == filePolicy:
		l.files = append(l.files, fileRow{e.Time, details, source})
	case e.Action == BreakGlass{}.action(), e.Action == EndGlass{}.action():
		until, err := time.Parse(time.RFC3339, details["until"])
		if err != nil {
			until = time.Time{}
		}
		l.glass = append(l.glass, glassRow{e.Time, until, source})
	case group == "policy", group == "rollout", group == "bundle":
		at := e.Time.UnixMicro()
		l.policies[at] = append(l.policies[at], source)
	case e.Action == Block{}.action(), e.Action == Unblock{}.action(), e.Action == AutoBlock{}.action():
		l.takeBlock(e, details, source, inside)
	}
}

func (l *ledger) takeBlock(e *auditlog.Entry, details map[string]string, source report.Source, wanted bool) {
	if !wanted {
		return
	}
	b := report.Block{At: e.Time.UTC(), By: e.Actor, Action: e.Action, Target: e.Object, Reason: e.Reason}
	switch n, err := strconv.ParseInt(details["blocked"], 10, 64); {
	case err == nil:
		b.Count = &n
	case e.Action != (AutoBlock{}).action(): // one target at a time
		one := int64(1)
		b.Count = &one
	}
	if b.Reason == "" {
		b.Reason = details["block.1"]
	}
	l.facts.Blocks = append(l.facts.Blocks, report.BlockFact{Block: b, Source: source})
}

func (l *ledger) takeException(e *auditlog.Entry, details map[string]string, source report.Source) {
	until, err := time.Parse(time.RFC3339, details["until"])
	if err != nil {
		until = time.Time{}
	}
	spares := details["spares"]
	if spares == "" {
		spares = e.Object
	}
	x := report.Exception{ID: details["exception"], Controls: strings.Fields(details["controls"]), Spares: spares, Owner: e.Actor, Reason: e.Reason, From: e.Time.UTC(), Until: until.UTC()}
	if !until.After(l.since) {
		return
	}
	x.InForce = until.After(l.until)
	l.facts.Exceptions = append(l.facts.Exceptions, report.Exceptional{Exception: x, Sources: []report.Source{source}})
}

func (l *ledger) endException(id string, at time.Time, source report.Source) {
	l.facts.Exceptions = slices.DeleteFunc(l.facts.Exceptions, func(x report.Exceptional) bool { return x.ID == id && !at.After(l.since) })
	for i := range l.facts.Exceptions {
		if x := &l.facts.Exceptions[i]; x.ID == id {
			ended := at.UTC()
			x.Ended, x.InForce = &ended, false
			x.Sources = append(x.Sources, source)
		}
	}
}

func acceptedID(e *auditlog.Entry, details map[string]string) string {
	if id := details["finding"]; id != "" {
		return id
	}
	return strings.TrimPrefix(e.Object, "finding ")
}

func (l *ledger) takeAcceptance(e *auditlog.Entry, details map[string]string, source report.Source) {
	until, err := time.Parse(time.RFC3339, details["until"])
	id := acceptedID(e, details)
	l.facts.Accepted = slices.DeleteFunc(l.facts.Accepted, func(a report.Acceptance) bool { return a.Finding == id })
	if err != nil || !until.After(l.until) {
		return
	}
	l.facts.Accepted = append(l.facts.Accepted, report.Acceptance{Finding: id, Check: details["check"], Subject: details["subject"], By: e.Actor, Reason: e.Reason,
		At: e.Time.UTC(), Until: until.UTC(), Source: source})
}

// readAudits reads the audits that came to an end in the period or before it.
func (l *ledger) readAudits(tx *store.Tx) error {
	for before, more := int64(0), true; more; {
		runs, err := tx.AuditRuns(before, store.MaxAudits)
		if err != nil {
			return err
		}
		for _, run := range runs {
			before = run.Number
			if run.Started.Add(run.Took).After(l.until) {
				continue
			}
			a := report.Audit{Number: run.Number, Started: run.Started.UTC(), Partial: run.Partial, Score: int64(run.Score), Problem: run.Problem, Digest: report.Digest(run.Found)}
			if run.Problem == "" || run.Found != "" {
				if a.Record, err = report.ParseRecord(run.Found); err != nil {
					return fmt.Errorf("%w: audit %d: %w", store.ErrCorrupt, run.Number, err)
				}
			}
			if source, known := l.audits[strconv.FormatInt(run.Number, 10)]; known {
				a.Row = &source
			}
			l.facts.Audits = append(l.facts.Audits, a)
		}
		more = len(runs) == store.MaxAudits
	}
	slices.Reverse(l.facts.Audits)
	return nil
}

// endAcceptances takes out what ended by itself: the finding was gone at an audit since,
// or became worse.
func (l *ledger) endAcceptances() {
	l.facts.Accepted = slices.DeleteFunc(l.facts.Accepted, func(a report.Acceptance) bool {
		was := ""
		for _, run := range l.facts.Audits {
			if run.Record == nil {
				continue
			}
			is := ""
			for id, severity := range run.Record.Found {
				if strings.HasPrefix(id, a.Finding) && (run.Record.Of[id] == "" || run.Record.Of[id] == a.Check) {
					is = severity
				}
			}
			if run.Started.Before(a.At) {
				was = is
				continue
			}
			if is == "" && run.Record.More == 0 || heavier(is, was) && was != "" {
				return true
			}
		}
		return false
	})
}

// readActivity reads what a security report has beside audits and rows.
func (l *ledger) readActivity(tx *store.Tx) error {
	counts, first, last, err := tx.KeyEventCounts(l.since, l.until)
	if err != nil {
		return err
	}
	l.facts.KeyEvents = counts
	l.facts.KeyEventsOf = report.Source{Of: report.OfHistory, ID: fmt.Sprintf("%d-%d", first, last), Text: "the history of keys"}
	list, err := tx.Incidents(store.IncidentFilter{Limit: store.MaxIncidents})
	if err != nil {
		return err
	}
	slices.Reverse(list)
	for _, n := range list {
		if n.Opened.After(l.since) && !n.Opened.After(l.until) {
			l.facts.Incidents = append(l.facts.Incidents, l.incident(&n))
		}
	}
	l.facts.Limits = append(l.facts.Limits,
		fmt.Sprintf("incidents are kept for %d days after they were closed, and counted while they are kept", int(keepIncidents/day)),
		"how many findings an incident had at the end of the period is not kept")
	return nil
}

// incident is one as it was at the end of the period.
func (l *ledger) incident(n *store.Incident) report.IncidentFact {
	x := report.IncidentFact{Incident: report.Incident{ID: n.ID, Opened: n.Opened.UTC(), Detector: n.Detector, Subject: n.Subject, Severity: "unknown", State: IncidentOpen}}
	x.Sources = []report.Source{{Of: report.OfIncident, ID: n.ID, At: n.Opened.UTC().Format(time.RFC3339Nano), Text: n.Detector + " about " + n.Subject}}
	for _, m := range n.Moments {
		if _, err := threat.ParseSeverity(m.Severity); err == nil && !m.At.After(l.until) {
			x.Severity = m.Severity
		}
	}
	if move, known := l.moves[n.ID]; known {
		x.State = move.to
		x.Sources = append(x.Sources, move.source)
	} else if !n.Closed.IsZero() && !n.Closed.After(l.until) {
		x.State = IncidentResolved
	}
	return x
}

// readUsage reads what users used on whole days of the period.
func (l *ledger) readUsage(tx *store.Tx, now time.Time) error {
	f := l.facts
	kept := dayOf(now.AddDate(0, 0, -keptDays))
	first := l.since.UTC().Truncate(day)
	if first.Before(l.since) {
		first = first.Add(day)
	}
	for d := first; !d.Add(day).After(l.until); d = d.Add(day) {
		if dayOf(d) < kept {
			f.Days.Missing++
			continue
		}
		if f.Days.Known == 0 {
			f.Days.First = dayOf(d)
		}
		f.Days.Known++
		f.Days.Last = dayOf(d)
	}
	if f.Days.Known == 0 {
		return nil
	}
	used, err := tx.UsageBetween(f.Days.First, f.Days.Last)
	if err != nil {
		return err
	}
	begin, err := time.Parse("20060102", strconv.Itoa(f.Days.First))
	if err != nil {
		return err
	}
	for u, err := range tx.EveryUser() {
		if err != nil {
			return err
		}
		if u.Created.After(l.until) || !u.Removed.IsZero() && u.Removed.Before(begin) && used[u.ID].Sessions+used[u.ID].Up+used[u.ID].Down == 0 {
			continue
		}
		x := report.UserFact{Name: u.Name, Created: u.Created.UTC(), Sessions: used[u.ID].Sessions, Up: used[u.ID].Up, Down: used[u.ID].Down}
		if !u.Removed.After(l.until) {
			x.Removed = u.Removed
		}
		f.Users = append(f.Users, x)
	}
	slices.SortStableFunc(f.Users, func(a, b report.UserFact) int { return strings.Compare(a.Name, b.Name) })
	return nil
}
