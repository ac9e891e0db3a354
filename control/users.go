package control

import (
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"mtguard/control/store"
	"mtguard/mtproto"
	"mtguard/security/access"
	"mtguard/security/keys"
)

func (c AddUser) action() string    { return "user.add" }
func (c SetUser) action() string    { return "user.set" }
func (c RemoveUser) action() string { return "user.remove" }

func (c AddUser) object() string    { return "user " + c.Name }
func (c SetUser) object() string    { return "user " + c.Name }
func (c RemoveUser) object() string { return "user " + c.Name }

func (AddUser) least() access.Level    { return access.Admin }
func (SetUser) least() access.Level    { return access.Admin }
func (RemoveUser) least() access.Level { return access.Admin }

// userName is the rule of the configuration too.
var userName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

const (
	maxNote        = 200
	maxBound       = 1 << 22
	maxQuota       = 1 << 60
	minQuota       = 1 << 10
	latestExpiry   = 9999
	maxResultItems = 100
)

func (c AddUser) apply(x *transaction) error {
	row := store.User{
		Name: c.Name, Source: store.FromAdmin, Level: c.Level, Expires: c.Expires, QuotaBytes: c.Quota.Bytes, QuotaPer: c.Quota.Per,
		MaxConnections: c.MaxConnections, MaxAddresses: c.MaxAddresses, Domain: c.Domain, Note: c.Note, Created: x.now,
	}
	source := store.Generated
	secret := c.Import
	if secret.ID() != "" {
		if err := keys.CheckStrength(secret); err != nil {
			return invalid("secret", "%v", err)
		}
		source = store.Imported
		if row.Domain == "" {
			row.Domain = secret.Domain()
		}
	} else {
		var err error
		if secret, err = keys.NewSecret(rand.Reader, ""); err != nil {
			return err
		}
	}
	if err := x.checkUser(&row, true, true); err != nil {
		return err
	}
	if err := x.insertUser(&row, secret, source); err != nil {
		return err
	}
	x.about = row.Name
	x.detail("key", secret.ID())
	x.detail("level", row.Level)
	x.result.Summary = fmt.Sprintf("user %s is there, with key %s", row.Name, secret.ID())
	x.result.Affected = 1
	return x.handOut(&row, secret)
}

// insertUser adds a user and the first generation of its keys, active at once.
func (x *transaction) insertUser(row *store.User, secret keys.Secret, source string) error {
	if err := x.tx.PutUser(row); err != nil {
		if errors.Is(err, store.ErrExists) {
			return &Error{Kind: Exists, Text: fmt.Sprintf("there is a user %q already", row.Name), Fix: "mtguard user show " + row.Name}
		}
		return err
	}
	fresh := keys.Generation{ID: secret.ID(), Number: 1, State: keys.Active, Created: x.now, Activated: x.now}
	return x.insertKey(row, fresh, secret, source)
}

// insertKey adds a key and its first event.
func (x *transaction) insertKey(row *store.User, g keys.Generation, secret keys.Secret, source string) error {
	k := store.Key{Purpose: store.ForUser, UserID: row.ID, Source: source, Generation: g}
	if err := x.tx.PutKey(&k, []byte(secret.Encode(mtproto.Classic, ""))); err != nil {
		if errors.Is(err, store.ErrExists) {
			return knownSecret(g.ID)
		}
		return err
	}
	return x.keyEvent(row.Name, g.ID, 0, g.State, x.o.Reason)
}

func knownSecret(id keys.ID) error {
	return &Error{Kind: Exists, Text: fmt.Sprintf("the secret of key %s is or was in use already: no secret is used twice", id), Fix: "take a new one"}
}

// handOut puts the user and its links into the result: the audit row of the
// change says that they were given out.
func (x *transaction) handOut(row *store.User, secret keys.Secret) error {
	links, err := x.p.parts.Links(row.Name, withDomain(secret, row.Domain))
	if err != nil {
		return err
	}
	x.result.Links = links
	return nil
}

func (c SetUser) apply(x *transaction) error {
	row, err := x.user(c.Name)
	if err != nil {
		return err
	}
	if err := x.current(row.Rev); err != nil {
		return err
	}
	set(x, "level", &row.Level, c.Level)
	set(x, "disabled", &row.Disabled, c.Disabled)
	set(x, "expires", &row.Expires, c.Expires)
	set(x, "max_connections", &row.MaxConnections, c.MaxConnections)
	set(x, "max_addresses", &row.MaxAddresses, c.MaxAddresses)
	set(x, "domain", &row.Domain, c.Domain)
	set(x, "note", &row.Note, c.Note)
	if c.Quota != nil {
		row.QuotaBytes, row.QuotaPer = c.Quota.Bytes, c.Quota.Per
		x.detail("quota", fmt.Sprintf("%d per %s", c.Quota.Bytes, c.Quota.Per))
	}
	if len(x.details) == 0 {
		return invalid("", "nothing to set: name at least one property")
	}
	if err := x.checkUser(&row, c.Expires != nil, c.Domain != nil); err != nil {
		return err
	}
	if err := x.tx.PutUser(&row); err != nil {
		return err
	}
	x.about = row.Name
	x.result.Summary = "user " + row.Name + " is changed"
	x.result.Affected = 1
	return nil
}

