// Package backup seals a copy of the store's database into one file, and puts it back.
//
//	m, err := backup.CreateFile(path, backup.Source{DB: copied, KEK: kek, Made: now, Version: version}, backup.ForMasterKey())
//	m, err := backup.Verify(file, backup.WithMasterKey(kek))
//	r, err := backup.Restore(file, backup.WithMasterKey(kek), database, ready)
//
// The file is an age file (age-encryption.org/v1), which no byte can be changed in, cut off or added to unseen. In it stands one line
// of JSON, the Manifest, and behind it the database, with its size and hash told before. What is secret in the database is sealed there
// a second time, under the vault's keys.
//
// # For whom
//
//	ForMasterKey    opens with the master key of the node, and with nothing else: for backups that go where the key does not
//	ForRecipients   age recipients ("age1…"): opens with the identity file that `age-keygen` made, kept elsewhere
//	ForPassphrase   opens with a passphrase
//
// The last two have the master key inside, so that a new machine can be made from the file and the identity or passphrase alone. Who
// has those has everything. A recipient's key is public, so anybody can make such a file: that it opens does not say who made it, and one
// that comes from somewhere else than one's own store of backups should not be restored. The other two prove that whoever made the file
// had the master key or the passphrase.
//
// A backup for the master key needs the master key of the day that it was made: after a rotation of that, make a new one.
//
// # What it takes
//
// Everything is streamed: 1 MiB of memory whatever the size of the database, and 256 MiB for a moment where a passphrase is stretched.
//
// The package keeps nothing and starts no goroutine. Functions that are given the same path at once by two goroutines or processes are
// safe: one of them fails.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"mtguard/security/vault"
)

var (
	// ErrForeign is the answer to what is no backup, or none that this version can read.
	ErrForeign = errors.New("this is no backup of mtguard")
	// ErrIdentity is the answer when a backup is sealed for somebody else.
	ErrIdentity = errors.New("the backup opens with another key")
	// ErrDamaged is the answer to a backup that was altered or cut short.
	ErrDamaged = errors.New("the backup is damaged")
)

// Schema names the form of the manifest and of what stands behind it.
const Schema = "mtguard/backup/v1"

const schemaFamily = "mtguard/backup/"

// Manifest says what is in a backup. It shows no secret, however it is printed or encoded.
type Manifest struct {
	Schema  string    `json:"schema"`
	Made    time.Time `json:"made"`
	Version string    `json:"version"` // of the program that made it
	KEK     string    `json:"kek"`     // ID of the master key that the database is sealed with
	Size    int64     `json:"size"`    // of the database, in bytes
	SHA256  string    `json:"sha256"`  // of the database, in hexadecimal

	master vault.KEK
}

// MasterKey returns the master key, which is in the backups for recipients and passphrases.
func (m Manifest) MasterKey() (vault.KEK, bool) { return m.master, !m.master.IsZero() }

// line is a manifest as it is written.
type line struct {
	Manifest
	MasterKey string `json:"master_key,omitempty"`
}

// maxManifest bounds the line; one has about 350 bytes.
const maxManifest = 4 << 10

// maxVersion bounds the one text in it that is not of a fixed length.
const maxVersion = 128

// Source is what a backup is made of.
type Source struct {
	DB      string    // a finished copy of the database, as VACUUM INTO makes one, which nobody writes to
	KEK     vault.KEK // the master key that it is sealed with
	Made    time.Time // when it was copied
	Version string    // of this program
}

// Create writes a backup to w. Upon an error what was written is worthless, and is refused as damaged. The copy is read twice, and it
// is an error when it is not the same both times.
func Create(w io.Writer, from Source, to Recipient) (Manifest, error) {
	if from.KEK.IsZero() {
		return Manifest{}, errors.New("backup: no master key")
	}
	recipients, err := to.recipients(from.KEK)
	if err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	db, err := openCopy(from.DB)
	if err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	defer db.Close()
	version := strings.ToValidUTF8(from.Version[:min(len(from.Version), maxVersion)], "")
	m := Manifest{Schema: Schema, Made: from.Made.UTC(), Version: version, KEK: from.KEK.ID()}
	first := sha256.New()
	if m.Size, err = io.Copy(first, db); err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	m.SHA256 = sumOf(first)
	if _, err := db.Seek(0, io.SeekStart); err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	if to.portable() {
		m.master = from.KEK
	}
	if err := seal(w, recipients, m, db); err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	return m, nil
}

