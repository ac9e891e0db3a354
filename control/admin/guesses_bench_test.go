package admin

import (
	"bufio"
	"context"
	"errors"
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
	"syscall"
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

// BenchmarkSignedInUnderGuesses measures how long a signed-in person waits for an answer over loopback TCP while 1,000 addresses guess
// 10,000 times a second, each guess over a connection of its own; against quiet times, and against the same flood at another process that
// does nothing but accept and close, which is what the machine costs. The three take turns; of each figure the median of the rounds is told.
// Who guesses is another process, which gets only the time that nobody else wants: what is left is what guesses cost the node.
func BenchmarkSignedInUnderGuesses(b *testing.B) {
	known := token.New(token.API)
	signIn := &fakeSignIn{ceiling: access.Superuser, ids: map[string]control.Identity{known.Reveal(): {Actor: control.Actor{Name: "x"}, Granted: access.Superuser}}}
	sources := NewSources()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	go func() {
		ended <- ServeWeb(ctx, l, NewAPI(&quietPlane{}, log).WebHandler(WebOptions{SignIn: lockedSignIn{signIn, new(sync.Mutex)}, Sources: sources}), WebServeOptions{Sources: sources, Log: log})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	bare := child(b, "MTGUARD_BARE=1", false)
	defer bare.end()
	barePort := bare.next(b)
	kept := &http.Client{}
	defer kept.CloseIdleConnections()
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(c *http.Client) time.Duration {
		r, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://localhost:%d%s/status", port, apiPath), nil)
		r.Header.Set("Authorization", "Bearer "+known.Reveal())
		begun := time.Now()
		w, err := c.Do(r)
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
	figures := make(map[string][]float64)
	measure := func(how string) (took, cpu time.Duration) {
		begun, before := time.Now(), cpuTime()
		const n, person = 1000, 2 * time.Millisecond // between two requests
		var onKept, onFresh []time.Duration
		for i := range n {
			onKept = append(onKept, ask(kept))
			time.Sleep(person)
			if i%10 == 0 {
				onFresh = append(onFresh, ask(fresh))
				time.Sleep(person)
			}
		}
		slices.Sort(onKept)
		slices.Sort(onFresh)
		for name, d := range map[string]time.Duration{"p50": onKept[n/2], "p99": onKept[n*99/100], "new-p50": onFresh[len(onFresh)/2]} {
			figures[how+"-"+name] = append(figures[how+"-"+name], float64(d.Microseconds()))
		}
		return time.Since(begun), cpuTime() - before
	}
	under := func(how string, port int64, quiet time.Duration) {
		guesser := child(b, fmt.Sprintf("MTGUARD_GUESS_AT=%d", port), true)
		defer guesser.end()
		const before = 30_000 // by then each address has guessed more than it may
		for guesser.next(b) < before {
			time.Sleep(100 * time.Millisecond)
		}
		made := guesser.next(b)
		took, cpu := measure(how)
		made = guesser.next(b) - made
		figures[how+"-guesses/s"] = append(figures[how+"-guesses/s"], float64(made)/took.Seconds())
		figures[how+"-cpu-µs/guess"] = append(figures[how+"-cpu-µs/guess"], float64((cpu-quiet).Microseconds())/float64(made))
	}
	for b.Loop() {
		const rounds = 5
		for range rounds {
			_, cpu := measure("quiet")
			under("control", barePort, cpu)
			under("flood", int64(port), cpu)
			for _, how := range []string{"control", "flood"} {
				ratio := func(name string) {
					of := func(how string) float64 { all := figures[how+"-"+name]; return all[len(all)-1] }
					figures[how+":quiet-"+name] = append(figures[how+":quiet-"+name], of(how)/of("quiet"))
				}
				ratio("p50")
				ratio("p99")
				ratio("new-p50")
			}
		}
	}
	for name, all := range figures {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], name)
	}
}

// childProcess is a part of the benchmark in a process of its own, which says a number whenever it is asked.
type childProcess struct {
	cmd *exec.Cmd
	ask io.WriteCloser
	say *bufio.Reader
}

// child starts this test's binary again, as TestChild, with an environment that says what for. An idle one gets only the time that nobody
// else wants.
func child(b *testing.B, env string, idle bool) *childProcess {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	args := []string{self, "-test.run=^TestChild$"}
	if chrt, err := exec.LookPath("chrt"); err == nil && idle {
		args = append([]string{chrt, "--idle", "0"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env)
	ask, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	say, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return &childProcess{cmd, ask, bufio.NewReader(say)}
}

func (c *childProcess) next(b *testing.B) int64 {
	b.Helper()
	fmt.Fprintln(c.ask)
	line, err := c.say.ReadString('\n')
	n, wrong := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil || wrong != nil {
		b.Fatalf("the other process says %q, %v", line, err)
	}
	return n
}

func (c *childProcess) end() {
	c.ask.Close()
	io.Copy(io.Discard, c.say)
	c.cmd.Wait()
}

// TestChild is what child starts; in a usual run it does nothing.
func TestChild(t *testing.T) {
	var say func() int64
	switch port, err := strconv.Atoi(os.Getenv("MTGUARD_GUESS_AT")); {
	case err == nil:
		var end func()
		say, end = guessing(port)
		defer end()
	case os.Getenv("MTGUARD_BARE") != "":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go acceptAndClose(l)
		say = func() int64 { return int64(l.Addr().(*net.TCPAddr).Port) }
	default:
		t.Skip("it is a part of BenchmarkSignedInUnderGuesses")
	}
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		fmt.Println(say())
	}
}

func acceptAndClose(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// guessing guesses 10,000 times a second from 1,000 addresses until end, as far as it gets. made is how many times it did: a connection that
// is closed without an answer was a guess.
func guessing(port int) (made func() int64, end func()) {
	ctx, stop := context.WithCancel(context.Background())
	var count atomic.Int64
	var work sync.WaitGroup
	const workers, each = 20, 2 * time.Millisecond
	for worker := range workers {
		work.Go(func() {
			begun := time.Now()
			for n := 0; ctx.Err() == nil; n++ {
				time.Sleep(time.Until(begun.Add(time.Duration(n) * each))) // made up for when it was held up
				i := (n*workers + worker) % 1000
				if guessOnce(net.IPv4(127, 1, byte(i>>8), byte(i)), port) {
					count.Add(1)
				}
			}
		})
	}
	return count.Load, func() { stop(); work.Wait() }
}

// guessOnce sends one guess over a connection of its own, and waits for what becomes of it. It reports whether there was a connection.
func guessOnce(from net.IP, port int) bool {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: time.Second}
	c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return errors.Is(err, syscall.ECONNRESET)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "GET %s/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", apiPath, token.New(token.API).Reveal())
	io.Copy(io.Discard, c) // an answer, or a reset
	return true
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
