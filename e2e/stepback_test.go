package e2e

import (
	"fmt"
	"testing"
	"time"

	"mtguard/control/admin"
	"mtguard/security/access"
)

// TestBlockedUserCannotUndoTheBlock shuts the address of somebody out whom the node knows, and lets him knock a hundred
// times. What somebody has decided about him is no bad change, and no reason for the control to step back.
func TestBlockedUserCannotUndoTheBlock(t *testing.T) {
	t.Parallel()
	const from = "127.0.214.1"
	site := someSite(t)
	n := start(t, enforcing(standard(t, site.Addr().String(), telegram(t, 2)), "access.level"))
	p := n.add(admin.UserBody{Name: "olaf"})
	served(t, way(t, n.addr, p.ways["secure"], dialFrom(from)), 2)
	n.rule(from, access.None)
	n.setPolicy("[rollout]", `step_back = "1%"`) // with it a stage begins, and what comes counts
	for range 100 {
		n.isRefused(p, from, site, "his address is blocked")
	}
	n.looksAround()
	if c := n.control("access.level"); c.Mode != "enforce" || c.Percent != 0 {
		t.Errorf("the block is undone by him who is blocked: %+v", c)
	}
	n.isRefused(p, from, site, "his address is blocked still")
}

// looksAround waits until the node has done everything that it does each second: it notices that the time of a user is
// over, and of one more in a later second.
func (n *node) looksAround() {
	n.t.Helper()
	for range 2 {
		name := fmt.Sprintf("sand-glass-%d", fileNumber.Add(1))
		ends := time.Now().Add(time.Second)
		n.add(admin.UserBody{Name: name, Expires: &ends})
		n.await("a look at the users", func() bool { return n.user(name).State == "expired" })
	}
}
