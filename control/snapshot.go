package control

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mtguard/control/backup"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/auditlog"
	"mtguard/security/vault"
)

// BackupTarget says who can open a backup: age recipients, or whoever has the
// passphrase; the node's own master key when both are empty.
type BackupTarget struct {
	Recipients []string `json:"recipients,omitempty"`
	Passphrase string   `json:"passphrase,omitempty"`
}

// String does not give the passphrase away.
func (t BackupTarget) String() string {
	switch {
	case t.Passphrase != "":
		return "a passphrase"
	case len(t.Recipients) > 0:
		return fmt.Sprintf("%d recipients", len(t.Recipients))
	}
	return "the master key"
}

// Format is String for every verb.
func (t BackupTarget) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

func (t BackupTarget) recipient() (r backup.Recipient, err error) {
	switch {
	case t.Passphrase != "" && len(t.Recipients) > 0:
		err = invalid("passphrase", "recipients and a passphrase exclude each other")
	case t.Passphrase != "":
		if r, err = backup.ForPassphrase(t.Passphrase); err != nil {
			err = invalid("passphrase", "%v", err)
		}
	case len(t.Recipients) > 0:
		if r, err = backup.ForRecipients(t.Recipients...); err != nil {
			err = invalid("recipients", "%v", err)
		}
	default:
		r = backup.ForMasterKey()
	}
	return r, err
}

// Backup writes a sealed copy of the store to w while everything goes on. After
// an error what was written is worthless, and is refused as damaged.
func (p *Plane) Backup(ctx context.Context, by Actor, to BackupTarget, w io.Writer) error {
	if err := may(by, access.Superuser, "make a backup"); err != nil {
		return err
	}
	recipient, err := to.recipient()
	if err != nil {
		return err
	}
	if err := p.note(ctx, by, "backup.create", "", auditlog.Detail{Key: "for", Value: to.String()}); err != nil {
		return err
	}
	p.report("checkpoint", p.checkpoint(ctx, true)) // the copy then proves all of its rows
	dir, err := os.MkdirTemp(p.parts.Dir, copyPrefix)
	if err != nil {
		return &Error{Kind: Unavailable, Text: err.Error(), Fix: "make room in the state directory"}
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "store.db")
	kek, err := p.copyTo(ctx, copied)
	if err != nil {
		return explain(err)
	}
	now := p.parts.Now()
	if _, err := backup.Create(w, backup.Source{DB: copied, KEK: kek, Made: now, Version: p.parts.Version}, recipient); err != nil {
		return err
	}
	_, err = p.store.Update(ctx, func(tx *store.Tx) error {
		return tx.PutSetting(settingBackup, []byte(now.UTC().Format(time.RFC3339)))
	})
	return explain(err)
}

// copyPrefix begins the names of directories in which a copy stands for a moment.
const copyPrefix = ".backup-"

// copyTo makes a copy of the store, and returns the key that it is sealed under.
func (p *Plane) copyTo(ctx context.Context, path string) (vault.KEK, error) {
	p.keysets.Lock()
	defer p.keysets.Unlock()
	kek, _ := p.parts.Master.Current()
	return kek, p.store.Snapshot(ctx, path)
}

// sweepCopies removes copies that a crash has left.
func (p *Plane) sweepCopies() {
	left, _ := filepath.Glob(filepath.Join(p.parts.Dir, copyPrefix+"*"))
	for _, dir := range left {
		p.report("copies of before", os.RemoveAll(dir))
	}
}
