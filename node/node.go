// Package node puts the wings together: it builds a proxy from a configuration,
// runs it, reloads it and drains it. It is the only package that knows them
// all, and holds no logic of theirs.
//
//	n, err := node.New(node.Options{Load: load, Log: log})
//	err = n.Run(ctx) // until ctx ends and connections are drained
//
// wire.go lists every part; state.go opens what outlives the process; compile.go
// turns the file into its part of a policy snapshot; manage.go and pages.go open
// the listeners for the people who run the node and for those it is run for.
package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/alert"
	"mtguard/control/preview"
	"mtguard/control/threat"
	"mtguard/mtproto"
	"mtguard/proxy"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/proxy/relay"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/live"
	"mtguard/telemetry/stats"
)

// Options says what a node is made from.
type Options struct {
	// Load returns the validated configuration, flags included. It is called
	// by New and again by every Reload.
	Load func() (*config.File, error)
	Log  *slog.Logger
	// Ready, if set, is called once the node serves.
	Ready func(*Node)
	// AuditAfter is how long after its start the node audits itself at the earliest; 0
	// is two minutes.
	AuditAfter time.Duration
	// Lookup asks for the addresses of a host, for audits; nil asks the system.
	Lookup Lookup
	// Demo says that everybody the node meets is simulated. It works as any other, and
	// says so to whoever asks for its status.
	Demo bool
}

// Node is a running proxy.
type Node struct {
	options    Options
	log        *slog.Logger
	dir        *statedir.Dir
	state      *state
	plane      *control.Plane
	alerts     *alert.Manager
	live       policy.Live
	seed       [16]byte // of every snapshot
	lowered    int      // what affordable came to last
	started    time.Time
	server     *proxy.Server
	stages     guard.Stages
	accepts    *guard.AcceptRate
	failures   *guard.FailureRate
	cover      *proxy.Cover
	engine     relay.Engine
	auth       *auth.Authenticator
	memory     *replayMemory
	offences   *offences
	watcher    *watcher
	recorder   *preview.Recorder // nil when it could not be opened
	sessions   auth.Sessions
	stats      stats.Counters
	bus        *event.Bus
	guesses    [2]stats.Counter // at the admin socket, at pages
	totals     *totals
	chronicle  *chronicle // nil when its file could not be opened
	serving    atomic.Bool
	pressure   pressure
	load24     loadWatch
	suspects   *guard.Suspects
	threat     *threat.Engine
	events     *live.Hub
	hide       func(netip.Addr) string // as log.address says
	usedBefore map[string]time.Time    // secrets, at the start; read only

	listeners []net.Listener
	metrics   net.Listener  // nil when off
	admin     *admin.Socket // nil when off
	pages     net.Listener  // nil when off
	dashboard net.Listener  // nil when off

	reloading sync.Mutex // held by Reload
	mu        sync.Mutex // guards file and refused
	file      *config.File
	refused   string // why the last reload was
}

// New builds the node and opens its listeners, without serving yet. The error
// says what to do about it.
func New(o Options) (*Node, error) {
	n := &Node{options: o, log: o.Log, bus: event.NewBus(), started: time.Now()}
	file, err := o.Load()
	if err != nil {
		return nil, err
	}
	if n.dir, err = statedir.Open(file.State.Dir, file.Explicit("state.dir")); err != nil {
		return nil, err
	}
	if note := n.dir.Note(); note != "" {
		n.log.Info(note)
	}
	n.file, n.hide, n.events = file, hider(file.Log.Address), live.NewHub(live.Options{})
	if n.state, err = openState(context.Background(), n.dir, file.State.MasterKeyFile, n.log); err != nil {
		return nil, err
	}
	if err := n.build(file); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// build makes what stands on the open store.
func (n *Node) build(file *config.File) (err error) {
	n.watcher = newWatcher(Files(n.dir), n.bus, n.log)
	if n.alerts, err = n.newAlerts(); err != nil {
		return err
	}
	n.newThreat()
	if n.plane, err = n.newPlane(); err != nil {
		return err
	}
	n.watcher.checker.Bulletin = n.plane.TakeFetchedBulletin
	n.seed = lots(n.plane.Pseudonyms())
	if _, err := n.load(file); err != nil {
		return err
	}
	n.noteLastUses()
	n.openRecorder(file)
	n.stats.Reload(true, time.Now())
	if n.engine, err = relay.New(relay.Kind(file.Proxy.Engine)); err != nil {
		return err
	}
	n.wire(file)
	n.openTotals()
	n.openHistory()
	return n.listen(file)
}

// lots makes the seed by which the share of a rollout is drawn. It is the same
// after a restart, so that the share is.
func lots(key [32]byte) (seed [16]byte) {
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte("mtguard rollout share"))
	copy(seed[:], h.Sum(nil))
	return seed
}

