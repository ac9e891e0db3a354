package usage

import (
	"time"

	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/ratelimit"
)

// Rate is bytes per second and a burst, as ratelimit.Bytes.Set takes them.
type Rate struct {
	PerSecond, Burst int64
	Watch            bool // hold nobody back, only see who goes beyond it
}

func (r Rate) set(b *ratelimit.Bytes, now time.Time) {
	if r.Watch {
		b.Watch(r.PerSecond, r.Burst, now)
		return
	}
	b.Set(r.PerSecond, r.Burst, now)
}

// Rates bound what a user's sessions carry together.
type Rates struct {
	User Rate // of all sessions, each direction for itself
	// Level bounds the sessions of a level together, too: of access.ReadOnly what they send, of the others each direction for itself.
	Level [access.Superuser + 1]Rate
}

// meters are the budgets of one user, which all sessions share, and what transports the user comes by.
type meters struct {
	user  [2]ratelimit.Bytes // up, down
	level [access.Superuser + 1][2]ratelimit.Bytes
	// budgets are the pairs of them that a session of a level takes its bytes from.
	budgets [access.Superuser + 1]ratelimit.Budgets

	transports [mtproto.FakeTLS + 1]TransportUse // guarded by Account.mu
}

// TransportUse is how often a user has come by one transport since the process started, and when last.
type TransportUse struct {
	Sessions int64
	Last     time.Time
}

// metersOf makes the meters at the first need: most users of a large node are not there.
func (a *Account) metersOf() *meters {
	if m := a.meters.Load(); m != nil {
		return m
	}
	m := new(meters)
	for l := range m.budgets {
		m.budgets[l] = ratelimit.Budgets{
			Up:   ratelimit.Pair{&m.user[0], &m.level[l][0]},
			Down: ratelimit.Pair{&m.user[1], &m.level[l][1]},
		}
	}
	if !a.meters.CompareAndSwap(nil, m) {
		return a.meters.Load()
	}
	return m
}

// SetLevel says what the user may do, as far as the account goes. An Account that was not told is of level access.Standard. Sessions that are
// open stay what they are: see auth.Sessions.Apply.
func (a *Account) SetLevel(l access.Level) {
	if a != nil {
		a.level.Store(uint32(l) + 1)
	}
}

// Level is that of the last SetLevel.
func (a *Account) Level() access.Level {
	if a == nil {
		return access.Standard
	}
	if l := a.level.Load(); l > 0 {
		return access.Level(l - 1)
	}
	return access.Standard
}

// SetRates bounds what the user's sessions carry from now on, those that are open too.
func (a *Account) SetRates(r Rates, now time.Time) {
	if a == nil || r == (Rates{}) && a.meters.Load() == nil {
		return
	}
	m := a.metersOf()
	for way := range m.user {
		r.User.set(&m.user[way], now)
		for l := range m.level {
			rate := r.Level[l]
			if way == 1 && access.Level(l) == access.ReadOnly {
				rate = Rate{} // reading is not bounded
			}
			rate.set(&m.level[l][way], now)
		}
	}
}

// Budgets is what a session of a level takes its bytes from, shared by all of them; nil without an account.
func (a *Account) Budgets(l access.Level) *ratelimit.Budgets {
	if a == nil || l > access.Superuser {
		return nil
	}
	return &a.metersOf().budgets[l]
}

// Budget is where a user is with a rate, in one direction. The zero Budget has no rate.
type Budget struct {
	Rate                // as it was set, but for Watch; a Burst of 0 came to PerSecond
	Left  int64         // bytes that may go at once now
	Pause time.Duration // until any may; 0 for a rate that is only watched
}

// ByteBudgets says where the user is with the rate of all sessions and with that of a level, by direction: from the client, to it. The rates are
// those of the last SetRates. It counts nothing.
func (a *Account) ByteBudgets(l access.Level, now time.Time) (user, level [2]Budget) {
	if a == nil || l > access.Superuser {
		return user, level
	}
	m := a.meters.Load()
	if m == nil {
		return user, level
	}
	at := func(b *ratelimit.Bytes) Budget {
		perSecond, burst := b.Rate()
		if perSecond == 0 {
			return Budget{}
		}
		return Budget{Rate{PerSecond: perSecond, Burst: burst}, b.Left(now), b.Spent(0, now)}
	}
	for way := range user {
		user[way], level[way] = at(&m.user[way]), at(&m.level[l][way])
	}
	return user, level
}

// Came notes that a client of the user has come by a transport.
func (a *Account) Came(t mtproto.Transport, at time.Time) {
	if a == nil || t > mtproto.FakeTLS {
		return
	}
	use := &a.metersOf().transports[t]
	a.mu.Lock()
	defer a.mu.Unlock()
	use.Sessions++
	if at.After(use.Last) {
		use.Last = at
	}
}

// Transports is what Came has noted, by mtproto.Transport.
func (a *Account) Transports() (all [mtproto.FakeTLS + 1]TransportUse) {
	if a == nil {
		return all
	}
	m := a.meters.Load()
	if m == nil {
		return all
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return m.transports
}
