package control

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"mtguard/control/passkey"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/token"
)

// RemovePasskey takes a passkey out, and ends the sessions it was used for.
type RemovePasskey struct{ ID string }

// PasskeyInfo is a passkey as commands and the API show it.
type PasskeyInfo struct {
	ID       string       `json:"id"`
	Name     string       `json:"name"`
	Person   string       `json:"person"`
	Level    access.Level `json:"level"`
	Host     string       `json:"host" doc:"the name that it is good for"`
	Created  time.Time    `json:"created"`
	LastUsed *time.Time   `json:"last_used,omitempty"`
	BackedUp bool         `json:"backed_up" doc:"it lives on several devices"`
}

// maxPasskeysOf is how many passkeys one person may have.
const maxPasskeysOf = 20

func (RemovePasskey) action() string      { return "passkey.remove" }
func (c RemovePasskey) object() string    { return "passkey " + clean(c.ID) }
func (RemovePasskey) least() access.Level { return access.Superuser }

func (c RemovePasskey) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	if err := x.requireReason(); err != nil {
		return err
	}
	row, err := x.passkey(func(k store.Passkey) bool { return k.ID == c.ID })
	if err != nil {
		return err
	}
	if row == nil {
		return notFound("passkey", clean(c.ID), "mtguard passkey list")
	}
	if err := x.takeBackOf(row); err != nil {
		return err
	}
	ended, err := x.tx.DropPasskey(c.ID)
	if err != nil {
		return err
	}
	x.detail("person", row.Person)
	x.detail("ended", ended)
	x.result.Closed = int(ended)
	x.result.Summary = fmt.Sprintf("passkey %s of %s is gone, %s ended", row.Name, row.Person, plural(int(ended), "session"))
	x.after(x.p.readCredentials)
	return nil
}

// takeBackOf refuses what waits and was asked for with a passkey, or in a session that ends with it: one that
// was made fresh with it later.
func (x *transaction) takeBackOf(key *store.Passkey) error {
	sessions, err := x.tx.Sessions()
	if err != nil {
		return err
	}
	return x.takeBack(func(asker credential) bool {
		return asker.Passkey == key.ID || slices.ContainsFunc(sessions, func(s store.Session) bool { return s.Passkey == key.ID && askedIn(s)(asker) })
	})
}

// passkey returns the first that matches, nil when none does.
func (x *transaction) passkey(match func(store.Passkey) bool) (*store.Passkey, error) {
	rows, err := x.tx.Passkeys()
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(rows, match); i >= 0 {
		return &rows[i], nil
	}
	return nil, nil
}

// Passkeys returns all passkeys, in the order in which they were made.
func (p *Plane) Passkeys(context.Context) (items []PasskeyInfo, err error) {
	p.credentials.mu.RLock()
	defer p.credentials.mu.RUnlock()
	for _, k := range p.credentials.passkeys {
		items = append(items, PasskeyInfo{
			ID: k.ID, Name: k.Name, Person: k.Person, Level: k.Level, Host: k.Host, Created: k.Created.UTC(), LastUsed: maybe(k.LastUsed),
			BackedUp: passkey.BackedUp(k.Record),
		})
	}
	return items, nil
}

// FindPasskey returns the passkey of a host by the authenticator's name for it; of a
// person only, unless that is "".
func (p *Plane) FindPasskey(host, person string, raw []byte) (passkey.Credential, bool) {
	p.credentials.mu.RLock()
	defer p.credentials.mu.RUnlock()
	for _, k := range p.credentials.passkeys {
		if k.Host == host && (person == "" || k.Person == person) && bytes.Equal(k.Raw, raw) {
			return passkey.Credential{Raw: k.Raw, Handle: k.Handle, Record: k.Record}, true
		}
	}
	return passkey.Credential{}, false
}

// PasskeysOf returns the authenticators' names for the passkeys of a person at a host,
// and what they call the person, which tells nothing about him. The person "" is
// everybody.
func (p *Plane) PasskeysOf(host, person string) (raw [][]byte, handle []byte) {
	p.credentials.mu.RLock()
	defer p.credentials.mu.RUnlock()
	for _, k := range p.credentials.passkeys {
		if k.Host == host && (person == "" || k.Person == person) {
			raw = append(raw, k.Raw)
		}
	}
	h := hmac.New(sha256.New, p.pseudo[:])
	fmt.Fprintf(h, "handle of a passkey %q %q", host, person)
	return raw, h.Sum(nil)
}

