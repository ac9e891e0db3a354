package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// publish tells of n events of a kind; their data is their place in the row.
func publish(h *Hub, k Kind, n int) {
	for i := range n {
		h.Publish(k, time.Now(), func() any { return i })
	}
}

// view is a place that the test gives back.
func view(t testing.TB, h *Hub, q Query) *View {
	t.Helper()
	v, err := h.View(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// read takes what is there, without waiting for more.
func read(t testing.TB, v *View) (all []*Event, err error) {
	t.Helper()
	for {
		events, wait, err := v.take()
		all = append(all, events...)
		if wait != nil || err != nil {
			return all, err
		}
	}
}

func kindsOf(events []*Event) (list []string) {
	for _, e := range events {
		list = append(list, string(e.Kind))
	}
	return list
}

func missing(t *testing.T, e *Event) string {
	t.Helper()
	var line struct {
		Kind Kind
		Data Missing
	}
	if err := json.Unmarshal(e.Line(), &line); err != nil || line.Kind != Gap {
		t.Fatalf("no gap: %s %v", e.Line(), err)
	}
	return line.Data.Reason
}

func TestAViewerGetsWhatComesInOrder(t *testing.T) {
	h := NewHub(Options{})
	publish(h, Block, 2)
	v := view(t, h, Query{})
	if events, err := read(t, v); len(events) != 0 || err != nil {
		t.Fatalf("before anything came: %d events, %v", len(events), err)
	}
	for i := range 50 {
		publish(h, []Kind{Decision, Key, Sample, Incident}[i%4], 1)
	}
	events, err := read(t, v)
	if len(events) != 50 || err != nil {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i, e := range events {
		if want := []Kind{Decision, Key, Sample, Incident}[i%4]; e.Kind != want {
			t.Fatalf("event %d is a %s, want %s", i, e.Kind, want)
		}
		if i > 0 && e.number <= events[i-1].number {
			t.Fatalf("event %d follows %d", e.number, events[i-1].number)
		}
	}
}

func TestKindsAndTimesThatAreWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(Options{})
		time.Sleep(time.Minute)
		publish(h, Block, 1)
		publish(h, Key, 1)
		time.Sleep(time.Minute)
		publish(h, Incident, 1)
		publish(h, Block, 1)
		for _, c := range []struct {
			name string
			q    Query
			want string
		}{
			{"blocks of the past", Query{Kinds: []Kind{Block}, Past: true}, "block block"},
			{"two kinds", Query{Kinds: []Kind{Key, Incident}, Past: true}, "key incident"},
			{"since a while", Query{Kinds: []Kind{Block, Key}, Since: time.Now().Add(-30 * time.Second)}, "block"},
			{"since the beginning", Query{Kinds: []Kind{Block, Key}, Since: time.Now().Add(-90 * time.Second)}, "block key block"},
			{"since before the beginning", Query{Kinds: []Kind{Block}, Since: time.Now().Add(-time.Hour)}, "gap block block"},
			{"from now on", Query{}, ""},
		} {
			events, err := read(t, view(t, h, c.q))
			if got := strings.Join(kindsOf(events), " "); got != c.want || c.q.Past != errors.Is(err, ErrEnded) {
				t.Errorf("%s: %q %v, want %q", c.name, got, err, c.want)
			}
		}
		if _, err := h.View(Query{Kinds: []Kind{"weather"}}); err == nil {
			t.Error("a kind that is none has a view")
		}
	})
}

func TestResuming(t *testing.T) {
	h, earlier := NewHub(Options{}), NewHub(Options{})
	publish(h, Block, 5)
	publish(earlier, Block, 5)
	for _, c := range []struct {
		name, after, gap string
		want             int
	}{
		{"after the third", h.id(3), "", 2},
		{"after the last", h.id(5), "", 0},
		{"after one that is not there yet", h.id(6), Restart, 5},
		{"after one of an earlier process", earlier.id(3), Restart, 5},
		{"after nonsense", "x", Restart, 5},
		{"after half an ID", h.epoch + "-", Restart, 5},
		{"after a number alone", "3", Restart, 5},
	} {
		events, err := read(t, view(t, h, Query{Kinds: []Kind{Block}, After: c.after}))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(events) > 0 && events[0].Kind == Gap {
			got, events = missing(t, events[0]), events[1:]
		}
		if got != c.gap || len(events) != c.want {
			t.Errorf("%s: gap %q and %d events, want %q and %d", c.name, got, len(events), c.gap, c.want)
		}
	}
}

