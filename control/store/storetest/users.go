package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mtguard/control/store"
	"mtguard/security/access"
)

var userTests = []test{
	{"a user comes back as it was put", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := store.User{
			Name: "nadia \"'; --\x01é", Source: store.FromFile, Level: access.Superuser, Disabled: true,
			Expires: at.Add(time.Hour + time.Microsecond), QuotaBytes: 1<<63 - 1, QuotaPer: "month", MaxConnections: 3, MaxAddresses: 1<<31 - 1,
			Domain: "example.com", Note: "12:34 5 \n", Created: at.In(time.FixedZone("", 3600)), Removed: time.Time{},
		}
		f.update(func(tx *store.Tx) error { return tx.PutUser(&u) })
		if u.ID == 0 || u.Rev != f.Revision() {
			t.Errorf("ID %d, revision %d", u.ID, u.Rev)
		}
		u.Created = at
		f.view(func(tx *store.Tx) error {
			byName, err1 := tx.User(u.Name)
			byID, err2 := tx.UserByID(u.ID)
			if byName != u || byID != u || !slices.Equal(list(t, tx.Users(0)), []store.User{u}) {
				t.Errorf("got %+v\nand %+v\nput %+v", byName, byID, u)
			}
			return errors.Join(err1, err2)
		})
	}},
	{"a user that is not there is not found", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.view(func(tx *store.Tx) error {
			_, err1 := tx.User("a")
			_, err2 := tx.UserByID(7)
			if !errors.Is(err1, store.ErrNotFound) || !errors.Is(err2, store.ErrNotFound) {
				t.Errorf("%v, %v", err1, err2)
			}
			return nil
		})
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.PutUser(&store.User{ID: 7, Name: "a"}) })
	}},
	{"what is no user is refused", func(t *testing.T, open Open) {
		f := fresh(t, open)
		for _, u := range []store.User{{}, {Name: "a", Level: access.Superuser + 1}} {
			if _, err := f.Update(t.Context(), func(tx *store.Tx) error { return tx.PutUser(&u) }); err == nil {
				t.Errorf("%+v was put", u)
			}
		}
	}},
	{"a user that changed meanwhile is a conflict", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := f.user("a")
		stale := u
		u.Note = "new"
		f.update(func(tx *store.Tx) error { return tx.PutUser(&u) })
		f.refused(store.ErrConflict, func(tx *store.Tx) error {
			other := newUser("b") // goes with it
			stale.Note = "old"
			return errors.Join(tx.PutUser(&other), tx.PutUser(&stale))
		})
	}},
	{"users, names and revisions behave as a list would", func(t *testing.T, open Open) {
		rapid.Check(t, func(r *rapid.T) {
			f := &fixture{t, open(t)}
			defer f.Close()
			if err := f.SetSealer(t.Context(), NewSealer()); err != nil {
				r.Fatal(err)
			}
			m := &userModel{fixture: f, users: map[int64]store.User{}}
			r.Repeat(map[string]func(*rapid.T){"": m.check, "add": m.add, "change": m.change, "stale": m.stale, "undo": m.undo})
		})
	}},
}

// userModel is what the users of a store should be.
type userModel struct {
	*fixture
	users map[int64]store.User
}

func drawUser(r *rapid.T) store.User {
	u := newUser(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(r, "name"))
	u.Level = rapid.SampledFrom(access.Levels()).Draw(r, "level")
	u.Disabled = rapid.Bool().Draw(r, "disabled")
	u.QuotaBytes = rapid.Int64().Draw(r, "quota")
	u.Note = rapid.StringN(0, 20, -1).Draw(r, "note")
	u.MaxConnections = rapid.IntRange(0, 1<<40).Draw(r, "connections")
	if rapid.Bool().Draw(r, "expiring") {
		u.Expires = time.UnixMicro(rapid.Int64Range(1, 1<<52).Draw(r, "expires")).UTC()
	}
	return u
}

// put does what the model says must happen.
func (m *userModel) put(r *rapid.T, u store.User) {
	old, there := m.users[u.ID]
	taken := false
	for id, other := range m.users {
		taken = taken || id != u.ID && other.Name == u.Name && other.Removed.IsZero() && u.Removed.IsZero()
	}
	before := m.Revision()
	given := u
	rev, err := m.Update(m.Context(), func(tx *store.Tx) error { return tx.PutUser(&u) })
	switch {
	case taken:
		if !errors.Is(err, store.ErrExists) {
			r.Fatalf("name %q twice: %v", u.Name, err)
		}
	case there && old.Rev != given.Rev:
		if !errors.Is(err, store.ErrConflict) {
			r.Fatalf("revision %d of %d: %v", given.Rev, old.Rev, err)
		}
	default:
		if err != nil || rev != before+1 || u.Rev != rev || u.ID == 0 {
			r.Fatalf("put: %v, revision %d behind %d, %+v", err, rev, before, u)
		}
		if _, known := m.users[u.ID]; given.ID == 0 && known {
			r.Fatalf("ID %d was given twice", u.ID)
		}
		m.users[u.ID] = u
	}
}

func (m *userModel) add(r *rapid.T) { m.put(r, drawUser(r)) }

func (m *userModel) one(r *rapid.T) store.User {
	if len(m.users) == 0 {
		r.Skip("there are no users yet")
	}
	return m.users[rapid.SampledFrom(slices.Sorted(maps.Keys(m.users))).Draw(r, "id")]
}

func (m *userModel) change(r *rapid.T) {
	old, u := m.one(r), drawUser(r)
	u.ID, u.Rev = old.ID, old.Rev
	if rapid.Bool().Draw(r, "remove") {
		u.Removed = at
	}
	m.put(r, u)
}

func (m *userModel) stale(r *rapid.T) {
	u := m.one(r)
	u.Rev -= rapid.SampledFrom([]store.Revision{-1, 1}).Draw(r, "off by")
	m.put(r, u)
}

func (m *userModel) undo(r *rapid.T) {
	u := drawUser(r)
	if _, err := m.Update(m.Context(), func(tx *store.Tx) error {
		tx.PutUser(&u)
		return errRefused
	}); !errors.Is(err, errRefused) {
		r.Fatal(err)
	}
}

func (m *userModel) check(r *rapid.T) {
	since := store.Revision(rapid.Int64Range(1, int64(m.Revision())+1).Draw(r, "since"))
	want := func(keep func(store.User) bool) []store.User {
		all := slices.SortedFunc(maps.Values(m.users), func(a, b store.User) int { return cmp.Compare(a.ID, b.ID) })
		return slices.DeleteFunc(all, func(u store.User) bool { return !keep(u) })
	}
	err := m.View(m.Context(), func(tx *store.Tx) error {
		live := want(func(u store.User) bool { return u.Removed.IsZero() })
		if got := list(m, tx.Users(0)); !slices.Equal(got, live) {
			r.Fatalf("live users %+v\nwant %+v", got, live)
		}
		changed := want(func(u store.User) bool { return u.Rev > since })
		if got := list(m, tx.Users(since)); !slices.Equal(got, changed) {
			r.Fatalf("users since %d: %+v\nwant %+v", since, got, changed)
		}
		for _, u := range live {
			if got, err := tx.User(u.Name); err != nil || got != u {
				return fmt.Errorf("user %q: %+v, %w", u.Name, got, err)
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}
