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

// ShutOut returns those of the addresses that this table gives need or more and the
// next one less, now or at any time to come. It is what to ask before a change:
// with the operator's own address and the level of what they do, with loopback,
// with peers.
func (t *Table) ShutOut(next *Table, addrs []netip.Addr, need Level, now time.Time) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		moments := append(t.moments(a, now), next.moments(a, now)...)
		return !slices.ContainsFunc(append(moments, now), func(at time.Time) bool {
			q := Query{Addr: a, Now: at}
			return t.Check(q).Level >= need && next.Check(q).Level < need
		})
	})
}

const (
	scheduleAhead = 9 * 24 * time.Hour // hours come again every week
	maxMoments    = 1000
)

// moments are the times to come at which a decision about an address may change:
// where rules that match it begin and end, and for a week after each of these,
// where their hours do.
func (t *Table) moments(a netip.Addr, now time.Time) []time.Time {
	if t == nil || !t.timed {
		return nil
	}
	e := explainer{t: t, q: &Query{}, addr: plain(a)}
	var bounds []time.Time
	var hours []Schedule
	for _, c := range append(e.onAddress(), e.onOrigin()...) {
		if c.rule < 0 || !t.hot[c.rule].timed || len(bounds) > maxMoments {
			continue
		}
		r := &t.rules[c.rule]
		for _, at := range []time.Time{r.From, r.Until} {
			if at.After(now) {
				bounds = append(bounds, at)
			}
		}
		if !r.Schedule.IsZero() {
			hours = append(hours, r.Schedule)
		}
	}
	moments := slices.Clone(bounds)
	for _, from := range append(bounds, now) {
		for _, s := range hours {
			for at := s.Next(from); !at.IsZero() && at.Before(from.Add(scheduleAhead)) && len(moments) < maxMoments; at = s.Next(at) {
				moments = append(moments, at)
			}
		}
	}
	return moments
}
