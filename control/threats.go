package control

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mtguard/control/store"
	"mtguard/control/threat"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/security/access"
)

// Threat is what the plane shows of the engine that watches for attacks:
// *threat.Engine.
type Threat interface {
	Status() threat.Standing
	Findings(most int) []threat.Finding
}

// ThreatStatus tells what was found and done.
func (p *Plane) ThreatStatus(context.Context) (threat.Standing, error) {
	if p.parts.Threat == nil {
		return threat.Standing{}, nobodyWatches
	}
	return p.parts.Threat.Status(), nil
}

// ThreatFindings are the last findings, the newest first, at most so many.
func (p *Plane) ThreatFindings(ctx context.Context, most int) ([]threat.Finding, error) {
	if p.parts.Threat == nil {
		return nil, nobodyWatches
	}
	found := p.parts.Threat.Findings(limitOf(most))
	return found, p.withLineage(ctx, found)
}

var nobodyWatches = &Error{Kind: Unavailable, Text: "nobody watches for attacks in this process"}

// ThreatActor is the actor of what the node does by itself against attackers.
var ThreatActor = Actor{Name: "threat", Level: access.Superuser}

// AutoBlock shuts addresses out by themselves, each for a while. It is of the control
// threat.block: where that is not enforced the rules count and refuse nobody. It
// never touches an address that is pinned, nor one from which somebody
// authenticated lately or is connected: those are in Result.Spared.
type AutoBlock struct{ Blocks []AutoBlocked }

// AutoBlocked is one of them.
type AutoBlocked struct {
	Prefix netip.Prefix
	For    Duration
	Reason string
}

const (
	// maxAutoBlock is how long an automatic block may hold: none is for ever.
	maxAutoBlock = 7 * day
	// maxAutomatic bounds the automatic rules there may be at a time: the table is
	// compiled at each change. For one more the one goes that is over for longest, or ends
	// first: strangers may have more addresses than that, and those whose blocks are the
	// longest stay.
	maxAutomatic = 20_000
	// keepAutomatic is how long an automatic rule that is over stays, to be looked at.
	keepAutomatic       = day
	sweepAutomaticEvery = 10 * time.Minute
)

func (AutoBlock) action() string { return "threat.block" }

func (c AutoBlock) object() string {
	if len(c.Blocks) == 1 {
		return c.Blocks[0].Prefix.String()
	}
	return strconv.Itoa(len(c.Blocks)) + " addresses"
}

func (AutoBlock) least() access.Level { return access.Superuser }

func (c AutoBlock) apply(x *transaction) error {
	old, free := x.automatic()
	var goers []store.Rule
	for _, b := range c.Blocks {
		switch {
		case !b.Prefix.IsValid() || b.For <= 0 || time.Duration(b.For) > maxAutoBlock:
			return invalid("for", "an automatic block of %v for %v", b.Prefix, b.For)
		case x.occupied(b.Prefix):
			x.result.Spared = append(x.result.Spared, b.Prefix.String())
			continue
		}
		row, found := old[access.PrefixMatch(b.Prefix).String()]
		if !found {
			if free--; free < 0 {
				if goers == nil {
					goers = c.goers(old)
				}
				if len(goers) == 0 {
					return refused("mtguard threat status", "there are %d automatic rules already", maxAutomatic)
				}
				goers[0].Removed = x.now
				if err := x.tx.PutRule(&goers[0]); err != nil {
					return err
				}
				goers = goers[1:]
			}
			row = store.Rule{ID: newID("r"), Match: access.PrefixMatch(b.Prefix).String(), Level: access.None, Source: store.FromAutomatic, By: x.by.Name, Created: x.now}
		}
		row.Until, row.Reason = x.now.Add(time.Duration(b.For)), b.Reason
		if err := x.tx.PutRule(&row); err != nil {
			return err
		}
		x.result.Affected++
		if x.result.Affected <= mostBlockDetails {
			x.detail("block."+strconv.Itoa(x.result.Affected), fmt.Sprintf("%s for %v: %s", b.Prefix, b.For, b.Reason))
		}
	}
	if x.result.Affected == 0 {
		return errUnchanged
	}
	x.detail("blocked", x.result.Affected)
	x.result.Summary = fmt.Sprintf("%d blocked", x.result.Affected)
	return nil
}

// goers are the automatic rules that may make room for c, the first one first.
func (c AutoBlock) goers(old map[string]store.Rule) (list []store.Rule) {
	stay := make(map[string]bool, len(c.Blocks))
	for _, b := range c.Blocks {
		stay[access.PrefixMatch(b.Prefix).String()] = true
	}
	for match, row := range old {
		if !stay[match] && !row.Until.IsZero() {
			list = append(list, row)
		}
	}
	slices.SortFunc(list, func(a, b store.Rule) int { return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.ID, b.ID)) })
	return list
}

