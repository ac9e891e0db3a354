package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mtguard/config"
	"mtguard/tgsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = []byte("0123456789abcdef")

const domain = "www.example.com"

// site is a node with what it needs around it: data centres and a cover site.
type site struct {
	t     testing.TB
	dc    *tgsim.DC
	cover *tgsim.Cover
	path  string // of the configuration
	base  string // what every configuration of this test starts with
	node  *Node
	halt  func() // ends the node
	stop  func() // ends everything
}

const template = `
[proxy]
listen = ["127.0.0.1:0"]
transports = ["faketls", "secure", "classic"]
drain_timeout = "1s"
%s
[cover]
domains = ["` + domain + `"]
fall_back_to = "%s"
[[user]]
name = "alice"
secret = "30313233343536373839616263646566"
[upstream.dc]
1 = ["%[3]s"]
2 = ["%[3]s"]
3 = ["%[3]s"]
4 = ["%[3]s"]
5 = ["%[3]s"]
203 = ["%[3]s"]
10002 = ["%[3]s"]
[metrics]
listen = "127.0.0.1:0"
[state]
dir = "%[4]s"
`

// start runs a node; proxy and rest are lines for [proxy] and for the end of
// the file.
func start(t testing.TB, proxy, rest string) *site {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &site{t: t}
	var err error
	if s.dc, err = tgsim.StartDC(ctx, tgsim.DCConfig{Number: 2}); err != nil {
		t.Fatal(err)
	}
	if s.cover, err = tgsim.StartCover(ctx, tgsim.CoverConfig{Domain: domain}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s.path = filepath.Join(dir, "mtguard.toml")
	s.base = fmt.Sprintf(template, proxy, s.cover.Addr(), s.dc.Addr(), dir)
	s.write(s.base + rest)
	s.boot(testLog(t))
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			s.halt()
			cancel()
			s.dc.Close()
			s.cover.Close()
		})
	}
	t.Cleanup(s.stop)
	return s
}

// boot starts a node of the configuration; halt ends it, and what is around it
// goes on.
func (s *site) boot(log *slog.Logger) {
	s.t.Helper()
	var err error
	if s.node, err = New(Options{Load: func() (*config.File, error) { return config.Load(s.path) }, Log: log}); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	run, stop := context.WithCancel(context.Background())
	go func() { done <- s.node.Run(run) }()
	s.halt = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
}

func testLog(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func (s *site) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) addr() string { return s.node.Listening()[0].String() }

func (s *site) client(t tgsim.Transport) *tgsim.Client {
	return &tgsim.Client{Proxy: s.addr(), Secret: secret, Transport: t, Domain: domain, DC: 2, Timeout: 10 * time.Second}
}

// dial connects a client and proves that it reaches Telegram.
func (s *site) dial(c *tgsim.Client) *tgsim.Conn {
	s.t.Helper()
	conn, err := c.Dial(context.Background())
	if err == nil {
		err = conn.Ping([]byte("ping"))
	}
	if err != nil {
		s.t.Fatalf("%v client: %v", c.Transport, err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within fifteen seconds: %s", what)
		}
	}
}

var transports = []tgsim.Transport{tgsim.FakeTLS, tgsim.Secure, tgsim.ClassicIntermediate, tgsim.ClassicAbridged}

func TestEveryTransportReachesTelegram(t *testing.T) {
	for _, passThrough := range []bool{true, false} {
		for _, engine := range []string{"loop", "goroutine"} {
			t.Run(fmt.Sprintf("%s, pass through %v", engine, passThrough), func(t *testing.T) {
				s := start(t, fmt.Sprintf("engine = %q", engine), fmt.Sprintf("[upstream]\npass_through = %v\n", passThrough))
				for _, transport := range transports {
					t.Run(transport.String(), func(t *testing.T) {
						for _, alone := range []bool{true, false} {
							c := s.client(transport)
							c.InitAlone = alone
							conn := s.dial(c)
							if err := conn.Download(3 << 20); err != nil {
								t.Errorf("download: %v", err)
							}
							if err := conn.Upload(3 << 20); err != nil {
								t.Errorf("upload: %v", err)
							}
						}
					})
				}
			})
		}
	}
}

func TestTheDCIDReachesTheDC(t *testing.T) {
	s := start(t, "", "")
	for _, dc := range []int{1, 2, 3, 4, 5, -2, -4, 203, -203, 10002, -10002, 0, 77} {
		c := s.client(tgsim.FakeTLS)
		c.DC = dc
		s.dial(c)
		if s.dc.Stats().ByDC[dc] == 0 {
			t.Errorf("the DC did not see id %d", dc)
		}
	}
}

