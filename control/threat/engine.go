package threat

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"mtguard/proxy/guard"
	"mtguard/security/policy"
	"mtguard/telemetry/event"
)

// Options is what an Engine works with.
type Options struct {
	// Policy is the policy in force: it says whether threat.block is off, in monitor or enforced, and how far it goes. Required.
	Policy func() *policy.Snapshot
	// Suspects is where the stages short of a block take effect; nil: nowhere.
	Suspects *guard.Suspects
	// Responder makes blocks and keeps incidents; nil: nobody does.
	Responder Responder
	// Regular reports whether somebody authenticated from the address within guard.Lately, or is connected from it; nil: nobody ever did.
	Regular func(addr netip.Addr, now time.Time) bool
	// Network reports whether somebody ever came from the address's network; nil: nobody did.
	Network func(addr netip.Addr) bool
	Log     *slog.Logger // nil: none
}

// Block is a block to be made.
type Block struct {
	Prefix netip.Prefix
	For    time.Duration
	// Detector and Reason say why.
	Detector, Reason string

	decided time.Time // by the wall clock
}

// Response is what is to be done.
type Response struct {
	Blocks []Block
	Notes  []Note
}

// Responder does what an Engine has decided. Respond returns the prefixes it did not block because somebody is there, and when it returns the
// others are in force for good; until then the Suspects refuse them. It is called with blocks or with notes, each from one goroutine at a time:
// a block waits for no note.
type Responder interface {
	Respond(ctx context.Context, r Response) (spared []netip.Prefix, err error)
}

// Engine turns events into findings, findings into scores, and scores into responses.
type Engine struct {
	o         Options
	detectors []Detector
	wake      chan struct{} // a block waits

	mu        sync.Mutex // guards what follows
	addresses *table[standing]
	networks  *table[network]
	findings  ring
	count     counts
	budget    bucket
	began     time.Time // the first event
	now       time.Time // the last one
	heard     time.Time // when it came, by the wall clock
	would     hits
	blocks    []Block
	notes     map[string]*Note
	recent    []time.Time // when incidents about single addresses began
}

const (
	scoredAddresses = 1 << 15
	scoredNetworks  = 1 << 12
)

// NewEngine returns an Engine over these detectors.
func NewEngine(o Options, detectors ...Detector) *Engine {
	if o.Regular == nil {
		o.Regular = func(netip.Addr, time.Time) bool { return false }
	}
	if o.Network == nil {
		o.Network = func(netip.Addr) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Engine{
		o: o, detectors: detectors, wake: make(chan struct{}, 1),
		addresses: newTable[standing](scoredAddresses), networks: newTable[network](scoredNetworks), notes: make(map[string]*Note),
	}
	g.count.spared = make(sparings)
	g.count.findings = make(map[string]uint64, len(detectors))
	for _, d := range detectors {
		g.count.findings[d.Name()] = 0
	}
	return g
}

// Run observes events until the channel is closed or ctx ends, and responds. It returns when nothing of it runs any more.
func (g *Engine) Run(ctx context.Context, events <-chan event.Event) {
	responding, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() { g.respond(responding) })
	work.Go(func() { g.write(responding) })
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			g.Observe(e)
		case <-ctx.Done():
			return
		}
	}
}

// Observe shows one event to all detectors and decides what follows from their findings. Run calls it; a trace may be played with it.
func (g *Engine) Observe(e event.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.o.Policy() // not before the lock: it is as new as what flushBlocks noted
	if g.began.IsZero() {
		g.began = e.Time
	}
	if e.Time.After(g.now) {
		g.now, g.heard = e.Time, time.Now()
	}
	if s.Mode(policy.ThreatBlock, policy.Subject{}) == policy.Off {
		return
	}
	if e.Kind == event.Authenticated {
		g.would.authenticated(g, &e)
	}
	for _, d := range g.detectors {
		for _, f := range d.Observe(e) {
			g.take(s, f)
		}
	}
}

// take counts a finding and lets whom it is about climb the ladder.
func (g *Engine) take(s *policy.Snapshot, f Finding) {
	g.findings.add(f)
	g.count.findings[f.Detector]++
	if !f.Addr.IsValid() {
		if _, exception := s.Judge(policy.ThreatBlock, policy.Subject{User: f.User}, f.Time); exception != "" {
			g.count.spared[sparedException]++
			return
		}
		subject := "key " + f.Key
		if f.Key == "" {
			subject = "actor " + f.User
		}
		g.note(f, subject, f.Key, severityOf(f.Points), "for a person to judge")
		return
	}
	g.climb(s, f)
}

// settle is how long a block waits for others, so that they are made together.
const settle = 20 * time.Millisecond

// noteEvery is how often incidents are written.
const noteEvery = 2 * time.Second

// respond has blocks made, until ctx ends.
func (g *Engine) respond(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settle):
		}
		g.flushBlocks(ctx)
	}
}

// write has notes written, until ctx ends.
func (g *Engine) write(ctx context.Context) {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.flushNotes(ctx)
		}
	}
}

// flushNotes has what was found written down. What failed is not tried again: whoever goes on is found again.
func (g *Engine) flushNotes(ctx context.Context) {
	var r Response
	g.mu.Lock()
	for _, n := range g.notes {
		r.Notes = append(r.Notes, *n)
	}
	clear(g.notes)
	g.mu.Unlock()
	if len(r.Notes) == 0 || g.o.Responder == nil {
		return
	}
	if _, err := g.o.Responder.Respond(ctx, r); err != nil && ctx.Err() == nil {
		g.o.Log.Error("incidents are not written down", "notes", len(r.Notes), "error", err)
	}
}

// flushBlocks has the blocks made that wait. Of one that is not made the stage stays that holds since the decision, and ends as such stages do:
// whoever goes on is found again.
func (g *Engine) flushBlocks(ctx context.Context) {
	g.mu.Lock()
	r := Response{Blocks: g.blocks}
	g.blocks = nil
	g.mu.Unlock()
	if len(r.Blocks) == 0 || g.o.Responder == nil {
		return
	}
	spared, err := g.o.Responder.Respond(ctx, r)
	if err != nil && ctx.Err() == nil {
		g.o.Log.Error("threat response", "blocks", len(r.Blocks), "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.count.failed += uint64(len(r.Blocks))
		for _, b := range r.Blocks {
			g.undo(b.Prefix)
		}
		return
	}
	now := time.Now()
	for _, b := range r.Blocks {
		if x := g.addresses.peek(placeAt(b.Prefix)); x != nil {
			x.made = x.ordered
		}
		g.count.took(now.Sub(b.decided))
		g.shut(b.Prefix, time.Time{}) // what is in force now can be taken back by an operator
	}
	g.count.spared[sparedShared] += uint64(len(spared))
	for _, p := range spared {
		g.undo(p)
		if g.o.Suspects != nil {
			g.o.Suspects.Set(p.Addr(), guard.Throttled, g.now.Add(suspectFor))
		}
	}
}

// shut has the door refuse a prefix until a time, or with the zero time not any more.
func (g *Engine) shut(p netip.Prefix, until time.Time) {
	switch {
	case g.o.Suspects == nil:
	case p != prefixOf(p.Addr()):
		g.o.Suspects.ShutNetwork(p, until)
	case until.IsZero():
		g.o.Suspects.Set(p.Addr(), guard.Trusted, until)
	default:
		g.o.Suspects.Set(p.Addr(), guard.Shown, until)
	}
}
