package control

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"mtguard/proxy/auth"
	"mtguard/security/access"
)

// EndClients ends the sessions of clients of the proxy: all of a user, all from a
// prefix, or those that are both. It keeps nobody from coming again: for that there
// are blocks, and users that are disabled.
type EndClients struct {
	User string
	From netip.Prefix
}

// ClientFilter chooses sessions of clients; the zero one all of them.
type ClientFilter struct {
	User  string
	From  netip.Prefix
	Limit int
}

// ClientInfo is a session of a client of the proxy.
type ClientInfo struct {
	User  string       `json:"user"`
	Key   string       `json:"key"`
	From  string       `json:"from"`
	Level access.Level `json:"level"`
	Since time.Time    `json:"since"`
	Up    int64        `json:"up" doc:"payload bytes so far"`
	Down  int64        `json:"down"`
}

func (EndClients) action() string { return "client.end" }
func (c EndClients) object() string {
	var parts []string
	if c.User != "" {
		parts = append(parts, "user "+clean(c.User))
	}
	if c.From.IsValid() {
		parts = append(parts, c.From.String())
	}
	return strings.Join(parts, ", ")
}
func (EndClients) least() access.Level { return access.Admin }

// matching are the sessions of a user, from a prefix, or both.
func matching(user string, from netip.Prefix) func(*auth.Session) bool {
	return func(s *auth.Session) bool {
		return (user == "" || s.User() == user) && (!from.IsValid() || from.Contains(s.From().Unmap()))
	}
}

func (c EndClients) apply(x *transaction) error {
	if err := x.noObject(); err != nil {
		return err
	}
	if c.User == "" && !c.From.IsValid() {
		return invalid("user", "say whose sessions, or from where")
	}
	if c.User != "" {
		x.p.mu.Lock()
		_, known := x.p.names[c.User]
		x.p.mu.Unlock()
		if !known { // a name that is mistyped would look as if nobody were connected
			return notFound("user", clean(c.User), "mtguard user list")
		}
	}
	match := matching(c.User, c.From)
	n := len(x.p.parts.Sessions.List(match, maxBound))
	x.detail("sessions", n)
	x.result.Closed = n
	x.result.Summary = plural(n, "session") + " of clients ended"
	x.committed = func() error {
		x.result.Closed = x.p.parts.Sessions.Kill(match, "ended by an operator")
		return nil
	}
	return nil
}

// Clients returns the sessions of clients, those that moved most first, and whether
// there are more.
func (p *Plane) Clients(_ context.Context, f ClientFilter) (items []ClientInfo, more bool, err error) {
	limit := limitOf(f.Limit)
	live := p.parts.Sessions.List(matching(f.User, f.From), maxBound)
	slices.SortFunc(live, func(a, b auth.Live) int {
		return cmp.Or(cmp.Compare(b.Up+b.Down, a.Up+a.Down), cmp.Compare(a.Conn, b.Conn))
	})
	more = len(live) > limit
	for _, l := range live[:min(limit, len(live))] {
		items = append(items, ClientInfo{
			User: l.Key.User(), Key: string(l.Key.ID()), From: l.From.Unmap().String(), Level: l.Level, Since: l.Since.UTC(), Up: l.Up, Down: l.Down,
		})
	}
	return items, more, nil
}
