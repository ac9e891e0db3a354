// Package audit looks at how a node is set up and used, and says what is wrong
// with it: keys, access patterns, signs of denial of service, policy, host.
//
// A [Check] is one question. It sees the node through a [View] and nothing else, so
// that each can be asked alone of facts that a test wrote down. An [Auditor] asks
// several and makes a [Report]. [Merge] holds a report against what is known from
// before: what is new, what came back, what is fixed. [Posture] makes one number of
// it, with its reasons. [Due] says when the next scheduled run is.
//
//	auditor := &audit.Auditor{View: view}
//	report, err := auditor.Run(ctx, audit.Selection{})
//	changed := audit.Merge(known, report)
//
// A check that cannot be made is a finding that says so, never a pass. The package
// repairs nothing, reads no file and no clock, and starts no goroutine; evidence and
// commands hold names, numbers and IDs of keys, never a secret. It is not
// security/auditlog, which keeps who changed what.
package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Severity says how soon somebody should act.
type Severity uint8

// The severities, rising.
const (
	Low      Severity = iota + 1 // when there is time
	Medium                       // within weeks
	High                         // within days
	Critical                     // now
)

var severityNames = [...]string{Low: "low", Medium: "medium", High: "high", Critical: "critical"}

// Severities are all of them, rising.
func Severities() []Severity { return []Severity{Low, Medium, High, Critical} }

// String is the severity's name.
func (s Severity) String() string {
	if s < Low || s > Critical {
		return fmt.Sprintf("severity(%d)", uint8(s))
	}
	return severityNames[s]
}

// ParseSeverity reads what String writes.
func ParseSeverity(text string) (Severity, error) {
	for _, s := range Severities() {
		if s.String() == text {
			return s, nil
		}
	}
	return 0, fmt.Errorf("severity %q: want low, medium, high or critical", text)
}

// MarshalText is String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is ParseSeverity.
func (s *Severity) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSeverity(string(text))
	return err
}

// Group says what a check looks at.
type Group string

// The groups.
const (
	Keys   Group = "keys"
	Access Group = "access"
	DoS    Group = "dos"
	Policy Group = "policy"
	Host   Group = "host"
)

// Groups are all of them.
func Groups() []Group { return []Group{Keys, Access, DoS, Policy, Host} }

// Profile says which set of checks one belongs to.
type Profile string

// The profiles. Machine is what can be asked of a host before a node runs on it;
// Baseline has that and all the others.
const (
	Baseline Profile = "baseline"
	Machine  Profile = "host"
)

// Check is one question. Run is called once in a run of the Auditor; it must come
// back soon after ctx ends. It fills in Subject, Evidence and Remedy, and Severity
// where a finding weighs otherwise than the check; the Auditor adds the rest. No
// finding means that all is well, so what could not be looked at is an Unknown.
type Check struct {
	ID       string // "keys.expired": group and what is found
	Title    string // what is wrong when it finds something
	Group    Group
	Severity Severity
	Profile  Profile
	Run      func(ctx context.Context, v View) []Finding
}

// Finding is one thing that is wrong, or that could not be looked at.
type Finding struct {
	ID       string   `json:"id" doc:"the same for the same check and subject at any time"`
	Check    string   `json:"check"`
	Title    string   `json:"title"`
	Group    Group    `json:"group" enum:"keys,access,dos,policy,host"`
	Severity Severity `json:"severity" enum:"low,medium,high,critical"`
	Unknown  bool     `json:"unknown,omitempty" doc:"the check could not be made; nobody knows whether all is well"`
	Subject  string   `json:"subject" doc:"what it is about: a key, a user, a file"`
	Evidence string   `json:"evidence" doc:"what was seen"`
	Remedy   string   `json:"remedy,omitempty" doc:"the command that mends it, or what to do"`
}

// Unknown is the finding that something could not be looked at.
func Unknown(subject string, err error, remedy string) Finding {
	return Finding{Unknown: true, Subject: subject, Evidence: err.Error(), Remedy: remedy}
}

// fingerprint names a finding by what it is about, not by how bad it is today.
func fingerprint(f Finding) string {
	kind := "found"
	if f.Unknown {
		kind = "unknown"
	}
	sum := sha256.Sum256([]byte(f.Check + "\x00" + kind + "\x00" + f.Subject))
	return hex.EncodeToString(sum[:8])
}

// Selection says which checks are asked; the zero Selection means all.
type Selection struct {
	Only    []string // IDs of checks, or names of groups
	Profile Profile  // "" is Baseline
}

// Partial says that not all checks are asked.
func (s Selection) Partial() bool { return len(s.Only) > 0 || s.Profile == Machine }

