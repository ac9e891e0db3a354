package audit

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// planted are faults: what makes a healthy node have one, which check finds it and what
// about, and how much it weighs where that is not the check's own severity. Each is
// just beyond the bound that the healthy node keeps to.
var planted = []struct {
	check   string
	subject string
	unknown bool
	weight  Severity
	plant   func(*world)
}{
	{"policy.drift", "control rate.accept", false, 0, func(w *world) { w.policy.Controls[1].Effective = "monitor" }},
	{"policy.behind", "the data path", false, 0, func(w *world) { w.policy.Behind = true }},
	{"policy.reload", "the configuration", false, 0, func(w *world) { w.policy.ConfigError = "line 3" }},
	{"policy.monitor", "control geo.country", false, 0, func(w *world) { w.policy.Controls[2].Since = now.Add(-30*day - 1) }},
	{"policy.off", "control geo.country", false, 0, func(w *world) { w.policy.Controls[2].Declared, w.policy.Controls[2].Effective = "off", "off" }},
	{"policy.exception.expired", "exception e1", false, 0, func(w *world) { w.policy.Exceptions[0].Until = now.Add(-1) }},
	{"policy.exception.owner", "exception e2", false, 0, func(w *world) { w.policy.Exceptions[1].Owner = "" }},
	{"policy.exception.unused", "exception e1", false, 0, func(w *world) { w.policy.Exceptions[0].LastHit = now.Add(-30*day - 1) }},
	{"policy.exception.unused", "exception e2", false, 0, func(w *world) { w.policy.Exceptions[1].Created = now.Add(-30*day - 1) }},
	{"policy.exception.unused", "exception e3", false, 0, func(w *world) { w.policy.Started = now.Add(-30*day - 1) }},
	{"policy.glass", "the policy", false, 0, func(w *world) { w.policy.GlassUntil = now.Add(1) }},
	{"policy.transport", "transport classic", false, 0, func(w *world) { w.policy.Transports = []string{"faketls", "classic"} }},
	{"policy.transport", "transport secure", false, Low, func(w *world) { w.policy.Transports = []string{"secure"} }},

	{"keys.rotation", "key k1 of alice", false, 0, func(w *world) { w.keys.Secrets[0].Activated = now.Add(-31*day - 1) }},
	{"keys.rotation", "key k1 of alice", false, 0, func(w *world) { w.keys.MaxAge = 28 * day; w.keys.Secrets = w.keys.Secrets[:1] }},
	{"keys.rotation", "key k3 of bob", false, 0, func(w *world) { w.keys.Secrets[3].Activated, w.keys.Secrets[3].LastUsed = now.Add(-40*day), now }},
	{"keys.expired", "key k1 of alice", false, 0, func(w *world) { w.keys.Secrets[0].NotAfter = now.Add(-time.Hour - 1) }},
	{"keys.retiring", "key k0 of alice", false, 0, func(w *world) { w.keys.Secrets[1].RetireBy = now.Add(-time.Hour - 1) }},
	{"keys.unused", "key k3 of bob", false, 0, func(w *world) { w.keys.Secrets[3].Created = now.Add(-30*day - 1) }},
	{"keys.inline", "user bob", false, 0, func(w *world) { w.keys.Secrets[3].Inline = true }},
	{"keys.schedule", "the schedule", false, 0, func(w *world) { w.keys.RotateEvery = 0 }},
	{"keys.master", "master key", false, 0, func(w *world) { w.keys.MasterSince = now.Add(-365*day - 1) }},
	{"keys.master", "master key", true, 0, func(w *world) { w.keys.MasterSince = time.Time{} }},
	{"keys.store", "store's key", false, 0, func(w *world) { w.keys.StoreSince = now.Add(-365*day - 1) }},
	{"keys.store", "store's key", true, 0, func(w *world) { w.keys.StoreSince = time.Time{} }},
	{"keys.aead", "key s1", false, 0, func(w *world) { w.keys.Sealing[0].Sealed++ }},
	{"keys.certificate", "certificate of pages", false, 0, func(w *world) { w.keys.Certificates[0].NotAfter = now.Add(21*day - 1) }},
	{"keys.certificate", "certificate of pages", false, Critical, func(w *world) { w.keys.Certificates[0].NotAfter = now }},
	{"keys.certificate", "certificate of pages", true, 0, func(w *world) { w.keys.Certificates[0].Err = errTest }},

	{"access.addresses", "key k1 of alice", false, 0, func(w *world) { w.use.Keys[0].Addresses++ }},
	{"access.networks", "key k1 of alice", false, 0, func(w *world) { w.use.Keys[0].Networks++ }},
	{"access.networks", "networks of clients", true, Low, func(w *world) { w.use.NoNetworks = errTest }},
	{"access.asns", "key k1 of alice", false, 0, func(w *world) { w.use.Keys[0].ASNs++ }},
	{"access.asns", "providers of clients", true, Low, func(w *world) { w.use.NoASNs = errTest }},
	{"access.countries", "key k1 of alice", false, 0, func(w *world) { w.use.Keys[0].Burst++ }},
	{"access.countries", "countries of clients", true, Low, func(w *world) { w.use.NoCountries = errTest }},
	{"access.dormant", "user alice", false, 0, func(w *world) { w.use.Keys[0].Slept = 30 * day }},
	{"access.dormant", "user bob", false, 0, func(w *world) { w.use.Keys[1].Woke = true }},
	{"access.revoked", "key k3 of bob", false, 0, func(w *world) { w.use.Keys[1].Tripped, w.use.Keys[1].LastTrip = 1, now }},

	{"dos.refused", "limits", false, 0, func(w *world) { w.load.Refused.Part++ }},
	{"dos.denied", "memory bounds", false, 0, func(w *world) { w.load.Denied.Part++ }},
	{"dos.failed", "handshakes", false, 0, func(w *world) { w.load.Failed.Part++ }},
	{"dos.failed", "handshakes", false, 0, func(w *world) { w.load.Budget++ }},
	{"dos.halfopen", "handshakes at once", false, 0, func(w *world) { w.load.HalfOpen.Part++ }},
	{"dos.overload", "memory and descriptors", false, 0, func(w *world) { w.load.Overloaded = 5 * time.Minute }},
	{"dos.tables", "rate.accept", false, 0, func(w *world) { w.load.Tables[0].Part++ }},
	{"dos.network", "network 192.0.2.0/24", false, 0, func(w *world) { w.load.BusiestShare.Part++ }},
	{"dos.network", "networks of clients", true, Low, func(w *world) { w.load.NoNetworks = errTest }},

	{"care.backup", "backup", false, 0, func(w *world) { w.care.LastBackup = now.Add(-7*day - 1) }},
	{"care.backup", "backup", false, 0, func(w *world) { w.care.LastBackup = time.Time{} }},
	{"care.backup", "backup", true, 0, func(w *world) { w.care.LastBackup, w.care.FirstRow = time.Time{}, time.Time{} }},
	{"care.auditlog", "audit log", false, 0, func(w *world) { w.care.LogProblem = "row 7 was edited" }},
	{"care.auditlog", "audit log", true, 0, func(w *world) { w.care.Unverified = errTest }},
	{"care.vulnerable", "golang.org/x/crypto GO-2026-0001", false, 0, func(w *world) {
		w.care.Vulnerable = []Vulnerable{{Module: "golang.org/x/crypto", Version: "v0.40.0", ID: "GO-2026-0001", Summary: "a planted one", Fixed: "v0.41.0"}}
	}},
	{"care.vulnerable", "program", true, 0, func(w *world) { w.care.Unscanned = errTest }},
	{"care.vulnerable", "program", true, 0, func(w *world) { w.care.Scanned = w.care.Scanned.Add(-1) }},
	{"care.unsigned", "audit log", false, 0, func(w *world) { w.care.Rows++ }},

	{"host.files", "state directory /var/lib/mtguard", false, 0, func(w *world) { w.host.Files[0].Mode = 0o710 }},
	{"host.files", "state directory /var/lib/mtguard", false, Critical, func(w *world) { w.host.Files[0].Mode = 0o704 }},
	{"host.files", "configuration /etc/mtguard/mtguard.toml", false, 0, func(w *world) { w.host.Files[1].Mode = 0o644 }},
	{"host.files", "state directory /var/lib/mtguard", false, 0, func(w *world) { w.host.Files[0].Owner = 1000 }},
	{"host.files", "state directory /var/lib/mtguard", true, 0, func(w *world) { w.host.Files[0].Err = errTest }},
	{"host.root", "process", false, 0, func(w *world) { w.host.UID = 0 }},
	{"host.root", "process", true, 0, func(w *world) { w.host.UID = -1 }},
	{"host.capabilities", "process", false, 0, func(w *world) { w.host.Capabilities = []string{"CAP_SYS_ADMIN"} }},
	{"host.capabilities", "process", true, 0, func(w *world) { w.host.NoCapabilities = errTest }},
	{"host.cores", "core dumps", false, 0, func(w *world) { w.host.CoreLimit = math.MaxUint64 }},
	{"host.cores", "core dumps", true, 0, func(w *world) { w.host.NoCoreLimit = errTest }},
	{"host.descriptors", "open files", false, 0, func(w *world) { w.host.OpenFiles-- }},
	{"host.descriptors", "open files", true, 0, func(w *world) { w.host.NoOpenFiles = errTest }},
	{"host.disk", "disk of /var/lib/mtguard", false, 0, func(w *world) { w.host.DiskFree.Part-- }},
	{"host.disk", "disk", true, 0, func(w *world) { w.host.NoDisk = errTest }},
	{"host.clock", "clock", false, 0, func(w *world) { w.host.ClockSynced = false }},
	{"host.clock", "clock", false, 0, func(w *world) { w.host.ClockError++ }},
	{"host.clock", "clock", false, High, func(w *world) { w.host.ClockHeld = "it jumped" }},
	{"host.clock", "clock", true, 0, func(w *world) { w.host.NoClock = errTest }},
	{"host.metrics", "metrics", false, 0, func(w *world) { w.host.MetricsExposed = ":9380" }},
	{"host.address", "public address proxy.example.com", false, 0, func(w *world) { w.host.PublicAddresses = []netip.Addr{there} }},
	{"host.address", "public address proxy.example.com", false, 0, func(w *world) { w.host.PublicAddresses = nil }},
	{"host.address", "public address proxy.example.com", true, 0, func(w *world) { w.host.NoPublic = errTest }},
	{"host.address", "public address", true, 0, func(w *world) { w.host.PublicHost = "" }},
	{"host.address", "public address proxy.example.com", true, Low, func(w *world) {
		w.host.OwnAddresses = []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("100.64.9.9"), netip.MustParseAddr("fe80::1")}
	}},

	{"site.cover", "cover site", false, 0, func(w *world) { w.site.Address = "" }},
	{"site.reach", "cover site www.example.com:443", false, 0, func(w *world) { w.site.Err = errTest }},
	{"site.reach", "cover site www.example.com:443", false, 0, func(w *world) { w.site.Measured = now.Add(-6*time.Hour - 1) }},
	{"site.group", "cover site www.example.com:443", false, 0, func(w *world) { w.site.Hybrid, w.site.Group = false, "X25519" }},
	{"site.flight", "cover site www.example.com:443", false, 0, func(w *world) { w.site.Flight-- }},
	{"site.flight", "cover site www.example.com:443", false, 0, func(w *world) { w.site.Flight = 14_001 }},
	{"site.name", "server name www.example.com", false, 0, func(w *world) { w.site.Names = []netip.Addr{there} }},
	{"site.name", "server name www.example.com", true, 0, func(w *world) { w.site.NoNames = errTest }},
	{"site.telegram", "data centre 1", false, 0, func(w *world) { w.site.DCs[0].Failed++ }},
	{"site.telegram", "data centre 2", false, 0, func(w *world) { w.site.DCs[1].Failed++ }},
}

