package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/token"
)

// CreateToken makes a credential for a program. The result has its text, once.
type CreateToken struct {
	Name   string
	Level  access.Level   // ReadOnly, Admin or Superuser, and not above the actor's
	For    Duration       // 0: 90 days; at most a year
	Scopes []string       // what of the API it may use; none: all of it
	From   []netip.Prefix // where it is good; none: anywhere
}

// RevokeToken ends a token, by its ID or its name.
type RevokeToken struct{ Token string }

// TokenInfo is a token as commands and the API show it: without its secret.
type TokenInfo struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Level    access.Level   `json:"level"`
	Scopes   []string       `json:"scopes,omitempty" doc:"what of the API it may use; left out: all of it"`
	From     []netip.Prefix `json:"from,omitempty" doc:"where it is good; left out: anywhere"`
	Person   string         `json:"person" doc:"who answers for it"`
	MadeBy   string         `json:"made_by"`
	Created  time.Time      `json:"created"`
	Expires  time.Time      `json:"expires"`
	LastUsed *time.Time     `json:"last_used,omitempty"`
	LastFrom string         `json:"last_from,omitempty"`
	State    string         `json:"state" enum:"ok,expired,revoked"`
}

// The states of a token.
const (
	tokenOK      = "ok"
	tokenExpired = "expired"
	tokenRevoked = "revoked"
)

const (
	usualTokenLife = 90 * day
	maxTokenLife   = 365 * day
	maxScopes      = 32
	maxSources     = 32
)

func (CreateToken) action() string { return "token.create" }
func (RevokeToken) action() string { return "token.revoke" }

func (c CreateToken) object() string { return "token " + clean(c.Name) }
func (c RevokeToken) object() string { return "token " + clean(c.Token) }

func (CreateToken) least() access.Level { return access.Superuser }
func (RevokeToken) least() access.Level { return access.Admin }

// scopeWord is the form of a scope. Which there are, the API knows.
var scopeWord = regexp.MustCompile(`^[a-z][a-z-]{0,62}(:read)?$`)

func (c CreateToken) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	if err := c.check(x.by); err != nil {
		return err
	}
	life := time.Duration(c.For)
	if life == 0 {
		life = usualTokenLife
	}
	made := token.New(token.API)
	hash := made.Digest()
	row := store.Token{
		ID: made.ID(), Hash: hash[:], Name: c.Name, Person: personOf(x.by), Level: c.Level, Scopes: c.Scopes, From: c.From,
		MadeBy: x.by.Name, Created: x.now, Expires: x.now.Add(life),
	}
	switch err := x.tx.AddToken(&row); {
	case errors.Is(err, store.ErrExists):
		return &Error{Kind: Exists, Text: fmt.Sprintf("there is a token %s already", c.Name), Fix: "mtguard token revoke " + c.Name}
	case err != nil:
		return err
	}
	x.detail("id", row.ID)
	x.detail("level", row.Level)
	x.detail("expires", row.Expires.Format(time.RFC3339))
	if len(c.Scopes) > 0 {
		x.detail("scopes", strings.Join(c.Scopes, " "))
	}
	if len(c.From) > 0 {
		x.detail("from", fmt.Sprint(c.From))
	}
	info := tokenInfo(row, x.now)
	x.result.Token, x.result.Secret = &info, made.Reveal()
	x.result.Summary = fmt.Sprintf("token %s is good until %s", row.Name, row.Expires.Format(time.DateOnly))
	x.after(x.p.readCredentials)
	return nil
}

