package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
)

// Declared is a user as the configuration file declares it.
type Declared struct {
	Name   string
	Secret keys.Secret
}

// DefaultUser is who is served when the file declares nobody and nobody took
// that user away.
const DefaultUser = "default"

// fileActor is the configuration file, written by whoever may write it.
var fileActor = Actor{Name: "configuration file", Level: access.Superuser}

// File is what the configuration file says to the control plane.
type File struct {
	Base    policy.Snapshot // everything of a snapshot that is the file's alone
	Policy  policy.Layer    // values of policy, below those of the policy in the store
	Trusted []netip.Prefix  // the operator's own addresses
	Geo     *access.Geo     // where addresses are; may be nil
	// BulletinKey verifies crypto bulletins, in the form of golang.org/x/mod/sumdb/note; "": none is taken.
	BulletinKey string
	// TwoPerson are the classes of changes that take a second person: see ClassEnforce.
	TwoPerson []string
	Users     []Declared
	// First is the secret of DefaultUser, when that user is new; zero: a fresh one.
	First keys.Secret
}

// Load puts the configuration's part of policy in force, and the users it
// declares: new ones are made, those that are gone are removed, and a secret that
// changed is a rotation with the schedule's overlap. Where nobody is declared,
// DefaultUser is served. On an error everything stays as it was. It returns how
// many sessions ended.
func (p *Plane) Load(ctx context.Context, f File) (ended int, err error) {
	p.mu.Lock()
	err = p.tryFile(f)
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	result, err := p.Apply(ctx, fileActor, declareUsers{f.Users, f.First}, Options{Reason: "as declared"})
	if err != nil {
		return 0, err
	}
	if _, err := p.Apply(ctx, fileActor, declareModes{fileModes(f.Policy.Document)}, Options{Reason: "as declared"}); err != nil {
		return result.Ended, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fileLayer, p.trusted, p.geo, p.bulletinKey, p.twoPerson = f.Policy, f.Trusted, f.Geo, f.BulletinKey, f.TwoPerson
	if err := errors.Join(p.compilePolicy(), p.compileAccess(p.parts.Now())); err != nil {
		return result.Ended, err
	}
	p.base, p.loaded = f.Base, true
	p.publish()
	return result.Ended + p.regrade(p.parts.Now()), nil
}

// tryFile says what would be wrong with the file beside what the store has. The
// caller holds mu.
func (p *Plane) tryFile(f File) error {
	layer, trusted, geo, effective, table := p.fileLayer, p.trusted, p.geo, p.effective, p.table
	defer func() { p.fileLayer, p.trusted, p.geo, p.effective, p.table = layer, trusted, geo, effective, table }()
	p.fileLayer, p.trusted, p.geo = f.Policy, f.Trusted, f.Geo
	return errors.Join(p.compilePolicy(), p.compileAccess(p.parts.Now()))
}

// declareUsers brings the store in step with the file.
type declareUsers struct {
	Users []Declared
	First keys.Secret // of DefaultUser, when it is new
}

func (declareUsers) action() string      { return "user.declare" }
func (declareUsers) object() string      { return "users of the configuration file" }
func (declareUsers) least() access.Level { return access.Superuser }

// settingDefaultGone says that somebody removed the default user.
const settingDefaultGone = "default.removed"

func (c declareUsers) apply(x *transaction) error {
	rows := make(map[string]store.User)
	for row, err := range x.tx.Users(0) {
		if err != nil {
			return err
		}
		if row.Removed.IsZero() {
			rows[row.Name] = row
		}
	}
	newest, err := x.newestKeys()
	if err != nil {
		return err
	}
	var added, changed, removed int
	wanted := make(map[string]bool, len(c.Users))
	for _, d := range c.Users {
		wanted[d.Name] = true
	}
	// Those that go make room first: a secret may move from one name to another.
	for _, row := range rows {
		if gone := row.Source == store.FromFile && !wanted[row.Name] || row.Source == store.FromDefault && len(c.Users) > 0; gone {
			if err := x.removeUser(&row); err != nil {
				return err
			}
			removed++
			delete(rows, row.Name)
		}
	}
	for _, d := range c.Users {
		row, known := rows[d.Name]
		switch {
		case !known:
			if err := x.declare(d, store.FromFile, store.InFile); err != nil {
				return err
			}
			added++
		case row.Source != store.FromFile:
			return &Error{Kind: Exists, Text: fmt.Sprintf("user %s is declared in the file, and exists already since a command made it", d.Name),
				Fix: "take it out of the file, or remove the other: mtguard user rm " + d.Name}
		case newest[row.ID] != d.Secret.ID():
			x.o.Force = true // the file is the operator's word: the oldest of three makes room
			if err := x.succeed(&row, d.Secret, store.InFile, time.Time{}, x.overlap()); err != nil {
				return err
			}
			changed++
		}
		if known && row.Domain != d.Secret.Domain() {
			row.Domain = d.Secret.Domain()
			if err := x.tx.PutUser(&row); err != nil {
				return err
			}
			changed++
		}
	}
	if len(c.Users) == 0 && len(rows) == 0 {
		if n, err := c.makeDefault(x); err != nil {
			return err
		} else {
			added += n
		}
	}
	if added+changed+removed == 0 {
		return errUnchanged
	}
	x.detail("added", added)
	x.detail("changed", changed)
	x.detail("removed", removed)
	x.result.Affected = added + changed + removed
	x.result.Summary = fmt.Sprintf("%s added, %d changed, %d removed", plural(added, "user"), changed, removed)
	return nil
}

// overlap is that of the schedule.
func (x *transaction) overlap() time.Duration { return time.Duration(x.p.currentSchedule().Overlap) }

// newestKeys is the ID of each user's newest key.
func (x *transaction) newestKeys() (map[int64]keys.ID, error) {
	newest, number := make(map[int64]keys.ID), make(map[int64]int)
	for k, err := range x.tx.Keys(0) {
		if err != nil {
			return nil, err
		}
		if k.Purpose == store.ForUser && k.Number > number[k.UserID] {
			newest[k.UserID], number[k.UserID] = k.ID, k.Number
		}
	}
	return newest, nil
}

func (x *transaction) declare(d Declared, source, keySource string) error {
	row := store.User{Name: d.Name, Source: source, Level: access.Standard, Domain: d.Secret.Domain(), Created: x.now}
	return x.insertUser(&row, d.Secret, keySource)
}

// makeDefault makes the default user, unless somebody removed it.
func (c declareUsers) makeDefault(x *transaction) (int, error) {
	_, err := x.tx.Setting(settingDefaultGone)
	if err == nil || !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	secret, source := c.First, store.Imported
	if secret.ID() == "" {
		if secret, err = keys.NewSecret(rand.Reader, ""); err != nil {
			return 0, err
		}
		source = store.Generated
	}
	return 1, x.declare(Declared{DefaultUser, secret}, store.FromDefault, source)
}
