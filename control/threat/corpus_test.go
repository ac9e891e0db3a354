package threat

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"mtguard/proxy/guard"
	"mtguard/security/access"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
)

// The corpus is a week of a node, made with a fixed seed: what the node's events are for people in homes and behind a carrier's addresses, with their old
// links, wrong clocks and bad lines; for visitors of the cover site, crawlers and a health check; and for attackers. What a prober of each kind causes on
// a real node, the tests of package node show.

// actor is somebody in the corpus.
type actor struct {
	name   string
	attack string // kind of attacker; "" for others
	shares bool   // an attacker at an address that users have
	addr   netip.Addr
	began  time.Time // of an attack
}

type happening struct {
	event.Event
	actor *actor
}

type corpus struct {
	r      *rand.Rand
	list   []happening
	actors []*actor
	next   int // address of a stranger
}

func (c *corpus) actor(name, attack string, addr netip.Addr) *actor {
	a := &actor{name: name, attack: attack, addr: addr}
	c.actors = append(c.actors, a)
	return a
}

// stranger is an address that nobody else has.
func (c *corpus) stranger() netip.Addr {
	c.next++
	if c.next%5 == 0 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 1, byte(c.next >> 8), byte(c.next), 0, 0, 0, 0, 0, 0, 0, 0, 1})
	}
	return netip.AddrFrom4([4]byte{172, byte(16 + c.next>>14), byte(c.next >> 6), byte(c.next<<2) | 1})
}

func (c *corpus) add(a *actor, at time.Time, e event.Event) {
	e.Time = at
	if !e.Addr.IsValid() {
		e.Addr = a.addr
	}
	if a.attack != "" && (a.began.IsZero() || at.Add(-e.Took).Before(a.began)) {
		a.began = at.Add(-e.Took)
	}
	c.list = append(c.list, happening{e, a})
}

func (c *corpus) between(low, high time.Duration) time.Duration {
	return low + time.Duration(c.r.Int64N(int64(high-low)))
}

func failed(reason string, received int64) event.Event {
	return event.Event{Kind: event.HandshakeFailed, Reason: reason, Received: received, Took: 50 * time.Millisecond}
}

const corpusDays = 7

// people are users who come from their homes in the evening and by day from one of the carrier's addresses.
func (c *corpus) people(users int, carrier []netip.Addr) {
	for i := range users {
		home := netip.AddrFrom4([4]byte{100, 66, byte(i / 3 >> 8), byte(i / 3)}) // three in a household
		a := c.actor(fmt.Sprint("user", i), "", home)
		key := fmt.Sprintf("%016x", i)
		for day := range corpusDays {
			mobile := carrier[c.r.IntN(len(carrier))]
			at := day0.Add(time.Duration(day)*dayLong + c.between(6*time.Hour, 9*time.Hour))
			for end := day0.Add(time.Duration(day)*dayLong + 23*time.Hour); at.Before(end); at = at.Add(c.between(2*time.Minute, 50*time.Minute)) {
				from := home
				if at.Hour() >= 9 && at.Hour() < 18 {
					from = mobile
				}
				c.session(a, at, from, key)
			}
		}
	}
}

// session is an app that opens its connections, over a line that is bad now and then.
func (c *corpus) session(a *actor, at time.Time, from netip.Addr, key string) {
	for range 1 + c.r.IntN(3) {
		at = at.Add(c.between(time.Millisecond, time.Second))
		switch c.r.IntN(60) {
		case 0:
			c.add(a, at, event.Event{Kind: event.HandshakeFailed, Addr: from, Reason: "eof", Received: 300, Took: time.Second})
			continue
		case 1:
			c.add(a, at.Add(10*time.Second), event.Event{Kind: event.HandshakeFailed, Addr: from, Reason: "timeout", Received: 517, Took: 10 * time.Second})
			continue
		}
		took := c.between(time.Second, 5*time.Minute)
		c.add(a, at, event.Event{Kind: event.Authenticated, Addr: from, User: a.name, Key: key, Took: 60 * time.Millisecond})
		c.add(a, at.Add(took), event.Event{Kind: event.Relayed, Addr: from, User: a.name, Key: key, Took: took,
			Sent: int64(2000 + c.r.ExpFloat64()*200_000), Received: int64(500 + c.r.ExpFloat64()*20_000)})
	}
}