// usePasskey begins a session with a passkey, or makes one fresh.
type usePasskey struct {
	proof   passkey.Proof
	where   Where
	session string // the one to make fresh; "": a new one
	out     *opened
}

func (c usePasskey) action() string {
	if c.session != "" {
		return "signin.step-up"
	}
	return "signin.passkey"
}
func (c usePasskey) object() string    { return "host " + clean(c.where.Host) }
func (usePasskey) least() access.Level { return access.None }

func (c usePasskey) apply(x *transaction) error {
	if err := x.spend(c.proof); err != nil {
		return err
	}
	key, err := x.passkey(func(k store.Passkey) bool {
		return k.Host == c.where.Host && bytes.Equal(k.Raw, c.proof.Credential.Raw)
	})
	if err != nil {
		return err
	}
	if key == nil {
		return errSignIn // taken out meanwhile
	}
	key.Record, key.LastUsed = c.proof.Credential.Record, x.now
	if err := x.tx.PutPasskey(key); err != nil {
		return err
	}
	x.detail("passkey", key.ID)
	if c.session == "" {
		return x.openSession(c.out, store.Session{Person: key.Person, Owner: key.Owner, Via: viaPasskey, Passkey: key.ID, Level: key.Level, Fresh: x.now}, c.where)
	}
	return x.rotateSession(c.out, c.session, func(s *store.Session) error {
		if s.Person != key.Person {
			return errSignIn
		}
		s.Passkey, s.Fresh, s.Owner = key.ID, x.now, key.Owner
		return nil
	})
}

// spend uses a challenge up, for ever.
func (x *transaction) spend(proof passkey.Proof) error {
	err := x.tx.Spend(proof.Challenge, proof.Until.Add(passkey.Life), x.now)
	if errors.Is(err, store.ErrExists) {
		return errSignIn
	}
	return err
}

// rotateSession changes a session and gives it another cookie: the one it had is worth
// nothing from then on.
func (x *transaction) rotateSession(out *opened, id string, change func(*store.Session) error) error {
	rows, err := x.tx.Sessions()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(s store.Session) bool { return s.ID == id })
	if i < 0 {
		return errSignIn
	}
	s := rows[i]
	if err := change(&s); err != nil {
		return err
	}
	s.Last = x.now
	out.draw(&s)
	if err := x.tx.PutSession(&s); err != nil {
		return err
	}
	out.row = s
	x.detail("was", id)
	x.detail("session", s.ID)
	x.detail("person", s.Person)
	x.after(x.p.readCredentials)
	return nil
}

// EnterWithPasskey signs a person in. The same proof never works again.
func (p *Plane) EnterWithPasskey(ctx context.Context, proof passkey.Proof, where Where) (token.Token, Identity, error) {
	return p.withPasskey(ctx, Actor{Name: "passkey", From: where.From}, usePasskey{proof: proof, where: where})
}

// StepUp makes a person's session fresh, and returns its new cookie.
func (p *Plane) StepUp(ctx context.Context, id Identity, proof passkey.Proof, where Where) (token.Token, Identity, error) {
	return p.withPasskey(ctx, id.Actor, usePasskey{proof: proof, where: where, session: id.Session})
}

func (p *Plane) withPasskey(ctx context.Context, by Actor, c usePasskey) (token.Token, Identity, error) {
	if key, ok := p.passkeyRow(c.where.Host, c.proof.Credential.Raw); ok {
		by.Name = key.Person
	}
	c.out = new(opened)
	if _, err := p.Apply(ctx, by, c, Options{}); err != nil {
		return token.Token{}, Identity{}, err
	}
	return p.begun(c.out, c.where.From)
}

func (p *Plane) passkeyRow(host string, raw []byte) (store.Passkey, bool) {
	p.credentials.mu.RLock()
	defer p.credentials.mu.RUnlock()
	for _, k := range p.credentials.passkeys {
		if k.Host == host && bytes.Equal(k.Raw, raw) {
			return k, true
		}
	}
	return store.Passkey{}, false
}

