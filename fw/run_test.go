package fw

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a kernel that keeps time as the real one does.
type memory struct {
	mu        sync.Mutex
	there     bool
	foreign   bool
	refuses   error // of Change and Replace
	listening []netip.AddrPort
	ends      map[netip.Prefix]time.Time
	replaced  int
}

func (m *memory) Stands() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stands()
}

func (m *memory) stands() error {
	switch {
	case m.foreign:
		return ErrForeign
	case !m.there:
		return ErrNoTable
	}
	return nil
}

func (m *memory) Replace(listening []netip.AddrPort, all []Element) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.foreign || m.refuses != nil {
		return errors.Join(m.refuses, m.stands())
	}
	m.there, m.listening, m.ends = true, listening, map[netip.Prefix]time.Time{}
	m.replaced++
	return m.change(nil, all)
}

func (m *memory) Change(out []netip.Prefix, in []Element) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.change(out, in)
}

func (m *memory) change(out []netip.Prefix, in []Element) error {
	if m.refuses != nil || !m.there {
		return errors.Join(m.refuses, ErrNoTable)
	}
	m.expire()
	for _, p := range out {
		if _, ok := m.ends[p]; !ok {
			return errors.New("no such element")
		}
		delete(m.ends, p)
	}
	for _, e := range in {
		m.ends[e.Prefix] = time.Now().Add(e.Left)
	}
	return nil
}

func (m *memory) Remove() error {
	m.set(func() { m.there, m.ends = false, nil })
	return nil
}

// set changes what the kernel is like.
func (m *memory) set(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
}

func (m *memory) expire() {
	maps.DeleteFunc(m.ends, func(_ netip.Prefix, end time.Time) bool { return !time.Now().Before(end) })
}

func (m *memory) has() (list []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	for p := range m.ends {
		list = append(list, p.String())
	}
	slices.Sort(list)
	return list
}

// teller is a node.
type teller struct {
	mu    sync.Mutex
	order Order
	err   error
}

func (s *teller) Order(_ context.Context, known string) (*Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || known == s.order.Tag {
		return nil, s.err
	}
	o := s.order
	return &o, nil
}

func (s *teller) want(tag string, blocks ...Block) {
	s.say(Order{Tag: tag, Listening: []netip.AddrPort{netip.MustParseAddrPort("[::]:443")}, Blocks: blocks}, nil)
}

func (s *teller) say(o Order, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order, s.err = o, err
}

func block(text string) Block { return Block{Prefix: netip.MustParsePrefix(text)} }

// running runs do beside Run, in a bubble.
func running(t *testing.T, do func(t *testing.T, node *teller, kernel *memory)) {
	synctest.Test(t, func(t *testing.T) {
		node, kernel := new(teller), new(memory)
		node.want("1", block("192.0.2.1/32"))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- Run(ctx, Options{Source: node, Kernel: kernel, Log: slog.New(slog.DiscardHandler), Hold: time.Minute})
		}()
		synctest.Wait()
		do(t, node, kernel)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if kernel.there {
			t.Error("the table is left behind")
		}
	})
}

func expect(t *testing.T, kernel *memory, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := kernel.has(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRunFollowsTheNode(t *testing.T) {
	running(t, func(t *testing.T, node *teller, kernel *memory) {
		expect(t, kernel, "192.0.2.1/32")
		time.Sleep(time.Hour)
		expect(t, kernel, "192.0.2.1/32") // refreshed
		node.want("2", block("192.0.2.1/32"), block("2001:db8::/32"))
		time.Sleep(usualEvery)
		expect(t, kernel, "192.0.2.1/32", "2001:db8::/32")
		node.want("3", block("2001:db8::/32"))
		time.Sleep(usualEvery)
		expect(t, kernel, "2001:db8::/32")
		kernel.set(func() {
			if kernel.replaced != 1 {
				t.Errorf("made anew %d times", kernel.replaced)
			}
		})
		node.say(Order{Tag: "4", Blocks: []Block{block("2001:db8::/32")}}, nil)
		time.Sleep(usualEvery)
		synctest.Wait()
		kernel.set(func() {
			if kernel.listening != nil || kernel.replaced != 2 {
				t.Errorf("the rules are those of before: %v", kernel.listening)
			}
		})
		expect(t, kernel, "2001:db8::/32")
	})
}

// Without the node's word nothing is refreshed, and nothing is taken out either.
func TestWhatANodeSaidRunsOut(t *testing.T) {
	running(t, func(t *testing.T, node *teller, kernel *memory) {
		node.say(Order{}, errors.New("gone"))
		time.Sleep(29 * time.Second)
		expect(t, kernel, "192.0.2.1/32")
		time.Sleep(32 * time.Second)
		expect(t, kernel)
		node.want("2", block("192.0.2.1/32"))
		time.Sleep(usualEvery)
		expect(t, kernel, "192.0.2.1/32")
		node.want("bad", block("127.0.0.0/8"))
		time.Sleep(61 * time.Second)
		expect(t, kernel)
	})
}

func TestATableThatIsTakenAwayComesAgain(t *testing.T) {
	running(t, func(t *testing.T, node *teller, kernel *memory) {
		kernel.Remove()
		time.Sleep(usualLook + usualEvery)
		expect(t, kernel, "192.0.2.1/32")
		kernel.set(func() { kernel.refuses = errors.New("busy") })
		node.want("2", block("192.0.2.2/32"))
		time.Sleep(time.Second)
		expect(t, kernel, "192.0.2.1/32")
		kernel.set(func() { kernel.refuses = nil })
		time.Sleep(usualEvery)
		expect(t, kernel, "192.0.2.2/32")
		kernel.set(func() { clear(kernel.ends) }) // somebody took the elements: the next change finds that
		node.want("3", block("192.0.2.3/32"))
		time.Sleep(usualEvery)
		expect(t, kernel, "192.0.2.3/32")
	})
}

func TestRunEndsWhereItCannotWork(t *testing.T) {
	node := new(teller)
	node.want("1")
	for _, refusal := range []error{ErrForbidden, ErrNoKernel} {
		kernel := &memory{refuses: refusal}
		if err := Run(t.Context(), Options{Source: node, Kernel: kernel, Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, refusal) {
			t.Errorf("%v, want %v", err, refusal)
		}
	}
	kernel := &memory{foreign: true, there: true}
	if err := Run(t.Context(), Options{Source: node, Kernel: kernel, Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, ErrForeign) || !kernel.there {
		t.Errorf("somebody else's table: %v", err)
	}
}
