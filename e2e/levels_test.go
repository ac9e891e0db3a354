package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/e2e/client"
	"mtguard/security/access"
)

// What a user of level read_only may send: the presets all say so.
const (
	readOnlyRate  = 8 << 10   // bytes per second
	readOnlyBurst = 256 << 10 // at once
	// underWay bounds what is acknowledged beyond that: what was with the DC, but not yet counted here.
	underWay = 64 << 10
)

// rule makes a rule of the operator's.
func (n *node) rule(match string, l access.Level) control.RuleInfo {
	n.t.Helper()
	r, err := n.api.AddRule(n.t.Context(), admin.RuleBody{Match: match, Level: l}, admin.ChangeOptions{})
	if err != nil || r.Rule == nil {
		n.t.Fatalf("rule on %s: %v", match, err)
	}
	return *r.Rule
}

func (n *node) removeRule(id string) {
	n.t.Helper()
	if _, err := n.api.RemoveRule(n.t.Context(), id, admin.ChangeOptions{}); err != nil {
		n.t.Fatalf("remove rule %s: %v", id, err)
	}
}

// enforcing is a configuration in which the controls bite from the start.
func enforcing(s *settings, controls ...string) *settings {
	modes := map[string]string{}
	for _, name := range controls {
		modes[name] = "enforce"
	}
	s.values["policy.controls"] = modes
	return s
}

// sender is a real client that uploads files, part by part, until they are there or it is told to leave.
type sender struct {
	acknowledged atomic.Int64 // bytes that the DC has said it got
	leave        context.CancelFunc
	done         chan struct{} // closed when err is set
	err          error         // nil when all files are at the DC
}

// errLeft is the end of a sender that was told to leave.
var errLeft = errors.New("the sender was told to leave")

