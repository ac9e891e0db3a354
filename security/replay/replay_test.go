package replay

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"
	"unsafe"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// numbered returns the n-th of a sequence of distinct keys without a pattern in their bits.
func numbered(n uint64) (key [16]byte) {
	z := (n + 1) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	binary.LittleEndian.PutUint64(key[:8], z^z>>31)
	binary.LittleEndian.PutUint64(key[8:], n)
	return key
}

func TestVerdicts(t *testing.T) {
	c := New(100, start)
	steps := []struct {
		name   string
		key    uint64
		sentAt time.Duration // after start
		want   Verdict
	}{
		{"new", 1, 0, Fresh},
		{"verbatim replay", 1, 0, Seen},
		{"replay moved forward in time", 1, time.Hour, Seen},
		{"replay moved below the floor is still told as seen", 1, -time.Hour, Seen},
		{"another key at the same time", 2, 0, Fresh},
		{"sent in the second before start", 3, -time.Second, Fresh},
		{"sent just before the floor", 4, -time.Second - 1, BelowFloor},
		{"a refused key was not remembered", 4, 0, Fresh},
		{"from the future", 5, 10 * time.Minute, Fresh},
		{"from the future again", 5, 10 * time.Minute, Seen},
	}
	for _, s := range steps {
		if got := c.FirstSeen(numbered(s.key), start.Add(s.sentAt), start); got != s.want {
			t.Errorf("%s: got %v, want %v", s.name, got, s.want)
		}
	}
	if got := c.Len(); got != 5 {
		t.Errorf("Len: got %d, want 5", got)
	}
	if got, want := c.Floor(), start.Add(-time.Second); !got.Equal(want) {
		t.Errorf("Floor: got %v, want %v", got, want)
	}
}

func TestZeroKeyAndZeroTimeAreOrdinary(t *testing.T) {
	epoch := time.Unix(0, 0)
	c := New(8, epoch)
	for _, want := range []Verdict{Fresh, Seen} {
		if got := c.FirstSeen([16]byte{}, epoch, epoch); got != want {
			t.Errorf("zero key at 1970: got %v, want %v", got, want)
		}
	}
}

func TestZeroVerdictIsNotFresh(t *testing.T) {
	var v Verdict
	if v == Fresh {
		t.Error("the zero Verdict is Fresh")
	}
	for v, want := range map[Verdict]string{Fresh: "fresh", Seen: "seen", BelowFloor: "below floor", 9: "verdict(9)"} {
		if got := v.String(); got != want {
			t.Errorf("String of %d: got %q, want %q", uint8(v), got, want)
		}
	}
}

// One key offered from eight goroutines at once is accepted exactly once, while other keys push the generations round.
func TestConcurrentOffersOfOneKey(t *testing.T) {
	const rounds, offers = 2000, 8
	c := New(512, start)
	for r := range uint64(rounds) {
		var verdicts [offers]Verdict
		var gate, done sync.WaitGroup
		gate.Add(1)
		for g := range verdicts {
			done.Go(func() {
				gate.Wait()
				now := start.Add(time.Duration(r) * time.Millisecond)
				verdicts[g] = c.FirstSeen(numbered(r), now, now)
			})
		}
		gate.Done()
		done.Wait()
		fresh := 0
		for _, v := range verdicts {
			if v == Fresh {
				fresh++
			}
		}
		if fresh != 1 {
			t.Fatalf("round %d: %d of %d offers were fresh: %v", r, fresh, offers, verdicts)
		}
	}
}

// Many goroutines with keys of their own and in common: each key is accepted exactly once in all.
func TestConcurrentStreams(t *testing.T) {
	const workers, perWorker = 8, 20_000
	c := New(workers*perWorker, start) // room for all, so a second acceptance could only be a race
	var mu sync.Mutex
	accepted := 0
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			n := 0
			for i := range perWorker {
				// Half of the keys are offered by this worker's neighbour, too.
				key := numbered(uint64(w*perWorker/2 + i))
				if c.FirstSeen(key, start, start) == Fresh {
					n++
				}
			}
			mu.Lock()
			accepted += n
			mu.Unlock()
		})
	}
	wg.Wait()
	if distinct := (workers + 1) * perWorker / 2; accepted != distinct {
		t.Errorf("accepted %d, want each of %d keys once", accepted, distinct)
	}
}

