package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"mtguard/control/store"
)

// translate says which of the store's errors one of SQLite is.
func translate(err error) error {
	for _, known := range []error{store.ErrCorrupt, store.ErrFull, store.ErrLocked, store.ErrNewer} {
		if errors.Is(err, known) {
			return err
		}
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	var from *driver.Error
	if !errors.As(err, &from) {
		return err
	}
	if is := meaning(from.Code()); is != nil {
		return fmt.Errorf("%w: %w", is, err)
	}
	return err
}

func meaning(code int) error {
	switch code {
	case sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE:
		return store.ErrFull
	case sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS:
		return store.ErrCorrupt
	}
	switch code & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_SCHEMA:
		return store.ErrCorrupt
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY:
		return store.ErrFull
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return store.ErrLocked
	}
	return nil
}
