package sqlite

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/control/store/storetest"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/keys"
	"mtguard/security/usage"
)

// There are files of these versions: what is in them, a later step must find as it was.
func TestAReleasedSchemaNeverChanges(t *testing.T) {
	for i, want := range []string{
		"6d187147b1984c59297530709f27e2e887133a2736222ecf0cfd5e124bdcb50d",
	} {
		step := migrations()[i]
		if sum := sha256.Sum256([]byte(step.text)); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has changed: what is new belongs into a file of its own", step.name)
		}
	}
}

var upgradeTime = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// openVersion opens a store with the schema of a version, as the program of that time did.
func openVersion(t *testing.T, path string, version int, sealer store.Sealer) *store.Store {
	t.Helper()
	db, err := open(t.Context(), Options{Path: path}, migrations()[:version])
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(t.Context(), db.engine())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.SetSealer(t.Context(), sealer); err != nil {
		t.Fatal(err)
	}
	return s
}

// fillVersion1 puts something into each table that version 1 has.
func fillVersion1(tx *store.Tx) error {
	u := store.User{Name: "nadia", Source: store.FromAdmin, Level: access.Standard, Created: upgradeTime, Note: "12:34"}
	gone := store.User{Name: "omar", Source: store.FromFile, Created: upgradeTime, Removed: upgradeTime.Add(time.Hour)}
	if err := errors.Join(tx.PutUser(&u), tx.PutUser(&gone)); err != nil {
		return err
	}
	k := store.Key{
		Generation: keys.Generation{ID: "0000000000000001", Number: 1, State: keys.Active, Created: upgradeTime, Activated: upgradeTime},
		Purpose:    store.ForUser, UserID: u.ID, Source: store.Generated,
	}
	if err := tx.PutKey(&k, []byte("material")); err != nil {
		return err
	}
	_, err := tx.Audit(auditlog.Entry{Time: upgradeTime, Actor: "uid 0", Action: "user.add", Object: "nadia", Outcome: auditlog.Done})
	return errors.Join(err,
		tx.AddKeyEvent(store.KeyEvent{Key: k.ID, User: "nadia", At: upgradeTime, To: "active", Actor: "uid 0"}),
		tx.Count(u.ID, 20260301, "run", usage.Totals{Up: 1, Down: 2, Sessions: 3}),
		tx.PutSightings(k.ID, store.SeenUsing, []usage.Sighting{{Pseudonym: 1 << 63, Last: upgradeTime}}),
		tx.PutPage(&store.Page{UserID: u.ID, Hash: [32]byte{1}, Opened: upgradeTime}, "token"),
		tx.PutSetting("plain", []byte("value")), tx.PutSecretSetting("secret", []byte("value")),
		tx.PutOnce("request", []byte("answer"), upgradeTime.Add(time.Hour)),
		tx.PutCheckpoint(1, []byte("note")), tx.PutKeysets(map[string][]byte{"columns": []byte("keyset")}, "kek"))
}

// readVersion1 is all that fillVersion1 put, as text.
func readVersion1(t *testing.T, s *store.Store) (text string) {
	t.Helper()
	err := s.View(t.Context(), func(tx *store.Tx) error {
		var errs []error
		add := func(value any, err error) {
			text, errs = text+fmt.Sprintf("%+v\n", value), append(errs, err)
		}
		for u, err := range tx.Users(-1) {
			add(u, err)
		}
		for k, err := range tx.Keys(0) {
			add(k, err)
		}
		for m, err := range tx.Materials(0) {
			add(string(m.Bytes()), err)
		}
		for p, err := range tx.Pages(0) {
			add(p, err)
		}
		for s, err := range tx.AllSightings() {
			add(s, err)
		}
		for row, err := range tx.AuditRows(1, 0) {
			add(row, err)
		}
		add(tx.KeyEvents(store.KeyEventFilter{}))
		add(tx.Usage(1))
		add(tx.PageToken(1))
		add(tx.Setting("plain"))
		add(tx.SecretSetting("secret"))
		answer, seen, err := tx.Once("request", upgradeTime)
		add(fmt.Sprint(answer, seen), err)
		add(tx.Checkpoints())
		keysets, kek, err := tx.Keysets()
		add(fmt.Sprint(keysets, kek), err)
		add(tx.Revision(), nil)
		return errors.Join(errs...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAFileOfVersion1IsUpgradedAndKeepsItsRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	sealer := storetest.NewSealer()
	old := openVersion(t, path, 1, sealer)
	if _, err := old.Update(t.Context(), fillVersion1); err != nil {
		t.Fatal(err)
	}
	want := readVersion1(t, old)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err := Check(t.Context(), path); err != nil || c.Schema != 1 || c.Users != 1 || c.Keys != 1 || c.AuditRows != 1 {
		t.Errorf("check before: %+v, %v", c, err)
	}
	for range 2 { // the second finds it upgraded
		s, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.SetSealer(t.Context(), sealer), s.AuditFault()); err != nil {
			t.Fatal(err)
		}
		if got := readVersion1(t, s); got != want {
			t.Errorf("it has\n%s\nhad\n%s", got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := Check(t.Context(), path); err != nil || c.Schema != len(migrations()) || c.Users != 1 || c.Keys != 1 || c.AuditRows != 1 {
		t.Errorf("check behind: %+v, %v", c, err)
	}
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rule := store.Rule{ID: "r", Match: "net:192.0.2.7", Level: access.None, Source: store.FromOperator, Created: upgradeTime}
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.PutRule(&rule) }); err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(tx *store.Tx) error {
		for _, since := range []store.Revision{0, rule.Rev - 1} {
			var got []store.Rule
			for r, err := range tx.Rules(since) {
				if err != nil {
					return err
				}
				got = append(got, r)
			}
			if !slices.Equal(got, []store.Rule{rule}) {
				t.Errorf("rules since %d: %+v", since, got)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAFileOfTheNextVersionIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	known := migrations()
	next := append(slices.Clone(known), migration{"next.sql", `CREATE TABLE what_comes (x TEXT) STRICT`})
	db, err := openSteps(t, path, next)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Path: path}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("opening it: %v", err)
	}
	if _, err := Check(t.Context(), path); !errors.Is(err, store.ErrNewer) {
		t.Errorf("checking it: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file changed: %v", err)
	}
}

func TestPoliciesOfVersion2GetTheirPresets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := openSteps(t, path, migrations()[:2])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"organisation", "community", "", "personal", ""}
	for _, document := range []string{"schema = 1\n", "preset = \"personal\"\n", "# preset = \"personal\"\n", "schema = 1\npreset = \"community\"\n", "schema = 1\npreset = \"organisation\"\n"} {
		if _, err := db.writer.Exec(`INSERT INTO policies (document, actor, reason, at) VALUES (?, 'uid 0', '', 0)`, document); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.View(t.Context(), func(tx *store.Tx) error {
		all, err := tx.Policies(0, 0)
		var got []string
		for _, p := range all {
			got = append(got, p.Preset)
		}
		if !slices.Equal(got, want) {
			t.Errorf("presets %q, want %q", got, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
