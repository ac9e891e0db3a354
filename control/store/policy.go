package store

import (
	"errors"
	"fmt"
	"time"
)

// Bounds of the history of policies. Beyond KeepPolicies the oldest go.
const (
	KeepPolicies    = 1000
	MaxPolicies     = KeepPolicies // that Policies returns at once
	MaxPolicyLength = 256 << 10
)

// PolicyRevision is a policy that was put in force. It never changes.
type PolicyRevision struct {
	Number   int64 // rising from 1; set by AddPolicy
	Document string
	Preset   string // that the document names
	Actor    string
	Reason   string
	At       time.Time
}

const (
	policyHead    = `number, preset, actor, reason, at`
	policyColumns = policyHead + `, document`
)

func scanPolicy(r scanner, p *PolicyRevision) (int64, error) {
	return scanPolicyHead(r, p, &p.Document)
}

func scanPolicyHead(r scanner, p *PolicyRevision, more ...any) (int64, error) {
	var at int64
	err := r.Scan(append([]any{&p.Number, &p.Preset, &p.Actor, &p.Reason, &at}, more...)...)
	p.At = instant(at)
	return p.Number, err
}

// AddPolicy adds the policy that is the newest from now on, and sets p.Number. Of its
// document it knows the length only: 1 to MaxPolicyLength bytes.
func (tx *Tx) AddPolicy(p *PolicyRevision) error {
	if p.Document == "" {
		return errors.New("policy has no document")
	}
	if err := errors.Join(plain(MaxPolicyLength, p.Document), plain(MaxText, p.Preset, p.Actor, p.Reason)); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if err := tx.usableForChange(); err != nil {
		return err
	}
	var n int64 // the newest stays always, so no number comes twice
	err := tx.row(`INSERT INTO policies (document, preset, actor, reason, at) VALUES (?, ?, ?, ?, ?) RETURNING number`,
		[]any{p.Document, p.Preset, p.Actor, p.Reason, micros(p.At)}, &n)
	if err != nil {
		return err
	}
	tx.next()
	if _, err := tx.exec(`DELETE FROM policies WHERE number <= ?`, n-KeepPolicies); err != nil {
		return err
	}
	p.Number = n
	return nil
}

// Policy returns the policy of that number; for 0 the newest. ErrNotFound when there is
// none, or none any more.
func (tx *Tx) Policy(number int64) (p PolicyRevision, err error) {
	which := fmt.Sprint("policy ", number)
	if number == 0 {
		which = "policy"
		p, err = one(tx, `SELECT `+policyColumns+` FROM policies WHERE number > ? ORDER BY number DESC LIMIT 1`, 0, scanPolicy)
	} else {
		p, err = one(tx, `SELECT `+policyColumns+` FROM policies WHERE number = ?`, number, scanPolicy)
	}
	if err != nil {
		return PolicyRevision{}, fmt.Errorf("%s: %w", which, err)
	}
	return p, nil
}

// Policies returns policies without their documents, the newest first: those with a lower
// Number than before, or all when before is 0; at most limit, and at most MaxPolicies, which
// limit 0 means.
func (tx *Tx) Policies(before int64, limit int) ([]PolicyRevision, error) {
	if limit <= 0 || limit > MaxPolicies {
		limit = MaxPolicies
	}
	if before <= 0 {
		before = 1<<63 - 1
	}
	var found []PolicyRevision
	err := tx.rows(`SELECT `+policyHead+` FROM policies WHERE number < ? ORDER BY number DESC LIMIT ?`, func(r scanner) error {
		var p PolicyRevision
		_, err := scanPolicyHead(r, &p)
		found = append(found, p)
		return err
	}, before, limit)
	return found, err
}
