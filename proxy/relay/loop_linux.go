package relay

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The stages of a byte, in the order of this package's files:
//
//	loop_linux.go     epoll says that a descriptor is readable or writable
//	session_linux.go  the session's directions that can move are run
//	move_linux.go     one turn of one direction: splice, or read, transform, write
//	pipe_linux.go     where bytes wait inside the kernel between two splices
//	pause_linux.go    who has used a budget up and is not read until when
//	wheel_linux.go    who has been idle for how long
//
// The epoll descriptor of a loop is itself waited for in Go's poller
// ("nested"), so that no thread ever blocks in epoll_wait and the scheduler
// never has to take a processor away from one: a loop is an ordinary
// goroutine. Interest is registered once per descriptor, edge-triggered, for
// reading and writing; what is known about readiness is kept in the session.

const haveLoops = true

// Loops is the Linux engine: one event loop per core.
type Loops struct {
	loops []*loop
	next  atomic.Uint32
	wg    sync.WaitGroup
}

func newLoops(n int) (Engine, error) {
	e := &Loops{}
	for range max(n, 1) {
		l, err := newLoop()
		if err != nil {
			e.Close()
			return nil, err
		}
		e.loops = append(e.loops, l)
		e.wg.Go(l.run)
	}
	return e, nil
}

// Start implements Engine.
func (e *Loops) Start(s Session) Handle {
	return e.loops[int(e.next.Add(1))%len(e.loops)].start(s)
}

// Active implements Engine.
func (e *Loops) Active() int {
	n := 0
	for _, l := range e.loops {
		n += int(l.active.Load())
	}
	return n
}

// Close implements Engine.
func (e *Loops) Close() {
	for _, l := range e.loops {
		l.post(command{what: stop})
	}
	e.wg.Wait()
}

// loop is one event loop. Its goroutine owns everything but the fields below
// mu and the atomics.
type loop struct {
	epoll   *os.File
	raw     syscall.RawConn
	wakeFD  int
	events  [256]unix.EpollEvent
	slab    []*session // by session index; nil is free
	free    []uint32
	ready   []*session // have something to move, take turns
	spare   []*session // the other half of ready
	wheel   wheel
	pauses  pauses
	pipes   pipes
	buf     []byte // one turn's bytes
	iov     [turnRecords]unix.Iovec
	started time.Time
	now     uint32        // seconds since started
	wakes   time.Duration // since started, when the wait ends if nothing comes
	rounds  uint          // since the start, of those without a pause
	stopped bool

	active atomic.Int64
	serial atomic.Uint32

	mu       sync.Mutex
	commands []command
	closed   bool
}

// command is what other goroutines ask of a loop.
type command struct {
	what    verb
	session *session
	reason  Reason
}

type verb uint8

const (
	add verb = iota
	end
	stop
)

func newLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	unix.SetNonblock(fd, true) // or Go's poller would not take it
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &loop{epoll: os.NewFile(uintptr(fd), "epoll"), wakeFD: wake, started: time.Now()}
	l.buf = make([]byte, turnBytes)
	l.wheel.init(l)
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: wakeEvent}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, wake, &event); err != nil {
		l.release()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	if l.raw, err = l.epoll.SyscallConn(); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

func (l *loop) release() {
	l.epoll.Close()
	unix.Close(l.wakeFD)
	l.pipes.release()
}

// wakeEvent marks the eventfd among the events; sessions have smaller indices.
const wakeEvent = -1

// start takes the descriptors out of Go's poller and hands them to the loop.
func (l *loop) start(s Session) Handle {
	p := &session{loop: l, up: s.Up, down: s.Down, done: s.Done, throttle: s.Throttle, idle: uint32((s.Idle + time.Second - 1) / time.Second)}
	p.serial = l.serial.Add(1)
	var err error
	if p.fd[client], err = detach(s.Client); err == nil {
		if p.fd[server], err = detach(s.Server); err != nil {
			unix.Close(p.fd[client])
		}
	}
	s.Client.Close()
	s.Server.Close()
	if err != nil {
		p.report(Failed)
		return Handle{}
	}
	l.active.Add(1)
	l.post(command{what: add, session: p})
	return Handle{p}
}

// detach returns a descriptor of c's socket that Go's poller does not know;
// the caller closes c, which leaves the socket itself open.
func detach(c net.Conn) (fd int, err error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return -1, errors.New("relay: not a socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	})
	if cerr != nil {
		return -1, cerr
	}
	return fd, err
}

func (s *session) kill(r Reason) {
	s.loop.post(command{what: end, session: s, reason: r})
}

func (l *loop) post(c command) {
	l.mu.Lock()
	first := len(l.commands) == 0
	gone := l.closed
	if !gone {
		l.commands = append(l.commands, c)
	}
	l.mu.Unlock()
	switch {
	case gone && c.what == add: // the engine was closed meanwhile
		c.session.closeBoth()
		l.active.Add(-1)
		c.session.report(Drained)
	case first && !gone:
		one := [8]byte{1}
		unix.Write(l.wakeFD, one[:])
	}
}

// run is the loop: wait, take the events, let everybody who can move take a
// turn, and again.
func (l *loop) run() {
	defer l.release()
	var n int
	wait := func(fd uintptr) bool {
		n = l.poll(int(fd))
		return n != 0
	}
	l.rearm()
	for !l.stopped {
		if len(l.ready) > 0 {
			l.breathe()
			n = l.pollNow()
		} else if err := l.raw.Read(wait); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				panic("relay: epoll: " + err.Error()) // a broken invariant: nobody else closes it
			}
			l.tick()
			continue
		}
		l.now = l.clock()
		for i := range l.events[:max(n, 0)] {
			l.dispatch(&l.events[i])
		}
		l.turns()
	}
	l.endAll()
}

