package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/security/auditlog"
	"mtguard/security/keys"
)

// verify checks the rows against the State and tells how many there are.
func (f *fixture) verify() (rows int64) {
	f.Helper()
	f.view(func(tx *store.Tx) error {
		head, err := tx.AuditState()
		if err != nil {
			return err
		}
		report := auditlog.Verify(tx.AuditRows(1, 0), auditlog.Evidence{Head: &head})
		if report.Err() != nil {
			return report.Err()
		}
		rows = report.Intact
		return nil
	})
	return rows
}

var auditTests = []test{
	{"rows verify, whoever appends them", func(t *testing.T, open Open) {
		f := fresh(t, open)
		if n := f.verify(); n != 0 {
			t.Errorf("%d rows in a new log", n)
		}
		const writers, each = 5, 20
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for range each {
					if _, err := f.Update(t.Context(), func(tx *store.Tx) error {
						for range 3 {
							if _, err := tx.Audit(entry("x")); err != nil {
								return err
							}
						}
						return nil
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if n := f.verify(); n != writers*each*3 {
			t.Errorf("%d rows: want %d", n, writers*each*3)
		}
	}},
	{"a row is of its transaction", func(t *testing.T, open Open) {
		f := fresh(t, open)
		append3 := func(tx *store.Tx) error {
			for i := range int64(3) {
				before, err := tx.AuditState()
				if err != nil {
					return err
				}
				seq, err := tx.Audit(entry("x"))
				if err != nil {
					return err
				}
				if after, err := tx.AuditState(); err != nil || seq != before.Rows()+1 || after.Rows() != seq {
					return fmt.Errorf("row %d is number %d, behind %d: %w", i, seq, before.Rows(), err)
				}
			}
			return nil
		}
		f.update(append3)
		f.refused(errRefused, func(tx *store.Tx) error { return errors.Join(append3(tx), errRefused) })
		f.update(append3)
		if n := f.verify(); n != 6 {
			t.Errorf("%d rows", n)
		}
	}},
	{"an entry that is refused leaves the log as it was", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.update(func(tx *store.Tx) error {
			if _, err := tx.Audit(auditlog.Entry{Time: at}); err == nil {
				t.Error("an empty entry was taken")
			}
			_, err := tx.Audit(entry("x"))
			return err
		})
		if n := f.verify(); n != 1 {
			t.Errorf("%d rows", n)
		}
	}},
	{"rows are read from one number to another", func(t *testing.T, open Open) {
		f := fresh(t, open)
		const n = 1100
		f.update(func(tx *store.Tx) error {
			for i := range n {
				e := entry("x")
				e.Time = at.Add(time.Duration(i) * time.Second)
				e.Object, e.Reason = "user \"é\\", fmt.Sprint(i)
				if _, err := tx.Audit(e); err != nil {
					return err
				}
			}
			return nil
		})
		f.verify()
		f.view(func(tx *store.Tx) error {
			for _, c := range []struct{ from, to, first, last int64 }{
				{1, 0, 1, n}, {0, 0, 1, n}, {-5, 3, 1, 3}, {500, 500, 500, 500}, {n - 9, n + 9, n - 9, n}, {n + 1, 0, 1, 0}, {5, 4, 1, 0},
			} {
				var got []int64
				for _, row := range list(t, tx.AuditRows(c.from, c.to)) {
					e, err := row.Entry()
					if err != nil {
						return err
					}
					got = append(got, e.Seq)
				}
				var want []int64
				for i := c.first; i <= c.last; i++ {
					want = append(want, i)
				}
				if !slices.Equal(got, want) {
					t.Errorf("rows %d to %d are %v", c.from, c.to, got)
				}
			}
			return nil
		})
	}},
	{"checkpoints are kept in their order, once each", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.update(func(tx *store.Tx) error {
			return errors.Join(tx.PutCheckpoint(20, []byte("b")), tx.PutCheckpoint(3, []byte("a")), tx.PutCheckpoint(20, []byte("b")), tx.PutCheckpoint(20, []byte("c")))
		})
		f.view(func(tx *store.Tx) error {
			got, err := tx.Checkpoints()
			if !slices.EqualFunc(got, []string{"a", "b", "c"}, func(a []byte, b string) bool { return string(a) == b }) {
				t.Errorf("%q", got)
			}
			return err
		})
	}},
}

var sealingTests = []test{
	{"without a sealer, what is secret waits and the rest works", func(t *testing.T, open Open) {
		f := bare(t, open)
		u := f.user("a")
		k := newKey("k1", u.ID, 1)
		for name, fn := range map[string]func(tx *store.Tx) error{
			"PutKey":           func(tx *store.Tx) error { return tx.PutKey(&k, []byte("m")) },
			"PutPage":          func(tx *store.Tx) error { return tx.PutPage(&store.Page{UserID: u.ID}, "token") },
			"PutSecretSetting": func(tx *store.Tx) error { return tx.PutSecretSetting("s", []byte("v")) },
			"PutOnce":          func(tx *store.Tx) error { return tx.PutOnce("k", nil, at) },
			"Audit":            func(tx *store.Tx) error { _, err := tx.Audit(entry("x")); return err },
			"AuditState":       func(tx *store.Tx) error { _, err := tx.AuditState(); return err },
			"Rewrap":           func(tx *store.Tx) error { _, err := tx.Rewrap(1); return err },
		} {
			if _, err := f.Update(t.Context(), fn); !errors.Is(err, store.ErrSealed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}},
	{"rewrap seals everything again, a part at a time, and changes no revision", func(t *testing.T, open Open) {
		f := bare(t, open)
		sealer := NewSealer()
		if err := f.SetSealer(t.Context(), sealer); err != nil {
			t.Fatal(err)
		}
		u := f.user("a")
		const n = 30
		f.update(func(tx *store.Tx) error {
			for i := range n {
				k := newKey(keyID(i), u.ID, i+1)
				if err := tx.PutKey(&k, []byte("material of "+k.ID)); err != nil {
					return err
				}
			}
			_, err := tx.Audit(entry("x"))
			return errors.Join(err, tx.EraseMaterial(keyID(n-1)), tx.PutPage(&store.Page{UserID: u.ID}, "token"),
				tx.PutSetting("open", []byte("v")), tx.PutSecretSetting("s", []byte("v")), tx.PutOnce("k", []byte("a"), at.Add(time.Hour)))
		})
		const sealed = n - 1 + 4
		rewrap := func(limit int) (done int) {
			t.Helper()
			f.update(func(tx *store.Tx) (err error) { done, err = tx.Rewrap(limit); return err })
			return done
		}
		if done := rewrap(100); done != 0 {
			t.Errorf("%d values are stale at first", done)
		}
		was, before := f.everything(), f.Revision()
		sealer.AddKey()
		f.refused(errRefused, func(tx *store.Tx) error { _, err := tx.Rewrap(100); return errors.Join(err, errRefused) })
		total := 0
		for done := 1; done > 0; total += done {
			if done = rewrap(7); done > 7 {
				t.Errorf("%d done at once", done)
			}
		}
		if total != sealed {
			t.Errorf("%d values were sealed again: want %d", total, sealed)
		}
		if f.Revision() != before || f.everything() != was {
			t.Error("sealing again changed what the store says")
		}
		sealer.DropOld()
		f.verify()
		f.view(func(tx *store.Tx) error {
			for i := range n - 1 {
				if m, err := tx.Material(keyID(i)); err != nil || string(m) != "material of "+string(keyID(i)) {
					t.Errorf("%q, %v", m, err)
				}
			}
			token, err1 := tx.PageToken(u.ID)
			setting, err2 := tx.SecretSetting("s")
			answer, _, err3 := tx.Once("k", at)
			if token != "token" || string(setting) != "v" || string(answer) != "a" {
				t.Errorf("%q, %q, %q", token, setting, answer)
			}
			return errors.Join(err1, err2, err3)
		})
	}},
}

func keyID(i int) keys.ID { return keys.ID(fmt.Sprintf("key%05d", i)) }
