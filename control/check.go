package control

import (
	"context"
	"net/netip"

	"mtguard/security/access"
	"mtguard/security/policy"
)

// CheckQuery asks what would become of somebody. User may be empty: then only
// the address is judged.
type CheckQuery struct{ Addr, User, ServerName, JA4 string }

// AccessReport is the answer, with the rule that decides and the losers.
type AccessReport struct {
	Addr       string           `json:"addr"`
	User       string           `json:"user,omitempty"`
	Level      access.Level     `json:"level" doc:"the lower of ceiling and user's level"`
	Ceiling    access.Level     `json:"ceiling" doc:"of the address and the hello"`
	UserLevel  *access.Level    `json:"user_level,omitempty"`
	Rule       string           `json:"rule,omitempty" doc:"that decides; none: the default"`
	Control    string           `json:"control,omitempty" doc:"that would refuse"`
	Mode       string           `json:"mode,omitempty" doc:"of that control, for this subject"`
	Exception  string           `json:"exception,omitempty"`
	Country    string           `json:"country,omitempty"`
	ASN        uint32           `json:"asn,omitempty"`
	Outcome    string           `json:"outcome" doc:"let through, refused, or would be refused: let through and counted"`
	Considered []ConsideredRule `json:"considered"`
}

// ConsideredRule is a rule that matched, and why it decides or not.
type ConsideredRule struct {
	Rule    string       `json:"rule"`
	Match   string       `json:"match,omitempty"`
	Level   access.Level `json:"level"`
	Control string       `json:"control,omitempty"`
	Decides bool         `json:"decides,omitempty"`
	Why     string       `json:"why"`
}

// The outcomes of a check.
const (
	letThrough   = "let through"
	isRefused    = "refused"
	wouldRefused = "would be refused: let through and counted"
)

// CheckAccess says what would become of a connection, without counting it.
func (p *Plane) CheckAccess(ctx context.Context, q CheckQuery) (AccessReport, error) {
	addr, err := netip.ParseAddr(q.Addr)
	if err != nil || addr.Zone() != "" {
		return AccessReport{}, invalid("addr", "%s is no address", clean(q.Addr))
	}
	addr = addr.Unmap()
	now := p.parts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	query := access.Query{Addr: addr, Now: now, ServerName: q.ServerName, JA4: q.JA4}
	d := p.table.Check(query)
	r := AccessReport{Addr: addr.String(), User: q.User, Level: d.Level, Ceiling: d.Level, Rule: d.Rule, Country: d.Country, ASN: d.ASN, Outcome: letThrough}
	for _, c := range p.table.Explain(query) {
		id := c.Rule.ID
		if id == "" {
			id = c.Rule.Reason
		}
		r.Considered = append(r.Considered, ConsideredRule{Rule: id, Match: c.Rule.Match.String(), Level: c.Rule.Level, Control: c.Control, Decides: c.Decides, Why: c.Why})
	}
	if d.Level == access.None { // once before it is known who comes, and once more after
		r.judge(p, d.Control, policy.Subject{Addr: addr, Country: d.Country})
		if q.User != "" && r.Outcome != isRefused {
			r.judge(p, d.Control, policy.Subject{Addr: addr, User: q.User, Country: d.Country})
		}
	}
	if q.User == "" {
		return r, nil
	}
	u := p.names[q.User]
	if u == nil {
		return r, notFound("user", clean(q.User), "mtguard user list")
	}
	level := u.row.Level
	r.UserLevel, r.Level = &level, min(level, d.Level)
	if standing := u.standingOf(); standing != "ok" {
		r.Outcome, r.Control, r.Mode = isRefused, "user "+standing, policy.Enforce.String()
	} else if _, active := metadata(u.keys).Active(); !active && !u.accepted() {
		r.Outcome, r.Control, r.Mode = isRefused, "user has no key", policy.Enforce.String()
	}
	return r, nil
}

// accepted reports whether any key of the user is.
func (u *user) accepted() bool {
	for _, k := range u.keys {
		if k.State.Accepted() {
			return true
		}
	}
	return false
}

// judge says what a refusal by the control does.
func (r *AccessReport) judge(p *Plane, control string, subject policy.Subject) {
	mode, exception := p.modeFor(control, subject)
	r.Control, r.Mode, r.Exception = control, mode.String(), exception
	switch mode {
	case policy.Enforce:
		r.Outcome = isRefused
	case policy.Monitor:
		r.Outcome = wouldRefused
	}
}

// modeFor is the mode of a control for a subject, with broken glass and exceptions,
// which are not counted.
func (p *Plane) modeFor(control string, subject policy.Subject) (mode policy.Mode, exception string) {
	return p.parts.Live.Load().Expect(control, subject, p.parts.Now())
}

// ControlInfo is a control and what it has decided since the start.
type ControlInfo struct {
	Name         string `json:"name"`
	Mode         string `json:"mode"`
	Percent      int    `json:"percent,omitempty"`
	Always       bool   `json:"always,omitempty" doc:"it bounds memory, and is enforced whatever is set"`
	Allowed      uint64 `json:"allowed"`
	Refused      uint64 `json:"refused"`
	WouldRefuse  uint64 `json:"would_refuse" doc:"in monitor, let through and counted"`
	KnownRefused uint64 `json:"known_refused" doc:"of clients that authenticate"`
	KnownWould   uint64 `json:"known_would"`
	KnownAllowed uint64 `json:"known_allowed"`
	// Of KnownAllowed, those for whom the control is enforced.
	KnownAllowedEnforced uint64  `json:"known_allowed_enforced"`
	CostMicros           float64 `json:"cost_micros" doc:"mean time of one judgement and what follows from it at once, of every 16th connection"`
	CostEnforcedMicros   float64 `json:"cost_enforced_micros" doc:"of those that were enforced"`
	CostMonitorMicros    float64 `json:"cost_monitor_micros" doc:"of those in monitor"`
	CostSamples          uint64  `json:"cost_samples" doc:"how many were timed"`
	Exceptions           int     `json:"exceptions,omitempty"`
}

// Controls returns all controls in the order of policy.Controls.
func (p *Plane) Controls(ctx context.Context) ([]ControlInfo, error) {
	now := p.parts.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	items := make([]ControlInfo, 0, len(policy.Controls()))
	for _, name := range policy.Controls() {
		info := ControlInfo{Name: name, Mode: policy.Enforce.String(), Always: policy.MemoryBound(name)}
		if !info.Always {
			c := p.effective.Control(name)
			info.Mode, info.Percent = c.Mode.String(), c.Percent
			if now.Before(p.glass) && c.Mode == policy.Enforce {
				info.Mode, info.Percent = policy.Monitor.String(), 0
			}
		}
		for _, e := range p.exceptions.All() {
			for _, control := range e.Controls {
				if control == name && now.Before(e.Until) {
					info.Exceptions++
				}
			}
		}
		p.parts.Decisions(&info)
		items = append(items, info)
	}
	return items, nil
}
