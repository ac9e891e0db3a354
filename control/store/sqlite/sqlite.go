// Package sqlite keeps a store in one SQLite file, for one process at a time.
//
//	s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir, "mtguard.db")})
//
// Beside the file at Path stand, while it is open, PATH-wal and PATH-shm, which belong
// to it, and PATH.lock, which says by which process. All are readable by their owner
// only when they are made here.
//
// The write-ahead log is synced at each commit, so what Update acknowledged survives a
// power cut. One connection writes and checkpoints, in one process: SQLite before 3.51.3
// could lose writes otherwise, and is refused.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // the driver

	"mtguard/config/disk"
	"mtguard/control/store"
)

// Options say what to open.
type Options struct {
	// Path is the file; one that is not there is made. Its directory must be there.
	Path string

	// MaxBytes bounds the file, rounded down to pages of 4 KiB; the log beside it
	// comes on top. 0: no bound but the disk. Writes beyond fail with store.ErrFull.
	MaxBytes int64
}

const (
	pageSize = 4096

	// Views run side by side up to this; each has a connection, and with it memory.
	views = 4

	// Pages that a connection keeps, in KiB. Together with what the driver needs they
	// are most of what an open store takes.
	writerCache, readerCache = 1024, 512

	// The log is checkpointed at 1,000 pages; a long view or a large transaction lets it
	// grow beyond, and this is what it is cut to afterwards.
	logLimit = 8 << 20

	// Nobody else may hold a lock while we hold ours, but a person with a shell can.
	busyTimeout = 5 * time.Second
)

// Open opens the store in the file at o.Path and brings its schema up to date. While it
// is open, another Open fails with store.ErrLocked. A file by a newer version is
// store.ErrNewer, and not touched; one that is damaged, or no store, is store.ErrCorrupt.
func Open(ctx context.Context, o Options) (*store.Store, error) {
	db, err := open(ctx, o, migrations())
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", o.Path, translate(err))
	}
	return store.New(ctx, db.engine())
}

// database is an open file.
type database struct {
	path            string
	lock            *lock
	writer, readers *sql.DB
}

func open(ctx context.Context, o Options, steps []migration) (_ *database, err error) {
	db := &database{}
	if db.path, err = filepath.Abs(o.Path); err != nil {
		return nil, err
	}
	if db.lock, err = acquire(db.path + ".lock"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.close())
		}
	}()
	if err := checkHeader(db.path, len(steps)); err != nil {
		return nil, err
	}
	if err := private(db.path); err != nil {
		return nil, err
	}
	db.writer = connect(db.path, url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"journal_mode(WAL)",
			"synchronous(FULL)",
			"cache_size(-" + strconv.Itoa(writerCache) + ")",
			"journal_size_limit(" + strconv.Itoa(logLimit) + ")",
			"secure_delete(1)", // what is erased is overwritten
			"max_page_count(" + strconv.FormatInt(maxPages(o.MaxBytes), 10) + ")",
		},
	}, 1)
	if err := prepare(ctx, db.writer, steps); err != nil {
		return nil, err
	}
	db.readers = connect(db.path, url.Values{
		"mode":        {"ro"},
		"_query_only": {"1"},
		"_pragma":     {"cache_size(-" + strconv.Itoa(readerCache) + ")"},
	}, views)
	return db, db.readers.PingContext(ctx)
}

// connect makes a pool of connections, which are never closed for being idle: what they
// have prepared is worth keeping.
func connect(path string, parameters url.Values, conns int) *sql.DB {
	parameters.Set("_busy_timeout", strconv.FormatInt(busyTimeout.Milliseconds(), 10))
	parameters.Set("_foreign_keys", "1")
	parameters.Set("_dqs", "0")
	parameters.Set("_defensive", "1")
	parameters["_pragma"] = append(parameters["_pragma"], "temp_store(MEMORY)", "trusted_schema(0)", "cell_size_check(1)", "mmap_size(0)")
	name := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: parameters.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		panic("sqlite: " + err.Error()) // the driver is there, and connects later
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db
}

// prepare does what has to be done before anybody may use the file.
func prepare(ctx context.Context, writer *sql.DB, steps []migration) error {
	conn, err := writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := checkVersion(ctx, conn); err != nil {
		return err
	}
	if err := checkPragmas(ctx, conn); err != nil {
		return err
	}
	if err := quickCheck(ctx, conn); err != nil {
		return err
	}
	if err := migrate(ctx, conn, steps); err != nil {
		return err
	}
	return checkTables(ctx, conn, steps)
}

// engine hands db over.
func (db *database) engine() store.Engine {
	return store.Engine{
		Writer: db.writer, BeginUpdate: "BEGIN IMMEDIATE",
		Readers: db.readers, BeginView: "BEGIN", ViewsAtOnce: views,
		Error:    translate,
		Snapshot: db.snapshot,
		Close:    db.lock.release,
	}
}

func (db *database) close() error {
	var errs []error
	for _, pool := range []*sql.DB{db.readers, db.writer} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(append(errs, db.lock.release())...)
}

// private makes sure that the file is there and, when it is made now, that only its
// owner can read it, and that its name survives a power cut: SQLite sees to both only for
// files that it makes itself. It gives the files beside this one the same rights.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		return errors.Join(disk.SyncDir(filepath.Dir(path)), f.Close())
	case !errors.Is(err, os.ErrExist):
		return err
	}
	// SQLite would open what cannot be written, for reading.
	if f, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return err
	}
	return f.Close()
}

func maxPages(bytes int64) int64 {
	const most = 1<<32 - 2 // SQLite's own bound
	if bytes <= 0 {
		return most
	}
	return min(max(bytes/pageSize, 1), most)
}
