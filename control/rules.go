package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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

// AddRule makes a rule: a ceiling for whom it matches, see package access.
type AddRule struct {
	Match       string
	Level       access.Level
	From, Until time.Time // zero: no bound
	Schedule    string    // hours of the week, as access.ParseSchedule reads them; "": always
	Pinned      bool      // no automatic rule or list touches these addresses
}

// RemoveRule takes a rule out.
type RemoveRule struct{ ID string }

// ConfirmRule keeps a rule that would end by itself because it shuts out the
// people who run the node.
type ConfirmRule struct{ ID string }

// Block shuts an address, prefix or pattern out for a while; Unblock takes such
// rules back.
type (
	Block struct {
		Target string
		For    Duration
	}
	Unblock struct{ Target string }
)

// RuleInfo is a rule as commands and the API show it.
type RuleInfo struct {
	ID        string         `json:"id"`
	Match     string         `json:"match"`
	Level     access.Level   `json:"level"`
	Source    string         `json:"source" doc:"operator, automatic or feed"`
	Pinned    bool           `json:"pinned,omitempty"`
	From      *time.Time     `json:"from,omitempty"`
	Until     *time.Time     `json:"until,omitempty"`
	Schedule  string         `json:"schedule,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	By        string         `json:"by"`
	Created   time.Time      `json:"created"`
	ConfirmBy *time.Time     `json:"confirm_by,omitempty" doc:"it ends then unless somebody confirms it"`
	State     string         `json:"state" doc:"in force, not yet, over, or to be confirmed"`
	Revision  store.Revision `json:"revision"`
}

// RuleFilter chooses rules; After is the ID before the first.
type RuleFilter struct {
	After         string
	Limit         int
	Level, Source string
}

func (AddRule) action() string     { return "access.add" }
func (RemoveRule) action() string  { return "access.remove" }
func (ConfirmRule) action() string { return "access.confirm" }
func (Block) action() string       { return "block" }
func (Unblock) action() string     { return "unblock" }

func (c AddRule) object() string     { return clean(c.Match) }
func (c RemoveRule) object() string  { return "rule " + clean(c.ID) }
func (c ConfirmRule) object() string { return "rule " + clean(c.ID) }
func (c Block) object() string       { return clean(c.Target) }
func (c Unblock) object() string     { return clean(c.Target) }

func (AddRule) least() access.Level     { return access.Admin }
func (RemoveRule) least() access.Level  { return access.Admin }
func (ConfirmRule) least() access.Level { return access.Admin }
func (Block) least() access.Level       { return access.Admin }
func (Unblock) least() access.Level     { return access.Admin }

const (
	// confirmWithin is how long a rule that shuts out who made it holds unless it
	// is confirmed.
	confirmWithin = 10 * time.Minute
	// maxBlock bounds blocks: nobody is shut out for ever by one word.
	maxBlock = 366 * day
	// usualBlock is for how long a block holds when nobody says.
	usualBlock = time.Hour
)

// sources of rules in the store.
var sources = map[string]access.Source{"operator": access.Operator, "automatic": access.Automatic, "feed": access.Feed}

func (c AddRule) apply(x *transaction) error {
	if err := x.notAbove(c.Level); c.Level <= access.Superuser && err != nil {
		return err
	}
	rule, err := x.checkRule(c)
	if err != nil {
		return err
	}
	row := store.Rule{
		ID: rule.ID, Match: rule.Match.String(), Level: c.Level, Source: "operator", Pinned: c.Pinned, From: c.From, Until: c.Until,
		Schedule: rule.Schedule.String(), Reason: x.o.Reason, By: x.by.Name, Created: x.now,
	}
	if err := x.guardAgainstLockOut(&row, rule); err != nil {
		return err
	}
	return x.putRule(&row, rule.Match)
}

// checkRule says what is wrong with a rule, also beside those that there are.
func (x *transaction) checkRule(c AddRule) (access.Rule, error) {
	match, err := access.ParseMatch(c.Match)
	if err != nil {
		return access.Rule{}, invalid("match", "%v", err)
	}
	schedule, err := access.ParseSchedule(c.Schedule)
	switch {
	case err != nil:
		return access.Rule{}, invalid("schedule", "%v", err)
	case c.Level > access.Superuser:
		return access.Rule{}, invalid("level", "%v is no level", c.Level)
	case !c.Until.IsZero() && !c.Until.After(x.now):
		return access.Rule{}, invalid("until", "the time %s is over", c.Until.UTC().Format(time.RFC3339))
	case !c.Until.IsZero() && !c.From.IsZero() && !c.Until.After(c.From):
		return access.Rule{}, invalid("until", "the rule would end before it begins")
	case c.Until.Year() > latestExpiry:
		return access.Rule{}, invalid("until", "a time behind the year %d: leave it out", latestExpiry)
	}
	rule := access.Rule{ID: newID("r"), Match: match, Level: c.Level, From: c.From, Until: c.Until, Schedule: schedule, Source: access.Operator, Pinned: c.Pinned}
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	rules := append(x.p.rulesInForce(x.now), rule)
	_, err = access.Compile(rules, x.p.accessOptions())
	if e, ok := errors.AsType[*access.RuleError](err); ok && e.Other != "" { // the ID of what is refused tells nobody anything
		other := e.Other
		if other == rule.ID {
			other = e.Rule
		}
		return rule, &Error{Kind: Invalid, Field: "match", Text: fmt.Sprintf("rule %s is about %s, too, and one of the two would never count", other, match),
			Fix: "mtguard access rm " + other}
	}
	if err != nil {
		return rule, invalid("match", "%v", err)
	}
	return rule, nil
}

// newID is a short name that nobody has: 56 random bits behind a letter, so that of
// 20,000 automatic rules two get the same once in 300 million times.
func newID(kind string) string {
	var b [7]byte
	rand.Read(b[:])
	return kind + hex.EncodeToString(b[:])
}

// guardAgainstLockOut refuses a rule that shuts out whoever makes it, the machine
// itself or a balancer of the operator's, unless he insists; and then lets it end
// by itself.
func (x *transaction) guardAgainstLockOut(row *store.Rule, rule access.Rule) error {
	if row.Level >= access.Standard {
		return nil
	}
	x.p.mu.Lock()
	own := []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	for _, peers := range x.p.base.ProxyProtocolFrom {
		own = append(own, peers.Addr())
		for _, part := range rule.Match.Prefixes() { // also one of many
			if peers.Contains(part.Addr()) {
				own = append(own, part.Addr())
			}
		}
	}
	hit := access.Covers(rule, append(own, x.by.From), x.p.accessOptions())
	x.p.mu.Unlock()
	if len(hit) == 0 {
		return nil
	}
	if !x.o.Force {
		what := fmt.Sprintf("%v, which is yours", hit[0])
		if kind := rule.Match.Kind(); kind == access.ServerName || kind == access.Fingerprint {
			what = "whoever comes with such a hello, wherever he is"
		}
		return refused("repeat it with --force: it ends after ten minutes, unless you confirm it with the ID that is answered: mtguard access confirm ID",
			"this would shut out %s", what)
	}
	if !row.Until.IsZero() && row.Until.Sub(x.now) <= confirmWithin {
		return nil // it ends by itself before that
	}
	row.ConfirmBy = x.now.Add(confirmWithin)
	x.detail("confirm_by", row.ConfirmBy.UTC().Format(time.RFC3339))
	return nil
}

func (x *transaction) putRule(row *store.Rule, match access.Match) error {
	if err := x.tx.PutRule(row); err != nil {
		return err
	}
	x.detail("rule", row.ID)
	x.detail("level", row.Level)
	info := ruleInfo(*row, x.now)
	if x.o.DryRun {
		info.ID = "" // the rule that is made will have another
	}
	x.result.Rule = &info
	defer x.withoutCountries(row.Match)
	x.result.Summary = fmt.Sprintf("rule %s: %s has the ceiling %v", firstOf(info.ID, "ID"), row.Match, row.Level) + untilText(row.Until) + x.watched(match, row.Level)
	if !row.ConfirmBy.IsZero() {
		x.result.Summary += "; it ends in ten minutes unless confirmed: mtguard access confirm " + firstOf(info.ID, "ID")
	}
	return nil
}

// watched says so when a ceiling of that level takes nothing from anybody yet, since
// the control that it is the business of is not enforced: whoever blocks an address
// means it.
func (x *transaction) watched(match access.Match, level access.Level) string {
	if level >= access.Standard {
		return ""
	}
	name := policy.AccessLevel
	switch match.Kind() {
	case access.InCountry, access.InASN:
		name = policy.GeoCountry
	case access.ServerName, access.Fingerprint:
		name = policy.AccessPattern
	}
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	switch c := x.p.effective.Control(name); {
	case c.Mode != policy.Enforce:
		mode := map[policy.Mode]string{policy.Off: "off", policy.Monitor: "in monitor"}[c.Mode]
		return fmt.Sprintf("; nobody feels it while %s is %s: mtguard rollout status", name, mode)
	case x.now.Before(x.p.glass):
		return "; nobody feels it while the glass is broken, until " + x.p.glass.UTC().Format(time.RFC3339)
	case share(c.Control) < 100:
		return fmt.Sprintf("; %s is enforced for %d%%", name, share(c.Control))
	}
	return ""
}

// withoutCountries says so when a rule needs a country file and there is none.
func (x *transaction) withoutCountries(match string) {
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	if kind, _, _ := strings.Cut(match, ":"); x.p.geo == nil && (kind == "country" || kind == "asn") {
		x.result.Summary += "; it matches nobody until access.country_db names a country file"
	}
}

// untilText says when something ends, "" for never.
func untilText(end time.Time) string {
	if end.IsZero() {
		return ""
	}
	return " until " + end.UTC().Format(time.RFC3339)
}

// rule is the live rule of that ID.
func (x *transaction) rule(id string) (store.Rule, error) {
	row, err := x.tx.Rule(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !row.Removed.IsZero() {
		return row, notFound("rule", clean(id), "mtguard access list")
	}
	return row, err
}

func (c RemoveRule) apply(x *transaction) error {
	row, err := x.rule(c.ID)
	if err != nil {
		return err
	}
	if err := x.current(row.Rev); err != nil {
		return err
	}
	if err := x.mayTakeOutRow(&row); err != nil {
		return err
	}
	row.Removed = x.now
	x.detail("match", row.Match)
	x.result.Summary = fmt.Sprintf("rule %s on %s is gone", row.ID, row.Match)
	return x.tx.PutRule(&row)
}

func (c ConfirmRule) apply(x *transaction) error {
	row, err := x.rule(c.ID)
	if err != nil {
		return err
	}
	if row.ConfirmBy.IsZero() || !x.now.Before(row.ConfirmBy) {
		return refused("mtguard access list", "rule %s does not wait to be confirmed", row.ID)
	}
	row.ConfirmBy = time.Time{}
	if err := x.tx.PutRule(&row); err != nil {
		return err
	}
	info := ruleInfo(row, x.now)
	x.result.Rule, x.result.Summary = &info, fmt.Sprintf("rule %s on %s stays", row.ID, row.Match)+untilText(row.Until)
	return nil
}

func (c Block) apply(x *transaction) error {
	if c.For == 0 {
		c.For = Duration(usualBlock)
	}
	if time.Duration(c.For) > maxBlock {
		return invalid("for", "a block holds for %v at most", Duration(maxBlock))
	}
	if err := (AddRule{Match: c.Target, Level: access.None, Until: x.now.Add(time.Duration(c.For))}).apply(x); err != nil {
		return err
	}
	x.sayWhomItHits(c.Target)
	return nil
}

func (c Unblock) apply(x *transaction) error {
	match, err := access.ParseMatch(c.Target)
	if err != nil {
		return invalid("target", "%v", err)
	}
	n := 0
	for row, err := range x.tx.Rules(0) {
		if err != nil {
			return err
		}
		if row.Match == match.String() && row.Level == access.None && row.Source != "feed" {
			if err := x.mayTakeOutRow(&row); err != nil { // each of them
				return err
			}
			row.Removed = x.now
			if err := x.tx.PutRule(&row); err != nil {
				return err
			}
			n++
		}
	}
	if n == 0 {
		return &Error{Kind: NotFound, Text: fmt.Sprintf("nothing blocks just %s", match), Fix: "mtguard access check " + match.String()}
	}
	x.result.Affected, x.result.Summary = n, fmt.Sprintf("%s is not blocked any more", match)
	if by, err := x.stillBlocks(match); by != "" || err != nil {
		addr := match.Prefixes()[0].Addr()
		x.result.Summary = fmt.Sprintf("the block on %s is gone, and %s still shuts %s out: mtguard access check %s", match, by, addr, addr)
		return err
	}
	return nil
}

// stillBlocks is what shuts the first address of a match out, now that the blocks on
// just this are gone; "" for nothing, and for what is no address.
func (x *transaction) stillBlocks(match access.Match) (string, error) {
	prefixes := match.Prefixes()
	if len(prefixes) == 0 {
		return "", nil
	}
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	rules := slices.DeleteFunc(x.p.rulesInForce(x.now), func(r access.Rule) bool {
		return r.Match.String() == match.String() && r.Level == access.None && r.Source != access.Feed
	})
	table, err := access.Compile(rules, x.p.accessOptions())
	if err != nil {
		return "", err
	}
	if d := table.Check(access.Query{Addr: prefixes[0].Addr(), Now: x.now}); d.Level == access.None {
		return firstOf(d.Rule, "the default"), nil
	}
	return "", nil
}

// rulesInForce are the rules of the model and of the policy, with those on lists.
// Times are the table's business, but for rules that nobody confirmed. The caller
// holds mu.
func (p *Plane) rulesInForce(now time.Time) []access.Rule {
	rules := make([]access.Rule, 0, len(p.rules)+len(p.listRows))
	for _, row := range p.rules {
		match, err := access.ParseMatch(row.Match)
		schedule, errSchedule := access.ParseSchedule(row.Schedule)
		if err != nil || errSchedule != nil {
			p.log.Error("rule in the store", "rule", row.ID, "error", errors.Join(err, errSchedule))
			continue
		}
		r := access.Rule{ID: row.ID, Match: match, Level: row.Level, From: row.From, Until: row.Until, Schedule: schedule, Source: sources[row.Source], Pinned: row.Pinned}
		if !row.ConfirmBy.IsZero() && (r.Until.IsZero() || row.ConfirmBy.Before(r.Until)) {
			r.Until = row.ConfirmBy
		}
		rules = append(rules, r)
	}
	for _, row := range p.listRows {
		if p.lists[row.Name] != nil {
			rules = append(rules, access.Rule{ID: "list:" + row.Name, Match: access.ListMatch(row.Name), Level: row.Level, Source: access.Feed})
		}
	}
	for _, prefix := range p.trusted {
		rules = append(rules, access.Rule{ID: "trusted:" + prefix.String(), Match: access.PrefixMatch(prefix), Level: access.Superuser, Source: access.Operator, Pinned: true})
	}
	if p.effective != nil {
		rules = append(rules, p.effective.GeoRules(access.Standard)...)
	}
	slices.SortFunc(rules, func(a, b access.Rule) int { return strings.Compare(a.ID, b.ID) })
	return rules
}

func (p *Plane) accessOptions() access.Options {
	o := access.Options{Default: access.Standard, Geo: p.geo, NoGeo: p.geo == nil, Previous: p.table}
	for _, row := range p.listRows {
		if l := p.lists[row.Name]; l != nil {
			o.Lists = append(o.Lists, l)
		}
	}
	slices.SortFunc(o.Lists, func(a, b *access.List) int { return strings.Compare(a.Name(), b.Name()) })
	return o
}

// Rules returns rules in the order of their IDs, and the After of the next page.
func (p *Plane) Rules(ctx context.Context, f RuleFilter) (items []RuleInfo, next string, err error) {
	now, limit := p.parts.Now(), limitOf(f.Limit)
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]string, 0, len(p.rules))
	for id := range p.rules {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		info := ruleInfo(p.rules[id], now)
		if id <= f.After || f.Level != "" && info.Level.String() != f.Level || f.Source != "" && info.Source != f.Source {
			continue
		}
		if len(items) == limit {
			return items, items[limit-1].ID, nil
		}
		items = append(items, info)
	}
	return items, "", nil
}

// Rule returns one rule.
func (p *Plane) Rule(ctx context.Context, id string) (RuleInfo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	row, ok := p.rules[id]
	if !ok {
		return RuleInfo{}, notFound("rule", clean(id), "mtguard access list")
	}
	return ruleInfo(row, p.parts.Now()), nil
}

func ruleInfo(row store.Rule, now time.Time) RuleInfo {
	info := RuleInfo{
		ID: row.ID, Match: row.Match, Level: row.Level, Source: row.Source, Pinned: row.Pinned, From: maybe(row.From), Until: maybe(row.Until),
		Schedule: row.Schedule, Reason: row.Reason, By: row.By, Created: row.Created, ConfirmBy: maybe(row.ConfirmBy), State: "in force", Revision: row.Rev,
	}
	switch {
	case !row.ConfirmBy.IsZero() && !now.Before(row.ConfirmBy), !row.Until.IsZero() && !now.Before(row.Until):
		info.State = "over"
	case !row.ConfirmBy.IsZero():
		info.State = "to be confirmed"
	case now.Before(row.From):
		info.State = "not yet"
	}
	return info
}
