package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mtguard/control/store"
	"mtguard/control/store/sqlite"
)

func TestAFullDiskRefusesAndTheStoreStaysWhole(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a small disk can be mounted by root only")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("no small disk here: mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	path := filepath.Join(dir, "a.db")
	sealer := fill(t, path, 3)
	s := openSealed(t, path, sealer)
	ballast := filepath.Join(dir, "ballast")
	fillDisk(t, ballast)
	refused := 0
	for i := 0; refused < 5 && i < 400; i++ { // the log has some room left
		if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
			return errors.Join(audit(tx, 3+i), tx.PutSetting("s", make([]byte, 16<<10)))
		}); errors.Is(err, store.ErrFull) {
			refused++
		} else if err != nil {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	if refused == 0 {
		t.Fatal("the disk was not full")
	}
	before := verify(t, s)
	if before.Err() != nil {
		t.Fatal(before.Err())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *store.Tx) error { return audit(tx, 1000) })
	closed(t, s)

	// One that is opened on a full disk is refused or works, and is whole afterwards.
	fillDisk(t, ballast)
	if s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil {
		s.Close()
	} else if !errors.Is(err, store.ErrFull) {
		t.Errorf("opening on a full disk: %v", err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "new.db")}); !errors.Is(err, store.ErrFull) {
		t.Errorf("making one on a full disk: %v", err)
	}
	os.Remove(ballast)
	s = openSealed(t, path, sealer)
	if report := verify(t, s); report.Err() != nil || report.Intact != before.Intact+1 {
		t.Errorf("%+v: want %d rows", report, before.Intact+1)
	}
	closed(t, open(t, filepath.Join(dir, "new.db")))
}

// fillDisk writes until nothing more goes.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if n, _ := f.Write(make([]byte, size)); n < size {
			size /= 2
		}
	}
}
