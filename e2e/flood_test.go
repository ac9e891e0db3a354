package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gotd/td/transport"

	"mtguard/e2e/client"
)

// halfHandshakes is the number of connections that begin a handshake and never finish it.
const halfHandshakes = 2000

// TestFloodOfStrangers holds 2,000 half handshakes open and throws bad hellos at the node, from other addresses than
// the one good client has, which must not meet a single error. Afterwards the node is as it was before.
func TestFloodOfStrangers(t *testing.T) {
	lasts := 5 * time.Second
	if long {
		lasts = 30 * time.Second
	}
	needFiles(t, 3*halfHandshakes)
	tele, web := telegram(t, 2), coverSite(t)
	s := standard(t, web.addr, tele)
	s.values["proxy.handshake_timeout"] = "3s" // so that many expire while the flood goes on
	s.values["log.level"] = "warn"
	n := start(t, s)
	ctx := bounded(t, lasts+time.Minute)
	good := way(t, n.addr, fakeTLSSecret, dialFrom("127.0.0.9"))
	served(t, good, 2)
	hello := badHello(t)
	for _, c := range halfOpen(ctx, t, n.addr, hello) { // what one flood leaves in tables and pools, the next one finds
		c.Close()
	}
	for i := range 1000 {
		if err := throw(ctx, n.addr, fmt.Sprintf("127.2.0.%d", 1+i%8), hello); err != nil {
			t.Fatalf("a bad hello before the flood: %v", err)
		}
	}
	before := n.settled()

	half := halfOpen(ctx, t, n.addr, hello)
	during := measure(n)
	storm, calm := context.WithTimeout(ctx, lasts)
	defer calm()
	var strangers, visits atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for storm.Err() == nil {
				if err := throw(ctx, n.addr, fmt.Sprintf("127.2.0.%d", 1+i), hello); err != nil {
					t.Errorf("a bad hello: %v", err)
					return
				}
				strangers.Add(1)
			}
		})
	}
	wg.Go(func() { // a client that stays
		err := client.Connect(ctx, good, tele.regular, 2, func(ctx context.Context, c *client.Conn) error {
			for storm.Err() == nil {
				if err := echo(ctx, c, 10_000); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("the client that stays: %v", err)
		}
	})
	wg.Go(func() { // the same person's app, connecting anew
		for storm.Err() == nil {
			if err := knock(ctx, good, 2); err != nil {
				t.Errorf("visit %d: %v", visits.Load(), err)
				return
			}
			visits.Add(1)
		}
	})
	wg.Wait()
	peak := measure(n)
	for _, c := range half {
		c.Close()
	}
	t.Logf("in %v: %d bad hellos, %d visits of the good client; before %v, with half handshakes %v, at the end of the flood %v",
		lasts, strangers.Load(), visits.Load(), before, during, peak)
	if strangers.Load() < 100 || visits.Load() < 10 {
		t.Errorf("%d bad hellos and %d visits are no flood", strangers.Load(), visits.Load())
	}
	if ever := n.metric("go_memstats_heap_sys_bytes"); ever > maxFloodHeap && !raceDetector {
		t.Errorf("the heap was once %.1f MiB, want at most %.1f", mib(int(ever)), mib(maxFloodHeap))
	}
	served(t, good, 2)
	n.recovers(before)
}

// maxFloodHeap is how large the heap may ever have been: the limit the node sets itself (64 MiB and three times what is
// live), from its first moment on, and some for a collector that is behind.
const maxFloodHeap = 192 << 20

// halfOpen opens connections that say nothing, half a hello, or half an init, and leaves them so.
func halfOpen(ctx context.Context, t *testing.T, addr string, hello []byte) []net.Conn {
	t.Helper()
	var conns []net.Conn
	t.Cleanup(func() {
		for _, c := range conns {
			c.Close()
		}
	})
	for i := range halfHandshakes {
		c, err := dialFrom(fmt.Sprintf("127.1.0.%d", 1+i%250))(ctx, "tcp", addr)
		if err != nil {
			t.Fatalf("half handshake %d: %v", i, err)
		}
		conns = append(conns, c)
		begin := [][]byte{nil, hello[:len(hello)/2], randomBytes(32)}[i%3]
		if _, err := c.Write(begin); err != nil {
			t.Fatalf("half handshake %d: %v", i, err)
		}
	}
	return conns
}

// throw makes one bad connection and waits for some answer of the cover site to those kinds of it that a web site
// answers. It returns an error only for what a flood must not cause: being refused at the door.
func throw(ctx context.Context, addr, from string, hello []byte) error {
	c, err := dialFrom(from)(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	b := append([]byte(nil), hello...)
	for i := range 32 { // the random: a digest that nobody's secret makes
		b[11+i] = byte(rand.Uint32())
	}
	switch rand.IntN(4) {
	case 0, 1: // the site answers as to anybody
		_, err := c.Write(b)
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 5))
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("no answer from the cover site: %w", err)
		}
	case 2: // cut short
		c.Write(b[:rand.IntN(len(b))])
	case 3: // no TLS
		c.Write(randomBytes(64 + rand.IntN(1000)))
	}
	return nil
}

