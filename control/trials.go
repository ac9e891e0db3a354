package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// A change of the policy may be made on trial (Options.RevertAfter): it reverts by
// itself unless somebody keeps it, as a screen does that may have gone dark. Whoever
// enforces something and is cut off by it has then lost nothing but minutes. Trials
// stand in the store, so that a closed browser or a restart changes nothing about it.

// KeepTrial lets a policy on trial stay; EndTrial reverts it at once. Revision is that
// of the policy that is on trial.
type (
	KeepTrial struct{ Revision int64 }
	EndTrial  struct{ Revision int64 }
)

func (KeepTrial) action() string      { return "policy.keep" }
func (EndTrial) action() string       { return "policy.revert" }
func (c KeepTrial) object() string    { return "policy r" + strconv.FormatInt(c.Revision, 10) }
func (c EndTrial) object() string     { return "policy r" + strconv.FormatInt(c.Revision, 10) }
func (KeepTrial) least() access.Level { return access.Superuser }
func (EndTrial) least() access.Level  { return access.Admin } // who may do little may still take the bite out: see bitesAgain

const (
	minTrial = time.Minute
	maxTrial = day
	// maxTrials is how many wait at once.
	maxTrials = 16
)

// settingTrials are the trials that go on.
const settingTrials = "policy.trials"

// trialActor reverts what nobody has kept.
var trialActor = Actor{Name: "trial", Level: access.Superuser}

// TrialInfo is a change of the policy that reverts by itself.
type TrialInfo struct {
	Revision int64         `json:"revision" doc:"of the policy on trial"`
	Base     int64         `json:"base" doc:"the revision that it reverts to, while no other change came between"`
	What     string        `json:"what" doc:"what is on trial, in short: what it was > what it is"`
	Changes  []PolicyValue `json:"changes" nullable:"false" doc:"all that is on trial, and what it goes back to; what somebody has decided for good since is left out"`
	By       string        `json:"by"`
	Until    time.Time     `json:"until" doc:"then it reverts unless somebody keeps it"`
}

// trial is how the store has one.
type trial struct {
	TrialInfo
	Made time.Time `json:"made"`
}

// due reports whether t is over. A clock that was set back before its beginning tells
// nothing, and reverting is the side that harms nobody.
func (t *trial) due(now time.Time) bool { return !now.Before(t.Until) || now.Before(t.Made) }

// trials are those that the store has.
func trialsOf(tx *store.Tx) (all []trial, err error) {
	err = optionalSetting(tx, settingTrials, &all)
	return all, err
}

func (x *transaction) putTrials(all []trial) error {
	return putSetting(x.tx, settingTrials, all)
}

// tryOut makes the policy that was just put a trial, if it is to be one, and takes out of
// earlier trials what it decides. A value that two trials in a row have changed goes back
// with the second to what it was before the first: else they would keep the first.
func (x *transaction) tryOut(base, revision int64, changes []policy.Change) error {
	long := time.Duration(x.o.RevertAfter)
	onTrial := long != 0
	if onTrial && (long < minTrial || long > maxTrial) {
		return invalid("revert_after", "a trial takes %v to %v", Duration(minTrial), Duration(maxTrial))
	}
	earlier, err := trialsOf(x.tx)
	if err != nil || len(earlier) == 0 && !onTrial {
		return err
	}
	t := trial{TrialInfo{Revision: revision, Base: base, By: x.by.Name, Until: x.now.Add(long)}, x.now}
	for _, c := range changes {
		value := changedValue(c)
		for i := range earlier {
			value.Was = x.decided(&earlier[i], value)
		}
		if value.Was != value.Value {
			t.Changes = append(t.Changes, value)
		}
	}
	var rest []trial
	for _, e := range earlier {
		if len(e.Changes) > 0 {
			e.What = whatChanged(e.Changes)
			rest = append(rest, e)
		} else if e.Revision == base {
			t.Base = e.Base
		}
	}
	if onTrial && len(t.Changes) > 0 {
		if len(rest) == maxTrials {
			return refused("keep or undo one of them first: mtguard policy trials", "%d changes wait to be kept already", maxTrials)
		}
		t.What = whatChanged(t.Changes)
		x.detail("revert_after", x.o.RevertAfter)
		x.result.Trial = new(t.TrialInfo)
		rest = append(rest, t)
	}
	return x.putTrials(rest)
}

// decided takes a value that now changes out of an earlier trial, and returns what the
// value goes back to if the change is a trial, too. A step back of a rollout decides
// nothing: it takes no second person, so what it leaves of a trial stays on trial.
func (x *transaction) decided(t *trial, now PolicyValue) (was string) {
	at := slices.IndexFunc(t.Changes, func(c PolicyValue) bool { return c.Path == now.Path })
	if at < 0 {
		return now.Was
	}
	former := &t.Changes[at]
	was = former.Was
	if x.stepsBack && !former.Loosens && now.Value != former.Was {
		former.Value = now.Value
	} else {
		t.Changes = slices.Delete(t.Changes, at, at+1)
	}
	return was
}

// whatChanged names the first changes.
func whatChanged(changes []PolicyValue) string {
	const most = 3
	var parts []string
	for i, c := range changes {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(changes)-most))
			break
		}
		parts = append(parts, strings.TrimPrefix(c.Path, "controls.")+": "+c.Was+" > "+c.Value)
	}
	return strings.Join(parts, ", ")
}

// trial is the trial of that policy.
func (x *transaction) trial(revision int64) (t trial, err error) {
	all, err := trialsOf(x.tx)
	if err != nil {
		return t, err
	}
	return trialIn(all, revision)
}

