package admin

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/security/access"
	"mtguard/security/token"
	"mtguard/telemetry/live"
)

// tower serves events to browsers and programs over TCP with TLS.
type tower struct {
	t      *testing.T
	hub    *live.Hub
	site   *site
	at     string
	pool   *x509.CertPool
	silent func()       // ends the hub
	stop   func() error // ends the listener, and says how
}

func newTower(t *testing.T) *tower {
	t.Helper()
	w := &tower{t: t, hub: live.NewHub(live.Options{})}
	running, silence := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { w.hub.Run(running, func(ctx context.Context) { <-ctx.Done() }) })
	w.silent = func() { silence(); work.Wait() }
	w.site = newSite(t, WebOptions{TLS: true, Hosts: []string{"admin.example.com"}})
	w.site.plane.hub = w.hub
	w.site.web.SignIn = lockedSignIn{w.site.signIn, new(sync.Mutex)}
	w.site.web.now = time.Now
	w.site.web.eventPace = time.Millisecond
	w.site.web.lookEvery = lookAgain
	certFile, keyFile, pool := pair(t, t.TempDir(), 1, time.Now().Add(time.Hour))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.at, w.pool = l.Addr().String(), pool
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- ServeWeb(ctx, l, w.site.h, WebServeOptions{CertFile: certFile, KeyFile: keyFile, Log: slog.New(slog.DiscardHandler)})
	}()
	w.stop = sync.OnceValue(func() error { end(); return <-ended })
	t.Cleanup(func() {
		w.silent()
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// credential makes one that is good: a program's, or a browser's.
func (w *tower) credential(browser bool) string {
	if !browser {
		return w.site.token(access.Admin)
	}
	made := token.New(token.Session)
	w.site.signIn.ids[made.Reveal()] = control.Identity{Actor: control.Actor{Name: "nadia"}, Person: "nadia", Granted: access.Admin, Session: made.ID(), Host: "admin.example.com"}
	return "Cookie: __Host-mtguard=" + made.Reveal()
}

// client is one that speaks HTTP/1.1, or HTTP/2.
func (w *tower) client(version int) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: w.pool, ServerName: "admin.example.com"}, Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", w.at)
		},
	}
	transport.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}
	transport.Protocols.SetHTTP1(version == 1)
	transport.Protocols.SetHTTP2(version == 2)
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// stream asks for events, and returns the answer with its lines as they come.
func (w *tower) stream(c *http.Client, version int, query string, headers ...string) (*http.Response, *bufio.Scanner) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute) // what never comes is a failure
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://admin.example.com"+apiPath+"/events"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	response, err := c.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { response.Body.Close() })
	if response.ProtoMajor != version {
		w.t.Fatalf("it speaks HTTP/%d", response.ProtoMajor)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEventLine)
	return response, lines
}

// versions runs a test for both versions of HTTP and both kinds of credential.
func versions(t *testing.T, each func(t *testing.T, w *tower, version int, who string)) {
	for _, version := range []int{1, 2} {
		for _, browser := range []bool{false, true} {
			t.Run(fmt.Sprintf("HTTP %d, browser %v", version, browser), func(t *testing.T) {
				w := newTower(t)
				each(t, w, version, w.credential(browser))
			})
		}
	}
}

func TestEventsAreStreamedOverTCP(t *testing.T) {
	versions(t, func(t *testing.T, w *tower, version int, who string) {
		c := w.client(version)
		response, lines := w.stream(c, version, "?kind=block", who)
		if got := response.Header; response.StatusCode != http.StatusOK || got.Get("Content-Type") != eventMedia || got.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", response.StatusCode, got)
		}
		until(t, lines, ":") // he is there
		tell(w.hub, live.Block, "one")
		seen := until(t, lines, "data:")
		id, _ := strings.CutPrefix(seen[1], "id: ")
		if len(seen) != 4 || id == "" || seen[2] != "event: block" || !strings.Contains(seen[3], `"data":"one"`) {
			t.Errorf("the event: %q", seen)
		}
		response.Body.Close() // the connection is lost
		tell(w.hub, live.Block, "two")
		_, lines = w.stream(c, version, "?kind=block", who, eventHeader+": "+id)
		if seen := until(t, lines, "data:"); !strings.Contains(seen[len(seen)-1], `"data":"two"`) {
			t.Errorf("resumed: %q", seen)
		}
		tell(w.hub, live.Block, "three")
		if seen := until(t, lines, "data:"); !strings.Contains(seen[len(seen)-1], `"data":"three"`) {
			t.Errorf("after it was resumed: %q", seen)
		}
		await(t, "the one whose reader went is over", func() bool { return w.hub.Viewers() == 1 })
		for _, header := range []string{"X: y", "Authorization: Bearer " + token.New(token.API).Reveal(), "Cookie: __Host-mtguard=" + token.New(token.Session).Reveal()} {
			response, _ := w.stream(w.client(version), version, "", header)
			if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusUnauthorized || string(text) != string(strangersAnswer) {
				t.Errorf("without a credential: %d %s", response.StatusCode, text)
			}
		}
	})
}

// TestAnIdleStreamGoesOn: patience is for readers who take nothing, not for times in which nothing happens.
func TestAnIdleStreamGoesOn(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP %d", version), func(t *testing.T) {
			t.Parallel()
			w := newTower(t)
			w.site.web.eventPatience = 2 * time.Second // a busy machine must not make a stalled reader of this one
			_, lines := w.stream(w.client(version), version, "?kind=block", w.credential(true))
			until(t, lines, ":")
			time.Sleep(2*w.site.web.eventPatience + time.Second)
			tell(w.hub, live.Block, "x")
			until(t, lines, "data:")
		})
	}
}

