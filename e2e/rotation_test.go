package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/e2e/client"
)

// partOf is the size of file parts for a kind of link.
func partOf(kind string) int {
	if kind == "faketls" {
		return client.FakeTLSPart
	}
	return client.LargePart
}

// guest is gotd's complete client, busy in the background: calls, and a file there and back, over and over.
type guest struct {
	rounds atomic.Int64
	lost   atomic.Int32
	stop   context.CancelFunc
	result chan error
}

// stay lets a client in and returns when it has been through one round.
func stay(t *testing.T, tele *cluster, r client.Route, part int) *guest {
	t.Helper()
	ctx, stop := context.WithCancel(bounded(t, 4*time.Minute))
	g := &guest{stop: stop, result: make(chan error, 1)}
	data := randomBytes(200_000)
	want := sha256.Sum256(data)
	end := make(chan struct{})
	g.stop = func() { close(end) }
	ready := make(chan struct{})
	go func() {
		defer stop()
		g.result <- client.Login(ctx, r, tele.regular, 2, func(error) { g.lost.Add(1) }, func(ctx context.Context, c *client.Conn) error {
			for {
				if err := g.round(ctx, tele, c, data, want, part); err != nil {
					return err
				}
				if g.rounds.Add(1) == 1 {
					close(ready)
				}
				select {
				case <-end:
					return nil
				default:
				}
			}
		})
	}()
	select {
	case <-ready:
	case err := <-g.result:
		t.Fatalf("a client that should stay: %v", err)
	}
	return g
}

func (g *guest) round(ctx context.Context, tele *cluster, c *client.Conn, data []byte, want [sha256.Size]byte, part int) error {
	for range 20 {
		if err := echo(ctx, c, 1000); err != nil {
			return err
		}
	}
	file := time.Now().UnixNano()
	defer tele.servers[2].Forget(file)
	if err := client.Upload(ctx, c.Client, file, data, part, nil); err != nil {
		return err
	}
	got, err := client.Download(ctx, c.Client, file, len(data), part, nil)
	if err == nil && got != want {
		err = errors.New("another file came back")
	}
	return err
}

// leave lets the round end and fails the test if anything ever went wrong.
func (g *guest) leave(t *testing.T, who string) {
	t.Helper()
	g.stop()
	if err := <-g.result; err != nil {
		t.Errorf("%s: %v", who, err)
	}
	if n := g.lost.Load(); n > 0 {
		t.Errorf("%s lost the connection %d times", who, n)
	}
}

// attempt is one of many visits with the same secret.
type attempt struct {
	begin, end time.Time
	verdict    verdict
}

// knockOn visits over and over, from an address of its own, until some time after the end of an overlap, and until a
// good number was refused.
func knockOn(t *testing.T, n *node, secret []byte, from string, site *tape, ends time.Time) []attempt {
	t.Helper()
	var all []attempt
	refused := 0
	for time.Since(ends) < 2*time.Second || refused < 20 {
		if time.Since(ends) > patience {
			t.Errorf("%d of %d visits were refused %v after the end", refused, len(all), patience)
			break
		}
		a := attempt{begin: time.Now()}
		var err error
		if a.verdict, err = visit(t.Context(), n.addr, secret, dialFrom(from), site); err != nil {
			t.Errorf("a visit: %v", err)
			return all
		}
		a.end = time.Now()
		all = append(all, a)
		if !a.verdict.taken() {
			refused++
		}
		time.Sleep(10 * time.Millisecond)
	}
	return all
}

