// Package report makes reports of what was kept: compliance, security and usage of a
// node over a time that is over.
//
// [Compose] turns [Facts], which somebody read from the ledgers, into a [Report]. It is a
// function of the facts alone: no clock, no store, no order of a map. The same facts make
// the same bytes in each [Format] by [Render]. Every number and result names its evidence:
// an audit, a row of the audit log, a revision of the policy, each with its hash and with
// the command that shows it. What nobody knows is unknown, never zero and never a pass.
//
// [Seal] binds the bytes to the audit log: a row with their SHA-256, the proof that the row
// is in the log's tree, and a signed checkpoint of that tree. [Verify] needs the file and
// the log's public key, and refuses a file of which one byte differs.
//
// The package starts no goroutine and does no I/O. Texts of strangers (names, reasons,
// subjects) go into reports: each format escapes them, see [Render].
package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what a report is about.
type Kind string

// The kinds.
const (
	Compliance Kind = "compliance"
	Security   Kind = "security"
	Usage      Kind = "usage"
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Compliance, Security, Usage} }

// Report is one report. The order of every list is fixed. Times are UTC.
type Report struct {
	Kind    Kind      `json:"kind" enum:"compliance,security,usage"`
	Profile string    `json:"profile,omitempty" doc:"of a compliance report"`
	Title   string    `json:"title"`
	Since   time.Time `json:"since" doc:"the period is what is later than this …"`
	Until   time.Time `json:"until" doc:"… and not later than this; results are those at its end"`
	Log     LogHead   `json:"log" doc:"the audit log at the end of the period"`
	Summary []Figure  `json:"summary"`

	Requirements []Requirement `json:"requirements,omitempty"`
	Controls     []Control     `json:"controls,omitempty"`
	Exceptions   []Exception   `json:"exceptions,omitempty"`
	Accepted     []Accepted    `json:"accepted,omitempty" doc:"findings whose risk was accepted at the end of the period"`

	Posture   []Posture  `json:"posture,omitempty" doc:"audits of the period"`
	Incidents []Incident `json:"incidents,omitempty"`
	Blocks    []Block    `json:"blocks,omitempty"`
	Decisions []Decision `json:"decisions,omitempty"`
	Users     []User     `json:"users,omitempty"`
	Limits    []string   `json:"limits" doc:"what this report does not know, and why"`
	Evidence  []Evidence `json:"evidence" doc:"what the keys E1, E2, … stand for"`
}

// LogHead says how far the audit log goes that belongs to a report.
type LogHead struct {
	Origin string `json:"origin" doc:"the log's name, that of its key"`
	Row    int64  `json:"row" doc:"number of the last row of the period or before; 0: there was none"`
	Hash   string `json:"hash,omitempty" doc:"of that row, base64"`
}

// Figure is one number of the summary.
type Figure struct {
	Name     string   `json:"name"`
	Value    *int64   `json:"value" doc:"null: nobody knows"`
	Unit     string   `json:"unit,omitempty"`
	Note     string   `json:"note,omitempty"`
	Evidence []string `json:"evidence"`
}

// Text is the figure for people.
func (f Figure) Text() string {
	if f.Value == nil {
		return "unknown"
	}
	if f.Unit == "bytes" {
		return sizeText(*f.Value)
	}
	text := strconv.FormatInt(*f.Value, 10)
	if f.Unit != "" {
		text += " " + f.Unit
	}
	return text
}

// Result is what became of a requirement, or of one answer to it.
type Result string

// The results. Unknown is no pass.
const (
	Met           Result = "met"
	Partly        Result = "partly met"
	NotMet        Result = "not met"
	Unknown       Result = "unknown"
	NotApplicable Result = "not applicable"
)

// Results are all of them, the worst first.
func Results() []Result { return []Result{NotMet, Unknown, Partly, Met, NotApplicable} }

// Requirement is one line of a profile with its result at the end of the period.
type Requirement struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Source  string   `json:"source,omitempty" doc:"the section of the standard that it is about"`
	Result  Result   `json:"result" enum:"met,partly met,not met,unknown,not applicable"`
	Why     string   `json:"why,omitempty" doc:"of what is not applicable"`
	Answers []Answer `json:"answers,omitempty"`
	// Evidence names the line of the profile first, and then what the answers stand on.
	Evidence []string `json:"evidence"`
}

