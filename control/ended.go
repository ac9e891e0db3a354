package control

import (
	"context"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
)

// keptEnded is how long rules and exceptions that are over are shown. Then they are
// taken out: their number is bounded, and whoever blocks an hour at a time, by a
// script perhaps, must not come to the bound by what ended long ago.
const keptEnded = 30 * day

// maxEnded bounds what one change takes out.
const maxEnded = 5000

// takeOutEnded takes out the rules and exceptions that are over for keptEnded. It is
// the clock's.
type takeOutEnded struct{}

func (takeOutEnded) action() string      { return "access.expire" }
func (takeOutEnded) object() string      { return "what is over" }
func (takeOutEnded) least() access.Level { return access.Superuser }

// longOver reports whether the first of those ends that there are lies keptEnded ago.
func longOver(now time.Time, ends ...time.Time) bool {
	for _, end := range ends {
		if !end.IsZero() && now.Sub(end) >= keptEnded {
			return true
		}
	}
	return false
}

func (takeOutEnded) apply(x *transaction) error {
	var rules, exceptions int
	err := each(x.tx.Rules(0), func(row store.Rule) error {
		if rules == maxEnded || !longOver(x.now, row.Until, row.ConfirmBy) {
			return nil
		}
		rules, row.Removed = rules+1, x.now
		return x.tx.PutRule(&row)
	})
	if err != nil {
		return err
	}
	err = each(x.tx.Exceptions(0), func(row store.Exception) error {
		if !longOver(x.now, row.Until) {
			return nil
		}
		exceptions, row.Removed = exceptions+1, x.now
		return x.tx.PutException(&row)
	})
	if err != nil {
		return err
	}
	if rules+exceptions == 0 {
		return errUnchanged
	}
	x.detail("rules", rules)
	x.detail("exceptions", exceptions)
	x.result.Summary = "what was over is gone"
	return nil
}

// each calls what for every row, until there is an error.
func each[R any](rows func(func(R, error) bool), what func(R) error) error {
	for row, err := range rows {
		if err == nil {
			err = what(row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// expire takes out what is over for long, if there is anything.
func (p *Plane) expire(ctx context.Context, now time.Time) error {
	p.mu.Lock()
	due := false
	for _, row := range p.rules {
		due = due || longOver(now, row.Until, row.ConfirmBy)
	}
	for _, row := range p.exceptionRows {
		due = due || longOver(now, row.Until)
	}
	p.mu.Unlock()
	if !due {
		return nil
	}
	_, err := p.Apply(ctx, scheduleActor, takeOutEnded{}, Options{})
	return err
}
