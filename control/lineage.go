package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/control/threat"
)

// Leaks returns splits of leaked secrets, the newest first; next goes on as After, and is 0 at the end.
func (p *Plane) Leaks(ctx context.Context, f LeakFilter) (items []LeakInfo, next int64, err error) {
	limit := limitOf(f.Limit)
	err = p.view(ctx, func(tx *store.Tx) (err error) {
		items, err = p.leaks(tx, store.SplitFilter{Before: f.After, Limit: limit + 1})
		return err
	})
	if len(items) > limit {
		items = items[:limit]
		next = items[limit-1].Seq
	}
	return items, next, explain(err)
}

// leaks reads splits and adds what became of whom they are about.
func (p *Plane) leaks(tx *store.Tx, f store.SplitFilter) (items []LeakInfo, err error) {
	splits, err := tx.Splits(f)
	if err != nil || len(splits) == 0 {
		return nil, err
	}
	open := make(map[string][]string) // by user
	incidents, err := tx.Incidents(store.IncidentFilter{Open: true, Limit: store.MaxIncidents})
	if err != nil {
		return nil, err
	}
	for _, n := range incidents {
		if n.Key != "" {
			open[n.User] = append(open[n.User], n.ID)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range splits {
		s := &splits[i]
		info := leakInfo(s)
		if u := p.users[s.FromID]; u != nil && u.row.Removed.IsZero() {
			for _, k := range u.keys {
				if k.ID == s.FromKey {
					info.KeyState, info.Until = k.State.String(), maybe(k.RetireBy)
				}
			}
		}
		for j := range info.Holders {
			h := &info.Holders[j]
			h.Incidents = open[h.User]
			u := p.users[s.Holders[j].UserID]
			if u == nil || !u.row.Removed.IsZero() {
				h.Gone, h.Incidents = true, nil
				continue
			}
			for _, k := range u.keys {
				h.Tripped += p.keyInfo(u, k).Tripped
			}
		}
		items = append(items, info)
	}
	return items, nil
}

// Leak is what is known of one user's leaks. The user may have been removed, when he is in a split.
func (p *Plane) Leak(ctx context.Context, name string) (report LeakReport, err error) {
	report = LeakReport{User: name, Lineage: []Lineage{}, Splits: []LeakInfo{}, Incidents: []IncidentInfo{}}
	err = p.view(ctx, func(tx *store.Tx) error {
		row, err := tx.User(name)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("user", clean(name), "mtguard user list")
		}
		if err != nil {
			return err
		}
		steps, err := lineageOf(tx, row.ID)
		if err != nil {
			return err
		}
		report.Lineage = append(report.Lineage, steps...)
		splits, err := p.leaks(tx, store.SplitFilter{From: row.ID, Limit: store.MaxSplits})
		if err != nil {
			return err
		}
		report.Splits = append(report.Splits, splits...)
		incidents, err := tx.Incidents(store.IncidentFilter{Limit: store.MaxIncidents})
		for _, n := range incidents {
			if n.Key != "" && n.User == name && len(report.Incidents) < mostLimit {
				info := incidentInfo(n)
				info.Timeline = nil
				report.Incidents = append(report.Incidents, info)
			}
		}
		return err
	})
	return report, explain(err)
}

// mostLineage is how many steps back a lineage goes.
const mostLineage = 16

// lineageOf is where a user's secrets come from, the last split first.
func lineageOf(tx *store.Tx, userID int64) (steps []Lineage, err error) {
	for seen := map[int64]bool{}; !seen[userID] && len(steps) < mostLineage; {
		seen[userID] = true
		splits, err := tx.Splits(store.SplitFilter{Holder: userID, Limit: 1 + store.MaxSplits})
		if err != nil {
			return nil, err
		}
		for _, s := range splits { // who kept his name at a split of his own secret comes from elsewhere
			if s.FromID == userID {
				continue
			}
			i := slices.IndexFunc(s.Holders, func(h store.Holder) bool { return h.UserID == userID })
			steps = append(steps, Lineage{User: s.Holders[i].User, From: s.FromUser, FromKey: s.FromKey, Split: s.ID, Time: s.At, By: s.Actor})
			userID = s.FromID
			break
		}
	}
	return steps, nil
}

// lineageNamed is lineageOf for the live user of a name; of nobody it is nil.
func lineageNamed(tx *store.Tx, name string) ([]Lineage, error) {
	if name == "" {
		return nil, nil
	}
	row, err := tx.User(name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return lineageOf(tx, row.ID)
}

// LineageText is a lineage in one line, "" when there is none.
func LineageText(steps []Lineage) string {
	if len(steps) == 0 {
		return ""
	}
	names := make([]string, 0, len(steps))
	for _, s := range steps {
		names = append(names, s.From)
	}
	text := fmt.Sprintf("user %s got this secret in the place of %s's, %s, on %s", steps[0].User, steps[0].From, steps[0].FromKey, steps[0].Time.UTC().Format(time.DateOnly))
	if len(names) > 1 {
		text += ", which came from " + strings.Join(names[1:], ", and that from ")
	}
	return text
}

// withLineage adds to findings about secrets where these come from.
func (p *Plane) withLineage(ctx context.Context, found []threat.Finding) error {
	known := make(map[string]string)
	return p.view(ctx, func(tx *store.Tx) error {
		for i := range found {
			f := &found[i]
			if f.Key == "" {
				continue
			}
			text, ok := known[f.User]
			if !ok {
				steps, err := lineageNamed(tx, f.User)
				if err != nil {
					return err
				}
				text = LineageText(steps)
				known[f.User] = text
			}
			f.Lineage = text
		}
		return nil
	})
}
