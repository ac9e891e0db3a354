package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/control/audit"
	"mtguard/control/store"
	"mtguard/security/access"
)

// AckFinding says that somebody is at work on a finding until a time; AcceptFinding
// that its risk is accepted until a time. Both need a reason. SetAuditSchedule says how
// often audits run by themselves; 0 is never.
type (
	AckFinding struct {
		ID    string
		Until time.Time
	}
	AcceptFinding struct {
		ID    string
		Until time.Time
	}
	SetAuditSchedule struct{ Every Duration }
)

func (AckFinding) action() string       { return "audit.ack" }
func (AcceptFinding) action() string    { return "audit.accept" }
func (SetAuditSchedule) action() string { return "audit.schedule" }

func (c AckFinding) object() string     { return "finding " + clean(c.ID) }
func (c AcceptFinding) object() string  { return "finding " + clean(c.ID) }
func (SetAuditSchedule) object() string { return "audits" }

func (AckFinding) least() access.Level       { return access.Admin }
func (AcceptFinding) least() access.Level    { return access.Superuser }
func (SetAuditSchedule) least() access.Level { return access.Admin }

// How long what somebody says of a finding holds at most.
const (
	longestAck    = 30 * day
	longestAccept = 366 * day
)

func (c AckFinding) apply(x *transaction) error {
	return x.sayOfFinding(c.ID, audit.StateAcknowledged, c.Until, longestAck)
}

func (c AcceptFinding) apply(x *transaction) error {
	return x.sayOfFinding(c.ID, audit.StateAccepted, c.Until, longestAccept)
}

func (x *transaction) sayOfFinding(id, state string, until time.Time, longest time.Duration) error {
	if err := x.requireReason(); err != nil {
		return err
	}
	if err := x.noObject(); err != nil {
		return err
	}
	switch left := until.Sub(x.now); {
	case left <= 0:
		return invalid("until", "it is over already: a finding is %s until a time to come", state)
	case left > longest:
		return invalid("until", "a finding is %s for %v at most", state, Duration(longest))
	}
	f, err := findingOf(x.tx, id)
	if err != nil {
		return err
	}
	if f.State == audit.StateFixed {
		return refused("", "finding %s was fixed on %s", f.ID, f.Fixed.UTC().Format(time.DateOnly))
	}
	f.State, f.Until, f.Reason, f.Actor = state, until, x.o.Reason, x.by.Name
	if err := x.tx.PutFindings([]store.Finding{f}); err != nil {
		return err
	}
	x.detail("finding", f.ID)
	x.detail("check", f.Check)
	x.detail("subject", f.Subject)
	x.detail("until", until.UTC().Format(time.RFC3339))
	info := findingInfo(f, x.now)
	x.result.Finding = &info
	x.result.Summary = fmt.Sprintf("finding %s is %s until %s", f.ID, state, until.UTC().Format(time.RFC3339))
	x.committed = func() error {
		a := &x.p.audits
		a.mu.Lock()
		defer a.mu.Unlock()
		a.live = slices.Clone(a.live)
		if i := slices.IndexFunc(a.live, func(l store.Finding) bool { return l.ID == f.ID }); i >= 0 {
			a.live[i] = f
		}
		return nil
	}
	return nil
}

func (c SetAuditSchedule) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	if every := time.Duration(c.Every); every != 0 && (every < audit.Shortest || every > 366*day) {
		return invalid("every", "audits run every %v at most and every year at least, or with 0s never", Duration(audit.Shortest))
	}
	if err := putSetting(x.tx, settingAudits, c.Every); err != nil {
		return err
	}
	x.detail("every", c.Every)
	x.result.Summary = "audits run every " + c.Every.String()
	if c.Every == 0 {
		x.result.Summary = "audits run only when somebody asks"
	}
	x.committed = func() error {
		x.p.audits.mu.Lock()
		defer x.p.audits.mu.Unlock()
		x.p.audits.every = c.Every
		return nil
	}
	return nil
}

