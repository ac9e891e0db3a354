package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/token"
)

// MakeCode makes a code that signs a person in once, within ten minutes. The result
// has its text, once. Person is who he will be shown as; "" is the actor's.
type MakeCode struct {
	Person string
	Level  access.Level // None: the actor's
}

// EndSession ends one session of a browser.
type EndSession struct{ ID string }

// EndSessions ends all sessions of a person, or all from a prefix, or those that are
// both.
type EndSessions struct {
	Person string
	From   netip.Prefix
}

// SessionInfo is a browser's session as commands and the API show it.
type SessionInfo struct {
	ID      string       `json:"id"`
	Person  string       `json:"person"`
	Level   access.Level `json:"level"`
	Via     string       `json:"via" enum:"code,passkey"`
	Host    string       `json:"host" doc:"the name that the browser came to"`
	From    string       `json:"from"`
	Agent   string       `json:"agent" doc:"what the browser calls itself"`
	Opened  time.Time    `json:"opened"`
	Last    time.Time    `json:"last"`
	Expires time.Time    `json:"expires"`
	Current bool         `json:"current,omitempty" doc:"it is the one that asks"`
}

// Where is what is known of a browser that signs in.
type Where struct {
	Host  string // the name it came to
	Port  string // and the port of it
	From  netip.Addr
	Agent string
}

const (
	codeLife = 10 * time.Minute
	maxAgent = 200
)

// The ways to sign in.
const (
	viaCode    = "code"
	viaPasskey = "passkey"
)

func (MakeCode) action() string    { return "signin.code" }
func (EndSession) action() string  { return "session.end" }
func (EndSessions) action() string { return "session.end-all" }

// completed has the name that the code is for, so that the audit log has it too.
func (c MakeCode) completed(by Actor) Change {
	if c.Person == "" {
		c.Person = strings.ReplaceAll(firstName(personOf(by)), " ", "-")
	}
	return c
}

func (c MakeCode) object() string   { return "person " + clean(c.Person) }
func (c EndSession) object() string { return "session " + clean(c.ID) }
func (c EndSessions) object() string {
	var parts []string
	if c.Person != "" {
		parts = append(parts, "person "+clean(c.Person))
	}
	if c.From.IsValid() {
		parts = append(parts, c.From.String())
	}
	return strings.Join(parts, ", ")
}

func (MakeCode) least() access.Level    { return access.Superuser }
func (EndSession) least() access.Level  { return access.Admin }
func (EndSessions) least() access.Level { return access.Admin }

func (c MakeCode) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	if !userName.MatchString(c.Person) {
		return invalid("person", "a person's name has 1 to 64 letters, digits, dots, dashes or underscores")
	}
	if c.Level == access.None {
		c.Level = x.by.Level
	}
	if c.Level == access.Standard || c.Level > access.Superuser {
		return invalid("level", "the level is read_only, admin or superuser")
	}
	made := token.New(token.Code)
	hash := made.Digest()
	row := store.Code{
		ID: made.ID(), Hash: hash[:], Person: c.Person, Owner: personOf(x.by), Level: c.Level, Created: x.now, Expires: x.now.Add(codeLife),
	}
	if err := x.tx.AddCode(&row); err != nil {
		return err
	}
	x.detail("id", row.ID)
	x.detail("level", row.Level)
	x.result.Secret = made.Reveal()
	x.result.Summary = fmt.Sprintf("%s can sign in once with it, until %s", c.Person, row.Expires.Format(time.TimeOnly))
	x.after(x.p.readCredentials)
	return nil
}

// enter uses a code up and begins a session, in one transaction.
type enter struct {
	code  token.Token
	where Where
	out   *opened
}

// opened is a session that has begun, or goes on under another cookie.
type opened struct {
	cookie token.Token
	row    store.Session
}

func (enter) action() string      { return "signin.enter" }
func (c enter) object() string    { return "code " + c.code.ID() }
func (enter) least() access.Level { return access.None }

// errSignIn is every failure of signing in, to whoever asks. Which it was, is told to
// nobody.
var errSignIn = &Error{Kind: Denied, Text: "signing in failed"}

func (c enter) apply(x *transaction) error {
	row, err := x.tx.TakeCode(c.code.ID())
	if errors.Is(err, store.ErrNotFound) {
		return errSignIn
	}
	if err != nil {
		return err
	}
	if !digestOf(row.Hash).Is(c.code) || !x.now.Before(row.Expires) || row.Created.After(x.now.Add(clockSlack)) {
		return errSignIn
	}
	// Whoever has a passkey, for whichever host, shows it for what takes one: a code is no way around.
	have, err := x.passkey(func(k store.Passkey) bool { return k.Person == row.Person })
	if err != nil {
		return err
	}
	s := store.Session{Person: row.Person, Owner: eitherOf(nameOf(row.Person), row.Owner), Via: viaCode, Level: row.Level}
	if have == nil {
		s.Fresh = x.now
	}
	if err := x.cameTo(c.where); err != nil {
		return err
	}
	return x.openSession(c.out, s, c.where)
}

// openSession begins a session. Its cookie is drawn here: nothing that a browser sent
// becomes one.
func (x *transaction) openSession(out *opened, s store.Session, where Where) error {
	out.draw(&s)
	s.Host, s.From, s.Agent = where.Host, where.From, cleanTo(maxAgent, where.Agent)
	s.Opened, s.Last, s.Expires = x.now, x.now, x.now.Add(sessionLife)
	if err := x.tx.PutSession(&s); err != nil {
		return err
	}
	out.row = s
	x.detail("session", s.ID)
	x.detail("person", s.Person)
	x.detail("level", s.Level)
	x.detail("via", s.Via)
	x.detail("from", where.From)
	x.after(x.p.readCredentials)
	return nil
}

