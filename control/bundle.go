package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
)

// SetBundles subscribes to the policy bundles of a publisher, or changes where
// they come from. What only tightens is applied by itself, as the actor "policy
// bundle"; what would loosen waits for ApproveBundle. The key is trusted with
// that, so another key begins with no number, and the same one goes on from the
// number it had, also after StopBundles.
type SetBundles struct {
	Origin string        // the absolute path of a file, or an https address
	Key    string        // a verifier as golang.org/x/mod/sumdb/note writes it
	Every  time.Duration // how often it is looked at; 0: every hour
}

// StopBundles ends that; what was applied stays. ApproveBundle applies the bundle
// that waits. Its IfRevision is the number of the policy revision that the person
// has seen it compared with, BundleWaiting.Policy.
type (
	StopBundles   struct{}
	ApproveBundle struct{ Number int64 }
)

// takeBundle takes a bundle whose signature is good.
type takeBundle struct {
	origin, key string // that it is from
	bundle      *bundle
}

// BundleInfo is where policy bundles come from and what became of the last one.
// Without an Origin there are none.
type BundleInfo struct {
	Origin  string         `json:"origin,omitempty"`
	Key     string         `json:"key,omitempty" doc:"in the form of golang.org/x/mod/sumdb/note"`
	Every   Duration       `json:"every"`
	Number  int64          `json:"number" doc:"of the newest that was accepted: none below it is"`
	Applied int64          `json:"applied" doc:"of the newest that was applied"`
	Time    *time.Time     `json:"time,omitempty" doc:"that the newest bears"`
	Checked *time.Time     `json:"checked,omitempty" doc:"when it was looked at last"`
	Problem string         `json:"problem,omitempty" doc:"of the last look; everything stays as it was"`
	Waiting *BundleWaiting `json:"waiting,omitempty" doc:"for somebody who approves it"`
}

// BundleWaiting is a bundle that would loosen something.
type BundleWaiting struct {
	Number   int64         `json:"number"`
	Policy   int64         `json:"policy" doc:"revision of the policy that it is compared with"`
	Document string        `json:"document" doc:"TOML; what it does not give stays as it is"`
	Changes  []PolicyValue `json:"changes" doc:"all that would change"`
	Loosens  []PolicyValue `json:"loosens" doc:"those of the changes that admit something"`
	Gate     string        `json:"gate,omitempty" doc:"why a control may not bite more yet; a bundle that loosens nothing is applied by itself when that is over"`
}

func (SetBundles) action() string    { return "bundle.set" }
func (StopBundles) action() string   { return "bundle.stop" }
func (ApproveBundle) action() string { return "bundle.approve" }
func (takeBundle) action() string    { return "bundle.take" }

func (SetBundles) object() string      { return "policy bundles" }
func (StopBundles) object() string     { return "policy bundles" }
func (c ApproveBundle) object() string { return bundleName(c.Number) }
func (c takeBundle) object() string    { return bundleName(c.bundle.number) }

func (SetBundles) least() access.Level    { return access.Superuser }
func (StopBundles) least() access.Level   { return access.Admin } // nothing that is in force changes
func (ApproveBundle) least() access.Level { return access.Superuser }
func (takeBundle) least() access.Level    { return access.Superuser }

const (
	maxBundle      = 256 << 10 // bytes, with the signatures
	maxBundleLists = 16
	usualBundles   = time.Hour
	minBundles     = 5 * time.Minute
	maxBundles     = 7 * day
	bundleTimeout  = 20 * time.Second // it is fetched between other things that are done by time
	// A publisher signs anew, with the next number, before a bundle is so old. One
	// who can hold bundles back, but cannot sign, is noticed by that.
	maxBundleAge = 30 * day
	// maxBundleAhead is how far our clock may be behind the publisher's.
	maxBundleAhead = time.Hour
)

// Names of the settings. The text that waits stands alone: the state is read at
// every tick.
const (
	settingBundles = "policy.bundles"
	settingWaiting = "policy.bundle.waiting"
)

var bundleActor = Actor{Name: "policy bundle", Level: access.Superuser}

func bundleName(number int64) string { return "bundle " + strconv.FormatInt(number, 10) }

const bundleTitle = "mtguard policy bundle"

// bundleState is what is kept of the bundles.
type bundleState struct {
	Origin, Key string // no Origin: stopped
	Every       time.Duration
	Number      int64 // the highest that was accepted: applied, or waits
	Digest      string
	Time        time.Time
	Applied     int64
	Lists       map[string]string // origins of the lists that bundles have set
	Checked     time.Time
	Problem     string
}

func readBundles(tx *store.Tx) (s bundleState, err error) {
	err = optionalSetting(tx, settingBundles, &s)
	return s, err
}

func (s *bundleState) put(tx *store.Tx) error {
	return putSetting(tx, settingBundles, s)
}

// accept notes a bundle as the newest.
func (s *bundleState) accept(b *bundle) { s.Number, s.Digest, s.Time = b.number, b.digest(), b.time }

