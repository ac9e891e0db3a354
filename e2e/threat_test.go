package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/threat"
	"mtguard/e2e/client"
	"mtguard/tgsim"
)

// at is a way to connect for somebody whose address a balancer tells.
type at string

func (a at) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return dialWith(dialFrom(listed), headerV1(string(a)))(ctx, network, addr)
}

// attack goes through the probes from one address until ctx ends.
func attack(ctx context.Context, n *node, from string) {
	target := tgsim.Target{Addr: n.addr, Secret: alice, Domain: coverName, Dialer: at(from), Wait: 20 * time.Millisecond}
	var probes []tgsim.Probe
	for _, p := range tgsim.Probes() {
		if slices.Contains([]string{"wrong-secret", "wrong-name", "garbage-517", "clock-behind"}, p.Name) {
			probes = append(probes, p)
		}
	}
	for i := 0; ctx.Err() == nil; i++ {
		probes[i%len(probes)].Run(ctx, target) // what a prober sees is told elsewhere
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// visits counts how long each visit of a good client takes until ctx ends.
func visits(ctx context.Context, t *testing.T, r client.Route) (took []time.Duration) {
	for ctx.Err() == nil {
		begin := time.Now()
		if err := knock(bounded(t, patience), r, 2); err != nil {
			t.Errorf("visit %d of the good client: %v", len(took), err)
			return took
		}
		took = append(took, time.Since(begin))
	}
	return took
}

func p99(took []time.Duration) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

func (n *node) threat() threat.Standing {
	n.t.Helper()
	report, err := n.api.Threat(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return report
}

// blocks are the blocks that the node has made by itself.
func (n *node) blocks() []control.RuleInfo {
	n.t.Helper()
	rules, _, err := n.api.Rules(n.t.Context(), control.RuleFilter{Source: "automatic", Limit: 500})
	if err != nil {
		n.t.Fatal(err)
	}
	return rules
}

// TestAttackersAreBlockedWhileAGoodClientGoesOn: 80 addresses scan at once; each is blocked, by a rule that ends, and nobody else is.
func TestAttackersAreBlockedWhileAGoodClientGoesOn(t *testing.T) {
	const attackers = 80
	tele := telegram(t, 2)
	s := enforcing(behindBalancer(t, coverSite(t).addr, tele), "threat.block")
	n := start(t, s)
	good := way(t, n.addr, fakeTLSSecret, dialWith(dialFrom(listed), headerV1("203.0.113.9")))
	calm, over := context.WithTimeout(t.Context(), 2*time.Second)
	before := visits(calm, t, good)
	over()

	storm, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	var wg sync.WaitGroup
	for i := range attackers {
		wg.Go(func() { attack(storm, n, fmt.Sprintf("198.18.%d.1", i)) })
	}
	var during []time.Duration
	wg.Go(func() { during = visits(storm, t, good) })
	began := time.Now()
	n.await("all attackers to be blocked", func() bool { return len(n.blocks()) >= attackers })
	t.Logf("all are blocked after %v", time.Since(began).Round(time.Millisecond))
	end()
	wg.Wait()

	report := n.threat()
	t.Logf("%d blocks: in force %v after the decision at p99, %.1f ms in the mean; the good client's visits took %v at p99 before (%d) and %v during the attack (%d)",
		report.Blocked, time.Duration(report.BlockP99Micros)*time.Microsecond, report.BlockMicros/1000, p99(before).Round(time.Millisecond), len(before),
		p99(during).Round(time.Millisecond), len(during))
	if slowest := time.Duration(report.BlockMaxMicros) * time.Microsecond; slowest > 5*time.Second || report.Failed > 0 {
		t.Errorf("a block was in force after %v, %d never were", slowest, report.Failed)
	}
	rules := n.blocks()
	if len(rules) != attackers {
		t.Errorf("%d automatic rules, want %d", len(rules), attackers)
	}
	for _, r := range rules {
		if r.Until == nil || r.Reason == "" || r.By != "threat" || r.Match == "203.0.113.9" {
			t.Errorf("rule %+v", r)
		}
	}
	refused(t, way(t, n.addr, fakeTLSSecret, dialWith(dialFrom(listed), headerV1("198.18.3.1"))), 2)
	served(t, way(t, n.addr, fakeTLSSecret, dialWith(dialFrom(listed), headerV1("198.18.3.2"))), 2)
	incidents, _, err := n.api.Incidents(t.Context(), control.IncidentFilter{State: "open", Limit: 500})
	if err != nil || len(incidents) == 0 {
		t.Errorf("%d incidents, %v", len(incidents), err)
	}
}

// TestAnAttackerCannotHaveAUserCutOff whose address he shares: its session goes on and new ones begin, all the time.
func TestAnAttackerCannotHaveAUserCutOff(t *testing.T) {
	const shared = "198.51.100.77"
	tele := telegram(t, 2)
	n := start(t, enforcing(behindBalancer(t, coverSite(t).addr, tele), "threat.block"))
	user := way(t, n.addr, fakeTLSSecret, dialWith(dialFrom(listed), headerV1(shared)))
	served(t, user, 2)
	storm, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { attack(storm, n, shared) })
	}
	wg.Go(func() { attack(storm, n, "198.51.100.78") }) // for comparison
	var visited []time.Duration
	wg.Go(func() { visited = visits(storm, t, user) })
	stayed := client.Connect(storm, user, tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
		begin := time.Now()
		for n.threat().Spared["shared"] < 5 || len(n.blocks()) < 1 {
			if time.Since(begin) > patience {
				return fmt.Errorf("after %v the attack is not found: %+v", patience, n.threat())
			}
			if err := echo(ctx, c, 1000); err != nil {
				return err
			}
		}
		return echo(ctx, c, 1000)
	})
	if stayed != nil {
		t.Errorf("the user's session: %v", stayed)
	}
	end()
	wg.Wait()
	report := n.threat()
	t.Logf("%d visits of the user during the attack; spared %v, throttled %d, blocked %d", len(visited), report.Spared, report.Throttled, report.Blocked)
	if rules := n.blocks(); len(rules) != 1 || rules[0].Match != "198.51.100.78" || len(visited) < 10 {
		t.Errorf("rules %+v; %d visits", rules, len(visited))
	}
	served(t, user, 2)
}