func (c CreateToken) check(by Actor) error {
	switch {
	case !userName.MatchString(c.Name):
		return invalid("name", "a token's name has 1 to 64 letters, digits, dots, dashes or underscores")
	case c.Level != access.ReadOnly && c.Level != access.Admin && c.Level != access.Superuser:
		return invalid("level", "a token has the level read_only, admin or superuser")
	case c.Level > by.Level:
		return &Error{Kind: Denied, Text: fmt.Sprintf("%s has the level %v, and can make no token with %v", by.Name, by.Level, c.Level)}
	case c.For < 0 || time.Duration(c.For) > maxTokenLife:
		return invalid("for", "a token is good for a year at most")
	case c.For != 0 && time.Duration(c.For) < time.Minute:
		return invalid("for", "a token is good for a minute at least")
	case len(c.Scopes) > maxScopes:
		return invalid("scopes", "a token has %d scopes at most", maxScopes)
	case len(c.From) > maxSources:
		return invalid("from", "a token has %d sources at most", maxSources)
	}
	for _, scope := range c.Scopes {
		if !scopeWord.MatchString(scope) {
			return invalid("scopes", "%q is no scope", clean(scope))
		}
	}
	for _, p := range c.From {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			return invalid("from", "%v is no prefix of addresses", p)
		}
	}
	return nil
}

// personOf is who answers for what an actor does.
func personOf(by Actor) string {
	if by.Person != "" {
		return by.Person
	}
	return by.Name
}

func (c RevokeToken) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	if err := x.requireReason(); err != nil {
		return err
	}
	rows, err := x.tx.Tokens()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(t store.Token) bool { return t.Ended.IsZero() && (t.ID == c.Token || t.Name == c.Token) })
	if i < 0 {
		for _, t := range slices.Backward(rows) { // of several of that name the last one is meant
			if t.ID == c.Token || t.Name == c.Token {
				return refused("", "token %s is %s already", t.Name, tokenInfo(t, x.now).State)
			}
		}
		return notFound("token", clean(c.Token), "mtguard token list")
	}
	row := rows[i]
	if row.Level > x.by.Level {
		return &Error{Kind: Denied, Text: fmt.Sprintf("token %s has the level %v, and %s has %v", row.Name, row.Level, x.by.Name, x.by.Level)}
	}
	row.Ended = x.now
	if err := x.tx.EndToken(row.ID, x.now); err != nil {
		return err
	}
	x.detail("id", row.ID)
	if err := x.takeBack(func(asker credential) bool { return asker.Token == row.ID }); err != nil {
		return err
	}
	info := tokenInfo(row, x.now)
	x.result.Token = &info
	x.result.Summary = fmt.Sprintf("token %s is revoked", row.Name)
	x.after(x.p.readCredentials)
	return nil
}

// after has something done when the change is kept, and waits for it.
func (x *transaction) after(do func(context.Context) error) {
	x.committed = func() error { return do(x.ctx) }
}

// Tokens returns all tokens in the order in which they were made.
func (p *Plane) Tokens(ctx context.Context) (items []TokenInfo, err error) {
	now := p.parts.Now()
	p.credentials.mu.RLock()
	defer p.credentials.mu.RUnlock()
	rows := make([]*liveToken, 0, len(p.credentials.tokens))
	for _, t := range p.credentials.tokens {
		rows = append(rows, t)
	}
	slices.SortFunc(rows, func(a, b *liveToken) int { return int(a.Seq - b.Seq) })
	for _, t := range rows {
		row := t.Token
		row.LastUsed = t.used.last(row.LastUsed)
		if from := t.used.from.Load(); from != nil {
			row.LastFrom = *from
		}
		items = append(items, tokenInfo(row, now))
	}
	return items, nil
}

func tokenInfo(row store.Token, now time.Time) TokenInfo {
	info := TokenInfo{
		ID: row.ID, Name: row.Name, Level: row.Level, Scopes: row.Scopes, From: row.From, Person: row.Person, MadeBy: row.MadeBy,
		Created: row.Created.UTC(), Expires: row.Expires.UTC(), LastUsed: maybe(row.LastUsed), State: tokenOK,
	}
	if row.LastFrom.IsValid() {
		info.LastFrom = row.LastFrom.String()
	}
	switch {
	case !row.Ended.IsZero() && row.Ended.Before(row.Expires):
		info.State = tokenRevoked
	case !row.Ended.IsZero() || !now.Before(row.Expires):
		info.State = tokenExpired
	}
	return info
}
