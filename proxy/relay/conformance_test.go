package relay_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mtguard/mtproto/faketls"
	"mtguard/mtproto/obfs2"
	"mtguard/proxy/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each runs one conformance test against every engine of this system.
func each(t *testing.T, test func(t *testing.T, e relay.Engine)) {
	for _, kind := range []relay.Kind{relay.Goroutine, relay.Loop} {
		t.Run(string(kind), func(t *testing.T) {
			e, err := relay.New(kind)
			if err != nil {
				t.Fatal(err)
			}
			before := descriptors(t)
			t.Cleanup(func() {
				e.Close()
				if n := e.Active(); n != 0 {
					t.Errorf("%d sessions are active after Close", n)
				}
			})
			test(t, e)
			eventually(t, "descriptors return to what they were", func() bool { return descriptors(t) <= before+idlePipes })
		})
	}
}

// idlePipes is what a loop may keep for the next splice: 16 pipes of two
// descriptors per core.
var idlePipes = 32 * runtime.GOMAXPROCS(0)

func descriptors(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc to count descriptors in")
	}
	return len(entries)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

// tcp returns the two ends of a loopback connection.
func tcp(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// running is a session with its two peers and its result to come.
type running struct {
	client, server *net.TCPConn
	handle         relay.Handle
	result         chan relay.Result
}

func start(t *testing.T, e relay.Engine, s relay.Session) *running {
	t.Helper()
	r := &running{result: make(chan relay.Result, 2)}
	s.Client, r.client = tcp(t)
	s.Server, r.server = tcp(t)
	s.Done = func(got relay.Result) { r.result <- got }
	r.handle = e.Start(s)
	return r
}

func (r *running) wait(t *testing.T) relay.Result {
	t.Helper()
	select {
	case got := <-r.result:
		r.client.Close()
		r.server.Close()
		return got
	case <-time.After(20 * time.Second):
		t.Fatal("the session did not end within 20 seconds")
		return relay.Result{}
	}
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// send writes b in pieces of all sizes and says the end.
func send(c *net.TCPConn, b []byte, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(1<<r.IntN(19)))
		if _, err := c.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return c.CloseWrite()
}

func TestBytesArriveInOrderAndBothEndsArePassedOn(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		for _, size := range []int{0, 1, 5, 4095, 4096, 65536, 300_000, 5_000_000} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				r := start(t, e, relay.Session{})
				exchange(t, r, noise(1, size), noise(2, size), func(b []byte) []byte { return b }, func(b []byte) []byte { return b })
				got := r.wait(t)
				if want := (relay.Result{Up: int64(size), Down: int64(size), Reason: relay.Closed}); got != want {
					t.Errorf("result = %+v, want %+v", got, want)
				}
			})
		}
	})
}

// exchange sends up and down at once and compares what arrives, after seal on
// the side that the bytes enter and open on the side that they leave.
func exchange(t *testing.T, r *running, up, down []byte, sealUp, openDown func([]byte) []byte) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := send(r.client, sealUp(up), 3); err != nil {
			t.Errorf("client: %v", err)
		}
	})
	wg.Go(func() {
		if err := send(r.server, down, 4); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	wg.Go(func() {
		got, err := io.ReadAll(r.server)
		if err != nil || !bytes.Equal(got, up) {
			t.Errorf("server got %d bytes %x, %v; want %d %x", len(got), sha256.Sum256(got), err, len(up), sha256.Sum256(up))
		}
	})
	wg.Go(func() {
		got, err := io.ReadAll(r.client)
		if got = openDown(got); err != nil || !bytes.Equal(got, down) {
			t.Errorf("client got %d bytes %x, %v; want %d %x", len(got), sha256.Sum256(got), err, len(down), sha256.Sum256(down))
		}
	})
	wg.Wait()
}

func key(seed byte) (k obfs2.StreamKey) {
	copy(k.Key[:], noise(uint64(seed), 32))
	copy(k.IV[:], noise(uint64(seed)+100, 16))
	return k
}

func xor(k obfs2.StreamKey, offset uint64, b []byte) []byte {
	out := bytes.Clone(b)
	k.Stream(offset).XORKeyStream(out, out)
	return out
}

// records wraps b in TLS records of odd sizes, as a client does.
func records(b []byte) []byte {
	out := []byte{20, 3, 3, 0, 1, 1}
	r := rand.New(rand.NewPCG(9, 9))
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(2878))
		out = append(out, 23, 3, 3, byte(n>>8), byte(n))
		out, b = append(out, b[:n]...), b[n:]
	}
	return out
}

