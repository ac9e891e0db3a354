package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a queue without a store.
type memory struct {
	mu     sync.Mutex
	all    []waiting
	stuck  error // of remove
	active []Message
	bad    bool // not well
	lost   int64
	errors []string
}

func (q *memory) add(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range n {
		m := sample()
		seq := int64(len(q.all) + 1)
		m.ID = fmt.Sprint(seq)
		q.all = append(q.all, waiting{seq, m, time.Now()})
	}
}

func (q *memory) peek(_ context.Context, _ string, n int) ([]waiting, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.all[:min(n, len(q.all))]), nil
}

func (q *memory) remove(_ context.Context, _ string, seqs []int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stuck == nil {
		q.all = slices.DeleteFunc(q.all, func(w waiting) bool { return slices.Contains(seqs, w.seq) })
	}
	return q.stuck
}

func (q *memory) lose(_ context.Context, _ string, n int64, _ string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lost += n
}

func (q *memory) firing(Severity) []Message { q.mu.Lock(); defer q.mu.Unlock(); return q.active }
func (q *memory) well(Severity) bool        { q.mu.Lock(); defer q.mu.Unlock(); return !q.bad }

func (q *memory) attempted(_ string, _ int, f *failure) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if f != nil {
		q.errors = append(q.errors, f.text)
	}
}

// script is a sender that does what answer says, and remembers what came when.
type script struct {
	mu     sync.Mutex
	start  time.Time
	batch  int
	rest   time.Duration
	answer func(batch []Message) error
	came   []string // "30s 1 2"
	took   []string // IDs, in order
}

func (s *script) most() int            { return max(s.batch, 1) }
func (s *script) pause() time.Duration { return s.rest }
func (s *script) close()               {}

func (s *script) send(_ context.Context, batch []Message) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := time.Since(s.start).Round(time.Second).String()
	var ids []string
	for _, m := range batch {
		ids = append(ids, m.ID)
		line += " " + m.ID
	}
	s.came = append(s.came, line)
	if s.answer != nil {
		if err := s.answer(batch); err != nil {
			return "", err
		}
	}
	s.took = append(s.took, ids...)
	return "ok", nil
}

// work runs a worker with n messages in a bubble until the test says so.
func work(t *testing.T, kind string, n int, q *memory, s *script, do func(wake chan<- struct{})) {
	synctest.Test(t, func(t *testing.T) {
		q.add(n)
		s.start = time.Now()
		wake := make(chan struct{}, 1)
		w := newWorker(Receiver{Name: "r", Kind: kind, MinSeverity: Info}, s, q, wake)
		w.lot = func() float64 { return 1 }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); w.run(ctx) }()
		do(wake)
		cancel()
		<-ended
	})
}

func (s *script) arrived() []string { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.came) }
func (s *script) taken() []string   { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.took) }
func (q *memory) left() int         { q.mu.Lock(); defer q.mu.Unlock(); return len(q.all) }
func (q *memory) gone() int64       { q.mu.Lock(); defer q.mu.Unlock(); return q.lost }
func (q *memory) tries() int        { q.mu.Lock(); defer q.mu.Unlock(); return len(q.errors) }

