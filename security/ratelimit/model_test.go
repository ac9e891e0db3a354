package ratelimit

import (
	"math/big"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// oracle is a token bucket in exact fractions: it fills at Events per Per up to the burst, and an event takes one token. GCRA is the same
// thing seen from the other side, so both must agree whenever one interval is a whole number of nanoseconds.
type oracle struct {
	tokens *big.Rat
	at     time.Time
}

func newOracle(l Limit, now time.Time) *oracle {
	return &oracle{tokens: big.NewRat(int64(l.Burst), 1), at: now}
}

func (o *oracle) take(l Limit, cost int, now time.Time) bool {
	filled := big.NewRat(int64(now.Sub(o.at)), int64(l.Per))
	filled.Mul(filled, big.NewRat(int64(l.Events), 1))
	o.tokens.Add(o.tokens, filled)
	if full := big.NewRat(int64(l.Burst), 1); o.tokens.Cmp(full) > 0 {
		o.tokens = full
	}
	o.at = now
	need := big.NewRat(int64(max(cost, 1)), 1)
	if o.tokens.Cmp(need) < 0 {
		return false
	}
	if cost > 0 {
		o.tokens.Sub(o.tokens, need)
	}
	return true
}

func (o *oracle) remaining() int {
	return int(new(big.Int).Quo(o.tokens.Num(), o.tokens.Denom()).Int64())
}

// wholeLimit draws a limit whose interval is a whole number of nanoseconds.
func wholeLimit(t *rapid.T) Limit {
	return Limit{
		Events: rapid.SampledFrom([]int{1, 2, 4, 5, 8, 10, 20, 25, 50, 100, 1000}).Draw(t, "events"),
		Per:    rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "per"),
		Burst:  rapid.IntRange(1, 60).Draw(t, "burst"),
	}
}

// elapse draws a time step that matters for l: none, a part of an interval, or some of them.
func elapse(t *rapid.T, l Limit) time.Duration {
	interval := int64(l.Per) / int64(l.Events)
	return time.Duration(rapid.OneOf(
		rapid.Just(int64(0)),
		rapid.Int64Range(0, 3),
		rapid.Int64Range(0, interval),
		rapid.Just(interval),
		rapid.Int64Range(0, interval*int64(l.Burst+2)),
	).Draw(t, "elapsed"))
}

func TestBucketAgainstTokenBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, now := wholeLimit(t), start
		var b Bucket
		o := newOracle(l, now)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now = now.Add(elapse(t, l))
			cost := rapid.IntRange(0, l.Burst+1).Draw(t, "cost")
			got, want := b.Take(l, cost, now), o.take(l, cost, now)
			if got.Allowed != want || got.Remaining != o.remaining() {
				t.Fatalf("%v, cost %d at %v: got %+v, want allowed %v and %d remaining", l, cost, now, got, want, o.remaining())
			}
			if got.Allowed || cost > l.Burst {
				continue
			}
			// RetryAfter is exact: a nanosecond earlier is too early. Asking leaves no trace.
			if d := b.Take(l, 0, now); d.Allowed && cost <= 1 {
				t.Fatalf("%v: asking was answered %+v after a refusal", l, d)
			}
			early, late := *copyOf(&b), *copyOf(&b)
			if early.Take(l, cost, now.Add(got.RetryAfter-1)).Allowed {
				t.Fatalf("%v, cost %d: allowed before %v had passed", l, cost, got.RetryAfter)
			}
			if !late.Take(l, cost, now.Add(got.RetryAfter)).Allowed {
				t.Fatalf("%v, cost %d: refused after %v had passed", l, cost, got.RetryAfter)
			}
		}
	})
}

type plainBucket struct{ tat int64 }

func copyOf(b *Bucket) *plainBucket { return &plainBucket{b.tat.Load()} }

func (b *plainBucket) Take(l Limit, cost int, now time.Time) (d Decision) {
	b.tat, d = decide(b.tat, now.UnixNano(), l, cost)
	return d
}

