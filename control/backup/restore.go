package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mtguard/config/disk"
)

// Restored says what Restore did.
type Restored struct {
	Manifest
	// Kept is where the old database is now, "" when there was none.
	Kept string `json:"kept,omitempty"`
}

// Restore puts the database of a backup in the place of the one at target, while no process has it open: the lock of the store is held
// meanwhile, and a database in use is refused.
//
// The backup is read whole and verified before anything of the old is touched. Then ready is called with the new database's manifest and
// its path, under another name beside target: there the caller refuses a database that it could not use, and puts away the master key
// that came with it. Ready may open the database, and bring its schema up to date, and has to close it; nil is no opinion.
//
// The old database, with what stood in its log, becomes target.before-restore (-2, -3 … when there are some already). One that SQLite cannot
// read any more is kept the same way, its log beside it. A crash at any moment leaves at target either the old database, with all that
// was committed to it, or the new one, and never a log that belongs to the other; then Restore can be called again.
func Restore(r io.Reader, with Identity, target string, ready func(m Manifest, db string) error) (Restored, error) {
	x, err := newRestoring(r, with, target, ready)
	if err != nil {
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	defer x.done()
	for _, step := range x.steps() {
		if err := step(); err != nil {
			return Restored{}, fmt.Errorf("restore: %w", err)
		}
	}
	return Restored{x.manifest, x.kept}, nil
}

// restoring is a restore under way.
type restoring struct {
	in     io.Reader
	with   Identity
	target string
	ready  func(m Manifest, db string) error

	lock     *os.File
	manifest Manifest
	temp     string // the new database, until it is in place
	old      bool   // something is at target, or a log of it
	kept     string
}

// steps are what Restore does, each durable before the next one begins. Tests stop between any two.
func (x *restoring) steps() []func() error {
	return []func() error{x.unpack, x.foldOld, x.keepOld, x.clearLogs, x.swap}
}

func newRestoring(r io.Reader, with Identity, target string, ready func(Manifest, string) error) (*restoring, error) {
	target, err := filepath.Abs(target)
	if err != nil {
		return nil, err
	}
	lock := target + ".lock"                                    // where the store has it, whatever target leads to
	if real, err := filepath.EvalSymlinks(target); err == nil { // a rename would replace the link
		target = real
	}
	if info, err := os.Lstat(target); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", target)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if ready == nil {
		ready = func(Manifest, string) error { return nil }
	}
	x := &restoring{in: r, with: with, target: target, ready: ready}
	if x.lock, err = acquire(lock); err != nil {
		return nil, err
	}
	x.sweep("")
	return x, nil
}

// done removes what is of no use any more, after success as after an error.
func (x *restoring) done() {
	if x.temp != "" {
		x.sweep(filepath.Base(x.temp))
	}
	x.lock.Close()
}

// sweep removes new databases that were not put in place, and whatever was made beside them; only is one of them, or "" for all.
func (x *restoring) sweep(only string) {
	prefix := x.tempPrefix()
	if only != "" {
		prefix = only
	}
	all, _ := os.ReadDir(filepath.Dir(x.target))
	for _, entry := range all {
		if strings.HasPrefix(entry.Name(), prefix) {
			os.Remove(filepath.Join(filepath.Dir(x.target), entry.Name()))
		}
	}
}

func (x *restoring) tempPrefix() string { return "." + filepath.Base(x.target) + ".restore-" }

// unpack makes the new database, whole and verified, beside the old one.
func (x *restoring) unpack() error {
	m, db, err := open(x.in, x.with)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(x.target), x.tempPrefix()+"*")
	if err != nil {
		return err
	}
	x.temp = temp.Name()
	err = adopt(temp, x.target)
	if err == nil {
		_, err = io.Copy(temp, db)
	}
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := fold(x.temp); errors.Is(err, errBroken) {
		return fmt.Errorf("%w: what is in it is no database", ErrForeign)
	} else if err != nil {
		return err
	}
	if err := x.ready(m, x.temp); err != nil {
		return err
	}
	if err := fold(x.temp); err != nil {
		return fmt.Errorf("the restored database %w", err)
	}
	x.manifest = m
	return syncFile(x.temp)
}

// foldOld leaves the old database in one file. From here on its logs, if there are any, are those of a database that SQLite cannot read.
func (x *restoring) foldOld() error {
	for _, path := range append(withLogs(x.target), x.target) {
		if _, err := os.Lstat(path); err == nil {
			x.old = true
		}
	}
	if _, err := os.Lstat(x.target); err != nil {
		return nil // nothing, or a log whose database is gone
	}
	if err := fold(x.target); err != nil && !errors.Is(err, errBroken) {
		return fmt.Errorf("the old database %s: %w", x.target, err)
	}
	return syncFile(x.target)
}

func withLogs(path string) (all []string) {
	for _, suffix := range logs {
		all = append(all, path+suffix)
	}
	return all
}

// maxKept bounds the search for a name that is free.
const maxKept = 100

// keepOld gives the old database a second name. Its first one stays until swap takes it, so that there always is a database.
func (x *restoring) keepOld() error {
	if !x.old {
		return nil
	}
	kept, err := freeName(x.target + ".before-restore")
	if err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-journal"} { // -shm is made anew of -wal
		err := link(x.target+suffix, kept+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	x.kept = kept
	return disk.SyncDir(filepath.Dir(x.target))
}

func freeName(base string) (string, error) {
	for n := 1; n <= maxKept; n++ {
		name := base
		if n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		free := true
		for _, path := range append(withLogs(name), name) {
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				free = false
			}
		}
		if free {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s and %d more are there: remove those that are not needed", base, maxKept-1)
}

// clearLogs takes away the logs that are kept under another name, before a database comes that they do not belong to: SQLite would play
// them into it.
func (x *restoring) clearLogs() error {
	for _, path := range withLogs(x.target) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return disk.SyncDir(filepath.Dir(x.target))
}

func (x *restoring) swap() error {
	if err := os.Rename(x.temp, x.target); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(x.target))
}
