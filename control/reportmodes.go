package control

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/control/report"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// filePolicy is what rows are called that tell of controls in the configuration file.
const filePolicy = "policy.file"

// settingFileModes is what the file said last of controls, and since when that is kept.
const settingFileModes = "policy.file"

// keptModes is that setting.
type keptModes struct {
	Since time.Time `json:"since"` // what held before nobody knows
	Modes []string  `json:"modes"` // "rate.accept=enforce 10%"
}

// keepFileModes begins to keep what the file says of controls, once.
func (p *Plane) keepFileModes(tx *store.Tx) error {
	if _, err := tx.Setting(settingFileModes); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return putFileModes(tx, keptModes{Since: p.parts.Now().UTC()})
}

func putFileModes(tx *store.Tx, k keptModes) error {
	return putSetting(tx, settingFileModes, k)
}

// declareModes writes down what the configuration file says of controls, where that is
// something else than before: revisions of the policy do not tell.
type declareModes struct{ Modes []string }

func (declareModes) action() string      { return filePolicy }
func (declareModes) object() string      { return "controls of the configuration file" }
func (declareModes) least() access.Level { return access.Superuser }

func (c declareModes) apply(x *transaction) error {
	var kept keptModes
	if err := optionalSetting(x.tx, settingFileModes, &kept); err != nil {
		return err
	}
	if slices.Equal(kept.Modes, c.Modes) {
		return errUnchanged
	}
	kept.Modes = c.Modes
	for i, text := range packed(c.Modes, 200) {
		x.detail("c"+strconv.Itoa(i+1), text)
	}
	x.result.Summary = "controls are as the configuration file says"
	return putFileModes(x.tx, kept)
}

// fileRow is a row of the audit log that tells what the file says of controls.
type fileRow struct {
	at      time.Time
	details map[string]string
	source  report.Source
}

// modes are what the row says, by control.
func (r *fileRow) modes() map[string]string {
	all := make(map[string]string)
	for i := 1; ; i++ {
		text, there := r.details["c"+strconv.Itoa(i)]
		if !there {
			return all
		}
		for word := range strings.SplitSeq(text, "; ") {
			name, mode, _ := strings.Cut(word, "=")
			all[name] = mode
		}
	}
}

// glassRow is a row that broke the glass until then, or ended that: until is zero.
type glassRow struct {
	at, until time.Time
	source    report.Source
}

// layers are what holds of controls at a moment.
type layers struct {
	fileKnown   bool
	file        map[string]string
	fileSource  *report.Source
	policyKnown bool // which revision was in force is known
	policy      *policy.Document
	policySays  []report.Source
	glass       *report.Source // broken
	glassUntil  time.Time
}

// step is a change of the layers.
type step struct {
	at     time.Time
	change func(*layers)
}