// Whatever the limit, no more than the burst and the rate allow ever passes: rounding is to the strict side.
func TestNeverMoreThanTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limit{
			Events: rapid.IntRange(1, 5000).Draw(t, "events"),
			Per:    time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "per")),
			Burst:  rapid.IntRange(0, 100).Draw(t, "burst"),
		}
		var b Bucket
		now, passed := start, int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(elapse(t, Limit{Events: l.Events, Per: max(l.Per, time.Duration(l.Events)), Burst: l.burst()}))
			cost := rapid.IntRange(1, l.burst()).Draw(t, "cost")
			if b.Take(l, cost, now).Allowed {
				passed += int64(cost)
			}
			// passed ≤ burst + elapsed·events/per, in whole numbers
			bound := new(big.Int).Mul(big.NewInt(int64(now.Sub(start))), big.NewInt(int64(l.Events)))
			bound.Quo(bound, big.NewInt(int64(l.Per)))
			if bound.Add(bound, big.NewInt(int64(l.burst()))).Cmp(big.NewInt(passed)) < 0 {
				t.Fatalf("%+v: %d events passed in %v, at most %v may", l, passed, now.Sub(start), bound)
			}
		}
	})
}

// A table with far too few slots never allows what a bucket of one's own would refuse.
func TestCollisionsOnlyMakeStricter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := wholeLimit(t)
		table := New(ways) // one set for all keys
		own := make(map[netip.Prefix]*Bucket)
		now := start
		refusedByCollision := 0
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now = now.Add(elapse(t, l))
			key := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 3*ways).Draw(t, "key"))}), 32)
			if own[key] == nil {
				own[key] = new(Bucket)
			}
			cost := rapid.IntRange(0, l.Burst).Draw(t, "cost")
			alone := own[key].Take(l, 0, now)
			got := table.Take(key, l, cost, now)
			if got.Remaining > alone.Remaining {
				t.Fatalf("%v has %d events left in the table and %d alone", key, got.Remaining, alone.Remaining)
			}
			if !got.Allowed {
				refusedByCollision++
				continue
			}
			// Alone, the key must be able to afford what the table allowed.
			if d := own[key].Take(l, cost, now); !d.Allowed {
				t.Fatalf("%v: the table allowed %d, alone it is %+v", key, cost, d)
			}
		}
	})
}

// Keys that only ask, or are refused, leave the slots to those who pay, whatever limit they come with.
func TestNewcomersWithoutSuccessPushNobodyOut(t *testing.T) {
	l := Limit{Events: 1, Per: time.Second, Burst: 100}
	table := New(ways)
	key := func(i int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32) }
	own := make([]Bucket, ways)
	for i := range own {
		own[i].Take(l, 10+i, start)
		table.Take(key(i), l, 10+i, start)
	}
	strict := Limit{Events: 1, Per: time.Second, Burst: 1}
	for i := range 100 {
		if d := table.Take(key(100+i), l, 0, start); !d.Allowed {
			t.Fatalf("asking: %+v", d)
		}
		if d := table.Take(key(100+i), strict, 1, start); d.Allowed {
			t.Fatalf("a newcomer with the debt of ten events passed a burst of one: %+v", d)
		}
	}
	for i := range own {
		if got, want := table.Take(key(i), l, 3, start), own[i].Take(l, 3, start); got != want {
			t.Errorf("key %d: table %+v, bucket %+v", i, got, want)
		}
	}
}

// With room enough for all keys the table is exact.
func TestTableWithRoomIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := wholeLimit(t)
		table := New(ways)
		own := make(map[netip.Prefix]*Bucket)
		now := start
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now = now.Add(elapse(t, l))
			key := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, ways).Draw(t, "key"))}), 32)
			if own[key] == nil {
				own[key] = new(Bucket)
			}
			cost := rapid.IntRange(0, l.Burst+1).Draw(t, "cost")
			if got, want := table.Take(key, l, cost, now), own[key].Take(l, cost, now); got != want {
				t.Fatalf("%v, cost %d: table %+v, bucket %+v", key, cost, got, want)
			}
		}
	})
}

// A flood of other keys does not open a way for a key that has used up its limit.
func TestFloodDoesNotWashOutALimit(t *testing.T) {
	l := Limit{Events: 10, Per: time.Minute, Burst: 10}
	table := New(64)
	victim := netip.MustParsePrefix("192.0.2.1/32")
	now := start
	passed := 0
	for i := range 200_000 {
		now = now.Add(100 * time.Microsecond) // 20 s in all: the limit allows 10 + 3
		table.Check(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), l, now)
		if i%100 == 0 && table.Check(victim, l, now).Allowed {
			passed++
		}
	}
	if passed > 13 {
		t.Errorf("%d events passed under a flood, 13 would without it", passed)
	}
}