// Report is what a run found.
type Report struct {
	Started  time.Time     // by the View's clock
	Took     time.Duration // by the View's clock
	Asked    []string      // IDs of the checks, in the order of their asking
	Findings []Finding     // the worst first
	// Unfinished are the checks that were not asked, since the time was over.
	Unfinished []string
}

// Usual bounds of a run.
const (
	Deadline = 5 * time.Minute
	// PerCheck is how many findings of one check are kept. More are one finding
	// that tells how many.
	PerCheck = 200
)

// maxText is the most bytes of a text of a finding: what the store takes.
const maxText = 1024

// Auditor asks checks. Its fields are not changed once Run was called; Run may be
// called concurrently, if the View may.
type Auditor struct {
	Checks   []Check // nil: Checks()
	View     View
	Deadline time.Duration // 0: the constant Deadline
}

// ErrNoCheck is the error for a Selection that no check belongs to.
var ErrNoCheck = errors.New("there is no such check")

// Select returns the checks of a selection.
func (a *Auditor) Select(s Selection) ([]Check, error) {
	all := a.Checks
	if all == nil {
		all = Checks()
	}
	switch s.Profile {
	case "", Baseline:
	case Machine:
		all = slices.DeleteFunc(slices.Clone(all), func(c Check) bool { return c.Profile != Machine })
	default:
		return nil, fmt.Errorf("profile %q: %w", s.Profile, ErrNoCheck)
	}
	if len(s.Only) == 0 {
		return all, nil
	}
	wanted := func(c Check, name string) bool { return c.ID == name || string(c.Group) == name }
	for _, name := range s.Only {
		if !slices.ContainsFunc(all, func(c Check) bool { return wanted(c, name) }) {
			return nil, fmt.Errorf("%q: %w", name, ErrNoCheck)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(c Check) bool {
		return !slices.ContainsFunc(s.Only, func(name string) bool { return wanted(c, name) })
	}), nil
}

// Run asks the checks of a selection, one after the other. It fails with ErrNoCheck,
// and when ctx ends; when its own deadline passes, the checks that were not asked are
// unknown. A check that panics is unknown too.
func (a *Auditor) Run(ctx context.Context, s Selection) (Report, error) {
	checks, err := a.Select(s)
	if err != nil {
		return Report{}, err
	}
	limit := a.Deadline
	if limit == 0 {
		limit = Deadline
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	view := &memo{View: a.View}
	r := Report{Started: view.Now()}
	for _, c := range checks {
		if ctx.Err() != nil {
			return Report{}, ctx.Err()
		}
		r.Asked = append(r.Asked, c.ID)
		var found []Finding
		if within.Err() != nil {
			r.Unfinished = append(r.Unfinished, c.ID)
			found = []Finding{Unknown("the check", fmt.Errorf("the audit took longer than %v", limit), "mtguard audit run --only "+c.ID)}
		} else {
			found = ask(within, c, view)
		}
		r.Findings = append(r.Findings, complete(c, found)...)
	}
	if ctx.Err() != nil {
		return Report{}, ctx.Err()
	}
	r.Took = view.Now().Sub(r.Started)
	slices.SortStableFunc(r.Findings, worstFirst)
	return r, nil
}

func worstFirst(x, y Finding) int {
	return cmp.Or(cmp.Compare(y.Severity, x.Severity), cmp.Compare(x.Check, y.Check), cmp.Compare(x.Subject, y.Subject))
}

// ask runs one check. What it panics with may hold anything and is not told.
func ask(ctx context.Context, c Check, v View) (found []Finding) {
	defer func() {
		if value := recover(); value != nil {
			found = []Finding{Unknown("the check", fmt.Errorf("it panicked with a %T: this is a mistake of the program", value), "report it")}
		}
	}()
	return c.Run(ctx, v)
}

// complete adds what a check does not say, and takes out what it said twice.
func complete(c Check, found []Finding) []Finding {
	seen := make(map[string]bool, len(found))
	out := found[:0]
	for _, f := range found {
		f.Check, f.Title, f.Group = c.ID, c.Title, c.Group
		f.Severity = cmp.Or(f.Severity, c.Severity)
		f.Subject, f.Evidence, f.Remedy = clip(f.Subject), clip(f.Evidence), clip(f.Remedy)
		f.ID = fingerprint(f)
		if seen[f.ID] {
			continue
		}
		seen[f.ID] = true
		out = append(out, f)
	}
	return out
}

// clip makes a text fit for the store: UTF-8 without zeros, of bounded length.
func clip(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText-3], "") + "…"
}
