package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control"
	"mtguard/control/advisory"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// Files keeps small files of control/advisory in a state directory, with the owner that everything there has.
func Files(dir *statedir.Dir) advisory.Files { return files{dir} }

type files struct{ dir *statedir.Dir }

const maxStateFile = 4 << 20

func (f files) ReadFile(name string) ([]byte, error) {
	in, err := f.dir.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxStateFile+1))
	if err == nil && len(data) > maxStateFile {
		err = fmt.Errorf("%s is longer than anything that was written there", name)
	}
	return data, err
}

func (f files) WriteFile(name string, data []byte) error {
	return f.dir.Replace(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// sources are what the file names to be asked.
func sources(a *config.Advisory) (s advisory.Sources, err error) {
	for _, named := range []struct {
		key, origin string
		to          *advisory.Source
		parse       func(string) (advisory.Source, error)
	}{
		{"advisory.vulnerabilities", a.Vulnerabilities, &s.Vulnerabilities, advisory.ParseSource},
		{"advisory.checksums", a.Checksums, &s.Checksums, advisory.ParseSource},
		{"advisory.releases", a.Releases, &s.Releases, advisory.ParseFile},
		{"advisory.bulletin", a.Bulletin, &s.Bulletin, advisory.ParseFile},
	} {
		if named.origin == "" {
			continue
		}
		if *named.to, err = named.parse(named.origin); err != nil {
			return s, fmt.Errorf("%s: %w", named.key, err)
		}
	}
	if a.ReleaseKey != "" {
		if s.ReleaseKey, err = advisory.ParsePublicKey(a.ReleaseKey); err != nil {
			return s, fmt.Errorf("advisory.release_key: %w", err)
		}
	}
	return s, nil
}

// watcher asks the sources of [advisory] from time to time: at a moment of its own, and soon after a start that comes late. It
// keeps the last outcome over a restart.
type watcher struct {
	checker advisory.Checker
	files   advisory.Files
	sink    event.Sink
	log     *slog.Logger

	mu      sync.Mutex // guards what follows
	sources advisory.Sources
	every   time.Duration
	next    time.Time // zero: to be drawn
	last    *advisory.Outcome
}

// outcomeName is the file of the last outcome.
const outcomeName = "advisory.last"

const (
	lookAgain  = time.Minute // how exact the schedule is
	soonest    = time.Minute // after a start or a reload: whoever restarts often does not ask often
	soonWithin = 5 * time.Minute
)

func newWatcher(keep advisory.Files, sink event.Sink, log *slog.Logger) *watcher {
	w := &watcher{checker: advisory.Checker{Files: keep}, files: keep, sink: sink, log: log}
	text, err := keep.ReadFile(outcomeName)
	var last advisory.Outcome
	if err == nil {
		err = json.Unmarshal(text, &last)
	}
	switch {
	case err == nil:
		w.last = &last
	case !errors.Is(err, fs.ErrNotExist):
		log.Warn("what came of the last crypto check cannot be read", "error", err)
	}
	return w
}

// load takes what a configuration names.
func (w *watcher) load(s advisory.Sources, every time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s != w.sources || every != w.every {
		w.sources, w.every, w.next = s, every, time.Time{}
	}
}

// run asks when it is time to, until ctx ends.
func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		w.draw(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if w.due(time.Now()) {
			if _, err := w.Check(ctx); err != nil && ctx.Err() == nil {
				w.log.Error("crypto check", "error", err)
				w.postpone(time.Now())
			}
		}
	}
}

// draw sets when to ask next, unless that is set: as long after the last time as the configuration says, give or take a tenth,
// and not at once.
func (w *watcher) draw(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.next.IsZero() || !w.sources.Any() {
		return
	}
	w.next = now.Add(soonest + rand.N(soonWithin-soonest))
	if w.last != nil {
		if at := w.last.Time.Add(w.every*9/10 + rand.N(w.every/5)); at.After(w.next) && !w.last.Time.After(now) {
			w.next = at
		}
	}
}

// postpone is for a check that could not be made at all.
func (w *watcher) postpone(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = now.Add(time.Hour)
}

func (w *watcher) due(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sources.Any() && !w.next.IsZero() && !now.Before(w.next)
}

// Check implements control.Watch.
func (w *watcher) Check(ctx context.Context) (*advisory.Outcome, error) {
	w.mu.Lock()
	ask := w.sources
	w.mu.Unlock()
	if !ask.Any() {
		return nil, &control.Error{Kind: control.Refused, Text: "the configuration names nobody who could be asked", Fix: "set a source in [advisory]; or ask from here: mtguard crypto check, mtguard crypto verify"}
	}
	began := time.Now()
	outcome, err := w.checker.Check(ctx, ask)
	if err == nil {
		err = ctx.Err() // half an answer is none
	}
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.last = outcome
	w.next = time.Time{}
	w.mu.Unlock()
	w.draw(time.Now())
	text, err := json.Marshal(outcome)
	if err == nil {
		err = w.files.WriteFile(outcomeName, text)
	}
	if err != nil {
		w.log.Warn("what came of the crypto check is forgotten at the next start", "error", err)
	}
	w.sink.Emit(event.Event{Time: outcome.Time, Kind: event.CryptoCheck, Reason: outcome.Verdict, Took: time.Since(began)})
	for _, finding := range outcome.Findings {
		w.log.Warn("crypto check", "finding", finding)
	}
	return outcome, nil
}

// Standing implements control.Watch.
func (w *watcher) Standing(c *control.CryptoInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.Asked, c.Last = w.sources.Any(), w.last
	if c.Asked && !w.next.IsZero() {
		c.Next = new(w.next.UTC())
	}
}

// families are the metrics of the last outcome; none before there is one.
func (w *watcher) families() []stats.Family {
	of := func(name, help, label string, values func(*advisory.Outcome, func(float64, ...string))) stats.Family {
		f := stats.Family{Name: name, Help: help}
		if label != "" {
			f.Labels = []string{label}
		}
		f.Collect = func(emit func(float64, ...string)) {
			w.mu.Lock()
			last := w.last
			w.mu.Unlock()
			if last != nil {
				values(last, emit)
			}
		}
		return f
	}
	return []stats.Family{
		of("crypto_last_check_timestamp_seconds", "When the sources of [advisory] were asked last.", "", func(o *advisory.Outcome, emit func(float64, ...string)) {
			emit(float64(o.Time.UnixMilli()) / 1000)
		}),
		of("crypto_check_verdict", "What came of asking the sources of [advisory]: 1 for the verdict that holds.", "verdict", func(o *advisory.Outcome, emit func(float64, ...string)) {
			for _, verdict := range []string{advisory.Fine, advisory.Doubt, advisory.Concern} {
				emit(truth(o.Verdict == verdict), verdict)
			}
		}),
		of("crypto_modules", "Embedded modules by what the vulnerability data knows of them.", "class", func(o *advisory.Outcome, emit func(float64, ...string)) {
			if o.Scan == nil {
				return
			}
			for _, class := range []advisory.Class{advisory.Reachable, advisory.Unknown, advisory.Unreachable, advisory.Unaffected} {
				emit(float64(o.Scan.Count(class)), string(class))
			}
		}),
		of("update_available", "Whether a newer release is there: 1 or 0.", "", func(o *advisory.Outcome, emit func(float64, ...string)) {
			if o.Release != nil && o.Release.Verdict != advisory.Untold {
				emit(truth(o.Release.Verdict == advisory.Newer))
			}
		}),
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
