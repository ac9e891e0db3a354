package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mtguard/control/alert"
	"mtguard/control/store"
	"mtguard/control/threat"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
)

// The states of an incident, in their order. The last two are the end.
const (
	IncidentOpen          = "open"
	IncidentAcknowledged  = "acknowledged"
	IncidentContained     = "contained"
	IncidentResolved      = "resolved"
	IncidentFalsePositive = "false-positive"
)

// MoveIncident takes an incident to another state: acknowledged (somebody looks at
// it), contained, resolved or false-positive. Of one about an address, contained
// blocks that for For; of one about a secret it revokes that, with a new one for its
// user. False-positive makes an exception for For, and takes back automatic blocks and
// the one that contained it.
type MoveIncident struct {
	ID, To string
	For    Duration // 0: a day, or 90 days of an exception
}

// IncidentInfo is an incident as commands and the API show it.
type IncidentInfo struct {
	ID       string          `json:"id"`
	Seq      int64           `json:"seq"`
	Detector string          `json:"detector"`
	Subject  string          `json:"subject" doc:"a prefix, key and its ID, an actor, or many addresses"`
	Key      string          `json:"key,omitempty"`
	User     string          `json:"user,omitempty"`
	Lineage  []Lineage       `json:"lineage,omitempty" doc:"where the user has this secret from: splits of leaked ones, step by step"`
	Severity threat.Severity `json:"severity" enum:"low,medium,high" doc:"high: a person has to decide"`
	State    string          `json:"state" enum:"open,acknowledged,contained,resolved,false-positive"`
	Opened   time.Time       `json:"opened"`
	Last     time.Time       `json:"last"`
	Closed   *time.Time      `json:"closed,omitempty"`
	Count    int64           `json:"count" doc:"findings"`
	Evidence string          `json:"evidence" doc:"of the last one"`
	Action   string          `json:"action" doc:"what was done about it last"`
	Timeline []store.Moment  `json:"timeline,omitempty"`
	Similar  []IncidentInfo  `json:"similar,omitempty" doc:"of the same kind, or about the same"`
}

// IncidentFilter chooses incidents; After is the Seq before the first.
type IncidentFilter struct {
	State string // "": any; "open" also those that are acknowledged or contained
	After int64
	Limit int
}

func (c MoveIncident) action() string    { return "incident." + clean(c.To) }
func (c MoveIncident) object() string    { return "incident " + clean(c.ID) }
func (MoveIncident) least() access.Level { return access.Admin }

const (
	usualContainment = day
	usualException   = 90 * day
	// mostSimilar is how many similar incidents one shows.
	mostSimilar = 5
	// quietAfter is after how long without a finding an incident that was answered in
	// full is over by itself.
	quietAfter = day
	// keepIncidents is how long a closed incident is kept.
	keepIncidents = 30 * day
)

// after says from which states a state is reached.
var after = map[string][]string{
	IncidentAcknowledged:  {IncidentOpen},
	IncidentContained:     {IncidentOpen, IncidentAcknowledged},
	IncidentResolved:      {IncidentOpen, IncidentAcknowledged, IncidentContained},
	IncidentFalsePositive: {IncidentOpen, IncidentAcknowledged, IncidentContained},
}

func (c MoveIncident) apply(x *transaction) error {
	from, known := after[c.To]
	if !known {
		return invalid("to", "%s is no state that an incident can be taken to", clean(c.To))
	}
	if err := x.noObject(); err != nil {
		return err
	}
	n, err := x.tx.Incident(c.ID)
	if errors.Is(err, store.ErrNotFound) {
		return notFound("incident", clean(c.ID), "mtguard incident list")
	}
	if err != nil {
		return err
	}
	if !slices.Contains(from, n.State) {
		return refused("", "incident %s is %s already", n.ID, n.State)
	}
	what := c.To
	switch c.To {
	case IncidentContained:
		what, err = x.contain(c, n)
	case IncidentFalsePositive:
		what, err = x.mistaken(c, n)
	}
	if err != nil {
		return err
	}
	if x.o.Reason != "" {
		what += ": " + x.o.Reason
	}
	n.State = c.To
	if c.To == IncidentResolved || c.To == IncidentFalsePositive {
		n.Closed = x.now
	}
	n.Moments = append(n.Moments, store.Moment{At: x.now, By: x.by.Name, What: what})
	if err := x.tx.PutIncident(&n); err != nil {
		return err
	}
	info := incidentInfo(n)
	x.result.Incident = &info
	x.result.Summary = fmt.Sprintf("incident %s is %s", n.ID, what)
	return nil
}

