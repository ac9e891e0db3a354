package e2e

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver of the store

	"mtguard/control/admin"
)

// TestOldTransportEnds gives plain links an end date. Until then their clients are served, and it can be seen whose they
// are; from then on they are shown the cover site, and nobody who comes otherwise notices.
func TestOldTransportEnds(t *testing.T) {
	t.Parallel()
	const from = "127.0.221.1"
	tele, site := telegram(t, 2), someSite(t)
	s := standard(t, site.Addr().String(), tele)
	s.values["log.level"] = "debug"
	n := start(t, s)
	p := n.add(admin.UserBody{Name: "otto"})
	n.add(admin.UserBody{Name: "nina"})
	until := func(ends time.Time) {
		n.setPolicy("[encryption.until]", "classic = "+ends.UTC().Format(time.RFC3339), steadfast, in("enforce", "encryption.required"))
	}
	until(time.Now().Add(time.Hour))
	before := enter(t, n, p.ways["classic"], from)
	n.areTaken(p, dialFrom(from), site, "plain links have not ended")
	if c := n.control("encryption.required"); c.Refused != 0 || c.Allowed != 4 {
		t.Errorf("before the date: %+v", c)
	}
	if used := n.user("otto").Transports; len(used) != 3 || used[2].Transport != "classic" || used[2].Came != 2 {
		t.Errorf("the user came by %+v", used)
	}
	ends := time.Now().Add(2 * time.Second).Truncate(time.Second)
	until(ends)
	time.Sleep(time.Until(ends)) // for nothing but the date
	n.isShown(p, "classic", from, site, "its time is over")
	for _, kind := range []string{"faketls", "secure"} {
		served(t, way(t, n.addr, p.ways[kind], dialFrom(from)), 2)
	}
	n.awaitLog("refused", `"control":"encryption.required"`, `"reason":"ended"`, `"user":"otto"`, `"transport":"classic"`)
	if c := n.control("encryption.required"); c.Refused != 1 || c.KnownRefused != 1 || n.decided("encryption.required", "enforce") != 1 {
		t.Errorf("after the date: %+v, and in the metrics %v", c, n.decided("encryption.required", "enforce"))
	}
	before.goesOn(t, "the date is for new connections")

	// Who would be hit is known before anything is enforced.
	n.await("a preview that knows who comes by what", func() bool {
		preview, err := n.api.Preview(t.Context(), admin.PreviewBody{Document: policyText("[encryption]", `transports = ["faketls", "secure"]`, in("enforce", "encryption.required"))})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range preview.Controls {
			if c.Control == "encryption.required" {
				return len(c.Users) == 1 && c.Users[0].User == "otto" && c.Users[0].Refused >= 2
			}
		}
		return false
	})
}

// isShown fails the test unless one kind of somebody's links leads to the cover site.
func (n *node) isShown(p person, kind, from string, site *tape, why string) {
	n.t.Helper()
	if v, err := visit(n.t.Context(), n.addr, p.ways[kind], dialFrom(from), site); err != nil || v != stranger {
		n.t.Errorf("%s by %s is %s, %v: %s", p.name, kind, v, err, why)
	}
}

// TestLeastTransport wants fake TLS at least, in monitor and enforced.
func TestLeastTransport(t *testing.T) {
	t.Parallel()
	const from = "127.0.222.1"
	site := someSite(t)
	s := standard(t, site.Addr().String(), telegram(t, 2))
	s.values["log.level"] = "debug"
	n := start(t, s)
	p := n.add(admin.UserBody{Name: "tina"})
	least := []string{"[protocol]", `min_transport = "faketls"`, steadfast}
	n.setPolicy(append(least, in("monitor", "transport.min"))...)
	n.areTaken(p, dialFrom(from), site, "the control is in monitor")
	if c := n.control("transport.min"); c.WouldRefuse != 2 || c.KnownWould != 2 || c.Refused != 0 {
		t.Errorf("in monitor: %+v, want the plain and the dd link to be told of", c)
	}
	n.awaitLog("would_refuse", `"control":"transport.min"`, `"user":"tina"`, `"transport":"secure"`)
	n.setPolicy(append(least, in("enforce", "transport.min"))...)
	n.isShown(p, "classic", from, site, "fake TLS is the least")
	n.isShown(p, "secure", from, site, "fake TLS is the least")
	served(t, way(t, n.addr, p.ways["faketls"], dialFrom(from)), 2)
	if c := n.control("transport.min"); c.Refused != 2 || n.decided("transport.min", "enforce") != 2 {
		t.Errorf("enforced: %+v, and in the metrics %v", c, n.decided("transport.min", "enforce"))
	}
	n.awaitLog("refused", `"control":"transport.min"`, `"user":"tina"`, `"transport":"classic"`)
}