// load puts a file in force: its part of policy, and the users it declares.
func (n *Node) load(file *config.File) (ended int, err error) {
	base, err := n.compile(file)
	if err != nil {
		return 0, err
	}
	users, err := declared(file)
	if err != nil {
		return 0, err
	}
	first, err := formerSecret(n.dir)
	if err != nil {
		return 0, err
	}
	values, err := layer(file)
	if err != nil {
		return 0, err
	}
	where, err := geo(file)
	if err != nil {
		return 0, err
	}
	ask, err := sources(&file.Advisory)
	if err != nil {
		return 0, err
	}
	alerts, err := alertConfig(file)
	if err != nil {
		return 0, err
	}
	ended, err = n.plane.Load(context.Background(), control.File{
		Base: *base, Policy: values, Trusted: file.Access.Trusted, Geo: where, BulletinKey: file.Advisory.BulletinKey, Users: users, First: first,
		TwoPerson: file.Admin.TwoPerson,
	})
	if err != nil {
		return 0, err
	}
	n.watcher.load(ask, file.Advisory.Every)
	if err := n.alerts.Configure(context.Background(), alerts); err != nil {
		return ended, err
	}
	if first.ID() != "" && n.plane.Knows(first.ID()) {
		err = n.dir.RemoveDefaultSecret() // it is sealed in the store by now
	}
	return ended, err
}

// Close frees what New opened. Only for a node that was not Run.
func (n *Node) Close() {
	if n.engine != nil {
		n.engine.Close()
	}
	for _, l := range append(n.listeners, n.metrics, n.pages, n.dashboard) {
		if l != nil {
			l.Close()
		}
	}
	if n.admin != nil {
		n.admin.Close()
	}
	if n.recorder != nil {
		n.recorder.Close()
	}
	if n.chronicle != nil {
		n.chronicle.h.Close()
	}
	if err := n.state.store.Close(); err != nil {
		n.log.Error("store", "error", err)
	}
}

// File is the configuration in force, with every user's secret in it.
func (n *Node) File() *config.File {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.file
}

// Listening are the addresses that clients are served at.
func (n *Node) Listening() []netip.AddrPort {
	var all []netip.AddrPort
	for _, l := range n.listeners {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			all = append(all, a.AddrPort())
		}
	}
	return all
}

// Dir is the state directory.
func (n *Node) Dir() *statedir.Dir { return n.dir }

