package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mtguard/config"
	"mtguard/node"
	"mtguard/node/links"
	"mtguard/telemetry/event"
	"mtguard/tgsim"
)

const (
	demoDomain = "site.test" // short: the link fits into a line
	demoDCs    = 5
	// demoTapped is the user whose sessions the attackers have recorded.
	demoTapped = "tapped"
	// demoRate is low, so that its control has something to say.
	demoRate = "6/m burst 4"
)

// demoUser is somebody with a link.
type demoUser struct {
	name      string
	key       []byte
	transport tgsim.Transport
	dc        int // as on the wire
}

// demoWorld is everything that runs. It is closed exactly once.
type demoWorld struct {
	options demoOptions
	users   []demoUser
	tapped  demoUser
	others  []demoUser // without lines
	acted   demoCrowd  // by them
	dcs     []*tgsim.DC
	site    *tgsim.Cover
	dir     string
	node    *node.Node
	events  *event.Subscription
	link    string
	signIn  string // address that opens the dashboard, once

	handshake, wait time.Duration // time-out of the node; how long an attacker waits
	own             bool          // everybody has an address of his own
	probes          map[string]tgsim.Probe

	mu     sync.Mutex
	siteOf map[string]tgsim.Observed // what a kind of attack gets from the site itself
	tasks  sync.WaitGroup            // asks of the site; live has ended when it is waited for

	halt func()
	done chan error
}

func newDemoWorld(o demoOptions, stderr io.Writer) (w *demoWorld, err error) {
	w = &demoWorld{options: o, handshake: 2 * time.Second, probes: make(map[string]tgsim.Probe), siteOf: make(map[string]tgsim.Observed)}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if o.length > 0 && o.length < 12*time.Second {
		w.handshake = time.Second
	}
	w.wait = w.handshake + 500*time.Millisecond
	for _, p := range tgsim.Probes() {
		w.probes[p.Name] = p
	}
	w.people()
	for number := 1; number <= demoDCs; number++ {
		dc, err := tgsim.StartDC(context.Background(), tgsim.DCConfig{Number: number})
		if err != nil {
			return w, err
		}
		w.dcs = append(w.dcs, dc)
	}
	if w.site, err = tgsim.StartCover(context.Background(), tgsim.CoverConfig{Domain: demoDomain}); err != nil {
		return w, err
	}
	if w.dir, err = os.MkdirTemp("", "mtguard-demo-"); err != nil {
		return w, err
	}
	return w, w.startNode(stderr)
}

// demoNames are the users' first names; further users have numbers.
var demoNames = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy"}

// demoHabits are the ways of connecting, in turn.
var demoHabits = []struct {
	transport tgsim.Transport
	dc        int
}{
	{tgsim.FakeTLS, 2}, {tgsim.Secure, 4}, {tgsim.ClassicIntermediate, 1}, {tgsim.FakeTLS, -4}, {tgsim.ClassicAbridged, 5}, {tgsim.FakeTLS, 3},
}

func (w *demoWorld) people() {
	for i := range w.options.users {
		name := fmt.Sprintf("user-%d", i+1)
		if i < len(demoNames) {
			name = demoNames[i]
		}
		habit := demoHabits[i%len(demoHabits)]
		w.users = append(w.users, demoUser{name, demoKey(), habit.transport, habit.dc})
	}
	for i := range w.options.crowd {
		habit := demoHabits[i%len(demoHabits)]
		w.others = append(w.others, demoUser{fmt.Sprintf("guest-%d", i+1), demoKey(), habit.transport, habit.dc})
	}
	w.tapped = demoUser{demoTapped, demoKey(), tgsim.FakeTLS, 2}
}

func demoKey() []byte {
	key := make([]byte, 16)
	rand.Read(key)
	return key
}

func (w *demoWorld) startNode(stderr io.Writer) error {
	file, err := config.Parse("demo", []byte(w.configuration()))
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	w.node, err = node.New(node.Options{
		Load: func() (*config.File, error) { return file, nil },
		// Warnings about attackers are what the lines on the screen are about.
		Log:   slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Ready: func(*node.Node) { close(ready) },
		Demo:  true,
	})
	if err != nil {
		return err
	}
	w.events = w.node.Subscribe("demo", 1<<14)
	ctx, halt := context.WithCancel(context.Background())
	w.halt, w.done = halt, make(chan error, 1)
	go func() { w.done <- w.node.Run(ctx) }()
	<-ready
	if l, err := net.Listen("tcp", "127.0.66.1:0"); err == nil {
		w.own = true
		l.Close()
	}
	if w.signIn, err = w.node.SignIn(ctx, "demo"); err != nil {
		return err
	}
	return w.makeLink(file)
}

