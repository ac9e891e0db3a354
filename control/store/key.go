package store

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"mtguard/security/aead"
	"mtguard/security/keys"
)

// What a key is for: Key.Purpose.
const (
	ForUser = "user" // to connect with
	ForSeal = "seal" // to seal blobs with; nobody's
)

// Where a key's material comes from: Key.Source.
const (
	Generated = "generated"
	Imported  = "imported"
	InFile    = "file" // the configuration
)

// Key is what is stored of one key, beside its material.
//
// FirstUsed and LastUsed only ever move apart: MarkUsed moves them without raising
// Rev, and a Put with narrower ones leaves them as they are.
type Key struct {
	keys.Generation // its ID names the row

	Purpose string
	UserID  int64 // 0: nobody's
	Source  string
	Suite   aead.Suite // of a key for sealing that was made for one; else 0
	Erased  bool       // the material is gone; set by the store
	Rev     Revision
}

// Material is what Materials gives of one key. It formats as the key's ID.
type Material struct {
	ID     keys.ID
	secret **[]byte // two pointers away: fmt prints what one leads to, for a verb that does not fit
}

// Bytes is the secret itself, the caller's to keep or erase.
func (m Material) Bytes() []byte { return **m.secret }

// Format writes "material of" and the ID, whatever the verb.
func (m Material) Format(f fmt.State, _ rune) { io.WriteString(f, "material of "+string(m.ID)) }

// MarshalText is what Format writes.
func (m Material) MarshalText() ([]byte, error) { return fmt.Append(nil, m), nil }

var keyRecord = record(num("seq"), text("id"), text("purpose"), num("coalesce(user_id, 0)"), text("source"), num("number"),
	text("state"), text("reason"), num("created"), num("not_before"), num("activated"), num("retire_by"), num("not_after"),
	num("ended"), num("first_used"), num("last_used"), num("suite"), num("material IS NULL"), num("rev"))

func scanKey(r scanner, k *Key) (int64, error) {
	f, err := scanFields(r)
	if err != nil {
		return 0, err
	}
	seq := f.number()
	k.ID, k.Purpose, k.UserID, k.Source = keys.ID(f.text()), f.word(), f.number(), f.word()
	k.Number, k.State, k.Reason = int(f.number()), f.state(), f.text()
	k.Created, k.NotBefore, k.Activated = f.time(), f.time(), f.time()
	k.RetireBy, k.NotAfter, k.Ended = f.time(), f.time(), f.time()
	k.FirstUsed, k.LastUsed = f.time(), f.time()
	k.Suite, k.Erased, k.Rev = aead.Suite(f.number()), f.bool(), Revision(f.number())
	return seq, f.end("keys", k.ID)
}

// Keys gives all keys that were changed after since, in the order in which they were
// added; with since 0 all keys. It opens no material.
func (tx *Tx) Keys(since Revision) iter.Seq2[Key, error] {
	if since == 0 {
		return list(tx, `SELECT `+keyRecord+` FROM keys WHERE seq > ? ORDER BY seq LIMIT ?`, int64(0), scanKey)
	}
	return changed(tx, `SELECT `+keyRecord+` FROM keys WHERE rev > ?`, since, scanKey)
}

// KeysOf returns all keys of a user by ascending Number.
func (tx *Tx) KeysOf(userID int64) ([]Key, error) {
	return tx.keys(`SELECT `+keyRecord+` FROM keys WHERE user_id = ? ORDER BY number`, userID)
}

// SealKeys returns all keys for sealing by ascending Number.
func (tx *Tx) SealKeys() ([]Key, error) {
	return tx.keys(`SELECT `+keyRecord+` FROM keys WHERE user_id IS NULL AND purpose = ? ORDER BY number`, ForSeal)
}

// Key returns the key of that ID.
func (tx *Tx) Key(id keys.ID) (Key, error) {
	found, err := tx.keys(`SELECT `+keyRecord+` FROM keys WHERE id = ?`, id)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Key{}, fmt.Errorf("key %s: %w", id, err)
	}
	return found[0], nil
}

