package storetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mtguard/control/store"
	"mtguard/security/aead"
	"mtguard/security/keys"
)

var keyTests = []test{
	{"a key comes back as it was put, and its material by itself", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := f.user("a")
		k := store.Key{
			Generation: keys.Generation{
				ID: "0123456789abcdef", Number: 7, State: keys.Retiring, Reason: "lost: phone\n7 ",
				Created: at, NotBefore: at.Add(1 * time.Microsecond), Activated: at.Add(2 * time.Second), RetireBy: at.Add(3 * time.Hour),
				NotAfter: at.Add(4 * time.Hour), Ended: at.Add(5 * time.Hour), FirstUsed: at.Add(6 * time.Hour), LastUsed: at.Add(7 * time.Hour),
			},
			Purpose: store.ForUser, UserID: u.ID, Source: store.Imported,
		}
		f.update(func(tx *store.Tx) error { return tx.PutKey(&k, []byte("the material")) })
		if k.Rev != f.Revision() || k.Erased {
			t.Errorf("%+v", k)
		}
		f.view(func(tx *store.Tx) error {
			got, err1 := tx.Key(k.ID)
			of, err2 := tx.KeysOf(u.ID)
			if got != k || !slices.Equal(of, []store.Key{k}) || !slices.Equal(list(t, tx.Keys(0)), of) {
				t.Errorf("got %+v\nput %+v", got, k)
			}
			material, err3 := tx.Material(k.ID)
			if string(material) != "the material" {
				t.Errorf("material %q", material)
			}
			return errors.Join(err1, err2, err3)
		})
	}},
	{"keys for sealing are nobody's", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.key("k1", f.user("a").ID, 1)
		s2 := store.Key{Generation: keys.Generation{ID: "s2", Number: 2, State: keys.Active}, Purpose: store.ForSeal, Suite: aead.AES256GCM}
		s1 := store.Key{Generation: keys.Generation{ID: "s1", Number: 1, State: keys.Retired}, Purpose: store.ForSeal, Suite: aead.AES128GCM}
		f.update(func(tx *store.Tx) error {
			return errors.Join(tx.PutKey(&s2, []byte("m")), tx.PutKey(&s1, []byte("m")))
		})
		f.view(func(tx *store.Tx) error {
			got, err := tx.SealKeys()
			if !slices.Equal(got, []store.Key{s1, s2}) {
				t.Errorf("%+v", got)
			}
			if of, _ := tx.KeysOf(0); len(of) != 0 {
				t.Errorf("nobody has %+v", of)
			}
			return err
		})
		again := store.Key{Generation: keys.Generation{ID: "s3", Number: 2, State: keys.Active}, Purpose: store.ForSeal}
		f.refused(store.ErrExists, func(tx *store.Tx) error { return tx.PutKey(&again, []byte("m")) })
	}},
	{"what cannot be put is refused", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := f.user("a")
		k := f.key("k1", u.ID, 1)
		put := func(change func(*store.Key), material []byte) func(*store.Tx) error {
			return func(tx *store.Tx) error {
				other := k
				change(&other)
				return tx.PutKey(&other, material)
			}
		}
		m := []byte("m")
		f.refused(store.ErrExists, put(func(k *store.Key) { k.Rev, k.Number = 0, 2 }, m))
		f.refused(store.ErrExists, put(func(k *store.Key) { k.Rev, k.ID = 0, "k2" }, m))
		f.refused(store.ErrNotFound, put(func(k *store.Key) { k.Rev, k.ID, k.UserID = 0, "k2", 99 }, m))
		f.refused(store.ErrNotFound, put(func(k *store.Key) { k.ID = "k2" }, nil))
		f.refused(store.ErrConflict, put(func(k *store.Key) { k.Rev-- }, m))
		for what, change := range map[string]func(*store.Key){
			"without an ID":          func(k *store.Key) { k.ID = "" },
			"without a purpose":      func(k *store.Key) { k.Purpose = "" },
			"in no state":            func(k *store.Key) { k.State = 0 },
			"new and without secret": func(k *store.Key) { k.Rev, k.ID, k.Number = 0, "k2", 2 },
			"of another user":        func(k *store.Key) { k.UserID = 99 },
			"of another number":      func(k *store.Key) { k.Number = 2 },
		} {
			if _, err := f.Update(t.Context(), put(change, nil)); err == nil {
				t.Errorf("a key %s was put", what)
			}
		}
	}},
	{"erased material stays erased", func(t *testing.T, open Open) {
		f := fresh(t, open)
		k := f.key("k1", f.user("a").ID, 1)
		before := k.Rev
		f.update(func(tx *store.Tx) error { return tx.EraseMaterial("k1") })
		f.view(func(tx *store.Tx) (err error) {
			if k, err = tx.Key("k1"); !k.Erased || k.Rev <= before {
				t.Errorf("%+v", k)
			}
			if m, err := tx.Material("k1"); !errors.Is(err, store.ErrErased) {
				t.Errorf("material %q, %v", m, err)
			}
			if left := list(t, tx.Materials(0)); len(left) != 0 {
				t.Errorf("%v are left", left)
			}
			return err
		})
		f.refused(store.ErrErased, func(tx *store.Tx) error { return tx.PutKey(&k, []byte("again")) })
		k.State = keys.Revoked
		now := f.update(func(tx *store.Tx) error { return tx.PutKey(&k, nil) })
		if !k.Erased {
			t.Error("changing a key made its material come back")
		}
		if again := f.update(func(tx *store.Tx) error { return tx.EraseMaterial("k1") }); again != now {
			t.Error("erasing twice changed something")
		}
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.EraseMaterial("k2") })
	}},
	{"use moves only outwards, and raises no revision", func(t *testing.T, open Open) {
		f := fresh(t, open)
		k := f.key("k1", f.user("a").ID, 1)
		first, last := at.Add(time.Hour), at.Add(2*time.Hour)
		for _, use := range [][2]time.Time{{first, first}, {last, last}, {}, {first.Add(time.Minute), first.Add(time.Minute)}} {
			if f.update(func(tx *store.Tx) error { return tx.MarkUsed("k1", use[0], use[1]) }) != k.Rev {
				t.Error("the revision rose")
			}
		}
		k.Reason = "changed"
		f.update(func(tx *store.Tx) error { return tx.PutKey(&k, nil) }) // knows of no use
		if !k.FirstUsed.Equal(first) || !k.LastUsed.Equal(last) {
			t.Errorf("used %v to %v: want %v to %v", k.FirstUsed, k.LastUsed, first, last)
		}
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.MarkUsed("k2", first, last) })
	}},
	{"a user's keys go at once, with all that hangs on them", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u, other := f.user("a"), f.user("b")
		f.key("k1", u.ID, 1)
		f.key("k2", u.ID, 2)
		kept := f.key("k3", other.ID, 1)
		f.update(func(tx *store.Tx) error {
			return errors.Join(count(tx, u.ID), tx.AddKeyEvent(store.KeyEvent{Key: "k1", At: at, To: "active"}))
		})
		f.update(func(tx *store.Tx) error { return tx.DropKeys(u.ID) })
		f.view(func(tx *store.Tx) error {
			if left := list(t, tx.Keys(0)); !slices.Equal(left, []store.Key{kept}) {
				t.Errorf("left are %+v", left)
			}
			if left := list(t, tx.AllSightings()); len(left) != 0 {
				t.Errorf("left are %+v", left)
			}
			history, err := tx.KeyEvents(store.KeyEventFilter{})
			if len(history) != 1 {
				t.Errorf("the history is %+v", history)
			}
			return err
		})
	}},
	{"material is given in one list and printed by nothing", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := f.user("a")
		const n = 700
		f.update(func(tx *store.Tx) error {
			for i := range n {
				k := newKey(keys.ID(fmt.Sprint("k", i)), u.ID, i+1)
				if err := tx.PutKey(&k, []byte("canary "+k.ID)); err != nil {
					return err
				}
			}
			return nil
		})
		since := f.Revision()
		f.key("last", u.ID, n+1)
		f.view(func(tx *store.Tx) error {
			all := list(t, tx.Materials(0))
			if len(all) != n+1 || len(list(t, tx.Materials(since))) != 1 {
				t.Errorf("%d materials", len(all))
			}
			for _, m := range all[:n] {
				if string(m.Bytes()) != "canary "+string(m.ID) {
					t.Errorf("%s has %q", m.ID, m.Bytes())
				}
			}
			type holder struct{ m store.Material }
			text, _ := json.Marshal(all[0])
			for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				text = fmt.Appendf(text, format+format, all[0], holder{all[0]})
			}
			for _, canary := range []string{"canary", "63616e617279", "99 97 110", "Y2FuYXJ5"} {
				if strings.Contains(string(text), canary) {
					t.Errorf("printed: %s", text)
				}
			}
			return nil
		})
	}},
	{"the history of keys is found by key and user, newest first, a page at a time", func(t *testing.T, open Open) {
		f := fresh(t, open)
		var all []store.KeyEvent
		f.update(func(tx *store.Tx) error {
			for i := range 10 {
				e := store.KeyEvent{
					Key: keys.ID(fmt.Sprint("k", i%3)), User: fmt.Sprint("u", i%2), At: at.Add(time.Duration(i) * time.Minute),
					From: "active", To: "retiring", Actor: "schedule", Reason: fmt.Sprint("reason ", i),
				}
				if err := tx.AddKeyEvent(e); err != nil {
					return err
				}
				all = append(all, e)
			}
			return nil
		})
		f.view(func(tx *store.Tx) error {
			got, err := tx.KeyEvents(store.KeyEventFilter{})
			if err != nil || len(got) != len(all) {
				t.Fatalf("%d events, %v", len(got), err)
			}
			for i := range got {
				all[len(all)-1-i].Seq = got[i].Seq
			}
			for _, filter := range []store.KeyEventFilter{
				{}, {Key: "k1"}, {User: "u1"}, {Key: "k1", User: "u1"}, {Key: "k9"}, {Limit: 3}, {User: "u0", Limit: 2},
				{Before: got[4].Seq}, {User: "u0", Before: got[4].Seq, Limit: 1}, {Before: -1}, {Limit: 1 << 40},
			} {
				var want []store.KeyEvent
				for _, e := range slices.Backward(all) {
					if (filter.Key == "" || e.Key == filter.Key) && (filter.User == "" || e.User == filter.User) &&
						(filter.Before <= 0 || e.Seq < filter.Before) && (filter.Limit == 0 || len(want) < filter.Limit) {
						want = append(want, e)
					}
				}
				if got, err := tx.KeyEvents(filter); err != nil || !slices.Equal(got, want) {
					t.Errorf("%+v: %+v, %v\nwant %+v", filter, got, err, want)
				}
			}
			return nil
		})
	}},
	{"keys, revisions and material behave as a list would", func(t *testing.T, open Open) {
		rapid.Check(t, func(r *rapid.T) {
			f := &fixture{t, open(t)}
			defer f.Close()
			if err := f.SetSealer(t.Context(), NewSealer()); err != nil {
				r.Fatal(err)
			}
			m := &keyModel{fixture: f, keys: map[keys.ID]modelKey{}, users: []int64{f.user("a").ID, f.user("b").ID}}
			r.Repeat(map[string]func(*rapid.T){
				"": m.check, "add": m.add, "change": m.change, "erase": m.erase, "drop": m.drop, "undo": m.undo,
			})
		})
	}},
}

