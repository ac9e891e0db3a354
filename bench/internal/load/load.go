package load

import (
	"errors"
	"fmt"
	"time"

	"mtguard/bench/internal/evloop"
	"mtguard/bench/internal/wire"
)

// Load runs one Spec.
type Load struct {
	spec    Spec
	secret  []byte
	loop    *evloop.Loop
	hellos  *wire.Hellos
	in      []byte // everything is read into here
	work    []byte
	first   []byte
	garbage []byte // what unchecked messages are made of
	upload  []byte // the same with record headers where the mode has them

	report  Report
	times   samples
	active  int
	opened  []*client
	failure error
	ended   time.Time
}

const (
	readSize    = 256 << 10
	garbageSize = 64 << 10
	tooMany     = 20 // failures after which a run is not a measurement any more
)

// New prepares a run.
func New(spec Spec) (*Load, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	secret, err := spec.secret()
	if err != nil {
		return nil, err
	}
	if spec.Size > garbageSize {
		return nil, fmt.Errorf("messages of %d bytes are too large", spec.Size)
	}
	if spec.Work == Upload { // whole records only, for every mode alike
		spec.Bytes = (spec.Bytes + wire.RecordPayload - 1) / wire.RecordPayload * wire.RecordPayload
	}
	if spec.Deadline == 0 {
		spec.Deadline = time.Minute
	}
	loop, err := evloop.New()
	if err != nil {
		return nil, err
	}
	l := &Load{
		spec: spec, secret: secret, loop: loop,
		in: make([]byte, readSize), work: make([]byte, 0, 128<<10), first: make([]byte, 0, 80<<10),
		garbage: make([]byte, garbageSize),
	}
	for i := range l.garbage {
		l.garbage[i] = byte(i * 167)
	}
	if spec.Mode == FakeTLS {
		l.hellos = wire.NewHellos(spec.Domain, secret)
	}
	return l, nil
}

// Close gives descriptors back.
func (l *Load) Close() {
	for _, c := range l.opened {
		c.reset()
	}
	l.loop.Close()
}

// Run does the work. It calls ready when everything before the measured part is done and starts that part when ready returns. For Idle
// and Slow it calls held when the state to look at has been reached, and ends the sessions when held returns.
func (l *Load) Run(ready, held func() error) (Report, error) {
	if !l.spec.Unchecked {
		if err := l.check(); err != nil {
			return l.report, fmt.Errorf("checked exchange: %w", err)
		}
	}
	if l.spec.Work == Echo {
		if err := l.openAll(wire.Order{Op: wire.Echo}, 0); err != nil {
			return l.report, err
		}
	}
	if err := ready(); err != nil {
		return l.report, err
	}
	start := time.Now()
	err := l.measured(held)
	if l.ended.IsZero() {
		l.ended = time.Now()
	}
	l.report.Wall = l.ended.Sub(start).Seconds()
	l.times.into(&l.report)
	return l.report, err
}

func (l *Load) measured(held func() error) error {
	switch l.spec.Work {
	case Download, Upload:
		return l.bulk()
	case Sessions:
		return l.sessions()
	case Echo:
		return l.echoes()
	case Strangers:
		return l.strangers()
	case Idle:
		if err := l.openAll(wire.Order{Op: wire.Echo}, l.spec.Size); err != nil {
			return err
		}
		return held()
	default:
		if err := l.openBlocked(); err != nil {
			return err
		}
		return held()
	}
}

// run serves the loop until something stops it.
func (l *Load) run() error {
	stopped, err := l.loop.Run(time.Now().Add(l.spec.Deadline))
	switch {
	case err != nil:
		return err
	case l.failure != nil:
		return l.failure
	case !stopped:
		return fmt.Errorf("not done within %s", l.spec.Deadline)
	}
	return nil
}

// failed counts a failure, and gives up when there are too many of them.
func (l *Load) failed(err error) {
	l.report.Failures++
	l.report.Failure = err.Error()
	if l.report.Failures > tooMany {
		l.failure = fmt.Errorf("too many failures, the last: %w", err)
		l.loop.Stop()
	}
}

// fatal ends the run: some work has no use for the connections that are left.
func (l *Load) fatal(_ *client, err error) {
	l.report.Failures++
	l.report.Failure = err.Error()
	l.failure = err
	l.loop.Stop()
}

// openAll opens Conns connections, at most 64 at a time, and waits for one echo of size bytes from each where size is not 0.
func (l *Load) openAll(order wire.Order, size int) error {
	left, done := l.spec.Conns, 0
	var next func()
	finished := func() {
		if done++; done == l.spec.Conns {
			l.loop.Stop()
			return
		}
		next()
	}
	next = func() {
		if left == 0 {
			return
		}
		left--
		got := 0
		c := &client{load: l, order: order, extra: size, onFailure: l.fatal}
		c.onOpen = func(*client) {
			if size == 0 {
				finished()
			}
		}
		c.onPayload = func(c *client, n int) {
			if got += n; got == size {
				finished()
			}
		}
		l.opened = append(l.opened, c)
		c.start()
	}
	for range min(64, l.spec.Conns) {
		next()
	}
	return l.run()
}

// openBlocked asks for downloads and never reads a byte of them.
func (l *Load) openBlocked() error {
	done := 0
	for range l.spec.Conns {
		c := &client{load: l, small: true, order: wire.Order{Op: wire.Download, Bytes: l.spec.Bytes}, onFailure: l.fatal}
		c.onPayload = func(*client, int) {}
		c.onOpen = func(c *client) {
			if err := l.loop.Want(c.fd, 0); err != nil {
				l.fatal(c, err)
				return
			}
			if done++; done == l.spec.Conns {
				l.loop.Stop()
			}
		}
		l.opened = append(l.opened, c)
		c.start()
	}
	if err := l.run(); err != nil {
		return err
	}
	for _, c := range l.opened {
		if len(c.out) > 0 {
			return errors.New("a blocked client could not send its order")
		}
	}
	return nil
}
