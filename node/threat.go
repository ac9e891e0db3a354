package node

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"mtguard/control"
	"mtguard/control/threat"
	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/telemetry/event"
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
	}, threat.Detectors(threat.Known{Where: n.whereIs, Used: n.lastUsed})...)
	n.offences = &offences{n: n}
	n.offences.open(n.threat, n.started)
}

// regular reports whether somebody comes from an address or /64 whom a block of it does not keep out, or lately came from anywhere in a wider prefix.
func (n *Node) regular(prefix netip.Prefix, now time.Time) bool {
	if addr := prefix.Addr(); prefix != own(addr) {
		return n.auth.Knows(addr)
	}
	return n.suspects.Regular(prefix.Addr(), now)
}

// whereIs is the country and the AS number of an address, as far as there are files of them.
func (n *Node) whereIs(addr netip.Addr) (country string, asn uint32) {
	d := n.live.Load().Access.Check(access.Query{Addr: addr, Now: time.Now()})
	if d.Country == access.UnknownCountry {
		d.Country = ""
	}
	return d.Country, d.ASN
}

// noteLastUses remembers when each secret was last used before this process served anybody.
func (n *Node) noteLastUses() {
	set := n.live.Load().Keys
	n.usedBefore = make(map[string]time.Time, set.Accepted())
	for i := range set.Accepted() {
		if last := set.At(i).Use().Last(); !last.IsZero() {
			n.usedBefore[string(set.At(i).ID())] = last
		}
	}
}

func (n *Node) lastUsed(key string) time.Time { return n.usedBefore[key] }

// denied tells the detectors of somebody who asks the API for more than his level allows.
func (n *Node) denied(by control.Actor, action string) {
	n.guesses[0].Inc()
	n.bus.Emit(event.Event{Time: time.Now(), Kind: event.Guess, User: by.Name, Control: "admin", Reason: action})
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
		return nil, r.n.plane.NoteIncidents(ctx, response.Notes)
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

// tellIncident tells the receivers of alerts. Addresses are cut as in the log, and evidence, which may name some, is left to incident show.
func (n *Node) tellIncident(ctx context.Context, i control.IncidentInfo) {
	n.publishIncident(i)
	if prefix, err := netip.ParsePrefix(i.Subject); err == nil && n.File().Log.Address != "full" {
		i.Subject = hider("")(prefix.Addr())
	}
	m := i.Message()
	if err := n.alerts.Notify(ctx, m); err != nil {
		n.log.Error("nobody is told of an incident", "incident", i.ID, "error", err)
	}
}
