package store

import (
	"errors"
	"fmt"
	"time"

	"mtguard/security/keys"
)

// Bounds of what is kept of leaked secrets.
const (
	MaxSplits  = 2000 // of all users
	MaxHolders = 100  // of one split
)

// Split is a leaked secret in the place of which each of its holders got one of his own. It is never changed, and outlives its users.
type Split struct {
	Seq      int64  // its place, in the order in which they were made; 0: not there yet
	ID       string // no two have the same
	FromID   int64  // the user whose secret it was
	FromUser string
	FromKey  keys.ID
	At       time.Time
	Actor    string
	Reason   string
	Incident string // that it was the answer to; "": to none
	Holders  []Holder
}

// Holder is who had a leaked secret, and the first secret that is his alone.
type Holder struct {
	UserID int64
	User   string
	Key    keys.ID
}

const splitColumns = `seq, id, from_id, from_user, from_key, at, actor, reason, incident`

func scanSplit(r scanner, s *Split) (int64, error) {
	var at int64
	err := r.Scan(&s.Seq, &s.ID, &s.FromID, &s.FromUser, &s.FromKey, &at, &s.Actor, &s.Reason, &s.Incident)
	s.At = instant(at)
	return s.Seq, err
}

// PutSplit adds s and sets s.Seq. It raises no Revision: nobody compiles splits, and the users and keys of one are changed in the same Update.
// Beyond MaxSplits it is ErrTooMany, unless a split can be forgotten of which all holders were removed.
func (tx *Tx) PutSplit(s *Split) error {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	if s.ID == "" || s.FromID == 0 || len(s.Holders) == 0 || len(s.Holders) > MaxHolders {
		return errors.New("split has no ID, is of nobody, or has no holders or too many")
	}
	s.Reason = cut(s.Reason)
	if err := plain(MaxText, s.ID, s.FromUser, string(s.FromKey), s.Actor, s.Reason, s.Incident); err != nil {
		return fmt.Errorf("split %.40q: %w", s.ID, err)
	}
	if err := tx.roomForSplit(); err != nil {
		return fmt.Errorf("split %q: %w", s.ID, err)
	}
	done, err := tx.exec(`INSERT INTO splits (id, from_id, from_user, from_key, at, actor, reason, incident) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, s.ID, s.FromID, s.FromUser, s.FromKey, micros(s.At), s.Actor, s.Reason, s.Incident)
	if err == nil && done == 0 {
		err = fmt.Errorf("split %q: %w", s.ID, ErrExists)
	}
	if err == nil {
		err = tx.row(`SELECT seq FROM splits WHERE id = ?`, []any{s.ID}, &s.Seq)
	}
	if err != nil {
		return err
	}
	for _, h := range s.Holders {
		if err := plain(MaxText, h.User, string(h.Key)); err != nil {
			return fmt.Errorf("split %q: %w", s.ID, err)
		}
		done, err := tx.exec(`INSERT INTO holders (user_id, split, user, key) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, h.UserID, s.Seq, h.User, h.Key)
		if err == nil && done == 0 {
			err = fmt.Errorf("split %q, holder %q: %w", s.ID, h.User, ErrExists)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// roomForSplit forgets the oldest split of which nobody is left, when there are as many as may be.
func (tx *Tx) roomForSplit() error {
	var n int
	if err := tx.row(`SELECT count(*) FROM splits`, nil, &n); err != nil || n < MaxSplits {
		return err
	}
	var oldest int64
	err := tx.row(`SELECT seq FROM splits WHERE NOT EXISTS (SELECT 1 FROM holders, users
		WHERE holders.split = splits.seq AND users.id = holders.user_id AND users.removed = 0) ORDER BY seq LIMIT 1`, nil, &oldest)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %d splits of leaked secrets", ErrTooMany, n)
	}
	if err == nil {
		_, err = tx.exec(`DELETE FROM holders WHERE split = ?`, oldest)
	}
	if err == nil {
		_, err = tx.exec(`DELETE FROM splits WHERE seq = ?`, oldest)
	}
	return err
}

// SplitFilter chooses splits; the zero one all of them.
type SplitFilter struct {
	From   int64 // only of this user's secrets; 0: anybody's
	Holder int64 // only those by which this user got a secret; 0: anybody
	Before int64 // only of a Seq below; 0: all
	Limit  int   // at least 1
}

// Splits returns splits with their holders, in the order of their names, the newest first.
func (tx *Tx) Splits(f SplitFilter) (found []Split, err error) {
	before := f.Before
	if before <= 0 {
		before = 1<<63 - 1
	}
	err = tx.rows(`SELECT `+splitColumns+` FROM splits WHERE seq < ? AND (? = 0 OR from_id = ?)
		AND (? = 0 OR seq IN (SELECT split FROM holders WHERE user_id = ?)) ORDER BY seq DESC LIMIT ?`, func(r scanner) error {
		var s Split
		_, err := scanSplit(r, &s)
		found = append(found, s)
		return err
	}, before, f.From, f.From, f.Holder, f.Holder, max(f.Limit, 1))
	for i := range found {
		if err != nil {
			break
		}
		s := &found[i]
		err = tx.rows(`SELECT user_id, user, key FROM holders WHERE split = ? ORDER BY user`, func(r scanner) error {
			var h Holder
			err := r.Scan(&h.UserID, &h.User, &h.Key)
			s.Holders = append(s.Holders, h)
			return err
		}, s.Seq)
	}
	return found, err
}
