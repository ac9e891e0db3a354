package ratelimit

import (
	"math"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBytesStory(t *testing.T) {
	var b Bytes
	spent := func(after time.Duration, n int, want time.Duration) {
		t.Helper()
		if got := b.Spent(n, start.Add(after)); got != want {
			t.Errorf("after %v, %d bytes: pause %v, want %v", after, n, got, want)
		}
	}
	spent(0, 1<<30, 0) // no limit yet
	b.Set(1000, 3000, start)
	spent(0, 3000, 0) // what went before has no price
	spent(0, 0, 0)
	spent(0, 500, 500*time.Millisecond)
	spent(0, 500, time.Second) // the next in the row waits for the one before it
	spent(0, 0, time.Second)
	spent(500*time.Millisecond, 0, 500*time.Millisecond)
	spent(time.Second, 0, 0)
	spent(time.Second, 1, time.Millisecond)
	spent(time.Hour, 3000, 0) // quiet times give the burst back, and no more
	spent(time.Hour, 1000, time.Second)
}

func TestBytesLeft(t *testing.T) {
	var b *Bytes
	if b.Left(start) != math.MaxInt64 || new(Bytes).Left(start) != math.MaxInt64 {
		t.Error("there is a limit")
	}
	b = new(Bytes)
	b.Set(1000, 3000, start)
	for i, c := range []struct {
		after time.Duration
		spend int
		left  int64
	}{{0, 0, 3000}, {0, 1000, 2000}, {0, 2000, 0}, {0, 500, 0}, {time.Second, 0, 500}, {2 * time.Second, 0, 1500}, {time.Hour, 0, 3000}, {time.Hour, 1, 2999}} {
		now := start.Add(c.after)
		b.Spent(c.spend, now)
		if got := b.Left(now); got != c.left {
			t.Errorf("step %d: %d left, want %d", i, got, c.left)
		}
		if left := int(b.Left(now)); left > 0 { // as much goes, and no more
			var twin Bytes
			twin.Set(1000, 3000, start)
			twin.tat.Store(b.tat.Load())
			if pause := twin.Spent(left, now); pause != 0 {
				t.Errorf("step %d: %d bytes pause %v", i, left, pause)
			}
			if pause := twin.Spent(1, now); pause == 0 {
				t.Errorf("step %d: a byte more goes as well", i)
			}
		}
	}
}

func TestBytesWithoutALimit(t *testing.T) {
	var none *Bytes
	var zero Bytes
	for _, b := range []*Bytes{none, &zero} {
		if b.Spent(math.MaxInt, start) != 0 || b.Portion() != math.MaxInt || rateOf(b) != [2]int64{} {
			t.Errorf("%v holds back", b)
		}
	}
	zero.Set(1, 0, start)
	zero.Spent(100, start)
	zero.Set(-1, 7, start)
	if zero.Spent(100, start) != 0 || rateOf(&zero) != [2]int64{} {
		t.Error("a limit that was taken away holds back")
	}
}

func rateOf(b *Bytes) [2]int64 {
	perSecond, burst := b.Rate()
	return [2]int64{perSecond, burst}
}

// Debt is in bytes: whoever gets a faster rate does not pay for a slow one.
func TestDebtFollowsTheRate(t *testing.T) {
	var b Bytes
	b.Set(1000, 1000, start)
	if got := b.Spent(21_000, start); got != 20*time.Second {
		t.Fatalf("pause %v", got)
	}
	b.Set(10_000, 1000, start)
	if got := b.Spent(0, start); got != 2*time.Second {
		t.Errorf("ten times as fast: pause %v, want 2s", got)
	}
	b.Set(1000, 1000, start.Add(time.Second))
	if got := b.Spent(0, start.Add(time.Second)); got != 10*time.Second {
		t.Errorf("as slow as before, a second later: pause %v, want 10s", got)
	}
}

// A clock that was set back by a day holds nobody up for a day.
func TestBytesRecoverFromAClockSetBack(t *testing.T) {
	var b Bytes
	b.Set(1000, 1000, start)
	b.Spent(5000, start)
	if got := b.Spent(1, start.Add(-24*time.Hour)); got > time.Duration(maxDebt) {
		t.Errorf("pause %v", got)
	}
}

// Any number of connections that pause as they are told get no more than the rate and the burst, a portion each, and no less than the rate.
func TestBytesKeepTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond, burst := rapid.Int64Range(1, 1<<30).Draw(t, "rate"), rapid.Int64Range(1, 1<<30).Draw(t, "burst")
		var b Bytes
		b.Set(perSecond, burst, start)
		portion := b.Portion()
		conns := make([]time.Time, rapid.IntRange(1, 20).Draw(t, "connections"))
		for i := range conns {
			conns[i] = start
		}
		now, sum, most := start, int64(0), 0
		for range 400 {
			next := 0
			for i := range conns {
				if conns[i].Before(conns[next]) {
					next = i
				}
			}
			if now.Before(conns[next]) {
				now = conns[next]
			}
			n := rapid.IntRange(1, portion).Draw(t, "bytes")
			most = max(most, n)
			sum += int64(n)
			pause := b.Spent(n, now)
			if pause > time.Duration(maxDebt) {
				t.Fatalf("pause %v", pause)
			}
			if int64(pause) == maxDebt {
				return // so slow that debts are forgiven
			}
			conns[next] = now.Add(pause)
			elapsed := now.Sub(start).Seconds()
			if allowed := float64(burst) + elapsed*float64(perSecond) + float64(len(conns)*portion); float64(sum) > allowed*1.001+1 {
				t.Fatalf("%d bytes in %v s, %v allowed", sum, elapsed, allowed)
			}
		}
		if latest := now.Sub(start).Seconds(); float64(sum) < float64(perSecond)*latest*0.999-float64(most) {
			t.Fatalf("only %d bytes in %v s at %d/s", sum, latest, perSecond)
		}
	})
}

