package sqlite_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/control/store/sqlite"
	"mtguard/control/store/storetest"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/keys"
)

// TestMain is also the body of the processes that tests start and kill.
func TestMain(m *testing.M) {
	if path := os.Getenv("MTGUARD_TEST_STORE"); path != "" {
		writeUntilKilled(path)
		return
	}
	os.Exit(m.Run())
}

func open(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openSealed(t testing.TB, path string, sealer store.Sealer) *store.Store {
	t.Helper()
	s := open(t, path)
	if err := s.SetSealer(t.Context(), sealer); err != nil {
		t.Fatal(err)
	}
	return s
}

func update(t testing.TB, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if _, err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func closed(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// edit changes a file behind the store's back.
func edit(t testing.TB, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// fill puts two users, each with a key and a page, two of all other records and n audit
// rows into a new store, and a sealer in.
func fill(t testing.TB, path string, n int) *storetest.Sealer {
	t.Helper()
	sealer := storetest.NewSealer()
	s := openSealed(t, path, sealer)
	update(t, s, func(tx *store.Tx) error {
		for i, name := range []string{"nadia", "omar"} {
			u := store.User{Name: name, Source: store.FromAdmin, Level: access.Standard, Created: start}
			if err := tx.PutUser(&u); err != nil {
				return err
			}
			k := store.Key{
				Generation: keys.Generation{ID: keys.ID(fmt.Sprintf("00000000000000%02x", i)), Number: 1, State: keys.Active, Created: start},
				Purpose:    store.ForUser, UserID: u.ID, Source: store.Generated,
			}
			if err := tx.PutKey(&k, []byte("key of "+name)); err != nil {
				return err
			}
			if err := tx.PutPage(&store.Page{UserID: u.ID, Hash: [32]byte{byte(i)}, Opened: start}, "token of "+name); err != nil {
				return err
			}
			if err := tx.PutSecretSetting("setting"+fmt.Sprint(i), []byte("setting of "+name)); err != nil {
				return err
			}
			if err := errors.Join(
				tx.PutRule(&store.Rule{ID: name, Match: "net:192.0.2." + fmt.Sprint(i), Level: access.None, Source: store.FromOperator, Created: start}),
				tx.PutException(&store.Exception{ID: name, User: name, Controls: []string{"rate.accept"}, Until: start.Add(time.Hour)}),
				tx.PutList(&store.List{Name: name, Origin: "/srv/" + name, Created: start}),
				tx.AddPolicy(&store.PolicyRevision{Document: "schema = 1 # " + name, At: start}),
			); err != nil {
				return err
			}
			if err := tx.PutOnce("request"+fmt.Sprint(i), []byte("answer to "+name), start.Add(time.Hour)); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range n {
		update(t, s, func(tx *store.Tx) error { return audit(tx, i) })
	}
	closed(t, s)
	return sealer
}

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func audit(tx *store.Tx, i int) error {
	_, err := tx.Audit(auditlog.Entry{
		Time: start.Add(time.Duration(i) * time.Second), Actor: "uid 0", Action: "user.set", Object: fmt.Sprint("user ", i), Outcome: auditlog.Done,
	})
	return err
}

// verify is what the command for it does.
func verify(t testing.TB, s *store.Store) (report auditlog.Report) {
	t.Helper()
	err := s.View(t.Context(), func(tx *store.Tx) error {
		head, err := tx.AuditState()
		if err != nil {
			return err
		}
		report = auditlog.Verify(tx.AuditRows(1, 0), auditlog.Evidence{Head: &head})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// findIn looks for secrets, in the forms in which they could leak, in all files of a
// directory.
func findIn(t testing.TB, dir string, secrets ...[]byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range secrets {
			for form, text := range forms(secret) {
				if bytes.Contains(content, []byte(text)) {
					t.Errorf("%s has a secret, %s", filepath.Base(path), form)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forms are the encodings of a secret. In base64 it depends on what stands before: of
// each of the three shifts that part is taken which does not.
func forms(secret []byte) map[string]string {
	lower := hex.EncodeToString(secret)
	all := map[string]string{"raw": string(secret), "hex": lower, "HEX": strings.ToUpper(lower)}
	for name, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 {
			text := e.EncodeToString(append(make([]byte, shift), secret...))
			all[fmt.Sprint(name, " ", shift)] = text[(shift*8+5)/6 : len(text)-1]
		}
	}
	return all
}
