package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
)

// MaxBlocked is the most prefixes of Blocked.
const MaxBlocked = 65_536

// Blocked is what may be dropped before it reaches the proxy, since the proxy would
// refuse every connection from there, whoever it is and whatever it says.
type Blocked struct {
	Tag       string          `json:"tag" doc:"changes with the rest; ask with it to hear only of changes"`
	Unchanged bool            `json:"unchanged,omitempty" doc:"the tag asked with is this one, and the rest is left out"`
	Listening []string        `json:"listening,omitempty" doc:"where the proxy listens"`
	Suspended string          `json:"suspended,omitempty" doc:"why nothing may be dropped at present"`
	Prefixes  []BlockedPrefix `json:"prefixes,omitempty" doc:"they do not overlap"`
	Partly    string          `json:"partly,omitempty" doc:"why the rules of one control, access.level or threat.block, are not among them, though those of the other are"`
	Present   int             `json:"present,omitempty" doc:"automatic blocks that are not among them, since somebody authenticated from there or is connected; the proxy judges these by itself"`
	LeftOut   int             `json:"left_out,omitempty" doc:"prefixes beyond the most that are told; the proxy refuses these by itself"`
}

// BlockedPrefix is a prefix, and the rule that shuts it out.
type BlockedPrefix struct {
	Prefix netip.Prefix  `json:"prefix"`
	Rule   string        `json:"rule"`
	Source access.Source `json:"source"`
	Until  *time.Time    `json:"until,omitempty" doc:"left out: until it is taken back"`
}

// blockedState is the last answer of Blocked and what it was made of.
type blockedState struct {
	table      *access.Table
	exceptions *policy.Exceptions
	spared     []netip.Prefix // balancers and what exceptions spare
	listening  []string
	ignore     access.Controls // whose rules do not take effect
	suspended  string
	partly     string
	until      time.Time              // when a rule begins or ends; zero: not by itself
	refused    []access.RefusedPrefix // whoever is there
	present    []netip.Prefix         // automatic ones of refused that somebody is behind
	looked     time.Time              // when that was looked at
	answer     Blocked
}

// lookAgain is how often it is looked at who came to an address after it was blocked.
const lookAgain = 2 * time.Second

func (s *blockedState) holds(next *blockedState, now time.Time) bool {
	return s.answer.Tag != "" && s.table == next.table && s.exceptions == next.exceptions && s.ignore == next.ignore && s.suspended == next.suspended && s.partly == next.partly &&
		slices.Equal(s.spared, next.spared) && slices.Equal(s.listening, next.listening) && (s.until.IsZero() || now.Before(s.until))
}

// Blocked returns what may be dropped before the proxy: what rules on addresses give
// level none, those of operators while the control access.level is enforced for all,
// those of automation while threat.block is. Loopback, balancers, what a more specific or a pinned rule lets
// in, what an exception spares, and of the automatic blocks those from where somebody
// comes whom the proxy would let in are never in it. known is the tag of an answer
// that the caller has, "" for none. It is made anew when something has changed, and
// is cheap to ask for often.
func (p *Plane) Blocked(ctx context.Context, known string) (Blocked, error) {
	now := p.parts.Now()
	var status Status
	p.parts.Node(&status)
	p.blocking.Lock()
	defer p.blocking.Unlock()
	next := p.blockedBasis(now)
	next.listening = slices.Sorted(slices.Values(status.Listening))
	if !p.blocked.holds(&next, now) {
		if next.suspended == "" {
			next.refused = next.table.Refused(now, next.spared, next.ignore)
		}
		next.present, next.looked = p.presentIn(next.refused, now), now
		next.fill()
		p.blocked = next
	} else if s := &p.blocked; now.Sub(s.looked) >= lookAgain || now.Before(s.looked) {
		s.looked = now
		if present := p.presentIn(s.refused, now); !slices.Equal(present, s.present) {
			s.present = present
			s.fill()
		}
	}
	if answer := p.blocked.answer; answer.Tag != known {
		return answer, nil
	}
	return Blocked{Tag: known, Unchanged: true}, nil
}

