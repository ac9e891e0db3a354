package storetest

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mtguard/control/store"
	"mtguard/security/usage"
)

// count does everything that only counts, to a store with a user and key k1.
func count(tx *store.Tx, userID int64) error {
	return errors.Join(
		tx.Count(userID, 20260301, "run", usage.Totals{Up: 1, Down: 2, Sessions: 3}),
		tx.PutSightings("k1", store.SeenUsing, []usage.Sighting{{Pseudonym: 1, Last: at}, {Pseudonym: 1<<64 - 1, Last: at}}),
		tx.PutSightings("k1", store.SeenRevoked, []usage.Sighting{{Pseudonym: 1, Last: at}}),
		tx.MarkUsed("k1", at, at),
		tx.PutOnce("request", []byte("answer"), at.Add(time.Hour)),
		tx.PutCheckpoint(1, []byte("note")),
		tx.EndRuns("run"),
	)
}

var countTests = []test{
	{"totals are counted once, whatever is repeated or lost", func(t *testing.T, open Open) {
		rapid.Check(t, func(r *rapid.T) {
			f := &fixture{t, open(t)}
			defer f.Close()
			m := &usageModel{fixture: f, user: f.user("a").ID, days: map[int]usage.Totals{}, run: "run1"}
			r.Repeat(map[string]func(*rapid.T){
				"": m.check, "count": m.count, "lose": m.lose, "restart": m.restart, "fold": m.fold,
			})
		})
	}},
	{"each user has his own", func(t *testing.T, open Open) {
		f := fresh(t, open)
		a, b := f.user("a").ID, f.user("b").ID
		f.user("c")
		f.update(func(tx *store.Tx) error {
			return errors.Join(
				tx.Count(a, 20260228, "run", usage.Totals{Up: 1}),
				tx.Count(a, 20260301, "run", usage.Totals{Up: 11, Down: 5}),
				tx.Count(b, 20260301, "run", usage.Totals{Sessions: 7}),
			)
		})
		f.view(func(tx *store.Tx) error {
			all, err1 := tx.AllUsage(0)
			if want := map[int64]usage.Totals{a: {Up: 11, Down: 5}, b: {Sessions: 7}}; !maps.Equal(all, want) {
				t.Errorf("%v: want %v", all, want)
			}
			today, err2 := tx.AllUsage(20260301)
			if want := map[int64]usage.Totals{a: {Up: 10, Down: 5}, b: {Sessions: 7}}; !maps.Equal(today, want) {
				t.Errorf("%v: want %v", today, want)
			}
			return errors.Join(err1, err2)
		})
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.Count(99, 20260301, "run", usage.Totals{Up: 1}) })
	}},
	{"sightings are kept up to a bound, each with its latest time", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.key("k1", f.user("a").ID, 1)
		var seen []usage.Sighting
		for i := range usage.Pseudonym(store.MaxSightings + 100) {
			seen = append(seen, usage.Sighting{Pseudonym: i * 0x9e3779b97f4a7c15, Last: at.Add(time.Duration(i) * time.Second)})
		}
		put := func(kind string, list ...usage.Sighting) {
			t.Helper()
			f.update(func(tx *store.Tx) error { return tx.PutSightings("k1", kind, list) })
		}
		put(store.SeenUsing, seen[:10]...)
		put(store.SeenUsing, seen...)
		put(store.SeenUsing, usage.Sighting{Pseudonym: seen[0].Pseudonym, Last: at.Add(-time.Hour)})
		put(store.SeenUsing, usage.Sighting{Pseudonym: seen[1].Pseudonym, Last: at.Add(time.Hour)})
		put(store.SeenRevoked, seen[5])
		seen[1].Last = at.Add(time.Hour)
		f.view(func(tx *store.Tx) error {
			got, err := tx.Sightings("k1", store.SeenUsing)
			if len(got) != store.MaxSightings {
				t.Errorf("%d are kept: want %d", len(got), store.MaxSightings)
			}
			for _, s := range got {
				if !slices.Contains(seen, s) {
					t.Errorf("%+v was not put", s)
				}
			}
			for _, s := range seen[:2] {
				if !slices.Contains(got, s) {
					t.Errorf("%+v is missing", s)
				}
			}
			all := list(t, tx.AllSightings())
			if len(all) != store.MaxSightings+1 || !slices.Contains(all, store.KeySighting{Key: "k1", Kind: store.SeenRevoked, Sighting: seen[5]}) {
				t.Errorf("%d in all", len(all))
			}
			return err
		})
		f.update(func(tx *store.Tx) error { return tx.DropSightings("k1", store.SeenUsing) })
		f.view(func(tx *store.Tx) error {
			if left := list(t, tx.AllSightings()); len(left) != 1 || left[0].Kind != store.SeenRevoked {
				t.Errorf("left are %+v", left)
			}
			return nil
		})
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.PutSightings("k9", store.SeenUsing, seen[:1]) })
	}},
}

