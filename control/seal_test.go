package control

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mtguard/control/backup"
	"mtguard/control/store"
	"mtguard/security/access"
	"mtguard/security/aead"
	"mtguard/security/keys"
	"mtguard/security/vault"
)

type randomBytes struct{}

func (randomBytes) Read(b []byte) (int, error) { return rand.Read(b) }

func TestWhatWasSealedOpensUntilItsKeyIsRevoked(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	sealed, err := b.Seal(ctx, operator, SealRequest{Plaintext: []byte("attack at dawn"), Context: []byte("note")})
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := b.Keys(ctx, KeyFilter{Purpose: store.ForSeal})
	if err != nil || len(list) != 1 || list[0].State != "active" {
		t.Fatalf("keys for sealing: %+v, %v", list, err)
	}
	b.apply(RotateSealKey{}, Options{})
	for _, suite := range []string{"aes-256-gcm", "aes-128-gcm", "chacha20-poly1305", "xchacha20-poly1305"} {
		blob, err := b.Seal(ctx, operator, SealRequest{Suite: suite, Plaintext: []byte(suite)})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.Open(ctx, operator, OpenRequest{Sealed: blob}); err != nil || string(got) != suite {
			t.Errorf("%s: %q, %v", suite, got, err)
		}
	}
	if got, err := b.Open(ctx, operator, OpenRequest{sealed, []byte("note")}); err != nil || string(got) != "attack at dawn" {
		t.Errorf("after a rotation: %q, %v", got, err)
	}
	b.restart()
	for name, r := range map[string]OpenRequest{
		"another context": {sealed, []byte("other")}, "no context": {sealed, nil}, "cut": {sealed[:len(sealed)-1], []byte("note")},
		"empty": {nil, nil}, "foreign": {[]byte(strings.Repeat("x", 100)), nil},
	} {
		_, err := b.Open(ctx, operator, r)
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.apply(RevokeKey{ID: list[0].ID}, Options{Reason: "somebody saw it"})
	if _, err := b.Open(ctx, operator, OpenRequest{sealed, []byte("note")}); err == nil {
		t.Error("what a revoked key sealed still opens")
	}
	if k := b.key(list[0].ID); k.State != "revoked" || !k.Erased {
		t.Errorf("revoked key: %+v", k)
	}
	if _, err := b.Seal(ctx, Actor{Name: "x", Level: access.ReadOnly}, SealRequest{}); err == nil {
		t.Error("a reader may seal")
	}
}

// TestThePolicyChoosesTheSuite: the first is used when nobody names one, and no other than those that it lists; what was
// sealed with another before still opens.
func TestThePolicyChoosesTheSuite(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	used := func() string {
		t.Helper()
		rows, err := b.AuditTail(ctx, operator, 1, 0)
		if err != nil || rows[0].Action != "seal" {
			t.Fatalf("%+v, %v", rows, err)
		}
		return rows[0].Details["suite"]
	}
	sealed := make(map[string][]byte)
	seal := func(suite string) {
		t.Helper()
		blob, err := b.Seal(ctx, operator, SealRequest{Suite: suite, Plaintext: []byte("note")})
		if err != nil {
			t.Fatalf("%s: %v", suite, err)
		}
		sealed[used()] = blob
	}
	seal("")
	seal("chacha20-poly1305")
	b.apply(SetPolicy{Document: "schema = 1\n[encryption]\nsuites = [\"aes-256-gcm\", \"aes-128-gcm\"]\n"}, Options{Reason: "these alone"})
	seal("")
	seal("aes-128-gcm")
	for _, suite := range []string{"xchacha20-poly1305", "chacha20-poly1305", "aes-256-gcm", "aes-128-gcm"} {
		if got, err := b.Open(ctx, operator, OpenRequest{Sealed: sealed[suite]}); err != nil || string(got) != "note" {
			t.Errorf("%s was not used, or does not open: %q, %v", suite, got, err)
		}
	}
	for suite, kind := range map[string]Kind{"chacha20-poly1305": Refused, "rot13": Invalid} {
		_, err := b.Seal(ctx, operator, SealRequest{Suite: suite})
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != kind {
			t.Errorf("%s: %v", suite, err)
		}
	}
}

// TestAKeyIsMadeForASuite: it is used when nobody names another, while the policy has it.
func TestAKeyIsMadeForASuite(t *testing.T) {
	b := newBench(t)
	seals := func(r SealRequest) string {
		t.Helper()
		r.Plaintext = []byte("note")
		if _, err := b.Seal(t.Context(), operator, r); err != nil {
			t.Fatal(err)
		}
		rows, err := b.AuditTail(t.Context(), operator, 1, 0)
		if err != nil || rows[0].Action != "seal" {
			t.Fatalf("%+v, %v", rows, err)
		}
		return rows[0].Details["suite"]
	}
	expect := func(when, want string, r SealRequest) {
		t.Helper()
		if got := seals(r); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	expect("the first key", "xchacha20-poly1305", SealRequest{})
	made := b.apply(RotateSealKey{Suite: aead.AES128GCM}, Options{})
	if !strings.Contains(made.Summary, " seals with aes-128-gcm from now on") {
		t.Errorf("summary %q", made.Summary)
	}
	expect("a key for a suite", "aes-128-gcm", SealRequest{})
	expect("another one that is named", "aes-256-gcm", SealRequest{Suite: "aes-256-gcm"})
	list, _, err := b.Keys(t.Context(), KeyFilter{Purpose: store.ForSeal})
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, k := range list {
		if want := map[string]string{"active": "aes-128-gcm"}[k.State]; k.Suite != want {
			t.Errorf("key %s, %s, has the suite %q, want %q", k.ID, k.State, k.Suite, want)
		}
		if k.State != "active" {
			expect("the key before, by its ID", "xchacha20-poly1305", SealRequest{Key: string(k.ID)})
		}
	}
	b.apply(SetPolicy{Document: "schema = 1\n[encryption]\nsuites = [\"aes-256-gcm\"]\n"}, Options{Reason: "this alone"})
	expect("a suite that the policy leaves out", "aes-256-gcm", SealRequest{})
	b.refuses(Refused, RotateSealKey{Suite: aead.AES128GCM}, Options{})
	b.apply(RotateSealKey{}, Options{})
	b.apply(SetPolicy{Document: "schema = 1\n[encryption]\nsuites = [\"chacha20-poly1305\"]\n"}, Options{Reason: "another"})
	expect("a key for none", "chacha20-poly1305", SealRequest{})
}

// secretsHold expects that everything sealed can be read.
func (b *bench) secretsHold(want map[string]keys.ID) {
	b.t.Helper()
	for name, id := range want {
		if k := b.active(name); k.ID() != id || k.Secret().ID() != id {
			b.t.Errorf("user %s has the key %v, want %s", name, k, id)
		}
	}
	if report, err := b.AuditVerify(context.Background(), operator); err != nil || !report.OK {
		b.t.Errorf("audit log: %+v, %v", report, err)
	}
}

func TestTheStoresKeyRotatesAndACrashAtAnyStepIsMadeGood(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	want := make(map[string]keys.ID)
	for i := range 20 {
		name := fmt.Sprint("user-", i)
		want[name] = b.add(name).ID()
	}
	b.apply(RotateStoreKey{}, Options{})
	b.secretsHold(want)
	if got := b.parts.Vault.Keys(vault.Columns); got != 1 {
		t.Errorf("after a rotation the keyset has %d keys", got)
	}

	// Crash after the first step: a new key is stored, nothing is sealed again.
	b.beginRewrap(ctx)
	b.restart()
	b.secretsHold(want)
	if got := b.parts.Vault.Keys(vault.Columns); got != 1 {
		t.Errorf("after a crash behind step 1 the keyset has %d keys", got)
	}

	// Crash in the second: some is sealed again.
	b.beginRewrap(ctx)
	if _, err := b.store.Update(ctx, func(tx *store.Tx) error { _, err := tx.Rewrap(7); return err }); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.secretsHold(want)
	if got := b.parts.Vault.Keys(vault.Columns); got != 1 {
		t.Errorf("after a crash in step 2 the keyset has %d keys", got)
	}
}

// beginRewrap does the first step of a rotation of the store's key.
func (b *bench) beginRewrap(ctx context.Context) {
	b.t.Helper()
	next := b.parts.Vault.Clone()
	if err := next.AddKey(vault.Columns); err != nil {
		b.t.Fatal(err)
	}
	_, err := b.store.Update(ctx, func(tx *store.Tx) error {
		x := &transaction{p: b.Plane, tx: tx}
		if err := x.putVault(next); err != nil {
			return err
		}
		return tx.PutSetting(settingRewrap, []byte("1"))
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.parts.Vault.Adopt(next)
}

func TestTheMasterKeyRotates(t *testing.T) {
	b := newBench(t)
	id := b.add("nadia").ID()
	old := b.master.kek
	b.apply(RotateMasterKey{}, Options{})
	if b.master.kek.ID() == old.ID() {
		t.Fatal("the master key is the old one")
	}
	b.restart()
	b.secretsHold(map[string]keys.ID{"nadia": id})
	fresh := b.master.kek
	b.Plane.store.Close()
	b.master.kek = old
	if _, err := b.tryOpen(); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("the old master key: %v", err)
	}
	b.master.kek = fresh
	b.open()
	b.secretsHold(map[string]keys.ID{"nadia": id})
}

func TestABackupHoldsEverythingAndShowsNothing(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	key := b.add("nadia")
	var file bytes.Buffer
	if err := b.Backup(ctx, operator, BackupTarget{}, &file); err != nil {
		t.Fatal(err)
	}
	identity, err := backup.WithMasterKey(b.master.kek)
	if err != nil {
		t.Fatal(err)
	}
	b.add("later")
	b.Plane.store.Close()
	if _, err := backup.Restore(&file, identity, filepath.Join(b.dir, "store.db"), nil); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.secretsHold(map[string]keys.ID{"nadia": key.ID()})
	if b.live.Load().Keys.ByUser("later") != nil {
		t.Error("a user that was added after the backup is there")
	}
	if err := b.Backup(ctx, Actor{Name: "x", Level: access.Admin}, BackupTarget{}, &file); err == nil {
		t.Error("an admin may take everything away in a backup")
	}
	for _, to := range []BackupTarget{{Passphrase: "short"}, {Recipients: []string{"age1nonsense"}}, {Recipients: []string{"x"}, Passphrase: "y"}} {
		err := b.Backup(ctx, operator, to, &file)
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Invalid {
			t.Errorf("%v: %v", to, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(b.dir, ".backup-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("a backup left %v", left)
	}
}

func TestNoSecretIsReadableInFilesAndLogs(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	var canaries [][]byte
	for i := range 5 {
		name := fmt.Sprint("user-", i)
		b.add(name)
		for range 2 {
			r := b.apply(RotateKeys{User: name}, Options{})
			canaries = append(canaries, []byte(strings.TrimPrefix(r.Links[0].Secret, "dd")))
		}
		r := b.apply(OpenPage{User: name}, Options{})
		canaries = append(canaries, []byte(r.Page[strings.LastIndex(r.Page, "/")+1:]))
	}
	if _, err := b.Seal(ctx, operator, SealRequest{Plaintext: []byte("a canary in a coal mine")}); err != nil {
		t.Fatal(err)
	}
	canaries = append(canaries, []byte("a canary in a coal mine"), []byte(b.master.kek.Encode()))
	b.apply(RevokeKey{ID: b.active("user-0").ID(), Replace: true}, Options{Reason: "x", IdempotencyKey: "k"})
	files, err := os.ReadDir(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(b.dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range canaries {
			if bytes.Contains(data, c) {
				t.Errorf("canary %d stands in %s", i, f.Name())
			}
		}
	}
	for i, c := range canaries {
		if strings.Contains(b.log.String(), string(c)) {
			t.Errorf("canary %d stands in the log", i)
		}
	}
}

func TestPagesMoveCloseAndShowTheNewestLink(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	b.add("nadia")
	token := func(r Result) string { return r.Page[strings.LastIndex(r.Page, "/")+1:] }
	first := token(b.apply(OpenPage{User: "nadia"}, Options{}))
	if again := token(b.apply(OpenPage{User: "nadia"}, Options{})); again != first {
		t.Error("opening twice gave another address")
	}
	who, ok := b.Recipient(first)
	if !ok || len(who.Links) != 1 || !who.Serving {
		t.Fatalf("page: %+v, %v", who, ok)
	}
	r := b.apply(RotateKeys{User: "nadia"}, Options{})
	if who, _ = b.Recipient(first); who.Links[0] != r.Links[0] || who.OldUntil.IsZero() {
		t.Errorf("after a rotation the page shows %v, the old one until %v", who.Links, who.OldUntil)
	}
	b.Viewed(first)
	if err := b.flush(ctx); err != nil {
		t.Fatal(err)
	}
	if u := b.user("nadia"); !u.Page || u.PageViews != 1 {
		t.Errorf("page %v, views %d", u.Page, u.PageViews)
	}
	second := token(b.apply(RenewPage{User: "nadia"}, Options{}))
	if _, ok := b.Recipient(first); ok || second == first {
		t.Error("the old address still works")
	}
	b.restart()
	if _, ok := b.Recipient(second); !ok {
		t.Error("the new address does not work after a restart")
	}
	b.apply(ClosePage{User: "nadia"}, Options{})
	if _, ok := b.Recipient(second); ok {
		t.Error("a closed page is shown")
	}
	b.refuses(NotFound, RenewPage{User: "nadia"}, Options{})
	third := token(b.apply(OpenPage{User: "nadia"}, Options{}))
	b.apply(RemoveUser{Name: "nadia"}, Options{Reason: "gone"})
	if _, ok := b.Recipient(third); ok {
		t.Error("the page of a user who is gone is shown")
	}
}