func (tx *Tx) keys(text string, args ...any) ([]Key, error) {
	var found []Key
	err := tx.rows(text, func(r scanner) error {
		var k Key
		_, err := scanKey(r, &k)
		found = append(found, k)
		return err
	}, args...)
	return found, err
}

// PutKey adds k when k.Rev is 0, with its material, and otherwise changes the key of
// that ID, of which k.Rev must be the Rev: ErrConflict, and nothing changed, when it
// is not. Material nil leaves what is there; material that was erased stays so, and
// giving other is ErrErased. An ID, or a Number of the same user, that is there already
// is ErrExists; an unknown user is ErrNotFound. PutKey sets k.Rev, k.Erased, k.FirstUsed
// and k.LastUsed, and keeps no reference to material.
func (tx *Tx) PutKey(k *Key, material []byte) error {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	if k.ID == "" || k.Purpose == "" {
		return errors.New("key has no ID, or no purpose")
	}
	state, err := k.State.MarshalText()
	if err != nil {
		return fmt.Errorf("key %s: %w", k.ID, err)
	}
	var sealed []byte
	if material != nil {
		if sealed, err = tx.seal(keyPlace(k.ID), material); err != nil {
			return err
		}
	}
	if k.Rev == 0 {
		err = tx.addKey(k, string(state), sealed)
	} else {
		err = tx.changeKey(k, string(state), sealed)
	}
	if err != nil {
		return fmt.Errorf("key %s: %w", k.ID, err)
	}
	return nil
}

func keyPlace(id keys.ID) place { return place{"keys", string(id), "material"} }

// owner is the user's ID as it is stored.
func owner(userID int64) any {
	if userID == 0 {
		return nil
	}
	return userID
}

