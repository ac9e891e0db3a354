package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/control/store/sqlite"
	"mtguard/control/store/storetest"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/keys"
	"mtguard/security/usage"
)

const benchUsers = 10_000

var benchStart = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func benchKey(u int, number int) store.Key {
	return store.Key{
		Generation: keys.Generation{
			ID: keys.ID(fmt.Sprintf("%08x%08x", u*2654435761&0xffffffff, number)), Number: number, State: keys.Active,
			Created: benchStart, Activated: benchStart, FirstUsed: benchStart.Add(time.Hour), LastUsed: benchStart.Add(2 * time.Hour),
		},
		Purpose: store.ForUser, UserID: int64(u), Source: store.Generated,
	}
}

func openFull(b *testing.B) *store.Store {
	b.Helper()
	s, err := sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "mtguard.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if err := s.SetSealer(b.Context(), storetest.NewSealer()); err != nil {
		b.Fatal(err)
	}
	_, err = s.Update(b.Context(), func(tx *store.Tx) error {
		for i := range benchUsers {
			u := store.User{
				Name: fmt.Sprintf("user%05d", i), Source: store.FromAdmin, Level: access.Standard, Created: benchStart,
				Note: "on holiday", Domain: "www.example.com",
			}
			if err := tx.PutUser(&u); err != nil {
				return err
			}
			old := benchKey(int(u.ID), 1)
			old.State, old.RetireBy = keys.Retiring, benchStart.Add(time.Hour)
			fresh := benchKey(int(u.ID), 2)
			for _, k := range []*store.Key{&old, &fresh} {
				if err := tx.PutKey(k, []byte("00112233445566778899aabbccddeeff")); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkReadAll is what a start reads: 10,000 users and 20,000 keys.
func BenchmarkReadAll(b *testing.B) {
	s := openFull(b)
	b.ReportAllocs()
	for b.Loop() {
		var users, list int
		err := s.View(b.Context(), func(tx *store.Tx) error {
			for _, err := range tx.Users(0) {
				if err != nil {
					return err
				}
				users++
			}
			for _, err := range tx.Keys(0) {
				if err != nil {
					return err
				}
				list++
			}
			return nil
		})
		if err != nil || users != benchUsers || list != 2*benchUsers {
			b.Fatal(users, list, err)
		}
	}
}

func BenchmarkMaterials(b *testing.B) {
	s := openFull(b)
	for b.Loop() {
		n := 0
		err := s.View(b.Context(), func(tx *store.Tx) error {
			for _, err := range tx.Materials(0) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if err != nil || n != 2*benchUsers {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkRotateAll is one Update that gives each of 10,000 users a new key.
func BenchmarkRotateAll(b *testing.B) {
	s := openFull(b)
	number := 2
	for b.Loop() {
		if _, err := s.Update(b.Context(), func(tx *store.Tx) error { return rotateAll(tx, number) }); err != nil {
			b.Fatal(err)
		}
		number++
	}
}

func rotateAll(tx *store.Tx, number int) error {
	for k, err := range tx.Keys(0) {
		if err != nil {
			return err
		}
		if k.Number != number {
			continue
		}
		k.State = keys.Retiring
		if err := tx.PutKey(&k, nil); err != nil {
			return err
		}
		fresh := benchKey(int(k.UserID), number+1)
		if err := tx.PutKey(&fresh, []byte("ffeeddccbbaa99887766554433221100")); err != nil {
			return err
		}
		for _, e := range []store.KeyEvent{
			{Key: k.ID, User: "someone", At: benchStart, From: "active", To: "retiring", Actor: "schedule", Reason: "rotated"},
			{Key: fresh.ID, User: "someone", At: benchStart, To: "active", Actor: "schedule", Reason: "rotated"},
		} {
			if err := tx.AddKeyEvent(e); err != nil {
				return err
			}
		}
	}
	_, err := tx.Audit(auditlog.Entry{Time: benchStart, Actor: "schedule", Action: "key.rotate", Outcome: auditlog.Done})
	return err
}

// BenchmarkOneChange is what an ordinary command costs: two rows and the audit log's, durable.
func BenchmarkOneChange(b *testing.B) {
	s := openFull(b)
	for b.Loop() {
		_, err := s.Update(b.Context(), func(tx *store.Tx) error {
			u, err := tx.User("user05000")
			if err != nil {
				return err
			}
			u.Disabled = !u.Disabled
			if err := tx.PutUser(&u); err != nil {
				return err
			}
			_, err = tx.Audit(auditlog.Entry{Time: benchStart, Actor: "uid 0", Action: "user.set", Outcome: auditlog.Done})
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCountAll is a flush of the usage of 10,000 users who all used something.
func BenchmarkCountAll(b *testing.B) {
	s := openFull(b)
	n := int64(0)
	for b.Loop() {
		n++
		_, err := s.Update(b.Context(), func(tx *store.Tx) error {
			for id := range int64(benchUsers) {
				if err := tx.Count(id+1, 20260301, "run", usage.Totals{Up: n, Down: n, Sessions: n}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadChanges is what a change makes the watchers read.
func BenchmarkReadChanges(b *testing.B) {
	s := openFull(b)
	since := s.Revision()
	if _, err := s.Update(b.Context(), func(tx *store.Tx) error {
		u, err := tx.User("user05000")
		if err != nil {
			return err
		}
		return tx.PutUser(&u)
	}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n := 0
		err := s.View(b.Context(), func(tx *store.Tx) error {
			for range tx.Users(since) {
				n++
			}
			for range tx.Keys(since) {
				n++
			}
			for range tx.Materials(since) {
				n++
			}
			return nil
		})
		if err != nil || n != 1 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkOpen is opening, with the check of the whole file, and closing.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "copy.db")
	if err := openFull(b).Snapshot(b.Context(), path); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := sqlite.Open(b.Context(), sqlite.Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkReadRules is what compiling 100,000 rules of nothing reads, and what it
// reads when one of them was changed.
func BenchmarkReadRules(b *testing.B) {
	s, err := sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "mtguard.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	put := func(from, n int) store.Revision {
		r, err := s.Update(b.Context(), func(tx *store.Tx) error {
			for i := range n {
				r := store.Rule{
					ID: fmt.Sprintf("r%08x", from+i), Match: fmt.Sprintf("net:2001:db8:%x::/48", from+i),
					Source: store.FromFeed, Reason: "seen scanning", By: "feed", Created: benchStart,
				}
				if err := tx.PutRule(&r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		return r
	}
	since := put(0, store.MaxRules-1)
	put(store.MaxRules, 1)
	for _, c := range []struct {
		name  string
		since store.Revision
		want  int
	}{{"all", 0, store.MaxRules}, {"changed", since, 1}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				err := s.View(b.Context(), func(tx *store.Tx) error {
					for _, err := range tx.Rules(c.since) {
						if err != nil {
							return err
						}
						n++
					}
					return nil
				})
				if err != nil || n != c.want {
					b.Fatal(n, err)
				}
			}
		})
	}
}
