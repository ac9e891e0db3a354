package backup

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func restore(t testing.TB, b []byte, id Identity, target string) Restored {
	t.Helper()
	r, err := Restore(bytes.NewReader(b), id, target, nil)
	must(t, err)
	return r
}

func TestRestoreOnANewMachine(t *testing.T) {
	from, b, id := small(t)
	dir := t.TempDir()
	target := filepath.Join(dir, "mtguard.db")
	called := false
	r, err := Restore(bytes.NewReader(b), id, target, func(m Manifest, db string) error {
		called = true
		holds(t, db, "new")
		if m.KEK != from.KEK.ID() || filepath.Dir(db) != dir || db == target {
			t.Errorf("ready got %+v, %s", m, db)
		}
		if _, err := os.Stat(target); err == nil {
			t.Error("the database is in place already")
		}
		return nil
	})
	must(t, err)
	if !called || r.Kept != "" || r.KEK != from.KEK.ID() {
		t.Errorf("%+v", r)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"mtguard.db"}) {
		t.Errorf("left are %v", got)
	}
	holds(t, target, "new")
}

func TestRestoreKeepsTheOldDatabaseWithWhatStoodInItsLog(t *testing.T) {
	_, b, id := small(t)
	dir := t.TempDir()
	target := filepath.Join(dir, "mtguard.db")
	crashedDB(t, target)
	r := restore(t, b, id, target)
	if got := names(t, dir); !slices.Equal(got, []string{"mtguard.db", "mtguard.db.before-restore"}) {
		t.Errorf("left are %v", got)
	}
	holds(t, target, "new")
	holds(t, r.Kept, "old", "old, in the log")
	r = restore(t, b, id, target) // and again: nothing that was kept is lost
	if want := target + ".before-restore-2"; r.Kept != want {
		t.Errorf("kept as %s, want %s", r.Kept, want)
	}
	holds(t, r.Kept, "new")
	holds(t, target+".before-restore", "old", "old, in the log")
}

func TestRestoreSurvivesACrashAtEveryStep(t *testing.T) {
	_, b, id := small(t)
	broken := func(t testing.TB, path string) {
		crashedDB(t, path)
		must(t, os.WriteFile(path, []byte(strings.Repeat("garbage ", 1000)), 0o600))
		must(t, os.WriteFile(path+"-wal", []byte("garbage"), 0o600))
	}
	for name, before := range map[string]func(testing.TB, string){"a database": crashedDB, "nothing": func(testing.TB, string) {}, "garbage": broken} {
		for stop := range 6 {
			t.Run(fmt.Sprintf("over %s, after %d steps", name, stop), func(t *testing.T) {
				dir := t.TempDir()
				target := filepath.Join(dir, "mtguard.db")
				before(t, target)
				was, there := contents(t, dir)["mtguard.db"]
				x, err := newRestoring(bytes.NewReader(b), id, target, nil)
				must(t, err)
				for _, step := range x.steps()[:stop] {
					must(t, step())
				}
				must(t, x.lock.Close()) // as the end of the process does; nothing else is tidied up
				switch is, exists := contents(t, dir)["mtguard.db"]; {
				case stop == 5:
					holds(t, copyOf(t, target), "new")
				case name == "garbage" && is != was, exists != there:
					t.Error("the old file is another one")
				case name == "a database":
					holds(t, copyOf(t, target), "old", "old, in the log")
				}
				r := restore(t, b, id, target)
				holds(t, target, "new")
				for _, name := range names(t, dir) {
					if !strings.HasPrefix(name, "mtguard.db") {
						t.Errorf("%s is left over", name)
					}
				}
				kept := filepath.Join(dir, "mtguard.db.before-restore")
				switch name {
				case "a database":
					holds(t, kept, "old", "old, in the log")
				case "nothing":
					if stop < 5 && r.Kept != "" {
						t.Errorf("kept %s of nothing", r.Kept)
					}
				case "garbage":
					if files := contents(t, dir); files["mtguard.db.before-restore"] != was || files["mtguard.db.before-restore-wal"] != "garbage" {
						t.Error("what was there is not kept as it was")
					}
				}
			})
		}
	}
}

// copyOf copies a database with its logs, to look into it and change nothing.
func copyOf(t testing.TB, path string) string {
	t.Helper()
	second := filepath.Join(t.TempDir(), "copy")
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if b, err := os.ReadFile(path + suffix); err == nil {
			must(t, os.WriteFile(second+suffix, b, 0o600))
		}
	}
	return second
}

