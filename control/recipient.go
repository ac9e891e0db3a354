package control

import (
	"context"
	"time"

	"mtguard/control/store"
	"mtguard/security/keys"
)

// Recipient is what a page tells the person it was made for.
type Recipient struct {
	Links   []Link
	Changes time.Time // when a new secret takes over; zero: it is not planned
	// ChangesUntil is until when today's link works then; zero: not at all.
	ChangesUntil time.Time
	OldUntil     time.Time // until when an older link works; zero: there is none
	Expires      time.Time
	Left         *int64 // bytes of the quota; nil: there is none
	Per          string
	Serving      bool // whether the link works for this person now
	Updated      time.Time
}

// Recipient finds the page with that token. ok is false for a token that no page
// has or had.
func (p *Plane) Recipient(ctx context.Context, token string) (r Recipient, ok bool) {
	var page store.Page
	err := p.store.View(ctx, func(tx *store.Tx) (err error) {
		page, err = tx.PageByHash(pageHash(token))
		return err
	})
	if err != nil || !page.Closed.IsZero() {
		return r, false
	}
	now := p.parts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[page.UserID]
	if u == nil || !u.row.Removed.IsZero() {
		return r, false
	}
	info := p.userInfo(u, now)
	r = Recipient{Expires: u.row.Expires, Serving: info.State == "ok", Updated: u.row.Created}
	if info.Rotates != nil {
		r.Changes = *info.Rotates
		if overlap := time.Duration(p.schedule.Overlap); overlap > 0 {
			r.ChangesUntil = r.Changes.Add(overlap)
		}
	}
	if info.Quota != nil {
		left := max(0, info.Quota.Bytes-info.QuotaUsed)
		r.Left, r.Per = &left, info.Quota.Per
	}
	for _, k := range u.keys {
		switch k.State {
		case keys.Active:
			if live := p.ring.Key(k.ID); live != nil {
				links, err := p.parts.Links(u.row.Name, live.Secret())
				if err != nil {
					p.log.Error("links of a page", "user", u.row.Name, "error", err)
					return r, false
				}
				r.Links, r.Updated = links, k.Activated
			}
		case keys.Retiring:
			if k.RetireBy.After(r.OldUntil) {
				r.OldUntil = k.RetireBy
			}
		}
	}
	return r, true
}

// Viewed counts that a page was looked at: how often, never by whom.
func (p *Plane) Viewed(ctx context.Context, token string) {
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		page, err := tx.PageByHash(pageHash(token))
		if err != nil {
			return err
		}
		return tx.CountView(page.UserID)
	})
	p.report("page view", err)
}
