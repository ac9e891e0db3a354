package store

import (
	"fmt"
	"strings"
	"time"

	"mtguard/security/access"
	"mtguard/security/keys"
)

// The wide rows of long lists are read as one text each. For every column that comes
// over by itself, driver and database/sql take two locks, make a value and convert it:
// so read, 10,000 users with two keys each took 80 ms instead of 45.

// num and text are columns of a record: integers, and texts, none of which is NULL.
type (
	num  string
	text string
)

// record is an expression that has the columns in one text: a blank behind an integer,
// and before a text its length in bytes and a colon.
func record(columns ...any) string {
	var parts []string
	for _, c := range columns {
		switch c := c.(type) {
		case num:
			parts = append(parts, string(c), `' '`)
		case text:
			parts = append(parts, "octet_length("+string(c)+")", `':'`, string(c))
		default:
			panic(fmt.Sprintf("store: a record of %T", c))
		}
	}
	return "concat(" + strings.Join(parts, ", ") + ")"
}

// fields takes a record apart, column by column.
type fields struct {
	rest string
	bad  bool
}

func scanFields(r scanner) (f fields, err error) {
	err = r.Scan(&f.rest)
	return f, err
}

// until reads an integer as SQLite writes it, and what stands behind it.
func (f *fields) until(end byte) int64 {
	digits := strings.TrimPrefix(f.rest, "-")
	var n int64
	i := 0
	for i < len(digits) && digits[i]-'0' <= 9 {
		n = n*10 + int64(digits[i]-'0')
		i++
	}
	if i == 0 || i == len(digits) || digits[i] != end {
		f.bad = true
		return 0
	}
	if len(digits) < len(f.rest) {
		n = -n
	}
	f.rest = digits[i+1:]
	return n
}

func (f *fields) number() int64   { return f.until(' ') }
func (f *fields) bool() bool      { return f.number() != 0 }
func (f *fields) time() time.Time { return instant(f.number()) }

// text copies, so that a short text does not keep the record in memory.
func (f *fields) text() string { return strings.Clone(f.part()) }

func (f *fields) part() string {
	n := f.until(':')
	if n < 0 || n > int64(len(f.rest)) {
		f.bad = true
		return ""
	}
	part := f.rest[:n]
	f.rest = f.rest[n:]
	return part
}

// word is text for what is one of a few words nearly always, which then take no memory.
func (f *fields) word() string {
	part := f.part()
	for _, w := range words {
		if w == part {
			return w
		}
	}
	return strings.Clone(part)
}

var words = []string{ForUser, Generated, Imported, InFile, FromAdmin, FromFile, FromDefault, ForSeal, "", "day", "month",
	FromOperator, FromAutomatic, FromFeed}

func (f *fields) level() access.Level {
	l, err := access.ParseLevel(f.part())
	f.bad = f.bad || err != nil
	return l
}

func (f *fields) state() keys.State {
	s, err := keys.ParseState(f.part())
	f.bad = f.bad || err != nil
	return s
}

// end tells whether all of it was as it should be.
func (f *fields) end(table string, row any) error {
	if f.bad || f.rest != "" {
		return fmt.Errorf("%w: row %v of table %s cannot be read", ErrCorrupt, row, table)
	}
	return nil
}
