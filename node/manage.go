package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/mtproto"
	"mtguard/node/links"
	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/telemetry/stats"
)

// newPlane makes the control plane over the open store.
func (n *Node) newPlane() (*control.Plane, error) {
	return control.New(context.Background(), control.Parts{
		Store:     n.state.store,
		Vault:     n.state.vault,
		Master:    n.state.master,
		Live:      &n.live,
		Sessions:  &n.sessions,
		Log:       n.log,
		Dir:       n.dir.Path(),
		Version:   version(),
		Links:     n.makeLinks,
		PageURL:   n.pageURL,
		Records:   n.records,
		Node:      n.describe,
		Decisions: n.decisions,
		Limits:    n.limits,
		Watch:     n.watcher,
		Alerts:    n.alerts,
		Numbers:   numbers{n},
		Incident:  n.tellIncident,
		Events:    n.events,
		Around:    n.around(),

		AuditAfter: n.options.AuditAfter,
		Threat:     n.threat,
		Denied:     n.denied,
		Regular:    n.regular,
	})
}

// RuntimeSocket is where the admin socket is when nothing else is said and the
// directory can be used.
const RuntimeSocket = "/run/mtguard/admin.sock"

// socketName is the admin socket in the state directory.
const socketName = "admin.sock"

// listenAdmin opens the admin socket.
func (n *Node) listenAdmin(file *config.File) (err error) {
	path := file.Admin.Socket
	switch path {
	case "":
		return nil
	case "auto":
		path = filepath.Join(n.dir.Path(), socketName)
		if n.dir.Path() == config.DefaultStateDir && usable(filepath.Dir(RuntimeSocket)) {
			path = RuntimeSocket
		}
	}
	if n.admin, err = admin.Listen(path, file.Admin.Group); err != nil && file.Admin.Socket == "auto" {
		n.log.Warn("no admin socket: mtguard user, key and other commands cannot reach this node", "socket", path, "error", err)
		n.admin = nil
		return nil
	}
	return err
}

// usable reports whether a file can be made in the directory.
func usable(dir string) bool {
	f, err := os.CreateTemp(dir, ".mtguard-")
	if err != nil {
		return false
	}
	f.Close()
	return os.Remove(f.Name()) == nil
}

// AdminSocket is the path of the admin socket, "" when there is none.
func (n *Node) AdminSocket() string {
	if n.admin == nil {
		return ""
	}
	return n.admin.Addr().String()
}

// serveManagement answers commands until ctx ends.
func (n *Node) serveManagement(ctx context.Context, work *sync.WaitGroup, api admin.API) {
	if n.admin == nil {
		return
	}
	work.Go(func() {
		if err := admin.Serve(ctx, n.admin, api.Handler(), n.log); err != nil {
			n.log.Error("admin socket", "error", err)
		}
	})
}