func (l *loop) pollNow() (n int) {
	l.raw.Control(func(fd uintptr) { n = l.poll(int(fd)) })
	if l.clock() != l.now {
		l.tick()
	} else if l.pauses.n > 0 {
		l.resume()
	}
	return n
}

func (l *loop) poll(fd int) int {
	for {
		n, errno := rawPoll(fd, l.events[:])
		switch errno {
		case 0:
			return n
		case unix.EINTR:
		default:
			panic("relay: epoll: " + errno.Error()) // a broken invariant: nobody else closes it
		}
	}
}

// breathe lets the scheduler have its way once in a while: a busy loop never
// enters it otherwise. The sleeping call wakes the monitor thread, which then
// sees to goroutines that wait for the network.
func (l *loop) breathe() {
	if l.rounds++; l.rounds%64 == 0 {
		unix.Nanosleep(&unix.Timespec{}, nil)
		runtime.Gosched()
	}
}

func (l *loop) clock() uint32 { return uint32(time.Since(l.started) / time.Second) }

// tick looks at the wheel once a second, and at the pauses that are over.
func (l *loop) tick() {
	l.now = l.clock()
	l.wheel.advance(l.now)
	l.resume()
	l.rearm()
}

func (l *loop) rearm() {
	when := time.Since(l.started) + time.Second
	if l.pauses.n > 0 {
		when = min(when, l.pauses.next())
	}
	l.wakeAt(when)
}

// wakeAt sets when the wait ends if nothing comes.
func (l *loop) wakeAt(when time.Duration) {
	l.wakes = when
	l.epoll.SetReadDeadline(l.started.Add(when))
}

func (l *loop) dispatch(e *unix.EpollEvent) {
	if e.Fd == wakeEvent {
		l.obey()
		return
	}
	// Pad carries the serial: an event of a session that has ended, still in
	// this batch, must not reach its successor in the slab.
	s := l.slab[e.Fd>>1]
	if s == nil || s.serial != uint32(e.Pad) {
		return
	}
	s.note(side(e.Fd&1), e.Events)
	l.enqueue(s)
}

func (l *loop) enqueue(s *session) {
	if !s.queued {
		s.queued = true
		l.ready = append(l.ready, s)
	}
}

// turns gives each session that can move one turn; who can still move
// afterwards stays for the next round, after new events.
func (l *loop) turns() {
	batch := l.ready
	l.ready = l.spare
	for _, s := range batch {
		s.queued = false
		if !s.over && l.turn(s) {
			l.enqueue(s)
		}
	}
	clear(batch) // or it would hold ended sessions
	l.spare = batch[:0]
}

// obey carries out what other goroutines asked for.
func (l *loop) obey() {
	var word [8]byte
	unix.Read(l.wakeFD, word[:])
	l.mu.Lock()
	todo := l.commands
	l.commands = nil
	l.mu.Unlock()
	for _, c := range todo {
		switch c.what {
		case add:
			l.adopt(c.session)
		case end:
			l.finish(c.session, c.reason)
		case stop:
			l.stopped = true
		}
	}
}

// adopt gives the session a place in the slab and its descriptors to epoll.
func (l *loop) adopt(s *session) {
	if n := len(l.free); n > 0 {
		s.index, l.free = l.free[n-1], l.free[:n-1]
		l.slab[s.index] = s
	} else {
		s.index = uint32(len(l.slab))
		l.slab = append(l.slab, s)
	}
	s.last = l.now
	l.wheel.put(s, l.nextLook(s))
	var err error
	for i := range s.fd {
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
			Fd: int32(s.index)<<1 | int32(i), Pad: int32(s.serial)}
		if e := l.control(unix.EPOLL_CTL_ADD, s.fd[i], &event); e != nil {
			err = e
		}
	}
	if err != nil {
		l.finish(s, Failed)
	}
}

func (l *loop) control(op, fd int, e *unix.EpollEvent) (err error) {
	cerr := l.raw.Control(func(epfd uintptr) { err = unix.EpollCtl(int(epfd), op, fd, e) })
	if cerr != nil {
		return cerr
	}
	return err
}

// finish ends a session: closing a descriptor takes it out of epoll.
func (l *loop) finish(s *session, r Reason) {
	if s.over {
		return
	}
	s.over = true
	if r == Reset {
		for _, fd := range s.fd {
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		}
	}
	s.closeBoth()
	l.pipes.put(s.way[up].pipe)
	l.pipes.put(s.way[down].pipe)
	l.wheel.remove(s)
	l.slab[s.index] = nil
	l.free = append(l.free, s.index)
	l.active.Add(-1)
	s.report(r)
}

func (l *loop) endAll() {
	l.mu.Lock()
	l.closed = true
	todo := l.commands
	l.commands = nil
	l.mu.Unlock()
	for _, c := range todo {
		if c.what == add {
			l.adopt(c.session)
		}
	}
	for _, s := range l.slab {
		if s != nil {
			l.finish(s, Drained)
		}
	}
}
