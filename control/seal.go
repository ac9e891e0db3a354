package control

import (
	"context"
	"errors"
	"fmt"

	"mtguard/control/advisory"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/aead"
	"mtguard/security/auditlog"
	"mtguard/security/keys"
	"mtguard/security/vault"
)

// What operators seal with `mtguard seal`: files of theirs, under keys of the
// store. A key that was replaced goes on opening what it sealed until somebody
// revokes it; then what it sealed is lost, and that is what revoking it means.

// sealPurpose binds such blobs to this use.
const sealPurpose aead.Purpose = "operator seal"

// SealRequest asks for a blob. Key is the ID of a key to seal with, "" for the
// active one, which is made at the first use. Suite is a name, "" for the one that the
// key was made for (RotateSealKey) while it may be used, else the first of the policy's
// encryption.suites that no crypto bulletin forbids. Context is what the blob is bound to: Open needs the same.
type SealRequest struct {
	Key, Suite         string
	Plaintext, Context []byte
}

// OpenRequest asks for what is in a blob.
type OpenRequest struct{ Sealed, Context []byte }

// Seal seals bytes of an operator, at most aead.MaxPlaintext.
func (p *Plane) Seal(ctx context.Context, by Actor, r SealRequest) ([]byte, error) {
	if by.Level < access.Admin {
		return nil, &Error{Kind: Denied, Text: fmt.Sprintf("seal needs the level %v", access.Admin)}
	}
	var suite aead.Suite
	if r.Suite != "" {
		var err error
		if suite, err = aead.ParseSuite(r.Suite); err != nil {
			return nil, invalid("suite", "%v", err)
		}
	}
	if len(r.Plaintext) > aead.MaxPlaintext {
		return nil, invalid("", "at most %d MiB can be sealed at once", aead.MaxPlaintext>>20)
	}
	allowed := p.preferred()
	err := p.view(ctx, func(tx *store.Tx) error {
		err := allowed.tighten(tx)
		if err == nil {
			suite, err = allowed.pick(suite)
		}
		return err
	})
	if err != nil {
		return nil, explain(err)
	}
	key, own, err := p.sealKey(ctx, by, r.Key)
	if err != nil {
		return nil, err
	}
	if r.Suite == "" && own != 0 && allowed.why(own) == "" {
		suite = own
	}
	blob, err := aead.Seal(nil, suite, key, sealPurpose, r.Plaintext, r.Context)
	p.sealed(suite.String(), "seal", len(r.Plaintext), err)
	if err != nil {
		return nil, err
	}
	details := []auditlog.Detail{{Key: "suite", Value: suite.String()}, {Key: "bytes", Value: fmt.Sprint(len(r.Plaintext))}}
	if allowed.bulletin.Use(suite, allowed.now) == advisory.Deprecated {
		details = append(details, auditlog.Detail{Key: "deprecated", Value: fmt.Sprintf("by crypto bulletin %d", allowed.bulletin.Number)})
	}
	return blob, p.note(ctx, by, "seal", key.ID().String(), details...)
}

// Open opens what Seal made. Whatever is wrong, the error is the same.
func (p *Plane) Open(ctx context.Context, by Actor, r OpenRequest) ([]byte, error) {
	if by.Level < access.Admin {
		return nil, &Error{Kind: Denied, Text: fmt.Sprintf("open needs the level %v", access.Admin)}
	}
	var all map[aead.KeyID]aead.Key
	err := p.view(ctx, func(tx *store.Tx) (err error) {
		all, err = openingKeys(tx)
		return err
	})
	if err != nil {
		return nil, explain(err)
	}
	lookup := func(id aead.KeyID) (aead.Key, bool) {
		k, ok := all[id]
		return k, ok
	}
	plaintext, err := aead.Open(nil, lookup, sealPurpose, r.Sealed, r.Context)
	p.sealed(suiteOf(r.Sealed), "open", len(plaintext), err)
	if err != nil {
		return nil, &Error{Kind: Invalid, Text: "it cannot be opened: it was altered, or sealed with a key that is not here or revoked, or for another context"}
	}
	return plaintext, p.note(ctx, by, "open", "", auditlog.Detail{Key: "bytes", Value: fmt.Sprint(len(plaintext))})
}

// note writes an audit row for what changes nothing in the store.
func (p *Plane) note(ctx context.Context, by Actor, action, object string, details ...auditlog.Detail) error {
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Audit(auditlog.Entry{Time: p.parts.Now(), Actor: auditlog.Clip(by.Name, auditlog.MaxActor), Action: action, Object: object, Outcome: auditlog.Done, Details: details})
		return err
	})
	return explain(err)
}