// describe tells what the control plane does not know of the node.
func (n *Node) describe(s *control.Status) {
	s.Version = version()
	for _, a := range n.Listening() {
		s.Listening = append(s.Listening, a.String())
	}
	s.Draining = !n.serving.Load()
	s.Dashboard, s.Demo = n.dashboardURL(), n.options.Demo
	s.Connections, s.Sessions = n.stats.Open.Load(), n.stats.Sessions.Load()
	for t := mtproto.Classic; t <= mtproto.FakeTLS; t++ {
		s.Tripped += int64(n.stats.Handshakes(t.String(), stats.ResultRevoked))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s.ConfigError = n.refused
}

// limits says where an address is with the limits that the guard counts.
func (n *Node) limits(addr netip.Addr, now time.Time) (items []control.LimitInfo) {
	l := n.live.Load().Limits
	occupancy := n.server.Occupancy
	narrow, wide := guard.PlacesOf(addr)
	for _, c := range []struct {
		control, of string
		used, limit int
	}{
		{policy.ConnsTotal, "everybody", occupancy.Open(), l.MaxConnections},
		{policy.ConnsAddr, narrow.String(), occupancy.FromAddr(addr), l.ConnectionsPerAddress},
		{policy.ConnsPrefix, wide.String(), occupancy.FromNetwork(addr), l.ConnectionsPerPrefix},
	} {
		if c.limit > 0 {
			items = append(items, control.Counted(c.control, c.of, c.used, c.limit))
		}
	}
	rates := func(name string, all []guard.Standing) {
		for _, s := range all {
			info := control.LimitInfo{Control: name, Of: s.Prefix.String(), Limit: s.Limit.String(), Left: int64(s.Remaining)}
			if !s.Allowed {
				info.RetryAt = new(now.Add(s.RetryAfter))
			}
			items = append(items, info)
		}
	}
	rates(policy.RateAccept, n.accepts.Ask(addr, l.NewPerPrefix, now))
	rates(policy.RateFailures, n.failures.Ask(addr, l.HandshakeFailures, now))
	return items
}

// decisions tells what a control has decided.
func (n *Node) decisions(info *control.ControlInfo) {
	c := n.stats.Control(info.Name)
	info.Allowed = c.Decisions(stats.VerdictAllow, stats.ModeEnforce) + c.Decisions(stats.VerdictAllow, stats.ModeMonitor)
	info.KnownAllowedEnforced = c.KnownDecisions(stats.VerdictAllow, stats.ModeEnforce)
	info.KnownAllowed = info.KnownAllowedEnforced + c.KnownDecisions(stats.VerdictAllow, stats.ModeMonitor)
	for _, v := range []stats.Verdict{stats.VerdictDeny, stats.VerdictMask, stats.VerdictDelay} {
		info.Refused += c.Decisions(v, stats.ModeEnforce)
		info.WouldRefuse += c.Decisions(v, stats.ModeMonitor)
		info.KnownRefused += c.KnownDecisions(v, stats.ModeEnforce)
		info.KnownWould += c.KnownDecisions(v, stats.ModeMonitor)
	}
	micros := func(m stats.Mode) float64 { return float64(c.Cost(m).Nanoseconds()) / 1000 }
	info.CostEnforcedMicros, info.CostMonitorMicros = micros(stats.ModeEnforce), micros(stats.ModeMonitor)
	enforced, monitored := float64(c.Times(stats.ModeEnforce)), float64(c.Times(stats.ModeMonitor))
	if info.CostSamples = uint64(enforced + monitored); info.CostSamples > 0 {
		info.CostMicros = (enforced*info.CostEnforcedMicros + monitored*info.CostMonitorMicros) / (enforced + monitored)
	}
}

// Addresses are the addresses in use as they were written, with the ports that
// the system chose.
func (n *Node) Addresses() []string {
	written := n.File().Proxy.Listen
	var list []string
	for i, at := range n.Listening() {
		host := at.Addr().String()
		if i < len(written) {
			host, _, _ = net.SplitHostPort(written[i])
		}
		list = append(list, net.JoinHostPort(host, strconv.Itoa(int(at.Port()))))
	}
	return list
}

// Locate is where links lead.
func (n *Node) Locate() (links.Address, error) {
	return links.Locate(n.File().Proxy.PublicAddress, n.Addresses())
}

// makeLinks makes the links of one secret, as the configuration is now.
func (n *Node) makeLinks(user string, secret keys.Secret) ([]control.Link, error) {
	at, err := n.Locate()
	if err != nil {
		return nil, err
	}
	file := n.File()
	domain := ""
	if len(file.Cover.Domains) > 0 {
		domain = file.Cover.Domains[0]
	}
	items, err := links.All([]*keys.Key{keys.NewKey(user, secret)}, file.Proxy.Transports, domain, at)
	if err != nil {
		return nil, err
	}
	list := make([]control.Link, len(items))
	for i, item := range items {
		list[i] = control.Link(item)
	}
	return list, nil
}

// starter is the actor of what is shown when the node starts.
var starter = control.Actor{Name: "start of the node", Level: access.Superuser}

// Reveal returns the links of all users, at most most of them; nil when there
// are more. The audit log says that they were shown.
func (n *Node) Reveal(ctx context.Context, most int) ([]links.Item, error) {
	if users := n.live.Load().Keys.Accepted(); users*len(n.File().Proxy.Transports) > most {
		return nil, nil
	}
	result, err := n.plane.Apply(ctx, starter, control.RevealLinks{}, control.Options{Reason: "shown at start"})
	items := make([]links.Item, len(result.Links))
	for i, link := range result.Links {
		items[i] = links.Item(link)
	}
	return items, err
}

// Note writes down how this node runs, for commands that look for it.
func (n *Node) Note(configPath string) error {
	file := n.File()
	err := n.dir.WriteRun(statedir.Run{
		Config:        configPath,
		Listen:        n.Addresses(),
		PublicAddress: file.Proxy.PublicAddress,
		Transports:    file.Proxy.Transports,
		Domains:       file.Cover.Domains,
		AdminSocket:   n.AdminSocket(),
	})
	if err != nil {
		return fmt.Errorf("commands may not find this node: %w", err)
	}
	return nil
}
