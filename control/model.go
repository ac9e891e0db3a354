package control

import (
	"slices"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/usage"
)

// user is one user in the model: what the store says, and what is live.
type user struct {
	row     store.User
	keys    []store.Key // ascending generations
	account *usage.Account
	page    [32]byte // hash of its page's address

	standing usage.Refusal
	// Of the quota: bytes of the period up to the totals at mark.
	period int // its first day, yyyymmdd
	spent  int64
	mark   usage.Totals
}

// generations is the metadata of a user's keys, with what is live of it. A key
// that a session holds is in use now, however long ago the session began.
func (p *Plane) generations(list []store.Key) keys.Generations {
	now := p.parts.Now()
	all := make(keys.Generations, len(list))
	for i, k := range list {
		all[i] = k.Generation
		live := p.ring.Key(k.ID)
		if live == nil {
			continue
		}
		if first := live.Use().First(); all[i].FirstUsed.IsZero() {
			all[i].FirstUsed = first
		}
		if last := live.Use().Last(); last.After(all[i].LastUsed) {
			all[i].LastUsed = last
		}
		if live.Leases() > 0 {
			all[i].LastUsed = now
		}
	}
	return all
}

// judge says whether the user is served, apart from limits of what is open. While
// the clock is not believed, nobody expires by it. A quota counts once what was
// used of it is known. The caller holds mu.
func (p *Plane) judge(u *user, now time.Time) usage.Refusal {
	expired := !u.row.Expires.IsZero() && !now.Before(u.row.Expires)
	if p.held != "" {
		expired = expired && u.standing == usage.Expired
	}
	switch {
	case u.row.Disabled:
		return usage.Disabled
	case expired:
		return usage.Expired
	case u.row.Level == access.None:
		return usage.NoAccess
	case u.row.QuotaBytes > 0 && u.period != 0 && u.used() >= u.row.QuotaBytes:
		return usage.OverQuota
	}
	return usage.Allowed
}

// used is the bytes of the quota's period.
func (u *user) used() int64 {
	t := u.account.Totals()
	return u.spent + t.Up + t.Down - u.mark.Up - u.mark.Down
}

func (u *user) limits() usage.Limits {
	return usage.Limits{Connections: u.row.MaxConnections, Addresses: u.row.MaxAddresses}
}

// periodStart is the first day of the quota's present period.
func (u *user) periodStart(now time.Time) int {
	d := dayOf(now)
	if u.row.QuotaPer == "month" {
		return d - d%100 + 1
	}
	return d
}

// dayOf is a day in UTC as the number yyyymmdd.
func dayOf(t time.Time) int {
	y, m, d := t.UTC().Date()
	return y*10_000 + int(m)*100 + d
}

// put replaces or adds a key.
func (u *user) put(k store.Key) {
	at, found := slices.BinarySearchFunc(u.keys, k.Number, func(k store.Key, n int) int { return k.Number - n })
	if found {
		u.keys[at] = k
	} else {
		u.keys = slices.Insert(u.keys, at, k)
	}
}

// Pseudonyms is the key that addresses are kept under, where they are not kept
// themselves. It is the same for the life of the store.
func (p *Plane) Pseudonyms() [32]byte { return p.pseudo }

// Knows reports whether the store has, or had, a key with that ID.
func (p *Plane) Knows(id keys.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.users {
		for _, k := range u.keys {
			if k.ID == id {
				return true
			}
		}
	}
	return false
}

// leases is how many live sessions hold a key.
func (p *Plane) leases(id keys.ID) int {
	if k := p.ring.Key(id); k != nil {
		return k.Leases()
	}
	return 0
}
