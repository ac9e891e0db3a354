package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/usage"
)

// How often things are looked at.
const (
	flushEvery      = 10 * time.Second // how much of the users' usage a crash can lose
	lookEvery       = 30 * time.Second // for what has no time of its own: overlaps that end early
	checkpointEvery = 5 * time.Minute
	checkpointRows  = 1000
	sweepAtOnce     = 1000 // users in one transaction, so that others get their turn
)

// schedule is the actor of what is done by time.
var scheduleActor = Actor{Name: "schedule", Level: access.Superuser}

// tick does what is due. Run calls it once a second.
func (p *Plane) tick(ctx context.Context) {
	p.parts.Sessions.Meter()
	now := p.parts.Now()
	p.mu.Lock()
	held := p.clock.look(now, time.Since(p.started))
	if (held == "") != (p.held == "") {
		if held != "" {
			p.log.Warn(held)
		} else {
			p.log.Info("the clock is believed again")
		}
	}
	p.held = held
	if p.compiled < p.store.Revision() { // a compilation failed
		_, err := p.catchUp(ctx)
		p.report("compile", err)
	}
	if held == "" && !p.regradeAt.IsZero() && !now.Before(p.regradeAt) {
		p.regrade(now)
	}
	stale := p.quotas(now)
	var work []int64
	if held == "" && !now.Before(p.due) {
		work = p.look(now)
	}
	p.mu.Unlock()
	if stale {
		p.report("usage", p.readUsage(ctx))
	}
	if len(work) > 0 {
		_, err := p.Apply(ctx, scheduleActor, sweepKeys{Users: work}, Options{})
		p.report("sweep", err)
	}
	p.report("erase", p.erase(ctx))
	if now.Sub(p.flushed.at) >= flushEvery || now.Before(p.flushed.at) {
		p.report("usage", p.flush(ctx))
	}
	p.report("checkpoint", p.checkpoint(ctx, false))
	p.report("step back", p.stepBack(ctx, now))
	p.report("trials", p.endTrials(ctx, now))
	if since := now.Sub(p.bundlesAt); since >= lookEvery || since < 0 {
		p.bundlesAt = now
		p.report("bundle", p.checkBundles(ctx, now))
	}
	for _, name := range p.dueLists(now) {
		p.report("list", p.readList(ctx, name, false))
	}
	if since := now.Sub(p.credentials.sweptAt); since >= sweepCredentialsEvery || since < 0 {
		p.credentials.sweptAt = now
		p.report("credentials", p.sweepCredentials(ctx, now, held != ""))
	}
	if held == "" {
		p.report("audit", p.auditWaiting(ctx, now))
		p.report("audit", p.auditRefusals(ctx, now, false))
	}
	if since := now.Sub(p.automaticAt); held == "" && (since >= sweepAutomaticEvery || since < 0) {
		p.automaticAt = now
		p.report("automatic rules", p.sweepAutomatic(ctx, now))
		p.report("incidents", p.sweepIncidents(ctx, now))
	}
	if today := dayOf(now); held == "" && today != p.folded {
		p.folded = today
		p.report("fold", p.fold(ctx, now))
		p.report("expire", p.expire(ctx, now))
	}
}

// keptDays is how long usage is kept by the day: two months, for quotas of a month.
const keptDays = 62

// fold puts the usage of older days together.
func (p *Plane) fold(ctx context.Context, now time.Time) error {
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.FoldUsage(dayOf(now.AddDate(0, 0, -keptDays)))
		return err
	})
	return err
}

// quotas notices users who are served from now on, or not any more: an expiry, a
// quota, a new day. It reports whether the usage of a new period has to be read.
// The caller holds mu.
func (p *Plane) quotas(now time.Time) (stale bool) {
	changed := false
	for _, u := range p.names {
		if u.row.Expires.IsZero() && u.row.QuotaBytes == 0 {
			continue
		}
		if u.row.QuotaBytes > 0 && u.period != u.periodStart(now) && (p.held == "" || u.period == 0) {
			stale = true
			continue
		}
		if standing := p.judge(u, now); standing != u.standing {
			u.standing = standing
			u.account.Set(u.limits(), standing)
			changed = true
			p.log.Info("user's standing changed", "user", u.row.Name, "standing", standing.String())
		}
	}
	if changed {
		p.cut(now)
	}
	return stale
}

// look finds the users whose keys have something due, and sets when to look
// again. The caller holds mu.
func (p *Plane) look(now time.Time) (work []int64) {
	p.due = now.Add(time.Hour)
	sooner := func(at time.Time) {
		if !at.IsZero() && at.Before(p.due) {
			p.due = at
		}
	}
	early := false
	for _, u := range p.names {
		g := p.generations(u.keys)
		rotation := p.rotationOf(u, g)
		_, done := g.Sweep(now, p.sweepRules())
		if len(done) > 0 || !rotation.IsZero() && !rotation.After(now) || p.tripwireOver(u, now) {
			if len(work) < sweepAtOnce {
				work = append(work, u.row.ID)
			}
			p.due = now // there may be more
			continue
		}
		sooner(g.Next())
		sooner(rotation)
		for _, k := range u.keys {
			early = early || k.State == keys.Retiring || k.State == keys.Retired && p.leases(k.ID) > 0
			if k.State == keys.Revoked && !k.Erased {
				sooner(k.Ended.Add(time.Duration(p.schedule.Tripwire)))
			}
		}
	}
	if early {
		sooner(now.Add(lookEvery))
		p.cut(now) // sessions of keys that retired long ago
	}
	return work
}

