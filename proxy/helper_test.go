package proxy

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mtguard/mtproto"
	"mtguard/mtproto/obfs2"
	"mtguard/proxy/auth"
	"mtguard/proxy/guard"
	"mtguard/proxy/relay"
	"mtguard/proxy/upstream"
	"mtguard/security/keys"
	"mtguard/security/policy"
	"mtguard/security/replay"
	"mtguard/security/usage"
	"mtguard/telemetry/event"
	"mtguard/telemetry/stats"
	"mtguard/tgsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "www.example.com"

var secret = []byte("0123456789abcdef")

// world is a server on a real listener, with a data centre and a cover site. Its
// user is alice, who has secret.
type world struct {
	t      *testing.T
	s      *Server
	live   policy.Live
	ring   *keys.Ring
	all    []*keys.Key // that were ever in the ring
	stats  stats.Counters
	events recorder
	way    gate
	dc     *tgsim.DC
	site   *tgsim.Cover
	addr   string
	stop   func()
}

// recorder keeps every event, and calls on for each, if there is one.
type recorder struct {
	mu   sync.Mutex
	list []event.Event
	on   hook[event.Event]
}

func (r *recorder) Emit(e event.Event) {
	r.on.call(e)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
}

// gate is a way to Telegram at whose end, before it is used, on is called.
type gate struct {
	upstream.Dialer
	on hook[mtproto.DC]
}

func (g *gate) Dial(ctx context.Context, s *policy.Snapshot, dc mtproto.DC) (net.Conn, error) {
	c, err := g.Dialer.Dial(ctx, s, dc)
	g.on.call(dc)
	return c, err
}

// hook is where a test steps in while the server runs.
type hook[T any] struct{ f atomic.Pointer[func(T)] }

func (h *hook[T]) set(f func(T)) { h.f.Store(&f) }

func (h *hook[T]) call(v T) {
	if f := h.f.Load(); f != nil {
		(*f)(v)
	}
}

// of returns the events of a kind.
func (r *recorder) of(k event.Kind) (list []event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.list {
		if e.Kind == k {
			list = append(list, e)
		}
	}
	return list
}

// newWorld serves until the test ends; change makes the policy the test's own.
func newWorld(t *testing.T, change func(*policy.Snapshot)) *world {
	t.Helper()
	w := &world{t: t, ring: keys.NewRing()}
	var err error
	if w.dc, err = tgsim.StartDC(t.Context(), tgsim.DCConfig{Number: 2}); err != nil {
		t.Fatal(err)
	}
	if w.site, err = tgsim.StartCover(t.Context(), tgsim.CoverConfig{Domain: domain}); err != nil {
		t.Fatal(err)
	}
	w.put("alice", secret, keys.Active)
	dc := netip.MustParseAddrPort(w.dc.Addr())
	snap := &policy.Snapshot{
		Keys: w.ring.Set(), DCs: mtproto.NewDCTable(map[mtproto.DC][]netip.AddrPort{2: {dc}}),
		ServerNames: map[string]struct{}{domain: {}}, Skew: 10 * time.Minute,
		Transports: [4]bool{mtproto.FakeTLS: true, mtproto.Secure: true},
		Handshake:  time.Minute, Idle: time.Minute,
		Limits:   policy.Limits{MaxConnections: 1000, HalfOpen: 100, ConnectionsPerAddress: 500},
		Cover:    policy.Cover{Address: w.site.Addr(), Name: domain, ConnectTimeout: 5 * time.Second, MaxConnections: 100},
		Upstream: policy.Upstream{ConnectTimeout: 5 * time.Second},
	}
	if change != nil {
		change(snap)
	}
	w.live.Publish(snap)
	engine, err := relay.New(relay.Auto)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	own := netip.MustParseAddrPort(w.addr)
	checks := guard.Stages{
		Accept: []guard.Check{guard.TotalConnections{}, guard.AddressRules{}, guard.OriginRules{}, guard.PerAddress{}, guard.PerNetwork{},
			guard.NewAcceptRate(1 << 10), guard.NewFailureRate(1 << 10)},
		Hello: []guard.Check{guard.HelloRules{}},
		Auth: []guard.Check{guard.UserLevel{}, guard.MinTransport{}, guard.AllowedTransports{}, guard.SecretStrength{}, guard.PerUser{}, guard.PerKey{},
			guard.AddressesPerUser{}},
	}
	start := time.Now()
	w.way.Dialer = &upstream.Direct{Stats: &w.stats}
	w.s = &Server{
		Live: &w.live, Guard: guard.NewPipeline(checks, &w.events, &w.stats),
		Auth:     auth.New(replay.New(1<<10, start), replay.New(1<<10, start), &w.stats),
		Sessions: new(auth.Sessions), Upstream: &w.way, Engine: engine,
		Cover:     NewCover(&w.live, log, func() []netip.AddrPort { return []netip.AddrPort{own} }),
		Occupancy: guard.NewOccupancy(),
		Covered:   guard.NewOccupancy(), Events: &w.events, Stats: &w.stats, Log: log,
	}
	done := make(chan error, 1)
	go func() { done <- w.s.Serve(l) }()
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			w.shutdown()
			if err := <-done; err != ErrClosed {
				t.Errorf("Serve: %v", err)
			}
			w.dc.Close()
			w.site.Close()
			w.balanced()
		})
	}
	t.Cleanup(w.stop)
	return w
}

