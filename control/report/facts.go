package report

import "time"

// Facts are what the ledgers say of a period and of what led to it. Lists are in the
// order of time. Whoever reads them takes nothing that is later than Until.
type Facts struct {
	Since, Until time.Time
	Log          LogHead
	Audits       []Audit // of the period, and those before it that anything of it hangs on
	Modes        []Mode  // of every control: the last before the period first
	Exceptions   []Exceptional
	Accepted     []Acceptance // in force at Until
	Incidents    []IncidentFact
	Blocks       []BlockFact
	Refused      Tally            // rows of the period that tell of a change that was refused
	Changes      Tally            // rows of the period that tell of a change that was made
	KeyEvents    map[string]int64 // by the state that was reached
	KeyEventsOf  Source
	Users        []UserFact
	Days         Days
	Limits       []string // what the ledgers no longer have
}

// Audit is one audit with its record, nil when it did not come to its end.
type Audit struct {
	Number  int64
	Started time.Time
	Partial bool
	Score   int64
	Problem string
	Record  *Record
	Digest  string  // of the record's text
	Row     *Source // of the audit log, that tells of it; nil: there is none
}

// Mode is how a control was rolled out from a moment on.
type Mode struct {
	At                    time.Time
	Control               string
	Configured, Effective string // "unknown" where nobody knows
	Why                   string
	Sources               []Source
}

// Exceptional is an exception as the audit log tells of it.
type Exceptional struct {
	Exception
	Sources []Source
}

// Acceptance is what the audit log tells of a risk that somebody accepted.
type Acceptance struct {
	Finding        string // the beginning of its ID
	Check, Subject string
	By, Reason     string
	At, Until      time.Time
	Source         Source
}

// IncidentFact is an incident with what was so at the end of the period.
type IncidentFact struct {
	Incident
	Sources []Source
}

// BlockFact is a block or its end.
type BlockFact struct {
	Block
	Source Source
}

// UserFact is a user and what the store counted for him on Days.
type UserFact struct {
	Name               string
	Created            time.Time
	Removed            time.Time // zero: not until the end of the period
	Sessions, Up, Down int64
}

// Days are the whole days (UTC) of the period whose usage is counted by the day; First
// is 0 when there are none. Missing are whole days of the period that are not kept any more.
type Days struct {
	First, Last int // as 20060102
	Known       int
	Missing     int
}

// Tally counts rows, and keeps the first and the last of them.
type Tally struct {
	N           int64
	First, Last Source
}

// Add counts one.
func (t *Tally) Add(s Source) {
	if t.N == 0 {
		t.First = s
	}
	t.N, t.Last = t.N+1, s
}

// ends are the rows that stand for all of them.
func (t *Tally) ends() []Source {
	switch t.N {
	case 0:
		return nil
	case 1:
		return []Source{t.First}
	}
	return []Source{t.First, t.Last}
}