func TestFakeTLSFlowsUnwrapRecryptAndWrap(t *testing.T) {
	for _, passThrough := range []bool{true, false} {
		t.Run(fmt.Sprintf("pass through %v", passThrough), func(t *testing.T) {
			each(t, func(t *testing.T, e relay.Engine) {
				clientUp, dcUp, dcDown, clientDown := key(1), key(2), key(3), key(4)
				s := relay.Session{
					Up:   relay.Flow{Unwrap: new(faketls.Deframer), Decrypt: &relay.Cipher{Key: clientUp, Offset: 71}, Encrypt: &relay.Cipher{Key: dcUp, Offset: 64}},
					Down: relay.Flow{Wrap: true},
				}
				openDown := func(b []byte) []byte { return unwrapAll(t, b) }
				if !passThrough {
					s.Down.Decrypt, s.Down.Encrypt = &relay.Cipher{Key: dcDown}, &relay.Cipher{Key: clientDown}
					openDown = func(b []byte) []byte { return xor(dcDown, 0, xor(clientDown, 0, unwrapAll(t, b))) }
				}
				r := start(t, e, s)
				up, down := noise(5, 3_000_000), noise(6, 3_000_000)
				sealed := func(b []byte) []byte { return records(xor(clientUp, 71, xor(dcUp, 64, b))) }
				exchange(t, r, up, down, sealed, openDown)
				want := relay.Result{Up: int64(len(up)), Down: int64(len(down)), Reason: relay.Closed}
				if got := r.wait(t); got != want {
					t.Errorf("result = %+v, want %+v", got, want)
				}
			})
		})
	}
}

// unwrapAll takes records off as strictly as the strictest client: data
// records of 1 to 16,384 bytes and nothing else.
func unwrapAll(t *testing.T, b []byte) (out []byte) {
	for len(b) > 0 {
		if len(b) < 5 || b[0] != 23 || b[1] != 3 || b[2] != 3 {
			t.Fatalf("no data record: % x", b[:min(5, len(b))])
		}
		n := int(b[3])<<8 | int(b[4])
		if n < 1 || n > 16384 || len(b) < 5+n {
			t.Fatalf("record of %d bytes", n)
		}
		out, b = append(out, b[5:5+n]...), b[5+n:]
	}
	return out
}

func TestTheAnswerComesAfterTheClientsEnd(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		r := start(t, e, relay.Session{})
		r.client.Write([]byte("question"))
		r.client.CloseWrite()
		if got, err := io.ReadAll(r.server); string(got) != "question" || err != nil {
			t.Fatalf("server read %q, %v", got, err)
		}
		answer := noise(7, 1_000_000) // more than any socket buffer holds at once
		go func() { r.server.Write(answer); r.server.Close() }()
		if got, err := io.ReadAll(r.client); !bytes.Equal(got, answer) || err != nil {
			t.Fatalf("client read %d bytes, %v; want %d", len(got), err, len(answer))
		}
		if got := r.wait(t); got.Reason != relay.Closed {
			t.Errorf("reason = %v", got.Reason)
		}
	})
}

func TestAResetIsPassedOnAsAReset(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		for _, from := range []string{"client", "server"} {
			t.Run("from the "+from, func(t *testing.T) {
				r := start(t, e, relay.Session{})
				dying, other := r.client, r.server
				if from == "server" {
					dying, other = other, dying
				}
				roundTrip(t, r)
				dying.SetLinger(0)
				dying.Close()
				_, err := io.ReadAll(other)
				if !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the other side saw %v, want a reset", err)
				}
				if got := r.wait(t); got.Reason != relay.Reset {
					t.Errorf("reason = %v", got.Reason)
				}
			})
		}
	})
}

// TestLastWordsBeforeAResetArrive: an alert, then a reset, as servers end what
// they do not like, also while the client is still sending.
func TestLastWordsBeforeAResetArrive(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		for _, sending := range []bool{false, true} {
			t.Run(fmt.Sprintf("client sending %v", sending), func(t *testing.T) {
				for range 20 {
					r := start(t, e, relay.Session{})
					roundTrip(t, r)
					if sending {
						r.client.Write(noise(9, 100_000))
					}
					r.server.Write([]byte("alert"))
					r.server.SetLinger(0)
					r.server.Close()
					got, err := io.ReadAll(r.client)
					if string(got) != "alert" {
						t.Fatalf("client read %q, %v; want the alert", got, err)
					}
					// A write that fails first takes the error away, and may leave an
					// orderly end for the reader to see.
					if !errors.Is(err, syscall.ECONNRESET) && !(sending && err == nil) {
						t.Fatalf("client saw %v, want a reset", err)
					}
					r.wait(t)
				}
			})
		}
	})
}