// mostBlockDetails is how many blocks of one change an audit row names; the rules
// name all.
const mostBlockDetails = 10

// automatic are the automatic rules by what they match, and how many more there may be.
func (x *transaction) automatic() (rules map[string]store.Rule, free int) {
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	rules = make(map[string]store.Rule)
	for _, row := range x.p.rules {
		if row.Source == store.FromAutomatic {
			rules[row.Match] = row
		}
	}
	return rules, maxAutomatic - len(rules)
}

// occupied reports whether a prefix may not be blocked by itself.
func (x *transaction) occupied(prefix netip.Prefix) bool {
	x.p.mu.Lock()
	d := x.p.table.Check(access.Query{Addr: prefix.Addr(), Now: x.now})
	x.p.mu.Unlock()
	return d.Pinned || x.p.Present(prefix, x.now) || len(x.p.lately(prefix, x.now, 1)) > 0
}

// Present reports whether somebody is connected from the prefix, or authenticated
// within guard.Lately from the very address that it is, or the /64. It is asked for each
// finding of a flood, and of an address looks at no key and at no session. AutoBlock,
// which is bounded, asks the keys themselves too before it blocks.
func (p *Plane) Present(prefix netip.Prefix, now time.Time) bool {
	if !single(prefix) {
		inside := func(s *auth.Session) bool { return prefix.Contains(s.From().Unmap()) }
		return len(p.parts.Sessions.List(inside, 1)) > 0
	}
	if p.parts.Sessions.From(prefix.Addr()) {
		return true
	}
	set := p.parts.Live.Load().Keys
	return set.Len() > 0 && now.Sub(p.latest.Seen(set.At(0).Use().Pseudonym(prefix.Addr()))) < guard.Lately
}

// single reports whether a prefix is what of addresses one client has: an IPv4 address, or an IPv6 /64 or what is in one.
func single(p netip.Prefix) bool {
	return p.Addr().Is4() && p.Bits() == 32 || p.Addr().Is6() && p.Bits() >= 64
}

// lately names users who authenticated from an address or /64 within guard.Lately, at
// most so many. Of a wider prefix nobody knows.
func (p *Plane) lately(prefix netip.Prefix, now time.Time, most int) (users []string) {
	if !single(prefix) {
		return nil
	}
	addr := prefix.Addr()
	set := p.parts.Live.Load().Keys
	if set.Len() == 0 {
		return nil
	}
	who := set.At(0).Use().Pseudonym(addr) // the same with every key
	for i := range set.Accepted() {
		k := set.At(i)
		if now.Sub(k.Use().Seen(who)) < guard.Lately && !slices.Contains(users, k.User()) {
			if users = append(users, k.User()); len(users) >= most {
				break
			}
		}
	}
	return users
}

// sayWhomItHits adds to the summary of a block who came from there lately.
func (x *transaction) sayWhomItHits(target string) {
	match, err := access.ParseMatch(target)
	if err != nil {
		return
	}
	var users []string
	for _, prefix := range match.Prefixes() {
		for _, user := range x.p.lately(prefix, x.now, mostNamed) {
			if !slices.Contains(users, user) {
				users = append(users, user)
			}
		}
		if len(users) >= mostNamed {
			break
		}
	}
	if x.result.Affected = len(users); len(users) == 0 {
		return
	}
	slices.Sort(users)
	x.detail("hits", strings.Join(users, " "))
	x.result.Summary += fmt.Sprintf("; it would hit %d users who came from there within a day: %s", len(users), strings.Join(users, ", "))
}

// mostNamed is how many users a block names.
const mostNamed = 100

// sweepAutomatic takes automatic rules out that are long over.
func (p *Plane) sweepAutomatic(ctx context.Context, now time.Time) error {
	var over []string
	p.mu.Lock()
	for id, row := range p.rules {
		if row.Source == store.FromAutomatic && !row.Until.IsZero() && now.Sub(row.Until) > keepAutomatic {
			over = append(over, id)
		}
	}
	p.mu.Unlock()
	if len(over) == 0 {
		return nil
	}
	slices.Sort(over)
	_, err := p.store.Update(ctx, func(tx *store.Tx) error {
		for _, id := range over[:min(len(over), sweepAtOnce)] {
			row, err := tx.Rule(id)
			if err != nil {
				return err
			}
			row.Removed = now
			if err := tx.PutRule(&row); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