// bystanders are those who are no users and do no harm.
func (c *corpus) bystanders(carrier []netip.Addr) {
	for i := range 6 { // phones with a link that is good no more, some of them where no user is
		addr := c.stranger()
		if i%2 == 0 {
			addr = carrier[i]
		}
		a := c.actor(fmt.Sprint("old link ", i), "", addr)
		for at := day0.Add(c.between(0, time.Hour)); at.Before(day0.Add(corpusDays * dayLong)); at = at.Add(c.between(30*time.Second, 20*time.Minute)) {
			for range 8 {
				c.add(a, at.Add(c.between(0, 2*time.Second)), failed("bad_secret", 1800))
			}
		}
	}
	for i := range 3 { // a clock that is wrong, and stays so
		a := c.actor(fmt.Sprint("wrong clock ", i), "", c.stranger())
		skew := c.between(-100*time.Hour, 100*time.Hour)
		for at := day0.Add(c.between(0, time.Hour)); at.Before(day0.Add(corpusDays * dayLong)); at = at.Add(c.between(10*time.Second, 30*time.Minute)) {
			e := failed("clock", 1800)
			e.Skew, e.Key, e.User = skew+c.between(0, 3*time.Second), "00000000000000ff", "late"
			c.add(a, at, e)
		}
	}
	for i := range 2000 { // visitors of the cover site; some begin with http, or look for another name
		a := c.actor(fmt.Sprint("visitor ", i), "", c.stranger())
		at := day0.Add(c.between(0, corpusDays*dayLong))
		for range 1 + c.r.IntN(3) { // pages
			if c.r.IntN(4) == 0 {
				c.add(a, at, failed("malformed", 200))
			}
			for range 2 + c.r.IntN(5) {
				c.add(a, at.Add(c.between(0, 2*time.Second)), failed("bad_secret", 1800))
			}
			if c.r.IntN(4) == 0 { // opened ahead of time, and not needed
				c.add(a, at.Add(10*time.Second), event.Event{Kind: event.HandshakeFailed, Reason: "timeout", Took: 10 * time.Second})
			}
			at = at.Add(c.between(5*time.Second, 3*time.Minute))
		}
	}
	for i := range 200 { // crawlers
		a := c.actor(fmt.Sprint("crawler ", i), "", c.stranger())
		at := day0.Add(c.between(0, corpusDays*dayLong))
		c.add(a, at, failed("server_name", 517))
		c.add(a, at.Add(c.between(time.Second, time.Minute)), failed("bad_secret", 517))
	}
	health := c.actor("health check", "", c.stranger())
	for at := day0; at.Before(day0.Add(corpusDays * dayLong)); at = at.Add(10 * time.Second) {
		c.add(health, at, failed("eof", 0))
	}
}