// TestRotationWithOverlap rotates a user's secret while a client of the old one is busy. Both secrets open new
// connections for the overlap; then the old one opens none, to the second, and who has it sees the cover site, while
// the busy client goes on.
func TestRotationWithOverlap(t *testing.T) {
	t.Parallel()
	const overlap = 6 * time.Second
	tele, site := telegram(t, 2), someSite(t)
	n := start(t, standard(t, site.Addr().String(), tele))
	for i, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			subnet := 40 + 10*i // the third byte of this client's addresses
			old := n.add(admin.UserBody{Name: "anna-" + kind})
			busy := stay(t, tele, way(t, n.addr, old.ways[kind], dialFrom(fmt.Sprintf("127.0.%d.1", subnet))), partOf(kind))
			fresh := n.rotate(old.name, overlap)
			if fresh.id == old.id || bytes.Equal(fresh.raw, old.raw) {
				t.Fatal("the rotation made no new secret")
			}
			ends := *n.key(old.id).RetireBy
			late, stopped := context.WithCancel(t.Context())
			worst := lag(late)
			from := fmt.Sprintf("127.0.%d.2", subnet)
			served(t, way(t, n.addr, old.ways[kind], dialFrom(from)), 2)
			served(t, way(t, n.addr, fresh.ways[kind], dialFrom(from)), 2)
			if left := time.Until(ends); left < 0 {
				t.Fatalf("the overlap was over %v before the clients were through", -left)
			}
			all := knockOn(t, n, old.ways[kind], fmt.Sprintf("127.0.%d.3", subnet), site, ends)
			stopped()
			punctual(t, all, ends, worst())

			for _, k := range kinds {
				isStranger(t, n.addr, old.ways[k], dialFrom(from), site)
				served(t, way(t, n.addr, fresh.ways[k], dialFrom(from)), 2)
			}
			info := n.key(old.id)
			if info.State != "retired" || info.Sessions != 1 || info.Erased {
				t.Errorf("the old key is %s with %d sessions, erased: %v; want it retired with the one that stays", info.State, info.Sessions, info.Erased)
			}
			if seen := busy.rounds.Load(); n.poll(func() bool { return busy.rounds.Load() > seen+1 }) != nil {
				t.Error("the client that was there before does nothing any more")
			}
			busy.leave(t, "the client that was there before")
			n.await("the erasure of the old key", func() bool { return n.key(old.id).Erased })
		})
	}
}

// punctual holds visits against the end of the overlap: accepted until a second before, refused from a second and a
// half after, which the machine's own lateness may stretch; and never accepted again.
func punctual(t *testing.T, all []attempt, ends time.Time, lag time.Duration) {
	t.Helper()
	var last, first time.Duration // of the last that was accepted, of the first that was not
	taken, refused := 0, 0
	for _, a := range all {
		if a.verdict.taken() {
			taken++
			last = a.begin.Sub(ends)
			if refused > 0 {
				t.Errorf("accepted %v after the end, when it had been refused before", last)
			}
			if last > 1500*time.Millisecond+2*lag {
				t.Errorf("accepted %v after the end", last)
			}
			continue
		}
		if refused++; refused == 1 {
			first = a.end.Sub(ends)
		}
		if before := ends.Sub(a.end); before > time.Second {
			t.Errorf("%s %v before the end", a.verdict, before)
		}
	}
	if taken < 3 || refused < 3 {
		t.Errorf("%d visits were accepted and %d refused: too few to tell", taken, refused)
	}
	t.Logf("of %d visits the last was accepted %v after the end of the overlap, the first refused after %v; the machine is up to %v late", len(all), last.Round(time.Millisecond), first.Round(time.Millisecond), lag.Round(time.Millisecond))
}

// TestKeyTellsWhoIsLeftOnIt counts those who use a secret that retires: how many addresses, when last, and how many of
// them were not seen with the new secret yet. Who used it before the rotation only is not among them.
func TestKeyTellsWhoIsLeftOnIt(t *testing.T) {
	t.Parallel()
	tele, site := telegram(t, 2), someSite(t)
	n := start(t, standard(t, site.Addr().String(), tele))
	old := n.add(admin.UserBody{Name: "bea"})
	from := func(i int) client.Dial { return dialFrom(fmt.Sprintf("127.0.70.%d", i)) }
	ended := func() { // until then the key is in use
		n.await("the end of the visits", func() bool { return n.key(old.id).Sessions == 0 })
	}
	for i := range 4 {
		served(t, way(t, n.addr, old.ways[kinds[i%3]], from(i+1)), 2)
	}
	ended()
	if k := n.key(old.id); k.Addresses != 4 || k.State != "active" {
		t.Errorf("the key is %s and was used from %d addresses, want active and 4", k.State, k.Addresses)
	}
	fresh := n.rotate("bea", time.Hour)
	if k := n.key(old.id); k.Addresses != 0 || k.NotOnNew == nil || *k.NotOnNew != 0 || k.State != "retiring" {
		t.Errorf("right after the rotation: %+v, want it retiring and nobody left on it", k)
	}
	for _, i := range []int{1, 2, 9} {
		served(t, way(t, n.addr, fresh.ways["faketls"], from(i)), 2)
	}
	var before time.Time
	for i := 1; i <= 7; i++ {
		before = time.Now()
		served(t, way(t, n.addr, old.ways[kinds[i%3]], from(i)), 2)
	}
	ended()
	after := time.Now()
	k := n.key(old.id)
	if k.Addresses != 7 || k.MoreThan || k.NotOnNew == nil || *k.NotOnNew != 5 {
		t.Errorf("%+v, want 7 addresses of which 5 are not on the new key", k)
	}
	if k.LastUsed == nil || k.LastUsed.Before(before.Truncate(time.Microsecond)) || k.LastUsed.After(after) {
		t.Errorf("last used at %v, want between %v and %v", k.LastUsed, before, after)
	}
	if u := n.user("bea"); string(u.Key) != fresh.id || u.Retiring != 1 {
		t.Errorf("%+v, want %s active and one retiring", u, fresh.id)
	}
}

