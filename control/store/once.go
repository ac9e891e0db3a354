package store

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of what PutOnce keeps. Beyond MaxOnce answers the oldest go, though their time
// has not come.
const (
	MaxOnce       = 4096
	MaxOnceKey    = 256
	MaxOnceAnswer = 64 << 10
)

// Once returns the answer that PutOnce kept under key, if it still holds at now.
func (tx *Tx) Once(key string, now time.Time) (answer []byte, seen bool, err error) {
	tx.onceNow = micros(now)
	var sealed []byte
	err = tx.row(`SELECT answer FROM once WHERE key = ? AND until > ?`, []any{key, tx.onceNow}, &sealed)
	if errors.Is(err, ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if answer, err = tx.unseal(oncePlace(key), sealed); err != nil {
		return nil, false, err
	}
	return answer, true, nil
}

func oncePlace(key string) place { return place{"once", key, "answer"} }

// PutOnce keeps the answer to a request that may be repeated, sealed, until then. An
// answer under the same key is replaced. It sweeps those whose time has passed at the
// now that Once was asked about in this transaction.
func (tx *Tx) PutOnce(key string, answer []byte, until time.Time) error {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	if key == "" || len(key) > MaxOnceKey || len(answer) > MaxOnceAnswer {
		return fmt.Errorf("an answer is kept under 1 to %d bytes and has at most %d", MaxOnceKey, MaxOnceAnswer)
	}
	sealed, err := tx.seal(oncePlace(key), answer)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM once WHERE until <= ? OR key = ?`, tx.onceNow, key); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM once WHERE seq <= (SELECT max(seq) FROM once) - ?`, MaxOnce-1); err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO once (key, answer, until) VALUES (?, ?, ?)`, key, sealed, micros(until))
	return err
}
