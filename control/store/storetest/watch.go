package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mtguard/control/store"
)

var watchTests = []test{
	{"a watch that is behind starts at once", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.user("a")
		f.user("b")
		for r, err := range f.Watch(t.Context(), 0) {
			if err != nil || r != f.Revision() {
				t.Errorf("%d %v: want %d", r, err, f.Revision())
			}
			break
		}
	}},
	{"a watch loses no change and never goes back", func(t *testing.T, open Open) {
		f := fresh(t, open)
		const changes = 200
		last := f.Revision() + changes
		go func() {
			for i := range changes {
				if _, err := f.Update(context.Background(), func(tx *store.Tx) error {
					return tx.PutSetting("n", fmt.Append(nil, i))
				}); err != nil {
					t.Error(err)
				}
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		seen := f.Revision()
		for r, err := range f.Watch(ctx, seen) {
			if err != nil || r <= seen {
				t.Fatalf("revision %d, %v, behind %d", r, err, seen)
			}
			seen = r
			// What is told of must be there.
			f.view(func(tx *store.Tx) error {
				if tx.Revision() < r {
					t.Errorf("a view is at %d when %d was told", tx.Revision(), r)
				}
				return nil
			})
			if r == last {
				break
			}
		}
		if seen != last {
			t.Errorf("the last revision told is %d: want %d", seen, last)
		}
	}},
	{"a watch ends with its context", func(t *testing.T, open Open) {
		f := fresh(t, open)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan int)
		go func() {
			n := 0
			for range f.Watch(ctx, f.Revision()) {
				n++
			}
			ended <- n
		}()
		cancel()
		if n := <-ended; n != 0 {
			t.Errorf("it gave %d revisions", n)
		}
	}},
	{"a watch ends with the store", func(t *testing.T, open Open) {
		f := fresh(t, open)
		ended := make(chan error)
		go func() {
			var last error
			for _, err := range f.Watch(t.Context(), f.Revision()) {
				last = err
			}
			ended <- last
		}()
		f.Close()
		if err := <-ended; !errors.Is(err, store.ErrClosed) {
			t.Errorf("it ends with %v", err)
		}
	}},
	{"what is only counted wakes nobody", func(t *testing.T, open Open) {
		f := fresh(t, open)
		u := f.user("a")
		f.key("k1", u.ID, 1)
		f.update(func(tx *store.Tx) error {
			return tx.PutPage(&store.Page{UserID: u.ID, Opened: at}, "token")
		})
		before := f.Revision()
		if after := f.update(func(tx *store.Tx) error { return count(tx, u.ID) }); after != before {
			t.Errorf("counting made revision %d of %d", after, before)
		}
	}},
}