// contain keeps what an incident is about from going on.
func (x *transaction) contain(c MoveIncident, n store.Incident) (what string, err error) {
	if err := x.requireReason(); err != nil {
		return "", err
	}
	if n.Key != "" {
		return "contained, its secret is revoked and replaced", RevokeKey{ID: keys.ID(n.Key), Replace: true}.apply(x)
	}
	if _, err := netip.ParsePrefix(n.Subject); err != nil {
		return "", refused("mtguard block", "incident %s is about %s: choose yourself what to block", n.ID, n.Subject)
	}
	if c.For == 0 {
		c.For = Duration(usualContainment)
	}
	return fmt.Sprintf("contained, %s is blocked for %v", n.Subject, c.For), Block{Target: n.Subject, For: c.For}.apply(x)
}

// mistaken sees to it that what was found by mistake is not answered again.
func (x *transaction) mistaken(c MoveIncident, n store.Incident) (what string, err error) {
	if c.For == 0 {
		c.For = Duration(usualException)
	}
	if x.o.Reason == "" {
		x.o.Reason = "incident " + n.ID + " was none"
	}
	e := AddException{Controls: []string{policy.ThreatBlock}, User: n.User, Until: x.now.Add(time.Duration(c.For))}
	if _, err := netip.ParsePrefix(n.Subject); err == nil {
		e.Prefix, e.User = n.Subject, ""
	}
	if e.Prefix == "" && e.User == "" {
		return "a false positive", nil // about nobody whom an exception could spare
	}
	if err := e.apply(x); err != nil {
		return "", err
	}
	for row, err := range x.tx.Rules(0) {
		if err != nil {
			return "", err
		}
		if e.Prefix != "" && (row.Source == store.FromAutomatic || containedBy(n, row)) && prefixText(row.Match) == e.Prefix {
			row.Removed = x.now
			if err := x.tx.PutRule(&row); err != nil {
				return "", err
			}
		}
	}
	return fmt.Sprintf("a false positive, exception %s", x.result.Exception.ID), nil
}

// containedBy reports whether a rule is the block that contained the incident.
func containedBy(n store.Incident, row store.Rule) bool {
	return row.Source == store.FromOperator && row.Level == access.None && slices.ContainsFunc(n.Moments, func(m store.Moment) bool {
		return strings.HasPrefix(m.What, "contained, ") && m.By == row.By && m.At.Truncate(time.Microsecond).Equal(row.Created.Truncate(time.Microsecond))
	})
}

// prefixText is what a rule matches as a prefix, if it is one address.
func prefixText(match string) string {
	if a, err := netip.ParseAddr(match); err == nil {
		return netip.PrefixFrom(a, a.BitLen()).String()
	}
	return match
}

// NoteIncidents writes down what was found and done, as incidents: it begins them and
// goes on with those that are open. It asks nobody and is in no audit log, like the
// numbers of usage.
func (p *Plane) NoteIncidents(ctx context.Context, notes []threat.Note) error {
	if len(notes) == 0 {
		return nil
	}
	var news []IncidentInfo
	var begun []store.Incident
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		news, begun = nil, nil
		for _, note := range notes {
			n, worse, err := putNote(tx, note)
			if err != nil {
				return err
			}
			if n.Count == int64(note.Count) {
				begun = append(begun, n)
			}
			if !worse {
				continue
			}
			info := incidentInfo(n)
			if n.Key != "" {
				if info.Lineage, err = lineageNamed(tx, n.User); err != nil {
					return err
				}
			}
			news = append(news, info)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range begun {
		p.tally.add(1, incidentsMetric, n.Detector, n.Severity)
	}
	for _, info := range news {
		p.tellIncident(ctx, &info)
	}
	return nil
}

// tellIncident tells whom it may concern, if there is one.
func (p *Plane) tellIncident(ctx context.Context, info *IncidentInfo) {
	if p.parts.Incident != nil && info != nil {
		p.parts.Incident(ctx, *info)
	}
}

// putNote reports whether the incident has begun with the note, or become worse.
func putNote(tx *store.Tx, note threat.Note) (store.Incident, bool, error) {
	n, err := tx.OpenIncident(note.Detector, note.Subject)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return n, false, err
	}
	fresh := err != nil
	if fresh {
		n = store.Incident{ID: newID("i"), Detector: note.Detector, Subject: note.Subject, Key: note.Key, User: note.User, State: IncidentOpen, Opened: note.First}
		if err := sayLineage(tx, &n); err != nil {
			return n, false, err
		}
	}
	was, _ := threat.ParseSeverity(n.Severity)
	n.Severity = max(was, note.Severity).String()
	if worse := fresh || note.Severity > was; worse || n.Action != note.Action {
		moment := store.Moment{At: note.Last, By: ThreatActor.Name, What: note.Action + ": " + note.Evidence}
		if worse {
			moment.Severity = n.Severity
		}
		n.Moments = append(n.Moments, moment)
	}
	n.Count += int64(note.Count)
	n.Last, n.Evidence, n.Action = note.Last, note.Evidence, note.Action
	return n, fresh || note.Severity > was, tx.PutIncident(&n)
}

