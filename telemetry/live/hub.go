package live

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options of a Hub. The zero Options are good.
type Options struct {
	// MaxViewers is how many may look at once; 0 is MaxViewers.
	MaxViewers int
	// Linger is for how long what comes in numbers is still asked for when the last viewer has gone, so that one who comes back misses
	// nothing; 0 is a minute.
	Linger time.Duration
}

// MaxViewers is how many may look at once unless Options say otherwise: fewer than the connections that the admin socket takes, so that
// commands find a place.
const MaxViewers = 120

// share is which part of the places one viewer may have at most, unless he is of this machine, and which part is kept for those who are: a tenth,
// so that no program, and no page that is open too often, keeps an operator at the node from looking.
const share = 10

const usualLinger = time.Minute

// Hub is told what happens and keeps the last of it. Use NewHub.
type Hub struct {
	most   int
	linger time.Duration
	epoch  string // of this process, in every ID
	began  time.Time
	poke   chan struct{} // holds one when the number of viewers has changed

	mu       sync.Mutex // guards what follows
	number   uint64     // of the last event
	rings    [classes]ring
	risen    chan struct{} // closed when there is something new; nil while nobody waits
	viewers  int
	of       map[string]int // of these, by who looks; those of this machine are not counted
	thirsty  int            // viewers who wait for what flows
	flowing  bool           // samples and decisions come, or will in a moment
	finished bool
}

// NewHub returns a Hub whose IDs are of no other.
func NewHub(o Options) *Hub {
	h := &Hub{most: o.MaxViewers, linger: o.Linger, began: time.Now(), poke: make(chan struct{}, 1), of: make(map[string]int)}
	if h.most == 0 {
		h.most = MaxViewers
	}
	if h.linger == 0 {
		h.linger = usualLinger
	}
	var epoch [6]byte
	rand.Read(epoch[:])
	h.epoch = hex.EncodeToString(epoch[:])
	for c := range h.rings {
		h.rings[c].depth = depths[c]
		h.rings[c].since = h.began
	}
	return h
}

// Publish takes an event in and returns at once. show puts it into words, when a viewer asks: later, at most once, on any goroutine.
func (h *Hub) Publish(kind Kind, at time.Time, show func() any) {
	if !known(kind) {
		panic("live: no kind " + string(kind)) // a mistake of the program
	}
	e := &Event{Kind: kind, Time: at.UTC(), show: show}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.finished {
		return
	}
	h.number++
	e.number, e.ID = h.number, h.id(h.number)
	h.rings[kind.class()].add(e)
	h.wake()
}

func (h *Hub) id(number uint64) string { return h.epoch + "-" + strconv.FormatUint(number, 10) }

// wake tells those who wait. The caller holds mu.
func (h *Hub) wake() {
	if h.risen != nil {
		close(h.risen)
		h.risen = nil
	}
}

// Run calls watch while somebody waits for samples or decisions, and a while longer; watch returns when its context ends. When ctx ends, so do Run, watch and every
// View.
func (h *Hub) Run(ctx context.Context, watch func(context.Context)) {
	defer h.finish()
	for h.await(ctx, func() bool { return h.thirsty > 0 }, 0) {
		watching, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		work.Go(func() { watch(watching) })
		gone := h.await(ctx, func() bool { return h.thirsty == 0 }, h.linger)
		stop()
		work.Wait()
		if !gone {
			return
		}
	}
}

// await returns true when it holds, and has for so long, and false when ctx ends. When somebody is awaited to be gone for good, what flows
// has stopped when it returns.
func (h *Hub) await(ctx context.Context, holds func() bool, within time.Duration) bool {
	for {
		h.mu.Lock()
		ok := holds()
		h.mu.Unlock()
		var long <-chan time.Time
		var timer *time.Timer
		if ok && within == 0 {
			return true
		}
		if ok {
			timer = time.NewTimer(within)
			long = timer.C
		}
		select {
		case <-ctx.Done():
			return false
		case <-h.poke:
		case <-long:
			if h.dry(holds) {
				return true
			}
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// dry notes that nothing flows any more, if it still holds that nobody looks.
func (h *Hub) dry(holds func() bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !holds() {
		return false
	}
	h.flowing = false
	return true
}

func (h *Hub) finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finished = true
	h.wake()
}

// Viewers is how many look now.
func (h *Hub) Viewers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.viewers
}

// Query says what a viewer wants. The zero Query is everything from now on.
type Query struct {
	// Kinds are those wanted; none is all.
	Kinds []Kind
	// After is the ID of the last event that the viewer has; empty: none.
	After string
	// Since, unless zero, is from when on: events of before are left out, and those kept since then come first.
	Since time.Time
	// Past ends the View when all that is kept has been read. Without After and Since that is all there is.
	Past bool
	// Who looks, such as a session or a token, so that he has no more than his share of the places; empty: somebody of this machine, who may have
	// every one.
	Who string
}

// View gives a viewer a place, which he closes. ErrTooMany when there is none left for him, ErrEnded when the node stops.
func (h *Hub) View(q Query) (*View, error) {
	v := &View{hub: h, who: q.Who, since: q.Since, past: q.Past, batch: usualBatch}
	if len(q.Kinds) == 0 {
		q.Kinds = Kinds()
	}
	v.kinds = make(map[Kind]bool, len(q.Kinds))
	for _, k := range q.Kinds {
		if !known(k) {
			return nil, fmt.Errorf("no kind %q", k)
		}
		v.kinds[k], v.classes[k.class()] = true, true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.finished:
		return nil, ErrEnded
	case h.viewers >= h.most, q.Who != "" && (h.viewers >= h.most-h.most/share || h.of[q.Who] >= max(1, h.most/share)):
		return nil, ErrTooMany
	}
	if v.thirsty() && !h.flowing {
		h.flowing = true
		h.number++ // whoever has an ID of before has missed something
		h.rings[flow].lose(h.number, time.Now())
	}
	h.place(v, q)
	h.count(v, 1)
	return v, nil
}

// count counts a viewer who comes, or goes. The caller holds mu.
func (h *Hub) count(v *View, n int) {
	h.viewers += n
	if v.who != "" {
		if h.of[v.who] += n; h.of[v.who] == 0 {
			delete(h.of, v.who)
		}
	}
	if !v.thirsty() {
		return
	}
	h.thirsty += n
	select {
	case h.poke <- struct{}{}:
	default:
	}
}

// place finds where v begins. The caller holds mu.
func (h *Hub) place(v *View, q Query) {
	reason := ""
	switch number, ours := h.parse(q.After); {
	case q.After == "" && q.Since.IsZero() && !q.Past:
		v.at = h.number
	case q.After == "" && !q.Since.IsZero() && q.Since.Before(h.began):
		reason = Restart
	case q.After == "":
		for c, wanted := range v.classes {
			if wanted && !q.Since.IsZero() && q.Since.Before(h.rings[c].since) {
				reason = Lost
			}
		}
	case !ours:
		reason = Restart
	default:
		v.at = number
		if v.lost() > v.at {
			reason = Lost
		}
	}
	if reason != "" {
		v.gap = gap(reason, time.Now())
	}
	v.last, v.told = h.number, v.lost()
}

// parse reads an ID. It is not ours when it is of another process, or is none.
func (h *Hub) parse(id string) (number uint64, ours bool) {
	epoch, text, _ := strings.Cut(id, "-")
	number, err := strconv.ParseUint(text, 10, 64)
	return number, err == nil && epoch == h.epoch && number <= h.number
}
