package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/control/store/sqlite"
	"mtguard/control/store/storetest"
)

func TestASecondOpenIsToldByWhomTheStoreIsUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := open(t, path)
	_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("pid ", os.Getpid())) {
		t.Errorf("a second one in this process: %v", err)
	}
	closed(t, s)
	closed(t, open(t, path))

	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "MTGUARD_TEST_STORE="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() {
		t.Error("the process made no change")
	}
	_, err = sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("pid ", child.Process.Pid)) {
		t.Errorf("while another process has it: %v", err)
	}
	child.Process.Kill()
	child.Wait()
	closed(t, open(t, path)) // what the dead one left is no obstacle
}

func TestALockFileOfTheDeadIsNoObstacle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	for _, left := range []string{"1\n", "999999999\n", "", "nonsense"} {
		if err := os.WriteFile(path+".lock", []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		closed(t, open(t, path))
	}
}

func TestAFailedOpenLeavesNoLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(path, []byte("no database, but long enough to be looked at: "+strings.Repeat("x", 8192)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	os.Remove(path)
	closed(t, open(t, path))
}

func TestOnlyTheOwnerCanRead(t *testing.T) {
	dir := t.TempDir()
	s := openSealed(t, filepath.Join(dir, "a.db"), storetest.NewSealer())
	if err := s.Snapshot(t.Context(), filepath.Join(dir, "copy.db")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 {
		t.Fatalf("%v, %v: want a.db, its log, its shared memory and its lock, and copy.db", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	closed(t, s)
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(filepath.Join(dir, "a.db"+suffix)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", suffix, err)
		}
	}
}

func TestOtherFilesAreNotTaken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	edit(t, path, `CREATE TABLE t (x)`, `PRAGMA user_version = 3`)
	before, _ := os.ReadFile(path)
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a database of another program: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("it was changed")
	}
	fill(t, path+"2", 1)
	edit(t, path+"2", `CREATE TRIGGER quiet AFTER INSERT ON audit BEGIN DELETE FROM audit WHERE place = new.place; END`)
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path + "2"}); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "trigger quiet") {
		t.Errorf("a store with a trigger: %v", err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: dir}); err == nil {
		t.Error("a directory was opened")
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "none", "a.db")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	closed(t, open(t, filepath.Join(dir, "a b%20c?d#e&mode=ro.db"))) // a name is a name
	if _, err := os.Stat(filepath.Join(dir, "a b%20c?d#e&mode=ro.db")); err != nil {
		t.Error(err)
	}
}

func TestASnapshotIsOneStateAndIsAStore(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "a.db"), filepath.Join(dir, "copy.db")
	sealer := fill(t, path, 3)
	s := openSealed(t, path, sealer)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // changes go on meanwhile
		defer close(done)
		for i := 3; ctx.Err() == nil; i++ {
			s.Update(ctx, func(tx *store.Tx) error { return audit(tx, i) })
		}
	}()
	err := s.Snapshot(t.Context(), copied)
	stop()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Snapshot(t.Context(), copied); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file that is there: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Snapshot(ended, filepath.Join(dir, "none.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
	contents, err := sqlite.Check(t.Context(), copied)
	if err != nil || contents.Schema != 4 || contents.Users != 2 || contents.Keys != 2 || contents.AuditRows < 3 || contents.Bytes == 0 {
		t.Errorf("%+v, %v", contents, err)
	}
	if left, err := filepath.Glob(copied + "?*"); len(left) > 0 {
		t.Errorf("checking left %v, %v", left, err)
	}
	again := openSealed(t, copied, sealer)
	if report := verify(t, again); report.Err() != nil || report.Intact != contents.AuditRows || again.Revision() != contents.Revision {
		t.Errorf("%+v at revision %d: want %+v", report, again.Revision(), contents)
	}
}

func TestCheckRefusesWhatIsNoWholeStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	fill(t, path, 200)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(change func([]byte) []byte) {
		t.Helper()
		if err := os.WriteFile(path, change(append([]byte(nil), whole...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"text":      func([]byte) []byte { return []byte("hello") },
		"cut short": func(b []byte) []byte { return b[:len(b)/2] },
		"overwritten": func(b []byte) []byte {
			clear(b[len(b)/2:])
			return b
		},
	} {
		write(change)
		if c, err := sqlite.Check(t.Context(), path); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	write(func(b []byte) []byte { return b })
	edit(t, path, `PRAGMA foreign_keys = 0`, `UPDATE keys SET user_id = user_id + 77`)
	if c, err := sqlite.Check(t.Context(), path); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a key of nobody: %+v, %v", c, err)
	}
	edit(t, path, `PRAGMA user_version = 99`)
	if c, err := sqlite.Check(t.Context(), path); !errors.Is(err, store.ErrNewer) {
		t.Errorf("a newer one: %+v, %v", c, err)
	}
	if _, err := sqlite.Check(t.Context(), filepath.Join(dir, "none.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	s := open(t, filepath.Join(dir, "used.db"))
	update(t, s, func(tx *store.Tx) error { return tx.PutSetting("s", nil) })
	if _, err := sqlite.Check(t.Context(), filepath.Join(dir, "used.db")); !errors.Is(err, store.ErrLocked) {
		t.Errorf("one in use: %v", err)
	}
}

func TestCloseWaitsForWhatRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := openSealed(t, path, storetest.NewSealer())
	inside, finish, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := s.Update(context.Background(), func(tx *store.Tx) error {
			close(inside)
			<-finish
			return audit(tx, 0)
		})
		ended <- err
	}()
	<-inside
	closing := make(chan error)
	go func() { closing <- s.Close() }()
	select {
	case err := <-closing:
		t.Errorf("closed while an update runs: %v", err)
	case <-time.After(20 * time.Millisecond): // it may be late, and then nothing was tested
	}
	close(finish)
	if err := errors.Join(<-ended, <-closing); err != nil {
		t.Error(err)
	}
	closed(t, open(t, path))
}
