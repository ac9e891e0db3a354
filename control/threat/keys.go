package threat

import (
	"fmt"
	"net/netip"
	"time"

	"mtguard/telemetry/event"
)

// detectorKeys is how many secrets one detector keeps in mind. Only who has one can put it there.
const detectorKeys = 1 << 14

// marks are different things and when each was seen last, the latest most of them.
type marks []mark

type mark struct {
	what uint32
	last uint32 // seconds
}

func (m *marks) see(what uint64, now int64, most int) {
	w, at := uint32(what^what>>32), uint32(now/1000)
	oldest := -1
	for i := range *m {
		switch {
		case (*m)[i].what == w:
			(*m)[i].last = at
			return
		case oldest < 0 || (*m)[i].last < (*m)[oldest].last:
			oldest = i
		}
	}
	if len(*m) < most {
		*m = append(*m, mark{w, at})
		return
	}
	(*m)[oldest] = mark{w, at}
}

// since counts those that were seen within so long.
func (m marks) since(now int64, within time.Duration) (n int) {
	for _, x := range m {
		if now/1000-int64(x.last) < int64(within/time.Second) {
			n++
		}
	}
	return n
}

// once lets a finding about the same secret through once in so long.
func once(last *int64, now int64, every time.Duration) bool {
	if *last != 0 && now-*last < every.Milliseconds() && now >= *last {
		return false
	}
	*last = now
	return true
}

// replayed finds who sends hellos that he has captured: two within six minutes by one address, or one secret's by three.
type replayed struct {
	addresses *table[filled]
	keys      *table[spread]
}

// spread is from how many addresses something came about one secret.
type spread struct {
	from marks
	told int64
}

const (
	replayLeak   = 1.0 / 600 // one in ten minutes may be a network's mistake
	replayMost   = 1.4
	spreadWindow = 10 * time.Minute
	spreadMost   = 3
)

// NewReplay returns the detector of replays.
func NewReplay() Detector {
	return &replayed{newTable[filled](detectorAddresses), newTable[spread](detectorKeys)}
}

func (*replayed) Name() string { return "replay" }

func (d *replayed) Observe(e event.Event) (list []Finding) {
	if !failedWith(&e, "replay") {
		return nil
	}
	at, ok := placeOf(e.Addr)
	if !ok {
		return nil
	}
	now := milli(&e)
	x := d.addresses.get(at, now)
	if level := x.bucket.add(now, 1, replayLeak); level > replayMost && x.pace.due(now) {
		list = found(d.Name(), &e, 6, fmt.Sprintf("%.0f hellos that were sent before", level))
	}
	return append(list, spreadOf(d.Name(), d.keys, &e, at, now, "hellos that were sent before came from %d addresses within 10 min")...)
}

// spreadOf finds that something about one secret comes from several addresses.
func spreadOf(name string, keys *table[spread], e *event.Event, at place, now int64, evidence string) []Finding {
	if e.Key == "" {
		return nil
	}
	k := keys.get(keys.secretAt(e.Key), now)
	k.from.see(at.high*31+at.low, now, 16)
	n := k.from.since(now, spreadWindow)
	if n < spreadMost || !once(&k.told, now, spreadWindow) {
		return nil
	}
	return foundKey(name, e, 4, fmt.Sprintf(evidence, n))
}

// clocked finds whose clock moves: hellos of different times, all of them wrong, as somebody sends who has captured them. A phone whose clock is wrong is
// wrong by the same all the time.
type clocked struct {
	addresses *table[clock]
	keys      *table[spread]
}

type clock struct {
	began       int64 // of the window
	n           int
	least, most time.Duration
	pace        pace
}

const (
	clockWindow = 10 * 60 * 1000 // milliseconds
	clockHellos = 3
	clockMoves  = time.Minute
)

// NewClock returns the detector of stale and moving clocks.
func NewClock() Detector {
	return &clocked{newTable[clock](detectorAddresses), newTable[spread](detectorKeys)}
}

func (*clocked) Name() string { return "clock" }

func (d *clocked) Observe(e event.Event) (list []Finding) {
	if !failedWith(&e, "clock") {
		return nil
	}
	at, ok := placeOf(e.Addr)
	if !ok {
		return nil
	}
	now := milli(&e)
	x := d.addresses.get(at, now)
	if x.n == 0 || now-x.began > clockWindow || now < x.began {
		*x = clock{began: now, least: e.Skew, most: e.Skew, pace: x.pace}
	}
	x.n++
	x.least, x.most = min(x.least, e.Skew), max(x.most, e.Skew)
	if x.n >= clockHellos && x.most-x.least >= clockMoves && x.pace.due(now) {
		list = found(d.Name(), &e, 4, fmt.Sprintf("%d hellos with clocks %v apart", x.n, (x.most-x.least).Round(time.Second)))
	}
	return append(list, spreadOf(d.Name(), d.keys, &e, at, now, "hellos out of their time came from %d addresses within 10 min")...)
}