// keyModel is what the keys of a store with two users should be.
type keyModel struct {
	*fixture
	users []int64
	keys  map[keys.ID]modelKey
	added int
}

type modelKey struct {
	store.Key
	order    int // of adding
	material string
}

func drawState(r *rapid.T) keys.State {
	return keys.State(rapid.IntRange(int(keys.Pending), int(keys.Revoked)).Draw(r, "state"))
}

func (m *keyModel) add(r *rapid.T) {
	k := newKey(keys.ID(rapid.StringMatching(`[ab]{2}`).Draw(r, "id")), rapid.SampledFrom(m.users).Draw(r, "user"), rapid.IntRange(1, 4).Draw(r, "number"))
	k.State = drawState(r)
	material := rapid.StringN(1, 40, -1).Draw(r, "material")
	_, taken := m.keys[k.ID]
	for _, other := range m.keys {
		taken = taken || other.UserID == k.UserID && other.Number == k.Number
	}
	_, err := m.Update(m.Context(), func(tx *store.Tx) error { return tx.PutKey(&k, []byte(material)) })
	if taken {
		if !errors.Is(err, store.ErrExists) {
			r.Fatalf("%+v twice: %v", k, err)
		}
		return
	}
	if err != nil || k.Rev != m.Revision() {
		r.Fatalf("add %+v: %v", k, err)
	}
	m.added++
	m.keys[k.ID] = modelKey{k, m.added, material}
}

