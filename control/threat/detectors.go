package threat

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mtguard/security/policy"
	"mtguard/telemetry/event"
)

// Known is what detectors may ask about the world.
type Known struct {
	// Where tells the country and the AS number of an address, "" and 0 where nobody knows; nil: nowhere.
	Where func(netip.Addr) (country string, asn uint32)
	// Used tells when a secret was last used before the detectors were made, zero when it never was; nil: none ever was.
	Used func(key string) time.Time
}

// Detectors are all detectors, fresh.
func Detectors(k Known) []Detector {
	return []Detector{
		NewProbeScan(),
		NewReplay(),
		NewClock(),
		NewSecretSpray(),
		NewHandshakeOnly(),
		NewConnectionFlood(),
		NewSlowHello(),
		NewKeyFanOut(k.Where),
		NewDormantKey(k.Used),
		NewTripwire(),
		NewByteDrift(),
		NewAdminGuess(),
		NewPersistence(),
	}
}

// leaky is a detector that counts something by address in buckets that leak.
type leaky struct {
	name   string
	most   float32 // that a bucket holds
	leak   float32 // per second
	points float64
	weight func(event.Event) float32 // 0: it says nothing
	what   string                    // of the evidence
	seen   *table[filled]
}

type filled struct {
	bucket bucket
	pace   pace
}

func (d *leaky) Name() string { return d.name }

func (d *leaky) Observe(e event.Event) []Finding {
	w := d.weight(e)
	if w == 0 {
		return nil
	}
	at, ok := placeOf(e.Addr)
	if !ok {
		return nil
	}
	now := milli(&e)
	x := d.seen.get(at, now)
	level := x.bucket.add(now, w, d.leak)
	x.bucket.level = min(level, 4*d.most) // it calms down some time after the end
	if level <= d.most || !x.pace.due(now) {
		return nil
	}
	return found(d.name, &e, d.points, fmt.Sprintf("%.0f %s more than go away by themselves (%.3g/s)", level, d.what, d.leak))
}

func newLeaky(d leaky) Detector {
	d.seen = newTable[filled](detectorAddresses)
	return &d
}

func failedWith(e *event.Event, reasons ...string) bool {
	if e.Kind != event.HandshakeFailed {
		return false
	}
	for _, r := range reasons {
		if e.Reason == r {
			return true
		}
	}
	return false
}

// NewSecretSpray finds who tries secret after secret. A phone with an old link fails with eight connections at a time and comes back every few seconds:
// that is 3 a second at most.
func NewSecretSpray() Detector {
	return newLeaky(leaky{name: "secret_spray", most: 45, leak: 3, points: 4, what: "wrong secrets", weight: func(e event.Event) float32 {
		if failedWith(&e, "bad_secret", "budget") {
			return 1
		}
		return 0
	}})
}

// NewHandshakeOnly finds who connects and wants nothing: connections that close before a word is said or right after the answer, and sessions that carry
// nothing. A health check comes every other second.
func NewHandshakeOnly() Detector {
	return newLeaky(leaky{name: "handshake_only", most: 20, leak: 0.5, points: 4, what: "connections that wanted nothing", weight: func(e event.Event) float32 {
		const nothing, short = 256, 5 * time.Second
		switch {
		case failedWith(&e, "eof") && (e.Received == 0 || e.Key != ""):
			return 1
		case e.Kind == event.Relayed && e.Sent+e.Received < nothing && e.Took < short:
			return 1
		}
		return 0
	}})
}

// NewConnectionFlood finds who opens connection after connection that nobody lets in. Those of users do not count, however many they are.
func NewConnectionFlood() Detector {
	return newLeaky(leaky{name: "connection_flood", most: 80, leak: 10, points: 6, what: "connections that were not let in", weight: func(e event.Event) float32 {
		switch {
		case e.Kind == event.HandshakeFailed && e.Reason != "user" && e.Reason != "refused" && e.Reason != "expired":
			return 1
		case e.Kind == event.Refused && (strings.HasPrefix(e.Control, "conns.") || e.Control == policy.RateAccept || e.Control == policy.RateFailures) && e.User == "":
			return 1
		}
		return 0
	}})
}

// NewSlowHello finds who holds handshakes open. One over a bad line takes a few; a browser opens connections ahead of time and says nothing.
func NewSlowHello() Detector {
	return newLeaky(leaky{name: "slow_hello", most: 5, leak: 1.0 / 30, points: 4, what: "handshakes that were held open", weight: func(e event.Event) float32 {
		const slow = 5 * time.Second
		switch {
		case !failedWith(&e, "timeout") && !(failedWith(&e, "eof") && e.Took >= slow):
			return 0
		case e.Received > 0:
			return 1
		}
		return 0.3
	}})
}

// NewAdminGuess finds who asks for what is not his: pages by a guessed address, or changes that his level does not allow. Somebody with an old link to a
// page looks at it a few times.
func NewAdminGuess() Detector {
	pages := newLeaky(leaky{name: "admin_guess", most: 10, leak: 1.0 / 30, points: 4, what: "wrong addresses of pages", weight: func(e event.Event) float32 {
		if e.Kind == event.Guess && e.Addr.IsValid() {
			return 1
		}
		return 0
	}})
	return &adminGuess{pages, newTable[filled](64)}
}

type adminGuess struct {
	Detector
	actors *table[filled]
}

// Observe counts by address, and who has none, at the Unix socket, by name.
func (d *adminGuess) Observe(e event.Event) []Finding {
	if e.Kind != event.Guess || e.Addr.IsValid() {
		return d.Detector.Observe(e)
	}
	const most, leak = 5, 1.0 / 60
	now := milli(&e)
	x := d.actors.get(d.actors.secretAt(e.User), now)
	level := x.bucket.add(now, 1, leak)
	x.bucket.level = min(level, 4*most)
	if level <= most || !x.pace.due(now) {
		return nil
	}
	return []Finding{{Time: e.Time, Detector: d.Name(), User: e.User, Points: 12, Evidence: fmt.Sprintf("%.0f requests that the level does not allow", level)}}
}

// Names are the names of all detectors.
func Names() (names []string) {
	for _, d := range Detectors(Known{}) {
		names = append(names, d.Name())
	}
	return names
}
