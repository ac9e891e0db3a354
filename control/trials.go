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
func (EndTrial) least() access.Level  { return access.Admin } // who may do little may still take the bite out

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
	Revision int64     `json:"revision" doc:"of the policy on trial"`
	Base     int64     `json:"base" doc:"the revision that it reverts to, while no other change came between"`
	What     string    `json:"what" doc:"what was changed, in short"`
	By       string    `json:"by"`
	Until    time.Time `json:"until" doc:"then it reverts unless somebody keeps it"`
}

// trial is how the store has one.
type trial struct {
	TrialInfo
	Made     time.Time            `json:"made"`
	Controls map[string]trialStep `json:"controls,omitempty"` // whose mode changed
}

// trialStep is what a control was before the trial, and is in it.
type trialStep struct{ Was, Is policy.Control }

// due reports whether t is over. A clock that was set back before its beginning tells
// nothing, and reverting is the side that harms nobody.
func (t *trial) due(now time.Time) bool { return !now.Before(t.Until) || now.Before(t.Made) }

// moot reports whether nothing of t is in force any more: other changes went over it.
func (t *trial) moot(revision int64, e *policy.Effective) bool {
	if t.Revision == revision {
		return false
	}
	for name, step := range t.Controls {
		if e.Control(name).Control == step.Is {
			return false
		}
	}
	return true
}

// trials are those that the store has.
func trialsOf(tx *store.Tx) (all []trial, err error) {
	text, err := tx.Setting(settingTrials)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	return all, err
}

func (x *transaction) putTrials(all []trial) error {
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return x.tx.PutSetting(settingTrials, text)
}

// tryOut makes the policy that was just put a trial. What an earlier trial has changed
// and nobody has kept goes back with it: else two trials in a row would keep the first.
func (x *transaction) tryOut(base, revision int64, before, after *policy.Effective, changes []policy.Change) error {
	long := time.Duration(x.o.RevertAfter)
	if long < minTrial || long > maxTrial {
		return invalid("revert_after", "a trial takes %v to %v", Duration(minTrial), Duration(maxTrial))
	}
	all, err := trialsOf(x.tx)
	if err != nil {
		return err
	}
	t := trial{TrialInfo: TrialInfo{Revision: revision, Base: base, By: x.by.Name, Until: x.now.Add(long)}, Made: x.now, Controls: make(map[string]trialStep)}
	for _, name := range policy.Controls() {
		if was, is := before.Control(name).Control, after.Control(name).Control; was != is {
			t.Controls[name] = trialStep{was, is}
		}
	}
	rest := all[:0]
	for _, earlier := range all {
		if earlier.moot(base, before) {
			continue
		}
		for name, step := range t.Controls {
			if former, ok := earlier.Controls[name]; ok && former.Is == step.Was {
				t.Controls[name] = trialStep{former.Was, step.Is}
				delete(earlier.Controls, name)
			}
		}
		if earlier.Revision == base {
			t.Base = earlier.Base
			for name, step := range earlier.Controls {
				t.Controls[name] = step
			}
			continue
		}
		if len(earlier.Controls) > 0 {
			rest = append(rest, earlier)
		}
	}
	if len(rest) == maxTrials {
		return refused("keep or undo one of them first", "%d changes wait to be kept already", maxTrials)
	}
	t.What = whatChanged(changes)
	x.detail("revert_after", x.o.RevertAfter)
	x.result.Trial = new(t.TrialInfo)
	return x.putTrials(append(rest, t))
}

// whatChanged names the first changes.
func whatChanged(changes []policy.Change) string {
	const most = 3
	var parts []string
	for i, c := range changes {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(changes)-most))
			break
		}
		parts = append(parts, c.Path+": "+c.From+" > "+c.To)
	}
	return strings.Join(parts, ", ")
}

// takeTrial takes the trial of that policy out of the store.
func (x *transaction) takeTrial(revision int64) (t trial, err error) {
	all, err := trialsOf(x.tx)
	if err != nil {
		return t, err
	}
	at := slices.IndexFunc(all, func(t trial) bool { return t.Revision == revision })
	if at < 0 {
		return t, notFound("trial of policy", "r"+strconv.FormatInt(revision, 10), "mtguard policy history")
	}
	return all[at], x.putTrials(slices.Delete(slices.Clone(all), at, at+1))
}

func (c KeepTrial) apply(x *transaction) error {
	t, err := x.takeTrial(c.Revision)
	if err != nil {
		return err
	}
	x.result.Summary = fmt.Sprintf("policy r%d stays: %s", c.Revision, t.What)
	return nil
}

func (c EndTrial) apply(x *transaction) error {
	t, err := x.takeTrial(c.Revision)
	if err != nil {
		return err
	}
	if x.o.Reason == "" {
		x.o.Reason = "a trial is reverted"
	}
	x.o.Force, x.o.RevertAfter = true, 0 // it was so before: no gate is asked again
	x.p.mu.Lock()
	revision, now := x.p.policy.Number, x.p.effective
	moot := t.moot(revision, now)
	x.p.mu.Unlock()
	if moot {
		x.result.Summary = fmt.Sprintf("of policy r%d nothing is in force any more", c.Revision)
		return nil
	}
	if revision == c.Revision {
		err = RollbackPolicy{Revision: t.Base}.apply(x)
	} else {
		err = x.putBack(t, now)
	}
	if err == nil {
		x.result.Summary = fmt.Sprintf("policy r%d is reverted: r%d is in force", c.Revision, x.result.Policy.Revision)
	}
	return err
}

// putBack sets the controls of a trial back that are still as it set them, and leaves
// what others have changed since.
func (x *transaction) putBack(t trial, now *policy.Effective) error {
	d, err := x.document()
	if err != nil {
		return err
	}
	for name, step := range t.Controls {
		if now.Control(name).Control == step.Is {
			d.SetControl(name, step.Was)
		}
	}
	if err := d.Validate(); err != nil {
		return invalid("control", "%v", err)
	}
	return x.putPolicy(d, string(policy.Format(d)))
}

// Trials returns what is on trial, the oldest first.
func (p *Plane) Trials(context.Context) ([]TrialInfo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []TrialInfo
	for i := range p.trials {
		if t := &p.trials[i]; !t.moot(p.policy.Number, p.effective) {
			all = append(all, t.TrialInfo)
		}
	}
	return all, nil
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
