package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"mtguard/control/store"
)

var errRefused = errors.New("refused by the test")

var transactionTests = []test{
	{"a new store is empty and of revision 0", func(t *testing.T, open Open) {
		f := bare(t, open)
		if f.Revision() != 0 {
			t.Errorf("revision %d", f.Revision())
		}
		f.view(func(tx *store.Tx) error {
			keysets, kek, err := tx.Keysets()
			if len(keysets) != 0 || kek != "" || tx.Revision() != 0 {
				t.Errorf("keysets %v under %q, revision %d", keysets, kek, tx.Revision())
			}
			return err
		})
	}},
	{"an update raises the revision by one, if it changed something", func(t *testing.T, open Open) {
		f := fresh(t, open)
		before := f.Revision()
		got := f.update(func(tx *store.Tx) error {
			for _, name := range []string{"a", "b"} {
				u := newUser(name)
				if err := tx.PutUser(&u); err != nil {
					return err
				}
				if u.Rev != before+1 {
					t.Errorf("a row's revision is %d: want %d", u.Rev, before+1)
				}
			}
			if tx.Revision() != before {
				t.Errorf("the transaction found revision %d: want %d", tx.Revision(), before)
			}
			return nil
		})
		if got != before+1 || f.Revision() != got {
			t.Errorf("revision %d, of the store %d: want %d", got, f.Revision(), before+1)
		}
		if again := f.update(func(tx *store.Tx) error { _, err := tx.User("a"); return err }); again != got {
			t.Errorf("reading in an update made revision %d of %d", again, got)
		}
		f.view(func(tx *store.Tx) error {
			if tx.Revision() != got {
				t.Errorf("a view is at revision %d: want %d", tx.Revision(), got)
			}
			return nil
		})
	}},
	{"an error takes everything back", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.key("k1", f.user("a").ID, 1)
		f.refused(errRefused, func(tx *store.Tx) error {
			return errors.Join(changeMuch(tx), errRefused)
		})
	}},
	{"a panic takes everything back and goes on", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.key("k1", f.user("a").ID, 1)
		before := f.everything()
		func() {
			defer func() {
				if got := recover(); got != "by the test" {
					t.Errorf("recovered %v", got)
				}
			}()
			f.Update(t.Context(), func(tx *store.Tx) error {
				if err := changeMuch(tx); err != nil {
					t.Error(err)
				}
				panic("by the test")
			})
		}()
		if after := f.everything(); after != before {
			t.Errorf("a panic changed the store from\n%s\nto\n%s", before, after)
		}
		f.user("b") // the writer is free again
	}},
	{"the end of a context takes everything back", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.key("k1", f.user("a").ID, 1)
		before := f.everything()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := f.Update(ctx, func(tx *store.Tx) error {
			err := changeMuch(tx)
			cancel()
			if u := newUser("late"); !errors.Is(tx.PutUser(&u), context.Canceled) {
				t.Error("a transaction goes on behind the end of its context")
			}
			return err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("update ends with %v", err)
		}
		if after := f.everything(); after != before {
			t.Errorf("a canceled update changed the store from\n%s\nto\n%s", before, after)
		}
		if _, err := f.Update(ctx, func(*store.Tx) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("update with an ended context: %v", err)
		}
		if err := f.View(ctx, func(*store.Tx) error { t.Error("ran"); return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("view with an ended context: %v", err)
		}
		f.user("b")
	}},
	{"waiting for another update ends with the context", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.update(func(*store.Tx) error {
			ctx, cancel := context.WithCancel(t.Context())
			waiting := make(chan error)
			go func() {
				_, err := f.Update(ctx, func(*store.Tx) error { t.Error("ran"); return nil })
				waiting <- err
			}()
			cancel()
			if err := <-waiting; !errors.Is(err, context.Canceled) {
				t.Errorf("it ends with %v", err)
			}
			return nil
		})
	}},
	{"a view sees one state and waits for nobody", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := f.user("a")
		f.view(func(tx *store.Tx) error {
			u.Note = "changed"
			f.update(func(tx *store.Tx) error { return tx.PutUser(&u) })
			got, err := tx.User("a")
			if got.Note != "" || tx.Revision() >= u.Rev {
				t.Errorf("a view sees a later state: %+v at %d", got, tx.Revision())
			}
			return err
		})
		f.update(func(tx *store.Tx) error {
			u.Note = "again"
			err := tx.PutUser(&u)
			f.view(func(tx *store.Tx) error {
				if got, _ := tx.User("a"); got.Note != "changed" {
					t.Errorf("a view sees what is not durable: %+v", got)
				}
				return nil
			})
			return err
		})
	}},
	{"a view changes nothing", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := f.user("a")
		f.view(func(tx *store.Tx) error {
			k := newKey("k1", u.ID, 1)
			for name, err := range map[string]error{
				"PutUser": tx.PutUser(&u), "PutKey": tx.PutKey(&k, []byte("m")), "PutSetting": tx.PutSetting("s", []byte("v")),
				"CountViews": tx.CountViews(u.ID, 1), "DropKeys": tx.DropKeys(u.ID), "PutOnce": tx.PutOnce("k", nil, at),
				"CountHits": tx.CountHits("x", 1), "ListChecked": tx.ListChecked("l", at, at, 1, ""),
				"AddPolicy": tx.AddPolicy(&store.PolicyRevision{Document: "schema = 1"}),
			} {
				if err == nil {
					t.Errorf("%s worked in a view", name)
				}
			}
			if _, err := tx.Audit(entry("x")); err == nil {
				t.Error("Audit worked in a view")
			}
			return nil
		})
	}},
	{"a transaction is of no use behind its end", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.user("a")
		var kept *store.Tx
		f.update(func(tx *store.Tx) error { kept = tx; return nil })
		u := newUser("b")
		if err := kept.PutUser(&u); err == nil {
			t.Error("it can still change")
		}
		f.view(func(tx *store.Tx) error { kept = tx; return nil })
		if _, err := kept.User("a"); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("it can still read: %v", err)
		}
	}},
	{"updates of many goroutines are one behind the other", func(t *testing.T, open Open) {
		f := fresh(t, open)
		before := f.Revision()
		const writers, each = 8, 25
		f.update(func(tx *store.Tx) error { return tx.PutSetting("n", []byte("0")) })
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for range each {
					_, err := f.Update(t.Context(), func(tx *store.Tx) error {
						text, err := tx.Setting("n")
						if err != nil {
							return err
						}
						var n int
						fmt.Sscan(string(text), &n)
						return tx.PutSetting("n", fmt.Append(nil, n+1))
					})
					err = errors.Join(err, f.View(t.Context(), func(tx *store.Tx) error { _, err := tx.Setting("n"); return err }))
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		f.view(func(tx *store.Tx) error {
			if text, _ := tx.Setting("n"); string(text) != fmt.Sprint(writers*each) {
				t.Errorf("%s updates of %d are there", text, writers*each)
			}
			return nil
		})
		if got, want := f.Revision(), before+1+writers*each; got != want {
			t.Errorf("revision %d: want %d", got, want)
		}
	}},
	{"a list may be changed while it is read", func(t *testing.T, open Open) {
		f := fresh(t, open)
		const n = 1200 // more than what is read at a time
		f.update(func(tx *store.Tx) error {
			for i := range n {
				u := newUser(fmt.Sprint("u", i))
				if err := tx.PutUser(&u); err != nil {
					return err
				}
			}
			return nil
		})
		since := f.Revision() - 1
		f.update(func(tx *store.Tx) error {
			seen := 0
			for u, err := range tx.Users(since) {
				if err != nil {
					return err
				}
				if again, err := tx.User(u.Name); err != nil || again.ID != u.ID {
					return fmt.Errorf("%+v: %w", again, err)
				}
				u.Note = "seen"
				if err := tx.PutUser(&u); err != nil {
					return err
				}
				seen++
			}
			if seen != n {
				t.Errorf("%d of %d users seen", seen, n)
			}
			return nil
		})
	}},
	{"a list may be read twice, and given up", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.user("a")
		f.user("b")
		f.view(func(tx *store.Tx) error {
			for _, users := range []iter.Seq2[store.User, error]{tx.Users(0), tx.Users(-1)} {
				for range users {
					break
				}
				if first, second := list(t, users), list(t, users); len(first) != 2 || !slices.Equal(first, second) {
					t.Errorf("%+v, and then %+v", first, second)
				}
			}
			return nil
		})
	}},
	{"a closed store is closed", func(t *testing.T, open Open) {
		f := fresh(t, open)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := f.Update(t.Context(), func(*store.Tx) error { return nil })
		for _, err := range []error{err, f.View(t.Context(), func(*store.Tx) error { return nil }), f.Snapshot(t.Context(), "x")} {
			if !errors.Is(err, store.ErrClosed) {
				t.Errorf("%v", err)
			}
		}
		if err := f.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	}},
}

