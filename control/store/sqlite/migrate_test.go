package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mtguard/control/store"
)

// steps is a made-up history of a schema.
var steps = []migration{
	{"0001.sql", `CREATE TABLE meta (id INTEGER PRIMARY KEY, revision INTEGER) STRICT; INSERT INTO meta VALUES (1, 7); CREATE TABLE a (x TEXT) STRICT; INSERT INTO a VALUES ('one')`},
	{"0002.sql", `ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 2`},
	{"0003.sql", `CREATE TABLE b AS SELECT x, y + 1 AS y FROM a; UPDATE a SET x = 'three'`},
}

func openSteps(t *testing.T, path string, steps []migration) (*database, error) {
	t.Helper()
	db, err := open(t.Context(), Options{Path: path}, steps)
	if err == nil {
		t.Cleanup(func() { db.close() })
	}
	return db, err
}

func schemaVersion(t *testing.T, db *sql.DB) (version int) {
	t.Helper()
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	return version
}

func TestEachOlderSchemaIsBroughtUpToDate(t *testing.T) {
	for from := range len(steps) + 1 {
		t.Run(fmt.Sprint("from ", from), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			if from > 0 {
				db, err := openSteps(t, path, steps[:from])
				if err != nil {
					t.Fatal(err)
				}
				if got := schemaVersion(t, db.writer); got != from {
					t.Fatalf("schema %d: want %d", got, from)
				}
				if err := db.close(); err != nil {
					t.Fatal(err)
				}
			}
			db, err := openSteps(t, path, steps)
			if err != nil {
				t.Fatal(err)
			}
			var x string
			var y int
			if err := db.readers.QueryRow(`SELECT a.x, b.y FROM a, b`).Scan(&x, &y); err != nil || x != "three" || y != 3 {
				t.Errorf("%q, %d, %v", x, y, err)
			}
			if got := schemaVersion(t, db.readers); got != len(steps) {
				t.Errorf("schema %d: want %d", got, len(steps))
			}
		})
	}
}

func TestAMigrationThatFailsLeavesTheSchemaAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := openSteps(t, path, steps[:1])
	if err != nil {
		t.Fatal(err)
	}
	db.close()
	_, err = openSteps(t, path, []migration{steps[0], steps[1], {"0003.sql", `UPDATE a SET x = 'lost'; DROP TABLE nothing`}})
	if err == nil || !strings.Contains(err.Error(), "0003.sql") {
		t.Fatalf("it ends with %v", err)
	}
	db, err = openSteps(t, path, steps[:1])
	if err != nil {
		t.Fatal(err)
	}
	var x string
	if err := db.readers.QueryRow(`SELECT x FROM a`).Scan(&x); err != nil || x != "one" || schemaVersion(t, db.readers) != 1 {
		t.Errorf("%q, %v, schema %d", x, err, schemaVersion(t, db.readers))
	}
}

func TestANewerStoreIsNotTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := openSteps(t, path, steps)
	if err != nil {
		t.Fatal(err)
	}
	db.close()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openSteps(t, path, steps[:2]); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "3") {
		t.Errorf("opening it: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file changed: %v", err)
	}
	if now, err := os.Stat(path); err != nil || !now.ModTime().Equal(info.ModTime()) {
		t.Errorf("the file was written: %v", err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + suffix); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made", suffix)
		}
	}
}

// The version that counts may stand in the log of a process that was killed.
func TestANewerStoreIsSeenThroughItsLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	db, err := openSteps(t, path, steps[:1])
	if err != nil {
		t.Fatal(err)
	}
	db.close()
	if _, err = openSteps(t, path, steps); err != nil {
		t.Fatal(err)
	}
	killed := filepath.Join(dir, "killed.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err == nil {
			err = os.WriteFile(killed+suffix, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := checkHeader(killed, 1); err != nil {
		t.Fatalf("the log was folded already: %v", err)
	}
	if _, err := openSteps(t, killed, steps[:2]); !errors.Is(err, store.ErrNewer) {
		t.Errorf("opening it: %v", err)
	}
	if again, err := openSteps(t, killed, steps); err != nil || schemaVersion(t, again.readers) != 3 {
		t.Errorf("the newer program cannot open it any more: %v", err)
	}
}

func TestTheSchemaOfToday(t *testing.T) {
	list := migrations()
	if len(list) == 0 {
		t.Fatal("there is none")
	}
	db, err := openSteps(t, filepath.Join(t.TempDir(), "a.db"), list)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := db.readers.Query(`SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var name string
		var strict bool
		if err := rows.Scan(&name, &strict); err != nil {
			t.Fatal(err)
		}
		if !strict {
			t.Errorf("table %s is not STRICT", name)
		}
		n++
	}
	if n < 10 || rows.Err() != nil {
		t.Errorf("%d tables, %v", n, rows.Err())
	}
}

func TestAnOldSQLiteIsRefused(t *testing.T) {
	for version, want := range map[string]bool{
		"3.51.3": true, "3.51.10": true, "3.52.0": true, "4.0.0": true, "3.54.1": true,
		"3.51.2": false, "3.9.9": false, "2.99.99": false, "3.51": false, "": false, "3.51.x": false,
	} {
		if recent(version) != want {
			t.Errorf("%q: %v", version, !want)
		}
	}
}

func TestConnectionsAreAsAsked(t *testing.T) {
	db, err := openSteps(t, filepath.Join(t.TempDir(), "a.db"), migrations())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of   *sql.DB
		want map[string]string
	}{
		{db.writer, map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "query_only": "0", "secure_delete": "1", "cache_size": "-1024", "temp_store": "2", "trusted_schema": "0"}},
		{db.readers, map[string]string{"journal_mode": "wal", "foreign_keys": "1", "query_only": "1", "cache_size": "-512", "temp_store": "2", "trusted_schema": "0"}},
	} {
		for pragma, want := range c.want {
			var got string
			if err := c.of.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s = %s, %v: want %s", pragma, got, err, want)
			}
		}
	}
	if _, err := db.readers.Exec(`PRAGMA query_only = 0; UPDATE meta SET revision = 9`); meaningOf(err) != store.ErrFull {
		t.Errorf("a reader that takes its bridle off can write: %v", err)
	}
}

func meaningOf(err error) error {
	for _, known := range []error{store.ErrFull, store.ErrCorrupt, store.ErrLocked} {
		if errors.Is(translate(err), known) {
			return known
		}
	}
	return nil
}

func TestPragmasThatDidNotTakeAreNoticed(t *testing.T) {
	for _, wrong := range []string{"journal_mode=DELETE", "synchronous=NORMAL", "foreign_keys=0"} {
		db := connect(filepath.Join(t.TempDir(), "a.db"), map[string][]string{"_pragma": {"journal_mode=WAL", "synchronous=FULL", wrong}}, 1)
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), "PRAGMA "+wrong); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(wrong, "=")
		if err := checkPragmas(t.Context(), conn); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", wrong, err)
		}
		conn.Close()
		db.Close()
	}
}
