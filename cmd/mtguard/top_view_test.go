package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/threat"
	"mtguard/telemetry/live"
)

// keys are what somebody types.
func (v *topView) keys(text string) *topView {
	for _, key := range []byte(text) {
		v.key(key)
	}
	return v
}

// busyModel is a node with something of everything.
func busyModel() *topModel {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.Local)
	m := &topModel{now: now, status: control.Status{Version: "1.2.3", Started: now.Add(-time.Hour), Listening: []string{"0.0.0.0:443"}}}
	for range 50 {
		m.second(live.Second{Open: 9, Accepted: 3, Controls: []live.ControlRate{{Name: "rate.accept", WouldRefuse: 7}, {Name: "conns.user", Refused: 1}}})
	}
	m.controls = []control.ControlInfo{
		{Name: "conns.user", Mode: "enforce", Percent: 10, Refused: 900, WouldRefuse: 1}, {Name: "rate.accept", Mode: "monitor", WouldRefuse: 70},
		{Name: "access.level", Mode: "enforce", Refused: 3}, {Name: "geo.country", Mode: "monitor"},
	}
	for _, subject := range []string{"198.51.100.0/24", "203.0.113.7", "203.0.113.8", "203.0.113.9"} {
		m.incidents = append(m.incidents, control.IncidentInfo{Detector: "replay_burst", Subject: subject, Severity: threat.High, State: "open", Last: now})
	}
	at := now.Add(-time.Minute)
	m.connected([]control.ClientInfo{{User: "alice", From: "192.0.2.1", Since: at, Up: 100, Down: 1000}, {User: "bob", From: "192.0.2.2", Since: at, Up: 5e6, Down: 6e6}}, at)
	m.connected([]control.ClientInfo{
		{User: "alice", From: "192.0.2.1", Since: at, Up: 60100, Down: 601000}, {User: "alice", From: "192.0.2.1", Since: now, Up: 9e9},
		{User: "alice", From: "192.0.2.3", Since: now}, {User: "bob", From: "192.0.2.2", Since: at, Up: 5e6, Down: 6e6},
	}, now)
	return m
}

// names are the first words of the rows below a head.
func names(picture, head string) (found []string) {
	_, below, ok := strings.Cut(picture, "\n"+head)
	if !ok {
		return nil
	}
	lines := strings.Split(below, "\n")
	for _, line := range lines[1 : len(lines)-1] { // without the rest of the head, and the foot
		found = append(found, strings.Fields(line + " -")[0])
	}
	return found
}

func TestTopIsSortedByColumns(t *testing.T) {
	m := busyModel()
	for keys, want := range map[string]string{
		"":                                     "rate.accept conns.user access.level", // the busiest first
		"s":                                    "access.level conns.user rate.accept", // CONTROL
		"sr":                                   "rate.accept conns.user access.level",
		"ss":                                   "access.level conns.user rate.accept", // MODE
		"sss":                                  "conns.user rate.accept access.level", // REFUSED/S
		"sssss":                                "conns.user access.level rate.accept", // REFUSED
		"sssssss":                              "rate.accept conns.user access.level", // and round
		"/ACC\r":                               "rate.accept access.level",
		"/geo\r":                               "geo.country", // also who does nothing
		"/accept\x7f\x7f\x7f\x7f\x7f\x7fgeo\r": "geo.country",
		"/nobody\x15conns\r":                   "conns.user",
		"/geo\x1b":                             "rate.accept conns.user access.level",
		"/geo\r\x1b":                           "rate.accept conns.user access.level",
		"/q s":                                 "",                                    // letters, while they are typed
		"us\t":                                 "rate.accept conns.user access.level", // each table has an order of its own
	} {
		picture := m.picture(new(topView).keys(keys), 100, 50)
		if got := strings.Join(names(picture, "CONTROL"), " "); got != want {
			t.Errorf("%q: %q, want %q\n%s", keys, got, want, picture)
		}
	}
	if picture := m.picture(new(topView).keys("/nothing"), 100, 50); !strings.Contains(picture, "nothing has nothing in its name") || strings.Contains(picture, "replay_burst") {
		t.Errorf("a filter that nothing fits:\n%s", picture)
	}
	if picture := m.picture(new(topView).keys("/113.7\r"), 100, 50); strings.Count(picture, "replay_burst") != 1 {
		t.Errorf("incidents are not filtered:\n%s", picture)
	}
	if picture := m.picture(new(topView).keys("ssss"), 100, 50); !strings.Contains(picture, "WOULD/S▾") {
		t.Errorf("the column is not marked:\n%s", picture)
	}
}

