package control

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/control/threat"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/usage"
)

// UserFilter chooses users. State is as in UserInfo, Source too, and Find is a part
// of the name in letters of any case; empty ones choose all. After is the name before
// the first, Limit how many at most (0: 50).
type UserFilter struct {
	After               string
	Limit               int
	State, Source, Find string
}

// KeyFilter chooses keys; After is a cursor that Keys returned.
type KeyFilter struct {
	User, State, Purpose string
	After                string
	Limit                int
}

// HistoryFilter chooses events of keys, the newest first; Before is a cursor.
type HistoryFilter struct {
	Key, User string
	Before    int64
	Limit     int
}

const (
	usualLimit = 50
	mostLimit  = 1000
)

func limitOf(n int) int {
	if n <= 0 {
		return usualLimit
	}
	return min(n, mostLimit)
}

// Users returns users sorted by name, and the After of the next page, "" at the
// end.
func (p *Plane) Users(ctx context.Context, f UserFilter) (items []UserInfo, next string, err error) {
	now, limit, find := p.parts.Now(), limitOf(f.Limit), strings.ToLower(f.Find)
	p.mu.Lock()
	var ids []int64
	for _, name := range p.sortedNames(f.After) {
		u := p.names[name]
		if f.State != "" && u.standingOf() != f.State || f.Source != "" && u.row.Source != f.Source ||
			find != "" && !strings.Contains(strings.ToLower(name), find) {
			continue
		}
		if len(items) == limit {
			next = items[limit-1].Name
			break
		}
		items, ids = append(items, p.userInfo(u, now)), append(ids, u.row.ID)
	}
	p.mu.Unlock()
	err = p.view(ctx, func(tx *store.Tx) error {
		for i := range items {
			if err := complete(tx, ids[i], &items[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return items, next, explain(err)
}

func (p *Plane) sortedNames(after string) []string {
	names := make([]string, 0, len(p.names))
	for name := range p.names {
		if name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// User returns one user.
func (p *Plane) User(ctx context.Context, name string) (UserInfo, error) {
	p.mu.Lock()
	u := p.names[name]
	if u == nil {
		p.mu.Unlock()
		return UserInfo{}, notFound("user", clean(name), "mtguard user list")
	}
	info, id := p.userInfo(u, p.parts.Now()), u.row.ID
	p.mu.Unlock()
	err := p.view(ctx, func(tx *store.Tx) error { return complete(tx, id, &info) })
	return info, explain(err)
}

// userInfo is what the model knows of a user. The caller holds mu.
func (p *Plane) userInfo(u *user, now time.Time) UserInfo {
	row := &u.row
	info := UserInfo{
		Name: row.Name, Source: row.Source, State: u.standingOf(), Level: row.Level, Disabled: row.Disabled, Created: row.Created,
		Expires: maybe(row.Expires), MaxConnections: row.MaxConnections, MaxAddresses: row.MaxAddresses, Domain: row.Domain,
		Note: row.Note, Revision: row.Rev,
	}
	info.Connections, info.Addresses = u.account.Open()
	info.Transports = p.transportsOf(u)
	if row.QuotaBytes > 0 {
		info.Quota = &Quota{Bytes: row.QuotaBytes, Per: row.QuotaPer}
		if u.period == u.periodStart(now) {
			info.QuotaUsed = u.used()
		}
	}
	for _, k := range u.keys {
		switch k.State {
		case keys.Active:
			info.Key, info.Generation = k.ID, k.Number
		case keys.Retiring:
			info.Retiring++
		case keys.Pending:
			info.Rotates = maybe(k.NotBefore)
		}
	}
	if info.Rotates == nil {
		info.Rotates = maybe(p.takesOver(u, metadata(u.keys)))
	}
	return info
}

// complete adds what only the store knows.
func complete(tx *store.Tx, id int64, info *UserInfo) error {
	total, err := tx.Usage(id)
	if err != nil {
		return err
	}
	info.Up, info.Down, info.Sessions = total.Up, total.Down, total.Sessions
	page, err := tx.Page(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	info.Page, info.PageViews = page.Closed.IsZero(), page.Views
	return err
}

func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Keys returns keys, those of users sorted by user and generation, and the
// cursor of the next page.
func (p *Plane) Keys(ctx context.Context, f KeyFilter) (items []KeyInfo, next string, err error) {
	limit := limitOf(f.Limit)
	p.mu.Lock()
	defer p.mu.Unlock()
	names := []string{f.User}
	switch {
	case f.User == "":
		after, _, _ := strings.Cut(f.After, "/")
		names = p.sortedNames("")
		at, _ := slices.BinarySearch(names, after)
		names = names[at:]
	case p.names[f.User] == nil:
		return nil, "", notFound("user", clean(f.User), "mtguard user list")
	}
	for u, k := range p.keysOf(names, f.User == "") {
		cursor := cursorOf(u, k.Number)
		if f.State != "" && k.State.String() != f.State || f.Purpose != "" && k.Purpose != f.Purpose || f.After != "" && cursor <= f.After {
			continue
		}
		if len(items) == limit {
			return items, next, nil
		}
		items, next = append(items, p.keyInfo(u, k)), cursor
	}
	return items, "", nil
}

// keysOf yields the keys of these users in their order, and before them those
// for sealing, whose user is nil, if they are wanted. The caller holds mu.
func (p *Plane) keysOf(names []string, sealing bool) iter.Seq2[*user, store.Key] {
	return func(yield func(*user, store.Key) bool) {
		if sealing {
			for _, k := range p.sealKeys {
				if !yield(nil, k) {
					return
				}
			}
		}
		for _, name := range names {
			u := p.names[name]
			for _, k := range u.keys {
				if !yield(u, k) {
					return
				}
			}
		}
	}
}

// cursorOf sorts as user and number do.
func cursorOf(u *user, number int) string {
	name := ""
	if u != nil {
		name = u.row.Name
	}
	return fmt.Sprintf("%s/%010d", name, number)
}

// minPrefix is how many digits of a key's ID name it.
const minPrefix = 4

// Key returns the key whose ID begins with id, of which there must be one.
func (p *Plane) Key(ctx context.Context, id string) (KeyInfo, error) {
	if len(id) < minPrefix {
		return KeyInfo{}, invalid("key", "a key is named by %d digits of its ID at least", minPrefix)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []KeyInfo
	for u, k := range p.keysOf(slices.Collect(maps.Keys(p.names)), true) {
		if strings.HasPrefix(string(k.ID), id) {
			found = append(found, p.keyInfo(u, k))
		}
	}
	switch len(found) {
	case 0:
		return KeyInfo{}, notFound("key", clean(id), "mtguard key list")
	case 1:
		return found[0], nil
	}
	return KeyInfo{}, invalid("key", "%d keys begin with %s: give more digits", len(found), clean(id))
}

// describe is what the row of a key tells.
func describe(k store.Key) KeyInfo {
	info := KeyInfo{
		ID: k.ID, Purpose: k.Purpose, Generation: k.Number, State: k.State.String(), Reason: k.Reason, Source: k.Source,
		Created: maybe(k.Created), NotBefore: maybe(k.NotBefore), Activated: maybe(k.Activated), RetireBy: maybe(k.RetireBy),
		NotAfter: maybe(k.NotAfter), Ended: maybe(k.Ended), FirstUsed: maybe(k.FirstUsed), LastUsed: maybe(k.LastUsed),
		Erased: k.Erased, Revision: k.Rev,
	}
	if k.Purpose == store.ForSeal && k.Suite != 0 {
		info.Suite = k.Suite.String()
	}
	return info
}

// keyInfo adds what is live of a user's key; u is nil for one that seals. The
// caller holds mu.
func (p *Plane) keyInfo(u *user, k store.Key) KeyInfo {
	if u == nil {
		return describe(k)
	}
	g := p.generations([]store.Key{k})
	k.Generation = g[0]
	info := describe(k)
	info.User = u.row.Name
	live := p.ring.Key(k.ID)
	if live == nil {
		return info
	}
	info.Sessions, info.Erased = live.Leases(), live.Erased()
	info.Addresses, info.MoreThan = live.Use().Count()
	if k.State == keys.Retiring {
		info.NotOnNew = p.notOnNew(u, live.Use())
	}
	if k.State == keys.Revoked {
		info.Tripped, _ = live.Trips().Count()
		info.LastTrip = maybe(live.Trips().Last())
	}
	return info
}

// notOnNew is how many of those who use an old key were not seen with the active
// one.
func (p *Plane) notOnNew(u *user, old *usage.Sightings) *int {
	for _, k := range u.keys {
		if k.State == keys.Active {
			if live := p.ring.Key(k.ID); live != nil {
				n := old.Missing(live.Use())
				return &n
			}
		}
	}
	return nil
}

// History returns what happened to keys, the newest first; also to those of users
// who are gone.
func (p *Plane) History(ctx context.Context, f HistoryFilter) (events []KeyEvent, err error) {
	err = p.view(ctx, func(tx *store.Tx) error {
		rows, err := tx.KeyEvents(store.KeyEventFilter{Key: keys.ID(f.Key), User: f.User, Before: f.Before, Limit: limitOf(f.Limit)})
		for _, e := range rows {
			events = append(events, KeyEvent{Time: e.At, Key: e.Key, User: e.User, From: e.From, To: e.To, Actor: e.Actor, Reason: e.Reason, Cursor: e.Seq})
		}
		return err
	})
	return events, explain(err)
}

// Schedule is how secrets rotate by themselves.
func (p *Plane) Schedule(context.Context) (Schedule, error) { return p.currentSchedule(), nil }

// Status is the node at a glance.
func (p *Plane) Status(ctx context.Context) (Status, error) {
	now := p.parts.Now()
	kek, origin := p.parts.Master.Current()
	s := Status{Started: p.started.UTC(), Now: now.UTC(), Revision: p.store.Revision(), MasterKey: kek.ID() + ", from " + origin}
	p.signing.Lock()
	s.AuditSigned = p.signed.rows
	p.signing.Unlock()
	p.mu.Lock()
	s.Users, s.Schedule, s.ClockHeld = len(p.names), p.schedule, p.held
	if p.glass.After(now) {
		s.Glass = maybe(p.glass)
	}
	var rotation time.Time
	for _, u := range p.names {
		if u.standing == usage.Allowed {
			s.Serving++
		}
		for _, k := range u.keys {
			switch k.State {
			case keys.Pending:
				s.KeysPending++
				rotation = earlier(rotation, k.NotBefore)
			case keys.Active:
				s.KeysActive++
			case keys.Retiring:
				s.KeysRetiring++
			case keys.Revoked:
				if p.watched(k, now) {
					s.KeysRevoked++
				}
			}
		}
		rotation = earlier(rotation, p.takesOver(u, metadata(u.keys)))
	}
	s.Enforcing, s.Monitoring = p.modes(now)
	s.Trials = p.onTrial()
	p.mu.Unlock()
	s.NextRotation, s.Crypto, s.Audit = maybe(rotation), p.cryptoStatus(), p.auditBrief()
	if p.parts.Events != nil {
		s.Viewers = p.parts.Events.Viewers()
	}
	p.parts.Node(&s)
	err := p.view(ctx, func(tx *store.Tx) error {
		if state, err := tx.AuditState(); err == nil {
			s.AuditRows = state.Rows()
		}
		open, err := tx.Incidents(store.IncidentFilter{Open: true, Limit: store.MaxIncidents})
		if err != nil {
			return err
		}
		gravest := threat.Severity(0)
		for _, n := range open {
			gravest = max(gravest, incidentInfo(n).Severity)
		}
		if s.Incidents = len(open); len(open) > 0 {
			s.Gravest = gravest.String()
		}
		if text, err := tx.Setting(settingBackup); err == nil {
			if at, err := time.Parse(time.RFC3339, string(text)); err == nil {
				s.LastBackup = &at
			}
		}
		return nil
	})
	return s, explain(err)
}

// modes counts the controls that can be switched, by their mode. The caller holds mu.
func (p *Plane) modes(now time.Time) (enforcing, monitoring int) {
	for _, name := range policy.Controls() {
		if policy.MemoryBound(name) {
			continue
		}
		switch c := p.effective.Control(name); {
		case c.Mode == policy.Monitor, c.Mode == policy.Enforce && now.Before(p.glass):
			monitoring++
		case c.Mode == policy.Enforce:
			enforcing++
		}
	}
	return enforcing, monitoring
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
