package node

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"mtguard/config"
	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/admin/web"
	"mtguard/telemetry/event"
)

// listenDashboard opens the listener of the dashboard and the API.
func (n *Node) listenDashboard(file *config.File) error {
	address := file.Admin.Listen
	if address == "" {
		return nil
	}
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		n.dashboard = l
	case file.Explicit("admin.listen"):
		return explain(address, err)
	default:
		// Nobody asked for it: a second node on this machine is fine.
		n.log.Warn("the dashboard is off: the default address is taken", "key", "admin.listen", "address", address, "error", err)
	}
	return nil
}

// DashboardAt is the address of the dashboard's listener, the zero AddrPort when it
// is off.
func (n *Node) DashboardAt() netip.AddrPort {
	if n.dashboard == nil {
		return netip.AddrPort{}
	}
	return n.dashboard.Addr().(*net.TCPAddr).AddrPort()
}

// dashboardURL is where browsers find the dashboard, "" when it is off.
func (n *Node) dashboardURL() string {
	at := n.DashboardAt()
	if !at.IsValid() {
		return ""
	}
	port := strconv.Itoa(int(at.Port()))
	file := n.File()
	if file.Admin.CertFile == "" {
		return "http://" + net.JoinHostPort("localhost", port)
	}
	name := file.Admin.Hosts[0]
	if port == "443" {
		return "https://" + name
	}
	return "https://" + net.JoinHostPort(name, port)
}

// SignIn makes the address that signs a browser in once, within ten minutes, as a
// person of the highest level; "" when the dashboard is off. It is a secret. The audit
// log says that it was made.
func (n *Node) SignIn(ctx context.Context, person string) (string, error) {
	at := n.dashboardURL()
	if at == "" {
		return "", nil
	}
	result, err := n.plane.Apply(ctx, starter, control.MakeCode{Person: person}, control.Options{Reason: "shown at start"})
	if err != nil {
		return "", err
	}
	return at + "/enter#" + result.Secret, nil
}

// serveDashboard serves people and programs until ctx ends.
func (n *Node) serveDashboard(ctx context.Context, work *sync.WaitGroup, api admin.API) {
	if n.dashboard == nil {
		return
	}
	file := n.File()
	sources := admin.NewSources()
	n.knowSessions(ctx, sources)
	handler := api.WebHandler(admin.WebOptions{
		SignIn:  n.plane,
		Hosts:   file.Admin.Hosts,
		Port:    strconv.Itoa(int(n.DashboardAt().Port())),
		TLS:     file.Admin.CertFile != "",
		Remote:  !n.DashboardAt().Addr().Unmap().IsLoopback(),
		Enter:   web.Enter(),
		Assets:  web.Handler(),
		Sources: sources,
		Guessed: func(from netip.Addr) {
			n.bus.Emit(event.Event{Time: time.Now(), Kind: event.Guess, Addr: from, Control: "admin", Reason: "sign-in"})
		},
	})
	work.Go(func() {
		o := admin.WebServeOptions{CertFile: file.Admin.CertFile, KeyFile: file.Admin.KeyFile, Sources: sources, Log: n.log}
		if err := admin.ServeWeb(ctx, n.dashboard, handler, o); err != nil {
			n.log.Error("dashboard", "error", err)
		}
	})
	n.log.Info("dashboard", "listen", n.dashboard.Addr().String())
}

// knowSessions makes those regulars who have signed in before the node started.
func (n *Node) knowSessions(ctx context.Context, sources *admin.Sources) {
	sessions, err := n.plane.BrowserSessions(ctx)
	if err != nil {
		return // they have to get in among others
	}
	for _, s := range sessions {
		if from, err := netip.ParseAddr(s.From); err == nil {
			sources.Know(from, s.Last)
		}
	}
}
