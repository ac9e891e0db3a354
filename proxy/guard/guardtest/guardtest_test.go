package guardtest

import (
	"strings"
	"sync/atomic"
	"testing"

	"mtguard/proxy/guard"
	"mtguard/security/policy"
)

func TestBuiltInChecksKeepTheirPromises(t *testing.T) {
	for _, c := range []guard.Check{guard.TotalConnections{}, guard.PerAddress{}, guard.NewAcceptRate(1024)} {
		t.Run(c.Name(), func(t *testing.T) { Run(t, c) })
	}
}

// breaks is a check made of two functions.
type breaks struct {
	name  func() string
	check func(*guard.Conn) guard.Verdict
}

func (b breaks) Name() string                      { return b.name() }
func (b breaks) Check(c *guard.Conn) guard.Verdict { return b.check(c) }

func named(name string) func() string { return func() string { return name } }

func allow(*guard.Conn) guard.Verdict { return guard.Verdict{} }

// sink keeps what a check allocates from being optimised away.
var sink atomic.Pointer[guard.Conn]

// Each promise has a check that breaks it and nothing else, and is found out.
func TestBrokenPromisesAreFound(t *testing.T) {
	var calls atomic.Int64
	for _, c := range []struct {
		promise string
		check   breaks
		want    string
	}{
		{"a name", breaks{named(""), allow}, "name: empty"},
		{"a stable name", breaks{func() string { return strings.Repeat("x", int(calls.Add(1))) }, allow}, "name: first"},
		{"no panic without a policy", breaks{named("x"), func(c *guard.Conn) guard.Verdict {
			_ = c.Policy.Revision
			return guard.Verdict{}
		}}, "panic"},
		{"no panic under concurrent use", breaks{named("x"), func() func(*guard.Conn) guard.Verdict {
			var n atomic.Int64
			return func(*guard.Conn) guard.Verdict {
				if n.Add(1) > 10_000 { // only the concurrent part asks so often
					panic("worn out")
				}
				return guard.Verdict{}
			}
		}()}, "panic under concurrent use"},
		{"no allocation", breaks{named("x"), func(c *guard.Conn) guard.Verdict {
			copied := *c
			sink.Store(&copied)
			return guard.Verdict{}
		}}, "allocations to allow"},
		{"hands off the connection", breaks{named("x"), func(c *guard.Conn) guard.Verdict {
			c.Open = 77
			return guard.Verdict{}
		}}, "changed the connection"},
		{"a known action", breaks{named("x"), func(*guard.Conn) guard.Verdict { return guard.Verdict{Action: 9, Reason: "r"} }}, "unknown action(9)"},
		{"a reason", breaks{named("x"), func(*guard.Conn) guard.Verdict { return guard.Verdict{Action: guard.Mask} }}, "without a reason"},
		{"no closing", breaks{named("x"), func(*guard.Conn) guard.Verdict { return guard.Verdict{Action: guard.Deny, Reason: "r"} }}, "only memory bounds may"},
		{"time runs forward", breaks{named("x"), func(*guard.Conn) guard.Verdict {
			return guard.Verdict{Action: guard.Mask, Reason: "r", RetryAfter: -1}
		}}, "retry after"},
	} {
		if got := strings.Join(inspect(c.check), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: broken, and the suite said %q, want %q", c.promise, got, c.want)
		}
	}
}

func TestKeptPromisesAreNotReported(t *testing.T) {
	for _, c := range []breaks{
		{named("x"), allow},
		{named("x"), func(*guard.Conn) guard.Verdict { return guard.Verdict{Action: guard.Mask, Reason: "r", RetryAfter: 1} }},
		{named(policy.HalfOpen), func(*guard.Conn) guard.Verdict { return guard.Verdict{Action: guard.Deny, Reason: "r"} }},
	} {
		if got := inspect(c); len(got) != 0 {
			t.Errorf("a check that keeps every promise: %q", got)
		}
	}
}