// roundTrip proves that the session runs.
func roundTrip(t *testing.T, r *running) {
	t.Helper()
	b := make([]byte, 4)
	r.client.Write([]byte("ping"))
	if _, err := io.ReadFull(r.server, b); err != nil {
		t.Fatal(err)
	}
	r.server.Write([]byte("pong"))
	if _, err := io.ReadFull(r.client, b); err != nil {
		t.Fatal(err)
	}
}

func TestAnIdleSessionEndsInOrder(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		busy := start(t, e, relay.Session{Idle: 2 * time.Second})
		quiet := start(t, e, relay.Session{Idle: 2 * time.Second})
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Millisecond):
					roundTrip(t, busy)
				}
			}
		})
		if _, err := io.ReadAll(quiet.client); err != nil {
			t.Errorf("the client saw %v, want an orderly end", err)
		}
		if got := quiet.wait(t); got.Reason != relay.Idled {
			t.Errorf("reason = %v", got.Reason)
		}
		close(stop)
		wg.Wait()
		roundTrip(t, busy)
		busy.client.Close()
		busy.server.Close()
		busy.wait(t)
	})
}

func TestKillEndsOneSession(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		doomed, other := start(t, e, relay.Session{}), start(t, e, relay.Session{})
		doomed.handle.Kill(relay.Killed)
		if got := doomed.wait(t); got.Reason != relay.Killed {
			t.Errorf("reason = %v", got.Reason)
		}
		doomed.handle.Kill(relay.Killed) // of a session that has ended: nothing
		relay.Handle{}.Kill(relay.Killed)
		roundTrip(t, other)
		if n := e.Active(); n != 1 {
			t.Errorf("%d sessions are active, want 1", n)
		}
		other.client.Close()
		other.server.Close()
		other.wait(t)
	})
}

// TestTheCountIsLive: while bytes move the numbers only rise, and never above
// what was sent; when all have arrived they are exact, and they stay so when the
// session has ended, whatever ended it.
func TestTheCountIsLive(t *testing.T) {
	flows := map[string]relay.Session{"plain": {}, "wrapped": {Down: relay.Flow{Wrap: true}}}
	for name, s := range flows {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, e relay.Engine) {
				r := start(t, e, s)
				up, down := noise(10, 3_000_000), noise(11, 5_000_000)
				stop := make(chan struct{})
				var watching, moving sync.WaitGroup
				for range 2 {
					watching.Go(func() { neverFalls(t, r, int64(len(up)), int64(len(down)), stop) })
				}
				moving.Go(func() { r.client.Write(up) })
				moving.Go(func() { r.server.Write(down) })
				moving.Go(func() { io.CopyN(io.Discard, r.server, int64(len(up))) })
				moving.Go(func() {
					if s.Down.Wrap {
						readRecords(r.client, len(down))
					} else {
						io.CopyN(io.Discard, r.client, int64(len(down)))
					}
				})
				moving.Wait()
				want := relay.Result{Up: int64(len(up)), Down: int64(len(down)), Reason: relay.Killed}
				eventually(t, "all is counted", func() bool {
					u, d := r.handle.Moved()
					return u == want.Up && d == want.Down
				})
				r.handle.Kill(relay.Killed)
				if got := r.wait(t); got != want {
					t.Errorf("result = %+v, want %+v", got, want)
				}
				close(stop)
				watching.Wait()
				if u, d := r.handle.Moved(); u != want.Up || d != want.Down {
					t.Errorf("after the end it has moved %d and %d", u, d)
				}
			})
		})
	}
	if up, down := (relay.Handle{}).Moved(); up != 0 || down != 0 {
		t.Error("no session has moved bytes")
	}
}

