package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"mtguard/control/admin"
	"mtguard/e2e/client"
)

// harsh is a policy by which every control has something against everybody.
var harsh = []string{
	"[encryption]", `transports = ["faketls"]`, "[encryption.until]", "faketls = 2020-01-01",
	"[authentication]", "allow_imported = false",
	"[rates]", `new_per_prefix = "1/h"`, `handshake_failures = "1/h"`,
	"[connections]", "per_address = 1", "per_prefix = 1", "per_user = 1", "per_key = 1", "read_only = 1", "addresses_per_user = 1",
	"[bandwidth]", `per_user = "1KiB/s"`,
	"[geography]", `unknown = "deny"`,
	"[protocol]", `min_transport = "faketls"`, "require_key_share = true", steadfast,
}

// watched are the controls that refuse somebody by that policy. Of the others with a mode bytes.user delays and refuses
// nobody, and overload.level and threat.block have no reason to.
var watched = []string{"access.level", "access.pattern", "addrs.user", "auth.strength", "conns.addr", "conns.key", "conns.prefix", "conns.user",
	"encryption.required", "geo.country", "rate.accept", "rate.failures", "transport.min"}

// TestMonitorChangesNothingThatClientsSee puts the same load on three nodes with the same policy. Where all controls
// are off, and where all are in monitor, everybody gets the same; the latter counts what it would have refused. Where
// they are enforced nearly nobody is served, so the policy is one that matters.
func TestMonitorChangesNothingThatClientsSee(t *testing.T) {
	t.Parallel()
	seen := map[string][]string{}
	for _, mode := range []string{"off", "monitor", "enforce"} {
		t.Run(mode, func(t *testing.T) {
			w := governed(t, mode)
			w.visitors()
			if mode != "enforce" {
				w.clients()
			}
			w.counts(mode)
			seen[mode] = w.seen
		})
	}
	if !slices.Equal(seen["off"], seen["monitor"]) {
		t.Errorf("monitor changes what clients see:\n%q\nand without controls\n%q", seen["monitor"], seen["off"])
	}
	if k := len(seen["enforce"]); k == 0 || slices.Equal(seen["off"][:k], seen["enforce"]) {
		t.Errorf("the policy refuses nobody: %q", seen["enforce"])
	}
	for _, line := range seen["enforce"] {
		if !bytes.HasSuffix([]byte(line), []byte(stranger)) {
			t.Errorf("the policy has nothing against %s", line)
		}
	}
}

// world is a node with a policy, and what everybody got there, in order.
type world struct {
	t    *testing.T
	n    *node
	tele *cluster
	site *tape
	ways map[string]map[string][]byte // of users
	seen []string
}

func governed(t *testing.T, mode string) *world {
	t.Helper()
	w := &world{t: t, tele: telegram(t, 2), site: startTape(t, "the site's answer \x00\xff")}
	s := behindBalancer(t, w.site.Addr().String(), w.tele)
	s.values["log.level"] = "warn"
	delete(s.values, "limits.new_per_prefix") // the policy has it
	modes := map[string]string{"bytes.user": mode, "overload.level": mode, "threat.block": mode}
	for _, name := range watched {
		modes[name] = mode
	}
	s.values["policy.controls"] = modes
	w.n = start(t, s)
	w.ways = map[string]map[string][]byte{
		"alice": {"faketls": fakeTLSSecret, "secure": secureSecret, "classic": transports[0].secret},
		"uma":   w.n.add(admin.UserBody{Name: "uma"}).ways,
	}
	for _, match := range []string{"198.51.100.0/24", "sni:" + coverName} {
		if _, err := w.n.api.AddRule(t.Context(), admin.RuleBody{Match: match}, insist); err != nil {
			t.Fatal(err)
		}
	}
	w.n.setPolicy(harsh...)
	return w
}

// from dials as the balancer does for a client of that address.
func (w *world) from(last int) client.Dial {
	return dialWith(dialFrom(listed), headerV1(fmt.Sprintf("198.51.100.%d", last)))
}

