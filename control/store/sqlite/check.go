package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"mtguard/control/store"
)

// applicationID stands in the header of a store: "mtgd".
const applicationID = 0x6d746764

// Where in a file's header SQLite keeps what is looked at before it is opened.
const (
	headerSize      = 100
	userVersionAt   = 60
	applicationIDAt = 68
	magic           = "SQLite format 3\x00"
)

// checkHeader refuses what is no store and what is newer, by reading alone: opening a
// file with SQLite may already change it.
func checkHeader(path string, newest int) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	header := make([]byte, headerSize)
	n, err := io.ReadFull(f, header)
	switch {
	case err == io.EOF: // empty, as a crash may leave it when it was just made
		return nil
	case err != nil && err != io.ErrUnexpectedEOF:
		return err
	case n < headerSize || string(header[:len(magic)]) != magic:
		return fmt.Errorf("%w: this is no SQLite file", store.ErrCorrupt)
	}
	version := int(binary.BigEndian.Uint32(header[userVersionAt:]))
	id := binary.BigEndian.Uint32(header[applicationIDAt:])
	if id != applicationID && (id != 0 || version != 0) {
		return fmt.Errorf("%w: this is an SQLite file of another program", store.ErrCorrupt)
	}
	return checkSchema(version, newest)
}

func checkSchema(version, newest int) error {
	if version > newest {
		return fmt.Errorf("%w: its schema has version %d, this program knows %d", store.ErrNewer, version, newest)
	}
	return nil
}

// oldest is the first SQLite without the WAL-reset bug, by which two connections that
// checkpoint could lose a commit.
var oldest = [3]int{3, 51, 3}

func checkVersion(ctx context.Context, conn *sql.Conn) error {
	var text string
	if err := conn.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&text); err != nil {
		return err
	}
	if !recent(text) {
		return fmt.Errorf("SQLite %s is linked in: want %d.%d.%d or later", text, oldest[0], oldest[1], oldest[2])
	}
	return nil
}

func recent(version string) bool {
	parts := strings.Split(version, ".")
	for i, want := range oldest {
		if i >= len(parts) {
			return false
		}
		got, err := strconv.Atoi(parts[i])
		if err != nil || got < want {
			return false
		}
		if got > want {
			return true
		}
	}
	return true
}

// checkPragmas asks whether what was asked for is so: PRAGMA answers with what it did
// instead and no error, as on a file system that cannot share memory.
func checkPragmas(ctx context.Context, conn *sql.Conn) error {
	for _, want := range []struct{ pragma, is string }{
		{"journal_mode", "wal"},
		{"synchronous", "2"}, // FULL
		{"foreign_keys", "1"},
		{"page_size", strconv.Itoa(pageSize)},
	} {
		var got string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+want.pragma).Scan(&got); err != nil {
			return err
		}
		if got != want.is {
			return fmt.Errorf("SQLite has %s = %s here: want %s", want.pragma, got, want.is)
		}
	}
	return nil
}

// quickCheck reads the whole file.
func quickCheck(ctx context.Context, conn *sql.Conn) error {
	return ask(ctx, conn, "PRAGMA quick_check(4)", "ok")
}
