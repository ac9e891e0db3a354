package preview

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"

	"mtguard/mtproto"
	"mtguard/security/policy"
	"mtguard/security/ratelimit"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// Report is what a policy would have done to the connections of some time.
type Report struct {
	From         time.Time       `json:"from" doc:"when the first of the connections came"`
	To           time.Time       `json:"to" doc:"when the last came"`
	Connections  int             `json:"connections"`
	Known        int             `json:"known" doc:"of these, of users that there are"`
	Users        int             `json:"users" doc:"how many users these were"`
	Refused      int             `json:"refused" doc:"connections that the policy would have refused"`
	KnownRefused int             `json:"known_refused" doc:"of these, of users that there are"`
	UsersRefused int             `json:"users_refused" doc:"how many users these were"`
	RefusedNow   int             `json:"refused_now" doc:"what the policy in force would have refused of the same"`
	Controls     []ControlReport `json:"controls"`
	Endings      []Ending        `json:"endings,omitempty" doc:"the transports that the policy ends, and who came by them until then"`
	NotJudged    []string        `json:"not_judged" doc:"controls that records say nothing about"`
	Notes        []string        `json:"notes,omitempty" doc:"what makes the numbers less than exact"`
}

// ControlReport is what one control would have refused. A connection is refused by
// the first control that does.
type ControlReport struct {
	Control      string      `json:"control"`
	Mode         string      `json:"mode"`
	Percent      int         `json:"percent,omitempty"`
	Refused      int         `json:"refused"`
	Addresses    int         `json:"addresses" doc:"how many addresses these came from; an IPv6 /64 is one"`
	KnownRefused int         `json:"known_refused" doc:"of the refused, of users that there are"`
	UsersRefused int         `json:"users_refused" doc:"how many users these were"`
	Users        []UserCount `json:"users,omitempty" doc:"the first hundred, those with the most first"`
	WouldRefuse  int         `json:"would_refuse,omitempty" doc:"let through: it is in monitor, not for all, or there is an exception"`
	RefusedNow   int         `json:"refused_now" doc:"what it refuses of the same by the policy in force"`
}

// UserCount is how many connections of a user would have been refused.
type UserCount struct {
	User    string `json:"user"`
	Refused int    `json:"refused"`
}

// mostUsers is how many users a control names.
const mostUsers = 100

// notJudged are the controls that records say nothing about.
var notJudged = []string{policy.HalfOpen, policy.BytesUser, policy.OverloadLevel, policy.ThreatBlock}

// Judges reports whether records say enough for a control to be judged.
func Judges(control string) bool { return !slices.Contains(notJudged, control) }

// tally is what one control has done in a replay.
type tally struct {
	refused, would, known int
	addresses             map[netip.Prefix]bool
	users                 map[string]int
}

// Run lets records, in the order of their times, come once more: for the policy in
// force, which may be nil, and for the candidate. Their modes, percentages and
// exceptions hold as they would on the data path, at the time of each record. known
// tells the users that there are; nil: all are.
//
// Who is refused does not stay open, so what a control refuses leaves room for
// others, as it would. Nothing outside the report changes: exceptions count nothing.
func Run(records iter.Seq[Record], now, candidate *policy.Snapshot, known func(user string) bool) Report {
	if known == nil {
		known = func(string) bool { return true }
	}
	judged := &judgement{known: known, controls: make(map[string]*tally), users: make(map[string]int)}
	then := newReplay(candidate, judged.take)
	var before *replay
	inForce := &judgement{known: known, controls: make(map[string]*tally), users: make(map[string]int)}
	if now != nil {
		before = newReplay(now, inForce.take)
	}
	var load load
	ends := newEndings(candidate)
	for record := range records {
		load.add(&record, known)
		if known(record.User) {
			ends.add(&record)
		}
		then.accept(&record)
		if before != nil {
			before.accept(&record)
		}
	}
	then.finish()
	if before != nil {
		before.finish()
	}
	report := load.report(candidate)
	judged.fill(&report, inForce, candidate)
	report.Endings = ends.list()
	return report
}

// judgement is what a policy has done to a load.
type judgement struct {
	known    func(string) bool
	controls map[string]*tally
	users    map[string]int // refused by any control
	refused  int
	hit      int // of these, known
}

