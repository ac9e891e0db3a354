package control

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"mtguard/security/keys"
	"mtguard/security/policy"
)

func secretOf(t testing.TB, domain string) keys.Secret {
	t.Helper()
	s, err := keys.NewSecret(randomBytes{}, domain)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// load declares users as a reload of the file does.
func (b *bench) load(users ...Declared) error {
	b.t.Helper()
	_, err := b.Load(context.Background(), File{Base: b.baseOf(), Users: users})
	return err
}

func (b *bench) baseOf() policy.Snapshot {
	b.Plane.mu.Lock()
	defer b.Plane.mu.Unlock()
	return b.base
}

func (b *bench) mustLoad(users ...Declared) {
	b.t.Helper()
	b.declared = users
	if err := b.load(users...); err != nil {
		b.t.Fatal(err)
	}
}

func TestWithoutDeclaredUsersThereIsADefaultOne(t *testing.T) {
	b := newBench(t)
	key := b.active(DefaultUser)
	b.mustLoad()
	if b.active(DefaultUser) != key {
		t.Error("a reload made another default user")
	}
	b.apply(RemoveUser{Name: DefaultUser}, Options{Reason: "not wanted"})
	b.mustLoad()
	if b.live.Load().Keys.Len() != 0 {
		t.Error("a default user that was removed is back")
	}
}

func TestDeclaredUsersStayInStepWithTheFile(t *testing.T) {
	b := newBench(t)
	alice, bob := secretOf(t, ""), secretOf(t, "www.example.com")
	b.mustLoad(Declared{"alice", alice}, Declared{"bob", bob})
	if b.live.Load().Keys.ByUser(DefaultUser) != nil {
		t.Error("users are declared, and the default one is still served")
	}
	old := b.active("alice")
	if old.ID() != alice.ID() || b.active("bob").Domain() != "www.example.com" {
		t.Errorf("alice has %v, bob's name is %q", old, b.active("bob").Domain())
	}
	rows, _ := b.Status(context.Background())
	b.mustLoad(Declared{"alice", alice}, Declared{"bob", bob})
	if after, _ := b.Status(context.Background()); after.AuditRows != rows.AuditRows {
		t.Error("a reload without a change made an audit row")
	}

	next := secretOf(t, "")
	b.mustLoad(Declared{"alice", next}, Declared{"bob", bob})
	if b.active("alice").ID() != next.ID() || old.State() != keys.Retiring {
		t.Errorf("a new secret in the file: active %v, the old one is %v", b.active("alice"), old.State())
	}
	b.refuses(Refused, RotateKeys{User: "alice"}, Options{})
	b.refuses(Refused, RemoveUser{Name: "alice"}, Options{Reason: "x"})

	b.mustLoad(Declared{"bob", bob})
	if old.State() != keys.Revoked || !old.Erased() {
		t.Errorf("alice is gone from the file, and her key is %v, erased: %v", old.State(), old.Erased())
	}
	b.mustLoad(Declared{"alice", next}, Declared{"bob", bob})
	if k := b.active("alice"); k.ID() != next.ID() {
		t.Error("alice was declared again, and is not served")
	}
}

func TestAFileThatContradictsTheStoreIsRefusedWhole(t *testing.T) {
	b := newBench(t)
	mine := b.add("nadia")
	other := secretOf(t, "")
	for name, users := range map[string][]Declared{
		"the name of a user made by a command": {{"x", other}, {"nadia", secretOf(t, "")}},
		"the secret of another user":           {{"x", other}, {"y", mine.Secret()}},
	} {
		err := b.load(users...)
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Exists || e.Fix == "" {
			t.Errorf("%s: %v", name, err)
		}
		if set := b.live.Load().Keys; set.Len() != 2 || set.ByUser("x") != nil {
			t.Errorf("%s: part of the file is in force", name)
		}
	}
}

func TestARevokedSecretInTheFileStaysRevoked(t *testing.T) {
	b := newBench(t)
	leaked := secretOf(t, "")
	b.mustLoad(Declared{"alice", leaked})
	b.refuses(Refused, RevokeKey{ID: leaked.ID(), Replace: true}, Options{Reason: "leaked"})
	b.apply(RevokeKey{ID: leaked.ID()}, Options{Reason: "leaked"})
	b.mustLoad(Declared{"alice", leaked})
	if b.live.Load().Keys.ByUser("alice") != nil {
		t.Fatal("a reload brought a revoked secret back")
	}
	b.mustLoad(Declared{"alice", secretOf(t, "")})
	b.active("alice")
	if err := b.load(Declared{"alice", leaked}); err == nil {
		t.Error("a revoked secret can be declared as a new one")
	}
}

func TestImportedSecretsThatAreWeakOrTakenAreRefused(t *testing.T) {
	b := newBench(t)
	taken := b.add("nadia").Secret()
	weak, err := keys.ParseSecret("00000000000000000000000000000001")
	if err != nil {
		t.Fatal(err)
	}
	b.refuses(Invalid, AddUser{Name: "x", Import: weak}, Options{})
	b.refuses(Exists, AddUser{Name: "x", Import: taken}, Options{})
	good := secretOf(t, "")
	b.apply(AddUser{Name: "x", Level: 2, Import: good}, Options{})
	if b.active("x").ID() != good.ID() {
		t.Error("the imported secret is not the active one")
	}
	b.apply(RotateKeys{User: "x"}, Options{})
	b.refuses(Exists, AddUser{Name: "y", Import: good}, Options{})
}

func TestBadPropertiesOfUsersAreRefusedByName(t *testing.T) {
	b := newBench(t)
	tests := []struct {
		field string
		user  AddUser
	}{
		{"name", AddUser{Name: "no space"}}, {"name", AddUser{Name: ""}}, {"name", AddUser{Name: string(bytes.Repeat([]byte("a"), 65))}},
		{"level", AddUser{Name: "x", Level: 9}}, {"expires", AddUser{Name: "x", Expires: b.clock()}},
		{"expires", AddUser{Name: "x", Expires: b.clock().Add(-time.Hour)}}, {"expires", AddUser{Name: "x", Expires: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"quota", AddUser{Name: "x", Quota: Quota{Bytes: 5, Per: "day"}}}, {"quota", AddUser{Name: "x", Quota: Quota{Bytes: 1 << 20, Per: "week"}}},
		{"quota", AddUser{Name: "x", Quota: Quota{Per: "day"}}}, {"quota", AddUser{Name: "x", Quota: Quota{Bytes: -1 << 20, Per: "day"}}},
		{"max_connections", AddUser{Name: "x", MaxConnections: -1}}, {"max_addresses", AddUser{Name: "x", MaxAddresses: 1 << 30}},
		{"domain", AddUser{Name: "x", Domain: "nobody.example"}}, {"domain", AddUser{Name: "x", Domain: "Not A Name"}},
		{"note", AddUser{Name: "x", Note: "two\nlines"}},
	}
	for _, test := range tests {
		if e := b.refuses(Invalid, test.user, Options{}); e.Field != test.field {
			t.Errorf("%+v: field %q, want %q", test.user, e.Field, test.field)
		}
	}
	if got := b.live.Load().Keys.Len(); got != 1 {
		t.Errorf("%d keys are in force", got)
	}
}

func TestAThirdRotationInTheOverlapNeedsForce(t *testing.T) {
	b := newBench(t)
	first := b.add("nadia")
	b.apply(RotateKeys{User: "nadia"}, Options{})
	b.apply(RotateKeys{User: "nadia"}, Options{})
	e := b.refuses(Refused, RotateKeys{User: "nadia"}, Options{})
	if first.State() != keys.Retiring || e.Fix == "" {
		t.Errorf("the oldest is %v; fix %q", first.State(), e.Fix)
	}
	b.apply(RotateKeys{User: "nadia"}, Options{Force: true})
	if first.State() != keys.Retired || b.user("nadia").Retiring != 2 {
		t.Errorf("with force the oldest is %v, and %d retire", first.State(), b.user("nadia").Retiring)
	}
}

func TestARotationCanBeSetForLater(t *testing.T) {
	b := newBench(t)
	old := b.add("nadia")
	at := b.clock().Add(day)
	r := b.apply(RotateKeys{User: "nadia", At: at}, Options{})
	if len(r.Links) != 0 || b.active("nadia") != old {
		t.Errorf("before its time: links %d, active %v", len(r.Links), b.active("nadia"))
	}
	b.refuses(Refused, RotateKeys{User: "nadia"}, Options{})
	b.pass(day)
	if b.active("nadia") == old || old.State() != keys.Retiring {
		t.Errorf("at its time the old key is %v", old.State())
	}
}

func TestRotatingAllLeavesTheDeclaredAndThoseUnderWay(t *testing.T) {
	b := newBench(t)
	file := secretOf(t, "")
	b.mustLoad(Declared{"file", file})
	for _, name := range []string{"a", "b", "c"} {
		b.add(name)
	}
	b.apply(RotateKeys{User: "a", At: b.clock().Add(day)}, Options{})
	r := b.apply(RotateKeys{All: true, Window: Duration(time.Hour)}, Options{})
	if r.Affected != 2 || b.active("file").ID() != file.ID() {
		t.Errorf("affected %d: %s", r.Affected, r.Summary)
	}
	b.pass(time.Hour)
	for _, name := range []string{"b", "c"} {
		if u := b.user(name); u.Generation != 2 || u.Retiring != 1 {
			t.Errorf("user %s after the window: %+v", name, u)
		}
	}
}
