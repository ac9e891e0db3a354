package control

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/usage"
)

func TestAUserThatIsAddedIsServedAtOnce(t *testing.T) {
	b := newBench(t)
	r := b.apply(AddUser{Name: "nadia", Level: access.Standard}, Options{})
	key := b.active("nadia")
	if key.ID() != r.User.Key || len(r.Links) != 1 || !strings.Contains(r.Links[0].TG, "dd") {
		t.Errorf("result %+v, key in force %v", r, key)
	}
	if lease, ok := key.Acquire(); !ok {
		t.Error("the key is not accepted")
	} else {
		lease.Release()
	}
	b.restart()
	if again := b.active("nadia"); again.ID() != key.ID() || again.Secret().ID() != key.Secret().ID() {
		t.Errorf("after a restart the key is %v, before it was %v", again, key)
	}
}

func TestARotationServesBothSecretsForTheOverlapAndThenTheNewOne(t *testing.T) {
	b := newBench(t)
	old := b.add("nadia")
	overlap := Duration(2 * day)
	b.apply(RotateKeys{User: "nadia", Overlap: &overlap}, Options{})
	fresh := b.active("nadia")
	if fresh == old || old.State() != keys.Retiring || fresh.State() != keys.Active {
		t.Fatalf("old %v is %v, new %v is %v", old, old.State(), fresh, fresh.State())
	}
	for _, k := range []*keys.Key{old, fresh} {
		if lease, ok := k.Acquire(); !ok {
			t.Errorf("%v is not accepted in the overlap", k)
		} else {
			lease.Release()
		}
	}
	b.pass(2*day - time.Second)
	if _, ok := b.live.Load().Keys.ByID(old.ID()); !ok {
		t.Error("the old key ended before its time")
	}
	b.pass(time.Second)
	if _, ok := b.live.Load().Keys.ByID(old.ID()); ok || old.State() != keys.Retired {
		t.Errorf("after the overlap the old key is %v and still in force: %v", old.State(), ok)
	}
	b.pass(time.Second)
	if !old.Erased() || !b.key(old.ID()).Erased {
		t.Error("a retired key that nobody holds is not erased")
	}
	err := b.store.View(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Material(old.ID())
		return err
	})
	if !errors.Is(err, store.ErrErased) {
		t.Errorf("the secret of an erased key in the store: %v", err)
	}
	if fresh.State() != keys.Active {
		t.Error("the new key is not active")
	}
}

func TestAUserIsServedWhileEnabledAndOfALevel(t *testing.T) {
	b := newBench(t)
	account := b.add("nadia").Account()
	yes, no, none, standard := true, false, access.None, access.Standard
	for _, step := range []struct {
		change SetUser
		want   usage.Refusal
	}{
		{SetUser{Disabled: &yes}, usage.Disabled}, {SetUser{Disabled: &no}, usage.Allowed},
		{SetUser{Level: &none}, usage.NoAccess}, {SetUser{Level: &standard}, usage.Allowed},
	} {
		step.change.Name = "nadia"
		b.apply(step.change, Options{})
		if got := account.Standing(); got != step.want {
			t.Errorf("%+v: %v, want %v", step.change, got, step.want)
		}
	}
	few := 1
	b.apply(SetUser{Name: "nadia", MaxConnections: &few}, Options{})
	if got := account.Enter(home); got != usage.Allowed {
		t.Fatal(got)
	}
	if got := account.Enter(home); got != usage.TooManyConnections {
		t.Errorf("the second of at most one connection: %v", got)
	}
}