func (w *world) note(who string, got any) { w.seen = append(w.seen, fmt.Sprintf("%s: %v", who, got)) }

// visitors come with good secrets, with bad ones and with none, and go at once.
func (w *world) visitors() {
	w.t.Helper()
	for round := range 2 {
		for _, user := range []string{"alice", "uma"} {
			for _, kind := range kinds {
				v, err := visit(w.t.Context(), w.n.addr, w.ways[user][kind], w.from(1+round), w.site)
				if err != nil {
					w.t.Errorf("%s by %s: %v", user, kind, err)
				}
				w.note(user+" by "+kind, v)
			}
		}
		nobody := append([]byte{0xee}, append(randomBytes(16), coverName...)...)
		v, err := visit(w.t.Context(), w.n.addr, nobody, w.from(3), w.site)
		if err != nil {
			w.t.Errorf("nobody: %v", err)
		}
		w.note("nobody", v)
		w.note("garbage", w.ask(randomBytes(5000)))
	}
	hello, err := greeting(w.ways["uma"]["faketls"])
	if err != nil {
		w.t.Fatal(err)
	}
	w.ask(hello)
	w.note("the same hello again", w.ask(hello))
	w.note("half a hello", w.ask(hello[:len(hello)/2]))
}

// ask sends bytes and tells whether the site has got just these, and what came back.
func (w *world) ask(b []byte) verdict {
	w.t.Helper()
	c, err := w.from(4)(w.t.Context(), "tcp", w.n.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := ask(c, b)
	if err != nil || !bytes.Equal(got, w.site.answer) || !w.site.heard(b) {
		return verdict(fmt.Sprintf("something else: %d bytes, %v", len(got), err))
	}
	return stranger
}

// clients are real ones: each keeps three connections from two addresses, and moves files on each of them.
func (w *world) clients() {
	w.t.Helper()
	for _, user := range []string{"alice", "uma"} {
		w.note(user+"'s connections", w.hold(user, kinds))
	}
}

// hold opens a connection by each kind inside of the one before, and uses them all while all are open.
func (w *world) hold(user string, left []string) error {
	if len(left) == 0 {
		return nil
	}
	kind := left[0]
	data := randomBytes(100_000)
	r, err := client.Proxy(w.n.addr, w.ways[user][kind], w.from(10+len(left)/2)) // two share an address
	if err != nil {
		return err
	}
	return client.Connect(bounded(w.t, time.Minute), r, w.tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
		if err := w.hold(user, left[1:]); err != nil {
			return err
		}
		if err := echo(ctx, c, 10_000); err != nil {
			return err
		}
		file := fileNumber.Add(1)
		if err := client.Upload(ctx, c.Client, file, data, client.FakeTLSPart, nil); err != nil {
			return err
		}
		got, err := client.Download(ctx, c.Client, file, len(data), client.LargePart, nil)
		if err == nil && got != sha256.Sum256(data) {
			err = errors.New("another file came")
		}
		w.note(user+"'s file by "+kind, fmt.Sprintf("%x, %v", got, err))
		return err
	})
}

// counts looks at what the controls say that they did.
func (w *world) counts(mode string) {
	w.t.Helper()
	all, err := w.n.api.Controls(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var refused uint64
	for _, c := range all {
		if c.Always {
			continue
		}
		refused += c.Refused
		switch {
		case c.Mode != mode:
			w.t.Errorf("%s is in mode %s, want %s", c.Name, c.Mode, mode)
		case mode == "off" && c.Allowed+c.Refused+c.WouldRefuse > 0:
			w.t.Errorf("a control that is off was asked: %+v", c)
		case c.Name == "bytes.user": // it counts sessions when they end, of which some may not have yet
		case mode == "monitor" && slices.Contains(watched, c.Name) != (c.WouldRefuse > 0):
			w.t.Errorf("%+v: want to be told what it would have refused: %v", c, slices.Contains(watched, c.Name))
		}
	}
	if (mode == "enforce") != (refused > 0) {
		w.t.Errorf("in mode %s %d connections were refused", mode, refused)
	}
}