func openingKeys(tx *store.Tx) (map[aead.KeyID]aead.Key, error) {
	rows, err := tx.SealKeys()
	if err != nil {
		return nil, err
	}
	all := make(map[aead.KeyID]aead.Key, len(rows))
	for _, row := range rows {
		if row.State == keys.Revoked || row.Erased {
			continue
		}
		material, err := tx.Material(row.ID)
		if err != nil {
			return nil, err
		}
		k, err := aead.ParseKey(material)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", row.ID, store.ErrCorrupt)
		}
		all[k.ID()] = k
	}
	return all, nil
}

// sealKey finds a key to seal with, and the suite that it was made for, 0 for none.
func (p *Plane) sealKey(ctx context.Context, by Actor, id string) (aead.Key, aead.Suite, error) {
	for {
		var key aead.Key
		var suite aead.Suite
		err := p.view(ctx, func(tx *store.Tx) error {
			rows, err := tx.SealKeys()
			if err != nil {
				return err
			}
			for _, row := range rows {
				if id == "" && row.State != keys.Active || id != "" && string(row.ID) != id {
					continue
				}
				if row.State == keys.Revoked {
					return refused("mtguard key list --purpose seal", "key %s is revoked", row.ID)
				}
				material, err := tx.Material(row.ID)
				if err != nil {
					return err
				}
				suite = row.Suite
				key, err = aead.ParseKey(material)
				return err
			}
			return store.ErrNotFound
		})
		switch {
		case err == nil:
			return key, suite, nil
		case !errors.Is(err, store.ErrNotFound):
			return key, 0, explain(err)
		case id != "":
			return key, 0, notFound("key", clean(id), "mtguard key list --purpose seal")
		}
		if _, err := p.Apply(ctx, by, RotateSealKey{}, Options{Reason: "first use"}); err != nil {
			return key, 0, err
		}
	}
}

func (RotateSealKey) action() string      { return "key.rotate" }
func (RotateSealKey) object() string      { return "key for sealing" }
func (RotateSealKey) least() access.Level { return access.Admin }

func (c RotateSealKey) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	if c.Suite != 0 && !c.Suite.Valid() {
		return invalid("suite", "%v is no suite", c.Suite)
	}
	allowed := x.p.preferred()
	err := allowed.tighten(x.tx)
	if err == nil {
		_, err = allowed.pick(c.Suite)
	}
	if err != nil {
		return err
	}
	rows, err := x.tx.SealKeys()
	if err != nil {
		return err
	}
	number := 1
	for i := range rows {
		row := &rows[i]
		number = row.Number + 1
		if row.State != keys.Active {
			continue
		}
		row.State, row.Reason, row.Ended = keys.Retired, "replaced", x.now
		if err := x.tx.PutKey(row, nil); err != nil {
			return err
		}
		if err := x.keyEvent("", row.ID, keys.Active, keys.Retired, row.Reason); err != nil {
			return err
		}
	}
	fresh := aead.GenerateKey()
	row := store.Key{
		Generation: keys.Generation{ID: keys.ID(fresh.ID().String()), Number: number, State: keys.Active, Created: x.now, Activated: x.now},
		Purpose:    store.ForSeal, Source: store.Generated, Suite: c.Suite,
	}
	if err := x.tx.PutKey(&row, fresh.Material()); err != nil {
		return err
	}
	x.detail("key", row.ID)
	with := ""
	if c.Suite != 0 {
		with = " with " + c.Suite.String()
		x.detail("suite", c.Suite)
	}
	x.result.Summary = fmt.Sprintf("key %s seals%s from now on; older ones go on opening", row.ID, with)
	return x.keyEvent("", row.ID, 0, keys.Active, x.o.Reason)
}

// revokeSealKey takes a key out: what it sealed opens no more.
func (x *transaction) revokeSealKey(k store.Key, c RevokeKey) error {
	if k.State == keys.Revoked {
		return refused("", "key %s is revoked already", k.ID)
	}
	if c.Replace {
		x.o.IfRevision = 0 // of the key that goes, and compared by now
		if err := (RotateSealKey{}).apply(x); err != nil {
			return err
		}
		var err error
		if k, err = x.tx.Key(k.ID); err != nil {
			return err
		}
	}
	from := k.State
	k.State, k.Reason, k.Ended = keys.Revoked, x.o.Reason, x.now
	if err := x.tx.PutKey(&k, nil); err != nil {
		return err
	}
	if err := x.tx.EraseMaterial(k.ID); err != nil {
		return err
	}
	x.result.Summary = fmt.Sprintf("key %s is revoked: what it sealed opens no more", k.ID)
	return x.keyEvent("", k.ID, from, keys.Revoked, x.o.Reason)
}