func (m *keyModel) one(r *rapid.T) modelKey {
	if len(m.keys) == 0 {
		r.Skip("there are no keys yet")
	}
	return m.keys[rapid.SampledFrom(slices.Sorted(maps.Keys(m.keys))).Draw(r, "id")]
}

func (m *keyModel) change(r *rapid.T) {
	old := m.one(r)
	k := old.Key
	k.State, k.Reason = drawState(r), rapid.StringN(0, 10, -1).Draw(r, "reason")
	k.RetireBy = at.Add(time.Duration(rapid.IntRange(0, 1000).Draw(r, "retire")) * time.Hour)
	k.Rev += store.Revision(rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(r, "off by"))
	var material []byte
	if rapid.Bool().Draw(r, "with material") {
		material = []byte(rapid.StringN(1, 40, -1).Draw(r, "material"))
	}
	given := k
	_, err := m.Update(m.Context(), func(tx *store.Tx) error { return tx.PutKey(&k, material) })
	want := error(nil)
	switch {
	case given.Rev != old.Rev:
		want = store.ErrConflict
	case old.Erased && material != nil:
		want = store.ErrErased
	}
	if !errors.Is(err, want) {
		r.Fatalf("change %+v: %v, want %v", given, err, want)
	}
	if want == nil {
		if material != nil {
			old.material = string(material)
		}
		m.keys[k.ID] = modelKey{k, old.order, old.material}
	}
}

