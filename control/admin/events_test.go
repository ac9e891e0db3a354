package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/telemetry/live"
)

// feed is a hub that runs until the test ends, and a server of it.
func feed(t testing.TB, o live.Options) (hub *live.Hub, s *server, stop func()) {
	hub = live.NewHub(o)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { hub.Run(ctx, func(ctx context.Context) { <-ctx.Done() }) })
	stop = func() { cancel(); work.Wait() }
	t.Cleanup(stop)
	s = newServer(&fakePlane{hub: hub}, quiet(t))
	s.eventPace = time.Millisecond
	return hub, s, stop
}

func tell(hub *live.Hub, k live.Kind, data any) {
	hub.Publish(k, time.Now(), func() any { return data })
}

// stream asks for events and returns the lines of the answer as they come.
func stream(t testing.TB, path, query string, headers ...string) (*http.Response, *bufio.Scanner) {
	t.Helper()
	c, ctx := client(t, path), t.Context()
	if _, ok := t.(*testing.T); ok { // what never comes is a failure
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 20*time.Second)
		t.Cleanup(cancel)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x"+apiPath+"/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	response, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEventLine)
	return response, lines
}

// until returns the lines up to one that begins so.
func until(t testing.TB, lines *bufio.Scanner, prefix string) (seen []string) {
	t.Helper()
	for lines.Scan() {
		if seen = append(seen, lines.Text()); strings.HasPrefix(lines.Text(), prefix) {
			return seen
		}
	}
	t.Fatalf("the stream ended (%v) without %q: %q", lines.Err(), prefix, seen)
	return nil
}

func TestEventsAreStreamed(t *testing.T) {
	hub, s, _ := feed(t, live.Options{})
	path := serve(t, s.handler(), quiet(t))
	response, lines := stream(t, path, "?kind=block,incident")
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", response.Header)
	}
	until(t, lines, ":") // he is there
	tell(hub, live.Key, "not asked for")
	tell(hub, live.Block, live.Change{Action: "block", Object: "192.0.2.0/24"})
	seen := until(t, lines, "data:")
	id, _ := strings.CutPrefix(seen[1], "id: ")
	if len(seen) != 4 || seen[2] != "event: block" || !strings.Contains(seen[3], `"id":"`+id+`","kind":"block","time":"`) || !strings.Contains(seen[3], `"object":"192.0.2.0/24"`) {
		t.Errorf("the event: %q", seen)
	}
	// The next reader goes on where this one is, and gets lines.
	tell(hub, live.Incident, "two")
	tell(hub, live.Incident, "three")
	response, lines = stream(t, path, "?follow=false", "Last-Event-ID: "+id, "Accept: application/jsonl")
	var all []string
	for lines.Scan() {
		all = append(all, lines.Text())
	}
	if response.Header.Get("Content-Type") != "application/jsonl" || len(all) != 2 || !strings.HasSuffix(all[0], `"data":"two"}`) || !strings.HasSuffix(all[1], `"data":"three"}`) {
		t.Errorf("resumed: %q", all)
	}
	_, lines = stream(t, path, "?kind=block", "Last-Event-ID: 0123456789ab-7")
	if seen := until(t, lines, "data:"); seen[2] != "event: gap" || !strings.Contains(seen[3], `"reason":"restart"`) {
		t.Errorf("resumed after an event of another process: %q", seen)
	}
	if seen := until(t, lines, "data:"); !strings.Contains(seen[len(seen)-1], "192.0.2.0/24") {
		t.Errorf("after the gap: %q", seen)
	}
}

// Whoever waits hears that the other end is there.
func TestAStreamHasAHeartbeat(t *testing.T) {
	hub, s, _ := feed(t, live.Options{})
	s.heartbeat = 10 * time.Millisecond
	_, lines := stream(t, serve(t, s.handler(), quiet(t)), "?kind=block")
	for range 3 {
		until(t, lines, ":")
	}
	tell(hub, live.Block, "x")
	until(t, lines, "data:")
	until(t, lines, ":")
	if newServer(&fakePlane{}, quiet(t)).heartbeat != 15*time.Second {
		t.Error("the heart beats at another pace than the contract says")
	}
}

