package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mtguard/control"
	"mtguard/security/access"
	"mtguard/security/token"
)

// BenchmarkGuess is what the node spends on one wrong credential, once its source is
// slowed down; at 10,000 a second a core is busy with them for 10,000 times as long.
func BenchmarkGuess(b *testing.B) {
	web := newWeb(&fakePlane{}, WebOptions{SignIn: &fakeSignIn{ceiling: access.Superuser}}, slog.New(slog.DiscardHandler))
	h := web.handler()
	r := httptest.NewRequest(http.MethodGet, "http://localhost:8380"+apiPath+"/status", nil)
	r.Header.Set("Authorization", "Bearer "+token.New(token.API).Reveal())
	i := 0
	for b.Loop() {
		i++
		r.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i % 1000 >> 8), byte(i % 1000)}), 1).String()
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

// BenchmarkSignedInUnderGuesses measures how long a signed-in person waits for an answer
// over loopback TCP, quiet and while 1,000 addresses guess 10,000 times a second, each
// guess over a connection of its own. Who guesses runs on the same processors, so this
// is worse than it is for a node.
func BenchmarkSignedInUnderGuesses(b *testing.B) {
	known := token.New(token.API)
	signIn := &fakeSignIn{ceiling: access.Superuser, ids: map[string]control.Identity{known.Reveal(): {Actor: control.Actor{Name: "x"}, Granted: access.Superuser}}}
	regulars := NewRegulars()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	go func() {
		ended <- ServeWeb(ctx, l, WebHandler(&quietPlane{}, WebOptions{SignIn: lockedSignIn{signIn, new(sync.Mutex)}, Regulars: regulars}, log), WebServeOptions{Regulars: regulars, Log: log})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	ask := func() time.Duration {
		r, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://localhost:%d%s/status", port, apiPath), nil)
		r.Header.Set("Authorization", "Bearer "+known.Reveal())
		begun := time.Now()
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, w.Body)
		w.Body.Close()
		if w.StatusCode != http.StatusOK {
			b.Fatalf("%d", w.StatusCode)
		}
		return time.Since(begun)
	}
	defer http.DefaultClient.CloseIdleConnections()
	const person = 2 * time.Millisecond // between two requests
	measure := func(n int) (middle, slow time.Duration) {
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = ask()
			time.Sleep(person)
		}
		slices.Sort(all)
		return all[n/2], all[n*99/100]
	}
	for b.Loop() {
		quiet, quietSlow := measure(1000)
		flood, end := context.WithCancel(ctx)
		var made, failed atomic.Int64
		var guessing sync.WaitGroup
		begun := time.Now()
		for worker := range 20 {
			guessing.Go(func() {
				// 500 a second each.
				tick := time.NewTicker(2 * time.Millisecond)
				defer tick.Stop()
				for i := worker; ; i += 20 {
					select {
					case <-tick.C:
					case <-flood.Done():
						return
					}
					from := net.IPv4(127, 1, byte(i%1000>>8), byte(i%1000))
					if guessOnce(from, port) != nil {
						failed.Add(1)
					}
					made.Add(1)
				}
			})
		}
		loud, loudSlow := measure(1000)
		took := time.Since(begun)
		end()
		guessing.Wait()
		b.ReportMetric(float64(made.Load())/took.Seconds(), "guesses/s")
		b.ReportMetric(float64(failed.Load()), "failed")
		b.ReportMetric(float64(quiet.Microseconds()), "quiet-p50-µs")
		b.ReportMetric(float64(loud.Microseconds()), "flood-p50-µs")
		b.ReportMetric(float64(quietSlow.Microseconds()), "quiet-p99-µs")
		b.ReportMetric(float64(loudSlow.Microseconds()), "flood-p99-µs")
	}
}

// quietPlane remembers nothing of what it is asked.
type quietPlane struct{ fakePlane }

func (*quietPlane) Status(context.Context) (control.Status, error) {
	return control.Status{Version: "1"}, nil
}

// lockedSignIn may be asked by many at once.
type lockedSignIn struct {
	*fakeSignIn
	mu *sync.Mutex
}

func (l lockedSignIn) Authenticate(t token.Token, from netip.Addr) (control.Identity, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fakeSignIn.Authenticate(t, from)
}

func guessOnce(from net.IP, port int) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: time.Second}
	c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "GET %s/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", apiPath, token.New(token.API).Reveal())
	w, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	w.Body.Close()
	if w.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("%d", w.StatusCode)
	}
	return nil
}
