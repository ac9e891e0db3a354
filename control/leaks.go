package control

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/keys"
)

// SplitLeak gives each holder of a user's leaked secret a secret of his own, so that the next leak tells whose it is. Holders become users with
// the level, expiry, quota, bounds, domain and note of the leaked one; of whom the leaked user is one, he gets a new secret. What was accepted
// of the leaked user's secrets goes on for the overlap and is revoked then, or with Now at once; it stays as tripwire. All of it happens or
// nothing.
type SplitLeak struct {
	User string
	// Holders are the names, or Count is how many there are: then they are called USER-1, USER-2 and so on, as far as these names are free.
	Holders []string
	Count   int
	// Overlap is for how long the leaked secret still works; nil: a day. With Now it must be nil.
	Overlap *Duration
	Now     bool
	// Incident, unless "", is the one that this answers: it is contained by it.
	Incident string
}

// MaxHolders bounds the holders of one split.
const MaxHolders = store.MaxHolders

const usualSplitOverlap = day

// LeakInfo is a split as commands and the API show it.
type LeakInfo struct {
	ID       string       `json:"id"`
	Seq      int64        `json:"seq"`
	User     string       `json:"user" doc:"whose secret leaked"`
	Key      keys.ID      `json:"key" doc:"the leaked one"`
	KeyState string       `json:"key_state,omitempty" doc:"as it is now: retiring, then revoked; left out when its user is gone"`
	Until    *time.Time   `json:"until,omitempty" doc:"until when it works"`
	Time     time.Time    `json:"time"`
	By       string       `json:"by"`
	Reason   string       `json:"reason"`
	Incident string       `json:"incident,omitempty"`
	Holders  []HolderInfo `json:"holders"`
}

// HolderInfo is who had a leaked secret.
type HolderInfo struct {
	User    string  `json:"user"`
	Key     keys.ID `json:"key" doc:"the first one that is his alone"`
	Gone    bool    `json:"gone,omitempty" doc:"the user was removed"`
	Tripped int     `json:"tripped,omitempty" doc:"addresses that used a secret of his that was revoked"`
	// Incidents are the open ones about his secrets: where there is one, he is who leaks.
	Incidents []string `json:"incidents,omitempty" doc:"open ones about his secrets"`
}

// Lineage is one step back: where a user has his secrets from.
type Lineage struct {
	User    string    `json:"user"`
	From    string    `json:"from" doc:"the user of the leaked secret"`
	FromKey keys.ID   `json:"from_key"`
	Split   string    `json:"split"`
	Time    time.Time `json:"time"`
	By      string    `json:"by"`
}

// LeakReport is what is known of one user's leaks.
type LeakReport struct {
	User      string         `json:"user"`
	Lineage   []Lineage      `json:"lineage" doc:"where the user's secrets come from, step by step"`
	Splits    []LeakInfo     `json:"splits" doc:"of this user's secrets, the newest first"`
	Incidents []IncidentInfo `json:"incidents" doc:"about this user's secrets, the newest first"`
}

// LeakFilter goes through splits; After is the Seq before the first.
type LeakFilter struct {
	After int64
	Limit int
}

func (SplitLeak) action() string      { return "leak.split" }
func (c SplitLeak) object() string    { return "user " + clean(c.User) }
func (SplitLeak) least() access.Level { return access.Admin }

func (c SplitLeak) apply(x *transaction) error {
	if err := x.requireReason(); err != nil {
		return err
	}
	overlap, err := c.overlap()
	if err != nil {
		return err
	}
	row, err := x.user(c.User)
	if err != nil {
		return err
	}
	if err := x.current(row.Rev); err != nil {
		return err
	}
	names, err := x.holders(c, &row)
	if err != nil {
		return err
	}
	before, err := x.tx.KeysOf(row.ID)
	if err != nil {
		return err
	}
	incident, leaked, err := x.leaked(c, &row, before)
	if err != nil {
		return err
	}
	if err := x.withdraw(&row, before, overlap); err != nil {
		return err
	}
	split := store.Split{
		ID: newID("l"), FromID: row.ID, FromUser: row.Name, FromKey: leaked, At: x.now, Actor: x.by.Name, Reason: x.o.Reason, Incident: c.Incident,
	}
	for _, name := range names {
		h, err := x.giveHolder(row, name)
		if err != nil {
			return err
		}
		split.Holders = append(split.Holders, h)
	}
	if !slices.Contains(names, row.Name) {
		if err := x.tx.PutUser(&row); err != nil { // a new revision: who saw the old one saw another key
			return err
		}
	}
	if err := x.tx.PutSplit(&split); err != nil {
		return err
	}
	if incident != nil {
		if err := x.containedBy(incident, names); err != nil {
			return err
		}
	}
	x.sayOfSplit(&split, before, overlap)
	return nil
}

