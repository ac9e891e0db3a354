package control

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/security/auditlog"
)

// The audit log keeps its rows for ever, and automatic blocks are made of what strangers do. So of those there is one row a minute at most, of all
// blocks since the last; until it is written they wait in a setting, in the transaction that made them.
const (
	settingUnaudited = "threat.unaudited"
	auditBlocksEvery = time.Minute
)

// unaudited is the automatic blocks that no audit row tells of yet.
type unaudited struct {
	Row     time.Time         `json:"row"` // when there was one last
	Blocks  int               `json:"blocks,omitempty"`
	First   string            `json:"first,omitempty"`
	Details []auditlog.Detail `json:"details,omitempty"` // of the first mostBlockDetails
}

func readUnaudited(tx *store.Tx) (u unaudited, err error) {
	err = optionalSetting(tx, settingUnaudited, &u)
	return u, err
}

func (u *unaudited) put(tx *store.Tx) error {
	return putSetting(tx, settingUnaudited, u)
}

// early reports whether the last row is so young that the next one waits.
func (u *unaudited) early(now time.Time) bool {
	since := now.Sub(u.Row)
	return since >= 0 && since < auditBlocksEvery
}

// row writes the row of what waits.
func (u *unaudited) row(tx *store.Tx, by string, now time.Time) error {
	object := u.First
	if u.Blocks > 1 {
		object = strconv.Itoa(u.Blocks) + " addresses"
	}
	_, err := tx.Audit(auditlog.Entry{
		Time: now, Actor: auditlog.Clip(by, auditlog.MaxActor), Action: AutoBlock{}.action(), Object: auditlog.Clip(object, auditlog.MaxObject),
		Outcome: auditlog.Done, Reason: "attacks", Details: u.Details,
	})
	if err != nil {
		return err
	}
	*u = unaudited{Row: now}
	return u.put(tx)
}

// auditBlocks appends the row of automatic blocks, or has it wait.
func (x *transaction) auditBlocks() error {
	u, err := readUnaudited(x.tx)
	if err != nil {
		return err
	}
	if u.Blocks == 0 && len(x.details) > 0 {
		u.First, _, _ = strings.Cut(x.details[0].Value, " for ")
	}
	u.Blocks += x.result.Affected
	for _, d := range x.details {
		if len(u.Details) < mostBlockDetails {
			u.Details = append(u.Details, auditlog.Detail{Key: "block." + strconv.Itoa(len(u.Details)+1), Value: d.Value})
		}
	}
	if u.early(x.now) {
		x.p.blocksWait.Store(true)
		return u.put(x.tx)
	}
	return u.row(x.tx, x.by.Name, x.now)
}

// auditWaiting appends the row of automatic blocks that has waited for long enough.
func (p *Plane) auditWaiting(ctx context.Context, now time.Time) error {
	if !p.blocksWait.Load() {
		return nil
	}
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		u, err := readUnaudited(tx)
		if err != nil {
			return err
		}
		wait := u.Blocks > 0 && u.early(now)
		p.blocksWait.Store(wait) // here nobody else changes the store
		if u.Blocks == 0 || wait {
			return errUnchanged
		}
		return u.row(tx, ThreatActor.Name, now)
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err != nil {
		p.blocksWait.Store(true)
	}
	return err
}
