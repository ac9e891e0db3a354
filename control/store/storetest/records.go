package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
)

var pageTests = []test{
	{"a page is found by its user and by its hash", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := f.user("a")
		p := store.Page{UserID: u.ID, Hash: [32]byte{1, 2, 31: 3}, Opened: at}
		f.update(func(tx *store.Tx) error { return tx.PutPage(&p, "the token") })
		f.view(func(tx *store.Tx) error {
			byUser, err1 := tx.Page(u.ID)
			byHash, err2 := tx.PageByHash(p.Hash)
			token, err3 := tx.PageToken(u.ID)
			if byUser != p || byHash != p || token != "the token" || !slices.Equal(list(t, tx.Pages(0)), []store.Page{p}) {
				t.Errorf("%+v, %+v, %q\nput %+v", byUser, byHash, token, p)
			}
			_, err4 := tx.Page(99)
			_, err5 := tx.PageByHash([32]byte{9})
			_, err6 := tx.PageToken(99)
			for _, err := range []error{err4, err5, err6} {
				if !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
			}
			return errors.Join(err1, err2, err3)
		})
	}},
	{"a page is renewed and closed, and its views stay", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := f.user("a")
		p := store.Page{UserID: u.ID, Hash: [32]byte{1}, Opened: at}
		since := f.update(func(tx *store.Tx) error { return tx.PutPage(&p, "one") })
		stale := p
		f.update(func(tx *store.Tx) error { return tx.CountViews(u.ID, 2) })
		p.Hash = [32]byte{2}
		f.update(func(tx *store.Tx) error { return tx.PutPage(&p, "two") })
		p.Closed = at.Add(time.Hour)
		f.update(func(tx *store.Tx) error { return tx.PutPage(&p, "") })
		f.view(func(tx *store.Tx) error {
			got, err1 := tx.Page(u.ID)
			token, err2 := tx.PageToken(u.ID)
			p.Views = 2
			if got != p || token != "two" || len(list(t, tx.Pages(since))) != 1 || len(list(t, tx.Pages(p.Rev))) != 0 {
				t.Errorf("%+v, %q: want %+v", got, token, p)
			}
			if _, err := tx.PageByHash([32]byte{1}); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the old address: %v", err)
			}
			return errors.Join(err1, err2)
		})
		f.refused(store.ErrConflict, func(tx *store.Tx) error { return tx.PutPage(&stale, "three") })
	}},
	{"no two pages are one", func(t *testing.T, open Open) {
		f := fresh(t, open)
		a, b := f.user("a"), f.user("b")
		pa, pb := store.Page{UserID: a.ID, Hash: [32]byte{1}}, store.Page{UserID: b.ID, Hash: [32]byte{2}}
		f.update(func(tx *store.Tx) error { return errors.Join(tx.PutPage(&pa, "a"), tx.PutPage(&pb, "b")) })
		put := func(p store.Page, token string) func(*store.Tx) error {
			return func(tx *store.Tx) error { return tx.PutPage(&p, token) }
		}
		f.refused(store.ErrExists, put(store.Page{UserID: a.ID, Hash: [32]byte{3}}, "c"))
		f.refused(store.ErrNotFound, put(store.Page{UserID: 99, Hash: [32]byte{3}}, "c"))
		f.refused(store.ErrNotFound, put(store.Page{UserID: 99, Hash: [32]byte{3}, Rev: 1}, "c"))
		pb.Hash = pa.Hash
		f.refused(store.ErrExists, put(pb, "b"))
		if _, err := f.Update(t.Context(), put(store.Page{UserID: f.user("c").ID, Hash: [32]byte{4}}, "")); err == nil {
			t.Error("a page without a token was put")
		}
		f.refused(store.ErrNotFound, func(tx *store.Tx) error { return tx.CountViews(99, 1) })
	}},
}

