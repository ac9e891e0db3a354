package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/security/policy"
)

// fresh is how old the answer of an audit may be before it is none.
const fresh = 7 * 24 * time.Hour

// composer makes one report.
type composer struct {
	facts *Facts
	keys  map[Source]string
	r     Report
}

// cite returns the key of a source, the same for the same one.
func (c *composer) cite(sources ...Source) []string {
	keys := make([]string, 0, len(sources))
	for _, s := range sources {
		s.Command = Shows(s.Of, s.ID)
		key, known := c.keys[s]
		if !known {
			key = "E" + strconv.Itoa(len(c.r.Evidence)+1)
			c.keys[s] = key
			c.r.Evidence = append(c.r.Evidence, Evidence{key, s})
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// none is what proves that there is nothing: the audit log up to the end of the period.
func (c *composer) none() Source {
	l := c.facts.Log
	if l.Row == 0 {
		return Source{Of: OfCode, ID: noRows, Text: "the audit log had no row by then"}
	}
	return Source{Of: OfRow, ID: strconv.FormatInt(l.Row, 10), Hash: l.Hash, Text: "no row of the audit log up to this one says so"}
}

// or are sources, or what proves that there is nothing.
func (c *composer) or(sources []Source) []Source {
	if len(sources) == 0 {
		return []Source{c.none()}
	}
	return sources
}

func (c *composer) figure(name string, value int64, unit string, sources ...Source) {
	c.r.Summary = append(c.r.Summary, Figure{Name: name, Value: &value, Unit: unit, Evidence: c.cite(c.or(sources)...)})
}

func (c *composer) noFigure(name, unit, why string, sources ...Source) {
	c.r.Summary = append(c.r.Summary, Figure{Name: name, Unit: unit, Note: why, Evidence: c.cite(c.or(sources)...)})
}

// Compose makes a report. A kind or profile that there is not is an error.
func Compose(kind Kind, profile string, f *Facts) (*Report, error) {
	c := &composer{facts: f, keys: make(map[Source]string)}
	c.r = Report{Kind: kind, Since: f.Since.UTC(), Until: f.Until.UTC(), Log: f.Log, Summary: []Figure{}, Limits: slices.Clone(f.Limits), Evidence: []Evidence{}}
	if c.r.Limits == nil {
		c.r.Limits = []string{}
	}
	switch kind {
	case Compliance:
		items := Items(profile)
		if items == nil {
			return nil, fmt.Errorf("profile %q: want %s", profile, strings.Join(Profiles(), ", "))
		}
		c.r.Profile, c.r.Title = profile, "Compliance with "+ProfileTitle(profile)
		c.compliance(items)
	case Security:
		c.r.Title = "Security"
		c.security()
	case Usage:
		c.r.Title = "Usage"
		c.usage()
	default:
		return nil, fmt.Errorf("report %q: want compliance, security or usage", kind)
	}
	return &c.r, nil
}

// source is an audit as evidence.
func (a *Audit) source() Source {
	text := fmt.Sprintf("audit %d, score %d of 100", a.Number, a.Score)
	if a.Problem != "" {
		text = fmt.Sprintf("audit %d, which did not come to its end", a.Number)
	}
	return Source{Of: OfAudit, ID: strconv.FormatInt(a.Number, 10), Hash: a.Digest, At: stamp(a.Started), Text: text}
}

// sources are an audit and the row that holds its hash.
func (a *Audit) sources() []Source {
	if a.Row == nil {
		return []Source{a.source()}
	}
	return []Source{a.source(), *a.Row}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// last is the newest audit that came to a record, nil when there is none.
func (c *composer) last() *Audit {
	for i := len(c.facts.Audits) - 1; i >= 0; i-- {
		if c.facts.Audits[i].Record != nil {
			return &c.facts.Audits[i]
		}
	}
	return nil
}

// asked is the newest audit that asked a check.
func (c *composer) asked(check string) *Audit {
	for i := len(c.facts.Audits) - 1; i >= 0; i-- {
		if a := &c.facts.Audits[i]; a.Record != nil && slices.Contains(a.Record.Asked, check) {
			return a
		}
	}
	return nil
}

// finding is a finding of an audit as evidence.
func findingSource(a *Audit, id string) Source {
	text := a.Record.Of[id] + ": " + a.Record.Found[id]
	if about, known := a.Record.About[id]; known {
		text += ", " + about.Subject
		if about.Evidence != "" {
			text += ": " + about.Evidence
		}
	}
	return Source{Of: OfFinding, ID: strconv.FormatInt(a.Number, 10) + "/" + id, Hash: a.Digest, At: stamp(a.Started), Text: text}
}

// shownFindings is how many findings an answer names as evidence.
const shownFindings = 20

// check says how one check stood at the end of the period.
func (c *composer) check(name string) Answer {
	answer := Answer{By: "check", Name: name, Result: Unknown}
	a, last := c.asked(name), c.last()
	switch {
	case a == nil && last == nil:
		answer.Text, answer.Evidence = "there was no audit", c.cite(c.none())
		return answer
	case a == nil:
		answer.Text, answer.Evidence = "no audit that is kept says that it was asked", c.cite(last.sources()...)
		return answer
	case c.facts.Until.Sub(a.Started) > fresh:
		answer.Text = fmt.Sprintf("last asked on %s, more than %d days before", a.Started.UTC().Format(time.DateOnly), fresh/(24*time.Hour))
		answer.Evidence = c.cite(a.sources()...)
		return answer
	}
	// What there was after the last audit is what there is: one that asked others left this as it was.
	var found, accepted, unmade []string
	for id, of := range last.Record.Of {
		switch {
		case of != name:
		case last.Record.Found[id] == UnknownCheck:
			unmade = append(unmade, id)
		case c.isAccepted(id, name):
			accepted = append(accepted, id)
		default:
			found = append(found, id)
		}
	}
	slices.Sort(found)
	slices.Sort(accepted)
	slices.Sort(unmade)
	switch {
	case len(found) > 0:
		answer.Result, answer.Text = NotMet, count(len(found), "finding")
		if len(accepted) > 0 {
			answer.Text += fmt.Sprintf(", and %d of accepted risk", len(accepted))
		}
	case len(unmade) > 0:
		answer.Text = "it could not be made"
	case len(accepted) > 0:
		answer.Result, answer.Text = Partly, count(len(accepted), "finding")+" of accepted risk"
	case last.Record.More > 0:
		answer.Text = fmt.Sprintf("nothing was found of it, but %d findings have no room in the record", last.Record.More)
	default:
		answer.Result, answer.Text = Met, "nothing was found"
	}
	all := slices.Concat(found, unmade, accepted)
	if len(all) > shownFindings {
		answer.Text += fmt.Sprintf("; %d of them are named", shownFindings)
		all = all[:shownFindings]
	}
	sources := a.sources()
	if last != a {
		sources = append(sources, last.sources()...)
	}
	for _, id := range all {
		sources = append(sources, findingSource(last, id))
	}
	answer.Evidence = c.cite(sources...)
	return answer
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func (c *composer) isAccepted(id, check string) bool {
	return slices.ContainsFunc(c.facts.Accepted, func(a Acceptance) bool { return a.of(id, check) })
}

func (a *Acceptance) of(id, check string) bool {
	return a.Check == check && a.Finding != "" && strings.HasPrefix(id, a.Finding)
}

// modes are the modes of one control, the last before the period first.
func (c *composer) modes(name string) (list []Mode) {
	for _, m := range c.facts.Modes {
		if m.Control == name {
			list = append(list, m)
		}
	}
	return list
}

const (
	modeUnknown = "unknown"
	modeAlways  = "always"
	modeEnforce = "enforce"
	modeOff     = "off"
)

// boundSource says that a memory bound has no mode.
func boundSource(name string) Source {
	return Source{Of: OfCode, ID: name, Text: "a memory bound, which no policy weakens"}
}

// control says how one control was rolled out at the end of the period.
func (c *composer) control(name string) Answer {
	answer := Answer{By: "control", Name: name, Result: Unknown, Configured: modeUnknown, Effective: modeUnknown}
	if policy.MemoryBound(name) {
		answer.Result, answer.Configured, answer.Effective, answer.Text = Met, modeAlways, modeAlways, "it bounds memory and is always enforced"
		answer.Evidence = c.cite(boundSource(name))
		return answer
	}
	list := c.modes(name)
	if len(list) == 0 {
		answer.Text, answer.Evidence = "nothing that is kept says how it was rolled out", c.cite(c.none())
		return answer
	}
	m := list[len(list)-1]
	answer.Configured, answer.Effective, answer.Evidence = m.Configured, m.Effective, c.cite(c.or(m.Sources)...)
	switch {
	case m.Effective == modeUnknown:
		answer.Text = m.Why
	case m.Effective == modeEnforce:
		answer.Result, answer.Text = Met, "enforced for all"
	case m.Effective == modeOff:
		answer.Result, answer.Text = NotMet, "it is off"
	case strings.HasPrefix(m.Effective, modeEnforce):
		answer.Result, answer.Text = Partly, "enforced for a share: "+m.Effective
	case m.Configured != m.Effective:
		answer.Result, answer.Text = NotMet, "the policy says "+m.Configured+", but "+m.Why
	default:
		answer.Result, answer.Text = Partly, "watched and not enforced"
	}
	return answer
}

// result is what answers make of a requirement. One unknown answer is enough for it not
// to be met, and nothing but enough good ones makes it met.
func result(answers []Answer) Result {
	n := make(map[Result]int)
	for _, a := range answers {
		n[a.Result]++
	}
	switch {
	case len(answers) == 0:
		return Unknown
	case n[NotMet] > 0 && n[Met]+n[Partly] == 0:
		return NotMet
	case n[NotMet] > 0:
		return Partly
	case n[Unknown] > 0:
		return Unknown
	case n[Partly] > 0:
		return Partly
	}
	return Met
}

func (c *composer) compliance(items []Item) {
	answers := make(map[string]Answer) // one check may answer several requirements
	ask := func(by, name string, do func(string) Answer) Answer {
		if a, known := answers[by+name]; known {
			return a
		}
		a := do(name)
		answers[by+name] = a
		return a
	}
	results := make(map[Result]int64)
	for _, item := range items {
		line := Requirement{ID: item.ID, Title: item.Title, Source: item.Source, Why: item.Never, Result: NotApplicable}
		for _, name := range item.Checks {
			line.Answers = append(line.Answers, ask("check", name, c.check))
		}
		for _, name := range item.Controls {
			line.Answers = append(line.Answers, ask("control", name, c.control))
		}
		if item.Never == "" {
			line.Result = result(line.Answers)
		}
		line.Evidence = c.cite(Source{Of: OfCode, ID: item.ID, Text: "profile " + c.r.Profile + ": " + item.Title})
		for _, a := range line.Answers {
			line.Evidence = append(line.Evidence, without(a.Evidence, line.Evidence)...)
		}
		results[line.Result]++
		c.r.Requirements = append(c.r.Requirements, line)
	}
	for _, res := range Results() {
		n := results[res]
		c.r.Summary = append(c.r.Summary, Figure{Name: "requirements " + string(res), Value: &n, Note: "of " + strconv.Itoa(len(items)), Evidence: c.evidenceOf(res)})
	}
	c.score()
	c.exceptions()
	c.controls(items)
}

// evidenceOf are the keys of the requirements of a result; of all, where none has it.
func (c *composer) evidenceOf(res Result) []string {
	var keys, all []string
	for _, line := range c.r.Requirements {
		all = append(all, line.Evidence[0])
		if line.Result == res {
			keys = append(keys, line.Evidence[0])
		}
	}
	if keys == nil {
		return all
	}
	return keys
}

// without are the keys of a list that are not in another.
func without(list, other []string) (rest []string) {
	for _, key := range list {
		if !slices.Contains(other, key) {
			rest = append(rest, key)
		}
	}
	return rest
}

// score is that of the last audit of all checks.
func (c *composer) score() {
	for i := len(c.facts.Audits) - 1; i >= 0; i-- {
		if a := &c.facts.Audits[i]; a.Record != nil && !a.Partial {
			if c.facts.Until.Sub(a.Started) > fresh {
				c.noFigure("posture", "of 100", "the last audit of all checks is too old", a.sources()...)
				return
			}
			c.figure("posture", a.Score, "of 100", a.sources()...)
			return
		}
	}
	c.noFigure("posture", "of 100", "there was no audit of all checks")
}

func (c *composer) exceptions() {
	var inForce []Source
	n := int64(0)
	for _, e := range c.facts.Exceptions {
		line := e.Exception
		sources := slices.Clone(e.Sources)
		line.Hits, sources = c.hits(line.ID, line.From, sources)
		line.Evidence = c.cite(sources...)
		c.r.Exceptions = append(c.r.Exceptions, line)
		if line.InForce {
			n++
			inForce = append(inForce, e.Sources...)
		}
	}
	c.figure("exceptions in force", n, "", inForce...)
	var accepted []Source
	for _, a := range c.facts.Accepted {
		c.r.Accepted = append(c.r.Accepted, Accepted{Finding: a.Finding, Check: a.Check, Subject: a.Subject, By: a.By, Reason: a.Reason, Until: a.Until, Evidence: c.cite(a.Source)})
		accepted = append(accepted, a.Source)
	}
	c.figure("risks accepted", int64(len(accepted)), "", accepted...)
}

// hits are those of an exception until the last audit that knows it; of one that no audit
// has seen yet nobody knows.
func (c *composer) hits(id string, from time.Time, sources []Source) (*int64, []Source) {
	for i := len(c.facts.Audits) - 1; i >= 0; i-- {
		a := &c.facts.Audits[i]
		if a.Record == nil || a.Started.Before(from) {
			continue
		}
		if n, known := a.Record.Hits[id]; known {
			return &n, append(sources, a.sources()...)
		}
	}
	return nil, sources
}

func (c *composer) controls(items []Item) {
	var known time.Time // from when on it is known how every control was rolled out
	for _, name := range policy.Controls() {
		if !slices.ContainsFunc(items, func(i Item) bool { return slices.Contains(i.Controls, name) }) {
			continue
		}
		a := c.control(name)
		line := Control{Name: name, Configured: a.Configured, Effective: a.Effective, Evidence: a.Evidence}
		was := modeUnknown
		for _, m := range c.modes(name) {
			first := was == modeUnknown && m.Effective != modeUnknown
			if was = m.Effective; first && m.At.After(c.facts.Since) { // it may have been so before
				if m.At.After(known) {
					known = m.At
				}
				continue
			}
			if m.At.After(c.facts.Since) {
				line.Changes = append(line.Changes, Change{At: m.At.UTC(), Configured: m.Configured, Effective: m.Effective, Why: m.Why, Evidence: c.cite(c.or(m.Sources)...)})
			}
		}
		for _, e := range c.facts.Exceptions {
			if slices.Contains(e.Controls, name) {
				line.Exceptions = append(line.Exceptions, e.ID)
			}
		}
		c.r.Controls = append(c.r.Controls, line)
	}
	if !known.IsZero() {
		c.r.Limits = append(c.r.Limits, "how every control was rolled out is known from "+known.UTC().Format(time.RFC3339)+" on")
	}
}

// sortedKeys are the keys of a map in their order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
