package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/policy"
)

// AddException spares somebody some controls for a while. Everybody who is named
// must agree: prefix, user, country.
type AddException struct {
	Controls              []string
	Prefix, User, Country string
	Until                 time.Time
}

// RemoveException ends one.
type RemoveException struct{ ID string }

// ExceptionInfo is an exception as commands and the API show it.
type ExceptionInfo struct {
	ID       string         `json:"id"`
	Controls []string       `json:"controls"`
	Prefix   string         `json:"prefix,omitempty"`
	User     string         `json:"user,omitempty"`
	Country  string         `json:"country,omitempty"`
	From     *time.Time     `json:"from,omitempty"`
	Until    *time.Time     `json:"until,omitempty"`
	Reason   string         `json:"reason"`
	Owner    string         `json:"owner"`
	Created  time.Time      `json:"created"`
	Hits     int64          `json:"hits" doc:"how often it spared somebody"`
	State    string         `json:"state" doc:"in force, not yet or over"`
	Revision store.Revision `json:"revision"`
}

func (AddException) action() string    { return "exception.add" }
func (RemoveException) action() string { return "exception.remove" }

func (c AddException) object() string {
	return clean(strings.Join(slices.DeleteFunc([]string{c.Prefix, c.User, c.Country}, func(s string) bool { return s == "" }), " "))
}
func (c RemoveException) object() string { return "exception " + clean(c.ID) }

func (AddException) least() access.Level    { return access.Admin }
func (RemoveException) least() access.Level { return access.Admin }

func (c AddException) apply(x *transaction) error {
	if err := x.requireReason(); err != nil {
		return err
	}
	row := store.Exception{
		ID: newID("e"), Prefix: c.Prefix, User: c.User, Country: c.Country, Controls: c.Controls, Until: c.Until,
		Reason: x.o.Reason, Owner: x.by.Name, Created: x.now,
	}
	if c.Prefix != "" {
		match, err := access.ParseMatch(c.Prefix)
		if err == nil && match.Kind() != access.InPrefix {
			err = fmt.Errorf("%s is no address or prefix", match)
		}
		if err != nil {
			return invalid("prefix", "%v", err)
		}
		row.Prefix = match.String() // IPv4-mapped addresses as what they are
	}
	e, err := compiled(row)
	if err != nil {
		return invalid("prefix", "%v", err)
	}
	if err := e.Check(x.now); err != nil { // the ID of what is refused tells nobody anything
		return invalid("", "%s", strings.TrimPrefix(err.Error(), fmt.Sprintf("exception %q: ", row.ID)))
	}
	if c.User != "" {
		if _, err := x.user(c.User); err != nil {
			return err
		}
	}
	if err := x.tx.PutException(&row); err != nil {
		return err
	}
	x.detail("exception", row.ID)
	x.detail("spares", AddException{Prefix: row.Prefix, User: c.User, Country: c.Country}.object())
	x.detail("controls", strings.Join(c.Controls, " "))
	x.detail("until", c.Until.UTC().Format(time.RFC3339))
	info := exceptionInfo(row, x.now)
	x.result.Exception = &info
	x.result.Summary = fmt.Sprintf("exception %s holds until %s", row.ID, c.Until.UTC().Format(time.RFC3339))
	if c.User != "" && slices.ContainsFunc(c.Controls, isRules) {
		x.result.Summary += "; rules of level none refuse before it is known who comes, and do not spare him: name a prefix for that"
	}
	return nil
}

// isRules reports whether a control is that of access rules.
func isRules(control string) bool {
	return control == policy.AccessLevel || control == policy.AccessPattern || control == policy.GeoCountry
}

func (c RemoveException) apply(x *transaction) error {
	row, err := x.tx.Exception(c.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !row.Removed.IsZero() {
		return notFound("exception", clean(c.ID), "mtguard policy exceptions")
	}
	if err != nil {
		return err
	}
	if err := x.current(row.Rev); err != nil {
		return err
	}
	row.Removed = x.now
	x.result.Summary = "exception " + row.ID + " is gone"
	return x.tx.PutException(&row)
}

// compiled is a row as policies read it.
func compiled(row store.Exception) (policy.Exception, error) {
	e := policy.Exception{ID: row.ID, User: row.User, Country: row.Country, Controls: row.Controls, From: row.From, Until: row.Until, Reason: row.Reason, Owner: row.Owner}
	if row.Prefix == "" {
		return e, nil
	}
	if addr, err := netip.ParseAddr(row.Prefix); err == nil {
		e.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return e, nil
	}
	var err error
	e.Prefix, err = netip.ParsePrefix(row.Prefix)
	return e, err
}

// compileExceptions makes what Judge reads of the rows. The caller holds mu.
func (p *Plane) compileExceptions() error {
	list := make([]policy.Exception, 0, len(p.exceptionRows))
	for _, row := range p.exceptionRows {
		e, err := compiled(row)
		if err != nil {
			return fmt.Errorf("exception %s: %w", row.ID, err)
		}
		list = append(list, e)
	}
	all, err := policy.NewExceptions(list, p.exceptions)
	if err == nil {
		p.exceptions = all
	}
	return err
}

// Exceptions returns all exceptions in the order of their IDs.
func (p *Plane) Exceptions(ctx context.Context) ([]ExceptionInfo, error) {
	now := p.parts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	items := make([]ExceptionInfo, 0, len(p.exceptionRows))
	for _, row := range p.exceptionRows {
		info := exceptionInfo(row, now)
		n, _ := p.exceptions.Hits(row.ID)
		info.Hits += n - p.counted[row.ID]
		items = append(items, info)
	}
	slices.SortFunc(items, func(a, b ExceptionInfo) int { return strings.Compare(a.ID, b.ID) })
	return items, nil
}

func exceptionInfo(row store.Exception, now time.Time) ExceptionInfo {
	info := ExceptionInfo{
		ID: row.ID, Controls: row.Controls, Prefix: row.Prefix, User: row.User, Country: row.Country, From: maybe(row.From), Until: maybe(row.Until),
		Reason: row.Reason, Owner: row.Owner, Created: row.Created, Hits: row.Hits, State: "in force", Revision: row.Rev,
	}
	switch {
	case !now.Before(row.Until):
		info.State = "over"
	case now.Before(row.From):
		info.State = "not yet"
	}
	return info
}
