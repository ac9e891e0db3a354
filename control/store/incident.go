package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Bounds of what is kept of incidents. Beyond MaxIncidents the closed ones go first, and of the open ones those that were quiet for longest.
const (
	MaxIncidents = 5000
	MaxMoments   = 64
)

// Incident is one row of what was found about somebody. Of two that are open no two are of one Detector about one Subject.
type Incident struct {
	Seq       int64  // its place, in the order in which they began; 0: not there yet
	ID        string // no two have the same
	Detector  string
	Subject   string
	Key, User string // where it is about a secret
	Severity  string
	State     string
	Opened    time.Time
	Last      time.Time
	Closed    time.Time // zero: open
	Count     int64     // findings
	Evidence  string    // of the last one
	Action    string    // what was done about it last
	Moments   []Moment  // the newest MaxMoments of them, the oldest first
}

// Moment is something that happened to an incident.
type Moment struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	What string    `json:"what"`
	// Severity is the incident's from then on, when it began or became worse.
	Severity string `json:"severity,omitempty"`
}

const incidentColumns = `seq, id, detector, subject, key, user, severity, state, opened, last, closed, count, evidence, action, moments`

func scanIncident(r scanner, n *Incident) (int64, error) {
	var opened, last, closed int64
	var moments string
	err := r.Scan(&n.Seq, &n.ID, &n.Detector, &n.Subject, &n.Key, &n.User, &n.Severity, &n.State, &opened, &last, &closed, &n.Count, &n.Evidence, &n.Action, &moments)
	if err != nil {
		return 0, err
	}
	n.Opened, n.Last, n.Closed = instant(opened), instant(last), instant(closed)
	if err := json.Unmarshal([]byte(moments), &n.Moments); err != nil {
		return 0, fmt.Errorf("%w: row %d of table incidents: %w", ErrCorrupt, n.Seq, err)
	}
	return n.Seq, nil
}

// Incident returns the incident of that ID.
func (tx *Tx) Incident(id string) (Incident, error) {
	n, err := one(tx, `SELECT `+incidentColumns+` FROM incidents WHERE id = ?`, id, scanIncident)
	if err != nil {
		return Incident{}, fmt.Errorf("incident %q: %w", id, err)
	}
	return n, nil
}

// OpenIncident returns the open incident of a detector about a subject.
func (tx *Tx) OpenIncident(detector, subject string) (n Incident, err error) {
	err = tx.incidents(&n, `WHERE detector = ? AND subject = ? AND closed = 0`, detector, subject)
	return n, err
}

func (tx *Tx) incidents(n *Incident, where string, args ...any) error {
	found := false
	err := tx.rows(`SELECT `+incidentColumns+` FROM incidents `+where+` LIMIT 1`, func(r scanner) error {
		found = true
		_, err := scanIncident(r, n)
		return err
	}, args...)
	if err == nil && !found {
		err = fmt.Errorf("incident: %w", ErrNotFound)
	}
	return err
}

// IncidentFilter chooses incidents; the zero one all of them.
type IncidentFilter struct {
	State    string // "": any
	Open     bool   // only open ones
	Before   int64  // only of a Seq below; 0: all
	Detector string // with Subject: those of the one or about the other
	Subject  string
	Limit    int // at least 1
}

// Incidents returns incidents, the newest first.
func (tx *Tx) Incidents(f IncidentFilter) (list []Incident, err error) {
	before := f.Before
	if before <= 0 {
		before = 1<<63 - 1
	}
	err = tx.rows(`SELECT `+incidentColumns+` FROM incidents WHERE seq < ? AND (? = '' OR state = ?) AND (? = 0 OR closed = 0)
		AND (? = '' OR detector = ? OR subject = ?) ORDER BY seq DESC LIMIT ?`, func(r scanner) error {
		var n Incident
		_, err := scanIncident(r, &n)
		list = append(list, n)
		return err
	}, before, f.State, f.State, f.Open, f.Detector+f.Subject, f.Detector, f.Subject, max(f.Limit, 1))
	return list, err
}

// PutIncident adds n when n.Seq is 0, and sets that, and otherwise changes the incident there. A second open one of the same detector about the
// same subject is ErrExists. Of the moments the newest MaxMoments are kept. It raises no Revision: nobody compiles incidents.
func (tx *Tx) PutIncident(n *Incident) error {
	if n.ID == "" || n.Detector == "" || n.Subject == "" {
		return errors.New("incident has no ID, detector or subject")
	}
	n.Evidence, n.Action = cut(n.Evidence), cut(n.Action)
	if err := plain(MaxText, n.ID, n.Detector, n.Subject, n.Key, n.User, n.Severity, n.State); err != nil {
		return fmt.Errorf("incident %.40q: %w", n.ID, err)
	}
	if more := len(n.Moments) - MaxMoments; more > 0 {
		n.Moments = n.Moments[more:]
	}
	moments, err := json.Marshal(n.Moments)
	if err != nil {
		return err
	}
	values := []any{n.Detector, n.Subject, n.Key, n.User, n.Severity, n.State, micros(n.Opened), micros(n.Last), micros(n.Closed), n.Count,
		n.Evidence, n.Action, string(moments)}
	if n.Seq != 0 {
		done, err := tx.exec(`UPDATE incidents SET detector = ?, subject = ?, key = ?, user = ?, severity = ?, state = ?, opened = ?, last = ?,
			closed = ?, count = ?, evidence = ?, action = ?, moments = ? WHERE seq = ?`, append(values, n.Seq)...)
		if err == nil && done == 0 {
			err = fmt.Errorf("incident %q: %w", n.ID, ErrNotFound)
		}
		return err
	}
	if err := tx.roomForIncident(); err != nil {
		return err
	}
	done, err := tx.exec(`INSERT INTO incidents (detector, subject, key, user, severity, state, opened, last, closed, count, evidence, action, moments, id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, append(values, n.ID)...)
	if err == nil && done == 0 {
		err = fmt.Errorf("incident %q: %w", n.ID, ErrExists)
	}
	if err != nil {
		return err
	}
	return tx.row(`SELECT seq FROM incidents WHERE id = ?`, []any{n.ID}, &n.Seq)
}

// roomForIncident forgets one when there are as many as may be.
func (tx *Tx) roomForIncident() error {
	_, err := tx.exec(`DELETE FROM incidents WHERE seq IN (SELECT seq FROM incidents ORDER BY closed = 0, last, seq
		LIMIT max((SELECT count(*) FROM incidents) - ?, 0))`, MaxIncidents-1)
	return err
}

// DropIncidents forgets those that were closed before then, and tells how many they were.
func (tx *Tx) DropIncidents(before time.Time) (int64, error) {
	return tx.exec(`DELETE FROM incidents WHERE closed <> 0 AND closed < ?`, micros(before))
}

// CountIncidents are the open incidents by severity.
func (tx *Tx) CountIncidents() (map[string]int, error) {
	n := make(map[string]int)
	err := tx.rows(`SELECT severity, count(*) FROM incidents WHERE closed = 0 GROUP BY severity`, func(r scanner) error {
		var severity string
		var count int
		err := r.Scan(&severity, &count)
		n[severity] = count
		return err
	})
	return n, err
}
