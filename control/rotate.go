package control

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/keys"
)

func (c RotateKeys) action() string  { return "key.rotate" }
func (c RevokeKey) action() string   { return "key.revoke" }
func (c SetSchedule) action() string { return "key.schedule" }
func (sweepKeys) action() string     { return "key.sweep" }

func (c RotateKeys) object() string {
	if c.All {
		return "all users"
	}
	return "user " + c.User
}
func (c RevokeKey) object() string   { return "key " + string(c.ID) }
func (c SetSchedule) object() string { return "schedule" }
func (sweepKeys) object() string     { return "keys" }

func (RotateKeys) least() access.Level  { return access.Admin }
func (RevokeKey) least() access.Level   { return access.Admin }
func (SetSchedule) least() access.Level { return access.Admin }
func (sweepKeys) least() access.Level   { return access.Superuser }

// defaultSchedule rotates nothing by itself: without a page there is no way to
// give people their new link, and a proxy for a family must not stop one night.
var defaultSchedule = Schedule{
	Overlap:  Duration(7 * day),
	Window:   Duration(day),
	Announce: Duration(3 * day),
	Idle:     Duration(3 * day),
	Tripwire: Duration(90 * day),
}

const (
	minEvery   = day
	maxOverlap = 90 * day
	maxWindow  = 30 * day
)

func (c RotateKeys) apply(x *transaction) error {
	if (c.User == "") != c.All {
		return invalid("user", "name one user, or all")
	}
	overlap := x.p.currentSchedule().Overlap
	if c.Overlap != nil {
		overlap = *c.Overlap
	}
	switch {
	case time.Duration(overlap) > maxOverlap:
		return invalid("overlap", "an overlap is at most %v", Duration(maxOverlap))
	case !c.At.IsZero() && c.At.Before(x.now):
		return invalid("at", "the time %s is over", c.At.UTC().Format(time.RFC3339))
	case c.At.Sub(x.now) > 366*day:
		return invalid("at", "a rotation can be set for the next year at most")
	case c.Window < 0 || time.Duration(c.Window) > maxWindow || c.Window > 0 && !c.All:
		return invalid("window", "a window is for all users and at most %v", Duration(maxWindow))
	}
	x.detail("overlap", overlap)
	if !c.All {
		row, err := x.user(c.User)
		if err != nil {
			return err
		}
		if err := x.current(row.Rev); err != nil {
			return err
		}
		return x.rotateOne(&row, c, time.Duration(overlap))
	}
	if err := x.noObject(); err != nil {
		return err
	}
	return x.rotateAll(c, time.Duration(overlap))
}

func (x *transaction) rotateOne(row *store.User, c RotateKeys, overlap time.Duration) error {
	if row.Source == store.FromFile {
		return refused("write a new secret into the file and reload: the old one then retires with the overlap of the schedule",
			"the secret of user %s stands in the configuration file", row.Name)
	}
	secret, err := x.rotateUser(row, c.At, overlap)
	if err != nil {
		return err
	}
	if err := x.tx.PutUser(row); err != nil { // a new revision: who saw the old one saw another key
		return err
	}
	x.about = row.Name
	x.detail("key", secret.ID())
	x.result.Affected = 1
	x.result.Summary = fmt.Sprintf("user %s has the new key %s; the old one works for another %v", row.Name, secret.ID(), Duration(overlap))
	if c.At.After(x.now) {
		x.result.Summary = fmt.Sprintf("user %s gets the new key %s at %s", row.Name, secret.ID(), c.At.UTC().Format(time.RFC3339))
		return nil // its link would not work yet
	}
	return x.handOut(row, secret)
}

// rotateAll rotates everybody whose secret is ours to choose. Users that have a
// rotation under way already are left as they are, so that a second command does
// not end what the first one began.
func (x *transaction) rotateAll(c RotateKeys, overlap time.Duration) error {
	at, left, total := c.At, 0, 0
	if at.IsZero() {
		at = x.now
	}
	var rows []store.User
	for row, err := range x.tx.Users(0) {
		if err != nil {
			return err
		}
		if row.Removed.IsZero() && row.Source != store.FromFile {
			rows = append(rows, row)
		}
	}
	for i := range rows {
		row := &rows[i]
		_, err := x.rotateUser(row, spread(row.ID, at, time.Duration(c.Window)), overlap)
		if e, ok := errors.AsType[*Error](err); ok && e.Kind == Refused {
			left++
			continue
		}
		if err != nil {
			return err
		}
		total++
	}
	x.detail("users", total)
	x.detail("left", left)
	x.result.Affected = total
	x.result.Summary = fmt.Sprintf("new keys for %s; old ones work for another %v", plural(total, "user"), Duration(overlap))
	if left > 0 {
		x.result.Summary += fmt.Sprintf("; %s left as before: the last rotation is not over", plural(left, "user"))
	}
	return nil
}

