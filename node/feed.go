package node

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"mtguard/control"
	"mtguard/security/auditlog"
	"mtguard/telemetry/event"
	"mtguard/telemetry/live"
	"mtguard/telemetry/stats"
)

// feedDepth is how many events may wait to be looked at for the live stream. What is lost there is of the kind that is told in samples.
const feedDepth = 1 << 10

// feed runs what viewers look at, until ctx ends.
func (n *Node) feed(ctx context.Context, work *sync.WaitGroup) {
	n.state.store.OnAudit(n.publishAudit)
	work.Go(func() {
		defer n.state.store.OnAudit(nil)
		n.events.Run(ctx, n.watchFlow)
	})
}

// watchFlow tells once a second how things are, and of decisions, while somebody looks.
func (n *Node) watchFlow(ctx context.Context) {
	sub := n.bus.Subscribe("live", feedDepth)
	defer sub.Close()
	s := newSampler(n)
	judged := newSieve()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			second := s.second(now)
			n.events.Publish(live.Sample, time.Now(), func() any { return second })
		case e := <-sub.C():
			if skipped, ok := judged.pass(&e, time.Now()); ok {
				n.events.Publish(live.Decision, e.Time, func() any { return n.judgement(e, skipped) })
			}
		}
	}
}

// verdicts are the kinds of event that tell what became of somebody, in the words of a Judgement.
var verdicts = map[event.Kind]string{
	event.Authenticated:   "served",
	event.Refused:         "refused",
	event.WouldRefuse:     "would_refuse",
	event.HandshakeFailed: "failed",
	event.UpstreamFailed:  "unreachable",
	event.Tripwire:        "tripwire",
	event.Guess:           "guess",
}

func (n *Node) judgement(e event.Event, skipped uint64) live.Judgement {
	j := live.Judgement{
		Verdict: verdicts[e.Kind], Conn: e.Conn, User: n.scrub(e.User), Key: e.Key, Transport: e.Transport, Control: e.Control, Reason: n.scrub(e.Reason),
		Mode: e.Mode, DC: e.DC, TookMS: e.Took.Milliseconds(), Skipped: skipped,
	}
	if e.Addr.IsValid() {
		j.Addr = n.hide(e.Addr)
	}
	return j
}

// sieve lets some of a flood through: of each verdict so many at once, and so many a second.
type sieve map[event.Kind]*hole

type hole struct {
	left    float64
	last    time.Time
	skipped uint64
}

const (
	sieveBurst = 20
	sieveRate  = 8 // a second; of seven verdicts that is 56
)

func newSieve() sieve { return make(sieve) }

// pass reports whether an event is told, and how many of its kind were not since the last one that was.
func (s sieve) pass(e *event.Event, now time.Time) (skipped uint64, ok bool) {
	if verdicts[e.Kind] == "" {
		return 0, false
	}
	h := s[e.Kind]
	if h == nil {
		h = &hole{left: sieveBurst, last: now}
		s[e.Kind] = h
	}
	h.left = min(sieveBurst, h.left+max(now.Sub(h.last).Seconds(), 0)*sieveRate)
	h.last = now
	if h.left < 1 {
		h.skipped++
		return 0, false
	}
	h.left--
	skipped, h.skipped = h.skipped, 0
	return skipped, true
}

// sampler turns counters into rates.
type sampler struct {
	n    *Node
	last time.Time
	was  reading
}

// reading is what the counters are at one moment.
type reading struct {
	accepted, served, covered uint64
	up, down                  uint64
	controls                  map[string][2]uint64 // refused, would have
}

func newSampler(n *Node) *sampler { return &sampler{n: n, last: time.Now(), was: n.read()} }

func (n *Node) read() reading {
	c := &n.stats
	r := reading{controls: make(map[string][2]uint64)}
	flow := c.Flow()
	r.accepted = flow.Accepted
	r.covered = flow.Covered() + uint64(max(flow.In[stats.StateCovered]+flow.In[stats.StateSilent], 0))
	_, r.served, _ = c.AllHandshakes()
	n.sessions.Meter()
	r.up, r.down = c.Relayed()
	c.EachControl(func(name string, d *stats.Control) {
		r.controls[name] = [2]uint64{turnedAway(d, stats.ModeEnforce), turnedAway(d, stats.ModeMonitor)}
	})
	return r
}

// second is what came since the last call, by the time that a clock which nobody sets has measured.
func (s *sampler) second(now time.Time) live.Second {
	took := now.Sub(s.last).Seconds()
	if took <= 0 {
		took = 1
	}
	is, c := s.n.read(), &s.n.stats
	rate := func(was, is uint64) float64 {
		if is <= was {
			return 0
		}
		return float64(is-was) / took
	}
	out := live.Second{
		Open: c.Open.Load(), HalfOpen: c.HalfOpen.Load(), Sessions: c.Sessions.Load(), CoverOpen: c.CoverOpen.Load(),
		Accepted: rate(s.was.accepted, is.accepted), Served: rate(s.was.served, is.served), Covered: rate(s.was.covered, is.covered),
		Up: rate(s.was.up, is.up), Down: rate(s.was.down, is.down),
	}
	for name, sums := range is.controls {
		was := s.was.controls[name]
		r := live.ControlRate{Name: name, Refused: rate(was[0], sums[0]), WouldRefuse: rate(was[1], sums[1])}
		if r.Refused+r.WouldRefuse > 0 {
			out.Controls = append(out.Controls, r)
			out.Refused, out.WouldRefuse = out.Refused+r.Refused, out.WouldRefuse+r.WouldRefuse
		}
	}
	slices.SortFunc(out.Controls, func(x, y live.ControlRate) int { return strings.Compare(x.Name, y.Name) })
	s.last, s.was = now, is
	return out
}

// publishAudit tells of a row of the audit log.
func (n *Node) publishAudit(e auditlog.Entry) {
	n.events.Publish(kindOf(e.Action), e.Time, func() any {
		return live.Change{
			Row: e.Seq, Actor: n.scrub(e.Actor), Action: e.Action, Object: n.scrub(e.Object), Outcome: e.Outcome.String(), Reason: n.scrub(e.Reason),
		}
	})
}

// kindOf is the kind of event that an action in the audit log is.
func kindOf(action string) live.Kind {
	group, _, _ := strings.Cut(action, ".")
	switch {
	case action == "block" || action == "unblock" || action == "threat.block":
		return live.Block
	case group == "key":
		return live.Key
	case group == "policy", group == "rollout", group == "exception", group == "bundle":
		return live.Policy
	}
	return live.Audit
}

// publishIncident tells of an incident. Evidence, which may name addresses in any form, is left to incident show.
func (n *Node) publishIncident(i control.IncidentInfo) {
	n.events.Publish(live.Incident, time.Now(), func() any {
		i.Timeline, i.Similar = nil, nil
		i.Subject, i.Evidence, i.Action = n.scrub(i.Subject), n.scrub(i.Evidence), n.scrub(i.Action)
		return i
	})
}
