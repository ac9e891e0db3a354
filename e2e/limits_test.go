package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/transport"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/e2e/client"
)

// prompt is how soon a limit is in force, and a second more than the node promises: the machine may be busy.
const prompt = 2 * time.Second

// session is a client that is let in and says nothing, with the moment its connection ended.
type session struct {
	transport.Conn
	ended chan time.Time
}

// enter lets a client in.
func enter(t *testing.T, n *node, secret []byte, from string) *session {
	t.Helper()
	ctx := bounded(t, 2*time.Minute)
	c, err := way(t, n.addr, secret, dialFrom(from))(ctx, 2)
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

// cut returns how long after a moment the connection ended.
func (s *session) cut(t *testing.T, after time.Time) time.Duration {
	t.Helper()
	select {
	case at := <-s.ended:
		return at.Sub(after)
	case <-time.After(patience):
		t.Fatalf("the session goes on %v after it should have ended", patience)
		return 0
	}
}

func (s *session) goesOn(t *testing.T, why string) {
	t.Helper()
	select {
	case <-s.ended:
		t.Errorf("the session ended: %s", why)
	default:
	}
}

// party is a node with a tape for a cover site, and one user.
func party(t *testing.T, body admin.UserBody) (n *node, site *tape, p person) {
	t.Helper()
	site = someSite(t)
	n = start(t, standard(t, site.Addr().String(), telegram(t, 2)))
	return n, site, n.add(body)
}

// TestByteRatesAreCountedBeforeTheyHoldBack: in monitor a user who goes beyond the rate gets all he asks for and is
// counted when his session ends, and so is one who keeps to it; for an exception it is the same; enforced, he waits.
func TestByteRatesAreCountedBeforeTheyHoldBack(t *testing.T) {
	t.Parallel()
	const rate = 64 << 10 // bytes per second, and as many at once
	tele := telegram(t, 2)
	n := start(t, standard(t, coverSite(t).addr, tele))
	const small, middling, large = rate / 4, 4 * rate, 128 * rate
	for _, size := range []int{small, middling, large} {
		tele.servers[2].Put(int64(-size), randomBytes(size))
	}
	policy := func(mode string) {
		n.setPolicy("[bandwidth]", `per_user = "64KiB/s"`, steadfast, in(mode, "bytes.user"))
	}
	fetch := func(user person, size int) (took time.Duration) {
		t.Helper()
		err := client.Connect(bounded(t, 3*time.Minute), way(t, n.addr, user.ways["faketls"], nil), tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
			began := time.Now()
			_, err := client.Download(ctx, c.Client, int64(-size), size, client.LargePart, nil)
			took = time.Since(began)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return took
	}
	ends := func(what string, want control.ControlInfo) {
		t.Helper()
		n.await(what, func() bool {
			c := n.control("bytes.user")
			return c.KnownAllowed == want.KnownAllowed && c.KnownWould == want.KnownWould && c.KnownRefused == want.KnownRefused
		})
	}
	greedy, modest, spared := n.add(admin.UserBody{Name: "greedy"}), n.add(admin.UserBody{Name: "modest"}), n.add(admin.UserBody{Name: "spared"})
	policy("monitor")
	if took := fetch(greedy, large); took > time.Minute { // held to the rate: two
		t.Errorf("monitor holds back: %v", took)
	}
	ends("the greedy user's decision", control.ControlInfo{KnownWould: 1})
	fetch(modest, small)
	ends("the modest user's decision", control.ControlInfo{KnownWould: 1, KnownAllowed: 1})
	exception, err := n.api.AddException(t.Context(), admin.ExceptionBody{Controls: []string{"bytes.user"}, User: "spared",
		Until: time.Now().Add(time.Hour)}, insist)
	if err != nil {
		t.Fatal(err)
	}
	policy("enforce")
	fetch(spared, large)
	ends("the spared user's decision", control.ControlInfo{KnownWould: 2, KnownAllowed: 1})
	n.await("the exception's count", func() bool {
		all, err := n.api.Exceptions(t.Context())
		return err == nil && len(all) == 1 && all[0].ID == exception.Exception.ID && all[0].Hits == 1
	})
	if took := fetch(greedy, middling); took < 2*time.Second { // but for what may go at once, and what was under way
		t.Errorf("enforced, %d bytes came within %v", middling, took)
	}
	ends("the greedy user's second decision", control.ControlInfo{KnownWould: 2, KnownAllowed: 1, KnownRefused: 1})
}

// refusedLikeAStranger compares what a refused user sees, in every transport, with what somebody sees who has no secret
// at all, byte for byte.
func refusedLikeAStranger(t *testing.T, n *node, p person, from string, site *tape) {
	t.Helper()
	before := n.metric("mtguard_handshakes_total", `result="ok"`)
	nobody := append([]byte{0xee}, append(randomBytes(16), coverName...)...)
	isStranger(t, n.addr, nobody, dialFrom(from), site)
	for _, kind := range kinds {
		isStranger(t, n.addr, p.ways[kind], dialFrom(from), site)
	}
	if got := n.metric("mtguard_handshakes_total", `result="ok"`); got != before {
		t.Errorf("%v refused clients were counted as welcome", got-before)
	}
}

// TestMaxConnectionsIsKept opens sessions up to the bound and one more, and moves the bound both ways.
func TestMaxConnectionsIsKept(t *testing.T) {
	t.Parallel()
	n, site, p := party(t, admin.UserBody{Name: "ida", MaxConnections: 3})
	var open []*session
	for i := range 3 {
		open = append(open, enter(t, n, p.ways[kinds[i]], "127.0.90.1"))
	}
	refusedLikeAStranger(t, n, p, "127.0.90.2", site)
	more := 4
	n.set("ida", admin.UserPatch{MaxConnections: &more})
	open = append(open, enter(t, n, p.ways["secure"], "127.0.90.2"))
	refusedLikeAStranger(t, n, p, "127.0.90.1", site)
	less := 1
	n.set("ida", admin.UserPatch{MaxConnections: &less})
	for _, s := range open {
		s.goesOn(t, "a lower bound is for new connections")
		s.Close()
	}
	n.await("places given back", func() bool { return n.user("ida").Connections == 0 })
	enter(t, n, p.ways["faketls"], "127.0.90.3")
	refusedLikeAStranger(t, n, p, "127.0.90.3", site)
	if u := n.user("ida"); u.Connections != 1 || u.Addresses != 1 || u.State != "ok" {
		t.Errorf("%+v, want one connection from one address", u)
	}
	served(t, way(t, n.addr, secureSecret, nil), 2) // others have bounds of their own
}

// TestMaxAddressesIsKept comes from one address more than there may be.
func TestMaxAddressesIsKept(t *testing.T) {
	t.Parallel()
	n, site, p := party(t, admin.UserBody{Name: "jan", MaxAddresses: 2})
	first := enter(t, n, p.ways["secure"], "127.0.91.1")
	enter(t, n, p.ways["faketls"], "127.0.91.2")
	enter(t, n, p.ways["classic"], "127.0.91.2")
	refusedLikeAStranger(t, n, p, "127.0.91.3", site)
	enter(t, n, p.ways["secure"], "127.0.91.1") // a known address may have more
	first.goesOn(t, "somebody else was refused")
	none := 0
	n.set("jan", admin.UserPatch{MaxAddresses: &none})
	enter(t, n, p.ways["secure"], "127.0.91.3")
	if u := n.user("jan"); u.Connections != 5 || u.Addresses != 3 {
		t.Errorf("%d connections from %d addresses, want 5 from 3", u.Connections, u.Addresses)
	}
}

// TestDisabledUserIsCutOff disables a user with sessions, and enables it again.
func TestDisabledUserIsCutOff(t *testing.T) {
	t.Parallel()
	n, site, p := party(t, admin.UserBody{Name: "kim"})
	other := enter(t, n, secureSecret, "127.0.92.9")
	var open []*session
	for i, kind := range kinds {
		open = append(open, enter(t, n, p.ways[kind], fmt.Sprintf("127.0.92.%d", i+1)))
	}
	yes, no := true, false
	n.set("kim", admin.UserPatch{Disabled: &yes})
	told := time.Now()
	for _, s := range open {
		if took := s.cut(t, told); took > prompt {
			t.Errorf("a session ended %v after the answer", took)
		}
	}
	refusedLikeAStranger(t, n, p, "127.0.92.1", site)
	if u := n.user("kim"); u.State != "disabled" || !u.Disabled {
		t.Errorf("%+v, want a user that is disabled", u)
	}
	n.set("kim", admin.UserPatch{Disabled: &no})
	for _, kind := range kinds {
		served(t, way(t, n.addr, p.ways[kind], nil), 2)
	}
	other.goesOn(t, "another user was disabled")
}

// TestExpiredUserIsCutOff lets a user's time run out under a real client, and gives it more.
func TestExpiredUserIsCutOff(t *testing.T) {
	t.Parallel()
	n, site, p := party(t, admin.UserBody{Name: "leo"})
	s := enter(t, n, p.ways["faketls"], "127.0.93.1")
	late, stopped := context.WithCancel(t.Context())
	worst := lag(late)
	ends := time.Now().Add(3 * time.Second).Truncate(time.Second) // the API takes whole seconds
	expires := admin.Expiry(ends)
	n.set("leo", admin.UserPatch{Expires: &expires})
	served(t, way(t, n.addr, p.ways["secure"], nil), 2)
	took := s.cut(t, ends)
	stopped()
	if slack := 2 * worst(); took < -100*time.Millisecond || took > prompt+slack {
		t.Errorf("the session ended %v after the user expired", took)
	}
	t.Logf("the session ended %v after the user expired", took.Round(time.Millisecond))
	refusedLikeAStranger(t, n, p, "127.0.93.1", site)
	if u := n.user("leo"); u.State != "expired" {
		t.Errorf("the user is %s, want expired", u.State)
	}
	_, err := n.api.SetUser(t.Context(), "leo", admin.UserPatch{Expires: &expires}, admin.ChangeOptions{})
	refusedAs(t, err, control.Invalid)
	never := admin.Expiry{}
	n.set("leo", admin.UserPatch{Expires: &never})
	served(t, way(t, n.addr, p.ways["faketls"], nil), 2)
}

// TestQuotaIsKept lets a real client move more than it may.
func TestQuotaIsKept(t *testing.T) {
	t.Parallel()
	const quota = 2 << 20
	tele, site := telegram(t, 2), someSite(t)
	n := start(t, standard(t, site.Addr().String(), tele))
	p := n.add(admin.UserBody{Name: "mia", Quota: &control.Quota{Bytes: quota, Per: "day"}})
	idler := enter(t, n, p.ways["secure"], "127.0.94.1")
	moved := 0
	err := client.Connect(bounded(t, time.Minute), way(t, n.addr, p.ways["faketls"], nil), tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
		for {
			if err := echo(ctx, c, 10_000); err != nil {
				return err
			}
			moved += 20_000
			if moved > 200<<20 {
				return errors.New("the quota is of no consequence")
			}
		}
	})
	over := time.Now()
	if err == nil || moved < quota/2 {
		t.Errorf("the client was cut off after %d bytes with %v, want that after %d", moved, err, quota)
	}
	t.Logf("a quota of %d bytes let %d through: what comes within a second is not bounded", quota, moved)
	if took := idler.cut(t, over); took > prompt {
		t.Errorf("the user's other session ended %v later", took)
	}
	refusedLikeAStranger(t, n, p, "127.0.94.1", site)
	u := n.user("mia")
	if u.State != "over_quota" || u.QuotaUsed < quota {
		t.Errorf("%+v, want a user that is over quota", u)
	}
	n.stop()
	// It is not forgotten by a restart.
	s := standard(t, site.Addr().String(), tele)
	s.values["state.dir"] = n.dir
	n = start(t, s)
	if again := n.user("mia"); again.State != "over_quota" || again.QuotaUsed < u.QuotaUsed {
		t.Errorf("after a restart %+v, before %+v", again, u)
	}
	isStranger(t, n.addr, p.ways["secure"], nil, site)
	n.set("mia", admin.UserPatch{Quota: &control.Quota{Bytes: 1 << 40, Per: "day"}})
	n.await("service with a larger quota", func() bool { return n.user("mia").State == "ok" })
	served(t, way(t, n.addr, p.ways["secure"], nil), 2)
}

// TestRemovedUserIsCutOff removes users by the API and by the file, with sessions open.
func TestRemovedUserIsCutOff(t *testing.T) {
	t.Parallel()
	site, tele := someSite(t), telegram(t, 2)
	before := standard(t, site.Addr().String(), tele)
	before.users["bob"] = []byte("\x91\x02\x53\xf4\xa5\x66\xc7\x08\x99\x2a\xdb\x7c\x1d\xee\x8f\x30")
	n := start(t, before)
	p := n.add(admin.UserBody{Name: "nora"})
	stays := enter(t, n, secureSecret, "127.0.95.1")
	a, b := enter(t, n, p.ways["faketls"], "127.0.95.2"), enter(t, n, append([]byte{0xdd}, before.users["bob"]...), "127.0.95.3")
	if _, err := n.api.RemoveUser(t.Context(), "nora", admin.ChangeOptions{Reason: "left"}); err != nil {
		t.Fatal(err)
	}
	if took := a.cut(t, time.Now()); took > prompt {
		t.Errorf("a session ended %v after the answer", took)
	}
	b.goesOn(t, "another user was removed")
	_, err := n.api.RemoveUser(t.Context(), "bob", admin.ChangeOptions{Reason: "left"})
	refusedAs(t, err, control.Refused) // the file says so
	after := before.clone()
	delete(after.users, "bob")
	n.configure(after)
	if err := n.reload(); err != nil {
		t.Fatal(err)
	}
	if took := b.cut(t, time.Now()); took > prompt {
		t.Errorf("a session ended %v after the reload", took)
	}
	for _, kind := range kinds {
		isStranger(t, n.addr, p.ways[kind], nil, site)
	}
	isStranger(t, n.addr, append([]byte{0xdd}, before.users["bob"]...), nil, site)
	_, err = n.api.User(t.Context(), "nora")
	refusedAs(t, err, control.NotFound)
	stays.goesOn(t, "others were removed")
}