func trialIn(all []trial, revision int64) (t trial, err error) {
	at := slices.IndexFunc(all, func(t trial) bool { return t.Revision == revision })
	if at < 0 {
		return t, notFound("trial of policy", "r"+strconv.FormatInt(revision, 10), "mtguard policy trials")
	}
	return all[at], nil
}

// takeTrial takes the trial of that policy out of the store.
func (x *transaction) takeTrial(revision int64) (t trial, err error) {
	all, err := trialsOf(x.tx)
	if err != nil {
		return t, err
	}
	if t, err = trialIn(all, revision); err != nil {
		return t, err
	}
	return t, x.putTrials(slices.DeleteFunc(all, func(t trial) bool { return t.Revision == revision }))
}

func (c KeepTrial) apply(x *transaction) error {
	t, err := x.takeTrial(c.Revision)
	if err != nil {
		return err
	}
	x.result.Summary = fmt.Sprintf("policy r%d stays: %s", c.Revision, t.What)
	x.result.brief = x.result.Summary
	return nil
}

func (c EndTrial) apply(x *transaction) error {
	t, err := x.takeTrial(c.Revision)
	if err != nil {
		return err
	}
	if bitesAgain(t.Changes) {
		if x.by.Level < access.Superuser {
			return &Error{Kind: Denied, Text: fmt.Sprintf("to end this trial early enforces again what it has loosened: that takes the level %v, and %s has %v", access.Superuser, x.by.Name, x.by.Level)}
		}
		if x.alone(ClassEnforce) { // the trial began while this was on its way
			return refused("repeat it", "policy r%d is on trial since a moment ago", c.Revision)
		}
	}
	if x.o.Reason == "" {
		x.o.Reason = "a trial is reverted"
	}
	x.o.Force, x.o.RevertAfter = true, 0 // it was so before: no gate is asked again
	d, text, err := x.putBack(t)
	if err != nil {
		return err
	}
	if d == nil {
		x.result.Summary = fmt.Sprintf("of policy r%d nothing is in force any more", c.Revision)
		return nil
	}
	if err := x.putPolicy(d, text); err != nil {
		return err
	}
	x.result.Summary = fmt.Sprintf("policy r%d is reverted: r%d is in force", c.Revision, x.result.Policy.Revision)
	return nil
}

// bitesAgain reports whether going back from a trial enforces something: then it is a
// decision like any other to enforce.
func bitesAgain(changes []PolicyValue) bool {
	return slices.ContainsFunc(changes, func(c PolicyValue) bool { return c.Loosens })
}

// putBack is the policy in force with what is still on trial as it was before; nil when it
// is so already. What others have decided since stays. If that makes the policy that the
// trial began with, it is that text.
func (x *transaction) putBack(t trial) (*policy.Document, string, error) {
	x.p.mu.Lock()
	file, now := x.p.fileLayer, x.p.effective
	x.p.mu.Unlock()
	d, after, err := x.without(t.Changes, file)
	if err != nil {
		// Bounds that somebody has set since do not go with the old ones. The bite is out in any case.
		x.detail("left", briefly(err))
		modes := slices.DeleteFunc(slices.Clone(t.Changes), func(c PolicyValue) bool {
			return !slices.Contains(policy.Controls(), strings.TrimPrefix(c.Path, "controls."))
		})
		d, after, err = x.without(modes, file)
	}
	if err != nil || policy.Equal(&now.Document, &after.Document) {
		return nil, "", err
	}
	if base, text, err := x.revision(t.Base); err == nil {
		if was, err := policy.Merge(file, policy.Layer{Document: base}); err == nil && policy.Equal(&was.Document, &after.Document) {
			return base, text, nil
		}
	}
	return d, string(policy.Format(d)), nil
}

// without is the document in force with changes taken back, and what it says over the
// file's.
func (x *transaction) without(changes []PolicyValue, file policy.Layer) (*policy.Document, *policy.Effective, error) {
	d, err := x.document()
	if err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		if err := d.Set(c.Path, c.Was, 0); err != nil {
			return nil, nil, err
		}
	}
	if err := d.Validate(); err != nil {
		return nil, nil, err
	}
	after, err := policy.Merge(file, policy.Layer{Origin: "policy", Document: d})
	return d, after, err
}

// Trials returns what is on trial, the oldest first.
func (p *Plane) Trials(context.Context) ([]TrialInfo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.onTrial(), nil
}

// onTrial is Trials. The caller holds mu.
func (p *Plane) onTrial() (all []TrialInfo) {
	for i := range p.trials {
		all = append(all, p.trials[i].TrialInfo)
	}
	return all
}

// trialOf is the trial that has put a control in its stage, if one has. The caller holds
// mu.
func (p *Plane) trialOf(name string) *TrialInfo {
	for _, t := range p.onTrial() {
		for _, c := range t.Changes {
			if c.Path == "controls."+name {
				return &t
			}
		}
	}
	return nil
}

// endTrials reverts what nobody has kept.
func (p *Plane) endTrials(ctx context.Context, now time.Time) error {
	p.mu.Lock()
	var over []int64
	for i := range p.trials {
		if p.trials[i].due(now) {
			over = append(over, p.trials[i].Revision)
		}
	}
	p.mu.Unlock()
	var errs []error
	for _, revision := range over {
		p.log.Warn("a policy on trial reverts: nobody has kept it", "policy", revision)
		_, err := p.Apply(ctx, trialActor, EndTrial{Revision: revision}, Options{Reason: "nobody has kept it"})
		if e, ok := errors.AsType[*Error](err); ok && e.Kind == NotFound {
			err = nil // somebody was faster
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