// Master is the key-encryption key where it is kept.
type Master interface {
	// Current is the key in use, and where it came from in words.
	Current() (vault.KEK, string)
	// Next makes a new key durable beside the current one, or reads it from file.
	Next(file string) (vault.KEK, error)
	// Commit puts the next one in the place of the current one: the store is
	// sealed under it by now. Whoever starts before that takes the one whose ID
	// the store names.
	Commit(next vault.KEK) error
	// Discard forgets the next one.
	Discard()
}

func (RotateMasterKey) changesKeysets() {}
func (RotateStoreKey) changesKeysets()  {}

func (RotateMasterKey) action() string      { return "key.rotate" }
func (RotateMasterKey) object() string      { return "master key" }
func (RotateMasterKey) least() access.Level { return access.Superuser }

func (c RotateMasterKey) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	master := x.p.parts.Master
	old, _ := master.Current()
	next, err := master.Next(c.File)
	if err != nil {
		return invalid("file", "%v", err)
	}
	if next.ID() == old.ID() {
		return refused("", "the new master key is the present one")
	}
	sealed, err := x.p.parts.Vault.Sealed(next)
	if err != nil {
		return err
	}
	x.detail("from", old.ID())
	x.detail("to", next.ID())
	x.result.Summary = fmt.Sprintf("the master key is %s now; copies of the old one open older backups only", next.ID())
	x.committed = func() error { return master.Commit(next) }
	x.rolledBack = master.Discard
	return x.tx.PutKeysets(stored(sealed), next.ID())
}

func stored(sealed map[vault.Purpose][]byte) map[string][]byte {
	out := make(map[string][]byte, len(sealed))
	for p, b := range sealed {
		out[string(p)] = b
	}
	return out
}

func (RotateStoreKey) action() string      { return "key.rotate" }
func (RotateStoreKey) object() string      { return "key of the store" }
func (RotateStoreKey) least() access.Level { return access.Superuser }

// apply is the first of three steps: a new key, under which everything new is
// sealed from the commit on. Then what is sealed under the old one is sealed
// again, little by little, and then the old one is destroyed: finishRewrap, which
// a crash only delays to the next start.
func (RotateStoreKey) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	next := x.p.parts.Vault.Clone()
	if err := next.AddKey(vault.Columns); err != nil {
		return err
	}
	if err := x.putVault(next); err != nil {
		return err
	}
	x.result.Summary = "everything in the store is sealed under a new key"
	x.committed = func() error {
		x.p.parts.Vault.Adopt(next)
		return x.p.finishRewrap(context.WithoutCancel(x.ctx))
	}
	return x.tx.PutSetting(settingRewrap, []byte("1"))
}

func (x *transaction) putVault(v *vault.Vault) error {
	kek, _ := x.p.parts.Master.Current()
	sealed, err := v.Sealed(kek)
	if err != nil {
		return err
	}
	return x.tx.PutKeysets(stored(sealed), kek.ID())
}

// rewrapAtOnce is how many values are sealed again in one transaction.
const rewrapAtOnce = 500

// finishRewrap takes a rotation of the store's key to its end, if one is under
// way. Every step can be repeated. The caller holds keysets.
func (p *Plane) finishRewrap(ctx context.Context) error {
	err := p.view(ctx, func(tx *store.Tx) error {
		_, err := tx.Setting(settingRewrap)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	for done := 1; err == nil && done > 0; {
		_, err = p.store.Update(ctx, func(tx *store.Tx) (err error) {
			done, err = tx.Rewrap(rewrapAtOnce)
			return err
		})
	}
	if err != nil {
		return err
	}
	next := p.parts.Vault.Clone()
	if err := next.DropOld(vault.Columns); err != nil {
		return err
	}
	_, err = p.store.Update(ctx, func(tx *store.Tx) error {
		x := &transaction{p: p, tx: tx}
		if err := x.putVault(next); err != nil {
			return err
		}
		return tx.DropSetting(settingRewrap)
	})
	if err == nil {
		p.reading.Lock()
		p.parts.Vault.Adopt(next)
		p.reading.Unlock()
	}
	return err
}
