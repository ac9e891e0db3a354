package store

import (
	"errors"
	"fmt"

	"mtguard/security/usage"
)

// Count brings the usage of a user up to date. totals are what the process with the
// name run counted since it started; what they have grown by since the last Count of
// this run is added to day, a date as 20060102. So a Count that is repeated adds
// nothing, one that is lost is made up for by the next, and totals that are lower than
// before count as they were.
func (tx *Tx) Count(userID int64, day int, run string, totals usage.Totals) error {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	if day < 1 || run == "" {
		return errors.New("count without a day, or a run")
	}
	var mark usage.Totals
	err := tx.row(`SELECT up, down, sessions FROM usage_marks WHERE run = ? AND user_id = ?`, []any{run, userID},
		&mark.Up, &mark.Down, &mark.Sessions)
	if errors.Is(err, ErrNotFound) {
		err = tx.known(userID)
	}
	if err != nil {
		return err
	}
	grown := usage.Totals{
		Up:       max(totals.Up-mark.Up, 0),
		Down:     max(totals.Down-mark.Down, 0),
		Sessions: max(totals.Sessions-mark.Sessions, 0),
	}
	if grown == (usage.Totals{}) {
		return nil
	}
	_, err = tx.exec(`INSERT INTO usage (user_id, day, up, down, sessions) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (user_id, day) DO UPDATE SET
		up = usage.up + excluded.up, down = usage.down + excluded.down, sessions = usage.sessions + excluded.sessions`,
		userID, day, grown.Up, grown.Down, grown.Sessions)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO usage_marks (run, user_id, up, down, sessions) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (run, user_id) DO UPDATE SET up = excluded.up, down = excluded.down, sessions = excluded.sessions`,
		run, userID, mark.Up+grown.Up, mark.Down+grown.Down, mark.Sessions+grown.Sessions)
	return err
}

// EndRuns forgets what runs other than keep have counted, which ended. What they added
// stays; a Count of one of them would add everything again.
func (tx *Tx) EndRuns(keep string) error {
	_, err := tx.exec(`DELETE FROM usage_marks WHERE run <> ?`, keep)
	return err
}

// Usage returns all that a user ever used.
func (tx *Tx) Usage(userID int64) (usage.Totals, error) { return tx.UsageSince(userID, 0) }

// UsageSince returns what a user used on fromDay and later.
func (tx *Tx) UsageSince(userID int64, fromDay int) (t usage.Totals, err error) {
	err = tx.row(`SELECT coalesce(sum(up), 0), coalesce(sum(down), 0), coalesce(sum(sessions), 0)
		FROM usage WHERE user_id = ? AND day >= ?`, []any{userID, fromDay}, &t.Up, &t.Down, &t.Sessions)
	return t, err
}

// AllUsage returns what each user used on fromDay and later, of those who used anything.
func (tx *Tx) AllUsage(fromDay int) (map[int64]usage.Totals, error) {
	all := make(map[int64]usage.Totals)
	err := tx.rows(`SELECT user_id, sum(up), sum(down), sum(sessions) FROM usage WHERE day >= ? GROUP BY user_id`, func(r scanner) error {
		var id int64
		var t usage.Totals
		err := r.Scan(&id, &t.Up, &t.Down, &t.Sessions)
		all[id] = t
		return err
	}, fromDay)
	return all, err
}

// UsageBetween returns what each user used from fromDay to toDay, of those who used
// anything. Days that were folded are on neither.
func (tx *Tx) UsageBetween(fromDay, toDay int) (map[int64]usage.Totals, error) {
	all := make(map[int64]usage.Totals)
	err := tx.rows(`SELECT user_id, sum(up), sum(down), sum(sessions) FROM usage WHERE day BETWEEN ? AND ? AND day > 0 GROUP BY user_id`, func(r scanner) error {
		var id int64
		var t usage.Totals
		err := r.Scan(&id, &t.Up, &t.Down, &t.Sessions)
		all[id] = t
		return err
	}, fromDay, toDay)
	return all, err
}

// FoldUsage keeps of the days before day only their sum, so that the store does not
// grow with every day for ever, and tells how many rows that saved.
func (tx *Tx) FoldUsage(day int) (saved int64, err error) {
	added, err := tx.exec(`INSERT INTO usage (user_id, day, up, down, sessions)
		SELECT user_id, 0, sum(up), sum(down), sum(sessions) FROM usage WHERE day BETWEEN 1 AND ? GROUP BY user_id
		ON CONFLICT (user_id, day) DO UPDATE SET
		up = usage.up + excluded.up, down = usage.down + excluded.down, sessions = usage.sessions + excluded.sessions`, day-1)
	if err != nil {
		return 0, err
	}
	gone, err := tx.exec(`DELETE FROM usage WHERE day BETWEEN 1 AND ?`, day-1)
	if err != nil {
		return 0, fmt.Errorf("fold usage: %w", err)
	}
	return gone - added, nil
}
