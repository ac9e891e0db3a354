package control

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/security/usage"
)

// LimitQuery is about an address, a user, or a user at an address.
type LimitQuery struct{ Addr, User string }

// LimitInfo is a limit and where somebody is with it.
type LimitInfo struct {
	Control   string     `json:"control" doc:"user.connections, user.addresses and user.quota are the user's own, and no controls"`
	Mode      string     `json:"mode" doc:"what happens to one too many: off (nothing), monitor (it is counted), enforce"`
	Exception string     `json:"exception,omitempty"`
	Of        string     `json:"of" doc:"what is counted together: a prefix, a user, a key"`
	Limit     string     `json:"limit"`
	Origin    string     `json:"origin,omitempty" doc:"where the limit comes from: preset personal, mtguard.toml:12, policy r7, user alice; left out: the node's own"`
	Left      int64      `json:"left" doc:"how many more there may be now, of bytes: at once; -1: there is no bound"`
	RetryAt   *time.Time `json:"retry_at,omitempty" doc:"with none left: when there will be one, if time brings it"`
}

// limitPaths are the values of policy that the limits of controls come from.
var limitPaths = map[string]string{
	policy.ConnsAddr: "connections.per_address", policy.ConnsPrefix: "connections.per_prefix", policy.ConnsUser: "connections.per_user",
	policy.ConnsKey: "connections.per_key", policy.AddrsUser: "connections.addresses_per_user", policy.RateAccept: "rates.new_per_prefix",
	policy.RateFailures: "rates.handshake_failures",
}

// Counted is the standing of something that is open and counted one by one.
func Counted(control, of string, used, limit int) LimitInfo {
	return LimitInfo{Control: control, Of: of, Limit: strconv.Itoa(limit), Left: int64(max(limit-used, 0))}
}