func TestAReceiverThatIsDownForAnHourLosesNothing(t *testing.T) {
	q, s := new(memory), new(script)
	s.answer = func([]Message) error {
		if time.Since(s.start) < time.Hour {
			return errors.New("connection refused")
		}
		return nil
	}
	work(t, KindWebhook, 0, q, s, func(wake chan<- struct{}) {
		for range 60 {
			q.add(1)
			select {
			case wake <- struct{}{}:
			default:
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if len(s.taken()) != 60 || !slices.IsSortedFunc(s.taken(), func(a, b string) int { return len(a) - len(b) }) || q.left() != 0 || q.gone() != 0 {
			t.Errorf("it took %d of 60, %d wait, %d lost", len(s.taken()), q.left(), q.gone())
		}
		// Doubling from a second to five minutes: 9 tries until then, and 12 in the rest of the hour.
		if tries := q.tries(); tries < 15 || tries > 25 {
			t.Errorf("%d tries in an hour: %q", tries, s.arrived())
		}
	})
}

func TestBackOff(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: mostBack, 1000: mostBack} {
		low, high := backOff(failures, func() float64 { return 0 }), backOff(failures, func() float64 { return 1 })
		if high != want || low != want/2 {
			t.Errorf("after %d failures %v to %v, want %v to %v", failures, low, high, want/2, want)
		}
	}
}

func TestAReceiverSaysHowLongToWait(t *testing.T) {
	q, s := new(memory), new(script)
	s.answer = func([]Message) error {
		if len(s.came) == 1 {
			return &failure{text: "too many", after: 40 * time.Second}
		}
		return nil
	}
	work(t, KindWebhook, 2, q, s, func(wake chan<- struct{}) {
		time.Sleep(time.Second)
		wake <- struct{}{} // no reason to come earlier
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []string{"0s 1", "40s 1", "40s 2"}; !slices.Equal(s.arrived(), want) {
			t.Errorf("came %q, want %q", s.arrived(), want)
		}
	})
}

func TestOneMessageThatIsRefusedForGoodDoesNotHoldTheOthers(t *testing.T) {
	q, s := new(memory), &script{batch: 10}
	s.answer = func(batch []Message) error {
		for _, m := range batch {
			if m.ID == "3" {
				return &failure{text: "bad request", final: true}
			}
		}
		return nil
	}
	work(t, KindAlertmanager, 5, q, s, func(chan<- struct{}) {
		time.Sleep(finalAge - time.Minute)
		synctest.Wait()
		if want := []string{"1", "2"}; !slices.Equal(s.taken(), want) || q.gone() != 0 {
			t.Errorf("before its time it took %q and %d were lost", s.taken(), q.gone())
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if want := []string{"1", "2", "4", "5"}; !slices.Equal(s.taken(), want) || q.gone() != 1 || q.left() != 0 {
			t.Errorf("it took %q, %d lost, %d wait", s.taken(), q.gone(), q.left())
		}
	})
}

func TestWhatTheStoreDoesNotLetGoIsNotSentAgain(t *testing.T) {
	q, s := &memory{stuck: errors.New("disk full")}, &script{batch: 2}
	work(t, KindWebhook, 5, q, s, func(chan<- struct{}) {
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if want := []string{"1", "2", "3", "4", "5"}; !slices.Equal(s.taken(), want) {
			t.Errorf("it took %q, want %q", s.taken(), want)
		}
		q.mu.Lock()
		q.stuck = nil
		q.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if q.left() != 0 {
			t.Errorf("%d are still in the store", q.left())
		}
	})
}

func TestTelegramIsGivenItsPause(t *testing.T) {
	q, s := new(memory), &script{rest: telegramPause}
	work(t, KindTelegram, 3, q, s, func(wake chan<- struct{}) {
		time.Sleep(time.Second)
		wake <- struct{}{}
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []string{"0s 1", "3s 2", "6s 3"}; !slices.Equal(s.arrived(), want) {
			t.Errorf("came %q, want %q", s.arrived(), want)
		}
	})
}

func TestAlertmanagerHearsAgainOfWhatIsActive(t *testing.T) {
	q, s := new(memory), &script{batch: 10}
	active := sample()
	active.ID = "active"
	q.active = []Message{active}
	work(t, KindAlertmanager, 1, q, s, func(chan<- struct{}) {
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		if want := []string{"0s 1", "1m0s active", "2m0s active", "3m0s active"}; !slices.Equal(s.arrived(), want) {
			t.Errorf("came %q, want %q", s.arrived(), want)
		}
		q.mu.Lock()
		q.active = nil
		q.mu.Unlock()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if len(s.arrived()) != 4 {
			t.Errorf("came %q when nothing is active", s.arrived())
		}
	})
}

func TestOthersHearOnce(t *testing.T) {
	q, s := new(memory), new(script)
	q.active = []Message{sample()}
	work(t, KindWebhook, 1, q, s, func(chan<- struct{}) {
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(s.arrived()) != 1 {
			t.Errorf("came %q", s.arrived())
		}
	})
}

func TestTheDeadMansPing(t *testing.T) {
	q, s := new(memory), new(script)
	work(t, KindPing, 0, q, s, func(chan<- struct{}) {
		time.Sleep(2*time.Minute + time.Second)
		synctest.Wait()
		if want := []string{"0s", "1m0s", "2m0s"}; !slices.Equal(s.arrived(), want) {
			t.Errorf("came %q, want %q", s.arrived(), want)
		}
		q.mu.Lock()
		q.bad = true
		q.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(s.arrived()) != 3 {
			t.Errorf("came %q although all is not well", s.arrived())
		}
		q.mu.Lock()
		q.bad = false
		q.mu.Unlock()
		time.Sleep(2 * every)
		synctest.Wait()
		if len(s.arrived()) != 4 {
			t.Errorf("came %q and all is well again", s.arrived())
		}
	})
}