func TestKeyShowSaysWhoIsStillOnTheOldSecret(t *testing.T) {
	b := newBench(t)
	old := b.add("nadia")
	other := home.Next()
	old.Use().See(home, b.clock())
	b.apply(RotateKeys{User: "nadia"}, Options{})
	fresh := b.active("nadia")
	if k := b.key(old.ID()); k.Addresses != 0 {
		t.Errorf("%d addresses use the old key, and none came since it retires", k.Addresses)
	}
	b.pass(time.Minute)
	old.Use().See(home, b.clock())
	old.Use().See(other, b.clock())
	fresh.Use().See(other, b.clock())
	k := b.key(old.ID())
	if k.Addresses != 2 || k.NotOnNew == nil || *k.NotOnNew != 1 || k.LastUsed == nil || !k.LastUsed.Equal(b.clock()) {
		t.Errorf("old key: %d addresses, %v not on the new one, last %v", k.Addresses, k.NotOnNew, k.LastUsed)
	}
	if err := b.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if k := b.key(old.ID()); k.Addresses != 2 || *k.NotOnNew != 1 {
		t.Errorf("after a restart: %d addresses, %v not on the new one", k.Addresses, k.NotOnNew)
	}
}

func TestAnOverlapEndsEarlyWhenTheOldSecretIsUnused(t *testing.T) {
	b := newBench(t)
	old := b.add("nadia")
	b.apply(RotateKeys{User: "nadia"}, Options{})
	b.pass(3 * day)
	if old.State() != keys.Retiring {
		t.Fatalf("nobody has used the new key, and the old one is %v", old.State())
	}
	b.active("nadia").Use().See(home, b.clock())
	lease, _ := old.Acquire()
	b.pass(lookEvery)
	if old.State() != keys.Retiring {
		t.Fatalf("a session holds the old key, and it is %v", old.State())
	}
	lease.Release()
	b.pass(lookEvery)
	if old.State() != keys.Retired {
		t.Errorf("the new key is used, the old one unused for three days, and it is %v", old.State())
	}
}

func TestARevokedKeyIsRefusedOnAnOldSnapshotAndWatched(t *testing.T) {
	b := newBench(t)
	key := b.add("nadia")
	before := b.live.Load()
	b.refuses(Invalid, RevokeKey{ID: key.ID()}, Options{})
	b.apply(RevokeKey{ID: key.ID(), Replace: true}, Options{Reason: "it leaked"})
	if i, ok := before.Keys.ByID(key.ID()); !ok {
		t.Fatal("the old snapshot changed")
	} else if _, ok := before.Keys.At(i).Acquire(); ok {
		t.Error("a revoked key is accepted on an old snapshot")
	}
	set := b.live.Load().Keys
	if i, ok := set.ByID(key.ID()); !ok || i < set.Accepted() {
		t.Error("the revoked key is no tripwire")
	}
	if b.active("nadia").ID() == key.ID() {
		t.Error("there is no replacement")
	}
	key.Trips().See(home, b.clock())
	if k := b.key(key.ID()); k.Tripped != 1 || k.State != "revoked" || k.Reason != "it leaked" || k.Erased {
		t.Errorf("key: %+v", k)
	}
	b.restart()
	if set = b.live.Load().Keys; set.Len() != set.Accepted()+1 {
		t.Error("after a restart the tripwire is gone")
	}
	b.pass(90 * day)
	b.pass(time.Second)
	if k := b.key(key.ID()); !k.Erased {
		t.Error("the tripwire's time is over, and its bytes are there")
	}
}

func TestAReplacementDoesNotWaitForItsTime(t *testing.T) {
	b := newBench(t)
	leaked := b.add("nadia")
	b.apply(RotateKeys{User: "nadia", At: b.clock().Add(day)}, Options{})
	r := b.apply(RevokeKey{ID: leaked.ID(), Replace: true}, Options{Reason: "leaked"})
	if b.active("nadia") == leaked || len(r.Links) != 1 || b.user("nadia").Generation != 2 {
		t.Errorf("active %v, links %d, user %+v", b.active("nadia"), len(r.Links), b.user("nadia"))
	}
}