// Through many generations no handshake is accepted twice at its own time, and the last capacity ones are refused at any time.
func TestMillionsThroughGenerations(t *testing.T) {
	const capacity, total = 1 << 15, inserts
	c := New(capacity, start)
	sent := func(i uint64) time.Time { // clocks of clients: a minute off either way
		return start.Add(time.Minute + time.Duration(i)*time.Millisecond + time.Duration(int(i*7919%120)-60)*time.Second)
	}
	accepted := make([]bool, total)
	var refused int
	for i := range uint64(total) {
		now := start.Add(time.Minute + time.Duration(i)*time.Millisecond)
		switch v := c.FirstSeen(numbered(i), sent(i), now); v {
		case Fresh:
			accepted[i] = true
		case BelowFloor:
			refused++
		default:
			t.Fatalf("handshake %d, never offered before: %v", i, v)
		}
		// Offer an old one again, at distances of every size up to the first.
		old := (i * 0x9e3779b97f4a7c15) % (i + 1)
		if v := c.FirstSeen(numbered(old), sent(old), now); v == Fresh {
			t.Fatalf("handshake %d was accepted again after %d more", old, i-old)
		}
		if back := i * 31 % capacity; i >= capacity && accepted[i-back] {
			if v := c.FirstSeen(numbered(i-back), now, now); v != Seen {
				t.Fatalf("handshake %d, %d back, moved to now: %v, want seen", i-back, back, v)
			}
		}
	}
	// 32,768 handshakes last 33 s here, so clocks 60 s behind do meet the floor; but never clocks ahead, which are half of them.
	if refused > total/2 {
		t.Errorf("%d of %d handshakes were below the floor", refused, total)
	}
}

// The last capacity handshakes are remembered whatever time a copy claims, also right after a generation was forgotten.
func TestCapacityIsKept(t *testing.T) {
	for _, capacity := range []int{1, 2, 7, 64, 1000, 1 << 13} {
		c := New(capacity, start)
		now := start
		fresh := make([]uint64, 0, 8*capacity)
		for i := range uint64(8*capacity + 3) {
			now = now.Add(time.Second)
			if v := c.FirstSeen(numbered(i), now, now); v != Fresh {
				t.Fatalf("capacity %d: handshake %d: %v", capacity, i, v)
			}
			fresh = append(fresh, i)
			// Of well-set clocks nothing is carried over, so a full turn leaves exactly one generation.
			if one := len(c.shards) == 1; one && len(fresh) >= capacity && len(fresh)%capacity == 0 && c.Len() != capacity {
				t.Fatalf("capacity %d: %d remembered after handshake %d", capacity, c.Len(), i)
			}
			if int(i)%max(capacity/8, 1) != 0 {
				continue
			}
			for _, old := range fresh[max(0, len(fresh)-capacity):] {
				if v := c.FirstSeen(numbered(old), now.Add(time.Hour), now); v != Seen {
					t.Fatalf("capacity %d: handshake %d of the last %d: %v, want seen", capacity, old, capacity, v)
				}
			}
		}
	}
}

// A client whose clock runs ahead is carried over: neither accepted twice, nor does it raise the floor against well-set clocks.
func TestClockAheadIsCarriedOver(t *testing.T) {
	const capacity = 64
	c := New(capacity, start)
	ahead := start.Add(10 * time.Minute)
	if v := c.FirstSeen(numbered(0), ahead, start); v != Fresh {
		t.Fatalf("hello from a clock ahead: %v", v)
	}
	now := start
	for i := range uint64(30 * capacity) {
		now = now.Add(100 * time.Millisecond)
		if v := c.FirstSeen(numbered(i+1), now, now); v != Fresh {
			t.Fatalf("hello %d of a well-set clock: %v (floor %v, now %v)", i, v, c.Floor(), now)
		}
		if v := c.FirstSeen(numbered(0), ahead, now); v == Fresh {
			t.Fatalf("hello of the clock ahead was accepted again after %d others", i+1)
		}
	}
	if behind := now.Sub(c.Floor()); behind < capacity*100*time.Millisecond || behind > 3*capacity*100*time.Millisecond {
		t.Errorf("the floor lies %v behind now, want between one and three generations of %v", behind, capacity*100*time.Millisecond)
	}
}

