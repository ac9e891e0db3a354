package threat

import (
	"fmt"
	"math/bits"

	"mtguard/telemetry/event"
)

// detectorAddresses is how many addresses one detector keeps in mind.
const detectorAddresses = 1 << 14

// probeScan finds who tries out what is behind the port: hellos of several kinds, none of which an app sends, or much noise. A phone with an old link
// fails in one way for ever, and the visitor of a web site in two.
type probeScan struct{ seen *table[probed] }

type probed struct {
	kinds [len(probeKinds)]int64 // when each was last seen, milliseconds
	noise bucket
	pace  pace
}

const (
	probeWindow = 10 * 60 * 1000 // milliseconds in which kinds count together
	probeMost   = 3              // kinds
	noiseMost   = 5              // handshakes that are none
	noiseLeak   = 1.0 / 10       // per second
)

// probeKinds are the ways to fail that tell of trying out; "part" is a hello that was never finished.
var probeKinds = [...]string{"malformed", "server_name", "bad_secret", "clock", "replay", "part"}

// NewProbeScan returns the detector of probe scans.
func NewProbeScan() Detector { return &probeScan{newTable[probed](detectorAddresses)} }

func (*probeScan) Name() string { return "probe_scan" }

func (d *probeScan) Observe(e event.Event) []Finding {
	kind := probeKind(&e)
	if kind < 0 {
		return nil
	}
	at, ok := placeOf(e.Addr)
	if !ok {
		return nil
	}
	now := milli(&e)
	p := d.seen.get(at, now)
	p.kinds[kind] = now
	var set uint
	for k, last := range p.kinds {
		if last != 0 && now-last <= probeWindow {
			set |= 1 << k
		}
	}
	noise := float32(0)
	if e.Reason == "malformed" {
		noise = p.noise.add(now, 1, noiseLeak)
	}
	n := bits.OnesCount(set)
	switch {
	case n < probeMost && noise <= noiseMost || !p.pace.due(now):
		return nil
	case n >= probeMost:
		return found(d.Name(), &e, 4, fmt.Sprintf("%d kinds of bad hello within 10 min: %s", n, kindsOf(set)))
	}
	return found(d.Name(), &e, 3, fmt.Sprintf("%.0f handshakes of noise", noise))
}

// probeKind is the index into probeKinds, or -1.
func probeKind(e *event.Event) int {
	if e.Kind != event.HandshakeFailed {
		return -1
	}
	reason := e.Reason
	if reason == "budget" { // nobody knows what it would have been
		reason = "bad_secret"
	}
	if (reason == "eof" || reason == "timeout") && e.Received > 0 && e.Key == "" {
		reason = "part"
	}
	for i, k := range probeKinds {
		if k == reason {
			return i
		}
	}
	return -1
}

func kindsOf(set uint) (text string) {
	for i, k := range probeKinds {
		if set&(1<<i) != 0 {
			if text != "" {
				text += ", "
			}
			text += k
		}
	}
	return text
}