func (p *Plane) sweepRules() keys.Sweep {
	return keys.Sweep{Overlap: time.Duration(p.schedule.Overlap), Idle: time.Duration(p.schedule.Idle)}
}

// tripwireOver reports whether a revoked key of the user has been watched for
// long enough.
func (p *Plane) tripwireOver(u *user, now time.Time) bool {
	for _, k := range u.keys {
		if live := p.ring.Key(k.ID); live != nil && k.State == keys.Revoked && !live.Erased() && !p.watched(k, now) {
			return true
		}
	}
	return false
}

// rotationOf is when a user's next secret has to be made: so long before it
// takes over as the schedule announces. Zero when none is due.
func (p *Plane) rotationOf(u *user, g keys.Generations) time.Time {
	at := p.takesOver(u, g)
	if at.IsZero() {
		return at
	}
	return at.Add(-time.Duration(p.schedule.Announce))
}

// takesOver is when the schedule gives a user a new secret. Users that had
// theirs at the same time are spread over the window, each to a moment of its
// own, and stay there: the time between two rotations is never longer than the
// schedule says.
func (p *Plane) takesOver(u *user, g keys.Generations) time.Time {
	active, ok := g.Active()
	if !ok || p.schedule.Every == 0 || u.row.Source == store.FromFile {
		return time.Time{}
	}
	for _, k := range g {
		if k.State == keys.Pending {
			return time.Time{}
		}
	}
	latest := active.Activated.Add(time.Duration(p.schedule.Every))
	if free := placeAt(g); free.After(latest) {
		return free
	}
	window := time.Duration(p.schedule.Window)
	if window <= 0 {
		return latest
	}
	phase := spread(u.row.ID, time.Time{}, window).Sub(time.Time{})
	back := (time.Duration(latest.UnixNano())%window - phase + window) % window
	return latest.Add(-back)
}

// placeAt is when one secret less retires than may, if that is later than now.
func placeAt(g keys.Generations) (at time.Time) {
	n := 0
	for _, k := range g {
		if k.State == keys.Retiring {
			n++
			at = earlier(at, k.RetireBy)
		}
	}
	if n < keys.MaxRetiring {
		return time.Time{}
	}
	return at
}

// sweepKeys does what is due for these users' keys.
type sweepKeys struct{ Users []int64 }

func (c sweepKeys) apply(x *transaction) error {
	counts := make(map[string]int)
	for _, id := range c.Users {
		row, err := x.tx.UserByID(id)
		if err != nil {
			return err
		}
		if !row.Removed.IsZero() {
			continue
		}
		if err := x.sweepUser(&row, counts); err != nil {
			return fmt.Errorf("user %s: %w", row.Name, err)
		}
	}
	if len(counts) == 0 {
		return errUnchanged
	}
	for _, what := range []string{"active", "retired", "expired", "pending", "watched"} {
		if counts[what] > 0 {
			x.detail(what, counts[what])
		}
	}
	x.result.Affected = len(c.Users)
	x.result.Summary = "keys are swept"
	return nil
}

func (x *transaction) sweepUser(row *store.User, counts map[string]int) error {
	before, err := x.tx.KeysOf(row.ID)
	if err != nil {
		return err
	}
	x.p.mu.Lock()
	g := x.p.generations(before)
	rules, schedule := x.p.sweepRules(), x.p.schedule
	x.p.mu.Unlock()
	after, done := g.Sweep(x.now, rules)
	for _, t := range done {
		counts[t.To.String()]++
	}
	if err := x.write(row, before, after, keys.Secret{}, ""); err != nil {
		return err
	}
	for i := range before {
		k := &before[i]
		if k.State == keys.Revoked && !k.Erased && !x.now.Before(k.Ended.Add(time.Duration(schedule.Tripwire))) {
			counts["watched"]++
			if err := x.tx.EraseMaterial(k.ID); err != nil {
				return err
			}
		}
	}
	return x.rotateDue(row, after, counts)
}

// rotateDue makes the user's next secret if the schedule wants one by now.
func (x *transaction) rotateDue(row *store.User, g keys.Generations, counts map[string]int) error {
	x.p.mu.Lock()
	at := x.p.takesOver(&user{row: *row}, g)
	announce, overlap := time.Duration(x.p.schedule.Announce), time.Duration(x.p.schedule.Overlap)
	x.p.mu.Unlock()
	if at.IsZero() || at.Add(-announce).After(x.now) {
		return nil
	}
	_, err := x.rotateUser(row, at, overlap)
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == Refused {
		return nil // there will be room when an older one has retired
	}
	counts["pending"]++
	return err
}

// erase takes the material of keys out of the store whose bytes the ring has
// erased: they are in a final state, and nobody holds them.
func (p *Plane) erase(ctx context.Context) error {
	gone := p.ring.Sweep()
	if len(gone) == 0 {
		return nil
	}
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range gone {
			if err := tx.EraseMaterial(id); err != nil {
				return err
			}
			if err := tx.DropSightings(id, sightUse); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		// They stand in the store until the next start, which erases them.
		return fmt.Errorf("material of %d keys: %w", len(gone), err)
	}
	return nil
}

// putSchedule stores a schedule; the model follows when it is compiled.
func (x *transaction) putSchedule(s Schedule) error {
	return putSetting(x.tx, settingSchedule, s)
}

// standingOf is for views: why a user is not served.
func (u *user) standingOf() string {
	if u.standing == usage.Allowed {
		return "ok"
	}
	return u.standing.String()
}
