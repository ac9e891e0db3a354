package storetest

import (
	"fmt"
	"reflect"
	"testing"

	"mtguard/control/store"
	"mtguard/security/keys"
)

func split(id string, from int64, holders ...int64) store.Split {
	s := store.Split{ID: id, FromID: from, FromUser: fmt.Sprint("user", from), FromKey: "0123456789abcdef", At: at, Actor: "uid 0", Reason: "12:34 '--", Incident: "i1"}
	for _, h := range holders {
		s.Holders = append(s.Holders, store.Holder{UserID: h, User: fmt.Sprintf("user%03d", h), Key: keys.ID(fmt.Sprintf("%016x", h))})
	}
	return s
}

var splitTests = []test{
	{"a split comes back as it was put, and raises no revision", func(t *testing.T, open Open) {
		f := fresh(t, open)
		before := f.Revision()
		all := []store.Split{split("a", 1, 2, 3), split("b", 2, 4), split("c", 1, 1, 5)}
		f.update(func(tx *store.Tx) error {
			for i := range all {
				if err := tx.PutSplit(&all[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if f.Revision() != before {
			t.Error("splits have the policy compiled anew")
		}
		f.view(func(tx *store.Tx) error {
			for _, c := range []struct {
				filter store.SplitFilter
				want   []store.Split
			}{
				{store.SplitFilter{Limit: 9}, []store.Split{all[2], all[1], all[0]}},
				{store.SplitFilter{Limit: 1, Before: all[2].Seq}, []store.Split{all[1]}},
				{store.SplitFilter{Limit: 9, From: 1}, []store.Split{all[2], all[0]}},
				{store.SplitFilter{Limit: 9, Holder: 3}, []store.Split{all[0]}},
				{store.SplitFilter{Limit: 9, Holder: 9}, nil},
			} {
				if got, err := tx.Splits(c.filter); err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("%+v: %+v, %v", c.filter, got, err)
				}
			}
			return nil
		})
		f.refused(store.ErrExists, func(tx *store.Tx) error { s := split("a", 7, 8); return tx.PutSplit(&s) })
		f.refused(store.ErrExists, func(tx *store.Tx) error { s := split("d", 7, 8, 8); return tx.PutSplit(&s) })
	}},
	{"splits have a bound, within which those go first of which nobody is left", func(t *testing.T, open Open) {
		f := fresh(t, open)
		f.update(func(tx *store.Tx) error {
			left := store.User{Name: "left", Source: store.FromAdmin, Created: at}
			if err := tx.PutUser(&left); err != nil {
				return err
			}
			for i := range store.MaxSplits {
				holder := left.ID
				if i == 7 || i == 9 {
					holder = 1000
				}
				s := split(fmt.Sprint("s", i), 999, holder)
				if err := tx.PutSplit(&s); err != nil {
					return err
				}
			}
			more := split("more", 999, left.ID)
			if err := tx.PutSplit(&more); err != nil {
				return err
			}
			more = split("still more", 999, left.ID)
			return tx.PutSplit(&more)
		})
		f.view(func(tx *store.Tx) error {
			got, err := tx.Splits(store.SplitFilter{Limit: store.MaxSplits + 9})
			if len(got) != store.MaxSplits || len(got[0].Holders) != 1 {
				t.Errorf("%d splits", len(got))
			}
			for _, s := range got {
				if s.ID == "s7" || s.ID == "s9" {
					t.Errorf("%s is there", s.ID)
				}
			}
			return err
		})
		f.refused(store.ErrTooMany, func(tx *store.Tx) error { s := split("too many", 999, 1); return tx.PutSplit(&s) })
	}},
}
