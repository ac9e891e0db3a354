package backup

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"modernc.org/sqlite"
)

// logs are what SQLite keeps beside a database that is in use, or was when something crashed.
var logs = []string{"-wal", "-shm", "-journal"}

var (
	errInUse  = errors.New("it is in use: stop mtguard first")
	errBroken = errors.New("it is no readable database")
)

// SQLite's result codes, as in its documentation.
const (
	codeBusy      = 5
	codeLocked    = 6
	codeCorrupt   = 11
	codeNotADB    = 26
	codeShortRead = 10 | 2<<8
)

// fold brings what stands in the logs of a database into it, so that the file is all there is. The errors are errInUse while another
// process or connection has it open, and errBroken when SQLite cannot read it.
func fold(path string) error {
	if err := looksReadable(path); err != nil {
		return err
	}
	name := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: url.Values{
		"mode":          {"rw"},
		"_busy_timeout": {"0"},
		"_pragma":       {"locking_mode(EXCLUSIVE)", "synchronous(FULL)", "mmap_size(0)", "trusted_schema(0)"},
	}.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	// Leaving the mode of write-ahead logs needs the database for itself, checkpoints the whole log and removes it.
	var mode string
	err = db.QueryRow("PRAGMA journal_mode = DELETE").Scan(&mode)
	if err == nil && mode == "wal" {
		err = errInUse
	}
	if err == nil { // an empty file is a database, to the pragma
		var tables int
		err = db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables)
	}
	if err != nil {
		return meaning(err)
	}
	if err := db.Close(); err != nil {
		return meaning(err)
	}
	return alone(path)
}

// magic is how every SQLite database begins.
const magic = "SQLite format 3\x00"

// looksReadable keeps what is plainly no database away from SQLite, which would take away a log beside it that it makes nothing of.
func looksReadable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	start := make([]byte, len(magic))
	n, err := io.ReadFull(f, start)
	switch {
	case err == io.EOF: // empty is a database without tables
		return nil
	case err != nil && err != io.ErrUnexpectedEOF:
		return err
	case string(start[:n]) != magic:
		return errBroken
	}
	return nil
}

func meaning(err error) error {
	var failed *sqlite.Error
	if !errors.As(err, &failed) {
		return err
	}
	switch code := failed.Code(); {
	case code == codeShortRead, code&0xff == codeCorrupt, code&0xff == codeNotADB:
		return fmt.Errorf("%w: %w", errBroken, err)
	case code&0xff == codeBusy, code&0xff == codeLocked:
		return errInUse
	}
	return err
}

// alone makes sure that SQLite did what was asked for. An empty log says nothing any more, and -shm is only an index to one.
func alone(path string) error {
	for _, suffix := range logs {
		info, err := os.Stat(path + suffix)
		if err == nil && info.Size() > 0 && suffix != "-shm" {
			return fmt.Errorf("%s did not go away", path+suffix)
		}
		if err == nil {
			err = os.Remove(path + suffix)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