// What is not in the ring any more is a gap, and only for those who would have got it.
func TestResumingBehindTheRing(t *testing.T) {
	h := NewHub(Options{})
	awake := view(t, h, Query{Kinds: []Kind{Sample}})
	start := h.number
	publish(h, Incident, 1)
	publish(h, Sample, depths[flow]+1)
	for _, c := range []struct {
		name  string
		kinds []Kind
		after uint64
		gap   string
		want  int
	}{
		{"samples", []Kind{Sample}, start, Lost, depths[flow]},
		{"samples after the first", []Kind{Sample}, start + 2, "", depths[flow]},
		{"incidents", []Kind{Incident}, start, "", 1},
		{"both", nil, start, Lost, depths[flow] + 1},
	} {
		events, err := read(t, view(t, h, Query{Kinds: c.kinds, After: h.id(c.after)}))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(events) > 0 && events[0].Kind == Gap {
			got, events = missing(t, events[0]), events[1:]
		}
		if got != c.gap || len(events) != c.want {
			t.Errorf("%s: gap %q and %d events, want %q and %d", c.name, got, len(events), c.gap, c.want)
		}
	}
	events, err := read(t, awake)
	if len(events) != 1 || missing(t, events[0]) != Slow || !errors.Is(err, ErrSlow) {
		t.Errorf("who has read nothing: %d events, %v", len(events), err)
	}
}

func TestTheRingIsBounded(t *testing.T) {
	h := NewHub(Options{})
	publish(h, Decision, 3*depths[flow])
	publish(h, Audit, 3*depths[rare])
	for c := range h.rings {
		r := &h.rings[c]
		if len(r.events) != depths[c] {
			t.Errorf("class %d has %d events, want %d", c, len(r.events), depths[c])
		}
		if first, last := r.at(0).number, r.at(depths[c]-1).number; last-first != uint64(depths[c]-1) || r.lost != first-1 {
			t.Errorf("class %d: from %d to %d, lost %d", c, first, last, r.lost)
		}
	}
	if total := depths[rare] + depths[flow]; total != 10000 {
		t.Errorf("the ring has %d places", total)
	}
}

// A viewer who reads, but too slowly, is told so and cut off; one who reads what was there before he came is not.
func TestASlowViewerIsCutOff(t *testing.T) {
	h := NewHub(Options{})
	publish(h, Block, mostBehind+500)
	reader, slow := view(t, h, Query{Kinds: []Kind{Block}, Since: h.began}), view(t, h, Query{Kinds: []Kind{Block}})
	publish(h, Block, mostBehind)
	if events, _, err := slow.take(); len(events) == 0 || err != nil {
		t.Fatalf("at the bound: %d events, %v", len(events), err)
	}
	publish(h, Block, usualBatch+1)
	events, _, err := slow.take()
	if len(events) != 1 || missing(t, events[0]) != Slow || !errors.Is(err, ErrSlow) {
		t.Errorf("beyond the bound: %d events, %v", len(events), err)
	}
	if events[0].ID != "" {
		t.Errorf("the last event has the ID %q: its reader would go on after what he has not", events[0].ID)
	}
	if events, err := read(t, view(t, h, Query{Kinds: []Kind{Block}, Past: true})); len(events) != depths[rare] || !errors.Is(err, ErrEnded) {
		t.Errorf("a reader of the past: %d events, %v", len(events), err)
	}
	if events, _, err := reader.take(); len(events) != 1 || !errors.Is(err, ErrSlow) {
		t.Errorf("a reader of the past who stays behind: %d events, %v", len(events), err)
	}
}

// Who still reads what was there when he came, and loses some of it, is told so and goes on.
func TestThePastMayGoWhileItIsRead(t *testing.T) {
	h := NewHub(Options{})
	publish(h, Block, depths[rare])
	v := view(t, h, Query{Kinds: []Kind{Block}, Since: h.began})
	publish(h, Block, 10)
	events, err := read(t, v)
	if err != nil || len(events) != 1+depths[rare] || missing(t, events[0]) != Lost {
		t.Errorf("%d events, %v", len(events), err)
	}
	publish(h, Block, 10)
	if events, err := read(t, v); err != nil || len(events) != 10 {
		t.Errorf("then: %d events, %v", len(events), err)
	}
}

