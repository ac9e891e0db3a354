package control

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/token"
)

const (
	// SessionIdle ends a browser's session in which its person did nothing for so long.
	SessionIdle = 30 * time.Minute
	// sessionLife ends any.
	sessionLife = 12 * time.Hour
	// freshFor is how long after a person showed a passkey what only superusers may
	// change goes through.
	freshFor = 5 * time.Minute
	// clockSlack is how far times may lie ahead: what lies further ahead was written
	// before the clock was set back, and how old it is nobody can tell.
	clockSlack = 2 * time.Minute
	// sweepCredentialsEvery is how often what has ended is forgotten, and how much of
	// what was used last a crash loses.
	sweepCredentialsEvery = time.Minute
	// keepTokens is how long a token is shown that has ended.
	keepTokens = 30 * day
)

// Identity is who sends a request, as a credential proves it.
type Identity struct {
	// Actor has the level that counts: the lower of the credential's and of the
	// source's.
	Actor   Actor
	Person  string       // who he is shown as
	Granted access.Level // of the credential
	Token   string       // ID, of a program
	Session string       // ID, of a browser
	Via     string       // "token", "code" or "passkey"
	Scopes  []string     // what a program is bound to; none: nothing
	Bound   bool         // a program is bound to addresses
	Host    string       // that the browser signed in at
	Opened  time.Time
	Expires time.Time
	// FreshUntil is until when what only superusers may change goes through.
	FreshUntil time.Time
}

// Fresh reports whether the person has lately shown who he is.
func (i *Identity) Fresh(now time.Time) bool {
	return now.Before(i.FreshUntil) && !now.Before(i.FreshUntil.Add(-freshFor-clockSlack))
}

// credentials are those of the store in memory, so that a guess costs no look at it.
// They are read anew after each change of them.
type credentials struct {
	loading  sync.Mutex // held while the store is read, so that the latest state wins
	mu       sync.RWMutex
	tokens   map[string]*liveToken
	sessions map[string]*liveSession
	codes    map[string]store.Code
	passkeys []store.Passkey
	origins  []string // see Origin

	sweptAt time.Time // of Run's goroutine
}

type liveToken struct {
	store.Token
	used use
}

type liveSession struct {
	store.Session
	used use
}

// use is when something was used last, microseconds since 1970, and from where.
type use struct {
	at   atomic.Int64
	from atomic.Pointer[netip.Addr]
	kept atomic.Int64 // of at, in the store
}

func (u *use) note(at time.Time, from netip.Addr) {
	u.at.Store(at.UnixMicro())
	if old := u.from.Load(); old == nil || *old != from {
		u.from.Store(&from)
	}
}

func (u *use) last(stored time.Time) time.Time {
	if at := u.at.Load(); at != 0 {
		return time.UnixMicro(at).UTC()
	}
	return stored
}

// follow takes over what another one of the same knew.
func (u *use) follow(other *use) {
	u.at.Store(other.at.Load())
	u.from.Store(other.from.Load())
	u.kept.Store(other.kept.Load())
}

