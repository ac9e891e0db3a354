package alert

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"mtguard/control/store"
)

const (
	// settingSilences holds the maintenance windows.
	settingSilences = "alert.silences"
	maxSilences     = 64
)

// Silence is a maintenance window: no receiver is told of alerts that begin in it. What
// still fires when it ends is told then. Incidents and findings are never silenced.
type Silence struct {
	ID     string    `json:"id"`
	Code   string    `json:"code,omitempty" doc:"of one condition; left out: of all"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
}

func (s Silence) covers(code string, now time.Time) bool {
	return (s.Code == "" || s.Code == code) && !now.Before(s.From) && now.Before(s.Until)
}

// ErrTooManySilences: as many maintenance windows as there may be.
var ErrTooManySilences = errors.New("as many maintenance windows as there may be at once")

// Silences returns the maintenance windows that are not over.
func Silences(tx *store.Tx, now time.Time) ([]Silence, error) {
	text, err := tx.Setting(settingSilences)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Silence
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s Silence) bool { return !now.Before(s.Until) }), nil
}

// AddSilence adds a maintenance window, under an ID of its own which it returns.
func AddSilence(tx *store.Tx, s Silence, now time.Time) (string, error) {
	all, err := Silences(tx, now)
	if err != nil {
		return "", err
	}
	if len(all) >= maxSilences {
		return "", ErrTooManySilences
	}
	s.ID = newID("s")
	return s.ID, putSilences(tx, append(all, s))
}

// EndSilence ends a maintenance window; store.ErrNotFound when there is none.
func EndSilence(tx *store.Tx, id string, now time.Time) error {
	all, err := Silences(tx, now)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(all), func(s Silence) bool { return s.ID == id })
	if len(left) == len(all) {
		return store.ErrNotFound
	}
	return putSilences(tx, left)
}

func putSilences(tx *store.Tx, all []Silence) error {
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return tx.PutSetting(settingSilences, text)
}