func TestViewersAreBounded(t *testing.T) {
	h := NewHub(Options{MaxViewers: 2})
	first := view(t, h, Query{})
	view(t, h, Query{})
	if _, err := h.View(Query{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("a third viewer: %v", err)
	}
	first.Close()
	first.Close()
	view(t, h, Query{})
	if _, err := h.View(Query{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("a place was given back twice: %v", err)
	}
	if h.Viewers() != 2 {
		t.Errorf("%d viewers", h.Viewers())
	}
}

// One viewer has his share, all from elsewhere leave some places, and whoever is at the node may have every one.
func TestPlacesAreShared(t *testing.T) {
	h := NewHub(Options{})
	var of []*View
	looks := func(who string) bool {
		v, err := h.View(Query{Who: who, Kinds: []Kind{Block}})
		if err != nil && !errors.Is(err, ErrTooMany) {
			t.Fatal(err)
		}
		if err == nil {
			of = append(of, v)
		}
		return err == nil
	}
	for i := range 2 * MaxViewers {
		if got := looks("token greedy"); got != (i < MaxViewers/share) {
			t.Fatalf("one token's place %d: %v", i+1, got)
		}
	}
	for i := range 2 * MaxViewers {
		looks(fmt.Sprint("token ", i))
	}
	if n := h.Viewers(); n != MaxViewers-MaxViewers/share {
		t.Errorf("from elsewhere %d look", n)
	}
	for i := range MaxViewers/share + 1 {
		if got := looks(""); got != (i < MaxViewers/share) {
			t.Errorf("place %d at the node: %v", i+1, got)
		}
	}
	for _, v := range of {
		v.Close()
		v.Close()
	}
	if len(h.of) != 0 || h.Viewers() != 0 {
		t.Errorf("of who has gone %d are remembered", len(h.of))
	}
	if !looks("token greedy") {
		t.Error("who has given his places back gets none")
	}
}

// Nothing is put into words before somebody asks, and then once for all.
func TestWordsAreMadeOnceAndLate(t *testing.T) {
	h := NewHub(Options{})
	made := 0
	h.Publish(Block, time.Now(), func() any { made++; return "x" })
	if made != 0 {
		t.Error("words for nobody")
	}
	for range 3 {
		events, _ := read(t, view(t, h, Query{Kinds: []Kind{Block}, Past: true}))
		if want := `{"id":"` + h.id(1) + `","kind":"block",`; !strings.HasPrefix(string(events[0].Line()), want) || !strings.HasSuffix(string(events[0].Line()), `"data":"x"}`) {
			t.Errorf("line: %s", events[0].Line())
		}
	}
	if made != 1 {
		t.Errorf("words were made %d times", made)
	}
}

// What flows is asked for while somebody waits for it, and a while longer. Whoever comes back later has missed something.
func TestTheFlowRunsWhileSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(Options{})
		runs, running := 0, false
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		work.Go(func() {
			h.Run(ctx, func(ctx context.Context) {
				runs, running = runs+1, true
				<-ctx.Done()
				running = false
			})
		})
		state := func(want bool, wantRuns int, when string) {
			t.Helper()
			synctest.Wait()
			if running != want || runs != wantRuns {
				t.Errorf("%s: running %v after %d starts, want %v and %d", when, running, runs, want, wantRuns)
			}
		}
		state(false, 0, "nobody looks")
		view(t, h, Query{Past: true})
		blocks := view(t, h, Query{Kinds: []Kind{Block}})
		state(false, 0, "nobody waits for samples")
		first := view(t, h, Query{})
		state(true, 1, "somebody looks")
		publish(h, Sample, 3)
		last := h.id(h.number)
		first.Close()
		time.Sleep(usualLinger - time.Second)
		state(true, 1, "shortly after")
		again := view(t, h, Query{After: last})
		if events, _ := read(t, again); len(events) != 0 {
			t.Errorf("who comes back soon: %v", kindsOf(events))
		}
		time.Sleep(10 * usualLinger)
		state(true, 1, "he stays")
		again.Close()
		time.Sleep(usualLinger + time.Second)
		state(false, 1, "long after")
		late := view(t, h, Query{After: last})
		state(true, 2, "somebody comes back")
		if events, _ := read(t, late); len(events) != 1 || missing(t, events[0]) != Lost {
			t.Errorf("who comes back late: %v", kindsOf(events))
		}
		if events, _ := read(t, view(t, h, Query{Kinds: []Kind{Block}, After: last})); len(events) != 0 {
			t.Errorf("who looks at blocks has missed nothing: %v", kindsOf(events))
		}
		stop()
		work.Wait()
		state(false, 2, "the end")
		for _, v := range []*View{blocks, late} {
			if _, err := v.Next(t.Context()); !errors.Is(err, ErrEnded) {
				t.Errorf("after the end: %v", err)
			}
		}
		if _, err := h.View(Query{}); !errors.Is(err, ErrEnded) {
			t.Errorf("a view after the end: %v", err)
		}
		publish(h, Block, 1)
	})
}