// send lets a client upload so many files of a size one after the other, and returns when the first bytes are at the DC.
func send(t *testing.T, tele *cluster, r client.Route, size, files int) *sender {
	t.Helper()
	ctx, leave := context.WithCancelCause(bounded(t, 4*time.Minute))
	s := &sender{leave: func() { leave(errLeft) }, done: make(chan struct{})}
	t.Cleanup(func() {
		s.leave()
		<-s.done
	})
	data := randomBytes(size)
	began := make(chan struct{})
	var once sync.Once
	upload := func(ctx context.Context, c *client.Conn, before int) error {
		file := fileNumber.Add(1)
		defer tele.servers[2].Forget(file)
		return client.Upload(ctx, c.Client, file, data, client.FakeTLSPart, func(done int) error {
			s.acknowledged.Store(int64(before + done))
			once.Do(func() { close(began) })
			return nil
		})
	}
	go func() {
		defer close(s.done)
		s.err = client.Connect(ctx, r, tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
			for i := range files {
				if err := upload(ctx, c, i*size); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	select {
	case <-began:
	case <-s.done:
		t.Errorf("a client that should be served: %v", s.err)
	}
	return s
}

// fileNumber tells the files of concurrent tests apart.
var fileNumber atomic.Int64

// ended reports whether the client has nothing more to do, with or without an error.
func (s *sender) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// isHeldBack fails the test if the client sends faster than read_only may. It watches for a time, which is no wait for
// anything: a machine that is slow only makes it see less. fresh is what went ahead of the budget.
func (s *sender) isHeldBack(t *testing.T, watch time.Duration, since time.Time, before int64) {
	t.Helper()
	time.Sleep(time.Until(since.Add(watch)))
	moved := s.acknowledged.Load() - before
	most := int64(readOnlyBurst+underWay) + int64(time.Since(since).Seconds()*readOnlyRate) // the clock after the bytes
	if s.ended() {
		t.Errorf("the upload ended: %v", s.err)
	}
	if moved > most {
		t.Errorf("%d bytes were sent within %v, want %d at most", moved, time.Since(since).Round(time.Millisecond), most)
	}
}

// isFree waits until the client has sent more than read_only could have in all the time that a test has.
func (s *sender) isFree(t *testing.T, n *node, whom string) {
	t.Helper()
	const clear = 1 << 20
	from := s.acknowledged.Load()
	if err := n.poll(func() bool { return s.ended() || s.acknowledged.Load() > from+clear }); err != nil || s.ended() && s.err != nil {
		t.Errorf("%s sent %d bytes and then no more: %v, %v", whom, s.acknowledged.Load()-from, err, s.err)
	}
}

// TestLevelIsTheLowerOfUserAndAddress meets all five levels of users at addresses of all five ceilings. Whoever has
// level none is shown the cover site byte for byte; read_only is held back in what it sends, and nobody else is; and
// the API says of each what the data path does.
func TestLevelIsTheLowerOfUserAndAddress(t *testing.T) {
	t.Parallel()
	tele, site := telegram(t, 2), someSite(t)
	tele.servers[2].ExpectCuts()
	s := enforcing(standard(t, site.Addr().String(), tele), "access.level")
	s.values["log.level"] = "warn"
	n := start(t, s)
	n.setPolicy(steadfast)
	warm(t, n, tele)
	from := func(ceiling access.Level) string { return fmt.Sprintf("127.0.200.%d", ceiling+1) }
	for _, ceiling := range access.Levels() {
		n.rule(from(ceiling), ceiling)
	}
	for _, level := range access.Levels() {
		for _, ceiling := range access.Levels() {
			p := n.add(admin.UserBody{Name: fmt.Sprintf("%v-at-%v", level, ceiling), Level: &level}) // budgets are a user's: one each
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				want, addr := min(level, ceiling), from(ceiling)
				report, err := n.api.CheckAccess(t.Context(), control.CheckQuery{Addr: addr, User: p.name})
				if err != nil || report.Level != want || report.Ceiling != ceiling || report.UserLevel == nil || *report.UserLevel != level {
					t.Errorf("the API says %+v, %v, want level %v under the ceiling %v", report, err, want, ceiling)
				}
				if refused := report.Outcome == "refused"; err == nil && refused != (want == access.None) {
					t.Errorf("the API says that such a client is %s", report.Outcome)
				}
				if want == access.None {
					for _, kind := range kinds {
						isStranger(t, n.addr, p.ways[kind], dialFrom(addr), site)
					}
					return
				}
				for _, kind := range kinds[1:] {
					served(t, way(t, n.addr, p.ways[kind], dialFrom(addr)), 2)
				}
				began := time.Now()
				up := send(t, tele, way(t, n.addr, p.ways["faketls"], dialFrom(addr)), 2<<20, 1)
				if want == access.ReadOnly {
					up.isHeldBack(t, 2*time.Second, began, 0)
				} else {
					up.isFree(t, n, p.name)
				}
			})
		}
	}
}

// warm lets the regular account agree on a key with its DC, so that those who come next need not.
func warm(t *testing.T, n *node, tele *cluster) {
	t.Helper()
	err := client.Connect(bounded(t, time.Minute), way(t, n.addr, secureSecret, nil), tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
		return c.Ping(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReadOnlyReadsFreelyAndHardlyWrites scrolls and downloads 20 MiB while an upload of 10 MiB of the same user does
// not come to its end: within ten seconds, and in the long form within a minute.
func TestReadOnlyReadsFreelyAndHardlyWrites(t *testing.T) {
	t.Parallel()
	const down, up = 20 << 20, 10 << 20
	watch := 10 * time.Second
	if long {
		watch = time.Minute
	}
	tele, site := telegram(t, 2), someSite(t)
	tele.servers[2].ExpectCuts()
	n := start(t, standard(t, site.Addr().String(), tele))
	level := access.ReadOnly
	p := n.add(admin.UserBody{Name: "rhea", Level: &level})
	data := randomBytes(down)
	tele.servers[2].Put(-1, data)
	want := sha256.Sum256(data)
	read := func(kind, when string) {
		err := client.Connect(bounded(t, 2*time.Minute), way(t, n.addr, p.ways[kind], dialFrom("127.0.201.2")), tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
			came := time.Now()
			for range 5 { // a screenful of messages each
				if err := echo(ctx, c, 100); err != nil {
					return err
				}
			}
			scrolled := time.Now()
			got, err := client.Download(ctx, c.Client, -1, down, client.LargePart, nil)
			if err == nil && got != want {
				err = errors.New("another file came")
			}
			t.Logf("%s, %s: 5 small calls take %v, 20 MiB come in %v", kind, when, scrolled.Sub(came).Round(time.Millisecond), time.Since(scrolled).Round(time.Millisecond))
			return err
		})
		if err != nil {
			t.Errorf("a client that only reads, %s: %v", when, err)
		}
	}
	read("secure", "alone")
	began := time.Now()
	writer := send(t, tele, way(t, n.addr, p.ways["secure"], dialFrom("127.0.201.1")), up, 1)
	read("faketls", "beside an upload of the same user")
	writer.isHeldBack(t, watch, began, 0)
	t.Logf("%d of %d bytes were sent in %v", writer.acknowledged.Load(), up, time.Since(began).Round(time.Millisecond))
	if u := n.user("rhea"); u.Level != access.ReadOnly || u.State != "ok" {
		t.Errorf("%+v, want a user that is fine", u)
	}
}

// TestLevelReachesLiveSessions takes a level away under clients that send as fast as they can, and gives it back: by
// the user and by rules on the address.
func TestLevelReachesLiveSessions(t *testing.T) {
	t.Parallel()
	const addr = "127.0.202.7"
	tele, site := telegram(t, 2), someSite(t)
	tele.servers[2].ExpectCuts()
	s := enforcing(standard(t, site.Addr().String(), tele), "access.level")
	s.values["log.level"] = "warn"
	n := start(t, s)
	n.setPolicy(steadfast)
	warm(t, n, tele)
	var rule control.RuleInfo
	ways := []struct {
		name string
		set  func(user string, l access.Level)
	}{
		{"user", func(user string, l access.Level) { n.set(user, admin.UserPatch{Level: &l}) }},
		{"rule", func(_ string, l access.Level) {
			if rule.ID != "" {
				n.removeRule(rule.ID)
			}
			if rule.ID = ""; l < access.Standard {
				rule = n.rule("127.0.202.0/24", l)
			}
		}},
	}
	other := enter(t, n, secureSecret, "127.0.203.9")
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { // one after the other: they share an address
			p := n.add(admin.UserBody{Name: "by-" + w.name})
			up := send(t, tele, way(t, n.addr, p.ways["faketls"], dialFrom(addr)), 16<<20, 1000)
			up.isFree(t, n, "a client of level standard")
			w.set(p.name, access.ReadOnly)
			told := time.Now()
			up.isHeldBack(t, 2*time.Second, told, up.acknowledged.Load())
			w.set(p.name, access.Standard)
			told = time.Now()
			seen := up.acknowledged.Load()
			if err := n.poll(func() bool { return up.acknowledged.Load() > seen+readOnlyBurst }); err != nil {
				t.Errorf("the client is still held back: %v", err)
			}
			t.Logf("%d bytes more were at the DC %v after the level was back", readOnlyBurst, time.Since(told).Round(time.Millisecond))
			idler := enter(t, n, p.ways["secure"], addr)
			w.set(p.name, access.None)
			told = time.Now()
			took := idler.cut(t, told)
			if took > prompt {
				t.Errorf("a session of level none ended %v after the answer", took)
			}
			t.Logf("a session of level none ended %v after the answer", took.Round(time.Microsecond))
			select {
			case <-up.done:
			case <-time.After(patience):
				t.Error("the client goes on sending")
			}
			refusedLikeAStranger(t, n, p, addr, site)
			w.set(p.name, access.Standard)
			for _, kind := range kinds {
				served(t, way(t, n.addr, p.ways[kind], dialFrom(addr)), 2)
			}
		})
	}
	other.goesOn(t, "nothing was changed for this one")
}

// TestRulesOnTheHelloReachLiveSessions makes rules on what a hello says after the clients have said it, when there was
// no such rule yet: whom they name ends within a second, and nobody else.
func TestRulesOnTheHelloReachLiveSessions(t *testing.T) {
	t.Parallel()
	tele, site := telegram(t, 2), someSite(t)
	tele.servers[2].ExpectCuts()
	n := start(t, enforcing(standard(t, site.Addr().String(), tele), "access.pattern"))
	n.setPolicy(steadfast)
	insisted := func(match string) control.RuleInfo { // a rule on a hello may always be on one's own
		t.Helper()
		r, err := n.api.AddRule(t.Context(), admin.RuleBody{Match: match, Level: access.None}, insist)
		if err != nil {
			t.Fatal(err)
		}
		return *r.Rule
	}
	other := enter(t, n, secureSecret, "127.0.204.1") // it has no hello
	for _, match := range []string{"sni:" + coverName, "ja4:t13*"} {
		t.Run(match, func(t *testing.T) {
			elsewhere := insisted("sni:elsewhere.example.org")
			live := enter(t, n, fakeTLSSecret, "127.0.204.2")
			live.goesOn(t, "the rule is on another name")
			r := insisted(match)
			if took := live.cut(t, time.Now()); took > prompt {
				t.Errorf("the session ended %v after the answer", took)
			}
			n.removeRule(r.ID)
			n.removeRule(elsewhere.ID)
			served(t, way(t, n.addr, fakeTLSSecret, dialFrom("127.0.204.2")), 2)
		})
	}
	other.goesOn(t, "no rule is about this one")
}
