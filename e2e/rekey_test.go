package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
)

// TestStoreAndMasterKeysRotateWhileOthersWrite rotates the keys that everything in the store is sealed with, several at
// a time, as an impatient operator and a timer do, while users are added, rotated and shown. Nobody is refused for it,
// and all of it opens afterwards and after a kill.
func TestStoreAndMasterKeysRotateWhileOthersWrite(t *testing.T) {
	t.Parallel()
	lasts := time.Second
	if long {
		lasts = 30 * time.Second
	}
	for _, tt := range []struct {
		name     string
		purposes []string
	}{
		{"store", []string{"store"}},
		{"store twice", []string{"store", "store"}},
		{"master twice", []string{"master", "master"}},
		{"store and master", []string{"store", "master"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := crashable(t)
			s.values["log.level"] = "warn"
			n := start(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), lasts)
			defer cancel()
			var all sync.WaitGroup
			var mu sync.Mutex
			known, did := map[string]person{}, map[string]int{}
			act := func(what string, f func(i int) error) {
				all.Go(func() {
					for i := 0; ctx.Err() == nil && !t.Failed(); i++ {
						err := f(i)
						if e, ok := errors.AsType[*control.Error](err); ok && e.Field == "file" {
							continue // another master key is taking over: that is an answer
						}
						if err != nil {
							t.Errorf("%s, for the %dth time: %v", what, i+1, err)
							return
						}
						mu.Lock()
						did[what]++
						mu.Unlock()
					}
				})
			}
			for _, purpose := range tt.purposes {
				act("rotate "+purpose, func(int) error {
					_, err := n.api.RotateKeys(t.Context(), admin.RotateBody{Purpose: purpose}, admin.ChangeOptions{Reason: "test"})
					return err
				})
			}
			for w := range 2 {
				act("write", func(i int) error {
					r, err := n.api.AddUser(t.Context(), admin.UserBody{Name: fmt.Sprintf("w%d-%d", w, i)}, admin.ChangeOptions{})
					if err != nil {
						return err
					}
					p, err := personOf(r)
					if err != nil {
						return err
					}
					if i%2 == 0 {
						if r, err = n.api.RevokeKey(t.Context(), p.id, admin.RevokeBody{Replace: true}, admin.ChangeOptions{Reason: "test"}); err != nil {
							return err
						}
						if p, err = personOf(r); err != nil {
							return err
						}
					}
					mu.Lock()
					defer mu.Unlock()
					known[p.name] = p
					return nil
				})
			}
			act("read", func(int) error {
				_, err := n.api.Links(t.Context(), "", admin.ChangeOptions{})
				return err
			})
			all.Wait()
			t.Logf("%v", did)
			opens(t, n, known)
			if t.Failed() {
				return
			}
			n.kill()
			opens(t, start(t, s), known)
		})
	}
}

// opens wants every user's secret to be what was handed out, and the audit log whole.
func opens(t *testing.T, n *node, known map[string]person) {
	t.Helper()
	r, err := n.api.Links(t.Context(), "", admin.ChangeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, l := range r.Links {
		if l.Kind == "classic" {
			got[l.User] = l.Secret
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if want := fmt.Sprintf("%x", known[name].raw); got[name] != want {
			t.Errorf("%s has another secret than it was given", name)
		}
	}
	if report, err := n.api.AuditVerify(t.Context()); err != nil || !report.OK {
		t.Errorf("the audit log: %+v, %v", report, err)
	}
}
