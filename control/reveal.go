package control

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/keys"
)

func (RevealLinks) action() string { return "link.reveal" }
func (OpenPage) action() string    { return "page.open" }
func (ClosePage) action() string   { return "page.close" }
func (RenewPage) action() string   { return "page.renew" }

func (c RevealLinks) object() string {
	if c.User == "" {
		return "all users"
	}
	return "user " + c.User
}
func (c OpenPage) object() string  { return "user " + c.User }
func (c ClosePage) object() string { return "user " + c.User }
func (c RenewPage) object() string { return "user " + c.User }

func (RevealLinks) least() access.Level { return access.Admin }
func (OpenPage) least() access.Level    { return access.Admin }
func (ClosePage) least() access.Level   { return access.Admin }
func (RenewPage) least() access.Level   { return access.Admin }

func (c RevealLinks) apply(x *transaction) error {
	var rows []store.User
	if c.User != "" {
		row, err := x.user(c.User)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	} else {
		for row, err := range x.tx.Users(0) {
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
	}
	for i := range rows {
		links, err := x.linksOf(&rows[i])
		if err != nil {
			return err
		}
		x.result.Links = append(x.result.Links, links...)
	}
	if len(rows) == 1 {
		page, err := x.tx.Page(rows[0].ID)
		if err == nil && page.Closed.IsZero() {
			err = x.showPage(&rows[0])
		}
		if refusal, off := errors.AsType[*Error](err); err != nil && !errors.Is(err, store.ErrNotFound) && (!off || refusal.Kind != Refused) {
			return err // that pages are off is no reason not to show the link
		}
		if len(x.result.Links) == 0 {
			return &Error{Kind: NotFound, Text: fmt.Sprintf("user %s has no active key", rows[0].Name), Fix: "mtguard user rotate " + rows[0].Name}
		}
	}
	x.detail("links", len(x.result.Links))
	x.result.Affected = len(rows)
	x.result.Summary = plural(len(x.result.Links), "link")
	return nil
}

// linksOf are the links of a user's active key.
func (x *transaction) linksOf(row *store.User) ([]Link, error) {
	list, err := x.tx.KeysOf(row.ID)
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		if k.State != keys.Active || k.Erased {
			continue
		}
		material, err := x.tx.Material(k.ID)
		if err != nil {
			return nil, err
		}
		secret, err := keys.ParseSecret(string(material))
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.ID, store.ErrCorrupt)
		}
		return x.p.parts.Links(row.Name, withDomain(secret, row.Domain))
	}
	return nil, nil
}

// tokenSize is the bytes of a page's address that nobody can guess.
const tokenSize = 16

func (c OpenPage) apply(x *transaction) error {
	row, err := x.user(c.User)
	if err != nil {
		return err
	}
	page, err := x.tx.Page(row.ID)
	if err == nil && page.Closed.IsZero() {
		x.result.Summary = "user " + row.Name + " has this page already"
		return x.showPage(&row)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return x.newPage(&row, page)
}

func (c RenewPage) apply(x *transaction) error {
	row, page, err := x.openPage(c.User)
	if err != nil {
		return err
	}
	return x.newPage(&row, page)
}

func (c ClosePage) apply(x *transaction) error {
	row, page, err := x.openPage(c.User)
	if err != nil {
		return err
	}
	page.Closed = x.now
	x.result.Summary = "the page of user " + row.Name + " is closed: its address shows what the cover site shows"
	return x.tx.PutPage(&page, "")
}

// openPage is the page that a user has.
func (x *transaction) openPage(name string) (store.User, store.Page, error) {
	row, err := x.user(name)
	if err != nil {
		return row, store.Page{}, err
	}
	page, err := x.tx.Page(row.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !page.Closed.IsZero() {
		err = &Error{Kind: NotFound, Text: fmt.Sprintf("user %s has no page", row.Name), Fix: "mtguard page open " + row.Name}
	}
	return row, page, err
}

// newPage gives a page a fresh address; whoever has an older one sees what the
// cover site shows.
func (x *transaction) newPage(row *store.User, page store.Page) error {
	var b [tokenSize]byte
	rand.Read(b[:])
	token := base64.RawURLEncoding.EncodeToString(b[:])
	page.UserID, page.Hash = row.ID, pageHash(token)
	page.Opened, page.Closed = x.now, time.Time{}
	if err := x.tx.PutPage(&page, token); err != nil {
		return err
	}
	x.result.Summary = "user " + row.Name + " has a page at a new address"
	return x.showPage(row)
}

// pageHash is what a page is found by, so that the store need not hold its
// address in the open.
func pageHash(token string) [32]byte { return sha256.Sum256([]byte(token)) }

func (x *transaction) showPage(row *store.User) error {
	token, err := x.tx.PageToken(row.ID)
	if err != nil {
		return err
	}
	url := x.p.parts.PageURL(token)
	if url == "" {
		return refused("set listen and url in [pages] and restart", "pages are off")
	}
	x.result.Page, x.result.Affected = url, 1
	return nil
}