// openCopy opens a database that stands alone. One with a log beside it is in use, or was when something crashed: without its log it
// is not what it was.
func openCopy(path string) (*os.File, error) {
	for _, suffix := range logs {
		if info, err := os.Stat(path + suffix); err == nil && info.Size() > 0 {
			return nil, fmt.Errorf("%s is in use, its log stands beside it: back up a copy of it", path)
		}
	}
	db, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := db.Stat(); err != nil || !info.Mode().IsRegular() {
		db.Close()
		return nil, errors.Join(err, fmt.Errorf("%s is no regular file", path))
	}
	return db, nil
}

func seal(w io.Writer, recipients []age.Recipient, m Manifest, db io.Reader) error {
	sealed, err := age.Encrypt(w, recipients...)
	if err != nil {
		return err
	}
	head, err := json.Marshal(line{m, m.master.Encode()})
	if err != nil {
		return err
	}
	defer clear(head)
	if _, err := sealed.Write(append(head, '\n')); err != nil {
		return err
	}
	second := sha256.New()
	n, err := io.Copy(sealed, io.TeeReader(db, second))
	if err != nil {
		return err
	}
	if n != m.Size || sumOf(second) != m.SHA256 {
		return errors.New("the copy of the database changed while it was read")
	}
	return sealed.Close()
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// CreateFile is Create for a file, which appears whole, durable and for its owner alone, or not at all. One that is there already is
// left alone, and the error is fs.ErrExist.
func CreateFile(path string, from Source, to Recipient) (m Manifest, err error) {
	if _, err := os.Lstat(path); err == nil {
		return Manifest{}, fmt.Errorf("backup: %s: %w", path, fs.ErrExist)
	}
	sweep(filepath.Dir(path))
	temp, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return Manifest{}, fmt.Errorf("backup: %w", err)
	}
	defer os.Remove(temp.Name())
	m, err = Create(temp, from, to)
	if err == nil {
		err = temp.Sync()
	}
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		if err = appear(temp.Name(), path); err != nil {
			err = fmt.Errorf("backup: %w", err)
		}
	}
	if err != nil {
		return Manifest{}, err
	}
	return m, nil
}

const tempPrefix = ".mtguard-backup-"

// abandoned is the age from which an unfinished backup is one that a crash left behind.
const abandoned = 24 * time.Hour

// sweep removes those. It is no harm if it cannot.
func sweep(dir string) {
	all, _ := os.ReadDir(dir)
	for _, entry := range all {
		if !strings.HasPrefix(entry.Name(), tempPrefix) {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}

// manifest reads the first line of an opened backup.
func manifest(head []byte) (Manifest, error) {
	var l line
	if err := json.Unmarshal(bytes.TrimSuffix(head, []byte("\n")), &l); err != nil {
		return Manifest{}, ErrForeign // its own text would tell what is in there
	}
	switch {
	case l.Schema == Schema:
	case strings.HasPrefix(l.Schema, schemaFamily):
		return Manifest{}, fmt.Errorf("%w: it is of form %.40q and this program knows %q: use a newer mtguard", ErrForeign, l.Schema, Schema)
	default:
		return Manifest{}, ErrForeign
	}
	sum, err := hex.DecodeString(l.SHA256)
	if err != nil || len(sum) != sha256.Size || l.Size < 0 || len(l.Version) > maxVersion {
		return Manifest{}, fmt.Errorf("%w: its manifest makes no sense", ErrForeign)
	}
	if l.MasterKey != "" {
		l.master, err = vault.ParseKEK(l.MasterKey)
		if err != nil || l.master.ID() != l.KEK {
			return Manifest{}, fmt.Errorf("%w: the master key in it is not the one that it names", ErrForeign)
		}
	}
	return l.Manifest, nil
}
