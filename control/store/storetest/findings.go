package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
)

func newFinding(id string) store.Finding {
	return store.Finding{ID: id, Check: "host.disk", Group: "host", Severity: "high", State: "new", FirstSeen: at, LastSeen: at}
}

// fullFinding has a value in each field.
func fullFinding(id string) store.Finding {
	return store.Finding{
		ID: id, Check: "keys.unused", Group: "keys", Title: "a secret\nwas never used", Subject: fullName, Severity: "low", Unknown: true,
		Evidence: "12:34 5 ", Remedy: "mtguard user rm \"x\"", State: "acknowledged", FirstSeen: at, LastSeen: at.Add(time.Hour + time.Microsecond),
		Fixed: at.Add(2 * time.Hour), Returned: 3, Until: at.Add(3 * time.Hour), Reason: "é", Actor: "uid 0",
	}
}

var findingTests = []test{
	{"findings come back as they were put, and are replaced", func(t *testing.T, open Open) {
		f := fresh(t, open)
		before := f.Revision()
		a, b := fullFinding("b"), newFinding("a")
		f.update(func(tx *store.Tx) error { return tx.PutFindings([]store.Finding{a, b}) })
		a.State, a.Returned, a.Evidence, a.Fixed = "open", 4, "other", time.Time{}
		f.update(func(tx *store.Tx) error { return tx.PutFindings([]store.Finding{a}) })
		f.view(func(tx *store.Tx) error {
			got := list(t, tx.Findings())
			if len(got) != 2 || got[0] != b || got[1] != a {
				t.Errorf("%+v\nwant %+v\nand %+v", got, b, a)
			}
			one, err := tx.Finding("b")
			if one != a {
				t.Errorf("%+v, want %+v", one, a)
			}
			if _, missing := tx.Finding("c"); !errors.Is(missing, store.ErrNotFound) {
				t.Errorf("one that is not there: %v", missing)
			}
			return err
		})
		if f.Revision() != before {
			t.Error("a finding raised the revision")
		}
	}},
	{"there is a bound on open findings, and on fixed ones", func(t *testing.T, open Open) {
		f := fresh(t, open)
		many := make([]store.Finding, store.MaxFindings)
		for i := range many {
			many[i] = newFinding(fmt.Sprintf("%06d", i))
		}
		f.update(func(tx *store.Tx) error { return tx.PutFindings(many) })
		one := newFinding("x")
		f.refused(store.ErrTooMany, func(tx *store.Tx) error { return tx.PutFindings([]store.Finding{one}) })
		one.Fixed = at
		f.update(func(tx *store.Tx) error { return tx.PutFindings([]store.Finding{one}) })
		for i := range store.KeepFixed + 10 {
			many[i].Fixed = at.Add(time.Duration(i) * time.Second)
		}
		f.update(func(tx *store.Tx) error {
			return errors.Join(tx.PutFindings(many), tx.AddAuditRun(&store.AuditRun{Started: at}))
		})
		f.view(func(tx *store.Tx) error {
			if got := list(t, tx.Findings()); len(got) != store.MaxFindings-10 || got[0].ID != "000010" {
				t.Errorf("%d are left, the first %q", len(got), got[0].ID)
			}
			return nil
		})
	}},
	{"texts of findings have bounds", func(t *testing.T, open Open) {
		f := fresh(t, open)
		for _, spoil := range []func(*store.Finding){
			func(x *store.Finding) { x.ID = "" },
			func(x *store.Finding) { x.Check = "" },
			func(x *store.Finding) { x.State = "" },
			func(x *store.Finding) { x.Evidence = strings.Repeat("x", store.MaxText+1) },
			func(x *store.Finding) { x.Subject = "\xff" },
			func(x *store.Finding) { x.Reason = "a\x00b" },
		} {
			x := newFinding("a")
			spoil(&x)
			if _, err := f.Update(t.Context(), func(tx *store.Tx) error { return tx.PutFindings([]store.Finding{x}) }); err == nil {
				t.Errorf("%+.60v was put", x)
			}
		}
	}},
	{"audits are numbered, and the oldest go", func(t *testing.T, open Open) {
		f := fresh(t, open)
		before := f.Revision()
		f.view(func(tx *store.Tx) error {
			if _, err := tx.LastAuditRun(false); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("without any: %v", err)
			}
			return nil
		})
		add := func(a store.AuditRun) store.AuditRun {
			f.update(func(tx *store.Tx) error { return tx.AddAuditRun(&a) })
			return a
		}
		good := add(store.AuditRun{Started: at, Took: time.Second, Actor: "uid 0", Asked: 40, Score: 77, Found: `[{"id":"a"}]`})
		failed := add(store.AuditRun{Started: at.Add(time.Hour), Actor: "schedule", Problem: "full"})
		partial := add(store.AuditRun{Started: at.Add(2 * time.Hour), Actor: "schedule", Partial: true})
		f.view(func(tx *store.Tx) error {
			all, err1 := tx.AuditRuns(0, 0)
			if len(all) != 3 || all[0] != partial || all[1] != failed || all[2] != good || good.Number != 1 || partial.Number != 3 {
				t.Errorf("%+v", all)
			}
			two, err2 := tx.AuditRuns(3, 1)
			if len(two) != 1 || two[0] != failed {
				t.Errorf("before 3: %+v", two)
			}
			last, err3 := tx.LastAuditRun(false)
			lastGood, err4 := tx.LastAuditRun(true)
			if last != failed || lastGood != good {
				t.Errorf("the last %+v, the last good one %+v", last, lastGood)
			}
			one, err5 := tx.AuditRun(1)
			if one != good {
				t.Errorf("%+v", one)
			}
			return errors.Join(err1, err2, err3, err4, err5)
		})
		f.update(func(tx *store.Tx) error {
			for range store.KeepAudits {
				if err := tx.AddAuditRun(&store.AuditRun{Started: at}); err != nil {
					return err
				}
			}
			return nil
		})
		f.view(func(tx *store.Tx) error {
			if _, err := tx.AuditRun(3); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("an old one: %v", err)
			}
			one, err := tx.AuditRun(4)
			if one.Number != 4 {
				t.Errorf("%+v", one)
			}
			return err
		})
		if _, err := f.Update(t.Context(), func(tx *store.Tx) error {
			return tx.AddAuditRun(&store.AuditRun{Found: strings.Repeat("x", store.MaxFoundList+1)})
		}); err == nil {
			t.Error("a list without a bound was kept")
		}
		if f.Revision() != before {
			t.Error("an audit raised the revision")
		}
	}},
}
