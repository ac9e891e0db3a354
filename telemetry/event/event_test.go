package event

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKindNames(t *testing.T) {
	want := []string{
		"accepted", "refused", "would_refuse", "authenticated", "handshake_failed", "relayed", "covered", "upstream_failed", "check_failed",
		"reload", "tripwire", "crypto_check", "guess",
	}
	kinds := Kinds()
	if len(kinds) != len(want) {
		t.Fatalf("%d kinds, want %d", len(kinds), len(want))
	}
	for i, k := range kinds {
		if got := k.String(); got != want[i] {
			t.Errorf("kind %d: got %q, want %q", k, got, want[i])
		}
	}
	for k, want := range map[Kind]string{0: "kind(0)", Guess + 1: "kind(14)", 255: "kind(255)"} {
		if got := k.String(); got != want {
			t.Errorf("kind %d: got %q, want %q", uint8(k), got, want)
		}
	}
}

func TestEverySubscriberGetsEveryEventInOrder(t *testing.T) {
	b := NewBus()
	b.Emit(Event{Conn: 1}) // nobody listens
	one, two := b.Subscribe("one", 10), b.Subscribe("two", 10)
	for n := uint64(2); n < 7; n++ {
		b.Emit(Event{Kind: Accepted, Conn: n, Addr: netip.MustParseAddr("192.0.2.1")})
	}
	one.Close()
	two.Close()
	for _, s := range []*Subscription{one, two} {
		next := uint64(2)
		for e := range s.C() {
			if e.Conn != next || e.Kind != Accepted {
				t.Errorf("%s: got %v of connection %d, want connection %d", s.Name(), e.Kind, e.Conn, next)
			}
			next++
		}
		if next != 7 || s.Dropped() != 0 {
			t.Errorf("%s: got events up to %d and %d dropped, want all", s.Name(), next, s.Dropped())
		}
	}
}

// A subscriber that does not read misses events, is told how many, and holds up nobody. In the bubble an Emit that waited would be a deadlock.
func TestSlowSubscriberDropsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBus()
		slow, fast := b.Subscribe("slow", 3), b.Subscribe("fast", 1)
		defer fast.Close()
		for n := range uint64(100) {
			b.Emit(Event{Conn: n})
			if e := <-fast.C(); e.Conn != n {
				t.Fatalf("fast: got connection %d, want %d", e.Conn, n)
			}
		}
		if slow.Dropped() != 97 || fast.Dropped() != 0 {
			t.Errorf("dropped: slow %d, fast %d, want 97 and 0", slow.Dropped(), fast.Dropped())
		}
		slow.Close()
		var kept []uint64
		for e := range slow.C() {
			kept = append(kept, e.Conn)
		}
		if len(kept) != 3 || kept[0] != 0 || kept[2] != 2 {
			t.Errorf("slow kept %v, want the first three", kept)
		}
	})
}

func TestDroppedNeverFallsByName(t *testing.T) {
	b := NewBus()
	read := func() map[string]uint64 {
		m := make(map[string]uint64)
		b.Dropped(func(name string, n uint64) { m[name] = n })
		return m
	}
	if m := read(); len(m) != 0 {
		t.Errorf("a new bus has dropped %v", m)
	}
	first, second, quiet := b.Subscribe("stream", 1), b.Subscribe("stream", 2), b.Subscribe("threat", 100)
	for range 10 {
		b.Emit(Event{})
	}
	if m := read(); m["stream"] != 9+8 || m["threat"] != 0 || len(m) != 2 {
		t.Errorf("dropped: %v, want stream 17 and threat 0", m)
	}
	first.Close()
	first.Close() // the second time must not count again
	if m := read(); m["stream"] != 17 {
		t.Errorf("after one of two was closed: %v, want stream 17", m)
	}
	second.Close()
	quiet.Close()
	b.Emit(Event{})
	if m := read(); m["stream"] != 17 || len(m) != 2 {
		t.Errorf("after all were closed: %v, want stream 17", m)
	}
	third := b.Subscribe("stream", 0) // at least one place
	b.Emit(Event{})
	b.Emit(Event{})
	if m := read(); m["stream"] != 18 {
		t.Errorf("after a third: %v, want stream 18", m)
	}
	third.Close()
}

// Emitters, subscribers that come and go, and a reader of the drop counts at once. Nothing may be lost without being counted, and no send may
// meet a closed channel.
func TestCloseWhileEmitting(t *testing.T) {
	b := NewBus()
	const emitters, each = 4, 5000
	var received, dropped atomic.Uint64
	stop := make(chan struct{})
	var readers, churn sync.WaitGroup
	lasting := b.Subscribe("lasting", 8)
	readers.Go(func() {
		for range lasting.C() {
			received.Add(1)
		}
	})
	for range 3 {
		churn.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := b.Subscribe("passing", 1)
				readers.Go(func() {
					for range s.C() {
					}
				})
				b.Dropped(func(string, uint64) {})
				var closers sync.WaitGroup
				closers.Go(s.Close)
				closers.Go(s.Close)
				closers.Wait()
			}
		})
	}
	var emit sync.WaitGroup
	for range emitters {
		emit.Go(func() {
			for n := range uint64(each) {
				b.Emit(Event{Conn: n})
			}
		})
	}
	emit.Wait()
	close(stop)
	churn.Wait()
	lasting.Close()
	readers.Wait()
	dropped.Store(lasting.Dropped())
	if received.Load()+dropped.Load() != emitters*each {
		t.Errorf("received %d and dropped %d of %d events", received.Load(), dropped.Load(), emitters*each)
	}
	if b.subs.Load() != nil {
		t.Error("subscribers remain on the bus")
	}
}

func TestEmitDoesNotAllocate(t *testing.T) {
	e := Event{Time: time.Unix(0, 0), Kind: Relayed, Addr: netip.MustParseAddr("2001:db8::1"), User: "alice"}
	idle, full := NewBus(), NewBus()
	sub := full.Subscribe("full", 4)
	defer sub.Close()
	for name, sink := range map[string]Sink{"discard": Discard(), "idle bus": idle, "full bus": full} {
		if n := testing.AllocsPerRun(100, func() { sink.Emit(e) }); n != 0 {
			t.Errorf("%s: %v allocations per Emit, want none", name, n)
		}
	}
}

func BenchmarkEmit(b *testing.B) {
	e := Event{Time: time.Unix(0, 0), Kind: Relayed, Addr: netip.MustParseAddr("2001:db8::1"), User: "alice"}
	b.Run("nobody", func(b *testing.B) {
		bus := NewBus()
		b.ReportAllocs()
		for b.Loop() {
			bus.Emit(e)
		}
	})
	b.Run("reader", func(b *testing.B) {
		bus := NewBus()
		s := bus.Subscribe("bench", 1024)
		b.ReportAllocs()
		for b.Loop() {
			bus.Emit(e)
			<-s.C()
		}
		s.Close()
	})
	b.Run("full", func(b *testing.B) {
		bus := NewBus()
		s := bus.Subscribe("bench", 1)
		b.ReportAllocs()
		for b.Loop() {
			bus.Emit(e)
		}
		s.Close()
	})
}