func (m *keyModel) erase(r *rapid.T) {
	k := m.one(r)
	rev, err := m.Update(m.Context(), func(tx *store.Tx) error { return tx.EraseMaterial(k.ID) })
	if err != nil {
		r.Fatal(err)
	}
	if !k.Erased {
		k.Erased, k.Rev = true, rev
		m.keys[k.ID] = k
	}
}

func (m *keyModel) drop(r *rapid.T) {
	user := rapid.SampledFrom(m.users).Draw(r, "user")
	if _, err := m.Update(m.Context(), func(tx *store.Tx) error { return tx.DropKeys(user) }); err != nil {
		r.Fatal(err)
	}
	maps.DeleteFunc(m.keys, func(_ keys.ID, k modelKey) bool { return k.UserID == user })
}

func (m *keyModel) undo(r *rapid.T) {
	k := m.one(r).Key
	if _, err := m.Update(m.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.EraseMaterial(k.ID), tx.DropKeys(k.UserID), errRefused)
	}); !errors.Is(err, errRefused) {
		r.Fatal(err)
	}
}

func (m *keyModel) check(r *rapid.T) {
	since := store.Revision(rapid.Int64Range(0, int64(m.Revision())+1).Draw(r, "since"))
	changed := slices.SortedFunc(maps.Values(m.keys), func(a, b modelKey) int { return cmp.Compare(a.order, b.order) })
	changed = slices.DeleteFunc(changed, func(k modelKey) bool { return k.Rev <= since })
	err := m.View(m.Context(), func(tx *store.Tx) error {
		got := list(m, tx.Keys(since))
		materials := list(m, tx.Materials(since))
		if len(got) != len(changed) {
			r.Fatalf("since %d: %+v\nwant %+v", since, got, changed)
		}
		for i, k := range changed {
			if got[i] != k.Key {
				r.Fatalf("got %+v\nwant %+v", got[i], k.Key)
			}
			material, err := tx.Material(k.ID)
			if k.Erased {
				if !errors.Is(err, store.ErrErased) {
					r.Fatalf("erased key %s has %q, %v", k.ID, material, err)
				}
				continue
			}
			if err != nil || string(material) != k.material || len(materials) == 0 || materials[0].ID != k.ID || string(materials[0].Bytes()) != k.material {
				r.Fatalf("key %s has %q, %v: want %q", k.ID, material, err, k.material)
			}
			materials = materials[1:]
		}
		if len(materials) > 0 {
			r.Fatalf("%v besides", materials)
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}
