package ratelimit

import (
	"math"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestParseLimit(t *testing.T) {
	for text, want := range map[string]Limit{
		"20/s":           {20, time.Second, 20},
		"30/m":           {30, time.Minute, 30},
		" 500/h ":        {500, time.Hour, 500},
		"20/s burst 100": {20, time.Second, 100},
		"1000000000/s":   {1_000_000_000, time.Second, 1_000_000_000},
		"0":              {},
	} {
		if got, err := ParseLimit(text); err != nil || got != want {
			t.Errorf("ParseLimit(%q): got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, wantErr := range map[string]string{
		"":                       "want a number and a unit",
		"20":                     "want a number and a unit",
		"20/d":                   "unit must be s, m or h",
		"20/":                    "unit must be s, m or h",
		"/s":                     "whole number",
		"0/s":                    "whole number",
		"-1/s":                   "whole number",
		"+1/s":                   "whole number",
		"1.5/s":                  "whole number",
		"1000000001/s":           "whole number",
		"99999999999999999999/s": "whole number",
		"20/s burst 0":           "burst: want a whole number",
		"20/s burst":             "unit must be s, m or h",
	} {
		if _, err := ParseLimit(text); err == nil || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("ParseLimit(%q): got error %v, want one with %q", text, err, wantErr)
		}
	}
}

func TestLimitString(t *testing.T) {
	for want, l := range map[string]Limit{
		"0":             {},
		"20/s":          {Events: 20, Per: time.Second},
		"7/m burst 9":   {7, time.Minute, 9},
		"3/1m30s":       {3, 90 * time.Second, 3},
		"500/h burst 1": {500, time.Hour, 1},
	} {
		if got := l.String(); got != want {
			t.Errorf("%+v: got %q, want %q", l, got, want)
		}
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, s := range []string{"20/s", "30/m burst 5", "0", "1/h", "x/s", "9/9", " 1/s burst  2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLimit(text)
		if err != nil {
			if l != (Limit{}) {
				t.Errorf("%q: an error and the limit %+v", text, l)
			}
			return
		}
		if again, err := ParseLimit(l.String()); err != nil || again != l {
			t.Errorf("%q: %+v became %+v, %v by way of %q", text, l, again, err, l.String())
		}
	})
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		l    Limit
		n    int
		want Limit
	}{
		{Limit{20, time.Second, 5}, 16, Limit{320, time.Second, 80}},
		{Limit{20, time.Second, 0}, 2, Limit{40, time.Second, 40}},
		{Limit{20, time.Second, 5}, 1, Limit{20, time.Second, 5}},
		{Limit{20, time.Second, 5}, -3, Limit{20, time.Second, 5}},
		{Limit{math.MaxInt, time.Second, math.MaxInt}, math.MaxInt, Limit{1_000_000_000, time.Second, 1_000_000_000}},
		{Limit{}, 4, Limit{}},
	} {
		if got := c.l.Times(c.n); got != c.want {
			t.Errorf("%+v times %d: got %+v, want %+v", c.l, c.n, got, c.want)
		}
	}
}

func TestBucketStory(t *testing.T) {
	var b Bucket
	l := Limit{Events: 2, Per: time.Second, Burst: 4} // one event each half second
	steps := []struct {
		after time.Duration
		cost  int
		want  Decision
	}{
		{0, 0, Decision{true, 4, 0}},
		{0, 1, Decision{true, 3, 0}},
		{0, 3, Decision{true, 0, 0}},
		{0, 1, Decision{false, 0, 500 * time.Millisecond}},
		{0, 0, Decision{false, 0, 500 * time.Millisecond}},
		{200 * time.Millisecond, 2, Decision{false, 0, 800 * time.Millisecond}},
		{500 * time.Millisecond, 0, Decision{true, 1, 0}},
		{500 * time.Millisecond, 1, Decision{true, 0, 0}},
		{500 * time.Millisecond, 5, Decision{false, 0, math.MaxInt64}},
		{time.Hour, 5, Decision{false, 4, math.MaxInt64}},
		{time.Hour, 4, Decision{true, 0, 0}},
		{time.Hour, -7, Decision{false, 0, 500 * time.Millisecond}},
	}
	for i, s := range steps {
		if got := b.Take(l, s.cost, start.Add(s.after)); got != s.want {
			t.Errorf("step %d, cost %d after %v: got %+v, want %+v", i, s.cost, s.after, got, s.want)
		}
	}
}

func TestUnlimited(t *testing.T) {
	var b Bucket
	table := New(8)
	for _, l := range []Limit{{}, {Events: 5}, {Per: time.Second}, {-1, time.Second, 3}, {1, -time.Second, 3}} {
		for range 100 {
			if d := b.Take(l, 1000, start); !d.Allowed || d.RetryAfter != 0 || d.Remaining < 1 {
				t.Fatalf("bucket with %+v: %+v", l, d)
			}
			if d := table.Take(netip.Prefix{}, l, 1000, start); !d.Allowed {
				t.Fatalf("table with %+v: %+v", l, d)
			}
		}
	}
}

// A clock that is set back, or a limit that is made smaller, leaves a full bucket and not a client shut out for hours.
func TestRecoversWithinOneWindow(t *testing.T) {
	l := Limit{Events: 10, Per: time.Second, Burst: 10}
	var b Bucket
	b.Take(l, 10, start.Add(24*time.Hour))
	if d := b.Take(l, 1, start); d.Allowed || d.RetryAfter > 100*time.Millisecond {
		t.Errorf("after the clock was set back: %+v, want refused for 100 ms", d)
	}
	if d := b.Take(l, 1, start.Add(100*time.Millisecond)); !d.Allowed {
		t.Errorf("100 ms later: %+v, want allowed", d)
	}
	var c Bucket
	c.Take(Limit{Events: 1, Per: time.Hour, Burst: 1}, 1, start)
	if d := c.Take(l, 1, start); d.Allowed || d.RetryAfter > 100*time.Millisecond {
		t.Errorf("after the limit was raised: %+v, want refused for 100 ms", d)
	}
}

func TestConcurrentTakesShareOneBurst(t *testing.T) {
	l := Limit{Events: 1000, Per: time.Hour, Burst: 1000}
	var b Bucket
	table := New(64)
	key := netip.MustParsePrefix("192.0.2.1/32")
	var bucket, limiter atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if b.Take(l, 1, start).Allowed {
					bucket.Add(1)
				}
				if table.Check(key, l, start).Allowed {
					limiter.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if bucket.Load() != 1000 || limiter.Load() != 1000 {
		t.Errorf("4000 concurrent events against a burst of 1000: bucket allowed %d, limiter %d", bucket.Load(), limiter.Load())
	}
}

func TestPrefixesOf(t *testing.T) {
	for _, c := range []struct{ addr, narrow, wide string }{
		{"192.0.2.7", "192.0.2.7/32", ""},
		{"::ffff:192.0.2.7", "192.0.2.7/32", ""},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"},
		{"fe80::1%eth0", "fe80::/64", "fe80::/48"},
		{"::ffff:192.0.2.7%eth0", "192.0.2.7/32", ""},
		{"::1", "::/64", "::/48"},
	} {
		narrow, wide, ok := PrefixesOf(netip.MustParseAddr(c.addr))
		wantWide := netip.Prefix{}
		if c.wide != "" {
			wantWide = netip.MustParsePrefix(c.wide)
		}
		if !ok || narrow != netip.MustParsePrefix(c.narrow) || wide != wantWide {
			t.Errorf("%s: got %v, %v, %v, want %s and %q", c.addr, narrow, wide, ok, c.narrow, c.wide)
		}
	}
	if narrow, wide, ok := PrefixesOf(netip.Addr{}); ok || narrow.IsValid() || wide.IsValid() {
		t.Errorf("zero address: got %v, %v, %v", narrow, wide, ok)
	}
}

func TestLimiterMemory(t *testing.T) {
	if got := unsafe.Sizeof(set{}); got != 128 {
		t.Errorf("a set takes %d bytes, want two cache lines", got)
	}
	for entries, want := range map[int]int{-1: 8, 0: 8, 1: 8, 8: 8, 9: 16, 1000: 1024, 65_536: 65_536} {
		if got := len(New(entries).sets) * ways; got != want {
			t.Errorf("New(%d): room for %d keys, want %d", entries, got, want)
		}
	}
	l := New(1024)
	before := len(l.sets)
	limit := Limit{Events: 1, Per: time.Minute, Burst: 1}
	i := uint32(0)
	if n := testing.AllocsPerRun(50_000, func() {
		i++
		l.Check(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), 32), limit, start)
	}); n != 0 {
		t.Errorf("Check of ever new prefixes: %v allocations, want none", n)
	}
	if len(l.sets) != before {
		t.Errorf("the table grew from %d to %d sets", before, len(l.sets))
	}
}