// sayLineage begins the timeline of an incident about a secret with where that comes from.
func sayLineage(tx *store.Tx, n *store.Incident) error {
	if n.Key == "" {
		return nil
	}
	steps, err := lineageNamed(tx, n.User)
	if text := LineageText(steps); text != "" {
		n.Moments = append(n.Moments, store.Moment{At: n.Opened, By: ThreatActor.Name, What: text})
	}
	return err
}

// Incidents returns incidents, the newest first, and the After of the next page, 0 at
// the end.
func (p *Plane) Incidents(ctx context.Context, f IncidentFilter) (items []IncidentInfo, next int64, err error) {
	limit := limitOf(f.Limit)
	q := store.IncidentFilter{State: f.State, Before: f.After, Limit: limit + 1}
	if f.State == IncidentOpen {
		q.State, q.Open = "", true
	}
	err = p.view(ctx, func(tx *store.Tx) error {
		rows, err := tx.Incidents(q)
		for _, row := range rows {
			info := incidentInfo(row)
			info.Timeline = nil
			items = append(items, info)
		}
		return err
	})
	if len(items) > limit {
		items = items[:limit]
		next = items[limit-1].Seq
	}
	return items, next, err
}

// Incident returns one incident with its timeline and similar ones.
func (p *Plane) Incident(ctx context.Context, id string) (info IncidentInfo, err error) {
	err = p.view(ctx, func(tx *store.Tx) error {
		row, err := tx.Incident(id)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("incident", clean(id), "mtguard incident list")
		}
		if err != nil {
			return err
		}
		info = incidentInfo(row)
		if row.Key != "" {
			if info.Lineage, err = lineageNamed(tx, row.User); err != nil {
				return err
			}
		}
		similar, err := tx.Incidents(store.IncidentFilter{Detector: row.Detector, Subject: row.Subject, Limit: mostSimilar + 1})
		for _, other := range similar {
			if other.ID != id && len(info.Similar) < mostSimilar {
				one := incidentInfo(other)
				one.Timeline = nil
				info.Similar = append(info.Similar, one)
			}
		}
		return err
	})
	return info, err
}

// sweepIncidents ends those that were answered and are over, tells of that as when a
// person ends one, and forgets those that are long closed. What a person should look at
// stays.
func (p *Plane) sweepIncidents(ctx context.Context, now time.Time) error {
	var over []IncidentInfo
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		over = nil
		open, err := tx.Incidents(store.IncidentFilter{State: IncidentOpen, Limit: store.MaxIncidents})
		if err != nil {
			return err
		}
		for _, n := range open {
			if n.Severity == threat.High.String() || now.Sub(n.Last) < quietAfter {
				continue
			}
			n.State, n.Closed = IncidentResolved, now
			n.Moments = append(n.Moments, store.Moment{At: now, By: ThreatActor.Name, What: "resolved: nothing more came"})
			if err := tx.PutIncident(&n); err != nil {
				return err
			}
			over = append(over, incidentInfo(n))
		}
		_, err = tx.DropIncidents(now.Add(-keepIncidents))
		return err
	})
	if err != nil {
		return err
	}
	for _, info := range over {
		p.tellIncident(ctx, &info)
	}
	return nil
}

// Message is what receivers are told of an incident: its subject as it stands here, and no evidence.
func (i IncidentInfo) Message() alert.Message {
	severity := map[threat.Severity]alert.Severity{threat.Low: alert.Low, threat.Medium: alert.Medium, threat.High: alert.High}[i.Severity]
	m := alert.Message{
		About: "incident " + i.ID, Kind: alert.KindIncident, Status: alert.Status(strings.ReplaceAll(i.State, "-", "_")), Code: i.Detector, Severity: severity,
		Title: i.Detector + ": " + i.Subject, Detail: plural(int(i.Count), "finding") + "; " + i.Action, Fix: "mtguard incident show " + i.ID,
		Since: i.Opened, Until: i.Closed,
	}
	if text := LineageText(i.Lineage); text != "" {
		m.Detail += "; " + text
	}
	return m
}

func incidentInfo(n store.Incident) IncidentInfo {
	severity, err := threat.ParseSeverity(n.Severity)
	if err != nil {
		severity = threat.High // a word of another version: somebody should look
	}
	return IncidentInfo{
		ID: n.ID, Seq: n.Seq, Detector: n.Detector, Subject: n.Subject, Key: n.Key, User: n.User, Severity: severity, State: n.State,
		Opened: n.Opened, Last: n.Last, Closed: maybe(n.Closed), Count: n.Count, Evidence: n.Evidence, Action: n.Action, Timeline: n.Moments,
	}
}