func TestTopShowsWhoIsConnected(t *testing.T) {
	m := busyModel()
	picture := m.picture(new(topView).keys("u"), 100, 50)
	if got := names(picture, "USER"); !slices.Equal(got, []string{"alice", "bob"}) {
		t.Errorf("users %q\n%s", got, picture)
	}
	line := picture[strings.Index(picture, "\nalice"):]
	if got := strings.Fields(strings.Split(line, "\n")[1]); strings.Join(got, " ") != "alice 3 2 1 kB 10 kB 9.00 GB 601 kB" {
		t.Errorf("alice: %q", got)
	}
	if got := names(m.picture(new(topView).keys("usssssss"), 100, 50), "USER"); !slices.Equal(got, []string{"bob", "alice"}) {
		t.Errorf("by what came down: %q", got)
	}
	m.usersDenied = true
	if picture := m.picture(new(topView).keys("u"), 100, 50); !strings.Contains(picture, "who is connected takes the level admin") {
		t.Errorf("who may not see users:\n%s", picture)
	}
}

// TestTopFitsSmallTerminals: what matters is there on 40 columns, too.
func TestTopFitsSmallTerminals(t *testing.T) {
	m := busyModel()
	for _, c := range []struct {
		columns int
		keys    string
		want    []string
		not     string
	}{
		{80, "", []string{"CONTROL             MODE          REFUSED/S  WOULD/S  REFUSED     WOULD", "SEVERITY  STATE          INCIDENT            ABOUT                   LAST", "? help"}, "DONE"},
		{40, "", []string{"CONTROL             REFUSED/S  WOULD/S", "rate.accept", "SEVERITY  INCIDENT", "1 more: mtguard incident list", "? help"}, "MODE"},
		{40, "u", []string{"USER              SESSIONS  DOWN/S", "alice", "? help"}, "ADDRS"},
		{40, "?", []string{"r      sort the other way round", "Any key goes back."}, "CONTROL"},
		{40, "/conns", []string{"/conns_", "conns.user"}, "rate.accept"},
		{20, "", []string{"CONTROL"}, "WOULD/S"},
	} {
		picture := m.picture(new(topView).keys(c.keys), c.columns, 24)
		if lines := strings.Count(picture, "\n") + 1; lines > 24 || widest(picture) > c.columns {
			t.Errorf("%d columns, %q: %d lines, %d wide", c.columns, c.keys, lines, widest(picture))
		}
		for _, text := range c.want {
			if !strings.Contains(picture, text) {
				t.Errorf("%d columns, %q: no %q in\n%s", c.columns, c.keys, text, picture)
			}
		}
		if strings.Contains(picture, c.not) {
			t.Errorf("%d columns, %q: %q in\n%s", c.columns, c.keys, c.not, picture)
		}
	}
}

// Whatever is typed, the picture fits.
func TestTopTakesAnyKeys(t *testing.T) {
	m := busyModel()
	r := rand.New(rand.NewPCG(1, 2))
	keys := []byte("ssru/\r\x1b? ab\x7f\x15\t\x00\xff[A")
	for range 200 {
		v, typed := new(topView), []byte(nil)
		columns, rows := 1+r.IntN(120), 1+r.IntN(40)
		for range 30 {
			typed = append(typed, keys[r.IntN(len(keys))])
			v.key(typed[len(typed)-1])
			picture := m.picture(v, columns, rows)
			if n := strings.Count(picture, "\n") + 1; n > max(rows, 4) || widest(picture) > max(columns, 20) || strings.ContainsAny(picture, "\x1b\x00\x7f") {
				t.Fatalf("%q on %d × %d:\n%q", typed, columns, rows, picture)
			}
		}
	}
}