var settingTests = []test{
	{"settings are kept, replaced and taken out", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.view(func(tx *store.Tx) error {
			_, err1 := tx.Setting("s")
			_, err2 := tx.SecretSetting("s")
			if !errors.Is(err1, store.ErrNotFound) || !errors.Is(err2, store.ErrNotFound) {
				t.Errorf("%v, %v", err1, err2)
			}
			return nil
		})
		for _, value := range []string{"one", "", "two"} {
			f.update(func(tx *store.Tx) error {
				return errors.Join(tx.PutSetting("s", []byte(value)), tx.PutSecretSetting("s", []byte("secret "+value)))
			})
			f.view(func(tx *store.Tx) error {
				open, err1 := tx.Setting("s")
				secret, err2 := tx.SecretSetting("s")
				if string(open) != value || string(secret) != "secret "+value {
					t.Errorf("%q and %q", open, secret)
				}
				return errors.Join(err1, err2)
			})
		}
		f.update(func(tx *store.Tx) error { return tx.PutSetting("s", nil) })
		f.view(func(tx *store.Tx) error {
			if value, err := tx.Setting("s"); err != nil || len(value) != 0 {
				t.Errorf("nothing is %q, %v", value, err)
			}
			return nil
		})
		gone := f.update(func(tx *store.Tx) error { return tx.DropSetting("s") })
		if again := f.update(func(tx *store.Tx) error { return tx.DropSetting("s") }); again != gone {
			t.Error("taking out what is not there changed something")
		}
		f.view(func(tx *store.Tx) error {
			if _, err := tx.Setting("s"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("it is there: %v", err)
			}
			_, err := tx.SecretSetting("s")
			return err
		})
	}},
	{"keysets are replaced together", func(t *testing.T, open Open) {
		f := bare(t, open) // they come before the sealer
		for _, want := range []map[string][]byte{
			{"columns": []byte("one"), "audit": []byte("two")},
			{"columns": []byte("three")},
		} {
			kek := fmt.Sprint("kek", len(want))
			f.update(func(tx *store.Tx) error { return tx.PutKeysets(want, kek) })
			f.view(func(tx *store.Tx) error {
				got, under, err := tx.Keysets()
				if under != kek || !maps.EqualFunc(got, want, slices.Equal) {
					t.Errorf("%q under %q", got, under)
				}
				return err
			})
		}
	}},
}

var onceTests = []test{
	{"an answer is given again until its time has passed", func(t *testing.T, open Open) {
		f := fresh(t, open)
		ask := func(key string, now time.Time, want string, wantSeen bool) {
			t.Helper()
			f.view(func(tx *store.Tx) error {
				got, seen, err := tx.Once(key, now)
				if string(got) != want || seen != wantSeen {
					t.Errorf("%q, %v at %v: want %q, %v", got, seen, now, want, wantSeen)
				}
				return err
			})
		}
		ask("r1", at, "", false)
		f.update(func(tx *store.Tx) error { return tx.PutOnce("r1", []byte("one"), at.Add(time.Hour)) })
		f.update(func(tx *store.Tx) error { return tx.PutOnce("r2", nil, at.Add(time.Hour)) })
		ask("r1", at.Add(time.Hour-time.Second), "one", true)
		ask("r2", at, "", true)
		ask("r1", at.Add(time.Hour), "", false)
		f.update(func(tx *store.Tx) error { return tx.PutOnce("r1", []byte("two"), at.Add(2*time.Hour)) })
		ask("r1", at.Add(time.Hour), "two", true)
	}},
	{"answers are swept and bounded", func(t *testing.T, open Open) {
		f := fresh(t, open)
		put := func(tx *store.Tx, i int) error {
			return tx.PutOnce(fmt.Sprint("r", i), []byte{byte(i)}, at.Add(time.Hour))
		}
		f.update(func(tx *store.Tx) error {
			for i := range store.MaxOnce + 5 {
				if err := put(tx, i); err != nil {
					return err
				}
			}
			return nil
		})
		seen := func(i int) (seen bool) {
			f.view(func(tx *store.Tx) (err error) { _, seen, err = tx.Once(fmt.Sprint("r", i), at); return err })
			return seen
		}
		for i, want := range map[int]bool{0: false, 4: false, 5: true, store.MaxOnce + 4: true} {
			if seen(i) != want {
				t.Errorf("answer %d is there: %v, want %v", i, !want, want)
			}
		}
		f.update(func(tx *store.Tx) error {
			later := at.Add(2 * time.Hour)
			if _, _, err := tx.Once("new", later); err != nil {
				return err
			}
			return tx.PutOnce("new", nil, later.Add(time.Hour))
		})
		if seen(store.MaxOnce + 4) {
			t.Error("what had expired was not swept")
		}
		for _, err := range []error{
			func() error {
				_, err := f.Update(t.Context(), func(tx *store.Tx) error { return tx.PutOnce("", nil, at) })
				return err
			}(),
			func() error {
				_, err := f.Update(t.Context(), func(tx *store.Tx) error {
					return tx.PutOnce(strings.Repeat("k", store.MaxOnceKey+1), nil, at)
				})
				return err
			}(),
			func() error {
				_, err := f.Update(t.Context(), func(tx *store.Tx) error {
					return tx.PutOnce("k", make([]byte, store.MaxOnceAnswer+1), at)
				})
				return err
			}(),
		} {
			if err == nil {
				t.Error("what has no bound was kept")
			}
		}
	}},
}
