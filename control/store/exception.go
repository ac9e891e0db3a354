package store

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// MaxExceptions is the most live exceptions there may be.
const MaxExceptions = 1000

// Exception is one row of whom a control spares, as security/policy reads it.
type Exception struct {
	ID       string // of all exceptions that are kept no two have the same
	Prefix   string
	User     string
	Country  string
	Controls []string
	From     time.Time // zero: at once
	Until    time.Time
	Reason   string
	Owner    string // who answers for it
	Created  time.Time
	Removed  time.Time // zero: a live exception
	Hits     int64     // counted by CountHits; PutException does not write it
	Rev      Revision
}

var exceptionRecord = record(num("seq"), text("id"), text("prefix"), text("user"), text("country"), text("controls"), num("starts"), num("until"),
	text("reason"), text("owner"), num("created"), num("removed"), num("hits"), num("rev"))

func scanException(r scanner, e *Exception) (int64, error) {
	f, err := scanFields(r)
	if err != nil {
		return 0, err
	}
	seq := f.number()
	e.ID, e.Prefix, e.User, e.Country = f.text(), f.text(), f.text(), f.text()
	if controls := f.text(); controls != "" {
		e.Controls = strings.Split(controls, "\n")
	}
	e.From, e.Until, e.Reason, e.Owner = f.time(), f.time(), f.text(), f.text()
	e.Created, e.Removed, e.Hits, e.Rev = f.time(), f.time(), f.number(), Revision(f.number())
	return seq, f.end("exceptions", seq)
}

// Exceptions gives exceptions in the order in which they were added: with since 0 all
// live ones, otherwise those that were changed after since, with removed ones among
// them. These are kept for a while: see KeepRemoved.
func (tx *Tx) Exceptions(since Revision) iter.Seq2[Exception, error] {
	if since == 0 {
		return list(tx, `SELECT `+exceptionRecord+` FROM exceptions WHERE removed = 0 AND seq > ? ORDER BY seq LIMIT ?`, int64(0), scanException)
	}
	return changed(tx, `SELECT `+exceptionRecord+` FROM exceptions WHERE rev > ?`, since, scanException)
}

// Exception returns the exception of that ID, removed or not.
func (tx *Tx) Exception(id string) (Exception, error) {
	e, err := one(tx, `SELECT `+exceptionRecord+` FROM exceptions WHERE id = ?`, id, scanException)
	if err != nil {
		return Exception{}, fmt.Errorf("exception %q: %w", id, err)
	}
	return e, nil
}

var exceptionTable = &bounded{
	what:  "exception",
	most:  MaxExceptions,
	find:  `SELECT seq, rev, removed <> 0 FROM exceptions WHERE id = ?`,
	count: `SELECT count(*) FROM exceptions WHERE removed = 0`,
	drop:  `DELETE FROM exceptions WHERE removed <> 0 AND rev <= ? AND seq <> ?`,
}

// PutException adds e when e.Rev is 0, and otherwise changes the exception of that ID,
// of which e.Rev must be the Rev: ErrConflict, and nothing changed, when it is not. An
// ID that is there already is ErrExists, a live exception beyond MaxExceptions is
// ErrTooMany. PutException sets e.Rev. What else must hold is for others to say.
func (tx *Tx) PutException(e *Exception) error {
	if e.ID == "" {
		return errors.New("exception has no ID")
	}
	controls := strings.Join(e.Controls, "\n")
	err := plain(MaxText, e.ID, e.Prefix, e.User, e.Country, controls, e.Reason, e.Owner)
	if slices.ContainsFunc(e.Controls, func(c string) bool { return c == "" || strings.Contains(c, "\n") }) {
		err = errors.New("the name of a control is one line")
	}
	if err != nil {
		return fmt.Errorf("exception %.40q: %w", e.ID, err)
	}
	seq, err := tx.put(exceptionTable, e.ID, e.Rev, e.Removed.IsZero())
	if err != nil {
		return err
	}
	values := []any{e.Prefix, e.User, e.Country, controls, micros(e.From), micros(e.Until), e.Reason, e.Owner,
		micros(e.Created), micros(e.Removed), tx.next()}
	if seq == 0 {
		_, err = tx.exec(`INSERT INTO exceptions (prefix, user, country, controls, starts, until, reason, owner,
			created, removed, rev, id, hits)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`, append(values, e.ID)...)
	} else {
		_, err = tx.exec(`UPDATE exceptions SET prefix = ?, user = ?, country = ?, controls = ?, starts = ?, until = ?, reason = ?, owner = ?,
			created = ?, removed = ?, rev = ? WHERE seq = ?`, append(values, seq)...)
	}
	if err != nil {
		return err
	}
	e.Rev = tx.next()
	return nil
}

// CountHits counts that an exception spared somebody n times more. It raises neither
// the exception's Rev nor the store's Revision.
func (tx *Tx) CountHits(id string, n int64) error {
	done, err := tx.exec(`UPDATE exceptions SET hits = hits + ? WHERE id = ?`, n, id)
	if err == nil && done == 0 {
		err = fmt.Errorf("exception %q: %w", id, ErrNotFound)
	}
	return err
}
