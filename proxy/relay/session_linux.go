package relay

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"mtguard/security/ratelimit"
)

// side names a descriptor of a session, way a direction.
type (
	side uint8
	way  uint8
)

const (
	client, server side = 0, 1
	up, down       way  = 0, 1
)

// source and sink of a direction: up is read from the client and written to
// the server, down the other way.
func (w way) source() side { return side(w) }
func (w way) sink() side   { return side(1 - w) }

// session is what an idle pair costs: this, two sockets and nothing else. It
// belongs to its loop's goroutine, but for the counts, which anybody may read.
type session struct {
	loop     *loop
	fd       [2]int
	up, down Flow
	way      [2]direction
	done     func(Result)
	throttle *ratelimit.Throttle // nil: nothing is ever held back

	// What epoll last said. Edge-triggered: a bit stays until a system call
	// shows that it is no longer true.
	readable, writable, hungUp, broken [2]bool

	index  uint32 // place in the loop's slab
	serial uint32 // unlike index never used again
	idle   uint32 // seconds, 0 is for ever
	last   uint32 // when a byte last moved
	timer  link   // place in the wheel
	queued bool   // stands in loop.ready
	awake  bool   // may own cipher states
	dying  bool   // a reset is about to be passed on
	over   bool
}

// direction is the state of one way.
type direction struct {
	bytes counter
	pipe  *pipe  // bytes that wait in the kernel; nil when none do
	left  []byte // bytes that wait here, ready to be written; nil when none do
	until int64  // it pauses until then, in nanoseconds of the loop; 0 when it does not
	last  int32  // bytes of the last reading
	turn  uint8  // records a turn may read: grows while all goes well
	full  uint8  // readings in a row that got all they asked for
	over  bool   // went beyond a rate of the throttle once
	ended bool   // the source has said its end and it was passed on
}

// counter counts payload bytes. Only the loop's goroutine adds, so a load and a
// store do.
type counter struct{ n atomic.Int64 }

func (c *counter) add(n int) { c.n.Store(c.n.Load() + int64(n)) }

// note takes an epoll event in.
func (s *session) note(i side, events uint32) {
	if events&unix.EPOLLIN != 0 {
		s.readable[i] = true
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 {
		s.readable[i], s.hungUp[i] = true, true
	}
	if events&unix.EPOLLOUT != 0 {
		s.writable[i] = true
	}
	if events&unix.EPOLLERR != 0 {
		s.broken[i] = true
	}
}

func (s *session) flow(w way) *Flow {
	if w == up {
		return &s.up
	}
	return &s.down
}

func (s *session) closeBoth() {
	unix.Close(s.fd[client])
	unix.Close(s.fd[server])
}

func (s *session) report(r Reason) {
	if s.done != nil {
		up, down := s.moved()
		s.done(Result{Up: up, Down: down, Reason: r, Over: s.way[0].over || s.way[1].over})
	}
}

func (s *session) moved() (int64, int64) {
	return s.way[up].bytes.n.Load(), s.way[down].bytes.n.Load()
}

// turn lets both directions move once and reports whether the session can move
// more without a new event.
func (l *loop) turn(s *session) (more bool) {
	s.last = l.now
	if s.broken[client] || s.broken[server] {
		l.lastWords(s)
		l.finish(s, Reset)
		return false
	}
	for w := up; w <= down; w++ {
		again, reason, ok := l.move(s, w)
		if !ok {
			if reason == Reset {
				l.lastWords(s)
			}
			l.finish(s, reason)
			return false
		}
		more = more || again
	}
	if s.way[up].ended && s.way[down].ended {
		l.finish(s, Closed)
		return false
	}
	if !s.awake {
		s.awake = true
		l.wheel.move(s, l.nextLook(s))
	}
	return more
}

// lastWords passes on what a peer said before it reset the connection: the
// kernel keeps it readable, and without us it would arrive too. What the other
// side does not take now is lost, as it would be without us.
func (l *loop) lastWords(s *session) {
	const turns = 64
	s.dying = true
	for w := up; w <= down; w++ {
		s.readable[w.source()] = true
		for range turns {
			if more, _, ok := l.move(s, w); !ok || !more {
				break
			}
		}
	}
}

// restAfter is how many seconds of silence make a session give its cipher
// states back: about 1 KiB each, and 0.8 µs to make again.
const restAfter = 2

// expire is called by the wheel when s's time has come, and returns when to
// look at it again; 0 when it has ended.
func (l *loop) expire(s *session) uint32 {
	if s.way[up].until != 0 || s.way[down].until != 0 {
		s.last = l.now // a pause is ours, not the peers' silence
	}
	if s.idle > 0 && s.last+s.idle <= l.now {
		l.finish(s, Idled)
		return 0
	}
	if s.awake && s.last+restAfter <= l.now {
		s.awake = false
		s.up.rest()
		s.down.rest()
	}
	return l.nextLook(s)
}

// nextLook is when something can be due for s: its rest or its end.
func (l *loop) nextLook(s *session) uint32 {
	look := l.now + wheelSlots
	if s.awake {
		look = s.last + restAfter
	}
	if s.idle > 0 {
		look = min(look, s.last+s.idle)
	}
	return look
}