// Answer is what one check or control says of a requirement.
type Answer struct {
	By         string   `json:"by" enum:"check,control"`
	Name       string   `json:"name"`
	Result     Result   `json:"result" enum:"met,partly met,not met,unknown,not applicable"`
	Text       string   `json:"text"`
	Configured string   `json:"configured,omitempty" doc:"of a control: what the policy says"`
	Effective  string   `json:"effective,omitempty" doc:"of a control: what connections met"`
	Evidence   []string `json:"evidence"`
}

// Control is how one control was rolled out over the period.
type Control struct {
	Name       string   `json:"name"`
	Configured string   `json:"configured" doc:"at the end: off, monitor, enforce, enforce 10%, always or unknown"`
	Effective  string   `json:"effective" doc:"the same, but for broken glass"`
	Changes    []Change `json:"changes,omitempty" doc:"within the period"`
	Exceptions []string `json:"exceptions,omitempty"`
	Evidence   []string `json:"evidence"`
}

// Change is a change of what connections meet of a control.
type Change struct {
	At         time.Time `json:"at"`
	Configured string    `json:"configured"`
	Effective  string    `json:"effective"`
	Why        string    `json:"why,omitempty"`
	Evidence   []string  `json:"evidence"`
}

// Exception spared somebody controls at some time of the period.
type Exception struct {
	ID       string     `json:"id"`
	Controls []string   `json:"controls"`
	Spares   string     `json:"spares"`
	Owner    string     `json:"owner"`
	Reason   string     `json:"reason"`
	From     time.Time  `json:"from"`
	Until    time.Time  `json:"until"`
	Ended    *time.Time `json:"ended,omitempty" doc:"somebody took it out"`
	InForce  bool       `json:"in_force" doc:"at the end of the period"`
	Hits     *int64     `json:"hits" doc:"until the last audit of the period; null: nobody knows"`
	Evidence []string   `json:"evidence"`
}