// take counts what the pipeline says of a record.
func (j *judgement) take(r *Record, e event.Event) {
	if e.Kind != event.Refused && e.Kind != event.WouldRefuse {
		return
	}
	t := j.controls[e.Control]
	if t == nil {
		t = &tally{addresses: make(map[netip.Prefix]bool), users: make(map[string]int)}
		j.controls[e.Control] = t
	}
	if e.Kind == event.WouldRefuse {
		t.would++
		return
	}
	address, _, _ := ratelimit.PrefixesOf(r.Addr)
	t.addresses[address] = true
	t.refused++
	j.refused++
	if r.User != "" && j.known(r.User) {
		t.known++
		t.users[r.User]++
		j.hit++
		j.users[r.User]++
	}
}

// fill puts the numbers into the report.
func (j *judgement) fill(report *Report, inForce *judgement, candidate *policy.Snapshot) {
	report.Refused, report.KnownRefused, report.UsersRefused, report.RefusedNow = j.refused, j.hit, len(j.users), inForce.refused
	for _, name := range policy.Controls() {
		if !Judges(name) {
			continue
		}
		c := ControlReport{Control: name, Mode: policy.Monitor.String()}
		if set, ok := candidate.Controls[name]; ok {
			c.Mode, c.Percent = set.Mode.String(), set.Percent
		}
		if policy.MemoryBound(name) {
			c.Mode, c.Percent = policy.Enforce.String(), 0
		}
		if t := j.controls[name]; t != nil {
			c.Refused, c.Addresses, c.KnownRefused, c.WouldRefuse = t.refused, len(t.addresses), t.known, t.would
			c.UsersRefused, c.Users = len(t.users), t.most()
		}
		if t := inForce.controls[name]; t != nil {
			c.RefusedNow = t.refused
		}
		report.Controls = append(report.Controls, c)
	}
}

// most are the users with the most refusals, those with fewer behind.
func (t *tally) most() []UserCount {
	list := make([]UserCount, 0, len(t.users))
	for user, n := range t.users {
		list = append(list, UserCount{user, n})
	}
	slices.SortFunc(list, func(a, b UserCount) int {
		return cmp.Or(cmp.Compare(b.Refused, a.Refused), cmp.Compare(a.User, b.User))
	})
	return list[:min(len(list), mostUsers)]
}

// load is what came.
type load struct {
	from, to                          time.Time
	connections, known                int
	users                             map[string]bool
	pseudonyms, truncated, doorRefuse int
	unnamed, silent                   int // of fake TLS: without a server name, without a hello
}

func (l *load) add(r *Record, known func(string) bool) {
	if l.connections == 0 {
		l.from, l.users = r.At, make(map[string]bool)
	}
	l.to = r.At
	l.connections++
	if r.User != "" && known(r.User) {
		l.known++
		l.users[r.User] = true
	}
	switch r.Privacy {
	case Pseudonym:
		l.pseudonyms++
	case Truncated:
		l.truncated++
	}
	switch {
	case r.User == "" && r.Result == stats.ResultRefused && r.Hello == HelloNone:
		l.doorRefuse++
	case r.Hello == HelloUnnamed:
		l.unnamed++
	case r.Hello == HelloNone && r.Transport == mtproto.FakeTLS:
		l.silent++
	}
}

func (l *load) report(candidate *policy.Snapshot) Report {
	r := Report{From: l.from, To: l.to, Connections: l.connections, Known: l.known, Users: len(l.users), NotJudged: slices.Clone(notJudged)}
	note := func(n int, format string) {
		if n > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf(format, n))
		}
	}
	note(l.pseudonyms, "of %d connections only a pseudonym of the address was kept: rules and exceptions for addresses and countries were not judged for them")
	note(l.truncated, "of %d connections only the network was kept: all of one network count as one address, and rules for less than a network were not judged for them")
	note(l.doorRefuse, "%d connections were refused when they came: who they were is not known")
	names, prints := candidate.Access.Patterns()
	if names {
		note(l.unnamed, "of %d connections of strangers, or with long names, the server name was not kept: rules on server names were not judged for them")
	}
	if names || prints || candidate.Limits.RequireKeyShare {
		note(l.silent, "of %d connections the hello was not kept: neither rules on hellos nor protocol.require_key_share were judged for them")
	}
	return r
}
