package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"mtguard/control"
	"mtguard/control/threat"
	"mtguard/telemetry/live"
)

// watchedNode is a node that tells of a sample whenever it is asked to.
func watchedNode(t *testing.T) (*fakePlane, string) {
	now := time.Now()
	plane := &fakePlane{
		hub:    live.NewHub(live.Options{}),
		status: control.Status{Version: "1.2.3", Now: now, Started: now.Add(-12 * 24 * time.Hour), Listening: []string{"0.0.0.0:443"}, Users: 2, Serving: 2},
		found:  []control.IncidentInfo{{ID: "i1", Detector: "replay_burst", Subject: "198.51.100.0/24", Severity: threat.High, State: "open", Last: now, Action: "blocked\x1b[2J for 20m"}},
	}
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	hub := plane.hub
	work.Go(func() { hub.Run(ctx, func(ctx context.Context) { <-ctx.Done() }) })
	socket := plane.node(t)
	t.Cleanup(func() { stop(); work.Wait() }) // before the server closes
	return plane, socket
}

func (p *fakePlane) sample(open int64) {
	s := live.Second{Open: open, Sessions: 7, Accepted: 46, WouldRefuse: 7, Up: 3.1e6, Controls: []live.ControlRate{{Name: "rate.accept", WouldRefuse: 7}}}
	p.hub.Publish(live.Sample, time.Now(), func() any { return s })
}

// recorded is a screen that remembers what was drawn on it.
type recorded struct {
	keys    chan byte
	resized chan os.Signal
	drawn   chan string
	left    int

	mu            sync.Mutex
	columns, rows int
	fails         bool // the next drawing panics
}

func newRecorded() *recorded {
	return &recorded{keys: make(chan byte), resized: make(chan os.Signal), drawn: make(chan string), columns: 100, rows: 30}
}

func (r *recorded) Enter() (func(), error)    { return func() { r.left++ }, nil }
func (r *recorded) Keys() <-chan byte         { return r.keys }
func (r *recorded) Resized() <-chan os.Signal { return r.resized }

func (r *recorded) Draw(picture string) error {
	r.mu.Lock()
	fails := r.fails
	r.mu.Unlock()
	if fails {
		panic("a mistake of the program")
	}
	r.drawn <- picture
	return nil
}

func (r *recorded) Size() (int, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.columns, r.rows
}

// watchTop runs top on a screen; the result is that of the command.
func watchTop(ctx context.Context, socket string, screen watchScreen) <-chan error {
	ended := make(chan error, 1)
	var out strings.Builder
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out}
	o := &nodeFlags{server: socket, timeout: 10 * time.Second, format: formTable}
	cmd := a.topCommand()
	c, err := a.call(ctx, o, cmd, nil)
	if err != nil {
		ended <- err
		return ended
	}
	go func() { ended <- c.top(screen) }()
	return ended
}

// until takes pictures until one holds all the words.
func (r *recorded) until(t *testing.T, words ...string) string {
	t.Helper()
	last, late := "", time.After(20*time.Second)
	for {
		select {
		case last = <-r.drawn:
		case <-late:
			t.Fatalf("no picture with %q; the last:\n%s", words, last)
		}
		all := true
		for _, word := range words {
			all = all && strings.Contains(last, word)
		}
		if all {
			return last
		}
	}
}

func TestTopDrawsWhatHappens(t *testing.T) {
	plane, socket := watchedNode(t)
	screen := newRecorded()
	ended := watchTop(t.Context(), socket, screen)
	screen.until(t, "mtguard 1.2.3  serving  up 12d  0.0.0.0:443", "rate.accept", "replay_burst")
	for plane.hub.Viewers() == 0 {
		time.Sleep(time.Millisecond)
	}
	plane.sample(9812)
	picture := screen.until(t, "9812", "3.1 MB", "46", "1204", "accepted    █")
	for _, bad := range []string{"\x1b", "HELD"} {
		if strings.Contains(picture, bad) {
			t.Errorf("the picture has %q:\n%s", bad, picture)
		}
	}
	// Held, it stays as it is; then it goes on.
	go func() { screen.keys <- ' ' }()
	screen.until(t, "HELD")
	plane.sample(1)
	select {
	case picture := <-screen.drawn:
		t.Errorf("drawn while held:\n%s", picture)
	case <-time.After(300 * time.Millisecond):
	}
	go func() { screen.keys <- ' ' }()
	screen.until(t, "q quit")
	plane.sample(77)
	screen.until(t, "77")
	// Another size.
	screen.mu.Lock()
	screen.columns, screen.rows = 40, 8
	screen.mu.Unlock()
	go func() { screen.resized <- os.Interrupt }()
	for picture = ""; picture == "" || widest(picture) > 40; {
		picture = <-screen.drawn
	}
	if lines := strings.Count(picture, "\n") + 1; lines > 8 {
		t.Errorf("%d lines on a screen of 8:\n%s", lines, picture)
	}
	go func() {
		for range screen.drawn { // so that it can end
		}
	}()
	screen.keys <- 'q'
	if err := <-ended; err != nil || screen.left != 1 {
		t.Errorf("the end: %v, left %d times", err, screen.left)
	}
	close(screen.drawn)
}

