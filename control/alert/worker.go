package alert

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	firstWait = time.Second
	mostBack  = 5 * time.Minute
	// finalTries and finalAge: a message that the receiver says it will never take is
	// tried so often and kept so long, since the fault may be a setting of either side.
	finalTries = 5
	finalAge   = 15 * time.Minute
)

// backOff is how long to wait after so many failures in a row: doubling, half of it by
// lot, so that nodes do not come back all at once.
func backOff(failures int, lot func() float64) time.Duration {
	wait := mostBack
	if failures < 16 {
		wait = min(mostBack, firstWait<<max(failures-1, 0))
	}
	return wait/2 + time.Duration(lot()*float64(wait/2))
}

// waiting is a message in the queue of one receiver.
type waiting struct {
	seq  int64 // below 0: the store has not got it
	m    Message
	made time.Time
}

// queue is what a worker needs of the Manager.
type queue interface {
	// peek returns the first messages, at most n.
	peek(ctx context.Context, receiver string, n int) ([]waiting, error)
	// remove takes messages out.
	remove(ctx context.Context, receiver string, seqs []int64) error
	// lose counts messages that were taken out and never delivered, and says so.
	lose(ctx context.Context, receiver string, n int64, why string)
	// firing are the alerts that receivers know of, to be sent again.
	firing(least Severity) []Message
	// well reports that nothing as bad as that fires and that somebody looks.
	well(least Severity) bool
	// attempted keeps the outcome of a sending of n messages.
	attempted(receiver string, n int, err *failure)
}

// worker delivers to one receiver.
type worker struct {
	r      Receiver
	s      sender
	q      queue
	wake   <-chan struct{}
	resend time.Duration // 0: nothing is sent again
	lot    func() float64

	failures int
	pacing   bool           // the receiver wants a pause, whatever comes
	singly   int            // so many go one by one: a batch was refused, and one of it is why
	tries    map[int64]int  // of messages that are refused for good
	gone     map[int64]bool // delivered, and the store has not forgotten them
	sent     time.Time      // when something was sent last
}

func newWorker(r Receiver, s sender, q queue, wake <-chan struct{}) *worker {
	w := &worker{r: r, s: s, q: q, wake: wake, lot: rand.Float64, tries: make(map[int64]int), gone: make(map[int64]bool)}
	switch r.Kind {
	case KindAlertmanager, KindPing:
		w.resend = resendEvery
	}
	return w
}

// run delivers until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.s.close()
	for {
		wait := w.once(ctx)
		timer := time.NewTimer(wait)
		wake := w.wake
		if w.failures > 0 || w.pacing {
			wake = nil // a new message is no reason to be less patient
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-wake:
			timer.Stop()
		}
	}
}

// idle is how long a worker waits with nothing to do, unless it is woken.
const idle = 30 * time.Second

// once delivers one batch and returns how long to wait then.
func (w *worker) once(ctx context.Context) (wait time.Duration) {
	if w.r.Kind == KindPing {
		return w.ping(ctx)
	}
	w.pacing = false
	w.forget(ctx)
	n := w.s.most()
	if w.singly > 0 {
		n = 1
	}
	batch, err := w.q.peek(ctx, w.r.Name, n+len(w.gone))
	if err != nil {
		return mostBack / 60 // the store has its own alert
	}
	batch = w.fresh(batch, n)
	if len(batch) == 0 {
		return w.again(ctx)
	}
	messages := make([]Message, len(batch))
	for i := range batch {
		messages[i] = batch[i].m
	}
	if f := w.deliver(ctx, messages); f != nil {
		if ctx.Err() == nil {
			w.refused(ctx, batch, f)
		}
		return max(backOff(w.failures, w.lot), f.after)
	}
	w.failures, w.singly = 0, max(w.singly-1, 0)
	for _, b := range batch {
		w.gone[b.seq] = true
		delete(w.tries, b.seq)
	}
	w.forget(ctx)
	wait = w.s.pause()
	w.pacing = wait > 0
	return wait
}

// fresh are the first n of a batch that were not delivered yet.
func (w *worker) fresh(batch []waiting, n int) []waiting {
	out := batch[:0]
	for _, b := range batch {
		if !w.gone[b.seq] && len(out) < n {
			out = append(out, b)
		}
	}
	return out
}

// deliver sends and keeps the outcome.
func (w *worker) deliver(ctx context.Context, messages []Message) *failure {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := w.s.send(ctx, messages)
	if err == nil {
		w.sent = time.Now()
		w.q.attempted(w.r.Name, len(messages), nil)
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return &failure{text: "the node stops"}
	}
	w.failures++
	f := w.r.explain(err)
	w.q.attempted(w.r.Name, len(messages), f)
	return f
}

// refused looks what a failure means for the messages.
func (w *worker) refused(ctx context.Context, batch []waiting, f *failure) {
	if !f.final {
		return
	}
	if len(batch) > 1 {
		w.singly = len(batch)
		return
	}
	b := batch[0]
	w.tries[b.seq]++
	if w.tries[b.seq] < finalTries || time.Since(b.made) < finalAge {
		return
	}
	w.gone[b.seq], w.failures, w.singly = true, 0, max(w.singly-1, 0)
	delete(w.tries, b.seq)
	w.forget(ctx)
	w.q.lose(ctx, w.r.Name, 1, "the receiver will not take it: "+f.text)
}

// forget takes what was delivered out of the queue. What the store does not let go is
// remembered, so that it is not sent again while we live.
func (w *worker) forget(ctx context.Context) {
	if len(w.gone) == 0 {
		return
	}
	seqs := make([]int64, 0, len(w.gone))
	for seq := range w.gone {
		seqs = append(seqs, seq)
	}
	// That it was delivered must not be lost to the end of ctx.
	if w.q.remove(context.WithoutCancel(ctx), w.r.Name, seqs) == nil {
		clear(w.gone)
	}
}

// again sends what is active once more, where the receiver forgets.
func (w *worker) again(ctx context.Context) time.Duration {
	if w.resend == 0 {
		return idle
	}
	if rest := w.resend - time.Since(w.sent); rest > 0 {
		return min(rest, idle)
	}
	firing := w.q.firing(w.r.MinSeverity)
	if len(firing) == 0 {
		return idle
	}
	for len(firing) > 0 {
		n := min(len(firing), w.s.most())
		if f := w.deliver(ctx, firing[:n]); f != nil {
			return max(backOff(w.failures, w.lot), f.after)
		}
		firing = firing[n:]
	}
	w.failures = 0
	return w.resend
}

// ping asks for the URL while all is well.
func (w *worker) ping(ctx context.Context) time.Duration {
	if rest := w.resend - time.Since(w.sent); rest > 0 {
		return rest
	}
	if !w.q.well(w.r.MinSeverity) {
		return every
	}
	if f := w.deliver(ctx, nil); f != nil {
		return min(max(backOff(w.failures, w.lot), f.after), w.resend)
	}
	w.failures = 0
	return w.resend
}
