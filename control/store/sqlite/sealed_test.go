package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/control/store/storetest"
	"mtguard/security/keys"
)

// reads are all ways to read what is sealed, of the store that fill makes.
var reads = map[string]func(tx *store.Tx) (string, error){
	"key":  func(tx *store.Tx) (string, error) { m, err := tx.Material("0000000000000000"); return string(m), err },
	"page": func(tx *store.Tx) (string, error) { return tx.PageToken(1) },
	"setting": func(tx *store.Tx) (string, error) {
		b, err := tx.SecretSetting("setting0")
		return string(b), err
	},
	"once": func(tx *store.Tx) (string, error) {
		b, _, err := tx.Once("request0", start)
		return string(b), err
	},
	"audit": func(tx *store.Tx) (string, error) { _, err := tx.AuditState(); return "", err },
}

func TestASealedValueOpensOnlyWhereItWasSealed(t *testing.T) {
	swap := func(table, column, key, one, two string) []string {
		return []string{
			"CREATE TEMP TABLE t AS SELECT " + key + " AS k, " + column + " AS v FROM " + table,
			"UPDATE " + table + " SET " + column + " = (SELECT v FROM t WHERE k = " + two + ") WHERE " + key + " = " + one,
			"UPDATE " + table + " SET " + column + " = (SELECT v FROM t WHERE k = " + one + ") WHERE " + key + " = " + two,
		}
	}
	for name, c := range map[string]struct {
		edit []string
		hits string   // of reads
		says []string // what the error must name
	}{
		"two keys swapped":        {swap("keys", "material", "id", "'0000000000000000'", "'0000000000000001'"), "key", []string{"table keys", "row 0000000000000000"}},
		"two pages swapped":       {swap("pages", "token", "user_id", "1", "2"), "page", []string{"table pages", "row 1"}},
		"two settings swapped":    {swap("settings", "value", "name", "'setting0'", "'setting1'"), "setting", []string{"table settings", "row setting0"}},
		"two answers swapped":     {swap("once", "answer", "key", "'request0'", "'request1'"), "once", []string{"table once", "row request0"}},
		"page's token as key":     {[]string{`UPDATE keys SET material = (SELECT token FROM pages WHERE user_id = 1)`}, "key", []string{"table keys"}},
		"key as page's token":     {[]string{`UPDATE pages SET token = (SELECT material FROM keys WHERE id = '0000000000000000')`}, "page", []string{"table pages"}},
		"key as setting":          {[]string{`UPDATE settings SET value = (SELECT material FROM keys WHERE id = '0000000000000000')`}, "setting", []string{"table settings"}},
		"key renamed":             {[]string{`DELETE FROM keys WHERE id = '0000000000000000'`, `UPDATE keys SET id = '0000000000000000'`}, "key", []string{"table keys", "row 0000000000000000"}},
		"key as audit state":      {[]string{`UPDATE audit_state SET sealed = (SELECT material FROM keys WHERE id = '0000000000000000')`}, "audit", []string{"table audit_state"}},
		"one bit of a key":        {[]string{`UPDATE keys SET material = CAST(substr(material, 1, 40) || char(0x41 + unicode(substr(hex(substr(material, 41, 1)), 1, 1)) % 8) || substr(material, 42) AS BLOB)`}, "key", []string{"table keys"}},
		"key cut short":           {[]string{`UPDATE keys SET material = substr(material, 1, 30)`}, "key", []string{"table keys"}},
		"key emptied":             {[]string{`UPDATE keys SET material = x''`}, "key", []string{"table keys"}},
		"setting in plain text":   {[]string{`UPDATE settings SET value = CAST('setting of nadia' AS BLOB)`}, "setting", []string{"table settings"}},
		"state taken away":        {[]string{`DELETE FROM audit_state`}, "audit", []string{"state is missing"}},
		"state emptied":           {[]string{`UPDATE audit_state SET sealed = x''`}, "audit", []string{"table audit_state"}},
		"plain setting is sealed": {[]string{`DELETE FROM settings`, `INSERT INTO settings VALUES ('setting0', 1, x'00', 1)`}, "setting", []string{"table settings"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			sealer := fill(t, path, 1)
			edit(t, path, c.edit...)
			s := openSealed(t, path, sealer)
			for what, read := range reads {
				var value string
				err := s.View(t.Context(), func(tx *store.Tx) (err error) { value, err = read(tx); return err })
				if what != c.hits {
					if err != nil {
						t.Errorf("%s: %v", what, err)
					}
					continue
				}
				if !errors.Is(err, store.ErrCorrupt) || value != "" {
					t.Fatalf("%s is %q, %v", what, value, err)
				}
				for _, word := range c.says {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("%v: it does not name %q", err, word)
					}
				}
				for _, content := range []string{"nadia", "omar"} {
					if strings.Contains(err.Error(), content) {
						t.Errorf("%v: it names %q", err, content)
					}
				}
			}
			if c.hits == "key" {
				err := s.View(t.Context(), func(tx *store.Tx) error {
					for _, err := range tx.Materials(0) {
						if err != nil {
							return err
						}
					}
					return nil
				})
				if !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("the list of all material: %v", err)
				}
			}
		})
	}
}

