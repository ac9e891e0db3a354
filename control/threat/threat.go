// Package threat finds attacks in what happens to connections, and answers them by itself as far as that harms nobody.
//
// A [Detector] looks at every event and says what it finds: a [Finding] about an address, a secret, or both, with points and the evidence. The
// [Engine] adds the points up by address, by network and by secret, with decay, and lets an address climb a ladder: noted, throttled, shown the
// cover site, blocked for a while. Where the ladder ends, and for secrets, it asks a person. Nothing it does lasts for ever, and nothing it does
// touches somebody who is in:
//
//   - an address that a pinned rule covers, or an exception spares, is only noted;
//   - an address from which somebody authenticated within a day is throttled at most, so that only its failed handshakes are answered less;
//   - the blocks of a minute are bounded, and what is beyond them waits for a person;
//   - in monitor everything is counted and nothing done, and the users are counted whom a block would have hit.
//
// A block is a change like any other, made by a [Blocker]; until it is in force the address is shown the cover site, so it takes effect at once.
//
//	g := threat.NewEngine(threat.Options{Policy: live.Load, Suspects: suspects, Blocker: b, Regular: r}, threat.Detectors()...)
//	go g.Run(ctx, bus.Subscribe("threat", 8192))
//
// All time comes from the events: what is found in a recorded trace is what was found when it happened. Everything that is kept has a bound,
// because attackers choose the keys. Detectors are not safe for concurrent use; the Engine is.
package threat

import (
	"net/netip"
	"time"

	"mtguard/telemetry/event"
)

// Detector finds one kind of attack. Name is constant, not empty, and the name of its findings. Observe takes the time from the event, keeps
// nothing without a bound, and returns nil when there is nothing to say.
type Detector interface {
	Name() string
	Observe(event.Event) []Finding
}

// Finding is something that a detector found.
type Finding struct {
	// Time is that of the event that completed it.
	Time time.Time `json:"time"`
	// Detector is the detector's name.
	Detector string `json:"detector"`
	// Addr is the address that it is about, and Key and User the secret; either may be missing. Of a finding about a secret alone Addr is the
	// zero Addr, and the addresses stand in the evidence.
	Addr netip.Addr `json:"addr,omitzero"`
	Key  string     `json:"key,omitempty"`
	User string     `json:"user,omitempty"`
	// Lineage says where a secret comes from that was split from a leaked one. Detectors leave it to whoever shows the finding.
	Lineage string `json:"lineage,omitempty" doc:"where a secret comes from that was split from a leaked one"`
	// Points are what it adds to the score of what it is about: see the ladder.
	Points float64 `json:"points"`
	// Evidence says in words and numbers what was seen. It holds nothing from the wire.
	Evidence string `json:"evidence"`
	// Conn is the connection that completed it.
	Conn uint64 `json:"conn,omitempty"`
}

// found makes a finding of an event.
func found(name string, e *event.Event, points float64, evidence string) []Finding {
	return []Finding{{Time: e.Time, Detector: name, Addr: e.Addr, Points: points, Evidence: evidence, Conn: e.Conn}}
}

// foundKey makes a finding about the event's secret alone.
func foundKey(name string, e *event.Event, points float64, evidence string) []Finding {
	return []Finding{{Time: e.Time, Detector: name, Key: e.Key, User: e.User, Points: points, Evidence: evidence, Conn: e.Conn}}
}