func TestKeysWithASequenceAreNone(t *testing.T) {
	for typed, want := range map[string]string{
		"q": "q", "\x1b": "\x1b", "\x1b[A\r": "\r", "a\x1b[1;5Cb": "ab", "\x1bOPs": "s", "\x1bxs": "s", "\x1b[": "", "\x1b[3~\x1b": "\x1b", "": "",
	} {
		if got := string(plainKeys([]byte(typed))); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}

// What is held does not change by what happens, but is sorted and filtered as asked.
func TestTopHoldsThePicture(t *testing.T) {
	_, socket := watchedNode(t)
	screen := newRecorded()
	ended := watchTop(t.Context(), socket, screen)
	screen.until(t, "rate.accept", "replay_burst")
	types := func(text string) {
		go func() {
			for _, key := range []byte(text) {
				screen.keys <- key
			}
		}()
	}
	types(" ")
	screen.until(t, "HELD")
	types("/geo")
	screen.until(t, "/geo_", "nothing has geo in its name")
	types("\x1b ")
	screen.until(t, "q quit", "rate.accept")
	types("?")
	screen.until(t, "Any key goes back.")
	types("xu")
	screen.until(t, "nobody is connected")
	types("q")
	for range 3 {
		select {
		case err := <-ended:
			if err != nil || screen.left != 1 {
				t.Errorf("the end: %v, left %d times", err, screen.left)
			}
			return
		case <-screen.drawn:
		}
	}
	t.Error("q does not end it")
}

// A node that goes is told, and so is one that comes back; the terminal is left when somebody has enough.
func TestTopOutlivesTheNode(t *testing.T) {
	plane, socket := watchedNode(t)
	screen := newRecorded()
	// A relay before the node, so that it can be cut.
	front := t.TempDir() + "/front.sock"
	cut := relayTo(t, front, socket)
	ctx, stop := context.WithCancel(t.Context())
	ended := watchTop(ctx, front, screen)
	screen.until(t, "mtguard 1.2.3  serving")
	for plane.hub.Viewers() == 0 {
		time.Sleep(time.Millisecond)
	}
	cut()
	screen.until(t, "GONE: waiting for it")
	relayTo(t, front, socket)
	seen := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { // nobody knows when it looks again: the viewer of before may still be counted
		for {
			plane.sample(4711)
			select {
			case <-seen:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	screen.until(t, "serving", "4711")
	close(seen)
	work.Wait()
	stop()
	for {
		select {
		case err := <-ended:
			if !errors.Is(err, errInterrupted) || screen.left != 1 {
				t.Errorf("the end: %v, left %d times", err, screen.left)
			}
			return
		case <-screen.drawn:
		}
	}
}

// relayTo passes connections at one socket on to another until they are cut.
func relayTo(t *testing.T, front, socket string) (cut func()) {
	listener, err := net.Listen("unix", front)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("unix", socket)
			if err != nil {
				here.Close()
				continue
			}
			both := func() { here.Close(); there.Close() }
			context.AfterFunc(ctx, both)
			work.Go(func() { io.Copy(there, here); both() })
			work.Go(func() { io.Copy(here, there); both() })
		}
	})
	cut = sync.OnceFunc(func() { listener.Close(); stop(); work.Wait() })
	t.Cleanup(cut)
	return cut
}

// A mistake of the program ends it, and the terminal is left first: else nobody could read what went wrong.
func TestTopLeavesTheTerminalWhenItBreaks(t *testing.T) {
	_, socket := watchedNode(t)
	screen := newRecorded()
	screen.fails = true
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	c, err := a.call(t.Context(), &nodeFlags{server: socket, timeout: 10 * time.Second, format: formTable}, a.topCommand(), nil)
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if trouble := recover(); trouble == nil {
				t.Error("the mistake is not told")
			}
		}()
		c.top(screen)
	}()
	if screen.left != 1 {
		t.Errorf("left %d times", screen.left)
	}
	// What works beside the drawing hands its mistake on.
	broken := make(chan any, 1)
	together(t.Context(), broken, func() { panic("beside") })
	if text, _ := (<-broken).(string); !strings.HasPrefix(text, "beside\n") || !strings.Contains(text, "TestTopLeavesTheTerminalWhenItBreaks") {
		t.Errorf("handed on: %q", text)
	}
}