// spread gives each user a moment of its own in the window, always the same.
func spread(userID int64, from time.Time, window time.Duration) time.Time {
	if window <= 0 {
		return from
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(userID))
	h := fnv.New64a()
	h.Write(b[:])
	return from.Add(time.Duration(h.Sum64() % uint64(window)))
}

// rotateUser gives a user a fresh secret that takes over at a time, or now.
func (x *transaction) rotateUser(row *store.User, at time.Time, overlap time.Duration) (keys.Secret, error) {
	secret, err := keys.NewSecret(rand.Reader, "")
	if err != nil {
		return secret, err
	}
	return secret, x.succeed(row, secret, store.Generated, at, overlap)
}

// succeed makes secret the user's next generation.
func (x *transaction) succeed(row *store.User, secret keys.Secret, source string, at time.Time, overlap time.Duration) error {
	before, err := x.tx.KeysOf(row.ID)
	if err != nil {
		return err
	}
	g := metadata(before)
	fresh := keys.Generation{ID: secret.ID(), Created: x.now}
	if at.After(x.now) {
		fresh.NotBefore = at
	}
	after, err := g.Rotate(fresh, x.now, overlap)
	if errors.Is(err, keys.ErrRetiring) && x.o.Force {
		if after, err = x.retireOldest(g); err == nil {
			after, err = after.Rotate(fresh, x.now, overlap)
		}
	}
	switch {
	case errors.Is(err, keys.ErrRetiring):
		return refused("wait, or end the oldest one now with --force", "two older secrets of user %s still work", row.Name)
	case errors.Is(err, keys.ErrPending):
		return refused("mtguard key list --user "+row.Name, "user %s has a new key already, which waits for its time", row.Name)
	case errors.Is(err, keys.ErrKnown):
		return knownSecret(secret.ID())
	case err != nil:
		return err
	}
	return x.write(row, before, after, secret, source)
}

func (x *transaction) retireOldest(g keys.Generations) (keys.Generations, error) {
	for _, k := range g {
		if k.State == keys.Retiring {
			return g.Retire(k.ID, x.now)
		}
	}
	return g, nil
}

// write stores what differs between before and after, with an event each.
func (x *transaction) write(row *store.User, before []store.Key, after keys.Generations, secret keys.Secret, source string) error {
	at := make(map[keys.ID]int, len(before))
	for i, k := range before {
		at[k.ID] = i
	}
	// Those that step back go first: no user has two active keys at any time.
	var fresh *keys.Generation
	for i := range after {
		g := after[i]
		j, known := at[g.ID]
		if !known {
			fresh = &after[i]
			continue
		}
		was := before[j]
		if was.Generation == g {
			continue
		}
		from := was.State
		was.Generation = g
		if err := x.tx.PutKey(&was, nil); err != nil {
			return err
		}
		if from == g.State {
			continue
		}
		if g.State == keys.Retiring { // from now on it counts who is left on it
			if err := x.tx.DropSightings(g.ID, sightUse); err != nil {
				return err
			}
		}
		if err := x.keyEvent(row.Name, g.ID, from, g.State, firstOf(g.Reason, x.o.Reason)); err != nil {
			return err
		}
	}
	if fresh == nil {
		return nil
	}
	return x.insertKey(row, *fresh, secret, source)
}

// plural is "1 user", "2 users".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func metadata(list []store.Key) keys.Generations {
	g := make(keys.Generations, len(list))
	for i, k := range list {
		g[i] = k.Generation
	}
	return g
}

func (x *transaction) keyEvent(user string, id keys.ID, from, to keys.State, reason string) error {
	e := store.KeyEvent{Key: id, User: user, At: x.now, To: to.String(), Actor: x.by.Name, Reason: reason}
	if from != 0 {
		e.From = from.String()
	}
	return x.tx.AddKeyEvent(e)
}

