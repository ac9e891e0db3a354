package access

import (
	"net/netip"
	"slices"
	"time"
)

// Covers returns those of the addresses that a rule matches, whatever its level and
// its time. Options are those of Compile: rules on lists, countries and AS numbers
// need them. Rules on the ClientHello match every address.
func Covers(r Rule, addrs []netip.Addr, o Options) []netip.Addr {
	var list *List
	for _, l := range o.Lists {
		if r.Match.kind == InList && l.name == r.Match.text {
			list = l
		}
	}
	prefixes := r.Match.Prefixes()
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		a = plain(a)
		switch r.Match.kind {
		case InList:
			if list == nil {
				return true
			}
			_, ok := list.find(a)
			return !ok
		case InCountry:
			country, _ := o.Geo.Lookup(a)
			return country != r.Match.text
		case InASN:
			_, asn := o.Geo.Lookup(a)
			return asn != r.Match.asn
		case ServerName, Fingerprint:
			return false
		}
		return !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	})
}

// ShutOut returns those of the addresses that have a ceiling of need or more now and
// would have a lower one with the rule added, or in place of the one with its ID,
// at any time it is in force. It is what to ask before a change, with the
// operator's own address and what their work needs. An error is Compile's: the
// rule is not fit for these rules.
func ShutOut(rules []Rule, r Rule, addrs []netip.Addr, need Level, now time.Time, o Options) ([]netip.Addr, error) {
	before, err := Compile(rules, o)
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(slices.Clone(rules), func(x Rule) bool { return x.ID == r.ID })
	if _, err := Compile(append(others, r), o); err != nil {
		return nil, err
	}
	r.From, r.Until, r.Schedule = time.Time{}, time.Time{}, Schedule{}
	after, err := Compile(append(others, r), o)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		q := Query{Addr: a, Now: now}
		return before.Check(q).Level < need || after.Check(q).Level >= need
	}), nil
}
