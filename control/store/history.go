package store

import (
	"errors"
	"time"

	"mtguard/security/keys"
)

// KeyEvent is one step in the life of a key. It outlives the key and the user.
type KeyEvent struct {
	Seq    int64 // rising; set by AddKeyEvent
	Key    keys.ID
	User   string // the name at that time; "" for a key that is nobody's
	At     time.Time
	From   string // state before; "" for a key that is new
	To     string
	Actor  string
	Reason string
}

// KeyEventFilter says which events to read; its zero value means all.
type KeyEventFilter struct {
	Key    keys.ID // "": of any key
	User   string  // "": of any user
	Before int64   // only events with a lower Seq; 0: from the newest on
	Limit  int     // at most so many; 0: MaxKeyEvents
}

// MaxKeyEvents is the most that KeyEvents returns at once.
const MaxKeyEvents = 1000

// AddKeyEvent adds to the history of keys.
func (tx *Tx) AddKeyEvent(e KeyEvent) error {
	if e.Key == "" || e.To == "" {
		return errors.New("key event has no key, or no state")
	}
	_, err := tx.exec(`INSERT INTO key_events (key, user, at, from_state, to_state, actor, reason) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		e.Key, e.User, micros(e.At), e.From, e.To, e.Actor, e.Reason)
	if err == nil {
		tx.next()
	}
	return err
}

// KeyEvents returns the events that f asks for, the newest first.
func (tx *Tx) KeyEvents(f KeyEventFilter) ([]KeyEvent, error) {
	if f.Limit <= 0 || f.Limit > MaxKeyEvents {
		f.Limit = MaxKeyEvents
	}
	text, args := `SELECT seq, key, user, at, from_state, to_state, actor, reason FROM key_events`, []any{}
	joint := ` WHERE `
	for _, c := range []struct {
		asked bool
		text  string
		value any
	}{
		{f.Key != "", `key = ?`, f.Key},
		{f.User != "", `user = ?`, f.User},
		{f.Before > 0, `seq < ?`, f.Before},
	} {
		if c.asked {
			text, args, joint = text+joint+c.text, append(args, c.value), ` AND `
		}
	}
	var found []KeyEvent
	err := tx.rows(text+` ORDER BY seq DESC LIMIT ?`, func(r scanner) error {
		var e KeyEvent
		var at int64
		err := r.Scan(&e.Seq, &e.Key, &e.User, &at, &e.From, &e.To, &e.Actor, &e.Reason)
		e.At = instant(at)
		found = append(found, e)
		return err
	}, append(args, f.Limit)...)
	return found, err
}

// KeyEventCounts counts the events that are later than since and not later than until, by
// the state that was reached, and returns the first and the last Seq of them.
func (tx *Tx) KeyEventCounts(since, until time.Time) (counts map[string]int64, first, last int64, err error) {
	counts = make(map[string]int64)
	err = tx.rows(`SELECT to_state, count(*), min(seq), max(seq) FROM key_events WHERE at > ? AND at <= ? GROUP BY to_state`, func(r scanner) error {
		var state string
		var n, from, to int64
		err := r.Scan(&state, &n, &from, &to)
		if first == 0 || from < first {
			first = from
		}
		counts[state], last = n, max(last, to)
		return err
	}, micros(since), micros(until))
	return counts, first, last, err
}