// Run serves until ctx ends, then drains: listeners are closed, connections
// get the drain time-out to end by themselves, and the rest is ended.
func (n *Node) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.Background())
	defer stop()
	var work sync.WaitGroup
	events := n.bus.Subscribe("log", logDepth)
	work.Go(func() { n.writeLog(events) })
	work.Go(func() { n.cover.Run(background) })
	work.Go(func() { tidy(background) })
	work.Go(func() { n.memory.run(background) })
	work.Go(func() { n.totals.run(background) })
	work.Go(func() { n.plane.Run(background) })
	work.Go(func() { n.watcher.run(background) })
	work.Go(func() { n.alerts.Run(background) })
	work.Go(func() { n.watchPressure(background) })
	work.Go(func() { n.watchLoad(background) })
	work.Go(func() { n.plane.RunAudits(background) })
	n.record(background, &work)
	if n.chronicle != nil {
		work.Go(func() { n.chronicle.run(background) })
	}
	n.guardThreats(background, &work)
	n.feed(background, &work)
	work.Go(func() { n.offences.run(background) })
	api := admin.NewAPI(n.plane, n.log)
	n.serveManagement(background, &work, api)
	n.serveDashboard(background, &work, api)
	n.servePages(background, &work)
	web := &http.Server{Handler: n.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	if n.metrics != nil {
		work.Go(func() { web.Serve(n.metrics) })
	}
	failed := make(chan error, len(n.listeners))
	var serving sync.WaitGroup
	n.serving.Store(true) // before anybody is served who could see that it is not
	for _, l := range n.listeners {
		serving.Go(func() { failed <- n.server.Serve(l) })
	}
	n.log.Info("serving", "listen", fmt.Sprint(n.Listening()), "transports", fmt.Sprint(n.File().Proxy.Transports), "keys", n.live.Load().Keys.Accepted())
	if s := n.live.Load(); s.Transports[mtproto.FakeTLS] && s.Cover.Address == "" {
		n.log.Warn("no cover site: strangers are read and never answered, which a prober can tell from a web site", "key", "cover.fall_back_to")
	}
	if n.options.Ready != nil {
		n.options.Ready(n)
	}
	notify("READY=1")
	work.Go(func() { watchdog(background) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	work.Go(n.memory.save) // whoever stops us may not let the drain end
	work.Go(n.offences.save)
	work.Go(n.totals.save)
	n.drain()
	serving.Wait()
	stop()
	web.Close()
	events.Close()
	work.Wait()
	n.totals.save() // when all connections have ended
	if errors.Is(err, proxy.ErrClosed) {
		err = nil
	}
	return errors.Join(err, n.state.store.Close())
}

func (n *Node) drain() {
	notify("STOPPING=1")
	n.serving.Store(false)
	timeout := n.File().Proxy.DrainTimeout
	n.log.Info("draining", "sessions", n.stats.Sessions.Load(), "timeout", timeout.String())
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	n.server.Shutdown(ctx)
}

// Reload reads the configuration again and puts it in force for connections
// accepted from now on. Sessions go on, except those of users who are gone. A user
// whose secret changed has the old one for the overlap of the schedule.
// On an error everything stays as it was.
func (n *Node) Reload() error {
	notify(reloading())
	defer notify("READY=1")
	started := time.Now()
	err := n.reload()
	n.stats.Reload(err == nil, time.Now())
	e := event.Event{Time: started, Kind: event.Reload, Took: time.Since(started)}
	n.mu.Lock()
	n.refused = ""
	if err != nil {
		n.refused = err.Error()
	}
	n.mu.Unlock()
	if err != nil {
		e.Reason = "refused"
		n.log.Error("reload refused, the old configuration stays in force", "error", err)
	}
	n.bus.Emit(e)
	return err
}

func (n *Node) reload() error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	file, err := n.options.Load()
	if err != nil {
		return err
	}
	ended, err := n.load(file)
	if err != nil {
		return err
	}
	n.cover.Refresh()
	snapshot := n.live.Load()
	n.log.Info("reloaded", "revision", snapshot.Revision, "keys", snapshot.Keys.Accepted(), "sessions_ended", ended)
	for _, key := range fixed(n.File(), file) {
		n.log.Warn("this change needs a restart", "key", key)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.file = file
	return nil
}

// fixed names the keys that differ between two files and are read at start
// only.
func fixed(old, fresh *config.File) (keys []string) {
	note := func(key string, was, is any) {
		if fmt.Sprint(was) != fmt.Sprint(is) {
			keys = append(keys, key)
		}
	}
	note("proxy.listen", old.Proxy.Listen, fresh.Proxy.Listen)
	note("proxy.engine", old.Proxy.Engine, fresh.Proxy.Engine)
	note("metrics.listen", old.Metrics.Listen, fresh.Metrics.Listen)
	note("state", old.State, fresh.State)
	was, is := old.Admin, fresh.Admin
	was.TwoPerson, is.TwoPerson = nil, nil
	note("admin", was, is)
	note("pages.listen", old.Pages.Listen, fresh.Pages.Listen)
	note("pages.cert_file", old.Pages.CertFile, fresh.Pages.CertFile)
	note("pages.key_file", old.Pages.KeyFile, fresh.Pages.KeyFile)
	note("log", old.Log, fresh.Log)
	return keys
}
