package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"

	"mtguard/control/store"
)

//go:embed schema/*.sql
var schema embed.FS

// migration is what makes version n of the schema out of version n-1.
type migration struct{ name, text string }

// migrations are the files of schema, which are numbered from 0001 on without a gap:
// that of version n is at n-1. One that was ever released never changes again.
func migrations() []migration {
	entries, err := fs.ReadDir(schema, "schema")
	if err != nil {
		panic("sqlite: " + err.Error()) // they are embedded
	}
	var steps []migration
	for i, e := range entries { // sorted by name
		if want := fmt.Sprintf("%04d.sql", i+1); e.Name() != want {
			panic("sqlite: schema/" + e.Name() + " stands where " + want + " belongs")
		}
		text, err := fs.ReadFile(schema, "schema/"+e.Name())
		if err != nil {
			panic("sqlite: " + err.Error())
		}
		steps = append(steps, migration{e.Name(), string(text)})
	}
	return steps
}

// migrate brings the schema to the version of the last step, in one transaction: a
// crash leaves the old version or the new one.
func migrate(ctx context.Context, conn *sql.Conn, steps []migration) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if err := checkSchema(version, len(steps)); err != nil {
		return err // what checkHeader could not see, for it stood in the log
	}
	if version < 0 {
		return fmt.Errorf("%w: its schema has version %d", store.ErrCorrupt, version)
	}
	if version == len(steps) {
		return nil
	}
	if err := apply(ctx, tx, steps[version:]); err != nil {
		return err
	}
	head := "PRAGMA application_id = " + strconv.Itoa(applicationID) + "; PRAGMA user_version = " + strconv.Itoa(len(steps))
	if _, err := tx.ExecContext(ctx, head); err != nil {
		return err
	}
	return tx.Commit()
}

// execer is a *sql.Tx or a *sql.Conn.
type execer interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

func apply(ctx context.Context, to execer, steps []migration) error {
	for _, step := range steps {
		if _, err := to.ExecContext(ctx, step.text); err != nil {
			return fmt.Errorf("schema %s: %w", step.name, err)
		}
	}
	return nil
}

// checkTables compares the tables with those that steps make of nothing. A trigger that
// somebody added, or a bit that fell over in the text of a table, is found here, and not
// by a statement one day.
func checkTables(ctx context.Context, conn *sql.Conn, steps []migration) error {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	model, err := db.Conn(ctx) // each connection has a memory of its own
	if err != nil {
		return err
	}
	defer model.Close()
	if err := apply(ctx, model, steps); err != nil {
		return err
	}
	want, err := tables(ctx, model)
	if err != nil {
		return err
	}
	got, err := tables(ctx, conn)
	if err != nil {
		return err
	}
	for name, text := range want {
		if got[name] != text {
			return fmt.Errorf("%w: %s is not what it should be", store.ErrCorrupt, name)
		}
		delete(got, name)
	}
	for name := range got {
		return fmt.Errorf("%w: there is %s, which does not belong here", store.ErrCorrupt, strconv.Quote(name))
	}
	return nil
}

func tables(ctx context.Context, of execer) (map[string]string, error) {
	rows, err := of.QueryContext(ctx, `SELECT type || ' ' || name, tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make(map[string]string)
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		all[name] = text
	}
	return all, rows.Err()
}