// A flood of authenticated hellos from the future may cost availability, never exactness, and does not overfill the tables.
func TestFloodFromTheFuture(t *testing.T) {
	const capacity = 256
	c := New(capacity, start)
	type hello struct {
		key uint64
		at  time.Time
	}
	var accepted []hello
	now := start
	floor := c.Floor()
	for i := range uint64(20 * capacity) {
		now = now.Add(time.Millisecond)
		h := hello{i, now.Add(time.Duration(i*7919%600) * time.Second)}
		if c.FirstSeen(numbered(h.key), h.at, now) == Fresh {
			accepted = append(accepted, h)
		}
		if f := c.Floor(); f.Before(floor) {
			t.Fatalf("the floor fell from %v to %v", floor, f)
		} else {
			floor = f
		}
	}
	if len(accepted) < 2*capacity {
		t.Fatalf("only %d were accepted: the flood tested nothing", len(accepted))
	}
	for _, h := range accepted {
		if v := c.FirstSeen(numbered(h.key), h.at, now); v == Fresh {
			t.Fatalf("hello %d was accepted twice", h.key)
		}
	}
	if max := 2 * (capacity + capacity/carryShare); c.Len() > max {
		t.Errorf("Len: %d, want at most %d", c.Len(), max)
	}
}

// When the clock is set back, the promise holds, and nothing is refused that lies above the floor.
func TestClockSetBack(t *testing.T) {
	c := New(16, start)
	var accepted []time.Time
	for i := range uint64(400) {
		now := start.Add(time.Duration(i%100) * time.Second) // back by 99 s every 100 s
		if c.FirstSeen(numbered(i), now, now) == Fresh {
			accepted = append(accepted, now)
		} else {
			accepted = append(accepted, time.Time{})
		}
		for old, at := range accepted {
			if !at.IsZero() && c.FirstSeen(numbered(uint64(old)), at, now) == Fresh {
				t.Fatalf("handshake %d was accepted again at %d", old, i)
			}
		}
	}
}

func (c *Cache) tableBytes() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		n += (len(s.cur.slots) + len(s.prev.slots)) * int(unsafe.Sizeof(entry{}))
	}
	return n
}

// The figures of the package comment.
func TestMemoryIsBounded(t *testing.T) {
	const capacity = 1 << 17
	c := New(capacity, start) // the node's default
	check := func(when string, wantMiB float64) {
		t.Helper()
		if got := float64(c.tableBytes()) / (1 << 20); got < wantMiB-0.1 || got > wantMiB+0.1 {
			t.Errorf("%s: %.2f MiB of tables, want %.1f", when, got, wantMiB)
		}
	}
	check("at first", 4.3)
	now := start
	for i := range uint64(4 * capacity) {
		now = now.Add(time.Millisecond)
		c.FirstSeen(numbered(i), now, now)
		if i == 2*capacity {
			check("after two fillings", 8.5)
		}
	}
	check("after four fillings", 8.5)
	if n := c.Len(); n < capacity || n > 2*capacity*12/10 {
		t.Errorf("Len after four fillings: %d of capacity %d", n, capacity)
	}
}

func TestFirstSeenDoesNotAllocate(t *testing.T) {
	c := New(1<<15, start)
	i := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		c.FirstSeen(numbered(i), start, start)
		c.FirstSeen(numbered(i/2), start, start)
		i++
	}); n != 0 {
		t.Errorf("FirstSeen: %v allocations, want none", n)
	}
}

// Two caches place the same keys differently: an attacker who learnt one placement knows nothing about another process.
func TestPlacementIsRandom(t *testing.T) {
	a, b := New(1<<14, start), New(1<<14, start)
	for i := range uint64(4000) {
		a.FirstSeen(numbered(i), start, start)
		b.FirstSeen(numbered(i), start, start)
	}
	for i := range a.shards {
		for j := range a.shards[i].cur.slots {
			if a.shards[i].cur.slots[j] != b.shards[i].cur.slots[j] {
				return
			}
		}
	}
	t.Error("two caches hold the same keys in the same slots")
}

func BenchmarkFirstSeen(b *testing.B) {
	b.Run("fresh", func(b *testing.B) {
		c := New(1<<17, start)
		b.ReportAllocs()
		i, now := uint64(0), start
		for b.Loop() {
			now = now.Add(time.Millisecond)
			c.FirstSeen(numbered(i), now, now)
			i++
		}
	})
	b.Run("seen", func(b *testing.B) {
		c := New(1<<17, start)
		for i := range uint64(1 << 17) {
			c.FirstSeen(numbered(i), start, start)
		}
		b.ReportAllocs()
		i := uint64(0)
		for b.Loop() {
			c.FirstSeen(numbered(i%(1<<16)), start, start)
			i++
		}
	})
	b.Run("parallel", func(b *testing.B) {
		c := New(1<<17, start)
		var mu sync.Mutex
		worker := uint64(0)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			mu.Lock()
			worker++
			i := worker << 40
			mu.Unlock()
			for pb.Next() {
				i++
				c.FirstSeen(numbered(i), start, start)
			}
		})
	})
}
