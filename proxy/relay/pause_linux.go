package relay

import (
	"time"

	"mtguard/security/ratelimit"
)

// budget is what the bytes of a direction are taken from; nil when nothing is.
func (s *session) budget(w way) *ratelimit.Pair {
	switch {
	case s.throttle == nil:
		return nil
	case w == up:
		return s.throttle.Up()
	}
	return s.throttle.Down()
}

// charge counts n bytes of a direction, and lets it pause if they were too many.
func (l *loop) charge(s *session, w way, budget *ratelimit.Pair, n int) {
	at := time.Now()
	pause, over := budget.Spent(n, at)
	s.way[w].over = s.way[w].over || over
	if n == 0 || pause <= 0 {
		return
	}
	now := at.Sub(l.started)
	s.way[w].until = int64(now + pause)
	l.pause(held{s, w}, now)
}

// pause has a direction looked at when its pause ends.
func (l *loop) pause(h held, now time.Duration) {
	until := time.Duration(h.session.way[h.way].until)
	if when := l.pauses.put(h, min(until, now+lookAgain), now); when < l.wakes {
		l.wakeAt(when)
	}
}

// resume lets those go on whose pause is over.
func (l *loop) resume() {
	at := time.Now()
	now := at.Sub(l.started)
	l.pauses.advance(now, func(h held) {
		s, d := h.session, &h.session.way[h.way]
		if s.over {
			return
		}
		if budget := s.budget(h.way); budget != nil && d.until > int64(now) && budget.Owes(at) {
			l.pause(h, now)
			return
		}
		d.until = 0
		l.enqueue(s)
	})
}

// pauses holds the directions that pause, in a ring of slots of 17 ms, 1.07 s, which is
// more than lookAgain. Each is in it once, also when its session has ended.
type pauses struct {
	slots [pauseSlots][]held
	at    int64 // number of the slot that was looked at last
	n     int
}

const (
	pauseSlots = 64
	pauseShift = 24 // of nanoseconds
)

type held struct {
	session *session
	way     way
}

// put adds a direction and returns when it is due: at the end of a slot.
func (p *pauses) put(h held, until, now time.Duration) time.Duration {
	if p.n == 0 {
		p.at = int64(now) >> pauseShift
	}
	slot := min(max(int64(until)>>pauseShift, p.at+1), p.at+pauseSlots-1)
	list := &p.slots[slot%pauseSlots]
	*list = append(*list, h)
	p.n++
	return due(slot)
}

// next is when the first of them is due; there must be one.
func (p *pauses) next() time.Duration {
	slot := p.at + 1
	for len(p.slots[slot%pauseSlots]) == 0 {
		slot++
	}
	return due(slot)
}

// advance takes out all that are due.
func (p *pauses) advance(now time.Duration, each func(held)) {
	if p.n == 0 {
		return
	}
	for last := int64(now)>>pauseShift - 1; p.at < last && p.n > 0; {
		p.at = max(p.at+1, last-pauseSlots+1) // the machine slept: once round is enough
		slot := &p.slots[p.at%pauseSlots]
		list := *slot
		p.n -= len(list)
		for _, h := range list {
			each(h) // who comes back finds another slot
		}
		clear(list) // or it would hold ended sessions
		*slot = list[:0]
	}
}

func due(slot int64) time.Duration { return time.Duration((slot + 1) << pauseShift) }