func (c RevokeKey) apply(x *transaction) error {
	if err := x.requireReason(); err != nil {
		return err
	}
	k, err := x.tx.Key(c.ID)
	if errors.Is(err, store.ErrNotFound) {
		return notFound("key", clean(string(c.ID)), "mtguard key list")
	}
	if err != nil {
		return err
	}
	if err := x.current(k.Rev); err != nil {
		return err
	}
	if k.Purpose == store.ForSeal {
		return x.revokeSealKey(k, c)
	}
	row, err := x.tx.UserByID(k.UserID)
	if err != nil {
		return err
	}
	before, err := x.tx.KeysOf(row.ID)
	if err != nil {
		return err
	}
	after, err := metadata(before).Revoke(k.ID, x.o.Reason, x.now)
	if errors.Is(err, keys.ErrRevoked) {
		return refused("", "key %s is revoked already", k.ID)
	}
	if err != nil {
		return err
	}
	if c.Replace && row.Source == store.FromFile {
		return refused("revoke without a replacement, and write a new secret into the file", "the secret of user %s stands in the configuration file", row.Name)
	}
	if c.Replace {
		after = takeOverNow(after, x.now)
	}
	if err := x.write(&row, before, after, keys.Secret{}, ""); err != nil {
		return err
	}
	if _, active := after.Active(); c.Replace {
		if err := x.replace(&row, active); err != nil {
			return err
		}
	} else if !active {
		x.result.Summary = fmt.Sprintf("; user %s has no key now: mtguard user rotate %s", row.Name, row.Name)
	}
	x.about = row.Name
	x.detail("user", row.Name)
	x.result.Affected = 1
	x.result.Summary = fmt.Sprintf("key %s of user %s is revoked%s", k.ID, row.Name, x.result.Summary)
	return nil
}

// takeOverNow lets a secret that waits for its time take the place of an active
// one that is gone.
func takeOverNow(g keys.Generations, now time.Time) keys.Generations {
	if _, active := g.Active(); active {
		return g
	}
	g = slices.Clone(g)
	for i := range g {
		if g[i].State == keys.Pending {
			g[i].NotBefore = now
		}
	}
	g, _ = g.Sweep(now, keys.Sweep{})
	return g
}

// replace sees to it that the user has an active key, and hands its links out.
func (x *transaction) replace(row *store.User, active bool) error {
	if !active {
		if _, err := x.rotateUser(row, time.Time{}, 0); err != nil {
			return err
		}
	}
	links, err := x.linksOf(row)
	x.result.Links = links
	x.detail("replaced", true)
	return err
}

func (c SetSchedule) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	s := c.Schedule
	switch {
	case s.Every != 0 && time.Duration(s.Every) < minEvery:
		return invalid("every", "secrets rotate once in %v at most; 0s turns the schedule off", Duration(minEvery))
	case time.Duration(s.Overlap) > maxOverlap:
		return invalid("overlap", "an overlap is at most %v", Duration(maxOverlap))
	case s.Every != 0 && s.Overlap > s.Every:
		return invalid("overlap", "the overlap is longer than the time between rotations: at most %v", s.Every)
	case s.Every != 0 && s.Overlap == 0:
		return invalid("overlap", "without an overlap every rotation would cut people off at night: at least %v", Duration(time.Hour))
	case time.Duration(s.Window) > maxWindow || s.Every != 0 && s.Window > s.Every:
		return invalid("window", "a window is at most %v and not longer than the time between rotations", Duration(maxWindow))
	case s.Every != 0 && s.Announce > s.Every:
		return invalid("announce", "new secrets are announced at most one rotation ahead")
	case time.Duration(s.Tripwire) > 10*366*day:
		return invalid("tripwire", "a tripwire is kept for ten years at most")
	}
	x.detail("every", s.Every)
	x.detail("overlap", s.Overlap)
	x.detail("window", s.Window)
	x.detail("announce", s.Announce)
	x.detail("idle", s.Idle)
	x.detail("tripwire", s.Tripwire)
	x.result.Summary = "secrets do not rotate by themselves"
	if s.Every > 0 {
		x.result.Summary = fmt.Sprintf("secrets rotate every %v, the old one works for another %v", s.Every, s.Overlap)
	}
	return x.putSchedule(s)
}

func (p *Plane) currentSchedule() Schedule {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.schedule
}
