package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// KeepRemoved is for how many Revisions more a rule, an exception or a list that was
// removed is kept. Whoever knows a Revision that is further back than this must read
// all of them anew, with since 0: removed ones that he has may be gone without a trace.
const KeepRemoved = 1000

// MaxText is the most bytes that one text of a rule, an exception or a list has.
const MaxText = 1024

// bounded is a table that has a bound on its live rows, and forgets removed ones.
type bounded struct {
	what        string // one row
	most        int64  // live rows
	find        string // place, Rev and whether it is removed, of the row with a name
	count, drop string // live rows; removed ones up to a Revision, but for one
}

// put is asked before a row goes into the table, or is changed when rev is not 0. It
// says why not, and where the row stands: 0 for a new one.
func (tx *Tx) put(into *bounded, name string, rev Revision, live bool) (seq int64, err error) {
	if err := tx.usableForChange(); err != nil {
		return 0, err
	}
	if seq, err = tx.roomFor(into, name, rev, live); err != nil {
		return 0, fmt.Errorf("%s %q: %w", into.what, name, err)
	}
	if !live {
		_, err = tx.exec(into.drop, tx.before+1-KeepRemoved, seq)
	}
	return seq, err
}

func (tx *Tx) roomFor(into *bounded, name string, rev Revision, live bool) (seq int64, err error) {
	var at Revision
	var removed bool
	err = tx.row(into.find, []any{name}, &seq, &at, &removed)
	switch {
	case errors.Is(err, ErrNotFound) && rev == 0:
		removed = true // a new one counts like one that comes back
	case err != nil:
		return 0, err
	case rev == 0:
		return 0, ErrExists
	case at != rev:
		return 0, ErrConflict
	}
	if live != removed {
		return seq, nil // as many stay live
	}
	n, known := tx.live[into]
	if !known {
		if err := tx.row(into.count, nil, &n); err != nil {
			return 0, err
		}
	}
	switch {
	case !live:
		n--
	case n >= into.most:
		return 0, fmt.Errorf("%w: %d of them", ErrTooMany, n)
	default:
		n++
	}
	if tx.live == nil {
		tx.live = make(map[*bounded]int64)
	}
	tx.live[into] = n
	return seq, nil
}

// plain refuses what is no text, which would come back as another one, and what is too
// long to be kept in large numbers.
func plain(most int, texts ...string) error {
	for _, t := range texts {
		if len(t) > most {
			return fmt.Errorf("a text of %d bytes: want %d at most", len(t), most)
		}
		if !utf8.ValidString(t) || strings.ContainsRune(t, 0) {
			return errors.New("a text is not UTF-8, or has a zero in it")
		}
	}
	return nil
}
