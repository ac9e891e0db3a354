package alert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
)

var began = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// feed gives an engine a snapshot every few seconds for so long, and returns what changed,
// as "+30s code firing".
func feed(e *engine, from *Snapshot, d time.Duration, change func(s *Snapshot)) (seen []string) {
	for end := from.At.Add(d); from.At.Before(end); {
		from.At = from.At.Add(every)
		change(from)
		for _, c := range e.step(*from) {
			what := "firing"
			if !c.alert.Resolved.IsZero() {
				what = "resolved"
			}
			seen = append(seen, fmt.Sprintf("%v %s %s", from.At.Sub(began), c.alert.Code, what))
		}
	}
	return seen
}

// level is a condition on Memory that fires above 0.9 after a minute, and is over at 0.8
// after two.
func level() *engine {
	return newEngine([]Condition{{
		Code: "memory.low", Title: "t", Severity: High, Threshold: 0.9, Clear: 0.8, For: time.Minute, Keep: 2 * time.Minute,
		Measure: share("memory", func(s *Snapshot) float64 { return s.Memory }),
	}}, nil)
}

func TestForHysteresisAndKeep(t *testing.T) {
	type leg struct {
		d time.Duration
		v float64
	}
	for name, c := range map[string]struct {
		legs []leg
		want []string
	}{
		"too short":                  {[]leg{{57 * time.Second, 0.95}, {3 * time.Minute, 0.85}}, nil},
		"one dip begins it anew":     {[]leg{{48 * time.Second, 0.95}, {every, 0.5}, {57 * time.Second, 0.95}}, nil},
		"long enough":                {[]leg{{2 * time.Minute, 0.95}}, []string{"1m3s memory.low firing"}},
		"at the threshold it is not": {[]leg{{5 * time.Minute, 0.9}}, nil},
		"between the two it stays":   {[]leg{{2 * time.Minute, 0.95}, {time.Hour, 0.85}}, []string{"1m3s memory.low firing"}},
		"a dip does not end it":      {[]leg{{2 * time.Minute, 0.95}, {time.Minute, 0.5}, {time.Minute, 0.95}, {time.Minute, 0.5}, {time.Minute, 0.95}}, []string{"1m3s memory.low firing"}},
		"it ends and begins again": {
			[]leg{{2 * time.Minute, 0.95}, {3 * time.Minute, 0.5}, {2 * time.Minute, 0.95}},
			[]string{"1m3s memory.low firing", "4m3s memory.low resolved", "6m3s memory.low firing"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, s := level(), Snapshot{At: began}
			var seen []string
			for _, l := range c.legs {
				seen = append(seen, feed(e, &s, l.d, func(s *Snapshot) { s.Memory = l.v })...)
			}
			if !slices.Equal(seen, c.want) {
				t.Errorf("%q, want %q", seen, c.want)
			}
		})
	}
}

func TestEachAlertHasAnIDThatStays(t *testing.T) {
	e, s := level(), Snapshot{At: began}
	feed(e, &s, 2*time.Minute, func(s *Snapshot) { s.Memory = 0.95 })
	first := *e.active()[0].alert
	// A new process begins where the store says.
	e = newEngine([]Condition{e.states[0].c}, []store.Alert{first})
	if seen := feed(e, &s, time.Minute, func(s *Snapshot) { s.Memory = 0.96 }); seen != nil {
		t.Errorf("told again after a restart: %q", seen)
	}
	if now := e.active()[0].alert; now.ID != first.ID || !now.Since.Equal(first.Since) || now.Value != 0.96 {
		t.Errorf("%+v went on as %+v", first, now)
	}
	feed(e, &s, 5*time.Minute, func(s *Snapshot) { s.Memory = 0.1 })
	feed(e, &s, 2*time.Minute, func(s *Snapshot) { s.Memory = 0.95 })
	if again := e.active()[0].alert; again.ID == first.ID {
		t.Error("two alerts have one ID")
	}
}