func (c SetBundles) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	if c.Every == 0 {
		c.Every = usualBundles
	}
	key := strings.TrimSpace(c.Key)
	verifier, err := note.NewVerifier(key)
	switch {
	case len(c.Origin) > store.MaxText || checkOrigin(c.Origin) != nil:
		return invalid("origin", "a bundle is the absolute path of a file, or an https address without a password")
	case err != nil || len(key) > store.MaxText:
		return invalid("key", "the key is the public one of the publisher, like NAME+HASH+DATA")
	case c.Every < minBundles || c.Every > maxBundles:
		return invalid("every", "bundles are looked at every %v to %v", Duration(minBundles), Duration(maxBundles))
	}
	s, err := readBundles(x.tx)
	if err != nil {
		return err
	}
	if s.Key != key {
		s = bundleState{Key: key, Lists: s.Lists}
		if err := x.tx.DropSetting(settingWaiting); err != nil {
			return err
		}
	}
	s.Origin, s.Every, s.Checked, s.Problem = c.Origin, c.Every, time.Time{}, ""
	x.detail("origin", s.Origin)
	x.detail("key", fmt.Sprintf("%s+%08x", verifier.Name(), verifier.KeyHash()))
	x.result.Summary = fmt.Sprintf("policy bundles signed by %s are looked at every %v", verifier.Name(), Duration(s.Every))
	return s.put(x.tx)
}

func (StopBundles) apply(x *transaction) error {
	s, err := readBundles(x.tx)
	if err != nil {
		return err
	}
	if s.Origin == "" {
		return &Error{Kind: NotFound, Text: "no policy bundles are looked for", Fix: "mtguard policy bundle show"}
	}
	s.Origin, s.Problem = "", ""
	x.result.Summary = "policy bundles are not looked at any more"
	return errors.Join(x.tx.DropSetting(settingWaiting), s.put(x.tx))
}

func (c takeBundle) apply(x *transaction) error {
	s, err := readBundles(x.tx)
	if err != nil {
		return err
	}
	b := c.bundle
	switch {
	case s.Origin != c.origin || s.Key != c.key:
		return errUnchanged // somebody wants others meanwhile
	case b.number < s.Number:
		return invalid("number", "it is %s again, and %s is known already", bundleName(b.number), bundleName(s.Number))
	case b.number == s.Number && b.digest() != s.Digest:
		return invalid("number", "%s is another one than before", bundleName(b.number))
	case b.number == s.Applied:
		return errUnchanged
	case b.time.After(x.now.Add(maxBundleAhead)):
		return invalid("time", "%s is of %s, which is to come", bundleName(b.number), b.time.Format(time.RFC3339))
	case b.number > s.Number && x.now.Sub(b.time) > maxBundleAge:
		return invalid("time", "%s is of %s, older than %v", bundleName(b.number), b.time.Format(time.RFC3339), Duration(maxBundleAge))
	}
	w, err := x.p.weigh(x.tx, b, s.Lists)
	if err != nil {
		return err
	}
	if loose := w.loosens(); len(loose) > 0 {
		return x.keepBundle(s, b, fmt.Sprintf("%s would loosen: %s", plural(len(loose), "change"), loose[0].Path))
	}
	err = x.gates(w)
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == Refused {
		return x.keepBundle(s, b, e.Text)
	}
	if err != nil {
		return err
	}
	return x.putBundle(s, b, w)
}

// keepBundle lets a bundle wait. A newer one takes its place.
func (x *transaction) keepBundle(s bundleState, b *bundle, why string) error {
	if waiting, err := x.tx.Setting(settingWaiting); err == nil && string(waiting) == b.text {
		return errUnchanged
	} else if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s.accept(b)
	x.detail("waits", why)
	x.result.Summary = bundleName(b.number) + " waits for approval: " + why
	return errors.Join(x.tx.PutSetting(settingWaiting, []byte(b.text)), s.put(x.tx))
}

func (c ApproveBundle) apply(x *transaction) error {
	s, err := readBundles(x.tx)
	if err != nil {
		return err
	}
	b, err := waitingBundle(x.tx)
	if err != nil {
		return err
	}
	if b == nil || b.number != c.Number {
		return notFound("waiting bundle", strconv.FormatInt(c.Number, 10), "mtguard policy bundle")
	}
	w, err := x.p.weigh(x.tx, b, s.Lists)
	if err != nil {
		return err
	}
	if err := x.current(store.Revision(w.revision)); err != nil {
		return err
	}
	if err := x.gates(w); err != nil {
		return err
	}
	own := x.o.Reason
	defer func() { x.o.Reason = own }() // in the audit log it stands as it was given
	x.o.Reason = auditlog.Clip(strings.TrimSuffix(bundleName(b.number)+": "+own, ": "), auditlog.MaxReason)
	return x.putBundle(s, b, w)
}

