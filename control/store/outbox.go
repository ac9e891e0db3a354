package store

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of what waits to be told.
const (
	// MaxOutbox is how many messages wait for one receiver. Beyond it the oldest go,
	// and are counted.
	MaxOutbox = 2048
	// MaxOutboxBody is how many bytes a message has.
	MaxOutboxBody = 32 << 10
	// KeepAlerts is how many alerts that are over are kept.
	KeepAlerts = 200
)

// Outgoing is a message that waits for a receiver.
type Outgoing struct {
	Seq      int64 // rising; set by the store
	Receiver string
	ID       string // of the message: a receiver has each once at a time
	Body     []byte // never secret
	Made     time.Time
}

// AddOutgoing puts a message at the end of its receiver's queue. One with an ID that
// waits there already is no second one. It returns how many of the oldest had to go.
// Like all changes of the outbox it is durable when Update returns, and no Revision
// tells of it: what waits is nothing that the node is made of.
func (tx *Tx) AddOutgoing(o Outgoing) (dropped int64, err error) {
	if err := tx.usableForChange(); err != nil {
		return 0, err
	}
	if o.Receiver == "" || o.ID == "" || len(o.Body) == 0 || len(o.Body) > MaxOutboxBody {
		return 0, fmt.Errorf("a message has a receiver, an ID, and 1 to %d bytes", MaxOutboxBody)
	}
	if err := plain(MaxText, o.Receiver, o.ID); err != nil {
		return 0, err
	}
	if _, err := tx.exec(`INSERT INTO outbox (receiver, id, body, made) VALUES (?, ?, ?, ?) ON CONFLICT (receiver, id) DO NOTHING`,
		o.Receiver, o.ID, o.Body, micros(o.Made)); err != nil {
		return 0, err
	}
	dropped, err = tx.exec(`DELETE FROM outbox WHERE receiver = ? AND seq <=
		(SELECT seq FROM outbox WHERE receiver = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)`, o.Receiver, o.Receiver, MaxOutbox)
	if err != nil || dropped == 0 {
		return dropped, err
	}
	return dropped, tx.CountDropped(o.Receiver, dropped)
}

// CountDropped adds to what a receiver was never told.
func (tx *Tx) CountDropped(receiver string, n int64) error {
	_, err := tx.exec(`INSERT INTO outbox_drops (receiver, dropped) VALUES (?, ?)
		ON CONFLICT (receiver) DO UPDATE SET dropped = dropped + excluded.dropped`, receiver, n)
	return err
}

// Outbox returns the first messages that wait for a receiver, at most limit.
func (tx *Tx) Outbox(receiver string, limit int) ([]Outgoing, error) {
	var found []Outgoing
	err := tx.rows(`SELECT seq, id, body, made FROM outbox WHERE receiver = ? ORDER BY seq LIMIT ?`, func(r scanner) error {
		o := Outgoing{Receiver: receiver}
		var made int64
		err := r.Scan(&o.Seq, &o.ID, &o.Body, &made)
		o.Made = instant(made)
		found = append(found, o)
		return err
	}, receiver, limit)
	return found, err
}

// RemoveOutgoing takes messages out: they were told, or never can be. Those that are
// not there are no error.
func (tx *Tx) RemoveOutgoing(seqs ...int64) error {
	for _, seq := range seqs {
		if _, err := tx.exec(`DELETE FROM outbox WHERE seq = ?`, seq); err != nil {
			return err
		}
	}
	return nil
}

// OutboxState is the queue of one receiver.
type OutboxState struct {
	Receiver string
	Waiting  int64
	Oldest   time.Time // zero: none waits
	Dropped  int64     // ever, for want of room or because the receiver would not have it
}

// OutboxStates returns the state of every receiver that has one, by name.
func (tx *Tx) OutboxStates() ([]OutboxState, error) {
	var found []OutboxState
	err := tx.rows(`SELECT receiver, sum(waiting), max(oldest), sum(dropped) FROM (
			SELECT receiver, count(*) AS waiting, min(made) AS oldest, 0 AS dropped FROM outbox GROUP BY receiver
			UNION ALL SELECT receiver, 0, 0, dropped FROM outbox_drops
		) GROUP BY receiver ORDER BY receiver`, func(r scanner) error {
		var s OutboxState
		var oldest int64
		err := r.Scan(&s.Receiver, &s.Waiting, &oldest, &s.Dropped)
		s.Oldest = instant(oldest)
		found = append(found, s)
		return err
	})
	return found, err
}

// ForgetReceiver takes out what waits for a receiver that is no more, and returns how
// much it was.
func (tx *Tx) ForgetReceiver(name string) (int64, error) {
	waited, err := tx.exec(`DELETE FROM outbox WHERE receiver = ?`, name)
	if err == nil {
		_, err = tx.exec(`DELETE FROM outbox_drops WHERE receiver = ?`, name)
	}
	return waited, err
}

// Alert is a condition that holds, or held.
type Alert struct {
	ID       string
	Code     string // which condition; of each at most one is active
	Severity string
	Detail   string
	Value    float64
	Since    time.Time
	Resolved time.Time // zero: it is active
	Told     bool      // receivers were sent that it fires
}

// PutAlert makes an alert, or changes the one with its ID. Those that are over are kept
// up to KeepAlerts.
func (tx *Tx) PutAlert(a Alert) error {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	if a.ID == "" || a.Code == "" {
		return errors.New("an alert has no ID, or no code")
	}
	if err := plain(MaxText, a.ID, a.Code, a.Severity, a.Detail); err != nil {
		return err
	}
	_, err := tx.exec(`INSERT INTO alerts (id, code, severity, detail, value, since, resolved, told) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, detail = excluded.detail, value = excluded.value,
			since = excluded.since, resolved = excluded.resolved, told = excluded.told`,
		a.ID, a.Code, a.Severity, a.Detail, a.Value, micros(a.Since), micros(a.Resolved), a.Told)
	if err == nil && !a.Resolved.IsZero() {
		_, err = tx.exec(`DELETE FROM alerts WHERE resolved <> 0 AND seq <=
			(SELECT seq FROM alerts WHERE resolved <> 0 ORDER BY seq DESC LIMIT 1 OFFSET ?)`, KeepAlerts)
	}
	return err
}

// Alerts returns the active alerts, and with over those that are over too, the newest
// first.
func (tx *Tx) Alerts(over bool) ([]Alert, error) {
	var found []Alert
	err := tx.rows(`SELECT id, code, severity, detail, value, since, resolved, told FROM alerts WHERE resolved = 0 OR ? ORDER BY seq DESC`, func(r scanner) error {
		var a Alert
		var since, resolved int64
		err := r.Scan(&a.ID, &a.Code, &a.Severity, &a.Detail, &a.Value, &since, &resolved, &a.Told)
		a.Since, a.Resolved = instant(since), instant(resolved)
		found = append(found, a)
		return err
	}, over)
	return found, err
}

// Beat writes down that somebody looks whether alerts fire. It fails when the store
// takes nothing, which is what it is for.
func (tx *Tx) Beat(at time.Time) error {
	_, err := tx.exec(`INSERT INTO alert_beat (id, at) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at`, micros(at))
	return err
}

// LastBeat is what Beat wrote, ErrNotFound before the first.
func (tx *Tx) LastBeat() (time.Time, error) {
	var at int64
	err := tx.row(`SELECT at FROM alert_beat WHERE id = 1`, nil, &at)
	return instant(at), err
}