func TestWhatCannotBeJudged(t *testing.T) {
	known := true
	e := newEngine([]Condition{{Code: "x", Threshold: 0, For: 30 * time.Second, Measure: func(now, _ *Snapshot) (float64, string, bool) { return 1, "", known }}}, nil)
	s := Snapshot{At: began}
	none := func(*Snapshot) {}
	feed(e, &s, 24*time.Second, none)
	known = false
	feed(e, &s, every, none)
	known = true
	if seen := feed(e, &s, 30*time.Second, none); seen != nil {
		t.Errorf("time that nobody knows of counted: %q", seen)
	}
	if seen := feed(e, &s, every, none); len(seen) != 1 {
		t.Errorf("then %q", seen)
	}
	known = false
	if seen := feed(e, &s, unknownFor, none); seen != nil {
		t.Errorf("over though nothing is known: %q", seen)
	}
	if seen := feed(e, &s, 2*every, none); len(seen) != 1 || !strings.Contains(seen[0], "resolved") {
		t.Errorf("then %q", seen)
	}
}

// TestEachCondition: each fires for what it is about, and a near miss does not.
func TestEachCondition(t *testing.T) {
	quiet := func(s *Snapshot) {
		s.MaxConnections, s.MaxHalfOpen, s.CPUs, s.Sessions = 1000, 100, 2, 100
		s.Dials, s.DialTime, s.Handshakes, s.KnownAllowed = s.Dials+2, s.DialTime+100*time.Millisecond, s.Handshakes+2, s.KnownAllowed+20
		s.CoverDials++
	}
	cases := map[string]struct{ fires, misses func(s *Snapshot) }{
		"upstream.failing":   {func(s *Snapshot) { s.DialsFailed += 2 }, func(s *Snapshot) { s.Dials += 2; s.DialsFailed += 2 }},
		"upstream.slow":      {func(s *Snapshot) { s.DialTime += 3 * time.Second }, func(s *Snapshot) { s.DialTime += time.Second }},
		"cover.failing":      {func(s *Snapshot) { s.CoverDialsFailed++ }, func(s *Snapshot) { s.CoverDials++; s.CoverDialsFailed++ }},
		"connections.full":   {func(s *Snapshot) { s.Connections = 901 }, func(s *Snapshot) { s.Connections = 900 }},
		"half_open.full":     {func(s *Snapshot) { s.HalfOpen = 81 }, func(s *Snapshot) { s.HalfOpen = 80 }},
		"descriptors.low":    {func(s *Snapshot) { s.Descriptors = 0.86 }, func(s *Snapshot) { s.Descriptors = 0.85 }},
		"memory.low":         {func(s *Snapshot) { s.Memory = 0.91 }, func(s *Snapshot) { s.Memory = 0.9 }},
		"disk.full":          {func(s *Snapshot) { s.Disk = 0.96 }, func(s *Snapshot) { s.Disk = 0.95 }},
		"cpu.high":           {func(s *Snapshot) { s.CPU += 2 * every * 95 / 100 }, func(s *Snapshot) { s.CPU += 2 * every * 85 / 100 }},
		"handshakes.bad":     {func(s *Snapshot) { s.HandshakesBad += 33 }, func(s *Snapshot) { s.HandshakesBad += 30 }},
		"replays":            {func(s *Snapshot) { s.Replays++ }, func(s *Snapshot) { s.Replays = 10 }},
		"clock.skew":         {func(s *Snapshot) { s.ClockSkews++ }, func(s *Snapshot) { s.Handshakes++; s.ClockSkews++ }},
		"clock.jumped":       {func(s *Snapshot) { s.ClockHeld = "it jumped" }, nil},
		"tripwire":           {func(s *Snapshot) { s.Tripped = 1 }, nil},
		"known.refused":      {func(s *Snapshot) { s.KnownRefused += 2 }, func(s *Snapshot) { s.KnownRefused++ }},
		"sessions.gone":      {func(s *Snapshot) { s.Sessions = 19 }, func(s *Snapshot) { s.Sessions = 20 }},
		"check.panicked":     {func(s *Snapshot) { s.CheckPanics = 1 }, nil},
		"config.refused":     {func(s *Snapshot) { s.ConfigError = "line 7" }, nil},
		"store.failing":      {func(s *Snapshot) { s.StoreError = "disk full" }, nil},
		"auditlog.broken":    {func(s *Snapshot) { s.AuditFault = "row 7" }, nil},
		"keys.overdue":       {func(s *Snapshot) { s.KeysOverdue = 1 }, nil},
		"lists.stale":        {func(s *Snapshot) { s.ListsBad = 1 }, nil},
		"glass.broken":       {func(s *Snapshot) { s.GlassUntil = s.At.Add(time.Hour) }, func(s *Snapshot) { s.GlassUntil = s.At }},
		"events.dropped":     {func(s *Snapshot) { s.EventsDropped += 10 }, func(s *Snapshot) { s.EventsDropped = 100 }},
		"alerts.undelivered": {func(s *Snapshot) { s.Undelivered = 601 * time.Second }, func(s *Snapshot) { s.Undelivered = 600 * time.Second }},
		"alerts.lost":        {func(s *Snapshot) { s.MessagesLost = 1 }, nil},
	}
	for _, c := range Conditions() {
		test, ok := cases[c.Code]
		if !ok {
			t.Errorf("%s: no case", c.Code)
			continue
		}
		if c.Clear > c.Threshold || c.Title == "" || c.Fix == "" || c.Severity == 0 || c.Window > 10*time.Minute {
			t.Errorf("%s is not as it should be: %+v", c.Code, c)
		}
		run := func(fault func(*Snapshot)) []string {
			e, s := newEngine(Conditions(), nil), Snapshot{At: began}
			if seen := feed(e, &s, 12*time.Minute, quiet); seen != nil {
				t.Fatalf("a quiet node: %q", seen)
			}
			return feed(e, &s, max(4*c.For, 20*time.Minute), func(s *Snapshot) { quiet(s); fault(s) })
		}
		if seen := run(test.fires); !slices.ContainsFunc(seen, func(s string) bool { return strings.HasSuffix(s, c.Code+" firing") }) {
			t.Errorf("%s does not fire: %q", c.Code, seen)
		}
		if test.misses != nil {
			if seen := run(test.misses); slices.ContainsFunc(seen, func(s string) bool { return strings.Contains(s, c.Code) }) {
				t.Errorf("%s fires at a near miss: %q", c.Code, seen)
			}
		}
	}
	if len(cases) != len(Conditions()) {
		t.Errorf("%d cases for %d conditions", len(cases), len(Conditions()))
	}
}

