package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"mtguard/control/store"
	"mtguard/proxy/auth"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/usage"
)

// catchUp reads what the store has that the model has not, brings keys and
// accounts in line with it, publishes, and ends the sessions that may not go on;
// it returns how many those were. The caller holds mu.
//
// The order matters. A key's state moves first: from then on nobody acquires it,
// whatever snapshot he came with. Then the snapshot, so that new connections do
// not try it. Then the sessions: one that was opened meanwhile looked at the
// state once more after it was opened, so it is caught by one side or the other.
func (p *Plane) catchUp(ctx context.Context) (ended int, err error) {
	news, err := p.read(ctx)
	if err != nil {
		return 0, fmt.Errorf("compile: %w", err)
	}
	for _, u := range news.users {
		p.takeUser(u)
	}
	for _, page := range news.pages {
		p.takePage(page)
	}
	now := p.parts.Now()
	newer := news.policy.Number != p.policy.Number || !news.glass.Equal(p.glass)
	if err := p.takePolicies(news, now); err != nil {
		return 0, fmt.Errorf("compile: %w", err)
	}
	touched := news.touched
	for _, k := range news.keys {
		if k.Purpose == store.ForSeal {
			p.takeSealKey(k)
		} else if u := p.users[k.UserID]; u != nil && u.row.Removed.IsZero() {
			u.put(k)
			touched[u.row.ID] = true
		}
	}
	for id := range touched {
		if err := p.arrange(p.users[id], news, now); err != nil {
			return 0, fmt.Errorf("compile: %w", err)
		}
	}
	p.compiled = news.revision
	if len(touched) > 0 || news.schedule {
		p.due = time.Time{} // look anew
	}
	p.publish()
	ended = p.cut(now)
	if len(touched)+len(news.rules)+len(news.lists)+len(news.exceptions) > 0 || newer {
		ended += p.regrade(now)
	}
	return ended, nil
}

// regrade puts live sessions on the levels that rules, policy and users give them
// now, and ends those that have none. The caller holds mu.
func (p *Plane) regrade(now time.Time) int {
	p.regradeAt = p.table.Next(now)
	if p.glass.After(now) && (p.regradeAt.IsZero() || p.glass.Before(p.regradeAt)) {
		p.regradeAt = p.glass
	}
	for _, e := range p.exceptions.All() {
		if e.Until.After(now) && (p.regradeAt.IsZero() || e.Until.Before(p.regradeAt)) {
			p.regradeAt = e.Until
		}
	}
	if !p.loaded {
		return 0
	}
	return p.parts.Sessions.Apply(p.parts.Live.Load(), "not allowed any more", now)
}

// news is what changed since the model was made.
type news struct {
	revision   store.Revision
	users      []store.User
	keys       []store.Key
	pages      []store.Page
	rules      []store.Rule
	lists      []store.List
	exceptions []store.Exception
	policy     store.PolicyRevision
	glass      time.Time
	trials     []trial
	materials  map[keys.ID]keys.Secret
	sightings  map[keys.ID][]usage.Sighting
	trips      map[keys.ID][]usage.Sighting
	touched    map[int64]bool
	schedule   bool // it changed
}

func (p *Plane) read(ctx context.Context) (*news, error) {
	n := &news{materials: make(map[keys.ID]keys.Secret), touched: make(map[int64]bool)}
	first := p.compiled == 0
	err := p.view(ctx, func(tx *store.Tx) error {
		n.revision = tx.Revision()
		for u, err := range tx.Users(p.compiled) {
			if err != nil {
				return err
			}
			n.users = append(n.users, u)
			n.touched[u.ID] = true
		}
		for k, err := range tx.Keys(p.compiled) {
			if err != nil {
				return err
			}
			n.keys = append(n.keys, k)
		}
		if err := p.readMaterials(tx, n); err != nil {
			return err
		}
		if first {
			if err := readSightings(tx, n); err != nil {
				return err
			}
		}
		for page, err := range tx.Pages(p.compiled) {
			if err != nil {
				return err
			}
			n.pages = append(n.pages, page)
		}
		if err := p.readRules(tx, n); err != nil {
			return err
		}
		if err := p.readPolicy(tx, n); err != nil {
			return err
		}
		return p.readSchedule(tx, n)
	})
	return n, err
}