// The same key is one bucket, prefixes of different length or family are not.
func TestKeysAreDistinct(t *testing.T) {
	l := New(4096)
	limit := Limit{Events: 1, Per: time.Hour, Burst: 1}
	for _, p := range []string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.0/24", "2001:db8::/64", "2001:db8::/48", "::ffff:192.0.2.1/128", "0.0.0.0/0", "::/0"} {
		key := netip.MustParsePrefix(p)
		if d := l.Check(key, limit, start); !d.Allowed {
			t.Errorf("%s: first event refused", p)
		}
		if d := l.Check(key, limit, start); d.Allowed {
			t.Errorf("%s: second event allowed", p)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	l := Limit{Events: 1_000_000, Per: time.Second, Burst: 1000}
	b.Run("bucket", func(b *testing.B) {
		var bucket Bucket
		now := start
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Microsecond)
			bucket.Take(l, 1, now)
		}
	})
	b.Run("limiter", func(b *testing.B) {
		table := New(65_536)
		keys := make([]netip.Prefix, 4096)
		for i := range keys {
			keys[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)
		}
		now, i := start, 0
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Microsecond)
			table.Take(keys[i&4095], l, 1, now)
			i++
		}
	})
	b.Run("limiter/parallel", func(b *testing.B) {
		table := New(65_536)
		var worker atomic.Int32
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			key := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(worker.Add(1))}), 32)
			for pb.Next() {
				table.Take(key, l, 1, start)
			}
		})
	})
}

func TestBusyCountsWhoStillPaysOff(t *testing.T) {
	l, limit := New(4096), Limit{Events: 1, Per: time.Minute}
	if busy, room := l.Busy(start); busy != 0 || room != 4096 {
		t.Errorf("of an empty one: %d of %d", busy, room)
	}
	for i := range 100 {
		l.Check(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32), limit, start)
	}
	if busy, _ := l.Busy(start.Add(time.Minute - 1)); busy != 100 {
		t.Errorf("%d are busy, want 100", busy)
	}
	if busy, _ := l.Busy(start.Add(time.Minute)); busy != 0 {
		t.Errorf("%d are busy when all have paid", busy)
	}
}
