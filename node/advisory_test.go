package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"mtguard/config"
	"mtguard/config/statedir"
	"mtguard/control"
	"mtguard/control/advisory"
	"mtguard/security/access"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
)

// plantedInGo is a vulnerability of a function that every program of ours has.
const plantedInGo = `{"id":"GO-2026-0001","modified":"2026-11-20T10:00:00Z","summary":"Planted in Go","affected":[{"package":{"name":"stdlib","ecosystem":"Go"},
"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],"ecosystem_specific":{"imports":[{"path":"crypto/sha256","symbols":["New"]}]}}]}`

// watched is a watcher with what it does.
type watched struct {
	*watcher
	log  bytes.Buffer
	mu   sync.Mutex
	seen []event.Event
}

func (w *watched) Emit(e event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, e)
}

func watch(t *testing.T, keep advisory.Files, a config.Advisory) *watched {
	t.Helper()
	w := new(watched)
	w.watcher = newWatcher(keep, w, slog.New(slog.NewTextHandler(&w.log, nil)))
	ask, err := sources(&a)
	if err != nil {
		t.Fatal(err)
	}
	w.load(ask, a.Every)
	return w
}

// letPass runs the watcher for so long and returns the times of its checks.
func (w *watched) letPass(t *testing.T, d time.Duration) (at []time.Time) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	w.run(ctx)
	for _, e := range w.seen {
		at = append(at, e.Time)
	}
	return at
}

func vulnerabilities(t *testing.T) config.Advisory {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "1.json"), []byte(plantedInGo), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Advisory{Every: 24 * time.Hour, Vulnerabilities: dir}
}

func stateFiles(t *testing.T) advisory.Files {
	t.Helper()
	dir, err := statedir.Open(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	return Files(dir)
}

func TestNobodyIsAskedUnlessNamed(t *testing.T) {
	keep := stateFiles(t)
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, keep, config.Advisory{Every: time.Hour})
		if at := w.letPass(t, 30*24*time.Hour); len(at) > 0 {
			t.Errorf("asked at %v", at)
		}
		_, err := w.Check(t.Context())
		if e, ok := errors.AsType[*control.Error](err); !ok || e.Kind != control.Refused {
			t.Errorf("on demand: %v", err)
		}
		var c control.CryptoInfo
		if w.Standing(&c); c.Asked || c.Next != nil || c.Last != nil {
			t.Errorf("%+v", c)
		}
	})
}

func TestTheScheduleIsDailyAndAtNoFixedMoment(t *testing.T) {
	keep, a := stateFiles(t), vulnerabilities(t)
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		w := watch(t, keep, a)
		at := w.letPass(t, 10*24*time.Hour)
		if len(at) < 9 || len(at) > 12 {
			t.Fatalf("%d checks in ten days", len(at))
		}
		if first := at[0].Sub(started); first < time.Minute || first > 7*time.Minute {
			t.Errorf("the first after %v", first)
		}
		apart := make(map[time.Duration]bool)
		for i := range at[1:] {
			d := at[i+1].Sub(at[i])
			if d < 21*time.Hour || d > 27*time.Hour {
				t.Errorf("%v between two", d)
			}
			apart[d] = true
		}
		if len(apart) < 3 {
			t.Errorf("always %v apart", apart)
		}
		// A restart soon after asks when it would have; one after days of silence asks soon.
		last := at[len(at)-1]
		again := watch(t, keep, a)
		if at = again.letPass(t, 10*time.Minute); len(at) > 0 && at[0].Sub(last) < 21*time.Hour {
			t.Errorf("asked again %v after the last time", at[0].Sub(last))
		}
		time.Sleep(5 * 24 * time.Hour)
		late := watch(t, keep, a)
		if at = late.letPass(t, 10*time.Minute); len(at) != 1 {
			t.Errorf("after days of silence: %d checks", len(at))
		}
	})
}

