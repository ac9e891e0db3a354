package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"mtguard/control/store"
)

// Contents is what Check finds in a file.
type Contents struct {
	Schema    int            `json:"schema"` // version
	Revision  store.Revision `json:"revision"`
	Users     int64          `json:"users"` // live ones
	Keys      int64          `json:"keys"`
	AuditRows int64          `json:"audit_rows"`
	Bytes     int64          `json:"bytes"`
}

// Check reads a file that no process has open, as Snapshot wrote it, as a whole, and
// tells what is in it; it changes nothing. A damaged file, or one that is no store, is
// store.ErrCorrupt, one by a newer version store.ErrNewer. It opens nothing that is
// sealed.
func Check(ctx context.Context, path string) (Contents, error) {
	c, err := check(ctx, path)
	if err != nil {
		return Contents{}, fmt.Errorf("store %s: %w", path, translate(err))
	}
	return c, nil
}

func check(ctx context.Context, path string) (c Contents, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return c, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return c, err
	}
	if c.Bytes = info.Size(); c.Bytes == 0 {
		return c, fmt.Errorf("%w: the file is empty", store.ErrCorrupt)
	}
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		return c, fmt.Errorf("%w: a log stands beside it", store.ErrLocked)
	}
	if err := checkHeader(path, len(migrations())); err != nil {
		return c, err
	}
	db := connect(path, url.Values{"mode": {"ro"}, "immutable": {"1"}, "_query_only": {"1"}}, 1)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return c, err
	}
	defer conn.Close()
	if err := ask(ctx, conn, "PRAGMA integrity_check(4)", "ok"); err != nil {
		return c, err
	}
	if err := ask(ctx, conn, "SELECT 'a row of table ' || \"table\" || ' refers to none' FROM pragma_foreign_key_check LIMIT 4", ""); err != nil {
		return c, err
	}
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&c.Schema); err != nil {
		return c, err
	}
	if c.Schema < 1 {
		return c, fmt.Errorf("%w: there are no tables in it", store.ErrCorrupt)
	}
	if steps := migrations(); c.Schema == len(steps) {
		if err := checkTables(ctx, conn, steps); err != nil {
			return c, err
		}
	}
	return c, conn.QueryRowContext(ctx, `SELECT (SELECT revision FROM meta), (SELECT count(*) FROM users WHERE removed = 0),
		(SELECT count(*) FROM keys), (SELECT count(*) FROM audit)`).Scan(&c.Revision, &c.Users, &c.Keys, &c.AuditRows)
}

// ask runs a query of complaints. The text fine is none.
func ask(ctx context.Context, conn *sql.Conn, query, fine string) error {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != fine {
			found = append(found, strings.ReplaceAll(line, "\n", " "))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%w: %s", store.ErrCorrupt, strings.Join(found, "; "))
	}
	return nil
}

// Restore puts a copy of the file from, which Check must find to be whole, in the place
// of the store at path, which no process may have open, or that is not there. What was
// there before, also if it is damaged, is kept as PATH.old, in the place of an older
// one. A crash leaves the store that was there or the new one.
func Restore(ctx context.Context, path, from string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := Check(ctx, from); err != nil {
		return err
	}
	lock, err := acquire(path + ".lock")
	if err == nil {
		err = errors.Join(restore(ctx, path, from), lock.release())
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", path, translate(err))
	}
	return nil
}

func restore(ctx context.Context, path, from string) error {
	fresh := path + ".new"
	if err := copyFile(fresh, from); err != nil {
		return err
	}
	if err := keepOld(ctx, path); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// keepOld gives what is at path a second name, and takes the log away, which would be
// played into the file that comes in its place.
func keepOld(ctx context.Context, path string) error {
	old := path + ".old"
	for _, name := range []string{old, old + "-wal"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	foldLog(ctx, path)
	for _, name := range []struct{ from, to string }{{path + "-wal", old + "-wal"}, {path + "-shm", old + "-shm"}} {
		if err := os.Rename(name.from, name.to); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	os.Remove(old + "-shm") // made anew from the log
	return os.Link(path, old)
}

// foldLog writes what stands in the log of a process that was killed into the file.
// When the file is damaged it may not work, and then the log is kept beside it.
func foldLog(ctx context.Context, path string) {
	db := connect(path, url.Values{}, 1)
	db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	db.Close()
}