// presentIn is from which automatically blocked prefixes somebody comes.
func (p *Plane) presentIn(refused []access.RefusedPrefix, now time.Time) (list []netip.Prefix) {
	for _, r := range refused {
		if r.Source == access.Automatic && (p.Present(r.Prefix, now) || p.parts.Regular != nil && p.parts.Regular(r.Prefix, now)) {
			list = append(list, r.Prefix)
		}
	}
	return list
}

// blockedBasis is what decides about what is blocked.
func (p *Plane) blockedBasis(now time.Time) blockedState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := blockedState{table: p.table, exceptions: p.exceptions, until: p.table.Next(now)}
	s.spared = slices.Clone(p.base.ProxyProtocolFrom)
	var why []string
	for _, own := range []struct {
		control string
		rules   access.Controls
	}{{policy.AccessLevel, access.ByAddress}, {policy.ThreatBlock, access.ByThreat}} {
		idle := p.idleControl(own.control, now)
		for _, e := range p.exceptions.All() {
			if !slices.Contains(e.Controls, own.control) || !now.Before(e.Until) || now.Before(e.From) {
				continue
			}
			switch {
			case e.Prefix.IsValid():
				s.spared = append(s.spared, e.Prefix.Masked())
			case e.Country == "" && own.control == policy.ThreatBlock: // at the door nobody has a name
			case idle == "":
				idle = "exception " + e.ID + " of " + own.control + " spares somebody who cannot be told by the address"
			}
		}
		if idle != "" {
			s.ignore |= own.rules
			why = append(why, idle)
		}
	}
	switch len(why) {
	case 1:
		s.partly = why[0]
	case 2:
		s.suspended = strings.Join(slices.Compact(why), "; ")
	}
	slices.SortFunc(s.spared, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return s
}

// idleControl says why a control does not refuse all that its rules shut out; "": it does.
func (p *Plane) idleControl(control string, now time.Time) string {
	c := p.effective.Control(control)
	switch {
	case c.Mode != policy.Enforce:
		return "the control " + control + " is not enforced: its mode is " + c.Mode.String()
	case c.Percent > 0 && c.Percent < 100:
		return "the control " + control + " is enforced for a share only"
	case now.Before(p.glass):
		return "the glass is broken"
	}
	return ""
}

// fill makes the answer.
func (s *blockedState) fill() {
	s.answer = Blocked{Listening: s.listening, Suspended: s.suspended, Partly: s.partly, Present: len(s.present)}
	refused := slices.Clone(s.refused)
	if len(s.present) > 0 {
		there := make(map[netip.Prefix]bool, len(s.present))
		for _, prefix := range s.present {
			there[prefix] = true
		}
		refused = slices.DeleteFunc(refused, func(r access.RefusedPrefix) bool { return r.Source == access.Automatic && there[r.Prefix] })
	}
	if n := len(refused) - MaxBlocked; n > 0 {
		s.answer.LeftOut = n
		slices.SortStableFunc(refused, byWeight)
		refused = refused[:MaxBlocked]
	}
	for _, r := range refused {
		s.answer.Prefixes = append(s.answer.Prefixes, BlockedPrefix{Prefix: r.Prefix, Rule: r.Rule, Source: r.Source, Until: maybe(r.Until)})
	}
	text, _ := json.Marshal(s.answer) // of plain values
	sum := sha256.Sum256(text)
	s.answer.Tag = hex.EncodeToString(sum[:12])
}

// byWeight puts first what is to be kept when there are too many: the operator's,
// then what lasts longest.
func byWeight(a, b access.RefusedPrefix) int {
	end := func(r access.RefusedPrefix) int {
		if r.Until.IsZero() {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(end(a), end(b)), b.Until.Compare(a.Until))
}
