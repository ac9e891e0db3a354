package auth

import (
	"net/netip"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/security/usage"
)

// Ceiling is the highest level that the access rules in force leave to an address:
// what rules of a control refuse that is not enforced for this client does not
// count. user is empty before it is known.
func Ceiling(s *policy.Snapshot, from netip.Addr, user string, now time.Time) access.Level {
	if s == nil {
		return access.Standard
	}
	// What the node has shut out by itself meets those who come, at the door. It never takes anything from somebody who is in.
	q := access.Query{Addr: from, Now: now, Ignore: access.ByThreat}
	d := s.Access.Check(q)
	if d.Level >= access.Standard {
		return d.Level // nothing refuses here
	}
	subject := policy.Subject{Addr: from, User: user, Country: d.Country}
	for _, control := range [...]string{policy.AccessLevel, policy.GeoCountry} {
		if m, _ := s.Judge(control, subject, now); m != policy.Enforce {
			q.Ignore |= access.ControlsOf(control)
		}
	}
	if q.Ignore == access.ByThreat {
		return d.Level
	}
	return s.Access.Check(q).Level
}

// HelloCeiling is the highest level that the rules in force on what a hello says
// leave to it.
func HelloCeiling(s *policy.Snapshot, from netip.Addr, user, serverName, ja4 string, now time.Time) access.Level {
	if s == nil {
		return access.Superuser
	}
	if name, print := s.Access.Patterns(); !name && !print {
		return access.Superuser
	}
	d := s.Access.Check(access.Query{Addr: from, Now: now, ServerName: serverName, JA4: ja4, Ignore: access.ByAddress | access.ByCountry | access.ByThreat})
	if d.Control != access.ControlPattern {
		return access.Superuser
	}
	if m, _ := s.Judge(policy.AccessPattern, policy.Subject{Addr: from, User: user, Country: d.Country}, now); m != policy.Enforce {
		return access.Superuser
	}
	return d.Level
}

// RatesOf is what the policy lets a user's sessions carry together. Where the
// control bytes.user is not enforced for the user nothing is bounded but the upload
// of access.ReadOnly, which is what that level means; in monitor it is watched who
// goes beyond.
func RatesOf(s *policy.Snapshot, user string, now time.Time) usage.Rates {
	var r usage.Rates
	if s == nil {
		return r
	}
	m, _ := s.Expect(policy.BytesUser, policy.Subject{User: user}, now)
	rate := func(b policy.ByteRate, watch bool) usage.Rate {
		return usage.Rate{PerSecond: b.PerSecond, Burst: b.Burst, Watch: watch && !b.Unlimited()}
	}
	if m != policy.Off {
		r.User = rate(s.Limits.BytesPerUser, m == policy.Monitor)
		for l, b := range s.Limits.BytesPerLevel {
			r.Level[l] = rate(b, m == policy.Monitor)
		}
	}
	r.Level[access.ReadOnly] = rate(s.Limits.BytesPerLevel[access.ReadOnly], false)
	return r
}

// Level is what the session may do at present.
func (x *Session) Level() access.Level { return access.Level(x.level.Load()) }

// Grade puts the session on a level: it takes its bytes from the budgets of that.
func (x *Session) Grade(l access.Level) {
	x.level.Store(uint32(l))
	x.Throttle.Set(x.Grant.Key().Account().Budgets(l))
}

// judge is the level that the session would have if its client came now.
func (x *Session) judge(s *policy.Snapshot, now time.Time) access.Level {
	serverName, ja4 := x.Grant.Said.Hello()
	return min(x.Grant.Key().Account().Level(), HelloCeiling(s, x.From(), x.User(), serverName, ja4, now), Ceiling(s, x.From(), x.User(), now))
}

// Follow grades one session by the policy, and reports whether it may go on.
func (x *Session) Follow(s *policy.Snapshot, now time.Time) bool {
	l := x.judge(s, now)
	if l != x.Level() {
		x.Grade(l)
	}
	return l != access.None
}

// Apply grades every live session by the policy: it puts the budgets of each user to
// the rates that hold now, and ends, for reason, the sessions of level access.None
// and of access.ReadOnly those that are more than that level may have. It returns
// how many it ended. Whoever changes a user's level, the access rules or the policy
// publishes first, and calls it then.
func (s *Sessions) Apply(p *policy.Snapshot, reason string, now time.Time) int {
	rated := make(map[*usage.Account]int) // how many sessions of read_only it has
	return s.Regrade(func(x *Session) (access.Level, bool) {
		account := x.Grant.Key().Account()
		if _, done := rated[account]; !done {
			account.SetRates(RatesOf(p, x.User(), now), now)
			rated[account] = 0
		}
		l := x.judge(p, now)
		if l != access.ReadOnly || p == nil || account == nil {
			return l, true
		}
		rated[account]++
		most := p.Limits.ConnectionsReadOnly
		if most <= 0 || rated[account] <= most {
			return l, true
		}
		m, _ := p.Judge(policy.ConnsUser, policy.Subject{Addr: x.From(), User: x.User()}, now)
		return l, m != policy.Enforce
	}, reason)
}

// Regrade asks judge for the level of every live session and puts it on that. Those
// of level access.None, and those that are not kept, it ends. It returns how many
// these were. judge must not keep the session, nor open or close any.
func (s *Sessions) Regrade(judge func(*Session) (l access.Level, keep bool), reason string) int {
	return s.Kill(func(x *Session) bool {
		l, keep := judge(x)
		if l != x.Level() {
			x.Grade(l)
		}
		return !keep || l == access.None
	}, reason)
}

// Shed ends at most so many sessions below a level, those of the lowest level first
// and of equal ones those that came last in their part of the list, and returns how
// many it has ended.
func (s *Sessions) Shed(below access.Level, most int, reason string) int {
	n, left := 0, most
	for l := access.None; l < below && l <= access.Superuser; l++ {
		n += s.Kill(func(x *Session) bool {
			if left <= 0 || x.Level() != l {
				return false
			}
			left--
			return true
		}, reason)
	}
	return n
}
