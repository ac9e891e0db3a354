package storetest

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
)

// bounded is a record of which the live ones have a bound and removed ones are kept for
// a while.
type bounded[T any] struct {
	most    int
	full    func() T // each field has a value
	named   func(name string) T
	put     func(*store.Tx, *T) error
	get     func(*store.Tx, string) (T, error)
	all     func(*store.Tx, store.Revision) iter.Seq2[T, error]
	rev     func(*T) *store.Revision
	removed func(*T) *time.Time
	texts   func(*T) []*string
	counted func(*store.Tx) error // what is only counted, of "a"
	reuses  bool                  // a name is free again once its record is removed
}

func (b *bounded[T]) add(f *fixture, name string) T {
	f.Helper()
	v := b.named(name)
	f.update(func(tx *store.Tx) error { return b.put(tx, &v) })
	return v
}

func (b *bounded[T]) remove(f *fixture, v T) T {
	f.Helper()
	*b.removed(&v) = at
	f.update(func(tx *store.Tx) error { return b.put(tx, &v) })
	return v
}

// list checks what a list from since has.
func (b *bounded[T]) list(f *fixture, since store.Revision, want ...T) {
	f.Helper()
	f.view(func(tx *store.Tx) error {
		seq := b.all(tx, since)
		for range seq {
			break // a list may be given up, and read again
		}
		if got := list(f, seq); len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			f.Errorf("since %d there are\n%+v\nwant\n%+v", since, got, want)
		}
		return nil
	})
}

func (b *bounded[T]) tests() []test {
	return []test{
		{"one comes back as it was put", func(t *testing.T, open Open) { b.comesBack(fresh(t, open)) }},
		{"one that is not there is not found", func(t *testing.T, open Open) { b.notFound(fresh(t, open)) }},
		{"one that changed meanwhile is a conflict", func(t *testing.T, open Open) { b.stale(fresh(t, open)) }},
		{"lists tell what was changed and removed", func(t *testing.T, open Open) { b.told(fresh(t, open)) }},
		{"what is counted raises no revision", func(t *testing.T, open Open) { b.counts(fresh(t, open)) }},
		{"there is a bound on live ones", func(t *testing.T, open Open) { b.bound(fresh(t, open)) }},
		{"texts have bounds", func(t *testing.T, open Open) { b.bounds(fresh(t, open)) }},
	}
}

func (b *bounded[T]) comesBack(f *fixture) {
	for i, v := range []T{b.full(), b.named("a")} {
		f.update(func(tx *store.Tx) error { return b.put(tx, &v) })
		if *b.rev(&v) != f.Revision() {
			f.Errorf("revision %d of %d", *b.rev(&v), f.Revision())
		}
		f.view(func(tx *store.Tx) error {
			got, err := b.get(tx, []string{fullName, "a"}[i])
			if !reflect.DeepEqual(got, v) {
				f.Errorf("got %+v\nput %+v", got, v)
			}
			return err
		})
	}
}

func (b *bounded[T]) notFound(f *fixture) {
	v := b.add(f, "a")
	f.view(func(tx *store.Tx) error {
		if got, err := b.get(tx, "b"); !errors.Is(err, store.ErrNotFound) || !reflect.DeepEqual(got, *new(T)) {
			f.Errorf("%+v, %v", got, err)
		}
		if err := b.put(tx, &v); err == nil {
			f.Error("a view changed it")
		}
		return nil
	})
	other := b.named("b")
	*b.rev(&other) = f.Revision()
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return b.put(tx, &other) })
	for _, none := range []T{*new(T), b.named("")} {
		if _, err := f.Update(f.Context(), func(tx *store.Tx) error { return b.put(tx, &none) }); err == nil {
			f.Errorf("%+v was put", none)
		}
	}
}

func (b *bounded[T]) stale(f *fixture) {
	v := b.add(f, "a")
	stale, again := v, b.named("a")
	f.update(func(tx *store.Tx) error { return b.put(tx, &v) })
	f.refused(store.ErrConflict, func(tx *store.Tx) error {
		other := b.named("b") // goes with it
		return errors.Join(b.put(tx, &other), b.put(tx, &stale))
	})
	f.refused(store.ErrExists, func(tx *store.Tx) error { return b.put(tx, &again) })
	*b.rev(&stale) = *b.rev(&v) + 1
	f.refused(store.ErrConflict, func(tx *store.Tx) error { return b.put(tx, &stale) })
	b.list(f, 0, v)
}

func (b *bounded[T]) told(f *fixture) {
	x, y, z := b.add(f, "x"), b.add(f, "y"), b.add(f, "z")
	b.list(f, 0, x, y, z)
	b.list(f, -1, x, y, z)
	b.list(f, *b.rev(&x), y, z)
	since := f.Revision()
	b.list(f, since)
	x = b.remove(f, x)
	b.list(f, 0, y, z)
	b.list(f, since, x)
	f.update(func(tx *store.Tx) error { return b.put(tx, &z) })
	b.list(f, since, x, z)
	f.view(func(tx *store.Tx) error {
		got, err := b.get(tx, "x")
		if b.reuses && !errors.Is(err, store.ErrNotFound) || !b.reuses && (err != nil || !reflect.DeepEqual(got, x)) {
			f.Errorf("removed: %+v, %v", got, err)
		}
		return nil
	})
	again := b.named("x")
	if !b.reuses {
		f.refused(store.ErrExists, func(tx *store.Tx) error { return b.put(tx, &again) })
		return
	}
	f.refused(store.ErrNotFound, func(tx *store.Tx) error { return b.put(tx, &x) })
	f.update(func(tx *store.Tx) error { return b.put(tx, &again) })
	b.list(f, since, x, z, again)
	b.list(f, 0, y, z, again)
}