// attackers of every kind, at addresses of their own; every eighth at one that users share.
func (c *corpus) attackers(carrier []netip.Addr) {
	kinds := map[string]struct {
		n    int
		acts func(a *actor, at time.Time)
	}{
		"probe scan": {60, func(a *actor, at time.Time) {
			reasons := []string{"malformed", "server_name", "bad_secret", "eof", "timeout", "clock"}
			c.r.Shuffle(len(reasons), func(i, j int) { reasons[i], reasons[j] = reasons[j], reasons[i] })
			for i := range 20 + c.r.IntN(80) {
				e := failed(reasons[i%len(reasons)], 517)
				ends := at
				if e.Reason == "timeout" { // it is known when its time is over
					e.Took, ends = 10*time.Second, at.Add(10*time.Second)
				}
				c.add(a, ends, e)
				at = at.Add(c.between(200*time.Millisecond, 3*time.Second))
			}
		}},
		"replay": {30, func(a *actor, at time.Time) {
			for range 4 + c.r.IntN(20) {
				e := failed("replay", 1800)
				e.Key, e.User = fmt.Sprintf("%016x", c.r.IntN(20)), "somebody"
				c.add(a, at, e)
				at = at.Add(c.between(500*time.Millisecond, 20*time.Second))
			}
		}},
		"spray": {25, func(a *actor, at time.Time) {
			for range 1000 {
				c.add(a, at, failed("bad_secret", 1800))
				at = at.Add(c.between(time.Millisecond, 80*time.Millisecond))
			}
		}},
		"flood": {25, func(a *actor, at time.Time) {
			for range 2000 {
				c.add(a, at, failed([]string{"eof", "bad_secret", "timeout"}[c.r.IntN(3)], int64(c.r.IntN(2)*500)))
				at = at.Add(c.between(0, 15*time.Millisecond))
			}
		}},
		"slow hello": {15, func(a *actor, at time.Time) {
			for range 60 {
				c.add(a, at.Add(10*time.Second), event.Event{Kind: event.HandshakeFailed, Reason: "timeout", Received: 20, Took: 10 * time.Second})
				at = at.Add(c.between(0, 600*time.Millisecond))
			}
		}},
		"handshakes for nothing": {15, func(a *actor, at time.Time) {
			for range 400 {
				c.add(a, at, failed("eof", 0))
				at = at.Add(c.between(0, 250*time.Millisecond))
			}
		}},
		"moved clock": {15, func(a *actor, at time.Time) {
			for range 30 {
				e := failed("clock", 1800)
				e.Skew, e.Key = c.between(-1000*time.Hour, 1000*time.Hour), fmt.Sprintf("%016x", c.r.IntN(20))
				c.add(a, at, e)
				at = at.Add(c.between(500*time.Millisecond, 3*time.Second))
			}
		}},
	}
	i := 0
	for _, kind := range []string{"probe scan", "replay", "spray", "flood", "slow hello", "handshakes for nothing", "moved clock"} {
		for range kinds[kind].n {
			addr, shares := c.stranger(), i%8 == 7
			at := day0.Add(c.between(dayLong, (corpusDays-1)*dayLong))
			if shares { // in the afternoon, when people are there
				addr = carrier[c.r.IntN(len(carrier))]
				at = at.Truncate(dayLong).Add(c.between(13*time.Hour, 17*time.Hour))
			}
			a := c.actor(fmt.Sprint(kind, " ", i), kind, addr)
			a.shares = shares
			kinds[kind].acts(a, at)
			i++
		}
	}
	leak := c.actor("leaked link", "leak", netip.Addr{})
	at := day0.Add(3 * dayLong)
	for i := range 150 {
		c.add(leak, at, event.Event{Kind: event.Authenticated, Addr: nth(i << 8), User: "user7", Key: fmt.Sprintf("%016x", 7)})
		at = at.Add(c.between(0, time.Minute))
	}
	trip := c.actor("revoked secret", "tripwire", c.stranger())
	c.add(trip, day0.Add(2*dayLong), event.Event{Kind: event.Tripwire, User: "user9", Key: "00000000000000ee"})
}

// verdicts are what came of a corpus.
type verdicts struct {
	first, block map[*actor]time.Time // first finding, first block
	wrong        map[string]int       // blocks of nobody's attacker, by actors' name
	cut, shut    int                  // connections of users: where one came from lately, and others
	blocks       int
}

// node lets the corpus meet a node that enforces: who is blocked or shown the site is refused at the door.
func (c *corpus) node(t *testing.T) (*world, *verdicts) {
	w := newWorld(t, policy.Enforce, nil, Detectors(Known{})...)
	w.snap.Limits.BlocksPerMinute = 1000
	v := &verdicts{first: make(map[*actor]time.Time), block: make(map[*actor]time.Time), wrong: make(map[string]int)}
	slices.SortStableFunc(c.list, func(a, b happening) int { return a.Time.Compare(b.Time) })
	until, found := make(map[netip.Prefix]time.Time), 0
	owners := make(map[netip.Prefix][]*actor)
	for _, a := range c.actors {
		if a.addr.IsValid() {
			owners[prefixOf(a.addr)] = append(owners[prefixOf(a.addr)], a)
		}
	}
	for _, h := range c.list {
		w.at = h.Time
		prefix := prefixOf(h.Addr)
		blocked := h.Time.Before(until[prefix])
		x := &guard.Conn{Addr: netip.AddrPortFrom(h.Addr, 1), At: h.Time, Policy: w.snap}
		if blocked {
			x.Access = access.Decision{Level: access.None}
		}
		reason := w.suspects.Check(x).Reason
		if blocked && !w.suspects.Regular(h.Addr, h.Time) {
			reason = guard.ReasonBlocked
		}
		e := h.Event
		if reason != "" && h.Kind != event.Relayed {
			if h.Kind == event.Authenticated && h.actor.attack == "" {
				if w.suspects.Regular(h.Addr, h.Time) {
					v.cut++
				} else {
					v.shut++
				}
			}
			e = event.Event{Time: h.Time, Kind: event.Refused, Addr: h.Addr, Control: policy.ThreatBlock, Reason: reason}
		} else if h.Kind == event.Authenticated {
			w.suspects.Came(h.Addr, h.Time)
		}
		w.Observe(e)
		for ; found < w.findings.n; found++ {
			if _, ok := v.first[h.actor]; !ok {
				v.first[h.actor] = h.Time
			}
		}
		for _, b := range w.Engine.blocks {
			v.blocks++
			until[b.Prefix] = h.Time.Add(b.For)
			hit := false
			for _, a := range owners[b.Prefix] {
				if a.attack != "" {
					hit = true
					if _, ok := v.block[a]; !ok {
						v.block[a] = h.Time
					}
				}
			}
			if !hit {
				v.wrong[h.actor.name+": "+b.Reason]++
			}
		}
		w.flushBlocks(context.Background())
		w.flushNotes(context.Background())
	}
	return w, v
}