// waitingBundle returns the one that waits, or nil.
func waitingBundle(tx *store.Tx) (*bundle, error) {
	text, err := tx.Setting(settingWaiting)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b, err := parseBundle(string(text))
	if err != nil {
		return nil, invalid("number", "the bundle that waits cannot be read any more: %v", err)
	}
	return b, nil
}

// putBundle puts a bundle in force.
func (x *transaction) putBundle(s bundleState, b *bundle, w *weighed) error {
	if w.document != nil {
		if err := x.putPolicy(w.document, w.text); err != nil {
			return err
		}
	}
	own := make(map[string]string)
	for name, origin := range s.Lists { // those that nobody has taken over or out
		if row, err := x.tx.List(name); err == nil && row.Origin == origin {
			own[name] = origin
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	for _, row := range w.lists {
		if row.Rev == 0 {
			row.Created = x.now
		}
		if err := x.tx.PutList(&row); err != nil {
			return err
		}
	}
	for _, list := range w.own {
		own[list.Name] = list.Origin
	}
	if len(w.lists) > 0 {
		x.detail("lists", plural(len(w.lists), "list"))
	}
	s.accept(b)
	s.Applied, s.Lists = b.number, own
	x.result.Summary = fmt.Sprintf("%s is in force: %s", bundleName(b.number), plural(len(w.changes), "change"))
	return errors.Join(x.tx.DropSetting(settingWaiting), s.put(x.tx))
}

// checkBundles looks for a new bundle when it is time to. It takes bundleTimeout
// at most. Whatever is wrong leaves everything as it was, is returned and is kept
// for Bundle. Only Run's goroutine calls it.
func (p *Plane) checkBundles(ctx context.Context, now time.Time) error {
	var s bundleState
	err := p.view(ctx, func(tx *store.Tx) (err error) {
		s, err = readBundles(tx)
		return err
	})
	since := now.Sub(s.Checked)
	if err != nil || s.Origin == "" || since >= 0 && since < s.Every {
		return err
	}
	// Before it is fetched: a store that takes nothing must not have us ask every second.
	if err := p.bundleChecked(ctx, s, now, s.Problem, false); err != nil {
		return err
	}
	signed, err := readBundle(ctx, s.Origin)
	read := err == nil
	var b *bundle
	if read {
		b, err = openBundle(signed, s.Key)
	}
	if err == nil {
		_, err = p.Apply(ctx, bundleActor, takeBundle{s.Origin, s.Key, b}, Options{Reason: bundleName(b.number)})
	}
	if err == nil && now.Sub(b.time) > maxBundleAge {
		err = fmt.Errorf("there was nothing new since %s: the publisher has stopped, or somebody holds bundles back", b.time.Format(time.RFC3339))
	}
	problem := ""
	if err != nil {
		err = fmt.Errorf("policy bundle: %w", err)
		problem = briefly(errors.Unwrap(err))
	}
	return errors.Join(err, p.bundleChecked(ctx, s, now, problem, read))
}

// bundleChecked notes how the last look went, and in the audit log when something
// is wrong with what was read that was not wrong before.
func (p *Plane) bundleChecked(ctx context.Context, of bundleState, now time.Time, problem string, read bool) error {
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		s, err := readBundles(tx)
		if err != nil || s.Origin != of.Origin || s.Key != of.Key || s.Checked.Equal(now) && s.Problem == problem {
			return err
		}
		if read && problem != "" { // another one than before: see above
			_, err = tx.Audit(auditlog.Entry{
				Time: now, Actor: bundleActor.Name, Action: takeBundle{}.action(), Object: SetBundles{}.object(), Outcome: auditlog.Refused, Reason: problem,
			})
		}
		s.Checked, s.Problem = now, problem
		return errors.Join(err, s.put(tx))
	})
	return err
}

// Bundle returns where policy bundles come from, and what waits.
func (p *Plane) Bundle(ctx context.Context) (info BundleInfo, err error) {
	err = p.view(ctx, func(tx *store.Tx) error {
		s, err := readBundles(tx)
		if err != nil || s.Origin == "" {
			return err
		}
		info = BundleInfo{
			Origin: s.Origin, Key: s.Key, Every: Duration(s.Every), Number: s.Number, Applied: s.Applied, Time: maybe(s.Time),
			Checked: maybe(s.Checked), Problem: s.Problem,
		}
		b, err := waitingBundle(tx)
		if err != nil || b == nil {
			return err
		}
		info.Waiting = &BundleWaiting{Number: b.number, Document: b.policy}
		w, err := p.weigh(tx, b, s.Lists)
		if e, ok := errors.AsType[*Error](err); ok {
			info.Problem = e.Text // the policy has changed since
			return nil
		}
		if err != nil {
			return err
		}
		info.Waiting.Policy, info.Waiting.Changes, info.Waiting.Loosens = w.revision, w.changes, w.loosens()
		err = (&transaction{p: p, tx: tx, now: p.parts.Now()}).gates(w)
		if e, ok := errors.AsType[*Error](err); ok {
			info.Waiting.Gate, err = e.Text, nil
		}
		return err
	})
	return info, explain(err)
}
