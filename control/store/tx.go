package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"mtguard/security/auditlog"
)

// Tx is a transaction. It is of use only inside of the function it was given to.
type Tx struct {
	ctx      context.Context
	store    *Store
	session  *session
	sealer   Sealer
	writable bool
	ended    bool
	broken   error // what the database said; nothing else is done then

	before  Revision // what the transaction found
	changed bool

	audit      *auditlog.State // nil until it is asked for
	auditTop   int64           // the last row's place, once the log has grown
	auditGrown bool
	audited    []auditlog.Entry // this transaction's, if somebody wants to know
	onceNow    int64

	live map[*bounded]int64 // rows, once they were counted
}

// Update runs fn in a transaction that may change the store and, when fn returns nil,
// makes what it did durable. It returns the Revision that the store has then. When fn
// returns an error, panics, or ctx ends before fn returns, nothing was changed; what
// fn wrote into its arguments, as PutUser does, is then void. An Update inside of fn
// would wait for itself.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) (Revision, error) {
	tx, err := s.begin(ctx, s.writer, s.engine.BeginUpdate)
	if err != nil {
		return 0, err
	}
	tx.writable = true
	end := errors.New("fn panicked")
	defer func() { tx.end(s.writer, end) }()

	if end = fn(tx); end == nil {
		end = tx.finish()
	}
	if end != nil {
		return 0, end
	}
	if !tx.changed {
		return tx.before, nil
	}
	tx.tellAudit()
	s.publish(tx.before + 1)
	return tx.before + 1, nil
}

// View runs fn in a transaction that sees the store as it is now and cannot change it.
func (s *Store) View(ctx context.Context, fn func(*Tx) error) error {
	tx, err := s.begin(ctx, s.reader, s.engine.BeginView)
	if err != nil {
		return err
	}
	defer func() { tx.end(s.reader, errEnded) }()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.broken
}

func (s *Store) begin(ctx context.Context, from *pool, text string) (*Tx, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	session, err := from.take(ctx)
	if err != nil {
		s.running.Done()
		return nil, s.engine.translate(err)
	}
	tx := &Tx{ctx: ctx, store: s, session: session}
	if sealer := s.sealer.Load(); sealer != nil {
		tx.sealer = *sealer
	}
	if err = session.exec(text); err == nil {
		if err = tx.row(`SELECT revision FROM meta WHERE id = 1`, nil, &tx.before); err == nil {
			return tx, nil
		}
		err = errors.Join(err, session.exec("ROLLBACK"))
	}
	err = s.engine.translate(err)
	from.give(session, err)
	s.running.Done()
	return nil, err
}

// finish makes the transaction durable.
func (tx *Tx) finish() error {
	if err := tx.keepAudit(); err != nil {
		return err
	}
	if tx.changed {
		if _, err := tx.exec(`UPDATE meta SET revision = ? WHERE id = 1`, tx.before+1); err != nil {
			return err
		}
	}
	if err := tx.usable(); err != nil {
		return err
	}
	// From here on ctx does not count: half way there is no telling what happened.
	tx.broken = tx.store.engine.translate(tx.session.exec("COMMIT"))
	return tx.broken
}

// end gives the session back. A failed COMMIT may leave a transaction or none; that
// and every doubt costs the connection.
func (tx *Tx) end(to *pool, outcome error) {
	defer tx.store.running.Done()
	tx.ended = true
	var err error
	if outcome != nil {
		err = tx.session.exec("ROLLBACK")
	}
	to.give(tx.session, errors.Join(err, tx.broken))
}

// Revision is that of the state which the transaction found.
func (tx *Tx) Revision() Revision { return tx.before }

// next is the Revision of what this transaction changes; calling it says that it does.
func (tx *Tx) next() Revision {
	tx.changed = true
	return tx.before + 1
}

// usable tells why the transaction must do no more. After an error of the database
// SQLite may have rolled it back already, and further statements would stand alone.
func (tx *Tx) usable() error {
	switch {
	case tx.ended:
		return errEnded
	case tx.broken != nil:
		return tx.broken
	}
	return tx.ctx.Err()
}