// TestStreamsEndWithTheirCredential: soon after it is revoked, or has ended, as one that is over and not as one that broke; and whoever asks
// again is a stranger.
func TestStreamsEndWithTheirCredential(t *testing.T) {
	versions(t, func(t *testing.T, w *tower, version int, who string) {
		response, lines := w.stream(w.client(version), version, "?kind=block", who)
		until(t, lines, ":")
		w.site.signIn.ended.Store(true)
		begun := time.Now()
		for lines.Scan() {
		}
		if took := time.Since(begun); lines.Err() != nil || took > 20*time.Second {
			t.Errorf("it ended after %v: %v", took, lines.Err())
		}
		response.Body.Close()
		await(t, "its place is given back", func() bool { return w.hub.Viewers() == 0 })
	})
}

// TestAStalledReaderOverTCPHarmsNobody: one that takes nothing is cut off, whether it has a connection of its own or shares one with another
// that goes on; and what waits for many of them does not grow with what happens.
func TestAStalledReaderOverTCPHarmsNobody(t *testing.T) {
	for _, version := range []int{1, 2} {
		w := newTower(t)
		w.site.web.eventPatience, w.site.web.stalled = 5*time.Second, time.Hour
		who := w.credential(true)
		c := w.client(version)
		_, lines := w.stream(c, version, "?kind=key", who)
		until(t, lines, ":")
		const stalled = 20
		for range stalled {
			_, first := w.stream(c, version, "?kind=block", who)
			until(t, first, ":") // and no more
		}
		await(t, "all look", func() bool { return w.hub.Viewers() == stalled+1 })
		var read atomic.Int64
		going := make(chan struct{})
		go func() {
			defer close(going)
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "data:") {
					read.Add(1)
				}
			}
		}()
		large := strings.Repeat("x", 4<<10)
		inUse := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, most := inUse(), uint64(0)
		said := 0
		for began := time.Now(); w.hub.Viewers() > 1; said++ {
			if time.Since(began) > 2*time.Minute {
				t.Fatalf("HTTP/%d: %d who read nothing are not cut off", version, w.hub.Viewers()-1)
			}
			tell(w.hub, live.Block, large)
			if said%256 == 0 { // who reads keeps up, however busy the machine is
				count := read.Load()
				tell(w.hub, live.Key, "for who reads")
				await(t, "who reads gets his", func() bool { return read.Load() > count })
			}
			if said%8192 == 0 {
				most = max(most, inUse())
			}
		}
		count := read.Load()
		tell(w.hub, live.Key, "the last")
		await(t, "who reads gets the last", func() bool { return read.Load() > count })
		t.Logf("HTTP/%d: %d events of 4 KiB, the heap grew by %d KiB at most", version, said, (max(most, before)-before)>>10)
		if most > before+64<<20 { // many times as much was told
			t.Errorf("HTTP/%d: %d stalled readers have the heap grow by %d MiB", version, stalled, (most-before)>>20)
		}
		w.silent()
		<-going
	}
}

// TestStreamsOverTCPEndWithTheNode: at once and whole when the node says that nothing comes any more, and otherwise after the grace.
func TestStreamsOverTCPEndWithTheNode(t *testing.T) {
	type how struct {
		version int
		quiet   bool
	}
	for _, c := range []how{{1, true}, {1, false}, {2, true}, {2, false}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			version, quiet := c.version, c.quiet
			w := newTower(t)
			_, lines := w.stream(w.client(version), version, "?kind=block", w.credential(true))
			until(t, lines, ":")
			tell(w.hub, live.Block, "the last")
			begun := time.Now()
			stopped := make(chan error, 1)
			go func() { stopped <- w.stop() }()
			if quiet {
				w.silent()
			}
			until(t, lines, "data:")
			for lines.Scan() {
			}
			if quiet && lines.Err() != nil {
				t.Errorf("HTTP/%d: the stream ends with %v", version, lines.Err())
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); quiet && took >= grace || took >= 4*grace {
				t.Errorf("HTTP/%d, the hub ends %v: it took %v", version, quiet, took)
			}
			if w.hub.Viewers() != 0 {
				t.Errorf("HTTP/%d: %d viewers are left", version, w.hub.Viewers())
			}
		})
	}
}

// TestOneConnectionHasFewGuesses: over HTTP/2 too a connection is over with its first wrong credential; those that were on their way with it
// are all that it ever has.
func TestOneConnectionHasFewGuesses(t *testing.T) {
	w := newTower(t)
	var dials atomic.Int32
	c := w.client(2)
	transport := c.Transport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return dial(ctx, network, address)
	}
	guess := func() {
		response, lines := w.stream(c, 2, "", "Authorization: Bearer "+token.New(token.API).Reveal())
		for lines.Scan() {
		}
		if response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%d", response.StatusCode)
		}
		response.Body.Close()
	}
	const guesses = 10
	for range guesses {
		guess()
	}
	if dials.Load() < guesses/2 { // one may go out while the end of the connection is on its way
		t.Errorf("%d guesses went over %d connections", guesses, dials.Load())
	}
	// Whoever shares the connection, as behind a proxy, goes on.
	_, lines := w.stream(c, 2, "?kind=block", w.credential(true))
	until(t, lines, ":")
	guess()
	tell(w.hub, live.Block, "still there")
	until(t, lines, "data:")
}
