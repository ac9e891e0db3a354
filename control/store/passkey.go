package store

import (
	"errors"
	"fmt"
	"time"

	"mtguard/security/access"
)

// Bounds of what is kept of passkeys and approvals.
const (
	MaxPasskeys   = 500
	MaxRecord     = 8 << 10 // of one passkey
	MaxPending    = 100     // approvals that wait
	MaxPendingOf  = 10      // of these, by who answers for them: nobody fills the queue alone
	MaxApprovals  = 1000    // in all
	MaxChangeBody = 512 << 10
)

// Passkey is a public key that a person signs in with. None of it is secret.
type Passkey struct {
	Seq      int64
	ID       string // ours
	Raw      []byte // the authenticator's name for it
	Handle   []byte // the person's name there
	Person   string
	Owner    string // who answers for what is done with it
	Name     string
	Level    access.Level
	Host     string // the relying party
	Record   []byte // JSON
	Created  time.Time
	LastUsed time.Time
}

const passkeyColumns = `seq, id, raw, handle, person, owner, name, level, host, record, created, last_used`

func scanPasskey(r scanner, k *Passkey) (int64, error) {
	var level string
	var created, used int64
	err := r.Scan(&k.Seq, &k.ID, &k.Raw, &k.Handle, &k.Person, &k.Owner, &k.Name, &level, &k.Host, &k.Record, &created, &used)
	if err != nil {
		return 0, err
	}
	k.Created, k.LastUsed = instant(created), instant(used)
	k.Level, err = levelOf("passkeys", k.Seq, level)
	return k.Seq, err
}

// Passkeys returns all passkeys in the order in which they were made.
func (tx *Tx) Passkeys() ([]Passkey, error) {
	return whole(tx, `SELECT `+passkeyColumns+` FROM passkeys ORDER BY seq`, scanPasskey)
}

// PutPasskey adds k when k.Seq is 0, and sets that, and otherwise changes its record and when it was
// used. One that is there already is ErrExists; beyond MaxPasskeys it is ErrTooMany.
func (tx *Tx) PutPasskey(k *Passkey) error {
	if k.ID == "" || len(k.Raw) == 0 || len(k.Raw) > 1024 || len(k.Handle) == 0 || len(k.Handle) > 64 || len(k.Record) == 0 || len(k.Record) > MaxRecord {
		return errors.New("passkey has no ID, or a part that is empty or too long")
	}
	if k.Seq != 0 {
		return tx.changeOne("passkey", k.ID, `UPDATE passkeys SET record = ?, last_used = ? WHERE seq = ?`, k.Record, micros(k.LastUsed), k.Seq)
	}
	if err := plain(MaxText, k.ID, k.Person, k.Owner, k.Name, k.Host); err != nil {
		return fmt.Errorf("passkey %.40q: %w", k.ID, err)
	}
	if err := tx.room("passkeys", `SELECT count(*) FROM passkeys`, MaxPasskeys); err != nil {
		return err
	}
	return tx.addOne(&k.Seq, "passkey", k.ID, `INSERT INTO passkeys (id, raw, handle, person, owner, name, level, host, record, created, last_used)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq`,
		k.ID, k.Raw, k.Handle, k.Person, k.Owner, k.Name, k.Level.String(), k.Host, k.Record, micros(k.Created), micros(k.LastUsed))
}

// DropPasskey takes a passkey out, and ends the sessions that were opened or made fresh with it.
func (tx *Tx) DropPasskey(id string) (ended int64, err error) {
	if err := tx.changeOne("passkey", id, `DELETE FROM passkeys WHERE id = ?`, id); err != nil {
		return 0, err
	}
	return tx.exec(`DELETE FROM browser_sessions WHERE passkey = ?`, id)
}

// Approval is a change that waits, or waited, for a second person.
type Approval struct {
	Seq     int64
	ID      string
	Class   string
	Action  string
	Object  string
	Body    []byte // the change
	Actor   string // who asked
	Person  string // who answers for that
	Reason  string
	Asked   time.Time
	Expires time.Time
	State   string // "pending", "approved", "refused" or "expired"
	Decider string
	Decided time.Time
}

