// Package storetest is the contract of store.Store as tests, for each engine to run.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) *store.Store { … })
//	}
package storetest

import (
	"errors"
	"flag"
	"fmt"
	"iter"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/keys"
)

// Open returns a new, empty store without a sealer. Run closes it.
type Open func(t testing.TB) *store.Store

// Run checks that the stores of open do what package store promises. The flag
// -rapid.checks says how often the models are tried; the usual number would take long,
// as every step waits for the disk.
func Run(t *testing.T, open Open) {
	if checks := flag.Lookup("rapid.checks").Value; checks.String() == "100" {
		few := "30"
		if race {
			few = "6"
		}
		checks.Set(few)
		defer checks.Set("100")
	}
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"transactions", transactionTests},
		{"watch", watchTests},
		{"users", userTests},
		{"keys", keyTests},
		{"counts", countTests},
		{"pages", pageTests},
		{"rules", ruleTests},
		{"exceptions", exceptionTests},
		{"lists", listTests},
		{"forgetting", forgettingTests},
		{"incidents", incidentTests},
		{"splits", splitTests},
		{"policies", policyTests},
		{"settings", settingTests},
		{"once", onceTests},
		{"outbox", outboxTests},
		{"alerts", alertTests},
		{"findings", findingTests},
		{"credentials", credentialTests},
		{"audit", auditTests},
		{"sealing", sealingTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, open) })
			}
		})
	}
}

type test struct {
	name string
	run  func(*testing.T, Open)
}

// at is when tests happen.
var at = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// fixture is a store with the methods of one that must not fail.
type fixture struct {
	testing.TB
	*store.Store
}

// fresh is a new store with a sealer.
func fresh(t testing.TB, open Open) *fixture {
	t.Helper()
	f := bare(t, open)
	if err := f.SetSealer(t.Context(), NewSealer()); err != nil {
		t.Fatal(err)
	}
	if err := f.AuditFault(); err != nil {
		t.Fatalf("a new store has %v", err)
	}
	return f
}

func bare(t testing.TB, open Open) *fixture {
	t.Helper()
	s := open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &fixture{t, s}
}

func (f *fixture) update(fn func(*store.Tx) error) store.Revision {
	f.Helper()
	r, err := f.Update(f.Context(), fn)
	if err != nil {
		f.Fatalf("update: %v", err)
	}
	return r
}

// refused checks that an Update that ends in want changed nothing.
func (f *fixture) refused(want error, fn func(*store.Tx) error) {
	f.Helper()
	before, was := f.Revision(), f.everything()
	if _, err := f.Update(f.Context(), fn); !errors.Is(err, want) {
		f.Fatalf("update ends with %v: want %v", err, want)
	}
	if now := f.Revision(); now != before {
		f.Fatalf("a refused update raised the revision from %d to %d", before, now)
	}
	if is := f.everything(); is != was {
		f.Fatalf("a refused update changed the store from\n%s\nto\n%s", was, is)
	}
}

func (f *fixture) view(fn func(*store.Tx) error) {
	f.Helper()
	if err := f.View(f.Context(), fn); err != nil {
		f.Fatalf("view: %v", err)
	}
}

// everything is what lists show of a store.
func (f *fixture) everything() (text string) {
	f.Helper()
	f.view(func(tx *store.Tx) error {
		text = fmt.Sprintln(tx.Revision())
		return errors.Join(
			add(&text, tx.Users(0)), add(&text, tx.Users(-1)), add(&text, tx.Keys(0)), add(&text, tx.Pages(0)),
			addPolicies(&text, tx), add(&text, tx.Rules(-1)), add(&text, tx.Exceptions(-1)), add(&text, tx.Lists(-1)),
			add(&text, tx.AllSightings()), add(&text, tx.Findings()), add(&text, tx.AuditRows(1, 0)),
		)
	})
	return text
}

func addPolicies(to *string, tx *store.Tx) error {
	all, err := tx.Policies(0, 0)
	*to += fmt.Sprintf("%+v\n", all)
	return err
}

func add[T any](to *string, list iter.Seq2[T, error]) error {
	for one, err := range list {
		if err != nil {
			return err
		}
		*to += fmt.Sprintf("%+v\n", one)
	}
	return nil
}

// list reads a list that must not fail.
func list[T any](t testing.TB, seq iter.Seq2[T, error]) (all []T) {
	t.Helper()
	for one, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

func (f *fixture) user(name string) store.User {
	f.Helper()
	u := newUser(name)
	f.update(func(tx *store.Tx) error { return tx.PutUser(&u) })
	return u
}

func newUser(name string) store.User {
	return store.User{Name: name, Source: store.FromAdmin, Level: access.Standard, Created: at}
}

func (f *fixture) key(id keys.ID, userID int64, number int) store.Key {
	f.Helper()
	k := newKey(id, userID, number)
	f.update(func(tx *store.Tx) error { return tx.PutKey(&k, []byte("material of "+id)) })
	return k
}

func newKey(id keys.ID, userID int64, number int) store.Key {
	return store.Key{
		Generation: keys.Generation{ID: id, Number: number, State: keys.Active, Created: at, Activated: at},
		Purpose:    store.ForUser, UserID: userID, Source: store.Generated,
	}
}

func entry(action string) auditlog.Entry {
	return auditlog.Entry{Time: at, Actor: "uid 0", Action: action, Outcome: auditlog.Done}
}