func TestAnotherSealerOpensNothingAndSpoilsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	sealer := fill(t, path, 3)
	s := openSealed(t, path, storetest.NewSealer())
	if err := s.AuditFault(); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("AuditFault: %v", err)
	}
	for what, read := range reads {
		err := s.View(t.Context(), func(tx *store.Tx) error { _, err := read(tx); return err })
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error { return audit(tx, 3) }); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a row was appended: %v", err)
	}
	if err := s.SetSealer(t.Context(), sealer); err != nil || s.AuditFault() != nil {
		t.Errorf("with the right one again: %v, %v", err, s.AuditFault())
	}
	if report := verify(t, s); report.Err() != nil || report.Intact != 3 {
		t.Errorf("%+v", report)
	}
}

func TestErasedMaterialIsOverwritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	sealer := fill(t, path, 1)
	var sealed []byte
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow(`SELECT material FROM keys WHERE id = '0000000000000000'`).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	db.Close()
	there := func() bool {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(content, sealed)
	}
	if !there() {
		t.Fatal("it is not there to begin with")
	}
	s := openSealed(t, path, sealer)
	update(t, s, func(tx *store.Tx) error { return tx.EraseMaterial("0000000000000000") })
	closed(t, s)
	if there() {
		t.Error("the sealed bytes are still there")
	}
}

func TestSecretsAreInNoFile(t *testing.T) {
	dir := t.TempDir()
	s := openSealed(t, filepath.Join(dir, "a.db"), storetest.NewSealer())
	secrets := [][]byte{
		[]byte("\x00\x9f\x13\xf7canary of key"), []byte("\xfe\x01\x88\x91canary of page"), []byte("\x10\x20\xff\xfecanary of setting"),
		[]byte("\xaa\xbb\xcc\x00canary of answer"),
	}
	update(t, s, func(tx *store.Tx) error {
		u := store.User{Name: "a", Created: start}
		if err := tx.PutUser(&u); err != nil {
			return err
		}
		k := store.Key{Generation: keys.Generation{ID: "01", Number: 1, State: keys.Active}, Purpose: store.ForUser, UserID: u.ID}
		return errors.Join(
			tx.PutKey(&k, secrets[0]), tx.PutPage(&store.Page{UserID: u.ID}, string(secrets[1])),
			tx.PutSecretSetting("s", secrets[2]), tx.PutOnce("r", secrets[3], start.Add(time.Hour)), audit(tx, 0),
		)
	})
	if err := s.Snapshot(t.Context(), filepath.Join(dir, "copy.db")); err != nil {
		t.Fatal(err)
	}
	findIn(t, dir, secrets...) // with the log beside the file
	update(t, s, func(tx *store.Tx) error { return tx.EraseMaterial("01") })
	closed(t, s)
	findIn(t, dir, secrets...)

	// What looks must also find.
	control := &recorder{TB: t}
	if err := os.WriteFile(filepath.Join(dir, "leak"), append([]byte("x"), forms(secrets[0])["base64 1"]...), 0o600); err != nil {
		t.Fatal(err)
	}
	findIn(control, dir, secrets...)
	if control.errors != 1 {
		t.Errorf("a leak was found %d times", control.errors)
	}
}

type recorder struct {
	testing.TB
	errors int
}

func (r *recorder) Errorf(string, ...any) { r.errors++ }
