package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/e2e/client"
)

// writeCountries makes a country file of MaxMind's format, in the place of the one that is there.
func writeCountries(t *testing.T, path string, countries map[string]string) {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-Country", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, country := range countries {
		_, network, err := net.ParseCIDR(prefix)
		if err == nil {
			err = tree.Insert(network, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := tree.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	putFile(t, path, b.Bytes())
}

// putFile writes a file as those do who update them: a new one in the place of the old one.
func putFile(t *testing.T, path string, data []byte) {
	t.Helper()
	err := os.WriteFile(path+".new", data, 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// via dials as a balancer does for a client of that address.
func via(ip string) client.Dial { return dialWith(dialFrom(listed), headerV1(ip)) }

// enterBy is enter by a way of its own.
func enterBy(t *testing.T, n *node, secret []byte, dial client.Dial) *session {
	t.Helper()
	ctx := bounded(t, 2*time.Minute)
	c, err := way(t, n.addr, secret, dial)(ctx, 2)
	if err == nil {
		err = answered(ctx, c)
	}
	if err != nil {
		t.Fatalf("a client that should be served: %v", err)
	}
	s := &session{Conn: c, ended: make(chan time.Time, 1)}
	t.Cleanup(func() { c.Close() })
	go func() {
		var b bin.Buffer
		c.Recv(ctx, &b)
		s.ended <- time.Now()
	}()
	return s
}

// fares is what became of somebody's connections, one of each kind.
func (n *node) fares(p person, dial client.Dial, site *tape) (taken, strangers int) {
	n.t.Helper()
	for _, kind := range kinds {
		switch v, err := visit(n.t.Context(), n.addr, p.ways[kind], dial, site); {
		case err != nil:
			n.t.Errorf("%s by %s: %v", p.name, kind, err)
		case v.taken():
			taken++
		case v == stranger:
			strangers++
		}
	}
	return taken, strangers
}

// areTaken and areStrangers fail the test unless all of somebody's connections fare so.
func (n *node) areTaken(p person, dial client.Dial, site *tape, why string) {
	n.t.Helper()
	if taken, _ := n.fares(p, dial, site); taken != len(kinds) {
		n.t.Errorf("of %d connections of %s %d are taken: %s", len(kinds), p.name, taken, why)
	}
}

func (n *node) areStrangers(p person, dial client.Dial, site *tape, why string) {
	n.t.Helper()
	if _, strangers := n.fares(p, dial, site); strangers != len(kinds) {
		n.t.Errorf("of %d connections of %s %d are shown the site: %s", len(kinds), p.name, strangers, why)
	}
}

// decided is a line of the metrics: how often a control refused somebody in a mode.
func (n *node) decided(name, mode string) float64 {
	n.t.Helper()
	return n.metric("mtguard_decisions_total", fmt.Sprintf("control=%q", name), fmt.Sprintf("mode=%q", mode), `verdict="mask"`)
}

// TestCountryIsRefused takes one control through its modes with real clients of two countries and of none, under a
// file that is exchanged while they are connected.
func TestCountryIsRefused(t *testing.T) {
	t.Parallel()
	const german, french, nowhere = "198.51.100.7", "198.51.100.200", "203.0.113.9"
	tele, site := telegram(t, 2), someSite(t)
	path := filepath.Join(t.TempDir(), "countries.mmdb")
	writeCountries(t, path, map[string]string{"198.51.100.0/25": "DE", "198.51.100.128/25": "FR"})
	s := behindBalancer(t, site.Addr().String(), tele)
	s.values["access.country_db"], s.values["log.level"] = path, "debug"
	n := start(t, s)
	p, q := n.add(admin.UserBody{Name: "greta"}), n.add(admin.UserBody{Name: "fleur"})
	block := []string{"[geography]", `block = ["country:DE"]`, steadfast}
	mode := func(m string, more ...string) {
		t.Helper()
		n.setPolicy(append(append([]string{}, block...), append(more, in(m, "geo.country"))...)...)
	}

	mode("off")
	n.areTaken(p, via(german), site, "the control is off")
	if c := n.control("geo.country"); c.Allowed+c.Refused+c.WouldRefuse != 0 || n.decided("geo.country", "monitor") != 0 {
		t.Errorf("a control that is off was asked: %+v", c)
	}
	mode("monitor")
	inside := enterBy(t, n, p.ways["secure"], via(german))
	n.areTaken(p, via(german), site, "the control is in monitor")
	n.areTaken(q, via(french), site, "the control is in monitor")
	if c := n.control("geo.country"); c.WouldRefuse != 4 || c.Refused != 0 || n.decided("geo.country", "monitor") != 4 {
		t.Errorf("%+v, and in the metrics %v, want four connections that would be refused", c, n.decided("geo.country", "monitor"))
	}
	n.awaitLog("would_refuse", `"control":"geo.country"`, `"mode":"monitor"`, german, `"user":"greta"`)
	if n.logged(`"control":"geo.country"`, french) {
		t.Error("the log tells of somebody who would be let in")
	}

	stays := enterBy(t, n, q.ways["faketls"], via(french))
	lost := enterBy(t, n, q.ways["secure"], via(nowhere))
	mode("enforce")
	if took := inside.cut(t, time.Now()); took > prompt {
		t.Errorf("the session of a country that is refused ended %v later", took)
	}
	n.areStrangers(p, via(german), site, "the country is refused")
	n.areTaken(q, via(french), site, "the other country is not")
	n.areTaken(q, via(nowhere), site, "an unknown country is let in")
	if c := n.control("geo.country"); c.Refused != 3 || n.decided("geo.country", "enforce") != 3 {
		t.Errorf("%+v, and in the metrics %v, want three refused connections", c, n.decided("geo.country", "enforce"))
	}
	n.awaitLog("refused", `"control":"geo.country"`, `"mode":"enforce"`, german)
	report, err := n.api.CheckAccess(t.Context(), control.CheckQuery{Addr: german, User: "greta"})
	if err != nil || report.Outcome != "refused" || report.Country != "DE" {
		t.Errorf("the API says %+v, %v", report, err)
	}

	// What is no country file leaves the old one in force; a good one is used at once, for those who are connected too.
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{"nothing": nil, "a part": whole[:len(whole)/2], "a web page": []byte("<html>Not found</html>")} {
		putFile(t, path, data)
		if err := n.reload(); err != errNotTaken {
			t.Errorf("%s for a country file: %v", what, err)
		}
		n.areStrangers(p, via(german), site, "the file before it is in force")
		n.areTaken(q, via(french), site, "the file before it is in force")
	}
	stays.goesOn(t, "the file was broken")
	writeCountries(t, path, map[string]string{"198.51.100.0/25": "FR", "198.51.100.128/25": "DE"})
	if err := n.reload(); err != nil {
		t.Fatal(err)
	}
	if took := stays.cut(t, time.Now()); took > prompt {
		t.Errorf("who lives in the country by the new file was cut off %v later", took)
	}
	n.areTaken(p, via(german), site, "the new file has it elsewhere")
	n.areStrangers(q, via(french), site, "the new file has it there")

	lost.goesOn(t, "an unknown country is let in")
	block = []string{"[geography]", `allow = ["country:FR"]`, `unknown = "deny"`, steadfast}
	mode("enforce")
	if took := lost.cut(t, time.Now()); took > prompt {
		t.Errorf("who is nowhere was cut off %v later", took)
	}
	n.areStrangers(q, via(nowhere), site, "an unknown country is refused")
	n.areTaken(p, via(german), site, "this is the country that is allowed")
}
