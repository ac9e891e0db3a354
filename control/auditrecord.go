package control

import (
	"slices"
	"strings"

	"mtguard/control/audit"
	"mtguard/control/report"
	"mtguard/control/store"
	"mtguard/security/auditlog"
	"mtguard/security/policy"
)

// auditRecord is what an audit leaves behind for reports: what was asked, what there is,
// the worst first in live, and counters that nothing else keeps.
func (p *Plane) auditRecord(asked, unfinished []string, live []store.Finding) (string, error) {
	r := report.Record{Found: make(map[string]string), Of: make(map[string]string), About: make(map[string]report.About),
		Process: p.run, Began: p.started.UTC(), Decisions: make(map[string]report.Decisions), Hits: make(map[string]int64)}
	for _, id := range asked {
		if !slices.Contains(unfinished, id) {
			r.Asked = append(r.Asked, id)
		}
	}
	worst := make([]string, 0, min(len(live), report.MostFound))
	for _, f := range live[:min(len(live), report.MostFound)] {
		r.Found[f.ID], r.Of[f.ID] = countedAs(f), f.Check
		r.About[f.ID] = report.About{Subject: shorten(f.Subject), Evidence: shorten(f.Evidence)}
		worst = append(worst, f.ID)
	}
	r.More = len(live) - len(worst)
	p.mu.Lock()
	for _, name := range policy.Controls() {
		info := ControlInfo{Name: name}
		p.parts.Decisions(&info)
		if d := (report.Decisions{Allowed: info.Allowed, Refused: info.Refused, Would: info.WouldRefuse}); d != (report.Decisions{}) {
			r.Decisions[name] = d
		}
	}
	for id, row := range p.exceptionRows {
		n, _ := p.exceptions.Hits(id)
		r.Hits[id] = row.Hits + n - p.counted[id]
	}
	p.mu.Unlock()
	return r.Encode(worst)
}

// shorten is a text in a record: of one line, and of bounded length.
func shorten(text string) string { return auditlog.Clip(text, 300) }

// parseFound reads severities by ID from what an audit left behind; from what cannot be
// read, none.
func parseFound(text string) map[string]string {
	r, err := report.ParseRecord(text)
	if err != nil {
		return nil
	}
	return r.Found
}

// auditDetails are what the audit log says of an audit. The digest binds what the store
// keeps of it to the log.
func auditDetails(number, score, record string) []auditlog.Detail {
	return []auditlog.Detail{{Key: "audit", Value: number}, {Key: "score", Value: score}, {Key: "record", Value: report.Digest(record)}}
}

// stillThere are findings that are not fixed, the worst first.
func stillThere(known map[string]store.Finding) (live []store.Finding) {
	for _, f := range known {
		if f.State != audit.StateFixed {
			live = append(live, f)
		}
	}
	slices.SortFunc(live, worstStored)
	return live
}

// fileModes is what the configuration file says of controls, in the order of their names.
func fileModes(d *policy.Document) (list []string) {
	if d == nil {
		return nil
	}
	for _, name := range policy.Controls() {
		if c, says := d.Says(name); says && !policy.MemoryBound(name) {
			list = append(list, name+"="+c.String())
		}
	}
	return list
}

// packed puts words into as few texts of at most most bytes as hold them.
func packed(words []string, most int) (texts []string) {
	for _, w := range words {
		if n := len(texts) - 1; n >= 0 && len(texts[n])+len(w)+2 <= most {
			texts[n] = strings.Join([]string{texts[n], w}, "; ")
			continue
		}
		texts = append(texts, w)
	}
	return texts
}
