package e2e

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mtguard/control/admin"
	"mtguard/security/access"
)

// leaveDescriptors lets the running node have so many descriptors.
func (n *node) leaveDescriptors(most int) {
	n.t.Helper()
	var l unix.Rlimit
	err := unix.Prlimit(n.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &l)
	if err == nil {
		l.Cur = uint64(most)
		err = unix.Prlimit(n.cmd.Process.Pid, unix.RLIMIT_NOFILE, &l, nil)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// TestOverloadShedsTheLowestFirst takes descriptors away from a running node, until those who may only read are shed, then
// the other users, then all who come, and sessions last of all. Whoever is above that notices nothing.
func TestOverloadShedsTheLowestFirst(t *testing.T) {
	t.Parallel()
	const (
		idlers = 40
		closed = verdict("closed")
	)
	tele, site := telegram(t, 2), someSite(t)
	s := enforcing(standard(t, site.Addr().String(), tele), "overload.level")
	s.values["log.level"] = "debug"
	n := start(t, s)
	people := map[access.Level]person{}
	from := func(l access.Level) string { return fmt.Sprintf("127.0.224.%d", 1+l) }
	var open []*session
	for _, l := range []access.Level{access.ReadOnly, access.Standard, access.Admin} {
		people[l] = n.add(admin.UserBody{Name: l.String(), Level: &l})
		open = append(open, enter(t, n, people[l].ways["faketls"], from(l)))
	}
	reader, boss := open[0], open[2]
	for len(open) < idlers {
		open = append(open, enter(t, n, fakeTLSSecret, "127.0.225.1"))
	}
	// What counts as used: each session twice, and a part that no connection has.
	const used = 64 + 2*idlers
	if have := n.descriptors(); have > used {
		t.Fatalf("the node has %d descriptors, more than it reckons with", have)
	}
	comes := func(l access.Level, from string) verdict {
		t.Helper()
		v, err := visit(t.Context(), n.addr, people[l].ways["faketls"], dialFrom(from), site)
		if errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || err == nil && v == silence {
			return closed
		}
		if err != nil {
			t.Fatalf("%v: %v", l, err)
		}
		return v
	}
	fare := func(when string, want map[access.Level]verdict) {
		t.Helper()
		for l, want := range want {
			if got := comes(l, from(l)); got != want {
				t.Errorf("%s: a client of level %v is %s, want it to be %s", when, l, got, want)
			}
		}
		for _, s := range open {
			s.goesOn(t, "sessions end last")
		}
	}
	fare("without need", map[access.Level]verdict{access.ReadOnly: welcome, access.Standard: welcome, access.Admin: welcome})
	if c := n.control("overload.level"); c.Refused != 0 {
		t.Errorf("without need: %+v", c)
	}

	n.leaveDescriptors(used * 100 / 88) // less than a seventh is left
	n.await("the first to be shed", func() bool { return comes(access.ReadOnly, from(access.ReadOnly)) == stranger })
	fare("when it begins", map[access.Level]verdict{access.ReadOnly: stranger, access.Standard: welcome, access.Admin: welcome})
	if got := comes(access.Standard, "127.9.226.1"); got != stranger {
		t.Errorf("from a network where nobody came from a client is %s", got)
	}
	n.awaitLog("refused", `"control":"overload.level"`, `"reason":"descriptors"`, `"user":"read_only"`)
	if n.decided("overload.level", "enforce") < 2 {
		t.Error("the metrics do not tell who was shed")
	}

	n.leaveDescriptors(used * 100 / 94) // there is none for the cover site's answer any more: they are closed
	n.await("users to be shed", func() bool { return comes(access.Standard, from(access.Standard)) == closed })
	fare("when it grows", map[access.Level]verdict{access.ReadOnly: closed, access.Standard: closed, access.Admin: welcome})

	n.leaveDescriptors(used * 100 / 98)
	reader.cut(t, time.Now())
	n.awaitLog("sessions ended", "about to run out")
	boss.goesOn(t, "those of the lowest level end first")
	n.leaveDescriptors(10 * used)
	n.await("all to be served again", func() bool { return comes(access.ReadOnly, from(access.ReadOnly)) == welcome })
	boss.goesOn(t, "the others were enough")
	left := 0
	for _, s := range open[1:] {
		select {
		case <-s.ended:
		default:
			left++
		}
	}
	if left < idlers/2 {
		t.Errorf("%d of %d sessions are left, want no more ended than needed", left, idlers)
	}
	t.Logf("%d of %d sessions are left", left, idlers)
	served(t, way(t, n.addr, people[access.Standard].ways["secure"], dialFrom(from(access.Standard))), 2)
}