// enrol keeps a new passkey of the person of a session.
type enrol struct {
	id    Identity
	name  string
	proof passkey.Proof
	fresh bool // the session
	out   *opened
}

func (enrol) action() string      { return "passkey.add" }
func (c enrol) object() string    { return "person " + clean(c.id.Person) }
func (enrol) least() access.Level { return access.None }

func (c enrol) apply(x *transaction) error {
	if err := x.spend(c.proof); err != nil { // of the device that has made it
		return err
	}
	rows, err := x.tx.Passkeys()
	if err != nil {
		return err
	}
	own := 0
	for _, k := range rows {
		if k.Person == c.id.Person {
			own++
		}
	}
	if own >= maxPasskeysOf {
		return refused("mtguard passkey remove", "%s has %d passkeys already", c.id.Person, own)
	}
	if !c.fresh && slices.ContainsFunc(rows, func(k store.Passkey) bool { return k.Person == c.id.Person && k.Host == c.id.Host }) {
		return errEnrol
	}
	name := cleanTo(64, c.name)
	if name == "" {
		name = fmt.Sprintf("passkey %d", own+1)
	}
	row := store.Passkey{
		ID: newID("p"), Raw: c.proof.Credential.Raw, Handle: c.proof.Credential.Handle, Person: c.id.Person, Owner: nameOf(c.id.Person), Name: name,
		Level: c.id.Granted, Host: c.id.Host, Record: c.proof.Credential.Record, Created: x.now,
	}
	if own == 0 {
		if err := x.endOthers(c.id); err != nil {
			return err
		}
	}
	if err := x.tx.PutPasskey(&row); err != nil {
		if errors.Is(err, store.ErrExists) {
			return &Error{Kind: Exists, Text: "this passkey is enrolled already"}
		}
		return err
	}
	x.detail("passkey", row.ID)
	x.detail("host", row.Host)
	x.detail("level", row.Level)
	return x.rotateSession(c.out, c.id.Session, func(s *store.Session) error {
		s.Passkey, s.Fresh, s.Owner, s.Via = row.ID, x.now, row.Owner, viaPasskey
		return nil
	})
}

// endOthers ends a person's other sessions, with what was asked for in them: they began
// with codes, before there was a passkey to show.
func (x *transaction) endOthers(id Identity) error {
	rows, err := x.tx.Sessions()
	if err != nil {
		return err
	}
	ended := 0
	for _, s := range rows {
		if s.Person == id.Person && s.ID != id.Session {
			if err := x.tx.DropSession(s.ID); err != nil {
				return err
			}
			if err := x.takeBack(askedIn(s)); err != nil {
				return err
			}
			ended++
		}
	}
	if ended > 0 {
		x.detail("ended", ended)
	}
	return nil
}

var errEnrol = &Error{Kind: Denied, Text: "a passkey is enrolled right after signing in"}

// MayEnrol reports whether the person of a session may enrol a passkey now: he has lately
// shown one, or has none for that host and has lately signed in with a code. So a code is
// enough for the first one at each host, where he could not show another one.
func (p *Plane) MayEnrol(id Identity) bool {
	now := p.parts.Now()
	if id.Session == "" || id.Fresh(now) {
		return id.Session != ""
	}
	if id.Via != viaCode || !now.Before(id.Opened.Add(freshFor)) || now.Before(id.Opened.Add(-clockSlack)) {
		return false
	}
	have, _ := p.PasskeysOf(id.Host, id.Person)
	return len(have) == 0
}

// Enrol keeps a new passkey of the person of a session that may, see MayEnrol, and returns
// the session's new cookie. With his first one all his other sessions end.
func (p *Plane) Enrol(ctx context.Context, id Identity, name string, proof passkey.Proof) (token.Token, Identity, error) {
	if !p.MayEnrol(id) {
		return token.Token{}, Identity{}, errEnrol
	}
	var out opened
	if _, err := p.Apply(ctx, id.Actor, enrol{id, name, proof, id.Fresh(p.parts.Now()), &out}, Options{}); err != nil {
		return token.Token{}, Identity{}, err
	}
	return p.begun(&out, id.Actor.From)
}
