package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mtguard/control/store"
	"mtguard/security/auditlog"
)

// The audit log keeps its rows for ever, and whoever has a token that may only read can ask for what he may not as often as he likes. So an actor
// has one row at once, and those after it are one row together: a minute later, then two, and so on up to an hour, until he has been quiet for one.
const (
	refusalsFirst = time.Minute
	refusalsMost  = time.Hour
	// maxRefusedActors is more than have tokens and sessions at a time; the rest share an entry.
	maxRefusedActors = 1024
	// maxRefusedNames is how many operations a row names.
	maxRefusedNames = 8
	// maxRefusedWhy is how many different answers a row has.
	maxRefusedWhy = 3
	everybodyElse = "others"
)

// refusals are attempts that were refused before they were changes.
type refusals struct {
	mu sync.Mutex
	of map[string]*attempts // by actor
}

// attempts are what one actor was refused.
type attempts struct {
	row   time.Time     // when there was one last
	wait  time.Duration // until the next
	last  time.Time     // when he was refused something last
	times int           // since the row
	asked map[string]int
	why   []string // what he was told, each once; at most maxRefusedWhy
}

// NoteDenied notes that somebody asked for an operation that his level, his scopes or the way he came do not allow, and was refused it; why is what he
// was told. The detectors are told each time, the audit log and the log at first and then once in a while.
func (p *Plane) NoteDenied(ctx context.Context, by Actor, operation, why string) {
	if p.parts.Denied != nil {
		p.parts.Denied(by, operation)
	}
	now := p.parts.Now()
	p.refusals.mu.Lock()
	r := p.refusals.find(by.Name)
	r.times++
	r.last = now
	if _, named := r.asked[operation]; named || len(r.asked) < maxRefusedNames {
		r.asked[operation]++
	}
	if len(r.why) < maxRefusedWhy && !slices.Contains(r.why, why) {
		r.why = append(r.why, why)
	}
	p.refusals.mu.Unlock()
	p.report("audit", p.auditRefusals(ctx, now, false))
}

// find returns the entry of an actor. The caller holds mu.
func (f *refusals) find(name string) *attempts {
	if f.of == nil {
		f.of = make(map[string]*attempts)
	}
	if f.of[name] == nil && len(f.of) >= maxRefusedActors {
		name = everybodyElse
	}
	r := f.of[name]
	if r == nil {
		r = &attempts{asked: make(map[string]int)}
		f.of[name] = r
	}
	return r
}

// due reports whether what was refused since the last row is to be written now.
func (r *attempts) due(now time.Time) bool {
	since := now.Sub(r.row)
	return r.times > 0 && (since >= r.wait || since < 0)
}

// take returns the rows that are due, or with all of all there are, by actor, and forgets who has been quiet.
func (f *refusals) take(now time.Time, all bool) map[string]attempts {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := make(map[string]attempts)
	for name, r := range f.of {
		switch quiet := now.Sub(r.last); {
		case r.due(now) || all && r.times > 0:
			taken[name] = *r
			r.row, r.times, r.asked, r.why = now, 0, make(map[string]int), nil
			r.wait = min(max(2*r.wait, refusalsFirst), refusalsMost)
		case quiet >= refusalsMost || quiet < 0:
			delete(f.of, name)
		}
	}
	return taken
}

// auditRefusals appends the rows that are due, or with all those that wait, too.
func (p *Plane) auditRefusals(ctx context.Context, now time.Time, all bool) error {
	rows := p.refusals.take(now, all)
	if len(rows) == 0 {
		return nil
	}
	_, err := p.store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			if err := rows[name].audit(tx, name, now); err != nil {
				return err
			}
		}
		return nil
	})
	for name, r := range rows {
		p.log.Warn("not allowed", "actor", auditlog.Clip(name, auditlog.MaxActor), "operations", r.names(), "times", r.times)
	}
	return err
}

func (r attempts) audit(tx *store.Tx, name string, now time.Time) error {
	e := auditlog.Entry{
		Time: now, Actor: auditlog.Clip(name, auditlog.MaxActor), Action: "api.denied", Object: auditlog.Clip("operation "+r.names(), auditlog.MaxObject),
		Outcome: auditlog.Refused, Reason: auditlog.Clip(strings.Join(r.why, "; "), auditlog.MaxReason),
	}
	if r.times > 1 {
		e.Details = []auditlog.Detail{{Key: "times", Value: strconv.Itoa(r.times)}}
	}
	_, err := tx.Audit(e)
	return err
}

// names are the operations, those asked for most first.
func (r attempts) names() string {
	names := slices.Sorted(maps.Keys(r.asked))
	slices.SortStableFunc(names, func(a, b string) int { return r.asked[b] - r.asked[a] })
	more := r.times
	for _, n := range r.asked {
		more -= n
	}
	text := strings.Join(names, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and others %d times", more)
	}
	return text
}
