package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
)

// outgoing is a message to a receiver.
func outgoing(receiver, id string, after time.Duration) store.Outgoing {
	return store.Outgoing{Receiver: receiver, ID: id, Body: []byte("body of " + id), Made: at.Add(after)}
}

// waiting are the IDs that wait for a receiver.
func (f *fixture) waiting(receiver string, limit int) (ids []string) {
	f.Helper()
	f.view(func(tx *store.Tx) error {
		all, err := tx.Outbox(receiver, limit)
		for _, o := range all {
			if o.Receiver != receiver || string(o.Body) != "body of "+o.ID {
				f.Errorf("%s waits with %q for %s", o.ID, o.Body, o.Receiver)
			}
			ids = append(ids, o.ID)
		}
		return err
	})
	return ids
}

func (f *fixture) send(all ...store.Outgoing) (dropped int64) {
	f.Helper()
	f.update(func(tx *store.Tx) error {
		dropped = 0
		for _, o := range all {
			n, err := tx.AddOutgoing(o)
			dropped += n
			if err != nil {
				return err
			}
		}
		return nil
	})
	return dropped
}

var outboxTests = []test{
	{"what waits is read in its order, by receiver, until it is taken out", func(t *testing.T, open Open) {
		f := fresh(t, open)
		before := f.Revision()
		f.send(outgoing("a", "1", time.Second), outgoing("b", "2", 2*time.Second), outgoing("a", "3", 0), outgoing("a", "4", time.Minute))
		if got := f.waiting("a", 2); !slices.Equal(got, []string{"1", "3"}) {
			t.Errorf("the first two of a are %v", got)
		}
		f.update(func(tx *store.Tx) error {
			all, err := tx.Outbox("a", 1)
			return errors.Join(err, tx.RemoveOutgoing(all[0].Seq, 999))
		})
		if got := fmt.Sprint(f.waiting("a", 9), f.waiting("b", 9), f.waiting("c", 9)); got != "[3 4] [2] []" {
			t.Errorf("there wait %v", got)
		}
		f.view(func(tx *store.Tx) error {
			states, err := tx.OutboxStates()
			want := []store.OutboxState{{Receiver: "a", Waiting: 2, Oldest: at}, {Receiver: "b", Waiting: 1, Oldest: at.Add(2 * time.Second)}}
			if !slices.Equal(states, want) {
				t.Errorf("states %+v, want %+v", states, want)
			}
			return err
		})
		if now := f.Revision(); now != before {
			t.Errorf("the revision rose from %d to %d by what only waits", before, now)
		}
	}},
	{"a message waits once", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.send(outgoing("a", "1", 0), outgoing("a", "2", 0), outgoing("a", "1", 0), outgoing("b", "1", 0))
		if got := fmt.Sprint(f.waiting("a", 9), f.waiting("b", 9)); got != "[1 2] [1]" {
			t.Errorf("there wait %v", got)
		}
	}},
	{"the queue of a receiver has a bound, and what is beyond it is counted", func(t *testing.T, open Open) {
		f := fresh(t, open)
		const more = 3
		var all []store.Outgoing
		for i := range store.MaxOutbox + more {
			all = append(all, outgoing("a", fmt.Sprint(i), 0))
		}
		f.send(outgoing("b", "1", 0))
		if dropped := f.send(all...); dropped != more {
			t.Errorf("%d were dropped, want %d", dropped, more)
		}
		if got := f.waiting("a", store.MaxOutbox+more); len(got) != store.MaxOutbox || got[0] != fmt.Sprint(more) {
			t.Errorf("%d wait, from %s on", len(got), got[0])
		}
		f.update(func(tx *store.Tx) error { return tx.CountDropped("a", 2) })
		f.view(func(tx *store.Tx) error {
			states, err := tx.OutboxStates()
			if len(states) != 2 || states[0].Dropped != more+2 || states[0].Waiting != store.MaxOutbox || states[1].Waiting != 1 || states[1].Dropped != 0 {
				t.Errorf("states %+v", states)
			}
			return err
		})
		f.update(func(tx *store.Tx) error {
			n, err := tx.ForgetReceiver("a")
			if n != store.MaxOutbox {
				t.Errorf("%d waited for the one that is forgotten", n)
			}
			return err
		})
		f.view(func(tx *store.Tx) error {
			states, err := tx.OutboxStates()
			if len(states) != 1 || states[0].Receiver != "b" {
				t.Errorf("states %+v", states)
			}
			return err
		})
	}},
	{"what is no message is refused", func(t *testing.T, open Open) {
		f := fresh(t, open)
		good := outgoing("a", "1", 0)
		for name, change := range map[string]func(*store.Outgoing){
			"no receiver": func(o *store.Outgoing) { o.Receiver = "" },
			"no ID":       func(o *store.Outgoing) { o.ID = "" },
			"no text":     func(o *store.Outgoing) { o.ID = "\xff" },
			"no body":     func(o *store.Outgoing) { o.Body = nil },
			"too long":    func(o *store.Outgoing) { o.Body = make([]byte, store.MaxOutboxBody+1) },
		} {
			o := good
			change(&o)
			if _, err := f.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.AddOutgoing(o); return err }); err == nil {
				t.Errorf("%s: was put", name)
			}
		}
		if got := f.waiting("a", 9); len(got) != 0 {
			t.Errorf("there wait %v", got)
		}
	}},
}