// The end of the node, and that of the reader, end the waiting.
func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(Options{})
		ctx, stop := context.WithCancel(t.Context())
		go h.Run(ctx, func(ctx context.Context) { <-ctx.Done() })
		v := view(t, h, Query{})
		got := make(chan string)
		next := func(ctx context.Context) {
			events, err := v.Next(ctx)
			got <- fmt.Sprint(len(events), err)
		}
		go next(t.Context())
		synctest.Wait()
		publish(h, Key, 2)
		if g := <-got; g != "1 <nil>" && g != "2 <nil>" {
			t.Errorf("something came: %s", g)
		}
		read(t, v)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go next(short)
		if g := <-got; g != "0 context deadline exceeded" {
			t.Errorf("the reader gave up: %s", g)
		}
		go next(t.Context())
		synctest.Wait()
		stop()
		if g := <-got; g != "0 the node stops" {
			t.Errorf("the node stops: %s", g)
		}
	})
}

// Clocks are set: events keep their order and nobody is told of a gap that is none.
func TestAClockThatJumps(t *testing.T) {
	h := NewHub(Options{})
	v := view(t, h, Query{})
	for _, at := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour, time.Second} {
		h.Publish(Block, time.Now().Add(at), func() any { return at })
	}
	events, err := read(t, v)
	if len(events) != 4 || err != nil || !slices.IsSortedFunc(events, func(x, y *Event) int { return int(x.number) - int(y.number) }) {
		t.Errorf("%v, %v", kindsOf(events), err)
	}
	if events, _ := read(t, view(t, h, Query{Kinds: []Kind{Block}, After: h.id(events[1].number)})); len(events) != 2 {
		t.Errorf("resumed: %v", kindsOf(events))
	}
}

// Everybody at once; what each viewer gets is in order and whole.
func TestViewersUnderRace(t *testing.T) {
	h := NewHub(Options{})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { h.Run(ctx, func(ctx context.Context) { <-ctx.Done() }) })
	const each = 300
	var viewers sync.WaitGroup
	for i := range 8 {
		v := view(t, h, Query{Kinds: []Kind{Block, Decision}})
		viewers.Go(func() {
			var last uint64
			for n := 0; n < 4*each; {
				events, err := v.Next(t.Context())
				if err != nil {
					t.Errorf("viewer %d: %v after %d", i, err, n)
					return
				}
				for _, e := range events {
					if e.Line(); e.number <= last {
						t.Errorf("viewer %d: %d after %d", i, e.number, last)
					}
					last = e.number
				}
				n += len(events)
			}
			v.Close()
		})
	}
	for range 2 {
		all.Go(func() { publish(h, Block, each) })
		all.Go(func() { publish(h, Decision, each) })
	}
	viewers.Wait()
	stop()
	all.Wait()
}

// BenchmarkPublish is what an event costs: of nobody who looks, and of one.
func BenchmarkPublish(b *testing.B) {
	for _, viewers := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) {
			h := NewHub(Options{})
			for range viewers {
				view(b, h, Query{})
			}
			b.ReportAllocs()
			for b.Loop() {
				h.Publish(Block, time.Time{}, func() any { return nil })
			}
		})
	}
}