func TestTheCorpus(t *testing.T) {
	c := &corpus{r: rand.New(rand.NewPCG(2026, 11))}
	var carrier []netip.Addr
	for i := range 24 {
		carrier = append(carrier, netip.AddrFrom4([4]byte{100, 64, byte(i / 4), byte(10 + i%4)}))
	}
	users := 240
	if testing.Short() {
		users = 60
	}
	c.people(users, carrier)
	c.bystanders(carrier)
	c.attackers(carrier)
	w, v := c.node(t)

	all, blocked, wrong := 0, 0, 0
	var times []time.Duration
	missed, kinds := make(map[string]int), make(map[string][]time.Duration)
	for _, a := range c.actors {
		if a.attack == "" {
			continue
		}
		at, found := v.first[a]
		if found {
			times = append(times, at.Sub(a.began))
			kinds[a.attack] = append(kinds[a.attack], at.Sub(a.began))
		}
		switch a.attack {
		case "leak", "tripwire":
			if !found {
				t.Errorf("%s is not found", a.name)
			}
			continue
		}
		if a.shares {
			if _, ok := v.block[a]; ok {
				t.Errorf("%s shares %v with users, and that is blocked", a.name, a.addr)
			}
			continue
		}
		all++
		if _, ok := v.block[a]; ok {
			blocked++
		} else {
			missed[a.attack]++
		}
	}
	for _, n := range v.wrong {
		wrong += n
	}
	slices.SortFunc(times, cmp.Compare)
	precision, recall, median := 1-float64(wrong)/float64(max(v.blocks, 1)), float64(blocked)/float64(all), times[len(times)/2]
	st := w.Status()
	t.Logf("%d events of %d users, %d bystanders and %d attackers: %d blocks, precision %.4f, recall %.4f (%d of %d), median time to find %v, p90 %v, "+
		"%d users cut off, %d others refused; spared %v; findings %v", len(c.list), users, len(c.actors)-users-all, all, v.blocks, precision, recall, blocked, all,
		median, times[len(times)*9/10], v.cut, v.shut, st.Spared, st.Findings)
	for kind, times := range kinds {
		slices.SortFunc(times, cmp.Compare)
		t.Logf("%s: %d of them, the median found after %v", kind, len(times), times[len(times)/2].Round(10*time.Millisecond))
	}
	if precision < 0.99 {
		t.Errorf("precision at block %.4f, want 0.99: %v", precision, v.wrong)
	}
	if recall < 0.95 {
		t.Errorf("recall %.4f, want 0.95: missed %v", recall, missed)
	}
	if median > 5*time.Second {
		t.Errorf("the median attack is found after %v, want 5s", median)
	}
	if v.cut > 0 || v.shut > 0 {
		t.Errorf("%d connections of users were refused where they came from lately, %d elsewhere", v.cut, v.shut)
	}
	if st.Spared[sparedShared] == 0 {
		t.Error("nobody was spared for a user's sake: the corpus does not try it")
	}
}