// optionalSetting reads a setting in JSON, if it was ever put.
func optionalSetting(tx *store.Tx, name string, into any) error {
	text, err := tx.Setting(name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

// putSetting puts a setting in JSON.
func putSetting(tx *store.Tx, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return tx.PutSetting(name, text)
}

// leastOfID is how many digits of a finding's ID name it at least.
const leastOfID = 4

// findingOf finds a finding by its ID or a unique beginning of it.
func findingOf(tx *store.Tx, id string) (store.Finding, error) {
	none := notFound("finding", clean(id), "mtguard audit list --all")
	if len(id) < leastOfID {
		return store.Finding{}, none
	}
	var found []store.Finding
	for f, err := range tx.Findings() {
		if err != nil {
			return store.Finding{}, err
		}
		if strings.HasPrefix(f.ID, id) {
			found = append(found, f)
		}
	}
	switch len(found) {
	case 0:
		return store.Finding{}, none
	case 1:
		return found[0], nil
	}
	return store.Finding{}, invalid("id", "%d findings begin with %s: give more of it", len(found), clean(id))
}

func findingInfo(f store.Finding, now time.Time) FindingInfo {
	info := FindingInfo{
		Finding: audit.Finding{ID: f.ID, Check: f.Check, Title: f.Title, Group: audit.Group(f.Group), Severity: severityOf(f), Unknown: f.Unknown,
			Subject: f.Subject, Evidence: f.Evidence, Remedy: f.Remedy},
		State: audit.StateAt(f, now), FirstSeen: f.FirstSeen.UTC(), LastSeen: f.LastSeen.UTC(), Fixed: maybe(f.Fixed), Returned: f.Returned,
	}
	if info.State == audit.StateAcknowledged || info.State == audit.StateAccepted {
		info.Until, info.Reason, info.By = maybe(f.Until), f.Reason, f.Actor
	}
	return info
}

// FindingFilter chooses findings: those of a state, check or group, and of Least or
// worse; empty ones choose all that are not fixed. All has the fixed ones too. After is
// a cursor that Findings returned.
type FindingFilter struct {
	State, Check, Least string
	All                 bool
	After               string
	Limit               int
}

// Findings returns findings, the worst first, and the cursor of the next page.
func (p *Plane) Findings(ctx context.Context, f FindingFilter) (items []FindingInfo, next string, err error) {
	now := p.parts.Now()
	least := audit.Low
	if f.Least != "" {
		if least, err = audit.ParseSeverity(f.Least); err != nil {
			return nil, "", invalid("severity", "%v", err)
		}
	}
	skip := 0
	if f.After != "" {
		if skip, err = strconv.Atoi(f.After); err != nil || skip < 0 {
			return nil, "", invalid("cursor", "it is none of ours")
		}
	}
	err = p.view(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Findings() {
			if err != nil {
				return err
			}
			info := findingInfo(row, now)
			if info.State == audit.StateFixed && !f.All && f.State != audit.StateFixed || f.State != "" && info.State != f.State ||
				f.Check != "" && info.Check != f.Check && string(info.Group) != f.Check || info.Severity < least {
				continue
			}
			items = append(items, info)
		}
		return nil
	})
	if err != nil {
		return nil, "", explain(err)
	}
	slices.SortFunc(items, worstShown)
	items = items[min(skip, len(items)):]
	if limit := limitOf(f.Limit); len(items) > limit {
		items, next = items[:limit], strconv.Itoa(skip+limit)
	}
	return items, next, nil
}

// Finding returns one finding; a unique beginning of its ID does.
func (p *Plane) Finding(ctx context.Context, id string) (info FindingInfo, err error) {
	err = p.view(ctx, func(tx *store.Tx) error {
		row, err := findingOf(tx, id)
		if err == nil {
			info = findingInfo(row, p.parts.Now())
		}
		return err
	})
	return info, explain(err)
}

// Audits returns audits, the newest first, that are older than before (0: from the
// newest on).
func (p *Plane) Audits(ctx context.Context, before int64, limit int) (items []AuditInfo, err error) {
	err = p.view(ctx, func(tx *store.Tx) error {
		rows, err := tx.AuditRuns(before, limitOf(limit))
		for _, row := range rows {
			items = append(items, auditInfo(row))
		}
		return err
	})
	return items, explain(err)
}

// AuditSchedule returns when audits run by themselves.
func (p *Plane) AuditSchedule(context.Context) (AuditSchedule, error) {
	next := maybe(p.nextAudit())
	a := &p.audits
	a.mu.Lock()
	defer a.mu.Unlock()
	return AuditSchedule{Every: a.every, Next: next, Last: maybe(a.good)}, nil
}

// AuditDiff returns what differs between two audits: 0 for to is the newest, 0 for from
// the one before to.
func (p *Plane) AuditDiff(ctx context.Context, from, to int64) (items []AuditDiff, err error) {
	now := p.parts.Now()
	err = p.view(ctx, func(tx *store.Tx) error {
		is, err := auditAt(tx, to, 0)
		if err != nil {
			return err
		}
		was, err := auditAt(tx, from, is.Number)
		if err != nil {
			return err
		}
		before, after := parseFound(was.Found), parseFound(is.Found)
		add := func(id, change, was, is string) error {
			row, err := tx.Finding(id)
			if errors.Is(err, store.ErrNotFound) {
				row = store.Finding{ID: id, Severity: is}
			} else if err != nil {
				return err
			}
			items = append(items, AuditDiff{Change: change, Was: was, Is: is, Finding: findingInfo(row, now)})
			return nil
		}
		for id, severity := range after {
			old, there := before[id]
			switch {
			case !there:
				err = add(id, "appeared", "", severity)
			case heavier(severity, old):
				err = add(id, "worse", old, severity)
			case old != severity:
				err = add(id, "better", old, severity)
			}
			if err != nil {
				return err
			}
		}
		for id, severity := range before {
			if _, still := after[id]; !still {
				if err := add(id, "gone", severity, ""); err != nil {
					return err
				}
			}
		}
		return nil
	})
	slices.SortFunc(items, func(x, y AuditDiff) int {
		if x.Change != y.Change {
			return strings.Compare(x.Change, y.Change)
		}
		return worstShown(x.Finding, y.Finding)
	})
	return items, explain(err)
}

func heavier(a, b string) bool {
	x, errX := audit.ParseSeverity(a)
	y, errY := audit.ParseSeverity(b)
	return errX == nil && (errY != nil || x > y)
}

// auditAt is the audit of that number; for 0 the newest one before another.
func auditAt(tx *store.Tx, number, before int64) (store.AuditRun, error) {
	none := notFound("audit", strconv.FormatInt(number, 10), "mtguard audit history")
	if number != 0 {
		run, err := tx.AuditRun(number)
		if errors.Is(err, store.ErrNotFound) {
			err = none
		}
		return run, err
	}
	runs, err := tx.AuditRuns(before, 1)
	if err == nil && len(runs) == 0 {
		err = &Error{Kind: NotFound, Text: "there are not two audits yet", Fix: "mtguard audit run"}
	}
	if err != nil {
		return store.AuditRun{}, err
	}
	return runs[0], nil
}
