package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"mtguard/config/statedir"
	"mtguard/control/store"
	"mtguard/control/store/sqlite"
	"mtguard/security/vault"
)

// storeName is the store's file in the state directory.
const storeName = "store.db"

// state is what outlives the process, open.
type state struct {
	store  *store.Store
	vault  *vault.Vault
	master *master
}

// openState opens the store under its master key, and makes both when there is
// neither.
func openState(ctx context.Context, dir *statedir.Dir, masterKeyFile string, log *slog.Logger) (*state, error) {
	s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(dir.Path(), storeName)})
	if err != nil {
		return nil, storeTrouble(err)
	}
	opened, err := unlock(ctx, s, dir, masterKeyFile, log)
	if err != nil {
		s.Close()
		return nil, storeTrouble(err)
	}
	if fault := s.AuditFault(); fault != nil {
		log.Error("the audit log does not hold: somebody changed it, or the disk did", "error", fault, "try", "mtguard auditlog verify")
	}
	return opened, nil
}

// storeTrouble adds what to do.
func storeTrouble(err error) error {
	switch {
	case errors.Is(err, store.ErrLocked):
		return fmt.Errorf("%w; one state directory serves one node: stop the other, or choose another directory with --state-dir", err)
	case errors.Is(err, store.ErrNewer):
		return fmt.Errorf("%w; run that version, or restore a backup of before: mtguard backup restore", err)
	case errors.Is(err, store.ErrCorrupt):
		return fmt.Errorf("%w; nothing was changed: restore a backup with mtguard backup restore", err)
	}
	return err
}

func unlock(ctx context.Context, s *store.Store, dir *statedir.Dir, masterKeyFile string, log *slog.Logger) (*state, error) {
	sealed, kekID, err := keysets(ctx, s)
	if err != nil {
		return nil, err
	}
	m, err := findMaster(dir, masterKeyFile, kekID)
	if err != nil {
		return nil, err
	}
	st := &state{store: s, master: m}
	if kekID == "" {
		if !m.made {
			log.Warn("the store is new, and there was a master key already: if there was a store too, it is gone; mtguard backup restore brings one back", "master_key", m.file.Path)
		}
		err = st.create(ctx)
	} else {
		st.vault, err = vault.Open(m.kek, sealed)
	}
	if err != nil {
		return nil, err
	}
	return st, s.SetSealer(ctx, st.vault.Sealer(vault.Columns))
}

// create seals a new store.
func (st *state) create(ctx context.Context) (err error) {
	if st.vault, err = vault.Create(st.master.kek); err != nil {
		return err
	}
	sealed, err := st.vault.Sealed(st.master.kek)
	if err != nil {
		return err
	}
	keysets := make(map[string][]byte, len(sealed))
	for purpose, b := range sealed {
		keysets[string(purpose)] = b
	}
	_, err = st.store.Update(ctx, func(tx *store.Tx) error { return tx.PutKeysets(keysets, st.master.kek.ID()) })
	return err
}

// master is the key-encryption key and the file it came from. One act at a time
// changes it: the plane sees to that.
type master struct {
	dir  *statedir.Dir
	made bool // at this start

	mu   sync.Mutex // guards what follows
	kek  vault.KEK
	file statedir.MasterKey
	next statedir.MasterKey
}

// findMaster returns the key whose ID the store names; for a new store, "", any
// key that is there, or a fresh one.
func findMaster(dir *statedir.Dir, explicit, kekID string) (*master, error) {
	files, err := dir.MasterKeys(explicit)
	fresh := errors.Is(err, fs.ErrNotExist) && kekID == "" && explicit == ""
	if fresh {
		var made statedir.MasterKey
		made, err = dir.CreateMasterKey(func() (string, error) { return vault.GenerateKEK().Encode(), nil })
		files = []statedir.MasterKey{made}
	}
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		kek, err := vault.ParseKEK(file.Text())
		if err != nil {
			return nil, fmt.Errorf("master key: %s: %w", file.Path, err)
		}
		if kekID == "" || kek.ID() == kekID {
			return &master{dir: dir, kek: kek, file: file, made: fresh}, dir.SettleMasterKey(file)
		}
	}
	return nil, fmt.Errorf("master key: %s: %w: that one has the ID %s; put it back, or name its file in state.master_key_file", files[0].Path, vault.ErrWrongKEK, kekID)
}

// Current is the key in use.
func (m *master) Current() (vault.KEK, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kek, m.file.Path
}

// Next makes a key durable beside the one in use, or reads the one that the
// operator has put into a file.
func (m *master) Next(file string) (vault.KEK, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	switch {
	case file != "":
		m.next, err = statedir.ReadMasterKey(file)
	case m.file.Managed:
		m.next, err = m.dir.AddMasterKey(vault.GenerateKEK().Encode())
	default:
		return vault.KEK{}, fmt.Errorf("the master key is in %s, which is yours: put a new one into another file and name that", m.file.Path)
	}
	if err != nil {
		return vault.KEK{}, err
	}
	return vault.ParseKEK(m.next.Text())
}

// Commit puts the next key in the place of the one in use.
func (m *master) Commit(next vault.KEK) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := m.next
	m.kek, m.file, m.next = next, fresh, statedir.MasterKey{}
	if !fresh.Managed {
		return nil
	}
	if err := m.dir.SettleMasterKey(fresh); err != nil {
		return err
	}
	files, err := m.dir.MasterKeys("")
	if err == nil {
		m.file = files[0] // it has the usual name again
	}
	return err
}

// Discard forgets the next key.
func (m *master) Discard() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next.Managed {
		m.dir.SettleMasterKey(m.file)
	}
	m.next = statedir.MasterKey{}
}