func (b *bounded[T]) counts(f *fixture) {
	if b.counted == nil {
		return
	}
	f.refused(store.ErrNotFound, b.counted)
	v := b.add(f, "a")
	before := f.Revision()
	if after := f.update(b.counted); after != before {
		f.Errorf("counting made revision %d of %d", after, before)
	}
	b.list(f, before)
	var counted T
	read := func(tx *store.Tx) (err error) { counted, err = b.get(tx, "a"); return err }
	f.view(read)
	if reflect.DeepEqual(counted, v) || *b.rev(&counted) != *b.rev(&v) {
		f.Errorf("counted: %+v\nbefore: %+v", counted, v)
	}
	f.update(func(tx *store.Tx) error { return b.put(tx, &v) }) // knows nothing of what was counted
	*b.rev(&counted) = *b.rev(&v)
	b.list(f, 0, counted)
}

func (b *bounded[T]) bound(f *fixture) {
	if race && b.most > 10_000 {
		f.Skip("takes long under the race detector")
	}
	last := b.add(f, "a")
	f.update(func(tx *store.Tx) error {
		for i := range b.most - 1 {
			last = b.named(fmt.Sprint("n", i))
			if err := b.put(tx, &last); err != nil {
				return err
			}
		}
		return nil
	})
	more := b.named("more")
	put := func(tx *store.Tx) error { return b.put(tx, &more) }
	tooMany := func() {
		f.Helper()
		before := f.Revision()
		if _, err := f.Update(f.Context(), put); !errors.Is(err, store.ErrTooMany) || f.Revision() != before {
			f.Fatalf("one too many: %v, revision %d", err, f.Revision())
		}
	}
	tooMany()
	f.update(func(tx *store.Tx) error { return b.put(tx, &last) }) // a change needs no room
	*b.removed(&last) = at
	f.update(func(tx *store.Tx) error { // the room that one leaves is there at once, and once
		if err := errors.Join(b.put(tx, &last), put(tx)); err != nil {
			return err
		}
		other := b.named("other")
		if err := b.put(tx, &other); !errors.Is(err, store.ErrTooMany) {
			f.Errorf("one too many: %v", err)
		}
		return nil
	})
	more = b.named("still more")
	tooMany()
	more = last // to come back needs room
	*b.removed(&more) = time.Time{}
	if !b.reuses {
		tooMany()
	}
}

// forgets removes two, and then checks what is there when the first of them may go, but
// for one Revision, and when both may go.
func (b *bounded[T]) forgets(f *fixture) (before, behind func()) {
	first, second := b.add(f, "first"), b.add(f, "second")
	since := f.Revision()
	first, second = b.remove(f, first), b.remove(f, second)
	gone := func(name string) T { // a removed one, which makes the older go
		v := b.named(name)
		*b.removed(&v) = at
		f.update(func(tx *store.Tx) error { return b.put(tx, &v) })
		return v
	}
	var third T
	before = func() {
		third = gone("third")
		b.list(f, since, first, second, third)
	}
	behind = func() {
		if b.reuses {
			b.list(f, since, third, gone("fourth"))
			return
		}
		// One that is changed when its time has come is not lost.
		f.update(func(tx *store.Tx) error { return b.put(tx, &second) })
		b.list(f, since, second, third)
	}
	return before, behind
}

var forgettingTests = []test{{"what was removed is told for a while", func(t *testing.T, open Open) {
	f := fresh(t, open)
	start := f.Revision()
	var before, behind []func()
	for _, forgets := range []func(*fixture) (func(), func()){rules.forgets, exceptions.forgets, lists.forgets} {
		one, two := forgets(f)
		before, behind = append(before, one), append(behind, two)
	}
	after := f.Revision() // each of them took as many
	kind := (after - start) / store.Revision(len(before))
	reach := func(r store.Revision) {
		for f.Revision() < r {
			f.update(func(tx *store.Tx) error { return tx.PutSetting("n", fmt.Append(nil, f.Revision())) })
		}
	}
	for i, check := range before {
		removed := start + store.Revision(i)*kind + kind - 1 // the first of the two
		reach(removed + store.KeepRemoved - 2)
		check()
	}
	reach(after + store.KeepRemoved)
	for _, check := range behind {
		check()
	}
}}}

func (b *bounded[T]) bounds(f *fixture) {
	for _, text := range []string{strings.Repeat("x", store.MaxText+1), "\xff", "a\x00b"} {
		for i := range b.texts(new(T)) {
			v := b.named("a")
			*b.texts(&v)[i] = text
			if _, err := f.Update(f.Context(), func(tx *store.Tx) error { return b.put(tx, &v) }); err == nil {
				f.Errorf("text %d was %.10q…", i, text)
			} else if len(err.Error()) > 300 {
				f.Errorf("the error has %d bytes", len(err.Error()))
			}
		}
	}
	for i := range b.texts(new(T)) { // at the bound
		v := b.named("a" + fmt.Sprint(i))
		*b.texts(&v)[i] = strings.Repeat("x", store.MaxText)
		f.update(func(tx *store.Tx) error { return b.put(tx, &v) })
	}
}
