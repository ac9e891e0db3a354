package auth

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mtguard/mtproto"
	"mtguard/mtproto/faketls"
	"mtguard/mtproto/obfs2"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/replay"
	"mtguard/security/usage"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const site = "www.example.com"

// epoch is when the processes of these tests were started.
var epoch = time.Unix(1_790_000_000, 0)

// users makes n keys; domain gives the name that key i is bound to.
func users(t testing.TB, n int, domain func(i int) string) *keys.Set {
	t.Helper()
	list := make([]*keys.Key, n)
	for i := range list {
		text := hex.EncodeToString(material(i))
		if d := domain(i); d != "" {
			text = "ee" + text + hex.EncodeToString([]byte(d))
		}
		secret, err := keys.ParseSecret(text)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = keys.NewKey(fmt.Sprintf("user-%d", i), secret)
	}
	set, err := keys.NewSet(list)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func anyName(int) string { return "" }

// material is the secret of user i; that of a negative i is nobody's.
func material(i int) []byte {
	b := []byte("................")
	binary.BigEndian.PutUint64(b[8:], uint64(int64(i)+1_000_000))
	return b
}

// realm is what a control plane holds: a ring of keys, and an account for each user.
type realm struct {
	t        testing.TB
	ring     *keys.Ring
	accounts []*usage.Account
}

// newRealm has n users with an active key each, whose secrets are those of users.
func newRealm(t testing.TB, n int) *realm {
	t.Helper()
	r := &realm{t: t, ring: keys.NewRing()}
	for i := range n {
		r.accounts = append(r.accounts, new(usage.Account))
		r.put(i, keys.Active)
	}
	return r
}

// put moves the key of user i to a state. Revoked ones become tripwires.
func (r *realm) put(i int, state keys.State) {
	r.t.Helper()
	secret, err := keys.ParseSecret("ee" + hex.EncodeToString(material(i)) + hex.EncodeToString([]byte(site)))
	if err != nil {
		r.t.Fatal(err)
	}
	err = r.ring.Put(keys.Spec{
		ID: secret.ID(), User: fmt.Sprint("user-", i), Number: 1, State: state, Secret: secret, Tripwire: true,
		Account: r.accounts[i], PseudonymKey: &[32]byte{1},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// key is the key of user i.
func (r *realm) key(i int) *keys.Key {
	secret, err := keys.ParseSecret(hex.EncodeToString(material(i)))
	if err != nil {
		r.t.Fatal(err)
	}
	return r.ring.Key(secret.ID())
}

// unused demands that nobody holds anything of user i.
func (r *realm) unused(i int) {
	r.t.Helper()
	open, from := r.accounts[i].Open()
	if n := r.key(i).Leases(); n != 0 || open != 0 || from != 0 {
		r.t.Errorf("user %d: %d leases, %d connections from %d addresses are left", i, n, open, from)
	}
}

// bench is an Authenticator with the policy it is asked under and a clock.
type bench struct {
	*Authenticator
	snap *policy.Snapshot
	now  time.Time
}

func newBench(t testing.TB, set *keys.Set) *bench {
	t.Helper()
	return &bench{
		Authenticator: New(replay.New(1<<12, epoch), replay.New(1<<12, epoch), new(stats.Counters)),
		snap:          &policy.Snapshot{Keys: set, Skew: 10 * time.Minute},
		now:           epoch.Add(time.Hour),
	}
}

// ask authenticates h and returns what came out and how many secrets were tried.
// A client that was let in goes at once.
func (b *bench) ask(from string, h Hello) (user string, result stats.Result, trials int) {
	before := b.Stats.Trials.Load()
	v := b.Authenticate(b.snap, netip.MustParseAddr(from), h, b.now)
	v.Grant.Release()
	if v.Key != nil {
		user = v.Key.User()
	}
	return user, v.Result, int(b.Stats.Trials.Load() - before)
}

// simple is a hello that costs nothing to open: for tests that count.
type simple struct {
	secret [16]byte
	name   string
	sentAt time.Time
	key    [16]byte
	init   bool
}

// hello is a fresh hello of user i, sent now.
func (b *bench) hello(i int) *simple {
	h := &simple{secret: [16]byte(material(i)), name: site, sentAt: b.now}
	rand.Read(h.key[:])
	return h
}

func (h *simple) Open(secret []byte, now time.Time) (time.Time, bool) {
	if h.init {
		return now, [16]byte(secret) == h.secret
	}
	return h.sentAt, [16]byte(secret) == h.secret
}
func (h *simple) Timed() bool         { return !h.init }
func (h *simple) ServerName() string  { return h.name }
func (h *simple) ReplayKey() [16]byte { return h.key }

// genuine is a fake-TLS hello off the wire, as package handshake presents it.
type genuine struct{ *faketls.ClientHello }

func (h genuine) Open(secret []byte, _ time.Time) (time.Time, bool) {
	return h.ClientHello.Open(secret)
}
func (h genuine) Timed() bool { return true }

func parse(t testing.TB, raw []byte) genuine {
	t.Helper()
	h, n, need, err := faketls.ParseHello(raw)
	if err != nil || need > 0 || n != len(raw) {
		t.Fatalf("ParseHello: %d of %d bytes, %d more, %v", n, len(raw), need, err)
	}
	return genuine{h}
}

func newHello(t testing.TB, secret []byte, at time.Time) genuine {
	t.Helper()
	c := &tgsim.Client{Secret: secret, Domain: site, Clock: func() time.Time { return at }}
	raw, err := c.NewHello()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, raw)
}

// bare is an obfuscated2 init off the wire.
type bare struct{ *obfs2.Init }

func (h bare) Open(secret []byte, now time.Time) (time.Time, bool) {
	_, ok := h.Init.Open(secret)
	return now, ok
}
func (h bare) Timed() bool        { return false }
func (h bare) ServerName() string { return "" }

func newInit(t testing.TB, secret []byte) bare {
	t.Helper()
	init, err := obfs2.NewInit(rand.Reader, obfs2.Header{Framing: mtproto.Padded, DC: 2}, secret)
	if err != nil {
		t.Fatal(err)
	}
	return bare{&init}
}
