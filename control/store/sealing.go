package store

import (
	"context"
	"fmt"
	"strconv"
)

// Sealer encrypts what is secret before it reaches the database. ad says where the
// value stands, as "table|row|column|version": Open must fail when it is another than
// Seal was given, and whenever sealed is not what Seal returned. It must be safe for
// concurrent use, and no error of it may hold any part of a plaintext.
type Sealer interface {
	Seal(plaintext, ad []byte) ([]byte, error)
	Open(sealed, ad []byte) ([]byte, error)
	Stale(sealed []byte) bool // sealed with an older key than Seal would take
}

// sealVersion is the version of what stands inside of sealed columns. It is not that of
// the schema: a new table need not make every secret be sealed again.
const sealVersion = 1

// SetSealer gives the store what it seals with; until then whatever needs it fails with
// ErrSealed. It is made of the keysets that tx.Keysets returns, so it comes after the
// store is open. The first one a new store gets begins the audit log. Transactions that
// run keep the one they have. A sealer that is the wrong one is no error here; it is,
// as is every other doubt about the audit log, told by AuditFault.
func (s *Store) SetSealer(ctx context.Context, sealer Sealer) error {
	s.sealer.Store(&sealer)
	if _, err := s.Update(ctx, (*Tx).beginAudit); err != nil {
		return err
	}
	return s.View(ctx, func(tx *Tx) error {
		fault, err := tx.auditFaulty()
		if err == nil {
			s.auditFault.Store(&fault)
		}
		return err
	})
}

// AuditFault tells what SetSealer saw at a glance: nil; or ErrCorrupt when the audit
// log has other rows than its State tells of, or the State is missing or cannot be
// opened. The store works nevertheless, so that the log can be verified, which names
// the row.
func (s *Store) AuditFault() error {
	if fault := s.auditFault.Load(); fault != nil {
		return *fault
	}
	return nil
}

// place is where a sealed value stands.
type place struct{ table, row, column string }

func (p place) String() string { return p.column + " of row " + p.row + " of table " + p.table }

func (p place) ad() []byte {
	return []byte(p.table + "|" + p.row + "|" + p.column + "|" + strconv.Itoa(sealVersion))
}

func (tx *Tx) seal(at place, plaintext []byte) ([]byte, error) {
	if tx.sealer == nil {
		return nil, ErrSealed
	}
	sealed, err := tx.sealer.Seal(plaintext, at.ad())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return sealed, nil
}

func (tx *Tx) unseal(at place, sealed []byte) ([]byte, error) {
	if tx.sealer == nil {
		return nil, ErrSealed
	}
	plaintext, err := tx.sealer.Open(sealed, at.ad())
	if err != nil {
		return nil, fmt.Errorf("%w: %s does not open: it was not sealed there, or by other keys: %w", ErrCorrupt, at, err)
	}
	return plaintext, nil
}

// number names a row whose key is a number.
func number(n int64) string { return strconv.FormatInt(n, 10) }

var auditPlace = place{"audit_state", "1", "sealed"}

// auditFaulty compares the audit log's State with the rows, without reading them.
func (tx *Tx) auditFaulty() (fault, err error) {
	state, err := tx.AuditState()
	if err != nil {
		if tx.broken == nil {
			return err, nil
		}
		return nil, err
	}
	var rows, top int64
	if err := tx.row(`SELECT count(*), coalesce(max(place), 0) FROM audit`, nil, &rows, &top); err != nil {
		return nil, err
	}
	if rows != state.Rows() || top != state.Rows() {
		return fmt.Errorf("%w: audit log has %d rows up to number %d, its state tells of %d", ErrCorrupt, rows, top, state.Rows()), nil
	}
	if rows == 0 {
		return nil, nil
	}
	var hash []byte
	if err := tx.row(`SELECT hash FROM audit WHERE place = ?`, []any{rows}, &hash); err != nil {
		return nil, err
	}
	if last := state.Last(); string(hash) != string(last[:]) {
		return fmt.Errorf("%w: the last row of the audit log is another than its state tells of", ErrCorrupt), nil
	}
	return nil, nil
}
