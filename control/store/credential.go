package store

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mtguard/security/access"
)

// Bounds of what is kept of credentials.
const (
	MaxTokens   = 1000 // that have not ended; as many that have are kept
	MaxSessions = 500
	MaxCodes    = 100
	MaxSpent    = 100_000
)

// Token is a program's credential, without its secret.
type Token struct {
	Seq      int64 // its place; 0: not there yet
	ID       string
	Hash     []byte
	Name     string // of those that have not ended no two have the same
	Person   string // who answers for it
	Level    access.Level
	Scopes   []string       // none: everything
	From     []netip.Prefix // none: anywhere
	MadeBy   string
	Created  time.Time
	Expires  time.Time
	Ended    time.Time // zero: it has not
	LastUsed time.Time
	LastFrom netip.Addr
}

// Session is a browser that somebody has signed in with, without its secret.
type Session struct {
	Seq     int64
	ID      string
	Hash    []byte
	Person  string // who it says it is
	Owner   string // who answers for that: he, or who let him in
	Via     string // "code" or "passkey"
	Passkey string // the ID of the one used last; may be empty
	Level   access.Level
	Host    string // the name that the browser came to
	From    netip.Addr
	Agent   string
	Opened  time.Time
	Last    time.Time
	Expires time.Time
	Fresh   time.Time // when a passkey, or the code, was shown last
}

// Code signs a person in once.
type Code struct {
	Seq              int64
	ID               string
	Hash             []byte
	Person, Owner    string
	Level            access.Level
	Created, Expires time.Time
}

const (
	tokenColumns   = `seq, id, hash, name, person, level, scopes, sources, made_by, created, expires, ended, last_used, last_from`
	sessionColumns = `seq, id, hash, person, owner, via, passkey, level, host, source, agent, opened, last, expires, fresh`
	codeColumns    = `seq, id, hash, person, owner, level, created, expires`
)

func scanToken(r scanner, t *Token) (int64, error) {
	var level, scopes, sources, from string
	var created, expires, ended, used int64
	err := r.Scan(&t.Seq, &t.ID, &t.Hash, &t.Name, &t.Person, &level, &scopes, &sources, &t.MadeBy, &created, &expires, &ended, &used, &from)
	if err != nil {
		return 0, err
	}
	t.Scopes = strings.Fields(scopes)
	for _, text := range strings.Fields(sources) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return 0, fmt.Errorf("%w: row %d of table tokens: %w", ErrCorrupt, t.Seq, err)
		}
		t.From = append(t.From, p)
	}
	t.Created, t.Expires, t.Ended, t.LastUsed, t.LastFrom = instant(created), instant(expires), instant(ended), instant(used), address(from)
	t.Level, err = levelOf("tokens", t.Seq, level)
	return t.Seq, err
}

func scanSession(r scanner, s *Session) (int64, error) {
	var level, from string
	var opened, last, expires, fresh int64
	err := r.Scan(&s.Seq, &s.ID, &s.Hash, &s.Person, &s.Owner, &s.Via, &s.Passkey, &level, &s.Host, &from, &s.Agent, &opened, &last, &expires, &fresh)
	if err != nil {
		return 0, err
	}
	s.From, s.Opened, s.Last, s.Expires, s.Fresh = address(from), instant(opened), instant(last), instant(expires), instant(fresh)
	s.Level, err = levelOf("browser_sessions", s.Seq, level)
	return s.Seq, err
}

func scanCode(r scanner, c *Code) (int64, error) {
	var level string
	var created, expires int64
	if err := r.Scan(&c.Seq, &c.ID, &c.Hash, &c.Person, &c.Owner, &level, &created, &expires); err != nil {
		return 0, err
	}
	c.Created, c.Expires = instant(created), instant(expires)
	var err error
	c.Level, err = levelOf("sign_in_codes", c.Seq, level)
	return c.Seq, err
}

func levelOf(table string, row int64, text string) (access.Level, error) {
	l, err := access.ParseLevel(text)
	if err != nil {
		return access.None, fmt.Errorf("%w: row %d of table %s: %w", ErrCorrupt, row, table, err)
	}
	return l, nil
}