// set takes over a property that was given, and notes it for the audit row.
func set[T any](x *transaction, name string, into, from *T) {
	if from == nil {
		return
	}
	*into = *from
	text := fmt.Sprint(*from)
	if t, ok := any(*from).(time.Time); ok && t.IsZero() {
		text = "never"
	}
	x.detail(name, text)
}

func (c RemoveUser) apply(x *transaction) error {
	row, err := x.user(c.Name)
	if err != nil {
		return err
	}
	if err := x.current(row.Rev); err != nil {
		return err
	}
	if row.Source == store.FromFile {
		return refused("take its [[user]] out of the file and reload: kill -HUP", "user %s is declared in the configuration file", row.Name)
	}
	if err := x.requireReason(); err != nil {
		return err
	}
	if row.Source == store.FromDefault {
		if err := x.tx.PutSetting(settingDefaultGone, []byte("removed")); err != nil {
			return err
		}
	}
	x.result.Summary = "user " + row.Name + " is gone"
	x.result.Affected = 1
	return x.removeUser(&row)
}

// removeUser takes a user out with everything that is his; the history of its
// keys stays.
func (x *transaction) removeUser(row *store.User) error {
	list, err := x.tx.KeysOf(row.ID)
	if err != nil {
		return err
	}
	for _, k := range list {
		if !k.State.Final() {
			if err := x.keyEvent(row.Name, k.ID, k.State, keys.Revoked, "user removed"); err != nil {
				return err
			}
		}
	}
	if err := x.tx.DropKeys(row.ID); err != nil {
		return err
	}
	page, err := x.tx.Page(row.ID)
	if err == nil && page.Closed.IsZero() {
		page.Closed = x.now
		err = x.tx.PutPage(&page, "")
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	row.Removed = x.now
	return x.tx.PutUser(row)
}

// user is the live user of that name.
func (x *transaction) user(name string) (store.User, error) {
	row, err := x.tx.User(name)
	if errors.Is(err, store.ErrNotFound) {
		return row, notFound("user", clean(name), "mtguard user list")
	}
	return row, err
}

// checkUser says what is wrong with a row. What was set earlier may have become
// wrong since, which is no reason to refuse another change: an expiry that is over,
// a name that cover.domains lacks now.
func (x *transaction) checkUser(u *store.User, expiryGiven, domainGiven bool) error {
	switch {
	case !userName.MatchString(u.Name):
		return invalid("name", "a name has 1 to 64 letters, digits, dots, dashes or underscores")
	case u.Level > access.Superuser:
		return invalid("level", "%v is no level", u.Level)
	case expiryGiven && !u.Expires.IsZero() && !u.Expires.After(x.now):
		return invalid("expires", "the expiry %s is over already", u.Expires.UTC().Format(time.RFC3339))
	case u.Expires.Year() > latestExpiry:
		return invalid("expires", "an expiry behind the year %d: say never", latestExpiry)
	case u.QuotaBytes == 0 && u.QuotaPer != "":
		return invalid("quota", "a quota per %s has no bytes", clean(u.QuotaPer))
	case u.QuotaBytes != 0 && u.QuotaPer != "day" && u.QuotaPer != "month":
		return invalid("quota", "a quota is per day or per month")
	case u.QuotaBytes != 0 && (u.QuotaBytes < minQuota || u.QuotaBytes > maxQuota):
		return invalid("quota", "a quota is 1 KiB to 1 EiB")
	case u.MaxConnections < 0 || u.MaxConnections > maxBound:
		return invalid("max_connections", "a bound of connections is 1 to %d, or 0 for none", maxBound)
	case u.MaxAddresses < 0 || u.MaxAddresses > maxBound:
		return invalid("max_addresses", "a bound of addresses is 1 to %d, or 0 for none", maxBound)
	case len(u.Note) > maxNote || strings.ContainsFunc(u.Note, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return invalid("note", "a note is one line of at most %d bytes", maxNote)
	}
	if u.Domain != "" && domainGiven {
		if _, err := keys.NewSecret(rand.Reader, u.Domain); err != nil {
			return invalid("domain", "%v", err)
		}
		if _, served := x.p.serverNames()[u.Domain]; !served {
			return invalid("domain", "%s is not among cover.domains, so its links would not work", u.Domain)
		}
	}
	return nil
}

// serverNames are those that hellos may carry. The map is never changed.
func (p *Plane) serverNames() map[string]struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.base.ServerNames
}

// withDomain is the secret as it stands in this user's links.
func withDomain(s keys.Secret, domain string) keys.Secret {
	if domain == "" || s.ID() == "" || domain == s.Domain() {
		return s
	}
	named, err := keys.ParseSecret(s.Encode(mtproto.FakeTLS, domain))
	if err != nil {
		return s // the domain was checked when it was set
	}
	return named
}

// clean makes what somebody wrote fit to be shown in an error.
func clean(text string) string { return cleanTo(64, text) }

// cleanTo is clean for a text of so many bytes: what is longer is cut.
func cleanTo(most int, text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}