func TestATemporaryUserIsServedUntilItsExpiry(t *testing.T) {
	b := newBench(t)
	b.apply(AddUser{Name: "guest", Level: access.Standard, Expires: b.clock().Add(time.Hour)}, Options{})
	account := b.active("guest").Account()
	if got := account.Enter(home); got != usage.Allowed {
		t.Fatalf("before the expiry: %v", got)
	}
	b.pass(time.Hour - time.Second)
	if got := account.Standing(); got != usage.Allowed {
		t.Errorf("a second before the expiry: %v", got)
	}
	b.pass(time.Second)
	if got := account.Enter(home); got != usage.Expired {
		t.Errorf("at the expiry: %v", got)
	}
	if u := b.user("guest"); u.State != "expired" {
		t.Errorf("state %s", u.State)
	}
	later := b.clock().Add(day)
	b.apply(SetUser{Name: "guest", Expires: &later}, Options{})
	if got := account.Standing(); got != usage.Allowed {
		t.Errorf("after it was prolonged: %v", got)
	}
}

func TestAQuotaEndsServiceUntilTheNextDay(t *testing.T) {
	b := newBench(t)
	b.apply(AddUser{Name: "nadia", Level: access.Standard, Quota: Quota{Bytes: 1 << 20, Per: "day"}}, Options{})
	account := b.active("nadia").Account()
	account.Add(1<<19, 1<<19-1)
	b.pass(time.Second)
	if got := account.Standing(); got != usage.Allowed {
		t.Fatalf("a byte is left: %v", got)
	}
	account.Add(0, 1)
	b.pass(time.Second)
	if u := b.user("nadia"); u.State != "over_quota" || u.QuotaUsed != 1<<20 {
		t.Errorf("state %s, used %d", u.State, u.QuotaUsed)
	}
	b.pass(flushEvery)
	b.restart()
	account = b.active("nadia").Account()
	if got := account.Standing(); got != usage.OverQuota {
		t.Errorf("after a restart: %v", got)
	}
	b.pass(12 * time.Hour)
	b.pass(time.Second)
	if got := account.Standing(); got != usage.Allowed {
		t.Errorf("on the next day: %v", got)
	}
}

func TestUsageIsCountedOnceWhateverHappens(t *testing.T) {
	b := newBench(t)
	account := b.add("nadia").Account()
	total := int64(0)
	for i := range int64(5) {
		account.Add(100+i, 1000)
		total += 1100 + i
		b.pass(time.Second)
		for range 2 { // the second has nothing to add
			if err := b.flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if i == 2 {
			b.restart()
			account = b.active("nadia").Account()
		}
	}
	if u := b.user("nadia"); u.Up+u.Down != total {
		t.Errorf("counted %d bytes, moved %d", u.Up+u.Down, total)
	}
}

func TestTheScheduleRotatesEverybodyWithinItsTime(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		b.add(name)
	}
	first := make(map[string]keys.ID)
	for _, name := range []string{"a", "b", "c", "d"} {
		first[name] = b.active(name).ID()
	}
	s := Schedule{Every: Duration(30 * day), Overlap: Duration(7 * day), Window: Duration(2 * day), Announce: Duration(3 * day), Tripwire: Duration(day)}
	b.apply(SetSchedule{s}, Options{})
	moments := make(map[time.Time]bool)
	for range 31 * 24 {
		b.pass(time.Hour)
		for name, id := range first {
			u := b.user(name)
			if u.Rotates == nil {
				t.Fatalf("user %s has no date of rotation", name)
			}
			if b.active(name).ID() != id && u.Retiring == 1 && len(moments) < 4 {
				k := b.key(b.active(name).ID())
				moments[*k.Activated] = true
				delete(first, name)
			}
		}
	}
	if len(first) > 0 {
		t.Errorf("not rotated after 31 days: %v", first)
	}
	if len(moments) < 2 {
		t.Errorf("all rotated at the same moment: %v", moments)
	}
}

