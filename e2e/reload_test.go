package e2e

import (
	"context"
	"errors"
	"testing"
	"time"

	"mtguard/e2e/client"
	"mtguard/e2e/dc"
)

// TestReloadTakesEffect changes users, DCs and transports of a running node.
func TestReloadTakesEffect(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	other := tele.add(t, "127.0.0.1:0", 2)
	before := standard(t, coverSite(t).addr, tele)
	n := start(t, before)

	bob := []byte("bob's own secret")
	bobs := append([]byte{byte(dc.Padded)}, bob...)
	refused(t, way(t, n.addr, bobs, nil), 2)

	after := before.clone()
	after.users = map[string][]byte{"bob": bob}
	after.dcs[2] = []string{other.Addr()}
	n.configure(after)
	if err := n.reload(); err != nil {
		t.Fatal(err)
	}
	served(t, way(t, n.addr, bobs, nil), 2)
	if len(other.Hellos()) == 0 {
		t.Error("the new address of DC 2 is not used")
	}
	refused(t, way(t, n.addr, secureSecret, nil), 2)
}

// TestReloadDoesNotWaitForHandshakes takes a user out of the file who is in the middle of a handshake.
func TestReloadDoesNotWaitForHandshakes(t *testing.T) {
	t.Parallel()
	before := standard(t, someSite(t).Addr().String(), telegram(t, 2))
	bob := []byte("\x91\x02\x53\xf4\xa5\x66\xc7\x08\x99\x2a\xdb\x7c\x1d\xee\x8f\x30")
	before.users["bob"] = bob
	n := start(t, before)
	slow := catch(t, n, append(append([]byte{0xee}, bob...), coverName...), "127.0.82.1", beforeInit)
	after := before.clone()
	after.users = map[string][]byte{"alice": alice}
	n.configure(after)
	began := time.Now()
	if err := n.reload(); err != nil {
		t.Errorf("after %v: %v", time.Since(began).Round(time.Millisecond), err)
	}
	slow.goOn(t)
	if got := slow.rest(t); len(got) > 0 {
		t.Errorf("somebody who is no user any more got %d bytes", len(got))
	}
}

// TestBadReloadKeepsTheOldConfiguration reloads files that cannot be taken, with a session open and new clients
// afterwards.
func TestBadReloadKeepsTheOldConfiguration(t *testing.T) {
	t.Parallel()
	tele := telegram(t, 2)
	good := standard(t, coverSite(t).addr, tele)
	n := start(t, good)
	twoOfOne := good.clone()
	twoOfOne.users["bob"] = alice
	noTransport := good.clone()
	noTransport.values["proxy.transports"] = []string{"carrier pigeon"}
	bad := map[string]string{
		"no TOML":            "[proxy\nlisten =",
		"unknown key":        good.text() + "\n[cover_up]\nx = 1\n",
		"wrong type":         "[proxy]\nlisten = 17\n",
		"same secret twice":  twoOfOne.text(),
		"unknown transport":  noTransport.text(),
		"secret of 31 chars": good.text() + "\n[[user]]\nname = \"carol\"\nsecret = \"7c1f0d93a55be24486f2b1093cd86e5\"\n",
	}
	ctx := bounded(t, 2*time.Minute)
	r := way(t, n.addr, fakeTLSSecret, nil)
	err := client.Connect(ctx, r, tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
		for name, text := range bad {
			n.replaceFile(text)
			if err := n.reload(); !errors.Is(err, errNotTaken) {
				t.Errorf("%s: got %v, want %v", name, err, errNotTaken)
			}
			if err := echo(ctx, c, 1000); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	n.awaitLog("reload", "carrier pigeon")
	served(t, way(t, n.addr, secureSecret, nil), 2)
	n.configure(good)
	if err := n.reload(); err != nil {
		t.Errorf("a good file after bad ones: %v", err)
	}
}
