package stats

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLabelNames(t *testing.T) {
	for o, want := range map[Outcome]string{
		OutcomeRelayed: "relayed", OutcomeCovered: "covered", OutcomeDenied: "denied", OutcomeLimited: "limited", OutcomeError: "error", 200: "error",
	} {
		if got := o.String(); got != want {
			t.Errorf("outcome %d: got %q, want %q", o, got, want)
		}
	}
	for r, want := range map[Result]string{
		ResultOK: "ok", ResultBadSecret: "bad_secret", ResultReplay: "replay", ResultClock: "clock", ResultServerName: "server_name",
		ResultMalformed: "malformed", ResultTimeout: "timeout", ResultBudget: "budget", ResultEOF: "eof",
		ResultRevoked: "revoked", ResultExpired: "expired", ResultUser: "user", ResultError: "error", 200: "error",
	} {
		if got := r.String(); got != want {
			t.Errorf("result %d: got %q, want %q", r, got, want)
		}
	}
}

func TestCountersAreKeptApart(t *testing.T) {
	var c Counters
	c.Connections.Add(OutcomeCovered)
	c.Connections.Add(OutcomeCovered)
	c.Connections.Add(99)
	if got := c.Connections.Load(OutcomeCovered); got != 2 {
		t.Errorf("covered: got %d, want 2", got)
	}
	if got := c.Connections.Load(OutcomeError); got != 1 {
		t.Errorf("an unknown outcome: error is %d, want 1", got)
	}
	c.Handshake("secure", ResultReplay, time.Second)
	c.Handshake("from the wire", ResultReplay, time.Second)
	c.Handshake("", 99, time.Second)
	for _, w := range []struct {
		transport string
		result    Result
		want      uint64
	}{{"secure", ResultReplay, 1}, {"unknown", ResultReplay, 1}, {"unknown", ResultError, 1}, {"faketls", ResultReplay, 0}, {"secure", ResultOK, 0}} {
		if got := c.Handshakes(w.transport, w.result); got != w.want {
			t.Errorf("handshakes %s %v: got %d, want %d", w.transport, w.result, got, w.want)
		}
	}
	c.RelayBytes(3, 5)
	c.RelayBytes(10, -7) // a counter never falls
	if up, down := c.Relayed(); up != 13 || down != 5 {
		t.Errorf("relayed: got %d up and %d down, want 13 and 5", up, down)
	}
	c.Open.Inc()
	c.Open.Inc()
	c.Open.Dec()
	c.Open.Add(10)
	if got := c.Open.Load(); got != 11 {
		t.Errorf("open: got %d, want 11", got)
	}
	c.Open.Set(-4)
	if got := c.Open.Load(); got != -4 {
		t.Errorf("open after Set: got %d, want -4", got)
	}
}

func TestDataCentreLabelsAreClosed(t *testing.T) {
	for dc, want := range map[int]string{1: "1", 5: "5", 203: "203", 0: "other", 6: "other", -2: "other", 10_002: "other", math.MinInt: "other", math.MaxInt: "other"} {
		if got := dcNames[dcIndex(dc)]; got != want {
			t.Errorf("dc %d: got %q, want %q", dc, got, want)
		}
	}
}

func TestHistogramBuckets(t *testing.T) {
	for _, s := range []*scale{&networkScale, &checkScale} {
		if !slices.IsSorted(s[:]) {
			t.Errorf("bounds are not ascending: %v", s)
		}
		h := Histogram{check: s == &checkScale}
		var sum time.Duration
		observe := func(d time.Duration) {
			h.Observe(d)
			sum += max(d, 0)
		}
		observe(-time.Second) // as zero
		for _, bound := range s {
			observe(bound)     // a bound is in its bucket
			observe(bound + 1) // and the next nanosecond in the next
		}
		count, gotSum, cumulative := h.read()
		if count != 2*buckets+1 || h.Count() != count {
			t.Errorf("count: read %d, Count %d, want %d", count, h.Count(), 2*buckets+1)
		}
		if math.Abs(gotSum-sum.Seconds()) > 1e-9 {
			t.Errorf("sum: got %v, want %v", gotSum, sum.Seconds())
		}
		for i, bound := range s {
			if got, want := cumulative[bound.Seconds()], uint64(2*i+2); got != want {
				t.Errorf("up to %v: got %d, want %d", bound, got, want)
			}
		}
	}
}