// fanOut finds a secret that is in more places than one user: a link that was passed on.
type fanOut struct {
	where func(netip.Addr) (string, uint32)
	keys  *table[places]
}

type places struct {
	networks, asns, countries marks
	told                      int64
}

// What one user, or a family with one secret, does not reach: homes, work, phones of carriers that put each call on another address.
const (
	networksHour = 16
	networksDay  = 48
	asnsDay      = 8
	countriesDay = 4
	fanOutEvery  = time.Hour
	dayLong      = 24 * time.Hour
)

// NewKeyFanOut returns the detector of secrets in too many places.
func NewKeyFanOut(where func(netip.Addr) (country string, asn uint32)) Detector {
	if where == nil {
		where = func(netip.Addr) (string, uint32) { return "", 0 }
	}
	return &fanOut{where, newTable[places](detectorKeys)}
}

func (*fanOut) Name() string { return "key_fanout" }

func (d *fanOut) Observe(e event.Event) []Finding {
	if e.Kind != event.Authenticated || e.Key == "" || !e.Addr.IsValid() {
		return nil
	}
	now := milli(&e)
	x := d.keys.get(d.keys.secretAt(e.Key), now)
	network := placeAt(networkOf(e.Addr))
	x.networks.see(network.high*31+network.low, now, 2*networksDay)
	country, asn := d.where(e.Addr)
	if asn != 0 {
		x.asns.see(uint64(asn), now, 4*asnsDay)
	}
	if country != "" {
		x.countries.see(uint64(country[0])<<8|uint64(country[len(country)-1]), now, 4*countriesDay)
	}
	hour, day := x.networks.since(now, time.Hour), x.networks.since(now, dayLong)
	asns, countries := x.asns.since(now, dayLong), x.countries.since(now, dayLong)
	reasons := 0
	for _, over := range []bool{
		(hour >= networksHour || day >= networksDay) && (asns == 0 || asns >= 3), // one carrier has many networks
		asns >= asnsDay,
		countries >= countriesDay,
	} {
		if over {
			reasons++
		}
	}
	if reasons == 0 || !once(&x.told, now, fanOutEvery) {
		return nil
	}
	points := 4.0
	if reasons > 1 || day >= 2*networksDay {
		points = 12
	}
	return foundKey(d.Name(), &e, points, fmt.Sprintf("%d networks within an hour, %d within a day, of %d AS numbers in %d countries", hour, day, asns, countries))
}

// dormant finds a secret that wakes up after a long time: somebody may have found an old link.
type dormant struct {
	used func(string) time.Time
	keys *table[lastUse]
}

type lastUse struct {
	asked bool
	last  int64
}

// sleeps is how long a secret is not used before that is worth a look.
const sleeps = 30 * 24 * time.Hour

// NewDormantKey returns the detector of secrets that wake up.
func NewDormantKey(used func(key string) time.Time) Detector {
	if used == nil {
		used = func(string) time.Time { return time.Time{} }
	}
	return &dormant{used, newTable[lastUse](detectorKeys)}
}

func (*dormant) Name() string { return "dormant_key" }

func (d *dormant) Observe(e event.Event) []Finding {
	if e.Kind != event.Authenticated && e.Kind != event.Relayed || e.Key == "" {
		return nil
	}
	now := milli(&e)
	x := d.keys.get(d.keys.secretAt(e.Key), now)
	if !x.asked {
		x.asked = true
		if last := d.used(e.Key); !last.IsZero() {
			x.last = last.UnixMilli()
		}
	}
	slept := time.Duration(now-x.last) * time.Millisecond
	woke := x.last != 0 && slept >= sleeps && e.Kind == event.Authenticated
	x.last = max(x.last, now)
	if !woke {
		return nil
	}
	return foundKey(d.Name(), &e, 2, fmt.Sprintf("used again after %d days", int(slept/dayLong)))
}

// tripped finds the use of a secret that was revoked. Whoever uses it may be its user's forgotten phone, so the address is not blamed.
type tripped struct{ keys *table[spread] }

// tripEvery is how often it is told of the same secret.
const tripEvery = 10 * time.Minute

// NewTripwire returns the detector of revoked secrets in use.
func NewTripwire() Detector { return &tripped{newTable[spread](detectorKeys)} }

func (*tripped) Name() string { return "tripwire" }

func (d *tripped) Observe(e event.Event) []Finding {
	if e.Kind != event.Tripwire || e.Key == "" {
		return nil
	}
	now := milli(&e)
	x := d.keys.get(d.keys.secretAt(e.Key), now)
	if at, ok := placeOf(e.Addr); ok {
		x.from.see(at.high*31+at.low, now, 64)
	}
	if !once(&x.told, now, tripEvery) {
		return nil
	}
	return foundKey(d.Name(), &e, 4, fmt.Sprintf("a revoked secret is in use, from %d addresses within a day", x.from.since(now, dayLong)))
}
