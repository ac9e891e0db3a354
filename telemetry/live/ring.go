package live

import (
	"sort"
	"time"
)

// ring is the last events of a class, by their numbers. It grows to its depth as it is needed.
type ring struct {
	depth  int
	events []*Event
	first  int // in events, once they are depth many
	// lost is the highest number of an event that is gone, or may be; since is when that happened: from then on nothing is missing.
	lost  uint64
	since time.Time
}

func (r *ring) add(e *Event) {
	if len(r.events) < r.depth {
		r.events = append(r.events, e)
		return
	}
	gone := r.events[r.first]
	r.lose(gone.number, gone.Time)
	r.events[r.first] = e
	r.first = (r.first + 1) % r.depth
}

func (r *ring) lose(number uint64, at time.Time) {
	r.lost = max(r.lost, number)
	if at.After(r.since) {
		r.since = at
	}
}

// at is the event with i older ones.
func (r *ring) at(i int) *Event { return r.events[(r.first+i)%len(r.events)] }

// after is how many events are as old as number, or older.
func (r *ring) after(number uint64) int {
	return sort.Search(len(r.events), func(i int) bool { return r.at(i).number > number })
}
