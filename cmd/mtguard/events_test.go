package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mtguard/control/admin"
	"mtguard/telemetry/live"
)

func TestEventsOfThePast(t *testing.T) {
	plane, socket := watchedNode(t)
	plane.sample(5)
	plane.hub.Publish(live.Block, time.Now(), func() any {
		return live.Change{Row: 4, Actor: "uid 0", Action: "block", Object: "192.0.2.0/24", Outcome: "refused", Reason: "it is\x1b[2J yours"}
	})
	plane.hub.Publish(live.Decision, time.Now(), func() any {
		return live.Judgement{Verdict: "would_refuse", Addr: "192.0.2.0/24", User: "nadia", Transport: "faketls", Control: "rate.accept", Mode: "monitor", Reason: "rate", Skipped: 31}
	})
	plane.hub.Publish(live.Incident, time.Now(), func() any { return plane.found[0] })
	for _, c := range []struct {
		args string
		want []string
		not  []string
	}{
		{"", []string{"  block     block 192.0.2.0/24 by uid 0, refused: it is[2J yours\n", "  decision  would refuse 192.0.2.0/24 nadia faketls by rate.accept (monitor): rate; 31 more like it\n",
			"  incident  high open replay_burst 198.51.100.0/24 (i1, 0 findings) blocked[2J for 20m\n"}, []string{"sample", "\x1b"}},
		{"--kind sample", []string{"5 open, 7 sessions; a second: 46 accepted, 0 served, 0 covered, 0 refused, 7.0 would be; up 3.1 MB/s, down 0 B/s\n"}, []string{"block"}},
		{"--kind block,incident --since 3d", []string{"note: restart: ", "  block  ", "  incident  "}, []string{"decision"}},
		{"--format ocsf", []string{`"class_uid":2005`, `"time":`, `"uid":"incident i1"`, "198.51.100.0/24"}, []string{"192.0.2.0", "schema"}},
		{"--kind block -o jsonl", []string{`"kind":"block"`, `"row":4`}, []string{"schema"}},
	} {
		code, out, errs := typed("", append(append([]string{"events"}, strings.Fields(c.args)...), "--server", socket)...)
		if code != 0 || (errs != "" && !strings.HasPrefix(errs, "note: ")) {
			t.Errorf("%s: exit code %d, %s", c.args, code, errs)
		}
		out += errs
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", c.args, want, out)
			}
		}
		for _, not := range c.not {
			if strings.Contains(out, not) {
				t.Errorf("%s: %q in\n%s", c.args, not, out)
			}
		}
	}
	_, out, _ := typed("", "events", "--json", "--kind", "block", "--server", socket)
	var got envelope[admin.WatchedEvent]
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Schema != "mtguard/events/v1" || len(got.Items) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	for _, args := range []string{"--kind weather", "--kind gap", "--format ecs", "--kind audit --format ocsf", "--since -5m", "--since soon", "now"} {
		if code, _, errs := typed("", append(append([]string{"events"}, strings.Fields(args)...), "--server", socket)...); code != 2 {
			t.Errorf("%s: exit code %d, %s", args, code, errs)
		}
	}
}

// TestEventsGoOnAfterARestart: the command waits for the node, and goes on after what it has; of the new process it gets a gap first.
func TestEventsGoOnAfterARestart(t *testing.T) {
	first, second := live.NewHub(live.Options{}), live.NewHub(live.Options{})
	plane, socket := watchedNode(t)
	ctx, stopFirst := context.WithCancel(t.Context())
	go first.Run(ctx, func(ctx context.Context) { <-ctx.Done() })
	plane.hub = first
	change := func(h *live.Hub, object string) {
		h.Publish(live.Block, time.Now(), func() any {
			return live.Change{Actor: "uid 0", Action: "block", Object: object, Outcome: "done"}
		})
	}
	change(first, "old")
	lines := &told{came: make(chan string, 64)}
	end, stop := context.WithCancel(t.Context())
	a := &app{stdin: strings.NewReader(""), stdout: lines, stderr: lines}
	o := &nodeFlags{server: socket, timeout: 10 * time.Second, format: formTable}
	c, err := a.call(end, o, a.eventsCommand(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- c.events(&eventFlags{kinds: []string{"block"}, since: time.Hour, follow: true}) }()
	lines.until(t, "old")
	change(first, "shortly before")
	lines.until(t, "shortly before")
	change(second, "after")
	plane.mu.Lock()
	plane.hub = second // the next to ask gets the other
	plane.mu.Unlock()
	stopFirst()
	lines.until(t, "the node is gone")
	lines.until(t, "note: restart")
	lines.until(t, "after")
	stop()
	if err := <-ended; err == nil {
		t.Error("an interrupt is no success")
	}
}

// told hands on what is written.
type told struct{ came chan string }

func (w *told) Write(b []byte) (int, error) {
	w.came <- string(b)
	return len(b), nil
}

func (w *told) until(t *testing.T, words string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case text := <-w.came:
			if strings.Contains(text, words) {
				return
			}
		case <-late:
			t.Fatalf("nobody says %q", words)
		}
	}
}
