package event

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Bus is a Sink that copies each event to every subscriber. Use NewBus.
type Bus struct {
	// subs is replaced as a whole, so that Emit reads it without a lock and costs one load when nobody listens.
	subs atomic.Pointer[[]*Subscription]

	mu sync.Mutex // guards changes of subs, and gone
	// gone holds the drops of closed subscriptions by name, so that a name's total never goes backwards.
	gone map[string]uint64
}

// NewBus returns a Bus without subscribers.
func NewBus() *Bus { return &Bus{gone: make(map[string]uint64)} }

// Emit offers e to every subscriber and returns at once. A subscriber whose buffer is full misses the event and its drop count rises.
func (b *Bus) Emit(e Event) {
	subs := b.subs.Load()
	if subs == nil {
		return
	}
	for _, s := range *subs {
		s.offer(&e)
	}
}

// Subscribe adds a subscriber that buffers up to depth events (at least one). The name labels its drop count; several subscriptions may
// share a name, and names must come from the program, since their number is not bounded here. The caller closes the subscription.
func (b *Bus) Subscribe(name string, depth int) *Subscription {
	s := &Subscription{bus: b, name: name, ch: make(chan Event, max(depth, 1))}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.gone[name]; !ok {
		b.gone[name] = 0
	}
	var subs []*Subscription
	if old := b.subs.Load(); old != nil {
		subs = slices.Clone(*old)
	}
	subs = append(subs, s)
	b.subs.Store(&subs)
	return s
}

// remove takes s off the list. The caller has already stopped s from counting drops, so the total taken over is final.
func (b *Bus) remove(s *Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone[s.name] += s.dropped.Load()
	subs := slices.DeleteFunc(slices.Clone(*b.subs.Load()), func(x *Subscription) bool { return x == s })
	if len(subs) == 0 {
		b.subs.Store(nil)
		return
	}
	b.subs.Store(&subs)
}

// Dropped calls yield with each subscriber name ever used and the number of events dropped under it, in no particular order. A name's
// number never falls while the Bus lives.
func (b *Bus) Dropped(yield func(name string, dropped uint64)) {
	b.mu.Lock()
	total := make(map[string]uint64, len(b.gone))
	for name, n := range b.gone {
		total[name] = n
	}
	if subs := b.subs.Load(); subs != nil {
		for _, s := range *subs {
			total[s.name] += s.dropped.Load()
		}
	}
	b.mu.Unlock()
	for name, n := range total {
		yield(name, n)
	}
}

// Subscription is one subscriber's place on a Bus.
type Subscription struct {
	bus     *Bus
	name    string
	ch      chan Event
	dropped atomic.Uint64

	// mu lets emitters send side by side and makes Close wait until none of them is inside a send: a send on a closed channel panics.
	// It is held only around sends that cannot wait.
	mu     sync.RWMutex
	closed bool
}

func (s *Subscription) offer(e *Event) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return
	}
	select {
	case s.ch <- *e:
	default:
		s.dropped.Add(1)
	}
}

// C returns the channel of events. Close closes it after the events already buffered.
func (s *Subscription) C() <-chan Event { return s.ch }

// Name returns the name given to Subscribe.
func (s *Subscription) Name() string { return s.name }

// Dropped returns how many events this subscription missed because its buffer was full.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Close ends the subscription. Events already buffered can still be received, then C is closed. Calling Close again does nothing.
func (s *Subscription) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.ch)
	s.mu.Unlock()
	s.bus.remove(s)
}