func TestACheckIsToldEverywhere(t *testing.T) {
	keep, a := stateFiles(t), vulnerabilities(t)
	w := watch(t, keep, a)
	w.checker.Now = func() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }
	if _, err := w.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(w.seen) != 1 || w.seen[0].Kind != event.CryptoCheck || w.seen[0].Reason != advisory.Concern {
		t.Errorf("events: %+v", w.seen)
	}
	if !strings.Contains(w.log.String(), "GO-2026-0001") {
		t.Errorf("log: %s", w.log.String())
	}
	again := watch(t, keep, a) // after a restart
	var c control.CryptoInfo
	if again.Standing(&c); !c.Asked || c.Last == nil || c.Last.Verdict != advisory.Concern || len(c.Last.Scan.Modules) == 0 {
		t.Errorf("%+v", c)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(stats.NewCollector(new(stats.Counters), again.families()...))
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, family := range all {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"mtguard_crypto_check_verdict found": 1, "mtguard_crypto_check_verdict ok": 0, "mtguard_crypto_modules affected-reachable": 1,
		"mtguard_crypto_last_check_timestamp_seconds": 1795694400,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	if _, ok := got["mtguard_update_available"]; ok {
		t.Error("whether an update is there is known, and nobody was asked")
	}
}

func TestADamagedOutcomeIsNoReasonNotToStart(t *testing.T) {
	keep := stateFiles(t)
	if err := keep.WriteFile(outcomeName, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if w := watch(t, keep, config.Advisory{}); w.last != nil || !strings.Contains(w.log.String(), "cannot be read") {
		t.Errorf("%+v, %s", w.last, w.log.String())
	}
	if _, err := keep.ReadFile("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestSourcesOfAConfiguration(t *testing.T) {
	s, err := sources(&config.Advisory{Vulnerabilities: "https://vuln.go.dev", Releases: "/srv/releases.json", ReleaseKey: "RWR8vbnA1O3akYSJ/RfC1IM7eT5NvkQUKloU8NTONmsmAd2A4/n6T6my", Bulletin: "https://r.example/bulletin"})
	if err != nil || s.Vulnerabilities.String() != "https://vuln.go.dev" || s.Releases.String() != "/srv/releases.json" || s.ReleaseKey.ID() != "91DAEDD4C0B9BD7C" || !s.Checksums.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	for key, a := range map[string]config.Advisory{"advisory.releases": {Releases: "https://r.example"}, "advisory.release_key": {ReleaseKey: "RW"}} {
		if _, err := sources(&a); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestANodeIsWatched: the watcher of a whole node runs by itself, and what it reads acts.
func TestANodeIsWatched(t *testing.T) {
	private, public, err := note.GenerateKey(nil, "crypto")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("mtguard crypto bulletin\nnumber 1\ntime %s\nsuite aes-128-gcm forbidden 2026-01-01T00:00:00Z\n", time.Now().UTC().Format(time.RFC3339))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		t.Fatal(err)
	}
	origin := filepath.Join(t.TempDir(), "bulletin")
	if err := os.WriteFile(origin, signed, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "", fmt.Sprintf("\n[advisory]\nbulletin = %q\nbulletin_key = %q\n", origin, public))
	ctx, plane := t.Context(), s.node.plane
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		info, err := plane.Crypto(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.Next != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is planned")
		}
	}
	by := control.Actor{Name: "uid 0", Level: access.Superuser}
	if outcome, err := plane.CheckCrypto(ctx, by); err != nil || outcome.Verdict != advisory.Fine {
		t.Fatalf("%+v, %v", outcome, err)
	}
	if _, err := plane.Seal(ctx, by, control.SealRequest{Suite: "aes-128-gcm", Plaintext: []byte("x")}); err == nil {
		t.Error("the suite that the bulletin forbids seals")
	}
	// A reload may name nobody.
	s.write(s.base)
	if err := s.node.Reload(); err != nil {
		t.Fatal(err)
	}
	if info, err := plane.Crypto(ctx); err != nil || info.Asked || info.Bulletin.Number != 1 || info.Last == nil {
		t.Errorf("%+v, %v", info, err)
	}
}