// readMaterials opens the secrets of keys that the ring does not have yet: once
// in the life of a key and once in that of a process.
func (p *Plane) readMaterials(tx *store.Tx, n *news) error {
	wanted := make(map[keys.ID]bool)
	for _, k := range n.keys {
		if k.Purpose == store.ForUser && !k.Erased && p.ring.Key(k.ID) == nil {
			wanted[k.ID] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	for m, err := range tx.Materials(p.compiled) {
		if err != nil {
			return err
		}
		if !wanted[m.ID] {
			continue
		}
		secret, err := keys.ParseSecret(string(m.Bytes()))
		if err != nil {
			return fmt.Errorf("key %s: %w: %w", m.ID, store.ErrCorrupt, err)
		}
		n.materials[m.ID] = secret
	}
	return nil
}

func readSightings(tx *store.Tx, n *news) error {
	n.sightings, n.trips = make(map[keys.ID][]usage.Sighting), make(map[keys.ID][]usage.Sighting)
	for s, err := range tx.AllSightings() {
		if err != nil {
			return err
		}
		kind := n.sightings
		if s.Kind == sightTrip {
			kind = n.trips
		}
		kind[s.Key] = append(kind[s.Key], s.Sighting)
	}
	return nil
}

// kinds of sightings.
const (
	sightUse  = "use"
	sightTrip = "trip"
)

func (p *Plane) readSchedule(tx *store.Tx, n *news) error {
	text, err := tx.Setting(settingSchedule)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s := defaultSchedule
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("schedule: %w", err)
	}
	n.schedule = s != p.schedule
	p.schedule = s
	return nil
}

// takeUser brings a row into the model.
func (p *Plane) takeUser(row store.User) {
	u := p.users[row.ID]
	if u == nil {
		u = &user{account: new(usage.Account)}
		p.users[row.ID] = u
	} else if p.names[u.row.Name] == u {
		delete(p.names, u.row.Name)
	}
	if u.row.QuotaPer != row.QuotaPer || row.QuotaBytes == 0 {
		u.period = 0 // what was used is read anew
	}
	u.row = row
	if row.Removed.IsZero() {
		p.names[row.Name] = u
	}
}

// takePage brings a page into the model, where it is found without the store.
func (p *Plane) takePage(page store.Page) {
	u := p.users[page.UserID]
	if u == nil {
		return
	}
	if p.pages[u.page] == u {
		delete(p.pages, u.page)
	}
	u.page = page.Hash
	if page.Closed.IsZero() {
		p.pages[page.Hash] = u
	}
}

func (p *Plane) takeSealKey(k store.Key) {
	for i := range p.sealKeys {
		if p.sealKeys[i].ID == k.ID {
			p.sealKeys[i] = k
			return
		}
	}
	p.sealKeys = append(p.sealKeys, k)
}

// arrange brings a user's account and keys in line with the rows.
func (p *Plane) arrange(u *user, n *news, now time.Time) error {
	if !u.row.Removed.IsZero() {
		u.account.Set(usage.Limits{}, usage.Disabled)
		for _, k := range u.keys {
			p.ring.Drop(k.ID)
		}
		u.keys = nil
		return nil
	}
	u.standing = p.judge(u, now)
	u.account.Set(u.limits(), u.standing)
	u.account.SetLevel(u.row.Level)
	for _, k := range u.keys {
		secret, fresh := n.materials[k.ID]
		live := p.ring.Key(k.ID)
		if live == nil && !fresh {
			continue // erased before this process began
		}
		if live != nil {
			secret = live.Secret()
			if k.State == keys.Retiring && live.State() != keys.Retiring {
				live.Use().Reset() // from now on it counts who is left on it
				p.forgotten = append(p.forgotten, k.ID)
				for _, s := range p.parts.Sessions.List(func(s *auth.Session) bool { return s.Key() == live }, usage.MaxSightings) {
					live.Use().See(s.From, now)
				}
			}
		}
		err := p.ring.Put(keys.Spec{
			ID: k.ID, User: u.row.Name, Number: k.Number, State: k.State, Secret: withDomain(secret, u.row.Domain),
			Tripwire: p.watched(k, now), Account: u.account, PseudonymKey: &p.pseudo, Latest: &p.latest, Since: k.Created, Imported: k.Source != store.Generated,
		})
		if err != nil {
			return err
		}
		if fresh {
			live = p.ring.Key(k.ID)
			live.Use().Restore(n.sightings[k.ID])
			live.Trips().Restore(n.trips[k.ID])
		}
	}
	return nil
}

// watched reports whether a key is a tripwire at this time.
func (p *Plane) watched(k store.Key, now time.Time) bool {
	return k.State == keys.Revoked && now.Before(k.Ended.Add(time.Duration(p.schedule.Tripwire)))
}

// publish puts the model in force for new connections.
func (p *Plane) publish() {
	if !p.loaded {
		return
	}
	p.serial++
	s := p.base
	s.Revision = p.serial
	s.Keys = p.ring.Set()
	if err := p.effective.Apply(&s); err != nil {
		p.log.Error("policy", "error", err) // it was checked when it was merged
		return
	}
	s.Access, s.Exceptions, s.Glass = p.table, p.exceptions, p.glass
	p.parts.Live.Publish(&s)
}

// retiredFor is how long sessions of a retired key may go on: they end by
// themselves, and what has not by then is cut.
const retiredFor = 24 * time.Hour

// cut ends the sessions that may not go on: of users who are not served, of keys
// that are revoked or expired, and of keys that retired long ago.
func (p *Plane) cut(now time.Time) int {
	overdue := make(map[keys.ID]bool)
	for _, u := range p.users {
		for _, k := range u.keys {
			if k.State == keys.Retired && !now.Before(k.Ended.Add(retiredFor)) && p.leases(k.ID) > 0 {
				overdue[k.ID] = true
			}
		}
	}
	return p.parts.Sessions.Kill(func(s *auth.Session) bool { return mustEnd(s) || overdue[s.Key().ID()] }, "not served any more")
}

// mustEnd reports whether a session may not go on: its key was taken back, or its
// user is not served any more.
func mustEnd(s *auth.Session) bool {
	key := s.Key()
	state := key.State()
	return state == keys.Revoked || state == keys.Expired || key.Account().Standing() != usage.Allowed
}

// readRules reads what is new of rules, lists and exceptions.
func (p *Plane) readRules(tx *store.Tx, n *news) error {
	for row, err := range tx.Rules(p.compiled) {
		if err != nil {
			return err
		}
		n.rules = append(n.rules, row)
	}
	for row, err := range tx.Lists(p.compiled) {
		if err != nil {
			return err
		}
		n.lists = append(n.lists, row)
	}
	for row, err := range tx.Exceptions(p.compiled) {
		if err != nil {
			return err
		}
		n.exceptions = append(n.exceptions, row)
	}
	return nil
}

// takePolicies brings rules, lists, exceptions and the policy into the model.
func (p *Plane) takePolicies(n *news, now time.Time) error {
	first := p.compiled == 0
	for _, row := range n.rules {
		take(p.rules, row.ID, row, row.Removed)
	}
	for _, row := range n.lists {
		take(p.listRows, row.Name, row, row.Removed)
		if !row.Removed.IsZero() {
			delete(p.lists, row.Name)
		}
	}
	for _, row := range n.exceptions {
		take(p.exceptionRows, row.ID, row, row.Removed)
	}
	if first {
		p.restoreLists()
	}
	if len(n.exceptions) > 0 || first {
		if err := p.compileExceptions(); err != nil {
			return err
		}
	}
	newer := n.policy.Number != p.policy.Number
	p.policy, p.glass, p.trials = n.policy, n.glass, n.trials
	if newer || first {
		if err := p.compilePolicy(); err != nil {
			return err
		}
	}
	if len(n.rules)+len(n.lists) > 0 || newer || first {
		return p.compileAccess(now)
	}
	return nil
}

// take puts a row into a part of the model, or out of it when it was removed.
func take[T any](into map[string]T, id string, row T, removed time.Time) {
	if removed.IsZero() {
		into[id] = row
	} else {
		delete(into, id)
	}
}

// compileAccess makes the table of the rules in force. The caller holds mu.
func (p *Plane) compileAccess(now time.Time) error {
	table, err := access.Compile(p.rulesInForce(now), p.accessOptions())
	if err == nil {
		p.table = table
	}
	return err
}
