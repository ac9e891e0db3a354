package statedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"mtguard/config/disk"
)

// MasterKey is the key that seals the store, in a file. Formatted, it shows the file's name alone.
//
// It is found in the file that the configuration names, else among the credentials that systemd hands
// over, else in the state directory, where it is made for a new store:
//
//	all, err := dir.MasterKeys(explicit)            // fs.ErrNotExist: there is none
//	key, err := dir.CreateMasterKey(generate)       // only when there is no store either
//
// A new master key takes over in three steps, each durable before the next:
//
//	next, err := dir.AddMasterKey(text)             // 1. master.key.new
//	// 2. one transaction of the store: its keysets sealed under the new key, and the new key's ID
//	err = dir.SettleMasterKey(next)                 // 3. master.key.new becomes master.key
//
// After a crash between two of them MasterKeys returns both keys. The ID that the store has says which of them is in use, and
// SettleMasterKey with that one finishes step 3, or takes step 1 back.
//
// A file that the configuration names and a credential are the operator's: this package never writes one. There the operator puts the
// new key into another file, ReadMasterKey reads it, the store takes it in step 2, and then the operator has the configuration or the
// unit name the new file, before the next start. A start with the old one is refused by the store, whose ID does not fit, and nothing
// is lost by it.
type MasterKey struct {
	// Path is the file.
	Path string
	// Managed says that the file is the program's own, so that AddMasterKey and SettleMasterKey work.
	Managed bool

	text func() string // a func is the one thing that fmt never looks into
}

// Text returns what the file holds, without the white space around it.
func (k MasterKey) Text() string {
	if k.text == nil {
		return ""
	}
	return k.text()
}

// Format writes "master key of" and the path, whatever the verb.
func (k MasterKey) Format(s fmt.State, _ rune) { io.WriteString(s, "master key of "+k.Path) }

// MarshalText returns the path.
func (k MasterKey) MarshalText() ([]byte, error) { return []byte(k.Path), nil }

const (
	masterName    = "master.key"
	newMasterName = "master.key.new"
	credentialsAt = "CREDENTIALS_DIRECTORY"

	maxMaster = 4 << 10
)

