package control

import (
	"fmt"
	"net/netip"
	"slices"

	"mtguard/control/store"
	"mtguard/security/access"
)

// Rules and lists are ceilings of management, too: see Ceiling. Nobody raises one above
// what he may do himself where he is: he would lift the ceiling that he is under.

// notAbove refuses a level that the actor does not have.
func (x *transaction) notAbove(level access.Level) error {
	if level <= x.by.Level {
		return nil
	}
	return &Error{Kind: Denied, Text: fmt.Sprintf("%s may do what the level %v may, and moves no ceiling of the level %v", x.by.Name, x.by.Level, level)}
}

// mayTakeOut refuses to take a rule, or one on a list, out that is above the actor, or
// that holds down what another one would give to more than he has.
func (x *transaction) mayTakeOut(rule access.Rule) error {
	if err := x.notAbove(rule.Level); err != nil || x.by.Level >= access.Superuser {
		return err
	}
	x.p.mu.Lock()
	above := slices.DeleteFunc(x.p.rulesInForce(x.now), func(r access.Rule) bool {
		return r.Level <= x.by.Level || !r.Until.IsZero() && !x.now.Before(r.Until)
	})
	list := x.p.lists[rule.Match.Text()]
	x.p.mu.Unlock()
	for _, prefix := range loopbacks { // package access has these by itself
		above = append(above, access.Rule{ID: "loopback", Match: access.PrefixMatch(prefix), Level: access.Superuser})
	}
	parts := slices.Values(rule.Match.Prefixes())
	if rule.Match.Kind() == access.InList {
		if list == nil {
			return nil // it has not been read: it holds nobody down
		}
		parts = list.All()
	}
	var wide []netip.Prefix // of those above that the address decides about
	for _, r := range above {
		switch same := r.Match == rule.Match; {
		case rule.Match.Kind().Pattern(), r.Match.Kind().Pattern():
			continue // management has no hello
		case r.Match.Kind().Address() && !rule.Match.Kind().Address():
			continue // it comes first as it is
		case r.Match.Kind() == rule.Match.Kind() && !r.Match.Kind().Address() && !same:
			continue // another country
		case r.Match.Kind().Address() && r.Match.Kind() != access.InList:
			wide = append(wide, r.Match.Prefixes()...)
			continue
		}
		return x.holdsDown(r)
	}
	for part := range parts {
		for _, prefix := range wide {
			if prefix.Bits() <= part.Bits() && prefix.Contains(part.Addr()) {
				return x.holdsDown(above[slices.IndexFunc(above, func(r access.Rule) bool { return slices.Contains(r.Match.Prefixes(), prefix) })])
			}
		}
	}
	return nil
}

func (x *transaction) holdsDown(r access.Rule) error {
	return &Error{Kind: Denied, Text: fmt.Sprintf("without it %s would give the ceiling %v, and %s may do what the level %v may", r.ID, r.Level, x.by.Name, x.by.Level)}
}

var loopbacks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// mayTakeOutRow is mayTakeOut, of a rule in the store. What is over holds nobody down,
// what the node has shut out by itself is no ceiling of management.
func (x *transaction) mayTakeOutRow(row *store.Rule) error {
	match, err := access.ParseMatch(row.Match)
	over := !row.Until.IsZero() && !x.now.Before(row.Until)
	if err != nil || over || row.Source == store.FromAutomatic {
		return x.notAbove(row.Level)
	}
	return x.mayTakeOut(access.Rule{Match: match, Level: row.Level})
}