var alertTests = []test{
	{"an alert is put, changed and over", func(t *testing.T, open Open) {
		f := fresh(t, open)
		a := store.Alert{ID: "a1", Code: "disk.full", Severity: "high", Detail: "97 %", Value: 0.97, Since: at}
		b := store.Alert{ID: "b1", Code: "cpu.high", Since: at.Add(time.Hour), Told: true}
		f.update(func(tx *store.Tx) error { return errors.Join(tx.PutAlert(a), tx.PutAlert(b)) })
		a.Told, a.Value, a.Detail, a.Resolved = true, 0.5, "50 %", at.Add(2*time.Hour)
		f.update(func(tx *store.Tx) error { return tx.PutAlert(a) })
		f.view(func(tx *store.Tx) error {
			active, err1 := tx.Alerts(false)
			all, err2 := tx.Alerts(true)
			if !slices.Equal(active, []store.Alert{b}) || !slices.Equal(all, []store.Alert{b, a}) {
				t.Errorf("active %+v\nall %+v", active, all)
			}
			return errors.Join(err1, err2)
		})
	}},
	{"alerts that are over have a bound, active ones stay", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.update(func(tx *store.Tx) error {
			err := tx.PutAlert(store.Alert{ID: "old", Code: "cpu.high", Since: at})
			for i := range store.KeepAlerts + 5 {
				err = errors.Join(err, tx.PutAlert(store.Alert{ID: fmt.Sprint(i), Code: "disk.full", Since: at, Resolved: at}))
			}
			return err
		})
		f.view(func(tx *store.Tx) error {
			all, err := tx.Alerts(true)
			if len(all) != store.KeepAlerts+1 || all[len(all)-1].ID != "old" || all[len(all)-2].ID != "5" {
				t.Errorf("%d alerts, the oldest %+v", len(all), all[len(all)-2:])
			}
			return err
		})
	}},
	{"what is no alert is refused", func(t *testing.T, open Open) {
		f := fresh(t, open)
		for name, a := range map[string]store.Alert{
			"no ID": {Code: "x"}, "no code": {ID: "x"}, "no text": {ID: "x", Code: "\xff"}, "long": {ID: "x", Code: "x", Detail: strings.Repeat("x", store.MaxText+1)},
		} {
			if _, err := f.Update(t.Context(), func(tx *store.Tx) error { return tx.PutAlert(a) }); err == nil {
				t.Errorf("%s: was put", name)
			}
		}
	}},
	{"the last look is known", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.view(func(tx *store.Tx) error {
			if _, err := tx.LastBeat(); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("before the first: %v", err)
			}
			return nil
		})
		for _, when := range []time.Time{at, at.Add(time.Hour)} {
			f.update(func(tx *store.Tx) error { return tx.Beat(when) })
			f.view(func(tx *store.Tx) error {
				got, err := tx.LastBeat()
				if !got.Equal(when) {
					t.Errorf("%v, want %v", got, when)
				}
				return err
			})
		}
	}},
}
