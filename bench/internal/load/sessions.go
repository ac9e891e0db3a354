package load

import (
	"syscall"
	"time"

	"mtguard/bench/internal/evloop"
	"mtguard/bench/internal/wire"
)

// visit sets up one session with an echo of Size and resets it. Exactly one of done and failed is called.
func (l *Load) visit(done func(took time.Duration), failed func(error)) *client {
	got := 0
	c := &client{
		load: l, order: wire.Order{Op: wire.Echo}, extra: l.spec.Size,
		onOpen:    func(*client) {},
		onFailure: func(_ *client, err error) { failed(err) },
	}
	c.onPayload = func(c *client, n int) {
		if got += n; got < l.spec.Size {
			return
		}
		took := time.Since(c.begun)
		c.reset()
		done(took)
	}
	c.start()
	return c
}

func (l *Load) sessions() error {
	left := l.spec.Count
	var next func()
	over := func() {
		if l.report.Sessions+l.report.Failures >= l.spec.Count {
			l.ended = time.Now()
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
		l.visit(func(took time.Duration) {
			l.times = append(l.times, took)
			l.report.Sessions++
			over()
		}, func(err error) {
			l.failed(err)
			over()
		})
	}
	for range l.spec.Conns {
		next()
	}
	return l.run()
}

// echoes sends PerSecond messages, each on the next connection in turn, whether or not earlier ones came back.
func (l *Load) echoes() error {
	type queue struct {
		sent []time.Time
		got  int
	}
	queues := make(map[*client]*queue, len(l.opened))
	waiting := 0
	for _, c := range l.opened {
		q := &queue{}
		queues[c] = q
		c.onPayload = func(_ *client, n int) {
			q.got += n
			for q.got >= l.spec.Size && len(q.sent) > 0 {
				q.got -= l.spec.Size
				l.times = append(l.times, time.Since(q.sent[0]))
				q.sent = q.sent[1:]
				waiting--
			}
		}
	}
	message := l.garbage[:l.spec.Size]
	if l.spec.Mode == FakeTLS {
		message = wire.AppendRecords(nil, message)
	}
	total := int(l.spec.Seconds * float64(l.spec.PerSecond))
	sent := 0
	var end time.Time
	ticker, err := l.loop.Every(time.Second/time.Duration(l.spec.PerSecond), func(due int) {
		if sent == total {
			if waiting == 0 || time.Now().After(end) {
				l.loop.Stop()
			}
			return
		}
		for range min(due, total-sent) {
			c := l.opened[sent%len(l.opened)]
			q := queues[c]
			q.sent = append(q.sent, time.Now())
			waiting++
			sent++
			c.send(message)
		}
		end = time.Now().Add(3 * time.Second)
	})
	if err != nil {
		return err
	}
	defer ticker.Stop()
	if err := l.run(); err != nil {
		return err
	}
	l.report.Failures += waiting
	l.report.Payload = int64(len(l.times) * l.spec.Size)
	return nil
}

const goodEvery = 20 * time.Millisecond // a good client's pause between its sessions

// strangers keeps Conns clients with a wrong key busy. Each waits for an answer, a hang-up or the end of Hold, and comes again.
func (l *Load) strangers() error {
	from := l.spec.StrangerFrom
	wrong := make([]byte, 16)
	copy(wrong, "not your key 123")
	hellos := wire.NewHellos(l.spec.Domain, wrong)
	waiting := map[*client]struct{}{}

	var next func()
	over := func(c *client, count *int) {
		delete(waiting, c)
		c.reset()
		*count++
		l.report.Sessions++
		next()
	}
	next = func() {
		bad := &stranger{load: l, wrong: wrong, hellos: hellos}
		c := &client{load: l, from: from}
		bad.client = c
		bad.answered = func() { over(c, &l.report.Answered) }
		bad.hungUp = func() { over(c, &l.report.HungUp) }
		c.onFailure = func(_ *client, err error) {
			delete(waiting, c)
			if l.failed(err); l.failure == nil {
				next()
			}
		}
		if bad.start(); c.phase != closed {
			waiting[c] = struct{}{}
		}
	}
	for range l.spec.Conns {
		next()
	}

	busy := false
	var lastGood time.Time
	end := time.Now().Add(time.Duration(l.spec.Seconds * float64(time.Second)))
	ticker, err := l.loop.Every(2*time.Millisecond, func(int) {
		now := time.Now()
		if now.After(end) {
			l.ended = now
			l.loop.Stop()
			return
		}
		for c := range waiting {
			if now.Sub(c.begun) > l.spec.Hold && c.phase == greeting {
				over(c, &l.report.Held)
			}
		}
		if !busy && now.Sub(lastGood) >= goodEvery {
			busy, lastGood = true, now
			l.visit(func(took time.Duration) {
				busy = false
				l.times = append(l.times, took)
			}, func(err error) {
				busy = false
				l.failed(err)
			})
		}
	})
	if err != nil {
		return err
	}
	defer ticker.Stop()
	err = l.run()
	for c := range waiting {
		c.reset()
	}
	return err
}

// stranger takes the place of a client's own handler: it sends what the proxy must refuse and looks only at whether something comes back.
type stranger struct {
	load             *Load
	client           *client
	wrong            []byte
	hellos           *wire.Hellos
	answered, hungUp func()
}

func (s *stranger) start() {
	c := s.client
	c.begun = time.Now()
	c.phase = connecting
	fd, err := evloop.Connect(s.load.spec.Proxy, c.from, 0)
	if err == nil {
		c.fd = fd
		err = s.load.loop.Watch(fd, evloop.Writable, s)
	}
	if err != nil {
		c.phase = closed
		c.onFailure(c, err)
	}
}

// Ready sends the bad greeting once connected and then waits for the proxy's reaction.
func (s *stranger) Ready(uint32) {
	c, l := s.client, s.load
	if c.phase == connecting {
		if err := evloop.Failure(c.fd); err != nil {
			c.fail(err)
			return
		}
		c.phase = greeting
		c.begun = time.Now()
		var b []byte
		if l.spec.Mode == FakeTLS {
			b = s.hellos.Append(l.work[:0], c.begun)
		} else {
			b, _ = wire.NewHeader(l.work[:0], wire.TagPadded, l.spec.DC, s.wrong)
			b = append(b, l.garbage[:128]...)
		}
		c.send(b)
		return
	}
	n, errno := evloop.Read(c.fd, l.in)
	switch {
	case errno == evloop.Again:
	case errno == syscall.ECONNRESET || errno == syscall.EPIPE || errno == 0 && n == 0:
		s.hungUp()
	case errno != 0:
		c.fail(errno)
	default:
		s.answered()
	}
}