// TestEveryProbeMeetsTheCoverSite: what a prober gets from the proxy, and how
// it ends, is what the site itself gives.
func TestEveryProbeMeetsTheCoverSite(t *testing.T) {
	s := start(t, `handshake_timeout = "3s"`, "")
	s.write(strings.Replace(s.base, `["faketls", "secure", "classic"]`, `["faketls"]`, 1))
	if err := s.node.Reload(); err != nil {
		t.Fatal(err)
	}
	proxy := tgsim.Target{Addr: s.addr(), Secret: secret, Domain: domain, DC: 2, Wait: 4 * time.Second, Pause: 100 * time.Microsecond}
	var all sync.WaitGroup // not t.Parallel: they wait most of the time, on any number of cores
	defer all.Wait()
	for _, p := range tgsim.Probes() {
		all.Go(func() { compareProbe(t, p, proxy, s.cover.Addr()) })
	}
}

func compareProbe(t *testing.T, p tgsim.Probe, proxy tgsim.Target, site string) {
	got, want, err := p.Compare(context.Background(), proxy, site)
	switch {
	case err != nil:
		t.Errorf("%s: %v", p.Name, err)
	case got.Served != p.Served:
		t.Errorf("%s: served: %v, want %v (%s)", p.Name, got.Served, p.Served, got.Summary())
	case p.Served:
	default:
		if diff := tgsim.Diff(want, got, 8); diff != "" {
			t.Errorf("%s: the proxy differs from its cover site: %s\nsite:  %s\nproxy: %s", p.Name, diff, want.Summary(), got.Summary())
		}
	}
}

func TestReloadKeepsSessionsAndEndsThoseOfRemovedUsers(t *testing.T) {
	s := start(t, "", "[[user]]\nname = \"bob\"\nsecret = \"b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b1\"\n")
	alice := s.dial(s.client(tgsim.FakeTLS))
	c := s.client(tgsim.Secure)
	c.Secret = []byte("\xb0\xb0\xb0\xb0\xb0\xb0\xb0\xb0\xb0\xb0\xb0\xb0\xb0\xb0\xb0\xb1")
	bob := s.dial(c)
	s.write(s.base)
	if err := s.node.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := alice.Ping([]byte("ping")); err != nil {
		t.Errorf("alice, who stays, lost her session: %v", err)
	}
	if _, err := bob.Receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("bob, who was removed, still has a session: %v", err)
	}
	if conn, err := c.Dial(context.Background()); err == nil {
		if err := conn.Ping([]byte("ping")); err == nil {
			t.Error("bob, who was removed, was let in again")
		}
		conn.Close()
	}
}

func TestABadReloadChangesNothing(t *testing.T) {
	s := start(t, "", "")
	s.write(s.base + "[proxi]\n")
	if err := s.node.Reload(); err == nil || !strings.Contains(err.Error(), "proxi") {
		t.Errorf("Reload = %v, want an error that names the key", err)
	}
	s.dial(s.client(tgsim.FakeTLS))
}

func TestDrainLetsSessionsEndAndThenEndsThem(t *testing.T) {
	s := start(t, "", "")
	conn := s.dial(s.client(tgsim.FakeTLS))
	began := time.Now()
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	eventually(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", s.addr())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if err := conn.Ping([]byte("ping")); err != nil {
		t.Errorf("a session was cut while draining: %v", err)
	}
	<-stopped
	if took := time.Since(began); took < time.Second {
		t.Errorf("draining took %v although a session was open; the time-out is 1s", took)
	}
	if _, err := conn.Receive(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a session outlived the drain time-out: %v", err)
	}
}

func TestMetricsListener(t *testing.T) {
	s := start(t, "", "")
	s.dial(s.client(tgsim.FakeTLS))
	base := "http://" + s.node.metrics.Addr().String()
	for path, want := range map[string]string{
		"/livez": "ok", "/readyz": "ready", "/readyz?verbose": "revision 1, 1 keys",
		"/metrics": `mtguard_handshakes_total{result="ok",transport="faketls"} 1`,
	} {
		got := get(t, base+path)
		if !strings.Contains(got, want) {
			t.Errorf("GET %s lacks %q:\n%s", path, want, got)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAddressesInTheLog(t *testing.T) {
	four, six := netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8:1:2::3")
	if got := hider("truncate")(four); got != "192.0.2.0/24" {
		t.Errorf("truncate: %s", got)
	}
	if got := hider("truncate")(six); got != "2001:db8:1::/48" {
		t.Errorf("truncate: %s", got)
	}
	if got := hider("full")(four); got != "192.0.2.77" {
		t.Errorf("full: %s", got)
	}
	hash := hider("hash")
	if a, b := hash(four), hash(six); a == b || len(a) != 16 || a != hash(four) || a == hider("hash")(four) {
		t.Errorf("hash: %s %s, want two stable values of 16 digits that another process does not give", a, b)
	}
}