func (tx *Tx) addKey(k *Key, state string, sealed []byte) error {
	if sealed == nil {
		return errors.New("there is no material for it")
	}
	if k.UserID != 0 {
		if err := tx.known(k.UserID); err != nil {
			return err
		}
	}
	n, err := tx.exec(`INSERT INTO keys (id, purpose, user_id, source, number, state, reason, created, not_before, activated,
		retire_by, not_after, ended, first_used, last_used, suite, rev, material)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		k.ID, k.Purpose, owner(k.UserID), k.Source, k.Number, state, k.Reason,
		micros(k.Created), micros(k.NotBefore), micros(k.Activated), micros(k.RetireBy), micros(k.NotAfter), micros(k.Ended),
		micros(k.FirstUsed), micros(k.LastUsed), k.Suite, tx.before+1, sealed)
	if err == nil && n == 0 {
		err = ErrExists
	}
	if err != nil {
		return err
	}
	k.Rev, k.Erased = tx.next(), false
	return nil
}

func (tx *Tx) known(userID int64) error {
	var there int
	if err := tx.row(`SELECT 1 FROM users WHERE id = ?`, []any{userID}, &there); err != nil {
		return fmt.Errorf("user %d: %w", userID, err)
	}
	return nil
}

func (tx *Tx) changeKey(k *Key, state string, sealed []byte) error {
	first, last := micros(k.FirstUsed), micros(k.LastUsed)
	erased := false
	err := tx.row(`UPDATE keys SET source = ?, state = ?, reason = ?,
		created = ?, not_before = ?, activated = ?, retire_by = ?, not_after = ?, ended = ?,
		first_used = CASE WHEN ? <> 0 AND (first_used = 0 OR first_used > ?) THEN ? ELSE first_used END,
		last_used = CASE WHEN last_used < ? THEN ? ELSE last_used END,
		rev = ?, material = coalesce(?, material)
		WHERE id = ? AND rev = ? AND purpose = ? AND coalesce(user_id, 0) = ? AND number = ? AND suite = ?
			AND (material IS NOT NULL OR ? IS NULL)
		RETURNING material IS NULL, first_used, last_used`,
		[]any{k.Source, state, k.Reason,
			micros(k.Created), micros(k.NotBefore), micros(k.Activated), micros(k.RetireBy), micros(k.NotAfter), micros(k.Ended),
			first, first, first, last, last, tx.before + 1, sealed,
			k.ID, k.Rev, k.Purpose, k.UserID, k.Number, k.Suite, sealed}, &erased, &first, &last)
	if errors.Is(err, ErrNotFound) {
		return tx.whyNotChanged(k)
	}
	if err != nil {
		return err
	}
	k.Rev, k.Erased, k.FirstUsed, k.LastUsed = tx.next(), erased, instant(first), instant(last)
	return nil
}

func (tx *Tx) whyNotChanged(k *Key) error {
	there, err := tx.Key(k.ID)
	switch {
	case err != nil:
		return ErrNotFound
	case there.Rev != k.Rev:
		return ErrConflict
	case there.Purpose != k.Purpose || there.UserID != k.UserID || there.Number != k.Number || there.Suite != k.Suite:
		return errors.New("a key's purpose, user, number and suite do not change")
	}
	return ErrErased
}

// MarkUsed says when a key was used. It raises neither k.Rev nor the store's Revision.
func (tx *Tx) MarkUsed(id keys.ID, first, last time.Time) error {
	f, l := micros(first), micros(last)
	n, err := tx.exec(`UPDATE keys SET
		first_used = CASE WHEN ? <> 0 AND (first_used = 0 OR first_used > ?) THEN ? ELSE first_used END,
		last_used = CASE WHEN last_used < ? THEN ? ELSE last_used END WHERE id = ?`, f, f, f, l, l, id)
	if err == nil && n == 0 {
		err = fmt.Errorf("key %s: %w", id, ErrNotFound)
	}
	return err
}

// Material opens the material of one key: ErrErased when it is gone.
func (tx *Tx) Material(id keys.ID) ([]byte, error) {
	var sealed []byte
	var erased bool
	err := tx.row(`SELECT material, material IS NULL FROM keys WHERE id = ?`, []any{id}, &sealed, &erased)
	if err == nil && erased {
		err = ErrErased
	}
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", id, err)
	}
	return tx.unseal(keyPlace(id), sealed)
}

// Materials opens the material of all keys that were changed after since and that are
// not erased, in the order of Keys.
func (tx *Tx) Materials(since Revision) iter.Seq2[Material, error] {
	scan := func(r scanner, m *Material) (seq int64, err error) {
		var sealed []byte
		if err := r.Scan(&seq, &m.ID, &sealed); err != nil {
			return 0, err
		}
		plain, err := tx.unseal(keyPlace(m.ID), sealed)
		secret := &plain
		m.secret = &secret
		return seq, err
	}
	if since == 0 {
		return list(tx, `SELECT seq, id, material FROM keys WHERE material IS NOT NULL AND seq > ? ORDER BY seq LIMIT ?`, int64(0), scan)
	}
	return changed(tx, `SELECT seq, id, material FROM keys WHERE rev > ? AND material IS NOT NULL`, since, scan)
}

// EraseMaterial takes a key's material out for good. Erasing twice changes nothing.
func (tx *Tx) EraseMaterial(id keys.ID) error {
	n, err := tx.exec(`UPDATE keys SET material = NULL, rev = ? WHERE id = ? AND material IS NOT NULL`, tx.before+1, id)
	if err != nil {
		return err
	}
	if n > 0 {
		tx.next()
		return nil
	}
	_, err = tx.Key(id)
	return err
}

// DropKeys takes all keys of a user out, with their material and sightings; their
// history stays. No list tells of rows that are gone: it is for a user that is removed
// in the same Update.
func (tx *Tx) DropKeys(userID int64) error {
	if _, err := tx.exec(`DELETE FROM sightings WHERE key IN (SELECT id FROM keys WHERE user_id = ?)`, userID); err != nil {
		return err
	}
	n, err := tx.exec(`DELETE FROM keys WHERE user_id = ?`, userID)
	if n > 0 {
		tx.next()
	}
	return err
}