// A reader who takes nothing is cut off when his time is over, and gives his place back; others are not kept.
func TestAStalledReaderHarmsNobody(t *testing.T) {
	hub, s, _ := feed(t, live.Options{})
	s.eventPatience, s.stalled = 100*time.Millisecond, time.Hour // the latter is for answers that end
	path := serve(t, s.handler(), quiet(t))
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s/events?kind=block HTTP/1.1\r\nHost: x\r\n\r\n", apiPath)
	_, lines := stream(t, path, "?kind=key")
	until(t, lines, ":")
	await(t, "both look", func() bool { return hub.Viewers() == 2 })
	large := strings.Repeat("x", 4<<10)
	for i := 0; hub.Viewers() > 1; i++ {
		if i > 1_000_000 {
			t.Fatal("who reads nothing is not cut off")
		}
		tell(hub, live.Block, large)
		if i%1000 == 0 {
			time.Sleep(time.Millisecond) // the machine may have other things to do
		}
	}
	tell(hub, live.Key, "for who reads")
	until(t, lines, "data:")
}

// A reader who reads too slowly gets a last event that says so.
func TestASlowReaderIsToldWhy(t *testing.T) {
	hub, s, _ := feed(t, live.Options{})
	s.eventPace = 200 * time.Millisecond // slow by our own doing
	_, lines := stream(t, serve(t, s.handler(), quiet(t)), "?kind=block")
	until(t, lines, ":")
	ended := make(chan []string)
	go func() {
		var all []string
		for lines.Scan() {
			all = append(all, lines.Text())
		}
		ended <- all
	}()
	for {
		select {
		case all := <-ended:
			if n := len(all); n < 3 || all[n-3] != "event: gap" || !strings.Contains(all[n-2], `"reason":"slow"`) {
				t.Errorf("the end: %q", all[max(0, n-4):])
			}
			return
		default:
			tell(hub, live.Block, "x")
		}
	}
}

// When the node stops, streams end at once: it does not wait for its readers.
func TestStreamsEndWithTheNode(t *testing.T) {
	hub, s, stop := feed(t, live.Options{})
	socket, err := Listen(shortDir(t)+"/s", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, socket, s.handler(), quiet(t)) }()
	_, lines := stream(t, socket.path, "")
	until(t, lines, ":")
	began := time.Now()
	cancel()
	stop()
	for lines.Scan() {
	}
	if err := errors.Join(lines.Err(), <-ended); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took >= grace {
		t.Errorf("it took %v", took)
	}
	if hub.Viewers() != 0 {
		t.Errorf("%d viewers are left", hub.Viewers())
	}
}

