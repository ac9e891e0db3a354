package report

import (
	"fmt"
	"strconv"
	"time"
)

// shown is how many lines a list of a security report has at most. Figures count all.
const shown = 500

func (c *composer) security() {
	c.posture()
	c.incidents()
	c.blocks()
	c.decisions()
	c.figure("changes made", c.facts.Changes.N, "", c.facts.Changes.ends()...)
	c.figure("changes refused", c.facts.Refused.N, "", c.facts.Refused.ends()...)
	for _, state := range sortedKeys(c.facts.KeyEvents) {
		c.figure("keys that became "+state, c.facts.KeyEvents[state], "", c.facts.KeyEventsOf)
	}
}

// ends are the first and the last of a list: a count is of what stands between them.
func ends(list []Source) []Source {
	if len(list) < 3 {
		return list
	}
	return []Source{list[0], list[len(list)-1]}
}

func (c *composer) posture() {
	var first, last *Audit
	n := int64(0)
	for i := range c.facts.Audits {
		a := &c.facts.Audits[i]
		if !a.Started.After(c.facts.Since) {
			continue
		}
		n++
		line := Posture{Audit: a.Number, At: a.Started.UTC(), Score: a.Score, Problem: a.Problem, Evidence: c.cite(a.sources()...)}
		if a.Record != nil {
			counts := make(map[string]int64)
			for _, severity := range a.Record.Found {
				counts[severity]++
			}
			line.Critical, line.High, line.Medium, line.Low, line.Unknown = counts["critical"], counts["high"], counts["medium"], counts["low"], counts[UnknownCheck]
			if !a.Partial {
				if first == nil {
					first = a
				}
				last = a
			}
		}
		c.r.Posture = append(c.r.Posture, line)
	}
	var all []Source
	if n > 0 {
		for _, line := range []Posture{c.r.Posture[0], c.r.Posture[n-1]} {
			for i := range c.facts.Audits {
				if c.facts.Audits[i].Number == line.Audit {
					all = append(all, c.facts.Audits[i].source())
				}
			}
		}
	}
	c.figure("audits", n, "", all...)
	if first == nil {
		c.noFigure("posture", "of 100", "there was no audit of all checks in the period")
		return
	}
	c.figure("posture at the beginning", first.Score, "of 100", first.sources()...)
	c.figure("posture at the end", last.Score, "of 100", last.sources()...)
	worst := int64(0)
	for _, severity := range last.Record.Found {
		if severity == "critical" || severity == "high" {
			worst++
		}
	}
	c.figure("findings of high severity or worse at the end", worst, "", last.sources()...)
	if len(c.r.Posture) > shown {
		c.r.Limits = append(c.r.Limits, fmt.Sprintf("of %d audits the last %d are listed", len(c.r.Posture), shown))
		c.r.Posture = c.r.Posture[len(c.r.Posture)-shown:]
	}
}

func (c *composer) incidents() {
	var all []Source
	for _, n := range c.facts.Incidents {
		if len(c.r.Incidents) < shown {
			line := n.Incident
			line.Evidence = c.cite(n.Sources...)
			c.r.Incidents = append(c.r.Incidents, line)
		}
		all = append(all, n.Sources[0])
	}
	if len(all) > shown {
		c.r.Limits = append(c.r.Limits, fmt.Sprintf("of %d incidents the first %d are listed", len(all), shown))
	}
	if len(all) == 0 {
		all = []Source{{Of: OfIncident, ID: "list", Text: "the list of incidents"}}
		c.figure("incidents that began", 0, "", all...)
		return
	}
	c.figure("incidents that began", int64(len(all)), "", ends(all)...)
}

func (c *composer) blocks() {
	var all []Source
	total, known := int64(0), true
	for _, b := range c.facts.Blocks {
		if len(c.r.Blocks) < shown {
			line := b.Block
			line.Evidence = c.cite(b.Source)
			c.r.Blocks = append(c.r.Blocks, line)
		}
		all = append(all, b.Source)
		if b.Action == "unblock" {
			continue
		}
		if b.Count == nil {
			known = false
			continue
		}
		total += *b.Count
	}
	if len(all) > shown {
		c.r.Limits = append(c.r.Limits, fmt.Sprintf("of %d rows about blocks the first %d are listed", len(all), shown))
	}
	if !known {
		c.noFigure("blocks made", "", "rows of an earlier version do not say how many addresses they are about", ends(all)...)
		return
	}
	c.figure("blocks made", total, "", ends(all)...)
}

