package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/usage"
)

// Several rotations of what the store is sealed under, at once and with others
// that seal: each key set is stored before anything is sealed under it, and the
// vault follows before the next one begins.
func TestRotationsOfTheStoresKeysDoNotMeet(t *testing.T) {
	b := newBench(t)
	want := map[string]keys.ID{"nadia": b.add("nadia").ID()}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 5 {
				var c Change = RotateStoreKey{}
				if i == 3 {
					c = RotateMasterKey{}
				}
				if _, err := b.Apply(context.Background(), operator, c, Options{}); err != nil {
					t.Errorf("%T: %v", c, err)
				}
			}
		})
	}
	all.Go(func() {
		for i := range 10 {
			name := fmt.Sprint("user-", i)
			if _, err := b.Apply(context.Background(), operator, AddUser{Name: name, Level: access.Standard}, Options{}); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	b.secretsHold(want)
	b.restart()
	b.secretsHold(want)
}

// A rotation that is due for somebody who still has two old secrets waits, and
// keeps nobody else's from what is due for them.
func TestOneUserDoesNotHoldUpTheOthers(t *testing.T) {
	b := newBench(t)
	long := Duration(80 * day)
	b.add("alice")
	other := b.add("bob")
	b.apply(RotateKeys{User: "alice", Overlap: &long}, Options{})
	b.apply(RotateKeys{User: "alice", Overlap: &long}, Options{})
	short := Duration(2 * time.Hour)
	b.apply(RotateKeys{User: "bob", Overlap: &short}, Options{})
	b.apply(SetSchedule{Schedule{Every: Duration(day), Overlap: Duration(day), Announce: 0, Tripwire: Duration(day)}}, Options{})
	rows, _ := b.Status(context.Background())
	b.pass(25 * time.Hour)
	for range 20 {
		b.pass(time.Second)
	}
	if other.State() != keys.Retired {
		t.Errorf("bob's old key is %v, and its overlap is long over", other.State())
	}
	after, _ := b.Status(context.Background())
	if grown := after.AuditRows - rows.AuditRows; grown > 5 {
		t.Errorf("waiting made %d audit rows", grown)
	}
}

func TestASecretThatChangesOftenInTheFileIsNoReasonNotToStart(t *testing.T) {
	b := newBench(t)
	first := secretOf(t, "")
	list := []keys.Secret{first, secretOf(t, ""), secretOf(t, ""), secretOf(t, ""), secretOf(t, "")}
	for _, s := range list {
		b.mustLoad(Declared{"fam", s})
		b.pass(time.Hour)
	}
	b.restart()
	if b.active("fam").ID() != list[4].ID() {
		t.Error("the newest secret of the file is not active")
	}
	// One that still works may come back: somebody undid an edit.
	b.mustLoad(Declared{"fam", list[3]})
	if k := b.active("fam"); k.ID() != list[3].ID() {
		t.Errorf("active is %v", k)
	}
	if u := b.user("fam"); u.Retiring != 2 {
		t.Errorf("%d retire", u.Retiring)
	}
	if err := b.load(Declared{"fam", first}); err == nil {
		t.Error("a secret that retired long ago is taken as a new one")
	}
}

func TestACompilationThatFailedIsMadeUpFor(t *testing.T) {
	b := newBench(t)
	key := b.add("nadia")
	gone, cancel := context.WithCancel(context.Background())
	b.Plane.mu.Lock() // the change commits, and then its maker goes away
	done := make(chan error)
	go func() {
		_, err := b.Apply(gone, operator, RevokeKey{ID: key.ID()}, Options{Reason: "leaked"})
		done <- err
	}()
	for b.store.Revision() == b.compiled {
		time.Sleep(time.Millisecond)
	}
	cancel()
	b.Plane.mu.Unlock()
	if err := <-done; err == nil {
		t.Skip("the compilation was faster than the cancellation")
	}
	b.tick(context.Background())
	if key.State() != keys.Revoked {
		t.Errorf("a revocation that was committed is not in force: %v", key.State())
	}
}

func TestTheOverlapOfALaterRotationIsTheOneThatWasSaid(t *testing.T) {
	b := newBench(t)
	old := b.add("nadia")
	none := Duration(0)
	b.apply(RotateKeys{User: "nadia", At: b.clock().Add(time.Hour), Overlap: &none}, Options{})
	b.pass(time.Hour)
	if old.State() != keys.Retired {
		t.Errorf("without an overlap the old key is %v", old.State())
	}
	long := Duration(30 * day)
	second := b.active("nadia")
	b.apply(RotateKeys{All: true, At: b.clock().Add(time.Hour), Overlap: &long}, Options{})
	b.pass(time.Hour)
	if k := b.key(second.ID()); k.RetireBy == nil || !k.RetireBy.Equal(b.clock().Add(30*day)) {
		t.Errorf("retires by %v", k.RetireBy)
	}
}

func TestNobodyExpiresByAClockThatJumped(t *testing.T) {
	b := newBench(t)
	b.apply(AddUser{Name: "both", Level: access.Standard, Expires: b.clock().Add(day), Quota: Quota{1 << 20, "day"}}, Options{})
	b.apply(AddUser{Name: "plain", Level: access.Standard, Expires: b.clock().Add(day)}, Options{})
	b.tick(context.Background())
	b.mu.Lock()
	b.now = b.now.Add(60 * day)
	b.mu.Unlock()
	b.tick(context.Background())
	if s, _ := b.Status(context.Background()); s.ClockHeld == "" {
		t.Fatal("the jump was not noticed")
	}
	note := "x"
	b.apply(SetUser{Name: "plain", Note: &note}, Options{})
	b.tick(context.Background())
	for _, name := range []string{"both", "plain"} {
		if got := b.active(name).Account().Standing(); got != usage.Allowed {
			t.Errorf("user %s is %v", name, got)
		}
	}
}

func TestAQuotaDoesNotCountWhatWasBeforeIt(t *testing.T) {
	b := newBench(t)
	account := b.add("nadia").Account()
	account.Add(1<<30, 1<<30)
	b.pass(flushEvery)
	b.pass(2 * day)
	b.apply(SetUser{Name: "nadia", Quota: &Quota{1 << 20, "day"}}, Options{})
	if got := account.Standing(); got != usage.Allowed {
		t.Errorf("with a new quota: %v", got)
	}
	b.pass(time.Second)
	if got := account.Standing(); got != usage.Allowed {
		t.Errorf("when the usage of the day is known: %v", got)
	}
	b.apply(SetUser{Name: "nadia", Quota: &Quota{}}, Options{})
	account.Add(1<<30, 0)
	b.apply(SetUser{Name: "nadia", Quota: &Quota{1 << 20, "month"}}, Options{})
	b.pass(flushEvery)
	b.pass(time.Second)
	if got := account.Standing(); got != usage.OverQuota {
		t.Errorf("two gibibytes in this month: %v", got)
	}
}

func TestAUserWhoseNameIsNotServedAnyMoreCanBeDisabled(t *testing.T) {
	b := newBench(t)
	b.apply(AddUser{Name: "nadia", Level: access.Standard, Domain: "www.example.com"}, Options{})
	if _, err := b.Load(context.Background(), File{Base: policy.Snapshot{ServerNames: map[string]struct{}{"www.example.org": {}}}}); err != nil {
		t.Fatal(err)
	}
	yes := true
	b.apply(SetUser{Name: "nadia", Disabled: &yes}, Options{})
}

func TestARotationByWhoSawAnOlderKeyIsStale(t *testing.T) {
	b := newBench(t)
	b.add("nadia")
	seen := b.user("nadia").Revision
	b.apply(RotateKeys{User: "nadia"}, Options{IfRevision: seen})
	b.refuses(Stale, RotateKeys{User: "nadia"}, Options{IfRevision: seen})
}

func TestUsageOfOldDaysIsPutTogether(t *testing.T) {
	b := newBench(t)
	account := b.add("nadia").Account()
	for range 5 {
		account.Add(100, 0)
		b.pass(30 * day)
	}
	if err := b.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if u := b.user("nadia"); u.Up != 500 {
		t.Errorf("%d bytes in all", u.Up)
	}
}

// An error that is none of ours must not be taken for a refusal of the change.
func TestErrorsOfTheStoreAreNoRefusals(t *testing.T) {
	b := newBench(t)
	b.Plane.store.Close()
	_, err := b.Apply(context.Background(), operator, AddUser{Name: "x", Level: access.Standard}, Options{})
	if _, ok := errors.AsType[*Error](err); err == nil || ok {
		t.Errorf("a closed store: %v", err)
	}
	b.open()
}