// readModes tells how each control was rolled out, from what the audit log says of the
// file and of broken glass, and from the revisions of the policy.
func (l *ledger) readModes(tx *store.Tx) error {
	var kept keptModes
	if err := optionalSetting(tx, settingFileModes, &kept); err != nil {
		return err
	}
	steps, complete, err := l.policySteps(tx)
	if err != nil {
		return err
	}
	if !kept.Since.IsZero() {
		steps = append(steps, step{kept.Since, func(s *layers) { s.fileKnown = true }})
	}
	for _, r := range l.files {
		steps = append(steps, step{r.at, func(s *layers) { s.fileKnown, s.file, s.fileSource = true, r.modes(), &r.source }})
	}
	for _, r := range l.glass {
		steps = append(steps, step{r.at, func(s *layers) { s.glass, s.glassUntil = &r.source, r.until }})
		if !r.until.IsZero() {
			steps = append(steps, step{r.until, func(*layers) {}}) // it is whole again
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	state := layers{policyKnown: complete}
	last := make(map[string]report.Mode)
	emit := func(at time.Time) {
		for _, name := range policy.Controls() {
			if policy.MemoryBound(name) {
				continue
			}
			m := state.mode(name, at)
			was, known := last[name]
			last[name] = m
			if known && was.Configured == m.Configured && was.Effective == m.Effective && at.After(l.since) {
				continue
			}
			if at.After(l.since) {
				l.facts.Modes = append(l.facts.Modes, m)
			}
		}
	}
	begun := false
	begin := func() { // what holds at the beginning of the period
		if begun {
			return
		}
		begun = true
		emit(l.since)
		for _, name := range policy.Controls() {
			if m, known := last[name]; known {
				l.facts.Modes = append(l.facts.Modes, m)
			}
		}
	}
	for _, s := range steps {
		if s.at.After(l.until) {
			break
		}
		if s.at.After(l.since) {
			begin()
		}
		s.change(&state)
		if s.at.After(l.since) {
			emit(s.at)
		}
	}
	begin()
	return nil
}

// policySteps are the revisions up to the end of the period, and whether the first that
// there ever was is among them.
func (l *ledger) policySteps(tx *store.Tx) (steps []step, complete bool, err error) {
	heads, err := tx.Policies(0, store.MaxPolicies)
	if err != nil {
		return nil, false, err
	}
	slices.Reverse(heads)
	complete = len(heads) == 0 || heads[0].Number == 1
	for i, head := range heads {
		if head.At.After(l.until) || i+1 < len(heads) && !heads[i+1].At.After(l.since) {
			continue // the next one was in force when the period began
		}
		row, err := tx.Policy(head.Number)
		if err != nil {
			return nil, false, err
		}
		d, err := policy.Parse("policy", []byte(row.Document))
		if err != nil {
			d = nil // of another version: nobody knows what it said
		}
		number := strconv.FormatInt(row.Number, 10)
		says := []report.Source{{Of: report.OfPolicy, ID: number, Hash: report.Digest(row.Document), At: row.At.UTC().Format(time.RFC3339Nano),
			Text: "policy r" + number + ", by " + row.Actor}}
		says = append(says, l.policies[row.At.UnixMicro()]...)
		steps = append(steps, step{row.At, func(s *layers) { s.policyKnown, s.policy, s.policySays = d != nil, d, says }})
	}
	return steps, complete, nil
}

// usualMode is a control's of which nobody says anything.
const usualMode = "monitor"

// mode tells how a control is rolled out.
func (s *layers) mode(name string, at time.Time) report.Mode {
	m := report.Mode{At: at.UTC(), Control: name, Configured: "unknown", Effective: "unknown"}
	own, says := policy.Control{}, false
	if s.policy != nil {
		own, says = s.policy.Says(name)
	}
	byFile, fileSays := s.file[name]
	switch {
	case !s.policyKnown:
		m.Why = "the revision of the policy that was in force is not kept"
		m.Sources = s.policySays
		return m
	case says:
		m.Configured, m.Sources, m.Why = own.String(), s.policySays, "the policy says so"
	case !s.fileKnown:
		m.Why = "what the configuration file said then is not kept"
		m.Sources = s.policySays
		return m
	case fileSays:
		m.Configured, m.Sources, m.Why = byFile, []report.Source{*s.fileSource}, "the configuration file says so"
	default:
		m.Configured, m.Why = usualMode, "nobody said anything of it"
		m.Sources = append(slices.Clone(s.policySays), report.Source{Of: report.OfCode, ID: usualMode, Text: "a control of which neither the policy nor the file says anything is in monitor"})
		if s.fileSource != nil {
			m.Sources = append(m.Sources, *s.fileSource)
		}
	}
	m.Effective = m.Configured
	if s.glass != nil && at.Before(s.glassUntil) && m.Configured != policy.Off.String() {
		m.Sources = append(slices.Clone(m.Sources), *s.glass)
		if m.Effective != usualMode {
			m.Effective, m.Why = usualMode, "the glass was broken until "+s.glassUntil.UTC().Format(time.RFC3339)
		}
	}
	return m
}