// decisions adds up what controls decided between the audits of the period: counters of
// a process stand in the records of audits, and nowhere else.
func (c *composer) decisions() {
	sum := make(map[string]*Decision)
	sources := make(map[string][]Source)
	var from, to *Audit
	var before *Audit
	lost := false
	for i := range c.facts.Audits {
		a := &c.facts.Audits[i]
		if a.Record == nil || a.Record.Process == "" {
			continue
		}
		inside := a.Started.After(c.facts.Since)
		same := before != nil && before.Record.Process == a.Record.Process
		if inside {
			switch {
			case same:
				from = firstOf(from, before)
			case !a.Record.Began.Before(c.facts.Since):
				from = firstOf(from, a)
				lost = lost || before != nil
			default: // of what came before the period nothing is known
				from = firstOf(from, a)
				lost = true
			}
			to = a
			for _, name := range sortedKeys(a.Record.Decisions) {
				d := a.Record.Decisions[name]
				switch {
				case same:
					d = d.less(before.Record.Decisions[name])
				case a.Record.Began.Before(c.facts.Since):
					continue
				}
				if d == (Decisions{}) {
					continue
				}
				if sum[name] == nil {
					sum[name] = &Decision{Control: name}
				}
				s := sum[name]
				s.Allowed, s.Refused, s.Would = s.Allowed+int64(d.Allowed), s.Refused+int64(d.Refused), s.Would+int64(d.Would)
				if same {
					sources[name] = append(sources[name], before.source())
				}
				sources[name] = append(sources[name], a.source())
			}
		}
		before = a
	}
	if to == nil {
		c.noFigure("connections that controls refused", "", "there was no audit in the period whose record has counters")
		c.noFigure("connections that controls would have refused", "", "there was no audit in the period whose record has counters")
		return
	}
	var refused, would int64
	for _, name := range sortedKeys(sum) {
		line := *sum[name]
		line.Evidence = c.cite(ends(sources[name])...)
		c.r.Decisions = append(c.r.Decisions, line)
		refused, would = refused+line.Refused, would+line.Would
	}
	evidence := append(from.sources(), to.sources()...)
	c.figure("connections that controls refused", refused, "", evidence...)
	c.figure("connections that controls would have refused", would, "", evidence...)
	c.r.Limits = append(c.r.Limits, fmt.Sprintf("decisions are counted from audit %d (%s) to audit %d (%s); what came before and after stands in no record",
		from.Number, from.Started.UTC().Format(time.RFC3339), to.Number, to.Started.UTC().Format(time.RFC3339)))
	if lost {
		c.r.Limits = append(c.r.Limits, "a process ended between two audits: what it decided after its last audit was not counted")
	}
}

func firstOf(a, b *Audit) *Audit {
	if a != nil {
		return a
	}
	return b
}

// less is what counters have grown by.
func (d Decisions) less(was Decisions) Decisions {
	minus := func(a, b uint64) uint64 {
		if a < b {
			return a
		}
		return a - b
	}
	return Decisions{minus(d.Allowed, was.Allowed), minus(d.Refused, was.Refused), minus(d.Would, was.Would)}
}

func (c *composer) usage() {
	days := c.facts.Days
	c.r.Limits = append(c.r.Limits,
		"usage is counted by whole days (UTC) that lie in the period and are over; of a day that only begins or ends in it nothing is said",
		"a crash loses what came in the last ten seconds before it",
		"it is not known with whom users spoke, what they sent, nor how many connections were open at once",
		"connections that no user authenticated are in the security report")
	if days.Missing > 0 {
		c.r.Limits = append(c.r.Limits, fmt.Sprintf("%d whole days of the period are not kept by the day any more", days.Missing))
	}
	if days.Known == 0 {
		why := "no whole day of the period is over, or kept"
		for _, f := range [][2]string{{"users that were there", ""}, {"users with traffic", ""}, {"sessions", ""}, {"from users", "bytes"}, {"to users", "bytes"}} {
			c.noFigure(f[0], f[1], why)
		}
		return
	}
	source := Source{Of: OfUsage, ID: fmt.Sprintf("%d-%d", days.First, days.Last), Text: "usage by user and day, " + day(days.First) + " to " + day(days.Last)}
	var up, down, sessions, active int64
	for _, u := range c.facts.Users {
		line := User{Name: u.Name, Created: u.Created.UTC(), Sessions: u.Sessions, Up: u.Up, Down: u.Down, Evidence: c.cite(source)}
		if !u.Removed.IsZero() {
			removed := u.Removed.UTC()
			line.Removed = &removed
		}
		up, down, sessions = up+u.Up, down+u.Down, sessions+u.Sessions
		if u.Sessions+u.Up+u.Down > 0 {
			active++
		}
		c.r.Users = append(c.r.Users, line)
	}
	c.figure("whole days counted", int64(days.Known), "", source)
	c.figure("users that were there", int64(len(c.facts.Users)), "", source)
	c.figure("users with traffic", active, "", source)
	c.figure("sessions", sessions, "", source)
	c.figure("from users", up, "bytes", source)
	c.figure("to users", down, "bytes", source)
}

// day is a day as 2006-01-02 of one as 20060102.
func day(n int) string {
	text := strconv.Itoa(n)
	if len(text) != 8 {
		return text
	}
	return text[:4] + "-" + text[4:6] + "-" + text[6:]
}