// address reads what addressText writes.
func address(text string) netip.Addr {
	a, _ := netip.ParseAddr(text) // "" is none
	return a
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// whole reads all rows of a table that has a bound.
func whole[T any](tx *Tx, text string, scan func(scanner, *T) (int64, error), args ...any) (all []T, err error) {
	err = tx.rows(text, func(r scanner) error {
		var one T
		_, err := scan(r, &one)
		all = append(all, one)
		return err
	}, args...)
	return all, err
}

// Tokens returns all tokens in the order in which they were made, ended ones too.
func (tx *Tx) Tokens() ([]Token, error) {
	return whole(tx, `SELECT `+tokenColumns+` FROM tokens ORDER BY seq`, scanToken)
}

// AddToken adds t, and sets its Seq. A live one of the same name is ErrExists; beyond MaxTokens live ones it
// is ErrTooMany. Like all that is kept of credentials it raises no Revision: nobody compiles them.
func (tx *Tx) AddToken(t *Token) error {
	sources := make([]string, len(t.From))
	for i, p := range t.From {
		sources[i] = p.String()
	}
	if err := credential("token", t.ID, t.Hash, append(t.Scopes, t.Name, t.Person, t.MadeBy)...); err != nil {
		return err
	}
	if err := tx.room("tokens", `SELECT count(*) FROM tokens WHERE ended = 0`, MaxTokens); err != nil {
		return err
	}
	return tx.addOne(&t.Seq, "token", t.ID, `INSERT INTO tokens (id, hash, name, person, level, scopes, sources, made_by, created, expires, ended, last_used, last_from)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq`, t.ID, t.Hash, t.Name, t.Person, t.Level.String(), strings.Join(t.Scopes, " "),
		strings.Join(sources, " "), t.MadeBy, micros(t.Created), micros(t.Expires), micros(t.Ended), micros(t.LastUsed), addressText(t.LastFrom))
}

// EndToken ends a token at that time; one that has ended is ErrNotFound, as one that is gone. What has ended
// never begins again: nothing here writes an end over.
func (tx *Tx) EndToken(id string, at time.Time) error {
	return tx.changeOne("token", id, `UPDATE tokens SET ended = ? WHERE id = ? AND ended = 0`, micros(at), id)
}

// EndTokens ends those whose time has passed, with the time at which it did.
func (tx *Tx) EndTokens(now time.Time) error {
	_, err := tx.exec(`UPDATE tokens SET ended = expires WHERE ended = 0 AND expires <= ?`, micros(now))
	return err
}

// TouchToken says when and from where a token was used last, and nothing else of it; one that is gone is no
// error.
func (tx *Tx) TouchToken(id string, last time.Time, from netip.Addr) error {
	_, err := tx.exec(`UPDATE tokens SET last_used = ?, last_from = ? WHERE id = ?`, micros(last), addressText(from), id)
	return err
}

// DropTokens forgets those that ended before then, and all but the last MaxTokens that ended.
func (tx *Tx) DropTokens(before time.Time) error {
	_, err := tx.exec(`DELETE FROM tokens WHERE ended <> 0 AND (ended < ? OR seq NOT IN (SELECT seq FROM tokens WHERE ended <> 0 ORDER BY ended DESC, seq DESC LIMIT ?))`,
		micros(before), MaxTokens)
	return err
}

// Sessions returns all sessions of browsers, in the order in which they began.
func (tx *Tx) Sessions() ([]Session, error) {
	return whole(tx, `SELECT `+sessionColumns+` FROM browser_sessions ORDER BY seq`, scanSession)
}

// PutSession adds s when s.Seq is 0, and sets that; the one that was quiet for longest makes room.
// Otherwise it changes its ID and hash, and everything but the times of its beginning and end.
func (tx *Tx) PutSession(s *Session) error {
	if err := credential("session", s.ID, s.Hash, s.Person, s.Owner, s.Via, s.Passkey, s.Host, s.Agent); err != nil {
		return err
	}
	if s.Seq != 0 {
		return tx.changeOne("session", s.ID, `UPDATE browser_sessions SET id = ?, hash = ?, person = ?, owner = ?, via = ?, passkey = ?, level = ?, source = ?, last = ?, fresh = ? WHERE seq = ?`,
			s.ID, s.Hash, s.Person, s.Owner, s.Via, s.Passkey, s.Level.String(), addressText(s.From), micros(s.Last), micros(s.Fresh), s.Seq)
	}
	_, err := tx.exec(`DELETE FROM browser_sessions WHERE seq IN (SELECT seq FROM browser_sessions ORDER BY last, seq LIMIT max((SELECT count(*) FROM browser_sessions) - ?, 0))`, MaxSessions-1)
	if err != nil {
		return err
	}
	return tx.addOne(&s.Seq, "session", s.ID, `INSERT INTO browser_sessions (id, hash, person, owner, via, passkey, level, host, source, agent, opened, last, expires, fresh)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq`, s.ID, s.Hash, s.Person, s.Owner, s.Via, s.Passkey, s.Level.String(), s.Host,
		addressText(s.From), s.Agent, micros(s.Opened), micros(s.Last), micros(s.Expires), micros(s.Fresh))
}

// TouchSession says when a session was used last; one that is gone is no error.
func (tx *Tx) TouchSession(id string, last time.Time) error {
	_, err := tx.exec(`UPDATE browser_sessions SET last = ? WHERE id = ?`, micros(last), id)
	return err
}

// DropSession ends a session; ErrNotFound when it is gone.
func (tx *Tx) DropSession(id string) error {
	return tx.changeOne("session", id, `DELETE FROM browser_sessions WHERE id = ?`, id)
}

// DropSessions ends those whose time has passed, or that were quiet since then.
func (tx *Tx) DropSessions(now, quiet time.Time) error {
	_, err := tx.exec(`DELETE FROM browser_sessions WHERE expires <= ? OR last <= ?`, micros(now), micros(quiet))
	return err
}

// Codes returns the codes that are not used yet.
func (tx *Tx) Codes() ([]Code, error) {
	return whole(tx, `SELECT `+codeColumns+` FROM sign_in_codes ORDER BY seq`, scanCode)
}

// AddCode adds a code, and sets its Seq. Beyond MaxCodes the oldest goes.
func (tx *Tx) AddCode(c *Code) error {
	if err := credential("code", c.ID, c.Hash, c.Person, c.Owner); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM sign_in_codes WHERE seq IN (SELECT seq FROM sign_in_codes ORDER BY seq LIMIT max((SELECT count(*) FROM sign_in_codes) - ?, 0))`, MaxCodes-1)
	if err != nil {
		return err
	}
	return tx.addOne(&c.Seq, "code", c.ID, `INSERT INTO sign_in_codes (id, hash, person, owner, level, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq`,
		c.ID, c.Hash, c.Person, c.Owner, c.Level.String(), micros(c.Created), micros(c.Expires))
}

// TakeCode takes a code out: the transaction that gets it is the only one ever.
func (tx *Tx) TakeCode(id string) (Code, error) {
	c, err := one(tx, `SELECT `+codeColumns+` FROM sign_in_codes WHERE id = ?`, id, scanCode)
	if err != nil {
		return Code{}, fmt.Errorf("code: %w", err)
	}
	return c, tx.changeOne("code", id, `DELETE FROM sign_in_codes WHERE seq = ?`, c.Seq)
}

// DropCodes forgets those whose time has passed.
func (tx *Tx) DropCodes(now time.Time) error {
	_, err := tx.exec(`DELETE FROM sign_in_codes WHERE expires <= ?`, micros(now))
	return err
}

// Spend writes down that something was used that is good once, until then. What was used before is
// ErrExists. There is room for MaxSpent at a time; beyond it is ErrTooMany, so that nothing is forgotten
// that could be used again.
func (tx *Tx) Spend(id []byte, until, now time.Time) error {
	if len(id) == 0 || len(id) > 64 {
		return errors.New("what is spent has 1 to 64 bytes")
	}
	if _, err := tx.exec(`DELETE FROM spent WHERE until <= ?`, micros(now)); err != nil {
		return err
	}
	if err := tx.room("single uses", `SELECT count(*) FROM spent`, MaxSpent); err != nil {
		return err
	}
	n, err := tx.exec(`INSERT INTO spent (id, until) VALUES (?, ?) ON CONFLICT DO NOTHING`, id, micros(until))
	if err == nil && n == 0 {
		err = fmt.Errorf("single use: %w", ErrExists)
	}
	return err
}

func credential(what, id string, hash []byte, texts ...string) error {
	if id == "" || len(hash) != 32 {
		return fmt.Errorf("%s has no ID, or no hash of 32 bytes", what)
	}
	if err := plain(MaxText, append(texts, id)...); err != nil {
		return fmt.Errorf("%s %.40q: %w", what, id, err)
	}
	return nil
}

func (tx *Tx) room(what, count string, most int64, args ...any) error {
	var n int64
	if err := tx.row(count, args, &n); err != nil {
		return err
	}
	if n >= most {
		return fmt.Errorf("%s: %w: %d of them", what, ErrTooMany, n)
	}
	return nil
}

// addOne inserts a row and reads its place; a conflict is ErrExists.
func (tx *Tx) addOne(seq *int64, what, id, text string, args ...any) error {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	err := tx.row(text, args, seq)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%s %q: %w", what, id, ErrExists)
	}
	return err
}

// changeOne changes a row that has to be there.
func (tx *Tx) changeOne(what, id, text string, args ...any) error {
	n, err := tx.exec(text, args...)
	if err == nil && n == 0 {
		err = fmt.Errorf("%s %q: %w", what, id, ErrNotFound)
	}
	return err
}