func TestControlIsOnePerName(t *testing.T) {
	const rounds, workers, names = 300, 8, 5
	for range rounds {
		var c Counters
		var gate, done sync.WaitGroup
		gate.Add(1)
		for w := range workers {
			done.Go(func() {
				gate.Wait()
				for i := range names {
					name := fmt.Sprintf("control.%d", (i+w)%names)
					c.Decision(name, VerdictMask, ModeMonitor)
					c.Control(name).Took(ModeMonitor, time.Microsecond)
					c.Control(name).Panicked()
				}
			})
		}
		gate.Done()
		done.Wait()
		for i := range names {
			s := c.Control(fmt.Sprintf("control.%d", i))
			if s.Decisions(VerdictMask, ModeMonitor) != workers || s.Panics() != workers || s.Times(ModeMonitor) != workers {
				t.Fatalf("control.%d: %d decisions, %d panics, %d times, want %d each", i, s.Decisions(VerdictMask, ModeMonitor), s.Panics(), s.Times(ModeMonitor), workers)
			}
			if s.Decisions(VerdictMask, ModeEnforce) != 0 || s.Decisions(VerdictDeny, ModeMonitor) != 0 {
				t.Fatalf("control.%d: a decision was counted in the wrong place", i)
			}
		}
	}
}

// Names that never end, as after a mistake that puts something from the wire into one, take bounded memory.
func TestControlNamesAreBounded(t *testing.T) {
	var c Counters
	first := c.Control("first")
	for i := range 10_000 {
		c.Decision(fmt.Sprintf("name %d", i), VerdictDeny, ModeEnforce)
	}
	if n := len(c.controlMap()); n != maxControls {
		t.Errorf("%d controls, want %d", n, maxControls)
	}
	if c.Control("first") != first {
		t.Error("the first control was lost")
	}
	if got, want := c.Control("one more").Decisions(VerdictDeny, ModeEnforce), uint64(10_000-(maxControls-2)); got != want {
		t.Errorf("other: %d decisions, want %d", got, want)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	var c Counters
	control := c.Control("conns.addr")
	for name, f := range map[string]func(){
		"gauge":      func() { c.Open.Inc(); c.Open.Dec() },
		"connection": func() { c.Connections.Add(OutcomeRelayed) },
		"handshake":  func() { c.Handshake("faketls", ResultOK, time.Millisecond) },
		"bytes":      func() { c.RelayBytes(1, 2) },
		"dial":       func() { c.Dial(2, true, time.Millisecond) },
		"cover":      func() { c.CoverDial(false) },
		"reload":     func() { c.Reload(true, time.Unix(1, 0)) },
		"trials":     func() { c.Trials.Add(17) },
		"decision":   func() { c.Decision("conns.addr", VerdictAllow, ModeEnforce) },
		"control":    func() { control.Decided(VerdictAllow, ModeMonitor, true); control.Took(ModeMonitor, time.Microsecond) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

// No label may be filled from the wire: every set of names is closed and in the form Prometheus wants.
func TestNamesAreLabelValues(t *testing.T) {
	for _, names := range [][]string{outcomeNames[:], resultNames[:], verdictNames[:], modeNames[:], transportNames[:], dcNames[:], okNames[:]} {
		seen := make(map[string]bool)
		for _, n := range names {
			if n == "" || seen[n] || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
				t.Errorf("label value %q of %v is empty, double or of another alphabet", n, names)
			}
			seen[n] = true
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var c Counters
	control := c.Control("conns.addr")
	for name, f := range map[string]func(){
		"handshake": func() { c.Handshake("faketls", ResultOK, 30*time.Millisecond) },
		"bytes":     func() { c.RelayBytes(1, 2) },
		"decision":  func() { c.Decision("conns.addr", VerdictAllow, ModeEnforce) },
		"control":   func() { control.Decided(VerdictAllow, ModeEnforce, true); control.Took(ModeEnforce, 300) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