// TestWeakSecretsAreRefused asks for secrets that were made here, then for young ones. A new secret helps at once.
func TestWeakSecretsAreRefused(t *testing.T) {
	t.Parallel()
	const from = "127.0.223.1"
	site := someSite(t)
	s := standard(t, site.Addr().String(), telegram(t, 2))
	s.values["log.level"] = "debug"
	n := start(t, s)
	theirs := n.add(admin.UserBody{Name: "theirs", Secret: hex.EncodeToString(secretOf())})
	ours := n.add(admin.UserBody{Name: "ours"})
	made := []string{"[authentication]", "allow_imported = false", steadfast}
	n.setPolicy(append(made, in("monitor", "auth.strength"))...)
	n.areTaken(theirs, dialFrom(from), site, "the control is in monitor")
	n.areTaken(ours, dialFrom(from), site, "the secret was made here")
	if c := n.control("auth.strength"); c.KnownWould != 3 || c.Refused != 0 {
		t.Errorf("in monitor: %+v, want the three of an imported secret to be told of", c)
	}
	n.setPolicy(append(made, in("enforce", "auth.strength"))...)
	n.areStrangers(theirs, dialFrom(from), site, "the secret was made elsewhere")
	n.areTaken(ours, dialFrom(from), site, "the secret was made here")
	n.awaitLog("refused", `"control":"auth.strength"`, `"reason":"imported"`, `"user":"theirs"`)
	if n.logged(`"control":"auth.strength"`, `"user":"ours"`) {
		t.Error("the log tells of somebody whose secret is good")
	}
	theirs = n.rotate("theirs", 0)
	n.areTaken(theirs, dialFrom(from), site, "the new secret was made here")
	n.stop()

	// A day later, as far as one secret is concerned: nothing but its age in the store is another one.
	makeOlder(t, n.dir, ours.id, 25*time.Hour)
	n = start(t, s)
	before := n.decided("auth.strength", "enforce") // totals outlive the process
	n.setPolicy("[authentication]", `max_secret_age = "1d"`, steadfast, in("enforce", "auth.strength"))
	n.areStrangers(ours, dialFrom(from), site, "the secret is older than a day")
	n.areTaken(theirs, dialFrom(from), site, "the secret is of today")
	n.awaitLog("refused", `"control":"auth.strength"`, `"reason":"secret_age"`, `"user":"ours"`)
	if c, since := n.control("auth.strength"), n.decided("auth.strength", "enforce")-before; c.Refused != 3 || since != 3 || before != 3 {
		t.Errorf("enforced: %+v, and in the metrics %v after %v", c, since, before)
	}
	ours = n.rotate("ours", 0)
	n.areTaken(ours, dialFrom(from), site, "the new secret is young")
}

// makeOlder lets a key have been made earlier, in the store of a node that does not run.
func makeOlder(t *testing.T, dir, key string, by time.Duration) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := db.Exec("UPDATE keys SET created = created - ?, activated = activated - ? WHERE id = ?", by.Microseconds(), by.Microseconds(), key)
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := r.RowsAffected(); err != nil || rows != 1 {
		t.Fatal(fmt.Errorf("%d keys are %s, %w", rows, key, err))
	}
}
