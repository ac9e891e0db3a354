package storetest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
)

func incident(id, detector, subject string) store.Incident {
	return store.Incident{
		ID: id, Detector: detector, Subject: subject, Severity: "low", State: "open", Opened: at, Last: at.Add(time.Second), Count: 1,
		Evidence: "12:34 5 \n'--", Action: "blocked", Moments: []store.Moment{{At: at, By: "threat", What: "it was found"}},
	}
}

var incidentTests = []test{
	{"an incident comes back as it was put, and raises no revision", func(t *testing.T, open Open) {
		f := fresh(t, open)
		n := incident("i1", "replay", "key 0123")
		n.Key, n.User, n.Closed = "0123", "nadia", at.Add(time.Hour)
		before := f.Revision()
		f.update(func(tx *store.Tx) error { return tx.PutIncident(&n) })
		if n.Seq == 0 || f.Revision() != before {
			t.Errorf("place %d, revision %d", n.Seq, f.Revision())
		}
		n.State, n.Count, n.Moments = "resolved", 7, append(n.Moments, store.Moment{At: at, By: "uid 0", What: "resolved"})
		f.update(func(tx *store.Tx) error { return tx.PutIncident(&n) })
		f.view(func(tx *store.Tx) error {
			got, err := tx.Incident("i1")
			if !reflect.DeepEqual(got, n) {
				t.Errorf("got  %+v\nwant %+v", got, n)
			}
			return err
		})
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { n := n; n.Seq = 99; return tx.PutIncident(&n) })
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Incident("i2"); return err })
	}},
	{"one is open about the same at a time", func(t *testing.T, open Open) {
		f := fresh(t, open)
		a, b := incident("a", "replay", "192.0.2.7/32"), incident("b", "replay", "192.0.2.7/32")
		f.update(func(tx *store.Tx) error { return tx.PutIncident(&a) })
		f.refused(store.ErrExists, func(tx *store.Tx) error { b := b; return tx.PutIncident(&b) })
		f.refused(store.ErrExists, func(tx *store.Tx) error { c := incident("a", "x", "y"); return tx.PutIncident(&c) })
		f.view(func(tx *store.Tx) error {
			got, err := tx.OpenIncident("replay", "192.0.2.7/32")
			if got.ID != "a" {
				t.Errorf("open is %+v", got)
			}
			return err
		})
		a.Closed = at
		f.update(func(tx *store.Tx) error { return tx.PutIncident(&a) })
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.OpenIncident("replay", "192.0.2.7/32"); return err })
		f.update(func(tx *store.Tx) error { return tx.PutIncident(&b) })
	}},
	{"lists are the newest first, by what is asked for", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.update(func(tx *store.Tx) error {
			for i := range 9 {
				n := incident(fmt.Sprint("i", i), fmt.Sprint("d", i%3), fmt.Sprint("s", i))
				n.Severity = []string{"low", "high"}[i%2]
				if i < 2 {
					n.Closed, n.State = at, "resolved"
				}
				if err := tx.PutIncident(&n); err != nil {
					return err
				}
			}
			return nil
		})
		f.view(func(tx *store.Tx) error {
			ids := func(f store.IncidentFilter) (text string) {
				list, err := tx.Incidents(f)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range list {
					text += n.ID + " "
				}
				return strings.TrimSpace(text)
			}
			for _, c := range []struct {
				f    store.IncidentFilter
				want string
			}{
				{store.IncidentFilter{Limit: 3}, "i8 i7 i6"},
				{store.IncidentFilter{Limit: 2, Before: 3}, "i1 i0"},
				{store.IncidentFilter{Limit: 99, State: "resolved"}, "i1 i0"},
				{store.IncidentFilter{Limit: 99, Open: true, Detector: "d1"}, "i7 i4"},
				{store.IncidentFilter{Limit: 99, Detector: "d2", Subject: "s0"}, "i8 i5 i2 i0"},
			} {
				if got := ids(c.f); got != c.want {
					t.Errorf("%+v: %s, want %s", c.f, got, c.want)
				}
			}
			n, err := tx.CountIncidents()
			if n["low"] != 4 || n["high"] != 3 {
				t.Errorf("open by severity: %v", n)
			}
			return err
		})
	}},
	{"what is kept has bounds", func(t *testing.T, open Open) {
		f := fresh(t, open)
		n := incident("i", "d", "s")
		for i := range store.MaxMoments + 5 {
			n.Moments = append(n.Moments, store.Moment{At: at, By: "threat", What: fmt.Sprint(i)})
		}
		n.Evidence = strings.Repeat("é", store.MaxText)
		f.update(func(tx *store.Tx) error { return tx.PutIncident(&n) })
		f.view(func(tx *store.Tx) error {
			got, err := tx.Incident("i")
			if len(got.Moments) != store.MaxMoments || got.Moments[store.MaxMoments-1].What != fmt.Sprint(store.MaxMoments+4) || len(got.Evidence) > store.MaxText {
				t.Errorf("%d moments, %d bytes of evidence", len(got.Moments), len(got.Evidence))
			}
			return err
		})
		f.update(func(tx *store.Tx) error {
			for i := range store.MaxIncidents {
				n := incident(fmt.Sprint("n", i), "d", fmt.Sprint(i))
				n.Last = at.Add(time.Duration(i+1) * time.Minute)
				if i == 100 {
					n.Closed = at
				}
				if err := tx.PutIncident(&n); err != nil {
					return err
				}
			}
			more := incident("more", "d", "more")
			return tx.PutIncident(&more)
		})
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Incident("n100"); return err }) // the closed one first
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Incident("i"); return err })
		f.view(func(tx *store.Tx) error { _, err := tx.Incident("n0"); return err })
		f.update(func(tx *store.Tx) error {
			gone, err := tx.DropIncidents(at.Add(time.Hour))
			if gone != 0 {
				t.Errorf("%d open ones were dropped", gone)
			}
			return err
		})
	}},
	{"what is no incident is refused", func(t *testing.T, open Open) {
		f := fresh(t, open)
		for _, n := range []store.Incident{incident("", "d", "s"), incident("i", "", "s"), incident("i", "d", ""), incident("i", "d", "a\x00"), incident("i", strings.Repeat("d", store.MaxText+1), "s")} {
			if _, err := f.Update(t.Context(), func(tx *store.Tx) error { return tx.PutIncident(&n) }); err == nil {
				t.Errorf("%.80q was put", n.Subject+n.Detector)
			}
		}
	}},
}
