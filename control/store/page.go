package store

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// Page is a recipient's page: at most one per user. The token, from which its address
// is made, is apart: see PageToken.
type Page struct {
	UserID int64
	Hash   [32]byte // of the token, to find the page by; no two pages have the same
	Opened time.Time
	Closed time.Time // zero: open
	Views  int64     // counted by CountViews; PutPage does not write it
	Rev    Revision
}

const pageColumns = `user_id, hash, opened, closed, views, rev`

func scanPage(r scanner, p *Page) (int64, error) {
	var hash []byte
	var opened, closed int64
	if err := r.Scan(&p.UserID, &hash, &opened, &closed, &p.Views, &p.Rev); err != nil {
		return 0, err
	}
	if len(hash) != len(p.Hash) {
		return 0, fmt.Errorf("%w: row %d of table pages: hash has %d bytes", ErrCorrupt, p.UserID, len(hash))
	}
	p.Hash, p.Opened, p.Closed = [32]byte(hash), instant(opened), instant(closed)
	return p.UserID, nil
}

// Page returns a user's page, open or closed.
func (tx *Tx) Page(userID int64) (Page, error) {
	return tx.onePage(`SELECT `+pageColumns+` FROM pages WHERE user_id = ?`, userID)
}

// PageByHash returns the page whose token has that hash, open or closed.
func (tx *Tx) PageByHash(hash [32]byte) (Page, error) {
	return tx.onePage(`SELECT `+pageColumns+` FROM pages WHERE hash = ?`, hash[:])
}

func (tx *Tx) onePage(text string, by any) (p Page, err error) {
	if p, err = one(tx, text, by, scanPage); err != nil {
		return Page{}, fmt.Errorf("page: %w", err)
	}
	return p, nil
}

// Pages gives pages, open or closed, in the order of their users' IDs: with since 0
// all, otherwise those that were changed after since.
func (tx *Tx) Pages(since Revision) iter.Seq2[Page, error] {
	if since == 0 {
		return list(tx, `SELECT `+pageColumns+` FROM pages WHERE user_id > ? ORDER BY user_id LIMIT ?`, int64(0), scanPage)
	}
	return changed(tx, `SELECT `+pageColumns+` FROM pages WHERE rev > ?`, since, scanPage)
}

// PageToken opens the token of a user's page.
func (tx *Tx) PageToken(userID int64) (string, error) {
	var sealed []byte
	if err := tx.row(`SELECT token FROM pages WHERE user_id = ?`, []any{userID}, &sealed); err != nil {
		return "", fmt.Errorf("page: %w", err)
	}
	token, err := tx.unseal(pagePlace(userID), sealed)
	return string(token), err
}

func pagePlace(userID int64) place { return place{"pages", number(userID), "token"} }

// PutPage adds p when p.Rev is 0, with its token, and otherwise changes the user's
// page, of which p.Rev must be the Rev: ErrConflict, and nothing changed, when it is
// not. Token "" leaves the one that is there. A second page for one user, or a Hash that
// another page has, is ErrExists. PutPage sets p.Rev.
func (tx *Tx) PutPage(p *Page, token string) (err error) {
	if err := tx.usableForChange(); err != nil {
		return err
	}
	var sealed []byte
	if token != "" {
		if sealed, err = tx.seal(pagePlace(p.UserID), []byte(token)); err != nil {
			return err
		}
	}
	if p.Rev == 0 {
		err = tx.addPage(p, sealed)
	} else {
		err = tx.changePage(p, sealed)
	}
	if err != nil {
		return fmt.Errorf("page of user %d: %w", p.UserID, err)
	}
	p.Rev = tx.next()
	return nil
}

func (tx *Tx) addPage(p *Page, sealed []byte) error {
	if sealed == nil {
		return errors.New("there is no token for it")
	}
	if err := tx.known(p.UserID); err != nil {
		return err
	}
	n, err := tx.exec(`INSERT INTO pages (user_id, hash, token, opened, closed, views, rev) VALUES (?, ?, ?, ?, ?, 0, ?)
		ON CONFLICT DO NOTHING`, p.UserID, p.Hash[:], sealed, micros(p.Opened), micros(p.Closed), tx.before+1)
	if err == nil && n == 0 {
		err = ErrExists
	}
	return err
}

func (tx *Tx) changePage(p *Page, sealed []byte) error {
	var taken int64
	err := tx.row(`SELECT user_id FROM pages WHERE hash = ? AND user_id <> ?`, []any{p.Hash[:], p.UserID}, &taken)
	if err == nil {
		return ErrExists
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	n, err := tx.exec(`UPDATE pages SET hash = ?, token = coalesce(?, token), opened = ?, closed = ?, rev = ?
		WHERE user_id = ? AND rev = ?`, p.Hash[:], sealed, micros(p.Opened), micros(p.Closed), tx.before+1, p.UserID, p.Rev)
	if err != nil || n > 0 {
		return err
	}
	if _, err := tx.Page(p.UserID); err != nil {
		return err
	}
	return ErrConflict
}

// CountViews counts that a page was looked at so often.
func (tx *Tx) CountViews(userID, views int64) error {
	n, err := tx.exec(`UPDATE pages SET views = views + ? WHERE user_id = ?`, views, userID)
	if err == nil && n == 0 {
		err = fmt.Errorf("page of user %d: %w", userID, ErrNotFound)
	}
	return err
}
