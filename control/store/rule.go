package store

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"mtguard/security/access"
)

// Where a rule comes from: Rule.Source.
const (
	FromOperator  = "operator"
	FromAutomatic = "automatic" // something that mtguard saw
	FromFeed      = "feed"      // a list of somebody else
)

// MaxRules is the most live rules there may be.
const MaxRules = 100_000

// Rule is one row of who may come, as security/access reads it.
type Rule struct {
	ID        string // of all rules that are kept no two have the same
	Match     string
	Level     access.Level
	Source    string
	Pinned    bool
	From      time.Time // zero: at once
	Until     time.Time // zero: for ever
	Schedule  string    // "": at any hour
	Reason    string
	By        string // who made it
	Created   time.Time
	ConfirmBy time.Time // zero: it needs no confirmation
	Removed   time.Time // zero: a live rule
	Rev       Revision
}

var ruleRecord = record(num("seq"), text("id"), text("matches"), text("level"), text("source"), num("pinned"), num("starts"), num("until"),
	text("schedule"), text("reason"), text("made_by"), num("created"), num("confirm_by"), num("removed"), num("rev"))

func scanRule(r scanner, u *Rule) (int64, error) {
	f, err := scanFields(r)
	if err != nil {
		return 0, err
	}
	seq := f.number()
	u.ID, u.Match, u.Level, u.Source, u.Pinned = f.text(), f.text(), f.level(), f.word(), f.bool()
	u.From, u.Until, u.Schedule = f.time(), f.time(), f.text()
	u.Reason, u.By, u.Created = f.text(), f.text(), f.time()
	u.ConfirmBy, u.Removed, u.Rev = f.time(), f.time(), Revision(f.number())
	return seq, f.end("rules", seq)
}

// Rules gives rules in the order in which they were added: with since 0 all live ones,
// otherwise those that were changed after since, with removed ones among them. These
// are kept for a while: see KeepRemoved.
func (tx *Tx) Rules(since Revision) iter.Seq2[Rule, error] {
	if since == 0 {
		return list(tx, `SELECT `+ruleRecord+` FROM rules WHERE removed = 0 AND seq > ? ORDER BY seq LIMIT ?`, int64(0), scanRule)
	}
	return changed(tx, `SELECT `+ruleRecord+` FROM rules WHERE rev > ?`, since, scanRule)
}

// Rule returns the rule of that ID, removed or not.
func (tx *Tx) Rule(id string) (Rule, error) {
	rule, err := one(tx, `SELECT `+ruleRecord+` FROM rules WHERE id = ?`, id, scanRule)
	if err != nil {
		return Rule{}, fmt.Errorf("rule %q: %w", id, err)
	}
	return rule, nil
}

var ruleTable = &bounded{
	what:  "rule",
	most:  MaxRules,
	find:  `SELECT seq, rev, removed <> 0 FROM rules WHERE id = ?`,
	count: `SELECT count(*) FROM rules WHERE removed = 0`,
	drop:  `DELETE FROM rules WHERE removed <> 0 AND rev <= ? AND seq <> ?`,
}

// PutRule adds r when r.Rev is 0, and otherwise changes the rule of that ID, of which
// r.Rev must be the Rev: ErrConflict, and nothing changed, when it is not. An ID that
// is there already is ErrExists, a live rule beyond MaxRules is ErrTooMany. PutRule
// sets r.Rev. Whether Match and Schedule can be read is for others to say.
func (tx *Tx) PutRule(r *Rule) error {
	if r.ID == "" || r.Match == "" {
		return errors.New("rule has no ID, or matches nothing")
	}
	if err := plain(MaxText, r.ID, r.Match, r.Source, r.Schedule, r.Reason, r.By); err != nil {
		return fmt.Errorf("rule %.40q: %w", r.ID, err)
	}
	level, err := r.Level.MarshalText()
	if err != nil {
		return err
	}
	seq, err := tx.put(ruleTable, r.ID, r.Rev, r.Removed.IsZero())
	if err != nil {
		return err
	}
	values := []any{r.Match, string(level), r.Source, r.Pinned, micros(r.From), micros(r.Until), r.Schedule,
		r.Reason, r.By, micros(r.Created), micros(r.ConfirmBy), micros(r.Removed), tx.next()}
	if seq == 0 {
		_, err = tx.exec(`INSERT INTO rules (matches, level, source, pinned, starts, until, schedule,
			reason, made_by, created, confirm_by, removed, rev, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, append(values, r.ID)...)
	} else {
		_, err = tx.exec(`UPDATE rules SET matches = ?, level = ?, source = ?, pinned = ?, starts = ?, until = ?, schedule = ?,
			reason = ?, made_by = ?, created = ?, confirm_by = ?, removed = ?, rev = ? WHERE seq = ?`, append(values, seq)...)
	}
	if err != nil {
		return err
	}
	r.Rev = tx.next()
	return nil
}
