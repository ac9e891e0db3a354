package e2e

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/control/admin"
	"mtguard/control/store"
	"mtguard/control/store/sqlite"
	"mtguard/e2e/client"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/vault"
)

// What a node promises with manyUsers, in the long form of these tests. The short one has a tenth of them, and only
// tells.
const (
	manyUsers     = 10_000
	startsIn      = 2 * time.Second
	rotatesIn     = 30 * time.Second
	publishesIn   = 100 * time.Millisecond
	fewUsers      = manyUsers / 10
	knownSessions = 40 // of users of the crowd; a stranger's search among 10,000 keys is bounded by a budget
)

// crowd is how many users there are.
func crowd() int {
	if long {
		return manyUsers
	}
	return fewUsers
}

// goal fails the long form of a test when something takes longer than was promised.
func goal(t *testing.T, what string, took, most time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, took.Round(100*time.Microsecond))
	if long && !raceDetector && took > most {
		t.Errorf("%s takes %v, want %v at most", what, took, most)
	}
}

// populate puts users into the store of a node that is stopped, as if they had been added over the API, and returns
// their secrets by name.
func populate(t *testing.T, dir string, count int) map[string][]byte {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sealer, err := sealerOf(t.Context(), s, dir)
	if err == nil {
		err = s.SetSealer(t.Context(), sealer)
	}
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{}
	now := time.Now()
	_, err = s.Update(t.Context(), func(tx *store.Tx) error {
		for i := range count {
			raw := make([]byte, 16)
			rand.Read(raw)
			u := store.User{Name: fmt.Sprintf("member-%05d", i), Source: store.FromAdmin, Level: access.Standard, Created: now}
			secrets[u.Name] = raw
			if err := tx.PutUser(&u); err != nil {
				return err
			}
			secret, err := keys.ParseSecret(hex.EncodeToString(raw))
			if err != nil {
				return err
			}
			k := store.Key{Purpose: store.ForUser, UserID: u.ID, Source: store.Generated}
			k.Generation = keys.Generation{ID: secret.ID(), Number: 1, State: keys.Active, Created: now, Activated: now}
			if err := tx.PutKey(&k, []byte(hex.EncodeToString(raw))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

func sealerOf(ctx context.Context, s *store.Store, dir string) (store.Sealer, error) {
	text, err := os.ReadFile(filepath.Join(dir, "master.key"))
	if err != nil {
		return nil, err
	}
	kek, err := vault.ParseKEK(string(text))
	if err != nil {
		return nil, err
	}
	sets := map[vault.Purpose][]byte{}
	err = s.View(ctx, func(tx *store.Tx) error {
		sealed, _, err := tx.Keysets()
		for purpose, b := range sealed {
			sets[vault.Purpose(purpose)] = b
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	v, err := vault.Open(kek, sets)
	if err != nil {
		return nil, err
	}
	return v.Sealer(vault.Columns), nil
}

// startIn starts a node and returns how long it took until it was ready.
func startIn(t *testing.T, s *settings) (*node, time.Duration) {
	t.Helper()
	if _, err := command(); err != nil { // built before the clock runs
		t.Fatal(err)
	}
	began := time.Now()
	n := start(t, s)
	return n, time.Since(began)
}

// times runs f so often and returns how long each took.
func times(count int, f func(i int)) []time.Duration {
	var all []time.Duration
	for i := range count {
		began := time.Now()
		f(i)
		all = append(all, time.Since(began))
	}
	return all
}

// TestManyUsers starts a node with all its users, changes some and then rotates all of them, while clients are
// connected and others come.
func TestManyUsers(t *testing.T) {
	count := crowd()
	tele, site := telegram(t, 2), someSite(t)
	s := standard(t, site.Addr().String(), tele)
	s.values["log.level"] = "warn"
	n := start(t, s)
	n.stop()
	secrets := populate(t, n.dir, count)

	n, took := startIn(t, s)
	goal(t, fmt.Sprintf("a start with %d users", count), took, startsIn)
	before := n.rested()
	busy := stay(t, tele, way(t, n.addr, fakeTLSSecret, nil), client.FakeTLSPart)
	var sessions []*session
	for i := range knownSessions {
		name := fmt.Sprintf("member-%05d", i*count/knownSessions)
		sessions = append(sessions, enterInTime(t, n, append([]byte{0xdd}, secrets[name]...), fmt.Sprintf("127.0.%d.1", 100+i)))
	}
	stop := make(chan struct{})
	var visits sync.WaitGroup
	var slowest time.Duration
	came := 0
	visits.Go(func() { // the same person's app, connecting anew
		for {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			v, err := visit(context.WithoutCancel(t.Context()), n.addr, fakeTLSSecret, nil, site)
			if err != nil || v != welcome {
				t.Errorf("a visit meanwhile: %s, %v", v, err)
			}
			slowest = max(slowest, time.Since(began))
			came++
			time.Sleep(5 * time.Millisecond)
		}
	})

	adds := times(20, func(i int) { n.add(admin.UserBody{Name: fmt.Sprintf("late-%d", i)}) })
	goal(t, fmt.Sprintf("adding a user to %d, median of %d", count, len(adds)), percentile(adds, 0.5), publishesIn)
	t.Logf("the slowest of them: %v", adds[len(adds)-1])
	one := 1
	sets := times(20, func(i int) { n.set(fmt.Sprintf("late-%d", i), admin.UserPatch{MaxAddresses: &one}) })
	goal(t, "changing one", percentile(sets, 0.5), publishesIn)
	info := n.user("late-0")
	goal(t, "revoking a key", times(1, func(int) { n.revoke(string(info.Key)) })[0], publishesIn)
	week := control.Duration(7 * 24 * time.Hour)
	var r control.Result
	var err error
	patient := admin.NewClient(filepath.Join(n.dir, "admin.sock"), 5*time.Minute)
	defer patient.Close()
	all := times(1, func(int) {
		r, err = patient.RotateKeys(t.Context(), admin.RotateBody{All: true, Overlap: &week}, admin.ChangeOptions{Reason: "test"})
	})
	if err != nil || r.Affected < count {
		t.Fatalf("rotating all: %+v, %v", r, err)
	}
	goal(t, fmt.Sprintf("rotating the keys of %d users", r.Affected), all[0], rotatesIn)
	close(stop)
	visits.Wait()
	t.Logf("%d visits meanwhile, the slowest took %v", came, slowest.Round(time.Millisecond))
	adds = times(20, func(i int) { n.add(admin.UserBody{Name: fmt.Sprintf("later-%d", i)}) })
	goal(t, "adding a user with two keys each", percentile(adds, 0.5), publishesIn)
	for i, x := range sessions {
		x.goesOn(t, fmt.Sprintf("session %d, through the rotation", i))
		x.Close()
	}
	busy.leave(t, "the client that stayed")
	after := n.rested()
	t.Logf("with %d users %.1f MiB are resident; after the rotation, with two keys each, %.1f MiB", count, mib(before.resident), mib(after.resident))

	ending := times(1, func(int) { n.stop() })
	t.Logf("it stops in %v", ending[0].Round(time.Millisecond))
	n, took = startIn(t, s)
	goal(t, fmt.Sprintf("a start with %d users and two keys each", count), took, startsIn)
	n.rested()
	name := "member-00000"
	old := enterInTime(t, n, append([]byte{0xdd}, secrets[name]...), "127.0.99.1")
	old.goesOn(t, "a start")
	if u := n.user(name); u.Generation != 2 || u.Retiring != 1 {
		t.Errorf("%+v, want two keys", u)
	}
	listing := times(1, func(int) {
		if _, _, err := n.api.Users(t.Context(), control.UserFilter{Limit: 1000}); err != nil {
			t.Error(err)
		}
	})
	t.Logf("a list of a thousand users takes %v", listing[0].Round(time.Millisecond))
}

// rested takes the footprint of a node that has had time to give garbage back, which it does in quiet moments.
func (n *node) rested() footprint {
	n.t.Helper()
	least := measure(n)
	busiest := least.resident
	for began := time.Now(); long && time.Since(began) < 7*time.Second; time.Sleep(100 * time.Millisecond) {
		now := measure(n)
		busiest = max(busiest, now.resident)
		if now.resident < least.resident {
			least = now
		}
	}
	n.t.Logf("resident memory is %.1f MiB at first and %.1f MiB at rest", mib(busiest), mib(least.resident))
	return least
}

// enterInTime lets a client in whose key has to be searched for among many: as often as the budget for such searches
// makes it come again.
func enterInTime(t *testing.T, n *node, secret []byte, from string) *session {
	t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		if v, err := visitSilent(t.Context(), n.addr, secret, dialFrom(from)); err != nil {
			t.Fatal(err)
		} else if v == silence {
			return enter(t, n, secret, from) // who comes from there is known by now
		}
	}
	t.Fatalf("nobody is let in from %s", from)
	return nil
}

// TestManyUsersInTheFile declares the users in the configuration instead.
func TestManyUsersInTheFile(t *testing.T) {
	count := crowd()
	s := standard(t, someSite(t).Addr().String(), telegram(t, 2))
	s.values["log.level"] = "warn"
	for i := range count - 1 {
		raw := make([]byte, 16)
		rand.Read(raw)
		s.users[fmt.Sprintf("member-%05d", i)] = raw
	}
	n, took := startIn(t, s)
	t.Logf("the first start, which takes %d users over from the file: %v", count, took.Round(time.Millisecond))
	n.stop()
	n, took = startIn(t, s)
	goal(t, "a start with them", took, startsIn)
	reload := times(1, func(int) {
		if err := n.reload(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("a reload without a change: %v", reload[0].Round(time.Millisecond))
	other := s.clone()
	for i := range count / 10 {
		raw := make([]byte, 16)
		rand.Read(raw)
		other.users[fmt.Sprintf("member-%05d", i)] = raw
	}
	n.configure(other)
	reload = times(1, func(int) {
		if err := n.reload(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("a reload with %d secrets changed: %v", count/10, reload[0].Round(time.Millisecond))
	if v, err := visitSilent(t.Context(), n.addr, secureSecret, nil); err != nil || v != silence {
		t.Errorf("afterwards: %s, %v", v, err)
	}
}
