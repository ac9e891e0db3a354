package policy

import (
	"math/rand/v2"
	"testing"
)

// Whether a change loosens, for each kind of value and in both directions.
func TestDiffSaysWhatLoosens(t *testing.T) {
	const no, yes = false, true
	for _, c := range []struct {
		path, from, to string
		there, back    bool // loosens on the way there, and back
	}{
		{"encryption.transports", `["faketls"]`, `["faketls", "secure"]`, yes, no},
		{"encryption.transports", `["faketls"]`, `["secure"]`, yes, yes},
		{"encryption.until.classic", "2027-01-01", "2026-12-31", no, yes},
		{"encryption.until.classic", `"never"`, "2027-01-01", no, yes},
		{"encryption.suites", `["aes-256-gcm"]`, `["aes-256-gcm", "aes-128-gcm"]`, yes, no},
		{"encryption.suites", `["aes-256-gcm", "aes-128-gcm"]`, `["aes-128-gcm", "aes-256-gcm"]`, no, no},
		{"authentication.max_secret_age", `"0s"`, `"90d"`, no, yes},
		{"authentication.max_secret_age", `"30d"`, `"90d"`, yes, no},
		{"authentication.allow_imported", "true", "false", no, yes},
		{"authentication.token_life", `"1h"`, `"2h"`, yes, no},
		{"rates.new_per_prefix", `"20/s"`, `"0"`, yes, no},
		{"rates.new_per_prefix", `"20/s"`, `"10/s"`, no, yes},
		{"rates.new_per_prefix", `"20/s"`, `"20/s burst 40"`, yes, no},
		{"rates.new_per_prefix", `"20/s"`, `"10/s burst 40"`, yes, yes},
		{"rates.new_per_prefix", `"1/s burst 100"`, `"100/m"`, yes, no},
		{"rates.new_per_prefix", `"1000000000/s"`, `"1000000000/h"`, no, yes},
		{"connections.per_user", "64", "32", no, yes},
		{"connections.per_user", "64", "0", yes, no},
		{"bandwidth.per_user", `"1MiB/s"`, `"0"`, yes, no},
		{"bandwidth.per_user", `"1MiB/s"`, `"512KiB/s burst 2MiB"`, yes, yes},
		{"bandwidth.level.read_only", `"8KiB/s burst 256KiB"`, `"16KiB/s burst 256KiB"`, yes, no},
		{"geography.block", `["country:FR"]`, `["asn:64500", "country:FR"]`, no, yes},
		{"geography.allow", `[]`, `["country:DE"]`, no, yes},
		{"geography.allow", `["country:DE"]`, `["country:DE", "country:FR"]`, yes, no},
		{"geography.unknown", `"allow"`, `"deny"`, no, yes},
		{"protocol.min_transport", `"secure"`, `"faketls"`, no, yes},
		{"protocol.require_key_share", "false", "true", no, yes},
		{"relay.passthrough", "false", "true", yes, no},
		{"threat.blocks_per_minute", "100", "10", yes, no},
		{"threat.longest_block", `"7d"`, `"1h"`, yes, no},
		{"threat.longest_block", `"0s"`, `"1h"`, no, yes},
		{"rollout.gate_time", `"1d"`, `"0s"`, yes, no},
		{"rollout.gate_decisions", "1000", "10", yes, no},
		{"rollout.gate_refused", `"0.5%"`, `"1%"`, yes, no},
		{"rollout.gate_refused", `"0.5%"`, `"0%"`, no, yes},
		{"rollout.step_back", `"2%"`, `"0%"`, yes, no},
		{"rollout.step_back", `"2%"`, `"1%"`, no, yes},
		{"controls.rate.accept", "off", "monitor", no, yes},
		{"controls.rate.accept", "monitor", "enforce 10%", no, yes},
		{"controls.rate.accept", "enforce 10%", "enforce 50%", no, yes},
		{"controls.rate.accept", "enforce 50%", "enforce", no, yes},
		{"controls.rate.accept", "off", "enforce 1%", no, yes},
	} {
		a, b := New("personal"), New("personal")
		if err := a.Set(c.path, c.from, 0); err != nil {
			t.Fatal(err)
		}
		if err := b.Set(c.path, c.to, 0); err != nil {
			t.Fatal(err)
		}
		there, back := Diff(a, b), Diff(b, a)
		if len(there) != 1 || len(back) != 1 || there[0].Path != c.path || there[0].From != c.from || there[0].To != c.to {
			t.Errorf("%s: %+v and %+v, want one change from %s to %s", c.path, there, back, c.from, c.to)
			continue
		}
		if there[0].Loosens != c.there || back[0].Loosens != c.back {
			t.Errorf("%s: %s → %s loosens %t, back %t; want %t and %t", c.path, c.from, c.to, there[0].Loosens, back[0].Loosens, c.there, c.back)
		}
		if n := len(Loosens(there)); n > 0 != c.there {
			t.Errorf("%s: %d of the changes loosen", c.path, n)
		}
	}
}

// A candidate refuses nobody, whatever it says.
func TestCandidatesNeverLoosen(t *testing.T) {
	a, b := New("personal"), New("personal")
	if err := b.SetCandidate(RateAccept, "new_per_prefix", `"0"`); err != nil {
		t.Fatal(err)
	}
	for _, changes := range [][]Change{Diff(a, b), Diff(b, a)} {
		if len(changes) != 1 || changes[0].Loosens || changes[0].Control != RateAccept {
			t.Errorf("got %+v", changes)
		}
	}
}

// Nothing is looser than itself, and what changes there changes back.
func TestDiffIsConsistent(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		a, b := randomDocument(r), randomDocument(r)
		if !Equal(a, a.Clone()) {
			t.Fatalf("a document differs from its copy: %+v", Diff(a, a.Clone()))
		}
		for i, f := range a.fields() {
			if f.looser(a.Clone().fields()[i].setting) {
				t.Fatalf("%s = %s is looser than itself", f.path, f.text())
			}
		}
		there, back := Diff(a, b), Diff(b, a)
		if len(there) != len(back) {
			t.Fatalf("%d changes there, %d back", len(there), len(back))
		}
		for i := range there {
			if there[i].Path != back[i].Path || there[i].From != back[i].To || there[i].To != back[i].From {
				t.Fatalf("%+v there, %+v back", there[i], back[i])
			}
		}
	}
}