func TestARestartOfCountersIsNoAlert(t *testing.T) {
	e, s := newEngine(Conditions(), nil), Snapshot{At: began}
	all := func(n uint64) func(*Snapshot) {
		return func(s *Snapshot) {
			s.Tripped, s.Replays, s.HandshakesBad, s.EventsDropped, s.CheckPanics = n, n, n, n, n
		}
	}
	feed(e, &s, every, all(100_000))
	if seen := feed(e, &s, time.Minute, all(3)); seen != nil {
		t.Errorf("%q", seen)
	}
}

func TestThresholdsOfTheOperator(t *testing.T) {
	e, s := level(), Snapshot{At: began}
	if err := e.threshold("memory.low", "0.45"); err != nil {
		t.Fatal(err)
	}
	use := func(v float64) func(*Snapshot) { return func(s *Snapshot) { s.Memory = v } }
	if seen := feed(e, &s, 2*time.Minute, use(0.5)); len(seen) != 1 {
		t.Errorf("above its own threshold: %q", seen)
	}
	// It clears at the same share: 0.8 of 0.9 is 0.4 of 0.45.
	if seen := feed(e, &s, 5*time.Minute, use(0.41)); seen != nil {
		t.Errorf("%q", seen)
	}
	if seen := feed(e, &s, 5*time.Minute, use(0.4)); len(seen) != 1 {
		t.Errorf("%q", seen)
	}
	feed(e, &s, 2*time.Minute, use(0.5))
	if err := e.threshold("memory.low", Off); err != nil {
		t.Fatal(err)
	}
	if seen := feed(e, &s, 2*time.Minute, use(1)); len(seen) != 1 || !strings.Contains(seen[0], "resolved") {
		t.Errorf("turned off: %q", seen)
	}
	if err := e.threshold("memory.low", ""); err != nil || e.states[0].threshold != 0.9 {
		t.Errorf("%v, %v", err, e.states[0].threshold)
	}
	for code, text := range map[string]string{"memory.low": "-1", "memory.lwo": "1"} {
		if err := (Config{Thresholds: map[string]string{code: text}}).Check(); err == nil {
			t.Errorf("%s = %s was taken", code, text)
		}
	}
	for _, text := range []string{"NaN", "Inf", "1e400", "", "x", "0x1p"} {
		if _, err := parseThreshold(text); err == nil {
			t.Errorf("%q is a threshold", text)
		}
	}
}
