package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"mtguard/security/access"
)

// MaxExceptions is the most exceptions there may be. Whoever needs more has a limit that does not fit.
const MaxExceptions = 1000

// maxExceptionLife is how long an exception may live from the moment it is made.
const maxExceptionLife = 366 * 24 * time.Hour

// Exception spares somebody a control for a while.
type Exception struct {
	// ID names it, in events too. It is unique among all exceptions.
	ID string
	// Prefix, User and Country say for whom it is: all that are given must agree, and one must be. Country is two letters or "unknown".
	Prefix  netip.Prefix
	User    string
	Country string
	// Controls are the controls that do not bite; none of them bounds memory.
	Controls []string
	// From and Until are when it holds: not before From (zero: at once), and not from Until on, which it must have.
	From, Until time.Time
	// Reason and Owner say why it is there and who answers for it.
	Reason, Owner string
}

// Exceptions are all exceptions, in the form that Judge reads. Make them with NewExceptions. They are safe for concurrent use and do not
// change, except for what they count. A nil *Exceptions has none.
type Exceptions struct {
	all []Exception // by ID
	// The exceptions for one user lie under the name, those without a user under the control. Both are in the order of IDs.
	users    map[string][]*spared
	controls map[string][]*spared
	uses     map[string]*use
}

// spared is one exception with its controls.
type spared struct {
	*Exception
	use *use
}

// use counts across recompiles: the next Exceptions share it.
type use struct {
	hits atomic.Int64
	last atomic.Int64 // Unix microseconds; 0 for never
}

// NewExceptions compiles exceptions, all or nothing. What those with the same ID in previous, which may be nil, have counted goes on.
func NewExceptions(list []Exception, previous *Exceptions) (*Exceptions, error) {
	if len(list) > MaxExceptions {
		return nil, fmt.Errorf("%d exceptions are more than %d: change the limit instead", len(list), MaxExceptions)
	}
	x := &Exceptions{all: make([]Exception, len(list)), users: map[string][]*spared{}, controls: map[string][]*spared{}, uses: map[string]*use{}}
	for i, e := range list {
		if err := e.check(); err != nil {
			return nil, err
		}
		e.Controls = slices.Clone(e.Controls)
		e.Prefix = plainPrefix(e.Prefix)
		x.all[i] = e
	}
	slices.SortFunc(x.all, func(a, b Exception) int { return strings.Compare(a.ID, b.ID) })
	for i := range x.all {
		e := &x.all[i]
		if i > 0 && x.all[i-1].ID == e.ID {
			return nil, fmt.Errorf("exception %q: there are two with this ID", e.ID)
		}
		u := new(use)
		if previous != nil && previous.uses[e.ID] != nil {
			u = previous.uses[e.ID]
		}
		x.uses[e.ID] = u
		x.place(&spared{e, u})
	}
	return x, nil
}

func (x *Exceptions) place(s *spared) {
	if s.User != "" {
		x.users[s.User] = append(x.users[s.User], s)
		return
	}
	for _, control := range s.Controls {
		x.controls[control] = append(x.controls[control], s)
	}
}

// check refuses an exception that is none, or has no end.
func (e *Exception) check() error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("exception %q: %s", e.ID, fmt.Sprintf(format, args...))
	}
	switch {
	case e.ID == "":
		return fmt.Errorf("an exception has no ID")
	case !e.Prefix.IsValid() && e.Prefix != netip.Prefix{}:
		return refuse("its prefix is none")
	case !e.Prefix.IsValid() && e.User == "" && e.Country == "":
		return refuse("it is for nobody: name a prefix, a user or a country")
	case e.Prefix.IsValid() && plainPrefix(e.Prefix).Masked() != plainPrefix(e.Prefix):
		return refuse("%v has bits behind the prefix: did you mean %v?", e.Prefix, e.Prefix.Masked())
	case e.Prefix.IsValid() && e.Prefix.Bits() == 0:
		return refuse("%v is everybody: turn the control off instead", e.Prefix)
	case e.Country != "" && !isCountry(e.Country):
		return refuse("%q is no country: want two capital letters, or %s", e.Country, access.UnknownCountry)
	case len(e.Controls) == 0:
		return refuse("it names no control")
	case e.Until.IsZero():
		return refuse("it has no end")
	case !e.Until.After(e.From):
		return refuse("it ends before it begins")
	}
	for i, control := range e.Controls {
		switch {
		case MemoryBound(control):
			return refuse("%s bounds memory and has no exceptions", control)
		case !slices.Contains(controlNames, control):
			return refuse("unknown control %q%s", control, didYouMean(control, rollable()))
		case slices.Contains(e.Controls[:i], control):
			return refuse("it names %s twice", control)
		}
	}
	return nil
}

