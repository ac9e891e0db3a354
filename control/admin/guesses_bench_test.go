package admin

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
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
	web := newWeb(NewAPI(&fakePlane{}, slog.New(slog.DiscardHandler)), WebOptions{SignIn: &fakeSignIn{ceiling: access.Superuser}})
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
// guess over a connection of its own. Who guesses is another process, which gets only
// the time that nobody else wants: what is left is what guesses cost the node.
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
		ended <- ServeWeb(ctx, l, NewAPI(&quietPlane{}, log).WebHandler(WebOptions{SignIn: lockedSignIn{signIn, new(sync.Mutex)}, Regulars: regulars}), WebServeOptions{Regulars: regulars, Log: log})
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
		made, end := flood(b, port)
		begun := time.Now()
		loud, loudSlow := measure(1000)
		took := time.Since(begun)
		end()
		b.ReportMetric(float64(made())/took.Seconds(), "guesses/s")
		b.ReportMetric(float64(quiet.Microseconds()), "quiet-p50-µs")
		b.ReportMetric(float64(loud.Microseconds()), "flood-p50-µs")
		b.ReportMetric(float64(quietSlow.Microseconds()), "quiet-p99-µs")
		b.ReportMetric(float64(loudSlow.Microseconds()), "flood-p99-µs")
	}
}

// flood starts a process that guesses, and returns how many times it did, once end was
// called.
func flood(b *testing.B, port int) (made func() int64, end func()) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	args := []string{self, "-test.run=^TestGuessing$"}
	if idle, err := exec.LookPath("chrt"); err == nil {
		args = append([]string{idle, "--idle", "0"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("MTGUARD_GUESS_AT=%d", port))
	var out bytes.Buffer
	cmd.Stdout = &out
	stop, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // it gets going
	return func() int64 {
			n, _, _ := strings.Cut(out.String(), " ")
			count, _ := strconv.ParseInt(n, 10, 64)
			return count
		}, func() {
			stop.Close()
			cmd.Wait()
		}
}

// TestGuessing is the process that flood starts; in a usual run it does nothing.
func TestGuessing(t *testing.T) {
	port, err := strconv.Atoi(os.Getenv("MTGUARD_GUESS_AT"))
	if err != nil {
		t.Skip("it is a part of BenchmarkSignedInUnderGuesses")
	}
	ctx, end := context.WithCancel(context.Background())
	var made atomic.Int64
	var guessing sync.WaitGroup
	const workers = 20
	for worker := range workers {
		guessing.Go(func() {
			begun := time.Now()
			for n := 0; ctx.Err() == nil; n++ {
				// 500 a second each, made up for when it was held up.
				time.Sleep(time.Until(begun.Add(time.Duration(n) * 2 * time.Millisecond)))
				i := (n*workers + worker) % 1000
				if guessOnce(net.IPv4(127, 1, byte(i>>8), byte(i)), port) == nil {
					made.Add(1)
				}
			}
		})
	}
	io.Copy(io.Discard, os.Stdin)
	count := made.Load()
	end()
	guessing.Wait()
	fmt.Println(count, "guesses")
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
