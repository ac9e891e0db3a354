// Package evloop is a bare epoll loop for the benchmark's own two ends, the simulated data centre and the load generator.
//
// It calls the kernel without telling Go's scheduler, so one loop occupies one processor of the runtime even while it waits: programs that
// use it start with UseProcessors. It is not meant for servers; mtguard's own loop is in proxy/relay.
//
// Everything of one Loop belongs to the goroutine that calls Run. Linux only.
package evloop

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// Events of a descriptor, as epoll names them.
const (
	Readable = syscall.EPOLLIN
	Writable = syscall.EPOLLOUT
	Closed   = syscall.EPOLLHUP | syscall.EPOLLERR
)

// Handler is told when its descriptor is ready. Errors and hang-ups are part of events; a read or write then shows which.
type Handler interface {
	Ready(events uint32)
}

// Func lets a function be a Handler.
type Func func(events uint32)

// Ready calls f.
func (f Func) Ready(events uint32) { f(events) }

// Loop watches descriptors.
type Loop struct {
	epoll   int
	watched []watch // by descriptor
	stopped bool
	batch   [256]syscall.EpollEvent
}

type watch struct {
	handler    Handler
	generation int32
	events     uint32
}

// UseProcessors makes room for loops beside the rest of the runtime.
func UseProcessors(loops int) { runtime.GOMAXPROCS(loops + 2) }

// New makes a loop.
func New() (*Loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	return &Loop{epoll: fd}, nil
}

// Close gives the loop's own descriptor back. Watched descriptors stay open.
func (l *Loop) Close() { syscall.Close(l.epoll) }

// Watch starts watching fd for events.
func (l *Loop) Watch(fd int, events uint32, h Handler) error {
	for fd >= len(l.watched) {
		l.watched = append(l.watched, watch{})
	}
	w := &l.watched[fd]
	w.handler, w.events = h, events
	w.generation++
	return l.control(syscall.EPOLL_CTL_ADD, fd)
}

// Want changes what fd is watched for.
func (l *Loop) Want(fd int, events uint32) error {
	if l.watched[fd].events == events {
		return nil
	}
	l.watched[fd].events = events
	return l.control(syscall.EPOLL_CTL_MOD, fd)
}

// Forget must be called before fd is closed: events that were already fetched for it are then dropped.
func (l *Loop) Forget(fd int) {
	w := &l.watched[fd]
	w.handler = nil
	w.generation++
}

func (l *Loop) control(op, fd int) error {
	w := &l.watched[fd]
	ev := syscall.EpollEvent{Events: w.events, Fd: int32(fd), Pad: w.generation}
	if err := syscall.EpollCtl(l.epoll, op, fd, &ev); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// Stop makes Run return after the present batch.
func (l *Loop) Stop() { l.stopped = true }

// Run serves events until Stop, or until the deadline has passed, when it is not zero. It tells whether it was stopped.
func (l *Loop) Run(deadline time.Time) (stopped bool, err error) {
	l.stopped = false
	for !l.stopped {
		wait := 1000
		if !deadline.IsZero() {
			left := time.Until(deadline)
			if left <= 0 {
				return false, nil
			}
			wait = min(wait, int(left/time.Millisecond)+1)
		}
		n, errno := pwait(l.epoll, l.batch[:], wait)
		if errno != 0 && errno != syscall.EINTR {
			return false, fmt.Errorf("epoll_wait: %w", errno)
		}
		for i := range max(n, 0) {
			ev := &l.batch[i]
			w := &l.watched[ev.Fd]
			if w.handler != nil && w.generation == ev.Pad {
				w.handler.Ready(ev.Events)
			}
		}
	}
	return true, nil
}

// pwait does not announce the system call to the scheduler: handing the processor over and back costs more than the wait is worth here.
func pwait(epoll int, events []syscall.EpollEvent, ms int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(ms), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// Ticker is a timer descriptor inside a loop.
type Ticker struct {
	loop *Loop
	fd   int
}

// Every calls f in the loop about every d; due is how many periods have passed since the last call.
func (l *Loop) Every(d time.Duration, f func(due int)) (*Ticker, error) {
	const nonblock, cloexec, monotonic = syscall.O_NONBLOCK, syscall.O_CLOEXEC, 1
	fd, _, errno := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, monotonic, nonblock|cloexec, 0)
	if errno != 0 {
		return nil, fmt.Errorf("timerfd_create: %w", errno)
	}
	ts := syscall.NsecToTimespec(d.Nanoseconds())
	spec := [2]syscall.Timespec{ts, ts}
	_, _, errno = syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		syscall.Close(int(fd))
		return nil, fmt.Errorf("timerfd_settime: %w", errno)
	}
	t := &Ticker{loop: l, fd: int(fd)}
	err := l.Watch(t.fd, Readable, Func(func(uint32) {
		var count [8]byte
		if n, _ := Read(t.fd, count[:]); n == 8 {
			f(int(*(*uint64)(unsafe.Pointer(&count))))
		}
	}))
	if err != nil {
		syscall.Close(t.fd)
		return nil, err
	}
	return t, nil
}

// Stop ends the ticker.
func (t *Ticker) Stop() {
	t.loop.Forget(t.fd)
	syscall.Close(t.fd)
}
