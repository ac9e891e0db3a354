package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/tgsim"
)

// Beside the users and attackers whose every act is a line there is a crowd, so that the numbers look like those of a node, and now and
// then an attack that the detectors should find. Both come through a balancer of the demonstration's own, which says that they are from
// addresses of documentation and of benchmarks (RFC 5737, RFC 2544): loopback is never suspected of anything.

const (
	// demoBalancer is where the crowd and the attacks really come from.
	demoBalancer = "127.0.98.1"
	// demoMostCrowd bounds the crowd: each has a connection most of the time, at both ends.
	demoMostCrowd = 2000
	// demoCrowdRate is how many acts a second each of the crowd makes.
	demoCrowdRate = 0.1
	// demoCrowdBytes is the most that one act of the crowd moves.
	demoCrowdBytes = 64 << 10
	// demoFirstAttack is when the first attack comes, demoAttackEvery after how long the next.
	demoFirstAttack = 3 * time.Second
	demoAttackEvery = time.Minute
)

// demoAttack is an attack that a detector should find.
type demoAttack struct {
	name, about, detector string
	run                   func(*demoWorld, context.Context, int)
}

var demoAttacks = []demoAttack{
	{"scan", "somebody tries what he knows about proxies", "probe_scan", (*demoWorld).scan},
	{"replay", "somebody sends hellos again that he has recorded", "replay", (*demoWorld).replay},
	{"flood", "somebody opens connection after connection", "connection_flood", (*demoWorld).flood},
	{"leak", "a secret is used from two dozen networks", "key_fanout", (*demoWorld).leak},
}

func demoAttackNames() (names []string) {
	for _, a := range demoAttacks {
		names = append(names, a.name)
	}
	return names
}

// demoCrowd counts what the crowd does.
type demoCrowd struct {
	acts, failed atomic.Int64
	last         atomic.Pointer[error]
}

// balanced is a way to connect through the balancer, as from an address.
type balanced struct{ as netip.Addr }

func (b balanced) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(demoBalancer)}}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(c, "PROXY TCP4 %s 192.0.2.1 40000 443\r\n", b.as); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// as is a way to connect as from an address, where this machine has more than one of its own.
func (w *demoWorld) as(address netip.Addr) tgsim.Dialer {
	if !w.own {
		return &net.Dialer{}
	}
	return balanced{address}
}

// crowdAddr is where one of the crowd is.
func crowdAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18 + byte(i>>16&1), byte(i >> 8), byte(i)})
}

// crowd lets everybody live who has no line, until ctx ends.
func (w *demoWorld) crowd(ctx context.Context) {
	mix := tgsim.Mix{Rate: demoCrowdRate, Transfer: demoCrowdBytes}
	for i, u := range w.others {
		mix.People = append(mix.People, tgsim.Person{Name: u.name, Client: tgsim.Client{
			Proxy: w.proxy(), Secret: u.key, Transport: u.transport, Domain: demoDomain, DC: u.dc, Dialer: w.as(crowdAddr(i)),
			Timeout: 20 * time.Second, InitAlone: true,
		}})
	}
	mix.Run(ctx, func(h tgsim.Happening) {
		if w.acted.acts.Add(1); !h.OK {
			w.acted.failed.Add(1)
			err := fmt.Errorf("%s, %s: %w", h.Who, h.What, h.Err)
			w.acted.last.Store(&err)
		}
	})
}

// attacks makes an attack now and then until ctx ends; tell says which comes.
func (w *demoWorld) attacks(ctx context.Context, tell func(demoAttack, int)) {
	timer := time.NewTimer(demoFirstAttack)
	defer timer.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(demoAttackEvery)
		for i, a := range demoAttacks {
			if w.options.attack == a.name || w.options.attack == "" && n%len(demoAttacks) == i {
				tell(a, n)
				a.run(w, ctx, n)
			}
		}
	}
}

// attacker is where the attack with that number comes from.
func attackerAddr(n int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + n%200)}) }

// probe tries one thing as from an address.
func (w *demoWorld) probe(ctx context.Context, name string, as netip.Addr, wait time.Duration) {
	target := w.target(w.proxy())
	target.Dialer, target.Wait = w.as(as), wait
	w.probes[name].Run(ctx, target)
}

func (w *demoWorld) scan(ctx context.Context, n int) {
	for range 4 {
		for _, name := range []string{"wrong-secret", "wrong-name", "garbage-517", "clock-behind"} {
			w.probe(ctx, name, attackerAddr(n), 50*time.Millisecond)
		}
	}
}

func (w *demoWorld) replay(ctx context.Context, n int) {
	for i := range 6 {
		w.probe(ctx, "replay", attackerAddr(n+i/2), 50*time.Millisecond)
	}
}

func (w *demoWorld) flood(ctx context.Context, n int) {
	const connections, abreast = 160, 8
	var all sync.WaitGroup
	for range abreast {
		all.Go(func() {
			for range connections / abreast {
				w.probe(ctx, "garbage-517", attackerAddr(n), 10*time.Millisecond)
			}
		})
	}
	all.Wait()
}

func (w *demoWorld) leak(ctx context.Context, n int) {
	for i := range 24 {
		client := tgsim.Client{
			Proxy: w.proxy(), Secret: w.tapped.key, Transport: w.tapped.transport, Domain: demoDomain, DC: w.tapped.dc,
			Dialer: w.as(netip.AddrFrom4([4]byte{198, 19, byte(128 + i), byte(1 + n%250)})), Timeout: 5 * time.Second,
		}
		if conn, err := client.Dial(ctx); err == nil {
			conn.Ping([]byte("it works"))
			conn.Close()
		}
	}
}

// incidents are what the node has found, asked for as anybody would.
func (w *demoWorld) incidents(ctx context.Context) ([]control.IncidentInfo, error) {
	if w.node.AdminSocket() == "" {
		return nil, nil // its path was too long for a socket
	}
	client := admin.NewClient(w.node.AdminSocket(), patience)
	defer client.Close()
	items, _, err := client.Incidents(ctx, control.IncidentFilter{Limit: 50})
	return items, err
}
