package store

import "fmt"

// sealedColumn is one column whose values are sealed. read gives the rows behind a
// place; what it calls a row is what the associated data names.
type sealedColumn struct {
	at          place // of no row
	read, write string
	byNumber    bool // the row is named by its number
}

var sealedColumns = []sealedColumn{
	{
		at:    place{table: "keys", column: "material"},
		read:  `SELECT id, material FROM keys WHERE material IS NOT NULL AND id > ? ORDER BY id LIMIT ?`,
		write: `UPDATE keys SET material = ? WHERE id = ?`,
	},
	{
		at:       place{table: "pages", column: "token"},
		read:     `SELECT user_id, token FROM pages WHERE user_id > ? ORDER BY user_id LIMIT ?`,
		write:    `UPDATE pages SET token = ? WHERE user_id = ?`,
		byNumber: true,
	},
	{
		at:    place{table: "settings", column: "value"},
		read:  `SELECT name, value FROM settings WHERE sealed = 1 AND name > ? ORDER BY name LIMIT ?`,
		write: `UPDATE settings SET value = ? WHERE name = ? AND sealed = 1`,
	},
	{
		at:    place{table: "once", column: "answer"},
		read:  `SELECT key, answer FROM once WHERE key > ? ORDER BY key LIMIT ?`,
		write: `UPDATE once SET answer = ? WHERE key = ?`,
	},
	{
		at:       place{table: "audit_state", column: "sealed"},
		read:     `SELECT id, sealed FROM audit_state WHERE id > ? ORDER BY id LIMIT ?`,
		write:    `UPDATE audit_state SET sealed = ? WHERE id = ?`,
		byNumber: true,
	},
}

// Rewrap seals again what an older key sealed, limit values at most, and tells how many
// it did: 0 when nothing is left, so that the older key can go. Rows keep their Rev, as
// nothing that they say changes. Call it in one Update after the other: what was done
// is done, also when the process ends in between.
func (tx *Tx) Rewrap(limit int) (done int, err error) {
	if err := tx.usableForChange(); err != nil {
		return 0, err
	}
	if tx.sealer == nil {
		return 0, ErrSealed
	}
	for _, c := range sealedColumns {
		n, err := tx.rewrap(c, limit-done)
		if done += n; err != nil || done >= limit {
			return done, err
		}
	}
	return done, nil
}

func (tx *Tx) rewrap(c sealedColumn, limit int) (done int, err error) {
	type value struct {
		row    any // its number or name
		sealed []byte
	}
	var from any = ""
	if c.byNumber {
		from = int64(0)
	}
	scan := func(r scanner, v *value) (any, error) {
		err := r.Scan(&v.row, &v.sealed)
		return v.row, err
	}
	for v, err := range list(tx, c.read, from, scan) {
		if err != nil || done >= limit {
			return done, err
		}
		if !tx.sealer.Stale(v.sealed) {
			continue
		}
		at := c.at
		at.row = fmt.Sprint(v.row)
		plain, err := tx.unseal(at, v.sealed)
		if err != nil {
			return done, err
		}
		fresh, err := tx.seal(at, plain)
		if err != nil {
			return done, err
		}
		if _, err := tx.exec(c.write, fresh, v.row); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}
