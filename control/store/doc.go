// Package store keeps what must survive a crash: users, their keys and the keys'
// history, usage totals, recipients' pages, access rules, lists, policies and the
// exceptions to them, settings, what audits found and the audit log. It is one SQL data
// model; the database under it is an Engine, of which control/store/sqlite is the one for
// a single node.
//
//	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
//	err = s.SetSealer(ctx, sealer) // made of what tx.Keysets gives
//	revision, err := s.Update(ctx, func(tx *store.Tx) error {
//		u := store.User{Name: "nadia", Source: store.FromAdmin, Level: access.Standard, Created: now}
//		if err := tx.PutUser(&u); err != nil {
//			return err
//		}
//		_, err := tx.Audit(auditlog.Entry{Time: now, Actor: "uid 0", Action: "user.add", …})
//		return err
//	})
//	for revision, err := range s.Watch(ctx, seen) { … }
//
// # Transactions
//
// Update runs one function at a time, of all processes that use the store. What it
// did is on the disk when Update returns nil, and none of it ever happened when
// Update returns an error, panics, or the machine stops before. View sees one state
// of the store, however long it takes, and waits for nobody.
//
// # Revisions
//
// An Update that changed something raises the store's Revision by one. A row carries
// the Revision of its last change: a Put with an older one is refused with
// ErrConflict, and lists take the Revision that their caller knows already. What is
// only counted or remembered raises no Revision and wakes nobody: usage, sightings,
// MarkUsed, views of a page, hits of an exception, looks at a list, answers of Once,
// audits and their findings, checkpoints, and Rewrap.
//
// # Secrets
//
// Key material, page tokens, secret settings, answers of Once and the audit log's
// State reach the database only sealed, each bound to its table, row and column:
// what was moved elsewhere or edited fails to open, with ErrCorrupt.
//
// A Store may be used by several goroutines; a Tx, and what it returns that is a
// sequence, by one, until its function returns. Times are kept to the microsecond, in UTC.
package store