// MasterKeys returns the keys that the store may be sealed with, the one to try first in front: one, or two after a rotation that did
// not finish. An explicit path is the only one looked at. The error is fs.ErrNotExist when there is none, and then says where one was
// looked for; a file that is there and cannot be used is an error with what to do about it.
func (d *Dir) MasterKeys(explicit string) ([]MasterKey, error) {
	if explicit != "" {
		k, err := ReadMasterKey(explicit)
		if err != nil {
			return nil, err
		}
		return []MasterKey{k}, nil
	}
	if credential, ok := credentialPath(); ok {
		k, err := ReadMasterKey(credential)
		if err == nil {
			return []MasterKey{k}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	var all []MasterKey
	for _, name := range []string{masterName, newMasterName} {
		k, err := d.ownMasterKey(name)
		switch {
		case err == nil:
			all = append(all, k)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("master key: %s: %w; a store that was sealed with it opens with no other one: put it back, or name its file in state.master_key_file",
			filepath.Join(d.path, masterName), fs.ErrNotExist)
	}
	return all, nil
}

func credentialPath() (string, bool) {
	dir := os.Getenv(credentialsAt)
	return filepath.Join(dir, masterName), filepath.IsAbs(dir)
}

// ownMasterKey reads a file of the state directory. One that is a link is the operator's: a rename would replace the link, and leave
// the key behind where it leads.
func (d *Dir) ownMasterKey(name string) (MasterKey, error) {
	path := filepath.Join(d.path, name)
	owners := []int{0, os.Geteuid()}
	if info, err := os.Stat(d.path); err == nil && os.Geteuid() == 0 { // root looks after what a service of another user has
		if uid, ok := ownerOf(info); ok {
			owners = append(owners, uid)
		}
	}
	k, err := readMasterKey(path, owners)
	if err != nil {
		return MasterKey{}, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return MasterKey{}, fmt.Errorf("master key: %w", named(path, err))
	}
	k.Managed = info.Mode().IsRegular()
	return k, nil
}

// ReadMasterKey reads the key in a file that somebody named. It must be a regular file, be the caller's own or root's, and give
// nothing to others.
func ReadMasterKey(path string) (MasterKey, error) {
	return readMasterKey(path, []int{0, os.Geteuid()})
}

func readMasterKey(path string, owners []int) (MasterKey, error) {
	data, info, err := read(path, maxMaster)
	if err != nil {
		return MasterKey{}, fmt.Errorf("master key: %w", err)
	}
	defer clear(data)
	if err := private(path, info, owners); err != nil {
		return MasterKey{}, fmt.Errorf("master key: %w", err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return MasterKey{}, fmt.Errorf("master key: %s is empty: put the key back; if no store was made with it yet, remove the file and a new one is made", path)
	}
	return MasterKey{Path: path, text: func() string { return text }}, nil
}

func private(path string, info fs.FileInfo, owners []int) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	forbidden := fs.FileMode(0o077)
	if credential, ok := credentialPath(); ok && filepath.Dir(path) == filepath.Dir(credential) {
		// systemd gives root's file to the service's user by an ACL, whose mask stat shows as the bits of the group, which
		// gets nothing by it.
		forbidden = 0o037
	}
	mode := info.Mode().Perm()
	if mode&forbidden != 0 {
		return fmt.Errorf("%s can be used by others (mode %04o): chmod 600 %s; if somebody may have read it, rotate the master key when the program runs", path, mode, path)
	}
	if owner, ok := ownerOf(info); ok && !slices.Contains(owners, owner) {
		return fmt.Errorf("%s belongs to user %d and this is user %d: chown it to the user that runs mtguard, or to root", path, owner, os.Geteuid())
	}
	return nil
}

// CreateMasterKey writes a key that generate makes to the state directory, for a store that does not exist yet. Of several callers at
// once all get the same key; one that is there already is returned and nothing is made.
func (d *Dir) CreateMasterKey(generate func() (string, error)) (MasterKey, error) {
	k, err := d.ownMasterKey(masterName)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	text, err := generate()
	if err != nil {
		return MasterKey{}, err
	}
	if err := d.write(masterName, []byte(text+"\n"), false); err != nil && !errors.Is(err, fs.ErrExist) {
		return MasterKey{}, fmt.Errorf("master key: %w", err)
	}
	return d.ownMasterKey(masterName) // what every later start will use
}

// AddMasterKey writes the key that is to take over, beside the one in use, and returns it once it is durable. It is refused with
// fs.ErrExist while another one waits there, which SettleMasterKey is for.
func (d *Dir) AddMasterKey(text string) (MasterKey, error) {
	k, err := d.ownMasterKey(newMasterName)
	switch {
	case err == nil && k.Text() == strings.TrimSpace(text):
		return k, disk.SyncDir(d.path) // again, after a crash
	case err == nil:
		return MasterKey{}, fmt.Errorf("master key: %s: %w: an earlier rotation did not finish", k.Path, fs.ErrExist)
	case !errors.Is(err, fs.ErrNotExist):
		return MasterKey{}, err
	}
	if info, err := os.Lstat(filepath.Join(d.path, masterName)); err == nil && !info.Mode().IsRegular() {
		return MasterKey{}, fmt.Errorf("master key: %s is a link, which the program does not replace: put the new key into a file and name that", filepath.Join(d.path, masterName))
	}
	// In place of nothing: written whole and then renamed, also where there are no hard links.
	if err := d.write(newMasterName, []byte(text+"\n"), true); err != nil {
		return MasterKey{}, fmt.Errorf("master key: %w", err)
	}
	return d.ownMasterKey(newMasterName)
}

// SettleMasterKey makes used, which is one of MasterKeys or what AddMasterKey returned, the only key of the state directory: the
// other one is gone after it. The caller has seen that the store is sealed with used, and is not in doubt about it: where a commit may
// or may not have happened, both keys have to stay until the next start. It goes by what the files hold and not by their names, for the
// name changes. It does nothing for a key that is not Managed.
func (d *Dir) SettleMasterKey(used MasterKey) error {
	if !used.Managed {
		return nil
	}
	current, err := d.ownMasterKey(masterName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next, err := d.ownMasterKey(newMasterName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch text := used.Text(); {
	case text == "" || text != current.Text() && text != next.Text():
		return fmt.Errorf("master key: %s does not hold the key that is in use", d.path)
	case text == current.Text() && next.Path == "":
		return disk.SyncDir(d.path) // of an earlier call that may not have come so far
	case text == current.Text():
		err = os.Remove(next.Path)
	default:
		err = os.Rename(next.Path, filepath.Join(d.path, masterName))
	}
	if err != nil {
		return fmt.Errorf("master key: %w", named(next.Path, err))
	}
	return disk.SyncDir(d.path)
}
