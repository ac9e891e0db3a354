package guard_test

import (
	"fmt"
	"net/netip"
	"time"

	"mtguard/mtproto"
	"mtguard/proxy/guard"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// minTransport is a check from outside the package: it wants fake TLS of everybody who comes from elsewhere than the operator's own network.
type minTransport struct{ own netip.Prefix }

func (minTransport) Name() string { return "transport.min" }

func (m minTransport) Check(c *guard.Conn) guard.Verdict {
	if c.Transport == mtproto.FakeTLS || m.own.Contains(c.Addr.Addr()) {
		return guard.Verdict{}
	}
	return guard.Verdict{Action: guard.Mask, Reason: "weak_transport"}
}

// printer is a sink that prints.
type printer struct{}

func (printer) Emit(e event.Event) { fmt.Println("event:", e.Kind, e.Control, e.Reason) }

// A new check is watched first and bites later, without a line of its own for either.
func Example() {
	check := minTransport{own: netip.MustParsePrefix("10.0.0.0/8")}
	p := guard.NewPipeline(guard.Stages{Auth: []guard.Check{check}}, printer{}, nil)
	for _, mode := range []policy.Mode{policy.Monitor, policy.Enforce} {
		c := &guard.Conn{
			ID: 1, Addr: netip.MustParseAddrPort("192.0.2.7:40001"), At: time.Now(), Transport: mtproto.Classic,
			Policy: &policy.Snapshot{Controls: map[string]policy.Control{"transport.min": {Mode: mode}}},
		}
		v := p.Authorize(c)
		p.Conclude(c, stats.ResultOK)
		fmt.Println(mode, "→", v.Action)
	}
	// Output:
	// event: would_refuse transport.min weak_transport
	// monitor → allow
	// event: refused transport.min weak_transport
	// enforce → mask
}
