package live

import (
	"context"
	"time"
)

const (
	// usualBatch is how many events Next returns at most.
	usualBatch = 256
	// mostBehind is how many events a viewer may be behind once he has read what was there when he came. Decisions come in some tens a
	// second, so that is a good half of a minute.
	mostBehind = 2000
)

// View is one viewer's place. One goroutine at a time may use it.
type View struct {
	hub     *Hub
	who     string
	kinds   map[Kind]bool
	classes [classes]bool // that the kinds are of
	since   time.Time
	past    bool
	batch   int

	at     uint64 // the number up to which everything was read
	last   uint64 // the number that the hub was at when the view was made
	told   uint64 // what is lost up to here was told, or before his time
	gap    *Event // to be told first
	closed bool
}

// Next returns the next events, at least one, and waits until there is one. The events are shared by all viewers. ErrEnded tells that the
// node stops, or that a View of the past has been read; ErrSlow comes with a last event; other errors are those of ctx. After an error
// nothing more comes.
func (v *View) Next(ctx context.Context) ([]*Event, error) {
	for {
		events, wait, err := v.take()
		if len(events) > 0 || err != nil {
			return events, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns what is there, or what to wait for.
func (v *View) take() (events []*Event, wait <-chan struct{}, err error) {
	h := v.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.gap != nil {
		events = []*Event{v.gap}
		v.gap = nil
		return events, nil, nil
	}
	lost := v.lost() > max(v.at, v.told)
	switch {
	case v.behind(h), lost && v.at >= v.last:
		return []*Event{gap(Slow, time.Now())}, nil, ErrSlow
	case lost: // of what was there when he came: he is no slower than anybody
		v.told = v.lost()
		return []*Event{gap(Lost, time.Now())}, nil, nil
	}
	events = v.read(h)
	switch {
	case len(events) > 0:
		return events, nil, nil
	case h.finished || v.past && v.at >= v.last:
		return nil, nil, ErrEnded
	}
	if h.risen == nil {
		h.risen = make(chan struct{})
	}
	return nil, h.risen, nil
}

// behind reports whether v lags too far, of what came since it was made. The caller holds the hub's mu.
func (v *View) behind(h *Hub) bool {
	n, from := 0, max(v.at, v.last)
	for c, wanted := range v.classes {
		if wanted {
			r := &h.rings[c]
			n += len(r.events) - r.after(from)
		}
	}
	return n > mostBehind
}

// read goes on in the rings in the order of the numbers. The caller holds the hub's mu.
func (v *View) read(h *Hub) (events []*Event) {
	var next [classes]int
	for c := range next {
		next[c] = h.rings[c].after(v.at)
	}
	for len(events) < v.batch {
		var e *Event
		from := class(0)
		for c, wanted := range v.classes {
			r := &h.rings[c]
			if wanted && next[c] < len(r.events) && (e == nil || r.at(next[c]).number < e.number) {
				e, from = r.at(next[c]), class(c)
			}
		}
		if e == nil || v.past && e.number > v.last {
			v.at = h.number
			break
		}
		next[from]++
		v.at = e.number
		if v.kinds[e.Kind] && !e.Time.Before(v.since) {
			events = append(events, e)
		}
	}
	return events
}

// lost is the highest number of what v wants and is gone. The caller holds the hub's mu.
func (v *View) lost() (number uint64) {
	for c, wanted := range v.classes {
		if wanted {
			number = max(number, v.hub.rings[c].lost)
		}
	}
	return number
}

// thirsty reports whether v waits for what flows.
func (v *View) thirsty() bool { return v.classes[flow] && !v.past }

// Close gives the place back. Calling it again does nothing.
func (v *View) Close() {
	h := v.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.closed {
		return
	}
	v.closed = true
	h.count(v, -1)
}