// readCredentials brings the credentials in memory in step with the store.
func (p *Plane) readCredentials(ctx context.Context) error {
	c := &p.credentials
	c.loading.Lock()
	defer c.loading.Unlock()
	var tokens []store.Token
	var sessions []store.Session
	var codes []store.Code
	var passkeys []store.Passkey
	var origins []string
	err := p.store.View(context.WithoutCancel(ctx), func(tx *store.Tx) (err error) {
		if tokens, err = tx.Tokens(); err != nil {
			return err
		}
		if sessions, err = tx.Sessions(); err != nil {
			return err
		}
		if codes, err = tx.Codes(); err != nil {
			return err
		}
		if passkeys, err = tx.Passkeys(); err != nil {
			return err
		}
		origins, err = readOrigins(tx)
		return err
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	oldTokens, oldSessions := c.tokens, c.sessions
	c.tokens, c.sessions, c.codes = make(map[string]*liveToken), make(map[string]*liveSession), make(map[string]store.Code)
	for _, row := range tokens {
		live := &liveToken{Token: row}
		if old := oldTokens[row.ID]; old != nil {
			live.used.follow(&old.used)
		}
		c.tokens[row.ID] = live
	}
	for _, row := range sessions {
		live := &liveSession{Session: row}
		if old := oldSessions[row.ID]; old != nil {
			live.used.follow(&old.used)
		}
		c.sessions[row.ID] = live
	}
	for _, row := range codes {
		c.codes[row.ID] = row
	}
	c.passkeys, c.origins = passkeys, origins
	return nil
}

// nobody is the digest that a token nobody ever made is compared with, so that it
// takes as long as one that is known.
var nobody = token.New(token.API).Digest()

// Known reports whether there is a record of that token's ID. It says nothing about
// the rest of the token, and looks at no secret.
func (p *Plane) Known(t token.Token) bool {
	c := &p.credentials
	c.mu.RLock()
	defer c.mu.RUnlock()
	switch t.Kind() {
	case token.API:
		return c.tokens[t.ID()] != nil
	case token.Session:
		return c.sessions[t.ID()] != nil
	}
	_, known := c.codes[t.ID()]
	return known
}

// Authenticate says who sends a request with t from an address, and notes that it is
// used. It looks at nothing but memory. ok is false for whatever was never made, is
// changed in any way, or is over, and for a token that is bound to other addresses; why
// is not told.
func (p *Plane) Authenticate(t token.Token, from netip.Addr) (id Identity, ok bool) {
	return p.whose(t, from, func(u *use, now time.Time) { u.note(now, from) })
}

// Look is Authenticate without being a use of t: a session that is only looked at ends
// when its person does nothing. The level is that of now, as the access rules are.
func (p *Plane) Look(t token.Token, from netip.Addr) (id Identity, ok bool) {
	return p.whose(t, from, func(*use, time.Time) {})
}

func (p *Plane) whose(t token.Token, from netip.Addr, note func(*use, time.Time)) (id Identity, ok bool) {
	now := p.parts.Now()
	c := &p.credentials
	c.mu.RLock()
	program, browser := c.tokens[t.ID()], c.sessions[t.ID()]
	c.mu.RUnlock()
	switch {
	case t.Kind() == token.API && program != nil:
		if ok = program.good(t, from, now); ok {
			note(&program.used, now)
			id = program.identity()
		}
	case t.Kind() == token.Session && browser != nil:
		if ok = digestOf(browser.Hash).Is(t) && !browser.over(now); ok {
			note(&browser.used, now)
			id = browser.identity()
		}
	default:
		nobody.Is(t)
	}
	if !ok {
		return Identity{}, false
	}
	id.Actor.From = from
	id.Actor.Level = min(id.Granted, p.Ceiling(from))
	return id, true
}

// digestOf is a hash of the store.
func digestOf(hash []byte) (d token.Digest) {
	copy(d[:], hash)
	return d
}

// good reports whether t is the token, and may be used from there now.
func (row *liveToken) good(t token.Token, from netip.Addr, now time.Time) bool {
	right := digestOf(row.Hash).Is(t)
	inside := len(row.From) == 0 || slices.ContainsFunc(row.From, func(p netip.Prefix) bool { return p.Contains(from) })
	return right && inside && row.Ended.IsZero() && now.Before(row.Expires)
}

func (row *liveToken) identity() Identity {
	return Identity{
		Actor: Actor{Name: "token " + row.Name, Person: row.Person, shown: credential{Token: row.ID}}, Person: row.Person, Granted: row.Level, Token: row.ID, Via: "token", Scopes: row.Scopes, Bound: len(row.From) > 0,
		Opened: row.Created, Expires: row.Expires,
	}
}

func (s *liveSession) identity() Identity {
	return Identity{
		Actor: Actor{Name: s.Person + ", session " + s.ID, Person: s.Owner, shown: s.credential()}, Person: s.Person, Granted: s.Level, Session: s.ID, Via: s.Via, Host: s.Host,
		Opened: s.Opened, Expires: s.Expires, FreshUntil: s.Fresh.Add(freshFor),
	}
}

func (s *liveSession) credential() credential {
	return credential{Passkey: s.Passkey, Person: s.Person, Session: s.Opened.UnixMicro()}
}

// over reports whether a session has ended by time. One from the future has: the
// clock was set back, and how long ago it was used is not known any more.
func (s *liveSession) over(now time.Time) bool {
	last := s.used.last(s.Last)
	ahead := now.Add(clockSlack)
	return !now.Before(s.Expires) || now.Sub(last) >= SessionIdle || last.After(ahead) || s.Opened.After(ahead)
}

// Ceiling is the highest level that the access rules leave to management from an
// address. A rule counts whether its control is enforced or in monitor: those are of
// the data path. What the node has shut out by itself is no rule.
func (p *Plane) Ceiling(from netip.Addr) access.Level {
	s := p.parts.Live.Load()
	if s == nil || s.Access == nil || !from.IsValid() {
		return access.None
	}
	return s.Access.Check(access.Query{Addr: from.Unmap().WithZone(""), Now: p.parts.Now(), Ignore: access.ByThreat}).Level
}

// sweepCredentials writes down what was used when, and forgets what is over. held
// says that the clock has jumped: then nothing is forgotten.
func (p *Plane) sweepCredentials(ctx context.Context, now time.Time, held bool) error {
	return p.settleUses(ctx, p.credentials.toSettle(now, held), now, held)
}

// uses are the credentials that were used since it was written down. What they are by
// the time somebody writes, only the store knows: of them nothing but the use is taken.
type uses struct {
	tokens   []*liveToken
	sessions []*liveSession
	over     bool // something has ended by time
}

// toSettle are the uses that the store does not have yet.
func (c *credentials) toSettle(now time.Time, held bool) (u uses) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, t := range c.tokens {
		if t.used.at.Load() != t.used.kept.Load() {
			u.tokens = append(u.tokens, t)
		}
		u.over = u.over || !held && t.Ended.IsZero() && !now.Before(t.Expires)
	}
	for _, s := range c.sessions {
		if s.used.at.Load() != s.used.kept.Load() {
			u.sessions = append(u.sessions, s)
		}
		u.over = u.over || s.over(now)
	}
	for _, code := range c.codes {
		u.over = u.over || !now.Before(code.Expires)
	}
	return u
}

// settleUses writes uses down, and ends and forgets what is over.
func (p *Plane) settleUses(ctx context.Context, u uses, now time.Time, held bool) error {
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		for _, t := range u.tokens {
			from := t.LastFrom
			if last := t.used.from.Load(); last != nil {
				from = *last
			}
			if err := tx.TouchToken(t.ID, t.used.last(t.LastUsed), from); err != nil {
				return err
			}
		}
		for _, s := range u.sessions {
			if err := tx.TouchSession(s.ID, s.used.last(s.Last)); err != nil {
				return err
			}
		}
		if held {
			return nil
		}
		return endByTime(tx, now)
	})
	if err != nil {
		return err
	}
	for _, t := range u.tokens {
		t.used.kept.Store(t.used.at.Load())
	}
	for _, s := range u.sessions {
		s.used.kept.Store(s.used.at.Load())
	}
	if u.over || len(u.tokens) > 0 {
		return p.readCredentials(ctx)
	}
	return nil
}

// endByTime ends what is over, so that a clock that is set back does not bring it back,
// and forgets what ended long ago.
func endByTime(tx *store.Tx, now time.Time) error {
	if _, err := tx.ExpireApprovals(now); err != nil {
		return err
	}
	if err := tx.DropCodes(now); err != nil {
		return err
	}
	if err := tx.DropSessions(now, now.Add(-SessionIdle)); err != nil {
		return err
	}
	if err := tx.EndTokens(now); err != nil {
		return err
	}
	return tx.DropTokens(now.Add(-keepTokens))
}