// Accepted is a finding whose risk somebody accepted. It is no pass.
type Accepted struct {
	Finding  string    `json:"finding"`
	Check    string    `json:"check"`
	Subject  string    `json:"subject"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	Until    time.Time `json:"until"`
	Evidence []string  `json:"evidence"`
}

// Posture is one audit of the period.
type Posture struct {
	Audit    int64     `json:"audit"`
	At       time.Time `json:"at"`
	Score    int64     `json:"score"`
	Critical int64     `json:"critical"`
	High     int64     `json:"high"`
	Medium   int64     `json:"medium"`
	Low      int64     `json:"low"`
	Unknown  int64     `json:"unknown"`
	Problem  string    `json:"problem,omitempty"`
	Evidence []string  `json:"evidence"`
}

// Incident is one that began in the period.
type Incident struct {
	ID       string    `json:"id"`
	Opened   time.Time `json:"opened"`
	Detector string    `json:"detector"`
	Subject  string    `json:"subject"`
	Severity string    `json:"severity" doc:"at the end of the period, or unknown"`
	State    string    `json:"state" doc:"at the end of the period"`
	Evidence []string  `json:"evidence"`
}

// Block is one change of the period that shut somebody out, or let somebody in again.
type Block struct {
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Action   string    `json:"action"`
	Target   string    `json:"target"`
	Count    *int64    `json:"count" doc:"addresses or networks; null: nobody knows"`
	Reason   string    `json:"reason,omitempty"`
	Evidence []string  `json:"evidence"`
}

// Decision is what a control decided between two audits.
type Decision struct {
	Control  string   `json:"control"`
	Allowed  int64    `json:"allowed"`
	Refused  int64    `json:"refused"`
	Would    int64    `json:"would_refuse" doc:"let through and counted: the control was in monitor, or not for all"`
	Evidence []string `json:"evidence"`
}

// User is what one user used on the whole days of the period.
type User struct {
	Name     string     `json:"name"`
	Created  time.Time  `json:"created"`
	Removed  *time.Time `json:"removed,omitempty"`
	Sessions int64      `json:"sessions"`
	Up       int64      `json:"up" doc:"bytes"`
	Down     int64      `json:"down" doc:"bytes"`
	Evidence []string   `json:"evidence"`
}

// Kinds of evidence: what its ID is of.
const (
	OfAudit    = "audit"    // number of an audit; the hash is that of its record
	OfFinding  = "finding"  // AUDIT/ID: a finding in the record of that audit
	OfRow      = "row"      // number of a row of the audit log; the hash is the row's
	OfPolicy   = "policy"   // revision; the hash is that of its document
	OfIncident = "incident" // ID; "list" for all
	OfUsage    = "usage"    // FIRST-LAST: days, as 20060102-20060102
	OfHistory  = "history"  // FIRST-LAST: numbers of events of keys
	OfCode     = "code"     // a name that the program itself knows: a line of a profile, a memory bound
)

// Source is where a statement comes from. Equal sources are one piece of evidence.
type Source struct {
	Of      string `json:"of" enum:"audit,finding,row,policy,incident,usage,history,code"`
	ID      string `json:"id"`
	Hash    string `json:"hash,omitempty" doc:"SHA-256: of a row in base64 as auditlog has it, else in hexadecimal"`
	At      string `json:"at,omitempty" doc:"RFC 3339"`
	Text    string `json:"text" doc:"what it says"`
	Command string `json:"command,omitempty" doc:"shows it on the node"`
}

// Shows is the command that shows a source on the node; "" for one that there is not.
func Shows(of, id string) string {
	first, rest, _ := strings.Cut(id, "/")
	n, _ := strconv.ParseInt(first, 10, 64)
	from, to, _ := strings.Cut(id, "-")
	switch of {
	case OfAudit:
		return fmt.Sprintf("mtguard audit history --limit 1 --before %d", n+1)
	case OfFinding:
		return "mtguard audit show " + rest
	case OfRow:
		return fmt.Sprintf("mtguard auditlog tail -n 1 --before %d", n+1)
	case OfPolicy:
		return "mtguard policy show " + id
	case OfIncident:
		if id == "list" {
			return "mtguard incident list"
		}
		return "mtguard incident show " + id
	case OfHistory:
		last, _ := strconv.ParseInt(to, 10, 64)
		return fmt.Sprintf("mtguard key history --before %d", last+1)
	case OfUsage:
		first, err1 := time.Parse("20060102", from)
		last, err2 := time.Parse("20060102", to)
		if err1 != nil || err2 != nil {
			return ""
		}
		return fmt.Sprintf("mtguard report usage --since %s --until %s", first.Format(time.RFC3339), last.AddDate(0, 0, 1).Format(time.RFC3339))
	case OfCode:
		for _, profile := range Profiles() {
			if slices.ContainsFunc(Items(profile), func(i Item) bool { return i.ID == id }) {
				return "mtguard report compliance --profile " + profile
			}
		}
		if id == noRows {
			return "mtguard auditlog tail"
		}
		return "mtguard policy controls"
	}
	return ""
}

// noRows is the ID of the statement that the audit log had no row.
const noRows = "empty"

// Evidence is a source under the key that the report names it by.
type Evidence struct {
	Key string `json:"key" doc:"E1"`
	Source
}

// maxPeriod is how long a period may be: so long audits are kept.
const maxPeriod = 400 * 24 * time.Hour

// CheckPeriod says what is wrong with a period, seen at now.
func CheckPeriod(since, until, now time.Time) error {
	switch {
	case until.After(now):
		return fmt.Errorf("the period ends at %s, which is not over yet", until.UTC().Format(time.RFC3339))
	case !since.Before(until):
		return fmt.Errorf("the period ends at %s, before it begins at %s", until.UTC().Format(time.RFC3339), since.UTC().Format(time.RFC3339))
	case until.Sub(since) > maxPeriod:
		return fmt.Errorf("the period has %d days, and %d are the most: so long audits are kept", until.Sub(since)/(24*time.Hour), maxPeriod/(24*time.Hour))
	case since.Year() < 1970:
		return fmt.Errorf("the period begins in the year %d", since.Year())
	}
	return nil
}

func sizeText(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.size {
			return strconv.FormatFloat(float64(n)/float64(unit.size), 'f', 1, 64) + " " + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}