func (tx *Tx) usableForChange() error {
	if !tx.writable {
		return errReadOnly
	}
	return tx.usable()
}

// failed keeps what the database said.
func (tx *Tx) failed(err error) error {
	if err != nil {
		err = tx.store.engine.translate(err)
		tx.broken = err
	}
	return err
}

// prepared returns the statement and what to run it with. Statements are short, so
// they are not interrupted: tx.ctx is looked at between them. Doing it the other way
// costs a goroutine per statement.
func (tx *Tx) prepared(text string) (context.Context, *sql.Stmt, error) {
	ctx := context.WithoutCancel(tx.ctx)
	st, err := tx.session.prepared(ctx, text)
	return ctx, st, tx.failed(err)
}

// exec runs a statement that changes rows and tells how many.
func (tx *Tx) exec(text string, args ...any) (int64, error) {
	if err := tx.usableForChange(); err != nil {
		return 0, err
	}
	ctx, st, err := tx.prepared(text)
	if err != nil {
		return 0, err
	}
	result, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, tx.failed(err)
	}
	n, err := result.RowsAffected()
	return n, tx.failed(err)
}

// row reads the first row; ErrNotFound when there is none. It is also for statements
// that change a row and return of it.
func (tx *Tx) row(text string, args []any, dest ...any) error {
	if err := tx.usable(); err != nil {
		return err
	}
	ctx, st, err := tx.prepared(text)
	if err != nil {
		return err
	}
	err = st.QueryRowContext(ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return tx.failed(err)
}

// scanner is a *sql.Rows at a row.
type scanner interface{ Scan(dest ...any) error }

// rows calls scan with each row, and nothing else may be asked of tx meanwhile.
func (tx *Tx) rows(text string, scan func(scanner) error, args ...any) error {
	if err := tx.usable(); err != nil {
		return err
	}
	ctx, st, err := tx.prepared(text)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return tx.failed(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrSealed) {
				return err
			}
			return fmt.Errorf("%w: %w", ErrCorrupt, err) // a value that nobody here wrote
		}
	}
	return tx.failed(rows.Err())
}

// one reads the first row; ErrNotFound when there is none.
func one[T, P any](tx *Tx, text string, by any, scan func(scanner, *T) (P, error)) (T, error) {
	var value T
	found := false
	err := tx.rows(text, func(r scanner) error {
		found = true
		_, err := scan(r, &value)
		return err
	}, by)
	if err == nil && !found {
		err = ErrNotFound
	}
	return value, err
}

// chunk is how many rows of a list are in memory at a time.
const chunk = 512

// list reads rows a chunk at a time: so a list of any length takes little memory, and
// no statement is open while the caller works with a row, whatever he changes. The
// last two placeholders of text are for the place of the last row and the limit; scan
// returns the place of each row.
func list[T, P any](tx *Tx, text string, start P, scan func(scanner, *T) (P, error), args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		from, got := start, make([]T, 0, 16)
		for more := true; more; {
			got = got[:0]
			err := tx.rows(text, func(r scanner) error {
				var one T
				place, err := scan(r, &one)
				if err == nil {
					from, got = place, append(got, one)
				}
				return err
			}, append(args[:len(args):len(args)], from, chunk)...)
			for _, one := range got {
				if !yield(one, nil) {
					return
				}
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			more = len(got) == chunk
		}
	}
}

// changed is list for rows that were changed after a Revision: few in most cases, and
// found by the index of their revisions. It reads them all, and then gives them in the
// order of their places.
func changed[T any](tx *Tx, text string, since Revision, scan func(scanner, *T) (int64, error)) iter.Seq2[T, error] {
	type row struct {
		place int64
		value T
	}
	return func(yield func(T, error) bool) {
		var got []row
		err := tx.rows(text, func(r scanner) (err error) {
			var one row
			one.place, err = scan(r, &one.value)
			got = append(got, one)
			return err
		}, since)
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		slices.SortFunc(got, func(a, b row) int { return cmp.Compare(a.place, b.place) })
		for _, one := range got {
			if !yield(one.value, nil) {
				return
			}
		}
	}
}

// micros is how times are stored.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant reads what micros wrote.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
