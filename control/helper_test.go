package control

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mtguard/control/store/sqlite"
	"mtguard/mtproto"
	"mtguard/proxy/auth"
	"mtguard/security/access"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/vault"
)

// bench is a control plane over a real store, with a clock of the test's own.
type bench struct {
	*Plane
	t        testing.TB
	dir      string
	live     policy.Live
	sessions auth.Sessions
	master   *memoryMaster
	declared []Declared // by the file, at a start
	log      strings.Builder
	logging  sync.Mutex

	mu  sync.Mutex
	now time.Time
}

var operator = Actor{Name: "uid 0", Level: access.Superuser}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), master: &memoryMaster{kek: vault.GenerateKEK()}}
	b.open()
	t.Cleanup(func() {
		if b.Plane != nil {
			b.Plane.store.Close()
		}
	})
	return b
}

// open starts a plane over what the directory has.
func (b *bench) open() {
	b.t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(b.dir, "store.db")})
	if err != nil {
		b.t.Fatal(err)
	}
	v, err := openVault(ctx, s, b.master)
	if err != nil {
		b.t.Fatal(err)
	}
	b.live, b.sessions = policy.Live{}, auth.Sessions{}
	b.Plane, err = New(ctx, Parts{
		Store: s, Vault: v, Master: b.master, Live: &b.live, Sessions: &b.sessions, Log: slog.New(slog.NewTextHandler(b, nil)), Dir: b.dir, Version: "test",
		Links: func(user string, secret keys.Secret) ([]Link, error) {
			text := secret.Encode(mtproto.Secure, "")
			return []Link{{User: user, Kind: "secure", Secret: text, TG: "tg://proxy?secret=" + text}}, nil
		},
		PageURL: func(token string) string { return "https://links.example.com/u/" + token },
		Now:     b.clock,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.Load(ctx, File{Base: policy.Snapshot{ServerNames: map[string]struct{}{"www.example.com": {}}}, Users: b.declared}); err != nil {
		b.t.Fatal(err)
	}
}

// tryOpen opens the vault as open does, and says what is wrong.
func (b *bench) tryOpen() (*vault.Vault, error) {
	b.t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(b.dir, "store.db")})
	if err != nil {
		b.t.Fatal(err)
	}
	defer s.Close()
	return openVault(ctx, s, b.master)
}

// restart ends the plane and begins anew, as after a crash: nothing is flushed.
func (b *bench) restart() {
	b.t.Helper()
	if err := b.Plane.store.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

func (b *bench) Write(p []byte) (int, error) {
	b.logging.Lock()
	defer b.logging.Unlock()
	return b.log.Write(p)
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// pass lets time go by, evenly, as far as the plane can see.
func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	b.now = b.now.Add(d)
	b.mu.Unlock()
	b.Plane.mu.Lock()
	b.Plane.clock = clock{}
	b.Plane.mu.Unlock()
	b.tick(context.Background())
}

func (b *bench) apply(c Change, o Options) Result {
	b.t.Helper()
	r, err := b.Apply(context.Background(), operator, c, o)
	if err != nil {
		b.t.Fatalf("%T: %v", c, err)
	}
	return r
}

// refuses expects a change to be refused with that kind.
func (b *bench) refuses(kind Kind, c Change, o Options) *Error {
	b.t.Helper()
	_, err := b.Apply(context.Background(), operator, c, o)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != kind {
		b.t.Fatalf("%T: %v, want a refusal of the kind %v", c, err, kind)
	}
	return e
}

// add makes a user and returns its key as the data path has it.
func (b *bench) add(name string) *keys.Key {
	b.t.Helper()
	b.apply(AddUser{Name: name, Level: access.Standard}, Options{})
	return b.active(name)
}

func (b *bench) active(name string) *keys.Key {
	b.t.Helper()
	k := b.live.Load().Keys.ByUser(name)
	if k == nil {
		b.t.Fatalf("user %s has no active key in force", name)
	}
	return k
}

func (b *bench) user(name string) UserInfo {
	b.t.Helper()
	u, err := b.User(context.Background(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func (b *bench) key(id keys.ID) KeyInfo {
	b.t.Helper()
	k, err := b.Key(context.Background(), string(id))
	if err != nil {
		b.t.Fatal(err)
	}
	return k
}

var home = netip.MustParseAddr("192.0.2.7")

// memoryMaster keeps the master key in memory.
type memoryMaster struct{ kek, next vault.KEK }

func (m *memoryMaster) Current() (vault.KEK, string) { return m.kek, "memory" }
func (m *memoryMaster) Next(string) (vault.KEK, error) {
	m.next = vault.GenerateKEK()
	return m.next, nil
}
func (m *memoryMaster) Commit(next vault.KEK) error { m.kek = next; return nil }
func (m *memoryMaster) Discard()                    { m.next = vault.KEK{} }
