package control

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"mtguard/security/access"
	"mtguard/security/policy"
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
	Left      int64      `json:"left" doc:"how many more there may be now"`
	RetryAt   *time.Time `json:"retry_at,omitempty" doc:"with none left: when there will be one, if time brings it"`
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
	for i := range items {
		mode, exception := p.modeFor(items[i].Control, subject)
		items[i].Mode, items[i].Exception = mode.String(), exception
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
		items = append(items, info)
	}
	return items, nil
}

// limitsOf are the limits that count a user. The caller holds mu.
func (p *Plane) limitsOf(u *user, now time.Time) (items []LimitInfo) {
	counted := func(control, of string, used, limit int) {
		if limit > 0 {
			items = append(items, Counted(control, of, used, limit))
		}
	}
	l := p.parts.Live.Load().Limits
	name := u.row.Name
	connections, addresses := u.account.Open()
	counted(policy.ConnsUser, name, connections, l.ConnectionsPerUser)
	if u.row.Level == access.ReadOnly {
		counted(policy.ConnsUser, name+", read only", connections, l.ConnectionsReadOnly)
	}
	counted(policy.AddrsUser, name, addresses, l.AddressesPerUser)
	for _, k := range u.keys {
		if live := p.ring.Key(k.ID); live != nil && live.State().Accepted() {
			counted(policy.ConnsKey, "key "+string(k.ID), live.Leases(), l.ConnectionsPerKey)
		}
	}
	counted("user.connections", name, connections, u.row.MaxConnections)
	counted("user.addresses", name, addresses, u.row.MaxAddresses)
	if u.row.QuotaBytes > 0 {
		quota := LimitInfo{Control: "user.quota", Of: name, Limit: strconv.FormatInt(u.row.QuotaBytes, 10) + " bytes per " + u.row.QuotaPer, Left: max(u.row.QuotaBytes-u.used(), 0)}
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