// TestChangedSecretInTheFileIsARotation writes another secret for a user into the file. The old one goes on for the
// overlap of the schedule, and so does a client of it.
func TestChangedSecretInTheFileIsARotation(t *testing.T) {
	t.Parallel()
	const overlap = 5 * time.Second
	tele, site := telegram(t, 2), someSite(t)
	before := standard(t, site.Addr().String(), tele)
	n := start(t, before)
	schedule, err := n.api.Schedule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	schedule.Overlap = control.Duration(overlap)
	if _, err := n.api.SetSchedule(t.Context(), schedule, admin.ChangeOptions{}); err != nil {
		t.Fatal(err)
	}
	busy := stay(t, tele, way(t, n.addr, fakeTLSSecret, nil), client.FakeTLSPart)
	old := string(n.user("alice").Key)
	after := before.clone()
	other := []byte("\x11\x92\xc3\x54\x05\xb6\xe7\x28\xd9\x6a\xfb\x3c\x8d\x4e\xaf\x70")
	after.users["alice"] = other
	n.configure(after)
	if err := n.reload(); err != nil {
		t.Fatal(err)
	}
	ends := *n.key(old).RetireBy
	served(t, way(t, n.addr, secureSecret, nil), 2)
	served(t, way(t, n.addr, append([]byte{0xdd}, other...), nil), 2)
	late, stopped := context.WithCancel(t.Context())
	worst := lag(late)
	all := knockOn(t, n, secureSecret, "127.0.71.1", site, ends)
	stopped()
	punctual(t, all, ends, worst())
	isStranger(t, n.addr, fakeTLSSecret, nil, site)
	served(t, way(t, n.addr, append([]byte{0xdd}, other...), nil), 2)
	busy.leave(t, "the client of the old secret")
}

// TestRotationIsRefusedBeyondTwoOldSecrets rotates faster than overlaps end.
func TestRotationIsRefusedBeyondTwoOldSecrets(t *testing.T) {
	t.Parallel()
	n := start(t, standard(t, someSite(t).Addr().String(), telegram(t, 2)))
	oldest := n.add(admin.UserBody{Name: "carl"})
	n.rotate("carl", time.Hour)
	n.rotate("carl", time.Hour)
	hour := control.Duration(time.Hour)
	_, err := n.api.RotateKeys(t.Context(), admin.RotateBody{User: "carl", Overlap: &hour}, admin.ChangeOptions{})
	refusedAs(t, err, control.Refused)
	served(t, way(t, n.addr, oldest.ways["secure"], nil), 2)
	_, err = n.api.RotateKeys(t.Context(), admin.RotateBody{User: "carl", Overlap: &hour}, admin.ChangeOptions{Force: true})
	if err != nil {
		t.Fatalf("by force: %v", err)
	}
	if k := n.key(oldest.id); k.State != "retired" {
		t.Errorf("the oldest secret is %s, want retired", k.State)
	}
}

// TestRotationThatIsRepeatedIsOne sends the same rotation twice, as a script does that lost the answer.
func TestRotationThatIsRepeatedIsOne(t *testing.T) {
	t.Parallel()
	n := start(t, standard(t, someSite(t).Addr().String(), telegram(t, 2)))
	n.add(admin.UserBody{Name: "dora"})
	hour := control.Duration(time.Hour)
	for i := range 3 {
		r, err := n.api.RotateKeys(t.Context(), admin.RotateBody{User: "dora", Overlap: &hour}, admin.ChangeOptions{IdempotencyKey: "once"})
		if err != nil {
			t.Fatal(err)
		}
		if r.Repeated != (i > 0) || len(r.Links) > 0 != (i == 0) {
			t.Errorf("answer %d: repeated %v, %d links", i, r.Repeated, len(r.Links))
		}
	}
	if u := n.user("dora"); u.Generation != 2 {
		t.Errorf("the user is at generation %d, want 2", u.Generation)
	}
}