func TestAnIdempotencyKeyMakesARetryHarmless(t *testing.T) {
	b := newBench(t)
	b.add("nadia")
	o := Options{IdempotencyKey: "4711"}
	first := b.apply(RotateKeys{User: "nadia"}, o)
	again := b.apply(RotateKeys{User: "nadia"}, o)
	if !again.Repeated || again.Summary != first.Summary || len(again.Links) != 0 {
		t.Errorf("the retry gave %+v", again)
	}
	if u := b.user("nadia"); u.Generation != 2 {
		t.Errorf("after a retry the generation is %d", u.Generation)
	}
	b.refuses(Invalid, RotateKeys{User: "nadia", At: b.clock().Add(day)}, o)
	// The key is the person's: a session gets another number when it proves itself anew.
	note := "on a trip"
	for _, c := range []struct {
		by   Actor
		want bool
	}{
		{Actor{Name: "session 1", Level: access.Superuser, Person: "nadia"}, false},
		{Actor{Name: "session 2", Level: access.Superuser, Person: "nadia"}, true},
		{Actor{Name: "session 3", Level: access.Superuser, Person: "omid"}, false},
	} {
		if r, err := b.Apply(t.Context(), c.by, SetUser{Name: "nadia", Note: &note}, Options{IdempotencyKey: "n"}); err != nil || r.Repeated != c.want {
			t.Errorf("%+v: repeated is %v, %v", c.by, r.Repeated, err)
		}
	}
	b.pass(2 * day)
	if r := b.apply(RotateKeys{User: "nadia"}, o); r.Repeated {
		t.Error("an idempotency key lives for ever")
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	b := newBench(t)
	key := b.add("nadia")
	rows, _ := b.Status(context.Background())
	r := b.apply(RevokeKey{ID: key.ID(), Replace: true}, Options{Reason: "what if", DryRun: true})
	after, _ := b.Status(context.Background())
	if !r.DryRun || len(r.Links) != 0 || b.active("nadia") != key || rows.AuditRows != after.AuditRows {
		t.Errorf("result %+v; audit rows %d, then %d", r, rows.AuditRows, after.AuditRows)
	}
}

func TestAStaleRevisionIsRefused(t *testing.T) {
	b := newBench(t)
	b.add("nadia")
	seen := b.user("nadia").Revision
	note := "first"
	b.apply(SetUser{Name: "nadia", Note: &note}, Options{IfRevision: seen})
	other := "second"
	b.refuses(Stale, SetUser{Name: "nadia", Note: &other}, Options{IfRevision: seen})
	if u := b.user("nadia"); u.Note != "first" {
		t.Errorf("note %q", u.Note)
	}
}

func TestEveryChangeNeedsItsLevelAndIsAudited(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	reader := Actor{Name: "uid 1000", Level: access.ReadOnly}
	for _, c := range []Change{AddUser{Name: "x"}, SetUser{}, RemoveUser{}, RotateKeys{}, RevokeKey{}, SetSchedule{}, RevealLinks{}, OpenPage{}, ClosePage{}, RenewPage{}, RotateSealKey{}, RotateStoreKey{}, RotateMasterKey{}} {
		_, err := b.Apply(ctx, reader, c, Options{Reason: "try"})
		if e, ok := err.(*Error); !ok || e.Kind != Denied {
			t.Errorf("%T by a reader: %v", c, err)
			continue
		}
		rows, err := b.AuditTail(ctx, operator, 1, 0)
		if err != nil || len(rows) != 1 || rows[0].Actor != "uid 1000" || rows[0].Outcome != "refused" || rows[0].Action != c.action() {
			t.Errorf("%T by a reader: audit rows %+v, %v", c, rows, err)
		}
	}
	b.add("nadia")
	rows, err := b.AuditTail(ctx, operator, 1, 0)
	if err != nil || rows[0].Action != "user.add" || rows[0].Outcome != "done" || rows[0].Object != "user nadia" {
		t.Errorf("audit row of an addition: %+v, %v", rows, err)
	}
	if report, err := b.AuditVerify(ctx, operator); err != nil || !report.OK {
		t.Errorf("the audit log does not verify: %+v, %v", report, err)
	}
}