// put moves a user's key to a state, and makes what is not there yet. A revoked key
// becomes a tripwire.
func (w *world) put(user string, secret []byte, state keys.State) *keys.Key {
	w.t.Helper()
	parsed, err := keys.ParseSecret(hex.EncodeToString(secret))
	if err != nil {
		w.t.Fatal(err)
	}
	spec := keys.Spec{ID: parsed.ID(), User: user, State: state, Secret: parsed, Tripwire: true, PseudonymKey: &[32]byte{1}}
	if old := w.ring.Key(spec.ID); old == nil {
		spec.Account = new(usage.Account)
	}
	if err := w.ring.Put(spec); err != nil {
		w.t.Fatal(err)
	}
	key := w.ring.Key(spec.ID)
	if spec.Account != nil {
		w.all = append(w.all, key)
	}
	return key
}

// alice is her key.
func (w *world) alice() *keys.Key { return w.all[0] }

// becomes does what the control plane does when alice's key changes: state first,
// policy second, and then it ends the sessions that are to end.
func (w *world) becomes(state keys.State) {
	w.t.Helper()
	key := w.put("alice", secret, state)
	w.change(func(s *policy.Snapshot) { s.Keys = w.ring.Set() })
	if state == keys.Revoked {
		w.s.Sessions.Kill(func(s *auth.Session) bool { return s.Key() == key }, "revoked")
	}
}

// shutdown ends the server without patience.
func (w *world) shutdown() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	w.s.Shutdown(now)
}

// balanced demands that everything a connection takes was given back.
func (w *world) balanced() {
	w.t.Helper()
	for name, n := range map[string]int64{
		"open": w.s.open.Load(), "covering": int64(w.s.Covered.Open()), "silent": w.s.silent.Load(), "half": int64(w.s.half.n),
		"Open": w.stats.Open.Load(), "HalfOpen": w.stats.HalfOpen.Load(), "Sessions": w.stats.Sessions.Load(), "CoverOpen": w.stats.CoverOpen.Load(),
		"Connecting": w.stats.Connecting.Load(), "Silent": w.stats.Silent.Load(),
		"mine": int64(len(w.s.Cover.mine)), "sessions": int64(w.s.Sessions.Count()),
	} {
		if n != 0 {
			w.t.Errorf("%s is %d in the end", name, n)
		}
	}
	for _, key := range w.all {
		if open, from := key.Account().Open(); key.Leases() != 0 || open != 0 || from != 0 {
			w.t.Errorf("%v: %d leases and %d places of %d addresses are left in the end", key, key.Leases(), open, from)
		}
	}
	if open, from, network := w.s.Occupancy.Enter(netip.MustParseAddr("127.0.0.1")); open != 1 || from != 1 || network != 1 {
		w.t.Errorf("the occupancy counts %d connections in the end, %d of 127.0.0.1", open-1, from-1)
	}
}

