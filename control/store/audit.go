package store

import (
	"errors"
	"fmt"
	"iter"

	"mtguard/security/auditlog"
)

// Audit appends a row to the audit log, in the transaction of the change it tells of,
// and returns its number. What an Entry must not be, auditlog says; the error of one
// that is refused leaves the log as it was.
//
// The row follows on the State, never on the rows: on a log that was tampered with it
// neither hides nor mends that. Without the State nothing can be appended, and Audit
// returns ErrCorrupt.
func (tx *Tx) Audit(e auditlog.Entry) (int64, error) {
	if err := tx.usableForChange(); err != nil {
		return 0, err
	}
	state, err := tx.AuditState()
	if err != nil {
		return 0, err
	}
	row, next, err := auditlog.Append(state, e)
	if err != nil {
		return 0, err
	}
	if !tx.auditGrown {
		if err := tx.row(`SELECT coalesce(max(place), 0) FROM audit`, nil, &tx.auditTop); err != nil {
			return 0, err
		}
	}
	// In a whole log the place is the row's number. Behind rows that do not belong
	// there it is a later one, so that they stay where they are seen.
	place := max(tx.auditTop+1, next.Rows())
	_, err = tx.exec(`INSERT INTO audit (place, canonical, hash) VALUES (?, ?, ?)`, place, string(row.Canonical), row.Hash[:])
	if err != nil {
		return 0, err
	}
	tx.auditTop = place
	tx.next()
	tx.audit, tx.auditGrown = &next, true
	if e.Seq = next.Rows(); tx.store.onAudit.Load() != nil {
		tx.audited = append(tx.audited, e)
	}
	return next.Rows(), nil
}

// OnAudit calls fn with every row of the audit log from now on, once the row is
// durable and in the order of the rows. fn holds up the next Update: it has to return
// at once, and must not use the store. It takes the place of the fn before; nil is
// none.
func (s *Store) OnAudit(fn func(auditlog.Entry)) {
	if fn == nil {
		s.onAudit.Store(nil)
		return
	}
	s.onAudit.Store(&fn)
}

// tellAudit tells of the rows that the transaction has made durable.
func (tx *Tx) tellAudit() {
	if fn := tx.store.onAudit.Load(); fn != nil {
		for _, e := range tx.audited {
			(*fn)(e)
		}
	}
}

// AuditState is the state of the audit log, with the rows of this transaction. It is
// the Head to verify the rows with.
func (tx *Tx) AuditState() (auditlog.State, error) {
	if err := tx.usable(); err != nil {
		return auditlog.State{}, err
	}
	if tx.audit == nil {
		state, err := tx.readAudit()
		if err != nil {
			return auditlog.State{}, err
		}
		tx.audit = &state
	}
	return *tx.audit, nil
}

func (tx *Tx) readAudit() (state auditlog.State, err error) {
	if tx.sealer == nil {
		return state, ErrSealed
	}
	var sealed []byte
	err = tx.row(`SELECT sealed FROM audit_state WHERE id = 1`, nil, &sealed)
	if errors.Is(err, ErrNotFound) {
		return state, fmt.Errorf("%w: the audit log's state is missing", ErrCorrupt)
	}
	if err != nil {
		return state, err
	}
	plain, err := tx.unseal(auditPlace, sealed)
	if err != nil {
		return state, err
	}
	if err := state.UnmarshalBinary(plain); err != nil {
		return state, fmt.Errorf("%w: %s: %w", ErrCorrupt, auditPlace, err)
	}
	return state, nil
}

// keepAudit writes the State once for all rows of the transaction.
func (tx *Tx) keepAudit() error {
	if !tx.auditGrown {
		return nil
	}
	plain, err := tx.audit.MarshalBinary()
	if err != nil {
		return err
	}
	sealed, err := tx.seal(auditPlace, plain)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO audit_state (id, sealed) VALUES (1, ?)
		ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed`, sealed)
	return err
}

// beginAudit makes the State of a store in which nothing happened yet. Anywhere else a
// missing State is one that was taken away.
func (tx *Tx) beginAudit() error {
	var used bool
	err := tx.row(`SELECT EXISTS (SELECT 1 FROM audit_state) OR EXISTS (SELECT 1 FROM audit)
		OR EXISTS (SELECT 1 FROM checkpoints) OR EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM keys)`, nil, &used)
	if err == nil && !used {
		tx.audit, tx.auditGrown = new(auditlog.State), true
	}
	return err
}

// AuditRows gives the rows from number from to number to in their order, to the last
// one when to is 0. A row that cannot be one, as it has been edited, is ErrCorrupt.
func (tx *Tx) AuditRows(from, to int64) iter.Seq2[auditlog.Row, error] {
	if to <= 0 {
		to = auditlog.MaxRows
	}
	scan := func(r scanner, row *auditlog.Row) (place int64, err error) {
		var hash []byte
		if err := r.Scan(&place, &row.Canonical, &hash); err != nil {
			return 0, err
		}
		if len(hash) != len(row.Hash) {
			return 0, fmt.Errorf("%w: row %d of the audit log has a hash of %d bytes", ErrCorrupt, place, len(hash))
		}
		row.Hash = auditlog.Hash(hash)
		return place, nil
	}
	return list(tx, `SELECT place, canonical, hash FROM audit WHERE place <= ? AND place > ? ORDER BY place LIMIT ?`,
		max(from, 1)-1, scan, to)
}

// PutCheckpoint keeps a signed checkpoint of the audit log's first size rows. One that
// is there already changes nothing.
func (tx *Tx) PutCheckpoint(size int64, note []byte) error {
	_, err := tx.exec(`INSERT INTO checkpoints (size, note) VALUES (?, ?) ON CONFLICT DO NOTHING`, size, note)
	return err
}

// Checkpoints returns the signed checkpoints, those of fewer rows first.
func (tx *Tx) Checkpoints() ([][]byte, error) {
	var notes [][]byte
	err := tx.rows(`SELECT note FROM checkpoints ORDER BY size, note`, func(r scanner) error {
		var note []byte
		err := r.Scan(&note)
		notes = append(notes, note)
		return err
	})
	return notes, err
}