func widest(picture string) (most int) {
	for line := range strings.Lines(picture) {
		most = max(most, utf8.RuneCountInString(strings.TrimRight(line, "\n")))
	}
	return most
}

// However it ends, the terminal is left.
func TestTopLeavesTheTerminal(t *testing.T) {
	for name, end := range map[string]struct {
		by   func(*recorded, context.CancelFunc)
		want error
	}{
		"Ctrl-C as a key": {func(r *recorded, _ context.CancelFunc) { r.keys <- 3 }, errInterrupted},
		"Ctrl-D":          {func(r *recorded, _ context.CancelFunc) { r.keys <- 4 }, nil},
		"no more keys":    {func(r *recorded, _ context.CancelFunc) { close(r.keys) }, nil},
		"a signal":        {func(_ *recorded, stop context.CancelFunc) { stop() }, errInterrupted},
	} {
		_, socket := watchedNode(t)
		ctx, stop := context.WithCancel(t.Context())
		screen := newRecorded()
		ended := watchTop(ctx, socket, screen)
		screen.until(t, "mtguard 1.2.3")
		go func() {
			for range screen.drawn {
			}
		}()
		end.by(screen, stop)
		if err := <-ended; !errors.Is(err, end.want) || screen.left != 1 {
			t.Errorf("%s: %v, left %d times", name, err, screen.left)
		}
		close(screen.drawn)
		stop()
	}
}

// Every size has its picture.
func TestPicturesFit(t *testing.T) {
	m := &topModel{now: time.Now(), status: control.Status{Version: "1.2.3", ConfigError: "\x1b[2J" + strings.Repeat("a long mistake ", 20), Audit: &control.AuditBrief{Score: 82}}}
	for range 400 {
		m.second(live.Second{Accepted: float64(len(m.past) % 7), Controls: []live.ControlRate{{Name: "b", Refused: 2}}})
	}
	for range 9 {
		m.incidents = append(m.incidents, control.IncidentInfo{Detector: "\u202ebad", Severity: threat.Low, Subject: strings.Repeat("x", 50)})
	}
	m.controls = []control.ControlInfo{{Name: "a", Refused: 900}, {Name: "b", Mode: "enforce", Percent: 10, Refused: 2}, {Name: "idle"}}
	for columns := 1; columns < 200; columns += 7 {
		for rows := 1; rows < 60; rows += 5 {
			picture := m.picture(new(topView), columns, rows)
			if n := strings.Count(picture, "\n") + 1; n > max(rows, 4) || widest(picture) > max(columns, 20) || strings.ContainsAny(picture, "\u202e\x1b") {
				t.Errorf("%d × %d: %d lines, %d wide", columns, rows, n, widest(picture))
			}
		}
	}
	picture := m.picture(new(topView), 120, 50)
	if at := func(s string) int { return strings.Index(picture, "\n"+s) }; at("b  ") < 0 || at("b  ") > at("a  ") || at("idle") >= 0 {
		t.Errorf("the control that refuses now comes first, and who does nothing not at all:\n%s", picture)
	}
	if !strings.Contains(picture, "4 more: mtguard incident list") || !strings.Contains(picture, "enforce 10%") {
		t.Errorf("the picture:\n%s", picture)
	}
}

func TestTopWithoutATerminalPrintsLines(t *testing.T) {
	plane, socket := watchedNode(t)
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, func() {
		for plane.hub.Viewers() == 0 {
			time.Sleep(time.Millisecond)
		}
		plane.sample(9812)
	})
	var out firstLine
	out.done = stop
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out}
	o := &nodeFlags{server: socket, timeout: 10 * time.Second, format: formTable}
	c, err := a.call(ctx, o, a.topCommand(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.top(nil); !errors.Is(err, errInterrupted) || !strings.Contains(out.String(), "9812 open, 7 sessions; a second: 46 accepted") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v, %q", err, out.String())
	}
}

// firstLine ends the waiting with the first line.
type firstLine struct {
	strings.Builder
	done func()
}

func (w *firstLine) Write(b []byte) (int, error) {
	defer w.done()
	return w.Builder.Write(b)
}
