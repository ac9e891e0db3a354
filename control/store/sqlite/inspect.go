package sqlite

import (
	"context"
	"database/sql"
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
