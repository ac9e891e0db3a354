package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control"
	"mtguard/control/backup"
	"mtguard/control/store"
	"mtguard/control/store/sqlite"
	"mtguard/security/auditlog"
	"mtguard/security/vault"
)

// BackupSecret is what opens a backup: the identity file of an age recipient, or
// a passphrase; the master key of the state directory when both are empty.
type BackupSecret struct {
	Identities io.Reader
	Passphrase string
}

// BackupReport says what is in a backup that was read whole.
type BackupReport struct {
	Made     time.Time `json:"made"`
	Version  string    `json:"version"`
	Bytes    int64     `json:"bytes"`
	Users    int       `json:"users"`
	Keys     int       `json:"keys"` // that are accepted
	Rows     int64     `json:"audit_rows"`
	Revision int64     `json:"revision"`
	// Kept is where the database from before is now, after a restore.
	Kept string `json:"kept,omitempty"`
}

// VerifyBackup reads a backup whole, opens the store in it, and holds its audit
// log against its chain and checkpoints. Nothing of the node's own is touched.
func VerifyBackup(ctx context.Context, file *config.File, r io.Reader, with BackupSecret) (BackupReport, error) {
	dir, err := statedir.Find(file.State.Dir, file.Explicit("state.dir"))
	if err != nil && with.Identities == nil && with.Passphrase == "" {
		return BackupReport{}, err // no state directory, no master key
	}
	identity, masters, err := identityOf(dir, file, with)
	if err != nil {
		return BackupReport{}, err
	}
	temp, err := os.MkdirTemp("", "mtguard-verify-")
	if err != nil {
		return BackupReport{}, err
	}
	defer os.RemoveAll(temp)
	var report BackupReport
	_, err = backup.Restore(r, identity, filepath.Join(temp, storeName), func(m backup.Manifest, db string) error {
		report, err = examine(ctx, m, db, masters)
		return err
	})
	return report, err
}

// RestoreBackup puts the store of a backup in the place of the node's, which must
// not run. What was there is kept beside it. On a machine without a master key
// the one in the backup, if there is one, is put into the state directory.
func RestoreBackup(ctx context.Context, file *config.File, r io.Reader, with BackupSecret) (BackupReport, error) {
	dir, err := statedir.Open(file.State.Dir, file.Explicit("state.dir"))
	if err != nil {
		return BackupReport{}, err
	}
	identity, masters, err := identityOf(dir, file, with)
	if err != nil {
		return BackupReport{}, err
	}
	var report BackupReport
	done, err := backup.Restore(r, identity, filepath.Join(dir.Path(), storeName), func(m backup.Manifest, db string) error {
		if report, err = examine(ctx, m, db, masters); err != nil {
			return err
		}
		return adoptMaster(dir, file, m, masters)
	})
	report.Kept = done.Kept
	return report, err
}

// identityOf makes the key to a backup. masters are the master keys of the state
// directory, which may be none.
func identityOf(dir *statedir.Dir, file *config.File, with BackupSecret) (id backup.Identity, masters []vault.KEK, err error) {
	if dir != nil {
		files, err := dir.MasterKeys(file.State.MasterKeyFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return id, nil, err
		}
		for _, f := range files {
			kek, err := vault.ParseKEK(f.Text())
			if err != nil {
				return id, nil, fmt.Errorf("master key: %s: %w", f.Path, err)
			}
			masters = append(masters, kek)
		}
	}
	switch {
	case with.Identities != nil:
		id, err = backup.WithIdentities(with.Identities)
	case with.Passphrase != "":
		id, err = backup.WithPassphrase(with.Passphrase)
	case len(masters) == 0:
		err = errors.New("the state directory has no master key: put the one of the backup's day there as master.key, or give --identity-file or --passphrase-file")
	default:
		id, err = backup.WithMasterKey(masters...)
	}
	return id, masters, err
}

// examine opens the store of a backup and reads what must hold.
func examine(ctx context.Context, m backup.Manifest, db string, masters []vault.KEK) (report BackupReport, err error) {
	report = BackupReport{Made: m.Made, Version: m.Version, Bytes: m.Size}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: db})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.Close(), os.Remove(db+".lock")) }()
	if kek, ok := m.MasterKey(); ok {
		masters = append(masters, kek)
	}
	if err := openWith(ctx, s, masters); err != nil {
		return report, err
	}
	return report, s.View(ctx, func(tx *store.Tx) error { return count(tx, &report) })
}

// openWith unlocks a store with the one of the master keys that fits.
func openWith(ctx context.Context, s *store.Store, masters []vault.KEK) error {
	sealed, kekID, err := keysets(ctx, s)
	if err != nil {
		return err
	}
	for _, kek := range masters {
		if kek.ID() != kekID {
			continue
		}
		v, err := vault.Open(kek, sealed)
		if err != nil {
			return err
		}
		if err := s.SetSealer(ctx, v.Sealer(vault.Columns)); err != nil {
			return err
		}
		return s.AuditFault()
	}
	return fmt.Errorf("%w: the backup's has the ID %s", vault.ErrWrongKEK, kekID)
}

// keysets are a store's, and the ID of the master key that they are sealed under; "" when there are none.
func keysets(ctx context.Context, s *store.Store) (sealed map[vault.Purpose][]byte, kekID string, err error) {
	sealed = make(map[vault.Purpose][]byte)
	err = s.View(ctx, func(tx *store.Tx) error {
		rows, id, err := tx.Keysets()
		for purpose, b := range rows {
			sealed[vault.Purpose(purpose)] = b
		}
		kekID = id
		return err
	})
	return sealed, kekID, err
}

// count goes through all users, keys with their material, and audit rows.
func count(tx *store.Tx, report *BackupReport) error {
	report.Revision = int64(tx.Revision())
	for _, err := range tx.Users(0) {
		if err != nil {
			return err
		}
		report.Users++
	}
	for k, err := range tx.Keys(0) {
		if err != nil {
			return err
		}
		if k.Purpose == store.ForUser && k.State.Accepted() {
			report.Keys++
		}
	}
	for m, err := range tx.Materials(0) {
		if err != nil {
			return err
		}
		clear(m.Bytes())
	}
	public, err := control.AuditVerifier(tx)
	if err != nil {
		return err
	}
	state, err := tx.AuditState()
	if err != nil {
		return err
	}
	evidence := auditlog.Evidence{Keys: []note.Verifier{public}, Head: &state}
	if evidence.Checkpoints, err = tx.Checkpoints(); err != nil {
		return err
	}
	report.Rows = state.Rows()
	return auditlog.Verify(tx.AuditRows(1, auditlog.MaxRows), evidence).Err()
}

// adoptMaster puts the master key of a backup away, where there is none yet.
func adoptMaster(dir *statedir.Dir, file *config.File, m backup.Manifest, masters []vault.KEK) error {
	for _, kek := range masters {
		if kek.ID() == m.KEK {
			return nil
		}
	}
	kek, ok := m.MasterKey()
	if !ok {
		return fmt.Errorf("%w: the backup's has the ID %s", vault.ErrWrongKEK, m.KEK)
	}
	if len(masters) > 0 || file.State.MasterKeyFile != "" {
		return fmt.Errorf("there is another master key here already, of ID %s: move it away first, it belongs to the present store", keyIDs(masters))
	}
	_, err := dir.CreateMasterKey(func() (string, error) { return kek.Encode(), nil })
	return err
}

func keyIDs(list []vault.KEK) string {
	var ids []string
	for _, kek := range list {
		ids = append(ids, kek.ID())
	}
	return strings.Join(ids, ", ")
}