// Check refuses an exception that may not be made at now: one that NewExceptions refuses, that is over, lives longer than a year, has no
// reason or owner, or names whom the control never looks at, so that it would spare nobody.
func (e *Exception) Check(now time.Time) error {
	if err := e.check(); err != nil {
		return err
	}
	switch {
	case e.Reason == "":
		return fmt.Errorf("exception %q: say why it is needed", e.ID)
	case e.Owner == "":
		return fmt.Errorf("exception %q: say who answers for it", e.ID)
	case !e.Until.After(now):
		return fmt.Errorf("exception %q: it is over since %s", e.ID, e.Until.UTC().Format(time.RFC3339))
	case e.Until.Sub(now) > maxExceptionLife:
		return fmt.Errorf("exception %q: it lives longer than a year", e.ID)
	}
	for _, control := range e.Controls {
		switch {
		case e.User != "" && BeforeUsers(control):
			return fmt.Errorf("exception %q: %s judges before it is known who comes: name a prefix or a country, and no user", e.ID, control)
		case control == BytesUser && (e.User == "" || e.Prefix.IsValid() || e.Country != ""):
			return fmt.Errorf("exception %q: %s counts a user's bytes, wherever he is: name a user alone", e.ID, control)
		}
	}
	return nil
}

func isCountry(text string) bool {
	if text == access.UnknownCountry {
		return true
	}
	return len(text) == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z'
}

// plainPrefix writes a prefix of IPv4-mapped addresses as the IPv4 prefix it is.
func plainPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// Match returns the exception that spares a subject the control at now, and counts that it did. When there are several it is the first by ID.
func (x *Exceptions) Match(control string, subj Subject, now time.Time) (id string, ok bool) {
	s := x.find(control, subj, now)
	if s == nil {
		return "", false
	}
	s.use.hits.Add(1)
	s.use.last.Store(now.UnixMicro())
	return s.ID, true
}

// Find is Match without counting, for questions that are no connection.
func (x *Exceptions) Find(control string, subj Subject, now time.Time) (id string, ok bool) {
	if s := x.find(control, subj, now); s != nil {
		return s.ID, true
	}
	return "", false
}

func (x *Exceptions) find(control string, subj Subject, now time.Time) *spared {
	if x == nil || len(x.all) == 0 {
		return nil
	}
	subj.Addr = subj.Addr.Unmap().WithZone("")
	var first *spared
	for _, s := range x.controls[control] {
		if s.covers(subj, now) {
			first = s
			break
		}
	}
	if subj.User == "" {
		return first
	}
	for _, s := range x.users[subj.User] {
		if first != nil && first.ID < s.ID {
			break
		}
		if slices.Contains(s.Controls, control) && s.covers(subj, now) {
			return s
		}
	}
	return first
}

// covers reports whether the exception holds at now and is for the subject, whose user was compared already.
func (s *spared) covers(subj Subject, now time.Time) bool {
	return (s.Country == "" || s.Country == subj.Country) &&
		(!s.Prefix.IsValid() || s.Prefix.Contains(subj.Addr)) &&
		now.Before(s.Until) && !now.Before(s.From)
}

// All returns the exceptions in the order of their IDs. The caller must not change them.
func (x *Exceptions) All() []Exception {
	if x == nil {
		return nil
	}
	return x.all
}

// Hits returns how often an exception spared somebody since the process started, and when it did last; the zero time for never.
func (x *Exceptions) Hits(id string) (n int64, last time.Time) {
	if x == nil || x.uses[id] == nil {
		return 0, time.Time{}
	}
	u := x.uses[id]
	if at := u.last.Load(); at != 0 {
		last = time.UnixMicro(at)
	}
	return u.hits.Load(), last
}