// TestIdleSessions opens thousands of sessions that then say nothing, and ends them all at once.
func TestIdleSessions(t *testing.T) {
	count := 2000
	if long {
		count = 10_000
	}
	if most := (fileLimit() - 1200) / 2; most < count { // the node keeps 1,024 for other things, and so do we
		t.Logf("%d descriptors allow %d sessions, not %d", fileLimit(), most, count)
		count = most
	}
	tele := telegram(t, 2)
	s := standard(t, coverSite(t).addr, tele)
	s.values["log.level"] = "warn"
	n := start(t, s)
	ctx := bounded(t, 4*time.Minute)
	served(t, way(t, n.addr, fakeTLSSecret, nil), 2)
	n.await("the end of the first visit", func() bool { return n.metric("mtguard_sessions_open") == 0 })
	before := n.settled()
	sessions := idle(ctx, t, n.addr, count, secureSecret, fakeTLSSecret)
	if got := n.metric("mtguard_sessions_open"); got != float64(count) {
		t.Errorf("%v sessions are open, want %d", got, count)
	}
	during := measure(n)
	each := (during.resident - before.resident) / count
	t.Logf("%d idle sessions: %d bytes each; before %v, with them %v", count, each, before, during)
	if each > maxIdleSession && !raceDetector {
		t.Errorf("an idle session takes %d bytes, want at most %d", each, maxIdleSession)
	}
	for i := 0; i < count; i += count / 50 {
		if err := answered(ctx, sessions[i]); err != nil {
			t.Errorf("session %d of %d after all were opened: %v", i, count, err)
		}
	}
	for _, c := range sessions {
		c.Close()
	}
	n.await("the end of the sessions", func() bool {
		return n.metric("mtguard_sessions_open") == 0 && n.metric("mtguard_connections_open") == 0
	})
	n.await("the end of the connections to the DC", func() bool { return tele.servers[2].Open() == 0 })
	n.recovers(before)
	served(t, way(t, n.addr, fakeTLSSecret, nil), 2)
}

// maxIdleSession is what an idle session may add to the resident memory. It catches a buffer or a goroutine kept per
// session by mistake, and leaves room for what the collector has not taken back yet.
const maxIdleSession = 24 << 10

// idle opens sessions with the secrets in turn, from 200 addresses, each with one question answered.
func idle(ctx context.Context, t *testing.T, addr string, count int, secrets ...[]byte) []transport.Conn {
	t.Helper()
	sessions := make([]transport.Conn, count)
	t.Cleanup(func() {
		for _, c := range sessions {
			if c != nil {
				c.Close()
			}
		}
	})
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < count && !t.Failed(); i = int(next.Add(1)) - 1 {
				r, err := client.Proxy(addr, secrets[i%len(secrets)], dialFrom(fmt.Sprintf("127.3.%d.1", i%200)))
				if err == nil {
					sessions[i], err = r(ctx, 2)
				}
				if err == nil {
					err = answered(ctx, sessions[i])
				}
				if err != nil {
					t.Errorf("session %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return sessions
}

// footprint is what a process holds of the machine.
type footprint struct{ resident, live, descriptors int }

func (f footprint) String() string {
	return fmt.Sprintf("%.1f MiB (%.1f MiB of it live) and %d descriptors", mib(f.resident), mib(f.live), f.descriptors)
}

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }

// measure takes the footprint at this moment. Live is half of the size at which the next collection begins: what the
// last one left.
func measure(n *node) footprint {
	return footprint{n.resident(), int(n.metric("go_memstats_next_gc_bytes")) / 2, n.descriptors()}
}

// settled takes the footprint of a node that has run for a while. A process that has just started is smaller than
// ever again: tables of fixed size (replay memory, rates) are not resident before they are touched, and Go's runtime
// lets garbage grow to the size of what is live. So it is asked for metrics until garbage was collected a few times.
func (n *node) settled() footprint {
	n.t.Helper()
	const count = "go_gc_duration_seconds_count"
	begin := time.Now()
	for first := n.metric(count); n.metric(count) < first+3; {
		if time.Since(begin) > patience {
			n.t.Fatalf("no three garbage collections within %v", patience)
		}
	}
	return measure(n)
}

// Allowances of recovers. Descriptors: the connections of this test to the metrics listener, and what the runtime
// opens when it first needs it. Live memory: the fixed tables filled, maps and pools at the size they once had (both
// are per thousand connections, not per connection ever seen). Resident memory: twice that for garbage, and what the
// runtime has not given back yet.
const (
	spareDescriptors = 12
	spareLive        = 6 << 20
	spareResident    = 32 << 20
)

// recovers waits until the node is back near the footprint, and fails the test when it does not get there.
func (n *node) recovers(before footprint) {
	n.t.Helper()
	begin := time.Now()
	for {
		now := n.settled()
		small := now.resident <= before.resident+spareResident && now.live <= before.live+spareLive || raceDetector
		if small && now.descriptors <= before.descriptors+spareDescriptors {
			n.t.Logf("back at %v after %v", now, time.Since(begin).Round(time.Millisecond))
			return
		}
		if time.Since(begin) > 2*patience {
			n.t.Errorf("before %v, still %v after %v", before, now, time.Since(begin).Round(time.Second))
			return
		}
	}
}

// needFiles skips a test that cannot run with the descriptors this process may have.
func needFiles(t *testing.T, want int) {
	t.Helper()
	if got := fileLimit(); got < want {
		t.Skipf("%d descriptors are allowed, %d are needed (%v)", got, want, syscall.EMFILE)
	}
}
