package threat

import (
	"mtguard/proxy/guard"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
)

// persistence finds who comes back again and again while he is shown the cover site for what he did: what he says is not looked at any more, so nobody
// else would find him. Who is blocked for a while is left alone.
type persistence struct{ seen *table[pace] }

// NewPersistence returns the detector of suspects who go on.
func NewPersistence() Detector { return &persistence{newTable[pace](detectorAddresses)} }

func (*persistence) Name() string { return "persistence" }

func (d *persistence) Observe(e event.Event) []Finding {
	if e.Kind != event.Refused || e.Control != policy.ThreatBlock || e.Reason != guard.ReasonSuspect {
		return nil
	}
	at, ok := placeOf(e.Addr)
	if now := milli(&e); !ok || !d.seen.get(at, now).due(now) {
		return nil
	}
	return found(d.Name(), &e, 2, "it came again while it was shown the cover site")
}
