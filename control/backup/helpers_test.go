package backup

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mtguard/security/vault"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect opens a database as the store does, one connection and a log of its own.
func connect(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)")
	must(t, err)
	db.SetMaxOpenConns(1)
	return db
}

func insert(t testing.TB, db *sql.DB, values ...string) {
	t.Helper()
	for _, value := range values {
		_, err := db.Exec("INSERT INTO t VALUES (?)", value)
		must(t, err)
	}
}

// newDB makes a database at path that stands alone, as VACUUM INTO would.
func newDB(t testing.TB, path string, values ...string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=page_size(512)") // small: some tests try each byte
	must(t, err)
	_, err = db.Exec("CREATE TABLE t (v TEXT)")
	must(t, err)
	insert(t, db, values...)
	must(t, db.Close())
	must(t, fold(path))
	return path
}

// crashedDB leaves at path what a killed process leaves: a database with one value in it, and a log with another that it lacks.
func crashedDB(t testing.TB, path string) {
	t.Helper()
	live := newDB(t, filepath.Join(t.TempDir(), "live"), "old")
	db := connect(t, live)
	defer db.Close()
	insert(t, db, "old, in the log")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		b, err := os.ReadFile(live + suffix)
		must(t, err)
		must(t, os.WriteFile(path+suffix, b, 0o600))
	}
}

// values reads a database as the next start would.
func values(t testing.TB, path string) (all []string) {
	t.Helper()
	db := connect(t, path)
	defer db.Close()
	rows, err := db.Query("SELECT v FROM t ORDER BY rowid")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var v string
		must(t, rows.Scan(&v))
		all = append(all, v)
	}
	must(t, rows.Err())
	return all
}

func holds(t testing.TB, path string, want ...string) {
	t.Helper()
	if got := values(t, path); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", filepath.Base(path), got, want)
	}
}

// contents is every file of a directory, but the lock.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	all, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range all {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			must(t, err)
			files[entry.Name()] = string(b)
		}
	}
	return files
}

func names(t testing.TB, dir string) (all []string) {
	t.Helper()
	for name := range contents(t, dir) {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func copied(db string) Source {
	return Source{DB: db, KEK: vault.GenerateKEK(), Made: time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)), Version: "v1.2.3"}
}

func sealTo(t testing.TB, from Source, to Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	_, err := Create(&out, from, to)
	must(t, err)
	return out.Bytes()
}

func masterKey(t testing.TB, keks ...vault.KEK) Identity {
	t.Helper()
	id, err := WithMasterKey(keks...)
	must(t, err)
	return id
}

// small is a backup of a database with one value, and what opens it.
func small(t testing.TB) (Source, []byte, Identity) {
	t.Helper()
	from := copied(newDB(t, filepath.Join(t.TempDir(), "copy"), "new"))
	return from, sealTo(t, from, ForMasterKey()), masterKey(t, from.KEK)
}

// blob is a file of n bytes that are no database; only Restore looks at that.
func blob(t testing.TB, n int) string {
	t.Helper()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	path := filepath.Join(t.TempDir(), fmt.Sprint("blob", n))
	must(t, os.WriteFile(path, b, 0o600))
	return path
}

func ownerOf(t testing.TB, path string) (uid, gid int) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	return int(stat.Uid), int(stat.Gid)
}
