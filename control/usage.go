package control

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"mtguard/control/store"
	"mtguard/security/keys"
	"mtguard/security/usage"
)

// flushState is what flush remembers between two runs.
type flushState struct {
	sync.Mutex // held by flush and readUsage; taken before Plane.mu
	at         time.Time
	totals     map[int64]usage.Totals // as the store has them, of this run
	marks      map[keys.ID][2]time.Time
	left       map[sightingsOf][]usage.Sighting // not written, since the store failed
	views      map[int64]int64                  // of pages, by user
	hits       map[string]int64                 // of exceptions
	anew       []keys.ID                        // whose sightings in the store go first
}

type sightingsOf struct {
	key  keys.ID
	kind string
}

// flush writes down what the users have used since the last time. The store is
// told totals of this run and adds what it has not counted yet, in one
// transaction: whatever happens in between, nothing is counted twice, and a
// crash loses what came since the last flush.
func (p *Plane) flush(ctx context.Context) error {
	p.flushed.Lock()
	defer p.flushed.Unlock()
	now := p.parts.Now()
	p.flushed.at = now
	totals, marks, sightings := p.collect()
	if len(totals)+len(marks)+len(sightings)+len(p.flushed.views)+len(p.flushed.anew)+len(p.flushed.hits) == 0 {
		return nil
	}
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range p.flushed.anew {
			if err := tx.DropSightings(id, sightUse); err != nil {
				return err
			}
		}
		for id, n := range p.flushed.hits {
			if err := tx.CountHits(id, n); err != nil && !gone(err) {
				return err
			}
		}
		for id, n := range p.flushed.views {
			if err := tx.CountViews(id, n); err != nil && !gone(err) {
				return err
			}
		}
		for id, t := range totals {
			if err := tx.Count(id, dayOf(now), p.run, t); err != nil {
				return err
			}
		}
		for id, m := range marks {
			if err := tx.MarkUsed(id, m[0], m[1]); err != nil && !gone(err) {
				return err
			}
		}
		for of, list := range sightings {
			if err := tx.PutSightings(of.key, of.kind, list); err != nil && !gone(err) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.flushed.left = sightings
		return err
	}
	p.flushed.left, p.flushed.views, p.flushed.anew, p.flushed.hits = nil, nil, nil, nil
	maps.Copy(p.flushed.totals, totals)
	maps.Copy(p.flushed.marks, marks)
	return nil
}

// gone reports that a row was taken out since the model was asked.
func gone(err error) bool { return errors.Is(err, store.ErrNotFound) }

// collect gathers what differs from what the store has.
func (p *Plane) collect() (totals map[int64]usage.Totals, marks map[keys.ID][2]time.Time, sightings map[sightingsOf][]usage.Sighting) {
	f := &p.flushed
	if f.totals == nil {
		f.totals, f.marks = make(map[int64]usage.Totals), make(map[keys.ID][2]time.Time)
	}
	totals, marks, sightings = make(map[int64]usage.Totals), make(map[keys.ID][2]time.Time), make(map[sightingsOf][]usage.Sighting)
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.views == nil {
		f.views, f.hits = make(map[int64]int64), make(map[string]int64)
	}
	for id, row := range p.exceptionRows {
		if n, _ := p.exceptions.Hits(id); n > p.counted[id] {
			f.hits[id] += n - p.counted[id]
			row.Hits += n - p.counted[id]
			p.exceptionRows[id], p.counted[id] = row, n
		}
	}
	for id, n := range p.views {
		f.views[id] += n
	}
	clear(p.views)
	f.anew, p.forgotten = append(f.anew, p.forgotten...), nil
	for id, u := range p.users {
		if t := u.account.Totals(); t != f.totals[id] {
			totals[id] = t
		}
		for _, k := range u.keys {
			live := p.ring.Key(k.ID)
			if live == nil {
				continue
			}
			if m := [2]time.Time{live.Use().First(), live.Use().Last()}; m != f.marks[k.ID] {
				marks[k.ID] = m
			}
			for kind, seen := range map[string]*usage.Sightings{sightUse: live.Use(), sightTrip: live.Trips()} {
				of := sightingsOf{k.ID, kind}
				if list := slices.Concat(f.left[of], seen.Changed()); len(list) > 0 {
					sightings[of] = list
				}
			}
		}
	}
	return totals, marks, sightings
}

// readUsage reads what users with a quota have used in the present period.
func (p *Plane) readUsage(ctx context.Context) error {
	p.flushed.Lock()
	defer p.flushed.Unlock()
	now := p.parts.Now()
	today := dayOf(now)
	var byDay, byMonth map[int64]usage.Totals
	err := p.view(ctx, func(tx *store.Tx) (err error) {
		if byDay, err = tx.AllUsage(today); err == nil {
			byMonth, err = tx.AllUsage(today - today%100 + 1)
		}
		return err
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, u := range p.users {
		if u.row.QuotaBytes == 0 {
			continue
		}
		spent := byDay[id]
		if u.row.QuotaPer == "month" {
			spent = byMonth[id]
		}
		u.period, u.spent, u.mark = u.periodStart(now), spent.Up+spent.Down, p.flushed.totals[id]
		u.standing = p.judge(u, now)
		u.account.Set(u.limits(), u.standing)
	}
	p.cut(now)
	return nil
}
