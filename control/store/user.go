package store

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"mtguard/security/access"
)

// Where a user comes from: User.Source.
const (
	FromAdmin   = "admin"   // a command or the API
	FromFile    = "file"    // the configuration
	FromDefault = "default" // the user of a proxy that nobody configured
)

// User is one row of a recipient of the proxy. Removed ones are kept: their keys'
// history and usage are theirs.
type User struct {
	ID             int64
	Name           string // of live users no two are the same
	Source         string
	Level          access.Level
	Disabled       bool
	Expires        time.Time // zero: never
	QuotaBytes     int64     // per QuotaPer; 0: no bound
	QuotaPer       string    // "", "day" or "month"
	MaxConnections int       // 0: no bound
	MaxAddresses   int       // 0: no bound
	Domain         string    // of the user's links; "": the node's
	Note           string
	Created        time.Time
	Removed        time.Time // zero: a live user
	Rev            Revision
}

var userRecord = record(num("id"), text("name"), text("source"), text("level"), num("disabled"), num("expires"),
	num("quota_bytes"), text("quota_per"), num("max_connections"), num("max_addresses"), text("domain"), text("note"),
	num("created"), num("removed"), num("rev"))

func scanUser(r scanner, u *User) (int64, error) {
	f, err := scanFields(r)
	if err != nil {
		return 0, err
	}
	u.ID, u.Name, u.Source = f.number(), f.text(), f.word()
	u.Level, u.Disabled, u.Expires = f.level(), f.bool(), f.time()
	u.QuotaBytes, u.QuotaPer = f.number(), f.word()
	u.MaxConnections, u.MaxAddresses = int(f.number()), int(f.number())
	u.Domain, u.Note = f.text(), f.text()
	u.Created, u.Removed, u.Rev = f.time(), f.time(), Revision(f.number())
	return u.ID, f.end("users", u.ID)
}

// Users gives users in the order of their IDs: with since 0 all live ones, otherwise
// those that were changed after since, with removed ones among them.
func (tx *Tx) Users(since Revision) iter.Seq2[User, error] {
	if since == 0 {
		return list(tx, `SELECT `+userRecord+` FROM users WHERE removed = 0 AND id > ? ORDER BY id LIMIT ?`, int64(0), scanUser)
	}
	return changed(tx, `SELECT `+userRecord+` FROM users WHERE rev > ?`, since, scanUser)
}

// EveryUser gives all users in the order of their IDs, those too that were removed.
func (tx *Tx) EveryUser() iter.Seq2[User, error] {
	return list(tx, `SELECT `+userRecord+` FROM users WHERE id > ? ORDER BY id LIMIT ?`, int64(0), scanUser)
}

// User returns the live user of that name.
func (tx *Tx) User(name string) (User, error) {
	return tx.oneUser(fmt.Sprintf("user %q", name), `SELECT `+userRecord+` FROM users WHERE name = ? AND removed = 0`, name)
}

// UserByID returns a user, removed or not.
func (tx *Tx) UserByID(id int64) (User, error) {
	return tx.oneUser("user "+number(id), `SELECT `+userRecord+` FROM users WHERE id = ?`, id)
}

func (tx *Tx) oneUser(which, text string, by any) (u User, err error) {
	if u, err = one(tx, text, by, scanUser); err != nil {
		return User{}, fmt.Errorf("%s: %w", which, err)
	}
	return u, nil
}

// PutUser adds u when u.ID is 0, and otherwise changes the user of that ID, of which
// u.Rev must be the Rev: ErrConflict, and nothing changed, when it is not. A name that
// a live user has is ErrExists. It sets u.ID and u.Rev.
func (tx *Tx) PutUser(u *User) error {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	if u.Name == "" {
		return errors.New("user has no name")
	}
	level, err := u.Level.MarshalText()
	if err != nil {
		return err
	}
	values := []any{u.Name, u.Source, string(level), u.Disabled, micros(u.Expires), u.QuotaBytes, u.QuotaPer,
		u.MaxConnections, u.MaxAddresses, u.Domain, u.Note, micros(u.Created), micros(u.Removed)}
	if u.Removed.IsZero() {
		var taken int64
		err := tx.row(`SELECT id FROM users WHERE name = ? AND removed = 0 AND id <> ?`, []any{u.Name, u.ID}, &taken)
		if err == nil {
			err = ErrExists
		}
		if !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("user %q: %w", u.Name, err)
		}
	}
	if u.ID == 0 {
		return tx.addUser(u, values)
	}
	rev := tx.before + 1
	n, err := tx.exec(`UPDATE users SET name = ?, source = ?, level = ?, disabled = ?, expires = ?, quota_bytes = ?, quota_per = ?,
		max_connections = ?, max_addresses = ?, domain = ?, note = ?, created = ?, removed = ?, rev = ?
		WHERE id = ? AND rev = ?`, append(values, rev, u.ID, u.Rev)...)
	if err == nil && n == 0 {
		if _, err = tx.UserByID(u.ID); err == nil {
			err = fmt.Errorf("user %q: %w", u.Name, ErrConflict)
		}
	}
	if err != nil {
		return err
	}
	u.Rev = tx.next()
	return nil
}

func (tx *Tx) addUser(u *User, values []any) error {
	var id int64
	err := tx.row(`INSERT INTO users (name, source, level, disabled, expires, quota_bytes, quota_per,
		max_connections, max_addresses, domain, note, created, removed, rev)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, append(values, tx.next()), &id)
	if err != nil {
		return err
	}
	u.ID, u.Rev = id, tx.next()
	return nil
}