// TestAHealthyNodeHasNoFinding is the clean twin of all that is planted.
func TestAHealthyNodeHasNoFinding(t *testing.T) {
	r, err := (&Auditor{View: healthy()}).Run(t.Context(), Selection{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Errorf("%s: %s: %s", f.Check, f.Subject, f.Evidence)
	}
	if len(r.Asked) != len(Checks()) || len(r.Unfinished) != 0 {
		t.Errorf("asked %v", r.Asked)
	}
}

func TestEachCheckFindsWhatIsPlanted(t *testing.T) {
	covered := make(map[string]bool)
	for _, c := range planted {
		if !c.unknown {
			covered[c.check] = true
		}
		w := healthy()
		c.plant(w)
		r, err := (&Auditor{View: w}).Run(t.Context(), Selection{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range r.Findings {
			got = append(got, fmt.Sprintf("%s %q unknown %v %v", f.Check, f.Subject, f.Unknown, f.Severity))
			if f.Evidence == "" || f.Title == "" || f.ID == "" || f.Remedy == "" && !f.Unknown {
				t.Errorf("%s: it says too little: %+v", c.check, f)
			}
		}
		check, err := find(c.check)
		if err != nil {
			t.Fatal(err)
		}
		weight := check.Severity
		if c.weight != 0 {
			weight = c.weight
		}
		if want := fmt.Sprintf("%s %q unknown %v %v", c.check, c.subject, c.unknown, weight); !slices.Equal(got, []string{want}) {
			t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), want)
		}
	}
	for _, c := range Checks() {
		if !covered[c.ID] {
			t.Errorf("%s: nothing was planted for it", c.ID)
		}
	}
}

func find(id string) (Check, error) {
	list, err := (&Auditor{}).Select(Selection{Only: []string{id}})
	if err != nil {
		return Check{}, err
	}
	return list[0], nil
}

// TestWhatCannotBeLookedAtIsUnknown: no check passes without its facts.
func TestWhatCannotBeLookedAtIsUnknown(t *testing.T) {
	w := healthy()
	w.err = errTest
	r, err := (&Auditor{View: w}).Run(t.Context(), Selection{})
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, f := range r.Findings {
		found[f.Check] = true
		if !f.Unknown || f.Evidence != errTest.Error() {
			t.Errorf("%s: %+v", f.Check, f)
		}
	}
	for _, c := range Checks() {
		if !found[c.ID] {
			t.Errorf("%s passes without facts", c.ID)
		}
	}
	if w.asked != 7 {
		t.Errorf("facts were asked for %d times", w.asked)
	}
}

// Where a check has nothing to look at yet it says so, and says nothing where it does
// not apply.
func TestChecksOfWhatIsNotThere(t *testing.T) {
	ids := func(w *world, only ...string) (all []string) {
		t.Helper()
		r, err := (&Auditor{View: w}).Run(t.Context(), Selection{Only: only})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			if !f.Unknown {
				t.Errorf("%+v", f)
			}
			all = append(all, f.Check)
		}
		return all
	}
	w := healthy()
	w.load.Window = time.Hour - 1
	if got := ids(w, "dos"); len(got) != 6 { // all but dos.network, which reads what an earlier process wrote
		t.Errorf("on a young node: %v", got)
	}
	w = healthy()
	w.site.Measured, w.site.Tried = time.Time{}, time.Time{}
	if got := ids(w, "host"); !slices.Equal(got, []string{"site.reach", "site.flight", "site.group"}) {
		t.Errorf("before the site was looked at: %v", got)
	}
	w = healthy()
	w.site = &SiteFacts{}
	if got := ids(w, "host"); len(got) != 0 {
		t.Errorf("without fake TLS: %v", got)
	}
	w = healthy()
	w.care = &CareFacts{FirstRow: now.Add(-7 * day)}
	w.keys = &KeyFacts{MasterSince: now, StoreSince: now}
	if got := ids(w); len(got) != 0 {
		t.Errorf("on a new node: %v", got)
	}
}

func TestChecksAreNamedAsTheyShould(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range Checks() {
		if seen[c.ID] || c.Title == "" || c.Run == nil || !slices.Contains(Groups(), c.Group) || !slices.Contains(Severities(), c.Severity) ||
			c.Profile != Machine && c.Profile != Baseline {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
		if c.Profile == Machine && c.Group != Host {
			t.Errorf("%s: what has to do with a running node cannot be asked without one", c.ID)
		}
	}
	if _, err := (&Auditor{}).Select(Selection{Only: []string{"keys", "no.such"}}); !errors.Is(err, ErrNoCheck) {
		t.Errorf("a check that is none: %v", err)
	}
	if _, err := (&Auditor{}).Select(Selection{Profile: "x"}); !errors.Is(err, ErrNoCheck) {
		t.Errorf("a profile that is none: %v", err)
	}
}
