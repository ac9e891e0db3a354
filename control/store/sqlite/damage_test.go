package sqlite_test

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"mtguard/control/store"
	"mtguard/control/store/sqlite"
	"mtguard/control/store/storetest"
)

// readAll reads every row there is.
func readAll(t testing.TB, s *store.Store) error {
	return s.View(t.Context(), func(tx *store.Tx) error {
		_, _, err1 := tx.Keysets()
		_, err2 := tx.KeyEvents(store.KeyEventFilter{})
		_, err3 := tx.AllUsage(0)
		_, err4 := tx.Checkpoints()
		_, err5 := tx.AuditState()
		_, err6 := tx.PageToken(1)
		_, err7 := tx.SecretSetting("setting0")
		_, _, err8 := tx.Once("request0", start)
		_, err9 := tx.Policies(0, 0)
		return errors.Join(err9, drain(tx.Rules(0)), drain(tx.Rules(-1)), drain(tx.Exceptions(0)), drain(tx.Exceptions(-1)),
			drain(tx.Lists(0)), drain(tx.Lists(-1)), drain(tx.Users(0)), drain(tx.Users(-1)), drain(tx.Keys(0)), drain(tx.Materials(0)), drain(tx.Pages(0)),
			drain(tx.AllSightings()), drain(tx.AuditRows(1, 0)), err1, err2, err3, err4, err5, err6, err7, err8)
	})
}

func drain[T any](list iter.Seq2[T, error]) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

// Flipped bits in the text of a row are text again: SQLite has no checksums. What must
// hold is that nothing panics, and that what is found is called damage.
func TestADamagedFileIsCalledSo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	sealer := fill(t, path, 100)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const pageSize = 4096
	pages := len(whole) / pageSize
	seen, step, flips := 0, 1, 150
	if race {
		step, flips = 5, 20
	}
	try := func(name string, b []byte) (found error) {
		t.Helper()
		broken := filepath.Join(dir, "broken.db")
		for _, suffix := range []string{"-wal", "-shm"} {
			os.Remove(broken + suffix)
		}
		if err := os.WriteFile(broken, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: broken})
		if err == nil {
			defer s.Close()
			if err = s.SetSealer(t.Context(), sealer); err == nil {
				err = errors.Join(s.AuditFault(), readAll(t, s))
			}
		}
		if err != nil && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrNewer) && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			seen++
		}
		return err
	}
	for page := 0; page < pages; page += step { // the head of a page, which says what is in it
		b := append([]byte(nil), whole...)
		at := page * pageSize
		if page == 0 {
			at = 100
		}
		for i := range 8 {
			b[at+i] ^= 0xff
		}
		if name := fmt.Sprint("head of page ", page+1); try(name, b) == nil {
			t.Errorf("%s: nothing was found", name)
		}
	}
	for page := 0; page < pages; page += step {
		b := append([]byte(nil), whole...)
		rand.NewChaCha8([32]byte{byte(page)}).Read(b[page*pageSize : (page+1)*pageSize])
		if name := fmt.Sprint("noise in page ", page+1); try(name, b) == nil {
			t.Errorf("%s: nothing was found", name)
		}
	}
	for i := range flips {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		b := append([]byte(nil), whole...)
		for range 1 + r.IntN(8) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		try(fmt.Sprint("flips ", i), b)
	}
	for _, size := range []int{1, 99, 100, 4095, 4096, len(whole) / 2, len(whole) - 4096} {
		if name := fmt.Sprint("cut to ", size); try(name, whole[:size]) == nil {
			t.Errorf("%s: nothing was found", name)
		}
	}
	t.Logf("%d pages; damage was seen %d times", pages, seen)
}

func bigSetting(tx *store.Tx) error { return tx.PutSetting("big", make([]byte, 1<<20)) }

func TestAFullFileRefusesAndStaysWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	sealer := fill(t, path, 3)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, MaxBytes: info.Size() + 64<<10})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetSealer(t.Context(), sealer); err != nil {
		t.Fatal(err)
	}
	before := s.Revision()
	for range 3 {
		_, err := s.Update(t.Context(), func(tx *store.Tx) error {
			if err := audit(tx, 3); err != nil {
				return err
			}
			err := bigSetting(tx)
			if after := audit(tx, 4); !errors.Is(after, store.ErrFull) {
				t.Errorf("the transaction goes on: %v", after)
			}
			return err
		})
		if !errors.Is(err, store.ErrFull) {
			t.Fatalf("a write beyond the bound: %v", err)
		}
		// An error of the database that is not passed on counts nevertheless.
		if _, err := s.Update(t.Context(), func(tx *store.Tx) error { bigSetting(tx); return nil }); !errors.Is(err, store.ErrFull) {
			t.Fatalf("a write beyond the bound: %v", err)
		}
	}
	if report := verify(t, s); report.Err() != nil || report.Intact != 3 || s.Revision() != before {
		t.Errorf("%+v, revision %d behind %d", report, s.Revision(), before)
	}
	update(t, s, func(tx *store.Tx) error { return audit(tx, 3) }) // what fits, goes
	closed(t, s)
	s = openSealed(t, path, sealer)
	update(t, s, bigSetting)
	if report := verify(t, s); report.Err() != nil || report.Intact != 4 {
		t.Errorf("%+v", report)
	}
}

func TestAReadOnlyPlaceIsNamed(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	sealer := storetest.NewSealer()
	closed(t, openSealed(t, path, sealer))
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil {
		t.Error("it was opened")
	}
}
