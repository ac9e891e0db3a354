package sqlite_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"mtguard/control/store"
	"mtguard/security/auditlog"
)

// Whatever is done to the rows behind the store's back, AuditFault or Verify tells, and
// goes on to tell when rows follow.
func TestWhatWasDoneToTheAuditLogShows(t *testing.T) {
	const rows = 20
	for name, c := range map[string]struct {
		edit   []string
		glance bool // seen without reading all rows
		row    int64
		kind   auditlog.Kind
	}{
		"edited":                {[]string{`UPDATE audit SET canonical = replace(canonical, 'user 6', 'user x') WHERE place = 7`}, false, 7, auditlog.Edited},
		"last one edited":       {[]string{`UPDATE audit SET canonical = replace(canonical, 'user 19', 'user xx') WHERE place = 20`}, false, 20, auditlog.Edited},
		"hash edited":           {[]string{`UPDATE audit SET hash = zeroblob(32) WHERE place = 20`}, true, 20, auditlog.Edited},
		"hash cut short":        {[]string{`UPDATE audit SET hash = x'00' WHERE place = 5`}, false, 5, auditlog.Unreadable},
		"one deleted":           {[]string{`DELETE FROM audit WHERE place = 7`}, true, 7, auditlog.Missing},
		"first one deleted":     {[]string{`DELETE FROM audit WHERE place = 1`}, true, 1, auditlog.Missing},
		"last one deleted":      {[]string{`DELETE FROM audit WHERE place = 20`}, true, 20, auditlog.Truncated},
		"last ones deleted":     {[]string{`DELETE FROM audit WHERE place > 15`}, true, 16, auditlog.Truncated},
		"all deleted":           {[]string{`DELETE FROM audit`}, true, 1, auditlog.Truncated},
		"deleted and closed up": {[]string{`DELETE FROM audit WHERE place = 7`, `UPDATE audit SET place = -place WHERE place > 7`, `UPDATE audit SET place = -place - 1 WHERE place < 0`}, true, 7, auditlog.Missing},
		"two swapped":           {[]string{`UPDATE audit SET place = -3 WHERE place = 3`, `UPDATE audit SET place = 3 WHERE place = 4`, `UPDATE audit SET place = 4 WHERE place = -3`}, false, 3, auditlog.Swapped},
		"one added":             {[]string{`INSERT INTO audit SELECT 21, canonical, hash FROM audit WHERE place = 20`}, true, 0, 0},
		"one added, well made":  {nil, true, 21, auditlog.Added},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			sealer := fill(t, path, rows)
			if c.edit == nil {
				c.edit = []string{forge(t, path, sealer)}
			}
			edit(t, path, c.edit...)
			s := openSealed(t, path, sealer)
			if fault := s.AuditFault(); (fault != nil) != c.glance || fault != nil && !errors.Is(fault, store.ErrCorrupt) {
				t.Errorf("AuditFault: %v", fault)
			}
			check := func(when string, kinds ...auditlog.Kind) {
				t.Helper()
				report := verify(t, s)
				if report.Bad == nil {
					t.Fatalf("%s: nothing is found", when)
				}
				if c.row != 0 && report.Bad.Row != c.row {
					t.Errorf("%s: %v: want row %d", when, report.Bad, c.row)
				}
				if c.kind != 0 && len(kinds) > 0 && report.Bad.Kind != kinds[0] {
					t.Errorf("%s: %v: want %v", when, report.Bad, kinds[0])
				}
			}
			check("at first", c.kind)
			for i := range 3 {
				update(t, s, func(tx *store.Tx) error { return audit(tx, rows+i) })
			}
			check("when three rows followed")
			closed(t, s)
			s = openSealed(t, path, sealer)
			check("when it was opened again")
		})
	}
}

// forge makes the statement that appends a row as the program would, by one who can
// compute hashes but not open the State.
func forge(t *testing.T, path string, sealer store.Sealer) (statement string) {
	t.Helper()
	s := openSealed(t, path, sealer)
	defer s.Close()
	err := s.View(t.Context(), func(tx *store.Tx) error {
		state, err := tx.AuditState()
		if err != nil {
			return err
		}
		row, _, err := auditlog.Append(state, auditlog.Entry{Time: start, Actor: "uid 0", Action: "forged", Outcome: auditlog.Done})
		statement = fmt.Sprintf(`INSERT INTO audit VALUES (%d, '%s', x'%x')`, state.Rows()+1, row.Canonical, row.Hash[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return statement
}

func TestALogWithoutItsStateIsNotBegunAnew(t *testing.T) {
	for _, wiped := range [][]string{
		{`DELETE FROM audit_state`},
		{`DELETE FROM audit_state`, `DELETE FROM audit`},
	} {
		path := filepath.Join(t.TempDir(), "a.db")
		sealer := fill(t, path, 3)
		edit(t, path, wiped...)
		s := openSealed(t, path, sealer)
		if fault := s.AuditFault(); !errors.Is(fault, store.ErrCorrupt) || !strings.Contains(fault.Error(), "missing") {
			t.Errorf("AuditFault: %v", fault)
		}
		if _, err := s.Update(t.Context(), func(tx *store.Tx) error { return audit(tx, 3) }); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("a row was appended: %v", err)
		}
	}
}
