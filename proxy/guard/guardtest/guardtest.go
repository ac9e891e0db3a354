// Package guardtest verifies the promises that every guard.Check makes, so that a new check needs tests only for what it judges.
//
//	func TestPromises(t *testing.T) { guardtest.Run(t, mycheck.New()) }
//
// It proves nothing about the verdicts themselves. It is for tests only.
package guardtest

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"mtguard/mtproto"
	"mtguard/proxy/guard"
	"mtguard/security/policy"
)

// Run fails t unless check keeps its promises: a stable name that is not empty, no panic on any Conn (the zero one included), verdicts
// that a Pipeline can act on, no allocation when it allows, no change of the Conn, and, under the race detector, safety for concurrent use.
func Run(t *testing.T, check guard.Check) {
	t.Helper()
	for _, problem := range inspect(check) {
		t.Error(problem)
	}
}

// inspect returns the broken promises, so that the suite can be tested with checks that break them.
func inspect(check guard.Check) (problems []string) {
	name := check.Name()
	if name == "" {
		problems = append(problems, "name: empty")
	}
	for c := range conns() {
		before := *c
		v, panicked := judge(check, c)
		if panicked != nil {
			problems = append(problems, fmt.Sprintf("%s: panic on %s: %v", name, describe(&before), panicked))
			continue
		}
		if *c != before {
			problems = append(problems, fmt.Sprintf("%s: changed the connection: %s became %s", name, describe(&before), describe(c)))
		}
		problems = append(problems, inspectVerdict(name, v)...)
		if v.Action == guard.Allow {
			problems = append(problems, inspectAllocations(check, c)...)
		}
	}
	problems = append(problems, concurrently(check)...)
	if again := check.Name(); again != name {
		problems = append(problems, fmt.Sprintf("name: first %q, later %q", name, again))
	}
	return problems
}

func inspectVerdict(name string, v guard.Verdict) (problems []string) {
	if v.Action > guard.Mask {
		problems = append(problems, fmt.Sprintf("%s: unknown %v", name, v.Action))
	}
	if v.Action != guard.Allow && v.Reason == "" {
		problems = append(problems, fmt.Sprintf("%s: %v without a reason", name, v.Action))
	}
	if v.Action == guard.Deny && !policy.MemoryBound(name) {
		problems = append(problems, name+": denies, which only memory bounds may")
	}
	if v.RetryAfter < 0 {
		problems = append(problems, fmt.Sprintf("%s: retry after %v", name, v.RetryAfter))
	}
	return problems
}

// inspectAllocations judges c again and again. A check that counts may come to refuse meanwhile; then the measurement says nothing and is
// left out, since only an allowed connection is common enough for its garbage to matter.
func inspectAllocations(check guard.Check, c *guard.Conn) []string {
	const runs = 20
	refused := false
	allocs := testing.AllocsPerRun(runs, func() {
		if check.Check(c).Action != guard.Allow {
			refused = true
		}
	})
	if allocs == 0 || refused {
		return nil
	}
	return []string{fmt.Sprintf("%s: %v allocations to allow %s", check.Name(), allocs, describe(c))}
}

// concurrently has several goroutines judge at once. What it finds by itself are panics; unsafe sharing is for the race detector to see.
func concurrently(check guard.Check) (problems []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				for c := range conns() {
					_, panicked := judge(check, c)
					if panicked == nil {
						continue
					}
					mu.Lock()
					problems = append(problems, fmt.Sprintf("%s: panic under concurrent use: %v", check.Name(), panicked))
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return problems
}

func judge(check guard.Check, c *guard.Conn) (v guard.Verdict, panicked any) {
	defer func() { panicked = recover() }()
	return check.Check(c), nil
}

func describe(c *guard.Conn) string {
	return fmt.Sprintf("a connection from %v, %d open, user %q, policy %v", c.Addr, c.Open, c.User, c.Policy != nil)
}

// conns yields connections of every kind a server may present, each one new.
func conns() func(yield func(*guard.Conn) bool) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	strict := &policy.Snapshot{Revision: 1, Limits: policy.Limits{MaxConnections: 1, HalfOpen: 1, ConnectionsPerAddress: 1}}
	roomy := &policy.Snapshot{Revision: 2, Limits: policy.Limits{MaxConnections: 1 << 20, HalfOpen: 1 << 20, ConnectionsPerAddress: 1 << 20}}
	roomy.Limits.NewPerPrefix.Events, roomy.Limits.NewPerPrefix.Per = 1<<20, time.Second
	strict.Limits.NewPerPrefix.Events, strict.Limits.NewPerPrefix.Per = 1, time.Hour
	addrs := []netip.AddrPort{
		{},
		netip.MustParseAddrPort("192.0.2.7:40001"),
		netip.MustParseAddrPort("[::ffff:192.0.2.7]:40001"),
		netip.MustParseAddrPort("[2001:db8:1:2::3]:40001"),
		netip.MustParseAddrPort("[fe80::1%eth0]:40001"),
	}
	return func(yield func(*guard.Conn) bool) {
		for _, p := range []*policy.Snapshot{nil, {}, roomy, strict} {
			for i, a := range addrs {
				c := &guard.Conn{Addr: a, Policy: p}
				if i > 0 {
					c.ID, c.At, c.Open, c.HalfOpen, c.FromAddr = uint64(i), at, 2, 2, 2
				}
				if !yield(c) {
					return
				}
				known := *c
				known.User, known.Key, known.Transport, known.DC = "alice", "0123456789abcdef", mtproto.FakeTLS, -2
				if !yield(&known) {
					return
				}
			}
		}
	}
}