// CheckLimits says where somebody is with the limits that count him. It counts nothing.
func (p *Plane) CheckLimits(ctx context.Context, q LimitQuery) ([]LimitInfo, error) {
	now := p.parts.Now()
	subject := policy.Subject{User: q.User}
	items := []LimitInfo{}
	if q.Addr != "" {
		addr, err := netip.ParseAddr(q.Addr)
		if err != nil || addr.Zone() != "" {
			return nil, invalid("addr", "%s is no address", clean(q.Addr))
		}
		subject.Addr = addr.Unmap()
		items = append(items, p.parts.Limits(subject.Addr, now)...)
	} else if q.User == "" {
		return nil, invalid("addr", "neither an address nor a user is given")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if subject.Addr.IsValid() {
		subject.Country = p.table.Check(access.Query{Addr: subject.Addr, Now: now}).Country
	}
	stranger := subject // what counts by address judges before it is known who comes
	stranger.User = ""
	for i := range items {
		mode, exception := p.modeFor(items[i].Control, stranger)
		items[i].Mode, items[i].Exception = mode.String(), exception
		items[i].Origin = p.effective.Origin(limitPaths[items[i].Control])
	}
	if q.User == "" {
		return items, nil
	}
	u := p.names[q.User]
	if u == nil {
		return nil, notFound("user", clean(q.User), "mtguard user list")
	}
	for _, info := range p.limitsOf(u, now) {
		info.Mode = policy.Enforce.String()
		if slices.Contains(policy.Controls(), info.Control) {
			mode, exception := p.modeFor(info.Control, subject)
			info.Mode, info.Exception = mode.String(), exception
		}
		if info.Origin == "" {
			info.Origin = p.effective.Origin(limitPaths[info.Control])
		}
		items = append(items, info)
	}
	return append(items, p.byteLimits(u, subject, now)...), nil
}

// byteLimits are the rates of a user's sessions: that of all of them, and that of
// those of the level that he has there. The caller holds mu.
func (p *Plane) byteLimits(u *user, subject policy.Subject, now time.Time) (items []LimitInfo) {
	level := u.row.Level
	if subject.Addr.IsValid() {
		level = min(level, p.ceilingHere(subject, now))
	}
	if level == access.None {
		return nil
	}
	l := p.parts.Live.Load().Limits
	whole, part := u.account.ByteBudgets(level, now)
	mode, exception := p.modeFor(policy.BytesUser, policy.Subject{User: u.row.Name})
	add := func(of, path string, rate policy.ByteRate, ways ...usage.Budget) {
		for way, b := range ways {
			name := [...]string{"sent", "received"}[way]
			info := LimitInfo{Control: policy.BytesUser, Mode: mode.String(), Exception: exception, Of: of + ", " + name, Limit: rate.String(), Origin: p.effective.Origin(path), Left: -1}
			if rate.Unlimited() {
				info.Limit = "no bound"
			} else if b.PerSecond != rate.PerSecond { // no session has come under it yet
				info.Left = cmp.Or(rate.Burst, rate.PerSecond)
			} else if info.Left = b.Left; b.Pause > 0 {
				info.RetryAt = new(now.Add(b.Pause))
			}
			items = append(items, info)
		}
	}
	add(u.row.Name, "bandwidth.per_user", l.BytesPerUser, whole[:]...)
	ways := part[:]
	if level == access.ReadOnly { // that is what the level means, and reading is not bounded
		mode, exception, ways = policy.Enforce, "", part[:1]
	}
	add(u.row.Name+", "+level.String(), "bandwidth.level."+level.String(), l.BytesPerLevel[level], ways...)
	return items
}

// ceilingHere is the level that the rules in force leave to somebody. Exceptions are
// not counted. The caller holds mu.
func (p *Plane) ceilingHere(subject policy.Subject, now time.Time) access.Level {
	q := access.Query{Addr: subject.Addr, Now: now}
	d := p.table.Check(q)
	for _, control := range [...]string{policy.AccessLevel, policy.GeoCountry} {
		if mode, _ := p.modeFor(control, subject); mode != policy.Enforce {
			q.Ignore |= access.ControlsOf(control)
		}
	}
	if q.Ignore == 0 || d.Level >= access.Standard {
		return d.Level
	}
	return p.table.Check(q).Level
}

// limitsOf are the limits that count a user. The caller holds mu.
func (p *Plane) limitsOf(u *user, now time.Time) (items []LimitInfo) {
	counted := func(control, of string, used, limit int) {
		if limit > 0 {
			items = append(items, Counted(control, of, used, limit))
		}
	}
	// What is the user's own says so.
	own := func(control string, used, limit int) {
		if counted(control, u.row.Name, used, limit); limit > 0 {
			items[len(items)-1].Origin = "user " + u.row.Name
		}
	}
	l := p.parts.Live.Load().Limits
	name := u.row.Name
	connections, addresses := u.account.Open()
	counted(policy.ConnsUser, name, connections, l.ConnectionsPerUser)
	if u.row.Level == access.ReadOnly {
		if counted(policy.ConnsUser, name+", read only", connections, l.ConnectionsReadOnly); l.ConnectionsReadOnly > 0 {
			items[len(items)-1].Origin = p.effective.Origin("connections.read_only")
		}
	}
	counted(policy.AddrsUser, name, addresses, l.AddressesPerUser)
	for _, k := range u.keys {
		if live := p.ring.Key(k.ID); live != nil && live.State().Accepted() {
			counted(policy.ConnsKey, "key "+string(k.ID), live.Leases(), l.ConnectionsPerKey)
		}
	}
	own("user.connections", connections, u.row.MaxConnections)
	own("user.addresses", addresses, u.row.MaxAddresses)
	if u.row.QuotaBytes > 0 {
		quota := LimitInfo{Control: "user.quota", Of: name, Origin: "user " + name, Limit: strconv.FormatInt(u.row.QuotaBytes, 10) + " bytes per " + u.row.QuotaPer, Left: max(u.row.QuotaBytes-u.used(), 0)}
		if quota.Left == 0 {
			quota.RetryAt = new(u.nextPeriod(now))
		}
		items = append(items, quota)
	}
	return items
}

// nextPeriod is when the quota begins anew.
func (u *user) nextPeriod(now time.Time) time.Time {
	y, m, d := now.UTC().Date()
	if u.row.QuotaPer == "month" {
		return time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
}