// changeMuch changes something of everything of a store with user a and key k1.
func changeMuch(tx *store.Tx) error {
	u, err := tx.User("a")
	if err != nil {
		return err
	}
	u.Note = "changed"
	other := newUser("other")
	k1, err := tx.Key("k1")
	if err != nil {
		return err
	}
	k1.Reason = "changed"
	if err := errors.Join(tx.PutUser(&u), tx.PutUser(&other), tx.PutKey(&k1, nil)); err != nil {
		return err
	}
	k2 := newKey("k2", other.ID, 1)
	page := store.Page{UserID: u.ID, Hash: [32]byte{1}, Opened: at}
	rule, exception, list := rules.named("r"), exceptions.named("x"), lists.named("l")
	_, err = tx.Audit(entry("much"))
	return errors.Join(err, tx.PutRule(&rule), tx.PutException(&exception), tx.PutList(&list), tx.CountHits("x", 1),
		tx.AddPolicy(&store.PolicyRevision{Document: "schema = 1"}), tx.PutKey(&k2, []byte("m")), tx.PutPage(&page, "token"), tx.EraseMaterial("k1"),
		tx.AddKeyEvent(store.KeyEvent{Key: "k1", At: at, To: "retired"}), tx.PutSetting("s", []byte("v")), tx.PutSecretSetting("s", []byte("v")))
}