// neverFalls watches the count of r until stop.
func neverFalls(t *testing.T, r *running, mostUp, mostDown int64, stop <-chan struct{}) {
	var up, down int64
	for {
		u, d := r.handle.Moved()
		if u < up || d < down || u > mostUp || d > mostDown {
			t.Errorf("moved %d and %d after %d and %d, of %d and %d", u, d, up, down, mostUp, mostDown)
			return
		}
		up, down = u, d
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// readRecords reads records from c until they have held n bytes of payload.
func readRecords(c io.Reader, n int) {
	header := make([]byte, faketls.HeaderSize)
	for n > 0 {
		if _, err := io.ReadFull(c, header); err != nil {
			return
		}
		size := int(header[3])<<8 | int(header[4])
		if _, err := io.CopyN(io.Discard, c, int64(size)); err != nil {
			return
		}
		n -= size
	}
}

// Whatever ends a session, its count afterwards is that of its result.
func TestTheCountAtTheEndIsTheResult(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		var all []*running
		for i := range 20 {
			r := start(t, e, relay.Session{})
			go r.client.Write(noise(uint64(i), 1+100*i))
			go io.Copy(io.Discard, r.server)
			if i%2 == 0 {
				go r.handle.Kill(relay.Killed)
			}
			all = append(all, r)
		}
		e.Close()
		for i, r := range all {
			got := r.wait(t)
			if up, down := r.handle.Moved(); up != got.Up || down != got.Down {
				t.Errorf("session %d: moved %d and %d, result %+v", i, up, down, got)
			}
		}
	})
}

func TestCloseEndsAllAndReportsEach(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		var all []*running
		for range 20 {
			all = append(all, start(t, e, relay.Session{}))
		}
		roundTrip(t, all[0])
		e.Close()
		for _, r := range all {
			if got := r.wait(t); got.Reason != relay.Drained {
				t.Errorf("reason = %v", got.Reason)
			}
		}
		late := start(t, e, relay.Session{})
		if got := late.wait(t); got.Reason != relay.Drained {
			t.Errorf("a session started after Close ended with %v", got.Reason)
		}
	})
}

// TestAReaderThatStallsHoldsItsSenderBackAndNobodyElse: what a session buffers
// does not depend on what is offered.
func TestAReaderThatStallsHoldsItsSenderBackAndNobodyElse(t *testing.T) {
	flows := map[string]relay.Flow{"plain": {}, "wrapped": {Wrap: true}}
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, e relay.Engine) {
				stalled, other := start(t, e, relay.Session{Down: flow}), start(t, e, relay.Session{Down: flow})
				sent := 0
				chunk := noise(8, 1<<16)
				for {
					stalled.server.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
					n, err := stalled.server.Write(chunk)
					sent += n
					if err != nil {
						break
					}
					if sent > 64<<20 {
						t.Fatal("64 MiB were taken for a reader that does not read")
					}
				}
				if flow.Wrap {
					other.server.Write([]byte("still here"))
					if _, err := io.ReadFull(other.client, make([]byte, 15)); err != nil {
						t.Error(err)
					}
				} else {
					roundTrip(t, other)
				}
				go func() { stalled.server.Close() }()
				got, err := io.ReadAll(stalled.client)
				if flow.Wrap {
					got = unwrapAll(t, got)
				}
				if err != nil || len(got) != sent {
					t.Errorf("after the stall the client read %d of %d bytes, %v", len(got), sent, err)
				}
				for i := range got {
					if got[i] != chunk[i%len(chunk)] {
						t.Fatalf("byte %d is wrong after the stall", i)
					}
				}
				for _, r := range []*running{stalled, other} {
					r.client.Close()
					r.server.Close()
					r.wait(t)
				}
			})
		})
	}
}

func TestABrokenRecordLayerEndsTheSession(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		r := start(t, e, relay.Session{Up: relay.Flow{Unwrap: new(faketls.Deframer)}})
		r.client.Write([]byte("GET / HTTP/1.1\r\n"))
		if got := r.wait(t); got.Reason != relay.Malformed {
			t.Errorf("reason = %v", got.Reason)
		}
	})
}

func TestManySessionsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, e relay.Engine) {
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				s := relay.Session{Down: relay.Flow{Wrap: i%2 == 1}}
				open := func(b []byte) []byte { return b }
				if s.Down.Wrap {
					open = func(b []byte) []byte { return unwrapAll(t, b) }
				}
				r := start(t, e, s)
				exchange(t, r, noise(uint64(i), 100_000+i), noise(uint64(i)+500, 200_000+i), func(b []byte) []byte { return b }, open)
				if got := r.wait(t); got.Reason != relay.Closed {
					t.Errorf("session %d: %v", i, got.Reason)
				}
			})
		}
		wg.Wait()
	})
}