// change publishes a changed copy of the policy.
func (w *world) change(f func(*policy.Snapshot)) {
	s := *w.live.Load()
	f(&s)
	w.live.Publish(&s)
}

func (w *world) client() *tgsim.Client {
	return &tgsim.Client{Proxy: w.addr, Secret: secret, Domain: domain, DC: 2, Timeout: 10 * time.Second}
}

// connect dials and proves that the client reaches Telegram.
func (w *world) connect(c *tgsim.Client) (*tgsim.Conn, error) {
	conn, err := c.Dial(w.t.Context())
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn, conn.Ping([]byte("ping"))
}

func (w *world) mustConnect() *tgsim.Conn {
	w.t.Helper()
	conn, err := w.connect(w.client())
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// dial opens a plain connection to the server.
func (w *world) dial() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// stranger opens a connection and sends a hello that nobody here has signed.
func (w *world) stranger() net.Conn {
	w.t.Helper()
	c := w.dial()
	if _, err := c.Write(strangersHello(w.t)); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func strangersHello(t testing.TB) []byte {
	t.Helper()
	other := make([]byte, 16)
	rand.Read(other)
	hello, err := (&tgsim.Client{Secret: other, Domain: domain}).NewHello()
	if err != nil {
		t.Fatal(err)
	}
	return hello
}

// newInit is an init of alice's without TLS around it.
func newInit(t testing.TB) []byte {
	t.Helper()
	for {
		init, err := obfs2.NewInit(rand.Reader, obfs2.Header{Framing: mtproto.Padded, DC: 2}, secret)
		if err != nil {
			t.Fatal(err)
		}
		if init[0] != 0x16 || init[1] != 3 { // once in 65,536: in pieces it is taken for TLS
			return init[:]
		}
	}
}

// seesSite demands that c, on which nothing was sent, leads to the cover site.
func (w *world) seesSite(c net.Conn) {
	w.t.Helper()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	visit := tls.Client(c, &tls.Config{ServerName: domain, RootCAs: w.site.Roots()})
	if err := visit.Handshake(); err != nil {
		w.t.Errorf("this is not the cover site: %v", err)
		return
	}
	if !slices.Equal(visit.ConnectionState().PeerCertificates[0].Raw, w.site.Certificate().Raw) {
		w.t.Error("this is not the cover site's certificate")
	}
}

// isClosed demands that the server ends c without a byte.
func isClosed(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := c.Read(make([]byte, 1))
	if e, ok := err.(net.Error); n > 0 || err == nil || ok && e.Timeout() {
		t.Errorf("%d bytes, %v; want the end", n, err)
	}
}

// isSilent demands that c is open and nothing comes.
func isSilent(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := c.Read(make([]byte, 1))
	if e, ok := err.(net.Error); n > 0 || !ok || !e.Timeout() {
		t.Errorf("%d bytes, %v; want silence", n, err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

// plainSite is a cover site of the test's own: it hands over what connects.
func plainSite(t *testing.T) (addr string, conns <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan net.Conn)
	ctx := t.Context()
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case ch <- c:
			case <-ctx.Done():
				c.Close()
			}
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String(), ch
}

// readSome reads n bytes.
func readSome(t *testing.T, c io.Reader, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if d, ok := c.(net.Conn); ok {
		d.SetReadDeadline(time.Now().Add(10 * time.Second))
	}
	if n, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	return b
}