// draw gives a session a new cookie.
func (o *opened) draw(s *store.Session) {
	o.cookie = token.New(token.Session)
	hash := o.cookie.Digest()
	s.ID, s.Hash = o.cookie.ID(), hash[:]
}

// Enter signs a person in with a code, which is then used up, and returns the cookie
// of the session. The same code never works again, whatever happens in between. Any
// failure but that of the store is a Denied that says nothing more.
func (p *Plane) Enter(ctx context.Context, code token.Token, where Where) (token.Token, Identity, error) {
	c := &p.credentials
	c.mu.RLock()
	row, known := c.codes[code.ID()]
	c.mu.RUnlock()
	if !known {
		nobody.Is(code)
		return token.Token{}, Identity{}, errSignIn
	}
	if !digestOf(row.Hash).Is(code) || !p.parts.Now().Before(row.Expires) {
		return token.Token{}, Identity{}, errSignIn
	}
	var out opened
	by := Actor{Name: row.Person, Level: row.Level, From: where.From, Person: eitherOf(nameOf(row.Person), row.Owner)}
	if _, err := p.Apply(ctx, by, enter{code, where, &out}, Options{}); err != nil {
		return token.Token{}, Identity{}, err
	}
	return p.begun(&out, where.From)
}

// begun is the answer to who has just signed in.
func (p *Plane) begun(out *opened, from netip.Addr) (token.Token, Identity, error) {
	live := &liveSession{Session: out.row}
	id := live.identity()
	id.Actor.From = from
	id.Actor.Level = min(id.Granted, p.Ceiling(from))
	return out.cookie, id, nil
}

func (c EndSession) apply(x *transaction) error {
	return x.endSessions(func(s store.Session) bool { return s.ID == c.ID }, notFound("session", clean(c.ID), "mtguard session list"))
}

func (c EndSessions) apply(x *transaction) error {
	if c.Person == "" && !c.From.IsValid() {
		return invalid("person", "say whose sessions, or from where")
	}
	return x.endSessions(func(s store.Session) bool {
		return (c.Person == "" || s.Person == c.Person) && (!c.From.IsValid() || c.From.Contains(s.From))
	}, nil)
}

// endSessions ends those that match; when there are none that is the error none. A
// session of a higher level than the actor's is left to those who have it.
func (x *transaction) endSessions(match func(store.Session) bool, none error) error {
	if err := x.noObject(); err != nil {
		return err
	}
	rows, err := x.tx.Sessions()
	if err != nil {
		return err
	}
	ended := 0
	for _, s := range rows {
		if !match(s) {
			continue
		}
		if s.Level > x.by.Level && firstName(s.Owner) != firstName(x.by.Person) {
			return &Error{Kind: Denied, Text: fmt.Sprintf("session %s has the level %v, and %s has %v", s.ID, s.Level, x.by.Name, x.by.Level)}
		}
		if err := x.tx.DropSession(s.ID); err != nil {
			return err
		}
		if err := x.takeBack(askedIn(s)); err != nil {
			return err
		}
		ended++
	}
	if ended == 0 && none != nil {
		return none
	}
	x.detail("ended", ended)
	x.result.Closed = ended
	x.result.Summary = plural(ended, "session") + " ended"
	x.after(x.p.readCredentials)
	return nil
}

// askedIn matches what was asked for in a session.
func askedIn(s store.Session) func(credential) bool {
	of := (&liveSession{Session: s}).credential()
	return func(c credential) bool { return c.Person == of.Person && c.Session == of.Session }
}

// leave ends the actor's own session.
type leave struct{ id string }

func (leave) action() string      { return "signin.leave" }
func (c leave) object() string    { return "session " + c.id }
func (leave) least() access.Level { return access.None }

func (c leave) apply(x *transaction) error {
	if err := x.tx.DropSession(c.id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	x.after(x.p.readCredentials)
	return nil
}

// Leave ends the session of an identity; of one that has none it does nothing.
func (p *Plane) Leave(ctx context.Context, id Identity) error {
	if id.Session == "" {
		return nil
	}
	_, err := p.Apply(ctx, id.Actor, leave{id.Session}, Options{})
	return err
}

// BrowserSessions returns the sessions that have not ended, in the order in which they
// began.
func (p *Plane) BrowserSessions(context.Context) (items []SessionInfo, err error) {
	now := p.parts.Now()
	c := &p.credentials
	c.mu.RLock()
	defer c.mu.RUnlock()
	rows := make([]*liveSession, 0, len(c.sessions))
	for _, s := range c.sessions {
		if !s.over(now) {
			rows = append(rows, s)
		}
	}
	slices.SortFunc(rows, func(a, b *liveSession) int { return int(a.Seq - b.Seq) })
	for _, s := range rows {
		items = append(items, SessionInfo{
			ID: s.ID, Person: s.Person, Level: s.Level, Via: s.Via, Host: s.Host, From: s.From.String(), Agent: s.Agent,
			Opened: s.Opened.UTC(), Last: s.used.last(s.Last).UTC(), Expires: s.Expires.UTC(),
		})
	}
	return items, nil
}