func (c SplitLeak) overlap() (time.Duration, error) {
	switch {
	case c.Now && c.Overlap != nil:
		return 0, invalid("overlap", "now and an overlap exclude each other")
	case c.Now:
		return 0, nil
	case c.Overlap == nil:
		return usualSplitOverlap, nil
	case *c.Overlap <= 0 || time.Duration(*c.Overlap) > maxOverlap:
		return 0, invalid("overlap", "an overlap is above 0 and at most %v; without one, say now", Duration(maxOverlap))
	}
	return time.Duration(*c.Overlap), nil
}

// holders are the names of the holders. It says everything that is wrong with them at once, before anything changes.
func (x *transaction) holders(c SplitLeak, row *store.User) ([]string, error) {
	if row.Source == store.FromFile && !c.Now {
		return nil, refused("split with --now, and take its [[user]] out of the file", "the secret of user %s stands in the configuration file, which would bring it back", row.Name)
	}
	n := max(len(c.Holders), c.Count)
	switch {
	case (len(c.Holders) > 0) == (c.Count != 0):
		return nil, invalid("holders", "name the holders, or say how many there are")
	case n < 1 || n > MaxHolders:
		return nil, invalid("holders", "%d holders: want 1 to %d", n, MaxHolders)
	}
	if c.Count > 0 {
		return x.freeNames(row.Name, c.Count)
	}
	var taken []string
	seen := make(map[string]bool)
	for _, name := range c.Holders {
		switch {
		case !userName.MatchString(name):
			return nil, invalid("holders", "%q: a name has 1 to 64 letters, digits, dots, dashes or underscores", clean(name))
		case seen[name]:
			return nil, invalid("holders", "%s is named twice", name)
		case name == row.Name && row.Source == store.FromFile:
			return nil, refused("name that holder differently", "user %s is declared in the configuration file, and gets no secret elsewhere", name)
		}
		seen[name] = true
		_, err := x.tx.User(name)
		if err == nil && name != row.Name {
			taken = append(taken, name)
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	if len(taken) > 0 {
		return nil, &Error{Kind: Exists, Field: "holders", Text: "there are users of these names already: " + strings.Join(taken, ", "), Fix: "name those holders differently"}
	}
	return c.Holders, nil
}

// freeNames numbers holders that nobody named.
func (x *transaction) freeNames(user string, count int) ([]string, error) {
	var names []string
	for i := 1; len(names) < count; i++ {
		name := user + "-" + strconv.Itoa(i)
		if !userName.MatchString(name) {
			return nil, invalid("count", "%s would be too long a name: name the holders", name)
		}
		_, err := x.tx.User(name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			names = append(names, name)
		case err != nil:
			return nil, err
		}
	}
	return names, nil
}

// leaked is the secret that a split is of, and the incident that it answers, nil for none.
func (x *transaction) leaked(c SplitLeak, row *store.User, list []store.Key) (*store.Incident, keys.ID, error) {
	var id keys.ID // the active one, else the newest
	for _, k := range list {
		if id = k.ID; k.State == keys.Active {
			break
		}
	}
	if id == "" {
		return nil, "", refused("mtguard user show "+row.Name, "user %s never had a secret", row.Name)
	}
	if c.Incident == "" {
		return nil, id, nil
	}
	n, err := x.tx.Incident(c.Incident)
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", notFound("incident", clean(c.Incident), "mtguard incident list")
	}
	if err != nil {
		return nil, "", err
	}
	about := slices.ContainsFunc(list, func(k store.Key) bool { return string(k.ID) == n.Key })
	switch {
	case !n.Closed.IsZero():
		return nil, "", refused("", "incident %s is %s already", n.ID, n.State)
	case !about:
		return nil, "", invalid("incident", "incident %s is about %s, which is no secret of user %s", n.ID, n.Subject, row.Name)
	}
	return &n, keys.ID(n.Key), nil
}

// withdraw ends the time of a user's secrets: after the overlap, or at once when there is none.
func (x *transaction) withdraw(row *store.User, before []store.Key, overlap time.Duration) error {
	g := metadata(before)
	after, err := g, error(nil)
	if overlap > 0 {
		after, err = g.Withdraw(x.now, overlap)
		if errors.Is(err, keys.ErrRetiring) && x.o.Force {
			if g, err = x.retireOldest(g); err == nil {
				after, err = g.Withdraw(x.now, overlap)
			}
		}
		if errors.Is(err, keys.ErrRetiring) {
			return refused("end the oldest one now with --force, or all of them with --now", "two older secrets of user %s still work", row.Name)
		}
	}
	for _, k := range before {
		if overlap == 0 && !k.State.Final() && err == nil {
			after, err = after.Revoke(k.ID, keys.Leaked, x.now)
		}
	}
	if err != nil {
		return err
	}
	return x.write(row, before, after, keys.Secret{}, "")
}

// giveHolder gives a holder a secret of his own, and puts its links into the result.
func (x *transaction) giveHolder(leaked store.User, name string) (store.Holder, error) {
	row := leaked
	var secret keys.Secret
	var err error
	if name == leaked.Name {
		if secret, err = x.rotateUser(&row, time.Time{}, 0); err == nil {
			err = x.tx.PutUser(&row)
		}
	} else {
		row.ID, row.Rev, row.Name, row.Source, row.Created, row.Disabled = 0, 0, name, store.FromAdmin, x.now, false
		if secret, err = keys.NewSecret(rand.Reader, ""); err == nil {
			if err = x.checkUser(&row, false, false); err == nil {
				err = x.insertUser(&row, secret, store.Generated)
			}
		}
	}
	if err != nil {
		return store.Holder{}, err
	}
	links := x.result.Links
	if err := x.handOut(&row, secret); err != nil {
		return store.Holder{}, err
	}
	x.result.Links = append(links, x.result.Links...)
	return store.Holder{UserID: row.ID, User: name, Key: secret.ID()}, nil
}

// containedBy takes the incident that a split answers to contained.
func (x *transaction) containedBy(n *store.Incident, names []string) error {
	what := fmt.Sprintf("contained, its secret is split to %s: %s", someOf(names), x.o.Reason)
	n.State = IncidentContained
	n.Moments = append(n.Moments, store.Moment{At: x.now, By: x.by.Name, What: what})
	if err := x.tx.PutIncident(n); err != nil {
		return err
	}
	info := incidentInfo(*n)
	x.result.Incident = &info
	return nil
}

// someOf names a few, and counts the others.
func someOf(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d others", strings.Join(names[:most], ", "), len(names)-most)
}

// sayOfSplit fills in the result and the audit row.
func (x *transaction) sayOfSplit(s *store.Split, before []store.Key, overlap time.Duration) {
	x.about = s.FromUser
	var names []string
	for _, h := range s.Holders {
		names = append(names, h.User)
	}
	x.detail("split", s.ID)
	x.detail("key", s.FromKey)
	x.detail("holders", strings.Join(names, " "))
	x.detail("count", len(names))
	if s.Incident != "" {
		x.detail("incident", s.Incident)
	}
	sessions := 0
	for _, k := range before {
		sessions += x.p.leases(k.ID)
	}
	info := leakInfo(s)
	x.result.Leak = &info
	x.result.Affected = len(names)
	x.result.Summary = fmt.Sprintf("the secret %s of user %s is split: %s with a secret of their own", s.FromKey, s.FromUser, plural(len(names), "holder"))
	if overlap == 0 {
		x.detail("now", true)
		x.result.Ended = sessions // of a dry run: what would end
		x.result.Summary += fmt.Sprintf("; the old one is revoked, and cuts %s off", plural(sessions, "session"))
		return
	}
	x.detail("overlap", Duration(overlap))
	x.result.Summary += fmt.Sprintf("; the old one works for another %v, with %s now, and is revoked then", Duration(overlap), plural(sessions, "session"))
}

func leakInfo(s *store.Split) LeakInfo {
	info := LeakInfo{
		ID: s.ID, Seq: s.Seq, User: s.FromUser, Key: s.FromKey, Time: s.At, By: s.Actor, Reason: s.Reason, Incident: s.Incident,
	}
	for _, h := range s.Holders {
		info.Holders = append(info.Holders, HolderInfo{User: h.User, Key: h.Key})
	}
	return info
}