func TestViewersAreBoundedAndAskedProperly(t *testing.T) {
	hub, s, _ := feed(t, live.Options{MaxViewers: 1})
	path := serve(t, s.handler(), quiet(t))
	_, lines := stream(t, path, "")
	until(t, lines, ":")
	h := s.handler()
	s.plane = planeOf(hub)
	if w := request(h, root, http.MethodGet, "/events", ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "too many viewers") {
		t.Errorf("one too many: %d %s", w.Code, w.Body)
	}
	for _, query := range []string{"kind=weather", "kind=", "kind=block,,key", "kind=gap", "since=yesterday", "since=-5m", "since=100000h", "follow=perhaps", "after=x", "kind=block&kind=x"} {
		if w := request(h, root, http.MethodGet, "/events?"+query, ""); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	if w := request(h, root, http.MethodPost, "/events", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a change of events: %d", w.Code)
	}
}

// planeOf is the real plane's rule of who sees what, over a hub.
func planeOf(hub *live.Hub) Plane { return &limitedPlane{&fakePlane{}, hub} }

type limitedPlane struct {
	*fakePlane
	hub *live.Hub
}

func (p *limitedPlane) Events(_ context.Context, _ control.Actor, q live.Query) (*live.View, error) {
	view, err := p.hub.View(q)
	if errors.Is(err, live.ErrTooMany) {
		return nil, &control.Error{Kind: control.Unavailable, Text: "too many viewers look already"}
	}
	return view, err
}

func TestClientFollowsEvents(t *testing.T) {
	hub, s, stop := feed(t, live.Options{})
	path := serve(t, s.handler(), quiet(t))
	tell(hub, live.Block, "one")
	tell(hub, live.Key, "two")
	var got []string
	var after string
	for e, err := range client(t, path).Events(t.Context(), EventQuery{Kinds: []live.Kind{live.Block, live.Key}}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, string(e.Kind)+string(e.Data)); len(got) == 1 {
			after = e.ID
		}
	}
	if want := []string{`block"one"`, `key"two"`}; !slices.Equal(got, want) {
		t.Errorf("kept: %q, want %q", got, want)
	}
	got = nil
	for e, err := range client(t, path).Events(t.Context(), EventQuery{Kinds: []live.Kind{live.Block, live.Key}, After: after, Follow: true}) {
		if err != nil {
			if unreachable, ok := errors.AsType[*UnreachableError](err); !ok || unreachable.Socket != path {
				t.Errorf("the end: %v", err)
			}
			break
		}
		if got = append(got, string(e.Data)); len(got) == 1 {
			tell(hub, live.Block, "three")
		} else if e.Kind == live.Block {
			stop()
		}
	}
	if want := `"two"`; len(got) != 2 || got[0] != want || got[1] != `"three"` {
		t.Errorf("followed: %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range client(t, path).Events(ctx, EventQuery{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v", err)
		}
	}
}

// await waits until something is so.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// BenchmarkViewers is what 100 viewers cost who get a sample and some decisions a second: the figure is the share of a core, readers and
// server together.
func BenchmarkViewers(b *testing.B) {
	second := live.Second{Open: 9812, Accepted: 46, Served: 12, Up: 2.3e7, Down: 2.1e7, Controls: []live.ControlRate{{Name: "rate.accept", WouldRefuse: 7}}}
	for _, c := range []struct{ viewers, decisions int }{{0, 0}, {1, 0}, {100, 0}, {100, 10}} {
		b.Run(fmt.Sprintf("viewers=%d/decisions=%d", c.viewers, c.decisions), func(b *testing.B) {
			hub, s, _ := feed(b, live.Options{})
			s.eventPace = eventPace
			path := serve(b, s.handler(), quiet(b))
			var mu sync.Mutex
			var delays []time.Duration
			for range c.viewers {
				_, lines := stream(b, path, "")
				until(b, lines, ":")
				go func() {
					for lines.Scan() {
						_, text, ok := strings.Cut(lines.Text(), `"time":"`)
						if !ok || len(text) < 20 {
							continue
						}
						at, _ := time.Parse(time.RFC3339Nano, text[:strings.IndexByte(text, '"')])
						mu.Lock()
						delays = append(delays, time.Since(at))
						mu.Unlock()
					}
				}()
			}
			before, began := cpuTime(), time.Now()
			for b.Loop() {
				tell(hub, live.Sample, second)
				for range c.decisions {
					time.Sleep(time.Second / time.Duration(c.decisions+1))
					tell(hub, live.Decision, live.Judgement{Verdict: "failed", Addr: "192.0.2.0/24", Transport: "faketls", Reason: "bad_secret"})
				}
				time.Sleep(time.Second / time.Duration(c.decisions+1))
			}
			b.ReportMetric(100*(cpuTime()-before).Seconds()/time.Since(began).Seconds(), "%core")
			mu.Lock()
			defer mu.Unlock()
			if slices.Sort(delays); len(delays) > 0 {
				b.ReportMetric(delays[len(delays)*95/100].Seconds()*1000, "p95-ms")
			}
		})
	}
}

func cpuTime() time.Duration {
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