const approvalColumns = `seq, id, class, action, object, body, actor, person, reason, asked, expires, state, decider, decided`

// StatePending is the State of an approval that waits.
const StatePending = "pending"

func scanApproval(r scanner, a *Approval) (int64, error) {
	var asked, expires, decided int64
	err := r.Scan(&a.Seq, &a.ID, &a.Class, &a.Action, &a.Object, &a.Body, &a.Actor, &a.Person, &a.Reason, &asked, &expires, &a.State, &a.Decider, &decided)
	a.Asked, a.Expires, a.Decided = instant(asked), instant(expires), instant(decided)
	return a.Seq, err
}

// Approvals returns those with a Seq below before, 0 for all, the newest first, at most limit.
func (tx *Tx) Approvals(before int64, limit int) ([]Approval, error) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	return whole(tx, `SELECT `+approvalColumns+` FROM approvals WHERE seq < ? ORDER BY seq DESC LIMIT ?`, scanApproval, before, max(limit, 1))
}

// Pending returns the approvals that wait, the oldest first.
func (tx *Tx) Pending() ([]Approval, error) {
	return whole(tx, `SELECT `+approvalColumns+` FROM approvals WHERE state = ? ORDER BY seq`, scanApproval, StatePending)
}

// Approval returns the approval of that ID.
func (tx *Tx) Approval(id string) (Approval, error) {
	a, err := one(tx, `SELECT `+approvalColumns+` FROM approvals WHERE id = ?`, id, scanApproval)
	if err != nil {
		return Approval{}, fmt.Errorf("approval %q: %w", id, err)
	}
	return a, nil
}

// PutApproval adds a when a.Seq is 0, and sets that, and otherwise changes its state. Beyond MaxPending
// that wait, or MaxPendingOf of a.Person, it is ErrTooMany; of those that do not wait the oldest make room.
func (tx *Tx) PutApproval(a *Approval) error {
	if a.Seq != 0 {
		return tx.changeOne("approval", a.ID, `UPDATE approvals SET state = ?, decider = ?, decided = ? WHERE seq = ?`, a.State, a.Decider, micros(a.Decided), a.Seq)
	}
	if a.ID == "" || len(a.Body) == 0 || len(a.Body) > MaxChangeBody {
		return errors.New("approval has no ID, or no change, or too long a one")
	}
	a.Reason, a.Object = cut(a.Reason), cut(a.Object)
	if err := plain(MaxText, a.ID, a.Class, a.Action, a.Object, a.Actor, a.Person, a.Reason, a.State, a.Decider); err != nil {
		return fmt.Errorf("approval %.40q: %w", a.ID, err)
	}
	if err := tx.room("approvals", `SELECT count(*) FROM approvals WHERE state = '`+StatePending+`'`, MaxPending); err != nil {
		return err
	}
	if err := tx.room("approvals of "+a.Person, `SELECT count(*) FROM approvals WHERE state = '`+StatePending+`' AND person = ?`, MaxPendingOf, a.Person); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM approvals WHERE seq IN (SELECT seq FROM approvals WHERE state <> ? ORDER BY seq LIMIT max((SELECT count(*) FROM approvals) - ?, 0))`, StatePending, MaxApprovals-1)
	if err != nil {
		return err
	}
	return tx.addOne(&a.Seq, "approval", a.ID, `INSERT INTO approvals (id, class, action, object, body, actor, person, reason, asked, expires, state, decider, decided)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq`, a.ID, a.Class, a.Action, a.Object, a.Body, a.Actor, a.Person, a.Reason,
		micros(a.Asked), micros(a.Expires), a.State, a.Decider, micros(a.Decided))
}

// ExpireApprovals ends those whose time has passed, and tells how many.
func (tx *Tx) ExpireApprovals(now time.Time) (int64, error) {
	return tx.exec(`UPDATE approvals SET state = 'expired', decided = ? WHERE state = ? AND expires <= ?`, micros(now), StatePending, micros(now))
}