// configuration is what an operator would have written.
func (w *demoWorld) configuration() string {
	var b strings.Builder
	fmt.Fprintf(&b, `[proxy]
listen = ["127.0.0.1:0"]
transports = ["faketls", "secure", "classic"]
handshake_timeout = %q
drain_timeout = "500ms"
proxy_protocol_from = ["%s/32"]
[cover]
domains = [%q]
fall_back_to = %q
[limits]
new_per_prefix = %q
[metrics]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[state]
dir = %q
`, w.handshake.String(), demoBalancer, demoDomain, w.site.Addr(), demoRate, w.dir)
	for _, u := range slices.Concat(w.users, []demoUser{w.tapped}, w.others) {
		fmt.Fprintf(&b, "[[user]]\nname = %q\nsecret = %q\n", u.name, hex.EncodeToString(u.key))
	}
	// Every number a client may ask for without the mark of a test leads to us.
	fmt.Fprintf(&b, "[upstream.dc]\n203 = [%q]\n", w.dcs[1].Addr())
	for i, dc := range w.dcs {
		fmt.Fprintf(&b, "%d = [%q]\n", i+1, dc.Addr())
	}
	return b.String()
}

func (w *demoWorld) makeLink(file *config.File) error {
	copied := *file // a copy: the node's own is read by others
	copied.Proxy.Listen = []string{w.proxy()}
	list, err := links.Keys(&copied, nil)
	if err != nil {
		return err
	}
	at, err := links.Locate(copied.Proxy.PublicAddress, copied.Proxy.Listen)
	if err != nil {
		return err
	}
	items, err := links.All(list[:1], copied.Proxy.Transports, demoDomain, at)
	if err == nil {
		w.link = items[0].TG
	}
	return err
}

func (w *demoWorld) proxy() string { return w.node.Listening()[0].String() }

// stop ends the node. All its events are then in the subscription, which is closed.
func (w *demoWorld) stop() error {
	if w.halt == nil {
		return nil
	}
	w.halt()
	w.halt = nil
	err := <-w.done
	w.events.Close()
	return err
}

func (w *demoWorld) close() error {
	err := w.stop()
	w.tasks.Wait()
	for _, dc := range w.dcs {
		err = errors.Join(err, dc.Close())
	}
	if w.site != nil {
		err = errors.Join(err, w.site.Close())
	}
	if w.dir != "" {
		err = errors.Join(err, os.RemoveAll(w.dir))
	}
	return err
}

// Users and attackers come from addresses of their own, so that the node's word on a
// connection can be joined with what its other end saw. Where loopback is one address only,
// the node's reasons are left out.

// addressOf is where somebody comes from, if he alone does.
func (w *demoWorld) addressOf(who string) (netip.Addr, bool) {
	number, err := strconv.Atoi(strings.TrimPrefix(who, "attacker-"))
	if err == nil {
		return netip.AddrFrom4([4]byte{127, 0, 66, byte(number)}), w.own
	}
	i := slices.IndexFunc(w.users, func(u demoUser) bool { return u.name == who })
	return netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + i)}), w.own && i >= 0
}

func (w *demoWorld) dialer(who string) tgsim.Dialer {
	from, own := w.addressOf(who)
	if !own {
		return &net.Dialer{}
	}
	return &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
}

// live lets people do what they do until ctx ends.
func (w *demoWorld) live(ctx context.Context, report func(tgsim.Happening)) {
	var all sync.WaitGroup
	for i, u := range w.users {
		mix := tgsim.Mix{
			People: []tgsim.Person{{Name: u.name, Client: tgsim.Client{
				Proxy: w.proxy(), Secret: u.key, Transport: u.transport, Domain: demoDomain, DC: u.dc,
				Dialer: w.dialer(u.name), Timeout: 10 * time.Second,
				InitAlone: true, // the first request may be later than the hand-shake time-out
			}}},
			Rate: w.pace(1/float64(1+i%4) + 0.1),
		}
		all.Go(func() { mix.Run(ctx, report) })
	}
	if w.options.attackers > 0 {
		w.meetSite(ctx)
		mix := tgsim.Mix{
			Attackers: w.options.attackers, Probes: tgsim.Probes(), Target: w.target(w.proxy()), Rate: w.pace(1),
			Dialer: w.dialer,
		}
		all.Go(func() { mix.Run(ctx, report) })
	}
	all.Wait()
}

// pace raises a rate where the time is short.
func (w *demoWorld) pace(rate float64) float64 {
	if w.options.length == 0 {
		return rate
	}
	return max(rate, min(6/w.options.length.Seconds(), 4))
}

func (w *demoWorld) target(addr string) tgsim.Target {
	return tgsim.Target{Addr: addr, Secret: w.tapped.key, Domain: demoDomain, DC: w.tapped.dc, Wait: w.wait}
}

// meetSite learns what each kind of attack gets from the web site without a proxy before it.
func (w *demoWorld) meetSite(ctx context.Context) {
	for _, p := range w.probes {
		if !p.Served && !isReplay(p.Name) {
			w.askSite(ctx, p.Name, p)
		}
	}
}

// askSite is for meetSite, and for replays once there is something to replay.
func (w *demoWorld) askSite(ctx context.Context, kind string, p tgsim.Probe) {
	w.tasks.Go(func() {
		if o, err := p.Run(ctx, w.target(w.site.Addr())); err == nil {
			w.siteSaid(kind, o)
		}
	})
}

func (w *demoWorld) siteSaid(kind string, o tgsim.Observed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.siteOf[kind] = o
}

func (w *demoWorld) fromSite(kind string) (tgsim.Observed, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, ok := w.siteOf[kind]
	return o, ok
}

func isReplay(kind string) bool { return strings.HasPrefix(kind, "replay") }