func TestWhatCannotBeRestoredChangesNothing(t *testing.T) {
	from, b, id := small(t)
	cut, flipped := b[:len(b)-1], bytes.Clone(b)
	flipped[len(b)-20] ^= 1
	noDatabase := sealTo(t, Source{DB: blob(t, 5000), KEK: from.KEK}, ForMasterKey())
	unfit := errors.New("schema of tomorrow")
	tests := map[string]struct {
		backup []byte
		with   Identity
		ready  func(Manifest, string) error
		want   error
	}{
		"cut":                       {cut, id, nil, ErrDamaged},
		"flipped":                   {flipped, id, nil, ErrDamaged},
		"foreign":                   {[]byte("hello"), id, nil, ErrForeign},
		"no database":               {noDatabase, id, nil, ErrForeign},
		"another key":               {b, Identity{}, nil, ErrIdentity},
		"not wanted":                {b, id, func(Manifest, string) error { return unfit }, unfit},
		"not wanted, and left open": {b, id, func(_ Manifest, path string) error { leaveOpen(t, path); return unfit }, unfit},
		"left open":                 {b, id, func(_ Manifest, path string) error { leaveOpen(t, path); return nil }, errInUse},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target := filepath.Join(dir, "mtguard.db")
			crashedDB(t, target)
			before := contents(t, dir)
			r, err := Restore(bytes.NewReader(test.backup), test.with, target, test.ready)
			if !errors.Is(err, test.want) || r != (Restored{}) {
				t.Errorf("%+v, %v; want %v", r, err, test.want)
			}
			if !maps.Equal(contents(t, dir), before) {
				t.Errorf("there are %v now", names(t, dir))
			}
		})
	}
}

func leaveOpen(t testing.TB, path string) {
	t.Helper()
	db := connect(t, path)
	insert(t, db, "written by who should only look")
	t.Cleanup(func() { db.Close() })
}

func TestADatabaseInUseIsNotReplaced(t *testing.T) {
	_, b, id := small(t)
	target := filepath.Join(t.TempDir(), "mtguard.db")
	newDB(t, target, "old")
	db := connect(t, target)
	defer db.Close()
	insert(t, db, "more")
	if _, err := Restore(bytes.NewReader(b), id, target, nil); !errors.Is(err, errInUse) {
		t.Errorf("open in SQLite: %v", err)
	}
	insert(t, db, "and more")
	must(t, db.Close())
	lock, err := acquire(target + ".lock")
	must(t, err)
	if _, err := Restore(bytes.NewReader(b), id, target, nil); !errors.Is(err, errInUse) || !strings.Contains(err.Error(), "stop mtguard") {
		t.Errorf("locked: %v", err)
	}
	must(t, lock.Close())
	holds(t, target, "old", "more", "and more")
	restore(t, b, id, target)
	holds(t, target, "new")
}

func TestADatabaseThatSQLiteCannotReadIsReplacedAndKept(t *testing.T) {
	_, b, id := small(t)
	good, err := os.ReadFile(newDB(t, filepath.Join(t.TempDir(), "good"), "old"))
	must(t, err)
	for name, bad := range map[string][]byte{"garbage": bytes.Repeat([]byte("x"), 9000), "cut in its header": good[:50], "cut": good[:len(good)-100], "empty": nil} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target := filepath.Join(dir, "mtguard.db")
			must(t, os.WriteFile(target, bad, 0o600))
			r := restore(t, b, id, target)
			holds(t, target, "new")
			if got := contents(t, dir)[filepath.Base(r.Kept)]; got != string(bad) {
				t.Errorf("%d bytes are kept of %d", len(got), len(bad))
			}
		})
	}
}

func TestALogWithoutItsDatabaseIsNotPlayedIntoTheNewOne(t *testing.T) {
	_, b, id := small(t)
	target := filepath.Join(t.TempDir(), "mtguard.db")
	crashedDB(t, target)
	log, err := os.ReadFile(target + "-wal")
	must(t, err)
	must(t, os.Remove(target))
	r := restore(t, b, id, target)
	holds(t, target, "new")
	if kept, err := os.ReadFile(r.Kept + "-wal"); err != nil || !bytes.Equal(kept, log) {
		t.Errorf("the log is not kept: %v", err)
	}
}

func TestRestoreGoesWhereALinkLeads(t *testing.T) {
	_, b, id := small(t)
	elsewhere := filepath.Join(t.TempDir(), "real.db")
	crashedDB(t, elsewhere)
	target := filepath.Join(t.TempDir(), "mtguard.db")
	must(t, os.Symlink(elsewhere, target))
	r := restore(t, b, id, target)
	if info, err := os.Lstat(target); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	holds(t, elsewhere, "new")
	if r.Kept != elsewhere+".before-restore" {
		t.Errorf("kept as %s", r.Kept)
	}
	if _, err := Restore(bytes.NewReader(b), id, filepath.Dir(target), nil); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("over a directory: %v", err)
	}
}

func TestRestoreByRootGivesTheFileToTheDirectorysOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	_, b, id := small(t)
	dir := t.TempDir()
	must(t, os.Chown(dir, 12345, 12346))
	target := filepath.Join(dir, "mtguard.db")
	restore(t, b, id, target)
	for _, path := range []string{target, target + ".lock"} {
		if uid, gid := ownerOf(t, path); uid != 12345 || gid != 12346 {
			t.Errorf("%s belongs to %d:%d", filepath.Base(path), uid, gid)
		}
	}
}

func TestAFileSystemWithoutLinksGetsCopies(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, os.WriteFile(from, []byte("text"), 0o600))
	must(t, copyFile(from, to))
	if files := contents(t, dir); files["b"] != "text" || files["a"] != "text" {
		t.Errorf("%v", files)
	}
	if err := copyFile(from, to); !errors.Is(err, os.ErrExist) {
		t.Errorf("over another file: %v", err)
	}
	if err := copyFile(from+".gone", to+"2"); !errors.Is(err, os.ErrNotExist) || len(names(t, dir)) != 2 {
		t.Errorf("of nothing: %v, %v", err, names(t, dir))
	}
}