// With many at once no byte is lost.
func TestBytesAreCountedOnce(t *testing.T) {
	var b Bytes
	b.Set(1e6, 1, start)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				b.Spent(1000, start)
			}
		})
	}
	wg.Wait()
	if got, want := b.Spent(0, start), 8*time.Second-time.Microsecond; got != want {
		t.Errorf("pause %v, want %v", got, want)
	}
}

func TestThrottle(t *testing.T) {
	var none *Throttle
	if none.Up() != nil || none.Down() != nil {
		t.Error("no throttle holds back")
	}
	var x Throttle
	if x.Up() != nil || x.Budgets() != nil {
		t.Error("the zero throttle holds back")
	}
	var user, level Bytes
	x.Set(&Budgets{Up: Pair{&user, &level}, Down: Pair{&user}})
	if x.Up() != nil || x.Down() != nil {
		t.Error("budgets without a limit hold back")
	}
	level.Set(1000, 1000, start)
	up := x.Up()
	if up == nil || x.Down() != nil {
		t.Fatal("a limit of one direction holds back the other, or none")
	}
	if got, over := up.Spent(2000, start); got != time.Second || !over || up.Portion() != 1024 {
		t.Errorf("pause %v, portion %d", got, up.Portion())
	}
	user.Set(100, 1000, start)
	if got, _ := x.Down().Spent(1500, start); got != 5*time.Second {
		t.Errorf("down: pause %v", got)
	}
	if got, over := up.Spent(0, start); got != 5*time.Second || over || !up.Owes(start) {
		t.Errorf("the longer pause counts: %v", got)
	}
	x.Set(nil)
	if x.Up() != nil {
		t.Error("a throttle that was taken off holds back")
	}
	if n := testing.AllocsPerRun(100, func() { up.Spent(1, start); up.Portion(); x.Up() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestWatch goes beyond a rate that is only watched: that is told, nobody pauses, nothing is owed, and a rate that is set then begins anew.
func TestWatch(t *testing.T) {
	var b Bytes
	b.Watch(1000, 1000, start)
	var x Throttle
	x.Set(&Budgets{Up: Pair{&b}})
	up := x.Up()
	if up == nil || up.Portion() != math.MaxInt || up.Unlimited() {
		t.Fatal("what is watched is not counted, or taken in small portions")
	}
	for _, c := range []struct {
		n     int
		after time.Duration
		over  bool
	}{{1000, 0, false}, {1, 0, true}, {5_000_000, 0, true}, {0, 0, false}, {1000, time.Second, false}, {500, 1500 * time.Millisecond, false}, {1, 1500 * time.Millisecond, true}} {
		pause, over := up.Spent(c.n, start.Add(c.after))
		if pause != 0 || over != c.over || up.Owes(start.Add(c.after)) {
			t.Errorf("%d bytes after %v: over is %v, pause %v", c.n, c.after, over, pause)
		}
	}
	b.Set(1000, 1000, start.Add(1500*time.Millisecond))
	if pause, over := up.Spent(1000, start.Add(2500*time.Millisecond)); pause != 0 || over {
		t.Errorf("what was only watched is owed: %v", pause)
	}
	if pause, over := up.Spent(1000, start.Add(2500*time.Millisecond)); pause != time.Second || !over {
		t.Errorf("a rate that is set does not hold back: %v", pause)
	}
}

func BenchmarkSpent(b *testing.B) {
	var x Bytes
	x.Set(1<<30, 0, start)
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			x.Spent(16384, start)
		}
	})
	b.Run("shared", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				x.Spent(16384, start)
			}
		})
	})
}
