package node

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"mtguard/control"
	"mtguard/control/threat"
	"mtguard/proxy/guard"
)

// threatDepth is how many events may wait for the detectors. Under a flood some are lost, which only makes it be found a little later.
const threatDepth = 1 << 13

// newThreat makes the engine that watches for attacks. What it asks of the plane and of the data path it asks when there is something to decide, and
// by then they are there.
func (n *Node) newThreat() {
	n.suspects = guard.NewSuspects(suspectAddresses)
	n.threat = threat.NewEngine(threat.Options{
		Policy:    n.live.Load,
		Suspects:  n.suspects,
		Responder: responder{n},
		Regular: func(addr netip.Addr, now time.Time) bool {
			return n.suspects.Regular(addr, now) || n.plane.Present(own(addr), now)
		},
		Network: func(addr netip.Addr) bool { return n.auth.Knows(addr) },
		Log:     n.log,
	}, threat.Detectors()...)
}

// own is what of addresses one client has: an address, or a /64.
func own(addr netip.Addr) netip.Prefix {
	narrow, _ := guard.PlacesOf(addr)
	return narrow
}

// guardThreats watches until ctx ends.
func (n *Node) guardThreats(ctx context.Context, work *sync.WaitGroup) {
	events := n.bus.Subscribe("threat", threatDepth)
	work.Go(func() {
		defer events.Close()
		n.threat.Run(ctx, events.C())
	})
}

// responder does what the engine has decided, the way every change is made.
type responder struct{ n *Node }

// Respond implements threat.Responder.
func (r responder) Respond(ctx context.Context, response threat.Response) (spared []netip.Prefix, err error) {
	if len(response.Blocks) == 0 {
		return nil, nil
	}
	var c control.AutoBlock
	for _, b := range response.Blocks {
		c.Blocks = append(c.Blocks, control.AutoBlocked{Prefix: b.Prefix, For: control.Duration(b.For), Reason: b.Reason})
	}
	result, err := r.n.plane.Apply(ctx, control.ThreatActor, c, control.Options{Reason: "attacks"})
	for _, text := range result.Spared {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			spared = append(spared, prefix)
		}
	}
	return spared, err
}
