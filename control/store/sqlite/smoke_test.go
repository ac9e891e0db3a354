package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/keys"
)

type toy struct{}

func (toy) Seal(p, ad []byte) ([]byte, error) { return []byte(string(ad) + "#" + string(p)), nil }
func (toy) Open(s, ad []byte) ([]byte, error) {
	if p, ok := strings.CutPrefix(string(s), string(ad)+"#"); ok {
		return []byte(p), nil
	}
	return nil, fmt.Errorf("no")
}
func (toy) Stale([]byte) bool { return false }

func TestSmoke(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	ctx := context.Background()
	s, err := Open(ctx, Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetSealer(ctx, toy{}); err != nil {
		t.Fatal(err)
	}
	if err := s.AuditFault(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(ctx, Options{Path: path})
	t.Log(err)
	r, err := s.Update(ctx, func(tx *store.Tx) error {
		u := store.User{Name: "a", Level: access.Standard}
		if err := tx.PutUser(&u); err != nil {
			return err
		}
		k := store.Key{Generation: keys.Generation{ID: "0011", State: keys.Active, Number: 1}, UserID: u.ID, Purpose: store.ForUser}
		if err := tx.PutKey(&k, []byte("x")); err != nil {
			return err
		}
		k.State = keys.Retiring
		if err := tx.PutKey(&k, nil); err != nil {
			return err
		}
		_, err := tx.Audit(auditlog.Entry{Time: time.Now(), Actor: "a", Action: "b", Outcome: auditlog.Done})
		return err
	})
	t.Log(r, err)
	if err := s.Snapshot(ctx, path+".snap"); err != nil {
		t.Error(err)
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		for k, err := range tx.Keys(0) {
			t.Log(k, err)
		}
		for u, err := range tx.Users(0) {
			t.Log(u, err)
		}
		m, err := tx.Material("0011")
		t.Log(string(m), err)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