// usageModel is a user's usage, and the process that counts it.
type usageModel struct {
	*fixture
	user    int64
	run     string
	day     int
	totals  usage.Totals // of this run
	counted usage.Totals // of these, in days
	days    map[int]usage.Totals
}

func plus(a, b usage.Totals) usage.Totals {
	return usage.Totals{Up: a.Up + b.Up, Down: a.Down + b.Down, Sessions: a.Sessions + b.Sessions}
}

func (m *usageModel) draw(r *rapid.T) {
	n := rapid.Int64Range(0, 1<<30)
	m.totals = plus(m.totals, usage.Totals{Up: n.Draw(r, "up"), Down: n.Draw(r, "down"), Sessions: n.Draw(r, "sessions")})
	m.day = max(m.day, 20260301+rapid.IntRange(0, 5).Draw(r, "day"))
}

func (m *usageModel) flush(end error) error {
	_, err := m.Update(m.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.Count(m.user, m.day, m.run, m.totals), end)
	})
	return err
}

func (m *usageModel) count(r *rapid.T) {
	m.draw(r)
	for range rapid.IntRange(1, 3).Draw(r, "times") { // the acknowledgement was lost
		if err := m.flush(nil); err != nil {
			r.Fatal(err)
		}
	}
	grown := plus(m.totals, usage.Totals{Up: -m.counted.Up, Down: -m.counted.Down, Sessions: -m.counted.Sessions})
	m.days[m.day] = plus(m.days[m.day], grown)
	m.counted = m.totals
}

func (m *usageModel) lose(r *rapid.T) {
	m.draw(r)
	if err := m.flush(errRefused); !errors.Is(err, errRefused) {
		r.Fatal(err)
	}
}

func (m *usageModel) restart(*rapid.T) {
	m.run += "+"
	m.totals, m.counted = usage.Totals{}, usage.Totals{}
	m.update(func(tx *store.Tx) error { return tx.EndRuns(m.run) })
}

func (m *usageModel) fold(r *rapid.T) {
	before := 20260301 + rapid.IntRange(0, 6).Draw(r, "day")
	m.update(func(tx *store.Tx) error { _, err := tx.FoldUsage(before); return err })
	for day, t := range m.days {
		if 0 < day && day < before {
			delete(m.days, day)
			m.days[0] = plus(m.days[0], t)
		}
	}
}

func (m *usageModel) check(r *rapid.T) {
	err := m.View(m.Context(), func(tx *store.Tx) error {
		for from := 20260300; from < 20260307; from++ {
			if from == 20260300 {
				from = 0
			}
			var want usage.Totals
			for day, t := range m.days {
				if day >= from {
					want = plus(want, t)
				}
			}
			if got, err := tx.UsageSince(m.user, from); err != nil || got != want {
				r.Fatalf("since %d: %+v, %v: want %+v", from, got, err, want)
			}
			if from == 0 {
				if got, err := tx.Usage(m.user); err != nil || got != want {
					r.Fatalf("ever: %+v, %v: want %+v", got, err, want)
				}
				from = 20260300
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}
