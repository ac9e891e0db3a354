package control

import (
	"time"

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
func (p *Plane) Recipient(token string) (r Recipient, ok bool) {
	now := p.parts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.pages[pageHash(token)]
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

// Viewed counts that a page was looked at: how often, never by whom. It is written
// down with the usage.
func (p *Plane) Viewed(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.pages[pageHash(token)]; u != nil {
		p.views[u.row.ID]++
	}
}
