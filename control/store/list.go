package store

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"mtguard/security/access"
)

// MaxLists is the most live lists there may be.
const MaxLists = 64

// List is one row of a list of addresses that is kept elsewhere. The addresses are not
// in the store.
type List struct {
	Name    string // of live lists no two are the same
	Origin  string // a file or an address to fetch it from
	Level   access.Level
	Every   time.Duration // between two looks at it
	Wide    bool          // it may cover much of all addresses
	Created time.Time
	Removed time.Time // zero: a live list
	Rev     Revision

	// What ListChecked writes, and PutList does not.
	Checked time.Time // the last look
	Good    time.Time // the last one that gave a list
	Entries int64     // of that one
	Problem string    // what was wrong with the last look; "": nothing
}

var listRecord = record(num("seq"), text("name"), text("origin"), text("level"), num("every"), num("wide"), num("created"), num("removed"),
	num("checked"), num("good"), num("entries"), text("problem"), num("rev"))

func scanList(r scanner, l *List) (int64, error) {
	f, err := scanFields(r)
	if err != nil {
		return 0, err
	}
	seq := f.number()
	l.Name, l.Origin, l.Level = f.text(), f.text(), f.level()
	l.Every, l.Wide, l.Created, l.Removed = time.Duration(f.number()), f.bool(), f.time(), f.time()
	l.Checked, l.Good, l.Entries, l.Problem = f.time(), f.time(), f.number(), f.text()
	l.Rev = Revision(f.number())
	return seq, f.end("lists", seq)
}

// Lists gives lists in the order in which they were added: with since 0 all live ones,
// otherwise those that were changed after since, with removed ones among them; a list
// that was made anew under a name stands behind the removed one. These are kept for a
// while: see KeepRemoved.
func (tx *Tx) Lists(since Revision) iter.Seq2[List, error] {
	if since == 0 {
		return list(tx, `SELECT `+listRecord+` FROM lists WHERE removed = 0 AND seq > ? ORDER BY seq LIMIT ?`, int64(0), scanList)
	}
	return changed(tx, `SELECT `+listRecord+` FROM lists WHERE rev > ?`, since, scanList)
}

// List returns the live list of that name.
func (tx *Tx) List(name string) (List, error) {
	l, err := one(tx, `SELECT `+listRecord+` FROM lists WHERE name = ? AND removed = 0`, name, scanList)
	if err != nil {
		return List{}, fmt.Errorf("list %q: %w", name, err)
	}
	return l, nil
}

var listTable = &bounded{
	what:  "list",
	most:  MaxLists,
	find:  `SELECT seq, rev, removed <> 0 FROM lists WHERE name = ? AND removed = 0`,
	count: `SELECT count(*) FROM lists WHERE removed = 0`,
	drop:  `DELETE FROM lists WHERE removed <> 0 AND rev <= ? AND seq <> ?`,
}

// PutList adds l when l.Rev is 0, and otherwise changes the live list of that name, of
// which l.Rev must be the Rev: ErrConflict, and nothing changed, when it is not. A name
// that a live list has is ErrExists, a live list beyond MaxLists is ErrTooMany. PutList
// sets l.Rev.
func (tx *Tx) PutList(l *List) error {
	if l.Name == "" || l.Origin == "" {
		return errors.New("list has no name, or no origin")
	}
	if err := plain(MaxText, l.Name, l.Origin); err != nil {
		return fmt.Errorf("list %.40q: %w", l.Name, err)
	}
	level, err := l.Level.MarshalText()
	if err != nil {
		return err
	}
	seq, err := tx.put(listTable, l.Name, l.Rev, l.Removed.IsZero())
	if err != nil {
		return err
	}
	values := []any{l.Origin, string(level), int64(l.Every), l.Wide, micros(l.Created), micros(l.Removed), tx.next()}
	if seq == 0 {
		_, err = tx.exec(`INSERT INTO lists (origin, level, every, wide, created, removed, rev, name, checked, good, entries, problem)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, '')`, append(values, l.Name)...)
	} else {
		_, err = tx.exec(`UPDATE lists SET origin = ?, level = ?, every = ?, wide = ?, created = ?, removed = ?, rev = ?
			WHERE seq = ?`, append(values, seq)...)
	}
	if err != nil {
		return err
	}
	l.Rev = tx.next()
	return nil
}

// ListChecked says how the last look at a live list went. A problem is cut to MaxText
// bytes. It raises neither the list's Rev nor the store's Revision.
func (tx *Tx) ListChecked(name string, checked, good time.Time, entries int64, problem string) error {
	n, err := tx.exec(`UPDATE lists SET checked = ?, good = ?, entries = ?, problem = ? WHERE name = ? AND removed = 0`,
		micros(checked), micros(good), entries, cut(problem), name)
	if err == nil && n == 0 {
		err = fmt.Errorf("list %q: %w", name, ErrNotFound)
	}
	return err
}

// cut makes a text of MaxText bytes at most of what others wrote.
func cut(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), MaxText+utf8.UTFMax)], "?"), "\x00", "?")
	if len(s) <= MaxText {
		return s
	}
	end := MaxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
