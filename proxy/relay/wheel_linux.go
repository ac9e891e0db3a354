package relay

// wheel is a timer wheel of one-second slots. Sessions are linked into it
// through their own timer field: it costs no memory of its own per session,
// and nothing at all when bytes move, since a session's time is only compared
// when its slot comes round.
type wheel struct {
	loop  *loop
	slots [wheelSlots]*session
	at    uint32 // the second that was looked at last
}

// wheelSlots is how far ahead a slot can lie; a longer wait goes round again.
const wheelSlots = 512

type link struct {
	prev, next *session
	slot       uint16
	in         bool
}

func (w *wheel) init(l *loop) { w.loop = l }

// put links s into the slot of second when, or as far ahead as there is one.
func (w *wheel) put(s *session, when uint32) {
	if when <= w.at {
		when = w.at + 1
	}
	slot := uint16(min(when, w.at+wheelSlots-1) % wheelSlots)
	s.timer = link{next: w.slots[slot], slot: slot, in: true}
	if s.timer.next != nil {
		s.timer.next.timer.prev = s
	}
	w.slots[slot] = s
}

func (w *wheel) remove(s *session) {
	t := &s.timer
	if !t.in {
		return
	}
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	s.timer = link{}
}

func (w *wheel) move(s *session, when uint32) {
	w.remove(s)
	w.put(s, when)
}

// advance looks at every slot up to second now.
func (w *wheel) advance(now uint32) {
	if now-w.at > wheelSlots { // the machine slept: once round is enough
		w.at = now - wheelSlots
	}
	for w.at != now {
		w.at++
		slot := w.at % wheelSlots
		due := w.slots[slot]
		w.slots[slot] = nil
		for due != nil {
			s := due
			due = s.timer.next
			s.timer = link{}
			if when := w.loop.expire(s); when != 0 {
				w.put(s, when)
			}
		}
	}
}
